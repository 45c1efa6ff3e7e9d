/* SPDX-License-Identifier: MIT */
/*
 * A program that passes anything: random calls, sizes and addresses on a
 * container, a group and two files of a device, from several threads. Nothing
 * may crash, hang, leak a descriptor or write outside what was passed.
 */
#include "vfio/test-caller.h"
#include "vfio/vfio.h"

#include <viaduct/abi/vfio.h>
#include <viaduct/models.h>

#include <dirent.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define PAGE 4096u
#define N_FILES 4
#define N_CALLS 10000

struct world {
	struct test_caller tc;
	struct via_vfio *vfio;
	int fds[N_FILES];
	int event, null;
	uint8_t *arena; /* two pages, one without access, one read-only */
};

struct thread {
	struct world *w;
	uint64_t seed;
};

static uint32_t rnd(struct thread *t)
{
	/* xorshift64* */
	t->seed ^= t->seed >> 12;
	t->seed ^= t->seed << 25;
	t->seed ^= t->seed >> 27;
	return (uint32_t)(t->seed * 0x2545f4914f6cdd1d >> 32);
}

static uint64_t address(struct thread *t)
{
	uint64_t arena = (uint64_t)(uintptr_t)t->w->arena;

	switch (rnd(t) % 8) {
	case 0:
		return 0;
	case 1:
		return (uint64_t)rnd(t) << 32 | rnd(t);
	case 2: /* ends at the page without access, or beyond */
		return arena + 2 * PAGE - rnd(t) % 64;
	case 3:
		return arena + 3 * PAGE + rnd(t) % 64;
	default:
		return arena + rnd(t) % PAGE / 8 * 8;
	}
}

static uint32_t word(struct thread *t)
{
	const struct world *w = t->w;
	const uint32_t page = (uint32_t)(uintptr_t)w->arena;
	const uint32_t high = (uint32_t)((uintptr_t)w->arena >> 32);
	const uint32_t likely[] = {page,
				   high,
				   (uint32_t)w->fds[0],
				   (uint32_t)w->fds[1],
				   0,
				   1,
				   2,
				   3,
				   4,
				   8,
				   16,
				   20,
				   24,
				   32,
				   48,
				   0x21,
				   0x22,
				   0x24,
				   0x10000,
				   ~0u,
				   PAGE,
				   w->event,
				   w->null,
				   0x40,
				   5,
				   9,
				   0x20000000,
				   0x7fffffff};

	return rnd(t) % 4 ? likely[rnd(t) % (sizeof(likely) / sizeof(likely[0]))] : rnd(t);
}

/* Mostly one that the kind of file has. */
static unsigned long command(struct thread *t, unsigned int which)
{
	static const uint8_t container[] = {0x64, 0x65, 0x66, 0x70, 0x71, 0x71, 0x72, 0x75};
	static const uint8_t group[] = {0x67, 0x68, 0x69, 0x6a};
	static const uint8_t device[] = {0x6b, 0x6c, 0x6d, 0x6e, 0x6e, 0x6e,
					 0x6f, 0x70, 0x71, 0x74, 0x75, 0x76};
	unsigned int r = rnd(t);

	if (r % 8 == 0)
		return 0x3b60 + r / 8 % 32;
	r /= 8;
	return 0x3b00 + (which == 0   ? container[r % sizeof(container)]
			 : which == 1 ? group[r % sizeof(group)]
				      : device[r % sizeof(device)]);
}

/*
 * Nearly valid: the words of a call that could work, some of them replaced.
 * The threads race for them, as a program can change them at any time.
 */
static void arguments(struct thread *t, unsigned long cmd, uint32_t *at)
{
	const uint64_t arena = (uint64_t)(uintptr_t)t->w->arena;
	uint32_t words[12] = {32, 3};

	switch (cmd) {
	case VIA_VFIO_DEVICE_GET_REGION_INFO:
	case VIA_VFIO_DEVICE_GET_IRQ_INFO:
		words[2] = rnd(t) % 10;
		break;
	case VIA_VFIO_DEVICE_SET_IRQS:
		words[1] = 1u << rnd(t) % 3 | 8u << rnd(t) % 3;
		words[2] = rnd(t) % 5;
		words[4] = rnd(t) % 3;
		words[5] = (uint32_t)(rnd(t) % 2 ? t->w->event : -1);
		break;
	case VIA_VFIO_DEVICE_IOEVENTFD:
		words[1] = 1u << rnd(t) % 3;
		words[2] = rnd(t) % 0x100;
		words[4] = rnd(t) % 4;
		words[6] = (uint32_t)(rnd(t) % 4 ? t->w->event : -1);
		break;
	case VIA_VFIO_DEVICE_FEATURE: {
		/* Low power and dma-bufs. */
		static const uint32_t features[] = {0x20003, 0x20004, 0x20005, 0x1000b};

		words[1] = features[rnd(t) % 4];
		if (words[1] == 0x20004)
			words[2] = t->w->event;
		else
			words[5] = 1;
		words[8] = PAGE;
		break;
	}
	case VIA_VFIO_IOMMU_MAP_DMA:
		words[2] = (uint32_t)arena;
		words[3] = (uint32_t)(arena >> 32);
		words[4] = rnd(t) % 16 * PAGE;
		words[6] = (1 + rnd(t) % 2) * PAGE;
		break;
	case VIA_VFIO_IOMMU_UNMAP_DMA:
		words[1] = 0;
		words[2] = rnd(t) % 16 * PAGE;
		words[4] = rnd(t) % 4 * PAGE;
		break;
	}
	for (unsigned int i = 0; i < 12; i++)
		__atomic_store_n(at + i, rnd(t) % 16 ? words[i] : word(t), __ATOMIC_RELAXED);
}

