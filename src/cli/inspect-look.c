/* SPDX-License-Identifier: MIT */
/* A VFIO program in this very process, by the door that --in-process uses. */
#include "cli/inspect.h"

#include "device/device.h"
#include "host/local.h"
#include "pci/config.h"

#include <viaduct/abi/vfio.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

struct session {
	struct via_host *host;
	struct via_door_reply reply;
	uint8_t data[VIA_DOOR_DATA_SIZE];
	int fds[3]; /* container, group, device; -1: none */
	int64_t container, group, device;
	struct via_config *config;
};

static int64_t call(struct session *s, uint32_t op, int64_t id, uint64_t a, uint64_t b, uint64_t c,
		    int fd, int *ret_fd)
{
	struct via_door_request request = {
		.op = op, .n_fds = fd >= 0, .id = (uint64_t)id, .arg = {a, b, c}};
	int got = -1;
	int64_t ret = via_host_local_call(s->host, &request, s->data, fd, &s->reply, &got);

	if (ret_fd)
		*ret_fd = got;
	else if (got >= 0)
		close(got);
	return ret;
}

static int64_t do_ioctl(struct session *s, int64_t id, unsigned long command, void *arg)
{
	return call(s, VIA_DOOR_IOCTL, id, command, (uintptr_t)arg, 0, -1, NULL);
}

static int64_t open_node(struct session *s, const char *node, int *ret_fd)
{
	memcpy(s->data, node, strlen(node));
	return call(s, VIA_DOOR_OPEN, 0, strlen(node), O_RDWR, 0, -1, ret_fd);
}

static int open_device(struct session *s, const char *address, int group)
{
	char node[32];
	int64_t r;

	(void)snprintf(node, sizeof(node), "vfio/%d", group);
	s->container = r = open_node(s, "vfio/vfio", &s->fds[0]);
	if (r > 0)
		s->group = r = open_node(s, node, &s->fds[1]);
	if (r > 0)
		r = do_ioctl(s, s->group, VIA_VFIO_GROUP_SET_CONTAINER, &s->fds[0]);
	if (r >= 0)
		r = do_ioctl(s, s->container, VIA_VFIO_SET_IOMMU,
			     (void *)(uintptr_t)VIA_VFIO_TYPE1v2_IOMMU);
	if (r >= 0)
		r = s->fds[2] = (int)do_ioctl(s, s->group, VIA_VFIO_GROUP_GET_DEVICE_FD,
					      (void *)(uintptr_t)address);
	if (r >= 0)
		s->device = r = call(s, VIA_DOOR_IDENTIFY, 0, 0, 0, 0, s->fds[2], NULL);
	return r > 0 ? 0 : r < 0 ? (int)r : -ENODEV;
}

static void look_at_region(struct session *s, unsigned int i, struct inspect_region *ret)
{
	struct {
		struct via_vfio_region_info info;
		uint8_t chain[1024];
	} r = {.info = {.argsz = sizeof(r), .index = i}};
	struct via_vfio_info_cap_header cap;

	*ret = (struct inspect_region){
		.error = (int)do_ioctl(s, s->device, VIA_VFIO_DEVICE_GET_REGION_INFO, &r)};
	if (ret->error)
		return;
	ret->size = r.info.size;
	ret->offset = r.info.offset;
	ret->flags = r.info.flags;
	if (!(r.info.flags & VIA_VFIO_REGION_INFO_FLAG_CAPS) ||
	    r.info.cap_offset + sizeof(cap) > sizeof(r))
		return;
	memcpy(&cap, (uint8_t *)&r + r.info.cap_offset, sizeof(cap));
	ret->cap_id = cap.id;
	ret->cap_offset = r.info.cap_offset;
}

static void look_at_irq(struct session *s, unsigned int i, struct inspect_irq *ret)
{
	struct via_vfio_irq_info info = {.argsz = sizeof(info), .index = i};

	*ret = (struct inspect_irq){
		.error = (int)do_ioctl(s, s->device, VIA_VFIO_DEVICE_GET_IRQ_INFO, &info)};
	ret->count = info.count;
	ret->flags = info.flags;
}

static int64_t config_at(struct session *s, bool write, const struct inspect_view *view,
			 unsigned int pos, void *bytes, size_t len)
{
	return call(s, write ? VIA_DOOR_PWRITE : VIA_DOOR_PREAD, s->device, (uintptr_t)bytes, len,
		    view->regions[VIA_VFIO_PCI_CONFIG_REGION_INDEX].offset + pos, -1, NULL);
}

/* As a program sizes a BAR: ones in, size out. */
static uint32_t size_bar(struct session *s, const struct inspect_view *view, unsigned int pos)
{
	uint8_t bytes[4] = {0xff, 0xff, 0xff, 0xff};

	if (config_at(s, true, view, pos, bytes, 4) != 4 ||
	    config_at(s, false, view, pos, bytes, 4) != 4)
		return 0;
	return via_get_le32(bytes);
}

static int look(struct session *s, struct inspect_view *view)
{
	struct via_vfio_device_info info = {.argsz = sizeof(info)};
	int64_t r = do_ioctl(s, s->device, VIA_VFIO_DEVICE_GET_INFO, &info);
	struct inspect_region *config = &view->regions[VIA_VFIO_PCI_CONFIG_REGION_INDEX];

	if (r < 0)
		return (int)r;
	view->flags = info.flags;
	view->n_regions = info.num_regions;
	view->n_irqs = info.num_irqs;
	for (unsigned int i = 0; i < INSPECT_REGIONS; i++)
		look_at_region(s, i, &view->regions[i]);
	for (unsigned int i = 0; i < INSPECT_IRQS; i++)
		look_at_irq(s, i, &view->irqs[i]);
	if (config->error || config->size > sizeof(view->config))
		return -EIO;
	view->config_size = view->known = (unsigned int)config->size;
	if (config_at(s, false, view, 0, view->config, view->config_size) != view->config_size)
		return -EIO;
	via_config_device_bytes(s->config, view->device);
	view->masks = *via_config_masks_of(s->config);
	for (unsigned int i = 0; i < INSPECT_BARS; i++)
		view->sizing[i] = size_bar(s, view, 0x10 + 4 * i);
	view->rom_sizing = size_bar(s, view, 0x30);
	return 0;
}

int inspect_look(const char *spec, const struct via_vfio_config *config, struct via_error *err,
		 struct inspect_view *ret_view)
{
	struct session *s = calloc(1, sizeof(*s));
	char address[VIA_PCI_ADDR_LEN];
	struct via_vfio *vfio;
	struct via_device *dev;
	int r;

	if (!s)
		return -ENOMEM;
	s->fds[0] = s->fds[1] = s->fds[2] = -1;
	r = via_host_new(config, &s->host);
	if (!r)
		r = via_host_add_device(s->host, spec, err);
	if (!r) {
		vfio = via_host_vfio(s->host);
		dev = via_vfio_device(vfio, 0);
		s->config = via_device_config(dev);
		via_pci_addr_format(via_device_addr(dev), address);
		memset(ret_view, 0, sizeof(*ret_view));
		(void)snprintf(ret_view->name, sizeof(ret_view->name), "%s", via_device_name(dev));
		memcpy(ret_view->address, address, sizeof(address));
		r = open_device(s, address, via_vfio_device_group(vfio, 0));
	}
	if (!r)
		r = look(s, ret_view);
	for (unsigned int i = 0; i < 3; i++)
		if (s->fds[i] >= 0)
			close(s->fds[i]);
	via_host_free(s->host);
	free(s);
	return r ? via_error_set(err, r, "cannot look at the device: %s", strerror(-r)) : 0;
}
