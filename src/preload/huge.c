/* SPDX-License-Identifier: MIT */
#include "preload/huge.h"

#include "preload/client.h"
#include "preload/fdtable.h"
#include "preload/lock.h"
#include "preload/path.h"
#include "preload/real.h"
#include "preload/self.h"
#include "preload/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/memfd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statfs.h>

enum { PAGE = 4096, MAX_HUGE = 1024, MAX_SHARED = 128, NAME_SIZE = 250 };

#define SIZE_SHIFT 26
#define SIZE_MASK (0x3fu << SIZE_SHIFT)
#define DEFAULT_SHIFT 21u

/* How such a memfd shows in /proc/PID/maps, by the shift of its page size. */
static const struct {
	unsigned int shift;
	const char *prefix;
} sizes[] = {{21, "viaduct-huge-2M:"}, {30, "viaduct-huge-1G:"}};

/* A mapping, or a part of one. lock; end 0: free. */
struct huge {
	uint64_t start, end, page;
	int fd; /* hidden: of the shared memory behind it, by which the host finds it; or -1 */
};
static struct via_lock lock;
static struct huge table[MAX_HUGE];
static uint32_t n_huge; /* atomic */

/* Atomic: 0 unknown, 1 emulated, 2 not. */
static int choice;

static bool wanted(void)
{
	int now = __atomic_load_n(&choice, __ATOMIC_RELAXED);

	if (!now) {
		const char *value = getenv("VIADUCT_HUGEPAGES");

		now = value && strcmp(value, "emulate") == 0 && via_client_present() ? 1 : 2;
		__atomic_store_n(&choice, now, __ATOMIC_RELAXED);
	}
	return now == 1;
}

static bool failed(long ret)
{
	return ret < 0 && ret >= -4095;
}

/* Of the flags of mmap(2) and memfd_create(2), which say it alike. 0: a size that we do not know. */
static unsigned int shift_of(unsigned int flags)
{
	unsigned int shift = (flags & SIZE_MASK) >> SIZE_SHIFT;

	if (!shift)
		return DEFAULT_SHIFT;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		if (sizes[i].shift == shift)
			return shift;
	return 0;
}

/* The page size of a memfd of ours, or 0. */
static uint64_t page_of_fd(int fd)
{
	static const char memfd[] = "/memfd:";
	char path[PATH_MAX];

	if (fd < 0 || !via_path_of(fd, path) || strncmp(path, memfd, sizeof(memfd) - 1) != 0)
		return 0;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		if (strncmp(path + sizeof(memfd) - 1, sizes[i].prefix, strlen(sizes[i].prefix)) == 0)
			return 1ull << sizes[i].shift;
	return 0;
}

static int make_memfd(unsigned int shift, const char *name, unsigned int flags)
{
	char full[NAME_SIZE];
	size_t i = 0;

	while (sizes[i].shift != shift)
		i++;
	strcpy(full, sizes[i].prefix);
	strncat(full, name, sizeof(full) - strlen(full) - 1);
	return (int)via_sys(SYS_memfd_create, full, flags & ~(MFD_HUGETLB | SIZE_MASK));
}

uint64_t via_huge_page(int flags, int fd)
{
	unsigned int shift;

	if (!wanted())
		return 0;
	if (!(flags & MAP_ANONYMOUS))
		return page_of_fd(fd);
	shift = flags & MAP_HUGETLB ? shift_of((unsigned int)flags) : 0;
	return shift ? 1ull << shift : 0;
}

/* The table --------------------------------------------------------------------------- */

/* All with the lock. */
static bool enter(const struct huge *h)
{
	for (unsigned int i = 0; i < MAX_HUGE; i++)
		if (!table[i].end) {
			table[i] = *h;
			__atomic_add_fetch(&n_huge, 1, __ATOMIC_RELEASE);
			return true;
		}
	return false;
}

static void drop(struct huge *h)
{
	int fd = h->fd;

	*h = (struct huge){.fd = -1};
	__atomic_sub_fetch(&n_huge, 1, __ATOMIC_RELEASE);
	for (unsigned int i = 0; fd >= 0 && i < MAX_HUGE; i++)
		if (table[i].end && table[i].fd == fd)
			fd = -1;
	if (fd >= 0)
		via_fd_close_hidden(fd);
}

static void cut_out(uint64_t start, uint64_t end)
{
	for (unsigned int i = 0; i < MAX_HUGE; i++) {
		struct huge *h = &table[i], rest;

		if (!h->end || end <= h->start || h->end <= start)
			continue;
		rest = (struct huge){end, h->end, h->page, h->fd};
		/* Without room for two the rest is an ordinary mapping from here on. */
		if (start > h->start && end < h->end)
			(void)enter(&rest);
		if (start > h->start)
			h->end = start;
		else if (end < h->end)
			h->start = end;
		else
			drop(h);
	}
}

