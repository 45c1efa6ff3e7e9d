/* SPDX-License-Identifier: MIT */
/* Migration and DMA logging as a program calls them, on the edu device; against a kernel where
 * there is one. */
#include "device/device.h"
#include "vfio/migration-script.h"
#include "vfio/test-caller.h"
#include "vfio/vfio.h"

#include <viaduct/models.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <cmocka.h>

#define PAGE 4096u
#define IOVA 0x100000u
#define MEMORY (64u * PAGE)

static const char *const recorded[] = {
#include "vfio/migration-script.inc"
};

struct machine {
	struct test_caller tc;
	struct via_vfio *vfio;
	int container, group, device;
	uint8_t *memory; /* at IOVA */
	uint8_t *edge;
	/* Of the script. */
	size_t line, bad;
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

static ssize_t transfer(struct machine *m, int fd, bool write, void *buf, size_t len, uint64_t at)
{
	struct via_file *file = NULL;
	ssize_t ret;

	assert_int_equal(test_file_get(&m->tc.caller, fd, &file), 0);
	ret = (write ? via_file_pwrite : via_file_pread)(file, &m->tc.caller,
							 (uint64_t)(uintptr_t)buf, len, at);
	via_file_put(file);
	return ret;
}

static int node(struct machine *m, const char *name)
{
	struct via_file *file = NULL;
	int ret = via_vfio_open(m->vfio, &m->tc.caller, name, O_RDWR, &file);

	return ret < 0 ? ret : test_file_put(&m->tc.caller, file, true);
}

static struct via_device *make(const char *name)
{
	const struct via_model *model = via_model_find(name);
	struct via_options *opts;
	struct via_device *dev;
	struct via_error err = {0};

	assert_int_equal(via_options_parse(model, NULL, &err, &opts), 0);
	if (model->create(opts, &err, &dev))
		fail_msg("%s", err.text);
	via_options_free(opts);
	return dev;
}

static struct machine *machine_new(enum via_profile profile)
{
	const struct via_vfio_config config = {.profile = profile};
	struct machine *m = calloc(1, sizeof(*m));
	struct via_pci_addr addr = {.device = 3};
	uint16_t command = 6;

