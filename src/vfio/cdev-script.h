/* SPDX-License-Identifier: MIT */
/*
 * Calls on device nodes, groups and /dev/iommu whose results a real kernel has
 * written down (tests/oracle/record-cdev.c) and ours are compared with. What it
 * needs: functions 0 and 1 of one slot below a bridge, which are one group,
 * and function 2 in a group and slot of its own.
 */
#ifndef VIA_VFIO_CDEV_SCRIPT_H
#define VIA_VFIO_CDEV_SCRIPT_H

#include <viaduct/abi/iommufd.h>

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct script {
	void *cookie;
	/* A descriptor or a negative errno. */
	int (*open)(void *cookie, const char *node);
	void (*close)(void *cookie, int fd);
	long (*ioctl)(void *cookie, int fd, unsigned long cmd, void *arg);
	void (*line)(void *cookie, const char *text);
	const char *name[3]; /* 0000:01:00.0 */
	char cdev[3][32];    /* vfio/devices/vfio0 */
	char group[3][32];   /* vfio/3 */
	unsigned int group_number[3];
	int pipe;	 /* a descriptor of another kind */
	void *bad;	 /* an address that is not mapped */
	void *page;	 /* a page of memory */
	void *read_only; /* a page that can be read; its words are what the call before has put
			    there */
	void (*fill_read_only)(void *cookie, const void *data, size_t len);
};

#define BIND VIA_VFIO_DEVICE_BIND_IOMMUFD
#define ATTACH VIA_VFIO_DEVICE_ATTACH_IOMMUFD_PT
#define DETACH VIA_VFIO_DEVICE_DETACH_IOMMUFD_PT

__attribute__((format(printf, 2, 3))) static inline void say(struct script *s, const char *format,
							     ...)
{
	char text[256];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	s->line(s->cookie, text);
}

/* The same with two results, asked for in this order. */
#define say2(s, format, first, second)                           \
	do {                                                     \
		long say_first = (first), say_second = (second); \
		say(s, format, say_first, say_second);           \
	} while (0)

static inline int node_open(struct script *s, const char *node)
{
	return s->open(s->cookie, node);
}

static inline void node_close(struct script *s, int fd)
{
	if (fd >= 0)
		s->close(s->cookie, fd);
}

static inline long call(struct script *s, int fd, unsigned long cmd, void *arg)
{
	return s->ioctl(s->cookie, fd, cmd, arg);
}

/* Small steps that many cases need ------------------------------------------ */

static inline long bind_to(struct script *s, int cdev, int iommufd, uint32_t *ret_id)
{
	struct via_vfio_device_bind_iommufd bind = {.argsz = sizeof(bind), .iommufd = iommufd};
	long ret = call(s, cdev, BIND, &bind);

	if (ret_id)
		*ret_id = bind.out_devid;
	return ret;
}

static inline long attach_to(struct script *s, int cdev, uint32_t *pt_id)
{
	struct via_vfio_device_attach_iommufd_pt attach = {.argsz = sizeof(attach),
							   .pt_id = *pt_id};
	long ret = call(s, cdev, ATTACH, &attach);

	*pt_id = attach.pt_id;
	return ret;
}

static inline long attach_pasid(struct script *s, int cdev, uint32_t pasid, uint32_t *pt_id)
{
	struct via_vfio_device_attach_iommufd_pt attach = {
		.argsz = sizeof(attach),
		.flags = VIA_VFIO_DEVICE_ATTACH_PASID,
		.pt_id = *pt_id,
		.pasid = pasid,
	};
	long ret = call(s, cdev, ATTACH, &attach);

	*pt_id = attach.pt_id;
	return ret;
}

static inline long detach(struct script *s, int cdev)
{
	struct via_vfio_device_detach_iommufd_pt detach = {.argsz = sizeof(detach)};

	return call(s, cdev, DETACH, &detach);
}

static inline long detach_pasid(struct script *s, int cdev, uint32_t pasid)
{
	struct via_vfio_device_detach_iommufd_pt detach = {
		.argsz = sizeof(detach),
		.flags = VIA_VFIO_DEVICE_DETACH_PASID,
		.pasid = pasid,
	};

	return call(s, cdev, DETACH, &detach);
}

static inline uint32_t ioas_new(struct script *s, int iommufd)
{
	struct via_iommu_ioas_alloc alloc = {.size = sizeof(alloc)};

	return call(s, iommufd, VIA_IOMMU_IOAS_ALLOC, &alloc) < 0 ? 0 : alloc.out_ioas_id;
}

static inline long destroy(struct script *s, int iommufd, uint32_t id)
{
	struct via_iommu_destroy destroy = {.size = sizeof(destroy), .id = id};

	return call(s, iommufd, VIA_IOMMU_DESTROY, &destroy);
}

static inline long map_page(struct script *s, int iommufd, uint32_t ioas, uint64_t iova,
			    const void *at)
{
	struct via_iommu_ioas_map map = {
		.size = sizeof(map),
		.flags = VIA_IOMMU_IOAS_MAP_FIXED_IOVA | VIA_IOMMU_IOAS_MAP_READABLE |
			 VIA_IOMMU_IOAS_MAP_WRITEABLE,
		.ioas_id = ioas,
		.user_va = (uint64_t)(uintptr_t)at,
		.length = 4096,
		.iova = iova,
	};

	return call(s, iommufd, VIA_IOMMU_IOAS_MAP, &map);
}

