/* SPDX-License-Identifier: MIT */
#include "vfio/file.h"

#include "iommu/check.h"

#include <errno.h>

/* What read(2) and write(2) of a Linux kernel do at most in one call. */
#define RW_MAX 0x7ffff000u

struct via_file *via_file_get(struct via_file *file)
{
	__atomic_fetch_add(&file->refs, 1, __ATOMIC_RELAXED);
	return file;
}

void via_file_put(struct via_file *file)
{
	/* Release: our use of the file is over; acquire: so is everybody else's. */
	if (file && __atomic_sub_fetch(&file->refs, 1, __ATOMIC_ACQ_REL) == 0)
		file->ops->release(file);
}

long via_file_ioctl(struct via_file *file, struct via_caller *caller, unsigned long cmd,
		    uint64_t arg)
{
	struct via_check_caller here = {caller->pid, caller->trace, caller->n_trace};
	long ret;

	if (!file->ops->ioctl)
		return -ENOTTY;
	if (caller->n_trace)
		via_check_set_caller(&here);
	/* The kernel sees an unsigned int. */
	ret = file->ops->ioctl(file, caller, (uint32_t)cmd, arg);
	if (caller->n_trace)
		via_check_set_caller(NULL);
	return ret;
}

static int check_position(size_t len, uint64_t offset)
{
	if ((ssize_t)len < 0 || offset > INT64_MAX || len > INT64_MAX - offset)
		return -EINVAL;
	return 0;
}

/* An address in the kernel's half is refused before the file hears of the call. */
static bool user_range(uint64_t addr, size_t len)
{
	return addr + len >= addr && addr + len <= INT64_MAX;
}

ssize_t via_file_pread(struct via_file *file, struct via_caller *caller, uint64_t addr, size_t len,
		       uint64_t offset)
{
	int ret = check_position(len, offset);

	if (ret < 0)
		return ret;
	if (!file->ops->pread)
		return file->ops->stream ? -EBADF : -EINVAL;
	if (!user_range(addr, len))
		return -EFAULT;
	if (!len && !file->ops->records)
		return 0;
	return file->ops->pread(file, caller, addr, len < RW_MAX ? len : RW_MAX, offset);
}

ssize_t via_file_pwrite(struct via_file *file, struct via_caller *caller, uint64_t addr, size_t len,
			uint64_t offset)
{
	int ret = check_position(len, offset);

	if (ret < 0)
		return ret;
	if (!file->ops->pwrite)
		return file->ops->stream ? -EBADF : -EINVAL;
	if (!user_range(addr, len))
		return -EFAULT;
	if (!len && !file->ops->records)
		return 0;
	return file->ops->pwrite(file, caller, addr, len < RW_MAX ? len : RW_MAX, offset);
}

int via_file_mmap(struct via_file *file, struct via_caller *caller, uint64_t offset, uint64_t len,
		  int prot, int flags, struct via_mmap *ret_map)
{
	if (!file->ops->mmap)
		return -ENODEV;
	return file->ops->mmap(file, caller, offset, len, prot, flags, ret_map);
}
