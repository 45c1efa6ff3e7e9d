/* SPDX-License-Identifier: MIT */
/* The controller: registers, enabling, shutdown and reset, and its making from options. */
#include "models/nvme/nvme.h"

#include "base/log.h"
#include "models/catalogue.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

/*
 * CAP: queues up to MAX_ENTRIES, physically contiguous, round robin only,
 * ready within 15 s, doorbells 4 bytes apart, the NVM command set, pages of
 * 4 KiB to 64 KiB.
 */
static const uint64_t cap = (NVME_MAX_ENTRIES - 1) | 1ull << 16 | 30ull << 24 | 1ull << 37 |
			    (uint64_t)(NVME_MAX_PAGE_SHIFT - NVME_MIN_PAGE_SHIFT) << 52;

bool via_nvme_running(const struct via_nvme *ctrl)
{
	return (ctrl->csts & (NVME_CSTS_RDY | NVME_CSTS_CFS)) == NVME_CSTS_RDY && !ctrl->shut_down;
}

/* Only a reset helps: the host broke the controller's own structures. */
void via_nvme_fatal(struct via_nvme *ctrl, const char *why)
{
	if (!(ctrl->csts & NVME_CSTS_CFS))
		via_log(VIA_LOG_WARNING, "nvme: fatal: %s", why);
	ctrl->csts |= NVME_CSTS_CFS;
}

static void enable(struct via_nvme *ctrl)
{
	unsigned int page_shift = NVME_MIN_PAGE_SHIFT + NVME_CC_MPS(ctrl->cc);
	uint64_t offset_mask = ((uint64_t)1 << page_shift) - 1;
	uint32_t sq_size = (ctrl->aqa & 0xfff) + 1, cq_size = ((ctrl->aqa >> 16) & 0xfff) + 1;

	if (page_shift > NVME_MAX_PAGE_SHIFT || NVME_CC_CSS(ctrl->cc) || NVME_CC_AMS(ctrl->cc) ||
	    sq_size < 2 || cq_size < 2 || (ctrl->asq & offset_mask) || (ctrl->acq & offset_mask)) {
		via_nvme_fatal(ctrl, "enabled with a configuration that is not supported");
		return;
	}
	ctrl->page_shift = page_shift;
	ctrl->shut_down = false;
	ctrl->csts &= ~NVME_CSTS_SHST_MASK;
	via_nvme_queues_reset(ctrl);
	via_nvme_cq_start(ctrl, 0, ctrl->acq, cq_size, 0, true);
	via_nvme_sq_start(ctrl, 0, 0, ctrl->asq, sq_size);
	ctrl->csts |= NVME_CSTS_RDY;
}

/* Everything but AQA, ASQ and ACQ returns to its initial state. */
static void controller_reset(struct via_nvme *ctrl)
{
	ctrl->dropping = true;
	via_nvme_drain(ctrl);
	ctrl->dropping = false;
	via_nvme_events_reset(ctrl);
	via_nvme_queues_reset(ctrl);
	via_nvme_features_reset(ctrl);
	ctrl->cc = ctrl->csts = 0;
	ctrl->shut_down = false;
	via_nvme_set_interrupt_mask(ctrl, 0);
}

/* Finish what was begun, make it durable. */
static void shut_down(struct via_nvme *ctrl)
{
	struct via_nvme_io flush = {.op = NVME_IO_FLUSH};

	via_nvme_run(ctrl);
	via_nvme_drain(ctrl);
	if (via_nvme_running(ctrl))
		via_nvme_post(ctrl);
	if (!ctrl->readonly) {
		via_nvme_backend_submit(ctrl->backend, &flush);
		via_nvme_backend_wait(ctrl->backend);
		if (flush.result < 0)
			via_log(VIA_LOG_ERROR, "nvme: flush at shutdown: %s",
				strerror(-flush.result));
	}
	ctrl->shut_down = true;
	ctrl->csts |= NVME_CSTS_SHST_DONE;
}

static void write_cc(struct via_nvme *ctrl, uint32_t value)
{
	uint32_t old = ctrl->cc;

	value &= NVME_CC_WRITABLE;
	if ((old & NVME_CC_EN) && !(value & NVME_CC_EN)) {
		controller_reset(ctrl);
		/* The other fields keep what the host wrote. */
		ctrl->cc = value;
		return;
	}
	ctrl->cc = value;
	if (!(old & NVME_CC_EN) && (value & NVME_CC_EN))
		enable(ctrl);
	if (!NVME_CC_SHN(old) && NVME_CC_SHN(value))
		shut_down(ctrl);
	else if (NVME_CC_SHN(old) && !NVME_CC_SHN(value))
		ctrl->csts &= ~NVME_CSTS_SHST_MASK;
}