static inline long hwpt_new(struct script *s, int iommufd, uint32_t dev, uint32_t pt,
			    uint32_t flags, uint32_t *ret_id)
{
	struct via_iommu_hwpt_alloc alloc = {
		.size = sizeof(alloc), .flags = flags, .dev_id = dev, .pt_id = pt};
	long ret = call(s, iommufd, VIA_IOMMU_HWPT_ALLOC, &alloc);

	if (ret_id)
		*ret_id = alloc.out_hwpt_id;
	return ret;
}

static inline long get_status(struct script *s, int group, uint32_t *ret_flags)
{
	struct via_vfio_group_status status = {.argsz = sizeof(status)};
	long ret = call(s, group, VIA_VFIO_GROUP_GET_STATUS, &status);

	*ret_flags = status.flags;
	return ret;
}

static inline void say_status(struct script *s, const char *what, int group)
{
	uint32_t flags;
	long ret = get_status(s, group, &flags);

	say(s, "%s: status %ld flags %u", what, ret, flags);
}

static inline long set_container(struct script *s, int group, int fd)
{
	int32_t number = fd;

	return call(s, group, VIA_VFIO_GROUP_SET_CONTAINER, &number);
}

static inline int get_device(struct script *s, int group, unsigned int device)
{
	return (int)call(s, group, VIA_VFIO_GROUP_GET_DEVICE_FD,
			 (void *)(uintptr_t)s->name[device]);
}

static inline long get_info(struct script *s, int device)
{
	struct via_vfio_device_info info = {.argsz = sizeof(info)};

	return call(s, device, VIA_VFIO_DEVICE_GET_INFO, &info);
}

static inline int sign(int fd)
{
	return fd < 0 ? fd : 0;
}

/* The first automatic HWPT, if there is one: which of the low ids can be destroyed is not asked. */
struct hot_reset_info {
	struct via_vfio_pci_hot_reset_info info;
	struct via_vfio_pci_dependent_device devices[8];
};

/* Entries by what they say, group numbers as which of the three functions' group it is. */
static inline void say_hot_reset(struct script *s, const char *what, int device, bool by_group)
{
	struct hot_reset_info hot = {.info = {.argsz = sizeof(hot)}};
	long ret = call(s, device, VIA_VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, &hot);
	char text[128] = "";

	for (uint32_t i = 0; !ret && i < hot.info.count && i < 8; i++) {
		int id = (int)hot.devices[i].group_id;

		if (by_group)
			id = hot.devices[i].group_id == s->group_number[0]   ? 0
			     : hot.devices[i].group_id == s->group_number[2] ? 2
									     : 99;
		(void)snprintf(text + strlen(text), sizeof(text) - strlen(text), " %d.%d", id,
			       hot.devices[i].devfn & 7);
	}
	say(s, "%s: hot reset info %ld flags %u count %u:%s", what, ret, ret ? 0 : hot.info.flags,
	    ret ? 0 : hot.info.count, text);
}

static inline long hot_reset(struct script *s, int device, uint32_t count, int fd)
{
	uint32_t words[4] = {sizeof(words), 0, count, (uint32_t)fd};

	return call(s, device, VIA_VFIO_DEVICE_PCI_HOT_RESET, words);
}

/* Cases -------------------------------------------------------------------- */

static inline void before_bind(struct script *s)
{
	struct via_vfio_device_bind_iommufd bind = {.argsz = 16, .iommufd = -1};
	uint32_t words[16] = {32, 0, 0, 0, 0, 0, 0, 1};
	int cdev = node_open(s, s->cdev[2]), other = node_open(s, s->cdev[2]);
	int iommufd = node_open(s, "iommu");
	uint32_t pt = 1, devid;

	say(s, "before bind: open %d %d", sign(cdev), sign(other));
	say(s, "GET_INFO %ld", get_info(s, cdev));
	say(s, "unknown %ld", call(s, cdev, 0x3bff, NULL));
	say(s, "foreign %ld", call(s, cdev, 0x5401, NULL));
	say(s, "ATTACH %ld", attach_to(s, cdev, &pt));
	say(s, "DETACH %ld", detach(s, cdev));
	say(s, "RESET %ld", call(s, cdev, VIA_VFIO_DEVICE_RESET, NULL));
	say(s, "BIND NULL %ld", call(s, cdev, BIND, NULL));
	bind.argsz = 15;
	say(s, "BIND argsz 15 %ld", call(s, cdev, BIND, &bind));
	bind.argsz = 16;
	say(s, "BIND fd -1 %ld", call(s, cdev, BIND, &bind));
	words[2] = (uint32_t)iommufd;
	say(s, "BIND tail %ld", call(s, cdev, BIND, words));
	bind.iommufd = 9999;
	say(s, "BIND fd 9999 %ld", call(s, cdev, BIND, &bind));
	bind.iommufd = s->pipe;
	say(s, "BIND pipe %ld", call(s, cdev, BIND, &bind));
	bind.iommufd = iommufd;
	bind.flags = 2;
	say(s, "BIND flag 2 %ld", call(s, cdev, BIND, &bind));
	bind.flags = VIA_VFIO_DEVICE_BIND_FLAG_TOKEN;
	say(s, "BIND token argsz 16 %ld", call(s, cdev, BIND, &bind));
	bind.argsz = sizeof(bind);
	bind.token_uuid_ptr = (uint64_t)(uintptr_t)s->bad;
	say(s, "BIND bad token %ld", call(s, cdev, BIND, &bind));
	bind.token_uuid_ptr = (uint64_t)(uintptr_t)s->page;
	say(s, "BIND needless token %ld", call(s, cdev, BIND, &bind));

	bind = (struct via_vfio_device_bind_iommufd){.argsz = 16, .iommufd = iommufd};
	s->fill_read_only(s->cookie, &bind, sizeof(bind));
	say(s, "BIND reply faults %ld", call(s, cdev, BIND, s->read_only));
	say(s, "then GET_INFO %ld", get_info(s, cdev));
	words[7] = 0;
	say(s, "BIND argsz 32 %ld", call(s, cdev, BIND, words));
	say(s, "devid %u", words[3]);
	say2(s, "GET_INFO %ld other %ld", get_info(s, cdev), get_info(s, other));
	say(s, "unknown %ld", call(s, cdev, 0x3bff, NULL));
	say2(s, "BIND again %ld other %ld", bind_to(s, cdev, iommufd, NULL),
	     bind_to(s, other, iommufd, NULL));
	bind.iommufd = -1;
	say(s, "BIND again fd -1 %ld", call(s, cdev, BIND, &bind));
	bind.iommufd = 9999;
	say2(s, "BIND again fd 9999 %ld other %ld", call(s, cdev, BIND, &bind),
	     call(s, other, BIND, &bind));
	say(s, "DESTROY device %ld", destroy(s, iommufd, 1));
	node_close(s, cdev);
	say(s, "after close: DESTROY device %ld", destroy(s, iommufd, 1));
	say(s, "BIND other %ld", bind_to(s, other, iommufd, &devid));
	say(s, "devid %u", devid);
	node_close(s, other);
	node_close(s, iommufd);
}

