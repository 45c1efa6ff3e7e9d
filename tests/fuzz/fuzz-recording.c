/* SPDX-License-Identifier: MIT */
/*
 * The reader of recordings: any text is refused with a reason or read into
 * what it says, and what was read can be written and read again.
 */
#include "fuzz.h"

#include "models/image/recording.h"

#include <errno.h>

static void check_image(const struct via_recording_image *image)
{
	FUZZ_CHECK(image->size == 0 || image->size == 256 || image->size == VIA_RECORDING_SIZE);
	for (unsigned int i = image->size; i < VIA_RECORDING_SIZE; i++)
		FUZZ_CHECK(!image->bytes[i]);
}

static void write_image(FILE *out, const char *name, const struct via_recording_image *image)
{
	if (!image->size)
		return;
	(void)fprintf(out, "%s %u\n", name, image->size);
	for (unsigned int i = 0; i < image->size; i++)
		(void)fprintf(out,
			      i % 32 ? " %02x"
			      : i    ? "\n%03x: %02x"
				     : "%03x: %02x",
			      i % 32 ? image->bytes[i] : i, image->bytes[i]);
	(void)fputc('\n', out);
}

static void write_resources(FILE *out, const struct via_recording *rec)
{
	for (unsigned int i = 0; i < VIA_RECORDING_RESOURCES; i++) {
		const struct via_recording_resource *r = &rec->resources[i];

		if (r->size)
			(void)fprintf(out, "resource %u %#llx %#llx %#llx\n", i,
				      (unsigned long long)r->start,
				      (unsigned long long)(r->start + r->size - 1),
				      (unsigned long long)r->flags);
	}
}

static void write_behaviour(FILE *out, const struct via_recording *rec)
{
	for (unsigned int i = 0; i < rec->vpd_len; i++)
		(void)fprintf(out, "vpd %02x\n", rec->vpd[i]);
	for (unsigned int i = 0; i < VIA_RECORDING_SIZE; i++)
		if (rec->lost[i])
			(void)fprintf(out, "lost %x %02x\n", i, rec->lost[i]);
	if (rec->raise)
		(void)fprintf(out, "raise %x\n", rec->raise);
}

static struct via_recording *read_text(char *text, size_t len, struct via_error *err, int *ret)
{
	struct via_recording *rec = NULL;
	FILE *file = fmemopen(text, len, "r");

	FUZZ_CHECK(file);
	*ret = via_recording_read(file, err, &rec);
	(void)fclose(file);
	return rec;
}

static void check(const struct via_recording *rec)
{
	FUZZ_CHECK(memchr(rec->device, '\0', sizeof(rec->device)));
	FUZZ_CHECK(via_recording_raw(rec) && via_recording_raw(rec)->size);
	check_image(&rec->before);
	check_image(&rec->open);
	check_image(&rec->vfio);
	check_image(&rec->writable);
	check_image(&rec->w1c);
	FUZZ_CHECK(rec->raise < VIA_RECORDING_SIZE && rec->vpd_len <= VIA_RECORDING_VPD_SIZE);
	for (size_t i = 0; i < rec->n_told; i++) {
		FUZZ_CHECK(!strpbrk(rec->told[i], "\r\n"));
		FUZZ_CHECK(via_recording_told(rec, rec->told[i]));
	}
}

static void check_again(const struct via_recording *rec)
{
	struct via_recording *again;
	struct via_error err = {0};
	char *text;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	int r;

	FUZZ_CHECK(out);
	write_resources(out, rec);
	write_behaviour(out, rec);
	write_image(out, "config_before_open", &rec->before);
	write_image(out, "config_while_open", &rec->open);
	write_image(out, "config_vfio", &rec->vfio);
	write_image(out, "dev_writable", &rec->writable);
	write_image(out, "dev_w1c", &rec->w1c);
	FUZZ_CHECK(!fclose(out));
	again = read_text(text, len, &err, &r);
	FUZZ_CHECK(r == 0);
	FUZZ_CHECK(!memcmp(&again->before, &rec->before, sizeof(rec->before)));
	FUZZ_CHECK(!memcmp(&again->open, &rec->open, sizeof(rec->open)));
	FUZZ_CHECK(!memcmp(&again->vfio, &rec->vfio, sizeof(rec->vfio)));
	FUZZ_CHECK(!memcmp(&again->writable, &rec->writable, sizeof(rec->writable)));
	FUZZ_CHECK(!memcmp(&again->w1c, &rec->w1c, sizeof(rec->w1c)));
	FUZZ_CHECK(again->raise == rec->raise && again->vpd_len == rec->vpd_len);
	FUZZ_CHECK(!memcmp(again->vpd, rec->vpd, sizeof(rec->vpd)));
	FUZZ_CHECK(!memcmp(again->lost, rec->lost, sizeof(rec->lost)));
	for (unsigned int i = 0; i < VIA_RECORDING_RESOURCES; i++)
		FUZZ_CHECK(again->resources[i].size == rec->resources[i].size);
	via_recording_free(again);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct via_error err = {0};
	struct via_recording *rec;
	char *text = malloc(size + 1);
	int r;

	FUZZ_CHECK(text);
	if (size)
		memcpy(text, data, size);
	text[size] = '\0';
	rec = read_text(text, size ? size : 1, &err, &r);
	free(text);
	if (r) {
		FUZZ_CHECK(r == -EINVAL && !rec && err.text[0]);
		return 0;
	}
	check(rec);
	check_again(rec);
	via_recording_free(rec);
	return 0;
}
