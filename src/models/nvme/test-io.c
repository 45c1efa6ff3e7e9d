/* SPDX-License-Identifier: MIT */
/*
 * Reads, writes and the rest of the NVM command set over every engine, with
 * memory that is leased and memory that is copied.
 */
#include "models/nvme/testing.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define IMAGE ((uint64_t)4 << 20)
#define BLOCKS (IMAGE / 512)
#define MAX_BLOCKS 1024u /* MDTS: 512 KiB */

struct variant {
	const char *options;
	unsigned int flags;
	struct host host;
};

static struct variant variants[] = {
	{"engine=auto", 0},	      {"engine=auto", HOST_COPY_ONLY},
	{"engine=threads", 0},	      {"engine=threads,direct=on", HOST_COPY_ONLY},
	{"engine=auto,direct=on", 0}, {"cache=volatile", 0},
};

static struct host *begin(struct variant *v, uint32_t queue_size)
{
	host_make_image(&v->host, IMAGE);
	host_open(&v->host, v->options, v->flags);
	host_enable(&v->host);
	host_create_queues(&v->host, 1, queue_size);
	return &v->host;
}

static struct nvme_sqe plain(uint8_t opcode)
{
	return (struct nvme_sqe){.opcode = opcode, .nsid = via_cpu_to_le32(1)};
}

static void check_image_bytes(const uint8_t *data, uint64_t at, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (data[i] != host_image_byte(at + i))
			fail_msg("byte %llu differs", (unsigned long long)(at + i));
}

/* Every number of pages and awkward offsets: one PRP, two, lists, chained lists. */
static void test_read(void **state)
{
	static const uint32_t sizes[] = {1, 7, 8, 9, 16, 17, 24, 120, 136, 256, 1023, MAX_BLOCKS};
	static const uint32_t offsets[] = {0, 512, 2048, 4092, 4};
	struct host *host = begin(*state, 64);
	uint64_t at = host_alloc(host, MAX_BLOCKS * 512 + HOST_PAGE);
	size_t i, j;

	for (i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		for (j = 0; j < sizeof(offsets) / sizeof(*offsets); j++) {
			uint64_t lba = 3 * i + j;
			struct nvme_sqe sqe =
				host_rw(host, NVME_CMD_READ, lba, sizes[i], 512, at + offsets[j]);
			uint8_t *data = host->memory + at + offsets[j];

			memset(data, 0xee, sizes[i] * 512);
			assert_int_equal(host_command(host, 1, sqe, NULL), 0);
			check_image_bytes(data, lba * 512, sizes[i] * 512);
		}
	}
	host_close(host);
}

static void test_write_flush_compare(void **state)
{
	struct host *host = begin(*state, 64);
	uint64_t at = host_alloc(host, MAX_BLOCKS * 512 + HOST_PAGE);
	const uint32_t n = 200;
	uint8_t *data = host->memory + at + 512;
	uint8_t *copy = malloc(n * 512);
	struct nvme_sqe sqe;
	uint32_t i;
	int fd;

	assert_non_null(copy);
	for (i = 0; i < n * 512; i++)
		data[i] = copy[i] = (uint8_t)(i * 31 + (i >> 8));
	sqe = host_rw(host, NVME_CMD_WRITE, 100, n, 512, at + 512);
	assert_int_equal(host_command(host, 1, sqe, NULL), 0);
	sqe.opcode = NVME_CMD_COMPARE;
	sqe.cid = via_cpu_to_le16(0);
	assert_int_equal(host_command(host, 1, sqe, NULL), 0);
	data[n * 512 - 1] ^= 1;
	assert_int_equal(host_command(host, 1, sqe, NULL), NVME_SC_COMPARE);
	assert_int_equal(host_command(host, 1, plain(NVME_CMD_FLUSH), NULL), 0);
	fd = open(host->image, O_RDONLY);
	assert_int_equal(pread(fd, data, n * 512, 100 * 512), n * 512);
	assert_memory_equal(data, copy, n * 512);
	close(fd);
	/* Force Unit Access, beside what was written. */
	sqe = host_rw(host, NVME_CMD_WRITE, 300, 8, 512, at);
	sqe.cdw12 = via_cpu_to_le32(7 | NVME_RW_FUA);
	assert_int_equal(host_command(host, 1, sqe, NULL), 0);
	sqe = host_rw(host, NVME_CMD_READ, 99, 1, 512, at);
	assert_int_equal(host_command(host, 1, sqe, NULL), 0);
	check_image_bytes(host->memory + at, 99 * 512, 512);
	free(copy);
	host_close(host);
}

