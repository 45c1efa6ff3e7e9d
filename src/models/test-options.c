/* SPDX-License-Identifier: MIT */
/* Options of models, and that the catalogue's own tables are sound. */
#include <viaduct/models.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct via_option_desc table[] = {
	{.name = "image", .type = VIA_OPTION_STRING, .required = true, .help = "the file"},
	{.name = "direct", .type = VIA_OPTION_BOOL, .fallback = "off", .help = "h"},
	{.name = "queues", .type = VIA_OPTION_NUMBER, .fallback = "16", .help = "h", .min = 1,
	 .max = 1024},
	{.name = "serial", .type = VIA_OPTION_STRING, .help = "h"},
	{.name = "big", .type = VIA_OPTION_NUMBER, .fallback = "0", .help = "h"},
	{0},
};

static const struct via_model sample = {.name = "sample", .options = table};
static const struct via_model plain = {.name = "plain"};

static struct via_options *good(const char *text)
{
	struct via_options *opts = NULL;
	struct via_error err = {0};

	if (via_options_parse(&sample, text, &err, &opts))
		fail_msg("%s: %s", text, err.text);
	return opts;
}

static void bad(const struct via_model *model, const char *text, const char *says)
{
	struct via_options *opts = NULL;
	struct via_error err = {0};

	assert_int_equal(via_options_parse(model, text, &err, &opts), -EINVAL);
	assert_null(opts);
	if (!strstr(err.text, says))
		fail_msg("'%s': '%s' does not say '%s'", text, err.text, says);
	/* Nobody has to ask for the text. */
	assert_int_equal(via_options_parse(model, text, NULL, &opts), -EINVAL);
}

static void test_defaults(void **state)
{
	struct via_options *opts = good("image=a.img");

	assert_string_equal(via_options_string(opts, "image"), "a.img");
	assert_null(via_options_string(opts, "serial"));
	assert_false(via_options_bool(opts, "direct"));
	assert_int_equal(via_options_number(opts, "queues"), 16);
	via_options_free(opts);
	via_options_free(NULL);
}

static void test_values(void **state)
{
	struct via_options *opts = good("queues=0x20,image=a,,b=c,,,direct=YES,serial=,big=3G");

	assert_int_equal(via_options_number(opts, "queues"), 32);
	assert_string_equal(via_options_string(opts, "image"), "a,b=c,");
	assert_true(via_options_bool(opts, "direct"));
	assert_string_equal(via_options_string(opts, "serial"), "");
	assert_true(via_options_number(opts, "big") == UINT64_C(3) << 30);
	via_options_free(opts);
	opts = good("image=x,big=0xffffffffffffffff");
	assert_true(via_options_number(opts, "big") == UINT64_MAX);
	via_options_free(opts);
}

static void test_errors(void **state)
{
	bad(&sample, NULL, "image is missing: the file");
	bad(&sample, "", "image is missing");
	bad(&sample, "imag=x", "unknown option 'imag'; valid options: image, direct, queues, serial, big");
	bad(&sample, "images=x", "unknown option 'images'");
	bad(&sample, "image", "image needs a value");
	bad(&sample, "image,direct=on", "image needs a value");
	bad(&sample, "image=a,image=b", "given twice");
	bad(&sample, "image=a,", "after the last comma");
	bad(&sample, ",image=a", "without a name");
	bad(&sample, "=a", "without a name");
	bad(&sample, "image=a,direct=perhaps", "neither on nor off");
	bad(&sample, "image=a,queues=many", "not a number");
	bad(&sample, "image=a,queues=-1", "not a number");
	bad(&sample, "image=a,queues= 1", "not a number");
	bad(&sample, "image=a,queues=", "not a number");
	bad(&sample, "image=a,queues=0x", "not a number");
	bad(&sample, "image=a,queues=1KB", "not a number");
	bad(&sample, "image=a,queues=0", "out of range, 1 to 1024");
	bad(&sample, "image=a,queues=2K", "out of range, 1 to 1024");
	bad(&sample, "image=a,big=18446744073709551616", "out of range");
	bad(&sample, "image=a,big=16777216T", "out of range");
	bad(&plain, "x=1", "unknown option 'x'; the model has none");
}

/* Each model's defaults pass its own checks, unless something is required. */
static void test_catalogue(void **state)
{
	for (const struct via_model *const *m = via_models(); *m; m++) {
		struct via_options *opts = NULL;
		struct via_error err = {0};
		bool required = false;

		assert_ptr_equal(via_model_find((*m)->name), *m);
		assert_non_null((*m)->summary);
		for (const struct via_option_desc *d = (*m)->options; d && d->name; d++) {
			assert_non_null(d->help);
			required |= d->required;
		}
		if (required)
			continue;
		if (via_options_parse(*m, NULL, &err, &opts))
			fail_msg("%s", err.text);
		via_options_free(opts);
	}
	assert_null(via_model_find("no such model"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_catalogue),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
