/* SPDX-License-Identifier: MIT */
/* What the tests of the host bridge share: a machine with two buses, and functions with all kinds
 * of BARs. */
#ifndef VIA_VMM_TEST_ROOT_H
#define VIA_VMM_TEST_ROOT_H

#include "device/device.h"
#include "pci/regs.h"

#include <viaduct/vmm.h>

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define ECAM 0xb0000000u
#define BAR0_SIZE 0x8000u /* 64 bits */
#define BELL 0x1000u
#define TABLE 0x3000u
#define PBA 0x3800u
#define VECTORS 4u
#define BAR2_SIZE 16u	   /* ports */
#define BAR3_SIZE 64u	   /* 32 bits, prefetchable, narrow */
#define BAR4_SIZE 0x10000u /* 32 bits, prefetchable */

/* A register reads as who << 24 | BAR << 16 | offset. */
struct toy {
	struct via_device *dev;
	uint32_t who;
	bool *freed;
	uint32_t bell;		/* atomic */
	unsigned int kinds;	/* atomic: bits 1 << enum via_reset */
	uint64_t last;		/* atomic: value of a register write */
	unsigned int last_size; /* atomic */
	bool closed;		/* atomic */
	unsigned int strays;	/* atomic: reads while closed */
};

static inline uint64_t toy_read(struct via_device *dev, void *model, unsigned int bar,
				uint64_t offset, unsigned int size)
{
	struct toy *t = model;

	if (__atomic_load_n(&t->closed, __ATOMIC_SEQ_CST))
		__atomic_fetch_add(&t->strays, 1, __ATOMIC_SEQ_CST);
	return t->who << 24 | bar << 16 | offset;
}

static inline void toy_write(struct via_device *dev, void *model, unsigned int bar, uint64_t offset,
			     unsigned int size, uint64_t value)
{
	struct toy *t = model;

	__atomic_store_n(&t->last, value, __ATOMIC_SEQ_CST);
	__atomic_store_n(&t->last_size, size, __ATOMIC_SEQ_CST);
}

static inline bool toy_doorbell(struct via_device *dev, void *model, unsigned int bar)
{
	uint32_t value = __atomic_load_n((uint32_t *)via_device_region_memory(dev, 0, BELL),
					 __ATOMIC_ACQUIRE);

	return __atomic_exchange_n(&((struct toy *)model)->bell, value, __ATOMIC_SEQ_CST) != value;
}

static inline void toy_reset(struct via_device *dev, void *model, enum via_reset kind)
{
	struct toy *t = model;

	__atomic_fetch_or(&t->kinds, 1u << kind, __ATOMIC_SEQ_CST);
	__atomic_store_n(&t->closed, kind == VIA_RESET_CLOSE, __ATOMIC_SEQ_CST);
}

/* A device that masters the bus all the time, with its lock held. */
static inline void toy_work(struct via_device *dev, void *model, uint64_t events)
{
	uint8_t bytes[64];

	for (int i = 0; i < 50; i++)
		(void)via_dma_read(via_device_dma(dev), 0x1000, bytes, sizeof(bytes));
	via_device_kick(dev, events);
}

static inline void toy_free(void *model)
{
	struct toy *t = model;

	if (t->freed)
		*t->freed = true;
	free(t);
}

static const struct via_area toy_areas[] = {{BELL, 0x1000, VIA_AREA_DOORBELL}};
static const uint8_t toy_rom[] = {0x55, 0xaa, 1, 2, 3, 4, 5, 6};

#define TOY_COMMON                                                                                \
	.name = "toy",                                                                            \
	.ident = {.vendor = 0x1b36, .device = 1, .class_code = 0xff0000, .interrupt_pin = 1},     \
	.bars[0] = {.size = BAR0_SIZE, .flags = VIA_BAR_MEM64, .areas = toy_areas, .n_areas = 1}, \
	.bars[2] = {.size = BAR2_SIZE, .flags = VIA_BAR_IO},                                      \
	.bars[3] = {.size = BAR3_SIZE,                                                            \
		    .flags = VIA_BAR_PREFETCH,                                                    \
		    .valid_min = 4,                                                               \
		    .valid_max = 4,                                                               \
		    .impl_min = 4,                                                                \
		    .impl_max = 4},                                                               \
	.bars[4] = {.size = BAR4_SIZE, .flags = VIA_BAR_PREFETCH},                                \
	.rom = {toy_rom, sizeof(toy_rom)}, .power_management = true

static const struct via_device_desc toy_desc = {
	TOY_COMMON,
	.msix = {.vectors = VECTORS, .table_offset = TABLE, .pba_offset = PBA},
	.express = {.present = true},
};
/* Conventional, with MSI. */
static const struct via_device_desc toy_msi_desc = {
	TOY_COMMON,
	.msi = {.vectors = 4, .addr64 = true, .maskable = true},
};
static const struct via_device_desc toy_msi32_desc = {TOY_COMMON,
						      .msi = {.vectors = 32, .maskable = true}};

static const struct via_device_ops toy_ops = {
	.read = toy_read,
	.write = toy_write,
	.doorbell = toy_doorbell,
	.work = toy_work,
	.reset = toy_reset,
	.free = toy_free,
};

static inline struct toy *toy_new(const struct via_device_desc *desc, uint32_t who)
{
	struct toy *t = calloc(1, sizeof(*t));
	struct via_error err = {0};

	assert_non_null(t);
	t->who = who;
	if (via_device_new(desc, &toy_ops, t, &err, &t->dev))
		fail_msg("%s", err.text);
	return t;
}

