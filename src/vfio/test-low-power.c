/* SPDX-License-Identifier: MIT */
/* Ioeventfds, low power and dma-bufs as calls on a device's file. */
#include "device/test-sample.h"

#include "vfio/dma_buf.h"
#include "vfio/test-caller.h"
#include "vfio/vfio.h"

#include <sys/mman.h>

#define GET VIA_VFIO_DEVICE_FEATURE_GET
#define SET VIA_VFIO_DEVICE_FEATURE_SET
#define PROBE VIA_VFIO_DEVICE_FEATURE_PROBE

struct machine {
	struct test_caller tc;
	struct via_vfio *vfio;
	struct sample *sample;
	int container, group, device;
};

static long ioc(struct machine *m, int fd, unsigned long cmd, const void *arg)
{
	struct via_file *file = NULL;
	long ret;

	assert_int_equal(test_file_get(&m->tc.caller, fd, &file), 0);
	ret = via_file_ioctl(file, &m->tc.caller, cmd, (uint64_t)(uintptr_t)arg);
	via_file_put(file);
	return ret;
}

static int node(struct machine *m, const char *name)
{
	struct via_file *file = NULL;

	assert_int_equal(via_vfio_open(m->vfio, &m->tc.caller, name, O_RDWR, &file), 0);
	return test_file_put(&m->tc.caller, file, true);
}

static int set_up(void **state)
{
	static const struct via_pci_addr addr = {.device = 4};
	struct machine *m = calloc(1, sizeof(*m));
	struct via_device *dev;

	assert_non_null(m);
	test_caller_init(&m->tc);
	assert_int_equal(via_vfio_new(NULL, &m->vfio), 0);
	m->sample = calloc(1, sizeof(*m->sample));
	assert_non_null(m->sample);
	assert_int_equal(via_device_new(&sample_desc, &sample_ops, m->sample, NULL, &dev), 0);
	m->sample->dev = dev;
	assert_int_equal(via_vfio_add(m->vfio, dev, &addr, 1, NULL), 0);
	m->container = node(m, "vfio/vfio");
	m->group = node(m, "vfio/1");
	assert_int_equal(ioc(m, m->group, VIA_VFIO_GROUP_SET_CONTAINER, &m->container), 0);
	assert_int_equal(ioc(m, m->container, VIA_VFIO_SET_IOMMU, (void *)VIA_VFIO_TYPE1v2_IOMMU),
			 0);
	m->device = (int)ioc(m, m->group, VIA_VFIO_GROUP_GET_DEVICE_FD, "0000:00:04.0");
	assert_true(m->device >= 0);
	*state = m;
	return 0;
}

static int tear_down(void **state)
{
	struct machine *m = *state;

	test_caller_deinit(&m->tc);
	via_vfio_free(m->vfio);
	free(m);
	return 0;
}

static ssize_t region_read(struct machine *m, unsigned int region, uint64_t offset, void *buf,
			   size_t len)
{
	struct via_file *file = NULL;
	ssize_t ret;

	assert_int_equal(test_file_get(&m->tc.caller, m->device, &file), 0);
	ret = via_file_pread(file, &m->tc.caller, (uint64_t)(uintptr_t)buf, len,
			     ((uint64_t)region << VIA_VFIO_PCI_OFFSET_SHIFT) + offset);
	via_file_put(file);
	return ret;
}

static void command(struct machine *m, uint16_t value)
{
	struct via_file *file = NULL;
	uint8_t b[2];

	via_put_le16(b, value);
	assert_int_equal(test_file_get(&m->tc.caller, m->device, &file), 0);
	assert_int_equal(via_file_pwrite(file, &m->tc.caller, (uint64_t)(uintptr_t)b, 2,
					 (7ull << VIA_VFIO_PCI_OFFSET_SHIFT) + 4), 2);
	via_file_put(file);
}

