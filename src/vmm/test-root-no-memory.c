/* SPDX-License-Identifier: MIT */
/* Memory runs out: each allocation fails once. Linked with --wrap of the allocators. */
#include "base/test-allocations.h"
#include "vmm/test-root.h"

#define A DEVFN(1, 0)

static void test_new_and_add(void **state)
{
	struct via_pci_root_desc desc = {.ecam = ECAM, .config_ports = true};
	struct toy *t = toy_new(&toy_desc, 1);
	struct via_pci_root *root = NULL;
	int ret = -ENOMEM;
	long at;

	assert_int_equal(via_bus_new("mmio", &desc.mmio), 0);
	assert_int_equal(via_bus_new("pio", &desc.pio), 0);
	for (at = 0; ret; at++) {
		fail_allocation(at);
		ret = via_pci_root_new(&desc, NULL, &root);
		fail_allocation(-1);
		if (!ret)
			break;
		assert_int_equal(ret, -ENOMEM);
		assert_int_equal(via_bus_dump(desc.mmio, NULL, 0), 0);
		assert_int_equal(via_bus_dump(desc.pio, NULL, 0), 0);
	}
	assert_true(at >= 4);
	for (at = 0, ret = -ENOMEM; ret; at++) {
		fail_allocation(at);
		ret = via_pci_root_add(root, t->dev, NULL, NULL);
		fail_allocation(-1);
		if (!ret)
			break;
		assert_int_equal(ret, -ENOMEM);
		assert_int_equal(get(desc.mmio, ecam_at(A, 0), 4), UINT32_MAX);
		/* It has been left alone. */
		assert_int_equal(via_device_open(t->dev), 0);
		via_device_close(t->dev);
	}
	assert_true(at >= 6);
	assert_int_equal(get(desc.mmio, ecam_at(A, 0), 4), 0x00011b36);
	via_pci_root_free(root);
	via_device_free(t->dev);
	via_bus_free(desc.mmio);
	via_bus_free(desc.pio);
}

static void set(struct machine *m, unsigned int pos, unsigned int size, uint32_t value, long at)
{
	fail_allocation(at);
	set_cfg(m, A, pos, size, value);
	fail_allocation(-1);
}

/* A guest's write cannot fail. What cannot be had is not there, and comes with the next write. */
static void test_config_writes(void **state)
{
	struct machine *m = *state;
	const uint32_t both = PCI_COMMAND_MEMORY | PCI_COMMAND_IO;

	set_bar(m, A, 2, 0x5000);
	for (long at = 0; at < 24; at++) {
		uint64_t v;

		set_bar(m, A, 4, 0xd0000000);
		set(m, PCI_COMMAND, 2, both, at);
		v = get(m->mmio, 0xd0000000, 4);
		assert_true(v == 0x01040000 || v == 0xffffffff);
		command(m, A, both);
		assert_int_equal(get(m->mmio, 0xd0000000, 4), 0x01040000);
		assert_int_equal(get(m->pio, 0x5000, 4), 0x01020000);

		set(m, PCI_BAR(4), 4, 0xe0000000, at);
		assert_int_equal(cfg(m, A, PCI_BAR(4), 4), 0xe0000008);
		/* Not where it is no more, in any case. */
		assert_false(there(m->mmio, 0xd0000000) && there(m->mmio, 0xe0000000));
		set_bar(m, A, 4, 0xe0000000);
		assert_int_equal(get(m->mmio, 0xe0000000, 4), 0x01040000);
		assert_false(there(m->mmio, 0xd0000000));

		set(m, PCI_COMMAND, 2, 0, at);
		/* Memory declines by itself. */
		assert_false(there(m->mmio, 0xe0000000));
		command(m, A, 0);
		assert_false(there(m->mmio, 0xe0000000) || there(m->pio, 0x5000));
	}
}

static void test_removal(void **state)
{
	struct machine *m = *state;

	for (long at = 0; at < 24; at++) {
		struct via_pci_addr addr = {.device = 1};

		set_bar(m, A, 4, 0xd0000000);
		command(m, A, PCI_COMMAND_MEMORY);
		assert_true(there(m->mmio, 0xd0000000));
		fail_allocation(at);
		assert_int_equal(via_pci_root_remove(m->root, m->toy[0]->dev), 0);
		fail_allocation(-1);
		assert_false(there(m->mmio, 0xd0000000));
		assert_int_equal(via_pci_root_add(m->root, m->toy[0]->dev, &addr, NULL), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_new_and_add),
		WITH_MACHINE(test_config_writes),
		WITH_MACHINE(test_removal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
