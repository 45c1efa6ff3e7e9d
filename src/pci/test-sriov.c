/* SPDX-License-Identifier: MIT */
/* A physical function's SR-IOV registers, and what is special about virtual ones (R23, R6). */
#include "pci/test-config.h"

enum { ARI = 0x100, SRIOV = 0x110 };

static const struct via_pci_cap pf_caps[] = {
	{ .kind = VIA_CAP_ARI },
	{ .kind = VIA_CAP_SRIOV,
	  .sriov = { .total = 8, .offset = 128, .stride = 2, .vf_device = 0x10ca,
		     .bars = { [0] = { 16384, VIA_BAR_MEM64 | VIA_BAR_PREFETCH },
			       [3] = { 16384, 0 } } } },
};

struct function {
	struct via_irqs *irqs;
	struct via_config *config;
	unsigned int resets;
	enum via_reset last;
};

static void on_function_reset(void *cookie, enum via_reset kind)
{
	struct function *f = cookie;

	f->resets++;
	f->last = kind;
}

static const struct via_config_ops function_ops = { .reset = on_function_reset };

static void make(struct function *f, const struct via_config_desc *desc)
{
	static const struct via_irqs_ops irqs_ops;
	struct via_irqs_desc irqs;
	struct via_error err = { 0 };

	*f = (struct function){ 0 };
	via_config_irqs_desc(desc, &irqs);
	assert_int_equal(via_irqs_new(&irqs, &irqs_ops, f, &f->irqs), 0);
	if (via_config_new(desc, &function_ops, f, f->irqs, &err, &f->config))
		fail_msg("%s", err.text);
}

static void drop(struct function *f)
{
	via_config_free(f->config);
	via_irqs_free(f->irqs);
}

static uint32_t look(struct function *f, unsigned int width, unsigned int pos)
{
	uint8_t bytes[4] = { 0 };

	assert_int_equal(via_config_read(f->config, pos, bytes, width), width);
	return via_get_le32(bytes);
}

static void store(struct function *f, unsigned int width, unsigned int pos, uint32_t value)
{
	uint8_t bytes[4];

	via_put_le32(bytes, value);
	assert_int_equal(via_config_write(f->config, pos, bytes, width), width);
}

static struct via_config_desc pf_desc(void)
{
	struct via_config_desc desc = device_r;

	desc.caps = pf_caps;
	desc.n_caps = 2;
	return desc;
}

static void test_registers(void **state)
{
	struct via_config_desc desc = pf_desc();
	struct function f;

	make(&f, &desc);
	via_config_open(f.config);
	assert_int_equal(look(&f, 4, SRIOV), 0x00010010);
	assert_int_equal(look(&f, 4, SRIOV + 0x04), 0);
	assert_int_equal(look(&f, 4, SRIOV + 0x08), 0x10);
	assert_int_equal(look(&f, 4, SRIOV + 0x0c), 0x00080008);
	assert_int_equal(look(&f, 4, SRIOV + 0x10), 0);
	assert_int_equal(look(&f, 4, SRIOV + 0x14), 0x00020080);
	assert_int_equal(look(&f, 4, SRIOV + 0x18), 0x10ca0000);
	assert_int_equal(look(&f, 4, SRIOV + 0x1c), 0x553);
	assert_int_equal(look(&f, 4, SRIOV + 0x20), 1);
	assert_int_equal(look(&f, 4, SRIOV + 0x24), 0xc);
	assert_int_equal(look(&f, 4, SRIOV + 0x28), 0);
	assert_int_equal(look(&f, 4, SRIOV + 0x30), 0);
	/* A program cannot make virtual functions (4.3): the host does. */
	for (unsigned int pos = SRIOV; pos < SRIOV + 0x40; pos += 4) {
		uint32_t before = look(&f, 4, pos);

		store(&f, 4, pos, 0xffffffff);
		assert_int_equal(look(&f, 4, pos), before);
		store(&f, 4, pos, 0);
		assert_int_equal(look(&f, 4, pos), before);
	}
	drop(&f);
}

/* What the host has enabled stays over resets, and over those who open the function. */
static void test_enabled(void **state)
{
	struct via_config_desc desc = pf_desc();
	struct function f;

	make(&f, &desc);
	assert_int_equal(via_config_set_vfs(f.config, 7), 0);
	assert_int_equal(look(&f, 2, SRIOV + 0x08), 0x19);
	assert_int_equal(look(&f, 2, SRIOV + 0x10), 7);
	via_config_open(f.config);
	assert_int_equal(look(&f, 2, SRIOV + 0x08), 0x19);
	via_config_reset(f.config, VIA_RESET_IOCTL);
	assert_int_equal(look(&f, 2, SRIOV + 0x08), 0x19);
	store(&f, 2, EXP + PCI_EXP_DEVCTL, PCI_EXP_DEVCTL_FLR);
	assert_int_equal(f.last, VIA_RESET_FLR);
	assert_int_equal(look(&f, 2, SRIOV + 0x10), 7);
	via_config_close(f.config);
	assert_int_equal(look(&f, 2, SRIOV + 0x10), 7);
	assert_int_equal(via_config_set_vfs(f.config, 0), 0);
	assert_int_equal(look(&f, 2, SRIOV + 0x08), 0x10);
	assert_int_equal(look(&f, 2, SRIOV + 0x10), 0);
	drop(&f);
}

