/* SPDX-License-Identifier: MIT */
/* Config space in words: registers, their fields, and whose each bit is. */
#include "cli/inspect.h"

#include "pci/names.h"
#include "pci/regs.h"

#include <errno.h>
#include <json-c/json.h>

/* A register of a block, or a run of bytes that has no name. */
struct reg {
	unsigned int pos, width;
	const char *name; /* NULL: none */
	const struct via_reg_field *fields;
};

static uint32_t value_of(const uint8_t *bytes, unsigned int pos, unsigned int width)
{
	uint32_t value = 0;

	for (unsigned int i = 0; i < width; i++)
		value |= (uint32_t)bytes[pos + i] << 8 * i;
	return value;
}

/* Every block: the header, and the capabilities in the order of their places. */
struct block {
	unsigned int start, end;
	uint16_t tag;
	const char *name;
	const struct via_reg_name *regs;
};

static bool next_block(const struct inspect_view *v, unsigned int from, struct block *ret)
{
	const struct via_config_owner *owner = v->masks.owner;

	while (from < v->known && owner[from].tag == VIA_OWNER_NONE)
		from++;
	if (from >= v->known)
		return false;
	*ret = (struct block){.start = from, .end = from, .tag = owner[from].tag};
	while (ret->end < v->known && owner[ret->end].tag == ret->tag &&
	       owner[ret->end].start == from)
		ret->end++;
	if (ret->tag == VIA_OWNER_HEADER) {
		ret->name = "header";
		ret->regs = via_header_regs();
	} else if (from < PCI_EXT_START) {
		ret->name = via_cap_name((uint8_t)ret->tag);
		ret->regs = via_cap_regs((uint8_t)ret->tag);
	} else {
		ret->name = ret->tag == VIA_OWNER_PLACEHOLDER ? "hidden first capability"
							      : via_ext_cap_name(ret->tag);
		ret->regs = via_ext_cap_regs(ret->tag);
	}
	if (!ret->name)
		ret->name = "capability";
	return true;
}

static bool next_reg(const struct block *b, unsigned int pos, struct reg *ret)
{
	const struct via_reg_name *named;
	unsigned int header = b->tag == VIA_OWNER_HEADER ? 0 : b->start < PCI_EXT_START ? 2 : 4;

	if (pos >= b->end)
		return false;
	if (pos - b->start < header) {
		*ret = (struct reg){b->start, header, "Capability Header", NULL};
		return true;
	}
	named = via_reg_at(b->regs, pos - b->start);
	if (named && b->start + named->offset == pos && pos + named->width <= b->end) {
		*ret = (struct reg){pos, named->width, named->name, named->fields};
		return true;
	}
	/* Up to the next dword or the next name. */
	*ret = (struct reg){pos, 1, NULL, NULL};
	while ((pos + ret->width) % 4 && pos + ret->width < b->end &&
	       !via_reg_at(b->regs, pos + ret->width - b->start))
		ret->width++;
	return true;
}

/*
 * One letter a bit, the highest first: where a read comes from (d: device, v:
 * virtual), a capital if a program may change it.
 */
static void letters(const struct inspect_view *v, const struct reg *r, char text[36])
{
	uint32_t virt = value_of(v->masks.virt, r->pos, r->width);
	uint32_t write = value_of(v->masks.write, r->pos, r->width) |
			 value_of(v->masks.raw, r->pos, r->width);
	char *to = text;

	for (unsigned int bit = 8 * r->width; bit-- > 0;) {
		bool virtual = virt >> bit & 1, writable = write >> bit & 1;

		*to++ = virtual ? (writable ? 'V' : 'v') : (writable ? 'D' : 'd');
		if (bit && bit % 8 == 0)
			*to++ = ' ';
	}
	*to = '\0';
}

/* "memory, bus master", "max payload 1". */
static void fields_text(const struct reg *r, uint32_t value, char *text, size_t size)
{
	size_t n = 0;

	text[0] = '\0';
	for (const struct via_reg_field *f = r->fields; f && f->name && n < size; f++) {
		uint32_t field = (value & f->mask) >> __builtin_ctz(f->mask);
		bool flag = !(f->mask & (f->mask - 1));
		int len;

		if (!field)
			continue;
		len = flag ? snprintf(text + n, size - n, "%s%s", n ? ", " : "", f->name)
			   : snprintf(text + n, size - n, "%s%s %#x", n ? ", " : "", f->name,
				      field);
		n += len > 0 ? (size_t)len : 0;
	}
}

static void print_reg(const struct inspect_view *v, const struct reg *r, FILE *out)
{
	uint32_t value = value_of(v->config, r->pos, r->width);
	char bits[40], fields[256];

	letters(v, r, bits);
	fields_text(r, value, fields, sizeof(fields));
	(void)fprintf(out, "  %03x  %-32s %*s%0*x  %*s%s\n", r->pos, r->name ? r->name : "",
		      (int)(8 - 2 * r->width), "", (int)(2 * r->width), value, *fields ? -37 : 0,
		      bits, fields);
}

