/* SPDX-License-Identifier: MIT */
/*
 * A container of no-IOMMU groups. On Linux their devices use physical addresses
 * and reach all memory. Ours use addresses of the program that has set the IOMMU:
 * that is what it can know, and all that they reach.
 */
#include "iommu/domain.h"
#include "iommu/pages.h"
#include "vfio/backend.h"
#include "vfio/profile.h"

#include <errno.h>
#include <stdlib.h>

/* The highest address of a program on x86-64, and above it nothing. */
#define PROGRAM_END (1ull << 47)

struct backend {
	struct via_backend base;
	struct via_ioas *ioas;
	struct via_domain *domain;
};

static struct backend *backend_of(struct via_backend *backend)
{
	return VIA_CONTAINER_OF(backend, struct backend, base);
}

int via_noiommu_allowed(const struct via_vfio *vfio, const struct via_caller *caller)
{
	bool exact = !via_profile_full(vfio, VIA_DIFFERS_NOIOMMU_CAPABILITY);

	return exact && !(caller->caps & VIA_CAP_SYS_RAWIO) ? -EPERM : 0;
}

/* Nothing is pinned: what lies at an address when the device comes is what it gets. */
static uint8_t *live_memory(void *cookie, uint64_t offset, uint64_t *ret_len)
{
	*ret_len = PROGRAM_END - offset;
	return NULL;
}

static int live_access(void *cookie, uint64_t offset, void *buf, size_t len, bool write)
{
	struct via_mm *mm = cookie;
	struct iovec local = {buf, len}, remote = {(void *)(uintptr_t)offset, len};
	int ret = write ? mm->ops->writev(mm, &local, 1, &remote, 1)
			: mm->ops->readv(mm, &local, 1, &remote, 1);

	return ret < 0 ? -EFAULT : 0;
}

static void live_written(void *cookie)
{
}

static void live_release(void *cookie)
{
	via_mm_put(cookie);
}

static const struct via_pages_region_ops live_ops = {
	.memory = live_memory,
	.access = live_access,
	.written = live_written,
	.release = live_release,
};

static int map_program(struct backend *backend, struct via_mm *mm)
{
	via_iova_t iova = VIA_PAGES_SIZE;
	struct via_pages *pages;
	int ret = via_pages_new_region(&live_ops, via_mm_get(mm), 0, PROGRAM_END, false, &pages);

	if (ret < 0)
		return ret;
	ret = via_ioas_map_pages(backend->ioas, pages, iova, PROGRAM_END - iova,
				 VIA_PROT_READ | VIA_PROT_WRITE, VIA_IOAS_FIXED, &iova, NULL);
	via_pages_put(pages);
	return ret;
}

static void noiommu_close(struct via_backend *base)
{
	struct backend *backend = backend_of(base);

	if (backend->ioas)
		(void)via_ioas_remove(backend->ioas, 0, UINT64_MAX, NULL, NULL);
	via_domain_free(backend->domain);
	via_ioas_put(backend->ioas);
	free(backend);
}

static int noiommu_open(struct via_vfio *vfio, struct via_caller *caller, uint64_t type,
			struct via_backend **ret_backend)
{
	static const struct via_domain_config config = {
		.pgsize_bitmap = VIA_PAGES_SIZE,
		.aperture_last = UINT64_MAX,
		.coherent = true,
	};
	struct backend *backend;
	int ret = via_noiommu_allowed(vfio, caller);

	if (ret < 0)
		return ret;
	backend = calloc(1, sizeof(*backend));
	if (!backend)
		return -ENOMEM;
	ret = via_ioas_new_bare(&backend->ioas);
	if (!ret)
		ret = via_domain_new(backend->ioas, &config, &backend->domain);
	if (!ret)
		ret = map_program(backend, caller->mm);
	if (ret < 0) {
		noiommu_close(&backend->base);
		return ret;
	}
	*ret_backend = &backend->base;
	return 0;
}

static int noiommu_check_extension(const struct via_vfio *vfio, const struct via_backend *backend,
				   uint64_t extension)
{
	return extension == VIA_VFIO_NOIOMMU_IOMMU;
}

static struct via_ioas *noiommu_ioas(struct via_backend *backend)
{
	return backend_of(backend)->ioas;
}

static int noiommu_join(struct via_backend *backend, unsigned int n_groups)
{
	return 0;
}

static long noiommu_ioctl(struct via_backend *backend, struct via_caller *caller, unsigned long cmd,
			  uint64_t arg)
{
	return -ENOTTY;
}

const struct via_backend_ops via_backend_noiommu = {
	.check_extension = noiommu_check_extension,
	.open = noiommu_open,
	.close = noiommu_close,
	.ioas = noiommu_ioas,
	.join = noiommu_join,
	.ioctl = noiommu_ioctl,
};