static void one_call(struct thread *t)
{
	struct world *w = t->w;
	struct via_caller *caller = &w->tc.caller;
	struct via_file *file = NULL;
	struct via_mmap map;
	uint64_t addr = address(t);
	uint64_t offset = (uint64_t)(rnd(t) % 12) << 40 | rnd(t) % (1u << 21);
	uint64_t arena = (uint64_t)(uintptr_t)w->arena;
	unsigned int which = rnd(t) % N_FILES;
	unsigned long cmd = command(t, which);
	int fd = w->fds[which];

	if (test_file_get(caller, fd, &file) < 0)
		return;
	if (addr % 8 == 0 && addr - arena < PAGE)
		arguments(t, cmd, (uint32_t *)(uintptr_t)addr);
	if (rnd(t) % 8 == 0)
		(void)!write(w->event, &(uint64_t){1}, 8);
	switch (rnd(t) % 8) {
	case 0:
		via_file_pread(file, caller, addr, rnd(t) % 300, offset);
		break;
	case 1:
		via_file_pwrite(file, caller, addr, rnd(t) % 300, offset);
		break;
	case 2:
		via_file_mmap(file, caller, offset & ~(uint64_t)(rnd(t) % 2 ? 4095 : 0), word(t),
			      (int)(rnd(t) % 8), (int)(rnd(t) % 4), &map);
		break;
	default:
		via_file_ioctl(file, caller, cmd, addr);
	}
	via_file_put(file);
}

static void *calls(void *arg)
{
	struct thread *t = arg;

	for (int i = 0; i < N_CALLS; i++)
		one_call(t);
	return NULL;
}

static unsigned int open_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static long ioc(struct world *w, int fd, unsigned long cmd, const void *arg)
{
	struct via_file *file = NULL;
	long ret;

	assert_int_equal(test_file_get(&w->tc.caller, fd, &file), 0);
	ret = via_file_ioctl(file, &w->tc.caller, cmd, (uint64_t)(uintptr_t)arg);
	via_file_put(file);
	return ret;
}

static int node(struct world *w, const char *name)
{
	struct via_file *file = NULL;

	assert_int_equal(via_vfio_open(w->vfio, &w->tc.caller, name, O_RDWR, &file), 0);
	return test_file_put(&w->tc.caller, file, true);
}

static void world_open(struct world *w)
{
	struct via_pci_addr addr = {.bus = 1};
	struct via_options *options;
	struct via_device *dev;

	test_caller_init(&w->tc);
	assert_int_equal(via_vfio_new(NULL, &w->vfio), 0);
	assert_int_equal(via_options_parse(via_model_find("edu"), NULL, NULL, &options), 0);
	assert_int_equal(via_model_find("edu")->create(options, NULL, &dev), 0);
	via_options_free(options);
	assert_int_equal(via_vfio_add(w->vfio, dev, &addr, 1, NULL), 0);

	w->fds[0] = node(w, "vfio/vfio");
	w->fds[1] = node(w, "vfio/1");
	assert_int_equal(ioc(w, w->fds[1], VIA_VFIO_GROUP_SET_CONTAINER, &w->fds[0]), 0);
	assert_int_equal(ioc(w, w->fds[0], VIA_VFIO_SET_IOMMU, (void *)3), 0);
	for (int i = 2; i < N_FILES; i++) {
		w->fds[i] = (int)ioc(w, w->fds[1], VIA_VFIO_GROUP_GET_DEVICE_FD, "0000:01:00.0");
		assert_true(w->fds[i] >= 0);
	}
}

static void world_close(struct world *w)
{
	test_caller_deinit(&w->tc);
	via_vfio_free(w->vfio);
}

static void anything(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct thread threads[3];
	pthread_t ids[3];
	unsigned int before;

	assert_non_null(w);
	w->arena = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(w->arena, MAP_FAILED);
	assert_int_equal(mprotect(w->arena + 2 * PAGE, PAGE, PROT_NONE), 0);
	assert_int_equal(mprotect(w->arena + 3 * PAGE, PAGE, PROT_READ), 0);
	w->event = eventfd(0, EFD_NONBLOCK);
	w->null = open("/dev/null", O_RDWR);
	/* What is made once for the process is made by the first world. */
	world_open(w);
	world_close(w);

	before = open_fds();
	world_open(w);
	for (unsigned int i = 0; i < 3; i++) {
		threads[i] = (struct thread){w, 0x9e3779b97f4a7c15 * (i + 1)};
		assert_int_equal(pthread_create(&ids[i], NULL, calls, &threads[i]), 0);
	}
	for (unsigned int i = 0; i < 3; i++)
		pthread_join(ids[i], NULL);
	world_close(w);
	assert_int_equal(open_fds(), before);

	close(w->event);
	close(w->null);
	munmap(w->arena, 4 * PAGE);
	free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(anything),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
