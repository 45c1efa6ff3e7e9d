/* SPDX-License-Identifier: MIT */
/*
 * Config space over registers that somebody else keeps: any image, lists that
 * loop, overlap or leave the space among them, then accesses, SET_IRQS,
 * messages and resets. A model of the bits says what each read gives, and the
 * registers say when a write reaches a bit that is not the program's.
 */
#include "fuzz.h"

#include "pci/dev.h"
#include "pci/masks.h"
#include "pci/msix.h"
#include "pci/regs.h"

#include <viaduct/abi/vfio.h>

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define EVENTS 4
#define SIZE VIA_CONFIG_SIZE_EXPRESS

struct state {
	struct via_config *config;
	struct via_irqs *irqs;
	struct via_config_desc desc;
	unsigned int size;
	struct via_config_masks masks; /* what config must have come to as well */
	uint8_t initial[SIZE], value[SIZE], writable[SIZE], w1c[SIZE];
	uint16_t shown[VIA_CONFIG_DWORDS];
	unsigned int failing; /* this dword of the device does not answer; 0: all do */
	bool vpd;
	int events[EVENTS];
	int resample; /* -1: not watched */
	/* As last told. */
	bool memory;
	unsigned int command, power;
};

/* --- The registers --------------------------------------------------------- */

static int registers_read(void *cookie, unsigned int pos, unsigned int width, uint32_t *ret_value)
{
	const struct state *s = cookie;
	uint32_t value = 0;

	FUZZ_CHECK((width == 1 || width == 2 || width == 4) && pos % width == 0);
	FUZZ_CHECK(pos + width <= s->size);
	if (s->failing && pos / 4 == s->failing)
		return -EIO;
	for (unsigned int i = 0; i < width; i++)
		value |= (uint32_t)s->value[pos + i] << 8 * i;
	*ret_value = value;
	return 0;
}

static bool in_register(unsigned int pos, unsigned int start, unsigned int len)
{
	return start && pos >= start && pos < start + len;
}

/* Bits of the byte that a program, or the library for its own ends, may change in the device. */
static uint8_t may_change(const struct state *s, unsigned int pos)
{
	const struct via_config_masks *m = &s->masks;
	uint8_t bits = (uint8_t)(m->raw[pos] ? 0xff : m->write[pos] & ~m->virt[pos]);

	if (pos == PCI_COMMAND)
		bits |= PCI_COMMAND_MASTER;
	/* A wake-up writes all of the register. */
	if (m->pm && pos - (m->pm + PCI_PM_CSR) < 2)
		bits |= (uint8_t)(PCI_PM_CSR_ALL >> 8 * (pos - (m->pm + PCI_PM_CSR)));
	if (m->express && pos == m->express + PCI_EXP_DEVCTL + 1)
		bits |= PCI_EXP_DEVCTL_MRRS >> 8;
	if (s->desc.flags & VIA_CONFIG_RESTORE_BARS &&
	    (in_register(pos, PCI_BAR(0), 4 * VIA_PCI_BARS) || in_register(pos, PCI_ROM_BAR, 4)))
		bits = 0xff;
	return bits;
}

static int registers_write(void *cookie, unsigned int pos, unsigned int width, uint32_t value)
{
	struct state *s = cookie;

	FUZZ_CHECK((width == 1 || width == 2 || width == 4) && pos % width == 0);
	FUZZ_CHECK(pos + width <= s->size);
	if (s->failing && pos / 4 == s->failing)
		return -EIO;
	for (unsigned int i = 0; i < width; i++) {
		unsigned int p = pos + i;
		uint8_t byte = (uint8_t)(value >> 8 * i), old = s->value[p];

		s->value[p] = (uint8_t)((old & ~s->writable[p]) | (byte & s->writable[p]));
		s->value[p] &= (uint8_t) ~(byte & s->w1c[p]);
		/* With a dword that did not answer, the open has come to other masks. */
		FUZZ_CHECK(s->failing || !((s->value[p] ^ old) & ~may_change(s, p)));
	}
	return 0;
}

static void registers_init(void *cookie)
{
	struct state *s = cookie;

	memcpy(s->value, s->initial, sizeof(s->value));
}

