/* SPDX-License-Identifier: MIT */
/*
 * Descriptions of functions as models write them, right and wrong: refused
 * with a reason, or config space has each capability once, where and as long
 * as it was asked for, and what a program does to it stays inside.
 */
#include "fuzz.h"

#include "pci/config.h"
#include "pci/dev.h"
#include "pci/regs.h"

#include <errno.h>

#define CAPS 6

struct state {
	struct via_config_desc desc;
	struct via_pci_cap caps[CAPS];
	uint8_t body[CAPS][64], writable[CAPS][64];
	uint32_t budget[4];
	unsigned int told; /* writes that the model heard of */
};

static void told_vendor(void *cookie, unsigned int pos, unsigned int width, uint32_t value)
{
	struct state *s = cookie;

	FUZZ_CHECK(pos >= PCI_HEADER_SIZE && (width == 1 || width == 2 || width == 4));
	s->told++;
}

static const struct via_config_ops hooks = {.vendor = told_vendor};

/* Values that mean something more often than not. */
static void make_header(struct state *s, struct fuzz_input *in)
{
	static const uint64_t sizes[] = {0, 0, 16, 4096, 1 << 20, 1ull << 33, 64, 3};
	uint8_t flags = fuzz_u8(in), more = fuzz_u8(in);

	s->desc.flags = flags & VIA_CONFIG_SHOW_ALL;
	s->desc.express.present = flags & 1;
	s->desc.express.integrated = flags & 2;
	s->desc.power_management = flags & 4;
	s->desc.ident.interrupt_pin = flags >> 4 & 3;
	if (flags & 0x40)
		s->desc.msi = (struct via_pci_msi){.vectors = (uint8_t)(1u << (more & 7)),
						   .addr64 = more & 8,
						   .maskable = more & 16};
	if (flags & 0x80)
		s->desc.msix = (struct via_pci_msix){.vectors = fuzz_u16(in) % 2100u,
						     .table_bar = more >> 5,
						     .pba_bar = more >> 5,
						     .pba_offset = fuzz_u16(in)};
	for (unsigned int i = 0; i < VIA_PCI_BARS; i++) {
		uint8_t bar = fuzz_u8(in);

		s->desc.bars[i] = (struct via_config_bar){sizes[bar & 7], bar >> 3 & 15};
	}
	if (more == 0xff) {
		s->desc.rom_size = fuzz_u32(in);
		s->desc.ident.class_code = fuzz_u32(in);
		s->desc.ident.interrupt_pin = fuzz_u8(in);
		s->desc.express.max_payload = fuzz_u8(in);
	}
}

static struct via_pci_bytes make_body(struct state *s, unsigned int i, struct fuzz_input *in)
{
	uint8_t len = fuzz_u8(in);

	/* One that is too long has no bytes to be copied. */
	if (len >= 0xf0)
		return (struct via_pci_bytes){.len = (uint16_t)(len << 4)};
	len &= 63;
	fuzz_bytes(in, s->body[i], len);
	memset(s->writable[i], len & 1 ? 0xff : 0x0f, len);
	return (struct via_pci_bytes){
		.value = s->body[i], .writable = len & 2 ? s->writable[i] : NULL, .len = len};
}

