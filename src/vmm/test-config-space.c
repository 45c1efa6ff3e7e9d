/* SPDX-License-Identifier: MIT */
/* Config space as a guest reaches it: by the ECAM and by ports. */
#include "vmm/test-root.h"

static void select_config(struct machine *m, unsigned int devfn, unsigned int pos)
{
	put(m->pio, 0xcf8, 4, 0x80000000u | devfn << 8 | pos);
}

static void test_guests_enumerate(void **state)
{
	struct machine *m = *state;
	unsigned int found = 0;

	for (unsigned int devfn = 0; devfn < 256; devfn++)
		found += cfg(m, devfn, 0, 4) != UINT32_MAX;
	assert_int_equal(found, 4);
	assert_int_equal(cfg(m, 0, 0, 4), 0x00081b36);
	assert_int_equal(cfg(m, 0, PCI_CLASS_DEVICE, 2), 0x0600);
	assert_int_equal(cfg(m, 0, PCI_HEADER_TYPE, 1), 0);
	assert_int_equal(cfg(m, 0, 0x40, 4), 0);
	assert_int_equal(cfg(m, 0, 0x100, 4), 0);
	assert_int_equal(cfg(m, DEVFN(1, 0), 0, 4), 0x00011b36);
	assert_int_equal(cfg(m, DEVFN(1, 0), PCI_HEADER_TYPE, 1), 0);
	/* Where there are more functions their first one says so, at each width. */
	assert_int_equal(cfg(m, DEVFN(2, 0), PCI_HEADER_TYPE, 1), 0x80);
	assert_int_equal(cfg(m, DEVFN(2, 0), PCI_CACHE_LINE_SIZE, 4) >> 16, 0x80);
	assert_int_equal(cfg(m, DEVFN(2, 1), PCI_HEADER_TYPE, 1), 0);
}

static void test_what_is_not_there_reads_as_ones(void **state)
{
	struct machine *m = *state;

	for (unsigned int size = 1; size <= 8; size *= 2) {
		assert_true(get(m->mmio, ecam_at(DEVFN(3, 0), 0), size) ==
			    UINT64_MAX >> (64 - 8 * size));
		put(m->mmio, ecam_at(DEVFN(3, 0), 0), size, 0);
	}
	/* Nothing behind the end of a conventional function. */
	assert_int_equal(cfg(m, DEVFN(2, 0), 0x100, 4), UINT32_MAX);
	assert_int_equal(cfg(m, DEVFN(2, 0), 0xfc, 4), 0);
	assert_int_equal(cfg(m, DEVFN(1, 0), 0x100, 4), 0);
	/* The window ends with bus 0. */
	assert_false(there(m->mmio, ECAM + 0x100000));
	/* And a bus that does not exist has nothing. */
	put(m->pio, 0xcf8, 4, 0x80010000u);
	assert_int_equal(get(m->pio, 0xcfc, 4), UINT32_MAX);
	put(m->pio, 0xcfc, 4, 0);
}

static void test_ports_of_all_widths(void **state)
{
	struct machine *m = *state;

	select_config(m, DEVFN(1, 0), 0);
	assert_int_equal(get(m->pio, 0xcf8, 4), 0x80000800);
	assert_int_equal(get(m->pio, 0xcfc, 4), 0x00011b36);
	assert_int_equal(get(m->pio, 0xcfc, 2), 0x1b36);
	assert_int_equal(get(m->pio, 0xcfe, 2), 0x0001);
	assert_int_equal(get(m->pio, 0xcfc, 1), 0x36);
	assert_int_equal(get(m->pio, 0xcfd, 1), 0x1b);
	assert_int_equal(get(m->pio, 0xcff, 1), 0);
	assert_int_equal(get(m->pio, 0xcfd, 2), 0x011b);
	select_config(m, DEVFN(1, 0), PCI_INTERRUPT_LINE);
	put(m->pio, 0xcfc, 1, 11);
	assert_int_equal(cfg(m, DEVFN(1, 0), PCI_INTERRUPT_LINE, 2), 0x010b);
	/* A word in the middle of COMMAND's dword is COMMAND's. */
	select_config(m, DEVFN(1, 0), PCI_COMMAND);
	put(m->pio, 0xcfc, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_IO);
	assert_int_equal(cfg(m, DEVFN(1, 0), PCI_COMMAND, 2), 3);
	put(m->pio, 0xcfd, 1, PCI_COMMAND_INTX_DISABLE >> 8);
	assert_int_equal(cfg(m, DEVFN(1, 0), PCI_COMMAND, 2), 0x403);
	/* The low bits of the address do not exist. */
	put(m->pio, 0xcf8, 4, 0xffffffff);
	assert_int_equal(get(m->pio, 0xcf8, 4), 0x80fffffc);
}

static int reset_port_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	*(unsigned int *)opaque = (unsigned int)value << 8 | size;
	return VIA_BUS_OK;
}

static int reset_port_read(void *opaque, uint64_t offset, unsigned int size, uint64_t *ret_value)
{
	*ret_value = 0x42;
	return VIA_BUS_OK;
}

static const struct via_bus_ops reset_port_ops = {.read = reset_port_read,
						  .write = reset_port_write};

