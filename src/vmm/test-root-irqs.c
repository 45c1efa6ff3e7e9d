/* SPDX-License-Identifier: MIT */
/* Interrupts as the guest has programmed them. */
#include "vmm/test-root.h"

#define A DEVFN(1, 0)
#define B DEVFN(2, 0)
#define C DEVFN(2, 1)
#define MASTER (PCI_COMMAND_MASTER | PCI_COMMAND_MEMORY)

static void program_vector(struct machine *m, unsigned int vector, uint64_t address, uint32_t data,
			   bool masked)
{
	uint64_t entry = 0xc0000000 + TABLE + 16 * vector;

	put(m->mmio, entry, 8, address);
	put(m->mmio, entry + 8, 4, data);
	put(m->mmio, entry + 12, 4, masked);
}

static void expect(struct machine *m, unsigned int n, uint64_t address, uint32_t data,
		   unsigned int devfn, unsigned int vector)
{
	const struct via_pci_message *last;

	assert_int_equal(m->n_messages, n);
	if (!n)
		return;
	last = &m->messages[(n - 1) % EVENTS_MAX];
	assert_true(last->address == address);
	assert_int_equal(last->data, data);
	assert_int_equal(last->requester, devfn);
	assert_int_equal(last->vector, vector);
}

static void test_msix(void **state)
{
	struct machine *m = *state;
	struct via_device *dev = m->toy[0]->dev;
	unsigned int cap = capability(m, A, PCI_CAP_ID_MSIX);

	set_bar(m, A, 0, 0xc0000000);
	command(m, A, MASTER);
	assert_false(via_irq_message_mode(dev));
	program_vector(m, 1, 0xfee01004, 0x4021, false);
	via_irq_trigger(dev, 1);
	expect(m, 0, 0, 0, A, 0);
	set_cfg(m, A, cap + PCI_MSIX_CONTROL, 2, PCI_MSIX_CONTROL_ENABLE);
	assert_true(via_irq_message_mode(dev));
	via_irq_trigger(dev, 1);
	expect(m, 1, 0xfee01004, 0x4021, A, 1);
	/* Masked, changed meanwhile, and sent as it is now. */
	via_irq_trigger(dev, 2);
	expect(m, 1, 0xfee01004, 0x4021, A, 1);
	assert_int_equal(get(m->mmio, 0xc0000000 + PBA, 1), 4);
	program_vector(m, 2, 0xfeeff00012345678, 0x99887766, false);
	expect(m, 2, 0xfeeff00012345678, 0x99887766, A, 2);
	assert_int_equal(get(m->mmio, 0xc0000000 + PBA, 1), 0);
	/* The function's mask. */
	set_cfg(m, A, cap + PCI_MSIX_CONTROL, 2,
		PCI_MSIX_CONTROL_ENABLE | PCI_MSIX_CONTROL_FUNCTION_MASK);
	via_irq_trigger(dev, 1);
	expect(m, 2, 0xfeeff00012345678, 0x99887766, A, 2);
	set_cfg(m, A, cap + PCI_MSIX_CONTROL, 2, PCI_MSIX_CONTROL_ENABLE);
	expect(m, 3, 0xfee01004, 0x4021, A, 1);
	/* Nothing without mastering the bus. */
	command(m, A, PCI_COMMAND_MEMORY);
	via_irq_trigger(dev, 1);
	expect(m, 3, 0xfee01004, 0x4021, A, 1);
	command(m, A, MASTER);
	set_cfg(m, A, cap + PCI_MSIX_CONTROL, 2, 0);
	assert_false(via_irq_message_mode(dev));
	via_irq_trigger(dev, 1);
	expect(m, 3, 0xfee01004, 0x4021, A, 1);
}