static long ioeventfd(struct machine *m, uint32_t flags, uint64_t offset, uint64_t data, int fd)
{
	struct via_vfio_device_ioeventfd set = {
		.argsz = sizeof(set), .flags = flags, .offset = offset, .data = data, .fd = fd};

	return ioc(m, m->device, VIA_VFIO_DEVICE_IOEVENTFD, &set);
}

static long feature(struct machine *m, uint32_t flags, const void *data, uint32_t len)
{
	uint32_t words[64] = {8 + len, flags};

	if (len)
		memcpy(words + 2, data, len);
	return ioc(m, m->device, VIA_VFIO_DEVICE_FEATURE, words);
}

static void test_t85_ioeventfd(void **state)
{
	struct machine *m = *state;
	int fd = new_event(), pipes[2];

	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	assert_int_equal(ioeventfd(m, 3, 0, 1, fd), -EINVAL);
	assert_int_equal(ioeventfd(m, 0, 0, 1, fd), -EINVAL);
	assert_int_equal(ioeventfd(m, 4 | 16, 0, 1, fd), -EINVAL);
	assert_int_equal(ioeventfd(m, 8, 0, 1, fd), -EINVAL);
	assert_int_equal(ioeventfd(m, 4, TABLE, 1, fd), -EINVAL);
	assert_int_equal(ioeventfd(m, 4, 0, 1, -2), -EINVAL);
	assert_int_equal(ioeventfd(m, 4, 7ull << 40, 1, fd), -EINVAL);
	/* No number of a region that a cast would make one of a BAR. */
	assert_int_equal(ioeventfd(m, 4, 1ull << 63, 1, fd), -EINVAL);
	assert_int_equal(ioeventfd(m, 4, 0, 1, 400), -EBADF);
	assert_int_equal(ioeventfd(m, 4, 0, 1, pipes[0]), -EINVAL);
	assert_int_equal(ioeventfd(m, 4, 0, 1, fd), 0);
	assert_int_equal(ioeventfd(m, 4, 0, 1, fd), -EEXIST);
	assert_int_equal(ioeventfd(m, 4, 0, 1, 400), -EEXIST);
	assert_int_equal(ioeventfd(m, 4, 0, 2, -1), -ENODEV);
	assert_int_equal(ioeventfd(m, 2, 0, 1, -1), -ENODEV);
	assert_int_equal(ioeventfd(m, 4, 0, 1, -1), 0);
	assert_int_equal(ioeventfd(m, 4, 0, 1, -1), -ENODEV);
	close(pipes[0]);
	close(pipes[1]);
	close(fd);
}

static void test_t86_ioeventfd_memory_off(void **state)
{
	struct machine *m = *state;
	int fd = new_event();

	command(m, 2);
	assert_int_equal(ioeventfd(m, 2, 0x10, 0x1234, fd), 0);
	command(m, 0);
	signal_event(fd, 1);
	command(m, 2);
	assert_int_equal(seen(m->sample->writes), 0);
	signal_event(fd, 1);
	command(m, 2);
	assert_int_equal(seen(m->sample->writes), 1);
	assert_int_equal(seen(m->sample->value), 0x1234);
	assert_int_equal(seen(m->sample->size), 2);
	close(fd);
}

static void test_t87_feature_rules(void **state)
{
	struct machine *m = *state;
	const int32_t minus_one[2] = {-1, 0};

	assert_int_equal(feature(m, 3 | GET | SET, NULL, 0), -EINVAL);
	assert_int_equal(feature(m, 3 | PROBE | GET, NULL, 0), -EINVAL);
	assert_int_equal(feature(m, 3 | PROBE | SET, NULL, 0), 0);
	assert_int_equal(feature(m, 3, NULL, 0), -EINVAL);
	assert_int_equal(feature(m, 99 | GET, NULL, 0), -ENOTTY);
	assert_int_equal(feature(m, 3 | SET | 1u << 19, NULL, 0), -EINVAL);
	assert_int_equal(feature(m, 3 | SET, NULL, 0), 0);
	assert_int_equal(feature(m, 3 | SET, NULL, 0), -EINVAL);
	assert_int_equal(feature(m, 5 | SET, NULL, 0), 0);
	assert_int_equal(feature(m, 5 | SET, NULL, 0), 0);
	assert_int_equal(feature(m, 5 | GET, NULL, 0), -EINVAL);
	assert_int_equal(feature(m, 4 | SET, NULL, 0), -EINVAL);
	assert_int_equal(feature(m, 4 | SET, minus_one, 4), -EINVAL);
	assert_int_equal(feature(m, 4 | SET, minus_one, 8), -EINVAL);
	assert_int_equal(feature(m, 11 | SET, NULL, 0), -EINVAL);
	assert_int_equal(feature(m, 11 | PROBE | GET, NULL, 0), 0);
	assert_int_equal(feature(m, 11 | GET, NULL, 0), -EINVAL);
}

