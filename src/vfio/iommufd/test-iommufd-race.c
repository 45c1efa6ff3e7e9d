/* SPDX-License-Identifier: MIT */
/*
 * Threads of one program that make, use and destroy the same objects of the
 * mock vendor: whatever each of them is told, nothing is used after its end, nobody
 * waits for ever, and a close leaves nothing behind.
 */
#include "base/util.h"
#include "vfio/iommufd/test-iommufd-mock.h"

#define THREADS 4
#define ROUNDS 4000u
#define EACH 4u /* of a kind, that are known at a time */

enum object { IOAS, STDEV, DEV, HWPT, PASIDS, NESTED, VIOMMU, VDEVICE, OBJECTS };

enum call {
	NEW_IOAS,
	NEW_DEVICE,
	NEW_HWPT,
	NEW_PASIDS,
	NEW_NESTED,
	NEW_VIOMMU,
	NEW_VDEVICE,
	DESTROY,
	REPLACE,
	PASID_ATTACH,
	PASID_DETACH,
	MAP,
	UNMAP,
	FAULT,
	READ_FAULTS,
	ANSWER,
	VEVENT,
	CALLS
};

static const char *const names[VEVENT] = {
	[NEW_IOAS] = "IOAS_ALLOC",
	[NEW_DEVICE] = "MOCK_DOMAIN_FLAGS",
	[NEW_HWPT] = "HWPT_ALLOC",
	[NEW_PASIDS] = "HWPT_ALLOC for PASIDs",
	[NEW_NESTED] = "HWPT_ALLOC, nested",
	[NEW_VIOMMU] = "VIOMMU_ALLOC",
	[NEW_VDEVICE] = "VDEVICE_ALLOC",
	[DESTROY] = "DESTROY",
	[REPLACE] = "MOCK_DOMAIN_REPLACE",
	[PASID_ATTACH] = "PASID_ATTACH",
	[PASID_DETACH] = "PASID_DETACH",
	[MAP] = "IOAS_MAP",
	[UNMAP] = "IOAS_UNMAP",
	[FAULT] = "TRIGGER_IOPF",
	[READ_FAULTS] = "read of faults",
	[ANSWER] = "an answer to a fault",
};

struct worker {
	struct bench *b;
	uint32_t (*known)[EACH]; /* by kind; all threads', atomic */
	uint8_t *memory;
	uint32_t seed;
	uint32_t fault_id, fault_fd;
	uint32_t cookie;	  /* of the last fault that was read */
	unsigned int good[CALLS]; /* that have succeeded */
};

static uint32_t below(struct worker *w, uint32_t n)
{
	w->seed = w->seed * 1664525 + 1013904223;
	return (w->seed >> 8) % n;
}

/* One of a kind, or once in a while anything. */
static uint32_t pick(struct worker *w, enum object kind)
{
	if (!below(w, 16))
		return 1 + below(w, 40);
	return __atomic_load_n(&w->known[kind][below(w, EACH)], __ATOMIC_RELAXED);
}

static uint32_t pick_pt(struct worker *w)
{
	static const enum object kinds[] = {IOAS, HWPT, PASIDS, PASIDS, NESTED};

	return pick(w, kinds[below(w, VIA_ARRAY_SIZE(kinds))]);
}

/* A new object takes the place of one that goes, unless that is in use. */
static long keep(struct worker *w, enum object kind, long id)
{
	uint32_t old;

	if (id < 0)
		return id;
	old = __atomic_exchange_n(&w->known[kind][below(w, EACH)], (uint32_t)id, __ATOMIC_RELAXED);
	if (old)
		(void)destroy(w->b, old);
	return id;
}

static long new_ioas(struct worker *w)
{
	struct via_iommu_ioas_alloc cmd = {.size = sizeof(cmd)};
	long ret = ioc(w->b, VIA_IOMMU_IOAS_ALLOC, &cmd);

	return ret < 0 ? ret : (long)cmd.out_ioas_id;
}

static long new_device(struct worker *w)
{
	struct mocked m;
	long ret = mock_flags(w->b, pick(w, IOAS), 4, &m);

	if (ret < 0)
		return ret;
	(void)keep(w, DEV, m.idev);
	return keep(w, STDEV, m.stdev);
}

static long map_memory(struct worker *w)
{
	struct via_iommu_ioas_map cmd = {
		.size = sizeof(cmd),
		.flags = 7,
		.ioas_id = pick(w, IOAS),
		.user_va = addr(w->memory),
		.length = PAGE,
		.iova = (0x1000 + below(w, 4)) * (uint64_t)PAGE,
	};

	return ioc(w->b, VIA_IOMMU_IOAS_MAP, &cmd);
}

static long unmap_memory(struct worker *w)
{
	struct via_iommu_ioas_unmap cmd = {
		.size = sizeof(cmd),
		.ioas_id = pick(w, IOAS),
		.iova = (0x1000 + below(w, 4)) * (uint64_t)PAGE,
		.length = PAGE,
	};

	return ioc(w->b, VIA_IOMMU_IOAS_UNMAP, &cmd);
}

