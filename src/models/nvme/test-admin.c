/* SPDX-License-Identifier: MIT */
/* The controller and its admin commands, seen by a driver. */
#include "models/nvme/testing.h"

#include <viaduct/abi/vfio.h>

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define MIB ((uint64_t)1 << 20)

static int setup(void **state)
{
	static struct host host;

	host_make_image(&host, MIB);
	host_open(&host, "queues=16", 0);
	host_enable(&host);
	*state = &host;
	return 0;
}

static int teardown(void **state)
{
	host_close(*state);
	return 0;
}

static struct nvme_sqe admin(uint8_t opcode, uint32_t cdw10, uint32_t cdw11)
{
	return (struct nvme_sqe){
		.opcode = opcode,
		.cdw10 = via_cpu_to_le32(cdw10),
		.cdw11 = via_cpu_to_le32(cdw11),
	};
}

static uint16_t run(struct host *host, uint8_t opcode, uint32_t cdw10, uint32_t cdw11)
{
	return host_command(host, 0, admin(opcode, cdw10, cdw11), NULL);
}

static uint8_t *identify(struct host *host, uint32_t cns, uint32_t nsid, uint16_t *ret_status)
{
	uint64_t at = host_alloc(host, 2 * HOST_PAGE) + 0x10;
	struct nvme_sqe sqe = admin(NVME_ADMIN_IDENTIFY, cns, 0);

	sqe.nsid = via_cpu_to_le32(nsid);
	host_set_prps(host, &sqe, at, 4096);
	*ret_status = host_command(host, 0, sqe, NULL);
	return host->memory + at;
}

static void test_registers(void **state)
{
	struct host *host = *state;
	uint64_t cap = host_read64(host, NVME_REG_CAP);

	assert_int_equal(cap & 0xffff, 4095);
	assert_int_equal((cap >> 16) & 1, 1);	 /* CQR */
	assert_int_equal((cap >> 32) & 0xf, 0);	 /* stride of 4 bytes */
	assert_int_equal((cap >> 37) & 0xff, 1); /* NVM command set */
	assert_int_equal(host_read32(host, NVME_REG_VS), 0x10400);
	host_write32(host, NVME_REG_INTMS, 0xf0);
	host_write32(host, NVME_REG_INTMC, 0x30);
	assert_int_equal(host_read32(host, NVME_REG_INTMS), 0xc0);
	/* Reset: queues gone, ready falls, AQA stays. */
	host_write32(host, NVME_REG_CC, 4 << 20 | 6 << 16);
	assert_int_equal(host_read32(host, NVME_REG_CSTS), 0);
	assert_int_equal(host_read32(host, NVME_REG_INTMS), 0);
	assert_int_equal(host_read32(host, NVME_REG_AQA), 63 << 16 | 63);
	host_enable(host);
	/* A device reset clears that too. */
	assert_int_equal(via_device_reset(host->dev), 0);
	assert_int_equal(host_read32(host, NVME_REG_AQA), 0);
	assert_int_equal(host_read64(host, NVME_REG_ASQ), 0);
}

static void test_bad_enable(void **state)
{
	struct host *host = *state;

	host_write32(host, NVME_REG_CC, 0);
	/* Pages of 128 KiB, then a command set that does not exist. */
	host_write32(host, NVME_REG_CC, 5 << 7 | 1);
	assert_int_equal(host_read32(host, NVME_REG_CSTS), NVME_CSTS_CFS);
	host_write32(host, NVME_REG_CC, 0);
	assert_int_equal(host_read32(host, NVME_REG_CSTS), 0);
	host_write32(host, NVME_REG_CC, 1 << 4 | 1);
	assert_int_equal(host_read32(host, NVME_REG_CSTS), NVME_CSTS_CFS);
}

