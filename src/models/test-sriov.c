/* SPDX-License-Identifier: MIT */
/* The SR-IOV card by its registers: each function copies and has mail for itself. */
#include "device/device.h"

#include <viaduct/abi/vfio.h>
#include <viaduct/models.h>

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#define IOVA 0x100000u
#define SIZE 65536u
#define N 3u

enum { STATUS = 4, SRC = 8, DST = 0x10, LENGTH = 0x18, KEY = 0x1c, COMMAND = 0x20, COPIES = 0x24 };
enum { SEND = 0x28, RECEIVED = 0x2c, SENDERS = 0x30, BOXES = 0x100 };
enum { BUSY = 1, DONE = 2, FAILED = 4, MESSAGE = 8 };

/* One function in its own address space. */
struct function {
	struct via_device *dev;
	struct via_ioas *ioas;
	struct via_space *space;
	uint8_t *memory;
	int irqs[2];
};

struct fixture {
	struct function pf, vfs[N];
};

static int own_fd(void *cookie, int fd, int *ret_fd)
{
	*ret_fd = dup(fd);
	return *ret_fd < 0 ? -EBADF : 0;
}

static void set_command(struct via_device *dev)
{
	const uint8_t command[] = {6, 0};

	assert_int_equal(via_device_region_write(dev, VIA_REGION_CONFIG, 4, command, 2), 2);
}

static void open_function(struct function *f, struct via_device *dev)
{
	struct via_mm *self = via_mm_self();
	struct via_set_irqs set = {
		.index = VIA_VFIO_PCI_MSIX_IRQ_INDEX,
		.count = 2,
		.flags = VIA_VFIO_IRQ_SET_DATA_EVENTFD | VIA_VFIO_IRQ_SET_ACTION_TRIGGER,
		.fds = f->irqs,
		.fd_get = own_fd,
	};

	f->dev = dev;
	assert_int_equal(via_space_new_mm(self, &f->space), 0);
	via_mm_put(self);
	assert_int_equal(via_ioas_new(via_iommu_props_intel(), &f->ioas), 0);
	assert_int_equal(posix_memalign((void **)&f->memory, 4096, SIZE), 0);
	assert_int_equal(via_ioas_map(f->ioas, IOVA, f->space, (uintptr_t)f->memory, SIZE,
				      VIA_PROT_READ | VIA_PROT_WRITE),
			 0);
	assert_int_equal(via_device_attach(dev, f->ioas), 0);
	assert_int_equal(via_device_open(dev), 0);
	set_command(dev);
	f->irqs[0] = eventfd(0, EFD_CLOEXEC);
	f->irqs[1] = eventfd(0, EFD_CLOEXEC);
	assert_int_equal(via_device_set_irqs(dev, &set), 0);
}

static void close_function(struct function *f)
{
	via_device_close(f->dev);
	via_device_attach(f->dev, NULL);
	via_ioas_put(f->ioas);
	via_space_put(f->space);
	free(f->memory);
	close(f->irqs[0]);
	close(f->irqs[1]);
	via_device_free(f->dev);
}

static struct via_device *make(const char *text)
{
	const struct via_model *model = via_model_find("sriov");
	struct via_error err = {0};
	struct via_options *opts;
	struct via_device *dev;

	assert_non_null(model);
	assert_int_equal(via_options_parse(model, text, &err, &opts), 0);
	if (model->create(opts, &err, &dev))
		fail_msg("%s", err.text);
	via_options_free(opts);
	return dev;
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct via_error err = {0};

	assert_non_null(f);
	open_function(&f->pf, make(NULL));
	assert_int_equal(via_device_set_vfs(f->pf.dev, N), 0);
	for (unsigned int i = 0; i < N; i++) {
		struct via_device *vf;

		if (via_device_vf_new(f->pf.dev, i, &err, &vf))
			fail_msg("%s", err.text);
		open_function(&f->vfs[i], vf);
	}
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	for (unsigned int i = 0; i < N; i++)
		close_function(&f->vfs[i]);
	close_function(&f->pf);
	free(f);
	return 0;
}

