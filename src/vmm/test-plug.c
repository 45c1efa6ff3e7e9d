/* SPDX-License-Identifier: MIT */
/* Functions that come and go, resets, and the order in which things end. */
#include "vmm/test-root.h"

#include <viaduct/memory.h>

#define A DEVFN(1, 0)
#define BOTH (PCI_COMMAND_MEMORY | PCI_COMMAND_IO)

static void set_up_bars(struct machine *m)
{
	set_bar(m, A, 2, 0x5000);
	set_bar(m, A, 4, 0xd0000000);
	command(m, A, BOTH | PCI_COMMAND_MASTER);
	assert_true(there(m->mmio, 0xd0000000) && there(m->pio, 0x5000));
}

static void test_places(void **state)
{
	struct machine *m = *state;
	struct toy *t = toy_new(&toy_desc, 9), *u = toy_new(&toy_desc, 10);
	struct via_pci_addr addr = {.device = 1};
	struct via_error err = {0};

	assert_int_equal(via_pci_root_add(m->root, t->dev, &addr, &err), -EEXIST);
	assert_non_null(strstr(err.text, "taken"));
	addr.device = 0;
	assert_int_equal(via_pci_root_add(m->root, t->dev, &addr, NULL), -EEXIST);
	addr.device = 32;
	assert_int_equal(via_pci_root_add(m->root, t->dev, &addr, NULL), -EINVAL);
	addr.device = 4;
	addr.bus = 1;
	assert_int_equal(via_pci_root_add(m->root, t->dev, &addr, NULL), -EINVAL);
	addr.bus = 0;
	assert_int_equal(via_device_open(t->dev), 0);
	err = (struct via_error){0};
	assert_int_equal(via_pci_root_add(m->root, t->dev, &addr, &err), -EBUSY);
	assert_non_null(strstr(err.text, "in use"));
	via_device_close(t->dev);
	/* Once is enough. */
	assert_int_equal(via_pci_root_add(m->root, m->toy[0]->dev, &addr, NULL), -EBUSY);
	assert_int_equal(cfg(m, A, 0, 4), 0x00011b36);
	/* Wherever there is room: 1 and 2 are taken. */
	assert_int_equal(via_pci_root_remove(m->root, t->dev), -ENOENT);
	assert_int_equal(via_pci_root_remove_async(m->root, t->dev, NULL, NULL), -ENOENT);
	assert_int_equal(via_pci_root_add(m->root, t->dev, NULL, NULL), 0);
	assert_int_equal(cfg(m, DEVFN(3, 0), 0, 4), 0x00011b36);
	assert_int_equal(via_pci_root_add(m->root, u->dev, &addr, NULL), 0);
	assert_int_equal(cfg(m, DEVFN(4, 0), 0, 4), 0x00011b36);
	assert_int_equal(via_pci_root_remove(m->root, t->dev), 0);
	assert_int_equal(via_pci_root_remove(m->root, u->dev), 0);
	assert_int_equal(cfg(m, DEVFN(3, 0), 0, 4), UINT32_MAX);
	via_device_free(t->dev);
	via_device_free(u->dev);
}

static void test_a_full_bus(void **state)
{
	struct machine *m = machine_new(4);
	struct toy *toys[VIA_PCI_SLOTS];
	struct via_error err = {0};

	for (unsigned int i = 1; i < VIA_PCI_SLOTS; i++) {
		toys[i] = toy_new(&toy_desc, i);
		assert_int_equal(via_pci_root_add(m->root, toys[i]->dev, NULL, NULL), 0);
		assert_int_equal(cfg(m, DEVFN(i, 0), 0, 4), 0x00011b36);
	}
	toys[0] = toy_new(&toy_desc, 0);
	assert_int_equal(via_pci_root_add(m->root, toys[0]->dev, NULL, &err), -ENOSPC);
	assert_non_null(strstr(err.text, "full"));
	via_pci_root_free(m->root);
	m->root = NULL;
	for (unsigned int i = 0; i < VIA_PCI_SLOTS; i++)
		via_device_free(toys[i]->dev);
	machine_free(m);
}

