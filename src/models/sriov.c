/* SPDX-License-Identifier: MIT */
/*
 * A card for trying SR-IOV: a physical function and up to 64 virtual ones. Each
 * has a copy engine of its own, which combines what it copies with a key, and
 * each virtual function has a mailbox that only it and the physical one see.
 *
 * BAR 0, registers of 32 bits:
 *	00 ID		0x5f100000, of virtual function n 0x5f110000 + n
 *	04 STATUS	1 busy; 2 done, 4 failed, 8 message: write ones to clear
 *	08 SRC, 10 DST	addresses of 64 bits, low half first
 *	18 LENGTH	bytes, at most 1 MiB
 *	1c KEY		each byte is combined with one of its four, in turn, by exclusive or
 *	20 COMMAND	write 1: copy; message 0 when it is over
 *	24 COPIES	how many have been done since the last reset
 *	28 SEND		virtual only: a word for the physical function
 *	2c RECEIVED	virtual only: the last word from it, announced by message 1
 *	30 SENDERS	physical only, 64 bits: bit n, virtual function n has sent;
 *			announced by message 1, write ones to clear
 *	100 + 8 n	physical only: what virtual function n has sent
 *	104 + 8 n	physical only: a word for virtual function n
 * BAR 3 has the MSI-X table.
 */
#include "models/catalogue.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#define VENDOR 0x1234u
#define PF_DEVICE 0x5f10u
#define VF_DEVICE 0x5f11u
#define MAX_VFS 64u
#define BAR_SIZE 0x4000u
#define PBA 0x2000u
#define MAX_LENGTH (1u << 20)

/* igb's. */
#define VF_OFFSET 128u
#define VF_STRIDE 2u

enum {
	REG_ID = 0x00,
	REG_STATUS = 0x04,
	REG_SRC = 0x08,
	REG_DST = 0x10,
	REG_LENGTH = 0x18,
	REG_KEY = 0x1c,
	REG_COMMAND = 0x20,
	REG_COPIES = 0x24,
	REG_SEND = 0x28,
	REG_RECEIVED = 0x2c,
	REG_SENDERS = 0x30,
	REG_BOXES = 0x100,
};

#define STATUS_BUSY 1u
#define STATUS_DONE 2u
#define STATUS_FAILED 4u
#define STATUS_MESSAGE 8u
#define STATUS_LATCHED (STATUS_DONE | STATUS_FAILED | STATUS_MESSAGE)

#define VECTOR_COPY 0u
#define VECTOR_MAIL 1u

/* What all functions share. */
struct card {
	struct via_device *pf; /* constant once there are virtual functions */
	unsigned int n_vfs;    /* constant */
	struct via_device_desc desc;
	struct via_pci_cap caps[3];

	pthread_mutex_t lock; /* a leaf; all below */
	uint64_t senders;
	struct {
		uint32_t to_pf, to_vf;
		bool mail; /* to_vf is new */
	} boxes[MAX_VFS];
};

struct function {
	struct card *card; /* owned by the physical function */
	bool virtual;
	unsigned int index;
	/* The device's lock: all below. */
	uint32_t status, length, key, copies, resets;
	uint64_t src, dst;
};

/* --- mail ------------------------------------------------------------------ */

static void vf_send(struct function *f, uint32_t word)
{
	struct card *card = f->card;

	pthread_mutex_lock(&card->lock);
	card->boxes[f->index].to_pf = word;
	card->senders |= UINT64_C(1) << f->index;
	pthread_mutex_unlock(&card->lock);
	via_irq_trigger(card->pf, VECTOR_MAIL);
}

static void pf_send(struct card *card, unsigned int index, uint32_t word)
{
	pthread_mutex_lock(&card->lock);
	card->boxes[index].to_vf = word;
	card->boxes[index].mail = true;
	pthread_mutex_unlock(&card->lock);
	via_vf_irq_trigger(card->pf, index, VECTOR_MAIL);
}

static uint32_t mail_read(struct function *f, uint64_t offset)
{
	struct card *card = f->card;
	uint32_t value = 0;

	pthread_mutex_lock(&card->lock);
	if (f->virtual && offset == REG_RECEIVED)
		value = card->boxes[f->index].to_vf;
	else if (!f->virtual && (offset == REG_SENDERS || offset == REG_SENDERS + 4))
		value = (uint32_t)(card->senders >> 8 * (offset - REG_SENDERS));
	else if (!f->virtual && offset >= REG_BOXES && (offset - REG_BOXES) / 8 < card->n_vfs &&
		 offset % 8 == 0)
		value = card->boxes[(offset - REG_BOXES) / 8].to_pf;
	pthread_mutex_unlock(&card->lock);
	return value;
}

