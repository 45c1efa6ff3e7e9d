/* SPDX-License-Identifier: MIT */
/* Descriptions that become registers, and those that cannot. */
#include "pci/regfile.h"
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

/* --- Every register of the library's own ------------------------------------ */

static const uint8_t body_value[] = { 1, 2, 3, 4, 5, 6 }, body_writable[] = { 0xff, 0, 0x0f, 0, 0, 0x80 };

static const struct via_pci_cap every_cap[] = {
	{ .kind = VIA_CAP_AF },
	{ .kind = VIA_CAP_VPD, .vpd = { vpd_bytes, sizeof(vpd_bytes), true } },
	{ .kind = VIA_CAP_VENDOR, .vendor = { body_value, body_writable, 5 } },
	{ .kind = VIA_CAP_OTHER, .other = { .id = 4, .body = { body_value, body_writable, 6 } } },
	{ .kind = VIA_CAP_AER },
	{ .kind = VIA_CAP_DSN, .dsn = 0x1122334455667788 },
	{ .kind = VIA_CAP_ACS, .acs = { .capability = 0x7f, .egress_bits = 33 } },
	{ .kind = VIA_CAP_ARI, .ari = 0x83 },
	{ .kind = VIA_CAP_ATS, .ats = { .queue_depth = 0x15, .page_aligned = true } },
	{ .kind = VIA_CAP_PRI, .pri = 0x12345678 },
	{ .kind = VIA_CAP_PASID, .pasid = { .width = 20, .execute = true } },
	{ .kind = VIA_CAP_REBAR, .rebar = { [0] = 0x15, [3] = 0x02 } },
	{ .kind = VIA_CAP_LTR },
	{ .kind = VIA_CAP_TPH, .tph = 3 },
	{ .kind = VIA_CAP_POWER_BUDGET, .power_budget = { power_data, 2 } },
	{ .kind = VIA_CAP_VENDOR_EXT,
	  .vendor_ext = { .id = 0xabcd, .revision = 5, .body = { body_value, body_writable, 6 } } },
	{ .kind = VIA_CAP_DVSEC,
	  .dvsec = { .vendor = 0x1e98, .id = 0x2345, .revision = 9,
		     .body = { body_value, body_writable, 6 } } },
	{ .kind = VIA_CAP_OTHER_EXT,
	  .other = { .id = 0x2e, .version = 3, .body = { body_value, body_writable, 6 } } },
};

/* Each dword in which anything is not zero: initial value, what can be written, w1c, sticky, listens. */
static void dump_registers(const struct via_regfile *regs, char *text, size_t size)
{
	for (unsigned int pos = 0; pos < VIA_CONFIG_SIZE_EXPRESS; pos += 4) {
		uint32_t d[5] = { via_get_le32(regs->initial + pos), via_get_le32(regs->writable + pos),
				  via_get_le32(regs->w1c + pos), via_get_le32(regs->sticky + pos),
				  via_get_le32(regs->listens + pos) };

		if (d[0] | d[1] | d[2] | d[3] | d[4])
			note(text, size, "%03x %08x %08x %08x %08x %08x\n", pos, d[0], d[1], d[2], d[3],
			     d[4]);
	}
}

static void check_registers(const struct via_config_desc *desc, const char *expected)
{
	static char text[16384];
	struct via_config_dev dev;
	struct via_regfile *regs = lay_out(desc, &dev);

	text[0] = '\0';
	dump_registers(regs, text, sizeof(text));
	via_regfile_free(regs);
	if (strcmp(text, expected)) {
		(void)fprintf(stderr, "the registers are\n%s", text);
		fail();
	}
}