static void test_ports_that_are_not_ours(void **state)
{
	struct machine *m = *state;
	unsigned int written = 0;

	/* The reset control register lies beneath the config address. */
	assert_int_equal(via_bus_add(m->pio,
				     &(struct via_claim_desc){.start = 0xcf9,
							      .last = 0xcf9,
							      .priority = -1,
							      .ops = &reset_port_ops,
							      .opaque = &written},
				     NULL),
			 0);
	select_config(m, DEVFN(1, 0), 0);
	put(m->pio, 0xcf9, 1, 6);
	assert_int_equal(written, 6 << 8 | 1);
	assert_int_equal(get(m->pio, 0xcf9, 1), 0x42);
	/* Narrow accesses are no config accesses. */
	put(m->pio, 0xcf8, 2, 0x1234);
	put(m->pio, 0xcfa, 2, 0);
	assert_int_equal(get(m->pio, 0xcf8, 4), 0x80000800);
	assert_int_equal(get(m->pio, 0xcf8, 1), 0xff);
	/* Not enabled: the data port is nobody's. */
	put(m->pio, 0xcf8, 4, 0x00000800);
	assert_false(there(m->pio, 0xcfc));
	put(m->pio, 0xcfc, 4, 0);
}

static void test_the_vmm_looks_too(void **state)
{
	struct machine *m = *state;
	struct via_pci_addr addr = {.device = 1};

	assert_int_equal(via_pci_root_config_read(m->root, &addr, 0, 4), 0x00011b36);
	via_pci_root_config_write(m->root, &addr, PCI_INTERRUPT_LINE, 1, 9);
	assert_int_equal(cfg(m, DEVFN(1, 0), PCI_INTERRUPT_LINE, 1), 9);
	via_pci_root_config_write(m->root, &addr, PCI_BAR(4), 4, 0xc0000000);
	via_pci_root_config_write(m->root, &addr, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	assert_int_equal(get(m->mmio, 0xc0000004, 4), 0x01040004);
	/* Addresses and positions that do not exist. */
	assert_int_equal(via_pci_root_config_read(m->root, &addr, 4096, 1), UINT32_MAX);
	assert_int_equal(via_pci_root_config_read(m->root, &addr, 4094, 4), UINT32_MAX);
	assert_int_equal(via_pci_root_config_read(m->root, &addr, 0, 3), UINT32_MAX);
	addr.bus = 1;
	assert_int_equal(via_pci_root_config_read(m->root, &addr, 0, 4), UINT32_MAX);
	via_pci_root_config_write(m->root, &addr, PCI_COMMAND, 2, 0);
	addr.bus = 0;
	addr.segment = 1;
	assert_int_equal(via_pci_root_config_read(m->root, &addr, 0, 4), UINT32_MAX);
	addr.segment = 0;
	addr.device = 32;
	assert_int_equal(via_pci_root_config_read(m->root, &addr, 0, 4), UINT32_MAX);
	assert_true(there(m->mmio, 0xc0000004));
}

static void test_descriptions(void **state)
{
	struct via_pci_root_desc desc = {0};
	struct via_pci_root *root;
	struct via_bus *mmio, *pio;
	struct via_claim *other;
	struct via_error err = {0};

	assert_int_equal(via_bus_new("mmio", &mmio), 0);
	assert_int_equal(via_bus_new("pio", &pio), 0);
	assert_int_equal(via_pci_root_new(&desc, NULL, &root), -EINVAL);
	desc.mmio = mmio;
	assert_int_equal(via_pci_root_new(&desc, NULL, &root), -EINVAL);
	desc.config_ports = true;
	assert_int_equal(via_pci_root_new(&desc, NULL, &root), -EINVAL);
	desc.pio = pio;
	desc.ecam = ECAM + 0x1000;
	assert_int_equal(via_pci_root_new(&desc, NULL, &root), -EINVAL);
	desc.ecam = ECAM;
	desc.n_lines = 129;
	assert_int_equal(via_pci_root_new(&desc, NULL, &root), -EINVAL);
	desc.n_lines = 0;
	desc.priority = -0x7fffffff - 1;
	assert_int_equal(via_pci_root_new(&desc, NULL, &root), -EINVAL);
	desc.priority = 3;
	/* What it cannot have it leaves alone. */
	assert_int_equal(via_bus_add(pio,
				     &(struct via_claim_desc){.start = 0xcfc,
							      .last = 0xcfc,
							      .priority = 3,
							      .ops = &reset_port_ops},
				     &other),
			 0);
	assert_int_equal(via_pci_root_new(&desc, &err, &root), -EEXIST);
	assert_int_equal(err.code, -EEXIST);
	assert_non_null(strstr(err.text, "something of its priority"));
	assert_int_equal(via_bus_dump(mmio, NULL, 0), 0);
	assert_int_equal(via_bus_remove(other), 0);
	desc.no_bridge = true;
	assert_int_equal(via_pci_root_new(&desc, &err, &root), 0);
	assert_int_equal(get(mmio, ECAM, 4), UINT32_MAX);
	via_pci_root_free(root);
	desc.no_bridge = false;
	desc.vendor = 0x8086;
	desc.device = 0x1237;
	assert_int_equal(via_pci_root_new(&desc, &err, &root), 0);
	assert_int_equal(get(mmio, ECAM, 4), 0x12378086);
	via_pci_root_free(root);
	via_pci_root_free(NULL);
	assert_int_equal(via_bus_dump(mmio, NULL, 0), 0);
	via_bus_free(mmio);
	via_bus_free(pio);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_MACHINE(test_guests_enumerate),
		WITH_MACHINE(test_what_is_not_there_reads_as_ones),
		WITH_MACHINE(test_ports_of_all_widths),
		WITH_MACHINE(test_ports_that_are_not_ours),
		WITH_MACHINE(test_the_vmm_looks_too),
		cmocka_unit_test(test_descriptions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
