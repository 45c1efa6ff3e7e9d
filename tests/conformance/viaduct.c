/* SPDX-License-Identifier: MIT */
/*
 * The list of calls on file objects in this process.
 *
 * usage: vfio-calls-viaduct MODEL[,OPTION...] ADDRESS GROUP [ADDRESS2 GROUP2 NEIGHBOUR]
 *        vfio-calls-viaduct iommu LIST SEED
 *
 * Besides the models of the catalogue there is like-qemu-nvme: a function with
 * the BAR, the interrupts and the constant registers of QEMU's nvme, but none
 * of its function.
 */
#include "iommu.h"

#include "vfio/test-caller.h"
#include "vfio/vfio.h"

#include <viaduct/models.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

static struct test_caller caller;
static struct via_vfio *vfio;

/* Moves a file object to the list's number; what was there is closed. */
static int renumber(int from, int to)
{
	struct via_file *old = NULL;

	if (from < 0)
		return from;
	if (dup3(from, to, O_CLOEXEC) < 0)
		return -errno;
	close(from);
	for (size_t i = 0; i < TEST_FILES; i++) {
		if (caller.slots[i].file && caller.slots[i].fd == to) {
			old = caller.slots[i].file;
			caller.slots[i].file = NULL;
		}
	}
	for (size_t i = 0; i < TEST_FILES; i++) {
		if (caller.slots[i].file && caller.slots[i].fd == from)
			caller.slots[i].fd = to;
	}
	if (old)
		via_file_put(old);
	return to;
}

static int obj_open(const char *node, int fd)
{
	struct via_file *file = NULL;
	int ret = via_vfio_open(vfio, &caller.caller, node, O_RDWR | O_CLOEXEC, &file);

	return ret < 0 ? ret : renumber(test_file_put(&caller.caller, file, true), fd);
}

static int obj_close(int fd)
{
	return test_close(&caller, fd);
}

static long obj_ioctl(int fd, unsigned long cmd, uintptr_t arg)
{
	struct via_file *file = NULL;
	long ret = test_file_get(&caller.caller, fd, &file);

	if (ret < 0)
		return ret;
	ret = via_file_ioctl(file, &caller.caller, cmd, arg);
	via_file_put(file);
	return ret;
}

static long obj_ioctl_fd(int fd, unsigned long cmd, uintptr_t arg, int new_fd)
{
	return renumber((int)obj_ioctl(fd, cmd, arg), new_fd);
}

static ssize_t obj_pread(int fd, uintptr_t buf, size_t len, uint64_t offset)
{
	struct via_file *file = NULL;
	ssize_t ret = test_file_get(&caller.caller, fd, &file);

	if (ret < 0)
		return ret;
	ret = via_file_pread(file, &caller.caller, buf, len, offset);
	via_file_put(file);
	return ret;
}

static ssize_t obj_pwrite(int fd, uintptr_t buf, size_t len, uint64_t offset)
{
	struct via_file *file = NULL;
	ssize_t ret = test_file_get(&caller.caller, fd, &file);

	if (ret < 0)
		return ret;
	ret = via_file_pwrite(file, &caller.caller, buf, len, offset);
	via_file_put(file);
	return ret;
}

static long obj_mmap(int fd, uint64_t offset, size_t len, int prot, int flags)
{
	struct via_file *file = NULL;
	struct via_mmap map;
	int ret = test_file_get(&caller.caller, fd, &file);

	if (ret < 0)
		return ret;
	ret = via_file_mmap(file, &caller.caller, offset, len, prot, flags, &map);
	via_file_put(file);
	return ret;
}

static void obj_settle(void)
{
}

static ssize_t obj_read(int fd, uintptr_t buf, size_t len)
{
	return obj_pread(fd, buf, len, 0);
}

static ssize_t obj_write(int fd, uintptr_t buf, size_t len)
{
	return obj_pwrite(fd, buf, len, 0);
}

static const struct door door = {
	.open = obj_open,
	.close = obj_close,
	.ioctl = obj_ioctl,
	.ioctl_fd = obj_ioctl_fd,
	.pread = obj_pread,
	.pwrite = obj_pwrite,
	.mmap = obj_mmap,
	.settle = obj_settle,
	.read = obj_read,
	.write = obj_write,
	.renumber = renumber,
};

