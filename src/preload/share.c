/* SPDX-License-Identifier: MIT */
#include "preload/share.h"

#include "preload/client.h"
#include "preload/fdtable.h"
#include "preload/inprocess.h"
#include "preload/lock.h"
#include "preload/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/userfaultfd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

/* Less is not worth a descriptor. */
#define LEAST_LEN ((uint64_t)1 << 20)

enum { MAX_SHARED = 64, LINES = 32768 };

struct shared {
	uint64_t start, end; /* end 0: free */
	uint64_t offset;     /* of start in the memfd */
	int fd;		     /* hidden from the program; one for all pieces of one memfd */
};

static struct via_lock lock;
static struct shared shared[MAX_SHARED]; /* lock */
static unsigned int n_shared; /* lock; read without it: 0 says that there is nothing to do */

/* The table: under the lock ----------------------------------------------------------------- */

static struct shared *free_entry(void)
{
	for (unsigned int i = 0; i < MAX_SHARED; i++)
		if (!shared[i].end)
			return &shared[i];
	return NULL;
}

static void enter(struct shared entry)
{
	struct shared *at = free_entry();

	/* Full: the memory stays as it is, and what follows is what the kernel does with it. */
	if (!at)
		return;
	*at = entry;
	__atomic_store_n(&n_shared, n_shared + 1, __ATOMIC_RELEASE);
}

static void drop(struct shared *entry)
{
	int fd = entry->fd;

	*entry = (struct shared){.end = 0};
	__atomic_store_n(&n_shared, n_shared - 1, __ATOMIC_RELEASE);
	for (unsigned int i = 0; i < MAX_SHARED; i++)
		if (shared[i].end && shared[i].fd == fd)
			return;
	via_fd_close_hidden(fd);
}

/* The part of an entry in [start, end), which may be empty (end 0). */
static struct shared part_of(const struct shared *entry, uint64_t start, uint64_t end)
{
	struct shared part = *entry;

	if (start >= entry->end || end <= entry->start)
		return (struct shared){.end = 0};
	if (start > part.start) {
		part.offset += start - part.start;
		part.start = start;
	}
	if (end < part.end)
		part.end = end;
	return part;
}

/* No entry reaches into [start, end) afterwards. */
static void cut_out(uint64_t start, uint64_t end)
{
	for (unsigned int i = 0; i < MAX_SHARED; i++) {
		struct shared before, after;

		if (!part_of(&shared[i], start, end).end)
			continue;
		before = part_of(&shared[i], 0, start);
		after = part_of(&shared[i], end, UINT64_MAX);
		/* The rest first: the descriptor is closed with its last piece. */
		if (before.end)
			enter(before);
		if (after.end)
			enter(after);
		drop(&shared[i]);
	}
}

/* Making memory shared --------------------------------------------------------------------------
 */

/* Of a mapping, what its replacement has to have too. */
struct traits {
	bool huge, no_huge, no_dump, no_reserve;
};

static bool has_word(const char *line, const char *word)
{
	const char *at = strstr(line, word);

	return at && at[-1] == ' ' && (at[2] == ' ' || at[2] == '\0');
}

/*
 * The lines of a file below /proc, until fn returns false. Nothing here takes
 * memory from the heap: the program may be inside malloc().
 */
static void walk_lines(const char *path, bool (*fn)(void *cookie, const char *line), void *cookie)
{
	long fd = via_sys(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC), place, n;
	size_t have = 0;
	bool more = true;
	char *text;

	if (fd < 0)
		return;
	place = via_sys(SYS_mmap, NULL, LINES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			-1, 0);
	text = (char *)place;
	while (place > 0 && more &&
	       (n = via_sys(SYS_read, fd, text + have, LINES - 1 - have)) > 0) {
		char *line = text, *newline;

		have += (size_t)n;
		text[have] = '\0';
		while (more && (newline = strchr(line, '\n'))) {
			*newline = '\0';
			more = fn(cookie, line);
			line = newline + 1;
		}
		have -= (size_t)(line - text);
		memmove(text, line, have);
	}
	if (place > 0)
		via_sys(SYS_munmap, text, LINES);
	via_sys(SYS_close, fd);
}

