/* SPDX-License-Identifier: MIT */
/* Spaces, stores and leases: files that shrink, another process, windows, guarded copies. */
#include <viaduct/memory.h>

#include "memory/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/memfd.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define PAGE 4096u
#define RW (VIA_PROT_READ | VIA_PROT_WRITE)

static int memfd(off_t size)
{
	int fd = memfd_create("via-test", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, size), 0);
	return fd;
}

static int read_at(struct via_store *store, uint64_t offset, void *buf, size_t len)
{
	struct via_store_run run = { store, offset, len };
	struct iovec iov = { buf, len };

	return via_store_readv(&run, 1, &iov, 1);
}

static int write_at(struct via_store *store, uint64_t offset, const void *buf, size_t len)
{
	struct via_store_run run = { store, offset, len };
	struct iovec iov = { (void *)(uintptr_t)buf, len };

	return via_store_writev(&run, 1, &iov, 1);
}

/* Mappings of our test files in this process. */
static unsigned int n_vmas(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];
	unsigned int n = 0;

	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps))
		n += strstr(line, "memfd:via-test") != NULL;
	(void)fclose(maps);
	return n;
}

static void check_guarded_copies(void)
{
	uint8_t *mem = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			    0);
	uint8_t *end = mem + 3 * PAGE;
	uint8_t src[3000], out[3000];

	assert_ptr_not_equal(mem, MAP_FAILED);
	assert_int_equal(mprotect(end, PAGE, PROT_NONE), 0);
	for (size_t i = 0; i < sizeof(src); i++)
		src[i] = (uint8_t)(i * 31 + 1);
	for (size_t len = 0; len < sizeof(src); len += 1 + len / 40) {
		uint8_t *at = end - len;

		memset(mem, 0, 3 * PAGE);
		assert_int_equal(via_guard_write(at, src, len), 0);
		assert_memory_equal(at, src, len);
		assert_int_equal(at[-1], 0);
		memset(out, 0, sizeof(out));
		assert_int_equal(via_guard_read(out, at, len), 0);
		assert_memory_equal(out, src, len);
		if (len < sizeof(out))
			assert_int_equal(out[len], 0);
		if (!len)
			continue;
		assert_int_equal(via_guard_write(at + 1, src, len), -EFAULT);
		assert_int_equal(via_guard_read(out, at + 1, len), -EFAULT);
	}
	assert_int_equal(via_guard_read(out, NULL, 8), -EFAULT);
	(void)munmap(mem, 4 * PAGE);
}

static void test_guard(void **state)
{
	assert_int_equal(via_guard_install(), 0);
	check_guarded_copies();
	/* The same without a handler. */
	via_guard_adopt(false);
	check_guarded_copies();
	via_guard_adopt(true);
}

static void test_guard_passes_on(void **state)
{
	volatile int *volatile nowhere = (volatile int *)16;

	/* By an access of somebody else, and by kill(2). */
	for (int sent = 0; sent < 2; sent++) {
		pid_t child = fork();
		int status;

		assert_true(child >= 0);
		if (!child) {
			(void)signal(SIGSEGV, SIG_DFL);
			if (via_guard_install())
				_exit(1);
			if (sent)
				(void)raise(SIGSEGV);
			else
				*nowhere = 0;
			_exit(2);
		}
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFSIGNALED(status));
		assert_int_equal(WTERMSIG(status), SIGSEGV);
	}
}

