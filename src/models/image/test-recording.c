/* SPDX-License-Identifier: MIT */
/* Recordings as files that anybody may have written, and devices made of them. */
#include "models/image/recording.h"

#include "device/device.h"
#include "models/catalogue.h"

#include <viaduct/abi/vfio.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static struct via_recording *read_text(const char *text, struct via_error *err)
{
	FILE *file = fmemopen((void *)(uintptr_t)text, strlen(text), "r");
	struct via_recording *recording = NULL;

	assert_non_null(file);
	if (via_recording_read(file, err, &recording))
		recording = NULL;
	(void)fclose(file);
	return recording;
}

static void test_reads(void **state)
{
	struct via_error err = {0};
	struct via_recording *r = read_text("# a comment\n"
					    "device 0000:02:00.0\n"
					    "resource 0 0xfdc00000 0xfdc03fff 0x140204\n"
					    "resource 1 0x0 0x0 0x0\n"
					    "reset_method flr bus\n"
					    "region 0 size 4000 flags f\n"
					    "irq 5 EINVAL\n"
					    "config_before_open 256\n"
					    "000: 36 1b 10 00\n"
					    "0fe: 01 02\n"
					    "config_vfio 4096\n"
					    "ffc: aa bb cc dd\n"
					    "vpd 820300\n"
					    "vpd 41\n"
					    "lost 44 0380\n"
					    "lost fff 01\n"
					    "raise a4\n",
					    &err);

	assert_non_null(r);
	assert_string_equal(r->device, "0000:02:00.0");
	assert_int_equal(r->resources[0].size, 0x4000);
	assert_int_equal(r->resources[0].flags & VIA_RESOURCE_MEM_64, VIA_RESOURCE_MEM_64);
	assert_int_equal(r->resources[1].size, 0);
	assert_true(r->can_reset);
	assert_string_equal(via_recording_told(r, "region 0"), "region 0 size 4000 flags f");
	assert_string_equal(via_recording_told(r, "irq 5"), "irq 5 EINVAL");
	assert_null(via_recording_told(r, "region 1"));
	assert_ptr_equal(via_recording_raw(r), &r->before);
	assert_int_equal(r->before.bytes[1], 0x1b);
	assert_int_equal(r->before.bytes[0xff], 2);
	assert_int_equal(r->vfio.bytes[0xfff], 0xdd);
	assert_int_equal(r->writable.size, 0);
	assert_int_equal(r->vpd_len, 4);
	assert_memory_equal(r->vpd, "\x82\x03\0A", 5);
	assert_int_equal(r->lost[0x44], 3);
	assert_int_equal(r->lost[0x45], 0x80);
	assert_int_equal(r->lost[0x46], 0);
	assert_int_equal(r->lost[0xfff], 1);
	assert_int_equal(r->raise, 0xa4);
	assert_null(via_recording_told(r, "vpd"));
	via_recording_free(r);
}

