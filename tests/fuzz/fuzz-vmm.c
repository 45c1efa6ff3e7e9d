/* SPDX-License-Identifier: MIT */
/*
 * A guest that writes what it likes, where it likes, to functions behind a host bridge that come
 * and go. After each step the buses are as config space says: who answers at the start of
 * each BAR is found by each function's count of accesses. Wires only change when they
 * change, and messages are those that the guest has written.
 */
#include "function.h"

#include "pci/regs.h"

#include <viaduct/vmm.h>

#include <unistd.h>

#define ECAM 0xb0000000u
#define FUNCTIONS 3u
#define WIRES 4u

static const unsigned int devfns[FUNCTIONS] = {1 << 3, 2 << 3, 2 << 3 | 3};

struct state {
	struct via_bus *mmio, *pio;
	struct via_pci_root *root;
	struct via_device *dev[FUNCTIONS];
	bool plugged[FUNCTIONS];
	/* What is told; the device's thread may be the one that tells. */
	unsigned int levels;	 /* atomic: bit n for wire n */
	unsigned int n_messages; /* atomic */
	struct via_pci_message last;
	struct via_device *eject; /* by the next write to the eject port */
	bool ejecting;		  /* atomic */
};

static void gone(void *opaque, struct via_device *dev)
{
	__atomic_store_n(&((struct state *)opaque)->ejecting, false, __ATOMIC_SEQ_CST);
}

static void on_message(void *opaque, const struct via_pci_message *message)
{
	struct state *s = opaque;

	s->last = *message;
	__atomic_fetch_add(&s->n_messages, 1, __ATOMIC_SEQ_CST);
}

static void on_intx(void *opaque, unsigned int line, bool level)
{
	struct state *s = opaque;
	unsigned int old;

	FUZZ_CHECK(line < WIRES);
	old = __atomic_fetch_xor(&s->levels, 1u << line, __ATOMIC_SEQ_CST);
	FUZZ_CHECK((old >> line & 1) != level);
}

static const struct via_pci_root_ops ops = {.message = on_message, .intx = on_intx};

static int eject_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	struct state *s = opaque;

	if (s->eject) {
		s->ejecting = true;
		FUZZ_CHECK(!via_pci_root_remove_async(s->root, s->eject, gone, s));
	}
	s->eject = NULL;
	return VIA_BUS_OK;
}

static const struct via_bus_ops eject_ops = {.write = eject_write};

/* --- what config space says ---------------------------------------------------- */

static uint32_t cfg(struct state *s, unsigned int i, unsigned int pos, unsigned int size)
{
	struct via_pci_addr addr = {.device = (uint8_t)(devfns[i] / 8),
				    .function = (uint8_t)(devfns[i] % 8)};

	return via_pci_root_config_read(s->root, &addr, pos, size);
}

static unsigned int capability(struct state *s, unsigned int i, unsigned int id)
{
	unsigned int at = cfg(s, i, PCI_CAPABILITY_LIST, 1);

	while (at && cfg(s, i, at, 1) != id)
		at = cfg(s, i, at + 1, 1);
	return at;
}

static bool awake(struct state *s, unsigned int i)
{
	unsigned int pm = capability(s, i, PCI_CAP_ID_PM);

	return !pm || (cfg(s, i, pm + PCI_PM_CSR, 2) & PCI_PM_CSR_STATE) != PCI_D3HOT;
}

/* Of BAR 0, 2 and 4; false: it is not to be seen. */
static bool place(struct state *s, unsigned int i, unsigned int bar, uint64_t *ret_start,
		  uint64_t *ret_size)
{
	static const uint64_t sizes[] = {0x4000, 0, 0x2000, 0, 0x40, 0};
	uint32_t command = cfg(s, i, PCI_COMMAND, 2), reg = cfg(s, i, PCI_BAR(bar), 4);
	bool io = bar == 4;

	if (!s->plugged[i] || !sizes[bar] || !awake(s, i) ||
	    !(command & (io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY)))
		return false;
	*ret_start = reg & (io ? ~3u : ~15u);
	*ret_size = sizes[bar];
	if (reg & PCI_BAR_MEM_64 && !io)
		*ret_start |= (uint64_t)cfg(s, i, PCI_BAR(bar + 1), 4) << 32;
	return !io || *ret_start + *ret_size <= 0x10000;
}

