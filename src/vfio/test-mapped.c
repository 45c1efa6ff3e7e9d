/* SPDX-License-Identifier: MIT */
/* A BAR of one device, as the program has mapped it, in a container: DMA of another device to it. */
#include "iommu/ledger.h"
#include "vfio/test-vfio.h"

#include <time.h>

#define SIZE 0x4000u

struct peers {
	int container, groups[2], from, to;
	uint8_t *bar; /* of to, as the program has it */
};

/* BAR 0 of a device, and a page behind it that nobody may touch. */
static uint8_t *bar_of(struct machine *m, int fd, int prot)
{
	struct via_file *file = NULL;
	struct via_mmap map;
	void *at = mmap(NULL, SIZE + PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(at, MAP_FAILED);
	assert_int_equal(test_file_get(&m->tc.caller, fd, &file), 0);
	assert_int_equal(via_file_mmap(file, &m->tc.caller, 0, SIZE, prot, MAP_SHARED, &map), 0);
	assert_ptr_equal(mmap(at, SIZE, prot, MAP_SHARED | MAP_FIXED, map.fd, (off_t)map.offset), at);
	via_file_put(file);
	return at;
}

static void open_peers(struct machine *m, struct peers *p)
{
	p->container = node(m, "vfio/vfio");
	p->groups[0] = node(m, "vfio/1");
	p->groups[1] = node(m, "vfio/2");
	assert_int_equal(join(m, p->groups[0], p->container), 0);
	assert_int_equal(join(m, p->groups[1], p->container), 0);
	assert_int_equal(set_type(m, p->container), 0);
	p->from = device(m, p->groups[0], "0000:00:04.0");
	p->to = device(m, p->groups[1], "0000:00:05.0");
	assert_true(p->from >= 0 && p->to >= 0);
	p->bar = bar_of(m, p->to, PROT_READ | PROT_WRITE);
	assert_int_equal(region_write(m, p->to, 0, 0x2ffc, SECRET, 4), 4);
}

static void close_peers(struct machine *m, struct peers *p)
{
	munmap(p->bar, SIZE + PAGE);
	shut(m, p->from);
	shut(m, p->to);
	shut(m, p->groups[0]);
	shut(m, p->groups[1]);
	shut(m, p->container);
}

static long map_bar(struct machine *m, struct peers *p, uint64_t offset, uint64_t size,
		    uint32_t flags)
{
	struct via_vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = flags,
		.vaddr = (uint64_t)(uintptr_t)p->bar + offset,
		.iova = IOVA + offset,
		.size = size,
	};

	return ioc(m, p->container, VIA_VFIO_IOMMU_MAP_DMA, &map);
}

#define BOTH (VIA_VFIO_DMA_MAP_FLAG_READ | VIA_VFIO_DMA_MAP_FLAG_WRITE)

static bool fails(struct machine *m, struct peers *p, uint32_t iova)
{
	assert_int_equal(region_write(m, p->from, 0, 0, iova, 4), 4);
	return reg(m, p->from, 12) == EFAULT;
}

static void command(struct machine *m, int fd, uint32_t value)
{
	assert_int_equal(region_write(m, fd, VIA_VFIO_PCI_CONFIG_REGION_INDEX, 4, value, 2), 2);
}

static void test_memory_of_a_bar(void **state)
{
	struct machine *m = *state;
	struct peers p;

	open_peers(m, &p);
	assert_int_equal(map_bar(m, &p, 0, SIZE, BOTH), 0);
	assert_true(reaches(m, p.from, IOVA + 0x2ffc));
	/* Nobody pays for what is no memory of his. */
	assert_int_equal(via_ledger_pages(m->tc.caller.mm), 0);
	/* While it does not answer, and when it does again. */
	command(m, p.to, 4);
	assert_true(fails(m, &p, IOVA + 0x2ffc));
	command(m, p.to, 6);
	assert_true(reaches(m, p.from, IOVA + 0x2ffc));
	close_peers(m, &p);
}

static void test_part_of_a_bar(void **state)
{
	struct machine *m = *state;
	struct via_vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap), .iova = IOVA + 0x2000, .size = PAGE};
	struct peers p;

	open_peers(m, &p);
	assert_int_equal(map_bar(m, &p, 0x2000, PAGE, BOTH), 0);
	assert_int_equal(map_bar(m, &p, 0x2000, PAGE, BOTH), -EEXIST);
	assert_true(reaches(m, p.from, IOVA + 0x2ffc));
	assert_true(fails(m, &p, IOVA + 0x3000));
	assert_int_equal(ioc(m, p.container, VIA_VFIO_IOMMU_UNMAP_DMA, &unmap), 0);
	assert_int_equal(unmap.size, PAGE);
	assert_true(fails(m, &p, IOVA + 0x2ffc));
	close_peers(m, &p);
}

