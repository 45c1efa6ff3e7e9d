/* SPDX-License-Identifier: MIT */
/*
 * 157 for commands of /dev/iommu: memory runs out at the n-th allocation, for n = 1, 2, ...:
 * -ENOMEM, and no object stays. The linker puts our allocator before the real one.
 */
#include "base/test-allocations.h"
#include "vfio/iommufd/test-iommufd-mock.h"

#include <limits.h>
#include <signal.h>
#include <sys/resource.h>

/*
 * The command fails with each of its allocations in turn, and works at last. least: how many there
 * are; one whose failure is not noticed would be missing.
 */
static void in_spite(struct bench *b, unsigned long cmd, void *args, size_t size, long least)
{
	uint8_t before[256];
	long ret = -ENOMEM;

	assert_true(size <= sizeof(before));
	memcpy(before, args, size);
	for (long n = 0; ret < 0; n++) {
		const uint32_t n_live = b->iommufd->n_live;

		assert_true(n < 64);
		memcpy(args, before, size);
		fail_allocation(n);
		ret = ioc(b, cmd, args);
		fail_allocation(-1);
		if (ret < 0) {
			assert_int_equal(ret, -ENOMEM);
			assert_int_equal(b->iommufd->n_live, n_live);
		} else {
			if (n < least)
				fail_msg("%ld allocations, not %ld", n, least);
		}
	}
}

static void test_case_157_objects(void **state)
{
	struct via_iommu_ioas_alloc ioas = {.size = sizeof(ioas)};
	struct via_iommu_fault_alloc fault = {.size = sizeof(fault)};
	struct bench *b = *state;

	in_spite(b, VIA_IOMMU_IOAS_ALLOC, &ioas, sizeof(ioas), 3);
	in_spite(b, VIA_IOMMU_FAULT_QUEUE_ALLOC, &fault, sizeof(fault), 2);
}

static void test_case_157_veventq(void **state)
{
	struct bench *b = *state;
	const uint32_t ioas = ioas_new(b);
	const struct mocked m = mock_new(b, ioas);
	const long parent = hwpt(b, m.idev, ioas, VIA_IOMMU_HWPT_ALLOC_NEST_PARENT);
	struct via_iommu_veventq_alloc cmd = {
		.size = sizeof(cmd),
		.viommu_id = (uint32_t)viommu(b, m.idev, (uint32_t)parent, NULL, 0),
		.type = EVENT_TYPE,
		.veventq_depth = 4,
	};

	in_spite(b, VIA_IOMMU_VEVENTQ_ALLOC, &cmd, sizeof(cmd), 2);
}

static void test_case_157_viommu(void **state)
{
	struct {
		uint32_t in, out;
		uint64_t offset, length;
	} data = {.in = 0xbeef};
	struct bench *b = *state;
	const uint32_t ioas = ioas_new(b);
	const struct mocked m = mock_new(b, ioas);
	struct via_iommu_viommu_alloc cmd = {
		.size = sizeof(cmd),
		.type = TYPE,
		.dev_id = m.idev,
		.hwpt_id = (uint32_t)hwpt(b, m.idev, ioas, VIA_IOMMU_HWPT_ALLOC_NEST_PARENT),
		.data_len = sizeof(data),
		.data_uptr = addr(&data),
	};
	struct rlimit limit;

	/* Its pages are a file, which takes a descriptor. */
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &(struct rlimit){0, limit.rlim_max}), 0);
	assert_int_equal(ioc(b, VIA_IOMMU_VIOMMU_ALLOC, &cmd), -ENOMEM);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	in_spite(b, VIA_IOMMU_VIOMMU_ALLOC, &cmd, sizeof(cmd), 2);
}

static void test_case_157_map(void **state)
{
	struct bench *b = *state;
	struct via_iommu_ioas_map cmd = {
		.size = sizeof(cmd),
		.flags = F,
		.ioas_id = dom(b),
		.user_va = addr(b->memory),
		.length = 4 * PAGE,
		.iova = LOW,
	};

	/* Whom to charge is one more to remember. */
	b->tc.caller.caps &= ~VIA_CAP_IPC_LOCK;
	in_spite(b, VIA_IOMMU_IOAS_MAP, &cmd, sizeof(cmd), 4);
	assert_int_equal(unmap(b, cmd.ioas_id, LOW, 4 * PAGE), 0);
	assert_int_equal(via_ledger_pinned(b->tc.caller.mm), 0);
}