static void test_fd_space_errors(void **state)
{
	struct via_space *space;
	int fd = memfd(4 * PAGE), ro, wo, pipes[2];
	struct via_store *store;
	struct via_lease lease;
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ro = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(ro >= 0);
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(via_space_new_fd(-1, RW, &space), -EBADF);
	assert_int_equal(via_space_new_fd(pipes[0], VIA_PROT_READ, &space), -EINVAL);
	assert_int_equal(via_space_new_fd(ro, RW, &space), -EACCES);
	assert_int_equal(via_space_new_fd(fd, 0, &space), -EINVAL);
	assert_int_equal(via_space_new_fd(fd, RW | 4, &space), -EINVAL);
	wo = open(path, O_WRONLY | O_CLOEXEC);
	assert_int_equal(via_space_new_fd(wo, VIA_PROT_WRITE, &space), -EACCES);
	(void)close(wo);
	assert_int_equal(via_space_new_fd(ro, VIA_PROT_READ, &space), 0);
	assert_int_equal(via_store_new(space, 0, PAGE, RW, &store), -EFAULT);
	assert_int_equal(via_store_new(space, 0, PAGE, VIA_PROT_READ, &store), 0);
	assert_int_equal(write_at(store, 0, "x", 1), -EACCES);
	assert_int_equal(via_store_lease(store, 0, 1, VIA_PROT_WRITE, &lease), -EACCES);
	assert_int_equal(via_store_lease(store, 0, 0, VIA_PROT_READ, &lease), -ERANGE);
	via_store_put(store);
	via_space_put(space);
	assert_int_equal(via_space_new_fd(fd, RW, &space), 0);
	assert_int_equal(via_store_new(space, 0, PAGE, 0, &store), -EINVAL);
	assert_int_equal(via_store_new(space, 0, PAGE, RW | 4, &store), -EINVAL);
	assert_int_equal(via_store_new(space, 0, 0, RW, &store), -EINVAL);
	assert_int_equal(via_store_new(space, 3 * PAGE, 2 * PAGE, RW, &store), -EFAULT);
	assert_int_equal(via_store_new(space, UINT64_MAX - PAGE, 2 * PAGE, RW, &store), -EOVERFLOW);
	assert_int_equal(via_store_new(space, UINT64_MAX - PAGE, PAGE, RW, &store), -EFAULT);
	assert_int_equal(via_store_new(space, UINT64_MAX - PAGE + 1, PAGE, RW, &store), -EFAULT);
	via_space_put(space);
	(void)close(fd);
	(void)close(ro);
	(void)close(pipes[0]);
	(void)close(pipes[1]);
}

static void test_sealed_file(void **state)
{
	int fd = memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct via_space *space;
	struct via_store *store;

	assert_int_equal(ftruncate(fd, PAGE), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
	assert_int_equal(via_space_new_fd(fd, RW, &space), 0);
	assert_int_equal(via_store_new(space, 0, PAGE, RW, &store), -EPERM);
	assert_int_equal(via_store_new(space, 0, PAGE, VIA_PROT_READ, &store), 0);
	via_store_put(store);
	via_space_put(space);
	(void)close(fd);
}

static void test_truncated_file(void **state)
{
	struct via_space *space;
	struct via_store *store;
	int fd = memfd(4 * PAGE);
	char buf[2 * PAGE] = "hello";

	assert_int_equal(via_guard_install(), 0);
	assert_int_equal(via_space_new_fd(fd, RW, &space), 0);
	assert_int_equal(via_store_new(space, 100, 4 * PAGE - 100, RW, &store), 0);
	assert_int_equal(write_at(store, PAGE, buf, 5), 0);
	assert_int_equal(pread(fd, buf + 8, 5, PAGE + 100), 5);
	assert_string_equal(buf + 8, "hello");
	assert_int_equal(read_at(store, 4 * PAGE - 101, buf, 2), -ERANGE);
	assert_int_equal(read_at(store, 4 * PAGE - 101, buf, 1), 0);

	assert_int_equal(ftruncate(fd, 2 * PAGE), 0);
	assert_int_equal(read_at(store, 2 * PAGE, buf, 8), -EFAULT);
	assert_int_equal(write_at(store, 3 * PAGE, buf, sizeof(buf) / 4), -EFAULT);
	assert_int_equal(read_at(store, PAGE, buf, 5), 0);
	assert_int_equal(ftruncate(fd, 4 * PAGE), 0);
	assert_int_equal(read_at(store, 2 * PAGE, buf, 8), 0);
	assert_int_equal(buf[0], 0);
	via_store_put(store);
	via_space_put(space);
	(void)close(fd);
}

static void test_windows_are_shared(void **state)
{
	enum { N = 512 };
	static struct via_store *stores[N];
	struct via_space *space;
	int fd = memfd((off_t)N * PAGE);
	uint32_t value;

	assert_int_equal(via_space_new_fd(fd, RW, &space), 0);
	for (uint32_t i = 0; i < N; i++) {
		assert_int_equal(via_store_new(space, (uint64_t)i * PAGE, PAGE,
					       i % 2 ? RW : VIA_PROT_READ, &stores[i]), 0);
		assert_int_equal(pwrite(fd, &i, sizeof(i), (off_t)i * PAGE), sizeof(i));
	}
	assert_true(n_vmas() <= 2);
	/* The file grows: another window, the old ones stay. */
	assert_int_equal(ftruncate(fd, 64 << 20), 0);
	via_store_put(stores[0]);
	assert_int_equal(via_store_new(space, 63 << 20, PAGE, RW, &stores[0]), 0);
	assert_true(n_vmas() <= 3);
	for (uint32_t i = 1; i < N; i++) {
		assert_int_equal(read_at(stores[i], 0, &value, sizeof(value)), 0);
		assert_int_equal(value, i);
	}
	for (uint32_t i = 0; i < N; i++)
		via_store_put(stores[i]);
	assert_int_equal(n_vmas(), 0);
	via_space_put(space);
	(void)close(fd);
}

/* Huge pages: windows of whole pages that do not grow the file. Without any left: EFAULT. */
static void test_hugetlb(void **state)
{
	const off_t huge = 2 << 20;
	int fd = memfd_create("via-test", MFD_CLOEXEC | MFD_HUGETLB | (21 << MFD_HUGE_SHIFT));
	struct via_space *space;
	struct via_store *store;
	struct stat st;
	char buf[8];
	int rc;

	assert_int_equal(via_guard_install(), 0);
	if (fd < 0 || ftruncate(fd, 2 * huge)) {
		if (fd >= 0)
			(void)close(fd);
		skip();
	}
	assert_int_equal(via_space_new_fd(fd, RW, &space), 0);
	assert_int_equal(via_store_new(space, (uint64_t)huge + 3 * PAGE, PAGE, RW, &store), 0);
	rc = write_at(store, 8, "huge", 5);
	assert_true(rc == 0 || rc == -EFAULT);
	if (!rc) {
		assert_int_equal(pread(fd, buf, 5, huge + 3 * PAGE + 8), 5);
		assert_string_equal(buf, "huge");
	}
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, 2 * huge);
	assert_int_equal(n_vmas(), 1);
	via_store_put(store);
	assert_int_equal(n_vmas(), 0);
	via_space_put(space);
	(void)close(fd);
}

