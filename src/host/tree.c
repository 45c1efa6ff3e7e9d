/* SPDX-License-Identifier: MIT */
#include "host/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Directories in directories that are removed. */
#define MAX_DEPTH 8

void via_tree_fail(struct via_tree *tree, int error, const char *path)
{
	if (tree->error)
		return;
	tree->error = error;
	(void)snprintf(tree->failed, sizeof(tree->failed), "%s", path);
}

/* Below dir only, through no link and into no other mount. */
static int open_below(int dir, const char *path, int flags)
{
	struct open_how how = {
		.flags = (uint64_t)(unsigned int)(flags | O_CLOEXEC | O_NOFOLLOW),
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV,
	};
	int fd = (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));

	/* Kernels before 5.6, and sandboxes that do not know the call. */
	if (fd < 0 && (errno == ENOSYS || errno == EPERM))
		fd = openat(dir, path, flags | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? -errno : fd;
}

/* The directory that path is in, to be closed, and the name there. */
static int open_parent(const struct via_tree *tree, const char *path, const char **ret_name)
{
	const char *slash = strrchr(path, '/');
	char dir[256];

	if (!slash) {
		*ret_name = path;
		return open_below(tree->root, ".", O_PATH | O_DIRECTORY);
	}
	if ((size_t)(slash - path) >= sizeof(dir))
		return -ENAMETOOLONG;
	memcpy(dir, path, (size_t)(slash - path));
	dir[slash - path] = '\0';
	*ret_name = slash + 1;
	return open_below(tree->root, dir, O_PATH | O_DIRECTORY);
}

static void make_dir(struct via_tree *tree, const char *path)
{
	const char *name;
	int dir = open_parent(tree, path, &name);

	if (dir < 0) {
		via_tree_fail(tree, dir, path);
		return;
	}
	if (mkdirat(dir, name, 0755) < 0 && errno != EEXIST)
		via_tree_fail(tree, -errno, path);
	(void)close(dir);
}

void via_tree_dirs(struct via_tree *tree, const char *path, bool all)
{
	char part[256];

	for (size_t i = 0; i < sizeof(part) - 1 && path[i] && !tree->error; i++) {
		part[i] = path[i];
		part[i + 1] = '\0';
		if (path[i + 1] != '/' && !(all && !path[i + 1]))
			continue;
		make_dir(tree, part);
	}
}

void via_tree_bytes(struct via_tree *tree, mode_t mode, const char *path, const void *bytes,
		    size_t len)
{
	const char *name;
	int dir, fd;

	via_tree_dirs(tree, path, false);
	if (tree->error)
		return;
	dir = open_parent(tree, path, &name);
	if (dir < 0) {
		via_tree_fail(tree, dir, path);
		return;
	}
	fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		via_tree_fail(tree, -errno, path);
	else if (write(fd, bytes, len) != (ssize_t)len || fchmod(fd, mode) < 0)
		via_tree_fail(tree, errno ? -errno : -EIO, path);
	if (fd >= 0)
		(void)close(fd);
	(void)close(dir);
}

void via_tree_put(struct via_tree *tree, mode_t mode, const char *dir, const char *name,
		  const char *fmt, ...)
{
	char path[256], text[1024];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	via_tree_bytes(tree, mode, path, text, strlen(text));
}

void via_tree_link(struct via_tree *tree, const char *dir, const char *name, const char *target)
{
	char path[256];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	via_tree_dirs(tree, path, false);
	if (tree->error)
		return;
	fd = open_below(tree->root, dir, O_PATH | O_DIRECTORY);
	if (fd < 0) {
		via_tree_fail(tree, fd, path);
		return;
	}
	if (symlinkat(target, fd, name) < 0)
		via_tree_fail(tree, -errno, path);
	(void)close(fd);
}

static int open_file(struct via_tree *tree, const char *path)
{
	int fd = -1;

	if (!tree->error) {
		fd = open_below(tree->root, path, O_WRONLY | O_NONBLOCK | O_NOCTTY);
		if (fd < 0)
			via_tree_fail(tree, fd, path);
	}
	return fd;
}

void via_tree_update(struct via_tree *tree, const char *path, off_t offset, const void *bytes,
		     size_t len)
{
	int fd = open_file(tree, path);

	if (fd < 0)
		return;
	if (pwrite(fd, bytes, len, offset) != (ssize_t)len)
		via_tree_fail(tree, errno ? -errno : -EIO, path);
	(void)close(fd);
}

void via_tree_value(struct via_tree *tree, const char *path, unsigned int value)
{
	int fd = open_file(tree, path), n;
	char text[16];

	if (fd < 0)
		return;
	n = snprintf(text, sizeof(text), "%u\n", value);
	/* Never empty in between, for those who read it meanwhile. */
	if (pwrite(fd, text, (size_t)n, 0) != n || ftruncate(fd, n) < 0)
		via_tree_fail(tree, errno ? -errno : -EIO, path);
	(void)close(fd);
}

static int remove_at(int dir, const char *name, int depth)
{
	struct dirent *entry;
	DIR *stream;
	int fd;

	if (unlinkat(dir, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -errno;
	if (!depth)
		return -ELOOP;
	fd = open_below(dir, name, O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		return fd;
	stream = fdopendir(fd);
	if (!stream) {
		(void)close(fd);
		return -ENOMEM;
	}
	while ((entry = readdir(stream)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			(void)remove_at(fd, entry->d_name, depth - 1);
	(void)closedir(stream);
	return unlinkat(dir, name, AT_REMOVEDIR) < 0 ? -errno : 0;
}

void via_tree_remove(struct via_tree *tree, const char *path)
{
	const char *name;
	int dir = open_parent(tree, path, &name), ret = dir;

	if (dir >= 0) {
		ret = remove_at(dir, name, MAX_DEPTH);
		(void)close(dir);
	}
	if (ret && ret != -ENOENT)
		via_tree_fail(tree, ret, path);
}
