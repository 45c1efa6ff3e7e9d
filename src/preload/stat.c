/* SPDX-License-Identifier: MIT */
/*
 * Asking about paths and descriptors. What the view holds for a node is a
 * plain file, and what a program holds is a socket: both are shown as the
 * character devices that they stand for.
 */
#include "preload/ours.h"
#include "preload/path.h"
#include "preload/real.h"
#include "preload/sys.h"

#include <errno.h>
#include <string.h>
#include <sys/sysmacros.h>

static void show_node(const char *node, struct stat64 *st)
{
	if (!node || !S_ISREG(st->st_mode))
		return;
	st->st_mode = S_IFCHR | (st->st_mode & 07777);
	st->st_rdev = via_door_node_number(node);
	st->st_size = 0;
}

static int stat_at(int dir, const char *path, struct stat64 *st, int flags)
{
	struct via_path p;
	int ret;

	if (!via_client_present())
		return REAL(fstatat64)(dir, path, st, flags);
	via_path_resolve(&p, dir, path);
	ret = REAL(fstatat64)(dir, p.path, st, flags);
	if (!ret)
		show_node(p.node, st);
	return ret;
}

static int stat_fd(int fd, struct stat64 *st)
{
	struct via_call identify = {.request = {.op = VIA_DOOR_IDENTIFY}, .fd = fd};
	int ret = REAL(fstat64)(fd, st);

	if (ret || !S_ISSOCK(st->st_mode) || !via_maybe_ours(fd) || !via_ours(fd))
		return ret;
	st->st_mode = S_IFCHR | 0600;
	if (via_call(&identify) > 0)
		st->st_rdev = identify.reply.value[2];
	return ret;
}

/* struct stat and struct stat64 are one layout on x86-64. */
_Static_assert(sizeof(struct stat) == sizeof(struct stat64), "one layout");

#define STAT(name, type, flags)                                                     \
	VIA_INTERPOSE int name(const char *restrict path, struct type *restrict st) \
	{                                                                           \
		return stat_at(AT_FDCWD, path, (struct stat64 *)st, flags);         \
	}
STAT(stat, stat, 0)
STAT(stat64, stat64, 0)
STAT(lstat, stat, AT_SYMLINK_NOFOLLOW)
STAT(lstat64, stat64, AT_SYMLINK_NOFOLLOW)

VIA_INTERPOSE int fstatat(int dir, const char *restrict path, struct stat *restrict st, int flags)
{
	return stat_at(dir, path, (struct stat64 *)st, flags);
}

VIA_INTERPOSE int fstatat64(int dir, const char *restrict path, struct stat64 *restrict st,
			    int flags)
{
	return stat_at(dir, path, st, flags);
}

VIA_INTERPOSE int fstat(int fd, struct stat *st)
{
	return stat_fd(fd, (struct stat64 *)st);
}

VIA_INTERPOSE int fstat64(int fd, struct stat64 *st)
{
	return stat_fd(fd, st);
}

/* What programs built against glibc before 2.33 call; version 1 is the only one here. */
#define XSTAT(name, type, flags)                                                \
	VIA_INTERPOSE int name(int version, const char *path, struct type *st); \
	VIA_INTERPOSE int name(int version, const char *path, struct type *st)  \
	{                                                                       \
		return stat_at(AT_FDCWD, path, (struct stat64 *)st, flags);     \
	}
XSTAT(__xstat, stat, 0)
XSTAT(__xstat64, stat64, 0)
XSTAT(__lxstat, stat, AT_SYMLINK_NOFOLLOW)
XSTAT(__lxstat64, stat64, AT_SYMLINK_NOFOLLOW)

VIA_INTERPOSE int __fxstat(int version, int fd, struct stat *st);
VIA_INTERPOSE int __fxstat(int version, int fd, struct stat *st)
{
	return stat_fd(fd, (struct stat64 *)st);
}

VIA_INTERPOSE int __fxstat64(int version, int fd, struct stat64 *st);
VIA_INTERPOSE int __fxstat64(int version, int fd, struct stat64 *st)
{
	return stat_fd(fd, st);
}

VIA_INTERPOSE int __fxstatat(int version, int dir, const char *path, struct stat *st, int flags);
VIA_INTERPOSE int __fxstatat(int version, int dir, const char *path, struct stat *st, int flags)
{
	return stat_at(dir, path, (struct stat64 *)st, flags);
}

VIA_INTERPOSE int __fxstatat64(int version, int dir, const char *path, struct stat64 *st,
			       int flags);
VIA_INTERPOSE int __fxstatat64(int version, int dir, const char *path, struct stat64 *st, int flags)
{
	return stat_at(dir, path, st, flags);
}

VIA_INTERPOSE int statx(int dir, const char *restrict path, int flags, unsigned int mask,
			struct statx *restrict st)
{
	struct via_path p = {.path = path};
	int ret;

	if (via_client_present())
		via_path_resolve(&p, dir, path);
	ret = REAL(statx)(dir, p.path, flags, mask, st);
	if (!ret && p.node && S_ISREG(st->stx_mode)) {
		dev_t number = via_door_node_number(p.node);

		st->stx_mode = (uint16_t)(S_IFCHR | (st->stx_mode & 07777));
		st->stx_rdev_major = major(number);
		st->stx_rdev_minor = minor(number);
		st->stx_size = 0;
	}
	return ret;
}

VIA_INTERPOSE int access(const char *path, int mode)
{
	struct via_path p;

	via_path_resolve(&p, AT_FDCWD, path);
	return REAL(access)(p.path, mode);
}

VIA_INTERPOSE int eaccess(const char *path, int mode)
{
	struct via_path p;

	via_path_resolve(&p, AT_FDCWD, path);
	return REAL(eaccess)(p.path, mode);
}

VIA_INTERPOSE int euidaccess(const char *path, int mode)
{
	return eaccess(path, mode);
}

VIA_INTERPOSE int faccessat(int dir, const char *path, int mode, int flags)
{
	struct via_path p;

	via_path_resolve(&p, dir, path);
	return REAL(faccessat)(dir, p.path, mode, flags);
}
