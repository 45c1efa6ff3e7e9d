/* SPDX-License-Identifier: MIT */
/* References to address spaces, and the library's own. */
#include <viaduct/memory.h>

#include "memory/guard.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

/*
 * Ranges up to this are probed by faulting them in, as a pin does; longer ones
 * by their rights alone, so that a large guest is not made resident at once.
 */
#define POPULATE_MAX (2u << 20)

struct via_mm *via_mm_get(struct via_mm *mm)
{
	__atomic_add_fetch(&mm->refs, 1, __ATOMIC_RELAXED);
	return mm;
}

void via_mm_put(struct via_mm *mm)
{
	if (mm && !__atomic_sub_fetch(&mm->refs, 1, __ATOMIC_ACQ_REL))
		mm->ops->free(mm);
}

/* Walks both lists at once; the remote side may be bad. */
static int self_copy(const struct iovec *local, size_t n_local, const struct iovec *remote,
		     size_t n_remote, bool write)
{
	size_t l = 0, r = 0, l_done = 0, r_done = 0;

	while (l < n_local && r < n_remote) {
		size_t l_left = local[l].iov_len - l_done;
		size_t r_left = remote[r].iov_len - r_done;
		size_t n = l_left < r_left ? l_left : r_left;
		char *good = (char *)local[l].iov_base + l_done;
		/* A number from the program: null too, of which C has no sum. */
		void *bad = (void *)((uintptr_t)remote[r].iov_base + r_done);
		int rc = write ? via_guard_write(bad, good, n) : via_guard_read(good, bad, n);

		if (rc)
			return rc;
		l_done += n;
		r_done += n;
		if (l_done == local[l].iov_len) {
			l++;
			l_done = 0;
		}
		if (r_done == remote[r].iov_len) {
			r++;
			r_done = 0;
		}
	}
	return 0;
}

static int self_readv(struct via_mm *mm, const struct iovec *local, size_t n_local,
		      const struct iovec *remote, size_t n_remote)
{
	return self_copy(local, n_local, remote, n_remote, false);
}

static int self_writev(struct via_mm *mm, const struct iovec *local, size_t n_local,
		       const struct iovec *remote, size_t n_remote)
{
	return self_copy(local, n_local, remote, n_remote, true);
}

/* The rights of every page in [addr, end) by /proc/self/maps. */
static int probe_rights(uint64_t addr, uint64_t end, unsigned int prot)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[PATH_MAX + 128];
	int rc = -EFAULT;

	if (!maps)
		return -EFAULT;
	while (fgets(line, sizeof(line), maps)) {
		unsigned long long from, to;
		char r, w;

		if (sscanf(line, "%llx-%llx %c%c", &from, &to, &r, &w) != 4 || to <= addr)
			continue;
		if (from > addr || r != 'r' || ((prot & VIA_PROT_WRITE) && w != 'w'))
			break;
		addr = to;
		if (addr >= end) {
			rc = 0;
			break;
		}
	}
	(void)fclose(maps);
	return rc;
}

static int self_probe(struct via_mm *mm, uint64_t addr, uint64_t len, unsigned int prot)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t first = addr & ~(page - 1);
	uint64_t end;
	int advice = prot & VIA_PROT_WRITE ? MADV_POPULATE_WRITE : MADV_POPULATE_READ;

	if (__builtin_add_overflow(addr, len, &end) ||
	    __builtin_add_overflow(end, page - 1, &end))
		return -EFAULT;
	end &= ~(page - 1);
	if (end - first > POPULATE_MAX)
		return probe_rights(first, end, prot);
	while (madvise((void *)(uintptr_t)first, end - first, advice)) {
		if (errno == EINVAL) /* before Linux 5.14, or pages that cannot be pinned */
			return probe_rights(first, end, prot);
		if (errno != EINTR && errno != EAGAIN)
			return -EFAULT;
	}
	return 0;
}

static int self_backing(struct via_mm *mm, uint64_t addr, uint64_t len, unsigned int prot,
			struct via_backing *ret_backing)
{
	*ret_backing = (struct via_backing){ .fd = -1, .len = len };
	return 0;
}

/* Private pages are told apart by their address: nobody tells us of those that are replaced. */
static int self_identity(struct via_mm *mm, uint64_t addr, uint64_t len,
			 struct via_page_identity *ret_identity, uint64_t *ret_len)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[PATH_MAX + 128];
	int rc = -EFAULT;

	if (!maps)
		return -EFAULT;
	while (fgets(line, sizeof(line), maps)) {
		unsigned long long from, to, offset, inode;
		unsigned int dev_major, dev_minor;
		char shared;

		if (sscanf(line, "%llx-%llx %*c%*c%*c%c %llx %x:%x %llu", &from, &to, &shared,
			   &offset, &dev_major, &dev_minor, &inode) != 7 || to <= addr)
			continue;
		if (from > addr)
			break;
		*ret_identity = (struct via_page_identity){ (uintptr_t)mm, 0, addr / 4096 };
		if (shared == 's' && inode)
			*ret_identity = (struct via_page_identity){ makedev(dev_major, dev_minor),
								    inode,
								    (offset + (addr - from)) / 4096 };
		*ret_len = to - addr < len ? to - addr : len;
		rc = 0;
		break;
	}
	(void)fclose(maps);
	return rc;
}

static void self_free(struct via_mm *mm)
{
	/* Static, and via_mm_self()'s own reference is never put. */
}

static const struct via_mm_ops self_ops = {
	.readv = self_readv,
	.writev = self_writev,
	.probe = self_probe,
	.backing = self_backing,
	.free = self_free,
	.identity = self_identity,
};

static struct via_mm self = { .ops = &self_ops, .refs = 1, .memlock_limit = UINT64_MAX };

static void self_init(void)
{
	self.uid = getuid();
}

struct via_mm *via_mm_self(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	(void)pthread_once(&once, self_init);
	return via_mm_get(&self);
}