static void test_identify(void **state)
{
	struct host *host = *state;
	uint16_t status;
	uint8_t *id = identify(host, 1, 0, &status);

	assert_int_equal(status, 0);
	assert_int_equal(via_get_le16(id), 0x1b36);
	assert_memory_equal(id + 24, "Viaduct NVMe", 12);
	assert_int_equal(id[77], 7);
	assert_int_equal(via_get_le32(id + 80), 0x10400);
	assert_int_equal(via_get_le32(id + 516), 1);
	id = identify(host, 0, 1, &status);
	assert_int_equal(status, 0);
	assert_int_equal(via_get_le64(id), MIB / 512);
	assert_int_equal(id[130], 9);
	id = identify(host, 2, 0, &status);
	assert_int_equal(via_get_le32(id), 1);
	assert_int_equal(via_get_le32(id + 4), 0);
	id = identify(host, 2, 1, &status);
	assert_int_equal(via_get_le32(id), 0);
	id = identify(host, 3, 1, &status);
	assert_int_equal(id[0], 2);
	assert_int_equal(id[1], 16);
	identify(host, 0, 2, &status);
	assert_int_equal(status, NVME_SC_INVALID_NS);
	identify(host, 0x55, 1, &status);
	assert_int_equal(status, NVME_SC_INVALID_FIELD);
}

static uint16_t create(struct host *host, uint8_t opcode, uint32_t cdw10, uint32_t cdw11,
		       uint64_t prp1)
{
	struct nvme_sqe sqe = admin(opcode, cdw10, cdw11);

	sqe.prp1 = via_cpu_to_le64(prp1);
	return host_command(host, 0, sqe, NULL);
}

static void test_queue_management(void **state)
{
	struct host *host = *state;
	uint64_t at = host_iova(host_alloc(host, HOST_PAGE));
	const uint8_t cq = NVME_ADMIN_CREATE_CQ, sq = NVME_ADMIN_CREATE_SQ;

	assert_int_equal(create(host, cq, 15 << 16 | 0, 1, at), NVME_SC_INVALID_QID);
	assert_int_equal(create(host, cq, 15 << 16 | 17, 1, at), NVME_SC_INVALID_QID);
	assert_int_equal(create(host, cq, 15 << 16 | 0xffff, 1, at), NVME_SC_INVALID_QID);
	assert_int_equal(create(host, cq, 0 << 16 | 1, 1, at), NVME_SC_QUEUE_SIZE);
	assert_int_equal(create(host, cq, 4096u << 16 | 1, 1, at), NVME_SC_QUEUE_SIZE);
	assert_int_equal(create(host, cq, 15 << 16 | 1, 0, at), NVME_SC_INVALID_FIELD);
	assert_int_equal(create(host, cq, 15 << 16 | 1, 1, at + 8), NVME_SC_PRP_OFFSET);
	assert_int_equal(create(host, cq, 15 << 16 | 1, 65u << 16 | 1, at), NVME_SC_INVALID_VECTOR);
	assert_int_equal(create(host, sq, 15 << 16 | 1, 1 << 16 | 1, at), NVME_SC_CQ_INVALID);
	assert_int_equal(create(host, sq, 15 << 16 | 1, 0 << 16 | 1, at), NVME_SC_INVALID_QID);
	assert_int_equal(create(host, cq, 15 << 16 | 1, 1, at), 0);
	assert_int_equal(create(host, cq, 15 << 16 | 1, 1, at), NVME_SC_INVALID_QID);
	assert_int_equal(create(host, sq, 15 << 16 | 1, 1 << 16 | 1, at), 0);
	assert_int_equal(create(host, sq, 15 << 16 | 1, 1 << 16 | 1, at), NVME_SC_INVALID_QID);
	assert_int_equal(run(host, NVME_ADMIN_SET_FEATURES, NVME_FEAT_QUEUES, 0),
			 NVME_SC_COMMAND_SEQUENCE);
	assert_int_equal(run(host, NVME_ADMIN_DELETE_CQ, 1, 0), NVME_SC_QUEUE_DELETION);
	assert_int_equal(run(host, NVME_ADMIN_DELETE_SQ, 2, 0), NVME_SC_INVALID_QID);
	assert_int_equal(run(host, NVME_ADMIN_DELETE_SQ, 0, 0), NVME_SC_INVALID_QID);
	assert_int_equal(run(host, NVME_ADMIN_DELETE_SQ, 1, 0), 0);
	assert_int_equal(run(host, NVME_ADMIN_DELETE_CQ, 1, 0), 0);
	assert_int_equal(run(host, NVME_ADMIN_DELETE_CQ, 1, 0), NVME_SC_INVALID_QID);
	assert_int_equal(run(host, NVME_ADMIN_DELETE_CQ, 0, 0), NVME_SC_INVALID_QID);
}

static uint32_t feature(struct host *host, uint32_t cdw10, uint32_t cdw11)
{
	uint32_t value = 0;

	assert_int_equal(
		host_command(host, 0, admin(NVME_ADMIN_GET_FEATURES, cdw10, cdw11), &value), 0);
	return value;
}

