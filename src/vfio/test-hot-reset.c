/* SPDX-License-Identifier: MIT */
/*
 * Hot reset of a slot with several functions, with what a kernel answered for two e1000e
 * behind a root port (pci-config.md 6.9), and two open files of one function.
 */
#include "device/device.h"
#include "vfio/test-caller.h"
#include "vfio/vfio.h"

#include <viaduct/abi/vfio.h>

#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define CONFIG ((uint64_t)VIA_VFIO_PCI_CONFIG_REGION_INDEX << VIA_VFIO_PCI_OFFSET_SHIFT)
#define PAGE 4096u

struct function {
	unsigned int kinds; /* bits 1 << enum via_reset, since the last look */
	uint32_t value;	    /* any register */
	struct machine *machine;
	unsigned int reachable; /* BARs of functions that could be reached during the last reset */
};

static unsigned int mapped_now(const struct machine *m);

static uint64_t function_read(struct via_device *dev, void *model, unsigned int bar,
			      uint64_t offset, unsigned int size)
{
	const struct function *f = model;

	return f->value;
}

static void function_write(struct via_device *dev, void *model, unsigned int bar, uint64_t offset,
			   unsigned int size, uint64_t value)
{
	struct function *f = model;

	f->value = (uint32_t)value;
}

static void function_reset(struct via_device *dev, void *model, enum via_reset kind)
{
	struct function *f = model;

	f->kinds |= 1u << kind;
	f->value = 0;
	f->reachable = mapped_now(f->machine);
}

static const struct via_device_desc desc = {
	.name = "function",
	.ident = {.vendor = 0x1af4, .device = 0x10f0, .class_code = 0x00ff00, .interrupt_pin = 1},
	.bars = {[0] = {.size = 0x1000}, [2] = {.size = 0x2000}},
	.msix = {.vectors = 2, .table_bar = 2, .pba_bar = 2, .pba_offset = 0x1000},
	.power_management = true,
};

static const struct via_device_ops ops = {
	.read = function_read, .write = function_write, .reset = function_reset, .free = free};

/* 0000:04:00.0 and .1 in group 13, .2 with a test that wants it in 14, 0000:05:00.0 in 15. */
enum { N_FUNCTIONS = 4 };
static const char *const names[N_FUNCTIONS] = {"0000:04:00.0", "0000:04:00.1", "0000:04:00.2",
					       "0000:05:00.0"};

struct machine {
	struct test_caller tc;
	struct via_vfio *vfio;
	struct function *functions[N_FUNCTIONS];
	int container, group, third, other, pipe[2];
	uint8_t *end;			      /* of memory that can be reached */
	struct via_device *devs[N_FUNCTIONS]; /* NULL: not there */
};

/* A BAR whose mappings are revoked is a file of no bytes. */
static unsigned int mapped_now(const struct machine *m)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < N_FUNCTIONS; i++) {
		struct via_region_map map;
		struct stat st;

		if (!m->devs[i])
			continue;
		assert_int_equal(via_device_region_map(m->devs[i], 0, &map), 0);
		assert_int_equal(fstat(map.fd, &st), 0);
		n += st.st_size != 0;
	}
	return n;
}

static int node(struct machine *m, const char *name)
{
	struct via_file *file = NULL;

	assert_int_equal(via_vfio_open(m->vfio, &m->tc.caller, name, O_RDWR, &file), 0);
	return test_file_put(&m->tc.caller, file, true);
}

static long ioc(struct machine *m, int fd, unsigned long cmd, const void *arg)
{
	struct via_file *file = NULL;
	long ret;

	assert_int_equal(test_file_get(&m->tc.caller, fd, &file), 0);
	ret = via_file_ioctl(file, &m->tc.caller, cmd, (uint64_t)(uintptr_t)arg);
	via_file_put(file);
	return ret;
}

