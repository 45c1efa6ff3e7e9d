/* SPDX-License-Identifier: MIT */
/* "key=value,key=value" against a model's table of options. A comma in a value is doubled. */
#include <viaduct/models.h>

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

struct option_value {
	char *text; /* NULL: not given and no default */
	bool given;
	uint64_t number; /* of a NUMBER; 0 or 1 of a BOOL */
};

struct via_options {
	const struct via_option_desc *table;
	size_t n;
	struct option_value values[];
};

static size_t table_len(const struct via_option_desc *table)
{
	size_t n = 0;

	while (table && table[n].name)
		n++;
	return n;
}

static int parse_bool(const char *text, uint64_t *ret_value)
{
	static const char *const words[] = {"off", "on", "no", "yes", "false", "true", "0", "1"};

	for (unsigned int i = 0; i < sizeof(words) / sizeof(*words); i++) {
		if (!strcasecmp(text, words[i])) {
			*ret_value = i & 1;
			return 0;
		}
	}
	return -EINVAL;
}

static int parse_number(const char *text, uint64_t *ret_value)
{
	static const char suffixes[] = "KMGT";
	unsigned long long value;
	unsigned int shift = 0;
	bool hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
	const char *suffix;
	char *end;

	/* strtoull would take a sign, blanks and octal. */
	if (text[0] < '0' || text[0] > '9')
		return -EINVAL;
	errno = 0;
	value = strtoull(text, &end, hex ? 16 : 10);
	if (errno)
		return -ERANGE;
	if (*end) {
		suffix = strchr(suffixes, *end & ~0x20);
		if (!suffix || end[1])
			return -EINVAL;
		shift = 10 * (unsigned int)(suffix - suffixes + 1);
		if (value > UINT64_MAX >> shift)
			return -ERANGE;
	}
	*ret_value = (uint64_t)value << shift;
	return 0;
}

static int check_number(const struct via_model *model, const struct via_option_desc *desc,
			const char *text, uint64_t *ret_value, struct via_error *err)
{
	uint64_t max = desc->max ? desc->max : UINT64_MAX;
	int ret = parse_number(text, ret_value);

	if (ret == -EINVAL)
		return via_error_set(err, -EINVAL,
				     "%s: option %s: '%s' is not a number (decimal or 0x hex, "
				     "with K, M, G or T at most)",
				     model->name, desc->name, text);
	if (ret || *ret_value < desc->min || *ret_value > max)
		return via_error_set(err, -EINVAL,
				     "%s: option %s: %s is out of range, %" PRIu64 " to %" PRIu64,
				     model->name, desc->name, text, desc->min, max);
	return 0;
}

/* Takes text. */
static int set_value(const struct via_model *model, const struct via_option_desc *desc,
		     struct option_value *value, char *text, struct via_error *err)
{
	value->text = text;
	switch (desc->type) {
	case VIA_OPTION_BOOL:
		if (parse_bool(text, &value->number))
			return via_error_set(err, -EINVAL, "%s: option %s: '%s' is neither on nor off",
					     model->name, desc->name, text);
		return 0;
	case VIA_OPTION_NUMBER:
		return check_number(model, desc, text, &value->number, err);
	case VIA_OPTION_STRING:
	default:
		return 0;
	}
}

static int unknown_option(const struct via_model *model, const char *key, size_t key_len,
			  struct via_error *err)
{
	char valid[512] = "";
	size_t at = 0;

	for (const struct via_option_desc *d = model->options; d && d->name; d++) {
		int n = snprintf(valid + at, sizeof(valid) - at, "%s%s", at ? ", " : "", d->name);

		if (n < 0 || (size_t)n >= sizeof(valid) - at)
			break;
		at += (size_t)n;
	}
	if (!at)
		return via_error_set(err, -EINVAL, "%s: unknown option '%.*s'; the model has none",
				     model->name, (int)key_len, key);
	return via_error_set(err, -EINVAL, "%s: unknown option '%.*s'; valid options: %s",
			     model->name, (int)key_len, key, valid);
}

