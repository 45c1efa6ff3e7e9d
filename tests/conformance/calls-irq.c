/* SPDX-License-Identifier: MIT */
/* SET_IRQS: every combination on an idle device, then each index in use. */
#include "calls.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

enum {
	NONE = VIA_VFIO_IRQ_SET_DATA_NONE,
	BOOL = VIA_VFIO_IRQ_SET_DATA_BOOL,
	EVENTFD = VIA_VFIO_IRQ_SET_DATA_EVENTFD,
	MASK = VIA_VFIO_IRQ_SET_ACTION_MASK,
	UNMASK = VIA_VFIO_IRQ_SET_ACTION_UNMASK,
	TRIGGER = VIA_VFIO_IRQ_SET_ACTION_TRIGGER,
};

static void set(const struct door *door, uint32_t flags, uint32_t index, uint32_t start,
		uint32_t count, uint32_t data)
{
	CALL(door, FD_DEVICE, DEVICE_SET_IRQS, 24, flags, index, start, count, data);
}

static void disarm(const struct door *door, uint32_t index)
{
	set(door, NONE | TRIGGER, index, 0, 0, 0);
}

static void matrix(const struct door *door)
{
	static const uint32_t data[] = {NONE, BOOL, EVENTFD, NONE | BOOL, 0};
	static const uint32_t actions[] = {MASK, UNMASK, TRIGGER, MASK | UNMASK, 0};
	static const uint32_t ranges[][2] = {{0, 0}, {0, 1}, {1, 0}, {1, 1}, {0, 2}};

	section("SET_IRQS on an idle device");
	for (uint32_t index = 0; index < 6; index++) {
		for (size_t d = 0; d < COUNT(data); d++) {
			for (size_t a = 0; a < COUNT(actions); a++) {
				for (size_t r = 0; r < COUNT(ranges); r++) {
					set(door, data[d] | actions[a], index, ranges[r][0],
					    ranges[r][1], 0xffffffff);
					/* A descriptor of -1 arms, too. */
					if (data[d] == EVENTFD && actions[a] == TRIGGER)
						disarm(door, index);
				}
			}
		}
	}
}

static void arguments(const struct door *door)
{
	static const uint32_t sizes[] = {0, 19, 20, 21, 23, 24, 25, ~0u};

	section("SET_IRQS arguments");
	for (size_t i = 0; i < COUNT(sizes); i++) {
		CALL(door, FD_DEVICE, DEVICE_SET_IRQS, sizes[i], EVENTFD | TRIGGER, 1, 0, 1,
		     FD_EVENT);
		CALL(door, FD_DEVICE, DEVICE_SET_IRQS, sizes[i], BOOL | TRIGGER, 1, 0, 1, 0);
		CALL(door, FD_DEVICE, DEVICE_SET_IRQS, sizes[i], NONE | TRIGGER, 1, 0, 0);
	}
	set(door, 0x40 | NONE | TRIGGER, 1, 0, 0, 0);
	set(door, 0x80000000 | NONE | TRIGGER, 1, 0, 0, 0);
	set(door, NONE | TRIGGER, 1, 1, 0xffffffff, 0);
	set(door, NONE | TRIGGER, 1, 0xffffffff, 1, 0);
	set(door, NONE | TRIGGER, 1, 0xffffffff, 0, 0);
	set(door, NONE | TRIGGER, 1, 0, 0xffffffff, 0);
	set(door, NONE | TRIGGER, 1, 0, 0xfffffffe, 0);
	set(door, NONE | TRIGGER, 0xffffffff, 0, 0, 0);
	call_faults(door, FD_DEVICE, "DEVICE_SET_IRQS", VIA_VFIO_DEVICE_SET_IRQS, 6,
		    (uint32_t[]){24, EVENTFD | TRIGGER, 1, 0, 1, FD_CLOSED});
}

static void descriptors(const struct door *door, uint32_t index)
{
	set(door, EVENTFD | TRIGGER, index, 0, 1, FD_CLOSED);
	set(door, EVENTFD | TRIGGER, index, 0, 1, FD_PIPE);
	set(door, EVENTFD | TRIGGER, index, 0, 1, FD_GROUP);
	set(door, EVENTFD | TRIGGER, index, 0, 1, FD_DEVICE);
	set(door, EVENTFD | TRIGGER, index, 0, 1, (uint32_t)-2);
	disarm(door, index);
}