static uint32_t half(uint64_t value, uint64_t offset)
{
	return (uint32_t)(value >> (8 * (offset & 4)));
}

static void set_half(uint64_t *reg, uint64_t offset, uint32_t value, uint32_t mask)
{
	unsigned int shift = 8 * (offset & 4);

	*reg = (*reg & ~((uint64_t)UINT32_MAX << shift)) | (uint64_t)(value & mask) << shift;
}

/* Registers are accessed in 4-byte pieces: the bus cuts wider accesses. */
static uint64_t read_register(struct via_device *dev, void *model, unsigned int bar,
			      uint64_t offset, unsigned int size)
{
	struct via_nvme *ctrl = model;

	switch (offset) {
	case NVME_REG_CAP:
	case NVME_REG_CAP + 4:
		return half(cap, offset);
	case NVME_REG_VS:
		return NVME_VERSION;
	case NVME_REG_INTMS:
	case NVME_REG_INTMC:
		return ctrl->intms;
	case NVME_REG_CC:
		return ctrl->cc;
	case NVME_REG_CSTS:
		return ctrl->csts;
	case NVME_REG_AQA:
		return ctrl->aqa;
	case NVME_REG_ASQ:
	case NVME_REG_ASQ + 4:
		return half(ctrl->asq, offset);
	case NVME_REG_ACQ:
	case NVME_REG_ACQ + 4:
		/* ASQ and ACQ are 8-byte aligned, so bit 2 tells the halves. */
		return half(ctrl->acq, offset);
	default:
		return 0;
	}
}

static void write_register(struct via_device *dev, void *model, unsigned int bar, uint64_t offset,
			   unsigned int size, uint64_t value)
{
	struct via_nvme *ctrl = model;
	uint32_t v = (uint32_t)value;

	switch (offset) {
	case NVME_REG_INTMS:
		via_nvme_set_interrupt_mask(ctrl, ctrl->intms | v);
		break;
	case NVME_REG_INTMC:
		via_nvme_set_interrupt_mask(ctrl, ctrl->intms & ~v);
		break;
	case NVME_REG_CC:
		write_cc(ctrl, v);
		break;
	case NVME_REG_AQA:
		ctrl->aqa = v & 0x0fff0fff;
		break;
	case NVME_REG_ASQ:
		set_half(&ctrl->asq, offset, v, 0xfffff000);
		break;
	case NVME_REG_ACQ:
		set_half(&ctrl->acq, offset, v, 0xfffff000);
		break;
	case NVME_REG_ASQ + 4:
		set_half(&ctrl->asq, offset, v, UINT32_MAX);
		break;
	case NVME_REG_ACQ + 4:
		set_half(&ctrl->acq, offset, v, UINT32_MAX);
		break;
	default:
		break;
	}
}

static bool doorbell(struct via_device *dev, void *model, unsigned int bar)
{
	return via_nvme_run(model);
}

static void work(struct via_device *dev, void *model, uint64_t events)
{
	struct via_nvme *ctrl = model;

	if (via_nvme_running(ctrl))
		via_nvme_run(ctrl);
}

static void reset(struct via_device *dev, void *model, enum via_reset kind)
{
	struct via_nvme *ctrl = model;

	if (kind == VIA_RESET_OPEN)
		ctrl->smart.power_cycles++;
	if ((ctrl->csts & NVME_CSTS_RDY) && !ctrl->shut_down)
		ctrl->smart.unsafe_shutdowns++;
	controller_reset(ctrl);
	ctrl->aqa = 0;
	ctrl->asq = ctrl->acq = 0;
	/* What large transfers left behind; the pages come back as they are needed. */
	madvise(ctrl->bounces, NVME_N_IO_REQUESTS * NVME_MAX_TRANSFER, MADV_DONTNEED);
}

static void nvme_free(void *model)
{
	struct via_nvme *ctrl = model;

	if (ctrl->backend) {
		ctrl->dropping = true;
		via_nvme_drain(ctrl);
		via_nvme_backend_close(ctrl->backend);
	}
	if (ctrl->bounces)
		munmap(ctrl->bounces, NVME_N_IO_REQUESTS * NVME_MAX_TRANSFER);
	free(ctrl->io_requests);
	free(ctrl->admin_requests);
	free(ctrl);
}

