/* SPDX-License-Identifier: MIT */
/*
 * The MultiProcessor table (Intel MultiProcessor Specification 1.4, 4): CPUs, the I/O APIC, and
 * where interrupts of ISA and of PCI slots arrive. With it a kernel needs no ACPI.
 */
#include "linux-vmm.h"

#define TABLE_AT 0xf0000u
#define FLOATING_SIZE 16u
#define HEADER_SIZE 44u
#define IOAPIC 0xfec00000u
#define LAPIC 0xfee00000u

#define BUS_PCI 0
#define BUS_ISA 1
#define PCI_SLOTS 32u

static uint8_t checksum(const uint8_t *p, size_t len)
{
	uint8_t sum = 0;

	while (len--)
		sum = (uint8_t)(sum + *p++);
	return (uint8_t)-sum;
}

/* Letters and no NUL. */
static void put_text(uint8_t *p, const char *text)
{
	while (*text)
		*p++ = (uint8_t)*text++;
}

static uint8_t *add_processor(uint8_t *p, unsigned int id)
{
	p[0] = 0;
	p[1] = (uint8_t)id;
	p[2] = 0x14;		/* version of its local APIC */
	p[3] = id ? 1 : 3;	/* enabled; the first one starts */
	via_put_le32(p + 8, 1); /* has a local APIC */
	return p + 20;
}

static uint8_t *add_bus(uint8_t *p, unsigned int id, const char *name)
{
	p[0] = 1;
	p[1] = (uint8_t)id;
	put_text(p + 2, name);
	return p + 8;
}

/* type: 0 vectored, 3 of the 8259s; flags 0: as on that bus */
static uint8_t *add_interrupt(uint8_t *p, uint8_t entry, uint8_t type, uint8_t bus, uint8_t source,
			      uint8_t apic, uint8_t pin)
{
	p[0] = entry;
	p[1] = type;
	p[4] = bus;
	p[5] = source;
	p[6] = apic;
	p[7] = pin;
	return p + 8;
}

void mptable_write(struct machine *m)
{
	uint8_t *floating = m->ram + TABLE_AT, *table = floating + FLOATING_SIZE;
	uint8_t *p = table + HEADER_SIZE;
	uint8_t ioapic = (uint8_t)m->n_cpus;
	unsigned int n = 0;

	for (unsigned int i = 0; i < m->n_cpus; i++, n++)
		p = add_processor(p, i);
	p = add_bus(p, BUS_PCI, "PCI   ");
	p = add_bus(p, BUS_ISA, "ISA   ");
	p[0] = 2; /* the I/O APIC */
	p[1] = ioapic;
	p[2] = 0x11;
	p[3] = 1;
	via_put_le32(p + 4, IOAPIC);
	p += 8;
	n += 3;
	for (uint8_t irq = 0; irq < 16; irq++, n++)
		p = add_interrupt(p, 3, 0, BUS_ISA, irq, ioapic, irq);
	for (unsigned int slot = 0; slot < PCI_SLOTS; slot++)
		for (unsigned int pin = 0; pin < 4; pin++, n++)
			p = add_interrupt(p, 3, 0, BUS_PCI, (uint8_t)(slot << 2 | pin), ioapic,
					  (uint8_t)(PCI_IRQ + (slot + pin) % PCI_WIRES));
	p = add_interrupt(p, 4, 3, BUS_ISA, 0, 0xff, 0); /* the 8259s on LINT0 */
	p = add_interrupt(p, 4, 1, BUS_ISA, 0, 0xff, 1); /* NMI on LINT1 */
	n += 2;

	put_text(table, "PCMP");
	via_put_le16(table + 4, (uint16_t)(p - table));
	table[6] = 4;
	put_text(table + 8, "VIADUCT LINUX-VMM   ");
	via_put_le16(table + 34, (uint16_t)n);
	via_put_le32(table + 36, LAPIC);
	table[7] = checksum(table, (size_t)(p - table));

	put_text(floating, "_MP_");
	via_put_le32(floating + 4, TABLE_AT + FLOATING_SIZE);
	floating[8] = 1;
	floating[9] = 4;
	floating[10] = checksum(floating, FLOATING_SIZE);
}