static void registers_reset(void *cookie)
{
	struct state *s = cookie;

	for (unsigned int i = 0; i < SIZE; i++)
		s->value[i] &= (uint8_t)~s->w1c[i];
}

static int registers_vpd(void *cookie, bool write, unsigned int address, uint8_t data[4])
{
	const struct state *s = cookie;

	FUZZ_CHECK(address < 0x8000);
	if (!s->vpd)
		return -EIO;
	if (!write)
		via_put_le32(data, address);
	return 0;
}

static const struct via_config_dev_ops registers = {
	.read = registers_read,
	.write = registers_write,
	.init = registers_init,
	.reset = registers_reset,
	.vpd = registers_vpd,
};

/* --- What config space tells ------------------------------------------------ */

static void told_memory(void *cookie, bool on)
{
	struct state *s = cookie;

	FUZZ_CHECK(on != s->memory);
	FUZZ_CHECK(!on || s->power < PCI_D3HOT);
	s->memory = on;
}

static void told_command(void *cookie, uint16_t old, uint16_t now)
{
	struct state *s = cookie;

	FUZZ_CHECK(old == s->command && now != old);
	FUZZ_CHECK(via_config_bus_master(s->config) == !!(now & PCI_COMMAND_MASTER));
	s->command = now;
}

static void told_power(void *cookie, unsigned int old, unsigned int now)
{
	struct state *s = cookie;

	FUZZ_CHECK(old == s->power && now != old && now <= PCI_D3HOT);
	s->power = now;
}

/* A device may refuse a power state, or not answer: it stays where it says that it is. */
static bool in_d0_if_it_can(const struct state *s)
{
	const unsigned int csr = s->masks.pm + PCI_PM_CSR;

	return s->power == PCI_D0 ||
	       (s->masks.pm &&
		(s->failing || (s->writable[csr] & PCI_PM_CSR_STATE) != PCI_PM_CSR_STATE));
}

static void told_reset(void *cookie, enum via_reset kind)
{
	struct state *s = cookie;

	FUZZ_CHECK(!s->memory);
	/* At an open nobody has been told yet what the last close left. */
	if (kind != VIA_RESET_OPEN)
		FUZZ_CHECK(!via_config_bus_master(s->config) && in_d0_if_it_can(s));
}

static const struct via_config_ops hooks = {
	.memory = told_memory,
	.command = told_command,
	.power = told_power,
	.reset = told_reset,
};

/* The engines outlive an input: they find its state here. */
static struct state *the_state;

static int watch(void *cookie, int fd)
{
	struct state *s = *(struct state **)cookie;

	FUZZ_CHECK(s->resample < 0);
	s->resample = fd;
	return 0;
}

static void unwatch(void *cookie, int fd)
{
	struct state *s = *(struct state **)cookie;

	FUZZ_CHECK(s->resample == fd && fcntl(fd, F_GETFD) >= 0);
	s->resample = -1;
}

static const struct via_irqs_ops irqs_ops = {.watch = watch, .unwatch = unwatch};

/* --- From the input to a function ------------------------------------------- */

static void put_some(struct state *s, struct fuzz_input *in, unsigned int at, unsigned int len)
{
	uint8_t bytes[16];

	fuzz_bytes(in, bytes, len);
	for (unsigned int i = 0; i < len && at + i < SIZE; i++)
		s->initial[at + i] = bytes[i];
}

/* Bytes, or a capability after the last one: any id at any place with any body. */
static void make_image(struct state *s, struct fuzz_input *in)
{
	unsigned int link = PCI_CAPABILITY_LIST, ext = 0;

	for (unsigned int n = 0; n < 48 && in->left; n++) {
		uint8_t kind = fuzz_u8(in);
		unsigned int len = kind >> 4, at, id;

		switch (kind & 3) {
		case 0:
			put_some(s, in, fuzz_u16(in) % s->size, len + 1);
			break;
		case 1:
			at = fuzz_u8(in);
			s->initial[link] = (uint8_t)at;
			at &= 0xfc;
			s->initial[at] = fuzz_u8(in);
			link = at + PCI_CAP_NEXT;
			put_some(s, in, at + 2, len);
			break;
		case 2:
			at = ext ? fuzz_u16(in) & 0xffc : PCI_EXT_START;
			id = kind & 4 ? fuzz_u16(in) : fuzz_u8(in);
			if (ext)
				via_put_le16(s->initial + ext + 2, (uint16_t)(at << 4 | 1));
			via_put_le16(s->initial + at, (uint16_t)id);
			ext = at;
			put_some(s, in, at + 4, len);
			if (kind & 8)
				s->shown[at / 4] = (uint16_t)(fuzz_u8(in) * 2u);
			break;
		default:
			return;
		}
	}
}