/* 3.3: refused with virtual functions; one in D3hot is woken when they are made. */
static void test_power(void **state)
{
	struct via_config_desc desc = pf_desc();
	struct function f;

	make(&f, &desc);
	via_config_open(f.config);
	store(&f, 2, PM + PCI_PM_CSR, PCI_D3HOT);
	assert_int_equal(look(&f, 2, PM + PCI_PM_CSR) & 3, PCI_D3HOT);
	assert_int_equal(via_config_set_vfs(f.config, 1), 0);
	assert_int_equal(look(&f, 2, PM + PCI_PM_CSR) & 3, PCI_D0);
	for (unsigned int want = PCI_D0; want <= PCI_D3HOT; want++) {
		store(&f, 2, PM + PCI_PM_CSR, want);
		assert_int_equal(look(&f, 2, PM + PCI_PM_CSR) & 3, PCI_D0);
	}
	assert_int_equal(via_config_set_vfs(f.config, 0), 0);
	store(&f, 2, PM + PCI_PM_CSR, PCI_D3HOT);
	assert_int_equal(look(&f, 2, PM + PCI_PM_CSR) & 3, PCI_D3HOT);
	/* To have none wakes nobody. */
	assert_int_equal(via_config_set_vfs(f.config, 0), 0);
	assert_int_equal(look(&f, 2, PM + PCI_PM_CSR) & 3, PCI_D3HOT);
	drop(&f);
}

static void test_not_physical(void **state)
{
	struct function f;

	make(&f, &device_r);
	assert_int_equal(via_config_set_vfs(f.config, 1), -EINVAL);
	assert_int_equal(via_config_set_vfs(f.config, 0), -EINVAL);
	drop(&f);
}

static struct via_config_desc vf_desc(void)
{
	return (struct via_config_desc){
		.flags = VIA_CONFIG_VF,
		.ident = { .vendor = 0x8086, .device = 0x10ca, .subsystem_vendor = 0x1af4,
			   .subsystem_device = 0x1100, .class_code = 0x020000, .revision = 1 },
		.bars = { [0] = { 16384, VIA_BAR_MEM64 | VIA_BAR_PREFETCH }, [3] = { 16384, 0 } },
		.msix = { .vectors = 3, .table_bar = 3, .pba_bar = 3, .pba_offset = 0x2000 },
		.express = { .present = true },
	};
}

/* As a kernel's igbvf: what the hardware answers, and what a program is shown instead. */
static void test_identity(void **state)
{
	struct via_config_desc desc = vf_desc();
	uint8_t dev[VIA_CONFIG_SIZE_EXPRESS];
	struct function f;

	make(&f, &desc);
	via_config_open(f.config);
	assert_int_equal(via_config_size(f.config), VIA_CONFIG_SIZE_EXPRESS);
	via_config_device_bytes(f.config, dev);
	assert_int_equal(via_get_le32(dev), 0xffffffff);
	assert_int_equal(via_get_le16(dev + PCI_COMMAND), 0);
	for (unsigned int i = 0; i < VIA_PCI_BARS; i++)
		assert_int_equal(via_get_le32(dev + PCI_BAR(i)), 0);
	assert_int_equal(look(&f, 4, 0), 0x10ca8086);
	assert_int_equal(look(&f, 2, PCI_COMMAND), PCI_COMMAND_MEMORY);
	assert_int_equal(look(&f, 4, PCI_BAR(0)), 0xc);
	assert_int_equal(look(&f, 4, PCI_BAR(1)), 0);
	assert_int_equal(look(&f, 4, PCI_BAR(3)), 0);
	assert_int_equal(look(&f, 1, PCI_INTERRUPT_PIN), 0);
	store(&f, 4, PCI_BAR(0), 0xffffffff);
	assert_int_equal(look(&f, 4, PCI_BAR(0)), 0xffffc00c);
	/* Memory Enable is the program's to see and nobody's to obey; I/O there is none. */
	store(&f, 2, PCI_COMMAND, 0xffff);
	assert_int_equal(look(&f, 2, PCI_COMMAND), PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER |
							   PCI_COMMAND_INTX_DISABLE);
	store(&f, 2, PCI_COMMAND, 0);
	assert_int_equal(look(&f, 2, PCI_COMMAND), 0);
	drop(&f);
}

/* A reset of the physical function takes from a virtual one what its registers held. */
static void test_lost(void **state)
{
	struct via_config_desc desc = vf_desc();
	struct function f;

	make(&f, &desc);
	via_config_open(f.config);
	store(&f, 2, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	assert_true(via_config_bus_master(f.config));
	store(&f, 4, PCI_BAR(0), 0xfe800000);
	via_config_lose(f.config);
	assert_int_equal(f.last, VIA_RESET_PF);
	assert_false(via_config_bus_master(f.config));
	assert_int_equal(look(&f, 2, PCI_COMMAND), PCI_COMMAND_MEMORY);
	/* What is virtual is not the hardware's to lose. */
	assert_int_equal(look(&f, 4, PCI_BAR(0)), 0xfe80000c);
	store(&f, 2, PCI_COMMAND, PCI_COMMAND_MASTER);
	assert_true(via_config_bus_master(f.config));
	drop(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_registers),
		cmocka_unit_test(test_enabled),
		cmocka_unit_test(test_power),
		cmocka_unit_test(test_not_physical),
		cmocka_unit_test(test_identity),
		cmocka_unit_test(test_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