/* The value that starts at *at, commas undoubled; *at goes past the comma that ends it. */
static char *take_value(const char **at)
{
	const char *in = *at;
	char *text = malloc(strlen(in) + 1), *out = text;

	if (!text)
		return NULL;
	while (*in) {
		if (*in == ',') {
			if (in[1] != ',')
				break;
			in++;
		}
		*out++ = *in++;
	}
	*out = '\0';
	*at = in;
	return text;
}

static int parse_one(const struct via_model *model, struct via_options *opts, const char **at,
		     struct via_error *err)
{
	const char *key = *at;
	size_t key_len = strcspn(key, "=,"), i;
	char *text;

	for (i = 0; i < opts->n; i++)
		if (strlen(opts->table[i].name) == key_len &&
		    !strncmp(opts->table[i].name, key, key_len))
			break;
	if (!key_len)
		return via_error_set(err, -EINVAL, "%s: an option without a name in '%s'", model->name,
				     key);
	if (i == opts->n)
		return unknown_option(model, key, key_len, err);
	if (key[key_len] != '=')
		return via_error_set(err, -EINVAL, "%s: option %s needs a value: %s=...", model->name,
				     opts->table[i].name, opts->table[i].name);
	if (opts->values[i].given)
		return via_error_set(err, -EINVAL, "%s: option %s is given twice", model->name,
				     opts->table[i].name);
	*at = key + key_len + 1;
	text = take_value(at);
	if (!text)
		return via_error_set(err, -ENOMEM, "%s: out of memory", model->name);
	opts->values[i].given = true;
	return set_value(model, &opts->table[i], &opts->values[i], text, err);
}

static int fill_defaults(const struct via_model *model, struct via_options *opts,
			 struct via_error *err)
{
	for (size_t i = 0; i < opts->n; i++) {
		const struct via_option_desc *desc = &opts->table[i];
		char *text;
		int ret;

		if (opts->values[i].given)
			continue;
		if (desc->required)
			return via_error_set(err, -EINVAL, "%s: option %s is missing: %s", model->name,
					     desc->name, desc->help);
		if (!desc->fallback)
			continue;
		text = strdup(desc->fallback);
		if (!text)
			return via_error_set(err, -ENOMEM, "%s: out of memory", model->name);
		ret = set_value(model, desc, &opts->values[i], text, err);
		if (ret)
			return ret;
	}
	return 0;
}

int via_options_parse(const struct via_model *model, const char *text, struct via_error *err,
		      struct via_options **ret_opts)
{
	size_t n = table_len(model->options);
	struct via_options *opts = calloc(1, sizeof(*opts) + n * sizeof(opts->values[0]));
	const char *at = text ? text : "";
	int ret = 0;

	if (!opts)
		return via_error_set(err, -ENOMEM, "%s: out of memory", model->name);
	opts->table = model->options;
	opts->n = n;
	while (!ret && *at) {
		ret = parse_one(model, opts, &at, err);
		if (!ret && *at == ',' && !*++at)
			ret = via_error_set(err, -EINVAL, "%s: an option without a name after the "
							  "last comma",
					    model->name);
	}
	if (!ret)
		ret = fill_defaults(model, opts, err);
	if (ret) {
		via_options_free(opts);
		return ret;
	}
	*ret_opts = opts;
	return 0;
}

void via_options_free(struct via_options *opts)
{
	if (!opts)
		return;
	for (size_t i = 0; i < opts->n; i++)
		free(opts->values[i].text);
	free(opts);
}

static const struct option_value *find(const struct via_options *opts, const char *name,
				       enum via_option_type type)
{
	for (size_t i = 0; i < opts->n; i++)
		if (!strcmp(opts->table[i].name, name) && opts->table[i].type == type)
			return &opts->values[i];
	assert(false && "option is in the model's table with this type");
	return NULL;
}

const char *via_options_string(const struct via_options *opts, const char *name)
{
	return find(opts, name, VIA_OPTION_STRING)->text;
}

bool via_options_bool(const struct via_options *opts, const char *name)
{
	return find(opts, name, VIA_OPTION_BOOL)->number;
}

uint64_t via_options_number(const struct via_options *opts, const char *name)
{
	return find(opts, name, VIA_OPTION_NUMBER)->number;
}
