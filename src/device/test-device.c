/* SPDX-License-Identifier: MIT */
/* Descriptions, life and work of a device. */
#include "device/migration.h"
#include "device/test-device.h"

#include <sys/resource.h>

/* --- what is refused --- */

static void refused(const struct via_device_desc *d, const char *text)
{
	struct model *m = calloc(1, sizeof(*m));
	struct via_device *dev = NULL;
	struct via_error err = {0};
	bool freed = false;

	assert_non_null(m);
	m->freed = &freed;
	assert_int_equal(via_device_new(d, &ops, m, &err, &dev), -EINVAL);
	assert_null(dev);
	assert_true(freed);
	if (!strstr(err.text, text))
		fail_msg("'%s' does not say '%s'", err.text, text);
}

static void test_bad_descriptions(void **state)
{
	static const struct via_area outside = {0x8000, 0x1000, VIA_AREA_MEMORY};
	static const struct via_area unaligned = {0x800, 0x1000, VIA_AREA_MEMORY};
	static const struct via_area overlapping[] = {{0, 0x2000, VIA_AREA_MEMORY},
						      {0x1000, 0x1000, VIA_AREA_MEMORY}};
	struct via_device_desc d;

#define REFUSED(text, ...) (d = desc, __VA_ARGS__, refused(&d, text))
	REFUSED("no name", d.name = NULL);
	REFUSED("not a power of two", d.bars[0].size = 0x7000);
	REFUSED("below the least", d.bars[2].size = 2);
	REFUSED("BAR 1 must exist and be left empty", d.bars[1].size = 16);
	REFUSED("needs VIA_BAR_MEM64", d.bars[4].size = UINT64_C(1) << 32);
	REFUSED("neither 64-bit nor", d.bars[2].flags |= VIA_BAR_PREFETCH);
	REFUSED("widths", d.bars[0].valid_max = 3);
	REFUSED("unknown flags 0x11", d.bars[2].flags |= 0x10);
	REFUSED("unknown flags 0x22", d.bars[0].flags |= 0x20);
	REFUSED("cannot be mapped and cannot have areas", d.bars[0].flags |= VIA_BAR_UNMAPPABLE);
	REFUSED("neither 64-bit nor", d.bars[2].flags |= VIA_BAR_MEM64);
	REFUSED("BAR 6 must exist", d.bars[5].size = 16, d.bars[5].flags = VIA_BAR_MEM64);
	REFUSED("unknown flags 0x80", d.flags = 0x80);
	REFUSED("needs VIA_BAR_MEM64", d.bars[2].size = UINT64_C(1) << 32);
	REFUSED("needs VIA_BAR_MEM64", d.bars[4].size = UINT64_C(1) << 32,
		d.bars[4].flags = VIA_BAR_PREFETCH);
	REFUSED("needs VIA_BAR_MEM64", d.bars[4].size = UINT64_C(1) << 32,
		d.bars[4].flags = VIA_BAR_UNMAPPABLE);
	REFUSED("ends past the BAR", d.bars[0].areas = &outside, d.bars[0].n_areas = 1);
	REFUSED("multiples of 4096", d.bars[0].areas = &unaligned, d.bars[0].n_areas = 1);
	REFUSED("areas 0 and 1 overlap", d.bars[0].areas = overlapping);
	REFUSED("is I/O and cannot have areas", d.bars[2].areas = areas, d.bars[2].n_areas = 1);
	REFUSED("3 MSI vectors", d.msi.vectors = 3);
	REFUSED("the most is 2048", d.msix.vectors = 2049);
	REFUSED("not a memory BAR", d.msix.table_bar = 2);
	REFUSED("not a multiple of 8", d.msix.pba_offset = 0x3804);
	REFUSED("ends past BAR 0", d.msix.table_offset = 0x7ff0);
	REFUSED("overlaps area", d.msix.table_offset = MEMORY);
	REFUSED("overlap in BAR 0", d.msix.pba_offset = TABLE + 8);
	REFUSED("interrupt pin 5", d.ident.interrupt_pin = 5);
#undef REFUSED
}

