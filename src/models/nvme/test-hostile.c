/* SPDX-License-Identifier: MIT */
/*
 * A hostile guest: random commands, PRP lists, doorbells and register writes.
 * Nothing may crash, hang or leak, and after a reset the controller works as
 * on the first day. NVME_FUZZ_SEED and NVME_FUZZ_COMMANDS choose another run.
 */
#include "models/nvme/testing.h"

#include <stdlib.h>
#include <unistd.h>

#define IMAGE ((uint64_t)1 << 20)
#define QUEUE_SIZE 64u
#define N_QUEUES 4u

static uint64_t state;

static uint64_t rnd(void)
{
	/* xorshift64* */
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return state * 0x2545f4914f6cdd1dull;
}

static uint64_t below(uint64_t n)
{
	return (rnd() >> 16) % n;
}

static bool chance(uint64_t one_in)
{
	return below(one_in) == 0;
}

static uint64_t random_address(void)
{
	uint64_t at = HOST_IOVA + below(HOST_MEMORY);

	switch (below(8)) {
	case 0:
		return rnd();
	case 1:
		return at;
	case 2:
		return HOST_IOVA + HOST_MEMORY - below(8192);
	default:
		return at & ~(uint64_t)(HOST_PAGE - 1);
	}
}

/* Mostly near-valid: pure noise would not come past the first check. */
static struct nvme_sqe random_command(bool io)
{
	static const uint8_t nvm[] = {NVME_CMD_FLUSH, NVME_CMD_WRITE,	NVME_CMD_READ,
				      NVME_CMD_READ,  NVME_CMD_COMPARE, NVME_CMD_WRITE_ZEROES,
				      NVME_CMD_DSM};
	static const uint8_t admin[] = {0, 1, 2, 4, 5, 6, 8, 9, 10, 12};
	struct nvme_sqe sqe = {
		.opcode = io ? nvm[below(sizeof(nvm))] : admin[below(sizeof(admin))],
		.cid = via_cpu_to_le16((uint16_t)rnd()),
		.nsid = via_cpu_to_le32(1),
		.prp1 = via_cpu_to_le64(random_address()),
		.prp2 = via_cpu_to_le64(random_address()),
		.cdw10 = via_cpu_to_le32((uint32_t)below(IMAGE / 512)),
		.cdw12 = via_cpu_to_le32((uint32_t)below(chance(8) ? 2048 : 64)),
	};
	uint8_t *bytes = (uint8_t *)&sqe;

	if (!io) {
		sqe.cdw10 = via_cpu_to_le32((uint32_t)(below(16) | below(128) << 16));
		sqe.cdw11 = via_cpu_to_le32((uint32_t)(below(4) | below(8) << 16));
		sqe.cdw12 = via_cpu_to_le32(0);
	} else if (sqe.opcode == NVME_CMD_DSM) {
		sqe.cdw10 = via_cpu_to_le32((uint32_t)below(256));
		sqe.cdw11 = via_cpu_to_le32((uint32_t)below(8));
	}
	while (chance(3))
		bytes[below(sizeof(sqe))] = (uint8_t)rnd();
	return sqe;
}

/* A list of pages somewhere, so that PRP2 has something to find. */
static void random_list(struct host *host)
{
	uint64_t at = below(HOST_MEMORY - HOST_PAGE) & ~7ull;
	uint64_t n = below(140), i;

	for (i = 0; i < n && at + 8 * i + 8 <= HOST_MEMORY; i++)
		via_put_le64(host->memory + at + 8 * i, random_address());
}

/* Under the device's lock, as the device reads this memory under it. */
static void random_commands(struct host *host, uint16_t qid, unsigned int n)
{
	struct host_queue *q = &host->queues[qid];

	via_device_lock(host->dev);
	if (chance(4))
		random_list(host);
	while (n--) {
		struct nvme_sqe sqe = random_command(qid);

		memcpy(host->memory + q->sq + q->sq_tail * sizeof(sqe), &sqe, sizeof(sqe));
		q->sq_tail = (q->sq_tail + 1) % q->size;
	}
	via_device_unlock(host->dev);
	host_ring(host, qid);
}

