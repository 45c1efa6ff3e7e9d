/* SPDX-License-Identifier: MIT */
/* The header's masks, and the two lists of capabilities. */
#include "pci/masks.h"
#include "pci/capabilities.h"
#include "pci/regs.h"

#include "base/log.h"

struct builder {
	struct via_config_masks *m;
	uint8_t *image; /* becomes the virtual store */
	unsigned int size;
	const struct via_config_policy *policy;
};

static void own(struct via_config_masks *m, unsigned int start, unsigned int len, uint16_t tag)
{
	for (unsigned int i = start; i < start + len; i++)
		m->owner[i] = (struct via_config_owner){.tag = tag, .start = (uint16_t)start};
	memset(m->virt + start, 0, len);
	memset(m->write + start, 0, len);
	memset(m->raw + start, 0, len);
}

/* pci-config.md 2.2 */
static void header_masks(struct via_config_masks *m)
{
	own(m, 0, PCI_HEADER_SIZE, VIA_OWNER_HEADER);
	mask16(m, PCI_VENDOR_ID, ALL16, 0);
	mask16(m, PCI_DEVICE_ID, ALL16, 0);
	/* The device's own INTx Disable is the interrupt engine's: nobody sees it move. */
	mask16(m, PCI_COMMAND, PCI_COMMAND_INTX_DISABLE, ALL16);
	mask16(m, PCI_STATUS, PCI_STATUS_CAP_LIST, 0);
	via_put_le16(m->w1c + PCI_STATUS, PCI_STATUS_RW1C);
	mask8(m, PCI_CACHE_LINE_SIZE, 0, ALL8);
	mask8(m, PCI_LATENCY_TIMER, 0, ALL8);
	mask8(m, PCI_BIST, 0, ALL8);
	for (unsigned int i = 0; i < VIA_PCI_BARS; i++)
		mask32(m, PCI_BAR(i), ALL32, ALL32);
	mask32(m, PCI_ROM_BAR, ALL32, ALL32);
	mask8(m, PCI_CAPABILITY_LIST, ALL8, 0);
	mask8(m, PCI_INTERRUPT_LINE, ALL8, ALL8);
	mask8(m, PCI_INTERRUPT_PIN, ALL8, 0);
}

/* All of [start, start + len) below end and not owned yet. */
static bool is_free(const struct via_config_masks *m, unsigned int start, unsigned int len,
		    unsigned int end)
{
	if (start >= end || len > end - start)
		return false;
	for (unsigned int i = start; i < start + len; i++) {
		if (m->owner[i].tag != VIA_OWNER_NONE)
			return false;
	}
	return true;
}

/*
 * The length of the capability at cap, which lies in a list whose entries
 * start with header bytes and end before end; 0: it stays hidden.
 */
static unsigned int shown_len(const struct builder *b, const struct via_cap_kind *kind,
			      unsigned int cap, unsigned int header, unsigned int end)
{
	unsigned int len = b->policy->shown ? b->policy->shown[cap / 4] : 0;

	if (kind && !is_free(b->m, cap, kind->min_len, end))
		return 0;
	if (kind)
		len = kind->len ? kind->len(b->image, cap) : kind->min_len;
	if (len < header)
		return 0;
	if (is_free(b->m, cap, len, end))
		return len;
	via_log(VIA_LOG_WARNING, "pci: the capability at %#x does not fit: hidden", cap);
	return 0;
}

/* Its bytes, with all that kind says but the header. */
static void take(struct builder *b, const struct via_cap_kind *kind, uint16_t id, unsigned int cap,
		 unsigned int len)
{
	own(b->m, cap, len, id);
	/* Without a table of ours the device's registers have their own rules. */
	if (!kind || kind->raw)
		memset(b->m->raw + cap, ALL8, len);
	if (kind && kind->masks)
		kind->masks(b->m, b->image, cap);
}

/* --- Conventional: 3.1 ---------------------------------------------------- */

static bool show_capability(struct builder *b, unsigned int cap)
{
	uint8_t id = b->image[cap + PCI_CAP_ID];
	const struct via_cap_kind *kind = via_cap_kind(id);
	unsigned int len = shown_len(b, kind, cap, 2, VIA_CONFIG_SIZE_PCI);

	if (!len)
		return false;
	take(b, kind, id, cap, len);
	b->m->virt[cap + PCI_CAP_NEXT] = ALL8;
	return true;
}

