/* SPDX-License-Identifier: MIT */
/*
 * A program that calls at random: ioctls, reads, writes and mappings on VFIO
 * descriptors, with pointers from unmapped and read-only memory, from the edge
 * of a guard page, and into whatever libraries and shared pages the process
 * has. It passes when it gets to its end, the device still works, and neither
 * it nor its parent (the host process, under `viaduct run`) has more
 * descriptors than at the start.
 *
 *   hostile GROUP BDF [CALLS [SEED]]
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <ucontext.h>
#include <unistd.h>

enum { PAGE = 4096, MAX_OWN = 64, MAX_MAPS = 16 };

static int container = -1, group = -1, device = -1, event_fd;
static const char *bdf;
static char group_path[64];
static unsigned long failures, successes;

static uint64_t seed;

static uint64_t rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static void die(const char *what)
{
	fprintf(stderr, "hostile: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* Where pointers come from ---------------------------------------------------------------- */

static uint8_t *normal, *readonly, *edge; /* edge: the first byte of a page without access */
static struct {
	uint64_t start, end;
	bool writable;
} own[MAX_OWN];
static unsigned int n_own;
static bool spare_own; /* in process nobody keeps writes out of it */

static void add_own(uint64_t start, uint64_t end, bool writable)
{
	if (n_own == MAX_OWN)
		return;
	own[n_own].start = start;
	own[n_own].end = end;
	own[n_own++].writable = writable && !spare_own;
}

/*
 * What was preloaded, with its data, shared memory, and what lies before that
 * without a gap. Written to by the kernel's hand it must not matter.
 */
static void find_own(void)
{
	FILE *f = fopen("/proc/self/maps", "re");
	struct {
		uint64_t start, end;
	} before[4] = {{0, 0}};
	bool after_library = false;
	uint64_t last_end = 0;
	char line[512];

	n_own = 0;
	while (f && fgets(line, sizeof(line), f)) {
		unsigned long start, end;
		char perms[5], *name = strpbrk(line, "/[");
		bool writable, library;

		if (sscanf(line, "%lx-%lx %4s", &start, &end, perms) != 3)
			continue;
		writable = perms[1] == 'w';
		library = name && strstr(name, "preload.so");
		if (start != last_end)
			memset(before, 0, sizeof(before));
		/* What follows its data may have become one mapping with that of others. */
		if (library || (!name && after_library && start == last_end && writable))
			add_own(start, library ? end : start + (end - start) / 2, writable);
		if (name && strstr(name, "memfd:")) {
			add_own(start, end, writable);
			/* Not before a mapping of the device: that can be anything. */
			for (int i = 0; i < 4 && strstr(name, "slot"); i++)
				if (before[i].end)
					add_own(before[i].start, before[i].end, true);
		}
		if (!name && writable) {
			memmove(&before[1], &before[0], 3 * sizeof(before[0]));
			before[0].start = start;
			before[0].end = end;
		} else {
			memset(before, 0, sizeof(before));
		}
		after_library = library;
		last_end = end;
	}
	if (f)
		fclose(f);
}

static void *pointer(size_t want, bool target)
{
	unsigned int i;

	switch (rnd() % 10) {
	case 0:
		return (void *)(rnd() % 3 ? rnd() : rnd() % PAGE);
	case 1:
		return readonly + rnd() % 64;
	case 2: /* just fits, or not quite */
		return edge - (want < PAGE ? want : PAGE) + rnd() % 3 * (rnd() % 8);
	case 3:
		return edge + rnd() % 64;
	case 4:
		if (!n_own)
			return normal;
		i = (unsigned int)(rnd() % n_own);
		if (target && !own[i].writable)
			return normal;
		return (void *)(own[i].start + rnd() % (own[i].end - own[i].start));
	default:
		return normal + rnd() % 64 * 8;
	}
}

/* A length that tests the borders of something. */
static uint64_t length(void)
{
	static const uint64_t some[] = {0, 1, 2, 3, 4, 8, 16, 255, 256, 4095, 4096, 4097, 65536,
					65537, 1 << 20, UINT32_MAX, INT64_MAX, UINT64_MAX};

	return rnd() % 4 ? rnd() % 64 : some[rnd() % (sizeof(some) / sizeof(some[0]))];
}

static uint64_t offset(void)
{
	uint64_t in = rnd() % 4 ? rnd() % 512 : rnd() % (1 << 21);

	return rnd() % 8 ? (rnd() % 10) << 40 | in : rnd();
}

static void scramble(uint32_t *p, size_t words)
{
	for (size_t i = 0; i < words; i++)
		p[i] = rnd() % 3 ? (uint32_t)(rnd() % 64) : (uint32_t)rnd();
}

/* Calls ------------------------------------------------------------------------------------------ */

static sigjmp_buf jump;
static volatile sig_atomic_t armed; /* a fault now is our own access to a mapping */
static struct {
	uint8_t *p;
	size_t len;
} maps[MAX_MAPS];

