/* SPDX-License-Identifier: MIT */
/*
 * Which of sysfs's files are the host's is seen by where the kernel finds them,
 * whatever links and directories led there. stdio writes and reads by itself,
 * so what it has written is asked for when it is flushed.
 */
#include "preload/attribute.h"

#include "preload/ours.h"
#include "preload/path.h"
#include "preload/real.h"
#include "preload/sys.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>

static const char *const names[] = {"sriov_numvfs", "sriov_drivers_autoprobe"};

/* Atomic: this process has had one, so that what stdio still holds matters at its end. */
static bool had_one;

/* The name in path if it is one of ours, else NULL. */
static const char *name_in(const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(name, names[i]) == 0)
			return name;
	return NULL;
}

/* "/sys/devices/pci0000:00/0000:00:03.0/sriov_numvfs" to "sysfs/0000:00:03.0/sriov_numvfs". */
static bool make_node(char *node, size_t size, const char *path)
{
	static const char below[] = "/sys/devices/pci", prefix[] = "sysfs/";
	const char *addr = name_in(path);
	size_t len;

	if (!addr || strncmp(path, below, sizeof(below) - 1) != 0)
		return false;
	/* The directory that the name is in. */
	addr--;
	while (addr > path && addr[-1] != '/')
		addr--;
	len = strlen(addr);
	if (len + sizeof(prefix) > size)
		return false;
	memcpy(node, prefix, sizeof(prefix));
	memcpy(node + sizeof(prefix) - 1, addr, len + 1);
	return true;
}

int via_open_attribute(int dir, const char *text, int flags)
{
	char path[PATH_MAX], node[64];
	int fd;

	if ((flags & O_ACCMODE) == O_RDONLY || flags & (O_DIRECTORY | O_PATH | O_EXCL) || !text ||
	    !name_in(text))
		return -ENOENT;
	/* May it be written at all? Nothing of it changes yet. */
	fd = (int)via_sys(SYS_openat, dir, text, (flags & ~(O_CREAT | O_TRUNC)) | O_CLOEXEC, 0);
	if (fd < 0)
		return -ENOENT;
	if (!via_path_of(fd, path) || !make_node(node, sizeof(node), path))
		node[0] = '\0';
	via_sys(SYS_close, fd);
	if (!node[0])
		return -ENOENT;
	__atomic_store_n(&had_one, true, __ATOMIC_RELAXED);
	return via_open_node(node, flags);
}

/* stdio ------------------------------------------------------------------------------ */

/* Did what the stream has written succeed? As libc says that it did not. */
static int flushed(FILE *stream, int fd)
{
	struct via_call call = {.request = {.op = VIA_DOOR_FLUSH}, .fd = -1};
	int64_t err = via_call_on(fd, &call);

	if (err >= 0 || err == -ENOTSOCK)
		return 0;
	stream->_flags |= _IO_ERR_SEEN;
	errno = (int)-err;
	return EOF;
}

/* The descriptor of a stream that has written to one of ours, or -1. */
static int ours_behind(FILE *stream)
{
	int err = errno, fd = stream ? fileno_unlocked(stream) : -1;

	errno = err;
	return fd >= 0 && via_maybe_ours(fd) && via_ours(fd) ? fd : -1;
}

static int flush(FILE *stream, int (*real)(FILE *))
{
	int fd = ours_behind(stream), ret = real(stream);

	return ret || fd < 0 ? ret : flushed(stream, fd);
}

VIA_INTERPOSE int fflush(FILE *stream)
{
	return flush(stream, REAL(fflush));
}

VIA_INTERPOSE int fflush_unlocked(FILE *stream)
{
	return flush(stream, REAL(fflush_unlocked));
}

VIA_INTERPOSE int fclose(FILE *stream)
{
	int fd = ours_behind(stream), ret, err = 0;

	if (fd < 0)
		return REAL(fclose)(stream);
	ret = REAL(fflush)(stream);
	if (!ret)
		ret = flushed(stream, fd);
	if (ret)
		err = errno;
	via_fd_forget(fd);
	if (REAL(fclose)(stream))
		return EOF;
	via_call_simple(VIA_DOOR_SYNC, 0, 0, 0, 0, 0);
	if (ret)
		errno = err;
	return ret;
}

/* libc writes what is left after this, when nobody could wait for it any more. */
__attribute__((destructor)) static void at_exit(void)
{
	if (!__atomic_load_n(&had_one, __ATOMIC_RELAXED) || !via_client_present())
		return;
	(void)REAL(fflush)(NULL);
	via_call_simple(VIA_DOOR_SYNC, 0, 0, 0, 0, 0);
}
