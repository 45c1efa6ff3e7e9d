/* SPDX-License-Identifier: MIT */
/*
 * What a driver can do to the ioat model: registers, chains of any shape while
 * they run, memory that comes and goes, resets between. Afterwards it copies.
 */
#include "fuzz.h"

#include "device/device.h"
#include "memory/guard.h"
#include "models/ioat/regs.h"

#include <viaduct/models.h>

#include <sched.h>
#include <sys/mman.h>

#define IOVA 0x100000ull
#define MEMORY ((uint64_t)1 << 20)
#define DESCS 16u
/* Of memory: descriptors, a completion, data. */
#define COMPLETION 0x1000u
#define DATA 0x10000u

struct engine {
	struct via_device *dev;
	struct via_ioas *ioas;
	struct via_space *space;
	uint8_t *memory;
	bool mapped;
};

static void set_mapped(struct engine *e, bool on)
{
	uint64_t bytes;

	if (on && !e->mapped)
		FUZZ_CHECK(via_ioas_map(e->ioas, IOVA, e->space, (uintptr_t)e->memory, MEMORY,
					VIA_PROT_READ | VIA_PROT_WRITE) == 0);
	if (!on && e->mapped)
		FUZZ_CHECK(via_ioas_unmap(e->ioas, IOVA, IOVA + MEMORY - 1, &bytes) == 0);
	e->mapped = on;
}

/* Slow to make, so one serves all inputs. */
static struct engine *engine_get(void)
{
	static struct engine e;
	struct via_mm *self;
	struct via_options *opts;
	struct via_error err = {0};

	if (e.dev)
		return &e;
	FUZZ_CHECK(via_guard_install() == 0);
	self = via_mm_self();
	FUZZ_CHECK(via_options_parse(via_model_find("ioat"), NULL, &err, &opts) == 0);
	FUZZ_CHECK(via_model_find("ioat")->create(opts, &err, &e.dev) == 0);
	via_options_free(opts);
	e.memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	FUZZ_CHECK(e.memory != MAP_FAILED);
	FUZZ_CHECK(via_space_new_mm(self, &e.space) == 0);
	via_mm_put(self);
	FUZZ_CHECK(via_ioas_new(via_iommu_props_intel(), &e.ioas) == 0);
	FUZZ_CHECK(via_device_attach(e.dev, e.ioas) == 0);
	return &e;
}

static void put(struct engine *e, uint64_t reg, unsigned int size, uint64_t value)
{
	(void)via_device_mapped_write(e->dev, VIA_REGION_BAR0, reg, size, value);
}

static uint64_t get(struct engine *e, uint64_t reg, unsigned int size)
{
	uint64_t value = 0;

	(void)via_device_mapped_read(e->dev, VIA_REGION_BAR0, reg, size, &value);
	return value;
}

static void write_command(struct engine *e, uint16_t command)
{
	(void)via_device_region_write(e->dev, VIA_REGION_CONFIG, 4, &command, sizeof(command));
}

static uint64_t desc_iova(unsigned int i)
{
	return IOVA + 64ull * (i % DESCS);
}

static uint64_t take_address(struct fuzz_input *in)
{
	uint8_t how = fuzz_u8(in);

	if (how & 0x80)
		return fuzz_number(in);
	return IOVA + DATA + fuzz_u16(in) + (how & 0x40 ? MEMORY / 2 : 0);
}

/* One that is likely good, or any bytes. */
static void write_desc(struct engine *e, struct fuzz_input *in)
{
	uint8_t how = fuzz_u8(in);
	uint8_t *d = e->memory + (size_t)64 * (how % DESCS);

	if (how & 0x80) {
		fuzz_bytes(in, d, 64);
		return;
	}
	via_put_le32(d, how & 0x40 ? fuzz_u32(in) : fuzz_u16(in));
	via_put_le32(d + 4, how & 0x20 ? fuzz_u32(in) : fuzz_u8(in) & 0x3fu);
	via_put_le64(d + 8, take_address(in));
	via_put_le64(d + 16, take_address(in));
	via_put_le64(d + 24, how & 0x10 ? fuzz_number(in) : desc_iova(fuzz_u8(in)));
}