static void on_fault(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;

	if (!armed) {
		fprintf(stderr, "hostile: signal %d in a call, address %p, at %#llx\n", sig,
			info->si_addr, (unsigned long long)uc->uc_mcontext.gregs[REG_RIP]);
		signal(sig, SIG_DFL);
		return;
	}
	siglongjmp(jump, sig);
}

static void note(long ret)
{
	if (ret < 0)
		failures++;
	else
		successes++;
}

static int some_fd(void)
{
	int all[] = {container, group, device, device, device};

	return all[rnd() % 5];
}

static void reopen(void)
{
	if (container < 0)
		container = open("/dev/vfio/vfio", O_RDWR);
	if (group < 0)
		group = open(group_path, O_RDWR);
	if (container < 0 || group < 0)
		return;
	ioctl(group, VFIO_GROUP_SET_CONTAINER, &container);
	ioctl(container, VFIO_SET_IOMMU, rnd() % 2 ? VFIO_TYPE1v2_IOMMU : VFIO_TYPE1_IOMMU);
	if (device < 0)
		device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, bdf);
}

/* A new descriptor that an ioctl returned, or that a copy made, is closed again. */
static void call_ioctl(void)
{
	static const uint32_t sizes[] = {0, 8, 16, 20, 24, 32, 40, 48, 64, 4096};
	uint32_t words[64];
	unsigned long command = rnd() % 8 ? _IO(';', 100 + rnd() % 26) : rnd();
	int fd = some_fd(), ret;
	uint8_t *p = pointer(sizeof(words), true);

	scramble(words, 64);
	if (rnd() % 4)
		words[0] = sizes[rnd() % 10];
	if (command == VFIO_IOMMU_MAP_DMA && rnd() % 4) {
		struct vfio_iommu_type1_dma_map map = {
			.argsz = sizeof(map),
			.flags = (uint32_t)(rnd() % 4),
			.vaddr = (uint64_t)pointer(PAGE, false) & (rnd() % 8 ? ~4095ull : ~0ull),
			.iova = (rnd() % 64) << 12,
			.size = (rnd() % 4) << 12,
		};
		memcpy(words, &map, sizeof(map));
	} else if (command == VFIO_DEVICE_SET_IRQS && rnd() % 4) {
		words[0] = 20 + (uint32_t)(rnd() % 5) * 4;
		words[1] = 1u << rnd() % 3 | 8u << rnd() % 3;
		words[2] = (uint32_t)(rnd() % 6);
		words[3] = (uint32_t)(rnd() % 2);
		words[4] = (uint32_t)(rnd() % 4);
		words[5] = (uint32_t)(rnd() % 2 ? event_fd : (int)(rnd() % 600) - 2);
	}
	if (rnd() % 2) {
		memcpy(normal, words, sizeof(words));
		p = normal;
	}
	ret = ioctl(fd, command, p);
	note(ret);
	if (ret > 2 && command == VFIO_GROUP_GET_DEVICE_FD)
		close(ret);
	/* FIOCLEX and the like work on any descriptor; our set must stay usable. */
}

static void call_access(void)
{
	struct iovec iov[3];
	int fd = some_fd();
	uint64_t len = length(), at = offset();

	switch (rnd() % 6) {
	case 0:
		note(pread(fd, pointer(len, true), len, (off_t)at));
		break;
	case 1:
		note(pwrite(fd, pointer(len, false), len, (off_t)at));
		break;
	case 2:
		note(read(fd, pointer(len, true), len));
		break;
	case 3:
		note(write(fd, pointer(len, false), len));
		break;
	default:
		for (int i = 0; i < 3; i++)
			iov[i] = (struct iovec){pointer(16, true), length()};
		/* Not an array of whatever lies anywhere: its pointers would be targets. */
		note(preadv(fd, rnd() % 8 ? iov : rnd() % 2 ? (void *)edge : (void *)rnd(),
			    (int)(rnd() % 5) - 1, (off_t)at));
	}
}

static void call_map(void)
{
	unsigned int i = (unsigned int)(rnd() % MAX_MAPS);
	void *p;

	if (maps[i].p) {
		size_t part = rnd() % 3 || maps[i].len < PAGE ? maps[i].len : PAGE;

		if (rnd() % 4 == 0)
			note(mprotect(maps[i].p, part, (int)(rnd() % 4)));
		note(munmap(maps[i].p, part));
		if (part < maps[i].len)
			munmap(maps[i].p, maps[i].len);
		maps[i].p = NULL;
		return;
	}
	maps[i].len = rnd() % 8 ? (1 + rnd() % 16) * PAGE : length();
	p = mmap(NULL, maps[i].len, (int)(rnd() % 8) & ~PROT_EXEC,
		 rnd() % 8 ? MAP_SHARED : (int)(rnd() % 64) & ~MAP_FIXED, some_fd(),
		 (off_t)(offset() & ~4095ull));
	note(p == MAP_FAILED ? -1 : 0);
	maps[i].p = p == MAP_FAILED ? NULL : p;
}

