/* SPDX-License-Identifier: MIT */
/*
 * The memory of a program behind a connection. Copies go by process_vm_readv
 * and writev: they obey the program's page protection and fail instead of
 * faulting. The pid is only trusted while the pidfd says that it is still the
 * same process and `gone` says that it has not executed another program. Between
 * that and a write the pid could be given to another process, if all pids go round
 * meanwhile. /proc/PID/mem, which is bound to the memory, is no way out: writes to it
 * disregard page protection (FOLL_FORCE), and it takes one run a call, by pages through
 * a buffer.
 */
#include "host/internal.h"
#include "host/pins.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

struct via_remote_mm {
	struct via_mm mm;
	int pid_fd, proc_fd; /* constant */
	bool gone;	     /* atomic */
	/* Atomic, each word; every connection of a process says the same. */
	struct via_door_keep_out keep_out[VIA_DOOR_N_KEEP_OUT];
	struct via_pins pins;
};

static struct via_remote_mm *remote_of(struct via_mm *mm)
{
	return (struct via_remote_mm *)mm;
}

static bool alive(struct via_remote_mm *remote)
{
	struct pollfd exited = {.fd = remote->pid_fd, .events = POLLIN};

	return !__atomic_load_n(&remote->gone, __ATOMIC_ACQUIRE) && poll(&exited, 1, 0) == 0;
}

/*
 * The kernel refuses (another user namespace, a process that is not dumpable,
 * a security module): the program can still copy for us, as long as it is
 * waiting for an answer to its own call.
 */
static int copy_by_upcall(struct via_remote_mm *remote, bool write, const struct iovec *local,
			  uint64_t addr)
{
	struct via_conn *conn = via_conn_current();
	uint8_t *bytes = local->iov_base;
	size_t left = local->iov_len;

	if (!conn || conn->peer->mm != &remote->mm)
		return -EFAULT;
	while (left > 0) {
		size_t n = left < VIA_DOOR_DATA_SIZE ? left : VIA_DOOR_DATA_SIZE;
		struct via_door_upcall upcall = {
			.op = write ? VIA_DOOR_WRITE_MEM : VIA_DOOR_READ_MEM, .arg = {addr, n}};
		struct via_door_answer answer;

		if (write) /* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): left > 0 */
			memcpy(conn->slot->data, bytes, n);
		if (!via_conn_upcall(conn, &upcall, -1, &answer, NULL) || answer.result)
			return -EFAULT;
		if (!write)
			memcpy(bytes, conn->slot->data, n);
		bytes += n;
		addr += n;
		left -= n;
	}
	return 0;
}

/* A position in a list of runs. */
struct cursor {
	const struct iovec *iov;
	size_t n, offset;
};

/* The next piece that is whole on both sides. */
static struct iovec next_piece(struct cursor *local, struct cursor *remote, uint64_t *ret_addr)
{
	struct iovec piece = {0};

	while (local->n && local->offset == local->iov->iov_len) {
		local->iov++;
		local->n--;
		local->offset = 0;
	}
	while (remote->n && remote->offset == remote->iov->iov_len) {
		remote->iov++;
		remote->n--;
		remote->offset = 0;
	}
	if (!local->n || !remote->n)
		return piece;
	piece.iov_len = local->iov->iov_len - local->offset;
	if (piece.iov_len > remote->iov->iov_len - remote->offset)
		piece.iov_len = remote->iov->iov_len - remote->offset;
	piece.iov_base = (uint8_t *)local->iov->iov_base + local->offset;
	*ret_addr = (uint64_t)(uintptr_t)remote->iov->iov_base + remote->offset;
	local->offset += piece.iov_len;
	remote->offset += piece.iov_len;
	return piece;
}

/* Pieces per system call, and the most bytes, below the kernel's MAX_RW_COUNT. */
#define BATCH_PIECES 64
#define BATCH_BYTES (1u << 30)

static bool kept_out(struct via_remote_mm *remote, const struct iovec *there)
{
	uint64_t start = (uint64_t)(uintptr_t)there->iov_base, end = start + there->iov_len;

	for (unsigned int i = 0; i < VIA_DOOR_N_KEEP_OUT; i++) {
		uint64_t addr = __atomic_load_n(&remote->keep_out[i].addr, __ATOMIC_RELAXED);
		uint64_t len = __atomic_load_n(&remote->keep_out[i].len, __ATOMIC_RELAXED);

		if (len && start < addr + len && addr < end)
			return true;
	}
	return false;
}

