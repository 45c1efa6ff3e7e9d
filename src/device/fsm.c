/* SPDX-License-Identifier: MIT */
/* The states of migration: what each needs, and the first hop from one toward another. */
#include "device/migration.h"

#include <errno.h>

/* As in pci-config.md 6.12; x: no way. */
enum { x, S, R, C, U, P, Y, Z };

#define N VIA_N_MIGRATION_STATES

static const uint8_t hop[N][N] = {
	/*       -  S  R  C  U  P  Y  Z */
	[x] = { x, x, x, x, x, x, x, x },
	[S] = { x, S, P, C, U, P, P, P },
	[R] = { x, P, R, P, P, P, Y, P },
	[C] = { x, S, S, C, S, S, x, x },
	[U] = { x, S, S, S, U, S, S, S },
	[P] = { x, S, R, S, S, P, R, Z },
	[Y] = { x, R, R, Z, R, R, Y, Z },
	[Z] = { x, P, P, C, P, P, Y, Z },
};

static const uint8_t needs[N] = {
	[P] = VIA_MIGRATION_P2P,
	[Y] = VIA_MIGRATION_PRE_COPY,
	[Z] = VIA_MIGRATION_P2P | VIA_MIGRATION_PRE_COPY,
};

static bool has(unsigned int flags, uint32_t state)
{
	return state && state < N && (flags & needs[state]) == needs[state];
}

int via_migration_next(unsigned int flags, uint32_t from, uint32_t to,
		       enum via_migration_state *ret_next)
{
	uint8_t next;

	if (!has(flags, from) || !has(flags, to))
		return -EINVAL;
	next = hop[from][to];
	/* A state that the device lacks is passed over. */
	while (next && !has(flags, next))
		next = hop[next][to];
	if (!next)
		return -EINVAL;
	*ret_next = (enum via_migration_state)next;
	return 0;
}
