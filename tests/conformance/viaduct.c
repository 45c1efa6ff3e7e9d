/* SPDX-License-Identifier: MIT */
/*
 * The list of calls on file objects in this process.
 *
 * usage: vfio-calls-viaduct MODEL[,OPTION...] ADDRESS GROUP
 */
#include "calls.h"

#include "vfio/test-caller.h"
#include "vfio/vfio.h"

#include <viaduct/models.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

static struct test_caller caller;
static struct via_vfio *vfio;

/* Moves a file object to the list's number. */
static int renumber(int from, int to)
{
	if (from < 0)
		return from;
	if (dup3(from, to, O_CLOEXEC) < 0)
		return -errno;
	close(from);
	for (size_t i = 0; i < TEST_FILES; i++) {
		if (caller.slots[i].file && caller.slots[i].fd == from)
			caller.slots[i].fd = to;
	}
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

static const struct door door = {
	.open = obj_open,
	.close = obj_close,
	.ioctl = obj_ioctl,
	.ioctl_fd = obj_ioctl_fd,
	.pread = obj_pread,
	.pwrite = obj_pwrite,
	.mmap = obj_mmap,
};

static int add_device(const char *spec, const char *addr_text, int group, struct via_error *err)
{
	const struct via_model *model;
	struct via_options *options;
	struct via_pci_addr addr;
	struct via_device *dev;
	char name[32];
	size_t len = strcspn(spec, ",");
	int ret;

	snprintf(name, sizeof(name), "%.*s", (int)len, spec);
	model = via_model_find(name);
	if (!model)
		return via_error_set(err, -ENOENT, "no model %s", name);
	ret = via_options_parse(model, spec[len] ? spec + len + 1 : NULL, err, &options);
	if (ret < 0)
		return ret;
	ret = model->create(options, err, &dev);
	via_options_free(options);
	if (ret < 0)
		return ret;
	ret = via_pci_addr_parse(addr_text, &addr);
	return ret < 0 ? ret : via_vfio_add(vfio, dev, &addr, group, err);
}

int main(int argc, char **argv)
{
	struct via_vfio_config config = {.profile = VIA_PROFILE_LINUX};
	struct via_error err = {0};
	struct subject subject;
	char node[32];

	if (argc != 4) {
		fprintf(stderr, "usage: %s MODEL[,OPTION...] ADDRESS GROUP\n", argv[0]);
		return 2;
	}
	if (via_vfio_new(&config, &vfio) < 0 ||
	    add_device(argv[1], argv[2], atoi(argv[3]), &err) < 0) {
		fprintf(stderr, "%s\n", err.text);
		return 2;
	}
	test_caller_init(&caller);
	snprintf(node, sizeof(node), "vfio/%s", argv[3]);
	subject.name = argv[2];
	subject.node = node;
	all_calls(&door, &subject);
	test_caller_deinit(&caller);
	via_vfio_free(vfio);
	return 0;
}