static inline void attaching(struct script *s)
{
	struct via_vfio_device_attach_iommufd_pt attach = {.argsz = 12};
	struct via_vfio_device_detach_iommufd_pt leave = {.argsz = 8};
	int cdev = node_open(s, s->cdev[2]), iommufd = node_open(s, "iommu");
	uint32_t dev, a, b, pt, hwpt;

	(void)bind_to(s, cdev, iommufd, &dev);
	a = ioas_new(s, iommufd);
	b = ioas_new(s, iommufd);
	say(s, "attaching: device %u ioas %u %u", dev, a, b);
	say(s, "DETACH nothing %ld", detach(s, cdev));
	pt = 99;
	say(s, "absent %ld", attach_to(s, cdev, &pt));
	pt = dev;
	say(s, "device id %ld", attach_to(s, cdev, &pt));
	attach.argsz = 11;
	attach.pt_id = a;
	say(s, "argsz 11 %ld", call(s, cdev, ATTACH, &attach));
	attach.argsz = 12;
	attach.flags = 2;
	say(s, "flag 2 %ld", call(s, cdev, ATTACH, &attach));
	attach.flags = 1;
	say(s, "PASID argsz 12 %ld", call(s, cdev, ATTACH, &attach));
	attach.flags = 3;
	attach.argsz = 16;
	say(s, "flags 3 %ld", call(s, cdev, ATTACH, &attach));
	say(s, "NULL %ld", call(s, cdev, ATTACH, NULL));
	attach.flags = 0;
	attach.argsz = 12;
	say(s, "plain %ld", call(s, cdev, ATTACH, &attach));
	say(s, "pt_id %u", attach.pt_id);
	hwpt = attach.pt_id;
	say2(s, "DESTROY ioas %ld hwpt %ld", destroy(s, iommufd, a), destroy(s, iommufd, hwpt));
	say(s, "map in window %ld", map_page(s, iommufd, a, 0xfee00000, s->page));
	say(s, "map behind aperture %ld", map_page(s, iommufd, a, 1ull << 48, s->page));
	say(s, "map %ld", map_page(s, iommufd, a, 0x100000, s->page));
	pt = a;
	say(s, "again %ld", attach_to(s, cdev, &pt));
	say(s, "pt_id %u", pt);
	pt = hwpt;
	say(s, "by hwpt %ld", attach_to(s, cdev, &pt));
	pt = b;
	say(s, "replace %ld", attach_to(s, cdev, &pt));
	say(s, "pt_id %u old gone %ld", pt, destroy(s, iommufd, hwpt));
	attach.argsz = 16;
	attach.pt_id = a;
	s->fill_read_only(s->cookie, &attach, sizeof(attach));
	say(s, "replace, reply faults %ld", call(s, cdev, ATTACH, s->read_only));
	say2(s, "ioas a %ld b %ld", destroy(s, iommufd, a), destroy(s, iommufd, b));
	a = ioas_new(s, iommufd);
	b = ioas_new(s, iommufd);
	say(s, "ids %u %u", a, b);
	(void)map_page(s, iommufd, a, 0x100000, s->bad);
	pt = a;
	say(s, "bad address %ld", attach_to(s, cdev, &pt));
	(void)map_page(s, iommufd, b, 0xfee00000, s->page);
	pt = b;
	say(s, "window in use %ld", attach_to(s, cdev, &pt));
	leave.argsz = 7;
	say(s, "DETACH argsz 7 %ld", call(s, cdev, DETACH, &leave));
	leave.argsz = 8;
	leave.flags = 2;
	say(s, "DETACH flag 2 %ld", call(s, cdev, DETACH, &leave));
	leave.flags = 1;
	say(s, "DETACH PASID argsz 8 %ld", call(s, cdev, DETACH, &leave));
	say(s, "DETACH NULL %ld", call(s, cdev, DETACH, NULL));
	say2(s, "DETACH %ld %ld", detach(s, cdev), detach(s, cdev));
	node_close(s, cdev);
	node_close(s, iommufd);
}