/* What can be, each flag by itself, and what it does. */
static void test_bar_flags(void **state)
{
	static const unsigned int kinds[] = {
		0, VIA_BAR_MEM64, VIA_BAR_PREFETCH, VIA_BAR_MEM64 | VIA_BAR_PREFETCH,
		VIA_BAR_UNMAPPABLE, VIA_BAR_UNMAPPABLE | VIA_BAR_MEM64 | VIA_BAR_PREFETCH,
		VIA_BAR_IO, VIA_BAR_IO | VIA_BAR_UNMAPPABLE,
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct via_device_desc d = desc;
		struct model *m = calloc(1, sizeof(*m));
		struct via_region_info info;
		struct via_region_map map;
		struct via_device *dev;
		bool io = kinds[i] & VIA_BAR_IO, mappable = !io && !(kinds[i] & VIA_BAR_UNMAPPABLE);
		uint8_t low;

		d.bars[4] = (struct via_bar_desc){.size = 0x1000, .flags = kinds[i]};
		if (!(kinds[i] & VIA_BAR_MEM64))
			d.bars[5] = (struct via_bar_desc){.size = 16};
		/* The messages are in it where they can be. */
		d.msix = (struct via_pci_msix){.vectors = io ? 0 : 1, .table_bar = 4, .pba_bar = 4,
					       .pba_offset = 8 * 16};
		assert_int_equal(via_device_new(&d, &ops, m, NULL, &dev), 0);
		assert_int_equal(via_device_open(dev), 0);
		assert_int_equal(via_device_region_info(dev, 4, &info), 0);
		assert_int_equal(info.io, io);
		assert_int_equal(info.mappable, mappable);
		assert_int_equal(info.msix_table, mappable);
		assert_int_equal(via_device_region_map(dev, 4, &map), mappable ? 0 : -EINVAL);
		assert_int_equal(via_device_region_read(dev, VIA_REGION_CONFIG, 0x20, &low, 1), 1);
		assert_int_equal(low, (io ? 1 : 0) | (kinds[i] & VIA_BAR_MEM64 ? 4 : 0) |
					      (kinds[i] & VIA_BAR_PREFETCH ? 8 : 0));
		via_device_close(dev);
		via_device_free(dev);
	}
}

/* What vfio-pci hides shows if the function says so; and only then. */
static void test_all_capabilities(void **state)
{
	static const struct via_pci_cap caps[] = {
		{.kind = VIA_CAP_PASID, .pasid = {.width = 20}},
	};

	for (unsigned int flags = 0; flags <= VIA_DEVICE_ALL_CAPABILITIES;
	     flags += VIA_DEVICE_ALL_CAPABILITIES) {
		struct via_device_desc d = desc;
		struct model *m = calloc(1, sizeof(*m));
		struct via_device *dev;

		d.caps = caps;
		d.n_caps = 1;
		d.flags = flags;
		assert_int_equal(via_device_new(&d, &ops, m, NULL, &dev), 0);
		assert_int_equal(via_device_open(dev), 0);
		assert_int_equal(config_get(dev, 0x100), flags ? 0x1b : 0);
		assert_int_equal(config_get(dev, 0x3c), 0x0100);
		via_device_close(dev);
		via_device_free(dev);
	}
}

static void test_no_migration(void **state)
{
	struct via_device *dev = ((struct model *)*state)->dev;
	struct via_migration_session *session;

	assert_int_equal(via_device_migration_set(dev, VIA_STATE_STOP, &session), -ENOTTY);
	assert_null(session);
}

/* Its BARs are memory of any kind. */
static void test_vf_bars(void **state)
{
	static const unsigned int kinds[] = {0, VIA_BAR_PREFETCH, VIA_BAR_UNMAPPABLE};

	for (size_t i = 0; i < 3; i++) {
		struct via_device_desc d = desc;
		struct model *m = calloc(1, sizeof(*m));
		struct via_device *dev;

		d.flags = VIA_DEVICE_VF;
		d.ident.interrupt_pin = 0;
		d.bars[2] = (struct via_bar_desc){.size = 4096, .flags = kinds[i]};
		assert_int_equal(via_device_new(&d, &ops, m, NULL, &dev), 0);
		via_device_free(dev);
	}
}

