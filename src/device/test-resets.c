/* SPDX-License-Identifier: MIT */
/*
 * What a reset is for those who use the function meanwhile, in each way that there is to
 * reset one, and what can be reached in a low power state.
 */
#include "device/device.h"
#include "pci/regs.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define MEMORY 0x1000u
#define BAR_SIZE 0x2000u
#define PM 0x40u
#define AF 0x48u
#define EXPRESS 0x60u

/* A function whose registers are not the library's: it loses its state in D3hot. */
struct function {
	struct via_device *dev;
	uint8_t value[256], writable[256]; /* the former under the config lock */
	unsigned int kinds;		   /* bits 1 << enum via_reset, since the last look */
	int resets, resets_done;	   /* atomic */
	unsigned int reset_ms;		   /* atomic: how long one takes */
	int to, from;			   /* pipes of a program that maps the BAR, or -1 */
	char during;			   /* what it found during the last reset */
};

static int reg_read(void *cookie, unsigned int pos, unsigned int width, uint32_t *ret_value)
{
	const struct function *f = cookie;
	uint8_t bytes[4] = {0};

	memcpy(bytes, f->value + pos, width);
	*ret_value = via_get_le32(bytes);
	return 0;
}

static int reg_write(void *cookie, unsigned int pos, unsigned int width, uint32_t value)
{
	struct function *f = cookie;

	for (unsigned int i = pos; i < pos + width; i++, value >>= 8)
		f->value[i] = (uint8_t)((f->value[i] & ~f->writable[i]) | (value & f->writable[i]));
	return 0;
}

static void reg_init(void *cookie)
{
	struct function *f = cookie;

	memset(f->value, 0, sizeof(f->value));
	via_put_le32(f->value, 0x00011b36);
	f->value[PCI_COMMAND] = PCI_COMMAND_IO | PCI_COMMAND_MEMORY;
	f->value[PCI_STATUS] = PCI_STATUS_CAP_LIST;
	f->value[PCI_CAPABILITY_LIST] = PM;
	memcpy(f->value + PM, (const uint8_t[]){0x01, AF, 0x03, 0, 0, 0}, 6);
	memcpy(f->value + AF, (const uint8_t[]){0x13, EXPRESS, 6, 3}, 4);
	memcpy(f->value + EXPRESS, (const uint8_t[]){0x10, 0, 2, 0, 0, 0, 0, 0x10}, 8);
}

static void reg_reset(void *cookie)
{
}

static const struct via_config_dev_ops reg_ops = {
	.read = reg_read, .write = reg_write, .init = reg_init, .reset = reg_reset};

static char ask(struct function *f);

static uint64_t model_read(struct via_device *dev, void *opaque, unsigned int bar, uint64_t offset,
			   unsigned int size)
{
	struct function *f = opaque;

	return (uint64_t)__atomic_load_n(&f->resets_done, __ATOMIC_SEQ_CST);
}

static void model_write(struct via_device *dev, void *opaque, unsigned int bar, uint64_t offset,
			unsigned int size, uint64_t value)
{
}

static void model_reset(struct via_device *dev, void *opaque, enum via_reset kind)
{
	struct function *f = opaque;

	f->kinds |= 1u << kind;
	__atomic_fetch_add(&f->resets, 1, __ATOMIC_SEQ_CST);
	usleep(1000 * __atomic_load_n(&f->reset_ms, __ATOMIC_SEQ_CST));
	if (f->to >= 0)
		f->during = ask(f);
	__atomic_fetch_add(&f->resets_done, 1, __ATOMIC_SEQ_CST);
}

static const struct via_area area = {MEMORY, 0x1000, VIA_AREA_MEMORY};
static const uint8_t rom[3000] = {0x55, 0xaa};

static const struct via_device_desc desc = {
	.name = "function",
	.ident = {.vendor = 0x1b36, .device = 1, .class_code = 0xff0000},
	.bars[0] = {.size = BAR_SIZE, .areas = &area, .n_areas = 1},
	.bars[2] = {.size = 16, .flags = VIA_BAR_IO},
	.rom = {.image = rom, .len = sizeof(rom)},
};

static const struct via_device_ops ops = {
	.read = model_read, .write = model_write, .reset = model_reset, .free = free};

