/* SPDX-License-Identifier: MIT */
/* /dev/iommu as a file: one context for each open, and whose memory it charges. */
#include "memory/space.h"
#include "vfio/iommufd/commands.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

struct via_iommufd *via_iommufd_get(struct via_iommufd *iommufd)
{
	__atomic_fetch_add(&iommufd->refs, 1, __ATOMIC_RELAXED);
	return iommufd;
}

void via_iommufd_put(struct via_iommufd *iommufd)
{
	if (!iommufd || __atomic_sub_fetch(&iommufd->refs, 1, __ATOMIC_ACQ_REL))
		return;
	via_objects_destroy_all(iommufd);
	via_space_put(iommufd->space);
	pthread_cond_destroy(&iommufd->unused);
	pthread_mutex_destroy(&iommufd->lock);
	pthread_mutex_destroy(&iommufd->devices_lock);
	free(iommufd);
}

static struct via_iommufd *iommufd_of(struct via_file *file)
{
	return VIA_CONTAINER_OF(file, struct via_iommufd, file);
}

static long iommufd_ioctl(struct via_file *file, struct via_caller *caller, unsigned long cmd,
			  uint64_t arg)
{
	return via_iommufd_dispatch(iommufd_of(file), caller, (uint32_t)cmd, arg);
}

static int iommufd_mmap(struct via_file *file, struct via_caller *caller, uint64_t offset,
			uint64_t len, int prot, int flags, struct via_mmap *ret_map)
{
	return via_viommu_mmap(iommufd_of(file), offset, len, prot, flags, ret_map);
}

static void iommufd_release(struct via_file *file)
{
	via_iommufd_put(iommufd_of(file));
}

static const struct via_file_ops iommufd_file_ops = {
	.kind = "iommufd",
	.ioctl = iommufd_ioctl,
	.mmap = iommufd_mmap,
	.release = iommufd_release,
};

struct via_iommufd *via_iommufd_of(struct via_file *file)
{
	return file->ops == &iommufd_file_ops ? iommufd_of(file) : NULL;
}

int via_iommufd_open(struct via_vfio *vfio, bool as_container, struct via_file **ret_file)
{
	struct via_iommufd *iommufd = calloc(1, sizeof(*iommufd));

	if (!iommufd)
		return -ENOMEM;
	iommufd->file.ops = &iommufd_file_ops;
	iommufd->file.refs = 1;
	iommufd->refs = 1;
	iommufd->vfio = vfio;
	iommufd->mm_accounting = as_container;
	pthread_mutex_init(&iommufd->devices_lock, NULL);
	pthread_mutex_init(&iommufd->lock, NULL);
	pthread_cond_init(&iommufd->unused, NULL);
	*ret_file = &iommufd->file;
	return 0;
}

int via_iommufd_owner(struct via_iommufd *iommufd, struct via_caller *caller,
		      struct via_ledger_owner *ret_owner)
{
	struct via_ledger_owner owner = {
		.enforce = iommufd->vfio->config.memlock == VIA_MEMLOCK_ENFORCE,
	};

	pthread_mutex_lock(&iommufd->lock);
	owner.mode = iommufd->mm_accounting ? VIA_CHARGE_MM : VIA_CHARGE_USER;
	pthread_mutex_unlock(&iommufd->lock);
	if (caller->caps & VIA_CAP_IPC_LOCK)
		owner.mode = VIA_CHARGE_NONE;
	if (owner.mode == VIA_CHARGE_USER) {
		owner.user = via_user_get(caller->uid);
		if (!owner.user)
			return -ENOMEM;
	}
	owner.mm = via_mm_get(caller->mm);
	*ret_owner = owner;
	return 0;
}

void via_iommufd_owner_put(struct via_ledger_owner *owner)
{
	via_user_put(owner->user);
	via_mm_put(owner->mm);
	*owner = (struct via_ledger_owner){0};
}

int via_iommufd_space(struct via_iommufd *iommufd, struct via_mm *mm, struct via_space **ret_space)
{
	struct via_space *space = NULL, *old;
	int ret;

	pthread_mutex_lock(&iommufd->lock);
	if (iommufd->space && iommufd->space->mm == mm)
		space = via_space_get(iommufd->space);
	pthread_mutex_unlock(&iommufd->lock);
	if (space) {
		*ret_space = space;
		return 0;
	}
	ret = via_space_new_mm(mm, &space);
	if (ret < 0)
		return ret;
	pthread_mutex_lock(&iommufd->lock);
	old = iommufd->space;
	iommufd->space = via_space_get(space);
	pthread_mutex_unlock(&iommufd->lock);
	via_space_put(old);
	*ret_space = space;
	return 0;
}
