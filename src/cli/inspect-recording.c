/* SPDX-License-Identifier: MIT */
/* A view in the format of a recording, and what differs from one. */
#include "cli/inspect.h"

#include "pci/masks.h"
#include "pci/names.h"
#include "pci/regs.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

/* Any line but the images. */
enum { LINE = 8192 };

static const char *errno_name(int error)
{
	const char *name = strerrorname_np(-error);

	return name ? name : "EUNKNOWN";
}

/* --- Lines: text has room for LINE bytes ----------------------------------- */

static void device_line(const struct inspect_view *v, char *text)
{
	(void)snprintf(text, LINE, "device_info flags %x regions %u irqs %u cfg_size %u", v->flags,
		       v->n_regions, v->n_irqs, v->config_size);
}

static void region_line(const struct inspect_view *v, unsigned int i, char *text)
{
	const struct inspect_region *r = &v->regions[i];
	int n;

	if (r->error) {
		(void)snprintf(text, LINE, "region %u %s", i, errno_name(r->error));
		return;
	}
	n = snprintf(text, LINE, "region %u size %" PRIx64 " flags %x offset %" PRIx64, i, r->size,
		     r->flags, r->offset);
	if (r->cap_id)
		(void)snprintf(text + n, (size_t)(LINE - n), " cap %u@%u", r->cap_id,
			       r->cap_offset);
}

static void irq_line(const struct inspect_view *v, unsigned int i, char *text)
{
	const struct inspect_irq *irq = &v->irqs[i];

	if (irq->error)
		(void)snprintf(text, LINE, "irq %u %s", i, errno_name(irq->error));
	else
		(void)snprintf(text, LINE, "irq %u count %u flags %x", i, irq->count, irq->flags);
}

/* As a program walks it; no more steps than there is room for. */
static void caps_line(const struct inspect_view *v, char *text)
{
	unsigned int cap = v->config[PCI_CAPABILITY_LIST] & PCI_CAP_POINTER;
	int n = snprintf(text, LINE, "caps_vfio");

	if (!(v->config[PCI_STATUS] & PCI_STATUS_CAP_LIST))
		return;
	for (int steps = 0; cap >= PCI_HEADER_SIZE && steps < 48; steps++) {
		n += snprintf(text + n, (size_t)(LINE - n), " %02x@%02x",
			      v->config[cap + PCI_CAP_ID], cap);
		cap = v->config[cap + PCI_CAP_NEXT] & PCI_CAP_POINTER;
	}
}

static void ecaps_line(const struct inspect_view *v, char *text)
{
	unsigned int cap = PCI_EXT_START;
	int n = snprintf(text, LINE, "ecaps_vfio");

	for (int steps = 0; cap >= PCI_EXT_START && cap + 4 <= v->config_size && steps < 480;
	     steps++) {
		uint32_t header = via_get_le32(v->config + cap);

		if (!header)
			return;
		n += snprintf(text + n, (size_t)(LINE - n), " %04x.%x@%x", header & PCI_EXT_ID,
			      header >> PCI_EXT_VERSION_SHIFT & 0xf, cap);
		cap = (header & PCI_EXT_NEXT) >> PCI_EXT_NEXT_SHIFT;
	}
}

static void sizing_line(const struct inspect_view *v, char *text)
{
	int n = snprintf(text, LINE, "bar_sizing");

	for (unsigned int i = 0; i < INSPECT_BARS; i++)
		n += snprintf(text + n, (size_t)(LINE - n), " %08x", v->sizing[i]);
	(void)snprintf(text + n, (size_t)(LINE - n), " rom %08x", v->rom_sizing);
}

/* Every line, in order. */
static void each_line(const struct inspect_view *v, void (*fn)(void *cookie, const char *line),
		      void *cookie)
{
	char *text = malloc(LINE);

	if (!text)
		return;
	device_line(v, text);
	fn(cookie, text);
	for (unsigned int i = 0; i < INSPECT_REGIONS; i++) {
		region_line(v, i, text);
		fn(cookie, text);
	}
	for (unsigned int i = 0; i < INSPECT_IRQS; i++) {
		irq_line(v, i, text);
		fn(cookie, text);
	}
	caps_line(v, text);
	fn(cookie, text);
	ecaps_line(v, text);
	fn(cookie, text);
	sizing_line(v, text);
	fn(cookie, text);
	free(text);
}