static void test_features(void **state)
{
	struct host *host = *state;
	const uint8_t set = NVME_ADMIN_SET_FEATURES;

	assert_int_equal(feature(host, NVME_FEAT_QUEUES, 0), 15 << 16 | 15);
	assert_int_equal(feature(host, NVME_FEAT_WRITE_CACHE, 0), 1);
	assert_int_equal(run(host, set, NVME_FEAT_WRITE_CACHE, 0), 0);
	assert_int_equal(feature(host, NVME_FEAT_WRITE_CACHE, 0), 0);
	assert_int_equal(feature(host, 1 << 8 | NVME_FEAT_WRITE_CACHE, 0), 1);
	assert_int_equal(feature(host, 3 << 8 | NVME_FEAT_WRITE_CACHE, 0), 4);
	assert_int_equal(run(host, set, NVME_FEAT_VECTOR, 1 << 16 | 5), 0);
	assert_int_equal(feature(host, NVME_FEAT_VECTOR, 5), 1 << 16 | 5);
	assert_int_equal(run(host, set, NVME_FEAT_VECTOR, 65), NVME_SC_INVALID_FIELD);
	assert_int_equal(run(host, set, NVME_FEAT_POWER, 1), NVME_SC_INVALID_FIELD);
	assert_int_equal(run(host, set, NVME_FEAT_QUEUES, 0xffff), NVME_SC_INVALID_FIELD);
	assert_int_equal(run(host, set, 1u << 31 | NVME_FEAT_POWER, 0), NVME_SC_NOT_SAVEABLE);
	assert_int_equal(run(host, set, 0x7f, 0), NVME_SC_INVALID_FIELD);
	assert_int_equal(run(host, NVME_ADMIN_GET_FEATURES, 0x7f, 0), NVME_SC_INVALID_FIELD);
	assert_int_equal(run(host, 0x7f, 0, 0), NVME_SC_INVALID_OPCODE);
}

static uint8_t *get_log(struct host *host, uint8_t log, uint32_t len, uint32_t offset,
			uint16_t *ret_status)
{
	uint64_t at = host_alloc(host, len);
	struct nvme_sqe sqe = admin(NVME_ADMIN_GET_LOG_PAGE, (len / 4 - 1) << 16 | log, 0);

	sqe.cdw12 = via_cpu_to_le32(offset);
	host_set_prps(host, &sqe, at, len);
	*ret_status = host_command(host, 0, sqe, NULL);
	return host->memory + at;
}

static void test_logs(void **state)
{
	struct host *host = *state;
	uint16_t status;
	uint8_t *log;

	assert_int_equal(run(host, 0x7f, 0, 0), NVME_SC_INVALID_OPCODE);
	log = get_log(host, NVME_LOG_ERROR, 128, 0, &status);
	assert_int_equal(status, 0);
	assert_int_equal(via_get_le64(log), 1);
	assert_int_equal((via_get_le16(log + 12) >> 1) & NVME_SC_MASK, NVME_SC_INVALID_OPCODE);
	assert_int_equal(via_get_le64(log + 64), 0);
	log = get_log(host, NVME_LOG_SMART, 512, 0, &status);
	assert_int_equal(via_get_le16(log + 1), 310);
	assert_int_equal(via_get_le64(log + 176), 1);
	log = get_log(host, NVME_LOG_SMART, 4, 176, &status);
	assert_int_equal(via_get_le32(log), 1);
	log = get_log(host, NVME_LOG_FIRMWARE, 512, 0, &status);
	assert_int_equal(log[0], 1);
	log = get_log(host, NVME_LOG_EFFECTS, 4096, 0, &status);
	assert_int_equal(via_get_le32(log + 4 * NVME_ADMIN_IDENTIFY), 1);
	assert_int_equal(via_get_le32(log + 1024 + 4 * NVME_CMD_WRITE), 3);
	get_log(host, NVME_LOG_SMART, 512, 516, &status);
	assert_int_equal(status, NVME_SC_INVALID_FIELD);
	get_log(host, 0x70, 512, 0, &status);
	assert_int_equal(status, NVME_SC_INVALID_LOG);
}