/* Which function is to answer at addr: FUNCTIONS is none. */
static unsigned int expected(struct state *s, bool io, uint64_t addr)
{
	if (io ? addr >= 0xcf8 && addr < 0xd00 : addr >= ECAM && addr < ECAM + 0x100000)
		return FUNCTIONS;
	if (io && addr == 0xae00)
		return FUNCTIONS;
	for (unsigned int i = 0; i < FUNCTIONS; i++) {
		for (unsigned int bar = 0; bar < 6; bar++) {
			uint64_t start, size;

			if ((bar == 4) == io && place(s, i, bar, &start, &size) && addr >= start &&
			    addr - start < size)
				return i;
		}
	}
	return FUNCTIONS;
}

static uint64_t reads_of(struct via_device *dev)
{
	struct via_device_stats stats;

	via_device_get_stats(dev, &stats);
	return stats.bar_reads;
}

static void check_address(struct state *s, bool io, uint64_t addr)
{
	unsigned int who = expected(s, io, addr);
	uint64_t before[FUNCTIONS], value;

	for (unsigned int i = 0; i < FUNCTIONS; i++)
		before[i] = reads_of(s->dev[i]);
	(void)via_bus_read_value(io ? s->pio : s->mmio, addr, 1, &value);
	for (unsigned int i = 0; i < FUNCTIONS; i++)
		FUZZ_CHECK(reads_of(s->dev[i]) - before[i] == (i == who));
}

static void check(struct state *s)
{
	for (unsigned int i = 0; i < FUNCTIONS; i++) {
		FUZZ_CHECK((cfg(s, i, PCI_VENDOR_ID, 4) == 0x10f01af4) == s->plugged[i]);
		for (unsigned int bar = 0; bar < 6; bar += 2) {
			uint64_t start, size;

			if (!place(s, i, bar, &start, &size))
				continue;
			check_address(s, bar == 4, start);
			check_address(s, bar == 4, start + size - 1);
		}
	}
}

/* --- steps ---------------------------------------------------------------------- */

static void access_config(struct state *s, struct fuzz_input *in)
{
	static const uint8_t likely[] = {0x04, 0x10, 0x14, 0x18, 0x20, 0x30, 0x3c, 0x40};
	uint8_t how = fuzz_u8(in);
	unsigned int devfn = devfns[how % FUNCTIONS], size = 1u << (how >> 2 & 3);
	unsigned int pos = how & 0x10 ? fuzz_u16(in) % 4096u : likely[fuzz_u8(in) % 8];
	uint64_t value = fuzz_number(in), at = ECAM + (devfn << 12) + pos;

	if (how & 0x20) {
		(void)via_bus_write_value(s->pio, 0xcf8, 4,
					  0x80000000u | devfn << 8 | (pos & 0xff));
		at = 0xcfc + (pos & 3);
	}
	if (how & 0x40)
		(void)via_bus_read_value(how & 0x20 ? s->pio : s->mmio, at, size, &value);
	else
		(void)via_bus_write_value(how & 0x20 ? s->pio : s->mmio, at, size, value);
}

static void access_anywhere(struct state *s, struct fuzz_input *in)
{
	uint8_t how = fuzz_u8(in);
	struct via_bus *bus = how & 0x40 ? s->pio : s->mmio;
	uint64_t addr = fuzz_number(in), value = fuzz_number(in), start, size;

	/* Likely where there is something. */
	if (how & 0x20 && place(s, how % FUNCTIONS, (how >> 2 & 3) * 2 % 6, &start, &size))
		addr = start + addr % size;
	if (how & 0x80)
		(void)via_bus_write_value(bus, addr, 1u << (how >> 3 & 3), value);
	else
		(void)via_bus_read_value(bus, addr, 1u << (how >> 3 & 3), &value);
}

