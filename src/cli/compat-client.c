/* SPDX-License-Identifier: MIT */
/*
 * A small VFIO program, in all the ways there are to be one. It uses no more of the
 * system than files, so that it can be asked of a real kernel too.
 */
#include "cli/compat.h"

#include <viaduct/abi/iommufd.h>
#include <viaduct/abi/vfio.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define BAR0 0u
#define CONFIG 7u
#define REGION_SHIFT 40

#define EDU_DMA_SRC 0x80u
#define EDU_DMA_DST 0x88u
#define EDU_DMA_COUNT 0x90u
#define EDU_DMA_CMD 0x98u
#define EDU_BUFFER 0x40000u

void compat_say(struct compat_session *s, const char *fmt, ...)
{
	size_t len = strlen(s->answer);
	va_list args;

	if (len && len + 2 < sizeof(s->answer)) {
		memcpy(s->answer + len, ", ", 3);
		len += 2;
	}
	va_start(args, fmt);
	(void)vsnprintf(s->answer + len, sizeof(s->answer) - len, fmt, args);
	va_end(args);
}

void compat_say_result(struct compat_session *s, long result)
{
	const char *name = result < 0 ? strerrorname_np((int)-result) : NULL;

	if (name)
		compat_say(s, "%s", name);
	else
		compat_say(s, "%ld", result);
}

long compat_ioctl(int fd, unsigned long command, void *arg)
{
	long r = ioctl(fd, command, arg);

	return r < 0 ? -errno : r;
}

