/* SPDX-License-Identifier: MIT */
/* Descriptions that become registers, and those that cannot. */
#include "pci/test-config.h"

static struct via_regfile *lay_out(const struct via_config_desc *desc, struct via_config_dev *dev)
{
	struct via_error err = { 0 };
	struct via_regfile *regs;

	if (via_regfile_new(desc, NULL, &err, &regs))
		fail_msg("%s", err.text);
	via_regfile_dev(regs, dev);
	return regs;
}

static uint32_t at(const struct via_config_dev *dev, unsigned int pos)
{
	uint32_t value;

	assert_int_equal(dev->ops->read(dev->cookie, pos, 4, &value), 0);
	return value;
}

/* What a description that cannot be is told. */
static void refused(const struct via_pci_cap *caps, size_t n, bool express, const char *text)
{
	struct via_config_desc desc = {
		.express = { .present = express }, .caps = caps, .n_caps = n,
		.bars = { { .size = 4096, .flags = VIA_BAR_MEM32 } },
	};
	struct via_error err = { 0 };
	struct via_regfile *regs;

	assert_int_equal(via_regfile_new(&desc, NULL, &err, &regs), -EINVAL);
	assert_string_equal(err.text, text);
}

#define REFUSED(express, text, ...)                                                          \
	do {                                                                                 \
		const struct via_pci_cap caps_[] = { __VA_ARGS__ };                          \
		refused(caps_, sizeof(caps_) / sizeof(caps_[0]), express, text);             \
	} while (0)

