/* SPDX-License-Identifier: MIT */
/*
 * What MAP_FILE maps: a dma-buf, which is judged at once, or any file at all,
 * which is not looked at before something pins it (spec iommu.md 2.6.5).
 */
#include "vfio/iommufd/commands.h"
#include "vfio/profile.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/statfs.h>
#include <unistd.h>

/* Of statfs(2): a dma-buf of a kernel driver. */
#define DMA_BUF_MAGIC 0x444d4142
/* Of somebody else: its memory cannot be had from here. */
static int check_foreign(int fd, uint64_t start, uint64_t length)
{
	const off_t size = lseek(fd, 0, SEEK_END);

	return size < 0 || (uint64_t)size <= start + (length - 1) ? -EINVAL : -EOPNOTSUPP;
}

/* A device may not write where the program itself could not. */
static int check_rights(int fd)
{
	const int flags = fcntl(fd, F_GETFL), seals = fcntl(fd, F_GET_SEALS);

	if ((flags & O_ACCMODE) == O_RDONLY)
		return -EACCES;
	return seals > 0 && seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE) ? -EPERM : 0;
}

static int check_file(const struct via_iommufd_call *call, int fd, uint64_t start, uint64_t length,
		      bool writable)
{
	struct statfs fs;

	if (fcntl(fd, F_GETFL) & O_PATH)
		return -EBADF;
	if (length > UINT64_MAX - VIA_PAGES_SIZE)
		return -EINVAL;
	if (fstatfs(fd, &fs) == 0 && fs.f_type == DMA_BUF_MAGIC)
		return check_foreign(fd, start, length);
	return writable && via_profile_full(call->iommufd->vfio, VIA_DIFFERS_FILE_RIGHTS)
		       ? check_rights(fd)
		       : 0;
}

static int plain_pages(const struct via_iommufd_call *call, int fd, uint64_t start, uint64_t length,
		       bool writable, struct via_pages **ret_pages)
{
	struct via_ledger_owner owner;
	int ours, ret;

	ret = call->caller->ops->fd_get(call->caller, fd, &ours);
	if (ret < 0)
		return ret;
	ret = check_file(call, ours, start, length, writable);
	if (!ret)
		ret = via_iommufd_owner(call->iommufd, call->caller, &owner);
	if (!ret) {
		ret = via_pages_new_file(ours, start, length, writable, &owner, ret_pages);
		via_iommufd_owner_put(&owner);
	}
	close(ours);
	return ret;
}

int via_iommufd_file_pages(const struct via_iommufd_call *call, int fd, uint64_t start,
			   uint64_t length, bool writable, struct via_pages **ret_pages)
{
	struct via_file *file = NULL;
	int ret = call->caller->ops->file_get(call->caller, fd, &file);

	if (ret == -EBADF)
		return ret;
	if (!ret && file->ops->dma_pages)
		ret = file->ops->dma_pages(file, start, length, writable, ret_pages);
	else
		ret = plain_pages(call, fd, start, length, writable, ret_pages);
	via_file_put(file);
	return ret;
}