static void test_every_register(void **state)
{
	struct via_config_desc desc = device_r;
	struct via_config_desc bare = {
		.ident = { .vendor = 0x1234, .device = 0x5678, .class_code = 0xabcdef,
			   .revision = 0x42 },
		.msi = { .vectors = 32 },
		.bars = { { .size = 16, .flags = VIA_BAR_IO },
			  { .size = 4096, .flags = VIA_BAR_PREFETCH } },
	};
	struct via_config_desc integrated = {
		.express = { .present = true, .integrated = true, .max_payload = 5 },
		.bars = { { .size = 64, .flags = VIA_BAR_MEM64 } },
		.msi = { .vectors = 1, .maskable = true },
	};

	desc.caps = every_cap;
	desc.n_caps = sizeof(every_cap) / sizeof(every_cap[0]);
	desc.bars[0].size = 1 << 20;
	desc.bars[3].size = 2 << 20;
	desc.bars[4].flags = VIA_BAR_MEM64;
	check_registers(&desc, 
			"000 10f01af4 00000000 00000000 00000000 00000000\n"
			"004 00100103 00000107 f9000000 00000000 00000000\n"
			"008 02000001 00000000 00000000 00000000 00000000\n"
			"00c 00000000 000000ff 00000000 00000000 00000000\n"
			"010 0000000c 00000000 00000000 00000000 00000000\n"
			"018 00000001 00000000 00000000 00000000 00000000\n"
			"020 00000004 00000000 00000000 00000000 00000000\n"
			"02c 11001af4 00000000 00000000 00000000 00000000\n"
			"034 00000040 00000000 00000000 00000000 00000000\n"
			"03c 00000100 00000000 00000000 00000000 00000000\n"
			"040 00035001 00000000 00000000 00000000 00000000\n"
			"044 00000008 00000003 00008000 00008000 00000000\n"
			"050 01867005 00000000 00000000 00000000 00000000\n"
			"070 0002b010 00000000 00000000 00000000 00000000\n"
			"074 10008020 00000000 00000000 00000000 00000000\n"
			"078 00002810 00007dff 000f0000 00000000 00000000\n"
			"07c 00000011 00000000 00000000 00000000 00000000\n"
			"080 00110000 00000000 00000000 00000000 00000000\n"
			"09c 00000002 00000000 00000000 00000000 00000000\n"
			"0b0 000fc011 40000000 00000000 00000000 00000000\n"
			"0b4 00002000 00000000 00000000 00000000 00000000\n"
			"0b8 00003000 00000000 00000000 00000000 00000000\n"
			"0c0 0306d013 00000000 00000000 00000000 00000000\n"
			"0d0 0000e003 00000000 00000000 00000000 00000000\n"
			"0e0 0108f009 ff000000 00000000 00000000 01000000\n"
			"0e4 05040302 00000f00 00000000 00000000 01010101\n"
			"0f0 02010004 00ff0000 00000000 00000000 01010000\n"
			"0f4 06050403 8000000f 00000000 00000000 01010101\n"
			"100 13020001 00000000 00000000 00000000 00000000\n"
			"104 00000000 00000000 03fff030 03fff030 00000000\n"
			"108 00400000 03fff030 00000000 00000000 00000000\n"
			"10c 00462030 03fff030 00000000 00000000 00000000\n"
			"110 00000000 00000000 0000f1c1 0000f1c1 00000000\n"
			"114 00006000 0000f1c1 00000000 00000000 00000000\n"
			"130 14010003 00000000 00000000 00000000 00000000\n"
			"134 55667788 00000000 00000000 00000000 00000000\n"
			"138 11223344 00000000 00000000 00000000 00000000\n"
			"140 1501000d 00000000 00000000 00000000 00000000\n"
			"144 0000217f 007f0000 00000000 00000000 00000000\n"
			"148 00000000 ffffffff 00000000 00000000 00000000\n"
			"14c 00000000 ffffffff 00000000 00000000 00000000\n"
			"150 1601000e 00000000 00000000 00000000 00000000\n"
			"154 00008300 00000000 00000000 00000000 00000000\n"
			"160 1701000f 00000000 00000000 00000000 00000000\n"
			"164 00000035 801f0000 00000000 00000000 00000000\n"
			"170 18010013 00000000 00000000 00000000 00000000\n"
			"174 01000000 00000001 00000000 00000000 00000000\n"
			"178 12345678 00000000 00000000 00000000 00000000\n"
			"17c 00000000 ffffffff 00000000 00000000 00000000\n"
			"180 1901001b 00000000 00000000 00000000 00000000\n"
			"184 00001402 00030000 00000000 00000000 00000000\n"
			"190 1b010015 00000000 00000000 00000000 00000000\n"
			"194 00000150 00000000 00000000 00000000 00000000\n"
			"198 00000040 00000000 00000000 00000000 00000000\n"
			"19c 00000020 00000000 00000000 00000000 00000000\n"
			"1a0 00000143 00000000 00000000 00000000 00000000\n"
			"1b0 1c010018 00000000 00000000 00000000 00000000\n"
			"1b4 00000000 1fff1fff 00000000 00000000 00000000\n"
			"1c0 1e010017 00000000 00000000 00000000 00000000\n"
			"1c4 00020203 00000000 00000000 00000000 00000000\n"
			"1c8 00000000 00000307 00000000 00000000 00000000\n"
			"1cc 00000000 ffffffff 00000000 00000000 00000000\n"
			"1d0 00000000 0000ffff 00000000 00000000 00000000\n"
			"1e0 1f010004 00000000 00000000 00000000 00000000\n"
			"1e4 00000000 000000ff 00000000 00000000 00000000\n"
			"1f0 2001000b 00000000 00000000 00000000 00000000\n"
			"1f4 00e5abcd 00000000 00000000 00000000 00000000\n"
			"1f8 04030201 000f00ff 00000000 00000000 01010101\n"
			"1fc 00000605 00008000 00000000 00000000 00000101\n"
			"200 21010023 00000000 00000000 00000000 00000000\n"
			"204 01091e98 00000000 00000000 00000000 00000000\n"
			"208 02012345 00ff0000 00000000 00000000 01010000\n"
			"20c 06050403 8000000f 00000000 00000000 01010101\n"
			"210 0003002e 00000000 00000000 00000000 00000000\n"
			"214 04030201 000f00ff 00000000 00000000 01010101\n"
			"218 00000605 00008000 00000000 00000000 00000101\n");
	check_registers(&bare, 
			"000 56781234 00000000 00000000 00000000 00000000\n"
			"004 00100103 00000107 f9000000 00000000 00000000\n"
			"008 abcdef42 00000000 00000000 00000000 00000000\n"
			"00c 00000000 0000ffff 00000000 00000000 00000000\n"
			"010 00000001 00000000 00000000 00000000 00000000\n"
			"014 00000008 00000000 00000000 00000000 00000000\n"
			"034 00000040 00000000 00000000 00000000 00000000\n"
			"040 000a0005 00000000 00000000 00000000 00000000\n");
	check_registers(&integrated, 
			"004 00100103 00000107 f9000000 00000000 00000000\n"
			"00c 00000000 000000ff 00000000 00000000 00000000\n"
			"010 00000004 00000000 00000000 00000000 00000000\n"
			"034 00000040 00000000 00000000 00000000 00000000\n"
			"040 01006005 00000000 00000000 00000000 00000000\n"
			"060 00920010 00000000 00000000 00000000 00000000\n"
			"064 10008025 00000000 00000000 00000000 00000000\n"
			"068 00002810 00007dff 000f0000 00000000 00000000\n");
}