static void test_mistakes(void **state)
{
	REFUSED(false, "capability 0 at 0x40: unknown kind 99", { .kind = 99, .offset = 0x40 });
	REFUSED(false, "AF at 0x42: a multiple of 4 from 0x40 on is needed",
		{ .kind = VIA_CAP_AF, .offset = 0x42 });
	REFUSED(false, "AF at 0x3c: a multiple of 4 from 0x40 on is needed",
		{ .kind = VIA_CAP_AF, .offset = 0x3c });
	REFUSED(false, "AF at 0xfc: its 6 bytes do not fit below 0x100",
		{ .kind = VIA_CAP_AF, .offset = 0xfc });
	REFUSED(false, "VPD at 0x44: its 8 bytes overlap another capability",
		{ .kind = VIA_CAP_AF, .offset = 0x40 }, { .kind = VIA_CAP_VPD, .offset = 0x44 });
	REFUSED(false, "AER: only PCI Express functions have extended capabilities",
		{ .kind = VIA_CAP_AER });
	REFUSED(true, "AER at 0x80: a multiple of 4 from 0x100 on is needed",
		{ .kind = VIA_CAP_AER, .offset = 0x80 });
	REFUSED(true, "PASID at 0: a PASID has 1 to 20 bits",
		{ .kind = VIA_CAP_PASID, .pasid = { .width = 21 } });
	REFUSED(true, "ACS at 0: egress control needs a vector of 1 to 256 bits, and only it",
		{ .kind = VIA_CAP_ACS, .acs = { .capability = 0x20 } });
	REFUSED(true, "Resizable BAR at 0: some BAR has sizes from 1 MiB to 128 TiB, its own among them",
		{ .kind = VIA_CAP_REBAR, .rebar = { 1 } });
	REFUSED(true, "TPH at 0: a table has at most 64 entries", { .kind = VIA_CAP_TPH, .tph = 65 });
	REFUSED(false, "vendor-specific at 0: its body has at most 252 bytes",
		{ .kind = VIA_CAP_VENDOR, .vendor = { .len = 253 } });
	REFUSED(false, "vendor-specific: no room for its 200 bytes below 0x100",
		{ .kind = VIA_CAP_VENDOR, .vendor = { .len = 197 } });
	REFUSED(true, "DVSEC at 0: with its headers it has at most 4095 bytes",
		{ .kind = VIA_CAP_DVSEC, .dvsec = { .body = { .len = 4090 } } });
	REFUSED(false, "VPD at 0: it has at most 32768 bytes",
		{ .kind = VIA_CAP_VPD, .vpd = { vpd_bytes, 32769, false } });
	REFUSED(true, "other extended at 0: its id is 1 to 65535, its version at most 15",
		{ .kind = VIA_CAP_OTHER_EXT, .other = { .id = 1, .version = 16 } });
	REFUSED(false, "other at 0: its id is 1 to 255",
		{ .kind = VIA_CAP_OTHER, .other = { .id = 0x100 } });
#define SRIOV_RULE                                                                         \
	"SR-IOV at 0: virtual functions from 1, in reach of 16 bits of routing id, memory " \
	"BARs of a power of two from 4096 bytes, page sizes from 0x553"
	REFUSED(true, SRIOV_RULE, { .kind = VIA_CAP_SRIOV });
	REFUSED(true, SRIOV_RULE,
		{ .kind = VIA_CAP_SRIOV, .sriov = { .total = 2, .offset = 1 } });
	REFUSED(true, SRIOV_RULE,
		{ .kind = VIA_CAP_SRIOV,
		  .sriov = { .total = 2, .offset = 0x8000, .stride = 0x8000 } });
	REFUSED(true, SRIOV_RULE,
		{ .kind = VIA_CAP_SRIOV,
		  .sriov = { .total = 1, .offset = 1, .stride = 1, .page_sizes = 1 } });
	REFUSED(true, SRIOV_RULE,
		{ .kind = VIA_CAP_SRIOV,
		  .sriov = { .total = 1, .offset = 1, .stride = 1, .bars = { { 2048, 0 } } } });
	REFUSED(true, SRIOV_RULE,
		{ .kind = VIA_CAP_SRIOV,
		  .sriov = { .total = 1, .offset = 1, .stride = 1,
			     .bars = { { 4096, VIA_BAR_IO } } } });
	REFUSED(true, SRIOV_RULE,
		{ .kind = VIA_CAP_SRIOV,
		  .sriov = { .total = 1, .offset = 1, .stride = 1,
			     .bars = { { 4096, VIA_BAR_MEM64 }, { 4096, 0 } } } });
	REFUSED(false, "SR-IOV: only PCI Express functions have extended capabilities",
		{ .kind = VIA_CAP_SRIOV, .sriov = { .total = 1, .offset = 1, .stride = 1 } });
	REFUSED(true, "SR-IOV at 0xfe0: its 64 bytes do not fit below 0x1000",
		{ .kind = VIA_CAP_SRIOV, .offset = 0xfe0,
		  .sriov = { .total = 1, .offset = 1, .stride = 1 } });
	/* Ids that are known have lengths, whoever describes them. */
	REFUSED(true, "other extended at 0x100: id 0x1 needs 44 bytes, and it has 4",
		{ .kind = VIA_CAP_OTHER_EXT, .other = { .id = 0x01 } });
	REFUSED(true, "other extended at 0x100: id 0x2 needs 28 bytes, and it has 24",
		{ .kind = VIA_CAP_OTHER_EXT, .other = { .id = 0x02, .body = { .len = 20 } } });
	REFUSED(false, "other at 0x40: id 0x3 needs 8 bytes, and it has 2",
		{ .kind = VIA_CAP_OTHER, .other = { .id = 0x03 } });
}

/* A list starts at 0x100; what must be elsewhere gets an empty header in front of it. */
static void test_extended_list(void **state)
{
	const struct via_pci_cap alone[] = {
		{ .kind = VIA_CAP_DSN, .offset = 0x200, .dsn = 0x0102030405060708 },
	};
	const struct via_pci_cap joined[] = {
		{ .kind = VIA_CAP_DSN, .offset = 0x200 },
		{ .kind = VIA_CAP_LTR },
		{ .kind = VIA_CAP_ARI, .ari = 3 },
	};
	struct via_config_desc desc = {
		.express = { .present = true }, .caps = alone, .n_caps = 1,
	};
	struct via_config_dev dev;
	struct via_regfile *regs = lay_out(&desc, &dev);

	assert_int_equal(at(&dev, 0x100), 0x20000000);
	assert_int_equal(at(&dev, 0x200), 0x00010003);
	assert_int_equal(at(&dev, 0x204), 0x05060708);
	assert_int_equal(at(&dev, 0x208), 0x01020304);
	via_regfile_free(regs);

	desc.caps = joined;
	desc.n_caps = 3;
	regs = lay_out(&desc, &dev);
	/* The one at the start of the list stands in front of those described before it. */
	assert_int_equal(at(&dev, 0x100), 0x20010018);
	assert_int_equal(at(&dev, 0x200), 0x11010003);
	assert_int_equal(at(&dev, 0x110), 0x0001000e);
	assert_int_equal(at(&dev, 0x114), 0x0300);
	via_regfile_free(regs);
}