static void test_refused(void **state)
{
	struct machine *m = *state;
	struct peers p;

	open_peers(m, &p);
	/* More than lies there is looked for in memory: bad memory. */
	assert_int_equal(map_bar(m, &p, 0x3000, 2 * PAGE, BOTH), -EFAULT);
	assert_int_equal(map_bar(m, &p, 0, SIZE, 0), -EINVAL);
	assert_int_equal(map_bar(m, &p, 0, 0, BOTH), -EINVAL);
	assert_int_equal(map_bar(m, &p, 0x2800, PAGE, BOTH), -EINVAL);
	munmap(p.bar, SIZE + PAGE);
	p.bar = bar_of(m, p.to, PROT_READ);
	assert_int_equal(map_bar(m, &p, 0, SIZE, BOTH), -EFAULT);
	assert_int_equal(map_bar(m, &p, 0, SIZE, VIA_VFIO_DMA_MAP_FLAG_READ), 0);
	command(m, p.to, 4);
	close_peers(m, &p);
	open_peers(m, &p);
	command(m, p.to, 4);
	assert_int_equal(map_bar(m, &p, 0, SIZE, BOTH), -EFAULT);
	close_peers(m, &p);
}

/* The device is closed first: its memory is gone for good, and it can be opened again. */
static void test_closed_while_mapped(void **state)
{
	struct machine *m = *state;
	struct peers p;

	open_peers(m, &p);
	assert_int_equal(map_bar(m, &p, 0, SIZE, BOTH), 0);
	shut(m, p.to);
	assert_true(fails(m, &p, IOVA + 0x2ffc));
	p.to = device(m, p.groups[1], "0000:00:05.0");
	assert_true(p.to >= 0);
	assert_true(fails(m, &p, IOVA + 0x2ffc));
	close_peers(m, &p);
	open_peers(m, &p);
	close_peers(m, &p);
}

/* A write of from, by DMA, to to's register 16: false if it was refused. */
static bool sends(struct machine *m, int from, uint32_t iova, uint32_t word)
{
	assert_int_equal(region_write(m, from, 0, 16, word, 4), 4);
	assert_int_equal(region_write(m, from, 0, 4, iova, 4), 4);
	return !reg(m, from, 12);
}

static void test_gap_3_registers(void **state)
{
	struct machine *m = *state;
	struct peers p;

	open_peers(m, &p);
	assert_int_equal(map_bar(m, &p, 0, SIZE, BOTH), 0);
	/* A program that looks for a posted write finds it. */
	assert_true(sends(m, p.from, IOVA + 16, 0x1234));
	assert_int_equal(reg(m, p.to, 16), 0x1234);
	assert_int_equal(region_write(m, p.to, 0, 16, SECRET, 4), 4);
	assert_true(reaches(m, p.from, IOVA + 16));
	/* Not while it does not answer. */
	command(m, p.to, 4);
	assert_false(sends(m, p.from, IOVA + 16, 1));
	assert_false(reaches(m, p.from, IOVA + 16));
	command(m, p.to, 6);
	assert_int_equal(reg(m, p.to, 16), SECRET);
	assert_true(reaches(m, p.from, IOVA + 16));
	assert_int_equal(ioc(m, p.to, VIA_VFIO_DEVICE_RESET, NULL), 0);
	assert_true(reaches(m, p.from, IOVA + 16));
	assert_true(sends(m, p.from, IOVA + 16, 0x4321));
	assert_int_equal(reg(m, p.to, 16), 0x4321);
	/* Beyond what is mapped of them, memory begins. */
	assert_int_equal(region_write(m, p.to, 0, 0x1000, SECRET, 4), 4);
	assert_true(reaches(m, p.from, IOVA + 0x1000));
	close_peers(m, &p);
}

/* A function that does not let go of itself: what it sends comes late, what it asks never. */
static void test_gap_3_own_registers(void **state)
{
	struct machine *m = *state;
	struct timespec before, after;
	struct peers p;

	open_peers(m, &p);
	assert_int_equal(map_bar(m, &p, 0, SIZE, BOTH), 0);
	assert_int_equal(region_write(m, p.to, 0, 16, 7, 4), 4);
	assert_int_equal(region_write(m, p.to, 0, 4, IOVA + 8, 4), 4);
	assert_int_equal(reg(m, p.to, 12), 0);
	/* At once: nobody waits for a lock that will not be let go of. */
	clock_gettime(CLOCK_MONOTONIC, &before);
	assert_false(reaches(m, p.to, IOVA + 16));
	clock_gettime(CLOCK_MONOTONIC, &after);
	assert_true((after.tv_sec - before.tv_sec) * 1000 +
			    (after.tv_nsec - before.tv_nsec) / 1000000 < 900);
	close_peers(m, &p);
}

