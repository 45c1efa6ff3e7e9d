/* SPDX-License-Identifier: MIT */
/*
 * /dev/vfio/vfio: no group, then groups, then a type. Leaving a state goes
 * only back to the start, when the last group leaves.
 */
#include "vfio/topology.h"

#include <errno.h>
#include <stdlib.h>

static void backend_put(struct via_backend *backend)
{
	if (!backend || __atomic_sub_fetch(&backend->refs, 1, __ATOMIC_ACQ_REL))
		return;
	via_type1_free(backend->type1);
	free(backend);
}

static struct via_backend *backend_get(struct via_container *container)
{
	struct via_backend *backend;

	pthread_mutex_lock(&container->lock);
	backend = container->backend;
	if (backend)
		__atomic_fetch_add(&backend->refs, 1, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&container->lock);
	return backend;
}

static void backend_set(struct via_container *container, struct via_backend *backend)
{
	pthread_mutex_lock(&container->lock);
	container->backend = backend;
	pthread_mutex_unlock(&container->lock);
}

/* Point the devices of group at ioas, or at nothing. vfio->lock held. */
static int attach_group(struct via_group *group, struct via_ioas *ioas)
{
	struct via_vfio *vfio = group->vfio;

	for (size_t i = 0; i < vfio->n_devices; i++) {
		int ret;

		if (vfio->devices[i]->group != group)
			continue;
		ret = via_device_attach(vfio->devices[i]->dev, ioas);
		if (ret < 0) {
			attach_group(group, NULL);
			return ret;
		}
	}
	return 0;
}

static int attach_all(struct via_container *container, struct via_ioas *ioas)
{
	for (struct via_group *g = container->vfio->groups; g; g = g->next) {
		int ret = g->container == container ? attach_group(g, ioas) : 0;

		if (ret < 0) {
			attach_all(container, NULL);
			return ret;
		}
	}
	return 0;
}

int via_container_join(struct via_container *container, struct via_group *group)
{
	struct via_backend *backend = container->backend;

	if (backend) {
		int ret = via_type1_attach_allowed(backend->type1);

		if (!ret)
			ret = attach_group(group, via_type1_ioas(backend->type1));
		if (ret < 0)
			return ret;
	}
	container->refs++;
	container->n_groups++;
	group->container = container;
	return 0;
}

static void container_put(struct via_container *container)
{
	if (--container->refs)
		return;
	pthread_mutex_destroy(&container->lock);
	free(container);
}

void via_container_leave(struct via_container *container, struct via_group *group)
{
	attach_group(group, NULL);
	group->container = NULL;
	if (--container->n_groups == 0) {
		struct via_backend *backend = container->backend;

		backend_set(container, NULL);
		backend_put(backend);
	}
	container_put(container);
}

static int set_iommu(struct via_container *container, uint64_t type)
{
	struct via_vfio *vfio = container->vfio;
	struct via_backend *backend;
	int ret;

	if (!container->n_groups || container->backend)
		return -EINVAL;
	if (via_type1_check_extension(NULL, type) <= 0)
		return -ENODEV;

	backend = calloc(1, sizeof(*backend));
	if (!backend)
		return -ENOMEM;
	backend->refs = 1;
	ret = via_type1_new(vfio->iommu, (unsigned int)type,
			    vfio->config.memlock == VIA_MEMLOCK_ENFORCE, &backend->type1);
	if (!ret)
		ret = attach_all(container, via_type1_ioas(backend->type1));
	if (ret < 0) {
		backend_put(backend);
		return ret;
	}
	backend_set(container, backend);
	return 0;
}

/* Type1 ------------------------------------------------------------------- */

/* The chain can grow while a group joins: ask until the answer fits. */
static int info_chain(struct via_type1 *type1, void **ret_buf, size_t *ret_len)
{
	size_t len = via_type1_info_caps(type1, NULL, 0);

	for (;;) {
		void *buf = malloc(len ? len : 1);
		size_t need;

		if (!buf)
			return -ENOMEM;
		need = via_type1_info_caps(type1, buf, len);
		if (need <= len) {
			*ret_buf = buf;
			*ret_len = need;
			return 0;
		}
		free(buf);
		len = need;
	}
}

static int get_info(struct via_type1 *type1, struct via_caller *caller, uint64_t arg)
{
	const size_t min = offsetof(struct via_vfio_iommu_type1_info, cap_offset);
	struct via_vfio_iommu_type1_info info;
	size_t write_back, chain_len;
	void *chain;
	int ret;

	memset(&info, 0, sizeof(info));
	ret = via_copy_in_argsz(caller, &info, arg, min, min);
	if (ret < 0)
		return ret;
	write_back = info.argsz < sizeof(info) ? info.argsz : sizeof(info);

	ret = info_chain(type1, &chain, &chain_len);
	if (ret < 0)
		return ret;
	info.flags = VIA_VFIO_IOMMU_INFO_PGSIZES;
	info.iova_pgsizes = via_type1_pgsizes(type1);
	if (chain_len) {
		info.flags |= VIA_VFIO_IOMMU_INFO_CAPS;
		if (info.argsz < sizeof(info) + chain_len) {
			info.argsz = (uint32_t)(sizeof(info) + chain_len);
		} else {
			ret = via_copy_out(caller, arg + sizeof(info), chain, chain_len);
			info.cap_offset = sizeof(info);
		}
	}
	free(chain);
	return ret < 0 ? ret : via_copy_out(caller, arg, &info, write_back);
}