/* A virtual function has no Memory Enable of its own (R6). */
static void test_vf_is_not_gated(void **state)
{
	struct via_device_desc d = desc;
	struct model *m = calloc(1, sizeof(*m));
	struct via_device *dev;
	uint8_t b[4];

	d.flags = VIA_DEVICE_VF;
	d.ident.interrupt_pin = 0;
	d.bars[2] = (struct via_bar_desc){0};
	assert_int_equal(via_device_new(&d, &ops, m, NULL, &dev), 0);
	assert_int_equal(via_device_open(dev), 0);
	command(dev, 0, 2);
	assert_int_equal(via_device_region_read(dev, 3, 0, b, 4), 4);
	via_device_close(dev);
	via_device_free(dev);
}

/* --- life --- */

static void test_open_close(void **state)
{
	struct via_device *dev;
	struct model *m = new_device(&dev);
	struct via_device_stats stats;
	uint64_t value;

	assert_int_equal(via_device_mapped_read(dev, 0, 0, 4, &value), -EIO);
	assert_int_equal(via_device_open(dev), 0);
	assert_int_equal(m->kinds, 1u << VIA_RESET_OPEN);
	assert_int_equal(config_get(dev, 4) & 0x407, 0x003);
	command(dev, 4, 0);
	assert_int_equal(via_device_open(dev), 0);
	assert_int_equal(config_get(dev, 4) & 0x407, 0x007);
	via_device_close(dev);
	assert_int_equal(m->kinds, 1u << VIA_RESET_OPEN);
	via_device_close(dev);
	assert_int_equal(m->kinds, 1u << VIA_RESET_OPEN | 1u << VIA_RESET_CLOSE);
	assert_int_equal(via_device_open(dev), 0);
	assert_int_equal(config_get(dev, 4) & 0x407, 0x003);
	via_device_close(dev);
	via_device_get_stats(dev, &stats);
	assert_int_equal(stats.resets, 4);
	via_device_free(dev);
}

/* What was asked for before a reset does not happen after it. */
static void test_reset_drops_work(void **state)
{
	struct via_device *dev;
	struct model *m = new_device(&dev);

	via_device_kick(dev, 1);
	assert_int_equal(via_device_open(dev), 0);
	via_device_kick(dev, 2);
	assert_true(becomes(&m->work_calls, 1));
	assert_int_equal(m->work, 2);
	via_device_close(dev);
	via_device_free(dev);
}