static void step(struct engine *e, struct fuzz_input *in)
{
	uint8_t kind = fuzz_u8(in);

	switch (kind & 15) {
	case 0: /* the registers that there are */
		put(e, IOAT_CHANNELS + (fuzz_u8(in) & 0x3fu), 1u << (kind >> 4 & 3), fuzz_u64(in));
		break;
	case 1:
		put(e, fuzz_number(in), 1u << (kind >> 4 & 3), fuzz_number(in));
		break;
	case 2:
		(void)get(e, kind & 0x80 ? fuzz_number(in) : fuzz_u8(in), 1u << (kind >> 4 & 3));
		break;
	case 3:
		put(e, IOAT_CHANNELS + IOAT_CHANCMD, 1, kind & 0x80 ? fuzz_u8(in) : 4u << (kind >> 4 & 3));
		break;
	case 4:
		put(e, IOAT_CHANNELS + IOAT_CHAINADDR, 8,
		    kind & 0x80 ? fuzz_number(in) : desc_iova(kind >> 4));
		break;
	case 5:
		put(e, IOAT_CHANNELS + IOAT_DMACOUNT, 2, kind & 0x80 ? fuzz_u16(in) : kind >> 4);
		break;
	case 6:
		put(e, IOAT_CHANNELS + IOAT_CHANCMP, 8,
		    kind & 0x80 ? fuzz_number(in) : IOVA + COMPLETION);
		put(e, IOAT_CHANNELS + IOAT_CHANCTRL, 2, kind >> 4 | (kind & 0x10));
		break;
	case 7: /* software that clears errors */
		put(e, IOAT_CHANNELS + IOAT_CHANERR, 4, get(e, IOAT_CHANNELS + IOAT_CHANERR, 4));
		break;
	case 8:
		set_mapped(e, kind & 0x80);
		break;
	case 9:
		write_command(e, kind & 0x80 ? 6 : fuzz_u16(in));
		break;
	case 10:
		if (kind & 0x80)
			(void)via_device_reset(e->dev);
		else
			sched_yield();
		break;
	case 11:
		put(e, IOAT_INTRCTRL, 1, kind >> 4);
		break;
	default:
		write_desc(e, in);
	}
}

static enum ioat_state wait_end(struct engine *e)
{
	uint64_t status;

	do {
		status = get(e, IOAT_CHANNELS + IOAT_CHANSTS, 8) & 7;
	} while (status == IOAT_ACTIVE);
	return (enum ioat_state)status;
}

/* A driver begins anew, as one does after a program that died. */
static void check_alive(struct engine *e)
{
	uint8_t *d = e->memory;

	write_command(e, 6);
	set_mapped(e, true);
	put(e, IOAT_CHANNELS + IOAT_CHANERR, 4, UINT32_MAX);
	put(e, IOAT_CHANNELS + IOAT_CHANCMD, 1, IOAT_CHANCMD_RESET);
	while (get(e, IOAT_CHANNELS + IOAT_CHANCMD, 1) & IOAT_CHANCMD_RESET)
		;
	FUZZ_CHECK(wait_end(e) == IOAT_HALTED);
	/* An error may have come before the reset. */
	put(e, IOAT_CHANNELS + IOAT_CHANERR, 4, UINT32_MAX);
	memset(d, 0, 64);
	memset(d + DATA, 0x5a, 256);
	memset(d + DATA + 4096, 0, 257);
	via_put_le32(d, 256);
	via_put_le32(d + 4, IOAT_DESC_COMPL_WRITE);
	via_put_le64(d + 8, IOVA + DATA);
	via_put_le64(d + 16, IOVA + DATA + 4096);
	put(e, IOAT_CHANNELS + IOAT_CHANCMP, 8, IOVA + COMPLETION);
	put(e, IOAT_CHANNELS + IOAT_CHAINADDR, 8, desc_iova(0));
	put(e, IOAT_CHANNELS + IOAT_DMACOUNT, 2, 1);
	FUZZ_CHECK(wait_end(e) == IOAT_DONE);
	FUZZ_CHECK(via_get_le64(d + COMPLETION) == (desc_iova(0) | IOAT_DONE));
	FUZZ_CHECK(!memcmp(d + DATA, d + DATA + 4096, 256) && !d[DATA + 4096 + 256]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	struct engine *e = engine_get();

	FUZZ_CHECK(via_device_open(e->dev) == 0);
	memset(e->memory, 0, MEMORY / 4);
	write_command(e, 6);
	set_mapped(e, true);
	for (int i = 0; i < FUZZ_STEPS && in.left; i++)
		step(e, &in);
	check_alive(e);
	via_device_close(e->dev);
	return 0;
}