static int copy_batch(struct via_remote_mm *remote, bool write, const struct iovec *local,
		      const struct iovec *there, size_t n)
{
	size_t want = 0;
	ssize_t done;

	for (size_t i = 0; i < n; i++) {
		if (write && kept_out(remote, &there[i]))
			return -EFAULT;
		want += local[i].iov_len;
	}
	done = write ? process_vm_writev(remote->mm.pid, local, n, there, n, 0)
		     : process_vm_readv(remote->mm.pid, local, n, there, n, 0);
	if (done == (ssize_t)want)
		return 0;
	if (done >= 0)
		return -EFAULT;
	if (errno == ESRCH)
		return -ESRCH;
	if (errno != EPERM)
		return -EFAULT;
	for (size_t i = 0; i < n; i++) {
		int r = copy_by_upcall(remote, write, &local[i],
				       (uint64_t)(uintptr_t)there[i].iov_base);

		if (r)
			return r;
	}
	return 0;
}

static int copy_once(struct via_mm *mm, bool write, const struct iovec *local, size_t n_local,
		     const struct iovec *there, size_t n_there)
{
	struct via_remote_mm *remote = remote_of(mm);
	struct cursor from = {local, n_local, 0}, to = {there, n_there, 0};
	struct iovec a[BATCH_PIECES], b[BATCH_PIECES], piece;
	size_t n = 0, bytes = 0;
	uint64_t addr = 0;
	int r = 0;

	/* Another process with the same pid gets nothing; and what it gave is nobody's data. */
	if (write && !alive(remote))
		return -ESRCH;
	while (!r) {
		uint64_t len;

		piece = next_piece(&from, &to, &addr);
		len = piece.iov_len > BATCH_BYTES ? BATCH_BYTES : piece.iov_len;
		addr = via_pins_where(&remote->pins, addr, &len);
		from.offset -= piece.iov_len - len;
		to.offset -= piece.iov_len - len;
		piece.iov_len = len;
		if (n &&
		    (!piece.iov_len || n == BATCH_PIECES || bytes + piece.iov_len > BATCH_BYTES)) {
			r = copy_batch(remote, write, a, b, n);
			n = bytes = 0;
		}
		if (!piece.iov_len)
			break;
		a[n] = piece;
		b[n] = (struct iovec){(void *)(uintptr_t)addr, piece.iov_len};
		bytes += piece.iov_len;
		n++;
	}
	return r || write || alive(remote) ? r : -ESRCH;
}

/* How long the program may take between announcing a move of pages and doing it. */
#define MOVE_TRIES 50
#define MOVE_PAUSE_NS 200000

static int copy(struct via_mm *mm, bool write, const struct iovec *local, size_t n_local,
		const struct iovec *there, size_t n_there)
{
	const struct timespec pause = {.tv_nsec = MOVE_PAUSE_NS};
	int r, tries = MOVE_TRIES;

	do
		r = copy_once(mm, write, local, n_local, there, n_there);
	while (r == -EFAULT && via_pins_settling(&remote_of(mm)->pins) && tries-- &&
	       nanosleep(&pause, NULL) == 0);
	return r;
}

static int remote_hold(struct via_mm *mm, uint64_t addr, uint64_t len, uint64_t *ret_addr)
{
	return via_pins_hold(&remote_of(mm)->pins, addr, len, ret_addr);
}

static void remote_release(struct via_mm *mm, uint64_t addr, uint64_t len)
{
	via_pins_release(&remote_of(mm)->pins, addr, len);
}

struct via_pins *via_remote_mm_pins(struct via_mm *mm)
{
	return &remote_of(mm)->pins;
}

static int remote_readv(struct via_mm *mm, const struct iovec *local, size_t n_local,
			const struct iovec *there, size_t n_there)
{
	return copy(mm, false, local, n_local, there, n_there);
}

static int remote_writev(struct via_mm *mm, const struct iovec *local, size_t n_local,
			 const struct iovec *there, size_t n_there)
{
	return copy(mm, true, local, n_local, there, n_there);
}

struct probe {
	struct via_remote_mm *remote;
	uint64_t end;
	unsigned int prot;
};