/* A TEST_CMD, likewise. */
static void test_in_spite(struct bench *b, uint32_t op, uint32_t id, struct via_iommu_test_cmd *cmd,
			  long least)
{
	cmd->size = sizeof(*cmd);
	cmd->op = op;
	cmd->id = id;
	in_spite(b, VIA_IOMMU_TEST_CMD, cmd, sizeof(*cmd), least);
}

/* Devices on the mock, and all that is allocated for one. */
static void test_case_157_devices(void **state)
{
	struct via_iommu_test_cmd first = {0}, second = {0}, fault, event;
	struct bench *b = *state;
	const uint32_t ioas = ioas_new(b);
	struct via_iommu_hwpt_alloc parent = {
		.size = sizeof(parent), .flags = VIA_IOMMU_HWPT_ALLOC_NEST_PARENT, .pt_id = ioas};
	uint32_t data[2] = {TLB, 0}, entry[3] = {1};
	struct via_iommu_fault_alloc queue = {.size = sizeof(queue)};
	struct via_iommu_hwpt_alloc nested_alloc = {
		.size = sizeof(nested_alloc),
		.flags = VIA_IOMMU_HWPT_FAULT_ID_VALID,
		.data_type = NESTED_TYPE,
		.data_len = sizeof(data),
		.data_uptr = addr(data),
	};
	struct via_iommu_vdevice_alloc vdev = {.size = sizeof(vdev), .virt_id = 1};
	struct via_iommu_veventq_alloc events = {
		.size = sizeof(events), .type = EVENT_TYPE, .veventq_depth = 4};
	struct via_iommu_hwpt_invalidate invalidation = {
		.size = sizeof(invalidation),
		.data_uptr = addr(entry),
		.data_type = TYPE,
		.entry_len = sizeof(entry),
		.entry_num = 1,
	};
	uint8_t records[160];
	ssize_t got = -ENOMEM;
	long v;

	/* The device, the mock, its group, its HWPT and domain, the attachment. */
	test_in_spite(b, VIA_IOMMU_TEST_MOCK_DOMAIN, ioas, &first, 8);
	test_in_spite(b, VIA_IOMMU_TEST_MOCK_DOMAIN, ioas, &second, 5);
	assert_int_equal(destroy(b, second.domain.out_stdev_id), 0);
	parent.dev_id = first.domain.out_idev_id;
	in_spite(b, VIA_IOMMU_HWPT_ALLOC, &parent, sizeof(parent), 2);
	assert_int_equal(ioc(b, VIA_IOMMU_FAULT_QUEUE_ALLOC, &queue), 0);
	v = viommu(b, parent.dev_id, parent.out_hwpt_id, NULL, 0);
	assert_true(v > 0);
	vdev.viommu_id = (uint32_t)v;
	vdev.dev_id = parent.dev_id;
	in_spite(b, VIA_IOMMU_VDEVICE_ALLOC, &vdev, sizeof(vdev), 1);
	nested_alloc.dev_id = parent.dev_id;
	nested_alloc.pt_id = (uint32_t)v;
	nested_alloc.fault_id = queue.out_fault_id;
	in_spite(b, VIA_IOMMU_HWPT_ALLOC, &nested_alloc, sizeof(nested_alloc), 2);
	assert_int_equal(replace(b, first.domain.out_stdev_id, nested_alloc.out_hwpt_id),
			 nested_alloc.out_hwpt_id);
	invalidation.hwpt_id = (uint32_t)v;
	entry[1] = 1;
	in_spite(b, VIA_IOMMU_HWPT_INVALIDATE, &invalidation, sizeof(invalidation), 1);

	fault = (struct via_iommu_test_cmd){.iopf = {.dev_id = parent.dev_id}};
	/* What hardware reports is lost, without a word. */
	fail_allocation(0);
	assert_int_equal(test_cmd(b, &fault, VIA_IOMMU_TEST_TRIGGER_IOPF, 0), 0);
	fail_allocation(-1);
	assert_int_equal(n_allocations, 1);
	assert_false(readable(b, (int)queue.out_fault_fd));
	assert_int_equal(test_cmd(b, &fault, VIA_IOMMU_TEST_TRIGGER_IOPF, 0), 0);
	for (long n = 0; got < 0; n++) {
		assert_true(n < 8);
		fail_allocation(n);
		got = fd_rw(b, (int)queue.out_fault_fd, records, sizeof(records), 0, false);
		fail_allocation(-1);
		if (got < 0)
			assert_int_equal(got, -ENOMEM);
		else
			assert_true(n >= 2);
	}
	/* It has not been delivered twice, nor lost. */
	assert_int_equal(got, sizeof(struct via_iommu_hwpt_pgfault));
	events.viommu_id = (uint32_t)v;
	assert_int_equal(ioc(b, VIA_IOMMU_VEVENTQ_ALLOC, &events), 0);
	event = (struct via_iommu_test_cmd){.vevent.dev_id = parent.dev_id};
	test_in_spite(b, VIA_IOMMU_TEST_TRIGGER_VEVENT, 0, &event, 1);
	/* One that is lost leaves a gap, which says so. */
	got = fd_rw(b, (int)events.out_veventq_fd, records, sizeof(records), 0, false);
	assert_true(got > 0);
}