static void enter(struct machine *m, int fd)
{
	const int32_t data[2] = {fd, 0};

	assert_int_equal(feature(m, 4 | SET, data, 8), 0);
	assert_int_equal(events(fd), 0);
	assert_false(is_mapped(m->sample->dev));
}

/* Which calls wake it, and which do not. */
static void test_wakes(void **state)
{
	struct machine *m = *state;
	int fd = new_event();
	struct via_vfio_device_info info = {.argsz = sizeof(info)};
	struct via_vfio_device_bind_iommufd bind = {.argsz = sizeof(bind)};
	struct via_file *file = NULL;
	struct via_mmap map;
	uint32_t value;

	command(m, 2);
	enter(m, fd);
	assert_int_equal(region_read(m, 9, 0, &value, 4), -EINVAL);
	assert_int_equal(region_read(m, 0, 0, &value, 0), 0);
	assert_int_equal(ioc(m, m->device, VIA_VFIO_DEVICE_BIND_IOMMUFD, &bind), -EINVAL);
	assert_int_equal(test_file_get(&m->tc.caller, m->device, &file), 0);
	assert_int_equal(via_file_mmap(file, &m->tc.caller, MEMORY, 4096, PROT_READ, MAP_SHARED,
				       &map), 0);
	via_file_put(file);
	assert_int_equal(events(fd), 0);
	assert_int_equal(region_read(m, 0, 0, &value, 4), 4);
	assert_int_equal(value, 0x5a);
	assert_int_equal(events(fd), 1);
	assert_true(is_mapped(m->sample->dev));

	enter(m, fd);
	assert_int_equal(region_read(m, 8, 0, &value, 4), -EINVAL);
	assert_int_equal(events(fd), 1);
	enter(m, fd);
	assert_int_equal(ioc(m, m->device, VIA_VFIO_DEVICE_GET_INFO, &info), 0);
	assert_int_equal(events(fd), 1);
	enter(m, fd);
	assert_int_equal(ioc(m, m->device, 0x3bff, NULL), -ENOTTY);
	assert_int_equal(events(fd), 1);
	enter(m, fd);
	assert_int_equal(feature(m, 3 | PROBE | SET, NULL, 0), 0);
	assert_int_equal(events(fd), 1);
	enter(m, fd);
	assert_int_equal(feature(m, 3 | SET, NULL, 0), 0);
	assert_int_equal(events(fd), 1);
	assert_int_equal(ioc(m, m->device, VIA_VFIO_DEVICE_GET_INFO, &info), 0);
	assert_false(is_mapped(m->sample->dev));
	assert_int_equal(feature(m, 5 | SET, NULL, 0), 0);
	assert_int_equal(events(fd), 0);
	assert_true(is_mapped(m->sample->dev));

	/* A descriptor that is none of an eventfd, ours among them. */
	assert_int_equal(feature(m, 4 | SET, (int32_t[2]){m->device, 0}, 8), -EINVAL);
	assert_int_equal(feature(m, 4 | SET, (int32_t[2]){400, 0}, 8), -EBADF);
	close(fd);
}

struct get {
	uint32_t region, open_flags, flags, n;
	uint64_t ranges[2][2];
};