static int probe_vma(void *cookie, const struct via_vma *vma)
{
	const struct probe *probe = cookie;
	struct iovec local, there;
	uint64_t last;
	uint8_t byte;

	if ((probe->prot & VIA_PROT_READ && !vma->read) ||
	    (probe->prot & VIA_PROT_WRITE && !vma->write))
		return -EFAULT;
	/*
	 * A file that is too short, or pages that only the kernel may touch:
	 * the last page tells for all, since a file ends once.
	 */
	if (!vma->inode || !vma->read)
		return 0;
	last = (probe->end < vma->end ? probe->end : vma->end) - 1;
	local = (struct iovec){&byte, 1};
	there = (struct iovec){(void *)(uintptr_t)last, 1};
	return copy_batch(probe->remote, false, &local, &there, 1);
}

/* Where we may not look into the map: what the first and last page say. */
static int probe_blind(struct via_remote_mm *remote, uint64_t addr, uint64_t end)
{
	uint8_t bytes[2];
	struct iovec local[] = {{&bytes[0], 1}, {&bytes[1], 1}};
	struct iovec there[] = {{(void *)(uintptr_t)addr, 1}, {(void *)(uintptr_t)(end - 1), 1}};

	return copy_batch(remote, false, local, there, 2);
}

/* Permissions come from the map, because a probe must not write. */
static int remote_probe(struct via_mm *mm, uint64_t addr, uint64_t len, unsigned int prot)
{
	struct probe probe = {.remote = remote_of(mm), .prot = prot};
	int r;

	if (!alive(probe.remote))
		return -ESRCH;
	if (!len)
		return 0;
	if (__builtin_add_overflow(addr, len, &probe.end))
		return -EFAULT;
	r = via_maps_walk(probe.remote->proc_fd, addr, len, probe_vma, &probe);
	if (r == -EACCES || r == -EPERM)
		r = probe_blind(probe.remote, addr, probe.end);
	return r == -ENOMEM ? r : r ? -EFAULT : 0;
}

static bool is_file(int dir, const char *name, const struct via_vma *vma)
{
	struct statx st;

	/* No question to a server: a FUSE file system of the program's might not answer. */
	return statx(dir, name, AT_STATX_DONT_SYNC, STATX_TYPE | STATX_INO, &st) == 0 &&
	       S_ISREG(st.stx_mode) && st.stx_ino == vma->inode &&
	       st.stx_dev_major == vma->dev_major && st.stx_dev_minor == vma->dev_minor;
}

