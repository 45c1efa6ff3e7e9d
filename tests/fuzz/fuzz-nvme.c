/* SPDX-License-Identifier: MIT */
/*
 * What a driver can do to the nvme model: registers, doorbells, commands with
 * any field, queues anywhere, resets between. Afterwards the controller works.
 */
#include "fuzz.h"

#include "memory/guard.h"
#include "models/nvme/testing.h"

#include <errno.h>

#define IMAGE_SIZE ((uint64_t)256 << 10)
#define QUEUES 4u
#define ENTRIES 16u /* of each queue */
/* Of the driver's memory. */
#define SQ(qid) ((uint64_t)(qid)*2 * HOST_PAGE)
#define CQ(qid) (SQ(qid) + HOST_PAGE)
#define DATA ((uint64_t)16 * HOST_PAGE)

static const struct {
	const char *options;
	unsigned int flags;
} kinds[] = {
	{"engine=threads", 0},
	{"engine=threads,cache=volatile,queues=3", 0},
	{"engine=threads,lba_size=4096", HOST_COPY_ONLY},
	{"readonly=on,queues=1", 0},
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

/* Slow to make, so one of each kind serves all inputs. */
static struct host *host_get(unsigned int kind)
{
	static struct host made[KINDS];
	struct host *host = &made[kind];

	if (!host->dev) {
		FUZZ_CHECK(via_guard_install() == 0);
		host_make_image(host, IMAGE_SIZE);
		host_open(host, kinds[kind].options, kinds[kind].flags);
		/* Open and locked: nobody needs its name. */
		remove(host->image);
	}
	return host;
}

static void write_command(struct host *host, uint16_t command)
{
	(void)via_device_region_write(host->dev, VIA_REGION_CONFIG, 4, &command, sizeof(command));
}

static void restart(struct host *host)
{
	via_device_close(host->dev);
	FUZZ_CHECK(via_device_open(host->dev) == 0);
	write_command(host, 6);
}

static void write_register(struct host *host, uint64_t reg, unsigned int size, uint64_t value)
{
	(void)via_device_mapped_write(host->dev, VIA_REGION_BAR0, reg, size, value);
}

static void ring(struct host *host, unsigned int index, uint32_t value)
{
	write_register(host, 0x1000 + index * 4ull, 4, value);
}

static void enable(struct host *host)
{
	write_register(host, NVME_REG_AQA, 4, (ENTRIES - 1) << 16 | (ENTRIES - 1));
	write_register(host, NVME_REG_ASQ, 8, host_iova(SQ(0)));
	write_register(host, NVME_REG_ACQ, 8, host_iova(CQ(0)));
	write_register(host, NVME_REG_CC, 4, 4 << 20 | 6 << 16 | NVME_CC_EN);
	memset(host->queues, 0, sizeof(host->queues));
}

/* An address in the driver's memory, likely good for DMA. */
static uint64_t take_address(struct fuzz_input *in)
{
	uint8_t how = fuzz_u8(in);

	if (how & 0x80)
		return fuzz_number(in);
	return host_iova(DATA + (how & 0x1fu) * HOST_PAGE) +
	       (how & 0x40 ? fuzz_u16(in) % HOST_PAGE : 0);
}

static void push(struct host *host, unsigned int qid, const struct nvme_sqe *sqe)
{
	struct host_queue *q = &host->queues[qid];

	memcpy(host->memory + SQ(qid) + q->sq_tail * sizeof(*sqe), sqe, sizeof(*sqe));
	q->sq_tail = (q->sq_tail + 1) % ENTRIES;
}

/* A command that fits its queue, or one of any bytes. */
static void command(struct host *host, struct fuzz_input *in)
{
	uint8_t how = fuzz_u8(in);
	unsigned int qid = how % QUEUES;
	struct nvme_sqe sqe = {.opcode = fuzz_u8(in)};

	/* Codes are small; the large ones stand for any. */
	if (sqe.opcode >= 0x40)
		sqe.opcode &= 0x0f;
	if (how & 0x80) {
		fuzz_bytes(in, &sqe, sizeof(sqe));
	} else {
		sqe.cid = via_cpu_to_le16(++host->cid);
		sqe.nsid = via_cpu_to_le32(how & 0x40 ? fuzz_u32(in) : 1);
		sqe.prp1 = via_cpu_to_le64(take_address(in));
		sqe.prp2 = via_cpu_to_le64(how & 0x20 ? take_address(in) : 0);
		sqe.cdw10 = via_cpu_to_le32(how & 0x10 ? fuzz_u32(in) : fuzz_u8(in));
		sqe.cdw11 = via_cpu_to_le32(how & 0x08 ? fuzz_u32(in) : 0);
		sqe.cdw12 = via_cpu_to_le32(how & 0x08 ? fuzz_u32(in) : fuzz_u8(in));
	}
	push(host, qid, &sqe);
	if (!(how & 0x04))
		ring(host, 2 * qid, host->queues[qid].sq_tail);
}

static void create_queues(struct host *host, struct fuzz_input *in)
{
	uint8_t how = fuzz_u8(in);
	unsigned int qid = 1 + how % (QUEUES - 1);
	unsigned int size = how & 0x80 ? ENTRIES : 2u + (how >> 4 & 7u);
	struct nvme_sqe sqe = {.opcode = NVME_ADMIN_CREATE_CQ};

	sqe.prp1 = via_cpu_to_le64(host_iova(CQ(qid)));
	sqe.cdw10 = via_cpu_to_le32((size - 1) << 16 | qid);
	sqe.cdw11 = via_cpu_to_le32(qid << 16 | 3);
	push(host, 0, &sqe);
	sqe.opcode = NVME_ADMIN_CREATE_SQ;
	sqe.prp1 = via_cpu_to_le64(host_iova(SQ(qid)));
	sqe.cdw11 = via_cpu_to_le32(qid << 16 | 1);
	push(host, 0, &sqe);
	ring(host, 0, host->queues[0].sq_tail);
	host->queues[qid].sq_tail = 0;
}

static void step(struct host *host, struct fuzz_input *in)
{
	uint8_t kind = fuzz_u8(in);
	uint64_t value;

	switch (kind & 15) {
	case 0:
		write_register(host, (uint64_t)fuzz_u8(in) << (kind >> 7), 4u << (kind >> 4 & 1),
			       fuzz_u64(in));
		break;
	case 1:
		write_register(host, fuzz_number(in), 1u << (kind >> 4 & 3), fuzz_number(in));
		break;
	case 2:
		(void)via_device_mapped_read(host->dev, VIA_REGION_BAR0, fuzz_number(in),
					     1u << (kind >> 4 & 3), &value);
		break;
	case 3:
		ring(host, kind >> 4, fuzz_u16(in));
		break;
	case 4: /* entries in the completion queue become free */
		ring(host, 2u * (kind >> 4 & 3) + 1, fuzz_u8(in) % ENTRIES);
		break;
	case 5:
		create_queues(host, in);
		break;
	case 6:
		enable(host);
		break;
	case 7:
		write_command(host, kind & 0x80 ? 6 : fuzz_u16(in));
		break;
	case 8:
		if (kind & 0x80)
			(void)via_device_reset(host->dev);
		else
			restart(host);
		break;
	case 9: /* PRP lists, ranges */
		value = fuzz_u16(in);
		for (unsigned int i = 0; i < (kind >> 4 & 7u); i++)
			via_put_le64(host->memory + DATA + value + 8 * i, take_address(in));
		break;
	case 10:
		fuzz_bytes(in, host->memory + DATA + fuzz_u16(in), kind >> 4);
		break;
	default:
		command(host, in);
	}
}

/* The driver begins anew, as one does after a program that died. */
static void check_alive(struct host *host)
{
	struct nvme_sqe sqe = {.opcode = NVME_ADMIN_IDENTIFY,
			       .cdw10 = via_cpu_to_le32(1),
			       .prp1 = via_cpu_to_le64(host_iova(DATA))};

	restart(host);
	host->used = 0;
	memset(host->queues, 0, sizeof(host->queues));
	host_enable(host);
	FUZZ_CHECK(host_command(host, 0, sqe, NULL) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	uint8_t kind = fuzz_u8(&in);
	struct host *host = host_get(kind % KINDS);

	restart(host);
	memset(host->memory, 0, DATA + 64 * HOST_PAGE);
	memset(host->queues, 0, sizeof(host->queues));
	host->cid = 0;
	if (kind & 0x80)
		enable(host);
	for (int i = 0; i < FUZZ_STEPS && in.left; i++)
		step(host, &in);
	check_alive(host);
	return 0;
}