static inline void pasids(struct script *s)
{
	int cdev = node_open(s, s->cdev[2]), iommufd = node_open(s, "iommu");
	uint32_t dev, ioas, pt, plain = 0, with = 0, with2 = 0;

	(void)bind_to(s, cdev, iommufd, &dev);
	ioas = ioas_new(s, iommufd);
	say(s, "pasids: plain %ld", hwpt_new(s, iommufd, dev, ioas, 0, &plain));
	say(s, "with %ld", hwpt_new(s, iommufd, dev, ioas, VIA_IOMMU_HWPT_ALLOC_PASID, &with));
	say(s, "second %ld", hwpt_new(s, iommufd, dev, ioas, VIA_IOMMU_HWPT_ALLOC_PASID, &with2));
	pt = ioas;
	say(s, "by ioas %ld", attach_pasid(s, cdev, 1, &pt));
	pt = plain;
	say(s, "on plain %ld", attach_pasid(s, cdev, 1, &pt));
	pt = with;
	say(s, "on with %ld", attach_pasid(s, cdev, 1, &pt));
	pt = with2;
	say(s, "replace %ld", attach_pasid(s, cdev, 1, &pt));
	pt = with;
	say(s, "pasid 0 %ld", attach_pasid(s, cdev, 0, &pt));
	say(s, "pasid 0 again %ld", attach_pasid(s, cdev, 0, &pt));
	say(s, "DETACH pasid 0 %ld", detach_pasid(s, cdev, 0));
	pt = plain;
	say(s, "own on plain %ld", attach_to(s, cdev, &pt));
	pt = ioas;
	say(s, "own by ioas %ld", attach_to(s, cdev, &pt));
	pt = with2;
	say(s, "own on the same %ld", attach_to(s, cdev, &pt));
	say(s, "DESTROY %ld", destroy(s, iommufd, with2));
	say2(s, "DETACH pasid %ld %ld", detach_pasid(s, cdev, 1), detach_pasid(s, cdev, 1));
	say(s, "DESTROY %ld", destroy(s, iommufd, with2));
	say2(s, "DETACH own %ld DESTROY %ld", detach(s, cdev), destroy(s, iommufd, with2));
	pt = plain;
	say(s, "own on plain %ld", attach_to(s, cdev, &pt));
	pt = with;
	say(s, "pasid beside plain %ld", attach_pasid(s, cdev, 5, &pt));
	node_close(s, cdev);
	say2(s, "after close: DESTROY %ld %ld", destroy(s, iommufd, plain),
	     destroy(s, iommufd, with));
	say(s, "ioas %ld", destroy(s, iommufd, ioas));
	node_close(s, iommufd);
}

