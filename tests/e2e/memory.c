/* SPDX-License-Identifier: MIT */
/*
 * Memory for DMA, and what a program may do to it meanwhile: truncate, unmap,
 * move, give back, keep it from its children, execute another program. Runs
 * under `viaduct run --bars=trap --device edu,addr=0000:00:01.0,group=1`.
 *
 *   memory GROUP BDF [CASE]
 */
#include "edu-client.h"

#include <fcntl.h>
#include <linux/vfio.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PINNED = 0x100000, PROBE = 0x200000 };

static const char *self;

/* A file that lost its pages --------------------------------------------------------------- */

static volatile sig_atomic_t got_signal;

static void on_bus(int sig, siginfo_t *info, void *context)
{
	(void)info;
	(void)context;
	got_signal = sig;
}

/* The device copies to memory that the program took away: neither crashes, nor sees the other's
 * fault. */
static void test_lost_memory(void)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map), .iova = 0x100000, .size = PAGE};
	struct sigaction act = {.sa_sigaction = on_bus, .sa_flags = SA_SIGINFO}, back;
	int fd = memfd_create("lost", MFD_CLOEXEC);
	char *memory;

	open_all();
	CHECK(fd >= 0 && ftruncate(fd, PAGE) == 0);
	memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(memory != MAP_FAILED);
	memory[0] = 1;
	CHECK(sigaction(SIGBUS, &act, NULL) == 0);
	CHECK(sigaction(SIGBUS, NULL, &back) == 0 && back.sa_sigaction == on_bus);
	map.vaddr = (uintptr_t)memory;
	map.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;
	CHECK(ioctl(container, VFIO_IOMMU_MAP_DMA, &map) == 0);
	CHECK(ftruncate(fd, 0) == 0);
	got_signal = 0;
	*reg(DMA_SRC) = 0x40000;
	*reg(DMA_DST) = 0x100000;
	*reg(DMA_COUNT) = 64;
	*reg(DMA_CMD) = 3;
	while (*reg(DMA_CMD) & 1)
		usleep(100);
	CHECK(!got_signal);
	alive();
	CHECK(ftruncate(fd, PAGE) == 0);
	CHECK(close(fd) == 0 && munmap(memory, PAGE) == 0);
	CHECK(signal(SIGBUS, SIG_DFL) != SIG_ERR);
	close_all();
}

/* Memory that the program takes away --------------------------------------------------------- */

/* What the device reads at page n of the pinned memory is all byte. */
static bool device_sees(uint8_t *probe, int n, uint8_t byte)
{
	memset(probe, ~byte, PAGE);
	edu_dma((uint32_t)(PINNED + n * PAGE), CARD, TO_CARD);
	edu_dma(CARD, PROBE, FROM_CARD);
	for (int i = 0; i < PAGE; i++)
		if (probe[i] != byte)
			return false;
	return true;
}

static unsigned int count_maps(void)
{
	FILE *f = fopen("/proc/self/maps", "re");
	unsigned int n = 0;
	int c;

	CHECK(f);
	while ((c = getc(f)) != EOF)
		n += c == '\n';
	fclose(f);
	return n;
}