static uint32_t get(struct function *f, uint64_t reg)
{
	uint8_t b[4];

	assert_int_equal(via_device_region_read(f->dev, 0, reg, b, 4), 4);
	return via_get_le32(b);
}

static void put(struct function *f, uint64_t reg, uint32_t value)
{
	uint8_t b[4];

	via_put_le32(b, value);
	assert_int_equal(via_device_region_write(f->dev, 0, reg, b, 4), 4);
}

static uint64_t events(int fd, int timeout_ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	uint64_t n = 0;

	if (poll(&p, 1, timeout_ms) == 1)
		assert_int_equal(read(fd, &n, sizeof(n)), sizeof(n));
	return n;
}

static void start(struct function *f, uint64_t src, uint64_t dst, uint32_t len, uint32_t key)
{
	put(f, SRC, (uint32_t)src);
	put(f, SRC + 4, (uint32_t)(src >> 32));
	put(f, DST, (uint32_t)dst);
	put(f, DST + 4, (uint32_t)(dst >> 32));
	put(f, LENGTH, len);
	put(f, KEY, key);
	put(f, COMMAND, 1);
}

static void identifies(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(get(&f->pf, 0), 0x5f100000);
	for (unsigned int i = 0; i < N; i++)
		assert_int_equal(get(&f->vfs[i], 0), 0x5f110000 + i);
}

static void copies(void **state)
{
	struct fixture *f = *state;

	for (unsigned int i = 0; i <= N; i++) {
		struct function *fn = i < N ? &f->vfs[i] : &f->pf;

		for (unsigned int n = 0; n < 10000; n++)
			fn->memory[n] = (uint8_t)(n * 7 + i);
		start(fn, IOVA, IOVA + 20000, 10000, 0x04030201 + i);
	}
	for (unsigned int i = 0; i <= N; i++) {
		struct function *fn = i < N ? &f->vfs[i] : &f->pf;
		uint8_t key[4];

		via_put_le32(key, 0x04030201 + i);
		assert_int_equal(events(fn->irqs[0], 2000), 1);
		assert_int_equal(get(fn, STATUS), DONE);
		assert_int_equal(get(fn, COPIES), 1);
		for (unsigned int n = 0; n < 10000; n++)
			assert_int_equal(fn->memory[20000 + n],
					 (uint8_t)(n * 7 + i) ^ key[n % 4]);
		put(fn, STATUS, DONE);
		assert_int_equal(get(fn, STATUS), 0);
	}
}

static void fails(void **state)
{
	struct fixture *f = *state;
	struct function *vf = &f->vfs[1];

	start(vf, IOVA + SIZE, IOVA, 4, 0);
	assert_int_equal(events(vf->irqs[0], 2000), 1);
	assert_int_equal(get(vf, STATUS), FAILED);
	put(vf, STATUS, ~0u);
	start(vf, IOVA, IOVA, (1 << 20) + 1, 0);
	assert_int_equal(events(vf->irqs[0], 2000), 1);
	assert_int_equal(get(vf, STATUS), FAILED);
	start(vf, ~0ull, ~0ull - 8, 16, 0);
	assert_int_equal(events(vf->irqs[0], 2000), 1);
	assert_int_equal(get(vf, STATUS), FAILED);
	assert_int_equal(get(vf, COPIES), 0);
	/* The others do not notice. */
	assert_int_equal(get(&f->vfs[0], STATUS), 0);
	assert_int_equal(events(f->vfs[0].irqs[0], 0), 0);
}