	assert_non_null(m);
	test_caller_init(&m->tc);
	assert_int_equal(via_vfio_new(&config, &m->vfio), 0);
	assert_int_equal(via_vfio_add(m->vfio, make("edu"), &addr, 1, NULL), 0);
	m->memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	m->edge = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(m->memory != MAP_FAILED && m->edge != MAP_FAILED);
	m->edge += PAGE;
	assert_int_equal(mprotect(m->edge, PAGE, PROT_NONE), 0);
	m->container = node(m, "vfio/vfio");
	m->group = node(m, "vfio/1");
	assert_int_equal(ioc(m, m->group, VIA_VFIO_GROUP_SET_CONTAINER, &m->container), 0);
	assert_int_equal(ioc(m, m->container, VIA_VFIO_SET_IOMMU, (void *)VIA_VFIO_TYPE1v2_IOMMU),
			 0);
	m->device = (int)ioc(m, m->group, VIA_VFIO_GROUP_GET_DEVICE_FD, "0000:00:03.0");
	assert_true(m->device >= 0);
	assert_int_equal(transfer(m, m->device, true, &command, 2,
				  ((uint64_t)VIA_VFIO_PCI_CONFIG_REGION_INDEX << 40) + 4),
			 2);
	return m;
}

static int set_up(void **state)
{
	*state = machine_new(VIA_PROFILE_FULL);
	return 0;
}

static int tear_down(void **state)
{
	struct machine *m = *state;

	test_caller_deinit(&m->tc);
	via_vfio_free(m->vfio);
	munmap(m->memory, MEMORY);
	munmap(m->edge - PAGE, 2 * PAGE);
	free(m);
	return 0;
}

/* --- against a kernel ------------------------------------------------------ */

static long script_ioctl(void *cookie, int fd, unsigned long cmd, void *arg)
{
	struct machine *m = cookie;

	/* Without power management or PCI Express: RESET is of the full profile. */
	return ioc(m, fd < 0 ? m->device : fd, cmd, arg);
}

static long script_read(void *cookie, int fd, void *buf, size_t len)
{
	ssize_t n = transfer(cookie, fd, false, buf, len, 0);

	/* mtty knows only of one end. */
	return n == -ENOMSG ? 0 : n;
}

static long script_write(void *cookie, int fd, const void *buf, size_t len)
{
	return transfer(cookie, fd, true, (void *)(uintptr_t)buf, len, 0);
}

/* Of a file without a position, which the door knows (host/test-door-programs.c). */
static long script_pread(void *cookie, int fd, void *buf, size_t len)
{
	struct via_file *file = NULL;
	long ret;

	assert_int_equal(test_file_get(&((struct machine *)cookie)->tc.caller, fd, &file), 0);
	ret = file->ops->stream ? -ESPIPE : 0;
	via_file_put(file);
	return ret;
}

static void script_close(void *cookie, int fd)
{
	assert_int_equal(test_close(&((struct machine *)cookie)->tc, fd), 0);
}

static void script_compare(void *cookie, const char *text)
{
	struct machine *m = cookie;

	if (m->line >= sizeof(recorded) / sizeof(recorded[0]) || strcmp(text, recorded[m->line])) {
		print_error("line %zu: %s, a kernel: %s\n", m->line, text, recorded[m->line]);
		m->bad++;
	}
	m->line++;
}

static void as_a_kernel(void **state)
{
	static struct script s = {
		.ioctl = script_ioctl,
		.read = script_read,
		.write = script_write,
		.pread = script_pread,
		.close = script_close,
		.line = script_compare,
	};
	struct machine *m = *state;

	s.cookie = m;
	s.edge = m->edge;
	script_run(&s);
	assert_int_equal(m->bad, 0);
	assert_int_equal(m->line, sizeof(recorded) / sizeof(recorded[0]));
}

/* --- features -------------------------------------------------------------- */

static long feature(struct machine *m, uint32_t flags, void *data, size_t len)
{
	uint8_t buf[64];
	long ret;

	via_put_le32(buf, (uint32_t)(8 + len));
	via_put_le32(buf + 4, flags);
	if (len)
		memcpy(buf + 8, data, len);
	ret = ioc(m, m->device, VIA_VFIO_DEVICE_FEATURE, buf);
	if (len)
		memcpy(data, buf + 8, len);
	return ret;
}

#define GET 0x10000u
#define SET 0x20000u
#define PROBE 0x40000u

static long set_state(struct machine *m, uint32_t state, int *ret_fd)
{
	struct via_vfio_device_feature_mig_state mig = {state, 55};
	long ret = feature(m, SET | 2, &mig, sizeof(mig));

	*ret_fd = mig.data_fd;
	return ret;
}

static uint32_t get_state(struct machine *m)
{
	struct via_vfio_device_feature_mig_state mig = {55, 55};

	assert_int_equal(feature(m, GET | 2, &mig, sizeof(mig)), 0);
	assert_int_equal(mig.data_fd, -1);
	return mig.device_state;
}

static void test_t87_migration_features(void **state)
{
	static const uint32_t having[] = {1, 2, 6, 7, 8, 9, 12};
	static const uint32_t ops[] = {GET, GET | SET, SET, SET, GET, GET, SET};
	struct machine *m = *state, *linux_profile = machine_new(VIA_PROFILE_LINUX);
	uint64_t flags = 0, size = 0;

	assert_int_equal(feature(m, GET | 1, &flags, 8), 0);
	assert_int_equal(flags, 7);
	assert_int_equal(feature(m, GET | 9, &size, 8), 0);
	assert_true(size > 4096);
	assert_int_equal(feature(m, GET | SET | 2, &flags, 8), -EINVAL);
	assert_int_equal(feature(m, GET | 99, &flags, 8), -ENOTTY);
	assert_int_equal(feature(m, GET | 10, &flags, 8), -ENOTTY);
	assert_int_equal(feature(m, GET | 1 | 1u << 19, &flags, 8), -EINVAL);
	for (size_t i = 0; i < 7; i++) {
		assert_int_equal(feature(m, PROBE | ops[i] | having[i], NULL, 0), 0);
		/* vfio-pci of a kernel has none of them. */
		assert_int_equal(feature(linux_profile, PROBE | ops[i] | having[i], NULL, 0),
				 having[i] == 12 ? -EINVAL : -ENOTTY);
	}
	tear_down((void **)&linux_profile);
}

static void test_t88_data_fd(void **state)
{
	struct machine *m = *state;
	int fd;

	assert_int_equal(set_state(m, VIA_VFIO_DEVICE_STATE_RESUMING, &fd), 0);
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(get_state(m), VIA_VFIO_DEVICE_STATE_RESUMING);
	assert_int_equal(test_close(&m->tc, fd), 0);
}

static void test_t89_stop_copy_to_pre_copy(void **state)
{
	struct machine *m = *state;
	int fd, next;

	assert_int_equal(set_state(m, VIA_VFIO_DEVICE_STATE_STOP_COPY, &fd), 0);
	assert_int_equal(set_state(m, VIA_VFIO_DEVICE_STATE_PRE_COPY, &next), -EINVAL);
	assert_int_equal(next, -1);
	assert_int_equal(get_state(m), VIA_VFIO_DEVICE_STATE_STOP_COPY);
	assert_int_equal(test_close(&m->tc, fd), 0);
}

static int no_file_put(struct via_caller *caller, struct via_file *file, bool cloexec)
{
	return -EMFILE;
}

/* No room for the descriptor, or nowhere to say its number: it does not come to be. */
static void no_descriptor(void **state)
{
	struct machine *m = *state;
	struct via_caller_ops ops = *m->tc.caller.ops;
	const struct via_caller_ops *before = m->tc.caller.ops;
	uint8_t *page =
		mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd;

	ops.file_put = no_file_put;
	m->tc.caller.ops = &ops;
	assert_int_equal(set_state(m, VIA_VFIO_DEVICE_STATE_STOP_COPY, &fd), -EMFILE);
	assert_int_equal(fd, -1);
	m->tc.caller.ops = before;
	/* As with a kernel the state has changed nevertheless. */
	assert_int_equal(get_state(m), VIA_VFIO_DEVICE_STATE_STOP_COPY);
	assert_int_equal(set_state(m, VIA_VFIO_DEVICE_STATE_STOP, &fd), 0);
	via_put_le32(page, 16);
	via_put_le32(page + 4, SET | 2);
	via_put_le32(page + 8, VIA_VFIO_DEVICE_STATE_STOP_COPY);
	assert_int_equal(mprotect(page, PAGE, PROT_READ), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(ioc(m, m->device, VIA_VFIO_DEVICE_FEATURE, page), -EFAULT);
		assert_int_equal(get_state(m), VIA_VFIO_DEVICE_STATE_STOP_COPY);
	}
	for (size_t i = 0; i < TEST_FILES; i++)
		assert_true(!m->tc.slots[i].file || m->tc.slots[i].fd <= m->device);
	munmap(page, PAGE);
}

static void data_outlives_device(void **state)
{
	struct machine *m = *state;
	uint8_t byte;
	int fd;

	assert_int_equal(set_state(m, VIA_VFIO_DEVICE_STATE_STOP_COPY, &fd), 0);
	assert_int_equal(test_close(&m->tc, m->device), 0);
	assert_int_equal(transfer(m, fd, false, &byte, 1, 0), -ENODEV);
	m->device = (int)ioc(m, m->group, VIA_VFIO_GROUP_GET_DEVICE_FD, "0000:00:03.0");
	assert_int_equal(get_state(m), VIA_VFIO_DEVICE_STATE_RUNNING);
	assert_int_equal(transfer(m, fd, false, &byte, 1, 0), -ENODEV);
	assert_int_equal(test_close(&m->tc, fd), 0);
}

static void pre_copy_ends_for_now(void **state)
{
	struct machine *m = *state;
	struct via_vfio_precopy_info info = {.argsz = sizeof(info), .flags = 0xabcd};
	static uint8_t buf[8192];
	uint64_t sum = 0;
	ssize_t n;
	int fd;

	assert_int_equal(set_state(m, VIA_VFIO_DEVICE_STATE_PRE_COPY, &fd), 0);
	assert_int_equal(ioc(m, fd, VIA_VFIO_MIG_GET_PRECOPY_INFO, &info), 0);
	assert_int_equal(info.flags, 0xabcd);
	while ((n = transfer(m, fd, false, buf, 1000, 0)) > 0)
		sum += (uint64_t)n;
	assert_int_equal(n, -ENOMSG);
	assert_int_equal(sum, info.initial_bytes);
	assert_int_equal(feature(m, SET | 12, NULL, 0), 0);
	assert_int_equal(ioc(m, fd, VIA_VFIO_MIG_GET_PRECOPY_INFO, &info), 0);
	assert_int_equal(info.flags, 0);
	assert_int_equal(info.initial_bytes, 0);
	/* Until the last close. */
	assert_int_equal(test_close(&m->tc, m->device), 0);
	assert_int_equal(test_close(&m->tc, fd), 0);
	m->device = (int)ioc(m, m->group, VIA_VFIO_GROUP_GET_DEVICE_FD, "0000:00:03.0");
	assert_int_equal(set_state(m, VIA_VFIO_DEVICE_STATE_PRE_COPY, &fd), 0);
	info.flags = 0xabcd;
	assert_int_equal(ioc(m, fd, VIA_VFIO_MIG_GET_PRECOPY_INFO, &info), 0);
	assert_int_equal(info.flags, 0xabcd);
	assert_int_equal(test_close(&m->tc, fd), 0);
}

/* --- logging --------------------------------------------------------------- */

static void reg(struct machine *m, uint64_t offset, uint64_t value)
{
	assert_int_equal(transfer(m, m->device, true, &value, 8, offset), 8);
}

static void edu_dma(struct machine *m, uint64_t iova, uint64_t len, bool to_ram)
{
	uint64_t busy = 1;

	reg(m, 0x80, to_ram ? 0x40000 : iova);
	reg(m, 0x88, to_ram ? iova : 0x40000);
	reg(m, 0x90, len);
	reg(m, 0x98, to_ram ? 3 : 1);
	while (busy & 1)
		assert_int_equal(transfer(m, m->device, false, &busy, 8, 0x98), 8);
}

static long start(struct machine *m, uint64_t *page_size, uint64_t first, uint64_t len)
{
	struct via_vfio_device_feature_dma_logging_range range = {first, len};
	struct via_vfio_device_feature_dma_logging_control control = {*page_size, 1, 0,
								      (uint64_t)(uintptr_t)&range};
	long ret = feature(m, SET | 6, &control, sizeof(control));

	*page_size = control.page_size;
	return ret;
}

static long report(struct machine *m, uint64_t iova, uint64_t len, uint64_t page_size, void *bitmap)
{
	struct via_vfio_device_feature_dma_logging_report r = {iova, len, page_size,
							       (uint64_t)(uintptr_t)bitmap};

	return feature(m, GET | 8, &r, sizeof(r));
}

static void map_memory(struct machine *m)
{
	struct via_vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = VIA_VFIO_DMA_MAP_FLAG_READ | VIA_VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = (uint64_t)(uintptr_t)m->memory,
		.iova = IOVA,
		.size = MEMORY,
	};