static void add(struct machine *m, unsigned int i, int group)
{
	struct via_pci_addr addr;
	struct via_device *dev;

	m->functions[i] = calloc(1, sizeof(struct function));
	assert_non_null(m->functions[i]);
	m->functions[i]->machine = m;
	assert_int_equal(via_pci_addr_parse(names[i], &addr), 0);
	assert_int_equal(via_device_new(&desc, &ops, m->functions[i], NULL, &dev), 0);
	assert_int_equal(via_vfio_add(m->vfio, dev, &addr, group, NULL), 0);
	m->devs[i] = dev;
}

/* A function more in the slot, of another group. */
static void add_third(struct machine *m)
{
	add(m, 2, 14);
	m->third = node(m, "vfio/14");
	assert_int_equal(ioc(m, m->third, VIA_VFIO_GROUP_SET_CONTAINER, &m->container), 0);
}

static int set_up(void **state)
{
	const struct via_vfio_config config = {.profile = VIA_PROFILE_LINUX};
	struct machine *m = calloc(1, sizeof(*m));

	assert_non_null(m);
	test_caller_init(&m->tc);
	assert_int_equal(via_vfio_new(&config, &m->vfio), 0);
	add(m, 0, 13);
	add(m, 1, 13);
	add(m, 3, 15);
	m->container = node(m, "vfio/vfio");
	m->group = node(m, "vfio/13");
	m->other = node(m, "vfio/15");
	assert_int_equal(ioc(m, m->group, VIA_VFIO_GROUP_SET_CONTAINER, &m->container), 0);
	assert_int_equal(ioc(m, m->container, VIA_VFIO_SET_IOMMU, (void *)VIA_VFIO_TYPE1v2_IOMMU),
			 0);
	assert_int_equal(pipe(m->pipe), 0);
	m->end = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(m->end, MAP_FAILED);
	m->end += PAGE;
	munmap(m->end, PAGE);
	*state = m;
	return 0;
}

static int tear_down(void **state)
{
	struct machine *m = *state;

	test_caller_deinit(&m->tc);
	via_vfio_free(m->vfio);
	munmap(m->end - PAGE, PAGE);
	close(m->pipe[0]);
	close(m->pipe[1]);
	free(m);
	return 0;
}

static int device(struct machine *m, int group, unsigned int i)
{
	int fd = (int)ioc(m, group, VIA_VFIO_GROUP_GET_DEVICE_FD, names[i]);

	assert_true(fd >= 0);
	return fd;
}

static ssize_t get(struct machine *m, int fd, uint64_t pos, uint32_t *ret_value, size_t len)
{
	struct via_file *file = NULL;
	ssize_t ret;

	*ret_value = 0;
	assert_int_equal(test_file_get(&m->tc.caller, fd, &file), 0);
	ret = via_file_pread(file, &m->tc.caller, (uint64_t)(uintptr_t)ret_value, len, pos);
	via_file_put(file);
	return ret;
}

static void put(struct machine *m, int fd, uint64_t pos, uint32_t value, size_t len)
{
	struct via_file *file = NULL;

	assert_int_equal(test_file_get(&m->tc.caller, fd, &file), 0);
	assert_int_equal(
		via_file_pwrite(file, &m->tc.caller, (uint64_t)(uintptr_t)&value, len, pos), len);
	via_file_put(file);
}

static uint32_t config(struct machine *m, int fd, uint64_t pos, size_t len)
{
	uint32_t value;

	assert_int_equal(get(m, fd, CONFIG + pos, &value, len), len);
	return value;
}

static long set_irqs(struct machine *m, int fd, uint32_t flags, uint32_t count, int event)
{
	struct {
		struct via_vfio_irq_set set;
		int32_t fd;
	} arg = {{.argsz = sizeof(arg),
		  .flags = flags,
		  .index = VIA_VFIO_PCI_MSIX_IRQ_INDEX,
		  .count = count},
		 event};

	return ioc(m, fd, VIA_VFIO_DEVICE_SET_IRQS, &arg);
}

static unsigned int events(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	uint64_t n = 0;

	if (poll(&p, 1, 0) == 1)
		assert_int_equal(read(fd, &n, sizeof(n)), sizeof(n));
	return (unsigned int)n;
}