static void make_cap(struct state *s, unsigned int i, struct fuzz_input *in)
{
	struct via_pci_cap *cap = &s->caps[i];

	cap->kind = (enum via_pci_cap_kind)(fuzz_u8(in) % (VIA_CAP_SRIOV + 1));
	cap->offset = fuzz_u8(in) & 1 ? fuzz_u16(in) & 0x1fff : 0;
	switch (cap->kind) {
	case VIA_CAP_VPD:
		cap->vpd.data = s->body[i];
		cap->vpd.len = fuzz_u8(in) % 65u;
		cap->vpd.writable = fuzz_u8(in) & 1;
		if (cap->vpd.len == 64)
			cap->vpd.len = 32769;
		break;
	case VIA_CAP_VENDOR:
		cap->vendor = make_body(s, i, in);
		break;
	case VIA_CAP_DSN:
		cap->dsn = fuzz_u64(in);
		break;
	case VIA_CAP_ACS:
		cap->acs.capability = fuzz_u8(in);
		cap->acs.egress_bits = fuzz_u16(in) % 300u;
		break;
	case VIA_CAP_ARI:
		cap->ari = fuzz_u8(in);
		break;
	case VIA_CAP_ATS:
		cap->ats.queue_depth = fuzz_u8(in);
		cap->ats.page_aligned = cap->ats.queue_depth & 0x80;
		break;
	case VIA_CAP_PRI:
		cap->pri = fuzz_u32(in);
		break;
	case VIA_CAP_PASID:
		cap->pasid.width = fuzz_u8(in) % 24u;
		cap->pasid.execute = true;
		break;
	case VIA_CAP_REBAR:
		for (unsigned int n = 0; n < VIA_PCI_BARS; n++) {
			uint8_t sizes = fuzz_u8(in);

			cap->rebar[n] = sizes & 0xc0 ? 0 : sizes << (sizes & 15);
		}
		break;
	case VIA_CAP_TPH:
		cap->tph = fuzz_u8(in) % 70u;
		break;
	case VIA_CAP_POWER_BUDGET:
		cap->power_budget.data = s->budget;
		cap->power_budget.n = fuzz_u8(in) % 5u;
		break;
	case VIA_CAP_SRIOV:
		cap->sriov.total = fuzz_u8(in) % 70u;
		cap->sriov.offset = fuzz_u16(in);
		cap->sriov.stride = fuzz_u16(in);
		cap->sriov.page_sizes = fuzz_u8(in) & 1 ? fuzz_u32(in) : 0;
		for (unsigned int n = 0; n < VIA_PCI_BARS; n++) {
			uint8_t bar = fuzz_u8(in);

			cap->sriov.bars[n].size = bar & 3 ? 0 : 1ull << (bar >> 2);
			cap->sriov.bars[n].flags = bar >> 4 & 7;
		}
		break;
	case VIA_CAP_VENDOR_EXT:
		cap->vendor_ext.id = fuzz_u16(in);
		cap->vendor_ext.body = make_body(s, i, in);
		break;
	case VIA_CAP_DVSEC:
		cap->dvsec.vendor = fuzz_u16(in);
		cap->dvsec.body = make_body(s, i, in);
		break;
	case VIA_CAP_OTHER:
	case VIA_CAP_OTHER_EXT:
		/* Not one that the library knows by another kind, with a length of its own. */
		cap->other.id = fuzz_u16(in) | 0x40;
		cap->other.version = fuzz_u8(in);
		cap->other.body = make_body(s, i, in);
		break;
	default:
		break;
	}
}

static void make(struct state *s, struct fuzz_input *in)
{
	make_header(s, in);
	s->desc.caps = s->caps;
	s->desc.n_caps = fuzz_u8(in) % (CAPS + 1);
	for (unsigned int i = 0; i < s->desc.n_caps; i++)
		make_cap(s, i, in);
	for (unsigned int i = 0; i < 4; i++)
		s->budget[i] = 0x01010101u * (i + 1);
}

/* How many capabilities the program finds; seen has the places. */
static unsigned int walk(const uint8_t *now, size_t size, bool *seen)
{
	unsigned int at = now[PCI_CAPABILITY_LIST], n = 0;

	FUZZ_CHECK(!!(now[PCI_STATUS] & PCI_STATUS_CAP_LIST) == (at != 0));
	for (; at; at = now[at + PCI_CAP_NEXT], n++) {
		FUZZ_CHECK(at >= PCI_HEADER_SIZE && at < VIA_CONFIG_SIZE_PCI && at % 4 == 0);
		FUZZ_CHECK(!seen[at / 4]);
		seen[at / 4] = true;
	}
	if (size <= PCI_EXT_START)
		return n;
	for (at = PCI_EXT_START; at; at = via_get_le16(now + at + 2) >> 4 & 0xffc) {
		FUZZ_CHECK(at >= PCI_EXT_START && at <= size - 4 && at % 4 == 0 && !seen[at / 4]);
		seen[at / 4] = true;
		/* An empty header stands at the start of a list without capability there. */
		n += via_get_le16(now + at) != 0;
	}
	return n;
}