static void random_doorbell(struct host *host)
{
	via_device_lock(host->dev);
	__atomic_store_n(&host->doorbells[below(1024)], (uint32_t)rnd() >> below(32),
			 __ATOMIC_RELEASE);
	via_device_unlock(host->dev);
	via_device_doorbell_ring(host->dev, VIA_REGION_BAR0);
}

static void random_register(struct host *host)
{
	uint64_t reg = chance(2) ? below(0x40) & ~3ull : below(0x4000) & ~3ull;

	host_write32(host, reg, (uint32_t)rnd() >> below(32));
}

/* Completions taken, now and then not all. */
static unsigned int drain(struct host *host)
{
	struct nvme_cqe cqe;
	unsigned int n = 0;
	uint16_t i;

	usleep(100);
	for (i = 0; i <= N_QUEUES; i++)
		while (host_poll(host, i, 0, &cqe) && !chance(64))
			n++;
	return n;
}

static void revive(struct host *host)
{
	uint16_t i;

	host->used = 0;
	for (i = 0; i <= N_QUEUES; i++)
		host->queues[i].size = 0;
	host_write32(host, NVME_REG_CC, 0);
	host_enable(host);
	for (i = 1; i <= N_QUEUES; i++)
		host_create_queues(host, i, QUEUE_SIZE);
}

static unsigned long number(const char *name, unsigned long fallback)
{
	const char *text = getenv(name);

	return text ? strtoul(text, NULL, 0) : fallback;
}

static void fuzz(const char *options, unsigned int flags)
{
	static struct host host;
	unsigned long commands = number("NVME_FUZZ_COMMANDS", 50000), done = 0, taken = 0;
	struct nvme_sqe sqe;
	uint64_t at;

	state = number("NVME_FUZZ_SEED", 1) * 0x9e3779b97f4a7c15ull;
	host_make_image(&host, IMAGE);
	host_open(&host, options, flags);
	revive(&host);
	while (done < commands) {
		uint16_t qid = (uint16_t)(chance(8) ? 0 : 1 + below(N_QUEUES));
		unsigned int n = 1 + (unsigned int)below(QUEUE_SIZE - 1);

		random_commands(&host, qid, n);
		done += n;
		if (chance(8))
			random_doorbell(&host);
		if (chance(40))
			random_register(&host);
		if (chance(2))
			taken += drain(&host);
		if (chance(50) || (host_read32(&host, NVME_REG_CSTS) & 3) != NVME_CSTS_RDY)
			revive(&host);
		if (chance(400)) {
			assert_int_equal(via_device_reset(host.dev), 0);
			revive(&host);
		}
	}
	/*
	 * It was no fight against a controller that had given up. How many are taken in
	 * time is the machine's business.
	 */
	assert_true(taken > done / 100);
	/* Sound: the last two blocks go there and come back. */
	assert_int_equal(via_device_reset(host.dev), 0);
	revive(&host);
	at = host_alloc(&host, HOST_PAGE);
	memset(host.memory + at, 0x5a, 1024);
	sqe = host_rw(&host, NVME_CMD_WRITE, IMAGE / 512 - 2, 2, 512, at);
	assert_int_equal(host_command(&host, 1, sqe, NULL), 0);
	memset(host.memory + at, 0, 1024);
	sqe.opcode = NVME_CMD_READ;
	assert_int_equal(host_command(&host, 1, sqe, NULL), 0);
	assert_int_equal(host.memory[at + 1023], 0x5a);
	host_close(&host);
}

static void test_io_uring(void **unused)
{
	fuzz("engine=auto", 0);
}

/* Copied: the workers' access to leased memory is a race that only the test makes. */
static void test_threads(void **unused)
{
	fuzz("engine=threads", HOST_COPY_ONLY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_io_uring),
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