/* --- Asking ------------------------------------------------------------------ */

struct info {
	struct via_vfio_pci_hot_reset_info info;
	struct via_vfio_pci_dependent_device devices[5];
};

static long info(struct machine *m, int fd, uint32_t argsz, struct info *ret_info)
{
	memset(ret_info, 0xee, sizeof(*ret_info));
	ret_info->info.argsz = argsz;
	return ioc(m, fd, VIA_VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, ret_info);
}

static void expect_entry(const struct info *i, unsigned int n, uint32_t group, uint8_t devfn)
{
	assert_int_equal(i->devices[n].group_id, group);
	assert_int_equal(i->devices[n].segment, 0);
	assert_int_equal(i->devices[n].bus, 4);
	assert_int_equal(i->devices[n].devfn, devfn);
}

static void test_t90_info(void **state)
{
	struct machine *m = *state;
	int fd = device(m, m->group, 0);
	struct info i;

	assert_int_equal(info(m, fd, 0, &i), -EINVAL);
	assert_int_equal(info(m, fd, 11, &i), -EINVAL);
	assert_int_equal(i.info.count, 0xeeeeeeee);
	for (uint32_t argsz = 12; argsz < 28; argsz += 5) {
		assert_int_equal(info(m, fd, argsz, &i), -ENOSPC);
		assert_int_equal(i.info.argsz, argsz);
		assert_int_equal(i.info.flags, 0);
		assert_int_equal(i.info.count, 2);
		assert_int_equal(i.devices[0].group_id, 0xeeeeeeee);
	}
	for (uint32_t argsz = 28; argsz < 64; argsz += 8) {
		assert_int_equal(info(m, fd, argsz, &i), 0);
		assert_int_equal(i.info.argsz, argsz);
		assert_int_equal(i.info.flags, 0);
		assert_int_equal(i.info.count, 2);
		expect_entry(&i, 0, 13, 0);
		expect_entry(&i, 1, 13, 1);
		assert_int_equal(i.devices[2].group_id, 0xeeeeeeee);
	}
	/* Entries that cannot be written: the count is not either. */
	memcpy(m->end - 12, (const uint32_t[]){28, 0, 77}, 12);
	assert_int_equal(ioc(m, fd, VIA_VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, m->end - 12), -EFAULT);
	assert_int_equal(via_get_le32(m->end - 4), 77);

	/* A function of another group in the slot. */
	add_third(m);
	assert_int_equal(info(m, fd, 28, &i), -ENOSPC);
	assert_int_equal(i.info.count, 3);
	assert_int_equal(info(m, fd, 36, &i), 0);
	expect_entry(&i, 2, 14, 2);
}

/* --- Doing it ----------------------------------------------------------------- */

static long hot_reset(struct machine *m, int fd, uint32_t argsz, uint32_t flags, uint32_t count,
		      int a, int b)
{
	struct {
		struct via_vfio_pci_hot_reset reset;
		int32_t fds[8];
	} arg = {{argsz, flags, count}, {a, b, 999}};

	return ioc(m, fd, VIA_VFIO_DEVICE_PCI_HOT_RESET, &arg);
}

