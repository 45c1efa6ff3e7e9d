/* SPDX-License-Identifier: MIT */
/*
 * SET_IRQS in any order, between the model's messages, writes to the
 * capabilities and resets. Descriptors come and go with it: none is kept.
 */
#include "function.h"

#include "pci/irqs.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define EVENTS 8

struct state {
	struct via_device *dev;
	int events[EVENTS];
};

/* The program's numbers: 0 to EVENTS - 1 are eventfds, the next is none. */
static int fd_get(void *cookie, int fd, int *ret_fd)
{
	struct state *s = cookie;

	if (fd < 0 || fd > EVENTS)
		return -EBADF;
	*ret_fd = fcntl(fd == EVENTS ? STDIN_FILENO : s->events[fd], F_DUPFD_CLOEXEC, 0);
	FUZZ_CHECK(*ret_fd >= 0);
	return 0;
}

static void set_irqs(struct state *s, struct fuzz_input *in)
{
	static const uint32_t data[] = {1, 2, 4, 4}, action[] = {8, 16, 32, 32};
	uint8_t how = fuzz_u8(in), numbers = fuzz_u8(in);
	struct via_set_irqs set = {
		.index = how & 7,
		.flags = data[how >> 3 & 3] | action[how >> 5 & 3],
		.start = numbers & 7,
		.count = numbers >> 3 & 7,
		.fd_get = fd_get,
		.cookie = s,
	};
	uint32_t argsz = 20 + set.count * 4;
	struct via_irq_info info;
	size_t len = 0;
	void *bytes;
	int r;

	if (numbers & 0x80) {
		set.flags = fuzz_u32(in);
		set.start = fuzz_u32(in);
		set.count = fuzz_u32(in);
		argsz = fuzz_u32(in);
	}
	r = via_device_irq_info(s->dev, set.index, &info);
	FUZZ_CHECK(r == 0 || r == -EINVAL);
	r = via_device_irqs_check(s->dev, argsz, &set, &len);
	FUZZ_CHECK(r == 0 || r == -EINVAL);
	if (r)
		return;
	FUZZ_CHECK(len <= 4 * 5);
	bytes = malloc(len + (len == 0));
	FUZZ_CHECK(bytes);
	fuzz_bytes(in, bytes, len);
	if (set.flags & 2)
		set.bools = bytes;
	if (set.flags & 4)
		set.fds = bytes;
	r = via_device_set_irqs(s->dev, &set);
	FUZZ_CHECK(r >= -4095 && r <= 5);
	free(bytes);
}

static void write_config(struct state *s, struct fuzz_input *in)
{
	uint8_t offset = fuzz_u8(in);
	uint16_t value = fuzz_u16(in);

	(void)via_device_region_write(s->dev, VIA_REGION_CONFIG, offset, &value, sizeof(value));
}

/* The MSI-X table, by the way of a trapped access. */
static void write_table(struct state *s, struct fuzz_input *in)
{
	uint8_t offset = fuzz_u8(in);

	(void)via_device_mapped_write(s->dev, 2, offset & 0xfc, 4, fuzz_u32(in));
}

static void step(struct state *s, struct fuzz_input *in)
{
	uint8_t kind = fuzz_u8(in);
	eventfd_t n;

	switch (kind & 7) {
	case 0:
	case 1:
	case 2:
		set_irqs(s, in);
		break;
	case 3:
		via_irq_trigger(s->dev, kind >> 3);
		break;
	case 4:
		via_irq_set_level(s->dev, kind & 8);
		break;
	case 5:
		write_config(s, in);
		break;
	case 6:
		if (kind & 8)
			(void)eventfd_write(s->events[kind >> 4 & 7], kind & 0x80 ? UINT64_MAX - 1 : 1);
		else
			(void)eventfd_read(s->events[kind >> 4 & 7], &n);
		break;
	default:
		if (kind & 0x80) {
			write_table(s, in);
		} else if (kind & 8) {
			(void)via_device_reset(s->dev);
		} else if (kind & 0x40) {
			if (kind & 0x20)
				(void)via_device_low_power_entry(s->dev, -1);
			else
				via_device_low_power_exit(s->dev);
		} else {
			via_device_close(s->dev);
			/* MSI-X is the program's own in half of them. */
			FUZZ_CHECK(via_device_emulate_msix(s->dev, kind & 0x10) == 0);
			FUZZ_CHECK(via_device_open(s->dev) == 0);
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	const uint16_t command = 7;
	struct state s = {.dev = function_get(fuzz_u8(&in))};
	unsigned int fds = fuzz_count_fds();

	for (int i = 0; i < EVENTS; i++)
		FUZZ_CHECK((s.events[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) >= 0);
	FUZZ_CHECK(via_device_emulate_msix(s.dev, false) == 0);
	FUZZ_CHECK(via_device_open(s.dev) == 0);
	(void)via_device_region_write(s.dev, VIA_REGION_CONFIG, 4, &command, sizeof(command));
	for (int i = 0; i < FUZZ_STEPS && in.left; i++)
		step(&s, &in);
	via_device_close(s.dev);
	for (int i = 0; i < EVENTS; i++)
		close(s.events[i]);
	FUZZ_CHECK(fuzz_count_fds() == fds);
	return 0;
}