static void test_gap_3_closed(void **state)
{
	struct machine *m = *state;
	struct peers p;

	open_peers(m, &p);
	assert_int_equal(map_bar(m, &p, 0, PAGE, BOTH), 0);
	assert_true(sends(m, p.from, IOVA + 16, 1));
	shut(m, p.to);
	assert_false(sends(m, p.from, IOVA + 16, 2));
	p.to = device(m, p.groups[1], "0000:00:05.0");
	assert_true(p.to >= 0);
	assert_false(sends(m, p.from, IOVA + 16, 2));
	assert_false(reaches(m, p.from, IOVA + 16));
	assert_int_equal(map_bar(m, &p, PAGE, PAGE, BOTH), 0);
	close_peers(m, &p);
	/* While posted writes may be under way. */
	for (unsigned int i = 0; i < 100; i++) {
		open_peers(m, &p);
		assert_int_equal(map_bar(m, &p, 0, PAGE, BOTH), 0);
		assert_int_equal(region_write(m, p.from, 0, 4, IOVA + 16, 4), 4);
		close_peers(m, &p);
	}
}

/* Two pages of the program's, with the BAR's memory between them and its registers behind. */
static void test_gap_3_mixed_type1(void **state)
{
	struct machine *m = *state;
	struct peers p;
	struct via_vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap), .iova = IOVA, .size = PAGE};
	struct via_vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map), .flags = BOTH, .iova = IOVA, .size = 4 * PAGE};
	uint8_t *range = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			      -1, 0);
	uint8_t *memory, *registers;

	open_peers(m, &p);
	memory = bar_of(m, p.to, PROT_READ | PROT_WRITE);
	registers = bar_of(m, p.to, PROT_READ | PROT_WRITE);
	assert_ptr_equal(mremap(memory + 2 * PAGE, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
				range + PAGE), range + PAGE);
	assert_ptr_equal(mremap(registers, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
				range + 3 * PAGE), range + 3 * PAGE);
	for (unsigned int i = 0; i < 2; i++)
		memcpy(range + 2 * i * PAGE, &(uint32_t){SECRET}, 4);
	memcpy(range + PAGE + 4, &(uint32_t){SECRET}, 4);
	map.vaddr = (uint64_t)(uintptr_t)range;
	assert_int_equal(ioc(m, p.container, VIA_VFIO_IOMMU_MAP_DMA, &map), 0);
	assert_int_equal(via_ledger_pages(m->tc.caller.mm), 2);
	assert_int_equal(ioc(m, p.container, VIA_VFIO_IOMMU_MAP_DMA, &map), -EEXIST);
	assert_int_equal(via_ledger_pages(m->tc.caller.mm), 2);
	assert_true(reaches(m, p.from, IOVA));
	assert_true(reaches(m, p.from, IOVA + PAGE + 4));
	assert_true(reaches(m, p.from, IOVA + 2 * PAGE));
	assert_true(sends(m, p.from, IOVA + 3 * PAGE + 16, SECRET));
	assert_true(reaches(m, p.from, IOVA + 3 * PAGE + 16));
	assert_true(sends(m, p.from, IOVA + 2 * PAGE + 4, 0x9876));
	assert_memory_equal(range + 2 * PAGE + 4, &(uint32_t){0x9876}, 4);
	command(m, p.to, 4);
	assert_true(reaches(m, p.from, IOVA + 2 * PAGE));
	assert_true(fails(m, &p, IOVA + PAGE + 4));
	command(m, p.to, 6);
	assert_true(reaches(m, p.from, IOVA + PAGE + 4));
	assert_int_equal(ioc(m, p.container, VIA_VFIO_IOMMU_UNMAP_DMA, &unmap), -EINVAL);
	unmap.size = 4 * PAGE;
	assert_int_equal(ioc(m, p.container, VIA_VFIO_IOMMU_UNMAP_DMA, &unmap), 0);
	assert_int_equal(unmap.size, 4 * PAGE);
	assert_int_equal(via_ledger_pages(m->tc.caller.mm), 0);
	munmap(range, 4 * PAGE);
	/* Where the pages were that have moved may be another's by now. */
	munmap(memory, 2 * PAGE);
	munmap(memory + 3 * PAGE, SIZE - 2 * PAGE);
	munmap(registers + PAGE, SIZE);
	close_peers(m, &p);
}

/* --- Both ways at once --- */

#define STORM_MS 1000

struct storm {
	struct machine *m;
	struct peers p;
	uint8_t *other; /* BAR of from */
	bool stop;	/* atomic */
};

struct author {
	struct storm *storm;
	int fd;
	uint32_t iova;
	unsigned int sent, read, refused;
};