/* The largest, and each by itself, that can be. */
static void test_limits(void **state)
{
	static uint8_t vpd[32768];

	for (unsigned int bit = 0; bit < 8; bit++) {
		const struct via_pci_cap caps[] = {
			{ .kind = VIA_CAP_VPD, .vpd = { vpd, sizeof(vpd), false } },
			{ .kind = VIA_CAP_ACS, .acs = { (uint8_t)(1u << bit), bit == 5 ? 256 : 0 } },
			{ .kind = VIA_CAP_ATS, .ats = { (uint8_t)(1u << bit), false } },
			{ .kind = VIA_CAP_TPH, .tph = 1 },
		};
		struct via_config_desc desc = { .express = { .present = true }, .caps = caps,
						.n_caps = 4 };
		struct via_config_dev dev;
		struct via_regfile *regs = lay_out(&desc, &dev);
		unsigned int ats = bit == 5 ? 0x130 : 0x110;

		assert_int_equal(at(&dev, 0x104), 1u << bit);
		assert_int_equal(at(&dev, ats) & 0xffff, 0x0f);
		assert_int_equal(at(&dev, ats + 4), bit < 5 ? 1u << bit : 0);
		assert_int_equal(at(&dev, ats + 0x10 + PCI_TPH_CAP), 0x203);
		via_regfile_free(regs);
	}
}