	assert_int_equal(ioc(m, m->container, VIA_VFIO_IOMMU_MAP_DMA, &map), 0);
}

static void exactly_what_was_written(void **state)
{
	struct machine *m = *state;
	unsigned int seed = 3;
	uint64_t page_size = PAGE, word;

	map_memory(m);
	assert_int_equal(start(m, &page_size, IOVA, MEMORY), 0);
	assert_int_equal(page_size, PAGE);
	for (unsigned int round = 0; round < 50; round++) {
		uint64_t want = 0;

		for (unsigned int i = 0; i < 4; i++) {
			uint64_t at = (uint64_t)rand_r(&seed) % (MEMORY - PAGE);
			uint64_t len = (uint64_t)rand_r(&seed) % PAGE + 1;
			bool to_ram = rand_r(&seed) % 3;

			edu_dma(m, IOVA + at, len, to_ram);
			for (uint64_t p = at / PAGE; to_ram && p <= (at + len - 1) / PAGE; p++)
				want |= (uint64_t)1 << p;
		}
		/* Bits are only added. */
		word = (uint64_t)1 << round;
		assert_int_equal(report(m, IOVA, MEMORY, PAGE, &word), 0);
		assert_true(word == (want | (uint64_t)1 << round));
		word = 0;
		assert_int_equal(report(m, IOVA, MEMORY, PAGE, &word), 0);
		assert_true(word == 0);
	}
	/* In larger units, and a part. */
	edu_dma(m, IOVA + 5 * PAGE, 1, true);
	edu_dma(m, IOVA + 40 * PAGE, 1, true);
	word = 0;
	assert_int_equal(report(m, IOVA + 32 * PAGE, 32 * PAGE, 4 * PAGE, &word), 0);
	assert_true(word == 4);
	word = 0;
	assert_int_equal(report(m, IOVA, MEMORY, 4 * PAGE, &word), 0);
	assert_true(word == 2);
	/* What does not arrive is not lost. */
	edu_dma(m, IOVA + 6 * PAGE, 1, true);
	assert_int_equal(report(m, IOVA, MEMORY, PAGE, m->edge), -EFAULT);
	word = 0;
	assert_int_equal(report(m, IOVA, MEMORY, PAGE, &word), 0);
	assert_true(word == 64);
	/* DMA that fails wrote nothing. */
	edu_dma(m, IOVA + MEMORY, 16, true);
	word = 0;
	assert_int_equal(report(m, IOVA, 2 * MEMORY, PAGE, m->edge - 16), 0);
}