static void test_pins(void)
{
	unsigned int before;
	uint8_t *p, *q, *probe;

	open_all();
	probe = dma_memory(PROBE, PAGE);
	before = count_maps();

	/* Unmapped, and the addresses used for something else. */
	p = dma_memory(PINNED, 8 * PAGE);
	for (int i = 0; i < 8; i++)
		memset(p + i * PAGE, 0x10 + i, PAGE);
	CHECK(munmap(p + PAGE, 2 * PAGE) == 0);
	q = mmap(p + PAGE, 2 * PAGE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	CHECK(q == p + PAGE);
	memset(q, 0xaa, 2 * PAGE);
	CHECK(device_sees(probe, 0, 0x10) && device_sees(probe, 1, 0x11) &&
	      device_sees(probe, 2, 0x12) && device_sees(probe, 3, 0x13));

	/* Mapped over, and given back to the kernel. */
	CHECK(mmap(p, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
		   0) == p);
	CHECK(p[0] == 0 && device_sees(probe, 0, 0x10));
	CHECK(madvise(p + 3 * PAGE, PAGE, MADV_DONTNEED) == 0);
	CHECK(p[3 * PAGE] == 0 && device_sees(probe, 3, 0x13));
	memset(p + 3 * PAGE, 0xbb, PAGE);
	CHECK(device_sees(probe, 3, 0x13));

	/* Moved by the program: it and the device still see the same page. */
	q = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(q != MAP_FAILED);
	CHECK(mremap(p + 5 * PAGE, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, q) == q);
	memset(q, 0x55, PAGE);
	CHECK(device_sees(probe, 5, 0x55));
	memset(probe, 0x66, PAGE);
	edu_dma(PROBE, CARD, TO_CARD);
	edu_dma(CARD, PINNED + 5 * PAGE, FROM_CARD);
	CHECK(q[0] == 0x66 && q[PAGE - 1] == 0x66);
	/* And then unmapped after all. */
	CHECK(munmap(q, PAGE) == 0 && device_sees(probe, 5, 0x66));

	/* Gone with the mapping for DMA. */
	CHECK(munmap(p, 8 * PAGE) == 0 && device_sees(probe, 7, 0x17));
	dma_unmap(PINNED, 8 * PAGE);
	CHECK(count_maps() <= before);

	/* What is not mapped for DMA any more is unmapped as ever. */
	p = dma_memory(PINNED, PAGE);
	dma_unmap(PINNED, PAGE);
	CHECK(munmap(p, PAGE) == 0);
	CHECK(count_maps() <= before);
	close_all();
	munmap(probe, PAGE);
}

/* Memory that children do not get ------------------------------------------------------------ */

enum { KEPT_LEN = PROBE - PINNED };

/* Untouched memory that children do not get. */
static uint8_t *kept_memory(size_t len)
{
	uint8_t *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED && madvise(p, len, MADV_DONTFORK) == 0);
	return p;
}

static bool all(const uint8_t *p, size_t len, uint8_t byte)
{
	for (size_t i = 0; i < len; i++)
		if (p[i] != byte)
			return false;
	return true;
}

/* The device copies the page at probe to page n of the pinned memory. */
static void device_writes(uint8_t *probe, int n, uint8_t byte)
{
	memset(probe, byte, PAGE);
	edu_dma(PROBE, CARD, TO_CARD);
	edu_dma(CARD, (uint32_t)(PINNED + n * PAGE), FROM_CARD);
}

/* Does a child have p, with byte there? It writes over it. */
static int child_finds(volatile uint8_t *p, uint8_t byte)
{
	const uint8_t other = byte ^ 0xff;
	pid_t pid = fork();
	int status;

	if (!pid) {
		signal(SIGSEGV, SIG_DFL);
		if (*p != byte)
			_exit(1);
		*p = other;
		_exit(*p == other ? 42 : 2);
	}
	status = child_status(pid);
	CHECK((WIFEXITED(status) && WEXITSTATUS(status) == 42) ||
	      (WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV));
	return WIFEXITED(status);
}