static int open_group(struct compat_session *s, unsigned int which)
{
	char path[32];
	int fd;

	(void)snprintf(path, sizeof(path), "/dev/vfio/%u", s->place->group[which]);
	fd = open(path, O_RDWR | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* The node of a device that is opened by itself. */
static int open_cdev(const char *address)
{
	char path[300];
	struct dirent *entry;
	int fd = -ENOENT;
	DIR *dir;

	(void)snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/vfio-dev", address);
	dir = opendir(path);
	if (!dir)
		return -errno;
	while ((entry = readdir(dir)))
		if (!strncmp(entry->d_name, "vfio", 4)) {
			(void)snprintf(path, sizeof(path), "/dev/vfio/devices/%.200s", entry->d_name);
			fd = open(path, O_RDWR | O_CLOEXEC);
			fd = fd < 0 ? -errno : fd;
		}
	(void)closedir(dir);
	return fd;
}

int compat_open(struct compat_session *s, unsigned int type)
{
	struct via_iommu_ioas_alloc alloc = {.size = sizeof(alloc)};
	bool classic = s->mode == COMPAT_TYPE1 || s->mode == COMPAT_SPAPR;
	long r;

	s->container = open(classic ? "/dev/vfio/vfio" : "/dev/iommu", O_RDWR | O_CLOEXEC);
	if (s->container < 0)
		return -errno;
	if (s->mode == COMPAT_NATIVE) {
		r = compat_ioctl(s->container, VIA_IOMMU_IOAS_ALLOC, &alloc);
		s->ioas = alloc.out_ioas_id;
		return (int)r;
	}
	s->group = open_group(s, 0);
	if (s->group < 0)
		return s->group;
	r = compat_ioctl(s->group, VIA_VFIO_GROUP_SET_CONTAINER, &s->container);
	if (!r && type)
		r = compat_ioctl(s->container, VIA_VFIO_SET_IOMMU, (void *)(uintptr_t)type);
	return (int)r;
}

static int bind_and_attach(struct compat_session *s, int device)
{
	struct via_vfio_device_bind_iommufd bind = {.argsz = sizeof(bind), .iommufd = s->container};
	struct via_vfio_device_attach_iommufd_pt attach = {.argsz = sizeof(attach)};
	long r = compat_ioctl(device, VIA_VFIO_DEVICE_BIND_IOMMUFD, &bind);

	s->devid = bind.out_devid;
	attach.pt_id = s->ioas;
	return (int)(r < 0 ? r : compat_ioctl(device, VIA_VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach));
}

static int get_device(struct compat_session *s, int group, unsigned int which)
{
	return (int)compat_ioctl(group, VIA_VFIO_GROUP_GET_DEVICE_FD,
				 (void *)(uintptr_t)s->place->address[which]);
}

int compat_open_device(struct compat_session *s, unsigned int type)
{
	int r = compat_open(s, type);

	if (r < 0)
		return r;
	if (s->mode == COMPAT_NATIVE) {
		s->device = open_cdev(s->place->address[0]);
		r = s->device < 0 ? s->device : bind_and_attach(s, s->device);
	} else {
		s->device = r = get_device(s, s->group, 0);
	}
	if (r < 0)
		return r;
	compat_command(s, s->device, 6);
	return 0;
}

int compat_open_second(struct compat_session *s)
{
	int r;

	if (s->mode == COMPAT_NATIVE) {
		s->second_device = open_cdev(s->place->address[1]);
		r = s->second_device < 0 ? s->second_device : bind_and_attach(s, s->second_device);
	} else {
		s->second_group = r = open_group(s, 1);
		if (r >= 0)
			r = (int)compat_ioctl(s->second_group, VIA_VFIO_GROUP_SET_CONTAINER,
					      &s->container);
		if (r >= 0)
			s->second_device = r = get_device(s, s->second_group, 1);
	}
	if (r < 0)
		return r;
	compat_command(s, s->second_device, 6);
	return 0;
}

static void shut(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

void compat_close(struct compat_session *s)
{
	shut(&s->second_device);
	shut(&s->device);
	shut(&s->second_group);
	shut(&s->group);
	shut(&s->container);
}

long compat_map_at(struct compat_session *s, uint64_t iova, uint64_t va, uint64_t len, uint32_t flags)
{
	struct via_vfio_iommu_type1_dma_map map = {.argsz = sizeof(map), .flags = flags, .vaddr = va,
						   .iova = iova, .size = len};
	struct via_iommu_ioas_map native = {.size = sizeof(native), .ioas_id = s->ioas, .user_va = va,
					    .length = len, .iova = iova,
					    .flags = VIA_IOMMU_IOAS_MAP_FIXED_IOVA};

	if (s->mode != COMPAT_NATIVE)
		return compat_ioctl(s->container, VIA_VFIO_IOMMU_MAP_DMA, &map);
	if (flags & VIA_VFIO_DMA_MAP_FLAG_READ)
		native.flags |= VIA_IOMMU_IOAS_MAP_READABLE;
	if (flags & VIA_VFIO_DMA_MAP_FLAG_WRITE)
		native.flags |= VIA_IOMMU_IOAS_MAP_WRITEABLE;
	return compat_ioctl(s->container, VIA_IOMMU_IOAS_MAP, &native);
}

long compat_map(struct compat_session *s, uint64_t iova, unsigned int page, unsigned int n)
{
	return compat_map_at(s, iova, (uintptr_t)s->memory + page * COMPAT_PAGE,
			     (uint64_t)n * COMPAT_PAGE,
			     VIA_VFIO_DMA_MAP_FLAG_READ | VIA_VFIO_DMA_MAP_FLAG_WRITE);
}

long compat_unmap(struct compat_session *s, uint64_t iova, uint64_t len, uint32_t flags,
		  uint64_t *ret_size)
{
	struct via_vfio_iommu_type1_dma_unmap unmap = {.argsz = sizeof(unmap), .flags = flags,
						       .iova = iova, .size = len};
	struct via_iommu_ioas_unmap native = {.size = sizeof(native), .ioas_id = s->ioas, .iova = iova,
					      .length = len};
	long r;

	if (s->mode != COMPAT_NATIVE) {
		r = compat_ioctl(s->container, VIA_VFIO_IOMMU_UNMAP_DMA, &unmap);
		*ret_size = unmap.size;
		return r;
	}
	r = compat_ioctl(s->container, VIA_IOMMU_IOAS_UNMAP, &native);
	*ret_size = native.length;
	return r;
}

static off_t at(unsigned int region, unsigned int offset)
{
	return ((off_t)region << REGION_SHIFT) + offset;
}

uint64_t compat_read(struct compat_session *s, int device, unsigned int offset, unsigned int size)
{
	uint64_t value = 0;

	return pread(device, &value, size, at(BAR0, offset)) == (ssize_t)size ? value : ~0ull;
}

void compat_write(struct compat_session *s, int device, unsigned int offset, unsigned int size,
		  uint64_t value)
{
	if (pwrite(device, &value, size, at(BAR0, offset)) != (ssize_t)size)
		compat_say(s, "write of register 0x%x: %s", offset, strerrorname_np(errno));
}

void compat_command(struct compat_session *s, int device, uint16_t command)
{
	if (pwrite(device, &command, 2, at(CONFIG, 4)) != 2)
		compat_say(s, "write of COMMAND: %s", strerrorname_np(errno));
}

void compat_dma_write(struct compat_session *s, uint64_t iova, unsigned int len)
{
	const struct timespec nap = {.tv_nsec = 1000000};

	compat_write(s, s->device, EDU_DMA_SRC, 8, EDU_BUFFER);
	compat_write(s, s->device, EDU_DMA_DST, 8, iova);
	compat_write(s, s->device, EDU_DMA_COUNT, 8, len);
	compat_write(s, s->device, EDU_DMA_CMD, 8, 3);
	/* QEMU's takes a tenth of a second. */
	for (unsigned int i = 0; i < 5000 && (compat_read(s, s->device, EDU_DMA_CMD, 8) & 1); i++)
		(void)nanosleep(&nap, NULL);
}

static void ask(const struct compat_question *q, enum compat_mode mode,
		const struct compat_place *place, FILE *out)
{
	struct compat_session s = {.mode = mode, .place = place, .container = -1, .group = -1,
				   .device = -1, .second_group = -1, .second_device = -1};

	s.memory = mmap(NULL, 16 * COMPAT_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (s.memory == MAP_FAILED) {
		compat_say(&s, "no memory");
	} else {
		q->ask(&s);
		compat_close(&s);
		(void)munmap(s.memory, 16 * COMPAT_PAGE);
	}
	(void)fprintf(out, "%s\t%s\n", q->id, *s.answer ? s.answer : "-");
}

void compat_ask_all(enum compat_mode mode, const struct compat_place *place, FILE *out)
{
	for (const struct compat_question *q = compat_gaps; q->id; q++)
		ask(q, mode, place, out);
	for (const struct compat_question *q = compat_rows; q->id; q++)
		ask(q, mode, place, out);
	(void)fflush(out);
}
