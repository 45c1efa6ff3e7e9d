/* SPDX-License-Identifier: MIT */
/* Options of models, and what --device takes. */
#include "fuzz.h"

#include "device/device.h"
#include "host/host.h"

#include <viaduct/models.h>

#include <errno.h>
#include <inttypes.h>

enum { SIZE_MIN = 16, SIZE_MAX_LOG2 = 40 };

static const struct via_option_desc table[] = {
	{"name", VIA_OPTION_STRING, NULL, "a text", .required = true},
	{"mode", VIA_OPTION_STRING, "plain, simple", "a text"},
	{"on", VIA_OPTION_BOOL, "off", "a switch"},
	{"size", VIA_OPTION_NUMBER, "4K", "a bounded number", .min = SIZE_MIN,
	 .max = 1ull << SIZE_MAX_LOG2},
	{"any", VIA_OPTION_NUMBER, "0", "a number"},
	{NULL},
};

static const struct via_model model = {.name = "fuzz", .options = table};

static void check_error(int r, const struct via_error *err)
{
	FUZZ_CHECK(r < 0 && err->code == r && err->text[0]);
	FUZZ_CHECK(memchr(err->text, '\0', sizeof(err->text)));
}

static char *put_text(char *at, const char *key, const char *value)
{
	at += sprintf(at, "%s=", key);
	for (; *value; value++) {
		if (*value == ',')
			*at++ = ',';
		*at++ = *value;
	}
	*at++ = ',';
	return at;
}

/* Written out and read again, options are the same. */
static void check_again(const struct via_options *opts)
{
	const char *name = via_options_string(opts, "name"), *mode = via_options_string(opts, "mode");
	uint64_t size = via_options_number(opts, "size"), any = via_options_number(opts, "any");
	bool on = via_options_bool(opts, "on");
	char *text = malloc(2 * (strlen(name) + strlen(mode)) + 200), *at = text;
	struct via_error err = {0};
	struct via_options *again;

	FUZZ_CHECK(text && size >= SIZE_MIN && size <= 1ull << SIZE_MAX_LOG2);
	at = put_text(at, "name", name);
	at = put_text(at, "mode", mode);
	sprintf(at, "on=%s,size=0x%" PRIx64 ",any=%" PRIu64, on ? "Yes" : "0", size, any);
	FUZZ_CHECK(via_options_parse(&model, text, &err, &again) == 0);
	FUZZ_CHECK(!strcmp(via_options_string(again, "name"), name));
	FUZZ_CHECK(!strcmp(via_options_string(again, "mode"), mode));
	FUZZ_CHECK(via_options_bool(again, "on") == on);
	FUZZ_CHECK(via_options_number(again, "size") == size);
	FUZZ_CHECK(via_options_number(again, "any") == any);
	via_options_free(again);
	free(text);
}

static void parse(const char *text)
{
	struct via_error err = {0};
	struct via_options *opts;
	int r = via_options_parse(&model, text, &err, &opts);

	if (r) {
		check_error(r, &err);
		return;
	}
	check_again(opts);
	via_options_free(opts);
}

static void parse_for(const char *name, const char *text)
{
	struct via_error err = {0};
	struct via_options *opts;
	int r = via_options_parse(via_model_find(name), text, &err, &opts);

	if (r)
		check_error(r, &err);
	else
		via_options_free(opts);
}

static void add_device(const char *spec)
{
	const struct via_vfio_config config = {0};
	struct via_error err = {0};
	struct via_host *host;
	int r;

	FUZZ_CHECK(via_host_new(&config, &host) == 0);
	r = via_host_add_device(host, spec, &err);
	if (r)
		check_error(r, &err);
	FUZZ_CHECK(!via_vfio_device(via_host_vfio(host), 0) == !!r);
	if (!r) {
		const struct via_pci_addr *addr =
			via_device_addr(via_vfio_device(via_host_vfio(host), 0));

		FUZZ_CHECK(addr->device < 32 && addr->function < 8);
		FUZZ_CHECK(via_vfio_device_group(via_host_vfio(host), 0) >= 0);
		/* Its address is taken now; a second one finds another by itself. */
		r = via_host_add_device(host, spec, NULL);
		FUZZ_CHECK(r == 0 || r == -EEXIST || r == -EINVAL || r == -ENOSPC);
	}
	via_host_free(host);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	uint8_t kind = fuzz_u8(&in);
	char *text = fuzz_text(&in);

	switch (kind % 4) {
	case 0:
		parse(text);
		break;
	case 1:
		parse_for("nvme", text);
		parse_for("edu", text);
		break;
	default:
		/* An image is a path, which an input may not choose. */
		if (!strstr(text, "nvme"))
			add_device(text);
	}
	free(text);
	return 0;
}