static unsigned int n_named(const struct via_config_desc *desc)
{
	return desc->power_management + (desc->msi.vectors != 0) + desc->express.present +
	       (desc->msix.vectors != 0);
}

static void check(const struct state *s, struct via_config *config)
{
	size_t size = via_config_size(config);
	bool seen[VIA_CONFIG_SIZE_EXPRESS / 4] = {false};
	uint8_t now[VIA_CONFIG_SIZE_EXPRESS];
	unsigned int n;

	FUZZ_CHECK(via_config_read(config, 0, now, size) == (ssize_t)size);
	n = walk(now, size, seen);
	FUZZ_CHECK(n >= n_named(&s->desc) && n <= n_named(&s->desc) + s->desc.n_caps);
	if (!(s->desc.flags & VIA_CONFIG_SHOW_ALL))
		return;
	FUZZ_CHECK(n == n_named(&s->desc) + s->desc.n_caps);
	for (unsigned int i = 0; i < s->desc.n_caps; i++)
		FUZZ_CHECK(!s->caps[i].offset || seen[s->caps[i].offset / 4]);
}

/* Read, write, and what the program may not change comes back. */
static void access_config(struct via_config *config, struct fuzz_input *in)
{
	unsigned int size = (unsigned int)via_config_size(config);
	uint8_t how = fuzz_u8(in), bytes[4];
	unsigned int pos = (how & 0x80 ? fuzz_u16(in) : fuzz_u8(in)) % size, len = (how & 3) + 1u;
	bool inside = len <= size - pos;

	fuzz_bytes(in, bytes, len);
	if (how & 0x40)
		FUZZ_CHECK(via_config_read(config, pos, bytes, len) ==
			   (inside ? (ssize_t)len : -EFAULT));
	else
		FUZZ_CHECK(via_config_write(config, pos, bytes, len) ==
			   (inside ? (ssize_t)len : -EFAULT));
}

/* A transfer of product data: the flag flips when it is done, or the address was none. */
static void access_vpd(struct via_config *config, struct fuzz_input *in)
{
	uint8_t now[VIA_CONFIG_SIZE_PCI], address[2];
	unsigned int at;

	FUZZ_CHECK(via_config_read(config, 0, now, sizeof(now)) == sizeof(now));
	for (at = now[PCI_CAPABILITY_LIST]; at && now[at] != PCI_CAP_ID_VPD; at = now[at + 1])
		;
	if (!at)
		return;
	via_put_le16(address, fuzz_u16(in) & 0x807f);
	FUZZ_CHECK(via_config_write(config, at + PCI_VPD_ADDRESS, address, 2) == 2);
}

static void use(struct state *s, struct via_config *config, struct fuzz_input *in)
{
	via_config_open(config);
	check(s, config);
	for (int i = 0; i < FUZZ_STEPS && in->left; i++) {
		switch (*in->at & 0x3c) {
		case 0x3c:
			(void)fuzz_u8(in);
			via_config_reset(config, VIA_RESET_IOCTL);
			break;
		case 0x38:
			(void)fuzz_u8(in);
			access_vpd(config, in);
			break;
		default:
			access_config(config, in);
		}
	}
	/* Raw bodies take what is written, the headers that link them do not. */
	if (!(s->desc.flags & VIA_CONFIG_SHOW_ALL))
		check(s, config);
	via_config_close(config);
	check(s, config);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* Slow to make, so made once and never freed; nothing is armed here. */
	static const struct via_irqs_desc irqs_desc = {.intx = true, .msi = 32, .msix = 2048};
	static struct via_irqs *irqs;
	struct fuzz_input in = {data, size};
	struct state *s = calloc(1, sizeof(*s));
	struct via_error err = {0};
	struct via_config *config;
	int r;

	FUZZ_CHECK(s);
	FUZZ_CHECK(irqs || via_irqs_new(&irqs_desc, NULL, NULL, &irqs) == 0);
	make(s, &in);
	r = via_config_new(&s->desc, &hooks, s, irqs, &err, &config);
	FUZZ_CHECK(r == 0 || (r == -EINVAL && err.text[0]));
	if (!r) {
		use(s, config, &in);
		via_config_free(config);
	}
	free(s);
	return 0;
}