static void expect_zeros(struct host *host, uint64_t lba, uint32_t n, uint64_t at)
{
	struct nvme_sqe sqe = host_rw(host, NVME_CMD_READ, lba, n, 512, at);
	uint32_t i;

	memset(host->memory + at, 0xee, n * 512);
	assert_int_equal(host_command(host, 1, sqe, NULL), 0);
	for (i = 0; i < n * 512; i++)
		assert_int_equal(host->memory[at + i], 0);
}

static void test_zeroes_and_deallocate(void **state)
{
	struct variant *v = *state;
	struct host *host = begin(v, 64);
	uint64_t at = host_alloc(host, MAX_BLOCKS * 512);
	uint64_t list = host_alloc(host, HOST_PAGE);
	struct nvme_dsm_range *ranges = (void *)(host->memory + list);
	struct nvme_sqe sqe = plain(NVME_CMD_WRITE_ZEROES);

	sqe.cdw10 = via_cpu_to_le32(3);
	sqe.cdw12 = via_cpu_to_le32(300 - 1);
	assert_int_equal(host_command(host, 1, sqe, NULL), 0);
	expect_zeros(host, 3, 300, at);
	sqe.cdw10 = via_cpu_to_le32(400);
	sqe.cdw12 = via_cpu_to_le32((100 - 1) | NVME_WZ_DEAC | NVME_RW_FUA);
	assert_int_equal(host_command(host, 1, sqe, NULL), 0);
	expect_zeros(host, 400, 100, at);
	ranges[0] = (struct nvme_dsm_range){.n_blocks = via_cpu_to_le32(64),
					    .lba = via_cpu_to_le64(1024)};
	ranges[1] = (struct nvme_dsm_range){.n_blocks = via_cpu_to_le32(0),
					    .lba = via_cpu_to_le64(BLOCKS)};
	ranges[2] = (struct nvme_dsm_range){.n_blocks = via_cpu_to_le32(8),
					    .lba = via_cpu_to_le64(BLOCKS - 8)};
	sqe = plain(NVME_CMD_DSM);
	sqe.prp1 = via_cpu_to_le64(host_iova(list));
	sqe.cdw10 = via_cpu_to_le32(2);
	assert_int_equal(host_command(host, 1, sqe, NULL), 0); /* hints only */
	sqe.cdw11 = via_cpu_to_le32(NVME_DSM_DEALLOCATE);
	assert_int_equal(host_command(host, 1, sqe, NULL), 0);
	if (!strstr(v->options, "volatile")) {
		expect_zeros(host, 1024, 64, at);
		expect_zeros(host, BLOCKS - 8, 8, at);
	}
	ranges[2].n_blocks = via_cpu_to_le32(9);
	assert_int_equal(host_command(host, 1, sqe, NULL), NVME_SC_LBA_RANGE);
	/* The neighbours are untouched. */
	sqe = host_rw(host, NVME_CMD_READ, 500, 1, 512, at);
	assert_int_equal(host_command(host, 1, sqe, NULL), 0);
	check_image_bytes(host->memory + at, 500 * 512, 512);
	host_close(host);
}