static void make_bars(struct state *s, struct fuzz_input *in)
{
	static const unsigned int flags[] = {VIA_BAR_MEM32, VIA_BAR_IO, VIA_BAR_MEM64,
					     VIA_BAR_MEM64 | VIA_BAR_PREFETCH};

	for (unsigned int i = 0; i < VIA_PCI_BARS; i++) {
		uint8_t what = fuzz_u8(in);

		if (what)
			s->desc.bars[i] =
				(struct via_config_bar){1ull << (what >> 2 & 63), flags[what & 3]};
	}
	s->desc.rom_size = 1u << fuzz_u8(in) % 25;
	s->desc.rom_size = s->desc.rom_size < 2048 ? 0 : s->desc.rom_size;
	/* What a device would refuse never comes here. */
	if (via_config_desc_check(&s->desc, NULL) < 0)
		memset(s->desc.bars, 0, sizeof(s->desc.bars));
}

/*
 * Which bits of the device change: all, none, or some. Bits that are known to
 * be cleared by writing one are so, or do not change.
 */
static void make_writable(struct state *s, unsigned int how)
{
	for (unsigned int i = 0; i < SIZE; i++) {
		uint8_t some = (uint8_t)(i * 0x9du >> 2);

		s->writable[i] = (uint8_t)(how == 0 ? 0 : how == 1 ? 0xff : some);
		s->w1c[i] = how & 1 ? s->masks.w1c[i] : 0;
		s->writable[i] &= (uint8_t)~s->masks.w1c[i];
	}
	/* What the host switches off can be switched off. */
	s->writable[PCI_COMMAND] |= PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
}

/*
 * An interrupt engine is slow to make and to free, so each kind is made once:
 * with the vectors of the capabilities, but three sizes of MSI-X are enough.
 */
static struct via_irqs *get_irqs(const struct via_irqs_desc *desc)
{
	static struct kept {
		struct via_irqs_desc desc;
		struct via_irqs *irqs;
	} kept[FUZZ_FDS / 4];
	static unsigned int n;

	for (unsigned int i = 0; i < n; i++)
		if (!memcmp(&kept[i].desc, desc, sizeof(*desc)))
			return kept[i].irqs;
	FUZZ_CHECK(n < sizeof(kept) / sizeof(kept[0]));
	kept[n].desc = *desc;
	FUZZ_CHECK(via_irqs_new(desc, &irqs_ops, &the_state, &kept[n].irqs) == 0);
	return kept[n++].irqs;
}

static void make_irqs(struct state *s)
{
	const uint8_t *v = s->initial;
	unsigned int msi = s->masks.msi, msix = s->masks.msix;
	struct via_irqs_desc desc;

	memset(&desc, 0, sizeof(desc));
	desc.intx = v[PCI_INTERRUPT_PIN] && !(s->desc.flags & VIA_CONFIG_VF);
	desc.express = s->masks.express;
	if (msi) {
		unsigned int control = via_get_le16(v + msi + PCI_MSI_CONTROL);
		unsigned int mmc = (control & PCI_MSI_CONTROL_MMC) >> PCI_MSI_CONTROL_MMC_SHIFT;

		desc.msi = (uint8_t)(1u << (mmc > 5 ? 5 : mmc));
		desc.msi_maskable = control & PCI_MSI_CONTROL_MASKABLE;
	}
	if (msix)
		desc.msix = v[msix + PCI_MSIX_CONTROL] > 64 ? 2048 : 5;
	s->irqs = get_irqs(&desc);
	via_irqs_release(s->irqs, true);
	via_irqs_reset(s->irqs);
	via_irqs_set_bus_master(s->irqs, false);
	via_irqs_set_intx_disable(s->irqs, false);
	via_irqs_set_power(s->irqs, PCI_D0);
}

