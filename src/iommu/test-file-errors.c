/* SPDX-License-Identifier: MIT */
/*
 * Files as DMA memory when the kernel refuses us what we need for them: which errno it is
 * for the program. The linker puts our calls before the real ones.
 */
#include "iommu/test-pages.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* The errno that a call ends with; 0: it does what it does. */
static int open_errno, space_errno, store_errno;

int __wrap_open(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
int __real_open(const char *path, int flags, ...);
int __wrap_via_space_new_fd(int fd, unsigned int prot, struct via_space **ret_space);
int __real_via_space_new_fd(int fd, unsigned int prot, struct via_space **ret_space);
int __wrap_via_store_new(struct via_space *space, uint64_t addr, uint64_t len, unsigned int prot,
			 struct via_store **ret_store);
int __real_via_store_new(struct via_space *space, uint64_t addr, uint64_t len, unsigned int prot,
			 struct via_store **ret_store);

int __wrap_open(const char *path, int flags, ...)
{
	if (open_errno && !strncmp(path, "/proc/self/fd/", 14)) {
		errno = open_errno;
		return -1;
	}
	return __real_open(path, flags);
}

int __wrap_open64(const char *path, int flags, ...)
{
	return __wrap_open(path, flags);
}

int __wrap_via_space_new_fd(int fd, unsigned int prot, struct via_space **ret_space)
{
	return space_errno ? -space_errno : __real_via_space_new_fd(fd, prot, ret_space);
}

int __wrap_via_store_new(struct via_space *space, uint64_t addr, uint64_t len, unsigned int prot,
			 struct via_store **ret_store)
{
	return store_errno ? -store_errno : __real_via_store_new(space, addr, len, prot, ret_store);
}

/* Pin a page of a file that we have open with mode, for devices that write or only read. */
static int pin(struct fixture *f, int mode, bool writable)
{
	int open_now = open_errno, fd = memfd_of(PAGE), again, rc;
	struct via_pages *pages;
	char name[32];

	(void)snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	open_errno = 0;
	again = open(name, mode);
	open_errno = open_now;
	assert_true(again >= 0);
	assert_int_equal(via_pages_new_file(again, 0, PAGE, writable, &f->owner, &pages), 0);
	rc = via_pages_pin(pages, 0, PAGE);
	if (!rc)
		via_pages_unpin(pages, 0, PAGE);
	via_pages_put(pages);
	(void)close(again);
	(void)close(fd);
	open_errno = space_errno = store_errno = 0;
	return rc;
}

static void test_open(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(pin(f, O_WRONLY, false), 0);
	/* That we lack something is no fault of the file's. */
	open_errno = EMFILE;
	assert_int_equal(pin(f, O_WRONLY, false), -ENOMEM);
	open_errno = ENFILE;
	assert_int_equal(pin(f, O_WRONLY, false), -ENOMEM);
	open_errno = ENOMEM;
	assert_int_equal(pin(f, O_WRONLY, false), -ENOMEM);
	open_errno = EACCES;
	assert_int_equal(pin(f, O_WRONLY, false), -EFAULT);
	open_errno = EPERM;
	assert_int_equal(pin(f, O_WRONLY, false), -EFAULT);
	/* What cannot be written is read at least, if it is not for want of something. */
	open_errno = EACCES;
	assert_int_equal(pin(f, O_RDONLY, true), 0);
	open_errno = EMFILE;
	assert_int_equal(pin(f, O_RDONLY, true), -ENOMEM);
}

static void test_map(void **state)
{
	struct fixture *f = *state;

	space_errno = EACCES;
	assert_int_equal(pin(f, O_RDWR, false), -EFAULT);
	space_errno = EACCES;
	assert_int_equal(pin(f, O_RDWR, true), -EFAULT);
	space_errno = EIO;
	assert_int_equal(pin(f, O_RDWR, true), -ENOMEM);
	/* It has become shorter since we looked. */
	store_errno = EFAULT;
	assert_int_equal(pin(f, O_RDWR, true), -EINVAL);
	store_errno = EACCES;
	assert_int_equal(pin(f, O_RDWR, true), -ENOMEM);
}

/* The same for a copy of what is not pinned. */
static void test_copy(void **state)
{
	struct fixture *f = *state;
	int fd = memfd_of(PAGE);
	struct via_pages *pages;
	uint64_t done;
	uint8_t byte;

	assert_int_equal(via_pages_new_file(fd, 0, PAGE, true, &f->owner, &pages), 0);
	space_errno = EIO;
	assert_int_equal(via_pages_copy(pages, 0, &byte, 1, true, &done), -ENOMEM);
	space_errno = EACCES;
	assert_int_equal(via_pages_copy(pages, 0, &byte, 1, true, &done), -EFAULT);
	space_errno = 0;
	assert_int_equal(via_pages_copy(pages, 0, &byte, 1, true, &done), 0);
	via_pages_put(pages);
	(void)close(fd);
}

static void test_no_descriptor(void **state)
{
	struct fixture *f = *state;
	struct via_pages *pages;

	assert_int_equal(via_pages_new_file(-1, 0, PAGE, true, &f->owner, &pages), -ENOMEM);
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(test_open),
		test(test_map),
		test(test_copy),
		test(test_no_descriptor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