static void print_line(void *cookie, const char *line)
{
	(void)fprintf(cookie, "%s\n", line);
}

void inspect_print_recording(const struct inspect_view *view, FILE *out)
{
	each_line(view, print_line, out);
	via_recording_write_image(out, "config_vfio", view->config, view->config_size);
}

/* --- Comparing --------------------------------------------------------------- */

struct check {
	const struct via_recording *recording;
	FILE *out;
	unsigned int n;
};

/* What the line is about: all before its facts. */
static size_t subject_len(const char *line)
{
	size_t len = strcspn(line, " ");

	if (!strncmp(line, "region ", 7) || !strncmp(line, "irq ", 4))
		len += 1 + strcspn(line + len + 1, " ");
	return len;
}

static void check_line(void *cookie, const char *line)
{
	struct check *c = cookie;
	char subject[32];
	const char *told;

	(void)snprintf(subject, sizeof(subject), "%.*s", (int)subject_len(line), line);
	told = via_recording_told(c->recording, subject);
	if (!told || !strcmp(told, line))
		return;
	c->n++;
	(void)fprintf(c->out, "%s: recorded '%s', here '%s'\n", subject,
		      told + strlen(subject) + strspn(told + strlen(subject), " "),
		      line + strlen(subject) + strspn(line + strlen(subject), " "));
}

/* "Command of the header", "Message Control of MSI", "nobody's". */
static void describe_owner(const struct via_config_masks *masks, unsigned int pos, char *text,
			   size_t size)
{
	const struct via_config_owner *owner = &masks->owner[pos];
	const struct via_reg_name *reg;
	const char *name;

	if (owner->tag == VIA_OWNER_NONE) {
		(void)snprintf(text, size, "nobody's");
		return;
	}
	if (owner->tag == VIA_OWNER_HEADER) {
		reg = via_reg_at(via_header_regs(), pos);
		(void)snprintf(text, size, "%s of the header", reg ? reg->name : "byte");
		return;
	}
	if (owner->start < PCI_EXT_START) {
		reg = via_reg_at(via_cap_regs((uint8_t)owner->tag), pos - owner->start);
		name = via_cap_name((uint8_t)owner->tag);
	} else {
		reg = via_reg_at(via_ext_cap_regs(owner->tag), pos - owner->start);
		name = owner->tag == VIA_OWNER_PLACEHOLDER ? "the hidden first capability"
							   : via_ext_cap_name(owner->tag);
	}
	if (!reg && pos - owner->start < (owner->start < PCI_EXT_START ? 2 : 4))
		(void)snprintf(text, size, "header of %s", name ? name : "a capability");
	else
		(void)snprintf(text, size, "%s of %s at %#x", reg ? reg->name : "byte",
			       name ? name : "a capability", owner->start);
}

static void check_config(struct check *c, const struct inspect_view *view)
{
	const struct via_recording_image *raw = via_recording_raw(c->recording);
	const struct via_recording_image *told = &c->recording->vfio;
	struct via_config_masks *masks = malloc(sizeof(*masks));
	uint8_t *image = malloc(VIA_CONFIG_SIZE_EXPRESS);
	char owner[96];

	if (told->size && told->size != view->config_size) {
		c->n++;
		(void)fprintf(c->out, "config_vfio: recorded %u bytes, here %u\n", told->size,
			      view->config_size);
	}
	if (masks && image) {
		memcpy(image, raw->bytes, VIA_CONFIG_SIZE_EXPRESS);
		via_config_masks_build(masks, image, raw->size,
				       &(struct via_config_policy){.raw_gaps = true});
	}
	for (unsigned int pos = 0; masks && image && pos < told->size && pos < view->config_size;
	     pos++) {
		if (told->bytes[pos] == view->config[pos])
			continue;
		describe_owner(masks, pos, owner, sizeof(owner));
		c->n++;
		(void)fprintf(c->out, "config %03x: recorded %02x, here %02x: %s\n", pos,
			      told->bytes[pos], view->config[pos], owner);
	}
	free(masks);
	free(image);
}

unsigned int inspect_check(const struct inspect_view *view, const struct via_recording *recording,
			   FILE *out)
{
	struct check c = {recording, out, 0};

	each_line(view, check_line, &c);
	check_config(&c, view);
	return c.n;
}