/* Open again what lies in dir under name, if it is the file of vma. */
static int reopen(int dir, const char *name, const struct via_vma *vma, bool write)
{
	struct stat st;
	int fd;

	if (!is_file(dir, name, vma))
		return -1;
	fd = openat(dir, name, (write ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd >= 0 && (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_ino != vma->inode ||
			major(st.st_dev) != vma->dev_major || minor(st.st_dev) != vma->dev_minor)) {
		(void)close(fd);
		fd = -1;
	}
	return fd;
}

/*
 * By the program's descriptors; then by the mapping itself, which needs a
 * privilege but also finds what the program has closed.
 */
static int open_backing(struct via_remote_mm *remote, const struct via_vma *vma, bool write)
{
	int dir_fd = openat(remote->proc_fd, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = dir_fd < 0 ? NULL : fdopendir(dir_fd);
	struct dirent *entry;
	char name[64];
	int fd = -1;

	if (dir) {
		while (fd < 0 && (entry = readdir(dir)))
			if (entry->d_name[0] != '.')
				fd = reopen(dir_fd, entry->d_name, vma, write);
		(void)closedir(dir);
	} else if (dir_fd >= 0) {
		(void)close(dir_fd);
	}
	if (fd >= 0)
		return fd;
	(void)snprintf(name, sizeof(name), "map_files/%llx-%llx", (unsigned long long)vma->start,
		       (unsigned long long)vma->end);
	return reopen(remote->proc_fd, name, vma, write);
}

static int first_vma(void *cookie, const struct via_vma *vma)
{
	*(struct via_vma *)cookie = *vma;
	return 1;
}

static int remote_backing(struct via_mm *mm, uint64_t addr, uint64_t len, unsigned int prot,
			  struct via_backing *ret_backing)
{
	struct via_remote_mm *remote = remote_of(mm);
	struct via_backing backing = {.fd = -1};
	struct via_vma vma;
	int r;

	if (!alive(remote))
		return -ESRCH;
	r = via_maps_walk(remote->proc_fd, addr, 1, first_vma, &vma);
	/* Without the right to look, everything counts as private. */
	if (r == -EACCES || r == -EPERM) {
		*ret_backing = (struct via_backing){.fd = -1, .len = len};
		return 0;
	}
	if (r != 1)
		return r == -ENOMEM ? r : -EFAULT;
	if (vma.region || (prot & VIA_PROT_READ && !vma.read) ||
	    (prot & VIA_PROT_WRITE && !vma.write))
		return -EFAULT;
	backing.len = vma.end - addr < len ? vma.end - addr : len;
	if (vma.shared && vma.inode)
		backing.fd = open_backing(remote, &vma, prot & VIA_PROT_WRITE);
	if (backing.fd >= 0)
		backing.offset = vma.offset + (addr - vma.start);
	if (!alive(remote)) {
		if (backing.fd >= 0)
			(void)close(backing.fd);
		return -ESRCH;
	}
	*ret_backing = backing;
	return 0;
}

/* Pages whose identities follow each other. */
struct identify {
	struct via_page_identity first;
	uint64_t addr, len; /* where they begin, and how far they go on */
	struct via_mm *mm;
};

static int identify_vma(void *cookie, const struct via_vma *vma)
{
	struct identify *id = cookie;
	uint64_t at = id->addr + id->len;
	struct via_page_identity page = {(uintptr_t)id->mm, 0, at >> 12};

	if (vma->shared && vma->inode)
		page = (struct via_page_identity){makedev(vma->dev_major, vma->dev_minor),
						  vma->inode, (vma->offset + (at - vma->start)) >> 12};
	if (!id->len)
		id->first = page;
	else if (page.space != id->first.space || page.object != id->first.object ||
		 page.page != id->first.page + (id->len + (id->addr & 4095)) / 4096)
		return 1;
	id->len = vma->end - id->addr;
	return 0;
}

static int remote_identity(struct via_mm *mm, uint64_t addr, uint64_t len,
			   struct via_page_identity *ret_identity, uint64_t *ret_len)
{
	struct via_remote_mm *remote = remote_of(mm);
	struct identify id = {.mm = mm};

	if (!alive(remote))
		return -ESRCH;
	id.addr = via_pins_where(&remote->pins, addr, &len);
	/* Where we may not look, all is private; a hole behind the first page ends the walk. */
	switch (via_maps_walk(remote->proc_fd, id.addr, len, identify_vma, &id)) {
	case -EACCES:
	case -EPERM:
		id.first = (struct via_page_identity){(uintptr_t)mm, 0, id.addr >> 12};
		id.len = len;
		break;
	default:
		if (!id.len)
			return -EFAULT;
	}
	*ret_identity = id.first;
	*ret_len = id.len < len ? id.len : len;
	return 0;
}

static void remote_free(struct via_mm *mm)
{
	struct via_remote_mm *remote = remote_of(mm);

	(void)close(remote->pid_fd);
	(void)close(remote->proc_fd);
	via_pins_deinit(&remote->pins);
	free(remote);
}

static const struct via_mm_ops remote_ops = {
	.readv = remote_readv,
	.writev = remote_writev,
	.probe = remote_probe,
	.backing = remote_backing,
	.hold = remote_hold,
	.release = remote_release,
	.identity = remote_identity,
	.free = remote_free,
};

int via_remote_mm_new(pid_t pid, uid_t uid, int pid_fd, int proc_fd, struct via_mm **ret_mm)
{
	struct via_remote_mm *remote = calloc(1, sizeof(*remote));

	if (!remote || via_pins_init(&remote->pins)) {
		free(remote);
		return -ENOMEM;
	}
	remote->mm = (struct via_mm){.ops = &remote_ops, .refs = 1, .pid = pid, .uid = uid};
	remote->pid_fd = pid_fd;
	remote->proc_fd = proc_fd;
	*ret_mm = &remote->mm;
	return 0;
}

void via_remote_mm_keep_out(struct via_mm *mm, const struct via_door_keep_out *ranges)
{
	struct via_remote_mm *remote = remote_of(mm);

	for (unsigned int i = 0; i < VIA_DOOR_N_KEEP_OUT; i++) {
		__atomic_store_n(&remote->keep_out[i].addr, ranges[i].addr, __ATOMIC_RELAXED);
		__atomic_store_n(&remote->keep_out[i].len, ranges[i].len, __ATOMIC_RELAXED);
	}
}

void via_remote_mm_gone(struct via_mm *mm)
{
	__atomic_store_n(&remote_of(mm)->gone, true, __ATOMIC_RELEASE);
}
