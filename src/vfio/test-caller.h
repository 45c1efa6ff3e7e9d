/* SPDX-License-Identifier: MIT */
/*
 * A caller for tests: this process. Descriptors are real numbers, so that
 * eventfds and pipes are themselves; a file object sits behind a descriptor of
 * /dev/null that only keeps its number taken.
 */
#ifndef VIA_VFIO_TEST_CALLER_H
#define VIA_VFIO_TEST_CALLER_H

#include "vfio/file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#define TEST_FILES 64

struct test_caller {
	struct via_caller caller;
	pthread_mutex_t lock; /* protects slots */
	struct {
		int fd;
		struct via_file *file; /* NULL: free */
	} slots[TEST_FILES];
};

static inline int test_fd_get(struct via_caller *caller, int fd, int *ret_fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	if (copy < 0)
		return -errno;
	*ret_fd = copy;
	return 0;
}

static inline int test_fd_put(struct via_caller *caller, int fd, bool cloexec)
{
	return fcntl(fd, F_SETFD, cloexec ? FD_CLOEXEC : 0) < 0 ? -errno : fd;
}

static inline int test_file_get(struct via_caller *caller, int fd, struct via_file **ret_file)
{
	struct test_caller *tc = (struct test_caller *)caller;
	int ret = fcntl(fd, F_GETFD) < 0 ? -EBADF : -EBADFD;

	pthread_mutex_lock(&tc->lock);
	for (size_t i = 0; i < TEST_FILES; i++) {
		if (tc->slots[i].file && tc->slots[i].fd == fd) {
			*ret_file = via_file_get(tc->slots[i].file);
			ret = 0;
		}
	}
	pthread_mutex_unlock(&tc->lock);
	return ret;
}

static inline int test_file_put(struct via_caller *caller, struct via_file *file, bool cloexec)
{
	struct test_caller *tc = (struct test_caller *)caller;
	int fd = -1;

	pthread_mutex_lock(&tc->lock);
	for (size_t i = 0; i < TEST_FILES && fd < 0; i++) {
		if (tc->slots[i].file)
			continue;
		fd = open("/dev/null", O_RDWR | (cloexec ? O_CLOEXEC : 0));
		if (fd < 0)
			break;
		tc->slots[i].fd = fd;
		tc->slots[i].file = file;
	}
	pthread_mutex_unlock(&tc->lock);
	return fd < 0 ? -EMFILE : fd;
}

static inline int test_close(struct test_caller *tc, int fd)
{
	struct via_file *file = NULL;

	pthread_mutex_lock(&tc->lock);
	for (size_t i = 0; i < TEST_FILES; i++) {
		if (tc->slots[i].file && tc->slots[i].fd == fd) {
			file = tc->slots[i].file;
			tc->slots[i].file = NULL;
		}
	}
	pthread_mutex_unlock(&tc->lock);
	via_file_put(file);
	return close(fd) < 0 ? -errno : 0;
}

static inline void test_caller_init(struct test_caller *tc)
{
	static const struct via_caller_ops ops = {
		.fd_get = test_fd_get,
		.fd_put = test_fd_put,
		.file_get = test_file_get,
		.file_put = test_file_put,
	};

	memset(tc, 0, sizeof(*tc));
	pthread_mutex_init(&tc->lock, NULL);
	tc->caller.ops = &ops;
	tc->caller.mm = via_mm_self();
	tc->caller.pid = getpid();
	tc->caller.uid = getuid();
	tc->caller.caps = VIA_CAP_IPC_LOCK | VIA_CAP_SYS_RAWIO;
}

static inline void test_caller_deinit(struct test_caller *tc)
{
	for (size_t i = 0; i < TEST_FILES; i++) {
		if (tc->slots[i].file)
			test_close(tc, tc->slots[i].fd);
	}
	via_mm_put(tc->caller.mm);
	pthread_mutex_destroy(&tc->lock);
}

#endif