static void test_msi(void **state)
{
	struct machine *m = *state;
	struct via_device *dev = m->toy[1]->dev;
	unsigned int cap = capability(m, B, PCI_CAP_ID_MSI);

	command(m, B, MASTER);
	set_cfg(m, B, cap + PCI_MSI_ADDRESS, 4, 0xfee00000);
	set_cfg(m, B, cap + PCI_MSI_ADDRESS_HIGH, 4, 7);
	set_cfg(m, B, cap + PCI_MSI_DATA_64, 2, 0x4042);
	assert_int_equal(cfg(m, B, cap + PCI_MSI_CONTROL, 2) & PCI_MSI_CONTROL_MMC, 2 << 1);
	via_irq_trigger(dev, 0);
	expect(m, 0, 0, 0, B, 0);
	set_cfg(m, B, cap + PCI_MSI_CONTROL, 2, PCI_MSI_CONTROL_ENABLE);
	assert_true(cfg(m, B, cap + PCI_MSI_CONTROL, 2) & PCI_MSI_CONTROL_ENABLE);
	via_irq_trigger(dev, 0);
	expect(m, 1, 0x7fee00000, 0x4042, B, 0);
	/* One message was granted. */
	via_irq_trigger(dev, 1);
	expect(m, 1, 0x7fee00000, 0x4042, B, 0);
	/* Four, which have the low bits. */
	set_cfg(m, B, cap + PCI_MSI_CONTROL, 2, PCI_MSI_CONTROL_ENABLE | 2 << 4);
	via_irq_trigger(dev, 3);
	expect(m, 2, 0x7fee00000, 0x4043, B, 3);
	/* More than there are is as many as there are. */
	set_cfg(m, B, cap + PCI_MSI_CONTROL, 2, PCI_MSI_CONTROL_ENABLE | 5 << 4);
	assert_int_equal(cfg(m, B, cap + PCI_MSI_CONTROL, 2) & PCI_MSI_CONTROL_MME, 2 << 4);
	via_irq_trigger(dev, 4);
	expect(m, 2, 0x7fee00000, 0x4043, B, 3);
	/* Masked for now, and to somebody else then. */
	set_cfg(m, B, cap + PCI_MSI_MASK_64, 4, 1);
	via_irq_trigger(dev, 0);
	expect(m, 2, 0x7fee00000, 0x4043, B, 3);
	assert_int_equal(cfg(m, B, cap + PCI_MSI_MASK_64 + 4, 4), 1);
	set_cfg(m, B, cap + PCI_MSI_DATA_64, 2, 0x4150);
	set_cfg(m, B, cap + PCI_MSI_MASK_64, 4, 0);
	expect(m, 3, 0x7fee00000, 0x4150, B, 0);
	/* 32 bits of address. */
	cap = capability(m, C, PCI_CAP_ID_MSI);
	command(m, C, MASTER);
	set_cfg(m, C, cap + PCI_MSI_ADDRESS, 4, 0xfee0000c);
	set_cfg(m, C, cap + PCI_MSI_DATA_32, 2, 0x31);
	set_cfg(m, C, cap + PCI_MSI_CONTROL, 2, PCI_MSI_CONTROL_ENABLE);
	via_irq_trigger(m->toy[2]->dev, 0);
	expect(m, 4, 0xfee0000c, 0x31, C, 0);
	set_cfg(m, C, cap + PCI_MSI_CONTROL, 2, PCI_MSI_CONTROL_ENABLE | 2 << 4);
	via_irq_trigger(m->toy[2]->dev, 1);
	expect(m, 5, 0xfee0000c, 0x31, C, 1);
	set_cfg(m, C, cap + PCI_MSI_CONTROL, 2, PCI_MSI_CONTROL_ENABLE | 5 << 4);
	via_irq_trigger(m->toy[2]->dev, 30);
	expect(m, 6, 0xfee0000c, 0x3e, C, 30);
	set_cfg(m, C, cap + PCI_MSI_CONTROL, 2, 0);
	via_irq_trigger(m->toy[2]->dev, 0);
	expect(m, 6, 0xfee0000c, 0x3e, C, 30);
}

/* Where the data is depends on the width of the address and on nothing else. */
static void test_msi_layouts(void **state)
{
	static const struct via_device_desc descs[] = {
		{TOY_COMMON, .msi = {.vectors = 1}},
		{TOY_COMMON, .msi = {.vectors = 2, .maskable = true}},
		{TOY_COMMON, .msi = {.vectors = 4}},
		{TOY_COMMON, .msi = {.vectors = 16, .maskable = true}},
		{TOY_COMMON, .msi = {.vectors = 32, .addr64 = true}},
	};

	for (unsigned int i = 0; i < sizeof(descs) / sizeof(descs[0]); i++) {
		unsigned int data = descs[i].msi.addr64 ? PCI_MSI_DATA_64 : PCI_MSI_DATA_32, cap;
		struct machine *m = machine_new(4);

		machine_add(m, 0, &descs[i], 1, 0);
		command(m, A, MASTER);
		cap = capability(m, A, PCI_CAP_ID_MSI);
		set_cfg(m, A, cap + PCI_MSI_ADDRESS, 4, 0xfee00000);
		set_cfg(m, A, cap + data, 2, 0x40);
		for (unsigned int granted = 0; 1u << granted <= descs[i].msi.vectors; granted++) {
			set_cfg(m, A, cap + PCI_MSI_CONTROL, 2,
				PCI_MSI_CONTROL_ENABLE | granted << 4);
			via_irq_trigger(m->toy[0]->dev, 0);
			expect(m, granted + 1, 0xfee00000, 0x40, A, 0);
		}
		machine_free(m);
	}
}

static void expect_wire(struct machine *m, unsigned int n, unsigned int line, bool level)
{
	assert_int_equal(m->n_wires, n);
	assert_int_equal(m->wires[n - 1].line, line);
	assert_int_equal(m->wires[n - 1].level, level);
}

