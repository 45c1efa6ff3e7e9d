/* SPDX-License-Identifier: MIT */
/*
 * Threads of one program that make, use and destroy the same objects of the
 * mock vendor: whatever each of them is told, nothing is used after its end, nobody
 * waits for ever, and a close leaves nothing behind.
 */
#include "vfio/iommufd/test-iommufd-mock.h"

#define THREADS 4
#define ROUNDS 4000u
#define IDS 24u

struct worker {
	struct bench *b;
	uint32_t seed;
	uint32_t fault_fd;
};

static uint32_t pick(struct worker *w, uint32_t n)
{
	w->seed = w->seed * 1664525u + 1013904223u;
	return (w->seed >> 8) % n;
}

static uint32_t any_id(struct worker *w)
{
	return 1 + pick(w, IDS);
}

static void poke(struct worker *w)
{
	struct via_iommu_test_cmd cmd = {0};
	struct via_iommu_hwpt_page_response answer = {1 + pick(w, 3), pick(w, 2)};
	struct bench *b = w->b;
	uint8_t buf[400];
	struct mocked m;

	switch (pick(w, 14)) {
	case 0:
		(void)mock_flags(b, any_id(w), 4, &m);
		break;
	case 1:
	case 2:
		(void)destroy(b, any_id(w));
		break;
	case 3:
		(void)hwpt(b, any_id(w), any_id(w), VIA_IOMMU_HWPT_ALLOC_NEST_PARENT);
		break;
	case 4:
		(void)nested(b, any_id(w), any_id(w), VIA_IOMMU_HWPT_FAULT_ID_VALID, 1);
		break;
	case 5:
	case 6:
		(void)replace(b, any_id(w), any_id(w));
		break;
	case 7:
		(void)viommu(b, any_id(w), any_id(w), NULL, 0);
		break;
	case 8:
		(void)vdevice(b, any_id(w), any_id(w), 1 + pick(w, 3));
		break;
	case 9:
		cmd.iopf.dev_id = any_id(w);
		(void)test_cmd(b, &cmd, VIA_IOMMU_TEST_TRIGGER_IOPF, 0);
		break;
	case 10:
		cmd.vevent.dev_id = any_id(w);
		(void)test_cmd(b, &cmd, VIA_IOMMU_TEST_TRIGGER_VEVENT, 0);
		break;
	case 11:
		(void)fd_rw(b, (int)w->fault_fd, buf, 40 * (size_t)(1 + pick(w, 9)), 0, false);
		break;
	case 12:
		(void)fd_rw(b, (int)w->fault_fd, &answer, sizeof(answer), 0, true);
		break;
	default:
		(void)pasid(b, VIA_IOMMU_TEST_PASID_ATTACH + pick(w, 3), any_id(w), 1 + pick(w, 2),
			    any_id(w));
		break;
	}
}

static void *work(void *arg)
{
	struct worker *w = arg;

	for (unsigned int i = 0; i < ROUNDS; i++)
		poke(w);
	return NULL;
}

static void test_threads(void **state)
{
	struct via_iommu_fault_alloc queue = {.size = sizeof(queue)};
	struct worker workers[THREADS];
	struct bench *b = *state;
	pthread_t threads[THREADS];

	assert_int_equal(ioc(b, VIA_IOMMU_FAULT_QUEUE_ALLOC, &queue), 0);
	assert_int_equal(queue.out_fault_id, 1);
	for (unsigned int i = 0; i < 3; i++)
		(void)mock_new(b, ioas_new(b));
	for (unsigned int i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){.b = b, .seed = i + 1, .fault_fd = queue.out_fault_fd};
		assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
	}
	for (unsigned int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		MOCK(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
