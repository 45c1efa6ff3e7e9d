/* SPDX-License-Identifier: MIT */
#include "preload/real.h"

#include <dlfcn.h>

/* Written with the same values whenever it is written; each pointer is one store. */
struct via_real via_real_table;

void via_real_init(void)
{
#define LOOK_UP(ret, name, args)                                                        \
	{                                                                               \
		void *sym = dlsym(RTLD_NEXT, #name);                                    \
		__atomic_store_n((void **)&via_real_table.name, sym, __ATOMIC_RELAXED); \
	}
	VIA_REAL_FUNCTIONS(LOOK_UP)
#undef LOOK_UP
}
