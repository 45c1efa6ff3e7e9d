/* SPDX-License-Identifier: MIT */
/*
 * A kernel counts the memory that is mapped for DMA as locked or pinned by the
 * process that mapped it. Here it is the host that counts, so the file is read
 * when it is opened, and the program gets a copy with the sums.
 */
#include "preload/status.h"

#include "preload/client.h"
#include "preload/fdtable.h"
#include "preload/path.h"
#include "preload/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* More than the file ever has; and as much again would not be worth a loop. */
enum { TEXT_SIZE = 16384 };

static bool named_status(const char *path)
{
	const char *slash = strrchr(path, '/');

	return strcmp(slash ? slash + 1 : path, "status") == 0;
}

/* "/proc/PID/status" or "/proc/PID/task/TID/status" to PID, else 0. */
static pid_t process_of(const char *path)
{
	static const char proc[] = "/proc/";
	char *rest;
	long pid;

	if (strncmp(path, proc, sizeof(proc) - 1) != 0)
		return 0;
	path += sizeof(proc) - 1;
	if (*path < '1' || *path > '9')
		return 0;
	pid = strtol(path, &rest, 10);
	if (pid > INT_MAX)
		return 0;
	if (strncmp(rest, "/task/", 6) == 0)
		rest += 6 + strspn(rest + 6, "0123456789");
	return strcmp(rest, "/status") == 0 ? (pid_t)pid : 0;
}

static size_t read_all(int fd, char *text)
{
	size_t at = 0;
	long n;

	while (at < TEXT_SIZE && (n = via_sys(SYS_read, fd, text + at, TEXT_SIZE - at)) > 0)
		at += (size_t)n;
	return at;
}

static void write_all(int fd, const char *text, size_t len)
{
	long n;

	while (len && (n = via_sys(SYS_write, fd, text, len)) > 0) {
		text += n;
		len -= (size_t)n;
	}
}

/* Copy text to fd; a line "NAME:\t   N kB" gets pages more. */
static void copy_with(int fd, const char *text, size_t len, uint64_t locked, uint64_t pinned)
{
	const char *end = text + len;

	while (text < end) {
		const char *stop = memchr(text, '\n', (size_t)(end - text));
		const char *next = stop ? stop + 1 : end;
		uint64_t pages = 0;
		char line[64];

		if (strncmp(text, "VmLck:", 6) == 0)
			pages = locked;
		else if (strncmp(text, "VmPin:", 6) == 0)
			pages = pinned;
		if (pages) {
			int n = snprintf(line, sizeof(line), "%.6s\t%8llu kB\n", text,
					 strtoull(text + 6, NULL, 10) + pages * 4ull);

			write_all(fd, line, (size_t)n);
		} else {
			write_all(fd, text, (size_t)(next - text));
		}
		text = next;
	}
}

static int make_copy(int fd, uint64_t locked, uint64_t pinned, int flags)
{
	char text[TEXT_SIZE + 1], path[32];
	size_t len = read_all(fd, text);
	int copy, ret;

	text[len] = '\0';
	copy = (int)via_sys(SYS_memfd_create, "status", MFD_CLOEXEC);
	if (copy < 0)
		return copy;
	copy_with(copy, text, len, locked, pinned);
	/* A description of its own that is only for reading, from the start. */
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", copy);
	ret = (int)via_sys(SYS_openat, AT_FDCWD, path, O_RDONLY | (flags & (O_CLOEXEC | O_NONBLOCK)),
			   0);
	via_sys(SYS_close, copy);
	return ret;
}

int via_open_status(int dir, const char *text, int flags)
{
	struct via_call call = {.request = {.op = VIA_DOOR_LOCKED}, .fd = -1};
	char path[PATH_MAX];
	pid_t pid = 0;
	int fd, ret;

	if ((flags & O_ACCMODE) != O_RDONLY || flags & (O_DIRECTORY | O_PATH) || !text ||
	    !named_status(text) || !via_client_present())
		return -ENOENT;
	/* Opening a file of another kind may do something: a FIFO's writer goes on. */
	fd = (int)via_sys(SYS_openat, dir, text, O_PATH | O_CLOEXEC, 0);
	if (fd < 0)
		return -ENOENT;
	if (via_path_of(fd, path))
		pid = process_of(path);
	via_sys(SYS_close, fd);
	call.request.arg[0] = (uint64_t)pid;
	if (!pid || via_call(&call) < 0 || (!call.reply.value[0] && !call.reply.value[1]))
		return -ENOENT;
	fd = (int)via_sys(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return -ENOENT;
	ret = make_copy(fd, call.reply.value[0], call.reply.value[1], flags);
	via_sys(SYS_close, fd);
	if (ret >= 0)
		via_fd_forget(ret);
	return ret;
}