static void make(struct state *s, struct fuzz_input *in)
{
	struct via_config_dev dev = {.ops = &registers, .cookie = s};
	uint8_t how = fuzz_u8(in), more = fuzz_u8(in);
	struct via_config_policy policy = {.raw_gaps = how & VIA_CONFIG_RAW_GAPS};
	uint8_t image[SIZE];

	s->resample = -1;
	s->desc.flags = how & (VIA_CONFIG_RAW_GAPS | VIA_CONFIG_RESTORE_BARS | VIA_CONFIG_VF);
	s->size = dev.size = how & 0x10 ? VIA_CONFIG_SIZE_PCI : SIZE;
	s->vpd = how & 0x20;
	make_bars(s, in);
	if (!(how & 0x40))
		s->initial[PCI_STATUS] = PCI_STATUS_CAP_LIST;
	make_image(s, in);
	if (how & 0x80)
		policy.shown = dev.shown = s->shown;
	memcpy(image, s->initial, SIZE);
	via_config_masks_build(&s->masks, image, s->size, &policy);
	if (s->desc.flags & VIA_CONFIG_VF)
		s->masks.virt[PCI_COMMAND] |= PCI_COMMAND_MEMORY;
	make_writable(s, more & 3);
	make_irqs(s);
	registers_init(s);
	FUZZ_CHECK(via_config_new_on(&dev, &s->desc, &hooks, s, s->irqs, &s->config) == 0);
	FUZZ_CHECK(via_config_size(s->config) == s->size);
	s->command = via_get_le16(image + PCI_COMMAND) & ~(unsigned int)PCI_COMMAND_MASTER;
	if (s->desc.flags & VIA_CONFIG_VF)
		s->command |= PCI_COMMAND_MEMORY;
	/* Not COMMAND: what does not answer there is taken for switched on. */
	if (more & 4)
		s->failing = 2 + (more >> 3);
}

/* --- What must hold ---------------------------------------------------------- */

static void check_byte(const struct state *s, unsigned int pos, uint8_t now, uint8_t want,
		       unsigned int bits)
{
	if (!((now ^ want) & bits))
		return;
	fprintf(stderr, "%#x of what starts at %#x is %#x and not %#x (bits %#x)\n", pos,
		s->masks.owner[pos].start, now, want, bits);
	abort();
}

static void read_all(const struct state *s, uint8_t *bytes)
{
	FUZZ_CHECK(via_config_read(s->config, 0, bytes, s->size) == (ssize_t)s->size);
}

/* Each capability once, inside the space, and an end. */
static void check_lists(const struct state *s, const uint8_t *now)
{
	bool seen[VIA_CONFIG_DWORDS] = {false};
	unsigned int at = now[PCI_CAPABILITY_LIST];

	FUZZ_CHECK(!!(now[PCI_STATUS] & PCI_STATUS_CAP_LIST) == (at != 0));
	for (; at; at = now[at + PCI_CAP_NEXT]) {
		FUZZ_CHECK(at >= PCI_HEADER_SIZE && at < VIA_CONFIG_SIZE_PCI && at % 4 == 0);
		FUZZ_CHECK(!seen[at / 4] && s->masks.owner[at].start == at);
		seen[at / 4] = true;
	}
	/* Without an owner of its start there is no second list, only bytes. */
	if (s->size < SIZE || s->masks.owner[PCI_EXT_START].tag == VIA_OWNER_NONE)
		return;
	for (at = PCI_EXT_START; at; at = via_get_le16(now + at + 2) >> 4 & 0xffc) {
		FUZZ_CHECK(at >= PCI_EXT_START && at <= SIZE - 4 && at % 4 == 0);
		FUZZ_CHECK(!seen[at / 4] && s->masks.owner[at].start == at);
		seen[at / 4] = true;
	}
}

/* A byte that more than a write to it changes: pending messages, product data. */
static bool is_live(const struct state *s, unsigned int pos)
{
	return in_register(pos, s->masks.msi, PCI_MSI_SIZE(true, true)) ||
	       in_register(pos, s->masks.vpd, PCI_VPD_SIZE);
}