static void test_removal(void **state)
{
	struct machine *m = *state;

	set_up_bars(m);
	assert_int_equal(via_pci_root_remove(m->root, m->toy[0]->dev), 0);
	assert_int_equal(m->toy[0]->kinds, 1u << VIA_RESET_OPEN | 1u << VIA_RESET_CLOSE);
	assert_int_equal(cfg(m, A, 0, 4), UINT32_MAX);
	assert_false(there(m->mmio, 0xd0000000));
	assert_false(there(m->pio, 0x5000));
	set_cfg(m, A, PCI_COMMAND, 2, BOTH);
	/* Back again, with nothing of before. */
	assert_int_equal(via_pci_root_add(m->root, m->toy[0]->dev,
					  &(struct via_pci_addr){.device = 1}, NULL),
			 0);
	assert_int_equal(cfg(m, A, PCI_BAR(4), 4), 8);
	assert_int_equal(cfg(m, A, PCI_COMMAND, 2), 0);
	assert_false(there(m->mmio, 0xd0000000));
	set_up_bars(m);
}

/* --- an eject register: the guest's write takes a function out ------------------ */

struct eject {
	struct machine *m;
	int sync, add, reset;
	unsigned int done; /* atomic */
};

static void gone(void *opaque, struct via_device *dev)
{
	struct eject *e = opaque;

	assert_ptr_equal(dev, e->m->toy[0]->dev);
	via_device_free(dev);
	e->m->toy[0] = NULL;
	__atomic_fetch_add(&e->done, 1, __ATOMIC_SEQ_CST);
}

static int eject_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	struct eject *e = opaque;
	struct via_device *dev = e->m->toy[0]->dev;

	/* What would have to wait for this very access is refused. */
	e->sync = via_pci_root_remove(e->m->root, dev);
	e->add = via_pci_root_add(e->m->root, dev, NULL, NULL);
	e->reset = via_pci_root_reset(e->m->root);
	return via_pci_root_remove_async(e->m->root, dev, gone, e);
}

static const struct via_bus_ops eject_ops = {.write = eject_write};

static void test_eject(void **state)
{
	struct machine *m = *state;
	struct eject e = {.m = m};

	set_up_bars(m);
	assert_int_equal(via_bus_add(m->pio,
				     &(struct via_claim_desc){.start = 0xae08,
							      .last = 0xae0b,
							      .ops = &eject_ops,
							      .opaque = &e},
				     NULL),
			 0);
	assert_int_equal(via_bus_write_value(m->pio, 0xae08, 4, 2), 0);
	assert_int_equal(e.sync, -EDEADLK);
	assert_int_equal(e.add, -EDEADLK);
	assert_int_equal(e.reset, -EDEADLK);
	assert_int_equal(cfg(m, A, 0, 4), UINT32_MAX);
	assert_false(there(m->mmio, 0xd0000000));
	/* A thread of the root sees to it, at the latest when the root ends. */
	via_pci_root_free(m->root);
	m->root = NULL;
	assert_int_equal(e.done, 1);
}

static int again_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	struct eject *e = opaque;

	return via_pci_root_remove_async(e->m->root, e->m->toy[0]->dev, NULL, NULL);
}

static const struct via_bus_ops again_ops = {.write = again_write};

/* The end of a removal waits for the device's thread, so it must not run on that. */
static void test_eject_of_a_busy_device(void **state)
{
	struct machine *m = *state;
	struct eject e = {.m = m};
	struct via_pci_addr addr = {.device = 1};

	assert_int_equal(via_bus_add(m->pio,
				     &(struct via_claim_desc){.start = 0xae08,
							      .last = 0xae0b,
							      .ops = &again_ops,
							      .opaque = &e},
				     NULL),
			 0);
	for (int i = 0; i < 100; i++) {
		int ret;

		command(m, A, PCI_COMMAND_MASTER);
		via_device_kick(m->toy[0]->dev, 1);
		usleep(i % 5 * 100);
		assert_int_equal(via_bus_write_value(m->pio, 0xae08, 4, 2), 0);
		do
			ret = via_pci_root_add(m->root, m->toy[0]->dev, &addr, NULL);
		while (ret == -EBUSY);
		assert_int_equal(ret, 0);
	}
}

