/* SPDX-License-Identifier: MIT */
/*
 * Claim: a device reads 64 bytes of mapped memory within 60 ns, checks and
 * protection against vanished pages included. Beside us: memcpy from a known
 * pointer, and the obvious design, a read-write lock around a sorted array,
 * which is without contention here and does not survive a vanished page.
 */
#include "bench.h"

#include "memory/guard.h"

#include <viaduct/iommu.h>

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096u
#define ROUNDS 9
#define PAGES 65536u /* 256 MiB of IOVA */
#define MEM_PAGES 256u /* of memory behind it: stays in the cache */

static uint8_t *mem;
static int mem_fd;
static struct via_ioas *ioas;
static struct via_dma *dma;
static uint32_t order[4096]; /* random pages */
static uint8_t buf[64 << 10];

/* The peer: one entry for each mapping, sorted. */
struct entry {
	uint64_t first, last;
	uint8_t *host;
};
static struct entry *table;
static size_t n_table;
static pthread_rwlock_t table_lock = PTHREAD_RWLOCK_INITIALIZER;

static void check(int rc)
{
	if (rc) {
		fprintf(stderr, "bench-dma: %s\n", strerror(-rc));
		exit(1);
	}
}

static int peer_read(uint64_t iova, void *dst, size_t len)
{
	size_t low = 0, high = n_table;
	int rc = -1;

	pthread_rwlock_rdlock(&table_lock);
	while (high - low > 1) {
		size_t mid = (low + high) / 2;

		if (table[mid].first <= iova)
			low = mid;
		else
			high = mid;
	}
	if (iova >= table[low].first && iova <= table[low].last) {
		memcpy(dst, table[low].host + (iova - table[low].first), len);
		rc = 0;
	}
	pthread_rwlock_unlock(&table_lock);
	return rc;
}

/* Map the IOVA range in pieces of so many pages; the memory repeats. */
static void map_all(unsigned int pages)
{
	struct via_space *space;
	uint64_t bytes;

	check(via_space_new_fd(mem_fd, VIA_PROT_READ | VIA_PROT_WRITE, &space));
	check(via_ioas_unmap(ioas, 0, (uint64_t)PAGES * PAGE - 1, &bytes));
	n_table = 0;
	for (uint32_t i = 0; i < PAGES; i += pages) {
		uint64_t at = (uint64_t)(i % MEM_PAGES) * PAGE, len = (uint64_t)pages * PAGE;

		check(via_ioas_map(ioas, (uint64_t)i * PAGE, space, at, len,
				   VIA_PROT_READ | VIA_PROT_WRITE));
		table[n_table++] = (struct entry){ (uint64_t)i * PAGE,
						   (uint64_t)i * PAGE + len - 1, mem + at };
	}
	via_space_put(space);
}

static double per_access(double start, unsigned int n)
{
	return (bench_cpu_ns() - start) / n;
}

static double run_ours(void *arg)
{
	size_t len = *(size_t *)arg;
	unsigned int n = len > PAGE ? 2000 : 40000;
	double start = bench_cpu_ns();

	for (unsigned int i = 0; i < n; i++)
		check(via_dma_read(dma, (uint64_t)order[i % 4096] * PAGE, buf, len));
	return per_access(start, n);
}

static double run_lock(void *arg)
{
	size_t len = *(size_t *)arg;
	unsigned int n = len > PAGE ? 2000 : 40000;
	double start = bench_cpu_ns();

	for (unsigned int i = 0; i < n; i++)
		check(peer_read((uint64_t)order[i % 4096] * PAGE, buf, len));
	return per_access(start, n);
}

static double run_memcpy(void *arg)
{
	size_t len = *(size_t *)arg;
	unsigned int n = len > PAGE ? 2000 : 40000;
	double start = bench_cpu_ns();

	for (unsigned int i = 0; i < n; i++) {
		memcpy(buf, mem + (uint64_t)(order[i % 4096] % MEM_PAGES) * PAGE, len);
		__asm__ volatile("" : : "r"(buf) : "memory");
	}
	return per_access(start, n);
}

static void compare(const char *title, size_t len)
{
	struct bench_case cases[] = {
		{ .name = "via_dma_read", .run = run_ours, .arg = &len },
		{ .name = "rwlock and sorted array", .run = run_lock, .arg = &len },
		{ .name = "memcpy alone", .run = run_memcpy, .arg = &len },
	};

	bench_compare(title, "ns per access", cases, 3, ROUNDS);
}

/* A mapping more, with so many there already. */
static double run_map(void *arg)
{
	struct via_space *space = arg;
	const unsigned int n = 2000;
	uint64_t bytes;
	double start;

	start = bench_cpu_ns();
	for (unsigned int i = 0; i < n; i++) {
		uint64_t iova = (uint64_t)(PAGES + i % 64 * 2) * PAGE;

		check(via_ioas_map(ioas, iova, space, 0, PAGE, VIA_PROT_READ));
		check(via_ioas_unmap(ioas, iova, iova + PAGE - 1, &bytes));
	}
	return per_access(start, n);
}

static double run_window(void *arg)
{
	const unsigned int n = 2000;
	double start = bench_cpu_ns();

	for (unsigned int i = 0; i < n; i++) {
		void *p = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, mem_fd, 0);

		check(p == MAP_FAILED ? -1 : 0);
		(void)munmap(p, PAGE);
	}
	return per_access(start, n);
}