/* What all widths give is the same, and the device's part of it is the device's. */
static void check_reads(const struct state *s, const uint8_t *now)
{
	for (unsigned int i = 0; i < s->size; i++) {
		unsigned int width = 1u << i % 3, pos = i & ~(width - 1);
		uint8_t bytes[4];

		/* Not all, which would be slow: 7 has no factor in common with the rest. */
		if (i % 7 == 0 && pos + width <= s->size) {
			FUZZ_CHECK(via_config_read(s->config, pos, bytes, width) == (ssize_t)width);
			FUZZ_CHECK(!memcmp(bytes, now + pos, width));
		}
		check_byte(s, i, now[i], s->value[i], ~s->masks.virt[i] & 0xffu);
	}
}

static void check_msi(const struct state *s, const uint8_t *now)
{
	unsigned int control;

	if (!s->masks.msi)
		return;
	control = now[s->masks.msi + PCI_MSI_CONTROL];
	FUZZ_CHECK(!(control & PCI_MSI_CONTROL_ENABLE) || via_irqs_armed(s->irqs, VIA_IRQ_MSI) ||
		   !via_irqs_message_mode(s->irqs));
	FUZZ_CHECK((control & PCI_MSI_CONTROL_MME) >> PCI_MSI_CONTROL_MME_SHIFT <= 5);
}

/* Bits of a BAR that stay as they are whatever is written. */
static void check_bars(const struct state *s, const uint8_t *now)
{
	for (unsigned int i = 0; i < VIA_PCI_BARS; i++) {
		const struct via_config_bar *bar = &s->desc.bars[i];
		uint32_t value = via_get_le32(now + PCI_BAR(i));

		if (!bar->size)
			continue;
		FUZZ_CHECK(bar->flags & VIA_BAR_IO
				   ? (value & 3) == 1
				   : (value & 7) == (bar->flags & VIA_BAR_MEM64 ? 4 : 0));
		FUZZ_CHECK(!(value & (uint32_t)(bar->size - 1) & ~0xfu));
	}
}

static void check(const struct state *s)
{
	uint8_t now[SIZE];

	/* Such an open has read other registers. */
	if (s->failing)
		return;
	FUZZ_CHECK(!memcmp(via_config_masks_of(s->config), &s->masks, sizeof(s->masks)));
	via_config_device_bytes(s->config, now);
	FUZZ_CHECK(!memcmp(now, s->value, s->size));
	read_all(s, now);
	check_lists(s, now);
	check_reads(s, now);
	check_msi(s, now);
	check_bars(s, now);
}

/* What is around an access; the rest is looked at in the end. */
struct window {
	unsigned int start, len;
	uint8_t bytes[128];
};

static void read_window(const struct state *s, struct window *w, unsigned int pos)
{
	w->start = pos < 64 ? 0 : (pos - 32) & ~31u;
	w->len = s->size - w->start < sizeof(w->bytes) ? s->size - w->start : sizeof(w->bytes);
	FUZZ_CHECK(via_config_read(s->config, w->start, w->bytes, w->len) == (ssize_t)w->len);
}

/* The bits that a write may change, with the value that they have afterwards, but for hooks. */
static void check_write(const struct state *s, const struct window *before, unsigned int pos,
			const uint8_t *bytes, unsigned int len)
{
	const struct via_config_masks *m = &s->masks;
	struct window now;

	read_window(s, &now, pos);
	for (unsigned int n = 0; n < now.len; n++) {
		unsigned int i = now.start + n;
		uint8_t write = m->raw[i] ? 0 : m->write[i] & m->virt[i];
		uint8_t want = before->bytes[n];

		if (is_live(s, i))
			continue;
		if (i >= pos && i < pos + len) {
			if (i >= PCI_BAR(0) && i < PCI_ROM_BAR + 4u)
				continue;
			if (m->express && i == m->express + PCI_EXP_DEVCTL + 1)
				write &= (uint8_t) ~(PCI_EXP_DEVCTL_FLR >> 8);
			if (m->af && i == m->af + PCI_AF_CONTROL)
				write &= (uint8_t)~PCI_AF_CONTROL_FLR;
			want = (uint8_t)((want & ~write) | (bytes[i - pos] & write));
		}
		check_byte(s, i, now.bytes[n], want, m->virt[i]);
	}
}