static void test_async_events(void **state)
{
	struct host *host = *state;
	struct nvme_sqe sqe;
	struct nvme_cqe cqe;
	uint16_t cids[4], i;

	for (i = 0; i < 4; i++)
		cids[i] = host_push(host, 0, admin(NVME_ADMIN_ASYNC_EVENT, 0, 0));
	host_push(host, 0, admin(NVME_ADMIN_ASYNC_EVENT, 0, 0));
	host_ring(host, 0);
	assert_true(host_poll(host, 0, 5000, &cqe));
	assert_int_equal(host_status(&cqe), NVME_SC_AER_LIMIT);
	/* Aborted on request. */
	host_push(host, 0, admin(NVME_ADMIN_ABORT, (uint32_t)cids[0] << 16, 0));
	host_ring(host, 0);
	assert_true(host_poll(host, 0, 5000, &cqe));
	assert_int_equal(host_status(&cqe), NVME_SC_ABORT_REQUESTED);
	assert_int_equal(via_le16_to_cpu(cqe.cid), cids[0]);
	assert_true(host_poll(host, 0, 5000, &cqe));
	assert_int_equal(via_le32_to_cpu(cqe.result), 0);
	/* A doorbell of a queue that does not exist. */
	host->queues[9].sq_tail = 3;
	host_ring(host, 9);
	assert_true(host_poll(host, 0, 5000, &cqe));
	assert_int_equal(via_le32_to_cpu(cqe.result), NVME_LOG_ERROR << 16);
	/* The next of that type waits until the log is read. */
	host->queues[9].sq_tail = 4;
	host_ring(host, 9);
	assert_false(host_poll(host, 0, 50, &cqe));
	sqe = admin(NVME_ADMIN_GET_LOG_PAGE, 15 << 16 | NVME_LOG_ERROR, 0);
	host_set_prps(host, &sqe, host_alloc(host, HOST_PAGE), 64);
	host_push(host, 0, sqe);
	host_ring(host, 0);
	assert_true(host_poll(host, 0, 5000, &cqe));
	assert_int_equal(via_le32_to_cpu(cqe.result), NVME_LOG_ERROR << 16);
	assert_true(host_poll(host, 0, 5000, &cqe));
	assert_int_equal(host_status(&cqe), 0);
}

static void test_temperature_event(void **state)
{
	struct host *host = *state;
	struct nvme_cqe cqe;
	uint32_t value;

	host_push(host, 0, admin(NVME_ADMIN_ASYNC_EVENT, 0, 0));
	host_ring(host, 0);
	host_command(
		host, 0,
		admin(NVME_ADMIN_SET_FEATURES, NVME_FEAT_ASYNC_EVENTS, NVME_WARNING_TEMPERATURE),
		NULL);
	host_push(host, 0, admin(NVME_ADMIN_SET_FEATURES, NVME_FEAT_TEMPERATURE, 300));
	host_ring(host, 0);
	assert_true(host_poll(host, 0, 5000, &cqe));
	value = via_le32_to_cpu(cqe.result);
	assert_int_equal(value, NVME_EVENT_SMART | NVME_EVENT_SMART_TEMPERATURE << 8 |
					NVME_LOG_SMART << 16);
	assert_true(host_poll(host, 0, 5000, &cqe));
	assert_int_equal(host_status(&cqe), 0);
}

static void test_abort(void **state)
{
	struct host *host = *state;
	uint32_t value;

	assert_int_equal(host_command(host, 0, admin(NVME_ADMIN_ABORT, 77 << 16, 0), &value), 0);
	assert_int_equal(value, 1);
	assert_int_equal(run(host, NVME_ADMIN_ABORT, 5, 0), NVME_SC_INVALID_FIELD);
}

static int shared_fd(void *cookie, int fd, int *ret_fd)
{
	*ret_fd = dup(fd);
	return *ret_fd < 0 ? -EBADF : 0;
}

static void arm(struct host *host, uint32_t index, int32_t fd)
{
	const struct via_set_irqs set = {
		.index = index,
		.count = 1,
		.flags = VIA_VFIO_IRQ_SET_DATA_EVENTFD | VIA_VFIO_IRQ_SET_ACTION_TRIGGER,
		.fds = &fd,
		.fd_get = shared_fd,
	};

	assert_int_equal(via_device_set_irqs(host->dev, &set), 0);
}

static bool signalled(int fd, int ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	uint64_t count;

	return poll(&p, 1, ms) == 1 && read(fd, &count, sizeof(count)) == sizeof(count);
}