static void trigger(struct state *s, struct fuzz_input *in)
{
	uint8_t how = fuzz_u8(in);
	unsigned int i = how % FUNCTIONS, vector = how >> 2 & 7, n = s->n_messages, cap;
	uint8_t entry[16];

	via_irq_trigger(s->dev[i], vector);
	if (s->n_messages == n)
		return;
	FUZZ_CHECK(s->plugged[i] && s->n_messages == n + 1);
	FUZZ_CHECK(s->last.requester == devfns[i] && s->last.vector == vector);
	FUZZ_CHECK(cfg(s, i, PCI_COMMAND, 2) & PCI_COMMAND_MASTER);
	cap = capability(s, i, PCI_CAP_ID_MSIX);
	if (!cap || !(cfg(s, i, cap + PCI_MSIX_CONTROL, 2) & PCI_MSIX_CONTROL_ENABLE)) {
		unsigned int control;

		cap = capability(s, i, PCI_CAP_ID_MSI);
		FUZZ_CHECK(cap);
		control = cfg(s, i, cap + PCI_MSI_CONTROL, 2);
		FUZZ_CHECK(control & PCI_MSI_CONTROL_ENABLE);
		FUZZ_CHECK((uint32_t)s->last.address == cfg(s, i, cap + PCI_MSI_ADDRESS, 4));
		FUZZ_CHECK(vector < 1u << (control >> 4 & 7) &&
			   s->last.data >> 5 ==
				   cfg(s, i,
				       cap + (control & PCI_MSI_CONTROL_64BIT ? PCI_MSI_DATA_64
									      : PCI_MSI_DATA_32),
				       2) >>
					   5);
		return;
	}
	if (via_device_region_read(s->dev[i], 2, vector * 16, entry, 16) != 16)
		return;
	FUZZ_CHECK(via_get_le64(entry) == s->last.address &&
		   via_get_le32(entry + 8) == s->last.data);
	FUZZ_CHECK(!(entry[12] & 1));
}

static void plug(struct state *s, struct fuzz_input *in)
{
	uint8_t how = fuzz_u8(in);
	unsigned int i = how % FUNCTIONS;
	struct via_pci_addr addr = {.device = (uint8_t)(devfns[i] / 8),
				    .function = (uint8_t)(devfns[i] % 8)};

	if (!s->plugged[i]) {
		FUZZ_CHECK(!via_pci_root_add(s->root, s->dev[i], &addr, NULL));
	} else if (how & 0x80) {
		s->eject = s->dev[i];
		FUZZ_CHECK(!via_bus_write_value(s->pio, 0xae00, 1, 1));
		FUZZ_CHECK(via_pci_root_remove(s->root, s->dev[i]) == -ENOENT);
		while (__atomic_load_n(&s->ejecting, __ATOMIC_SEQ_CST))
			usleep(10);
	} else {
		FUZZ_CHECK(!via_pci_root_remove(s->root, s->dev[i]));
	}
	s->plugged[i] = !s->plugged[i];
}

static void step(struct state *s, struct fuzz_input *in)
{
	uint8_t what = fuzz_u8(in) % 16;

	if (what < 7)
		access_config(s, in);
	else if (what < 11)
		access_anywhere(s, in);
	else if (what < 13)
		trigger(s, in);
	else if (what < 14)
		via_irq_set_level(s->dev[fuzz_u8(in) % FUNCTIONS], fuzz_u8(in) & 1);
	else if (what < 15)
		plug(s, in);
	else
		FUZZ_CHECK(!via_pci_root_reset(s->root));
	check(s);
}

static void begin(struct state *s, struct fuzz_input *in)
{
	struct via_pci_root_desc desc = {
		.ecam = ECAM, .config_ports = true, .n_lines = WIRES, .ops = &ops, .opaque = s};
	unsigned int kind = fuzz_u8(in);

	FUZZ_CHECK(!via_bus_new("mmio", &s->mmio) && !via_bus_new("pio", &s->pio));
	FUZZ_CHECK(!via_bus_add(
		s->pio,
		&(struct via_claim_desc){
			.start = 0xae00, .last = 0xae00, .ops = &eject_ops, .opaque = s},
		NULL));
	desc.mmio = s->mmio;
	desc.pio = s->pio;
	FUZZ_CHECK(!via_pci_root_new(&desc, NULL, &s->root));
	for (unsigned int i = 0; i < FUNCTIONS; i++) {
		struct via_pci_addr addr = {.device = (uint8_t)(devfns[i] / 8),
					    .function = (uint8_t)(devfns[i] % 8)};

		/* Three different ones. */
		s->dev[i] = function_get(kind ^ i * 9);
		FUZZ_CHECK(!via_pci_root_add(s->root, s->dev[i], &addr, NULL));
		s->plugged[i] = true;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	struct state s = {0};

	begin(&s, &in);
	for (int i = 0; i < FUZZ_STEPS && in.left; i++)
		step(&s, &in);
	/* At power-on no function does anything. */
	FUZZ_CHECK(!via_pci_root_reset(s.root));
	FUZZ_CHECK(!s.levels);
	via_pci_root_free(s.root);
	FUZZ_CHECK(!s.levels);
	FUZZ_CHECK(!via_bus_dump(s.mmio, NULL, 0));
	via_bus_free(s.mmio);
	via_bus_free(s.pio);
	return 0;
}
