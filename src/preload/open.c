/* SPDX-License-Identifier: MIT */
/*
 * Opening by path: nodes of ours are opened by the host, the rest of our view
 * is redirected, everything else goes to libc untouched.
 */
#include "preload/attribute.h"
#include "preload/ours.h"
#include "preload/path.h"
#include "preload/real.h"
#include "preload/status.h"
#include "preload/sys.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int open_at(int dir, const char *path, int flags, mode_t mode)
{
	struct via_path p;
	int fd;

	if (!via_client_present())
		return REAL(openat)(dir, path, flags, mode);
	via_path_resolve(&p, dir, path);
	if (p.node && !(flags & (O_DIRECTORY | O_PATH))) {
		fd = via_open_node(p.node, flags);
		/* A directory of nodes, or no node at all: the view answers. */
		if (fd != -ENOENT)
			return (int)via_ret(fd);
	}
	fd = via_open_attribute(dir, p.text, flags);
	if (fd == -ENOENT)
		fd = via_open_status(dir, p.text, flags);
	if (fd != -ENOENT)
		return (int)via_ret(fd);
	fd = REAL(openat)(dir, p.path, flags, mode);
	if (fd >= 0) {
		via_fd_forget(fd);
		if (path[0] == '/' && strcmp(path, "/dev/kvm") == 0)
			via_client_note_kvm();
	}
	return fd;
}

#define NEEDS_MODE(flags) ((flags)&O_CREAT || ((flags)&O_TMPFILE) == O_TMPFILE)

#define OPEN(name, flag)                                              \
	VIA_INTERPOSE int name(const char *path, int flags, ...)      \
	{                                                             \
		mode_t mode = 0;                                      \
		if (NEEDS_MODE(flags)) {                              \
			va_list ap;                                   \
			va_start(ap, flags);                          \
			mode = va_arg(ap, mode_t);                    \
			va_end(ap);                                   \
		}                                                     \
		return open_at(AT_FDCWD, path, flags | (flag), mode); \
	}
#define OPENAT(name, flag)                                                \
	VIA_INTERPOSE int name(int dir, const char *path, int flags, ...) \
	{                                                                 \
		mode_t mode = 0;                                          \
		if (NEEDS_MODE(flags)) {                                  \
			va_list ap;                                       \
			va_start(ap, flags);                              \
			mode = va_arg(ap, mode_t);                        \
			va_end(ap);                                       \
		}                                                         \
		return open_at(dir, path, flags | (flag), mode);          \
	}
#define OPEN_2(name, flag)                                         \
	VIA_INTERPOSE int name(const char *path, int flags);       \
	VIA_INTERPOSE int name(const char *path, int flags)        \
	{                                                          \
		return open_at(AT_FDCWD, path, flags | (flag), 0); \
	}
#define OPENAT_2(name, flag)                                          \
	VIA_INTERPOSE int name(int dir, const char *path, int flags); \
	VIA_INTERPOSE int name(int dir, const char *path, int flags)  \
	{                                                             \
		return open_at(dir, path, flags | (flag), 0);         \
	}

/* O_LARGEFILE is 0 in x86-64's headers. */
int __open(const char *path, int flags, ...);
int __open64(const char *path, int flags, ...);
OPEN(open, 0)
OPEN(open64, 0)
OPEN(__open, 0)
OPEN(__open64, 0)
OPENAT(openat, 0)
OPENAT(openat64, 0)
OPEN_2(__open_2, 0)
OPEN_2(__open64_2, 0)
OPENAT_2(__openat_2, 0)
OPENAT_2(__openat64_2, 0)

/* stdio ------------------------------------------------------------------------------ */

/* open(2) flags of a mode string, or -1 when it is none. */
static int mode_flags(const char *mode)
{
	int flags;

	if (mode[0] != 'r' && mode[0] != 'w' && mode[0] != 'a')
		return -1;
	if (strchr(mode, '+'))
		flags = O_RDWR;
	else
		flags = mode[0] == 'r' ? O_RDONLY : O_WRONLY;
	return strchr(mode, 'e') ? flags | O_CLOEXEC : flags;
}

static FILE *open_stream(const char *path, const char *mode)
{
	struct via_path p;
	int fd, flags;
	FILE *stream;

	if (!via_client_present())
		return REAL(fopen64)(path, mode);
	via_path_resolve(&p, AT_FDCWD, path);
	if ((flags = mode_flags(mode)) < 0)
		return REAL(fopen64)(p.path, mode);
	fd = p.node ? via_open_node(p.node, flags) : via_open_attribute(AT_FDCWD, p.text, flags);
	if (fd == -ENOENT)
		fd = via_open_status(AT_FDCWD, p.text, flags);
	if (fd == -ENOENT)
		return REAL(fopen64)(p.path, mode);
	if (fd < 0) {
		errno = -fd;
		return NULL;
	}
	stream = fdopen(fd, mode);
	if (!stream) {
		int err = errno;

		via_fd_forget(fd);
		via_sys(SYS_close, fd);
		errno = err;
	}
	return stream;
}

