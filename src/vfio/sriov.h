/* SPDX-License-Identifier: MIT */
/*
 * Virtual functions: made and removed while programs run, and the tokens that
 * say who may open them (pci-config.md 6.1). All functions here want vfio->lock.
 */
#ifndef VIA_VFIO_SRIOV_H
#define VIA_VFIO_SRIOV_H

#include "vfio/topology.h"

#define VIA_UUID_SIZE 16

/* A physical function's. */
struct via_sriov {
	struct via_placed *pf; /* constant */
	unsigned int total;    /* constant */
	/* vfio->lock: all below */
	uint8_t token[VIA_UUID_SIZE];
	unsigned int users; /* virtual functions that are open */
	unsigned int n;	    /* what sriov_numvfs says */
	bool changing;	    /* they are being made, by somebody without the lock */
	bool removing;	    /* vfs below n_removed are gone, those up to n follow one by one */
	unsigned int n_removed;
	struct via_placed *vfs[]; /* total of them */
};

/* The state of a physical function; NULL: placed is none. 0 or negative errno. */
int via_sriov_new(struct via_placed *placed, struct via_sriov **ret_sriov);

/*
 * May placed be opened by who gives token (NULL: none)? -EACCES, -EINVAL. A
 * physical function takes a token on when none of its virtual ones is open.
 */
int via_sriov_check_token(struct via_placed *placed, const uint8_t *token);
/* "52ac9bff-3a88-4fbd-901a-0d767c3b6c97", or false. What follows does not matter. */
bool via_uuid_parse(const char *text, uint8_t ret_uuid[VIA_UUID_SIZE]);
#define VIA_UUID_TEXT 36

/* A virtual function that is being removed has been given back: go on. The lock is given up. */
void via_sriov_continue(struct via_sriov *sriov);

#endif