static void mails(void **state)
{
	struct fixture *f = *state;

	put(&f->vfs[2], SEND, 0xcafe);
	assert_int_equal(events(f->pf.irqs[1], 2000), 1);
	assert_int_equal(get(&f->pf, SENDERS), 1 << 2);
	assert_int_equal(get(&f->pf, SENDERS + 4), 0);
	assert_int_equal(get(&f->pf, BOXES + 8 * 2), 0xcafe);
	assert_int_equal(get(&f->pf, BOXES + 8 * 1), 0);
	put(&f->pf, SENDERS, 1 << 2);
	assert_int_equal(get(&f->pf, SENDERS), 0);

	put(&f->pf, BOXES + 8 * 1 + 4, 0xbeef);
	assert_int_equal(events(f->vfs[1].irqs[1], 2000), 1);
	assert_int_equal(get(&f->vfs[1], STATUS), MESSAGE);
	assert_int_equal(get(&f->vfs[1], RECEIVED), 0xbeef);
	put(&f->vfs[1], STATUS, MESSAGE);
	assert_int_equal(get(&f->vfs[1], STATUS), 0);
	assert_int_equal(get(&f->vfs[0], STATUS), 0);
	assert_int_equal(get(&f->vfs[0], RECEIVED), 0);
	/* To one that is not there, and to none at all. */
	put(&f->pf, BOXES + 8 * 7 + 4, 1);
	put(&f->pf, BOXES + 8 * 8 + 4, 1);
	put(&f->pf, 0x3ffc, 1);
	/* The physical function's registers are no virtual one's. */
	put(&f->vfs[0], BOXES + 8 * 1 + 4, 1);
	assert_int_equal(get(&f->vfs[0], BOXES + 8 * 2), 0);
	assert_int_equal(get(&f->vfs[0], SENDERS), 0);
	assert_int_equal(events(f->vfs[1].irqs[1], 0), 0);
}

static void resets(void **state)
{
	struct fixture *f = *state;

	put(&f->vfs[0], KEY, 5);
	put(&f->vfs[1], KEY, 6);
	put(&f->vfs[1], SEND, 7);
	put(&f->pf, KEY, 8);
	assert_int_equal(via_device_reset(f->vfs[1].dev), 0);
	assert_int_equal(get(&f->vfs[1], KEY), 0);
	assert_int_equal(get(&f->vfs[0], KEY), 5);
	assert_int_equal(get(&f->pf, KEY), 8);
	assert_int_equal(get(&f->pf, SENDERS), 0);
	assert_int_equal(get(&f->pf, BOXES + 8), 0);
	assert_int_equal(via_device_reset(f->pf.dev), 0);
	assert_int_equal(get(&f->vfs[0], KEY), 0);
	assert_int_equal(get(&f->pf, KEY), 0);
	/* Virtual functions have lost bus mastering with it, and work again once they have it. */
	start(&f->vfs[0], IOVA, IOVA + 4096, 4, 0);
	while (get(&f->vfs[0], STATUS) & BUSY)
		usleep(500);
	assert_int_equal(get(&f->vfs[0], STATUS), FAILED);
	assert_int_equal(events(f->vfs[0].irqs[0], 0), 0);
	set_command(f->vfs[0].dev);
	put(&f->vfs[0], COMMAND, 1);
	assert_int_equal(events(f->vfs[0].irqs[0], 2000), 1);
}

static void counts(void **state)
{
	struct via_device *dev = make("vfs=64");
	struct via_error err = {0};
	struct via_options *opts;

	assert_int_equal(via_device_sriov(dev)->total, 64);
	via_device_free(dev);
	assert_int_equal(via_options_parse(via_model_find("sriov"), "vfs=65", &err, &opts),
			 -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(identifies, set_up, tear_down),
		cmocka_unit_test_setup_teardown(copies, set_up, tear_down),
		cmocka_unit_test_setup_teardown(fails, set_up, tear_down),
		cmocka_unit_test_setup_teardown(mails, set_up, tear_down),
		cmocka_unit_test_setup_teardown(resets, set_up, tear_down),
		cmocka_unit_test(counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