/* Another process, and what the door to it would know. */
struct remote {
	struct via_mm mm;
	unsigned int calls;
	int fd;		/* behind [fd_addr, fd_addr + fd_len) */
	uint64_t fd_addr, fd_len;
	bool freed;
};

static int remote_copy(struct via_mm *mm, const struct iovec *local, size_t n_local,
		       const struct iovec *remote, size_t n_remote, bool write)
{
	ssize_t want = 0, rc;

	((struct remote *)mm)->calls++;
	for (size_t i = 0; i < n_local; i++)
		want += (ssize_t)local[i].iov_len;
	rc = write ? process_vm_writev(mm->pid, local, n_local, remote, n_remote, 0)
		   : process_vm_readv(mm->pid, local, n_local, remote, n_remote, 0);
	if (rc < 0 && errno == ESRCH)
		return -ESRCH;
	return rc == want ? 0 : -EFAULT;
}

static int remote_readv(struct via_mm *mm, const struct iovec *local, size_t n_local,
			const struct iovec *remote, size_t n_remote)
{
	return remote_copy(mm, local, n_local, remote, n_remote, false);
}

static int remote_writev(struct via_mm *mm, const struct iovec *local, size_t n_local,
			 const struct iovec *remote, size_t n_remote)
{
	return remote_copy(mm, local, n_local, remote, n_remote, true);
}

static int remote_probe(struct via_mm *mm, uint64_t addr, uint64_t len, unsigned int prot)
{
	char byte;

	for (uint64_t at = addr; at < addr + len; at += PAGE) {
		struct iovec local = { &byte, 1 }, remote = { (void *)(uintptr_t)at, 1 };

		if (process_vm_readv(mm->pid, &local, 1, &remote, 1, 0) != 1)
			return -EFAULT;
	}
	return 0;
}

static int remote_backing(struct via_mm *mm, uint64_t addr, uint64_t len, unsigned int prot,
			  struct via_backing *ret_backing)
{
	struct remote *r = (struct remote *)mm;