static void test_hot_reset_errors(void **state)
{
	struct machine *m = *state;
	int fd = device(m, m->group, 0), g = m->group, closed = 999, p = m->pipe[0];

	/* In the order in which a kernel looks: size and flags, count, memory, descriptors. */
	const struct {
		uint32_t argsz, flags, count;
		int a, b, result;
	} rows[] = {
		{11, 0, 1, g, g, -EINVAL},
		{16, 1, 1, closed, g, -EINVAL},
		{12, 0, 0, g, g, -EINVAL},
		{24, 0, 3, closed, closed, -EINVAL},
		{16, 0, UINT32_MAX, g, g, -EINVAL},
		{20, 0, 2, closed, g, -EBADF},
		{20, 0, 2, g, closed, -EBADF},
		{20, 0, 2, g, -1, -EBADF},
		{20, 0, 2, p, closed, -EINVAL},
		{20, 0, 2, closed, p, -EBADF},
		{16, 0, 1, m->container, g, -EINVAL},
		{16, 0, 1, fd, g, -EINVAL},
		{20, 0, 2, g, m->container, -EINVAL},
		/* A group that has nothing to do with it neither helps nor harms. */
		{16, 0, 1, m->other, g, -EINVAL},
		{20, 0, 2, m->other, closed, -EBADF},
		{20, 0, 2, m->other, g, 0},
		/* Room for the descriptors is not asked for. */
		{12, 0, 1, g, g, 0},
		{20, 0, 2, g, g, 0},
		{16, 0, 1, g, g, 0},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		m->functions[0]->kinds = 0;
		assert_int_equal(hot_reset(m, fd, rows[i].argsz, rows[i].flags, rows[i].count,
					   rows[i].a, rows[i].b),
				 rows[i].result);
		assert_int_equal(m->functions[0]->kinds, rows[i].result ? 0 : 1u << VIA_RESET_HOT);
	}
	/* Descriptors that cannot be read. */
	for (uint32_t count = 0; count < 4; count++) {
		memcpy(m->end - 12, (const uint32_t[]){16, 0, count}, 12);
		assert_int_equal(ioc(m, fd, VIA_VFIO_DEVICE_PCI_HOT_RESET, m->end - 12),
				 count == 1 || count == 2 ? -EFAULT : -EINVAL);
	}
	assert_int_equal(ioc(m, fd, VIA_VFIO_DEVICE_PCI_HOT_RESET, m->end), -EFAULT);
}

/* Every function that is open, each as a bus reset has it; what the program arranged stays. */
static void test_hot_reset_of_all(void **state)
{
	struct machine *m = *state;
	int a = device(m, m->group, 0), b = device(m, m->group, 1), c = -1;
	int event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	uint32_t value;

	put(m, a, CONFIG + 4, 0x0406, 2);
	put(m, b, CONFIG + 4, 4, 2);
	put(m, a, 0, 0x1234, 4);
	assert_int_equal(set_irqs(m, b,
				  VIA_VFIO_IRQ_SET_DATA_EVENTFD | VIA_VFIO_IRQ_SET_ACTION_TRIGGER,
				  1, event),
			 0);
	m->functions[0]->kinds = m->functions[1]->kinds = m->functions[3]->kinds = 0;
	assert_int_equal(hot_reset(m, a, 16, 0, 1, m->group, -1), 0);
	assert_int_equal(m->functions[0]->kinds, 1u << VIA_RESET_HOT);
	assert_int_equal(m->functions[1]->kinds, 1u << VIA_RESET_HOT);
	assert_int_equal(m->functions[3]->kinds, 0);
	assert_int_equal(config(m, a, 4, 2), 0x0406);
	assert_int_equal(config(m, b, 4, 2), 4);
	assert_int_equal(get(m, a, 0, &value, 4), 4);
	assert_int_equal(value, 0);
	assert_int_equal(get(m, b, 0, &value, 4), -EIO);
	assert_int_equal(
		set_irqs(m, b, VIA_VFIO_IRQ_SET_DATA_NONE | VIA_VFIO_IRQ_SET_ACTION_TRIGGER, 1, -1),
		0);
	assert_int_equal(events(event), 1);

	/* None can be reached before all have been reset. */
	put(m, b, CONFIG + 4, 2, 2);
	assert_int_equal(mapped_now(m), 2);
	assert_int_equal(hot_reset(m, a, 16, 0, 1, m->group, -1), 0);
	assert_int_equal(m->functions[0]->reachable, 0);
	assert_int_equal(m->functions[1]->reachable, 0);
	assert_int_equal(mapped_now(m), 2);

	/* One that sleeps wakes. */
	put(m, b, CONFIG + 0x44, 3, 2);
	assert_int_equal(get(m, b, 0, &value, 4), -EIO);
	assert_int_equal(hot_reset(m, a, 16, 0, 1, m->group, -1), 0);
	assert_int_equal(config(m, b, 0x44, 2) & 3, 0);
	assert_int_equal(get(m, b, 0, &value, 4), 4);

	/* All groups of the slot, in any order; one that nobody holds is missing, open or not. */
	add_third(m);
	for (unsigned int i = 0; i < 2; i++) {
		m->functions[0]->kinds = m->functions[2]->kinds = 0;
		assert_int_equal(hot_reset(m, a, 16, 0, 1, m->group, -1), -EINVAL);
		assert_int_equal(hot_reset(m, a, 20, 0, 2, m->group, m->other), -EINVAL);
		assert_int_equal(m->functions[0]->kinds, 0);
		assert_int_equal(hot_reset(m, a, 20, 0, 2, m->third, m->group), 0);
		assert_int_equal(m->functions[0]->kinds, 1u << VIA_RESET_HOT);
		assert_int_equal(m->functions[2]->kinds, i ? 1u << VIA_RESET_HOT : 0);
		c = i ? c : device(m, m->third, 2);
	}
	assert_int_equal(hot_reset(m, c, 20, 0, 2, m->group, m->third), 0);
	close(event);
}