static void test_case_157_hw_queue(void **state)
{
	struct bench *b = *state;
	const uint32_t ioas = ioas_new(b);
	const struct mocked m = mock_new(b, ioas);
	const long parent = hwpt(b, m.idev, ioas, VIA_IOMMU_HWPT_ALLOC_NEST_PARENT);
	struct via_iommu_hw_queue_alloc cmd = {
		.size = sizeof(cmd),
		.viommu_id = (uint32_t)viommu(b, m.idev, (uint32_t)parent, NULL, 0),
		.type = TYPE,
		.nesting_parent_iova = LOW,
		.length = PAGE,
	};

	assert_int_equal(map_at(b, ioas, F, addr(b->memory), PAGE, LOW), 0);
	/* The queue, its access twice, a record, pieces, identities. */
	in_spite(b, VIA_IOMMU_HW_QUEUE_ALLOC, &cmd, sizeof(cmd), 10);
	assert_int_equal(destroy(b, cmd.out_hw_queue_id), 0);
	assert_int_equal(unmap(b, ioas, LOW, PAGE), 0);
	/* So many pages that their list has no length. */
	cmd.length = (uint64_t)INT_MAX / sizeof(void *) * PAGE;
	assert_int_equal(ioc(b, VIA_IOMMU_HW_QUEUE_ALLOC, &cmd), -ENOENT);
	cmd.length++;
	assert_int_equal(ioc(b, VIA_IOMMU_HW_QUEUE_ALLOC, &cmd), -ENOMEM);
}

static void test_case_157_dirty(void **state)
{
	struct bench *b = *state;
	const uint32_t ioas = ioas_new(b);
	const struct mocked m = mock_new(b, ioas);
	const long id = hwpt(b, m.idev, ioas, VIA_IOMMU_HWPT_ALLOC_DIRTY_TRACKING);
	uint64_t bits = 1, got = 0;
	struct via_iommu_test_cmd mark = {
		.dirty = {.iova = LOW, .length = 8 * PAGE, .page_size = PAGE, .uptr = addr(&bits)}};
	struct via_iommu_hwpt_get_dirty_bitmap report = {
		.size = sizeof(report),
		.hwpt_id = (uint32_t)id,
		.iova = LOW,
		.length = 8 * PAGE,
		.page_size = PAGE,
		.data = addr(&got),
	};
	struct via_iommu_hwpt_set_dirty_tracking track = {
		.size = sizeof(track), .hwpt_id = (uint32_t)id, .flags = 1};

	assert_int_equal(set_option(b, VIA_IOMMU_OPTION_HUGE_PAGES, ioas, 0), 0);
	assert_int_equal(replace(b, m.stdev, (uint32_t)id), id);
	assert_int_equal(map_at(b, ioas, F, addr(b->memory), 8 * PAGE, LOW), 0);
	assert_int_equal(ioc(b, VIA_IOMMU_HWPT_SET_DIRTY_TRACKING, &track), 0);
	test_in_spite(b, VIA_IOMMU_TEST_DIRTY, (uint32_t)id, &mark, 1);
	in_spite(b, VIA_IOMMU_HWPT_GET_DIRTY_BITMAP, &report, sizeof(report), 1);
	assert_int_equal(got, 1);
}