static int map_dma(struct via_type1 *type1, struct via_caller *caller, uint64_t arg)
{
	struct via_vfio_iommu_type1_dma_map map;
	int ret;

	ret = via_copy_in_argsz(caller, &map, arg, sizeof(map), sizeof(map));
	if (ret < 0)
		return ret;
	return via_type1_map(type1, caller->mm, &map);
}

static int unmap_dma(struct via_type1 *type1, struct via_caller *caller, uint64_t arg)
{
	struct via_vfio_iommu_type1_dma_unmap unmap;
	struct via_vfio_bitmap bitmap;
	bool with_bitmap;
	int ret;

	ret = via_copy_in_argsz(caller, &unmap, arg, sizeof(unmap), sizeof(unmap));
	if (ret < 0)
		return ret;
	ret = via_type1_unmap_flags(unmap.flags);
	if (ret < 0)
		return ret;

	with_bitmap = unmap.flags & VIA_VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP;
	if (with_bitmap) {
		if (unmap.argsz < sizeof(unmap) + sizeof(bitmap))
			return -EINVAL;
		ret = via_copy_in(caller, &bitmap, arg + sizeof(unmap), sizeof(bitmap));
		if (ret < 0)
			return ret;
	}
	ret = via_type1_unmap(type1, caller->mm, &unmap, with_bitmap ? &bitmap : NULL, &unmap.size);
	return ret < 0 ? ret : via_copy_out(caller, arg, &unmap, sizeof(unmap));
}

static int dirty_pages(struct via_type1 *type1, struct via_caller *caller, uint64_t arg)
{
	struct via_vfio_iommu_type1_dirty_bitmap_get get;
	struct via_vfio_iommu_type1_dirty_bitmap dirty;
	bool with_get;
	int ret;

	ret = via_type1_dirty_allowed(type1);
	if (ret < 0)
		return ret;
	ret = via_copy_in_argsz(caller, &dirty, arg, sizeof(dirty), sizeof(dirty));
	if (ret < 0)
		return ret;
	ret = via_type1_dirty_flags(dirty.flags);
	if (ret < 0)
		return ret;

	with_get = dirty.flags & VIA_VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP;
	if (with_get) {
		if (dirty.argsz < sizeof(dirty) + sizeof(get))
			return -EINVAL;
		ret = via_copy_in(caller, &get, arg + sizeof(dirty), sizeof(get));
		if (ret < 0)
			return ret;
	}
	return via_type1_dirty(type1, caller->mm, dirty.flags, with_get ? &get : NULL);
}

static long type1_ioctl(struct via_type1 *type1, struct via_caller *caller, unsigned long cmd,
			uint64_t arg)
{
	switch (cmd) {
	case VIA_VFIO_IOMMU_GET_INFO:
		return get_info(type1, caller, arg);
	case VIA_VFIO_IOMMU_MAP_DMA:
		return map_dma(type1, caller, arg);
	case VIA_VFIO_IOMMU_UNMAP_DMA:
		return unmap_dma(type1, caller, arg);
	case VIA_VFIO_IOMMU_DIRTY_PAGES:
		return dirty_pages(type1, caller, arg);
	default:
		return -ENOTTY;
	}
}

/* File -------------------------------------------------------------------- */

static long container_ioctl(struct via_file *file, struct via_caller *caller, unsigned long cmd,
			    uint64_t arg)
{
	struct via_container *container = VIA_CONTAINER_OF(file, struct via_container, file);
	struct via_backend *backend;
	long ret;

	if (cmd == VIA_VFIO_GET_API_VERSION)
		return VIA_VFIO_API_VERSION;
	if (cmd == VIA_VFIO_SET_IOMMU) {
		pthread_mutex_lock(&container->vfio->lock);
		ret = set_iommu(container, arg);
		pthread_mutex_unlock(&container->vfio->lock);
		return ret;
	}

	backend = backend_get(container);
	if (cmd == VIA_VFIO_CHECK_EXTENSION)
		ret = via_type1_check_extension(backend ? backend->type1 : NULL, arg);
	else if (backend)
		ret = type1_ioctl(backend->type1, caller, cmd, arg);
	else
		ret = -EINVAL;
	backend_put(backend);
	return ret;
}

static void container_release(struct via_file *file)
{
	struct via_container *container = VIA_CONTAINER_OF(file, struct via_container, file);
	struct via_vfio *vfio = container->vfio;

	pthread_mutex_lock(&vfio->lock);
	container_put(container);
	pthread_mutex_unlock(&vfio->lock);
}

const struct via_file_ops via_container_file_ops = {
	.kind = "container",
	.ioctl = container_ioctl,
	.release = container_release,
};

int via_container_open(struct via_vfio *vfio, struct via_file **ret_file)
{
	struct via_container *container = calloc(1, sizeof(*container));

	if (!container)
		return -ENOMEM;
	container->file.ops = &via_container_file_ops;
	container->file.refs = 1;
	container->vfio = vfio;
	container->refs = 1;
	pthread_mutex_init(&container->lock, NULL);
	*ret_file = &container->file;
	return 0;
}
