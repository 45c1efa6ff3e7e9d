/* SPDX-License-Identifier: MIT */
#include "preload/fdtable.h"

#include "preload/arena.h"
#include "preload/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/resource.h>

enum { HIGH = 512 };

/*
 * One writer at a time in practice (who got the number from the kernel);
 * word, written last and read first and last, keeps a reader from pairing the
 * id of one meaning with the inode of another.
 */
struct entry {
	uint64_t word; /* atomic: id << 2 | kind */
	uint64_t ino;  /* atomic */
};

/* Atomic: upper bound of hidden numbers + 1, so that close loops need not look at all. */
static unsigned int hidden_end;

static struct entry *entry_of(int fd)
{
	struct via_arena *arena = via_arena_get();

	if (fd < 0 || (size_t)fd >= VIA_ARENA_FDS / sizeof(struct entry) || !arena)
		return NULL;
	return (struct entry *)(void *)arena->fds + fd;
}

struct via_fd via_fd_get(int fd)
{
	struct entry *e = entry_of(fd);
	struct via_fd f = {VIA_FD_UNKNOWN, 0, 0};
	uint64_t word, ino;

	if (!e)
		return f;
	word = __atomic_load_n(&e->word, __ATOMIC_ACQUIRE);
	ino = __atomic_load_n(&e->ino, __ATOMIC_ACQUIRE);
	if (__atomic_load_n(&e->word, __ATOMIC_RELAXED) != word)
		return f;
	f.kind = (enum via_fd_kind)(word & 3);
	f.id = word >> 2;
	f.ino = ino;
	return f;
}

void via_fd_set(int fd, struct via_fd entry)
{
	struct entry *e = entry_of(fd);

	/* Forgetting what is not known would only make pages. */
	if (!e || (entry.kind == VIA_FD_UNKNOWN && !__atomic_load_n(&e->word, __ATOMIC_RELAXED)))
		return;
	__atomic_store_n(&e->word, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&e->ino, entry.ino, __ATOMIC_RELEASE);
	__atomic_store_n(&e->word, entry.id << 2 | entry.kind, __ATOMIC_RELEASE);
}

void via_fd_forget(int fd)
{
	via_fd_set(fd, (struct via_fd){VIA_FD_UNKNOWN, 0, 0});
}

void via_fd_copy(int from, int to)
{
	struct via_fd f = via_fd_get(from);

	if (f.kind == VIA_FD_HIDDEN)
		f = (struct via_fd){VIA_FD_UNKNOWN, 0, 0};
	via_fd_set(to, f);
}

static void mark_hidden(int fd)
{
	unsigned int end = __atomic_load_n(&hidden_end, __ATOMIC_RELAXED);

	via_fd_set(fd, (struct via_fd){VIA_FD_HIDDEN, 0, 0});
	while (end <= (unsigned int)fd &&
	       !__atomic_compare_exchange_n(&hidden_end, &end, (unsigned int)fd + 1, false,
					    __ATOMIC_RELEASE, __ATOMIC_RELAXED))
		;
}

int via_fd_hide(int fd)
{
	struct rlimit limit;
	long high;

	if (via_sys(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, &limit))
		limit.rlim_cur = 1024;
	high = via_sys(SYS_fcntl, fd, F_DUPFD_CLOEXEC, HIGH);
	if (high < 0)
		high = via_sys(SYS_fcntl, fd, F_DUPFD_CLOEXEC, limit.rlim_cur / 2);
	if (high < 0) {
		via_sys(SYS_fcntl, fd, F_SETFD, FD_CLOEXEC);
		high = fd;
	} else {
		via_fd_forget(fd);
		via_sys(SYS_close, fd);
	}
	mark_hidden((int)high);
	return (int)high;
}

void via_fd_close_hidden(int fd)
{
	via_fd_forget(fd);
	via_sys(SYS_close, fd);
}

int via_fd_next_hidden(unsigned int first, unsigned int last)
{
	unsigned int end = __atomic_load_n(&hidden_end, __ATOMIC_ACQUIRE);

	for (unsigned int fd = first; fd <= last && fd < end; fd++)
		if (via_fd_get((int)fd).kind == VIA_FD_HIDDEN)
			return (int)fd;
	return -1;
}