/* "start-end rw-p offset dev inode" without a name, for exactly [start, end). */
static bool is_anonymous(const char *line, uint64_t start, uint64_t end)
{
	static const char rest[] = " rw-p 00000000 00:00 0";
	char *at;

	if (strtoull(line, &at, 16) != start || *at != '-' || strtoull(at + 1, &at, 16) != end ||
	    strncmp(at, rest, sizeof(rest) - 1) != 0)
		return false;
	at += sizeof(rest) - 1;
	return at[strspn(at, " ")] == '\0';
}

struct look {
	uint64_t start, end;
	enum { BEFORE, INSIDE, FRESH, USED } state;
	struct traits *traits;
};

static bool look_at(void *cookie, const char *line)
{
	struct look *look = cookie;

	if (look->state == BEFORE) {
		if (is_anonymous(line, look->start, look->end))
			look->state = INSIDE;
	} else if (!strncmp(line, "Rss:", 4) || !strncmp(line, "Swap:", 5)) {
		if (strtoull(line + strcspn(line, "0123456789"), NULL, 10))
			look->state = USED;
	} else if (!strncmp(line, "VmFlags:", 8)) {
		/* Locked, or given to children by another thread meanwhile. */
		look->state = has_word(line, "lo") || !has_word(line, "dc") ? USED : FRESH;
		*look->traits = (struct traits){has_word(line, "hg"), has_word(line, "nh"),
						has_word(line, "dd"), has_word(line, "nr")};
	}
	return look->state < FRESH;
}

/* Is [start, end) one mapping of private memory in which no page has ever been used? */
static bool is_fresh(uint64_t start, uint64_t end, struct traits *ret_traits)
{
	struct look look = {start, end, BEFORE, ret_traits};

	walk_lines("/proc/self/smaps", look_at, &look);
	return look.state == FRESH;
}

/* A memfd of len bytes that nobody can shorten, or -1. */
static int make_memfd(uint64_t len)
{
	struct rlimit limit;
	int fd;

	/* Beyond this limit ftruncate() would be answered with a signal. */
	if (via_sys(SYS_prlimit64, 0, RLIMIT_FSIZE, NULL, &limit) || limit.rlim_cur < len)
		return -1;
	fd = (int)via_sys(SYS_memfd_create, "viaduct-shared", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd >= 0 &&
	    (via_sys(SYS_ftruncate, fd, len) ||
	     via_sys(SYS_fcntl, fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))) {
		via_sys(SYS_close, fd);
		fd = -1;
	}
	return fd;
}

/*
 * From now until it is closed, who touches a page of [start, end) for the
 * first time waits. -1: not possible here.
 */
static int hold_first_touches(uint64_t start, uint64_t end)
{
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register reg = {.range = {start, end - start},
				      .mode = UFFDIO_REGISTER_MODE_MISSING};
	int fd = (int)via_sys(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);

	if (fd >= 0 && (via_sys(SYS_ioctl, fd, UFFDIO_API, &api) ||
			via_sys(SYS_ioctl, fd, UFFDIO_REGISTER, &reg))) {
		via_sys(SYS_close, fd);
		fd = -1;
	}
	return fd;
}

/* The memory of fd in place of [start, end): at once, and with the traits of what was there. */
static bool put_in_place(uint64_t start, uint64_t len, int fd, const struct traits *traits)
{
	int flags = MAP_SHARED | (traits->no_reserve ? MAP_NORESERVE : 0);
	long at = via_sys(SYS_mmap, NULL, len, PROT_READ | PROT_WRITE, flags, fd, 0), moved;

	if (at < 0 && at >= -4095)
		return false;
	if (traits->huge)
		via_sys(SYS_madvise, at, len, MADV_HUGEPAGE);
	if (traits->no_huge)
		via_sys(SYS_madvise, at, len, MADV_NOHUGEPAGE);
	if (traits->no_dump)
		via_sys(SYS_madvise, at, len, MADV_DONTDUMP);
	moved = -EINVAL;
	if (!via_sys(SYS_madvise, at, len, MADV_DONTFORK))
		moved = via_sys(SYS_mremap, at, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, start);
	if (moved == (long)start)
		return true;
	via_sys(SYS_munmap, at, len);
	return false;
}