static void test_reset_of_the_machine(void **state)
{
	struct machine *m = *state;
	unsigned int cap = capability(m, A, PCI_CAP_ID_MSIX);

	set_up_bars(m);
	set_bar(m, A, 0, 0xc0000000);
	put(m->mmio, 0xc0000000 + TABLE, 4, 0xfee00000);
	put(m->mmio, 0xc0000000 + TABLE + 12, 4, 0);
	set_cfg(m, A, cap + PCI_MSIX_CONTROL, 2, PCI_MSIX_CONTROL_ENABLE);
	via_irq_set_level(m->toy[1]->dev, true);
	assert_int_equal(m->n_wires, 1);
	put(m->pio, 0xcf8, 4, 0x80000000);

	assert_int_equal(via_pci_root_reset(m->root), 0);
	assert_int_equal(m->n_wires, 2);
	assert_false(m->wires[1].level);
	assert_false(there(m->mmio, 0xd0000000) || there(m->pio, 0x5000));
	assert_int_equal(get(m->pio, 0xcf8, 4), 0);
	assert_int_equal(cfg(m, A, PCI_COMMAND, 2), 0);
	assert_int_equal(cfg(m, A, PCI_BAR(0), 4), 4);
	assert_int_equal(cfg(m, A, cap + PCI_MSIX_CONTROL, 2) & PCI_MSIX_CONTROL_ENABLE, 0);
	set_bar(m, A, 0, 0xc0000000);
	command(m, A, BOTH | PCI_COMMAND_MASTER);
	assert_int_equal(get(m->mmio, 0xc0000000 + TABLE, 4), 0);
	assert_int_equal(get(m->mmio, 0xc0000000 + TABLE + 12, 4), 1);
	set_cfg(m, A, cap + PCI_MSIX_CONTROL, 2, PCI_MSIX_CONTROL_ENABLE);
	via_irq_trigger(m->toy[0]->dev, 0);
	assert_int_equal(m->n_messages, 0);
}

/* --- DMA ------------------------------------------------------------------------ */

static void test_dma(void **state)
{
	static uint8_t ram[8192] __attribute__((aligned(4096)));
	struct via_mm *self = via_mm_self();
	struct via_pci_root_desc desc = {.ecam = ECAM};
	struct via_pci_root *root;
	struct via_space *space;
	struct via_bus *mmio;
	struct toy *t = toy_new(&toy_desc, 1);
	struct via_dma *dma = via_device_dma(t->dev);
	uint8_t byte = 0x5a;

	assert_int_equal(via_bus_new("mmio", &mmio), 0);
	assert_int_equal(via_space_new_mm(self, &space), 0);
	assert_int_equal(via_ioas_new(via_iommu_props_intel(), &desc.ioas), 0);
	assert_int_equal(via_ioas_map(desc.ioas, 0, space, (uintptr_t)ram, sizeof(ram),
				      VIA_PROT_READ | VIA_PROT_WRITE),
			 0);
	desc.mmio = mmio;
	assert_int_equal(via_pci_root_new(&desc, NULL, &root), 0);
	assert_int_equal(via_pci_root_add(root, t->dev, &(struct via_pci_addr){.device = 1}, NULL),
			 0);
	assert_int_equal(via_dma_write(dma, 0x1234, &byte, 1), -EPERM);
	put(mmio, ecam_at(A, PCI_COMMAND), 2, PCI_COMMAND_MASTER);
	assert_int_equal(via_dma_write(dma, 0x1234, &byte, 1), 0);
	assert_int_equal(ram[0x1234], 0x5a);
	put(mmio, ecam_at(A, PCI_COMMAND), 2, 0);
	assert_int_equal(via_dma_write(dma, 0x1234, &byte, 1), -EPERM);
	put(mmio, ecam_at(A, PCI_COMMAND), 2, PCI_COMMAND_MASTER);
	assert_int_equal(via_pci_root_remove(root, t->dev), 0);
	assert_int_equal(via_dma_write(dma, 0x1234, &byte, 1), -EPERM);
	via_pci_root_free(root);
	via_device_free(t->dev);
	via_ioas_put(desc.ioas);
	via_space_put(space);
	via_mm_put(self);
	via_bus_free(mmio);
}

/* --- a guest that goes on during a reset --------------------------------------------- */

struct busy {
	struct machine *m;
	bool stop; /* atomic */
};