static unsigned int open_fds(void)
{
	unsigned int n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* Each descriptor that a device needs is refused once. */
static void test_out_of_descriptors(void **state)
{
	unsigned int before = open_fds(), unused = 0;
	struct rlimit old, few;
	struct via_device *dev = NULL;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	few = old;
	for (few.rlim_cur = 0; !dev; unused += fcntl((int)few.rlim_cur++, F_GETFD) < 0) {
		struct model *m = calloc(1, sizeof(*m));
		struct via_error err = {0};
		int ret;

		assert_non_null(m);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
		ret = via_device_new(&desc, &ops, m, &err, &dev);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
		if (!ret)
			break;
		assert_int_equal(ret, -EMFILE);
		assert_non_null(strstr(err.text, "sample"));
		assert_int_equal(open_fds(), before);
	}
	/* It takes two epolls, eventfd and two memfds: each was missing once. */
	assert_int_equal(unused, 5);
	via_device_free(dev);
	assert_int_equal(open_fds(), before);
}

static void test_info(void **state)
{
	struct via_device *dev = ((struct model *)*state)->dev;
	struct via_region_info info;
	struct via_irq_info irq;
	struct via_region_map map;

	assert_int_equal(via_device_region_info(dev, 0, &info), 0);
	assert_int_equal(info.size, 0x8000);
	assert_true(info.mappable && info.msix_table && info.readable && info.writable);
	assert_int_equal(via_device_region_info(dev, 1, &info), 0);
	assert_int_equal(info.size, 0);
	assert_false(info.readable || info.mappable);
	assert_int_equal(via_device_region_info(dev, 2, &info), 0);
	assert_true(info.io && !info.mappable);
	assert_int_equal(via_device_region_info(dev, VIA_REGION_ROM, &info), 0);
	assert_int_equal(info.size, 0);
	assert_int_equal(via_device_region_info(dev, VIA_REGION_CONFIG, &info), 0);
	assert_int_equal(info.size, 4096);
	assert_int_equal(via_device_region_info(dev, VIA_REGION_VGA, &info), -EINVAL);
	assert_int_equal(via_device_region_info(dev, 9, &info), -EINVAL);
	assert_int_equal(via_device_irq_info(dev, VIA_IRQ_MSIX, &irq), 0);
	assert_int_equal(irq.count, N_VECTORS);
	assert_int_equal(via_device_irq_info(dev, 5, &irq), -EINVAL);

	assert_int_equal(via_device_region_map(dev, 2, &map), -EINVAL);
	assert_int_equal(via_device_region_map(dev, 3, &map), 0);
	assert_int_equal(map.size, 4096);
	assert_int_equal(via_device_region_map(dev, 0, &map), 0);
	assert_int_equal(map.size, 0x8000);
	assert_int_equal(map.n_areas, 4);
	assert_int_equal(map.areas[0].kind, VIA_AREA_REGISTER);
	assert_int_equal(map.areas[1].kind, VIA_AREA_DOORBELL);
	assert_int_equal(map.areas[2].kind, VIA_AREA_MEMORY);
	assert_int_equal(map.areas[3].kind, VIA_AREA_REGISTER);
	assert_int_equal(map.areas[3].offset + map.areas[3].size, 0x8000);
}

/* --- work, DMA --- */

static void test_work(void **state)
{
	struct model *m = *state;
	struct via_device *dev = m->dev;
	uint64_t one = 1;
	unsigned int calls;

	via_device_kick(dev, 3);
	assert_true(becomes(&m->work_calls, 1));
	assert_int_equal(m->work, 3);
	m->watched = eventfd(0, EFD_CLOEXEC);
	assert_int_equal(via_device_watch(dev, m->watched, 0x100), 0);
	assert_int_equal(write(m->watched, &one, sizeof(one)), sizeof(one));
	assert_true(becomes(&m->work_calls, 2));
	assert_int_equal(m->work, 0x103);
	assert_int_equal(via_device_watch(dev, m->watched, 0), 0);
	calls = __atomic_load_n(&m->work_calls, __ATOMIC_SEQ_CST);
	assert_int_equal(write(m->watched, &one, sizeof(one)), sizeof(one));
	usleep(20000);
	assert_int_equal(__atomic_load_n(&m->work_calls, __ATOMIC_SEQ_CST), calls);
	close(m->watched);
}

/* Attached to nothing: -EFAULT once the function may ask, -EPERM while it may not. */
static void test_bus_master(void **state)
{
	struct via_device *dev = ((struct model *)*state)->dev;
	struct via_dma *dma = via_device_dma(dev);
	uint64_t pm = capability(dev, 1), express = capability(dev, 0x10);
	char b;

	assert_int_equal(via_dma_read(dma, 0, &b, 1), -EPERM);
	command(dev, 4, 0);
	assert_int_equal(via_dma_read(dma, 0, &b, 1), -EFAULT);
	config_put(dev, pm + 4, 3);
	assert_int_equal(via_dma_read(dma, 0, &b, 1), -EPERM);
	config_put(dev, pm + 4, 0);
	assert_int_equal(via_dma_read(dma, 0, &b, 1), -EFAULT);
	config_put(dev, express + 8, 0x8000);
	assert_int_equal(via_device_reset(dev), 0);
	assert_int_equal(via_dma_read(dma, 0, &b, 1), -EFAULT);
	command(dev, 0, 4);
	assert_int_equal(via_device_reset(dev), 0);
	assert_int_equal(via_dma_read(dma, 0, &b, 1), -EPERM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bad_descriptions),
		cmocka_unit_test(test_bar_flags),
		cmocka_unit_test(test_all_capabilities),
		cmocka_unit_test(test_vf_bars),
		cmocka_unit_test(test_vf_is_not_gated),
		WITH_DEVICE(test_no_migration),
		cmocka_unit_test(test_open_close),
		cmocka_unit_test(test_reset_drops_work),
		cmocka_unit_test(test_out_of_descriptors),
		WITH_DEVICE(test_info),
		WITH_DEVICE(test_work),
		WITH_DEVICE(test_bus_master),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