static int set_up(void **state)
{
	struct function *f = calloc(1, sizeof(*f));
	struct via_device_backing backing = {.config = {.ops = &reg_ops, .cookie = f, .size = 256}};
	struct via_error err = {0};

	assert_non_null(f);
	f->to = f->from = -1;
	f->writable[PCI_COMMAND] = 7;
	f->writable[PM + PCI_PM_CSR] = PCI_PM_CSR_STATE;
	reg_init(f);
	if (via_device_new_on(&desc, &backing, &ops, f, &err, &f->dev))
		fail_msg("%s", err.text);
	*state = f;
	return via_device_open(f->dev);
}

static int tear_down(void **state)
{
	struct function *f = *state;
	struct via_device *dev = f->dev;

	via_device_close(dev);
	via_device_free(dev);
	return 0;
}

static unsigned int config_get(struct function *f, uint64_t at)
{
	uint8_t b[2];

	assert_int_equal(via_device_region_read(f->dev, VIA_REGION_CONFIG, at, b, 2), 2);
	return via_get_le16(b);
}

static void config_put(struct function *f, uint64_t at, unsigned int value)
{
	uint8_t b[2];

	via_put_le16(b, (uint16_t)value);
	assert_int_equal(via_device_region_write(f->dev, VIA_REGION_CONFIG, at, b, 2), 2);
}

/* --- Every way to reset it ------------------------------------------------------ */

static void by_ioctl(struct function *f)
{
	assert_int_equal(via_device_reset(f->dev), 0);
}

static void by_bus(struct function *f)
{
	via_devices_bus_reset(&f->dev, 1);
}

static void by_express(struct function *f)
{
	config_put(f, EXPRESS + PCI_EXP_DEVCTL, PCI_EXP_DEVCTL_FLR);
	assert_int_equal(config_get(f, EXPRESS + PCI_EXP_DEVCTL) & PCI_EXP_DEVCTL_FLR, 0);
}

static void by_af(struct function *f)
{
	config_put(f, AF + PCI_AF_CONTROL, PCI_AF_CONTROL_FLR);
	assert_int_equal(config_get(f, AF + PCI_AF_CONTROL) & PCI_AF_CONTROL_FLR, 0);
}

static void by_power(struct function *f)
{
	config_put(f, PM + PCI_PM_CSR, PCI_D3HOT);
	config_put(f, PM + PCI_PM_CSR, PCI_D0);
}

static const struct way {
	void (*reset)(struct function *f);
	enum via_reset kind;
} ways[] = {
	{by_ioctl, VIA_RESET_IOCTL}, {by_bus, VIA_RESET_HOT},  {by_express, VIA_RESET_FLR},
	{by_af, VIA_RESET_FLR},	     {by_power, VIA_RESET_PM},
};
#define N_WAYS (sizeof(ways) / sizeof(ways[0]))

/* --- A program that maps the BAR -------------------------------------------------- */

static sigjmp_buf bus_error;

static void on_bus_error(int sig)
{
	siglongjmp(bus_error, 1);
}

static char touch(const volatile uint8_t *map)
{
	if (sigsetjmp(bus_error, 1))
		return 'B';
	return (char)map[MEMORY];
}