static void call_memory(void)
{
	unsigned int i = (unsigned int)(rnd() % MAX_MAPS);
	volatile size_t at; /* kept over siglongjmp */

	if (!maps[i].p)
		return;
	at = rnd() % (maps[i].len & ~63ull ? maps[i].len & ~63ull : 1);
	if (sigsetjmp(jump, 1)) {
		armed = 0;
		failures++;
		return;
	}
	armed = 1;
	switch (rnd() % 4) {
	case 0:
		*(volatile uint8_t *)(maps[i].p + at) = (uint8_t)rnd();
		break;
	case 1:
		(void)*(volatile uint64_t *)(maps[i].p + at);
		break;
	case 2:
		(void)*(volatile uint32_t *)(maps[i].p + (at & ~3ul));
		break;
	default:
		__builtin_memcpy(normal + 8192, maps[i].p + (at & ~63ul), 64);
	}
	armed = 0;
	successes++;
}

static void call_descriptor(void)
{
	int *fds[] = {&container, &group, &device}, fd;
	int *which = fds[rnd() % 3];

	switch (rnd() % 8) {
	case 0:
		close(*which);
		*which = -1;
		reopen();
		break;
	case 1:
		fd = dup(*which);
		close(*which);
		*which = fd;
		break;
	default:
		fd = dup(some_fd());
		if (fd >= 0)
			close(fd);
	}
}

/* Bookkeeping -------------------------------------------------------------------------------------- */

static int count_fds(pid_t pid)
{
	char path[64];
	struct dirent *e;
	int n = 0;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	d = opendir(path);
	if (!d)
		return -1;
	while ((e = readdir(d)))
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

static void close_all(void)
{
	for (unsigned int i = 0; i < MAX_MAPS; i++)
		if (maps[i].p)
			munmap(maps[i].p, maps[i].len);
	memset(maps, 0, sizeof(maps));
	close(device);
	close(group);
	close(container);
	device = group = container = -1;
}

int main(int argc, char **argv)
{
	unsigned long calls = argc > 3 ? strtoul(argv[3], NULL, 0) : 100000;
	struct sigaction act = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
	int mine, parents, before;
	uint8_t *p;

	if (argc < 3) {
		fprintf(stderr, "usage: %s GROUP BDF [CALLS [SEED]]\n", argv[0]);
		return 2;
	}
	snprintf(group_path, sizeof(group_path), "/dev/vfio/%s", argv[1]);
	bdf = argv[2];
	seed = argc > 4 ? strtoull(argv[4], NULL, 0) : 0x5eed;
	spare_own = getenv("VIADUCT_INPROCESS") != NULL;
	sigaction(SIGSEGV, &act, NULL);
	sigaction(SIGBUS, &act, NULL);

	/* Large enough for the longest length that is not refused outright. */
	normal = mmap(NULL, 4 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	readonly = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (normal == MAP_FAILED || readonly == MAP_FAILED || p == MAP_FAILED)
		die("mmap");
	edge = p + PAGE;
	if (mprotect(edge, PAGE, PROT_NONE))
		die("mprotect");
	event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	reopen();
	if (device < 0)
		die("device");
	close_all();
	mine = count_fds(getpid());
	parents = count_fds(getppid());
	reopen();
	find_own();
	for (unsigned long i = 0; i < calls; i++) {
		switch (rnd() % 8) {
		case 0:
		case 1:
		case 2:
			call_ioctl();
			break;
		case 3:
		case 4:
			call_access();
			break;
		case 5:
			call_map();
			break;
		case 6:
			call_memory();
			break;
		default:
			call_descriptor();
		}
		if (device < 0)
			reopen();
		if (i % 1000 == 0)
			find_own();
	}
	close_all();
	reopen();
	if (device < 0)
		die("the device does not open any more");
	struct vfio_device_info info = {.argsz = sizeof(info)};

	if (ioctl(device, VFIO_DEVICE_GET_INFO, &info) || info.num_regions < 9)
		die("the device does not answer any more");
	close_all();
	before = count_fds(getpid());
	if (before != mine) {
		fprintf(stderr, "hostile: %d descriptors, %d at the start\n", before, mine);
		return 1;
	}
	/* The host process finishes the last close on a thread of its own. */
	for (int i = 0; i < 100 && count_fds(getppid()) > parents; i++)
		usleep(20000);
	if (count_fds(getppid()) > parents) {
		fprintf(stderr, "hostile: the parent has %d descriptors, %d at the start\n",
			count_fds(getppid()), parents);
		return 1;
	}
	printf("%lu calls: %lu succeeded, %lu were refused; no descriptor lost here or in the parent\n",
	       calls, successes, failures);
	return 0;
}