static void compare_map(const char *title)
{
	struct via_space *space;
	struct bench_case cases[] = {
		{ .name = "map and unmap of 4 KiB", .run = run_map },
		{ .name = "mmap and munmap of 4 KiB", .run = run_window },
	};

	check(via_space_new_fd(mem_fd, VIA_PROT_READ, &space));
	cases[0].arg = space;
	bench_compare(title, "ns per pair", cases, 2, ROUNDS);
	via_space_put(space);
}

/* Private memory of another process: 32 pages, as a 128 KiB PRP list. */

static struct via_mm other;

static int other_readv(struct via_mm *mm, const struct iovec *local, size_t n_local,
		       const struct iovec *remote, size_t n_remote)
{
	return process_vm_readv(mm->pid, local, n_local, remote, n_remote, 0) < 0 ? -1 : 0;
}

static int other_probe(struct via_mm *mm, uint64_t addr, uint64_t len, unsigned int prot)
{
	return 0;
}

static int other_backing(struct via_mm *mm, uint64_t addr, uint64_t len, unsigned int prot,
			 struct via_backing *ret_backing)
{
	*ret_backing = (struct via_backing){ -1, 0, len };
	return 0;
}

static const struct via_mm_ops other_ops = { .readv = other_readv, .probe = other_probe,
					     .backing = other_backing };

static uint8_t big[32 * PAGE];
static struct via_dma_seg segs[32];
static uint8_t *private_mem;

static double run_list(void *arg)
{
	const unsigned int n = 500;
	double start = bench_cpu_ns();

	for (unsigned int i = 0; i < n; i++)
		check(via_dma_readv(dma, segs, 32, big));
	return per_access(start, n) / 1000;
}

static double run_pages(void *arg)
{
	const unsigned int n = 500;
	double start = bench_cpu_ns();

	for (unsigned int i = 0; i < n; i++)
		for (unsigned int k = 0; k < 32; k++) {
			struct iovec local = { big + k * PAGE, PAGE };
			struct iovec remote = { private_mem + (31 - k) * 2 * PAGE, PAGE };

			(void)process_vm_readv(other.pid, &local, 1, &remote, 1, 0);
		}
	return per_access(start, n) / 1000;
}

static void compare_private(void)
{
	struct bench_case cases[] = {
		{ .name = "via_dma_readv", .run = run_list },
		{ .name = "process_vm_readv page by page", .run = run_pages },
	};
	struct via_space *space;
	uint64_t bytes;

	private_mem = mmap(NULL, 64 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			   0);
	check(private_mem == MAP_FAILED ? -1 : 0);
	memset(private_mem, 1, 64 * PAGE);
	other = (struct via_mm){ .ops = &other_ops, .refs = 2, .pid = fork() };
	while (!other.pid)
		(void)pause();
	check(via_ioas_unmap(ioas, 0, (uint64_t)PAGES * PAGE - 1, &bytes));
	check(via_space_new_mm(&other, &space));
	check(via_ioas_map(ioas, 0, space, (uintptr_t)private_mem, 64 * PAGE, VIA_PROT_READ));
	for (unsigned int k = 0; k < 32; k++)
		segs[k] = (struct via_dma_seg){ (31 - k) * 2 * PAGE, PAGE };
	bench_compare("32 scattered pages of another process's private memory", "us per list",
		      cases, 2, ROUNDS);
	(void)kill(other.pid, SIGKILL);
	(void)waitpid(other.pid, NULL, 0);
	via_space_put(space);
}

int main(void)
{
	(void)bench_pin(0);
	check(via_guard_install());
	mem_fd = memfd_create("bench-dma", MFD_CLOEXEC);
	check(mem_fd < 0 || ftruncate(mem_fd, (off_t)MEM_PAGES * PAGE) ? -1 : 0);
	mem = mmap(NULL, (size_t)MEM_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, mem_fd, 0);
	table = malloc(PAGES * sizeof(*table));
	check(mem == MAP_FAILED || !table ? -1 : 0);
	memset(mem, 0x5a, (size_t)MEM_PAGES * PAGE);
	for (size_t i = 0; i < 4096; i++)
		order[i] = (uint32_t)rand() % (PAGES - 16);
	check(via_ioas_new(via_iommu_props_intel(), &ioas));
	check(via_dma_new("bench", &dma));
	check(via_dma_attach(dma, ioas));
	via_dma_enable(dma, true);

	compare_map("map and unmap, nothing else mapped");
	map_all(MEM_PAGES); /* 256 areas of 1 MiB */
	compare("64 bytes, 256 areas, random", 64);
	compare("4096 bytes, 256 areas, random", 4096);
	map_all(1);
	compare("64 bytes, 65536 areas of 4 KiB, random", 64);
	compare_map("map and unmap, 65536 areas mapped");
	for (size_t i = 0; i < 4096; i++)
		order[i] = order[i] % 16;
	compare("64 bytes, 65536 areas, 16 of them in use", 64);
	compare_private();

	via_dma_free(dma);
	via_ioas_put(ioas);
	free(table);
	return 0;
}