static void mail_write(struct function *f, uint64_t offset, uint32_t value)
{
	struct card *card = f->card;

	if (f->virtual) {
		if (offset == REG_SEND)
			vf_send(f, value);
	} else if (offset == REG_SENDERS || offset == REG_SENDERS + 4) {
		pthread_mutex_lock(&card->lock);
		card->senders &= ~((uint64_t)value << 8 * (offset - REG_SENDERS));
		pthread_mutex_unlock(&card->lock);
	} else if (offset >= REG_BOXES && (offset - REG_BOXES) / 8 < card->n_vfs && offset % 8) {
		pf_send(card, (unsigned int)(offset - REG_BOXES) / 8, value);
	}
}

static bool has_mail(struct function *f, bool take)
{
	struct card *card = f->card;
	bool mail;

	if (!f->virtual)
		return false;
	pthread_mutex_lock(&card->lock);
	mail = card->boxes[f->index].mail;
	if (take)
		card->boxes[f->index].mail = false;
	pthread_mutex_unlock(&card->lock);
	return mail;
}

/* --- registers ------------------------------------------------------------- */

static uint64_t function_read(struct via_device *dev, void *model, unsigned int bar,
			      uint64_t offset, unsigned int size)
{
	struct function *f = model;

	if (bar)
		return 0;
	switch (offset) {
	case REG_ID:
		return f->virtual ? VF_DEVICE << 16 | f->index : PF_DEVICE << 16;
	case REG_STATUS:
		return f->status | (has_mail(f, false) ? STATUS_MESSAGE : 0);
	case REG_SRC:
		return (uint32_t)f->src;
	case REG_SRC + 4:
		return f->src >> 32;
	case REG_DST:
		return (uint32_t)f->dst;
	case REG_DST + 4:
		return f->dst >> 32;
	case REG_LENGTH:
		return f->length;
	case REG_KEY:
		return f->key;
	case REG_COPIES:
		return f->copies;
	default:
		return mail_read(f, offset);
	}
}

static void set_half(uint64_t *reg, bool high, uint64_t value)
{
	const uint64_t half = 0xffffffff;

	*reg = high ? (*reg & half) | value << 32 : (*reg & ~half) | (value & half);
}

static void function_write(struct via_device *dev, void *model, unsigned int bar, uint64_t offset,
			   unsigned int size, uint64_t value)
{
	struct function *f = model;
	bool busy = f->status & STATUS_BUSY;

	if (bar)
		return;
	if (offset == REG_STATUS) {
		f->status &= ~((uint32_t)value & (STATUS_LATCHED));
		if (value & STATUS_MESSAGE)
			(void)has_mail(f, true);
		return;
	}
	if (offset > REG_COMMAND) {
		mail_write(f, offset, (uint32_t)value);
		return;
	}
	/* The registers of the engine hold still while it runs. */
	if (busy)
		return;
	switch (offset) {
	case REG_SRC:
	case REG_SRC + 4:
		set_half(&f->src, offset != REG_SRC, value);
		break;
	case REG_DST:
	case REG_DST + 4:
		set_half(&f->dst, offset != REG_DST, value);
		break;
	case REG_LENGTH:
		f->length = (uint32_t)value;
		break;
	case REG_KEY:
		f->key = (uint32_t)value;
		break;
	case REG_COMMAND:
		if (value != 1)
			break;
		f->status |= STATUS_BUSY;
		via_device_kick(dev, 1);
		break;
	default:
		break;
	}
}

/* f: as it was when the copy began. */
static int copy(struct via_dma *dma, const struct function *f)
{
	uint8_t buf[4096], key[4];
	int ret = f->length > MAX_LENGTH ? -E2BIG : 0;

	via_put_le32(key, f->key);
	for (uint32_t done = 0; !ret && done < f->length;) {
		uint32_t n = f->length - done < sizeof(buf) ? f->length - done : sizeof(buf);

		ret = via_dma_read(dma, f->src + done, buf, n);
		for (uint32_t i = 0; i < n; i++)
			buf[i] ^= key[(done + i) % 4];
		if (!ret)
			ret = via_dma_write(dma, f->dst + done, buf, n);
		done += n;
	}
	return ret;
}

static void function_work(struct via_device *dev, void *model, uint64_t events)
{
	struct function *f = model;
	const struct function now = *f;
	int ret;

	/* Memory may keep us waiting: registers answer meanwhile, and there may be a reset. */
	via_device_unlock(dev);
	ret = copy(via_device_dma(dev), &now);
	via_device_lock(dev);
	if (f->resets != now.resets)
		return;
	f->status &= ~STATUS_BUSY;
	f->status |= ret ? STATUS_FAILED : STATUS_DONE;
	f->copies += !ret;
	via_irq_trigger(dev, VECTOR_COPY);
}

static void function_reset(struct via_device *dev, void *model, enum via_reset kind)
{
	struct function *f = model;
	struct card *card = f->card;

	*f = (struct function){.card = card, .virtual = f->virtual, .index = f->index,
			       .resets = f->resets + 1};
	pthread_mutex_lock(&card->lock);
	if (f->virtual) {
		card->boxes[f->index].to_vf = card->boxes[f->index].to_pf = 0;
		card->boxes[f->index].mail = false;
		card->senders &= ~(UINT64_C(1) << f->index);
	} else {
		card->senders = 0;
	}
	pthread_mutex_unlock(&card->lock);
}

