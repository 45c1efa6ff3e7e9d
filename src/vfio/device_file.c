/* SPDX-License-Identifier: MIT */
/*
 * A device descriptor: decodes calls, regions and mappings for the device
 * room, which knows what they mean. Several files of one device share it.
 */
#include "vfio/feature.h"
#include "vfio/iommufd/iommufd.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#define PAGE 4096u

/*
 * Bytes per step of a long transfer. Steps end at multiples of it, so that a
 * cut never changes how the device room splits the bytes into accesses.
 */
#define STEP 65536u

static struct via_device_file *device_file_of(struct via_file *file)
{
	return VIA_CONTAINER_OF(file, struct via_device_file, file);
}

/* A file of a device's node is nothing before it is bound. */
static bool is_ready(const struct via_device_file *df)
{
	return __atomic_load_n(&df->ready, __ATOMIC_ACQUIRE);
}

/* Interrupts --------------------------------------------------------------- */

int via_caller_eventfd_get(void *cookie, int fd, int *ret_fd)
{
	struct via_caller *caller = cookie;

	return fd < 0 ? -EBADF : caller->ops->fd_get(caller, fd, ret_fd);
}

static long set_irqs(struct via_device_file *df, struct via_caller *caller, uint64_t arg)
{
	struct via_device *dev = df->placed->dev;
	struct via_set_irqs set = {.fd_get = via_caller_eventfd_get, .cookie = caller};
	struct via_vfio_irq_set header;
	size_t data_len;
	void *data = NULL;
	int ret;

	ret = via_copy_in(caller, &header, arg, sizeof(header));
	if (ret < 0)
		return ret;
	set.index = header.index;
	set.start = header.start;
	set.count = header.count;
	set.flags = header.flags;
	ret = via_device_irqs_check(dev, header.argsz, &set, &data_len);
	if (ret < 0)
		return ret;

	if (data_len) {
		data = malloc(data_len);
		if (!data)
			return -ENOMEM;
		ret = via_copy_in(caller, data, arg + sizeof(header), data_len);
		if (header.flags & VIA_VFIO_IRQ_SET_DATA_BOOL)
			set.bools = data;
		else
			set.fds = data;
	}
	if (!ret)
		ret = via_device_set_irqs(dev, &set);
	free(data);
	return ret;
}

/* Nothing can be attached meanwhile: where its DMA goes is not to be changed under a reset. */
static long reset(struct via_device_file *df)
{
	struct via_placed *placed = df->placed;
	struct via_idev *idev;
	int ret;

	if (!via_reset_works(df))
		return -EINVAL;
	/* It stays bound as long as it is open. */
	pthread_mutex_lock(&df->vfio->lock);
	idev = placed->idev;
	pthread_mutex_unlock(&df->vfio->lock);
	via_iommu_hw_reset(placed->hw, idev, true);
	ret = via_device_reset(placed->dev);
	via_iommu_hw_reset(placed->hw, idev, false);
	return ret;
}

/* Calls -------------------------------------------------------------------- */

static long call_device(struct via_device_file *df, struct via_caller *caller, unsigned long cmd,
			uint64_t arg)
{
	switch (cmd) {
	case VIA_VFIO_DEVICE_GET_INFO:
		return via_device_get_info(df, caller, arg);
	case VIA_VFIO_DEVICE_GET_REGION_INFO:
		return via_device_get_region_info(df, caller, arg);
	case VIA_VFIO_DEVICE_GET_IRQ_INFO:
		return via_device_get_irq_info(df, caller, arg);
	case VIA_VFIO_DEVICE_SET_IRQS:
		return set_irqs(df, caller, arg);
	case VIA_VFIO_DEVICE_RESET:
		return reset(df);
	case VIA_VFIO_DEVICE_GET_PCI_HOT_RESET_INFO:
		return via_device_get_hot_reset_info(df, caller, arg);
	case VIA_VFIO_DEVICE_PCI_HOT_RESET:
		return via_device_hot_reset(df, caller, arg);
	case VIA_VFIO_DEVICE_IOEVENTFD:
		return via_device_set_ioeventfd(df, caller, arg);
	case VIA_VFIO_DEVICE_FEATURE:
		return via_device_feature(df, caller, arg);
	default:
		return -ENOTTY;
	}
}