static const struct via_device_ops ops = {
	.read = read_register,
	.write = write_register,
	.doorbell = doorbell,
	.work = work,
	.reset = reset,
	.free = nvme_free,
};

static const struct via_area areas[] = {
	{NVME_BAR_DOORBELLS, 0x1000, VIA_AREA_DOORBELL},
};

/*
 * The identity of QEMU's nvme device, which drivers and firmware know (they
 * bind to the class anyway); the subsystem is Red Hat's for QEMU as well.
 */
static const struct via_device_desc desc = {
	.name = "nvme",
	.ident =
		{
			.vendor = 0x1b36,
			.device = 0x0010,
			.subsystem_vendor = 0x1af4,
			.subsystem_device = 0x1100,
			.class_code = 0x010802,
			.revision = 2,
			.interrupt_pin = 1,
		},
	.bars[0] =
		{
			.size = NVME_BAR_SIZE,
			.flags = VIA_BAR_MEM64,
			.areas = areas,
			.n_areas = 1,
			.impl_min = 4,
			.impl_max = 4,
		},
	.msi = {.vectors = 32, .addr64 = true, .maskable = true},
	.msix =
		{
			.vectors = NVME_VECTORS,
			.table_offset = NVME_BAR_MSIX_TABLE,
			.pba_offset = NVME_BAR_MSIX_PBA,
		},
	.express = {.present = true},
	.power_management = true,
};

const struct via_device_desc *via_nvme_device_desc(void)
{
	return &desc;
}

