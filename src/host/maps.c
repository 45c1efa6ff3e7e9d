/* SPDX-License-Identifier: MIT */
#include "host/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* Longer than any line: a path has at most 4096 bytes, and escapes of them are cut by the kernel.
 */
#define BUFFER_SIZE 32768

/* The memory of a device's BAR (device/mapping.c), as the kernel names it. */
#define REGION_NAME "/memfd:viaduct-bar"

static const char *parse_hex(const char *p, uint64_t *ret_value)
{
	uint64_t value = 0;

	for (;; p++) {
		if (*p >= '0' && *p <= '9')
			value = value << 4 | (uint64_t)(*p - '0');
		else if (*p >= 'a' && *p <= 'f')
			value = value << 4 | (uint64_t)(*p - 'a' + 10);
		else
			break;
	}
	*ret_value = value;
	return p;
}

/* "start-end rwxs offset major:minor inode path", with the newline replaced by a NUL. */
static bool parse_line(const char *p, struct via_vma *vma)
{
	uint64_t major, minor;
	char *end;

	p = parse_hex(p, &vma->start);
	if (*p++ != '-')
		return false;
	p = parse_hex(p, &vma->end);
	if (*p++ != ' ' || strlen(p) < 5)
		return false;
	vma->read = p[0] == 'r';
	vma->write = p[1] == 'w';
	vma->shared = p[3] == 's';
	p = parse_hex(p + 5, &vma->offset);
	if (*p++ != ' ')
		return false;
	p = parse_hex(p, &major);
	if (*p++ != ':')
		return false;
	p = parse_hex(p, &minor);
	if (*p++ != ' ')
		return false;
	vma->dev_major = (unsigned int)major;
	vma->dev_minor = (unsigned int)minor;
	vma->inode = strtoull(p, &end, 10);
	vma->region = strncmp(end + strspn(end, " "), REGION_NAME, sizeof(REGION_NAME) - 1) == 0;
	return end != p;
}

struct walk {
	uint64_t addr, end; /* addr: first byte not yet seen */
	int (*fn)(void *cookie, const struct via_vma *vma);
	void *cookie;
	int result;
};

/* false: done, with a result. */
static bool walk_line(struct walk *walk, const char *line)
{
	struct via_vma vma;

	walk->result = -EFAULT;
	if (!parse_line(line, &vma))
		return false;
	if (vma.end <= walk->addr)
		return true;
	if (vma.start > walk->addr)
		return false;
	walk->result = walk->fn(walk->cookie, &vma);
	if (walk->result)
		return false;
	walk->addr = vma.end;
	return walk->addr < walk->end;
}

int via_maps_walk(int proc_fd, uint64_t addr, uint64_t len,
		  int (*fn)(void *cookie, const struct via_vma *vma), void *cookie)
{
	struct walk walk = {.addr = addr, .fn = fn, .cookie = cookie};
	size_t have = 0;
	char *buffer;
	bool more = true;
	int fd;

	if (__builtin_add_overflow(addr, len, &walk.end))
		return -EFAULT;
	fd = openat(proc_fd, "maps", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	buffer = malloc(BUFFER_SIZE);
	if (!buffer) {
		(void)close(fd);
		return -ENOMEM;
	}
	while (more) {
		ssize_t n = read(fd, buffer + have, BUFFER_SIZE - 1 - have);
		char *line = buffer, *newline;

		if (n <= 0) {
			walk.result = -EFAULT;
			break;
		}
		have += (size_t)n;
		buffer[have] = '\0';
		while (more && (newline = strchr(line, '\n'))) {
			*newline = '\0';
			more = walk_line(&walk, line);
			line = newline + 1;
		}
		have -= (size_t)(line - buffer);
		memmove(buffer, line, have);
	}
	free(buffer);
	(void)close(fd);
	return walk.result;
}