static void quick_write(struct storm *s, int fd, unsigned int region, uint64_t offset,
			uint32_t value, size_t len)
{
	struct via_file *file = NULL;

	(void)test_file_get(&s->m->tc.caller, fd, &file);
	(void)via_file_pwrite(file, &s->m->tc.caller, (uint64_t)(uintptr_t)&value, len,
			      ((uint64_t)region << VIA_VFIO_PCI_OFFSET_SHIFT) + offset);
	via_file_put(file);
}

static uint32_t quick_read(struct storm *s, int fd, uint64_t offset)
{
	struct via_file *file = NULL;
	uint32_t value = EFAULT;

	(void)test_file_get(&s->m->tc.caller, fd, &file);
	(void)via_file_pread(file, &s->m->tc.caller, (uint64_t)(uintptr_t)&value, 4, offset);
	via_file_put(file);
	return value;
}

static void *author_main(void *arg)
{
	struct author *a = arg;

	for (unsigned int i = 0; !__atomic_load_n(&a->storm->stop, __ATOMIC_RELAXED); i++) {
		/* Registers 16 and, as the answer to a read, 8 and 12: one that starts a DMA is another's. */
		bool write = i % 2;
		uint32_t at = i % 64 == 63 ? 4 : 16;

		quick_write(a->storm, a->fd, 0, write ? 4 : 0, a->iova + (write ? at : 8), 4);
		if (quick_read(a->storm, a->fd, 12))
			a->refused++;
		else
			*(write ? &a->sent : &a->read) += 1;
	}
	return NULL;
}

static void *resetter_main(void *arg)
{
	struct storm *s = arg;

	for (unsigned int i = 0; !__atomic_load_n(&s->stop, __ATOMIC_RELAXED); i++) {
		int fd = i % 2 ? s->p.from : s->p.to;

		if (i % 3)
			(void)ioc(s->m, fd, VIA_VFIO_DEVICE_RESET, NULL);
		quick_write(s, fd, VIA_VFIO_PCI_CONFIG_REGION_INDEX, 4, 0, 2);
		quick_write(s, fd, VIA_VFIO_PCI_CONFIG_REGION_INDEX, 4, 6, 2);
		usleep(2000);
	}
	return NULL;
}

static long map_other(struct storm *s)
{
	struct via_vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = BOTH,
		.vaddr = (uint64_t)(uintptr_t)s->other,
		.iova = 2 * IOVA,
		.size = PAGE,
	};

	return ioc(s->m, s->p.container, VIA_VFIO_IOMMU_MAP_DMA, &map);
}

static void *mapper_main(void *arg)
{
	struct storm *s = arg;

	while (!__atomic_load_n(&s->stop, __ATOMIC_RELAXED)) {
		usleep(3000);
		(void)unmap_at(s->m, s->p.container, 2 * IOVA);
		(void)map_other(s);
	}
	return NULL;
}

static void test_gap_3_both_ways(void **state)
{
	struct storm s = {.m = *state};
	struct author authors[4];
	pthread_t threads[6];

	open_peers(s.m, &s.p);
	s.other = bar_of(s.m, s.p.from, PROT_READ | PROT_WRITE);
	assert_int_equal(map_bar(s.m, &s.p, 0, PAGE, BOTH), 0);
	assert_int_equal(map_other(&s), 0);
	(void)alarm(60);
	for (unsigned int i = 0; i < 4; i++) {
		authors[i] = (struct author){.storm = &s,
					     .fd = i % 2 ? s.p.to : s.p.from,
					     .iova = i % 2 ? 2 * IOVA : IOVA};
		pthread_create(&threads[i], NULL, author_main, &authors[i]);
	}
	pthread_create(&threads[4], NULL, resetter_main, &s);
	pthread_create(&threads[5], NULL, mapper_main, &s);
	usleep(STORM_MS * 1000);
	__atomic_store_n(&s.stop, true, __ATOMIC_RELAXED);
	for (unsigned int i = 0; i < 6; i++)
		pthread_join(threads[i], NULL);
	(void)alarm(0);
	for (unsigned int i = 0; i < 4; i++)
		print_message("author %u: %u sent, %u read, %u refused\n", i, authors[i].sent,
			      authors[i].read, authors[i].refused);
	for (unsigned int i = 0; i < 4; i++)
		assert_true(authors[i].sent && authors[i].read);
	command(s.m, s.p.from, 6);
	command(s.m, s.p.to, 6);
	assert_true(sends(s.m, s.p.from, IOVA + 16, 0x77));
	assert_int_equal(reg(s.m, s.p.to, 16), 0x77);
	munmap(s.other, SIZE + PAGE);
	close_peers(s.m, &s.p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_memory_of_a_bar),
		TEST(test_part_of_a_bar),
		TEST(test_refused),
		TEST(test_closed_while_mapped),
		TEST(test_gap_3_registers),
		TEST(test_gap_3_own_registers),
		TEST(test_gap_3_closed),
		TEST(test_gap_3_mixed_type1),
		TEST(test_gap_3_both_ways),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