static void test_refuses(void **state)
{
	static const struct {
		const char *text, *error;
	} rows[] = {
		{"",
		 "no image of the device's registers (config_while_open or config_before_open)"},
		{"config_vfio 256\n",
		 "no image of the device's registers (config_while_open or config_before_open)"},
		{"000: 00\n", "line 1: bytes, but no name of an image before them"},
		{"config_before_open 255\n", "line 1: an image has 256 or 4096 bytes"},
		{"config_before_open 256x\n", "line 1: an image has 256 or 4096 bytes"},
		{"config_before_open 256\n100: 00\n",
		 "line 2: byte 0 at 0x100 of an image of 256 bytes"},
		{"config_before_open 256\nff: 00 01\n",
		 "line 2: byte 0x1 at 0x100 of an image of 256 bytes"},
		{"config_before_open 256\n0: 100\n",
		 "line 2: byte 0x100 at 0 of an image of 256 bytes"},
		{"config_before_open 256\n0: 1 zz\n", "line 2: 'zz' is no byte"},
		{"config_before_open 256\nffffffffffffffff: 00\n",
		 "line 2: byte 0 at 0xffffffffffffffff of an image of 256 bytes"},
		{"resource 7 0 1 0\n",
		 "line 1: a resource has a number from 0 to 6, start, last and flags"},
		{"resource 0 2 1 0\n", "line 1: resource 0 ends before it starts"},
		{"vpd\n", "line 1: bytes are missing"},
		{"vpd 0g\n", "line 1: '0g' is no byte"},
		{"vpd 012\n", "line 1: '2' is no byte"},
		{"vpd 01 02\n", "line 1: ' 02' is no byte"},
		{"lost 40\n",
		 "line 1: bits that a reset sets back have an offset below 1000 and bytes"},
		{"lost 1000 01\n",
		 "line 1: bits that a reset sets back have an offset below 1000 and bytes"},
		{"lost fff 0101\n", "line 1: more bytes than there is room for"},
		{"raise\n", "line 1: a byte that raises status bits is at an offset from 1 to fff"},
		{"raise 0\n",
		 "line 1: a byte that raises status bits is at an offset from 1 to fff"},
		{"raise 1000\n",
		 "line 1: a byte that raises status bits is at an offset from 1 to fff"},
		{"resource 0 1\n",
		 "line 1: a resource has a number from 0 to 6, start, last and flags"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct via_error err = {0};
		struct via_recording *r = NULL;

		if (*rows[i].text) {
			r = read_text(rows[i].text, &err);
		} else {
			FILE *empty = fopen("/dev/null", "re");

			assert_int_equal(via_recording_read(empty, &err, &r), -EINVAL);
			(void)fclose(empty);
			r = NULL;
		}
		assert_null(r);
		assert_string_equal(err.text, rows[i].error);
	}
}

static int make(const char *text, struct via_error *err, struct via_device **ret_device)
{
	char path[] = "/tmp/viaduct-recording.XXXXXX", spec[64];
	struct via_options *opts;
	int fd = mkstemp(path), ret;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	(void)snprintf(spec, sizeof(spec), "recording=%s", path);
	assert_int_equal(via_options_parse(&via_model_image, spec, err, &opts), 0);
	ret = via_model_image.create(opts, err, ret_device);
	via_options_free(opts);
	close(fd);
	unlink(path);
	return ret;
}

/* An image can lie: what cannot be is refused, with the reason. */
static void test_devices(void **state)
{
	struct via_device *dev;
	struct via_region_info region;
	struct via_error err = {0};
	uint8_t bytes[4];

	assert_int_equal(make("config_before_open 256\n000: 01 02 03 04\n00e: 01\n", &err, &dev),
			 -EINVAL);
	assert_non_null(strstr(err.text, "header type 1"));
	/* MSI-X whose table lies outside the BAR. */
	err = (struct via_error){0};
	assert_int_equal(make("resource 0 0x1000 0x1fff 0x200\n"
			      "config_before_open 256\n006: 10\n034: 40\n"
			      "040: 11 00 ff 07 00 10 00 00 00 00 00 00\n",
			      &err, &dev),
			 -EINVAL);
	assert_non_null(strstr(err.text, "MSI-X table"));
	err = (struct via_error){0};
	assert_int_equal(make("resource 0 0x1000 0x1ffe 0x200\nconfig_before_open 256\n000: 01\n",
			      &err, &dev),
			 -EINVAL);
	assert_non_null(strstr(err.text, "power of two"));

	/* Part of a page, with something else before it; ports; a ROM. */
	err = (struct via_error){0};
	assert_int_equal(make("resource 0 0x1010 0x101f 0x200\n"
			      "resource 1 0x2000 0x201f 0x200\n"
			      "resource 2 0xc000 0xc01f 0x101\n"
			      "resource 6 0x10000 0x10fff 0x200\n"
			      "config_before_open 256\n000: 34 12 e8 11 03 01\n00a: 00 03\n",
			      &err, &dev),
			 0);
	assert_int_equal(via_device_region_info(dev, 0, &region), 0);
	assert_true(region.size == 16 && !region.mappable);
	assert_int_equal(via_device_region_info(dev, 1, &region), 0);
	assert_true(region.size == 32 && region.mappable);
	assert_int_equal(via_device_region_info(dev, 2, &region), 0);
	assert_true(region.io && !region.mappable);
	assert_int_equal(via_device_region_info(dev, VIA_REGION_ROM, &region), 0);
	assert_true(region.size == 4096 && region.readable && !region.writable);
	assert_int_equal(via_device_region_info(dev, VIA_REGION_VGA, &region), 0);
	assert_int_equal(region.size, 0xc0000);
	assert_int_equal(via_device_open(dev), 0);
	assert_int_equal(via_device_region_read(dev, VIA_REGION_ROM, 0, bytes, 4), 4);
	assert_int_equal(via_get_le32(bytes), 0xffffaa55);
	assert_int_equal(via_device_region_read(dev, VIA_REGION_ROM, 4094, bytes, 4), 2);
	assert_int_equal(via_device_region_read(dev, VIA_REGION_ROM, 4096, bytes, 4), -EINVAL);
	assert_int_equal(via_device_region_write(dev, VIA_REGION_ROM, 0, bytes, 4), -EINVAL);
	assert_int_equal(via_device_region_read(dev, VIA_REGION_VGA, 0xa0000, bytes, 4), 4);
	assert_int_equal(via_device_region_read(dev, VIA_REGION_VGA, 0xbfffe, bytes, 4), 2);
	assert_int_equal(via_device_region_read(dev, VIA_REGION_VGA, 0x3bb, bytes, 4), 1);
	assert_int_equal(via_device_region_read(dev, VIA_REGION_VGA, 0x3bc, bytes, 1), -EINVAL);
	assert_int_equal(via_device_region_read(dev, VIA_REGION_VGA, 0xc0000, bytes, 1), -EINVAL);
	/* Memory off: the ROM is not found, VGA does not care. */
	bytes[0] = 0;
	assert_int_equal(via_device_region_write(dev, VIA_REGION_CONFIG, 4, bytes, 1), 1);
	assert_int_equal(via_device_region_read(dev, VIA_REGION_ROM, 0, bytes, 4), -ENOMEM);
	assert_int_equal(via_device_region_read(dev, VIA_REGION_VGA, 0x3c0, bytes, 1), 1);
	via_device_close(dev);
	via_device_free(dev);
}

/* So much vital product data as an address can reach, and not a byte more. */
static void test_vpd_size(void **state)
{
	struct via_error err = {0};
	char *text = NULL;
	size_t size;
	struct via_recording *r;

	for (unsigned int n = 0; n < 2; n++) {
		FILE *out = open_memstream(&text, &size);

		for (unsigned int i = 0; i < VIA_RECORDING_VPD_SIZE / 16; i++)
			(void)fputs("vpd 000102030405060708090a0b0c0d0e0f\n", out);
		(void)fputs(n ? "vpd 00\n" : "config_before_open 256\n000: 01\n", out);
		(void)fclose(out);
		r = read_text(text, &err);
		assert_int_equal(r != NULL, !n);
		if (r)
			assert_int_equal(r->vpd_len, VIA_RECORDING_VPD_SIZE);
		else
			assert_string_equal(err.text,
					    "line 2049: more bytes than there is room for");
		via_recording_free(r);
		free(text);
	}
}

static unsigned int get(struct via_device *dev, unsigned int pos, unsigned int width)
{
	uint8_t bytes[4] = {0};

	assert_int_equal(via_device_region_read(dev, VIA_REGION_CONFIG, pos, bytes, width), width);
	return via_get_le32(bytes);
}

static void put(struct via_device *dev, unsigned int pos, unsigned int width, uint32_t value)
{
	uint8_t bytes[4];

	via_put_le32(bytes, value);
	assert_int_equal(via_device_region_write(dev, VIA_REGION_CONFIG, pos, bytes, width), width);
}

static int device_number(void *cookie, int fd, int *ret_fd)
{
	*ret_fd = dup(fd);
	return *ret_fd < 0 ? -EBADF : 0;
}

/* Registers that change as was recorded: status is raised and cleared, a reset loses some. */
static void test_behaviour(void **state)
{
	struct via_set_irqs arm = {.index = VIA_IRQ_MSIX, .count = 1,
				   .flags = VIA_VFIO_IRQ_SET_DATA_EVENTFD |
					    VIA_VFIO_IRQ_SET_ACTION_TRIGGER,
				   .fds = (const int32_t[]){-1}, .fd_get = device_number};
	struct via_device *dev;
	struct via_error err = {0};

	/* VPD at 40, vendor-specific at 48, MSI-X at 60. */
	assert_int_equal(make("resource 0 0x10000 0x10fff 0x200\n"
			      "reset_method flr\n"
			      "vpd 0011223344556677\n"
			      "vpd 88\n"
			      "lost 4c ff0f\n"
			      "raise 50\n"
			      "config_while_open 256\n"
			      "000: 34 12 e8 11 02 00 10 00\n"
			      "034: 40\n"
			      "040: 03 48 00 00 00 00 00 00 09 60 18 00 a5 5a 00 00\n"
			      "060: 11 00 00 00 00 00 00 00 00 08 00 00\n"
			      "dev_writable 256\n"
			      "004: 07 04\n"
			      "04c: ff ff ff 00 ff\n"
			      "dev_w1c 256\n"
			      "04f: f0\n"
			      "058: 0f\n",
			      &err, &dev),
			 0);
	assert_int_equal(via_device_open(dev), 0);

	/* Vital product data: read, written, its end; kept over a reset. */
	put(dev, 0x42, 2, 4);
	assert_int_equal(get(dev, 0x42, 2), 0x8004);
	assert_int_equal(get(dev, 0x44, 4), 0x77665544);
	put(dev, 0x42, 2, 8);
	assert_int_equal(get(dev, 0x44, 4), 0x88);
	put(dev, 0x44, 4, 0x01020304);
	put(dev, 0x42, 2, 0x8000);
	assert_int_equal(get(dev, 0x42, 2), 0);
	put(dev, 0x42, 2, 0x8008);
	assert_int_equal(get(dev, 0x42, 2), 0x8008);
	put(dev, 0x42, 2, 0x8002);
	assert_int_equal(get(dev, 0x42, 2), 0x8002);

	/* Ones written to the byte at 50 are status bits elsewhere, which ones clear. */
	put(dev, 0x50, 1, 0x35);
	assert_int_equal(get(dev, 0x4c, 4), 0x30005aa5);
	assert_int_equal(get(dev, 0x58, 1), 0x05);
	put(dev, 0x4f, 1, 0x10);
	assert_int_equal(get(dev, 0x4f, 1), 0x20);
	assert_int_equal(get(dev, 0x58, 1), 0x05);

	/* A reset: status and what is lost go, the rest is put back. */
	put(dev, 0x4c, 2, 0x1234);
	put(dev, 0x4e, 1, 0x77);
	assert_int_equal(via_device_reset(dev), 0);
	assert_int_equal(get(dev, 0x4c, 2), 0x1aa5);
	assert_int_equal(get(dev, 0x4e, 1), 0x77);
	assert_int_equal(get(dev, 0x4f, 1), 0);
	assert_int_equal(get(dev, 0x58, 1), 0);
	put(dev, 0x42, 2, 0);
	assert_int_equal(get(dev, 0x44, 4), 0x01020304);

	/* Arming MSI-X enables it. */
	assert_int_equal(get(dev, 0x62, 2), 0);
	assert_int_equal(via_device_set_irqs(dev, &arm), 0);
	assert_int_equal(get(dev, 0x62, 2), 0x8000);
	via_device_close(dev);
	via_device_free(dev);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reads),
		cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_devices),
		cmocka_unit_test(test_vpd_size),
		cmocka_unit_test(test_behaviour),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