static void test_errors(void **state)
{
	struct host *host = begin(*state, 64);
	uint64_t at = host_alloc(host, MAX_BLOCKS * 512 + HOST_PAGE);
	struct nvme_sqe sqe;

	sqe = host_rw(host, NVME_CMD_READ, BLOCKS - 1, 2, 512, at);
	assert_int_equal(host_command(host, 1, sqe, NULL), NVME_SC_LBA_RANGE);
	sqe = host_rw(host, NVME_CMD_WRITE, UINT64_MAX, 1, 512, at);
	assert_int_equal(host_command(host, 1, sqe, NULL), NVME_SC_LBA_RANGE);
	sqe = host_rw(host, NVME_CMD_READ, 0, MAX_BLOCKS, 512, at);
	sqe.cdw12 = via_cpu_to_le32(MAX_BLOCKS);
	assert_int_equal(host_command(host, 1, sqe, NULL), NVME_SC_INVALID_FIELD);
	sqe = host_rw(host, NVME_CMD_READ, 0, 1, 512, at + 2);
	assert_int_equal(host_command(host, 1, sqe, NULL), NVME_SC_PRP_OFFSET);
	sqe = host_rw(host, NVME_CMD_READ, 0, 16, 512, at + 512);
	via_put_le64(&sqe.prp2, via_get_le64(&sqe.prp2) + 4); /* a list that is not aligned */
	assert_int_equal(host_command(host, 1, sqe, NULL), NVME_SC_PRP_OFFSET);
	sqe = host_rw(host, NVME_CMD_READ, 0, 16, 512, at);
	via_put_le64(&sqe.prp2, via_get_le64(&sqe.prp2) + 512); /* a second page that is not */
	assert_int_equal(host_command(host, 1, sqe, NULL), NVME_SC_PRP_OFFSET);
	sqe = host_rw(host, NVME_CMD_READ, 0, 1, 512, at);
	sqe.nsid = via_cpu_to_le32(2);
	assert_int_equal(host_command(host, 1, sqe, NULL), NVME_SC_INVALID_NS);
	sqe.nsid = via_cpu_to_le32(1);
	sqe.flags = 0x40; /* SGL */
	assert_int_equal(host_command(host, 1, sqe, NULL), NVME_SC_INVALID_FIELD);
	sqe.flags = 1; /* fused */
	assert_int_equal(host_command(host, 1, sqe, NULL), NVME_SC_INVALID_FIELD);
	sqe = plain(0x7f);
	assert_int_equal(host_command(host, 1, sqe, NULL), NVME_SC_INVALID_OPCODE);
	/* Memory that is not there, for data and for the list. */
	sqe = host_rw(host, NVME_CMD_READ, 0, 1, 512, at);
	sqe.prp1 = via_cpu_to_le64(0x7000000000);
	assert_int_equal(host_command(host, 1, sqe, NULL), NVME_SC_DATA_TRANSFER);
	sqe.opcode = NVME_CMD_WRITE;
	assert_int_equal(host_command(host, 1, sqe, NULL), NVME_SC_DATA_TRANSFER);
	sqe = host_rw(host, NVME_CMD_WRITE, 0, 64, 512, at);
	sqe.prp2 = via_cpu_to_le64(0x7000000000);
	assert_int_equal(host_command(host, 1, sqe, NULL), NVME_SC_DATA_TRANSFER);
	/* A list that chains to itself for ever is no list of this length. */
	sqe.prp2 = via_cpu_to_le64(host_iova(at) + HOST_PAGE - 8);
	via_put_le64(host->memory + at + HOST_PAGE - 8, host_iova(at) + HOST_PAGE - 8);
	assert_int_equal(host_command(host, 1, sqe, NULL), NVME_SC_PRP_OFFSET);
	host_close(host);
}

/* The image shrinks under us: an error for the guest, no signal for us. */
static void test_truncated_image(void **state)
{
	struct host *host = begin(*state, 64);
	uint64_t at = host_alloc(host, 64 * 512);
	struct nvme_sqe sqe = host_rw(host, NVME_CMD_READ, BLOCKS / 2 - 8, 16, 512, at);

	assert_int_equal(truncate(host->image, IMAGE / 2), 0);
	assert_int_equal(host_command(host, 1, sqe, NULL), NVME_SC_READ_ERROR);
	host_close(host);
}