/* SR-IOV: flags of BARs, and the sizes of pages that every function must have. */
static void test_sriov_bits(void **state)
{
	static const struct {
		unsigned int flags;
		uint64_t size;
		uint32_t bar;
	} bars[] = {
		{ 0, 4096, 0 },
		{ VIA_BAR_PREFETCH, 4096, 8 },
		{ VIA_BAR_MEM64, 1ull << 33, 4 },
		{ VIA_BAR_MEM64 | VIA_BAR_PREFETCH, 4096, 12 },
		{ VIA_BAR_IO, 4096, UINT32_MAX },
		{ VIA_BAR_UNMAPPABLE, 4096, UINT32_MAX },
		{ VIA_BAR_PREFETCH, 1ull << 33, UINT32_MAX },
		{ VIA_BAR_IO | VIA_BAR_MEM64, 4096, UINT32_MAX },
	};

	for (unsigned int n = 0; n < 8 + 32 + 3; n++) {
		/* 9.3.3.12: 4 and 8 KiB, 64 and 256 KiB, 1 and 4 MiB. */
		const uint32_t required = 0x553;
		struct via_pci_cap cap = { .kind = VIA_CAP_SRIOV,
					   .sriov = { .total = 1, .offset = 1, .stride = 1 } };
		struct via_config_desc desc = { .express = { .present = true }, .caps = &cap,
						.n_caps = 1 };
		struct via_error err = { 0 };
		struct via_config_dev dev;
		struct via_regfile *regs;
		bool good = true;
		int r;

		if (n < 8) {
			cap.sriov.bars[0].size = bars[n].size;
			cap.sriov.bars[0].flags = bars[n].flags;
			good = bars[n].bar != UINT32_MAX;
		} else if (n < 40) {
			cap.sriov.page_sizes = required & ~(1u << (n - 8));
			good = cap.sriov.page_sizes == required;
		} else {
			cap.sriov.page_sizes = n == 40 ? 0 : n == 41 ? required : UINT32_MAX;
		}
		r = via_regfile_new(&desc, NULL, &err, &regs);
		if (r != (good ? 0 : -EINVAL))
			fail_msg("row %u: %d", n, r);
		if (r)
			continue;
		via_regfile_dev(regs, &dev);
		assert_int_equal(at(&dev, 0x100 + PCI_SRIOV_PAGE_SIZES),
				 cap.sriov.page_sizes ? cap.sriov.page_sizes : required);
		if (n < 8)
			assert_int_equal(at(&dev, 0x100 + PCI_SRIOV_BAR(0)), bars[n].bar);
		via_regfile_free(regs);
	}
}

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
		cmocka_unit_test(test_every_register),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_sriov_bits),
		cmocka_unit_test(test_mistakes),
		cmocka_unit_test(test_extended_list),
		cmocka_unit_test(test_contents),
		cmocka_unit_test(test_places),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
