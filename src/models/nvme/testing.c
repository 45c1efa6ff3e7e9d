/* SPDX-License-Identifier: MIT */
#include "models/nvme/testing.h"

#include <viaduct/models.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define MAP_OFFSET_DOORBELLS 0x1000

/* A program's memory that can only be copied: ours, as if it were another's. */

static int copy_readv(struct via_mm *mm, const struct iovec *local, size_t n_local,
		      const struct iovec *remote, size_t n_remote)
{
	return process_vm_readv(getpid(), local, n_local, remote, n_remote, 0) < 0 ? -EFAULT : 0;
}

static int copy_writev(struct via_mm *mm, const struct iovec *local, size_t n_local,
		       const struct iovec *remote, size_t n_remote)
{
	return process_vm_writev(getpid(), local, n_local, remote, n_remote, 0) < 0 ? -EFAULT : 0;
}

static int copy_probe(struct via_mm *mm, uint64_t addr, uint64_t len, unsigned int prot)
{
	return 0;
}

static int copy_backing(struct via_mm *mm, uint64_t addr, uint64_t len, unsigned int prot,
			struct via_backing *ret_backing)
{
	*ret_backing = (struct via_backing){.fd = -1, .len = len};
	return 0;
}

static void copy_free(struct via_mm *mm)
{
}

static const struct via_mm_ops copy_ops = {
	.readv = copy_readv,
	.writev = copy_writev,
	.probe = copy_probe,
	.backing = copy_backing,
	.free = copy_free,
};

/* Any pid but 0, which would mean the library's own memory. */
static struct via_mm copy_mm = {.ops = &copy_ops, .refs = 1, .pid = 1, .memlock_limit = UINT64_MAX};

uint8_t host_image_byte(uint64_t at)
{
	return (uint8_t)(at * 7 + (at >> 9) * 13 + (at >> 20));
}

void host_make_image(struct host *host, uint64_t size)
{
	const char *dir = getenv("TMPDIR");
	uint8_t *data = malloc(size);
	uint64_t i;
	int fd;

	memset(host, 0, sizeof(*host));
	snprintf(host->image, sizeof(host->image), "%.32s/via-nvme-XXXXXX", dir ? dir : "/tmp");
	fd = mkstemp(host->image);
	assert_true(fd >= 0);
	assert_non_null(data);
	for (i = 0; i < size; i++)
		data[i] = host_image_byte(i);
	assert_int_equal(write(fd, data, size), size);
	free(data);
	close(fd);
}

int host_create(const struct host *host, const char *options, struct via_error *err,
		struct via_device **ret_device)
{
	const struct via_model *model = via_model_find("nvme");
	struct via_options *opts;
	char text[256];
	int r;

	assert_non_null(model);
	snprintf(text, sizeof(text), "image=%s%s%s", host->image, *options ? "," : "", options);
	r = via_options_parse(model, text, err, &opts);
	if (r < 0)
		return r;
	r = model->create(opts, err, ret_device);
	via_options_free(opts);
	return r;
}

static void map_doorbells(struct host *host)
{
	struct via_region_map map;
	void *p;

	assert_int_equal(via_device_region_map(host->dev, VIA_REGION_BAR0, &map), 0);
	p = mmap(NULL, HOST_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, map.fd, MAP_OFFSET_DOORBELLS);
	assert_ptr_not_equal(p, MAP_FAILED);
	host->doorbells = p;
}