/* More than the queue holds at once, completions out of order, wrapping phases. */
static void test_depth(void **state)
{
	struct host *host = begin(*state, 16);
	uint64_t at = host_alloc(host, 16 * HOST_PAGE);
	bool outstanding[1024] = {false}, busy[16] = {false};
	uint8_t slot_of[1024];
	uint32_t sent = 0, received = 0;
	struct nvme_cqe cqe;

	while (received < 500) {
		while (sent < 500 && sent - received < 15) {
			struct nvme_sqe sqe;
			uint16_t cid;
			uint8_t slot = 0;

			/* Out of order means that any of the pages may be the one that is free. */
			while (busy[slot])
				slot++;
			sqe = host_rw(host, NVME_CMD_READ, (sent * 8) % BLOCKS, 8, 512,
				      at + slot * HOST_PAGE);
			cid = host_push(host, 1, sqe);
			busy[slot] = outstanding[cid] = true;
			slot_of[cid] = slot;
			sent++;
		}
		host_ring(host, 1);
		assert_true(host_poll(host, 1, 5000, &cqe));
		assert_int_equal(host_status(&cqe), 0);
		assert_true(outstanding[via_le16_to_cpu(cqe.cid)]);
		outstanding[via_le16_to_cpu(cqe.cid)] = false;
		busy[slot_of[via_le16_to_cpu(cqe.cid)]] = false;
		received++;
	}
	assert_false(host_poll(host, 1, 5, &cqe));
	host_close(host);
}

/* Until all that fits has completed, nothing of it taken. */
static void wait_full(struct host *host, uint16_t qid)
{
	const struct host_queue *q = &host->queues[qid];
	struct nvme_cqe last;
	int tries = 5000;

	do {
		assert_true(tries--);
		usleep(1000);
		via_device_lock(host->dev);
		memcpy(&last, host->memory + q->cq + (q->size - 2) * sizeof(last), sizeof(last));
		via_device_unlock(host->dev);
	} while ((via_le16_to_cpu(last.status) & 1) != q->phase);
}

/* A completion queue that is full holds completions back and loses none. */
static void test_full_completion_queue(void **state)
{
	struct host *host = begin(*state, 8);
	uint64_t at = host_alloc(host, 14 * HOST_PAGE);
	struct nvme_cqe cqe;
	int i, n = 0;

	for (i = 0; i < 7; i++)
		host_push(host, 1, host_rw(host, NVME_CMD_READ, 0, 1, 512, at + i * HOST_PAGE));
	host_ring(host, 1);
	/* Only then may the submission queue be filled again. */
	wait_full(host, 1);
	for (i = 0; i < 7; i++)
		host_push(host, 1,
			  host_rw(host, NVME_CMD_READ, 0, 1, 512, at + (7 + i) * HOST_PAGE));
	host_ring(host, 1);
	usleep(20000);
	while (n < 14 && host_poll(host, 1, 5000, &cqe))
		n++;
	assert_int_equal(n, 14);
	host_close(host);
}

/* Controller and device resets while I/O is in flight. */
static void test_reset_in_flight(void **state)
{
	struct host *host = begin(*state, 256);
	uint64_t at = host_alloc(host, 100 * HOST_PAGE);
	struct nvme_sqe sqe;
	int round, i;

	for (round = 0; round < 20; round++) {
		for (i = 0; i < 100; i++) {
			sqe = host_rw(host, i & 1 ? NVME_CMD_READ : NVME_CMD_WRITE, 8 * i, 8, 512,
				      at + i * HOST_PAGE);
			host_push(host, 1, sqe);
		}
		host_ring(host, 1);
		if (round & 1)
			host_write32(host, NVME_REG_CC, 0);
		else
			assert_int_equal(via_device_reset(host->dev), 0);
		assert_int_equal(host_read32(host, NVME_REG_CSTS), 0);
		host_enable(host);
		host_create_queues(host, 1, 256);
	}
	/* Nothing holds the memory back. */
	assert_int_equal(host_command(host, 1, host_rw(host, NVME_CMD_READ, 0, 8, 512, at), NULL),
			 0);
	assert_int_equal(
		via_ioas_unmap(host->ioas, HOST_IOVA, HOST_IOVA + HOST_MEMORY - 1, &(uint64_t){0}),
		0);
	host_close(host);
}