/* --- Two open files of one function --------------------------------------------- */

static void test_two_files_share_all(void **state)
{
	struct machine *m = *state;
	int a = device(m, m->group, 0), b = device(m, m->group, 0);
	int event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	uint32_t value;

	put(m, a, CONFIG + 4, 0x0406, 2);
	put(m, a, CONFIG + 0x10, UINT32_MAX, 4);
	assert_int_equal(config(m, b, 4, 2), 0x0406);
	assert_int_equal(config(m, b, 0x10, 4), 0xfffff000);
	put(m, a, 0, 0x77, 4);
	assert_int_equal(get(m, b, 0, &value, 4), 4);
	assert_int_equal(value, 0x77);

	/* Interrupts armed by one are the other's to use and to disarm. */
	assert_int_equal(set_irqs(m, a,
				  VIA_VFIO_IRQ_SET_DATA_EVENTFD | VIA_VFIO_IRQ_SET_ACTION_TRIGGER,
				  1, event),
			 0);
	assert_int_equal(
		set_irqs(m, b, VIA_VFIO_IRQ_SET_DATA_NONE | VIA_VFIO_IRQ_SET_ACTION_TRIGGER, 1, -1),
		0);
	assert_int_equal(events(event), 1);

	/* Power states and resets too. */
	put(m, b, CONFIG + 0x44, 3, 2);
	assert_int_equal(get(m, a, 0, &value, 4), -EIO);
	assert_int_equal(hot_reset(m, b, 16, 0, 1, m->group, -1), 0);
	assert_int_equal(get(m, a, 0, &value, 4), 4);
	assert_int_equal(value, 0);

	/* A close leaves all that to the other, the last one ends it. */
	m->functions[0]->kinds = 0;
	assert_int_equal(test_close(&m->tc, a), 0);
	assert_int_equal(m->functions[0]->kinds, 0);
	assert_int_equal(config(m, b, 4, 2), 0x0406);
	assert_int_equal(
		set_irqs(m, b, VIA_VFIO_IRQ_SET_DATA_NONE | VIA_VFIO_IRQ_SET_ACTION_TRIGGER, 1, -1),
		0);
	assert_int_equal(events(event), 1);
	assert_int_equal(test_close(&m->tc, b), 0);
	assert_int_equal(m->functions[0]->kinds, 1u << VIA_RESET_CLOSE);
	b = device(m, m->group, 0);
	assert_int_equal(config(m, b, 4, 2) & 0x0404, 0);
	assert_int_equal(
		set_irqs(m, b, VIA_VFIO_IRQ_SET_DATA_NONE | VIA_VFIO_IRQ_SET_ACTION_TRIGGER, 1, -1),
		-EINVAL);
	close(event);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_t90_info),
		TEST(test_hot_reset_errors),
		TEST(test_hot_reset_of_all),
		TEST(test_two_files_share_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