static void test_case_157_accesses(void **state)
{
	struct bench *b = *state;
	const uint32_t ioas = ioas_new(b);
	uint64_t word = 0;
	struct via_iommu_test_cmd access = {.create_access.flags = VIA_IOMMU_TEST_ACCESS_PINS},
				  simple = {0},
				  pages = {.access_pages = {.iova = LOW,
							    .length = PAGE,
							    .uptr = addr(b->memory)}},
				  copy = {.access_rw = {
						  .iova = LOW, .length = 8, .uptr = addr(&word)}};

	assert_int_equal(map_at(b, ioas, F, addr(b->memory), PAGE, LOW), 0);
	memset(b->memory, 7, 8);
	test_in_spite(b, VIA_IOMMU_TEST_CREATE_ACCESS, ioas, &access, 2);
	test_in_spite(b, VIA_IOMMU_TEST_ACCESS_PAGES, access.create_access.out_fd, &pages, 8);
	assert_int_equal(check_refs(b, b->memory, PAGE, 1), 0);
	test_in_spite(b, VIA_IOMMU_TEST_CREATE_ACCESS, ioas, &simple, 2);
	test_in_spite(b, VIA_IOMMU_TEST_ACCESS_RW, simple.create_access.out_fd, &copy, 1);
	assert_int_equal(word, 0x0707070707070707u);
}

static void test_case_157_ranges(void **state)
{
	struct bench *b = *state;
	const uint32_t ioas = ioas_new(b);
	struct via_iommu_iova_range range = {LOW, LOW + 0xffff}, got[2];
	struct via_iommu_ioas_allow_iovas allowed = {
		.size = sizeof(allowed),
		.ioas_id = ioas,
		.num_iovas = 1,
		.allowed_iovas = addr(&range),
	};
	struct via_iommu_ioas_iova_ranges ranges = {.size = sizeof(ranges),
						    .ioas_id = ioas,
						    .num_iovas = 2,
						    .allowed_iovas = addr(got)};

	in_spite(b, VIA_IOMMU_IOAS_ALLOW_IOVAS, &allowed, sizeof(allowed), 3);
	in_spite(b, VIA_IOMMU_IOAS_IOVA_RANGES, &ranges, sizeof(ranges), 1);
	/* One that was refused counts for nothing. */
	allowed.allowed_iovas = 8;
	allowed.num_iovas = 65536;
	assert_int_equal(ioc(b, VIA_IOMMU_IOAS_ALLOW_IOVAS, &allowed), -EFAULT);
	allowed.num_iovas++;
	assert_int_equal(ioc(b, VIA_IOMMU_IOAS_ALLOW_IOVAS, &allowed), -ENOMEM);
}

static void test_case_157_change_process(void **state)
{
	struct via_iommu_ioas_change_process cmd = {.size = sizeof(cmd)};
	struct bench *b = *state;

	(void)ioas_new(b);
	in_spite(b, VIA_IOMMU_IOAS_CHANGE_PROCESS, &cmd, sizeof(cmd), 3);
}

static void test_case_157_dmabuf(void **state)
{
	struct via_iommu_test_cmd cmd = {.dmabuf_get = {.length = PAGE}};
	struct bench *b = *state;
	const uint32_t ioas = ioas_new(b);
	long ret = -ENOMEM;
	uint64_t iova = LOW;

	for (long n = 0; ret < 0; n++) {
		assert_true(n < 8);
		fail_allocation(n);
		ret = test_cmd(b, &cmd, VIA_IOMMU_TEST_DMABUF_GET, 0);
		fail_allocation(-1);
		if (ret < 0)
			assert_int_equal(ret, -ENOMEM);
		else
			assert_true(n >= 2);
	}
	assert_int_equal(map_file(b, ioas, F, (int)ret, 0, PAGE, &iova), 0);
}