/* It behaves as private memory does, whatever it is made of. */
static void test_kept(void)
{
	uint8_t *probe, *p, *q;

	open_all();
	probe = dma_memory(PROBE, PAGE);
	p = kept_memory(KEPT_LEN);
	memset(p, 0x21, KEPT_LEN);
	dma_map(PINNED, p, KEPT_LEN);
	CHECK(device_sees(probe, 0, 0x21) && device_sees(probe, 255, 0x21));
	device_writes(probe, 7, 0x22);
	CHECK(all(p + 7 * PAGE, PAGE, 0x22) && all(p + 8 * PAGE, PAGE, 0x21));
	CHECK(child_finds(p, 0x21) == 0);
	dma_unmap(PINNED, KEPT_LEN);

	/* Given back: zeros; holes are an error, with the rest done. */
	CHECK(madvise(p + PAGE, 2 * PAGE, MADV_DONTNEED) == 0);
	CHECK(all(p, PAGE, 0x21) && all(p + PAGE, 2 * PAGE, 0) && all(p + 3 * PAGE, PAGE, 0x21));
	memset(p + PAGE, 0x23, PAGE);
	CHECK(munmap(p + 8 * PAGE, PAGE) == 0);
	CHECK(madvise(p + 7 * PAGE, 3 * PAGE, MADV_DONTNEED) < 0 && errno == ENOMEM);
	CHECK(all(p + 7 * PAGE, PAGE, 0) && all(p + 9 * PAGE, PAGE, 0) && p[10 * PAGE] == 0x21);
	CHECK(madvise(p + 11 * PAGE, PAGE, MADV_FREE) == 0);
	memset(p + 11 * PAGE, 0x24, PAGE);
	CHECK(all(p + 11 * PAGE, PAGE, 0x24));

	/* Moved, by its pages and as a whole; the old place is free for something else. */
	q = mmap(NULL, KEPT_LEN, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(mremap(p + 16 * PAGE, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, q) == q);
	CHECK(all(q, 4 * PAGE, 0x21));
	CHECK(madvise(q + PAGE, PAGE, MADV_DONTNEED) == 0 && all(q + PAGE, PAGE, 0) &&
	      q[0] == 0x21);
	CHECK(mmap(p + 16 * PAGE, PAGE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == p + 16 * PAGE);
	p[16 * PAGE] = 0x25;
	CHECK(madvise(p + 16 * PAGE, PAGE, MADV_DONTNEED) == 0 && !p[16 * PAGE]);
	CHECK(q[0] == 0x21);

	/* Longer: what is new reads as zeros. */
	q = mremap(q, 4 * PAGE, 600 * PAGE, MREMAP_MAYMOVE);
	CHECK(q != MAP_FAILED && q[0] == 0x21 && all(q + 4 * PAGE, 596 * PAGE, 0));
	q[599 * PAGE] = 1;
	CHECK(munmap(q, 600 * PAGE) == 0 && munmap(p, KEPT_LEN) == 0);

	/* Given to children after all: each has its own, and protection stays. */
	p = kept_memory(2 * KEPT_LEN);
	memset(p, 0x31, 2 * KEPT_LEN);
	CHECK(mprotect(p + PAGE, PAGE, PROT_READ) == 0);
	CHECK(madvise(p, KEPT_LEN, MADV_DOFORK) == 0);
	CHECK(child_finds(p, 0x31) == 1 && p[0] == 0x31);
	CHECK(child_finds(p + PAGE, 0x31) == 0 && p[PAGE] == 0x31);
	CHECK(child_finds(p + KEPT_LEN, 0x31) == 0);
	CHECK(madvise(p, PAGE, MADV_DONTNEED) == 0 && p[PAGE] == 0x31);
	CHECK(madvise(p + KEPT_LEN, PAGE, MADV_WIPEONFORK) == 0 && p[KEPT_LEN] == 0x31);
	CHECK(all(p + 2 * PAGE, 2 * KEPT_LEN - 2 * PAGE, 0x31));
	CHECK(munmap(p, 2 * KEPT_LEN) == 0);
	close_all();
	munmap(probe, PAGE);
}

struct toucher {
	uint8_t *p;
	long delay;	  /* ns after go */
	unsigned int *go; /* atomic */
};

static long now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000 + t.tv_nsec;
}

static void *touch(void *arg)
{
	struct toucher *t = arg;
	long start;

	while (!__atomic_load_n(t->go, __ATOMIC_ACQUIRE))
		;
	for (start = now(); now() < start + t->delay;)
		;
	for (unsigned int i = 0; i < KEPT_LEN / PAGE; i++)
		t->p[i * PAGE] = 0x51;
	return NULL;
}

/* Used for the first time by another thread while it is being kept from children: nothing is lost.
 */
static void test_kept_race(void)
{
	for (int round = 0; round < 400; round++) {
		uint8_t *p = mmap(NULL, KEPT_LEN, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		unsigned int go = 0;
		struct toucher toucher = {p, round * 2000, &go};
		pthread_t thread;

		CHECK(p != MAP_FAILED);
		CHECK(pthread_create(&thread, NULL, touch, &toucher) == 0);
		usleep(100);
		__atomic_store_n(&go, 1, __ATOMIC_RELEASE);
		CHECK(madvise(p, KEPT_LEN, MADV_DONTFORK) == 0);
		CHECK(pthread_join(thread, NULL) == 0);
		for (unsigned int i = 0; i < KEPT_LEN / PAGE; i++)
			CHECK(p[i * PAGE] == 0x51);
		CHECK(munmap(p, KEPT_LEN) == 0);
	}
}

/* Is the memory at p shared with anybody, as the kernel sees it? */
static bool is_shared(const void *p)
{
	FILE *f = fopen("/proc/self/maps", "re");
	unsigned long start, end;
	char perms[5], line[512];
	bool shared = false;

	CHECK(f);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "%lx-%lx %4s", &start, &end, perms) == 3 &&
		    (unsigned long)p >= start && (unsigned long)p < end)
			shared = perms[3] == 's';
	fclose(f);
	return shared;
}

static unsigned int count_fds(void)
{
	unsigned int n = 0;

	for (int fd = 0; fd < 2048; fd++) {
		char path[64];

		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		n += access(path, F_OK) == 0;
	}
	return n;
}

