/* SPDX-License-Identifier: MIT */
#include "preload/path.h"

#include "preload/client.h"
#include "preload/self.h"
#include "preload/sys.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

/* Atomic: 0 unknown, 1 none, 2 nodes only, 3 sysfs as well. The root is written before. */
static int mode;
static char root[128];
static size_t root_len;

/* Parts of sysfs that the view replaces; a name ends where the pattern does unless it has '*'. */
static const char *const replaced[] = {
	"/sys/bus/pci",	    "/sys/devices/pci*", "/sys/kernel/iommu_groups",
	"/sys/class/vfio*", "/sys/class/iommu",	 "/sys/module/vfio*",
};

static int view_mode(void)
{
	int now = __atomic_load_n(&mode, __ATOMIC_ACQUIRE);
	const char *dir, *sysfs;

	if (now)
		return now;
	dir = getenv("VIADUCT_ROOT");
	sysfs = getenv("VIADUCT_SYSFS");
	if (!via_client_present() || !dir || dir[0] != '/' || strlen(dir) >= sizeof(root)) {
		now = 1;
	} else {
		root_len = strlen(dir);
		memcpy(root, dir, root_len + 1);
		now = sysfs && strcmp(sysfs, "redirect") == 0 ? 3 : 2;
	}
	__atomic_store_n(&mode, now, __ATOMIC_RELEASE);
	return now;
}

/* path is pattern, or lies below it. */
static bool below(const char *path, const char *pattern)
{
	size_t len = strlen(pattern);
	bool open_end = pattern[len - 1] == '*';

	len -= open_end;
	return strncmp(path, pattern, len) == 0 &&
	       (open_end || path[len] == '/' || path[len] == '\0');
}

/* Join and clean: no "//", "/./", and ".." taken lexically. False when it does not fit. */
static bool clean(char *out, const char *base, const char *path)
{
	size_t at = 0;

	for (int part = 0; part < 2; part++) {
		const char *p = part ? path : base;

		while (*p) {
			const char *end;
			size_t len;

			while (*p == '/')
				p++;
			end = strchrnul(p, '/');
			len = (size_t)(end - p);
			if (len == 2 && p[0] == '.' && p[1] == '.') {
				while (at > 0 && out[--at] != '/')
					;
			} else if (len && !(len == 1 && p[0] == '.')) {
				if (at + len + 2 > PATH_MAX)
					return false;
				out[at++] = '/';
				memcpy(out + at, p, len);
				at += len;
			}
			p = end;
		}
	}
	if (!at)
		out[at++] = '/';
	out[at] = '\0';
	return true;
}

static bool absolute_path(char *out, int dir, const char *path)
{
	char link[40] = "/proc/self/fd/", base[PATH_MAX];
	size_t at = strlen(link);
	char digits[12];
	int n = 0;
	long len;

	if (path[0] == '/')
		return clean(out, "", path);
	if (dir == AT_FDCWD) {
		len = via_sys(SYS_getcwd, base, sizeof(base));
		return len > 0 && base[0] == '/' && clean(out, base, path);
	}
	if (dir < 0)
		return false;
	do
		digits[n++] = (char)('0' + dir % 10);
	while ((dir /= 10));
	while (n)
		link[at++] = digits[--n];
	link[at] = '\0';
	len = via_sys(SYS_readlink, link, base, sizeof(base) - 1);
	if (len <= 0 || base[0] != '/')
		return false;
	base[len] = '\0';
	return clean(out, base, path);
}

/* A relative path costs a system call to make absolute: only for names that could be ours. */
static bool worth_a_look(const char *path)
{
	const char *last = strrchr(path, '/');

	if (path[0] == '/')
		return strstr(path, "dev") || strstr(path, "sys") || strstr(path, "vfio");
	last = last ? last + 1 : path;
	return strstr(path, "vfio") || strstr(path, "iommu") || strstr(path, "sys/") ||
	       (*last >= '0' && *last <= '9');
}

void via_path_resolve(struct via_path *ret, int dir, const char *path)
{
	int view = view_mode();
	const char *inside;
	bool ours = false;

	ret->path = path;
	ret->node = NULL;
	ret->text = NULL;
	ret->ours = false;
	/* What is no readable string is for the kernel to refuse. */
	if (view == 1 || via_self_string(ret->redirected, (uint64_t)path, PATH_MAX) < 0)
		return;
	ret->text = ret->redirected;
	if (!worth_a_look(ret->redirected) || !absolute_path(ret->absolute, dir, ret->redirected))
		return;
	inside = ret->absolute;
	if (strncmp(inside, root, root_len) == 0 && strncmp(inside + root_len, "/dev/", 5) == 0)
		inside += root_len;
	if (below(inside, "/dev/vfio") || below(inside, "/dev/iommu")) {
		ours = true;
		if (strcmp(inside, "/dev/vfio") != 0)
			ret->node = inside + strlen("/dev/");
	}
	for (size_t i = 0; view == 3 && !ours && i < sizeof(replaced) / sizeof(replaced[0]); i++)
		ours = below(inside, replaced[i]);
	/* Out of what is ours by a "..": the kernel knows no such directory to go up from. */
	if (!ours && below(ret->redirected, "/dev/vfio") && inside == ret->absolute)
		ret->path = ret->absolute;
	if (!ours || root_len + strlen(inside) >= sizeof(ret->redirected))
		return;
	memcpy(ret->redirected, root, root_len);
	strcpy(ret->redirected + root_len, inside);
	ret->path = ret->redirected;
	ret->ours = true;
}

size_t via_path_restore_bytes(char *path, size_t len)
{
	if (view_mode() == 1 || len < root_len || memcmp(path, root, root_len) != 0 ||
	    (len > root_len && path[root_len] != '/') || len == root_len)
		return len;
	memmove(path, path + root_len, len - root_len);
	return len - root_len;
}

void via_path_restore(char *path)
{
	size_t len = strlen(path), now = via_path_restore_bytes(path, len);

	path[now] = '\0';
}

bool via_path_of(int fd, char *path)
{
	char link[32] = "/proc/self/fd/", digits[12];
	size_t at = strlen(link);
	int n = 0;
	long len;

	do
		digits[n++] = (char)('0' + fd % 10);
	while ((fd /= 10));
	while (n)
		link[at++] = digits[--n];
	link[at] = '\0';
	len = via_sys(SYS_readlink, link, path, PATH_MAX - 1);
	if (len <= 0)
		return false;
	path[len] = '\0';
	via_path_restore(path);
	return true;
}