VIA_INTERPOSE FILE *fopen(const char *path, const char *mode)
{
	return open_stream(path, mode);
}

VIA_INTERPOSE FILE *fopen64(const char *path, const char *mode)
{
	return open_stream(path, mode);
}

static FILE *reopen_stream(const char *path, const char *mode, FILE *stream)
{
	struct via_path p = {.path = path};

	if (path && via_client_present())
		via_path_resolve(&p, AT_FDCWD, path);
	return REAL(freopen64)(p.path, mode, stream);
}

VIA_INTERPOSE FILE *freopen(const char *path, const char *mode, FILE *stream)
{
	return reopen_stream(path, mode, stream);
}

VIA_INTERPOSE FILE *freopen64(const char *path, const char *mode, FILE *stream)
{
	return reopen_stream(path, mode, stream);
}

/* Directories ------------------------------------------------------------------------- */

VIA_INTERPOSE DIR *opendir(const char *path)
{
	struct via_path p;

	via_path_resolve(&p, AT_FDCWD, path);
	return REAL(opendir)(p.path);
}

VIA_INTERPOSE int scandir(const char *path, struct dirent ***list,
			  int (*filter)(const struct dirent *),
			  int (*compare)(const struct dirent **, const struct dirent **))
{
	struct via_path p;

	via_path_resolve(&p, AT_FDCWD, path);
	return REAL(scandir)(p.path, list, filter, compare);
}

/* struct dirent64 is struct dirent on x86-64. */
VIA_INTERPOSE int scandir64(const char *path, struct dirent64 ***list,
			    int (*filter)(const struct dirent64 *),
			    int (*compare)(const struct dirent64 **, const struct dirent64 **))
{
	_Static_assert(sizeof(struct dirent) == sizeof(struct dirent64), "one layout");
	return scandir(path, (struct dirent ***)list, (int (*)(const struct dirent *))filter,
		       (int (*)(const struct dirent **, const struct dirent **))compare);
}

/* Names ------------------------------------------------------------------------------- */

static ssize_t read_link(int dir, const char *path, char *buf, size_t len)
{
	struct via_path p;
	ssize_t n;

	p.path = path;
	if (via_client_present())
		via_path_resolve(&p, dir, path);
	/* Not libc's name: the wrapper that a sanitizer puts there reads the path, however bad. */
	n = via_ret(via_sys(SYS_readlinkat, dir, p.path, buf, len));
	return n > 0 && buf[0] == '/' ? (ssize_t)via_path_restore_bytes(buf, (size_t)n) : n;
}

VIA_INTERPOSE ssize_t readlink(const char *restrict path, char *restrict buf, size_t len)
{
	return read_link(AT_FDCWD, path, buf, len);
}

VIA_INTERPOSE ssize_t readlinkat(int dir, const char *restrict path, char *restrict buf, size_t len)
{
	return read_link(dir, path, buf, len);
}

VIA_INTERPOSE ssize_t __readlink_chk(const char *path, char *buf, size_t len, size_t room);
VIA_INTERPOSE ssize_t __readlink_chk(const char *path, char *buf, size_t len, size_t room)
{
	if (len > room)
		abort();
	return read_link(AT_FDCWD, path, buf, len);
}

VIA_INTERPOSE ssize_t __readlinkat_chk(int dir, const char *path, char *buf, size_t len,
				       size_t room);
VIA_INTERPOSE ssize_t __readlinkat_chk(int dir, const char *path, char *buf, size_t len,
				       size_t room)
{
	if (len > room)
		abort();
	return read_link(dir, path, buf, len);
}

static char *real_path(const char *path, char *resolved)
{
	struct via_path p;
	char *ret;

	if (!path || !via_client_present())
		return REAL(realpath)(path, resolved);
	via_path_resolve(&p, AT_FDCWD, path);
	ret = REAL(realpath)(p.path, resolved);
	if (ret && p.ours)
		via_path_restore(ret);
	return ret;
}

VIA_INTERPOSE char *realpath(const char *restrict path, char *restrict resolved)
{
	return real_path(path, resolved);
}

VIA_INTERPOSE char *__realpath_chk(const char *path, char *resolved, size_t room);
VIA_INTERPOSE char *__realpath_chk(const char *path, char *resolved, size_t room)
{
	if (room < PATH_MAX)
		abort();
	return real_path(path, resolved);
}

VIA_INTERPOSE char *canonicalize_file_name(const char *path)
{
	return real_path(path, NULL);
}
