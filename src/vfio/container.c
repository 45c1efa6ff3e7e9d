/* SPDX-License-Identifier: MIT */
/*
 * /dev/vfio/vfio: no group, then groups, then a type. Leaving a state goes
 * only back to the start, when the last group leaves. Each step is made by who has
 * the container's turn, and what takes long of it, without vfio->lock: an IOMMU may be
 * busy with memory of a program that does not answer, devices be attached and detached
 * only when nobody looks at the address space any more.
 */
#include "vfio/backend.h"

#include <errno.h>
#include <stdlib.h>

static void backend_put(struct via_backend *backend)
{
	if (!backend || __atomic_sub_fetch(&backend->refs, 1, __ATOMIC_ACQ_REL))
		return;
	backend->ops->close(backend);
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

/* Point the devices of group at ioas, or at nothing. The turn is ours, or the container's is. */
static int attach_group(struct via_group *group, struct via_ioas *ioas)
{
	for (struct via_placed *placed = group->devices; placed; placed = placed->next) {
		int ret = via_device_attach(placed->dev, ioas);

		if (ret < 0) {
			attach_group(group, NULL);
			return ret;
		}
	}
	return 0;
}

static int attach_all(struct via_container *container, struct via_ioas *ioas)
{
	for (struct via_group *g = container->groups; g; g = g->next_joined) {
		int ret = attach_group(g, ioas);

		if (ret < 0) {
			attach_all(container, NULL);
			return ret;
		}
	}
	return 0;
}

static int attach_new(struct via_container *container, struct via_group *group)
{
	struct via_backend *backend = container->backend;
	int ret = backend ? backend->ops->join(backend, container->n_groups) : 0;

	return ret || !backend ? ret : attach_group(group, backend->ops->ioas(backend));
}

int via_container_join(struct via_container *container, struct via_group *group)
{
	struct via_vfio *vfio = container->vfio;
	int ret;

	pthread_mutex_unlock(&vfio->lock);
	ret = attach_new(container, group);
	pthread_mutex_lock(&vfio->lock);
	if (ret < 0)
		return ret;
	container->refs++;
	container->n_groups++;
	group->container = container;
	group->next_joined = container->groups;
	container->groups = group;
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
	struct via_vfio *vfio = container->vfio;
	struct via_group **link = &container->groups;
	struct via_backend *backend = NULL;

	(void)via_turn_take(vfio, &container->turn, NULL);
	pthread_mutex_unlock(&vfio->lock);
	attach_group(group, NULL);
	pthread_mutex_lock(&vfio->lock);
	while (*link != group)
		link = &(*link)->next_joined;
	*link = group->next_joined;
	group->container = NULL;
	if (--container->n_groups == 0) {
		backend = container->backend;
		backend_set(container, NULL);
	}
	pthread_mutex_unlock(&vfio->lock);
	backend_put(backend);
	pthread_mutex_lock(&vfio->lock);
	via_turn_end(vfio, &container->turn);
	container_put(container);
}

/* What kinds of IOMMU this host has. fits: what a group of it can use; the others only say what they would. */
static size_t backends(const struct via_vfio *vfio, bool fits, const struct via_backend_ops **ret)
{
	size_t n = 0;

	switch (vfio->config.iommu_kind) {
	case VIA_IOMMU_INTEL:
		ret[n++] = &via_backend_type1;
		break;
	case VIA_IOMMU_SPAPR:
		ret[n++] = &via_backend_spapr;
		break;
	case VIA_IOMMU_NONE:
		ret[n++] = &via_backend_noiommu;
		if (!fits)
			ret[n++] = &via_backend_type1;
		break;
	}
	return n;
}

static int check_extension(struct via_container *container, const struct via_backend *backend,
			   uint64_t extension)
{
	const struct via_backend_ops *ops[2];
	unsigned int n_groups;
	size_t n;

	if (backend)
		return backend->ops->check_extension(container->vfio, backend, extension);
	pthread_mutex_lock(&container->vfio->lock);
	n_groups = container->n_groups;
	pthread_mutex_unlock(&container->vfio->lock);
	n = backends(container->vfio, n_groups, ops);
	for (size_t i = 0; i < n; i++) {
		int ret = ops[i]->check_extension(container->vfio, NULL, extension);

		if (ret > 0)
			return ret;
	}
	return 0;
}

/* The turn is ours. */
static int open_backend(struct via_container *container, struct via_caller *caller, uint64_t type)
{
	struct via_vfio *vfio = container->vfio;
	const struct via_backend_ops *ops[2];
	struct via_backend *backend;
	size_t i, n;
	int ret;

	n = backends(vfio, true, ops);
	for (i = 0; i < n && ops[i]->check_extension(vfio, NULL, type) <= 0; i++)
		;
	if (i == n)
		return -ENODEV;
	ret = ops[i]->open(vfio, caller, type, &backend);
	if (ret < 0)
		return ret;
	backend->refs = 1;
	backend->ops = ops[i];
	/* Each group joins in its turn. */
	for (unsigned int g = 0; !ret && g < container->n_groups; g++)
		ret = backend->ops->join(backend, g);
	if (!ret)
		ret = attach_all(container, backend->ops->ioas(backend));
	if (ret < 0) {
		backend_put(backend);
		return ret;
	}
	backend_set(container, backend);
	return 0;
}

static int set_iommu(struct via_container *container, struct via_caller *caller, uint64_t type)
{
	struct via_vfio *vfio = container->vfio;
	int ret;

	pthread_mutex_lock(&vfio->lock);
	ret = via_turn_take(vfio, &container->turn, caller);
	if (!ret) {
		const bool ready = container->n_groups && !container->backend;

		pthread_mutex_unlock(&vfio->lock);
		ret = ready ? open_backend(container, caller, type) : -EINVAL;
		pthread_mutex_lock(&vfio->lock);
		via_turn_end(vfio, &container->turn);
	}
	pthread_mutex_unlock(&vfio->lock);
	return ret;
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
	if (cmd == VIA_VFIO_SET_IOMMU)
		return set_iommu(container, caller, arg);

	backend = backend_get(container);
	if (cmd == VIA_VFIO_CHECK_EXTENSION)
		ret = check_extension(container, backend, arg);
	else if (backend)
		ret = backend->ops->ioctl(backend, caller, cmd, arg);
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