static inline void hwpts(struct script *s)
{
	struct via_iommu_hwpt_alloc alloc = {.size = sizeof(alloc)};
	struct via_iommu_fault_alloc fault = {.size = sizeof(fault)};
	int cdev = node_open(s, s->cdev[2]), iommufd = node_open(s, "iommu");
	uint32_t dev, ioas, id = 0, fault_id, automatic;

	(void)bind_to(s, cdev, iommufd, &dev);
	ioas = ioas_new(s, iommufd);
	say(s, "hwpts: absent device %ld", hwpt_new(s, iommufd, 99, ioas, 0, NULL));
	say(s, "absent pt %ld", hwpt_new(s, iommufd, dev, 99, 0, NULL));
	say(s, "device as pt %ld", hwpt_new(s, iommufd, dev, dev, 0, NULL));
	say(s, "ioas as device %ld", hwpt_new(s, iommufd, ioas, ioas, 0, NULL));
	say(s, "NEST_PARENT %ld",
	    hwpt_new(s, iommufd, dev, ioas, VIA_IOMMU_HWPT_ALLOC_NEST_PARENT, NULL));
	say(s, "NEST_PARENT and fault %ld",
	    hwpt_new(s, iommufd, dev, ioas,
		     VIA_IOMMU_HWPT_ALLOC_NEST_PARENT | VIA_IOMMU_HWPT_FAULT_ID_VALID, NULL));
	say(s, "flag 31 %ld", hwpt_new(s, iommufd, dev, ioas, 1u << 31, NULL));
	say(s, "fault absent %ld",
	    hwpt_new(s, iommufd, dev, ioas, VIA_IOMMU_HWPT_FAULT_ID_VALID, NULL));
	say(s, "fault queue %ld", call(s, iommufd, VIA_IOMMU_FAULT_QUEUE_ALLOC, &fault));
	fault_id = fault.out_fault_id;
	alloc.dev_id = dev;
	alloc.pt_id = ioas;
	alloc.flags = VIA_IOMMU_HWPT_FAULT_ID_VALID;
	alloc.fault_id = fault_id;
	say(s, "fault %ld", call(s, iommufd, VIA_IOMMU_HWPT_ALLOC, &alloc));
	id = alloc.out_hwpt_id;
	say(s, "attach it %ld", attach_to(s, cdev, &id));
	say2(s, "DETACH %ld DESTROY %ld", detach(s, cdev), destroy(s, iommufd, alloc.out_hwpt_id));
	alloc.flags = 0;
	alloc.data_len = 8;
	alloc.data_uptr = (uint64_t)(uintptr_t)s->page;
	say(s, "no type, length %ld", call(s, iommufd, VIA_IOMMU_HWPT_ALLOC, &alloc));
	alloc.data_type = VIA_IOMMU_HWPT_DATA_VTD_S1;
	say(s, "type on an ioas %ld", call(s, iommufd, VIA_IOMMU_HWPT_ALLOC, &alloc));
	alloc.data_len = 0;
	say(s, "type, no length %ld", call(s, iommufd, VIA_IOMMU_HWPT_ALLOC, &alloc));
	alloc.reserved = 1;
	say(s, "reserved %ld", call(s, iommufd, VIA_IOMMU_HWPT_ALLOC, &alloc));
	say(s, "plain %ld", hwpt_new(s, iommufd, dev, ioas, 0, &id));
	alloc = (struct via_iommu_hwpt_alloc){.size = sizeof(alloc), .dev_id = dev, .pt_id = id};
	say(s, "on a hwpt, no data %ld", call(s, iommufd, VIA_IOMMU_HWPT_ALLOC, &alloc));
	alloc.data_type = VIA_IOMMU_HWPT_DATA_VTD_S1;
	alloc.data_len = 16;
	alloc.data_uptr = (uint64_t)(uintptr_t)s->page;
	say(s, "on a hwpt %ld", call(s, iommufd, VIA_IOMMU_HWPT_ALLOC, &alloc));
	automatic = ioas;
	say(s, "attach %ld", attach_to(s, cdev, &automatic));
	alloc.pt_id = automatic;
	say(s, "on an automatic one %ld", call(s, iommufd, VIA_IOMMU_HWPT_ALLOC, &alloc));
	say(s, "DESTROY ioas %ld", destroy(s, iommufd, ioas));
	node_close(s, (int)fault.out_fault_fd);
	node_close(s, cdev);
	node_close(s, iommufd);
}

static inline void dirty(struct script *s)
{
	struct via_iommu_hwpt_set_dirty_tracking set = {.size = sizeof(set), .flags = 1};
	struct via_iommu_hwpt_get_dirty_bitmap get = {.size = sizeof(get)};
	int cdev = node_open(s, s->cdev[2]), iommufd = node_open(s, "iommu");
	uint32_t dev, ioas, id;

	(void)bind_to(s, cdev, iommufd, &dev);
	ioas = ioas_new(s, iommufd);
	(void)hwpt_new(s, iommufd, dev, ioas, 0, &id);
	set.hwpt_id = id;
	say(s, "dirty: SET %ld", call(s, iommufd, VIA_IOMMU_HWPT_SET_DIRTY_TRACKING, &set));
	set.reserved = 1;
	set.flags = 2;
	say(s, "flag %ld", call(s, iommufd, VIA_IOMMU_HWPT_SET_DIRTY_TRACKING, &set));
	set.flags = 0;
	set.hwpt_id = ioas;
	say(s, "ioas %ld", call(s, iommufd, VIA_IOMMU_HWPT_SET_DIRTY_TRACKING, &set));
	get.hwpt_id = id;
	get.data = (uint64_t)(uintptr_t)s->page;
	say(s, "GET length 0 %ld", call(s, iommufd, VIA_IOMMU_HWPT_GET_DIRTY_BITMAP, &get));
	get.length = 4095;
	say(s, "length 4095 %ld", call(s, iommufd, VIA_IOMMU_HWPT_GET_DIRTY_BITMAP, &get));
	get.length = 4096;
	say(s, "page size 0 %ld", call(s, iommufd, VIA_IOMMU_HWPT_GET_DIRTY_BITMAP, &get));
	get.page_size = 8192;
	say(s, "page size 8192 %ld", call(s, iommufd, VIA_IOMMU_HWPT_GET_DIRTY_BITMAP, &get));
	get.page_size = 4096;
	say(s, "no support %ld", call(s, iommufd, VIA_IOMMU_HWPT_GET_DIRTY_BITMAP, &get));
	get.flags = 2;
	say(s, "flag %ld", call(s, iommufd, VIA_IOMMU_HWPT_GET_DIRTY_BITMAP, &get));
	get.flags = 0;
	get.reserved = 1;
	say(s, "reserved %ld", call(s, iommufd, VIA_IOMMU_HWPT_GET_DIRTY_BITMAP, &get));
	get.reserved = 0;
	get.hwpt_id = ioas;
	say(s, "ioas %ld", call(s, iommufd, VIA_IOMMU_HWPT_GET_DIRTY_BITMAP, &get));
	node_close(s, cdev);
	node_close(s, iommufd);
}

