/* SPDX-License-Identifier: MIT */
/*
 * Put before each file of the kernel's VFIO selftests, whose sources stay as
 * they are. Linux 7.2 calls calloc_assert(), which that release does not define;
 * and a program begins in its default mode (iommufd), which must be one that exists.
 */
#include <stdio.h>
#include <stdlib.h>

#ifndef HAVE_CALLOC_ASSERT
static inline void *calloc_assert(size_t n, size_t size)
{
	void *p = calloc(n, size);

	if (!p) {
		fprintf(stderr, "out of memory\n");
		exit(1);
	}
	return p;
}
#endif

extern const char *default_iommu_mode;

__attribute__((constructor)) static void choose_default_mode(void)
{
	const char *mode = getenv("IOMMU_MODE");

	if (mode)
		default_iommu_mode = mode;
}
