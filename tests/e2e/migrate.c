/* SPDX-License-Identifier: MIT */
/*
 * migrate save GROUP BDF IMAGE   bring the edu device into the middle of things,
 *                                write its state to IMAGE
 * migrate load GROUP BDF IMAGE   have another edu device go on from there
 * migrate log GROUP BDF          what the device writes, as DMA logging tells
 *
 * By plain VFIO, as a VMM does it; what fails ends the program.
 */
#include "edu-client.h"

#include <viaduct/abi/vfio.h>

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define IOVA 0x100000u

enum { FACTORIAL = 0x8, STATUS = 0x20, IRQ_STATUS = 0x24, RAISE = 0x60 };

static long feature(uint32_t flags, void *data, size_t len)
{
	static uint8_t buf[64];
	struct via_vfio_device_feature header = {(uint32_t)(sizeof(header) + len), flags};
	long ret;

	memcpy(buf, &header, sizeof(header));
	memcpy(buf + sizeof(header), data, len);
	ret = ioctl(device, VIA_VFIO_DEVICE_FEATURE, buf);
	memcpy(data, buf + sizeof(header), len);
	return ret;
}

#define GET VIA_VFIO_DEVICE_FEATURE_GET
#define SET VIA_VFIO_DEVICE_FEATURE_SET

static int set_state(uint32_t state)
{
	struct via_vfio_device_feature_mig_state mig = {state, -5};

	CHECK(feature(SET | VIA_VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, &mig, sizeof(mig)) == 0);
	return mig.data_fd;
}

static int arm(void)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	uint32_t words[6] = {sizeof(words),
			     VIA_VFIO_IRQ_SET_DATA_EVENTFD | VIA_VFIO_IRQ_SET_ACTION_TRIGGER,
			     VIA_VFIO_PCI_MSI_IRQ_INDEX,
			     0,
			     1,
			     (uint32_t)fd};

	CHECK(fd >= 0 && ioctl(device, VIA_VFIO_DEVICE_SET_IRQS, words) == 0);
	return fd;
}

static uint64_t events(int fd, int timeout_ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	uint64_t n = 0;

	if (poll(&p, 1, timeout_ms) == 1)
		CHECK(read(fd, &n, sizeof(n)) == sizeof(n));
	return n;
}

/* All that the data's descriptor gives now; in pieces of an odd size. */
static void drain(int data, int image, int end)
{
	uint8_t buf[777];
	ssize_t n;

	while ((n = read(data, buf, sizeof(buf))) > 0)
		CHECK(write(image, buf, (size_t)n) == n);
	CHECK(end ? n < 0 && errno == end : n == 0);
}

static void is_a_stream(int data)
{
	struct pollfd p = {.fd = data, .events = POLLIN | POLLOUT};
	uint8_t byte = 0;

	CHECK(poll(&p, 1, 0) == 1 && p.revents == (POLLIN | POLLOUT));
	CHECK(lseek(data, 0, SEEK_SET) < 0 && errno == ESPIPE);
	CHECK(pread(data, &byte, 1, 0) < 0 && errno == ESPIPE);
	CHECK(write(data, &byte, 1) < 0 && errno == EBADF);
	CHECK(ioctl(data, VIA_VFIO_DEVICE_RESET, 0) < 0 && errno == ENOTTY);
	CHECK(fcntl(data, F_GETFD) == FD_CLOEXEC);
}