bool via_huge_cut(uint64_t start, uint64_t end)
{
	bool cut = false;
	uint64_t old;

	if (!__atomic_load_n(&n_huge, __ATOMIC_ACQUIRE))
		return false;
	old = via_lock(&lock);
	for (unsigned int i = 0; i < MAX_HUGE && !cut; i++) {
		const struct huge *h = &table[i];

		cut = h->end && ((start > h->start && start < h->end && start % h->page) ||
				 (end > h->start && end < h->end && end % h->page));
	}
	via_unlock(&lock, old);
	return cut;
}

void via_huge_forget(uint64_t start, uint64_t end)
{
	uint64_t old;

	if (!__atomic_load_n(&n_huge, __ATOMIC_ACQUIRE))
		return;
	old = via_lock(&lock);
	cut_out(start, end);
	via_unlock(&lock, old);
}

void via_huge_moved(uint64_t from, uint64_t len, uint64_t to)
{
	uint64_t old;

	if (!__atomic_load_n(&n_huge, __ATOMIC_ACQUIRE))
		return;
	old = via_lock(&lock);
	cut_out(to, to + len);
	for (unsigned int i = 0; i < MAX_HUGE; i++)
		if (table[i].end && table[i].start >= from && table[i].end <= from + len) {
			table[i].start += to - from;
			table[i].end += to - from;
		}
	cut_out(from, from + len);
	via_unlock(&lock, old);
}

void via_huge_after_fork(void)
{
	via_lock_reset(&lock);
}

/* Mapping ------------------------------------------------------------------------------- */

/* A place of len bytes, aligned to page; what is around it is free again. */
static long reserve(uint64_t hint, uint64_t len, uint64_t page, int flags)
{
	uint64_t all = len + page - PAGE, start;
	long at = via_sys(SYS_mmap, hint, all, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | (flags & MAP_32BIT), -1, 0);

	if (failed(at))
		return at;
	start = ((uint64_t)at + page - 1) & ~(page - 1);
	if (start > (uint64_t)at)
		via_sys(SYS_munmap, at, start - (uint64_t)at);
	if (start + len < (uint64_t)at + all)
		via_sys(SYS_munmap, start + len, (uint64_t)at + all - start - len);
	return (long)start;
}

/* Room for [offset, offset + len) in the file: a mapping for writing makes it, of huge pages. */
static int make_room(int fd, uint64_t end, int prot)
{
	struct stat st;
	int err = (int)via_sys(SYS_fstat, fd, &st);

	if (!err && prot & PROT_WRITE && (uint64_t)st.st_size < end)
		err = (int)via_sys(SYS_ftruncate, fd, end);
	return err;
}

long via_huge_map(uint64_t addr, uint64_t len, int prot, int flags, int fd, uint64_t offset,
		  uint64_t page, uint64_t *ret_len)
{
	bool fixed = flags & (MAP_FIXED | MAP_FIXED_NOREPLACE);
	bool anonymous = flags & MAP_ANONYMOUS;
	bool shared = (flags & MAP_TYPE) != MAP_PRIVATE;
	unsigned int shift = (unsigned int)__builtin_ctzll(page);
	int how = flags & ~(int)(MAP_HUGETLB | SIZE_MASK | MAP_FIXED_NOREPLACE), own = -1, err;
	struct huge h = {.page = page, .fd = -1};
	uint64_t old;
	long at;

	if (len > INT64_MAX - page)
		return -ENOMEM;
	len = (len + page - 1) & ~(page - 1);
	if ((fixed && addr % page) || (!anonymous && offset % page))
		return -EINVAL;
	if (anonymous && shared) {
		own = make_memfd(shift, "anonymous", MFD_CLOEXEC);
		if (own < 0)
			return own;
		fd = own = via_fd_hide(own);
		how &= ~MAP_ANONYMOUS;
		offset = 0;
		err = make_room(fd, len, PROT_WRITE);
	} else {
		err = anonymous ? 0 : make_room(fd, offset + len, prot);
	}
	at = err ? err : fixed ? (long)addr : reserve(addr & ~(page - 1), len, page, flags);
	if (!failed(at)) {
		/* What was reserved is ours to map over. */
		how |= flags & MAP_FIXED_NOREPLACE ? MAP_FIXED_NOREPLACE : MAP_FIXED;
		addr = (uint64_t)at;
		at = via_sys(SYS_mmap, addr, len, prot, how, fd, offset);
		if (failed(at) && !fixed)
			via_sys(SYS_munmap, addr, len);
	}
	if (failed(at)) {
		if (own >= 0)
			via_fd_close_hidden(own);
		return at;
	}
	h.start = (uint64_t)at;
	h.end = h.start + len;
	h.fd = own;
	old = via_lock(&lock);
	cut_out(h.start, h.end);
	if (!enter(&h) && own >= 0)
		via_fd_close_hidden(own);
	via_unlock(&lock, old);
	*ret_len = len;
	return at;
}

