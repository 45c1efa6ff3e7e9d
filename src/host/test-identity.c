/* SPDX-License-Identifier: MIT */
/* Which page of another process is it, and what becomes of it when the process moves or dies? */
#include "host/internal.h"
#include "host/pins.h"
#include "iommu/pages.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { PAGE = 4096, N_PAGES = 8 };

/* A child that is a copy of us, and has moved its third private page elsewhere. */
struct program {
	pid_t pid;
	int to, from; /* pipes: a byte to the child, a byte when it is done */
	struct via_mm *mm;
	struct via_space *space;
	uint8_t *private, *elsewhere, *shared, *anon;
	int fd;
};

static void child(const struct program *p, int from, int to)
{
	char byte;

	/* First: a shim's part of munmap(), and the program's mmap() at the same place. */
	if (read(from, &byte, 1) != 1)
		_exit(1);
	if (mremap(p->private + 2 * PAGE, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, p->elsewhere) !=
	    p->elsewhere)
		_exit(1);
	if (mmap(p->private + 2 * PAGE, PAGE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != p->private + 2 * PAGE)
		_exit(1);
	p->private[2 * PAGE] = 99;
	p->private[PAGE]++;
	if (write(to, "x", 1) != 1)
		_exit(1);
	(void)read(from, &byte, 1);
	_exit(0);
}

static int setup(void **state)
{
	struct program *p = calloc(1, sizeof(*p));
	int there[2], back[2], pid_fd, proc_fd;
	char name[32];

	assert_non_null(p);
	p->fd = memfd_create("via-test", MFD_CLOEXEC);
	assert_int_equal(ftruncate(p->fd, N_PAGES * PAGE), 0);
	p->private = mmap(NULL, N_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			  0);
	p->elsewhere = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	p->shared = mmap(NULL, N_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, p->fd, 0);
	p->anon = mmap(NULL, N_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (int i = 0; i < N_PAGES; i++) {
		memset(p->private + i * PAGE, i + 1, PAGE);
		memset(p->shared + i * PAGE, 0x40 + i, PAGE);
	}
	assert_int_equal(pipe2(there, O_CLOEXEC) | pipe2(back, O_CLOEXEC), 0);
	p->pid = fork();
	assert_true(p->pid >= 0);
	if (!p->pid)
		child(p, there[0], back[1]);
	(void)close(there[0]);
	(void)close(back[1]);
	p->to = there[1];
	p->from = back[0];
	(void)snprintf(name, sizeof(name), "/proc/%d", (int)p->pid);
	pid_fd = (int)syscall(SYS_pidfd_open, p->pid, 0);
	proc_fd = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(pid_fd >= 0 && proc_fd >= 0);
	assert_int_equal(via_remote_mm_new(p->pid, getuid(), pid_fd, proc_fd, &p->mm), 0);
	assert_int_equal(p->mm->uid, getuid());
	assert_int_equal(via_space_new_mm(p->mm, &p->space), 0);
	*state = p;
	return 0;
}

static void end_child(struct program *p)
{
	if (!p->pid)
		return;
	(void)kill(p->pid, SIGKILL);
	(void)waitpid(p->pid, NULL, 0);
	p->pid = 0;
}

static int teardown(void **state)
{
	struct program *p = *state;

	end_child(p);
	via_space_put(p->space);
	via_mm_put(p->mm);
	(void)close(p->to);
	(void)close(p->from);
	(void)close(p->fd);
	(void)munmap(p->private, N_PAGES * PAGE);
	(void)munmap(p->elsewhere, PAGE);
	(void)munmap(p->shared, N_PAGES * PAGE);
	(void)munmap(p->anon, N_PAGES * PAGE);
	free(p);
	return 0;
}

static struct via_page_identity at(struct via_mm *mm, const void *addr)
{
	struct via_page_identity page;

	assert_int_equal(via_mm_identity(mm, (uintptr_t)addr, &page), 0);
	return page;
}

static struct via_page_identity in(struct via_pages *pages, uint64_t offset)
{
	struct via_page_identity page;

	assert_int_equal(via_pages_identity(pages, offset, &page), 0);
	return page;
}

static bool same(struct via_page_identity a, struct via_page_identity b)
{
	return a.space == b.space && a.object == b.object && a.page == b.page;
}

static struct via_pages *pinned(struct program *p, const void *addr, uint64_t len)
{
	struct via_pages *pages;

	assert_int_equal(via_pages_new_memory(p->space, (uintptr_t)addr, len, true, NULL, &pages), 0);
	assert_int_equal(via_pages_pin(pages, 0, len), 0);
	return pages;
}

static void done(struct via_pages *pages, uint64_t len)
{
	via_pages_unpin(pages, 0, len);
	via_pages_put(pages);
}

static void shared_pages(void **state)
{
	struct program *p = *state;
	struct via_mm *self = via_mm_self();
	struct via_pages *pages = pinned(p, p->shared + PAGE, 4 * PAGE), *file;
	struct via_pages *anon = pinned(p, p->anon, N_PAGES * PAGE);

	/* Ours, the child's and the file's. */
	assert_true(same(at(p->mm, p->shared + 3 * PAGE), at(self, p->shared + 3 * PAGE)));
	assert_true(same(in(pages, 2 * PAGE), at(self, p->shared + 3 * PAGE)));
	assert_int_equal(via_pages_new_file(p->fd, 0, N_PAGES * PAGE, true, NULL, &file), 0);
	assert_int_equal(via_pages_pin(file, 0, N_PAGES * PAGE), 0);
	assert_true(same(in(file, 3 * PAGE), in(pages, 2 * PAGE)));
	for (int i = 0; i < N_PAGES; i++) {
		struct via_page_identity page = at(self, p->shared + i * PAGE);

		assert_int_equal(via_pages_count_pins(&page), i >= 1 && i < 5 ? 2 : 1);
		page = at(self, p->anon + i * PAGE);
		assert_true(same(in(anon, (uint64_t)i * PAGE), page));
		assert_int_equal(via_pages_count_pins(&page), 1);
	}
	done(file, N_PAGES * PAGE);
	done(pages, 4 * PAGE);
	done(anon, N_PAGES * PAGE);
	via_mm_put(self);
}

static void private_pages(void **state)
{
	struct program *p = *state;
	struct via_mm *self = via_mm_self();
	struct via_pages *pages = pinned(p, p->private, N_PAGES * PAGE);
	struct via_page_identity before[N_PAGES], page;
	char byte;

	for (int i = 0; i < N_PAGES; i++) {
		before[i] = at(p->mm, p->private + i * PAGE);
		assert_int_equal(before[i].object, 0);
		assert_false(same(before[i], at(self, p->private + i * PAGE)));
		assert_true(same(before[i], in(pages, (uint64_t)i * PAGE)));
		assert_int_equal(via_pages_count_pins(&before[i]), 1);
	}
	/* What is mapped where a pinned page was is another page; the pinned one is where it went. */
	assert_int_equal(write(p->to, "x", 1), 1);
	assert_int_equal(read(p->from, &byte, 1), 1);
	assert_int_equal(via_pins_moved(via_remote_mm_pins(p->mm), (uintptr_t)p->private + 2 * PAGE, PAGE,
					(uintptr_t)p->elsewhere, true), 0);
	page = at(p->mm, p->private + 2 * PAGE);
	assert_false(same(page, in(pages, 2 * PAGE)));
	assert_int_equal(via_pages_count_pins(&page), 0);
	page = at(p->mm, p->elsewhere);
	assert_true(same(page, in(pages, 2 * PAGE)));
	assert_int_equal(via_pages_count_pins(&page), 1);
	/* A page that the program has written to is the same, like the others. */
	for (int i = 0; i < N_PAGES; i++)
		if (i != 2) {
			assert_true(same(before[i], in(pages, (uint64_t)i * PAGE)));
			assert_int_equal(via_pages_count_pins(&before[i]), 1);
		}
	done(pages, N_PAGES * PAGE);
	assert_int_equal(via_pages_count_pins(&before[0]), 0);
	via_mm_put(self);
}

/* What is pinned of shared memory stays; private memory goes with its program, and so does what is not pinned. */
static void program_dies(void **state)
{
	struct program *p = *state;
	struct via_pages *shared = pinned(p, p->shared, 4 * PAGE), *later;
	struct via_pages *private = pinned(p, p->private, 4 * PAGE);
	struct via_page_identity page;
	uint8_t byte = 0;
	uint64_t n;

	assert_int_equal(via_pages_copy(private, PAGE, &byte, 1, false, &n), 0);
	assert_int_equal(byte, 2);
	assert_int_equal(via_pages_new_memory(p->space, (uintptr_t)p->shared, PAGE, true, NULL, &later),
			 0);
	end_child(p);
	assert_int_equal(via_pages_pin(later, 0, PAGE), -EFAULT);
	assert_int_equal(via_pages_copy(later, 0, &byte, 1, false, &n), -EFAULT);
	assert_int_equal(via_pages_copy(private, 0, &byte, 1, false, &n), -EFAULT);
	assert_int_equal(via_pages_identity(private, 0, &page), -EFAULT);
	assert_int_equal(via_pages_copy(shared, PAGE, &byte, 1, false, &n), 0);
	assert_int_equal(byte, 0x41);
	/* Also once more. */
	assert_int_equal(via_pages_pin(shared, PAGE, PAGE), 0);
	assert_int_equal(via_pages_identity(shared, PAGE, &page), 0);
	assert_int_equal(via_pages_count_pins(&page), 1);
	via_pages_unpin(shared, PAGE, PAGE);
	done(shared, 4 * PAGE);
	done(private, 4 * PAGE);
	via_pages_put(later);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(shared_pages, setup, teardown),
		cmocka_unit_test_setup_teardown(private_pages, setup, teardown),
		cmocka_unit_test_setup_teardown(program_dies, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
