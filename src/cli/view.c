/* SPDX-License-Identifier: MIT */
/*
 * Making directories in the real sysfs is refused to everyone, so the private
 * /sys is a tmpfs in a mount namespace of the program's own, into which every
 * real entry is bind-mounted, except the few that are ours. An unprivileged
 * caller gets the namespace through a user namespace that maps only itself.
 */
#include "cli/view.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <ftw.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

/* Where the shim finds dev/ when /sys is ours: beside other subsystems' entries. */
#define ROOT_IN_SYS "fs/viaduct"

/* Directories of which some children are ours (or are added), and the pattern of those. */
static const struct {
	const char *dir, *ours;
} mixed[] = {
	{"", ""},		{"devices", "pci*"}, {"bus", "pci"},   {"kernel", "iommu_groups"},
	{"class", "vfio*"},	{"class", "iommu"},  {"module", "vfio*"}, {"fs", "viaduct"},
};

static bool is_mixed(const char *rel)
{
	for (size_t i = 0; i < sizeof(mixed) / sizeof(mixed[0]); i++)
		if (!strcmp(mixed[i].dir, rel))
			return true;
	return false;
}

static bool is_ours(const char *dir, const char *name)
{
	for (size_t i = 0; i < sizeof(mixed) / sizeof(mixed[0]); i++)
		if (!strcmp(mixed[i].dir, dir) && !fnmatch(mixed[i].ours, name, 0))
			return true;
	return false;
}

static int bind_entry(int dir, const char *name, const char *target, bool directory)
{
	char source[64];
	int fd = openat(dir, name, O_PATH | O_CLOEXEC | O_NOFOLLOW);
	int r = 0;

	if (fd < 0)
		return -errno;
	(void)snprintf(source, sizeof(source), "/proc/self/fd/%d", fd);
	if (directory)
		r = mkdir(target, 0755);
	else
		r = mknod(target, S_IFREG | 0644, 0);
	if (!r)
		r = mount(source, target, NULL, MS_BIND | MS_REC, NULL);
	r = r ? -errno : 0;
	close(fd);
	return r;
}

/* Fill /sys/rel, a directory of the new tmpfs, from the real one. Owns dir. */
static int assemble(int dir, const char *rel)
{
	DIR *d = fdopendir(dir);
	struct dirent *e;
	int r = 0;

	if (!d) {
		close(dir);
		return -errno;
	}
	while (!r && (e = readdir(d))) {
		char child[256], target[320], link[PATH_MAX];
		struct stat st;
		int n;

		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") || is_ours(rel, e->d_name))
			continue;
		n = snprintf(child, sizeof(child), "%s%s%s", rel, *rel ? "/" : "", e->d_name);
		if (n < 0 || (size_t)n >= sizeof(child) ||
		    fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW))
			continue;
		(void)snprintf(target, sizeof(target), "/sys/%s", child);
		if (S_ISLNK(st.st_mode)) {
			ssize_t len = readlinkat(dirfd(d), e->d_name, link, sizeof(link) - 1);

			if (len < 0)
				continue;
			link[len] = '\0';
			r = symlink(link, target) ? -errno : 0;
		} else if (S_ISDIR(st.st_mode) && is_mixed(child)) {
			int sub = openat(dirfd(d), e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

			r = sub < 0 || mkdir(target, 0755) ? -errno : assemble(sub, child);
		} else {
			r = bind_entry(dirfd(d), e->d_name, target, S_ISDIR(st.st_mode));
		}
	}
	closedir(d);
	return r;
}

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = write(fd, text, strlen(text));
	n = n < 0 ? -errno : 0;
	close(fd);
	return (int)n;
}

static int enter_namespace(const char **ret_what)
{
	uid_t uid = geteuid();
	gid_t gid = getegid();
	char map[64];
	int r;

	*ret_what = "a mount namespace";
	if (!unshare(CLONE_NEWNS))
		goto private;
	*ret_what = "a user and mount namespace";
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS))
		return -errno;
	/* Refused where the kernel has no such file; harmless then. */
	(void)write_file("/proc/self/setgroups", "deny");
	(void)snprintf(map, sizeof(map), "%u %u 1", uid, uid);
	r = write_file("/proc/self/uid_map", map);
	(void)snprintf(map, sizeof(map), "%u %u 1", gid, gid);
	if (!r)
		r = write_file("/proc/self/gid_map", map);
	if (r)
		return r;
private:
	return mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ? -errno : 0;
}

static int mkdir_at(int dir, const char *path)
{
	char partial[128];

	for (const char *slash = path; (slash = strchr(slash, '/')); slash++) {
		(void)snprintf(partial, sizeof(partial), "%.*s", (int)(slash - path), path);
		if (mkdirat(dir, partial, 0755) && errno != EEXIST)
			return -errno;
	}
	return mkdirat(dir, path, 0755) && errno != EEXIST ? -errno : 0;
}

