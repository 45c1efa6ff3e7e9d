/* SPDX-License-Identifier: MIT */
/* viaduct list: the models and their options. */
#include "cli/cli.h"

#include <viaduct/models.h>

#include <getopt.h>
#include <json-c/json.h>
#include <stdio.h>

static const char *type_name(enum via_option_type type)
{
	switch (type) {
	case VIA_OPTION_BOOL:
		return "bool";
	case VIA_OPTION_NUMBER:
		return "number";
	case VIA_OPTION_STRING:
		break;
	}
	return "string";
}

static void print_text(void)
{
	for (const struct via_model *const *m = via_models(); *m; m++) {
		printf("%s - %s\n", (*m)->name, (*m)->summary);
		for (const struct via_option_desc *o = (*m)->options; o && o->name; o++) {
			printf("    %s=%-*s %s", o->name, (int)(18 - strlen(o->name)), type_name(o->type), o->help);
			if (o->required)
				printf(" (required)");
			else if (o->fallback)
				printf(" (default %s)", o->fallback);
			putchar('\n');
		}
	}
	puts("\nEvery model also takes addr=DDDD:BB:DD.F (where it appears) and group=N (its IOMMU group).");
}

static struct json_object *option_json(const struct via_option_desc *o)
{
	struct json_object *j = json_object_new_object();

	json_object_object_add(j, "name", json_object_new_string(o->name));
	json_object_object_add(j, "type", json_object_new_string(type_name(o->type)));
	json_object_object_add(j, "help", json_object_new_string(o->help));
	json_object_object_add(j, "required", json_object_new_boolean(o->required));
	json_object_object_add(j, "default", o->fallback ? json_object_new_string(o->fallback) : NULL);
	return j;
}

static void print_json(void)
{
	struct json_object *models = json_object_new_array();

	for (const struct via_model *const *m = via_models(); *m; m++) {
		struct json_object *j = json_object_new_object();
		struct json_object *options = json_object_new_array();

		json_object_object_add(j, "name", json_object_new_string((*m)->name));
		json_object_object_add(j, "summary", json_object_new_string((*m)->summary));
		for (const struct via_option_desc *o = (*m)->options; o && o->name; o++)
			json_object_array_add(options, option_json(o));
		json_object_object_add(j, "options", options);
		json_object_array_add(models, j);
	}
	puts(json_object_to_json_string_ext(models, JSON_C_TO_STRING_PRETTY |
							   JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(models);
}

int cli_list(int argc, char **argv)
{
	static const struct option options[] = {
		{"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	bool json = false;
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, "+h", options, NULL)) != -1) {
		switch (c) {
		case 'j':
			json = true;
			break;
		case 'h':
			puts("Usage: viaduct list [--json]\n"
			     "List the device models that 'viaduct run --device' takes, and their options.\n"
			     "\n"
			     "  --json  for programs: an array of {name, summary, options}");
			return CLI_OK;
		default:
			return cli_usage_error("list", "unknown option '%s'", argv[optind - 1]);
		}
	}
	if (optind < argc)
		return cli_usage_error("list", "unexpected argument '%s'", argv[optind]);
	if (json)
		print_json();
	else
		print_text();
	return CLI_OK;
}