static uint64_t like_nvme_read(struct via_device *dev, void *model, unsigned int bar,
			       uint64_t offset, unsigned int size)
{
	const uint64_t capabilities = 0x004008200f0107ff;

	return offset < 8 ? capabilities >> offset % 8 * 8 : offset == 8 ? 0x10400 : 0;
}

static const struct via_device_desc like_nvme_desc = {
	.name = "like-qemu-nvme",
	.ident =
		{
			.vendor = 0x1b36,
			.device = 0x0010,
			.subsystem_vendor = 0x1af4,
			.subsystem_device = 0x1100,
			.class_code = 0x010802,
			.revision = 2,
			.interrupt_pin = 1,
		},
	.bars[0] = {.size = 0x4000, .flags = VIA_BAR_MEM64},
	.msix = {.vectors = 65, .table_offset = 0x2000, .pba_offset = 0x3000},
	.express = {.present = true},
	.power_management = true,
};

static const struct via_device_ops like_nvme_ops = {.read = like_nvme_read};

static int make_device(const char *spec, struct via_error *err, struct via_device **ret_dev)
{
	const struct via_model *model;
	struct via_options *options;
	char name[32];
	size_t len = strcspn(spec, ",");
	int ret;

	if (!strcmp(spec, like_nvme_desc.name))
		return via_device_new(&like_nvme_desc, &like_nvme_ops, NULL, err, ret_dev);
	snprintf(name, sizeof(name), "%.*s", (int)len, spec);
	model = via_model_find(name);
	if (!model)
		return via_error_set(err, -ENOENT, "no model %s", name);
	ret = via_options_parse(model, spec[len] ? spec + len + 1 : NULL, err, &options);
	if (ret < 0)
		return ret;
	ret = model->create(options, err, ret_dev);
	via_options_free(options);
	return ret;
}

static int add_device(const char *spec, const char *addr_text, int group, struct via_error *err)
{
	struct via_pci_addr addr;
	struct via_device *dev;
	int ret = make_device(spec, err, &dev);

	if (ret < 0)
		return ret;
	ret = via_pci_addr_parse(addr_text, &addr);
	return ret < 0 ? ret : via_vfio_add(vfio, dev, &addr, group, err);
}

static int iommu(char **argv)
{
	const char *args[] = {argv[0], argv[1], "0000:00:03.0", "1", "vfio/devices/vfio0"};
	struct via_error err = {0};
	int ret = add_device("edu", args[2], 1, &err);

	if (ret < 0) {
		fprintf(stderr, "%s\n", err.text);
		return 2;
	}
	test_caller_init(&caller);
	caller.caller.caps |= VIA_CAP_SYS_RESOURCE;
	ret = iommu_main(&door, 5, args);
	test_caller_deinit(&caller);
	via_vfio_free(vfio);
	return ret;
}

int main(int argc, char **argv)
{
	struct via_vfio_config config = {.profile = VIA_PROFILE_LINUX, .iommu_test = true};
	struct via_error err = {0};
	char nodes[2][32];
	struct pair pair;
	int ret;

	if (argc != 4 && argc != 7) {
		fprintf(stderr,
			"usage: %s MODEL[,OPTION...] ADDRESS GROUP [ADDRESS2 GROUP2 NEIGHBOUR]\n"
			"       %s iommu LIST SEED\n",
			argv[0], argv[0]);
		return 2;
	}
	if (via_vfio_new(&config, &vfio) < 0)
		return 2;
	if (argc == 4 && !strcmp(argv[1], "iommu"))
		return iommu(argv + 2);
	ret = add_device(argv[1], argv[2], atoi(argv[3]), &err);
	if (!ret && argc == 7)
		ret = add_device(argv[1], argv[4], atoi(argv[5]), &err);
	if (!ret && argc == 7)
		ret = add_device(argv[1], argv[6], atoi(argv[5]), &err);
	if (ret < 0) {
		fprintf(stderr, "%s\n", err.text);
		return 2;
	}
	test_caller_init(&caller);
	snprintf(nodes[0], sizeof(nodes[0]), "vfio/%s", argv[3]);
	pair.one = (struct subject){argv[2], nodes[0]};
	if (argc == 4) {
		all_calls(&door, &pair.one);
	} else {
		snprintf(nodes[1], sizeof(nodes[1]), "vfio/%s", argv[5]);
		pair.two = (struct subject){argv[4], nodes[1]};
		pair.neighbour = argv[6];
		pair_calls(&door, &pair);
	}
	test_caller_deinit(&caller);
	via_vfio_free(vfio);
	return 0;
}