static inline void hw_info(struct script *s)
{
	struct via_iommu_hw_info info = {.size = sizeof(info)};
	struct via_iommu_hwpt_invalidate inv = {.size = sizeof(inv), .entry_num = 7};
	int cdev = node_open(s, s->cdev[2]), iommufd = node_open(s, "iommu");
	unsigned char bytes[40];
	uint32_t dev, ioas, id;

	(void)bind_to(s, cdev, iommufd, &dev);
	info.dev_id = dev;
	say(s, "hw info: %ld", call(s, iommufd, VIA_IOMMU_GET_HW_INFO, &info));
	say(s, "len %u type %u log2 %u caps %llu", info.data_len, info.data_type,
	    info.out_max_pasid_log2, (unsigned long long)info.out_capabilities);
	memset(bytes, 0xaa, sizeof(bytes));
	info.data_len = 36;
	info.data_uptr = (uint64_t)(uintptr_t)bytes;
	info.data_type = 77;
	say(s, "36 bytes %ld", call(s, iommufd, VIA_IOMMU_GET_HW_INFO, &info));
	say(s,
	    "len %u type %u bytes %02x %02x%02x%02x%02x%02x%02x%02x%02x %02x%02x%02x%02x %02x%02x",
	    info.data_len, info.data_type, bytes[0], bytes[15], bytes[14], bytes[13], bytes[12],
	    bytes[11], bytes[10], bytes[9], bytes[8], bytes[19], bytes[18], bytes[17], bytes[16],
	    bytes[35], bytes[36]);
	memset(bytes, 0xaa, sizeof(bytes));
	info.data_len = 10;
	say(s, "10 bytes %ld", call(s, iommufd, VIA_IOMMU_GET_HW_INFO, &info));
	say(s, "len %u bytes %02x %02x", info.data_len, bytes[9], bytes[10]);
	for (uint32_t type = 0; type < 5; type++) {
		info.flags = 1;
		info.data_type = type;
		info.data_len = 0;
		say(s, "type %u: %ld", type, call(s, iommufd, VIA_IOMMU_GET_HW_INFO, &info));
		say(s, "gives %u len %u", info.data_type, info.data_len);
	}
	info.flags = 2;
	say(s, "flag 2 %ld", call(s, iommufd, VIA_IOMMU_GET_HW_INFO, &info));
	info.flags = 0;
	info.reserved[1] = 1;
	say(s, "reserved %ld", call(s, iommufd, VIA_IOMMU_GET_HW_INFO, &info));
	info.reserved[1] = 0;
	info.data_uptr = (uint64_t)(uintptr_t)s->bad;
	info.data_len = 8;
	say(s, "bad address %ld", call(s, iommufd, VIA_IOMMU_GET_HW_INFO, &info));
	info.dev_id = 99;
	say(s, "absent %ld", call(s, iommufd, VIA_IOMMU_GET_HW_INFO, &info));

	ioas = ioas_new(s, iommufd);
	(void)hwpt_new(s, iommufd, dev, ioas, 0, &id);
	inv.data_uptr = (uint64_t)(uintptr_t)s->page;
	inv.entry_len = 4097;
	inv.hwpt_id = id;
	say(s, "INVALIDATE length 4097 %ld", call(s, iommufd, VIA_IOMMU_HWPT_INVALIDATE, &inv));
	say(s, "entries %u", inv.entry_num);
	inv.entry_num = 7;
	inv.entry_len = 16;
	say(s, "paging %ld", call(s, iommufd, VIA_IOMMU_HWPT_INVALIDATE, &inv));
	say(s, "entries %u", inv.entry_num);
	inv.entry_num = 7;
	inv.hwpt_id = 99;
	inv.reserved = 1;
	say(s, "reserved %ld", call(s, iommufd, VIA_IOMMU_HWPT_INVALIDATE, &inv));
	inv.reserved = 0;
	inv.entry_num = (1u << 19) + 1;
	say(s, "too many %ld", call(s, iommufd, VIA_IOMMU_HWPT_INVALIDATE, &inv));
	inv.entry_num = 1;
	say(s, "absent %ld", call(s, iommufd, VIA_IOMMU_HWPT_INVALIDATE, &inv));
	inv.entry_num = 3;
	s->fill_read_only(s->cookie, &inv, sizeof(inv));
	say(s, "reply faults %ld", call(s, iommufd, VIA_IOMMU_HWPT_INVALIDATE, s->read_only));
	node_close(s, cdev);
	node_close(s, iommufd);
}

/* Two devices of one group. */
static inline void siblings(struct script *s)
{
	int a = node_open(s, s->cdev[0]), b = node_open(s, s->cdev[1]);
	int iommufd = node_open(s, "iommu"), other = node_open(s, "iommu");
	uint32_t dev[2], x, y, pt, first, auto_x;

	say(s, "siblings: BIND %ld", bind_to(s, a, iommufd, &dev[0]));
	say(s, "BIND elsewhere %ld", bind_to(s, b, other, NULL));
	say_hot_reset(s, "one bound", a, false);
	say(s, "hot reset count 0 %ld", hot_reset(s, a, 0, 0));
	say(s, "BIND same %ld", bind_to(s, b, iommufd, &dev[1]));
	say(s, "devids %u %u", dev[0], dev[1]);
	say_hot_reset(s, "both bound", a, false);
	say2(s, "hot reset count 1 %ld count 0 %ld", hot_reset(s, a, 1, iommufd),
	     hot_reset(s, a, 0, 0));
	x = ioas_new(s, iommufd);
	y = ioas_new(s, iommufd);
	pt = x;
	say(s, "first to x %ld", attach_to(s, a, &pt));
	auto_x = first = pt;
	pt = y;
	say(s, "second to y %ld", attach_to(s, b, &pt));
	pt = x;
	say(s, "second to x %ld", attach_to(s, b, &pt));
	say(s, "same hwpt %d", pt == first);
	pt = y;
	say(s, "first to y %ld", attach_to(s, a, &pt));
	first = pt;
	say(s, "hwpt of x gone %ld", destroy(s, iommufd, auto_x));
	pt = x;
	say(s, "second to x %ld", attach_to(s, b, &pt));
	say(s, "hwpt of y gone %ld", destroy(s, iommufd, first));
	say2(s, "first leaves %ld, ioas x %ld", detach(s, a), destroy(s, iommufd, x));
	pt = y;
	say(s, "first to y %ld", attach_to(s, a, &pt));
	say2(s, "second leaves %ld, ioas x %ld", detach(s, b), destroy(s, iommufd, x));
	node_close(s, b);
	say_hot_reset(s, "one closed", a, false);
	node_close(s, a);
	node_close(s, iommufd);
	node_close(s, other);
}