static void test_pins(void **state)
{
	struct machine *m = *state;
	struct via_device *a = m->toy[0]->dev, *b = m->toy[1]->dev, *c = m->toy[2]->dev;
	unsigned int msix = capability(m, A, PCI_CAP_ID_MSIX);

	via_irq_set_level(a, true);
	expect_wire(m, 1, 1, true);
	via_irq_set_level(a, true);
	assert_int_equal(m->n_wires, 1);
	assert_int_equal(cfg(m, A, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT, PCI_STATUS_INTERRUPT);
	via_irq_set_level(a, false);
	expect_wire(m, 2, 1, false);
	/* Two functions pull one wire. */
	via_irq_set_level(b, true);
	expect_wire(m, 3, 2, true);
	via_irq_set_level(c, true);
	via_irq_set_level(b, false);
	assert_int_equal(m->n_wires, 3);
	via_irq_set_level(c, false);
	expect_wire(m, 4, 2, false);
	/* Interrupt Disable. */
	via_irq_set_level(a, true);
	expect_wire(m, 5, 1, true);
	command(m, A, PCI_COMMAND_INTX_DISABLE);
	expect_wire(m, 6, 1, false);
	command(m, A, 0);
	expect_wire(m, 7, 1, true);
	/* Messages instead. */
	set_cfg(m, A, msix + PCI_MSIX_CONTROL, 2, PCI_MSIX_CONTROL_ENABLE);
	expect_wire(m, 8, 1, false);
	set_cfg(m, A, msix + PCI_MSIX_CONTROL, 2, 0);
	expect_wire(m, 9, 1, true);
	/* The function is reset. */
	assert_int_equal(via_device_reset(a), 0);
	expect_wire(m, 10, 1, false);
}

static void test_a_wire_for_each_pin(void **state)
{
	struct machine *m = machine_new(0);

	machine_add(m, 0, &toy_desc, 31, 7);
	via_irq_set_level(m->toy[0]->dev, true);
	expect_wire(m, 1, 31 * 4, true);
	/* It goes with its device. */
	assert_int_equal(via_pci_root_remove(m->root, m->toy[0]->dev), 0);
	expect_wire(m, 2, 31 * 4, false);
	via_irq_set_level(m->toy[0]->dev, true);
	assert_int_equal(m->n_wires, 2);
	machine_free(m);
}

/* A guest changes messages while they are sent: each is one that it has written. */
struct sender {
	struct via_device *dev;
	bool stop; /* atomic */
};

static void *send(void *opaque)
{
	struct sender *s = opaque;

	while (!__atomic_load_n(&s->stop, __ATOMIC_SEQ_CST))
		via_irq_trigger(s->dev, 0);
	return NULL;
}

static void test_messages_are_whole(void **state)
{
	struct machine *m = *state;
	struct sender s = {.dev = m->toy[0]->dev};
	unsigned int cap = capability(m, A, PCI_CAP_ID_MSIX);
	pthread_t thread;

	set_bar(m, A, 0, 0xc0000000);
	command(m, A, MASTER);
	set_cfg(m, A, cap + PCI_MSIX_CONTROL, 2, PCI_MSIX_CONTROL_ENABLE);
	assert_int_equal(pthread_create(&thread, NULL, send, &s), 0);
	for (uint32_t i = 1; i < 2000; i++) {
		put(m->mmio, 0xc0000000 + TABLE + 12, 4, 1);
		put(m->mmio, 0xc0000000 + TABLE, 8, (uint64_t)i << 32 | i << 4);
		put(m->mmio, 0xc0000000 + TABLE + 8, 4, i);
		put(m->mmio, 0xc0000000 + TABLE + 12, 4, 0);
		if (i % 256 == 0)
			usleep(100);
	}
	__atomic_store_n(&s.stop, true, __ATOMIC_SEQ_CST);
	pthread_join(thread, NULL);
	assert_true(m->n_messages > 0);
	for (unsigned int i = 0; i < m->n_messages && i < EVENTS_MAX; i++) {
		const struct via_pci_message *one = &m->messages[i];

		assert_true(one->address == ((uint64_t)one->data << 32 | one->data << 4));
	}
}

/* SET_IRQS has nothing to say, and after the guest it has again. */
static void test_a_guest_or_a_program(void **state)
{
	struct machine *m = *state;
	struct via_device *dev = m->toy[0]->dev;
	int32_t fd = -1;
	struct via_set_irqs set = {.index = VIA_IRQ_INTX, .count = 1, .flags = 0x24, .fds = &fd};

	assert_int_equal(via_device_set_irqs(dev, &set), -EINVAL);
	assert_int_equal(via_device_set_sink(dev, NULL, NULL), -EBUSY);
	assert_int_equal(via_pci_root_remove(m->root, dev), 0);
	assert_int_equal(via_device_open(dev), 0);
	assert_int_equal(via_device_set_irqs(dev, &set), 0);
	via_device_close(dev);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_MACHINE(test_msix),
		WITH_MACHINE(test_msi),
		cmocka_unit_test(test_msi_layouts),
		WITH_MACHINE(test_pins),
		cmocka_unit_test(test_a_wire_for_each_pin),
		WITH_MACHINE(test_messages_are_whole),
		WITH_MACHINE(test_a_guest_or_a_program),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