/* Armed with an eventfd: signals by hand, replacement, disarming, the other indexes. */
static void armed(const struct door *door, uint32_t index)
{
	set(door, EVENTFD | TRIGGER, index, 0, 1, FD_EVENT);
	set(door, NONE | TRIGGER, index, 0, 1, 0);
	call_event(FD_EVENT);
	set(door, BOOL | TRIGGER, index, 0, 1, 0);
	call_event(FD_EVENT);
	set(door, BOOL | TRIGGER, index, 0, 1, 1);
	set(door, BOOL | TRIGGER, index, 0, 1, 0xff);
	call_event(FD_EVENT);
	set(door, BOOL | TRIGGER, index, 0, 0, 1);
	set(door, EVENTFD | TRIGGER, index, 0, 0, 0);
	set(door, EVENTFD | TRIGGER, index, 0, 1, FD_EVENT + 1);
	set(door, NONE | TRIGGER, index, 0, 1, 0);
	call_event(FD_EVENT);
	call_event(FD_EVENT + 1);
	for (uint32_t other = 0; other < 3; other++) {
		if (other == index)
			continue;
		set(door, EVENTFD | TRIGGER, other, 0, 1, FD_EVENT + 2);
		/* It was free if this index has no interrupts at all. */
		disarm(door, other);
	}
	set(door, EVENTFD | TRIGGER, index, 0, 1, FD_CLOSED);
	set(door, NONE | TRIGGER, index, 0, 1, 0);
	call_event(FD_EVENT + 1);
	set(door, EVENTFD | TRIGGER, index, 0, 1, FD_EVENT);
	set(door, EVENTFD | TRIGGER, index, 0, 1, (uint32_t)-1);
	set(door, NONE | TRIGGER, index, 0, 1, 0);
	call_event(FD_EVENT);
	set(door, EVENTFD | TRIGGER, index, 0, 1, FD_EVENT);
	call_value(door, FD_DEVICE, "DEVICE_RESET", VIA_VFIO_DEVICE_RESET, 0);
	set(door, NONE | TRIGGER, index, 0, 1, 0);
	call_event(FD_EVENT);
	disarm(door, index);
	set(door, NONE | TRIGGER, index, 0, 1, 0);
	disarm(door, index);
}

/* Several vectors: the second half of the list's eventfds, holes, growth beyond what was enabled.
 */
static void vectors(const struct door *door, uint32_t index)
{
	const uint32_t flags = EVENTFD | TRIGGER;

	CALL(door, FD_DEVICE, DEVICE_SET_IRQS, 28, flags, index, 0, 2, FD_EVENT, FD_EVENT + 1);
	CALL(door, FD_DEVICE, DEVICE_SET_IRQS, 20, NONE | TRIGGER, index, 0, 2);
	call_event(FD_EVENT);
	call_event(FD_EVENT + 1);
	CALL(door, FD_DEVICE, DEVICE_SET_IRQS, 20, NONE | TRIGGER, index, 0, 3);
	CALL(door, FD_DEVICE, DEVICE_SET_IRQS, 28, BOOL | TRIGGER, index, 0, 2, 0x0100);
	call_event(FD_EVENT);
	call_event(FD_EVENT + 1);
	/* Beyond. */
	set(door, flags, index, 2, 1, FD_EVENT + 2);
	set(door, NONE | TRIGGER, index, 2, 1, 0);
	call_event(FD_EVENT + 2);
	set(door, flags, index, 63, 1, FD_EVENT + 3);
	set(door, NONE | TRIGGER, index, 63, 1, 0);
	call_event(FD_EVENT + 3);
	set(door, flags, index, 64, 1, FD_EVENT + 3);
	set(door, flags, index, 65, 1, FD_EVENT + 3);
	CALL(door, FD_DEVICE, DEVICE_SET_IRQS, 28, flags, index, 64, 2, FD_EVENT, FD_EVENT);
	/* One that fails takes those before it along. */
	CALL(door, FD_DEVICE, DEVICE_SET_IRQS, 28, flags, index, 0, 2, FD_EVENT, FD_CLOSED);
	CALL(door, FD_DEVICE, DEVICE_SET_IRQS, 20, NONE | TRIGGER, index, 0, 2);
	call_event(FD_EVENT);
	call_event(FD_EVENT + 1);
	CALL(door, FD_DEVICE, DEVICE_SET_IRQS, 28, flags, index, 0, 2, (uint32_t)-1, FD_EVENT + 1);
	CALL(door, FD_DEVICE, DEVICE_SET_IRQS, 20, NONE | TRIGGER, index, 0, 2);
	call_event(FD_EVENT);
	call_event(FD_EVENT + 1);
	/* A read-only table: what config space and the device's own bytes show. */
	call_read(door, FD_DEVICE, 0, 0x2000, 16, BUFFER);
	call_write(door, FD_DEVICE, 0, 0x2000, 8, 0x1122334455667788, BUFFER);
	call_read(door, FD_DEVICE, 0, 0x1ff8, 16, BUFFER);
	call_read(door, FD_DEVICE, 0, 0x3000, 8, BUFFER);
	disarm(door, index);
	/* At once beyond what there is, from a start that is not 0, and nothing at all. */
	CALL(door, FD_DEVICE, DEVICE_SET_IRQS, 28, flags, index, 3, 2, FD_EVENT, FD_EVENT + 1);
	CALL(door, FD_DEVICE, DEVICE_SET_IRQS, 20, NONE | TRIGGER, index, 0, 5);
	call_event(FD_EVENT);
	call_event(FD_EVENT + 1);
	disarm(door, index);
	CALL(door, FD_DEVICE, DEVICE_SET_IRQS, 20, flags, index, 0, 0);
	CALL(door, FD_DEVICE, DEVICE_SET_IRQS, 20, flags, index, 3, 0);
	disarm(door, index);
	CALL(door, FD_DEVICE, DEVICE_SET_IRQS, 28, flags, index, 0, 2, FD_EVENT, FD_CLOSED);
	CALL(door, FD_DEVICE, DEVICE_SET_IRQS, 20, NONE | TRIGGER, index, 0, 1);
}