static inline void groups_and_nodes(struct script *s)
{
	int group, cdev, device, iommufd = node_open(s, "iommu"), container;
	uint32_t pt;

	cdev = node_open(s, s->cdev[0]);
	group = node_open(s, s->group[0]);
	say(s, "groups and nodes: group beside an open node %d", sign(group));
	say(s, "BIND %ld", bind_to(s, cdev, iommufd, NULL));
	say(s, "BIND fd -1 %ld", bind_to(s, cdev, -1, NULL));
	say(s, "BIND fd 9999 %ld", bind_to(s, cdev, 9999, NULL));
	node_close(s, group);
	say(s, "group closed: BIND %ld", bind_to(s, cdev, iommufd, NULL));
	group = node_open(s, s->group[0]);
	say(s, "group beside a bound node %d", sign(group));
	group = node_open(s, s->group[2]);
	say(s, "another group %d", sign(group));
	node_close(s, group);
	node_close(s, cdev);

	group = node_open(s, s->group[0]);
	container = node_open(s, "vfio/vfio");
	say(s, "container %ld", set_container(s, group, container));
	say(s, "type %ld", call(s, container, VIA_VFIO_SET_IOMMU, (void *)3));
	device = get_device(s, group, 0);
	say(s, "device %d", sign(device));
	say(s, "on it: BIND %ld", bind_to(s, device, iommufd, NULL));
	say(s, "BIND fd -1 %ld", bind_to(s, device, -1, NULL));
	pt = 1;
	say2(s, "ATTACH %ld DETACH %ld", attach_to(s, device, &pt), detach(s, device));
	cdev = node_open(s, s->cdev[1]);
	say(s, "BIND of its sibling %ld", bind_to(s, cdev, iommufd, NULL));
	node_close(s, group);
	say(s, "and without the group's file %ld", bind_to(s, cdev, iommufd, NULL));
	node_close(s, cdev);
	node_close(s, device);
	node_close(s, container);
	node_close(s, iommufd);
}