/* --- Steps ------------------------------------------------------------------- */

static unsigned int take_pos(const struct state *s, struct fuzz_input *in, uint8_t how)
{
	unsigned int pos = how & 0x80 ? fuzz_u16(in) : fuzz_u8(in);

	return pos % (s->size + 4);
}

static void step_write(struct state *s, struct fuzz_input *in)
{
	uint8_t how = fuzz_u8(in), bytes[8];
	struct window before;
	unsigned int pos = take_pos(s, in, how), len = how & 7;
	bool inside;
	ssize_t n;

	len = len == 7 ? 8 : len;
	inside = pos < s->size && len <= s->size - pos;
	fuzz_bytes(in, bytes, len);
	if (!s->failing && inside)
		read_window(s, &before, pos);
	n = via_config_write(s->config, pos, bytes, len);
	if (s->failing && n == -EIO)
		return;
	FUZZ_CHECK(n == (len && !inside ? -EFAULT : (ssize_t)len));
	if (n > 0 && !s->failing)
		check_write(s, &before, pos, bytes, len);
}

static void step_read(struct state *s, struct fuzz_input *in)
{
	uint8_t how = fuzz_u8(in);
	unsigned int pos = take_pos(s, in, how), len = fuzz_u8(in);
	uint8_t bytes[256];
	bool inside = pos < s->size && len <= s->size - pos;
	ssize_t n = via_config_read(s->config, pos, bytes, len);

	FUZZ_CHECK(n == (len && !inside ? -EFAULT : (ssize_t)len) || (s->failing && n == -EIO));
}

static int fd_get(void *cookie, int fd, int *ret_fd)
{
	const struct state *s = cookie;

	if (fd < 0 || fd > EVENTS)
		return -EBADF;
	*ret_fd = fcntl(fd == EVENTS ? STDIN_FILENO : s->events[fd], F_DUPFD_CLOEXEC, 0);
	FUZZ_CHECK(*ret_fd >= 0);
	return 0;
}

static void step_irqs(struct state *s, struct fuzz_input *in)
{
	static const uint32_t data[] = {1, 2, 4, 4}, action[] = {8, 16, 32, 32};
	uint8_t how = fuzz_u8(in), numbers = fuzz_u8(in);
	int32_t fds[8];
	uint8_t bools[8];
	struct via_set_irqs set = {
		.index = how & 7,
		.flags = data[how >> 3 & 3] | action[how >> 5 & 3],
		.start = numbers & 7,
		.count = numbers >> 3 & 7,
		.bools = bools,
		.fds = fds,
		.fd_get = fd_get,
		.cookie = s,
	};
	size_t len = 0;
	int r;

	for (unsigned int i = 0; i < 8; i++) {
		/* Mostly eventfds; -1, -2 and one that is none too. */
		fds[i] = numbers & 0x80 ? (int)(fuzz_u8(in) % 7) - 2 : (int)(i % EVENTS);
		bools[i] = fds[i] & 1;
	}
	if (numbers & 0x40)
		set.flags ^= fuzz_u8(in);
	r = via_irqs_check(s->irqs, fuzz_u8(in) ? 20 : 20 + 4 * set.count, &set, &len);
	FUZZ_CHECK(r == 0 || r == -EINVAL);
	FUZZ_CHECK(r || len <= 4 * set.count);
	r = via_irqs_set(s->irqs, &set);
	FUZZ_CHECK(r <= 0 && r >= -4095);
}

static void step_table(struct state *s, struct fuzz_input *in)
{
	uint8_t how = fuzz_u8(in);
	unsigned int width = 1u << (how & 3), offset = fuzz_u8(in);
	uint64_t value = how & 4 ? fuzz_u32(in) : (how >> 3 & 1) * ~0ull;

	via_msix_table_write(s->irqs, offset, width, value);
	(void)via_msix_table_read(s->irqs, offset, width);
	(void)via_msix_pba_read(s->irqs, offset, width);
}