static void make_shared(uint64_t start, uint64_t end)
{
	struct traits traits;
	int held = hold_first_touches(start, end), fd = -1;
	uint64_t old;

	if (held < 0)
		return;
	if (is_fresh(start, end, &traits))
		fd = make_memfd(end - start);
	if (fd >= 0) {
		fd = via_fd_hide(fd);
		old = via_lock(&lock);
		if (free_entry() && put_in_place(start, end - start, fd, &traits)) {
			enter((struct shared){start, end, 0, fd});
			fd = -1;
		}
		via_unlock(&lock, old);
		if (fd >= 0)
			via_fd_close_hidden(fd);
	}
	/* Who waited goes on, in the new memory or in the old. */
	via_sys(SYS_close, held);
}

static bool wanted(uint64_t start, uint64_t end)
{
	const char *choice = getenv("VIADUCT_DMA");

	return end - start >= LEAST_LEN && via_client_present() && !via_inprocess_present() &&
	       !(choice && !strcmp(choice, "copy"));
}

/* Private again -------------------------------------------------------------------------------- */

struct privatise {
	const struct shared *part;
	uint64_t ino;
	bool copy;
};

/*
 * Private memory with what is in the memfd: a view of it, in which what is
 * written from now on is the program's own, and which can be laid over memory
 * that is in use; or a copy, to which more can be added.
 */
static long private_view(const struct privatise *p, uint64_t start, uint64_t len, int prot)
{
	uint64_t offset = p->part->offset + (start - p->part->start);
	long at;

	if (!p->copy)
		return via_sys(SYS_mmap, start, len, prot, MAP_PRIVATE | MAP_FIXED, p->part->fd,
			       offset);
	at = via_sys(SYS_mmap, NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		     0);
	if (at < 0)
		return at;
	for (uint64_t done = 0; done < len;) {
		long n = via_sys(SYS_pread64, p->part->fd, at + done, len - done, offset + done);

		if (n <= 0)
			break;
		done += (uint64_t)n;
	}
	via_sys(SYS_mprotect, at, len, prot);
	return via_sys(SYS_mremap, at, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, start);
}

static bool make_line_private(void *cookie, const char *line)
{
	const struct privatise *p = cookie;
	uint64_t start, end;
	int prot = 0;
	char *at;

	start = strtoull(line, &at, 16);
	end = strtoull(at + (*at == '-'), &at, 16);
	if (end <= p->part->start || *at != ' ')
		return true;
	if (start >= p->part->end)
		return false;
	prot |= at[1] == 'r' ? PROT_READ : 0;
	prot |= at[2] == 'w' ? PROT_WRITE : 0;
	prot |= at[3] == 'x' ? PROT_EXEC : 0;
	/* "perm offset dev inode": what has come to this place unseen is left alone. */
	for (int fields = 0; fields < 3; fields++) {
		at += strspn(at, " ");
		at += strcspn(at, " ");
	}
	if (strtoull(at, NULL, 10) != p->ino)
		return true;
	start = start < p->part->start ? p->part->start : start;
	end = end > p->part->end ? p->part->end : end;
	if (private_view(p, start, end - start, prot) == (long)start)
		via_sys(SYS_madvise, start, end - start, MADV_DONTFORK);
	return true;
}

static void make_private(uint64_t start, uint64_t end, bool copy)
{
	uint64_t old = via_lock(&lock);

	for (unsigned int i = 0; i < MAX_SHARED; i++) {
		struct shared part = part_of(&shared[i], start, end);
		struct privatise p = {&part, 0, copy};
		struct stat st;

		if (!part.end || via_sys(SYS_fstat, part.fd, &st))
			continue;
		p.ino = st.st_ino;
		walk_lines("/proc/self/maps", make_line_private, &p);
	}
	cut_out(start, end);
	via_unlock(&lock, old);
}

/* Advice -----------------------------------------------------------------------------------------
 */