#define EVENTS_MAX 64u

struct machine {
	struct via_bus *mmio, *pio;
	struct via_pci_root *root;
	struct toy *toy[3]; /* at 01.0, 02.0, 02.1 */
	/* What the root told; lock. */
	pthread_mutex_t lock;
	struct via_pci_message messages[EVENTS_MAX];
	unsigned int n_messages;
	struct {
		unsigned int line;
		bool level;
	} wires[EVENTS_MAX];
	unsigned int n_wires;
};

static inline void on_message(void *opaque, const struct via_pci_message *message)
{
	struct machine *m = opaque;

	pthread_mutex_lock(&m->lock);
	m->messages[m->n_messages++ % EVENTS_MAX] = *message;
	pthread_mutex_unlock(&m->lock);
}

static inline void on_intx(void *opaque, unsigned int line, bool level)
{
	struct machine *m = opaque;

	pthread_mutex_lock(&m->lock);
	m->wires[m->n_wires % EVENTS_MAX].line = line;
	m->wires[m->n_wires++ % EVENTS_MAX].level = level;
	pthread_mutex_unlock(&m->lock);
}

static const struct via_pci_root_ops machine_ops = {.message = on_message, .intx = on_intx};

static inline struct machine *machine_new(unsigned int n_lines)
{
	struct machine *m = calloc(1, sizeof(*m));
	struct via_pci_root_desc desc = {
		.ecam = ECAM,
		.config_ports = true,
		.n_lines = n_lines,
		.ops = &machine_ops,
		.opaque = m,
	};
	struct via_error err = {0};

	assert_non_null(m);
	pthread_mutex_init(&m->lock, NULL);
	assert_int_equal(via_bus_new("mmio", &m->mmio), 0);
	assert_int_equal(via_bus_new("pio", &m->pio), 0);
	desc.mmio = m->mmio;
	desc.pio = m->pio;
	if (via_pci_root_new(&desc, &err, &m->root))
		fail_msg("%s", err.text);
	return m;
}

static inline void machine_add(struct machine *m, unsigned int i,
			       const struct via_device_desc *desc, unsigned int slot,
			       unsigned int function)
{
	struct via_pci_addr addr = {.device = (uint8_t)slot, .function = (uint8_t)function};
	struct via_error err = {0};

	m->toy[i] = toy_new(desc, i + 1);
	if (via_pci_root_add(m->root, m->toy[i]->dev, &addr, &err))
		fail_msg("%s", err.text);
}

static inline void machine_free(struct machine *m)
{
	via_pci_root_free(m->root);
	for (unsigned int i = 0; i < 3; i++)
		if (m->toy[i])
			via_device_free(m->toy[i]->dev);
	via_bus_free(m->mmio);
	via_bus_free(m->pio);
	free(m);
}

static inline int machine_set_up(void **state)
{
	struct machine *m = machine_new(4);

	machine_add(m, 0, &toy_desc, 1, 0);
	machine_add(m, 1, &toy_msi_desc, 2, 0);
	machine_add(m, 2, &toy_msi32_desc, 2, 1);
	*state = m;
	return 0;
}

static inline int machine_tear_down(void **state)
{
	machine_free(*state);
	return 0;
}

#define WITH_MACHINE(name) cmocka_unit_test_setup_teardown(name, machine_set_up, machine_tear_down)

/* --- as the guest ---------------------------------------------------------- */

static inline uint64_t get(struct via_bus *bus, uint64_t addr, unsigned int size)
{
	uint64_t value = 0;
	int ret = via_bus_read_value(bus, addr, size, &value);

	assert_true(!ret || ret == -ENXIO);
	return value;
}

static inline void put(struct via_bus *bus, uint64_t addr, unsigned int size, uint64_t value)
{
	int ret = via_bus_write_value(bus, addr, size, value);

	assert_true(!ret || ret == -ENXIO);
}

/* Does anybody answer? */
static inline bool there(struct via_bus *bus, uint64_t addr)
{
	uint64_t value;

	return !via_bus_read_value(bus, addr, 4, &value);
}

#define DEVFN(slot, function) ((slot)*8u + (function))

static inline uint64_t ecam_at(unsigned int devfn, unsigned int pos)
{
	return ECAM + (devfn << 12) + pos;
}

static inline uint32_t cfg(struct machine *m, unsigned int devfn, unsigned int pos,
			   unsigned int size)
{
	return (uint32_t)get(m->mmio, ecam_at(devfn, pos), size);
}

static inline void set_cfg(struct machine *m, unsigned int devfn, unsigned int pos,
			   unsigned int size, uint32_t value)
{
	put(m->mmio, ecam_at(devfn, pos), size, value);
}

static inline void set_bar(struct machine *m, unsigned int devfn, unsigned int bar, uint32_t value)
{
	set_cfg(m, devfn, PCI_BAR(bar), 4, value);
}

static inline void command(struct machine *m, unsigned int devfn, uint32_t value)
{
	set_cfg(m, devfn, PCI_COMMAND, 2, value);
}

static inline unsigned int capability(struct machine *m, unsigned int devfn, unsigned int id)
{
	unsigned int at = cfg(m, devfn, PCI_CAPABILITY_LIST, 1);

	for (int i = 0; at && i < 48; i++) {
		if (cfg(m, devfn, at, 1) == id)
			return at;
		at = cfg(m, devfn, at + 1, 1);
	}
	fail_msg("no capability %u", id);
	return 0;
}

#endif