/*
 * 6.5: virtual registers stay; of the device's only latched status and the power
 * state go, and what a function has to be woken for (3.3): all of its power
 * management register, and what was written in D3hot if that loses the rest.
 */
static void step_reset(struct state *s)
{
	const unsigned int csr = s->masks.pm + PCI_PM_CSR;
	uint8_t before[SIZE], now[SIZE];
	bool woken, restored;

	if (s->failing) {
		via_config_reset(s->config, VIA_RESET_IOCTL);
		return;
	}
	read_all(s, before);
	woken = s->masks.pm && s->power != PCI_D0;
	restored = woken && s->power == PCI_D3HOT && !(before[csr] & PCI_PM_CSR_NO_SOFT_RESET);
	via_config_reset(s->config, VIA_RESET_IOCTL);
	read_all(s, now);
	FUZZ_CHECK(in_d0_if_it_can(s));
	for (unsigned int i = 0; i < s->size; i++) {
		unsigned int lost = ~s->masks.virt[i] & s->w1c[i];

		if (s->masks.pm && i == csr)
			lost |= PCI_PM_CSR_STATE;
		if (woken && (i == csr || i == csr + 1))
			lost |= ~s->masks.virt[i];
		if (restored)
			lost |= ~s->masks.virt[i] & s->masks.write[i];
		check_byte(s, i, now[i], before[i], is_live(s, i) ? 0 : ~lost);
	}
}

static void step_reopen(struct state *s)
{
	uint8_t first[SIZE], now[SIZE];

	via_config_close(s->config);
	FUZZ_CHECK(!s->memory && s->resample < 0 && !via_irqs_message_mode(s->irqs));
	if (!s->failing)
		read_all(s, first);
	via_config_open(s->config);
	if (s->failing)
		return;
	read_all(s, now);
	FUZZ_CHECK(!memcmp(first, now, s->size));
}

/* One message is at most one event or one that is counted as lost. */
static void step_trigger(struct state *s, unsigned int vector)
{
	uint64_t before = via_irqs_delivered(s->irqs) + via_irqs_dropped(s->irqs);

	via_irqs_trigger(s->irqs, vector);
	FUZZ_CHECK(via_irqs_delivered(s->irqs) + via_irqs_dropped(s->irqs) - before <= 1);
}

static void step(struct state *s, struct fuzz_input *in)
{
	uint8_t kind = fuzz_u8(in);

	switch (kind & 15) {
	case 0:
	case 1:
	case 2:
	case 3:
	case 4:
		step_write(s, in);
		break;
	case 5:
		step_read(s, in);
		break;
	case 6:
	case 7:
		step_irqs(s, in);
		break;
	case 8:
		step_trigger(s, kind >> 4);
		break;
	case 9:
		via_irqs_set_level(s->irqs, kind & 0x10);
		break;
	case 10:
		step_table(s, in);
		break;
	case 11:
		via_irqs_notify(s->irqs, kind & 0x10 ? VIA_IRQ_ERR : VIA_IRQ_REQ);
		break;
	case 12:
		if (kind & 0x10)
			(void)eventfd_write(s->events[kind >> 5 & 3], 1);
		via_irqs_resample(s->irqs);
		break;
	case 13:
		/* Behind our back: a register of the device changes by itself. */
		if (s->desc.flags & VIA_CONFIG_RESTORE_BARS)
			memset(s->value + PCI_COMMAND, 0, 2);
		break;
	case 14:
		step_reset(s);
		break;
	default:
		step_reopen(s);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	struct state *s = calloc(1, sizeof(*s));
	unsigned int fds;

	FUZZ_CHECK(s);
	the_state = s;
	make(s, &in);
	fds = fuzz_count_fds();
	for (int i = 0; i < EVENTS; i++)
		FUZZ_CHECK((s->events[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) >= 0);
	via_config_open(s->config);
	FUZZ_CHECK(!via_config_bus_master(s->config));
	check(s);
	for (int i = 0; i < FUZZ_STEPS && in.left; i++)
		step(s, &in);
	check(s);
	via_config_close(s->config);
	via_config_free(s->config);
	for (int i = 0; i < EVENTS; i++)
		close(s->events[i]);
	free(s);
	FUZZ_CHECK(fuzz_count_fds() == fds);
	return 0;
}