static int save(const char *path)
{
	struct via_vfio_precopy_info info = {.argsz = sizeof(info)};
	int image = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), irq, data;
	uint8_t *memory;
	uint8_t byte;

	CHECK(image >= 0);
	open_all();
	irq = arm();
	memory = dma_memory(IOVA, 2 * PAGE);
	memset(memory, 0x5a, PAGE);
	edu_dma(IOVA, CARD, TO_CARD);
	*reg(LIVENESS) = 0x12345678;
	data = set_state(VIA_VFIO_DEVICE_STATE_PRE_COPY);
	is_a_stream(data);
	CHECK(ioctl(data, VIA_VFIO_MIG_GET_PRECOPY_INFO, &info) == 0 && info.initial_bytes > PAGE);
	drain(data, image, ENOMSG);
	/* It goes on, and all of its memory changes. */
	memset(memory, 0xa5, PAGE);
	edu_dma(IOVA, CARD, TO_CARD);
	CHECK(ioctl(data, VIA_VFIO_MIG_GET_PRECOPY_INFO, &info) == 0 && info.dirty_bytes >= PAGE);
	CHECK(set_state(VIA_VFIO_DEVICE_STATE_PRE_COPY_P2P) == -1);
	/* DMA, a result and an interrupt that will be seen elsewhere. */
	*reg(DMA_SRC) = CARD;
	*reg(DMA_DST) = IOVA + PAGE;
	*reg(DMA_COUNT) = PAGE;
	*reg(DMA_CMD) = FROM_CARD;
	*reg(FACTORIAL) = 5;
	*reg(RAISE) = 0x10;
	CHECK(events(irq, 50) == 0 && memory[PAGE] == 0 && (*reg(DMA_CMD) & 1));
	CHECK(set_state(VIA_VFIO_DEVICE_STATE_STOP_COPY) == -1);
	drain(data, image, 0);
	CHECK(set_state(VIA_VFIO_DEVICE_STATE_STOP) == -1);
	CHECK(read(data, &byte, 1) < 0 && errno == ENODEV);
	CHECK(memory[PAGE] == 0 && events(irq, 0) == 0);
	CHECK(close(data) == 0 && close(image) == 0);
	puts("saved");
	return 0;
}

static int load(const char *path)
{
	int image = open(path, O_RDONLY | O_CLOEXEC), irq, data;
	uint8_t *memory, buf[500];
	ssize_t n;

	CHECK(image >= 0);
	open_all();
	memory = dma_memory(IOVA, 2 * PAGE);
	data = set_state(VIA_VFIO_DEVICE_STATE_RESUMING);
	CHECK(data >= 0 && read(data, buf, 1) < 0 && errno == EBADF);
	while ((n = read(image, buf, sizeof(buf))) > 0)
		CHECK(write(data, buf, (size_t)n) == n);
	CHECK(set_state(VIA_VFIO_DEVICE_STATE_STOP) == -1);
	irq = arm();
	CHECK(memory[PAGE] == 0);
	CHECK(set_state(VIA_VFIO_DEVICE_STATE_RUNNING) == -1);
	CHECK(events(irq, 5000) == 1 && *reg(IRQ_STATUS) == 0x10);
	for (int i = 0; (*reg(DMA_CMD) & 1) || (*reg(STATUS) & 1); i++) {
		CHECK(i < 5000);
		usleep(1000);
	}
	for (unsigned int i = 0; i < PAGE; i++)
		CHECK(memory[PAGE + i] == 0xa5);
	CHECK(*reg(FACTORIAL) == 120 && *reg(LIVENESS) == ~0x12345678u);
	CHECK(close(data) == 0);
	alive();
	close_all();
	puts("loaded");
	return 0;
}

static uint64_t written(void)
{
	uint64_t word = 0;
	struct via_vfio_device_feature_dma_logging_report report = {IOVA, 64 * PAGE, PAGE,
								    (uint64_t)(uintptr_t)&word};

	CHECK(feature(GET | VIA_VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT, &report, sizeof(report)) ==
	      0);
	return word;
}

static int log_dma(void)
{
	struct via_vfio_device_feature_dma_logging_range range = {IOVA, 64 * PAGE};
	struct via_vfio_device_feature_dma_logging_control control = {PAGE, 1, 0,
								      (uint64_t)(uintptr_t)&range};

	open_all();
	(void)dma_memory(IOVA, 64 * PAGE);
	CHECK(feature(SET | VIA_VFIO_DEVICE_FEATURE_DMA_LOGGING_START, &control, sizeof(control)) ==
		      0 &&
	      control.page_size == PAGE);
	edu_dma(IOVA, CARD, TO_CARD);
	CHECK(written() == 0);
	edu_dma(CARD, IOVA + 3 * PAGE, FROM_CARD);
	edu_dma(CARD, IOVA + 62 * PAGE + 1, FROM_CARD);
	CHECK(written() == (1ull << 3 | 3ull << 62));
	CHECK(written() == 0);
	CHECK(feature(SET | VIA_VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP, &range, 0) == 0);
	close_all();
	puts("logged");
	return 0;
}

int main(int argc, char **argv)
{
	if (argc < 4)
		return 2;
	edu_client_init(argv[2], argv[3]);
	if (strcmp(argv[1], "save") == 0 && argc == 5)
		return save(argv[4]);
	if (strcmp(argv[1], "load") == 0 && argc == 5)
		return load(argv[4]);
	return strcmp(argv[1], "log") == 0 ? log_dma() : 2;
}