static void walk_capabilities(struct builder *b)
{
	uint8_t *image = b->image;
	unsigned int link = PCI_CAPABILITY_LIST;
	unsigned int cap = image[link] & PCI_CAP_POINTER;
	uint64_t visited = 0;

	while (cap >= PCI_HEADER_SIZE && !(visited >> cap / 4 & 1)) {
		unsigned int next = image[cap + PCI_CAP_NEXT] & PCI_CAP_POINTER;

		visited |= 1ull << cap / 4;
		if (show_capability(b, cap)) {
			image[link] = (uint8_t)cap;
			link = cap + PCI_CAP_NEXT;
		}
		cap = next;
	}
	image[link] = 0;
}

/* --- Extended: 4.1, 4.2 --------------------------------------------------- */

static bool show_extended(struct builder *b, unsigned int cap, uint16_t id)
{
	const struct via_cap_kind *kind = via_ext_cap_kind(id);
	unsigned int len = shown_len(b, kind, cap, PCI_EXT_HEADER_SIZE, b->size);

	if (!len)
		return false;
	take(b, kind, id, cap, len);
	mask32(b->m, cap, ALL32, 0);
	return true;
}

static void set_next(uint8_t *image, unsigned int cap, unsigned int next)
{
	uint32_t rest = via_get_le32(image + cap) & ~PCI_EXT_NEXT;

	via_put_le32(image + cap, rest | next << PCI_EXT_NEXT_SHIFT);
}

static void walk_extended(struct builder *b)
{
	unsigned int cap = PCI_EXT_START, link = PCI_EXT_START;
	uint64_t visited[VIA_CONFIG_DWORDS / 64] = {0};
	bool any = false;

	while (cap >= PCI_EXT_START && cap < b->size && !(visited[cap / 256] >> cap / 4 % 64 & 1)) {
		uint32_t header = via_get_le32(b->image + cap);

		visited[cap / 256] |= 1ull << cap / 4 % 64;
		if (show_extended(b, cap, header & PCI_EXT_ID)) {
			if (cap != link)
				set_next(b->image, link, cap);
			link = cap;
			any = true;
		} else if (cap == PCI_EXT_START) {
			/* The list starts here, so something has to stay: a next pointer. */
			own(b->m, cap, PCI_EXT_HEADER_SIZE, VIA_OWNER_PLACEHOLDER);
			mask32(b->m, cap, ALL32, 0);
			via_put_le32(b->image + cap, 0);
		}
		cap = (header & PCI_EXT_NEXT) >> PCI_EXT_NEXT_SHIFT;
	}
	if (any)
		set_next(b->image, link, 0);
}

/* Is there a second list at all? */
static bool has_extended(const struct builder *b)
{
	uint32_t first;

	if (b->size <= PCI_EXT_START)
		return false;
	first = via_get_le32(b->image + PCI_EXT_START);
	return first && first != ALL32 && (b->m->express || b->m->pcix_2);
}

void via_config_masks_build(struct via_config_masks *masks, uint8_t *image, unsigned int size,
			    const struct via_config_policy *policy)
{
	struct builder b = {masks, image, size, policy};

	memset(masks, 0, sizeof(*masks));
	/* 3.9: nobody's bytes. */
	memset(policy->raw_gaps ? masks->raw : masks->virt, ALL8, sizeof(masks->virt));
	for (unsigned int i = 0; i < VIA_CONFIG_SIZE_EXPRESS; i++)
		masks->owner[i].tag = VIA_OWNER_NONE;
	header_masks(masks);
	if (via_get_le16(image + PCI_STATUS) & PCI_STATUS_CAP_LIST)
		walk_capabilities(&b);
	else
		image[PCI_CAPABILITY_LIST] = 0;
	if (!image[PCI_CAPABILITY_LIST])
		image[PCI_STATUS] &= (uint8_t)~PCI_STATUS_CAP_LIST;
	if (has_extended(&b))
		walk_extended(&b);
	for (unsigned int i = 0; i < size; i++) {
		if (masks->owner[i].tag == VIA_OWNER_NONE)
			image[i] = 0;
	}
}