/* Deleting a submission queue finishes what it has in flight. */
static void test_delete_in_flight(void **state)
{
	struct host *host = begin(*state, 64);
	uint64_t at = host_alloc(host, 50 * HOST_PAGE);
	struct nvme_sqe sqe = {.opcode = NVME_ADMIN_DELETE_SQ, .cdw10 = via_cpu_to_le32(1)};
	struct nvme_cqe cqe;
	int i, n = 0;

	for (i = 0; i < 50; i++)
		host_push(host, 1, host_rw(host, NVME_CMD_READ, 0, 8, 512, at + i * HOST_PAGE));
	host_ring(host, 1);
	assert_int_equal(host_command(host, 0, sqe, NULL), 0);
	while (host_poll(host, 1, 10, &cqe))
		n++;
	assert_in_range(n, 0, 50);
	sqe.opcode = NVME_ADMIN_DELETE_CQ;
	assert_int_equal(host_command(host, 0, sqe, NULL), 0);
	host_create_queues(host, 1, 64);
	assert_int_equal(host_command(host, 1, host_rw(host, NVME_CMD_READ, 0, 8, 512, at), NULL),
			 0);
	host_close(host);
}

static void test_4096(void **state)
{
	static struct host host;
	uint64_t at;

	host_make_image(&host, IMAGE);
	host_open(&host, "lba_size=4096", 0);
	host_enable(&host);
	host_create_queues(&host, 1, 64);
	at = host_alloc(&host, 2 * HOST_PAGE);
	assert_int_equal(
		host_command(&host, 1, host_rw(&host, NVME_CMD_READ, 5, 2, 4096, at), NULL), 0);
	check_image_bytes(host.memory + at, 5 * 4096, 8192);
	assert_int_equal(host_command(&host, 1,
				      host_rw(&host, NVME_CMD_READ, IMAGE / 4096, 1, 4096, at),
				      NULL),
			 NVME_SC_LBA_RANGE);
	host_close(&host);
}

static void test_readonly(void **state)
{
	static struct host host;
	struct via_device *second;
	struct via_error err = {0};
	struct nvme_sqe sqe;
	uint64_t at;

	host_make_image(&host, IMAGE);
	host_open(&host, "readonly=on", 0);
	host_enable(&host);
	host_create_queues(&host, 1, 64);
	at = host_alloc(&host, HOST_PAGE);
	sqe = host_rw(&host, NVME_CMD_WRITE, 0, 1, 512, at);
	assert_int_equal(host_command(&host, 1, sqe, NULL), NVME_SC_WRITE_PROTECTED);
	sqe.opcode = NVME_CMD_WRITE_ZEROES;
	assert_int_equal(host_command(&host, 1, sqe, NULL), NVME_SC_WRITE_PROTECTED);
	sqe.opcode = NVME_CMD_READ;
	assert_int_equal(host_command(&host, 1, sqe, NULL), 0);
	assert_int_equal(host_command(&host, 1, plain(NVME_CMD_FLUSH), NULL), 0);
	/* Readers share, a writer does not. */
	assert_int_equal(host_create(&host, "", &err, &second), -EBUSY);
	assert_int_equal(host_create(&host, "readonly=on", &err, &second), 0);
	via_device_free(second);
	host_close(&host);
}

static void test_lock_and_bad_images(void **state)
{
	static struct host host;
	struct via_device *second;
	struct via_error err = {0};
	char path[64];

	host_make_image(&host, IMAGE);
	host_open(&host, "", 0);
	assert_int_equal(host_create(&host, "", &err, &second), -EBUSY);
	assert_non_null(strstr(err.text, host.image));
	assert_non_null(strstr(err.text, "in use"));
	memcpy(path, host.image, sizeof(path));
	strcpy(host.image, "/nonexistent/disk.img");
	err = (struct via_error){0};
	assert_int_equal(host_create(&host, "", &err, &second), -ENOENT);
	assert_non_null(strstr(err.text, host.image));
	strcpy(host.image, "/dev/null");
	assert_int_equal(host_create(&host, "", NULL, &second), -EINVAL);
	memcpy(host.image, path, sizeof(path));
	assert_int_equal(host_create(&host, "lba_size=1024", NULL, &second), -EINVAL);
	assert_int_equal(host_create(&host, "engine=magic", NULL, &second), -EINVAL);
	host_close(&host);
	host_make_image(&host, 1000);
	err = (struct via_error){0};
	assert_int_equal(host_create(&host, "", &err, &second), -EINVAL);
	assert_non_null(strstr(err.text, "multiple"));
	unlink(host.image);
}