/* An empty file for the node name below root. */
static int make_node(int root, const char *name)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "dev/%s", name);
	return mknodat(root, path, S_IFREG | 0666, 0) && errno != EEXIST ? -errno : 0;
}

/* dev/iommu, dev/vfio/{vfio,N,devices/vfioN} below root: what stat, access and opendir of those are redirected to. */
static int make_dev(struct via_host *host, int root)
{
	struct via_vfio *vfio = via_host_vfio(host);
	struct via_device *dev;
	int r = mkdir_at(root, via_vfio_device_nodes(vfio) ? "dev/vfio/devices" : "dev/vfio");

	if (!r)
		r = make_node(root, "vfio/vfio");
	if (!r)
		r = make_node(root, "iommu");
	for (size_t i = 0; !r && (dev = via_vfio_device(vfio, i)); i++) {
		char name[48];

		via_vfio_group_node(vfio, (unsigned int)via_vfio_device_group(vfio, i), name);
		r = make_node(root, name);
		if (!via_vfio_device_nodes(vfio))
			continue;
		(void)snprintf(name, sizeof(name), "vfio/devices/vfio%d",
			       via_vfio_device_number(vfio, dev));
		if (!r)
			r = make_node(root, name);
	}
	return r;
}

static int mount_view(struct via_host *host, struct view *view, const char **ret_what,
		      struct via_error *err)
{
	int real, sys = -1, root = -1, r = enter_namespace(ret_what);

	if (r)
		return r;
	/* A mount can only be bound from within its own namespace, so not before now. */
	real = open("/sys", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (real < 0)
		return -errno;
	r = mount("viaduct", "/sys", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755") ? -errno : 0;
	if (r) {
		close(real);
		return r;
	}
	r = assemble(real, "");
	if (!r) {
		sys = open("/sys", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		r = sys < 0 ? -errno : via_host_sysfs(host, sys, err);
	}
	if (!r)
		r = mkdir_at(sys, ROOT_IN_SYS);
	if (!r) {
		root = openat(sys, ROOT_IN_SYS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		r = root < 0 ? -errno : make_dev(host, root);
	}
	if (!r) {
		view->sys_fd = sys;
		view->root_fd = root;
		return 0;
	}
	if (sys >= 0)
		close(sys);
	if (root >= 0)
		close(root);
	(void)umount2("/sys", MNT_DETACH);
	return r;
}

static int redirect_view(struct via_host *host, const char *fallback, struct view *view,
			 struct via_error *err)
{
	int root = open(fallback, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int sys = -1, r;

	if (root < 0)
		return via_error_set(err, -errno, "cannot open '%s': %s", fallback, strerror(errno));
	r = mkdir_at(root, "sys");
	if (!r) {
		sys = openat(root, "sys", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		r = sys < 0 ? -errno : via_host_sysfs(host, sys, err);
	}
	if (!r)
		r = make_dev(host, root);
	if (!r) {
		view->sys_fd = sys;
		view->root_fd = root;
		return 0;
	}
	if (sys >= 0)
		close(sys);
	close(root);
	return via_error_set(err, r, "cannot make the device tree in '%s': %s", fallback, strerror(-r));
}

int view_enter(struct via_host *host, const char *fallback, struct view *ret_view,
	       struct via_error *err)
{
	const char *what = "";
	int r = mount_view(host, ret_view, &what, NULL);

	if (!r) {
		ret_view->mounted = true;
		(void)snprintf(ret_view->root, sizeof(ret_view->root), "/sys/" ROOT_IN_SYS);
		(void)snprintf(ret_view->why, sizeof(ret_view->why), "a private /sys in %s", what);
		return 0;
	}
	ret_view->mounted = false;
	(void)snprintf(ret_view->root, sizeof(ret_view->root), "%s", fallback);
	(void)snprintf(ret_view->why, sizeof(ret_view->why),
		       "paths redirected by the shim to %.100s, because %s was refused: %s", fallback,
		       *what ? what : "a mount namespace", strerror(-r));
	return redirect_view(host, fallback, ret_view, err);
}

int view_fallback_new(char *path, size_t len, struct via_error *err)
{
	const char *tmp = getenv("TMPDIR");
	int n = snprintf(path, len, "%s/viaduct-XXXXXX", tmp && *tmp ? tmp : "/tmp");

	if (n < 0 || (size_t)n >= len || !mkdtemp(path))
		return via_error_set(err, -errno, "cannot make a directory below %s: %s; set TMPDIR",
				     tmp && *tmp ? tmp : "/tmp", strerror(errno));
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void view_fallback_remove(const char *path)
{
	(void)nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}