static long device_ioctl(struct via_file *file, struct via_caller *caller, unsigned long cmd,
			 uint64_t arg)
{
	struct via_device_file *df = device_file_of(file);
	long ret;

	/* The calls that do not wake the function. */
	if (cmd == VIA_VFIO_DEVICE_BIND_IOMMUFD)
		return via_cdev_bind(df, caller, arg);
	if (!is_ready(df))
		return -EINVAL;
	if (df->way == VIA_WAY_NODE && cmd == VIA_VFIO_DEVICE_ATTACH_IOMMUFD_PT)
		return via_cdev_attach(df, caller, arg);
	if (df->way == VIA_WAY_NODE && cmd == VIA_VFIO_DEVICE_DETACH_IOMMUFD_PT)
		return via_cdev_detach(df, caller, arg);
	via_device_begin(df->placed->dev);
	ret = call_device(df, caller, cmd, arg);
	via_device_end(df->placed->dev);
	return ret;
}

/* Region I/O --------------------------------------------------------------- */

struct transfer {
	struct via_device *dev;
	struct via_caller *caller;
	unsigned int region;
	uint64_t offset; /* in the region */
	uint64_t addr;	 /* in the caller */
	size_t len;
	bool write;
};

/*
 * Checks that concern the whole request; clips it to the region's end. The
 * device room repeats them for each step, where they can no longer fail.
 */
static int transfer_check(struct transfer *t)
{
	struct via_region_info info;
	int ret;

	if (t->region == VIA_REGION_CONFIG) {
		size_t size = via_device_config_size(t->dev);

		return t->offset > size || t->len > size - t->offset ? -EFAULT : 0;
	}
	ret = via_device_region_info(t->dev, t->region, &info);
	if (ret < 0)
		return ret;
	if (t->offset >= info.size)
		return -EINVAL;
	if (t->len > info.size - t->offset)
		t->len = info.size - t->offset;
	return 0;
}

static ssize_t transfer_step(const struct transfer *t, size_t done, void *buf, size_t n)
{
	ssize_t ret;

	if (t->write) {
		ret = via_copy_in(t->caller, buf, t->addr + done, n);
		return ret < 0 ? ret
			       : via_device_region_write(t->dev, t->region, t->offset + done, buf,
							 n);
	}
	ret = via_device_region_read(t->dev, t->region, t->offset + done, buf, n);
	if (ret > 0) {
		int fault = via_copy_out(t->caller, t->addr + done, buf, (size_t)ret);

		if (fault < 0)
			return fault;
	}
	return ret;
}

static ssize_t transfer_run(struct transfer *t)
{
	char small[64];
	char *buf = small;
	size_t done = 0;
	ssize_t ret;

	ret = transfer_check(t);
	if (ret < 0)
		return ret;
	if (t->len > sizeof(small)) {
		buf = malloc(t->len < STEP ? t->len : STEP);
		if (!buf)
			return -ENOMEM;
	}
	while (done < t->len) {
		size_t n = STEP - (t->offset + done) % STEP;

		if (n > t->len - done)
			n = t->len - done;
		ret = transfer_step(t, done, buf, n);
		if (ret < 0)
			break;
		done += (size_t)ret;
		if ((size_t)ret < n)
			break;
	}
	if (buf != small)
		free(buf);
	return ret < 0 ? ret : (ssize_t)done;
}

static ssize_t transfer(struct via_file *file, struct via_caller *caller, uint64_t addr, size_t len,
			uint64_t position, bool write)
{
	struct via_placed *placed = device_file_of(file)->placed;
	uint64_t region = position >> VIA_VFIO_PCI_OFFSET_SHIFT;
	struct transfer t = {
		.dev = placed->dev,
		.caller = caller,
		.region = (unsigned int)region,
		.offset = position & ((1ull << VIA_VFIO_PCI_OFFSET_SHIFT) - 1),
		.addr = addr,
		.len = len,
		.write = write,
	};
	ssize_t ret;

	if (!is_ready(device_file_of(file)) || region >= VIA_N_REGIONS)
		return -EINVAL;
	via_device_begin(t.dev);
	ret = transfer_run(&t);
	via_device_end(t.dev);
	return ret;
}

