/* SPDX-License-Identifier: MIT */
/**
 * DOC: viaduct/models.h - the catalogue of device models and their options
 */
#ifndef VIADUCT_MODELS_H
#define VIADUCT_MODELS_H

#include <viaduct/device.h>

#ifdef __cplusplus
extern "C" {
#endif

/** enum via_option_type - how an option's text is read */
enum via_option_type {
	VIA_OPTION_STRING,
	VIA_OPTION_BOOL,   /* on, off, yes, no, true, false, 1, 0 */
	VIA_OPTION_NUMBER, /* decimal or 0x hex, with K, M, G, T suffix */
};

/** struct via_option_desc - an option of a model; a table ends with name NULL */
struct via_option_desc {
	const char *name;
	enum via_option_type type;
	const char *fallback; /* default as text, NULL: none */
	const char *help;     /* one line */
	bool required;
	uint64_t min, max;    /* NUMBER: inclusive bounds; max 0: no bound */
};

struct via_options;

/* Values after defaults; name must be in the model's table (else an assertion fails). */
VIA_PUBLIC const char *via_options_string(const struct via_options *opts, const char *name);
VIA_PUBLIC bool via_options_bool(const struct via_options *opts, const char *name);
VIA_PUBLIC uint64_t via_options_number(const struct via_options *opts, const char *name);

/**
 * struct via_model - a kind of device that can be made by name
 * @create: make one; options are already checked against @options
 */
struct via_model {
	const char *name;
	const char *summary; /* one line */
	const struct via_option_desc *options;
	int (*create)(const struct via_options *opts, struct via_error *err,
		      struct via_device **ret_device);
};

/** via_models() - all models, ended by NULL; static storage */
VIA_PUBLIC const struct via_model *const *via_models(void);

/**
 * via_options_parse() - check "key=value,key=value" against a model's table
 * @text: may be NULL or empty; a comma in a value is written as two commas
 * @ret_opts: owned by the caller, via_options_free()
 * Return: 0; -EINVAL with text naming the key and the valid ones; -ENOMEM.
 */
VIA_PUBLIC int via_options_parse(const struct via_model *model, const char *text,
				 struct via_error *err, struct via_options **ret_opts);
VIA_PUBLIC void via_options_free(struct via_options *opts);

/** via_model_find() - by name, or NULL */
VIA_PUBLIC const struct via_model *via_model_find(const char *name);

#ifdef __cplusplus
}
#endif

#endif