	if (r->fd >= 0 && addr >= r->fd_addr && addr < r->fd_addr + r->fd_len)
		*ret_backing = (struct via_backing){ fcntl(r->fd, F_DUPFD_CLOEXEC, 0),
						     addr - r->fd_addr,
						     r->fd_addr + r->fd_len - addr };
	else if (r->fd >= 0 && addr < r->fd_addr)
		*ret_backing = (struct via_backing){ -1, 0, r->fd_addr - addr };
	else
		*ret_backing = (struct via_backing){ -1, 0, len };
	return 0;
}

static void remote_free(struct via_mm *mm)
{
	((struct remote *)mm)->freed = true;
}

static const struct via_mm_ops remote_ops = { remote_readv, remote_writev, remote_probe,
					      remote_backing, remote_free };

/* A child that has what we have now, and sleeps. */
static pid_t sleeper(void)
{
	pid_t child = fork();

	assert_true(child >= 0);
	while (!child)
		(void)pause();
	return child;
}

static void end(pid_t child)
{
	(void)kill(child, SIGKILL);
	(void)waitpid(child, NULL, 0);
}

static void test_private_memory_of_another(void **state)
{
	enum { PIECES = 1500 };
	uint8_t *mem = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			    -1, 0);
	static struct via_store_run runs[PIECES];
	static struct iovec bufs[PIECES];
	static uint8_t data[2 * PIECES];
	struct remote r = { .mm = { .ops = &remote_ops, .refs = 1 }, .fd = -1 };
	struct via_space *space;
	struct via_store *store;
	struct via_lease lease;

	for (size_t i = 0; i < 16 * PAGE; i++)
		mem[i] = (uint8_t)(i + i / 251);
	r.mm.pid = sleeper();
	assert_int_equal(via_space_new_mm(&r.mm, &space), 0);
	assert_int_equal(via_store_new(space, (uintptr_t)mem, 16 * PAGE, RW, &store), 0);
	assert_int_equal(via_store_new(space, 0x10, PAGE, RW, &(struct via_store *){ 0 }), -EFAULT);

	/* Scattered pieces: two system calls for 1500 of them. */
	for (size_t i = 0; i < PIECES; i++) {
		runs[i] = (struct via_store_run){ store, i * 40, 2 };
		bufs[i] = (struct iovec){ data + 2 * (PIECES - 1 - i), 2 };
	}
	r.calls = 0;
	assert_int_equal(via_store_readv(runs, PIECES, bufs, PIECES), 0);
	assert_int_equal(r.calls, 2);
	for (size_t i = 0; i < PIECES; i++)
		assert_memory_equal(bufs[i].iov_base, mem + i * 40, 2);
	/* Neighbours are joined, whatever the buffers' edges. */
	for (size_t i = 0; i < 16; i++)
		runs[i] = (struct via_store_run){ store, i * 64, 64 };
	bufs[0] = (struct iovec){ data, 1000 };
	bufs[1] = (struct iovec){ data + 1000, 0 };
	bufs[2] = (struct iovec){ data + 1000, 24 };
	memset(data, 0, sizeof(data));
	assert_int_equal(via_store_readv(runs, 16, bufs, 3), 0);
	assert_memory_equal(data, mem, 1024);

	assert_int_equal(write_at(store, PAGE - 2, "wxyz", 4), 0);
	assert_int_equal(mem[PAGE], (uint8_t)(PAGE + PAGE / 251)); /* ours is untouched */
	assert_int_equal(read_at(store, PAGE - 2, data, 4), 0);
	assert_memory_equal(data, "wxyz", 4);
	assert_int_equal(via_store_lease(store, 0, 8, VIA_PROT_READ, &lease), -EOPNOTSUPP);
	bufs[2].iov_len = 25;
	assert_int_equal(via_store_readv(runs, 16, bufs, 3), -EINVAL);

	end(r.mm.pid);
	assert_int_equal(read_at(store, 0, data, 4), -ESRCH);
	via_store_put(store);
	via_space_put(space);
	via_mm_put(&r.mm);
	assert_true(r.freed);
	(void)munmap(mem, 16 * PAGE);
}