static void *keep_busy(void *opaque)
{
	struct busy *b = opaque;

	while (!__atomic_load_n(&b->stop, __ATOMIC_SEQ_CST)) {
		set_bar(b->m, A, 2, 0x5000);
		command(b->m, A, BOTH);
		for (unsigned int i = 0; i < 50; i++)
			(void)get(b->m->pio, 0x5000, 4);
	}
	return NULL;
}

/* Ports are decoded by nobody but the bus: it must not have them while the device is closed. */
static void test_nothing_reaches_what_is_off(void **state)
{
	struct busy b = {.m = *state};
	struct machine *m = *state;
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, keep_busy, &b), 0);
	for (unsigned int i = 0; i < 200; i++)
		assert_int_equal(via_pci_root_reset(m->root), 0);
	__atomic_store_n(&b.stop, true, __ATOMIC_SEQ_CST);
	pthread_join(thread, NULL);
	assert_int_equal(m->toy[0]->strays, 0);
	set_up_bars(m);
}

/* --- all at once ------------------------------------------------------------------- */

struct vcpu {
	struct machine *m;
	unsigned int seed;
	bool stop; /* atomic */
};

static void *run_vcpu(void *opaque)
{
	static const uint32_t places[] = {0xd0000000, 0xd0008000, 0xc0000000, 0, 0xfff00000};
	struct vcpu *v = opaque;
	unsigned int r = v->seed;

	while (!__atomic_load_n(&v->stop, __ATOMIC_SEQ_CST)) {
		unsigned int devfn;

		r = r * 1103515245 + 12345;
		devfn = (r >> 16) % 2 ? A : DEVFN(2, (r >> 17) % 2);
		switch ((r >> 20) % 8) {
		case 0:
			set_bar(v->m, devfn, 4, places[(r >> 24) % 5]);
			break;
		case 1:
			set_bar(v->m, devfn, 2, (r >> 24) % 3 * 0x1000);
			break;
		case 2:
			command(v->m, devfn, r >> 24 & 7);
			break;
		case 3:
			put(v->m->mmio, places[(r >> 24) % 5] + 4, 4, r);
			break;
		case 4:
			(void)get(v->m->pio, (r >> 24) % 3 * 0x1000, 4);
			break;
		case 5:
			(void)cfg(v->m, devfn, (r >> 24) % 64 * 4, 4);
			break;
		default:
			(void)get(v->m->mmio, places[(r >> 24) % 5] + (r >> 27), 1);
			break;
		}
	}
	return NULL;
}

static void test_all_at_once(void **state)
{
	struct machine *m = *state;
	struct vcpu vcpus[2] = {{.m = m, .seed = 1}, {.m = m, .seed = 2}};
	struct via_pci_addr addr = {.device = 1};
	pthread_t threads[2];

	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, run_vcpu, &vcpus[i]), 0);
	for (unsigned int i = 0; i < 60; i++) {
		via_irq_set_level(m->toy[0]->dev, i % 2);
		via_irq_trigger(m->toy[1]->dev, 0);
		if (i % 3 == 0) {
			assert_int_equal(via_pci_root_remove(m->root, m->toy[0]->dev), 0);
			assert_int_equal(via_pci_root_add(m->root, m->toy[0]->dev, &addr, NULL), 0);
		} else if (i % 3 == 1) {
			assert_int_equal(via_pci_root_reset(m->root), 0);
		} else {
			usleep(500);
		}
	}
	for (unsigned int i = 0; i < 2; i++)
		__atomic_store_n(&vcpus[i].stop, true, __ATOMIC_SEQ_CST);
	for (unsigned int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	/* What it has come to still works. */
	assert_int_equal(via_pci_root_reset(m->root), 0);
	set_up_bars(m);
	assert_int_equal(get(m->mmio, 0xd0000004, 4), 0x01040004);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_MACHINE(test_places),
		cmocka_unit_test(test_a_full_bus),
		WITH_MACHINE(test_removal),
		WITH_MACHINE(test_eject),
		WITH_MACHINE(test_eject_of_a_busy_device),
		WITH_MACHINE(test_reset_of_the_machine),
		cmocka_unit_test(test_dma),
		WITH_MACHINE(test_nothing_reaches_what_is_off),
		WITH_MACHINE(test_all_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