static void logging_starts_and_stops(void **state)
{
	struct machine *m = *state;
	uint64_t page_size = 100, word = 0;
	int fd;

	map_memory(m);
	assert_int_equal(report(m, IOVA, MEMORY, PAGE, &word), -EINVAL);
	/* The size that is asked for is a wish. */
	page_size = 1;
	assert_int_equal(start(m, &page_size, IOVA, MEMORY), 0);
	assert_int_equal(page_size, PAGE);
	assert_int_equal(start(m, &page_size, IOVA, MEMORY), -EINVAL);
	edu_dma(m, IOVA, 1, true);
	assert_int_equal(feature(m, SET | 7, NULL, 0), 0);
	assert_int_equal(report(m, IOVA, MEMORY, PAGE, &word), -EINVAL);
	page_size = PAGE;
	assert_int_equal(start(m, &page_size, 0, (uint64_t)1 << 48), 0);
	assert_int_equal(page_size, 1u << 19);
	edu_dma(m, IOVA + PAGE, 1, true);
	/* One page of the log is the whole of it. */
	word = 0;
	assert_int_equal(report(m, IOVA, MEMORY, PAGE, &word), 0);
	assert_true(word == UINT64_MAX);
	word = 0;
	assert_int_equal(report(m, 0, (uint64_t)1 << 48, (uint64_t)1 << 45, &word), 0);
	assert_true(word == 1);
	/* Stopped is not closed; a reset changes nothing; the last close ends it. */
	assert_int_equal(set_state(m, VIA_VFIO_DEVICE_STATE_STOP, &fd), 0);
	assert_int_equal(ioc(m, m->device, VIA_VFIO_DEVICE_RESET, NULL), 0);
	assert_int_equal(report(m, IOVA, MEMORY, PAGE, &word), 0);
	assert_int_equal(test_close(&m->tc, m->device), 0);
	m->device = (int)ioc(m, m->group, VIA_VFIO_GROUP_GET_DEVICE_FD, "0000:00:03.0");
	assert_int_equal(report(m, IOVA, MEMORY, PAGE, &word), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(as_a_kernel, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_t87_migration_features, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_t88_data_fd, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_t89_stop_copy_to_pre_copy, set_up, tear_down),
		cmocka_unit_test_setup_teardown(no_descriptor, set_up, tear_down),
		cmocka_unit_test_setup_teardown(data_outlives_device, set_up, tear_down),
		cmocka_unit_test_setup_teardown(pre_copy_ends_for_now, set_up, tear_down),
		cmocka_unit_test_setup_teardown(exactly_what_was_written, set_up, tear_down),
		cmocka_unit_test_setup_teardown(logging_starts_and_stops, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