/*
 * A child writes block 0, flushes, writes block 1 and is killed: with
 * cache=volatile only block 0 is in the image; with Flush broken, neither is.
 */
static void killed_after_flush(const char *options, bool *ret_flushed, bool *ret_unflushed)
{
	static struct host host;
	uint8_t data[1024];
	int status, fd;
	pid_t pid;

	host_make_image(&host, IMAGE);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		uint64_t at;

		host_open(&host, options, 0);
		host_enable(&host);
		host_create_queues(&host, 1, 64);
		at = host_alloc(&host, HOST_PAGE);
		memset(host.memory + at, 0xaa, HOST_PAGE);
		host_command(&host, 1, host_rw(&host, NVME_CMD_WRITE, 0, 1, 512, at), NULL);
		host_command(&host, 1, plain(NVME_CMD_FLUSH), NULL);
		host_command(&host, 1, host_rw(&host, NVME_CMD_WRITE, 1, 1, 512, at), NULL);
		kill(getpid(), SIGKILL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	fd = open(host.image, O_RDONLY);
	assert_int_equal(pread(fd, data, sizeof(data), 0), sizeof(data));
	close(fd);
	unlink(host.image);
	*ret_flushed = data[0] == 0xaa && data[511] == 0xaa;
	*ret_unflushed = data[512] == 0xaa;
}

static void test_volatile_cache(void **state)
{
	bool flushed, unflushed;

	killed_after_flush("cache=volatile", &flushed, &unflushed);
	assert_true(flushed);
	assert_false(unflushed);
	killed_after_flush("cache=volatile,flush=ignore", &flushed, &unflushed);
	assert_false(flushed);
	assert_false(unflushed);
}

#define N_VARIANTS (sizeof(variants) / sizeof(*variants))

int main(void)
{
	static const struct {
		const char *name;
		CMUnitTestFunction function;
	} each[] = {
		{"read", test_read},
		{"write, flush, compare", test_write_flush_compare},
		{"zeroes and deallocate", test_zeroes_and_deallocate},
		{"errors", test_errors},
		{"truncated image", test_truncated_image},
		{"depth", test_depth},
		{"full completion queue", test_full_completion_queue},
		{"reset in flight", test_reset_in_flight},
		{"delete in flight", test_delete_in_flight},
	};
	enum { N_EACH = sizeof(each) / sizeof(*each) };
	static const struct CMUnitTest once[] = {
		cmocka_unit_test(test_volatile_cache),
		cmocka_unit_test(test_4096),
		cmocka_unit_test(test_readonly),
		cmocka_unit_test(test_lock_and_bad_images),
	};
	enum { N_ONCE = sizeof(once) / sizeof(*once) };
	static char names[N_VARIANTS * N_EACH][96];
	static struct CMUnitTest tests[N_ONCE + N_VARIANTS * N_EACH];
	size_t i;

	memcpy(tests, once, sizeof(once));
	for (i = 0; i < N_VARIANTS * N_EACH; i++) {
		struct variant *v = &variants[i / N_EACH];

		snprintf(names[i], sizeof(names[i]), "%s (%s%s)", each[i % N_EACH].name, v->options,
			 v->flags & HOST_COPY_ONLY ? ", copied" : "");
		tests[N_ONCE + i] = (struct CMUnitTest){
			.name = names[i],
			.test_func = each[i % N_EACH].function,
			.initial_state = v,
		};
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