static void test_contents(void **state)
{
	const struct via_pci_cap caps[] = {
		{ .kind = VIA_CAP_ATS, .ats = { .queue_depth = 8, .page_aligned = true } },
		{ .kind = VIA_CAP_PRI, .pri = 64 },
		{ .kind = VIA_CAP_ACS, .acs = { .capability = 0x20, .egress_bits = 33 } },
		{ .kind = VIA_CAP_REBAR, .rebar = { [2] = 0x6 } },
		{ .kind = VIA_CAP_TPH, .tph = 3 },
		{ .kind = VIA_CAP_VENDOR_EXT,
		  .vendor_ext = { .id = 0xabcd, .revision = 2, .body = { .value = ones, .len = 4 } } },
		{ .kind = VIA_CAP_OTHER_EXT, .other = { .id = 0x2e, .version = 3, .body = { .len = 20 } } },
	};
	struct via_config_desc desc = {
		.express = { .present = true }, .caps = caps, .n_caps = 7,
		.bars = { [2] = { .size = 4 << 20, .flags = VIA_BAR_MEM32 } },
	};
	struct via_config_dev dev;
	struct via_regfile *regs = lay_out(&desc, &dev);
	const unsigned int where[] = { 0x100, 0x110, 0x120, 0x130, 0x140, 0x160, 0x170 };

	for (unsigned int i = 0; i < 6; i++)
		assert_int_equal(at(&dev, where[i]) >> 20, where[i + 1]);
	assert_int_equal(at(&dev, 0x104), 0x0028);
	assert_int_equal(at(&dev, 0x114), 0x01000000);
	assert_int_equal(at(&dev, 0x118), 64);
	assert_int_equal(at(&dev, 0x124), 0x2120);
	/* BAR 2: 2 or 4 MiB, and it has 4; one entry. */
	assert_int_equal(at(&dev, 0x134), 0x60);
	assert_int_equal(at(&dev, 0x138), 2 | 1 << 5 | 2 << 8);
	assert_int_equal(at(&dev, 0x144), 0x00020203);
	assert_int_equal(at(&dev, 0x164), 0x00c2abcd);
	assert_int_equal(at(&dev, 0x168), 0xffffffff);
	assert_int_equal(at(&dev, 0x170), 0x0003002e);
	via_regfile_free(regs);
}

/* Named capabilities go around those that must be in one place. */
static void test_places(void **state)
{
	const struct via_pci_cap caps[] = {
		{ .kind = VIA_CAP_AF },
		{ .kind = VIA_CAP_VPD, .offset = 0x40, .vpd = { vpd_bytes, 8, false } },
	};
	struct via_config_desc desc = {
		.power_management = true, .msi = { .vectors = 1 }, .caps = caps, .n_caps = 2,
	};
	struct via_config_dev dev;
	struct via_regfile *regs = lay_out(&desc, &dev);

	assert_int_equal(at(&dev, 0x34) & 0xff, 0x50);
	assert_int_equal(at(&dev, 0x50) & 0xffff, 0x6001);
	assert_int_equal(at(&dev, 0x60) & 0xffff, 0x7005);
	assert_int_equal(at(&dev, 0x70) & 0xffff, 0x4013);
	assert_int_equal(at(&dev, 0x40) & 0xffff, 0x0003);
	via_regfile_free(regs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mistakes),
		cmocka_unit_test(test_extended_list),
		cmocka_unit_test(test_contents),
		cmocka_unit_test(test_places),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