/* Pages given back: private memory reads as zeros then, and so shall this. */
static long give_back(const struct shared *part, int advice)
{
	uint64_t len = part->end - part->start;
	long ret = via_sys(SYS_madvise, part->start, len,
			   advice == MADV_FREE ? MADV_DONTNEED : advice);

	if (!ret)
		ret = via_sys(SYS_fallocate, part->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			      part->offset, len);
	return ret;
}

/* The first shared part of [start, end), or end 0. */
static struct shared next_part(uint64_t start, uint64_t end)
{
	struct shared first = {.end = 0};
	uint64_t old = via_lock(&lock);

	for (unsigned int i = 0; i < MAX_SHARED; i++) {
		struct shared part = part_of(&shared[i], start, end);

		if (part.end && (!first.end || part.start < first.start))
			first = part;
	}
	via_unlock(&lock, old);
	return first;
}

static long give_back_range(uint64_t start, uint64_t end, int advice)
{
	long ret = 0, r;

	/* As the kernel does: holes are an error, but the rest is done. */
	while (start < end && (!ret || ret == -ENOMEM)) {
		struct shared part = next_part(start, end);
		uint64_t stop = part.end ? part.start : end;

		if (stop > start) {
			r = via_sys(SYS_madvise, start, stop - start, advice);
			ret = r ? r : ret;
		}
		if (part.end && (!ret || ret == -ENOMEM)) {
			r = give_back(&part, advice);
			ret = r ? r : ret;
			stop = part.end;
		}
		start = stop;
	}
	return ret;
}

long via_share_advise(uint64_t start, uint64_t end, int advice)
{
	bool some = __atomic_load_n(&n_shared, __ATOMIC_ACQUIRE);
	long ret;

	switch (advice) {
	case MADV_DONTNEED:
	case MADV_DONTNEED_LOCKED:
	case MADV_FREE:
		if (some)
			return give_back_range(start, end, advice);
		break;
	case MADV_DOFORK:
		if (some)
			make_private(start, end, false);
		break;
	case MADV_WIPEONFORK: /* of anonymous memory only */
		if (some)
			make_private(start, end, true);
		break;
	default:
		break;
	}
	ret = via_sys(SYS_madvise, start, end - start, advice);
	if (advice == MADV_DONTFORK && !ret && wanted(start, end) && !next_part(start, end).end)
		make_shared(start, end);
	return ret;
}

/* Other changes of the address space ------------------------------------------------------------
 */

void via_share_forget(uint64_t start, uint64_t end)
{
	uint64_t old;

	if (!__atomic_load_n(&n_shared, __ATOMIC_ACQUIRE))
		return;
	old = via_lock(&lock);
	cut_out(start, end);
	via_unlock(&lock, old);
}

void via_share_before_move(uint64_t from, uint64_t old_len, uint64_t new_len, int flags)
{
	if (!__atomic_load_n(&n_shared, __ATOMIC_ACQUIRE))
		return;
	/* What the kernel does differently with shared memory. */
	if (new_len > old_len || !old_len || flags & MREMAP_DONTUNMAP)
		make_private(from, from + (old_len ? old_len : new_len), true);
}

void via_share_moved(uint64_t from, uint64_t len, uint64_t to, uint64_t new_len)
{
	struct shared parts[MAX_SHARED];
	unsigned int n = 0;
	uint64_t old;

	if (!__atomic_load_n(&n_shared, __ATOMIC_ACQUIRE))
		return;
	old = via_lock(&lock);
	cut_out(to, to + new_len);
	for (unsigned int i = 0; i < MAX_SHARED; i++) {
		parts[n] = part_of(&shared[i], from, from + len);
		n += parts[n].end != 0;
	}
	/* Entered before the old ones go, so that the descriptor stays. */
	for (unsigned int i = 0; i < n; i++) {
		parts[i].start += to - from;
		parts[i].end += to - from;
		enter(parts[i]);
	}
	cut_out(from, from + len);
	via_unlock(&lock, old);
}

void via_share_after_fork(void)
{
	via_lock_reset(&lock);
	for (unsigned int i = 0; i < MAX_SHARED; i++)
		if (shared[i].end)
			drop(&shared[i]);
}
