/* SPDX-License-Identifier: MIT */
#include "models/image/recording.h"

#include <errno.h>
#include <stdlib.h>

/* More than any line or file that a recorder writes. */
#define MAX_LINE 65536
#define MAX_TOLD 65536

struct reader {
	struct via_recording *recording;
	struct via_error *err;
	unsigned int line;
	struct via_recording_image *image; /* that the lines with bytes belong to, or NULL */
};

#define BAD(r, fmt, ...) via_error_set((r)->err, -EINVAL, "line %u: " fmt, (r)->line, ##__VA_ARGS__)

static struct via_recording_image *find_image(struct via_recording *rec, const char *name,
					      size_t len)
{
	const struct {
		const char *name;
		struct via_recording_image *image;
	} images[] = {
		{"config_before_open", &rec->before},
		{"config_while_open", &rec->open},
		{"config_vfio", &rec->vfio},
		{"dev_writable", &rec->writable},
		{"dev_w1c", &rec->w1c},
	};

	for (size_t i = 0; i < sizeof(images) / sizeof(images[0]); i++)
		if (strlen(images[i].name) == len && !memcmp(images[i].name, name, len))
			return images[i].image;
	return NULL;
}

/* A hexadecimal number; *p moves behind it. False: there is none. */
static bool take_hex(const char **p, uint64_t *ret_value)
{
	char *end;

	while (**p == ' ')
		++*p;
	errno = 0;
	*ret_value = strtoull(*p, &end, 16);
	if (end == *p || errno || **p == '-' || **p == '+')
		return false;
	*p = end;
	return true;
}

/* "OFFSET: BYTE..." */
static int read_bytes(struct reader *r, const char *line)
{
	uint64_t at, byte;

	if (!r->image)
		return BAD(r, "bytes, but no name of an image before them");
	if (!take_hex(&line, &at) || *line++ != ':')
		return BAD(r, "an offset and a colon are missing");
	while (take_hex(&line, &byte)) {
		if (at >= r->image->size || byte > 0xff)
			return BAD(r, "byte %#llx at %#llx of an image of %u bytes",
				   (unsigned long long)byte, (unsigned long long)at,
				   r->image->size);
		r->image->bytes[at++] = (uint8_t)byte;
	}
	return *line ? BAD(r, "'%.20s' is no byte", line) : 0;
}