static long answer(struct worker *w)
{
	uint32_t words[2] = {w->cookie, 0};

	return fd_rw(w->b, (int)w->fault_fd, words, sizeof(words), 0, true);
}

/* Half of the faults are answered at once: later on their HWPT may be gone. */
static long read_faults(struct worker *w)
{
	struct via_iommu_hwpt_pgfault faults[4];
	ssize_t ret = fd_rw(w->b, (int)w->fault_fd, faults,
			    sizeof(faults[0]) * (1 + below(w, VIA_ARRAY_SIZE(faults))), 0, false);

	if (ret <= 0)
		return -EAGAIN;
	w->cookie = faults[0].cookie;
	if (below(w, 2))
		w->good[ANSWER] += answer(w) >= 0;
	return ret;
}

static long fault(struct worker *w)
{
	struct via_iommu_test_cmd cmd = {.iopf.dev_id = pick(w, DEV)};
	long ret = test_cmd(w->b, &cmd, VIA_IOMMU_TEST_TRIGGER_IOPF, 0);

	if (ret >= 0 && below(w, 2))
		w->good[READ_FAULTS] += read_faults(w) >= 0;
	return ret;
}

static long call(struct worker *w, enum call what)
{
	struct via_iommu_test_cmd cmd = {0};
	struct bench *b = w->b;

	switch (what) {
	case NEW_IOAS:
		return keep(w, IOAS, new_ioas(w));
	case NEW_DEVICE:
		return new_device(w);
	case NEW_HWPT:
		return keep(w, HWPT,
			    hwpt(b, pick(w, DEV), pick(w, IOAS), VIA_IOMMU_HWPT_ALLOC_NEST_PARENT));
	case NEW_PASIDS:
		return keep(w, PASIDS,
			    hwpt(b, pick(w, DEV), pick(w, IOAS), VIA_IOMMU_HWPT_ALLOC_PASID));
	case NEW_NESTED:
		return keep(w, NESTED,
			    nested(b, pick(w, DEV), pick(w, below(w, 2) ? HWPT : VIOMMU),
				   VIA_IOMMU_HWPT_FAULT_ID_VALID, w->fault_id));
	case NEW_VIOMMU:
		return keep(w, VIOMMU, viommu(b, pick(w, DEV), pick(w, HWPT), NULL, 0));
	case NEW_VDEVICE:
		return keep(w, VDEVICE, vdevice(b, pick(w, VIOMMU), pick(w, DEV), 1 + below(w, 3)));
	case DESTROY:
		return destroy(b, pick(w, (enum object)below(w, OBJECTS)));
	case REPLACE:
		return replace(b, pick(w, STDEV), pick_pt(w));
	case PASID_ATTACH:
		return pasid(b, VIA_IOMMU_TEST_PASID_ATTACH + below(w, 2), pick(w, STDEV),
			     1 + below(w, 2), pick_pt(w));
	case PASID_DETACH:
		return pasid(b, VIA_IOMMU_TEST_PASID_DETACH, pick(w, STDEV), 1 + below(w, 2), 0);
	case MAP:
		return map_memory(w);
	case UNMAP:
		return unmap_memory(w);
	case FAULT:
		return fault(w);
	case READ_FAULTS:
		return read_faults(w);
	case ANSWER:
		return answer(w);
	case VEVENT:
	default:
		cmd.vevent.dev_id = pick(w, DEV);
		return test_cmd(b, &cmd, VIA_IOMMU_TEST_TRIGGER_VEVENT, 0);
	}
}

static void *work(void *arg)
{
	struct worker *w = arg;

	for (unsigned int i = 0; i < ROUNDS; i++) {
		enum call what = (enum call)below(w, CALLS);

		w->good[what] += call(w, what) >= 0;
	}
	return NULL;
}

static void test_threads(void **state)
{
	struct via_iommu_fault_alloc queue = {.size = sizeof(queue)};
	uint32_t known[OBJECTS][EACH] = {0};
	struct worker workers[THREADS];
	struct bench *b = *state;
	pthread_t threads[THREADS];
	uint8_t *memory =
		mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(memory, MAP_FAILED);
	assert_int_equal(ioc(b, VIA_IOMMU_FAULT_QUEUE_ALLOC, &queue), 0);
	for (unsigned int i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){
			.b = b,
			.known = known,
			.memory = memory,
			.seed = i + 1,
			.fault_id = queue.out_fault_id,
			.fault_fd = queue.out_fault_fd,
		};
		assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
	}
	for (unsigned int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	/* They have met: no kind of call has only ever failed. An event needs too much for that. */
	for (unsigned int what = 0; what < VEVENT; what++) {
		unsigned int good = 0;

		for (unsigned int t = 0; t < THREADS; t++)
			good += workers[t].good[what];
		if (!good)
			fail_msg("%s has always failed", names[what]);
	}
	munmap(memory, PAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		MOCK(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
