/* SPDX-License-Identifier: MIT */
#include "vfio/caller.h"

#include <errno.h>

#define PAGE 4096u

/* A caller that is gone cannot be told apart from one with a bad pointer. */
static int fault(int ret)
{
	return ret < 0 ? -EFAULT : 0;
}

/*
 * User space ends below 2^48; above, a struct via_mm may give addresses a
 * meaning of its own, which is not for a program to use.
 */
static bool user_range(uint64_t addr, size_t len)
{
	return addr + len >= addr && !((addr + len) >> 48);
}

int via_copy_in(struct via_caller *caller, void *dst, uint64_t addr, size_t len)
{
	struct iovec local = {.iov_base = dst, .iov_len = len};
	struct iovec remote = {.iov_base = (void *)(uintptr_t)addr, .iov_len = len};

	if (!len)
		return 0;
	if (!user_range(addr, len))
		return -EFAULT;
	return fault(caller->mm->ops->readv(caller->mm, &local, 1, &remote, 1));
}

int via_copy_out(struct via_caller *caller, uint64_t addr, const void *src, size_t len)
{
	struct iovec local = {.iov_base = (void *)(uintptr_t)src, .iov_len = len};
	struct iovec remote = {.iov_base = (void *)(uintptr_t)addr, .iov_len = len};

	if (!len)
		return 0;
	if (!user_range(addr, len))
		return -EFAULT;
	return fault(caller->mm->ops->writev(caller->mm, &local, 1, &remote, 1));
}

int via_copy_in_argsz(struct via_caller *caller, void *dst, uint64_t addr, size_t min_size,
		      size_t full_size)
{
	uint32_t argsz;
	size_t have;
	int ret;

	ret = via_copy_in(caller, dst, addr, min_size);
	if (ret < 0)
		return ret;
	memcpy(&argsz, dst, sizeof(argsz));
	if (argsz < min_size)
		return -EINVAL;

	/* Only what follows is fetched now: argsz is the value that was judged. */
	have = argsz < full_size ? argsz : full_size;
	ret = via_copy_in(caller, (char *)dst + min_size, addr + min_size, have - min_size);
	if (ret < 0)
		return ret;
	memset((char *)dst + have, 0, full_size - have);
	return 0;
}

int via_check_zeros(struct via_caller *caller, uint64_t addr, uint64_t len)
{
	uint8_t bytes[PAGE];

	/* No program has memory there; a kernel knows before it looks at the first byte. */
	if (addr + len < addr || (addr + len) >> 47)
		return -EFAULT;
	while (len) {
		/* Up to the next page, which may be absent. */
		const uint64_t page = PAGE - addr % PAGE;
		const size_t n = (size_t)(len < page ? len : page);
		int ret = via_copy_in(caller, bytes, addr, n);

		if (ret < 0)
			return ret;
		for (size_t i = 0; i < n; i++)
			if (bytes[i])
				return -E2BIG;
		addr += n;
		len -= n;
		/* A claim of 4 GiB takes its time. */
		if (len && caller->ops->gone && caller->ops->gone(caller))
			return -EINTR;
	}
	return 0;
}

int via_copy_in_string(struct via_caller *caller, char *dst, uint64_t addr, size_t size)
{
	size_t done = 0;

	while (done < size) {
		/* A string may end just before an unmapped page: never read beyond its page. */
		size_t n = PAGE - (addr + done) % PAGE;
		int ret;

		if (n > size - done)
			n = size - done;
		ret = via_copy_in(caller, dst + done, addr + done, n);
		if (ret < 0)
			return ret;
		if (memchr(dst + done, 0, n))
			return 0;
		done += n;
	}
	return -EINVAL;
}