static void test_case_157_files(void **state)
{
	struct bench *b = *state;
	struct via_file *file = NULL;

	fail_allocation(0);
	assert_int_equal(via_vfio_open(b->vfio, &b->tc.caller, "iommu", O_RDWR, &file), -ENOMEM);
	fail_allocation(-1);
	assert_null(file);
}

/* The pages of a vIOMMU, when no file may have so many bytes. */
static void test_case_157_viommu_pages(void **state)
{
	struct {
		uint32_t in, out;
		uint64_t offset, length;
	} data = {.in = 0xbeef};
	struct bench *b = *state;
	const uint32_t ioas = ioas_new(b);
	const struct mocked m = mock_new(b, ioas);
	const long parent = hwpt(b, m.idev, ioas, VIA_IOMMU_HWPT_ALLOC_NEST_PARENT);
	struct rlimit limit;
	void (*before)(int) = signal(SIGXFSZ, SIG_IGN);

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &(struct rlimit){0, limit.rlim_max}), 0);
	assert_int_equal(viommu(b, m.idev, (uint32_t)parent, &data, sizeof(data)), -ENOMEM);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_true(viommu(b, m.idev, (uint32_t)parent, &data, sizeof(data)) > 0);
	(void)signal(SIGXFSZ, before);
}

/* Its lists of areas, when a container of the full profile cuts and reports. */
static void test_case_157_container(void **state)
{
	struct bench *b = *state;
	uint64_t bits = 0;
	struct {
		struct via_vfio_iommu_type1_dirty_bitmap head;
		struct via_vfio_iommu_type1_dirty_bitmap_get get;
	} report = {
		.head = {sizeof(report), VIA_VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP},
		.get = {LOW, PAGE, {PAGE, 8, addr(&bits)}},
	};
	struct via_vfio_iommu_type1_dirty_bitmap start = {sizeof(start),
							  VIA_VFIO_IOMMU_DIRTY_PAGES_FLAG_START};
	struct via_vfio_iommu_type1_dma_map map = {sizeof(map), 3, addr(b->memory), LOW, PAGE};

	assert_int_equal(via_iommufd_container_join(b->iommufd, false), 0);
	assert_int_equal(ioc(b, VIA_VFIO_SET_IOMMU, (void *)(uintptr_t)VIA_VFIO_TYPE1v2_IOMMU), 0);
	in_spite(b, VIA_VFIO_IOMMU_MAP_DMA, &map, sizeof(map), 2);
	assert_int_equal(ioc(b, VIA_VFIO_IOMMU_DIRTY_PAGES, &start), 0);
	in_spite(b, VIA_VFIO_IOMMU_DIRTY_PAGES, &report, sizeof(report), 2);
}

static void test_case_157_info(void **state)
{
	struct {
		struct via_vfio_iommu_type1_info head;
		uint8_t chain[160];
	} info = {.head.argsz = sizeof(info)};
	struct bench *b = *state;

	assert_int_equal(via_iommufd_container_join(b->iommufd, false), 0);
	in_spite(b, VIA_VFIO_IOMMU_GET_INFO, &info, sizeof(info), 1);
	assert_int_equal(info.head.cap_offset, sizeof(info.head));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		MOCK(test_case_157_objects),	  MOCK(test_case_157_veventq),
		MOCK(test_case_157_viommu),	  MOCK(test_case_157_map),
		MOCK(test_case_157_info),	  MOCK_FULL(test_case_157_info),
		MOCK(test_case_157_devices),	  MOCK(test_case_157_hw_queue),
		MOCK(test_case_157_dirty),	  MOCK(test_case_157_accesses),
		MOCK(test_case_157_ranges),	  MOCK(test_case_157_change_process),
		MOCK(test_case_157_dmabuf),	  MOCK(test_case_157_files),
		MOCK(test_case_157_viommu_pages), MOCK_FULL(test_case_157_container),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