static void intx(const struct door *door)
{
	section("INTx armed");
	set(door, EVENTFD | TRIGGER, 0, 0, 1, FD_EVENT);
	set(door, NONE | MASK, 0, 0, 1, 0);
	set(door, NONE | MASK, 0, 0, 1, 0);
	set(door, NONE | MASK, 0, 0, 0, 0);
	set(door, BOOL | MASK, 0, 0, 1, 1);
	set(door, EVENTFD | MASK, 0, 0, 1, FD_EVENT + 1);
	set(door, NONE | UNMASK, 0, 0, 1, 0);
	set(door, NONE | UNMASK, 0, 0, 0, 0);
	set(door, BOOL | UNMASK, 0, 0, 1, 0);
	set(door, EVENTFD | UNMASK, 0, 0, 1, (uint32_t)-1);
	set(door, EVENTFD | UNMASK, 0, 0, 1, FD_CLOSED);
	set(door, EVENTFD | UNMASK, 0, 0, 1, FD_PIPE);
	set(door, EVENTFD | UNMASK, 0, 0, 1, FD_EVENT + 1);
	set(door, EVENTFD | UNMASK, 0, 0, 1, FD_EVENT + 2);
	set(door, EVENTFD | UNMASK, 0, 0, 1, (uint32_t)-1);
	set(door, EVENTFD | UNMASK, 0, 0, 1, FD_EVENT + 2);
	/* The program's own disable bit holds back signals by hand, too. */
	call_write(door, FD_DEVICE, 7, 4, 2, 0x402, BUFFER);
	set(door, NONE | TRIGGER, 0, 0, 1, 0);
	call_event(FD_EVENT);
	call_write(door, FD_DEVICE, 7, 4, 2, 0x002, BUFFER);
	set(door, NONE | TRIGGER, 0, 0, 1, 0);
	call_event(FD_EVENT);
	disarm(door, 0);
	set(door, NONE | MASK, 0, 0, 1, 0);
	set(door, NONE | UNMASK, 0, 0, 1, 0);
}

static void single(const struct door *door, uint32_t index)
{
	set(door, EVENTFD | TRIGGER, index, 0, 1, FD_EVENT);
	set(door, NONE | TRIGGER, index, 0, 1, 0);
	call_event(FD_EVENT);
	set(door, BOOL | TRIGGER, index, 0, 1, 1);
	call_event(FD_EVENT);
	set(door, BOOL | TRIGGER, index, 0, 1, 0);
	call_event(FD_EVENT);
	set(door, EVENTFD | TRIGGER, index, 0, 1, FD_CLOSED);
	set(door, EVENTFD | TRIGGER, index, 0, 1, FD_PIPE);
	set(door, EVENTFD | TRIGGER, index, 0, 1, (uint32_t)-2);
	set(door, EVENTFD | TRIGGER, index, 0, 0, 0);
	set(door, EVENTFD | TRIGGER, index, 0, 1, FD_EVENT + 1);
	set(door, NONE | TRIGGER, index, 0, 1, 0);
	call_event(FD_EVENT + 1);
	set(door, EVENTFD | TRIGGER, index, 0, 1, (uint32_t)-1);
	set(door, NONE | TRIGGER, index, 0, 1, 0);
	set(door, EVENTFD | TRIGGER, index, 0, 1, FD_EVENT);
	set(door, NONE | TRIGGER, index, 0, 0, 0);
	set(door, NONE | TRIGGER, index, 0, 0, 0);
	set(door, NONE | MASK, index, 0, 1, 0);
}

void irq_calls(const struct door *door, const struct subject *subject)
{
	set_up(door, subject);
	matrix(door);
	arguments(door);
	for (uint32_t index = 0; index < 3; index++) {
		section(index == 0 ? "INTx" : index == 1 ? "MSI" : "MSI-X");
		descriptors(door, index);
		armed(door, index);
		/* What a program sees of it in config space. */
		set(door, EVENTFD | TRIGGER, index, 0, 1, FD_EVENT);
		call_read(door, FD_DEVICE, 7, 4, 4, BUFFER);
		call_read(door, FD_DEVICE, 7, 0x40, 16, BUFFER);
		disarm(door, index);
	}
	section("vectors of MSI");
	vectors(door, 1);
	section("vectors of MSI-X");
	vectors(door, 2);
	intx(door);
	section("ERR");
	single(door, 3);
	section("REQ");
	single(door, 4);
	/* Left armed: the last close takes it away. */
	set(door, EVENTFD | TRIGGER, 1, 0, 1, FD_EVENT);
	tear_down(door);
	set_up(door, subject);
	set(door, NONE | TRIGGER, 1, 0, 1, 0);
	disarm(door, 1);
	tear_down(door);
}