static int read_resource(struct reader *r, const char *line)
{
	struct via_recording_resource *resource;
	uint64_t n, start, last, flags;

	if (!take_hex(&line, &n) || n >= VIA_RECORDING_RESOURCES || !take_hex(&line, &start) ||
	    !take_hex(&line, &last) || !take_hex(&line, &flags) || *line)
		return BAD(r, "a resource has a number from 0 to 6, start, last and flags");
	if (last < start)
		return BAD(r, "resource %u ends before it starts", (unsigned int)n);
	resource = &r->recording->resources[n];
	*resource = (struct via_recording_resource){start, last - start + 1, flags};
	/* A line of zeros: it has none. */
	if (!last && !flags)
		resource->size = 0;
	return 0;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "0a1b...": all of text, which is not empty, to bytes. How many, or -EINVAL. */
static int read_hex(struct reader *r, const char *text, uint8_t *bytes, size_t room)
{
	size_t n = 0;

	for (; *text; text += 2, n++) {
		int high = hex_digit(text[0]), low = high < 0 ? -1 : hex_digit(text[1]);

		if (low < 0)
			return BAD(r, "'%.20s' is no byte", text);
		if (n == room)
			return BAD(r, "more bytes than there is room for");
		bytes[n] = (uint8_t)(high << 4 | low);
	}
	return n ? (int)n : BAD(r, "bytes are missing");
}

static int read_vpd(struct reader *r, const char *line)
{
	struct via_recording *rec = r->recording;
	int n = read_hex(r, line, rec->vpd + rec->vpd_len, sizeof(rec->vpd) - rec->vpd_len);

	if (n < 0)
		return n;
	rec->vpd_len += (unsigned int)n;
	return 0;
}

static int read_lost(struct reader *r, const char *line)
{
	struct via_recording *rec = r->recording;
	uint64_t at;
	int n;

	if (!take_hex(&line, &at) || *line != ' ' || at >= sizeof(rec->lost))
		return BAD(r, "bits that a reset sets back have an offset below 1000 and bytes");
	n = read_hex(r, line + strspn(line, " "), rec->lost + at, sizeof(rec->lost) - at);
	return n < 0 ? n : 0;
}

static int read_raise(struct reader *r, const char *line)
{
	uint64_t at;

	if (!take_hex(&line, &at) || *line || !at || at >= VIA_RECORDING_SIZE)
		return BAD(r, "a byte that raises status bits is at an offset from 1 to fff");
	r->recording->raise = (unsigned int)at;
	return 0;
}

static int start_image(struct reader *r, struct via_recording_image *image, const char *rest)
{
	char *end;
	unsigned long size = strtoul(rest, &end, 10);

	if (end == rest || *end || (size != 256 && size != VIA_RECORDING_SIZE))
		return BAD(r, "an image has 256 or 4096 bytes");
	memset(image, 0, sizeof(*image));
	image->size = (unsigned int)size;
	r->image = image;
	return 0;
}

static int keep_told(struct reader *r, const char *line)
{
	struct via_recording *rec = r->recording;
	char **told;

	if (rec->n_told == MAX_TOLD)
		return BAD(r, "too many lines");
	told = realloc(rec->told, (rec->n_told + 1) * sizeof(*told));
	if (!told)
		return -ENOMEM;
	rec->told = told;
	told[rec->n_told] = strdup(line);
	if (!told[rec->n_told])
		return -ENOMEM;
	rec->n_told++;
	return 0;
}

static bool starts_with(const char *line, const char *word, const char **ret_rest)
{
	size_t len = strlen(word);

	if (strncmp(line, word, len) != 0 || (line[len] && line[len] != ' '))
		return false;
	*ret_rest = line + len + strspn(line + len, " ");
	return true;
}

static int read_line(struct reader *r, const char *line)
{
	struct via_recording_image *image = find_image(r->recording, line, strcspn(line, " "));
	const char *rest;

	if (!*line || *line == '#')
		return 0;
	if (image)
		return start_image(r, image, line + strcspn(line, " "));
	if (line[strspn(line, "0123456789abcdef")] == ':' && *line != ':')
		return read_bytes(r, line);
	r->image = NULL;
	if (starts_with(line, "resource", &rest))
		return read_resource(r, rest);
	if (starts_with(line, "vpd", &rest))
		return read_vpd(r, rest);
	if (starts_with(line, "lost", &rest))
		return read_lost(r, rest);
	if (starts_with(line, "raise", &rest))
		return read_raise(r, rest);
	if (starts_with(line, "device", &rest)) {
		(void)snprintf(r->recording->device, sizeof(r->recording->device), "%s", rest);
		return 0;
	}
	if (starts_with(line, "reset_method", &rest))
		r->recording->can_reset = *rest;
	return keep_told(r, line);
}

int via_recording_read(FILE *file, struct via_error *err, struct via_recording **ret_recording)
{
	struct reader r = {.recording = calloc(1, sizeof(*r.recording)), .err = err};
	char *line = malloc(MAX_LINE);
	int ret = r.recording && line ? 0 : -ENOMEM;

	while (!ret && fgets(line, MAX_LINE, file)) {
		size_t len = strlen(line);

		r.line++;
		if (len && line[len - 1] != '\n' && !feof(file)) {
			ret = BAD(&r, "longer than %d bytes", MAX_LINE - 2);
			break;
		}
		line[strcspn(line, "\r\n")] = '\0';
		for (len = strlen(line); len && line[len - 1] == ' '; len--)
			line[len - 1] = '\0';
		ret = read_line(&r, line);
	}
	free(line);
	if (!ret && !via_recording_raw(r.recording))
		ret = via_error_set(err, -EINVAL,
				    "no image of the device's registers (config_while_open or "
				    "config_before_open)");
	if (ret) {
		via_recording_free(r.recording);
		return ret;
	}
	*ret_recording = r.recording;
	return 0;
}

void via_recording_free(struct via_recording *recording)
{
	if (!recording)
		return;
	for (size_t i = 0; i < recording->n_told; i++)
		free(recording->told[i]);
	free(recording->told);
	free(recording);
}

const struct via_recording_image *via_recording_raw(const struct via_recording *recording)
{
	if (recording->open.size)
		return &recording->open;
	return recording->before.size ? &recording->before : NULL;
}

const char *via_recording_told(const struct via_recording *recording, const char *words)
{
	size_t len = strlen(words);

	for (size_t i = 0; i < recording->n_told; i++) {
		const char *line = recording->told[i];

		if (!strncmp(line, words, len) && (!line[len] || line[len] == ' '))
			return line;
	}
	return NULL;
}

void via_recording_write_image(FILE *file, const char *name, const uint8_t *bytes,
			       unsigned int size)
{
	static const uint8_t zeros[32];

	(void)fprintf(file, "%s %u\n", name, size);
	for (unsigned int at = 0; at < size; at += 32) {
		/* What is left out is zero; the first 256 bytes are always there. */
		if (at >= 256 && !memcmp(bytes + at, zeros, 32))
			continue;
		(void)fprintf(file, "%03x:", at);
		for (unsigned int i = 0; i < 32; i++)
			(void)fprintf(file, " %02x", bytes[at + i]);
		(void)fputc('\n', file);
	}
}