/* What is made shared: the difference of --dma=share, which only /proc shows. */
static void test_shared(void)
{
	unsigned int before;
	uint8_t *probe, *p, *q;

	open_all();
	probe = dma_memory(PROBE, PAGE);
	before = count_fds();
	p = kept_memory(KEPT_LEN);
	CHECK(is_shared(p) && count_fds() == before + 1);
	/* A part of it as good as the whole; unmapped, the pages stay with the device. */
	memset(p, 0x61, KEPT_LEN);
	dma_map(PINNED, p, KEPT_LEN);
	CHECK(munmap(p + PAGE, KEPT_LEN - PAGE) == 0);
	CHECK(device_sees(probe, 0, 0x61) && device_sees(probe, 100, 0x61));
	/* Given back while mapped for DMA: the device sees the new page too (docs/differences.md).
	 */
	CHECK(madvise(p, PAGE, MADV_DONTNEED) == 0 && device_sees(probe, 0, 0));
	dma_unmap(PINNED, KEPT_LEN);
	CHECK(munmap(p, PAGE) == 0 && count_fds() == before);

	/* Given to children while mapped for DMA: the device keeps the old pages. */
	p = kept_memory(KEPT_LEN);
	memset(p, 0x62, KEPT_LEN);
	dma_map(PINNED, p, KEPT_LEN);
	CHECK(madvise(p, KEPT_LEN, MADV_DOFORK) == 0 && !is_shared(p) && count_fds() == before);
	p[0] = 0x63;
	CHECK(device_sees(probe, 1, 0x62) && p[PAGE] == 0x62);
	CHECK(!device_sees(probe, 0, 0x63));
	dma_unmap(PINNED, KEPT_LEN);
	CHECK(munmap(p, KEPT_LEN) == 0);

	/* What stays private: used, locked, small, or a file's. */
	p = mmap(NULL, KEPT_LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	p[KEPT_LEN - 1] = 0x64;
	CHECK(madvise(p, KEPT_LEN, MADV_DONTFORK) == 0 && !is_shared(p) && p[KEPT_LEN - 1] == 0x64);
	CHECK(munmap(p, KEPT_LEN) == 0);
	q = kept_memory(KEPT_LEN - PAGE);
	CHECK(!is_shared(q) && munmap(q, KEPT_LEN - PAGE) == 0);
	CHECK(count_fds() == before);
	close_all();
	munmap(probe, PAGE);
}

/* Another program ------------------------------------------------------------------------------ */

/* Started by exec_with_dma: the other program's memory is out of the device's reach. */
static int dma_child(const char *fds)
{
	uint8_t *probe;

	CHECK(sscanf(fds, "%d,%d,%d", &container, &group, &device) == 3);
	find_regions();
	bar = map_bar();
	probe = dma_memory(PROBE, PAGE);
	memset(probe, 0x99, PAGE);
	edu_dma(PROBE, CARD, TO_CARD);
	edu_dma(PINNED, CARD, TO_CARD);
	memset(probe, 0, PAGE);
	edu_dma(CARD, PROBE, FROM_CARD);
	for (int i = 0; i < PAGE; i++)
		CHECK(probe[i] != 0x42);
	CHECK(device_sees(probe, 1, 0x43));
	return 0;
}

static void exec_with_dma(void)
{
	char fds[64];
	/* A file that stays open: without privilege the host process cannot find it otherwise. */
	int fd = memfd_create("shared", MFD_CLOEXEC);
	uint8_t *p;

	open_all();
	memset(dma_memory(PINNED, PAGE), 0x42, PAGE);
	CHECK(fd >= 0 && ftruncate(fd, PAGE) == 0);
	p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(p != MAP_FAILED);
	memset(p, 0x43, PAGE);
	dma_map(PINNED + PAGE, p, PAGE);
	snprintf(fds, sizeof(fds), "%d,%d,%d", dup(container), dup(group), dup(device));
	execl(self, self, "1", bdf, "dma-child", fds, (char *)NULL);
	_exit(127);
}

static void test_exec(void)
{
	pid_t pid = fork();

	if (!pid)
		exec_with_dma();
	CHECK(child_status(pid) == 0);
}

static const struct edu_case cases[] = {
	{"lost memory", test_lost_memory},
	{"pins", test_pins},
	{"kept from children", test_kept},
	{"kept from children in the middle of first uses", test_kept_race},
	{"shared", test_shared},
	{"another program", test_exec},
};

int main(int argc, char **argv)
{
	self = argv[0];
	return edu_cases_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]), "dma-child",
			      dma_child);
}