static void mapper(int fd, int in, int out)
{
	volatile uint8_t *map = mmap(NULL, BAR_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	char c;

	signal(SIGBUS, on_bus_error);
	while (read(in, &c, 1) == 1) {
		c = touch(map);
		if (write(out, &c, 1) != 1)
			break;
	}
	_exit(0);
}

/* The byte that the program finds in its mapping, or 'B' for SIGBUS. */
static char ask(struct function *f)
{
	char c = 0;

	assert_int_equal(write(f->to, &c, 1), 1);
	assert_int_equal(read(f->from, &c, 1), 1);
	return c;
}

static pid_t start_mapper(struct function *f)
{
	struct via_region_map map;
	int to[2], from[2];
	pid_t pid;

	assert_int_equal(via_device_region_map(f->dev, 0, &map), 0);
	assert_int_equal(pipe(to), 0);
	assert_int_equal(pipe(from), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		close(to[1]);
		mapper(map.fd, to[0], from[1]);
	}
	close(to[0]);
	close(from[1]);
	f->to = to[1];
	f->from = from[0];
	return pid;
}

static void stop_mapper(struct function *f, pid_t pid)
{
	close(f->to);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	close(f->from);
	f->to = f->from = -1;
}

/* Gone while the reset runs, and back by itself with what the model left in it. */
static void test_t64_revoked_by_resets(void **state)
{
	struct function *f = *state;
	char *memory = via_device_region_memory(f->dev, 0, MEMORY);
	pid_t pid = start_mapper(f);

	for (size_t i = 0; i < N_WAYS; i++) {
		*memory = (char)('a' + i);
		assert_int_equal(ask(f), 'a' + (int)i);
		f->kinds = 0;
		f->during = 0;
		ways[i].reset(f);
		assert_int_equal(f->kinds, 1u << ways[i].kind);
		assert_int_equal(f->during, 'B');
		assert_int_equal(ask(f), 'a' + (int)i);

		/* With memory off it does not come back. */
		config_put(f, PCI_COMMAND, PCI_COMMAND_MASTER);
		assert_int_equal(ask(f), 'B');
		f->during = 0;
		ways[i].reset(f);
		assert_int_equal(f->during, 'B');
		assert_int_equal(ask(f), 'B');
		assert_int_equal(config_get(f, PCI_COMMAND), PCI_COMMAND_MASTER);
		config_put(f, PCI_COMMAND, PCI_COMMAND_MEMORY);
		assert_int_equal(ask(f), 'a' + (int)i);
	}
	stop_mapper(f, pid);
}

static void test_t32_t64_revoked_in_d3(void **state)
{
	struct function *f = *state;
	char *memory = via_device_region_memory(f->dev, 0, MEMORY);
	pid_t pid = start_mapper(f);

	*memory = 'x';
	config_put(f, PM + PCI_PM_CSR, PCI_D3HOT);
	assert_int_equal(ask(f), 'B');
	/* Memory Enable does not help there, and what is written is lost. */
	config_put(f, PCI_COMMAND, 0);
	config_put(f, PCI_COMMAND, PCI_COMMAND_MEMORY);
	assert_int_equal(ask(f), 'B');
	config_put(f, PM + PCI_PM_CSR, PCI_D0);
	assert_int_equal(ask(f), 'x');

	/* Every reset ends it. */
	for (size_t i = 0; i < 2; i++) {
		config_put(f, PM + PCI_PM_CSR, PCI_D3HOT);
		assert_int_equal(ask(f), 'B');
		ways[i].reset(f);
		assert_int_equal(config_get(f, PM + PCI_PM_CSR), PCI_D0);
		assert_int_equal(ask(f), 'x');
	}
	stop_mapper(f, pid);
}

/* --- What can be reached without memory ------------------------------------------- */

static void expect_access(struct function *f, bool memory)
{
	uint8_t b[4] = {0};
	uint64_t value;

	assert_int_equal(via_device_region_read(f->dev, 0, 0, b, 4), memory ? 4 : -EIO);
	assert_int_equal(via_device_region_write(f->dev, 0, 0, b, 4), memory ? 4 : -EIO);
	assert_int_equal(via_device_region_read(f->dev, 0, BAR_SIZE - 2, b, 4), memory ? 2 : -EIO);
	assert_int_equal(via_device_region_read(f->dev, 0, BAR_SIZE, b, 4), -EINVAL);
	assert_int_equal(via_device_mapped_read(f->dev, 0, 0, 4, &value), memory ? 0 : -EIO);
	assert_int_equal(via_device_mapped_write(f->dev, 0, 0, 4, 0), memory ? 0 : -EIO);
	assert_int_equal(via_device_region_read(f->dev, VIA_REGION_ROM, 0, b, 4),
			 memory ? 4 : -ENOMEM);
	assert_int_equal(via_device_region_read(f->dev, VIA_REGION_ROM, 4096, b, 4), -EINVAL);
	/* Ports are not asked for it, nor is config space. */
	assert_int_equal(via_device_region_read(f->dev, 2, 0, b, 4), 4);
	assert_int_equal(via_device_region_write(f->dev, 2, 12, b, 4), 4);
	assert_int_equal(config_get(f, 0), 0x1b36);
}

static void test_t32_t63_gating(void **state)
{
	struct function *f = *state;

	expect_access(f, true);
	config_put(f, PCI_COMMAND, PCI_COMMAND_IO);
	expect_access(f, false);
	config_put(f, PCI_COMMAND, PCI_COMMAND_MEMORY);
	expect_access(f, true);
	config_put(f, PM + PCI_PM_CSR, PCI_D3HOT);
	assert_int_equal(config_get(f, PM + PCI_PM_CSR), PCI_D3HOT);
	expect_access(f, false);
	config_put(f, PM + PCI_PM_CSR, PCI_D0);
	expect_access(f, true);
}

/* --- Accesses while a reset runs -------------------------------------------------- */

struct access {
	struct function *f;
	unsigned int what;
	int done_before, done_after; /* resets that had ended */
	ssize_t result;
};

static void *access_now(void *arg)
{
	struct access *a = arg;
	struct via_device *dev = a->f->dev;
	uint8_t b[4] = {0};
	uint64_t value;

	switch (a->what) {
	case 0:
		a->result = via_device_region_read(dev, 0, 0, b, 4);
		break;
	case 1:
		a->result = via_device_region_write(dev, 0, 0, b, 4);
		break;
	case 2:
		a->result = via_device_mapped_read(dev, 0, 0, 4, &value) ?: 4;
		break;
	case 3:
		a->result = via_device_region_read(dev, VIA_REGION_ROM, 0, b, 4);
		break;
	case 4:
		a->result = via_device_region_read(dev, 2, 0, b, 4);
		break;
	default:
		a->result = via_device_region_read(dev, VIA_REGION_CONFIG, PCI_COMMAND, b, 4);
		break;
	}
	a->done_after = __atomic_load_n(&a->f->resets_done, __ATOMIC_SEQ_CST);
	return NULL;
}

static void *reset_now(void *arg)
{
	const struct access *a = arg;

	ways[a->what].reset(a->f);
	return NULL;
}

/* They wait for its end and are carried out then: none fails, none gets in between. */
static void test_accesses_wait_for_resets(void **state)
{
	struct function *f = *state;
	pthread_t resetter, accessors[6];
	struct access accesses[6];

	__atomic_store_n(&f->reset_ms, 30, __ATOMIC_SEQ_CST);
	for (unsigned int way = 0; way < N_WAYS; way++) {
		int before = __atomic_load_n(&f->resets, __ATOMIC_SEQ_CST);
		struct access reset = {.f = f, .what = way};

		assert_int_equal(pthread_create(&resetter, NULL, reset_now, &reset), 0);
		while (__atomic_load_n(&f->resets, __ATOMIC_SEQ_CST) == before)
			usleep(100);
		for (unsigned int i = 0; i < 6; i++) {
			accesses[i] = (struct access){.f = f, .what = i};
			assert_int_equal(
				pthread_create(&accessors[i], NULL, access_now, &accesses[i]), 0);
		}
		for (unsigned int i = 0; i < 6; i++) {
			pthread_join(accessors[i], NULL);
			assert_int_equal(accesses[i].result, 4);
			assert_true(accesses[i].done_after > before);
		}
		pthread_join(resetter, NULL);
	}
}

static void *reset_often(void *arg)
{
	const struct access *a = arg;

	for (int i = 0; i < 200; i++)
		ways[(unsigned int)i % (N_WAYS - 1)].reset(a->f);
	return NULL;
}

/* Also when one reset follows the other. */
static void test_accesses_among_resets(void **state)
{
	struct function *f = *state;
	struct access resets = {.f = f};
	pthread_t resetter[2];
	unsigned int n = 0;
	int last = __atomic_load_n(&f->resets, __ATOMIC_SEQ_CST) + 400;
	__atomic_store_n(&f->reset_ms, 1, __ATOMIC_SEQ_CST);
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&resetter[i], NULL, reset_often, &resets), 0);
	while (__atomic_load_n(&f->resets, __ATOMIC_SEQ_CST) < last) {
		struct access a = {.f = f, .what = n++ % 6};

		access_now(&a);
		if (a.result != 4)
			fail_msg("access %u of kind %u: %zd", n, a.what, a.result);
	}
	for (unsigned int i = 0; i < 2; i++)
		pthread_join(resetter[i], NULL);
	assert_true(n > 100);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_t64_revoked_by_resets), TEST(test_t32_t64_revoked_in_d3),
		TEST(test_t32_t63_gating),	  TEST(test_accesses_wait_for_resets),
		TEST(test_accesses_among_resets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