/* Shared memory lives on in our mapping, next to private memory in the same store. */
static void test_shared_memory_of_another(void **state)
{
	int fd = memfd(2 * PAGE);
	uint8_t *mem = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			    0);
	struct remote r = { .mm = { .ops = &remote_ops, .refs = 1 }, .fd = fd };
	struct via_space *space;
	struct via_store *store;
	struct via_lease lease;
	uint8_t data[4 * PAGE];

	assert_ptr_equal(mmap(mem + PAGE, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
			      fd, 0), mem + PAGE);
	for (size_t i = 0; i < 4 * PAGE; i++)
		mem[i] = (uint8_t)(i / 7);
	r.fd_addr = (uintptr_t)mem + PAGE;
	r.fd_len = 2 * PAGE;
	r.mm.pid = sleeper();
	assert_int_equal(via_space_new_mm(&r.mm, &space), 0);
	assert_int_equal(via_store_new(space, (uintptr_t)mem, 4 * PAGE, RW, &store), 0);
	assert_int_equal(read_at(store, 0, data, sizeof(data)), 0);
	assert_memory_equal(data, mem, sizeof(data));
	memset(data, 0x77, sizeof(data));
	assert_int_equal(write_at(store, 0, data, sizeof(data)), 0);
	assert_memory_equal(mem + PAGE, data, 2 * PAGE);
	assert_int_equal(mem[0], 0); /* the child's private page, not ours */

	assert_int_equal(via_store_lease(store, 0, PAGE, RW, &lease), -EOPNOTSUPP);
	assert_int_equal(via_store_lease(store, 4 * PAGE, 1, RW, &lease), -ERANGE);
	assert_int_equal(via_store_lease(store, PAGE + 16, 2 * PAGE, RW, &lease), 0);
	assert_int_equal(lease.len, 2 * PAGE - 16);
	end(r.mm.pid);
	assert_int_equal(read_at(store, PAGE, data, 2 * PAGE), 0);
	assert_int_equal(read_at(store, 0, data, 1), -ESRCH);
	/* The lease alone keeps the page. */
	via_store_put(store);
	via_space_put(space);
	mem[PAGE + 16] = 0x99;
	assert_int_equal(*(uint8_t *)lease.ptr, 0x99);
	via_lease_put(&lease);
	via_lease_put(&lease); /* nothing left to put */
	via_mm_put(&r.mm);
	assert_true(r.freed);
	(void)munmap(mem, 4 * PAGE);
	(void)close(fd);
}

static void test_own_memory(void **state)
{
	uint8_t *mem = mmap(NULL, 600 * PAGE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct via_mm *self = via_mm_self();
	struct via_space *space;
	struct via_store *store;
	uint64_t addr = (uintptr_t)mem;
	char buf[8];

	assert_int_equal(via_guard_install(), 0);
	assert_int_equal(via_space_new_mm(self, &space), 0);
	assert_int_equal(mprotect(mem + 599 * PAGE, PAGE, PROT_READ), 0);
	/* Short ranges and long ones, which are probed in different ways. */
	assert_int_equal(via_store_new(space, addr + 598 * PAGE, 2 * PAGE, RW, &store), -EFAULT);
	assert_int_equal(via_store_new(space, addr, 600 * PAGE, RW, &store), -EFAULT);
	assert_int_equal(via_store_new(space, addr, 600 * PAGE, VIA_PROT_READ, &store), 0);
	via_store_put(store);
	assert_int_equal(munmap(mem + 5 * PAGE, PAGE), 0);
	assert_int_equal(via_store_new(space, addr, 599 * PAGE, RW, &store), -EFAULT);
	assert_int_equal(via_store_new(space, addr + 3, 5 * PAGE, RW, &store), -EFAULT);
	assert_int_equal(via_store_new(space, addr + 3, 5 * PAGE - 3, RW, &store), 0);
	assert_int_equal(write_at(store, 0, "own", 4), 0);
	assert_string_equal((char *)mem + 3, "own");
	assert_int_equal(munmap(mem, PAGE), 0);
	assert_int_equal(read_at(store, 0, buf, 4), -EFAULT);
	assert_int_equal(read_at(store, PAGE, buf, 4), 0);
	via_store_put(store);
	via_space_put(space);
	via_mm_put(self);
	(void)munmap(mem, 600 * PAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_guard),
		cmocka_unit_test(test_guard_passes_on),
		cmocka_unit_test(test_fd_space_errors),
		cmocka_unit_test(test_sealed_file),
		cmocka_unit_test(test_truncated_file),
		cmocka_unit_test(test_windows_are_shared),
		cmocka_unit_test(test_hugetlb),
		cmocka_unit_test(test_private_memory_of_another),
		cmocka_unit_test(test_shared_memory_of_another),
		cmocka_unit_test(test_own_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
