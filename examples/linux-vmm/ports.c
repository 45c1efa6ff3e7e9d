/* SPDX-License-Identifier: MIT */
/* The clock behind ports 0x70 and 0x71, and reset control at 0xcf9, beneath PCI's config address.
 */
#include "linux-vmm.h"

#include <time.h>

#define RESET_CPU 0x04u

static uint8_t bcd(int value)
{
	return (uint8_t)(value / 10 % 10 << 4 | value % 10);
}

static uint8_t read_clock(unsigned int index)
{
	time_t now = time(NULL);
	struct tm t;

	gmtime_r(&now, &t);
	switch (index) {
	case 0x00:
		return bcd(t.tm_sec);
	case 0x02:
		return bcd(t.tm_min);
	case 0x04:
		return bcd(t.tm_hour);
	case 0x06:
		return bcd(t.tm_wday + 1);
	case 0x07:
		return bcd(t.tm_mday);
	case 0x08:
		return bcd(t.tm_mon + 1);
	case 0x09:
		return bcd(t.tm_year);
	case 0x32:
		return bcd(19 + t.tm_year / 100);
	case 0x0a:
		return 0x26; /* its divider; no update is in progress */
	case 0x0b:
		return 0x02; /* 24 hours, BCD */
	case 0x0d:
		return 0x80; /* the battery is well */
	default:
		return 0;
	}
}

static int clock_read(void *opaque, uint64_t offset, unsigned int size, uint64_t *ret_value)
{
	struct machine *m = opaque;

	*ret_value = offset ? read_clock(__atomic_load_n(&m->cmos_index, __ATOMIC_RELAXED)) : 0xff;
	return VIA_BUS_OK;
}

static int clock_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	struct machine *m = opaque;

	if (!offset)
		__atomic_store_n(&m->cmos_index, value & 0x7f, __ATOMIC_RELAXED);
	return VIA_BUS_OK;
}

static int reset_read(void *opaque, uint64_t offset, unsigned int size, uint64_t *ret_value)
{
	*ret_value = 0;
	return VIA_BUS_OK;
}

static int reset_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	if (value & RESET_CPU)
		machine_end(opaque, "the guest has rebooted");
	return VIA_BUS_OK;
}

void ports_init(struct machine *m)
{
	static const struct via_bus_ops clock_ops = {.read = clock_read, .write = clock_write};
	static const struct via_bus_ops reset_ops = {.read = reset_read, .write = reset_write};

	if (via_bus_add(m->pio,
			&(struct via_claim_desc){.start = 0x70,
						 .last = 0x71,
						 .ops = &clock_ops,
						 .opaque = m,
						 .name = "clock",
						 .impl_max = 1},
			NULL) ||
	    via_bus_add(m->pio,
			&(struct via_claim_desc){.start = 0xcf9,
						 .last = 0xcf9,
						 .priority = -1,
						 .ops = &reset_ops,
						 .opaque = m,
						 .name = "reset control"},
			NULL))
		die("no clock");
}
