/* SPDX-License-Identifier: MIT */
/*
 * Ioeventfds, low power and dma-bufs by plain VFIO, on a function whose first
 * BAR has a register that keeps what is written to it. A real kernel passes, too.
 *
 *   low-power GROUP BDF REGISTER
 */
#include "edu-client.h"

#include <fcntl.h>
#include <linux/vfio.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static uint32_t where; /* the register */
static sigjmp_buf jump;

static void caught(int sig)
{
	siglongjmp(jump, sig);
}

/* Does the mapping answer? Else it raises SIGBUS. */
static bool answers(const volatile uint32_t *p)
{
	int sig = sigsetjmp(jump, 1);

	if (sig) {
		CHECK(sig == SIGBUS);
		return false;
	}
	(void)*p;
	return true;
}

static uint32_t by_call(void)
{
	uint32_t value;

	CHECK(pread(device, &value, 4, (off_t)(bar_offset + where)) == 4);
	return value;
}

static int feature(uint32_t flags, int32_t fd)
{
	uint32_t words[4] = {fd < 0 ? 8 : 16, flags, (uint32_t)fd, 0};

	return ioctl(device, VFIO_DEVICE_FEATURE, words);
}

static int entry(int fd)
{
	int ret = feature((fd < 0 ? 3u : 4u) | VFIO_DEVICE_FEATURE_SET, fd);

	/* A kernel suspends it some time later. */
	usleep(200000);
	return ret;
}

static int leave(void)
{
	return feature(5 | VFIO_DEVICE_FEATURE_SET, -1);
}

static uint64_t events(int fd)
{
	uint64_t n;

	return read(fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

static void signal_event(int fd)
{
	const uint64_t one = 1;

	CHECK(write(fd, &one, sizeof(one)) == sizeof(one));
}

static int ioeventfd(uint32_t data, int fd)
{
	struct vfio_device_ioeventfd set = {.argsz = sizeof(set),
					    .flags = VFIO_DEVICE_IOEVENTFD_32,
					    .offset = bar_offset + where,
					    .data = data,
					    .fd = fd};

	return ioctl(device, VFIO_DEVICE_IOEVENTFD, &set);
}

static void test_ioeventfd(void)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	*reg(where) = 0;
	CHECK(ioeventfd(0x11, fd) == 0);
	CHECK(ioeventfd(0x11, fd) < 0 && errno == EEXIST);
	/* Seen by what the program does next, by a call or through the mapping. */
	signal_event(fd);
	CHECK(by_call() == 0x11);
	*reg(where) = 0;
	signal_event(fd);
	CHECK(*reg(where) == 0x11);
	/* In a child as well, which signals its parent's. */
	*reg(where) = 0;
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		signal_event(fd);
		_exit(by_call() == 0x11 ? 0 : 1);
	}
	CHECK(child_status(pid) == 0);
	CHECK(*reg(where) == 0x11);
	/* While memory is off it is lost. */
	*reg(where) = 0;
	memory_enable(false);
	signal_event(fd);
	memory_enable(true);
	CHECK(*reg(where) == 0);
	CHECK(events(fd) == 0);
	CHECK(ioeventfd(0x11, -1) == 0);
	signal_event(fd);
	CHECK(by_call() == 0);
	CHECK(events(fd) == 1);
	CHECK(ioeventfd(0x11, -1) < 0 && errno == ENODEV);
	CHECK(close(fd) == 0);
}

static void test_low_power(void)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	*reg(where) = 0x22;
	CHECK(answers(reg(where)));
	CHECK(entry(-1) == 0);
	CHECK(entry(-1) < 0 && errno == EINVAL);
	CHECK(!answers(reg(where)));
	/* A call wakes it, for itself only. */
	CHECK(by_call() == 0x22);
	CHECK(!answers(reg(where)));
	CHECK(leave() == 0 && leave() == 0);
	CHECK(answers(reg(where)) && *reg(where) == 0x22);

	/* With an eventfd it wakes it for good. */
	CHECK(entry(fd) == 0);
	CHECK(!answers(reg(where)) && events(fd) == 0);
	CHECK(by_call() == 0x22);
	CHECK(events(fd) == 1);
	CHECK(answers(reg(where)));
	CHECK(leave() == 0 && events(fd) == 0);

	/* A mapping made meanwhile, and one of a child. */
	CHECK(entry(fd) == 0);
	volatile uint32_t *other = map_bar();
	/* Beyond the registers, where there is something: a mapping of another kind. */
	volatile uint32_t *bells =
		mmap(NULL, PAGE, PROT_READ, MAP_SHARED, device, (off_t)(bar_offset + PAGE));
	CHECK(bells != MAP_FAILED);
	CHECK(!answers(other) && !answers(bells));
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (!pid)
		_exit(answers(reg(where)) ? 1 : 0);
	CHECK(child_status(pid) == 0);
	CHECK(events(fd) == 0);
	CHECK(leave() == 0 && events(fd) == 1);
	CHECK(answers(other) && answers(bells) && answers(reg(where)));
	CHECK(munmap((void *)(uintptr_t)bells, PAGE) == 0);
	CHECK(munmap((void *)(uintptr_t)other, PAGE) == 0);
	CHECK(close(fd) == 0);
}

/* Needs no more than the eventfd's other end: low power ends with the last close, silently. */
static void test_close(void)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), write_fd = eventfd(0, EFD_NONBLOCK);

	CHECK(ioeventfd(0x33, write_fd) == 0);
	CHECK(entry(fd) == 0);
	close_all();
	CHECK(events(fd) == 0);
	open_fds();
	find_regions();
	memory_enable(true);
	bar = map_bar();
	CHECK(answers(reg(where)));
	*reg(where) = 0;
	signal_event(write_fd);
	CHECK(by_call() == 0 && events(write_fd) == 1 && events(fd) == 0);
	CHECK(close(fd) == 0 && close(write_fd) == 0);
}

static void test_dma_buf(void)
{
	uint32_t words[10] = {40, 11 | VFIO_DEVICE_FEATURE_GET, 0, O_CLOEXEC, 0, 1, 0, 0, PAGE, 0};
	uint64_t sync = 3;
	int fd = ioctl(device, VFIO_DEVICE_FEATURE, words);

	CHECK(fd >= 0);
	CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC);
	CHECK(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED && errno == EINVAL);
	CHECK(read(fd, words, 4) < 0 && errno == EINVAL);
	CHECK(write(fd, words, 4) < 0 && errno == EBADF);
	CHECK(ioctl(fd, _IOW('b', 0, uint64_t), &sync) == 0);
	CHECK(ioctl(fd, VFIO_DEVICE_GET_INFO, words) < 0 && errno == ENOTTY);
	CHECK(close(fd) == 0);
	words[8] = PAGE / 2;
	CHECK(ioctl(device, VFIO_DEVICE_FEATURE, words) < 0 && errno == EINVAL);
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = caught};

	CHECK(argc == 4);
	edu_client_init(argv[1], argv[2]);
	where = (uint32_t)strtoul(argv[3], NULL, 0);
	CHECK(sigaction(SIGBUS, &action, NULL) == 0);
	open_fds();
	find_regions();
	memory_enable(true);
	bar = map_bar();
	test_ioeventfd();
	test_low_power();
	test_close();
	test_dma_buf();
	return 0;
}