static void test_message_interrupt(void **state)
{
	struct host *host = *state;
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	arm(host, VIA_IRQ_MSIX, fd);
	assert_int_equal(run(host, NVME_ADMIN_ABORT, 0, 0), 0);
	assert_true(signalled(fd, 5000));
	assert_false(signalled(fd, 20));
	close(fd);
}

static void test_pin_interrupt(void **state)
{
	struct host *host = *state;
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	const struct via_set_irqs unmask = {
		.index = VIA_IRQ_INTX,
		.count = 1,
		.flags = VIA_VFIO_IRQ_SET_DATA_NONE | VIA_VFIO_IRQ_SET_ACTION_UNMASK,
	};
	struct nvme_cqe cqe;

	arm(host, VIA_IRQ_INTX, fd);
	host_push(host, 0, admin(NVME_ADMIN_ABORT, 0, 0));
	host_ring(host, 0);
	assert_true(signalled(fd, 5000));
	/* Masked by its own signal; still asserted when unmasked, as nothing was taken. */
	assert_int_equal(via_device_set_irqs(host->dev, &unmask), 0);
	assert_true(signalled(fd, 5000));
	assert_true(host_poll(host, 0, 5000, &cqe));
	/* The head doorbell takes the level away. */
	usleep(20000);
	assert_int_equal(via_device_set_irqs(host->dev, &unmask), 0);
	assert_false(signalled(fd, 20));
	/* INTMS keeps it down, INTMC lets it out. */
	host_write32(host, NVME_REG_INTMS, 1);
	host_push(host, 0, admin(NVME_ADMIN_ABORT, 0, 0));
	host_ring(host, 0);
	assert_false(signalled(fd, 50));
	host_write32(host, NVME_REG_INTMC, 1);
	assert_true(signalled(fd, 5000));
	close(fd);
}

static void test_shutdown(void **state)
{
	struct host *host = *state;
	struct nvme_cqe cqe;

	host_write32(host, NVME_REG_CC, 4 << 20 | 6 << 16 | 1 << 14 | 1);
	assert_int_equal(host_read32(host, NVME_REG_CSTS), NVME_CSTS_RDY | NVME_CSTS_SHST_DONE);
	/* Nothing is processed any more. */
	host_push(host, 0, admin(NVME_ADMIN_ABORT, 0, 0));
	host_ring(host, 0);
	assert_false(host_poll(host, 0, 30, &cqe));
	host_write32(host, NVME_REG_CC, 0);
	host_enable(host);
	assert_int_equal(run(host, NVME_ADMIN_ABORT, 0, 0), 0);
}

static void test_fatal(void **state)
{
	struct host *host = *state;
	int i;

	/* Queues where no memory is. */
	host_write32(host, NVME_REG_CC, 0);
	host_write64(host, NVME_REG_ASQ, 0x7000000000);
	host_write32(host, NVME_REG_CC, 4 << 20 | 6 << 16 | 1);
	assert_int_equal(host_read32(host, NVME_REG_CSTS), NVME_CSTS_RDY);
	host->queues[0].sq_tail = 1;
	host_ring(host, 0);
	for (i = 0; i < 1000 && !(host_read32(host, NVME_REG_CSTS) & NVME_CSTS_CFS); i++)
		usleep(1000);
	assert_true(host_read32(host, NVME_REG_CSTS) & NVME_CSTS_CFS);
	host_write32(host, NVME_REG_CC, 0);
	host_enable(host);
	assert_int_equal(run(host, NVME_ADMIN_ABORT, 0, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_registers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_enable, setup, teardown),
		cmocka_unit_test_setup_teardown(test_identify, setup, teardown),
		cmocka_unit_test_setup_teardown(test_queue_management, setup, teardown),
		cmocka_unit_test_setup_teardown(test_features, setup, teardown),
		cmocka_unit_test_setup_teardown(test_logs, setup, teardown),
		cmocka_unit_test_setup_teardown(test_async_events, setup, teardown),
		cmocka_unit_test_setup_teardown(test_temperature_event, setup, teardown),
		cmocka_unit_test_setup_teardown(test_abort, setup, teardown),
		cmocka_unit_test_setup_teardown(test_message_interrupt, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pin_interrupt, setup, teardown),
		cmocka_unit_test_setup_teardown(test_shutdown, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fatal, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