static int make_requests(struct via_nvme *ctrl)
{
	size_t i;

	ctrl->io_requests = calloc(NVME_N_IO_REQUESTS, sizeof(*ctrl->io_requests));
	ctrl->admin_requests = calloc(NVME_N_ADMIN_REQUESTS, sizeof(*ctrl->admin_requests));
	/* Address space; memory only for as much as transfers have touched. */
	ctrl->bounces = mmap(NULL, NVME_N_IO_REQUESTS * NVME_MAX_TRANSFER, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (ctrl->bounces == MAP_FAILED)
		ctrl->bounces = NULL;
	if (!ctrl->io_requests || !ctrl->admin_requests || !ctrl->bounces)
		return -ENOMEM;
	for (i = 0; i < NVME_N_IO_REQUESTS; i++) {
		ctrl->io_requests[i].bounce = (char *)ctrl->bounces + i * NVME_MAX_TRANSFER;
		via_nvme_request_put(ctrl, &ctrl->io_requests[i]);
	}
	for (i = 0; i < NVME_N_ADMIN_REQUESTS; i++)
		via_nvme_request_put(ctrl, &ctrl->admin_requests[i]);
	return 0;
}

/* FNV-1a: the same image has the same identity in each run. */
static uint64_t hash(const char *text, uint64_t h)
{
	for (; *text; text++)
		h = (h ^ (uint8_t)*text) * 0x100000001b3ull;
	return h;
}

static void set_identity(struct via_nvme *ctrl, const struct via_options *opts)
{
	const char *serial = via_options_string(opts, "serial");
	uint64_t h = hash(via_options_string(opts, "image"), 0xcbf29ce484222325ull);
	char text[32];

	if (!serial) {
		snprintf(text, sizeof(text), "VIA%016llX", (unsigned long long)h);
		serial = text;
	}
	memset(ctrl->serial, ' ', sizeof(ctrl->serial));
	memcpy(ctrl->serial, serial, strnlen(serial, sizeof(ctrl->serial)));
	memset(ctrl->firmware, ' ', sizeof(ctrl->firmware));
	memcpy(ctrl->firmware, via_version(), strnlen(via_version(), sizeof(ctrl->firmware)));
	via_put_le64(ctrl->nguid, hash(serial, h));
	via_put_le64(ctrl->nguid + 8, hash("nguid", hash(serial, h)));
}

static int choose(const char *option, const char *value, const char *const *names,
		  struct via_error *err)
{
	int i;

	for (i = 0; names[i]; i++)
		if (!strcmp(value, names[i]))
			return i;
	return via_error_set(err, -EINVAL,
			     "nvme: %s=%s is not one of the known ones; see "
			     "`viaduct list`",
			     option, value);
}

static int open_backend(struct via_nvme *ctrl, const struct via_options *opts,
			struct via_error *err)
{
	static const char *const engines[] = {"auto", "io_uring", "threads", NULL};
	static const char *const caches[] = {"writeback", "volatile", NULL};
	static const char *const flushes[] = {"fdatasync", "ignore", NULL};
	int engine = choose("engine", via_options_string(opts, "engine"), engines, err);
	int cache = choose("cache", via_options_string(opts, "cache"), caches, err);
	int flush = choose("flush", via_options_string(opts, "flush"), flushes, err);
	struct via_nvme_backend_config config = {
		.image = via_options_string(opts, "image"),
		.block_size = (uint32_t)via_options_number(opts, "lba_size"),
		.direct = via_options_bool(opts, "direct"),
		.readonly = via_options_bool(opts, "readonly"),
		.hold_writes = cache == 1,
		.ignore_flush = flush == 1,
		.depth = NVME_N_IO_REQUESTS,
	};
	int r;

	if (engine < 0 || cache < 0 || flush < 0)
		return -EINVAL;
	config.engine = (enum via_nvme_engine_kind)engine;
	if (config.block_size != 512 && config.block_size != 4096)
		return via_error_set(err, -EINVAL, "nvme: lba_size must be 512 or 4096, not %u",
				     config.block_size);
	if (config.hold_writes && config.direct)
		return via_error_set(err, -EINVAL,
				     "nvme: cache=volatile and direct=on exclude each other");
	r = via_nvme_backend_open(&config, err, &ctrl->backend);
	if (r < 0)
		return r;
	ctrl->lba_shift = config.block_size == 512 ? 9 : 12;
	ctrl->n_blocks = via_nvme_backend_size(ctrl->backend) >> ctrl->lba_shift;
	ctrl->readonly = config.readonly;
	return 0;
}

static int nvme_create(const struct via_options *opts, struct via_error *err,
		       struct via_device **ret_device)
{
	struct via_nvme *ctrl = calloc(1, sizeof(*ctrl));
	struct via_device *dev;
	int r;

	if (!ctrl)
		return -ENOMEM;
	ctrl->max_queues = (unsigned int)via_options_number(opts, "queues");
	set_identity(ctrl, opts);
	via_nvme_features_reset(ctrl);
	r = make_requests(ctrl);
	if (r == 0)
		r = open_backend(ctrl, opts, err);
	if (r < 0) {
		nvme_free(ctrl);
		return r;
	}
	r = via_device_new(&desc, &ops, ctrl, err, &dev);
	if (r < 0)
		return r;
	ctrl->dev = dev;
	ctrl->dma = via_device_dma(dev);
	ctrl->doorbells = via_device_region_memory(dev, 0, NVME_BAR_DOORBELLS);
	if (via_nvme_backend_event_fd(ctrl->backend) >= 0)
		r = via_device_watch(dev, via_nvme_backend_event_fd(ctrl->backend),
				     NVME_WORK_BACKEND);
	if (r < 0) {
		via_device_free(dev);
		return via_error_set(err, r, "nvme: cannot watch the image: %s", strerror(-r));
	}
	*ret_device = dev;
	return 0;
}

static const struct via_option_desc options[] = {
	{"image", VIA_OPTION_STRING, .help = "file or block device with the content",
	 .required = true},
	{"readonly", VIA_OPTION_BOOL, "off", "refuse writes; several may share the image"},
	{"direct", VIA_OPTION_BOOL, "off", "bypass the host's page cache (O_DIRECT)"},
	{"lba_size", VIA_OPTION_NUMBER, "512", "block size that the guest sees, 512 or 4096",
	 .min = 512, .max = 4096},
	{"queues", VIA_OPTION_NUMBER, "64", "I/O queue pairs", .min = 1, .max = NVME_MAX_IO_QUEUES},
	{"serial", VIA_OPTION_STRING, NULL, "serial number, up to 20 characters (from the path)"},
	{"engine", VIA_OPTION_STRING, "auto", "how to do I/O: io_uring, threads or auto"},
	{"cache", VIA_OPTION_STRING, "writeback",
	 "writeback, or volatile: lose what is not flushed at a kill (durability tests)"},
	{"flush", VIA_OPTION_STRING, "fdatasync",
	 "fdatasync, or ignore: break Flush (to see durability tests fail)"},
	{NULL},
};

const struct via_model via_model_nvme = {
	.name = "nvme",
	.summary = "NVMe 1.4 controller with one namespace in a file or block device",
	.options = options,
	.create = nvme_create,
};
