/* SPDX-License-Identifier: MIT */
/*
 * A program that suspends the addresses of its mappings, as for an exec, while
 * the edu device wants to read private memory: "GROUP BDF WHAT", with exec, move, unmap,
 * reset, close, or late. Fails or prints what was seen.
 */
#include "edu-client.h"

#include <fcntl.h>
#include <linux/vfio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { PRIVATE = 0x100000, SHARED = 0x200000 };

static int memfd;

static double now(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static uint8_t *shared_memory(void)
{
	uint8_t *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);

	CHECK(p != MAP_FAILED);
	return p;
}

static uint8_t *private_memory(char fill)
{
	uint8_t *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED);
	return memset(p, fill, PAGE);
}

static void suspend_all(void)
{
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap), .flags = VFIO_DMA_UNMAP_FLAG_VADDR | VFIO_DMA_UNMAP_FLAG_ALL};

	CHECK(ioctl(container, VFIO_IOMMU_UNMAP_DMA, &unmap) == 0 && unmap.size == 2 * PAGE);
}

static void resume(uint64_t iova, void *memory)
{
	struct vfio_iommu_type1_dma_map map = {.argsz = sizeof(map),
					       .flags = VFIO_DMA_MAP_FLAG_VADDR,
					       .iova = iova,
					       .vaddr = (uint64_t)memory,
					       .size = PAGE};

	CHECK(ioctl(container, VFIO_IOMMU_MAP_DMA, &map) == 0);
}

static void start_dma(uint32_t from, uint32_t to, uint32_t command)
{
	*reg(DMA_SRC) = from;
	*reg(DMA_DST) = to;
	*reg(DMA_COUNT) = PAGE;
	*reg(DMA_CMD) = command;
}

static bool running(void)
{
	return *reg(DMA_CMD) & 1;
}

static void wait_dma(void)
{
	for (int i = 0; running(); i++) {
		CHECK(i < 5000);
		usleep(1000);
	}
}

/* Shared memory works on, private memory does not, and the registers answer all the time. */
static void suspend_and_start(uint8_t *shared)
{
	suspend_all();
	memset(shared, 's', PAGE);
	edu_dma(SHARED, CARD, TO_CARD);
	memset(shared, 0, PAGE);
	edu_dma(CARD, SHARED, FROM_CARD);
	CHECK(shared[0] == 's' && shared[PAGE - 1] == 's');
	puts("shared memory while suspended: works");
	start_dma(PRIVATE, CARD, TO_CARD);
	usleep(50000);
	CHECK(running());
	alive();
	puts("private memory while suspended: waits");
	fflush(stdout);
}

/* What the card has is c. */
static void card_has(uint8_t *shared, char c)
{
	memset(shared, 'x', PAGE);
	edu_dma(CARD, SHARED, FROM_CARD);
	CHECK(shared[0] == (uint8_t)c && shared[PAGE - 1] == (uint8_t)c);
}

/* The memory is there again, at addresses of its own. */
static void resume_all(void)
{
	/* Not where it was. */
	void *hole = private_memory(0);
	uint8_t *shared = shared_memory(), *private = private_memory('n');

	CHECK(hole && running());
	resume(SHARED, shared);
	CHECK(running());
	resume(PRIVATE, private);
	wait_dma();
	card_has(shared, 'n');
	memset(shared, 'm', PAGE);
	edu_dma(SHARED, CARD, TO_CARD);
	edu_dma(CARD, PRIVATE, FROM_CARD);
	CHECK(private[0] == 'm' && private[PAGE - 1] == 'm');
	dma_unmap(PRIVATE, PAGE);
	dma_unmap(SHARED, PAGE);
	puts("resumed: the transfer went on with the new memory");
}

static void keep(int fd)
{
	CHECK(fcntl(fd, F_SETFD, 0) == 0);
}

static void exec_self(char **argv)
{
	char fds[64];

	snprintf(fds, sizeof(fds), "%d,%d,%d,%d", container, group, device, memfd);
	keep(container);
	keep(group);
	keep(device);
	keep(memfd);
	execl("/proc/self/exe", argv[0], argv[1], argv[2], "executed", fds, (char *)NULL);
	perror("exec");
	exit(1);
}

static void executed(const char *fds)
{
	CHECK(sscanf(fds, "%d,%d,%d,%d", &container, &group, &device, &memfd) == 4);
	find_regions();
	bar = map_bar();
	resume_all();
	close_all();
}

/* The wait ends without the memory. */
static void end_wait(const char *what, uint8_t *shared)
{
	const double before = now();

	if (strcmp(what, "unmap") == 0) {
		dma_unmap(PRIVATE, PAGE);
		wait_dma();
		card_has(shared, 0);
	} else if (strcmp(what, "reset") == 0) {
		CHECK(ioctl(device, VFIO_DEVICE_RESET) == 0);
		memory_enable(true);
		CHECK(!running());
		alive();
		/* The same again for the new life of the device. */
		start_dma(PRIVATE, CARD, TO_CARD);
		usleep(50000);
		CHECK(running());
		resume(PRIVATE, private_memory('r'));
		wait_dma();
		card_has(shared, 'r');
	} else if (strcmp(what, "late") == 0) {
		wait_dma();
		card_has(shared, 0);
		/* That was that: the next one is refused at once. */
		edu_dma(PRIVATE, CARD, TO_CARD);
		resume(PRIVATE, private_memory('l'));
		edu_dma(PRIVATE, CARD, TO_CARD);
		card_has(shared, 'l');
	}
	if (strcmp(what, "close") == 0) {
		close_all();
		open_all();
		CHECK(!running());
	}
	close_all();
	CHECK(now() - before < 4);
	printf("%s: the wait ended\n", what);
}

int main(int argc, char **argv)
{
	uint8_t *private, *shared;

	if (argc < 4)
		return 2;
	edu_client_init(argv[1], argv[2]);
	if (argc > 4) {
		executed(argv[4]);
		return 0;
	}
	open_all();
	memfd = memfd_create("suspend", MFD_CLOEXEC);
	CHECK(memfd >= 0 && ftruncate(memfd, PAGE) == 0);
	private = private_memory('o');
	shared = shared_memory();
	dma_map(PRIVATE, private, PAGE);
	dma_map(SHARED, shared, PAGE);
	edu_dma(PRIVATE, CARD, TO_CARD);
	card_has(shared, 'o');
	suspend_and_start(shared);
	if (strcmp(argv[3], "exec") == 0)
		exec_self(argv);
	if (strcmp(argv[3], "move") != 0) {
		end_wait(argv[3], shared);
		return 0;
	}
	/* Who uses the old place now may do with it what he wants. */
	CHECK(munmap(private, PAGE) == 0 && munmap(shared, PAGE) == 0);
	resume_all();
	close_all();
	return 0;
}
