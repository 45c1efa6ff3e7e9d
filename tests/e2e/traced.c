/* SPDX-License-Identifier: MIT */
/*
 * Linked into a VFIO program with ld's --wrap: each of its VFIO calls is
 * written to standard error, with the bytes that go in and come out. What one
 * kernel numbers differently from another (descriptors, groups, addresses) is
 * written by what it is.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/types.h>

#define N_FDS 64
#define MAX_BYTES 256u

static const char *roles[N_FDS]; /* of the descriptors of VFIO; one thread */

int __real_open(const char *path, int flags, ...);
int __real_close(int fd);
int __real_ioctl(int fd, unsigned long cmd, ...);
ssize_t __real_pread(int fd, void *buf, size_t len, off_t offset);
ssize_t __real_pwrite(int fd, const void *buf, size_t len, off_t offset);
void *__real_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset);
int __wrap_open(const char *path, int flags, ...);
int __wrap_close(int fd);
int __wrap_ioctl(int fd, unsigned long cmd, ...);
ssize_t __wrap_pread(int fd, void *buf, size_t len, off_t offset);
ssize_t __wrap_pwrite(int fd, const void *buf, size_t len, off_t offset);
void *__wrap_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset);

static const char *role(int fd)
{
	return fd >= 0 && fd < N_FDS ? roles[fd] : NULL;
}

static int named(int fd, const char *name)
{
	if (fd >= 0 && fd < N_FDS)
		roles[fd] = name;
	return fd;
}

static void print_result(long ret)
{
	int error = errno;

	fprintf(stderr, " = %s\n", ret < 0 ? strerrorname_np(error) : "ok");
	errno = error;
}

static void print_bytes(const char *what, const uint8_t *bytes, size_t len)
{
	fprintf(stderr, " %s", what);
	for (size_t i = 0; i < len && i < MAX_BYTES; i++)
		fprintf(stderr, "%s%02x", i && i % 4 == 0 ? "." : "", bytes[i]);
}

/* A structure that begins with its size; addresses and descriptors do not count. */
static size_t copy_argument(unsigned long cmd, const void *arg, uint8_t *copy)
{
	uint32_t len;

	memcpy(&len, arg, sizeof(len));
	if (len < sizeof(len) || len > MAX_BYTES)
		len = sizeof(len);
	memcpy(copy, arg, len);
	if (cmd == VFIO_IOMMU_MAP_DMA)
		memset(copy + offsetof(struct vfio_iommu_type1_dma_map, vaddr), 0xaa, 8);
	if (cmd == VFIO_DEVICE_SET_IRQS) {
		const struct vfio_irq_set *set = arg;

		for (size_t at = sizeof(*set);
		     set->flags & VFIO_IRQ_SET_DATA_EVENTFD && at + 4 <= len; at += 4)
			if (!(copy[at + 3] & 0x80))
				memset(copy + at, 0xfd, 4);
	}
	return len;
}

int __wrap_open(const char *path, int flags, ...)
{
	const char *name = !strcmp(path, "/dev/vfio/vfio") ? "container" : "group";
	int fd = __real_open(path, flags);

	if (strncmp(path, "/dev/vfio/", 10) != 0)
		return fd;
	fprintf(stderr, "open %s", name);
	print_result(fd);
	return named(fd, name);
}

int __wrap_close(int fd)
{
	const char *name = role(fd);
	int ret = __real_close(fd);

	if (name) {
		fprintf(stderr, "close %s", name);
		print_result(ret);
		named(fd, NULL);
	}
	return ret;
}

static int traced_structure(int fd, unsigned long cmd, void *arg)
{
	uint8_t copy[MAX_BYTES] = {0};
	size_t len = copy_argument(cmd, arg, copy);
	int ret;

	print_bytes("in ", copy, len);
	ret = __real_ioctl(fd, cmd, arg);
	len = copy_argument(cmd, arg, copy);
	print_bytes("out ", copy, len);
	return ret;
}

int __wrap_ioctl(int fd, unsigned long cmd, ...)
{
	const char *name = role(fd), *group;
	void *arg;
	va_list args;
	int ret;

	va_start(args, cmd);
	arg = va_arg(args, void *);
	va_end(args);
	if (!name)
		return __real_ioctl(fd, cmd, arg);
	fprintf(stderr, "ioctl %s %lx", name, cmd);
	if (cmd == VFIO_GET_API_VERSION || cmd == VFIO_DEVICE_RESET) {
		ret = __real_ioctl(fd, cmd, 0);
	} else if (cmd == VFIO_CHECK_EXTENSION || cmd == VFIO_SET_IOMMU) {
		fprintf(stderr, " %lx", (unsigned long)arg);
		ret = __real_ioctl(fd, cmd, arg);
	} else if (cmd == VFIO_GROUP_SET_CONTAINER) {
		group = role(*(const int *)arg);
		fprintf(stderr, " %s", group ? group : "other");
		ret = __real_ioctl(fd, cmd, arg);
	} else if (cmd == VFIO_GROUP_GET_DEVICE_FD) {
		fprintf(stderr, " %s", (const char *)arg);
		ret = named(__real_ioctl(fd, cmd, arg), "device");
	} else {
		ret = traced_structure(fd, cmd, arg);
	}
	if (ret > 0 && cmd != VFIO_GROUP_GET_DEVICE_FD)
		fprintf(stderr, " value %x", (unsigned int)ret);
	print_result(ret);
	return ret;
}

ssize_t __wrap_pread(int fd, void *buf, size_t len, off_t offset)
{
	const char *name = role(fd);
	ssize_t ret = __real_pread(fd, buf, len, offset);

	if (name) {
		fprintf(stderr, "pread %s %zx@%llx", name, len, (unsigned long long)offset);
		if (ret > 0)
			print_bytes("", buf, (size_t)ret);
		print_result(ret);
	}
	return ret;
}

ssize_t __wrap_pwrite(int fd, const void *buf, size_t len, off_t offset)
{
	const char *name = role(fd);
	ssize_t ret = __real_pwrite(fd, buf, len, offset);

	if (name) {
		fprintf(stderr, "pwrite %s %zx@%llx", name, len, (unsigned long long)offset);
		print_bytes("", buf, len);
		print_result(ret);
	}
	return ret;
}

void *__wrap_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
	const char *name = role(fd);
	void *p = __real_mmap(addr, len, prot, flags, fd, offset);

	if (name) {
		fprintf(stderr, "mmap %s %zx@%llx prot %x flags %x", name, len,
			(unsigned long long)offset, prot, flags);
		print_result(p == MAP_FAILED ? -1 : 0);
	}
	return p;
}