/* --- virtual functions ----------------------------------------------------- */

static const struct via_device_ops vf_ops = {
	.read = function_read,
	.write = function_write,
	.work = function_work,
	.reset = function_reset,
	.free = free,
};

#define REGISTERS                                                                       \
	{                                                                               \
		.size = BAR_SIZE, .flags = VIA_BAR_MEM64 | VIA_BAR_PREFETCH,            \
		.valid_min = 4, .valid_max = 4, .impl_min = 4, .impl_max = 4            \
	}
#define INTERRUPTS {.size = BAR_SIZE, .flags = VIA_BAR_MEM64 | VIA_BAR_PREFETCH}

static const struct via_device_desc vf_desc = {
	.name = "sriov-vf",
	.ident = {
		.vendor = VENDOR,
		.device = VF_DEVICE,
		.subsystem_vendor = VENDOR,
		.class_code = 0x00ff00,
		.revision = 1,
	},
	.bars = {[0] = REGISTERS, [3] = INTERRUPTS},
	.msix = {.vectors = 2, .table_bar = 3, .pba_bar = 3, .pba_offset = PBA},
	.express = {.present = true},
	.flags = VIA_DEVICE_VF,
};

static int vf_new(struct via_device *dev, void *model, unsigned int index, struct via_error *err,
		  struct via_device **ret_vf)
{
	const struct function *pf = model;
	struct function *f = calloc(1, sizeof(*f));

	if (!f)
		return via_error_set(err, -ENOMEM, "sriov: out of memory");
	f->card = pf->card;
	f->virtual = true;
	f->index = index;
	return via_device_new(&vf_desc, &vf_ops, f, err, ret_vf);
}

/* --- the physical function ------------------------------------------------- */

static void pf_free(void *model)
{
	struct function *f = model;

	pthread_mutex_destroy(&f->card->lock);
	free(f->card);
	free(f);
}

static const struct via_device_ops pf_ops = {
	.read = function_read,
	.write = function_write,
	.work = function_work,
	.vf_new = vf_new,
	.reset = function_reset,
	.free = pf_free,
};

static const struct via_device_desc pf_desc = {
	.name = "sriov",
	.ident = {
		.vendor = VENDOR,
		.device = PF_DEVICE,
		.subsystem_vendor = VENDOR,
		.class_code = 0x00ff00,
		.revision = 1,
		.interrupt_pin = 1,
	},
	.bars = {[0] = REGISTERS, [3] = INTERRUPTS},
	.msix = {.vectors = 2, .table_bar = 3, .pba_bar = 3, .pba_offset = PBA},
	.express = {.present = true},
	.power_management = true,
};

static void describe(struct card *card)
{
	card->desc = pf_desc;
	card->caps[0] = (struct via_pci_cap){.kind = VIA_CAP_AER};
	card->caps[1] = (struct via_pci_cap){.kind = VIA_CAP_ARI};
	card->caps[2] = (struct via_pci_cap){
		.kind = VIA_CAP_SRIOV,
		.sriov = {
			.total = (uint16_t)card->n_vfs,
			.offset = VF_OFFSET,
			.stride = VF_STRIDE,
			.vf_device = VF_DEVICE,
		},
	};
	for (unsigned int i = 0; i < VIA_PCI_BARS; i++) {
		card->caps[2].sriov.bars[i].size = vf_desc.bars[i].size;
		card->caps[2].sriov.bars[i].flags = vf_desc.bars[i].flags;
	}
	card->desc.caps = card->caps;
	card->desc.n_caps = sizeof(card->caps) / sizeof(card->caps[0]);
}

static int create(const struct via_options *opts, struct via_error *err,
		  struct via_device **ret_device)
{
	struct function *f = calloc(1, sizeof(*f));
	struct card *card = calloc(1, sizeof(*card));
	int ret;

	if (!f || !card) {
		free(f);
		free(card);
		return via_error_set(err, -ENOMEM, "sriov: out of memory");
	}
	f->card = card;
	card->n_vfs = (unsigned int)via_options_number(opts, "vfs");
	pthread_mutex_init(&card->lock, NULL);
	describe(card);
	ret = via_device_new(&card->desc, &pf_ops, f, err, ret_device);
	if (!ret)
		card->pf = *ret_device;
	return ret;
}

static const struct via_option_desc options[] = {
	{
		.name = "vfs",
		.type = VIA_OPTION_NUMBER,
		.fallback = "8",
		.help = "virtual functions that it can have",
		.min = 1,
		.max = MAX_VFS,
	},
	{0},
};

const struct via_model via_model_sriov = {
	.name = "sriov",
	.summary = "a card with SR-IOV: copy engines and mailboxes, for tests",
	.options = options,
	.create = create,
};
