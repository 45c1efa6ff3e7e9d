/* SPDX-License-Identifier: MIT */
/*
 * Accesses to the config space and BARs of a function, of any width and at any
 * offset: what identifies the function stays, and reads agree with each other.
 */
#include "function.h"

#include <errno.h>

struct state {
	struct via_device *dev;
	size_t size;
	uint8_t first[4096]; /* config space after the open */
};

static void read_config(struct via_device *dev, uint8_t *bytes, size_t size)
{
	FUZZ_CHECK(via_device_region_read(dev, VIA_REGION_CONFIG, 0, bytes, size) ==
		   (ssize_t)size);
}

/* The list of capabilities: where each is and where it points. */
static void check_capabilities(const uint8_t *now, const uint8_t *first)
{
	unsigned int at = now[0x34], n = 0;

	for (; at; at = now[at + 1], n++) {
		FUZZ_CHECK(n < 48 && at >= 0x40 && !(at & 3));
		FUZZ_CHECK(now[at] == first[at] && now[at + 1] == first[at + 1]);
	}
}

static void check(struct state *s)
{
	uint8_t now[4096];

	read_config(s->dev, now, s->size);
	FUZZ_CHECK(!memcmp(now, s->first, 4));	       /* vendor, device */
	FUZZ_CHECK(!memcmp(now + 8, s->first + 8, 4)); /* revision, class */
	FUZZ_CHECK(now[0x0e] == s->first[0x0e]);       /* header type */
	FUZZ_CHECK(!memcmp(now + 0x2c, s->first + 0x2c, 4));
	FUZZ_CHECK(now[0x34] == s->first[0x34] && now[0x3d] == s->first[0x3d]);
	/* A base address is a multiple of the size, and its low bits say what it is. */
	FUZZ_CHECK((via_get_le32(now + 0x10) & 0x3fff) == (via_get_le32(s->first + 0x10) & 0x3fff));
	FUZZ_CHECK((via_get_le32(now + 0x18) & 0x1fff) == 0);
	FUZZ_CHECK((via_get_le32(now + 0x20) & 0x3f) == 1);
	check_capabilities(now, s->first);
	for (size_t i = 0; i < s->size; i += 7) {
		uint8_t byte;

		FUZZ_CHECK(via_device_region_read(s->dev, VIA_REGION_CONFIG, i, &byte, 1) == 1);
		FUZZ_CHECK(byte == now[i]);
	}
}

static void access_region(struct state *s, struct fuzz_input *in, bool write)
{
	unsigned int region = fuzz_u8(in) % 10;
	uint64_t offset = fuzz_number(in);
	size_t len = fuzz_u8(in);
	uint8_t *bytes = malloc(len + 1);
	ssize_t n;

	FUZZ_CHECK(bytes);
	if (write) {
		fuzz_bytes(in, bytes, len);
		n = via_device_region_write(s->dev, region, offset, bytes, len);
	} else {
		n = via_device_region_read(s->dev, region, offset, bytes, len);
	}
	FUZZ_CHECK(n >= -4095 && n <= (ssize_t)len);
	free(bytes);
}

static void access_config(struct state *s, struct fuzz_input *in)
{
	uint8_t how = fuzz_u8(in);
	uint64_t offset = how & 0x80 ? fuzz_u16(in) % 4096u : fuzz_u8(in);
	size_t len = 1u << (how & 3) & 7;
	uint32_t value = fuzz_u32(in);
	ssize_t n;

	len = len ? len : 3;
	if (how & 0x40)
		n = via_device_region_read(s->dev, VIA_REGION_CONFIG, offset, &value, len);
	else
		n = via_device_region_write(s->dev, VIA_REGION_CONFIG, offset, &value, len);
	FUZZ_CHECK(n >= -4095 && n <= (ssize_t)len);
}

static void access_mapped(struct state *s, struct fuzz_input *in)
{
	uint8_t how = fuzz_u8(in);
	unsigned int region = (how >> 2) % 10;
	uint64_t offset = fuzz_number(in), value;
	int r;

	if (how & 0x80) {
		value = fuzz_number(in);
		r = via_device_mapped_write(s->dev, region, offset, 1u << (how & 3), value);
	} else {
		r = via_device_mapped_read(s->dev, region, offset, 1u << (how & 3), &value);
	}
	FUZZ_CHECK(r <= 0 && r >= -4095);
}

static void step(struct state *s, struct fuzz_input *in)
{
	switch (fuzz_u8(in) % 8) {
	case 0:
	case 1:
	case 2:
		access_config(s, in);
		break;
	case 3:
		access_region(s, in, true);
		break;
	case 4:
		access_region(s, in, false);
		break;
	case 5:
		access_mapped(s, in);
		break;
	case 6:
		(void)via_device_reset(s->dev);
		break;
	default:
		via_device_close(s->dev);
		FUZZ_CHECK(via_device_open(s->dev) == 0);
		read_config(s->dev, s->first, s->size);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	struct state s;

	s.dev = function_get(fuzz_u8(&in));
	s.size = via_device_config_size(s.dev);
	FUZZ_CHECK(s.size == 256 || s.size == 4096);
	FUZZ_CHECK(via_device_open(s.dev) == 0);
	read_config(s.dev, s.first, s.size);
	for (int i = 0; i < FUZZ_STEPS && in.left; i++)
		step(&s, &in);
	check(&s);
	via_device_close(s.dev);
	return 0;
}