void inspect_print_people(const struct inspect_view *view, FILE *out)
{
	unsigned int at = 0;
	struct block b;
	struct reg r;

	(void)fprintf(out, "%s %s [%04x:%04x], class %06x, %u bytes of config space", view->address,
		      view->name, value_of(view->config, PCI_VENDOR_ID, 2),
		      value_of(view->config, PCI_DEVICE_ID, 2),
		      value_of(view->config, PCI_CLASS_PROG, 3), view->config_size);
	if (view->known < view->config_size)
		(void)fprintf(out, ", %u of them known", view->known);
	(void)fputc('\n', out);
	(void)fprintf(
		out,
		"bits: d from the device, v virtual, a capital letter: a program may change it\n");
	for (; next_block(view, at, &b); at = b.end) {
		(void)fprintf(out, "%s at %#x, %u bytes%s\n", b.name, b.start, b.end - b.start,
			      view->masks.raw[b.start] ? ", written to the device as it comes"
						       : "");
		for (unsigned int pos = b.start; next_reg(&b, pos, &r); pos = r.pos + r.width)
			print_reg(view, &r, out);
	}
}

/* --- Two images beside each other -------------------------------------------- */

static unsigned int print_different(const struct inspect_view *view, const uint8_t *one,
				    const char *one_name, const uint8_t *other,
				    const char *other_name, FILE *out)
{
	unsigned int at = 0, n = 0;
	char was[256], is[256];
	struct block b;
	struct reg r;

	for (; next_block(view, at, &b); at = b.end) {
		for (unsigned int pos = b.start; next_reg(&b, pos, &r); pos = r.pos + r.width) {
			uint32_t old = value_of(one, r.pos, r.width);
			uint32_t now = value_of(other, r.pos, r.width);

			if (old == now)
				continue;
			fields_text(&r, old, was, sizeof(was));
			fields_text(&r, now, is, sizeof(is));
			(void)fprintf(out, "%03x  %s of %s: %s %0*x%s%s%s, %s %0*x%s%s%s\n", r.pos,
				      r.name ? r.name : "register", b.name, one_name,
				      (int)(2 * r.width), old, *was ? " (" : "", was,
				      *was ? ")" : "", other_name, (int)(2 * r.width), now,
				      *is ? " (" : "", is, *is ? ")" : "");
			n++;
		}
	}
	return n;
}

void inspect_print_diff(const struct inspect_view *view, FILE *out)
{
	if (!print_different(view, view->device, "device", view->config, "program", out))
		(void)fprintf(out, "a program reads what is in the device%s\n",
			      view->known < view->config_size ? ", as far as that is known" : "");
}

unsigned int inspect_print_changes(const struct inspect_view *view,
				   const struct via_recording_image *config, FILE *out)
{
	return print_different(view, view->config, "was", config->bytes, "is", out);
}

/* --- For programs -------------------------------------------------------------- */

static struct json_object *reg_json(const struct inspect_view *v, const struct reg *r)
{
	struct json_object *j = json_object_new_object();
	struct json_object *fields = json_object_new_object();
	uint32_t value = value_of(v->config, r->pos, r->width);

	json_object_object_add(j, "offset", json_object_new_int64(r->pos));
	json_object_object_add(j, "width", json_object_new_int64(r->width));
	json_object_object_add(j, "name", r->name ? json_object_new_string(r->name) : NULL);
	json_object_object_add(j, "value", json_object_new_int64(value));
	json_object_object_add(j, "device",
			       json_object_new_int64(value_of(v->device, r->pos, r->width)));
	json_object_object_add(j, "virtual",
			       json_object_new_int64(value_of(v->masks.virt, r->pos, r->width)));
	json_object_object_add(j, "writable",
			       json_object_new_int64(value_of(v->masks.write, r->pos, r->width) |
						     value_of(v->masks.raw, r->pos, r->width)));
	for (const struct via_reg_field *f = r->fields; f && f->name; f++)
		json_object_object_add(
			fields, f->name,
			json_object_new_int64((value & f->mask) >> __builtin_ctz(f->mask)));
	json_object_object_add(j, "fields", fields);
	return j;
}

int inspect_print_json(const struct inspect_view *view, FILE *out)
{
	struct json_object *all = json_object_new_object(), *blocks = json_object_new_array();
	unsigned int at = 0;
	struct block b;
	struct reg r;

	if (!all || !blocks)
		return -ENOMEM;
	json_object_object_add(all, "address", json_object_new_string(view->address));
	json_object_object_add(all, "model", json_object_new_string(view->name));
	json_object_object_add(all, "config_size", json_object_new_int64(view->config_size));
	json_object_object_add(all, "known", json_object_new_int64(view->known));
	for (; next_block(view, at, &b); at = b.end) {
		struct json_object *block = json_object_new_object();
		struct json_object *regs = json_object_new_array();

		for (unsigned int pos = b.start; next_reg(&b, pos, &r); pos = r.pos + r.width)
			json_object_array_add(regs, reg_json(view, &r));
		json_object_object_add(block, "name", json_object_new_string(b.name));
		json_object_object_add(block, "offset", json_object_new_int64(b.start));
		json_object_object_add(block, "length", json_object_new_int64(b.end - b.start));
		json_object_object_add(block, "registers", regs);
		json_object_array_add(blocks, block);
	}
	json_object_object_add(all, "blocks", blocks);
	(void)fprintf(out, "%s\n",
		      json_object_to_json_string_ext(all, JSON_C_TO_STRING_PRETTY |
								  JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(all);
	return 0;
}