static long dma_buf(struct machine *m, const struct get *get)
{
	return feature(m, 11 | GET, get, sizeof(*get));
}

static void count_call(struct via_region_importer *importer)
{
	(void)importer;
}

static void test_dma_buf(void **state)
{
	struct machine *m = *state;
	struct get get = {.n = 1, .ranges = {{MEMORY, 4096}}};
	struct via_region_importer importer = {.revoke = count_call, .restore = count_call};
	struct via_region_export *export;
	struct via_file *file = NULL;
	int fd;

	command(m, 2);
	get.open_flags = O_CLOEXEC;
	fd = (int)dma_buf(m, &get);
	assert_true(fd >= 0);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(test_close(&m->tc, fd), 0);
	get.open_flags = 0;
	fd = (int)dma_buf(m, &get);
	assert_true(fd >= 0);
	assert_false(fcntl(fd, F_GETFD) & FD_CLOEXEC);

	assert_int_equal(test_file_get(&m->tc.caller, fd, &file), 0);
	assert_string_equal(file->ops->kind, "dma-buf");
	export = via_dma_buf_export(file);
	assert_non_null(export);
	assert_int_equal(via_region_export_size(export), 4096);
	assert_int_equal(via_region_export_attach(export, &importer), 0);
	via_region_export_detach(export, &importer);
	/* It is no container, group or device. */
	assert_int_equal(ioc(m, m->group, VIA_VFIO_GROUP_UNSET_CONTAINER, NULL), -EBUSY);
	assert_int_equal(ioc(m, fd, VIA_VFIO_DEVICE_GET_INFO, NULL), -ENOTTY);

	/* It does not keep the device open, and is dead without it. */
	assert_int_equal(test_close(&m->tc, m->device), 0);
	assert_int_equal(ioc(m, m->group, VIA_VFIO_GROUP_UNSET_CONTAINER, NULL), 0);
	assert_int_equal(via_region_export_attach(export, &importer), -ENODEV);
	via_file_put(file);

	/* Nothing else is one. */
	assert_int_equal(test_file_get(&m->tc.caller, m->group, &file), 0);
	assert_null(via_dma_buf_export(file));
	via_file_put(file);
}

static void test_dma_buf_refused(void **state)
{
	struct machine *m = *state;
	struct get get = {.n = 1, .ranges = {{MEMORY, 4096}}};
	const int32_t n = TEST_FILES;
	int fds[TEST_FILES], i = 0;

	get.flags = 1;
	assert_int_equal(dma_buf(m, &get), -EINVAL);
	get = (struct get){.n = 0};
	assert_int_equal(dma_buf(m, &get), -EINVAL);
	get = (struct get){.n = 1, .region = 6};
	assert_int_equal(dma_buf(m, &get), -ENODEV);
	get = (struct get){.n = 1, .region = 1};
	assert_int_equal(dma_buf(m, &get), -ENODEV);
	get = (struct get){.n = 262145, .ranges = {{MEMORY, 4096}}};
	assert_int_equal(dma_buf(m, &get), -ENOMEM);
	get = (struct get){.n = UINT32_MAX, .ranges = {{MEMORY, 4096}}};
	assert_int_equal(dma_buf(m, &get), -ENOMEM);
	get = (struct get){.n = 2, .ranges = {{MEMORY, 4096}, {MEMORY, 0}}};
	assert_int_equal(dma_buf(m, &get), -EINVAL);
	/* Without a descriptor for it, nothing is left. */
	get = (struct get){.n = 1, .ranges = {{MEMORY, 4096}}};
	while (i < n && (fds[i] = (int)dma_buf(m, &get)) >= 0)
		i++;
	assert_true(i > 0 && i < n);
	assert_int_equal(fds[i], -EMFILE);
	while (i-- > 0)
		assert_int_equal(test_close(&m->tc, fds[i]), 0);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_t85_ioeventfd), CASE(test_t86_ioeventfd_memory_off),
		CASE(test_t87_feature_rules), CASE(test_wakes),
		CASE(test_dma_buf), CASE(test_dma_buf_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