static ssize_t device_pread(struct via_file *file, struct via_caller *caller, uint64_t addr,
			    size_t len, uint64_t offset)
{
	return transfer(file, caller, addr, len, offset, false);
}

static ssize_t device_pwrite(struct via_file *file, struct via_caller *caller, uint64_t addr,
			     size_t len, uint64_t offset)
{
	return transfer(file, caller, addr, len, offset, true);
}

/* Mappings ----------------------------------------------------------------- */

/* Is every area that [offset, end) touches offered to this caller? */
static bool range_offered(const struct via_vfio *vfio, const struct via_caller *caller,
			  const struct via_region_map *map, uint64_t offset, uint64_t end)
{
	for (size_t i = 0; i < map->n_areas; i++) {
		const struct via_area *a = &map->areas[i];

		if (a->offset < end && a->offset + a->size > offset &&
		    !via_area_offered(vfio, caller, a->kind))
			return false;
	}
	return true;
}

static int device_mmap(struct via_file *file, struct via_caller *caller, uint64_t offset,
		       uint64_t len, int prot, int flags, struct via_mmap *ret_map)
{
	struct via_device_file *df = device_file_of(file);
	uint64_t region = offset >> VIA_VFIO_PCI_OFFSET_SHIFT;
	struct via_region_map map;
	uint64_t start, size;
	int ret;

	start = offset & ((1ull << VIA_VFIO_PCI_OFFSET_SHIFT) - 1);
	if (!is_ready(df) || !len || start % PAGE || region >= VIA_REGION_ROM)
		return -EINVAL;
	if ((flags & MAP_TYPE) != MAP_SHARED && (flags & MAP_TYPE) != MAP_SHARED_VALIDATE)
		return -EINVAL;
	ret = via_device_region_map(df->placed->dev, (unsigned int)region, &map);
	if (ret < 0)
		return ret;

	size = (map.size + PAGE - 1) / PAGE * PAGE;
	if (start >= size || len > size - start)
		return -EINVAL;
	len = (len + PAGE - 1) / PAGE * PAGE;
	if (!range_offered(df->vfio, caller, &map, start, start + len))
		return -EINVAL;

	/* From now on addresses of memory for DMA may be those of a BAR. */
	__atomic_store_n(&df->vfio->bars_mapped, true, __ATOMIC_RELAXED);
	*ret_map = (struct via_mmap){
		.fd = map.fd,
		.offset = start,
		.len = len,
		.dev = df->placed->dev,
		.region = (unsigned int)region,
		.areas = map.areas,
		.n_areas = map.n_areas,
	};
	return 0;
}

/* File --------------------------------------------------------------------- */

static void device_release(struct via_file *file)
{
	struct via_device_file *df = device_file_of(file);
	struct via_placed *placed = df->placed;
	struct via_group *group = placed->group;
	struct via_iommufd *iommufd = NULL;

	pthread_mutex_lock(&df->vfio->lock);
	if (df->ready) {
		via_placed_close(placed);
		if (df->way == VIA_WAY_NODE)
			group->n_bound--;
	}
	via_group_release(group, df->way == VIA_WAY_CONTAINER, &iommufd);
	via_placed_file_gone(placed);
	pthread_mutex_unlock(&df->vfio->lock);
	via_iommufd_put(iommufd);
	free(df);
}

const struct via_file_ops via_device_file_ops = {
	.kind = "device",
	.ioctl = device_ioctl,
	.pread = device_pread,
	.pwrite = device_pwrite,
	.mmap = device_mmap,
	.release = device_release,
};

int via_device_file_new(struct via_placed *placed, enum via_way way, struct via_file **ret_file)
{
	struct via_device_file *df = calloc(1, sizeof(*df));

	if (!df)
		return -ENOMEM;
	df->file.ops = &via_device_file_ops;
	df->file.refs = 1;
	df->vfio = placed->group->vfio;
	df->placed = placed;
	df->way = way;
	placed->group->users++;
	if (way == VIA_WAY_CONTAINER)
		placed->group->n_keeping++;
	via_placed_file_added(placed);
	*ret_file = &df->file;
	return 0;
}