void host_open(struct host *host, const char *options, unsigned int flags)
{
	struct via_mm *mm = flags & HOST_COPY_ONLY ? via_mm_get(&copy_mm) : via_mm_self();
	const uint8_t command[] = {0x06, 0x00}; /* memory space, bus master */
	struct via_error err = {0};

	if (host_create(host, options, &err, &host->dev) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(via_device_open(host->dev), 0);
	host->memory =
		mmap(NULL, HOST_MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(host->memory, MAP_FAILED);
	assert_int_equal(via_space_new_mm(mm, &host->space), 0);
	via_mm_put(mm);
	assert_int_equal(via_ioas_new(via_iommu_props_intel(), &host->ioas), 0);
	assert_int_equal(via_ioas_map(host->ioas, HOST_IOVA, host->space, (uintptr_t)host->memory,
				      HOST_MEMORY, VIA_PROT_READ | VIA_PROT_WRITE),
			 0);
	assert_int_equal(via_device_attach(host->dev, host->ioas), 0);
	assert_int_equal(
		via_device_region_write(host->dev, VIA_REGION_CONFIG, 4, command, sizeof(command)),
		sizeof(command));
	map_doorbells(host);
	host->cid = 0;
	host->used = 0;
}

void host_close(struct host *host)
{
	munmap(host->doorbells, HOST_PAGE);
	via_device_attach(host->dev, NULL);
	via_device_close(host->dev);
	via_device_free(host->dev);
	via_ioas_put(host->ioas);
	via_space_put(host->space);
	munmap(host->memory, HOST_MEMORY);
	unlink(host->image);
}

uint64_t host_alloc(struct host *host, size_t len)
{
	uint64_t at = host->used;

	host->used += (len + HOST_PAGE - 1) & ~(uint64_t)(HOST_PAGE - 1);
	assert_true(host->used <= HOST_MEMORY);
	return at;
}

uint64_t host_read64(struct host *host, uint64_t reg)
{
	uint64_t value = 0;

	assert_int_equal(via_device_mapped_read(host->dev, VIA_REGION_BAR0, reg, 8, &value), 0);
	return value;
}

uint32_t host_read32(struct host *host, uint64_t reg)
{
	uint64_t value = 0;

	assert_int_equal(via_device_mapped_read(host->dev, VIA_REGION_BAR0, reg, 4, &value), 0);
	return (uint32_t)value;
}

void host_write32(struct host *host, uint64_t reg, uint32_t value)
{
	assert_int_equal(via_device_mapped_write(host->dev, VIA_REGION_BAR0, reg, 4, value), 0);
}

void host_write64(struct host *host, uint64_t reg, uint64_t value)
{
	assert_int_equal(via_device_mapped_write(host->dev, VIA_REGION_BAR0, reg, 8, value), 0);
}

static void init_queue(struct host *host, uint16_t qid, uint32_t size)
{
	struct host_queue *q = &host->queues[qid];

	if (q->size < size) {
		q->sq = host_alloc(host, size * sizeof(struct nvme_sqe));
		q->cq = host_alloc(host, size * sizeof(struct nvme_cqe));
	}
	q->size = size;
	q->sq_tail = q->cq_head = 0;
	q->phase = true;
	memset(host->memory + q->cq, 0, size * sizeof(struct nvme_cqe));
}

void host_enable(struct host *host)
{
	init_queue(host, 0, 64);
	host_write32(host, NVME_REG_AQA, 63 << 16 | 63);
	host_write64(host, NVME_REG_ASQ, host_iova(host->queues[0].sq));
	host_write64(host, NVME_REG_ACQ, host_iova(host->queues[0].cq));
	host_write32(host, NVME_REG_CC, 4 << 20 | 6 << 16 | NVME_CC_EN);
	assert_int_equal(host_read32(host, NVME_REG_CSTS), NVME_CSTS_RDY);
}

void host_create_queues(struct host *host, uint16_t qid, uint32_t size)
{
	struct host_queue *q = &host->queues[qid];
	struct nvme_sqe sqe = {.opcode = NVME_ADMIN_CREATE_CQ};

	init_queue(host, qid, size);
	sqe.prp1 = via_cpu_to_le64(host_iova(q->cq));
	sqe.cdw10 = via_cpu_to_le32((size - 1) << 16 | qid);
	sqe.cdw11 = via_cpu_to_le32((uint32_t)qid << 16 | 3);
	assert_int_equal(host_command(host, 0, sqe, NULL), 0);
	sqe.opcode = NVME_ADMIN_CREATE_SQ;
	sqe.prp1 = via_cpu_to_le64(host_iova(q->sq));
	sqe.cdw11 = via_cpu_to_le32((uint32_t)qid << 16 | 1);
	assert_int_equal(host_command(host, 0, sqe, NULL), 0);
}

uint16_t host_push(struct host *host, uint16_t qid, struct nvme_sqe sqe)
{
	struct host_queue *q = &host->queues[qid];

	if (!via_le16_to_cpu(sqe.cid))
		sqe.cid = via_cpu_to_le16(++host->cid);
	memcpy(host->memory + q->sq + q->sq_tail * sizeof(sqe), &sqe, sizeof(sqe));
	q->sq_tail = (q->sq_tail + 1) % q->size;
	return via_le16_to_cpu(sqe.cid);
}

static void store_doorbell(struct host *host, unsigned int index, uint32_t value)
{
	via_device_lock(host->dev);
	__atomic_store_n(&host->doorbells[index], value, __ATOMIC_RELEASE);
	via_device_unlock(host->dev);
	via_device_doorbell_ring(host->dev, VIA_REGION_BAR0);
}

void host_ring(struct host *host, uint16_t qid)
{
	store_doorbell(host, 2u * qid, host->queues[qid].sq_tail);
}

static bool take(struct host *host, struct host_queue *q, struct nvme_cqe *ret_cqe)
{
	bool new;

	via_device_lock(host->dev);
	memcpy(ret_cqe, host->memory + q->cq + q->cq_head * sizeof(*ret_cqe), sizeof(*ret_cqe));
	new = (via_le16_to_cpu(ret_cqe->status) & 1) == q->phase;
	via_device_unlock(host->dev);
	return new;
}

bool host_poll(struct host *host, uint16_t qid, unsigned int ms, struct nvme_cqe *ret_cqe)
{
	static const struct timespec pause = {.tv_nsec = 10000};
	struct host_queue *q = &host->queues[qid];
	struct timespec now, end;

	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += ms / 1000;
	end.tv_nsec += (ms % 1000) * 1000000l;
	while (!take(host, q, ret_cqe)) {
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (now.tv_sec > end.tv_sec + 1 ||
		    (now.tv_sec - end.tv_sec) * 1000000000l + now.tv_nsec - end.tv_nsec > 0)
			return false;
		nanosleep(&pause, NULL);
	}
	if (++q->cq_head == q->size) {
		q->cq_head = 0;
		q->phase = !q->phase;
	}
	store_doorbell(host, 2u * qid + 1, q->cq_head);
	return true;
}

uint16_t host_status(const struct nvme_cqe *cqe)
{
	return (via_le16_to_cpu(cqe->status) >> 1) & NVME_SC_MASK;
}

uint16_t host_command(struct host *host, uint16_t qid, struct nvme_sqe sqe, uint32_t *ret_result)
{
	uint16_t cid = host_push(host, qid, sqe);
	struct nvme_cqe cqe;

	host_ring(host, qid);
	if (!host_poll(host, qid, 5000, &cqe))
		fail_msg("no completion of opcode %#x", sqe.opcode);
	assert_int_equal(via_le16_to_cpu(cqe.cid), cid);
	assert_int_equal(via_le16_to_cpu(cqe.sq_id), qid);
	if (ret_result)
		*ret_result = via_le32_to_cpu(cqe.result);
	return host_status(&cqe);
}

void host_set_prps(struct host *host, struct nvme_sqe *sqe, uint64_t offset, size_t len)
{
	size_t first = HOST_PAGE - offset % HOST_PAGE;
	size_t pages, i, at;
	uint64_t list;

	sqe->prp1 = via_cpu_to_le64(host_iova(offset));
	sqe->prp2 = via_cpu_to_le64(0);
	if (len <= first)
		return;
	pages = (len - first + HOST_PAGE - 1) / HOST_PAGE;
	offset += first;
	if (pages == 1) {
		sqe->prp2 = via_cpu_to_le64(host_iova(offset));
		return;
	}
	/* Near the end of a page, so that longer lists chain. */
	list = host_alloc(host, 2 * HOST_PAGE);
	at = list + HOST_PAGE - 16 * sizeof(uint64_t);
	sqe->prp2 = via_cpu_to_le64(host_iova(at));
	for (i = 0; i < pages; i++) {
		if (at == list + HOST_PAGE - sizeof(uint64_t) && i + 1 < pages) {
			at = list + HOST_PAGE;
			via_put_le64(host->memory + at - sizeof(uint64_t), host_iova(at));
		}
		via_put_le64(host->memory + at, host_iova(offset + i * HOST_PAGE));
		at += sizeof(uint64_t);
	}
}

struct nvme_sqe host_rw(struct host *host, uint8_t opcode, uint64_t lba, uint32_t n,
			uint32_t block_size, uint64_t offset)
{
	struct nvme_sqe sqe = {
		.opcode = opcode,
		.nsid = via_cpu_to_le32(1),
		.cdw10 = via_cpu_to_le32((uint32_t)lba),
		.cdw11 = via_cpu_to_le32((uint32_t)(lba >> 32)),
		.cdw12 = via_cpu_to_le32(n - 1),
	};

	host_set_prps(host, &sqe, offset, (size_t)n * block_size);
	return sqe;
}