/* Shared memory without a file -------------------------------------------------------- */

/* Atomic: 0 unknown, 1 yes, 2 no. */
static int unprivileged;

/* May we, and so the host process, not open what is mapped at [start, end)? */
static bool cannot_open(uint64_t start, uint64_t end)
{
	int now = __atomic_load_n(&unprivileged, __ATOMIC_RELAXED);
	char path[64];
	long fd;

	if (!now) {
		(void)snprintf(path, sizeof(path), "/proc/self/map_files/%llx-%llx",
			       (unsigned long long)start, (unsigned long long)end);
		fd = via_sys(SYS_openat, AT_FDCWD, path, O_PATH | O_CLOEXEC);
		/* Also absent: beside another mapping of its kind it may have become a part of that. */
		now = fd == -EPERM || fd == -EACCES ? 1 : failed(fd) ? 0 : 2;
		if (!failed(fd))
			via_sys(SYS_close, fd);
		__atomic_store_n(&unprivileged, now, __ATOMIC_RELAXED);
	}
	return now == 1;
}

/* Descriptors are the program's to use, and a file may be too large for it. */
static bool affordable(uint64_t len)
{
	struct rlimit limit;

	return __atomic_load_n(&n_huge, __ATOMIC_RELAXED) < MAX_SHARED &&
	       (via_sys(SYS_prlimit64, 0, RLIMIT_FSIZE, NULL, &limit) || len <= limit.rlim_cur);
}

void via_huge_share(uint64_t start, uint64_t end, int prot, int flags)
{
	const int kept = MAP_LOCKED | MAP_POPULATE | MAP_NONBLOCK | MAP_NORESERVE;
	struct huge h = {start, end, PAGE, -1};
	uint64_t old;
	long fd;

	if (!(flags & MAP_ANONYMOUS) || (flags & MAP_HUGETLB) || (flags & MAP_TYPE) != MAP_SHARED ||
	    !via_client_present() ||
	    !cannot_open(start, end) || !affordable(end - start))
		return;
	fd = via_sys(SYS_memfd_create, "viaduct-shared", MFD_CLOEXEC);
	if (failed(fd))
		return;
	h.fd = via_fd_hide((int)fd);
	if (failed(via_sys(SYS_ftruncate, h.fd, end - start)) ||
	    failed(via_sys(SYS_mmap, start, end - start, prot,
			   MAP_SHARED | MAP_FIXED | (flags & kept), h.fd, 0))) {
		via_fd_close_hidden(h.fd);
		return;
	}
	old = via_lock(&lock);
	cut_out(start, end);
	if (!enter(&h))
		via_fd_close_hidden(h.fd);
	via_unlock(&lock, old);
}

/* Files of huge pages --------------------------------------------------------------------- */

VIA_INTERPOSE int memfd_create(const char *name, unsigned int flags)
{
	unsigned int shift = flags & MFD_HUGETLB && wanted() ? shift_of(flags) : 0;
	char text[PATH_MAX];
	int fd;

	/* A name that is too long or none at all is for the kernel to refuse. */
	if (!shift || via_self_string(text, (uint64_t)name, NAME_SIZE) < 0)
		fd = (int)via_sys(SYS_memfd_create, name, flags);
	else
		fd = make_memfd(shift, text, flags);
	if (fd >= 0)
		via_fd_forget(fd);
	return (int)via_ret(fd);
}

static int stat_fs(int fd, struct statfs *st)
{
	long ret = via_sys(SYS_fstatfs, fd, st);
	uint64_t page = !ret && st->f_type == TMPFS_MAGIC && wanted() ? page_of_fd(fd) : 0;

	if (page) {
		st->f_type = HUGETLBFS_MAGIC;
		st->f_bsize = (long)page;
	}
	return (int)via_ret(ret);
}

VIA_INTERPOSE int fstatfs(int fd, struct statfs *st)
{
	return stat_fs(fd, st);
}

VIA_INTERPOSE int fstatfs64(int fd, struct statfs64 *st)
{
	_Static_assert(sizeof(struct statfs) == sizeof(struct statfs64), "one layout");
	return stat_fs(fd, (struct statfs *)st);
}