static inline void iommufd_as_container(struct script *s)
{
	struct via_iommu_vfio_ioas compat = {.size = sizeof(compat), .op = VIA_IOMMU_VFIO_IOAS_GET};
	struct via_vfio_iommu_type1_dma_map map = {.argsz = sizeof(map), .flags = 3, .size = 4096};
	int group, other_group, device, again, iommufd = node_open(s, "iommu");
	int second = node_open(s, "iommu"), cdev;
	uint32_t ioas;

	say(s, "as container: compat %ld", call(s, iommufd, VIA_IOMMU_VFIO_IOAS, &compat));
	group = node_open(s, s->group[0]);
	say_status(s, "alone", group);
	say(s, "pipe %ld", set_container(s, group, s->pipe));
	say(s, "set %ld", set_container(s, group, iommufd));
	say_status(s, "set", group);
	say2(s, "again %ld pipe %ld", set_container(s, group, iommufd),
	     set_container(s, group, s->pipe));
	compat.ioas_id = 0;
	say(s, "compat %ld", call(s, iommufd, VIA_IOMMU_VFIO_IOAS, &compat));
	ioas = compat.ioas_id;
	say(s, "id %u destroy %ld", ioas, destroy(s, iommufd, ioas));
	say(s, "device without compat %d", sign(get_device(s, group, 0)));
	say2(s, "unset %ld %ld", call(s, group, VIA_VFIO_GROUP_UNSET_CONTAINER, NULL),
	     call(s, group, VIA_VFIO_GROUP_UNSET_CONTAINER, NULL));
	say(s, "device without container %d", sign(get_device(s, group, 0)));
	say(s, "set %ld", set_container(s, group, iommufd));
	map.vaddr = (uint64_t)(uintptr_t)s->page;
	map.iova = 0xfee00000;
	say(s, "map window %ld", call(s, iommufd, VIA_VFIO_IOMMU_MAP_DMA, &map));
	say(s, "device %d", sign(get_device(s, group, 0)));
	compat.ioas_id = 0;
	(void)call(s, iommufd, VIA_IOMMU_VFIO_IOAS, &compat);
	say(s, "destroy %ld", destroy(s, iommufd, compat.ioas_id));
	(void)call(s, group, VIA_VFIO_GROUP_UNSET_CONTAINER, NULL);
	(void)set_container(s, group, iommufd);
	say(s, "unknown %ld",
	    call(s, group, VIA_VFIO_GROUP_GET_DEVICE_FD, (void *)(uintptr_t)s->name[2]));
	device = get_device(s, group, 0);
	say(s, "device %d info %ld", sign(device), get_info(s, device));
	compat.ioas_id = 0;
	(void)call(s, iommufd, VIA_IOMMU_VFIO_IOAS, &compat);
	say(s, "compat %u busy %ld", compat.ioas_id, destroy(s, iommufd, compat.ioas_id));
	map.iova = 0xfee00000;
	say(s, "map window %ld", call(s, iommufd, VIA_VFIO_IOMMU_MAP_DMA, &map));
	map.iova = 0x10000;
	say(s, "map %ld", call(s, iommufd, VIA_VFIO_IOMMU_MAP_DMA, &map));
	say(s, "on the device: BIND %ld", bind_to(s, device, iommufd, NULL));
	say(s, "ATTACH %ld", attach_to(s, device, &ioas));
	say_hot_reset(s, "one open", device, true);
	say2(s, "hot reset count 0 %ld group %ld", hot_reset(s, device, 0, 0),
	     hot_reset(s, device, 1, group));
	say(s, "hot reset iommufd %ld", hot_reset(s, device, 1, iommufd));
	again = get_device(s, group, 0);
	say(s, "device again %d", sign(again));
	node_close(s, again);
	again = get_device(s, group, 1);
	say(s, "sibling %d", sign(again));
	say_hot_reset(s, "both open", device, true);
	say(s, "unset with devices open %ld", call(s, group, VIA_VFIO_GROUP_UNSET_CONTAINER, NULL));
	say_status(s, "unset", group);
	say2(s, "device then %ld info %ld", sign(get_device(s, group, 0)), get_info(s, device));
	say_hot_reset(s, "unset", device, true);
	say(s, "hot reset group %ld", hot_reset(s, device, 1, group));
	say(s, "second iommufd %ld", set_container(s, group, second));
	say_status(s, "second", group);
	cdev = get_device(s, group, 0);
	say(s, "open device of the first %d", sign(cdev));
	node_close(s, cdev);
	node_close(s, again);
	cdev = get_device(s, group, 1);
	say(s, "closed sibling %d", sign(cdev));
	node_close(s, cdev);
	cdev = node_open(s, s->cdev[1]);
	say(s, "sibling's node %d BIND %ld", sign(cdev), bind_to(s, cdev, iommufd, NULL));
	node_close(s, group);
	say(s, "group closed: BIND %ld", bind_to(s, cdev, iommufd, NULL));
	group = node_open(s, s->group[0]);
	say(s, "group again %d", sign(group));
	node_close(s, group);
	node_close(s, device);
	say(s, "device closed: BIND %ld", bind_to(s, cdev, iommufd, NULL));
	node_close(s, cdev);
	say(s, "compat idle: destroy %ld", destroy(s, iommufd, compat.ioas_id));

	/* Two groups, one context. */
	group = node_open(s, s->group[0]);
	other_group = node_open(s, s->group[2]);
	say2(s, "two groups %ld %ld", set_container(s, group, iommufd),
	     set_container(s, other_group, iommufd));
	device = get_device(s, group, 0);
	again = get_device(s, other_group, 2);
	say(s, "devices %d %d", sign(device), sign(again));
	node_close(s, group);
	say_status(s, "group closed", other_group);
	node_close(s, device);
	node_close(s, again);
	node_close(s, other_group);
	node_close(s, second);
	node_close(s, iommufd);
}

static inline void mixed_owners(struct script *s)
{
	int group = node_open(s, s->group[0]), container = node_open(s, "vfio/vfio");
	int iommufd = node_open(s, "iommu"), other = node_open(s, "iommu"), cdev, device, b;

	say2(s, "owners: iommufd then container %ld %ld", set_container(s, group, iommufd),
	     set_container(s, group, container));
	device = get_device(s, group, 0);
	(void)call(s, group, VIA_VFIO_GROUP_UNSET_CONTAINER, NULL);
	say(s, "device %d container %ld", sign(device), set_container(s, group, container));
	say_status(s, "group", group);
	node_close(s, device);
	say(s, "closed: container %ld", set_container(s, group, container));
	node_close(s, group);
	node_close(s, container);

	cdev = node_open(s, s->cdev[0]);
	b = node_open(s, s->cdev[1]);
	say(s, "BIND %ld", bind_to(s, cdev, iommufd, NULL));
	node_close(s, iommufd);
	say2(s, "its iommufd closed: info %ld BIND of the sibling elsewhere %ld", get_info(s, cdev),
	     bind_to(s, b, other, NULL));
	say_hot_reset(s, "iommufd closed", cdev, false);
	node_close(s, cdev);
	say(s, "device closed: BIND %ld", bind_to(s, b, other, NULL));
	node_close(s, b);
	node_close(s, other);
}

static inline void script_run(struct script *s)
{
	before_bind(s);
	attaching(s);
	pasids(s);
	hwpts(s);
	dirty(s);
	hw_info(s);
	siblings(s);
	groups_and_nodes(s);
	iommufd_as_container(s);
	mixed_owners(s);
}

#undef BIND
#undef ATTACH
#undef DETACH

#endif
