/* SPDX-License-Identifier: MIT */
#include "calls.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

static void die(const char *what)
{
	perror(what);
	exit(2);
}

void arena_make(void)
{
	void *p = mmap((void *)ARENA, ARENA_PAGES * PAGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	if (p != (void *)ARENA)
		die("arena");
	memset(p, 0, ARENA_PAGES * PAGE);
	if (mprotect((void *)EDGE, PAGE, PROT_NONE) ||
	    mprotect((void *)READ_ONLY, PAGE, PROT_READ) || munmap((void *)UNMAPPED, PAGE))
		die("arena");
}

void events_make(void)
{
	int fds[2];

	if (pipe(fds) || dup2(fds[0], FD_PIPE) < 0)
		die("pipe");
	for (int fd = FD_EVENT; fd <= FD_EVENT_LAST; fd++) {
		int event = eventfd(0, EFD_NONBLOCK);

		if (event < 0 || dup2(event, fd) < 0)
			die("eventfd");
		close(event);
	}
	close(fds[0]);
	close(fds[1]);
}

/* Printing ----------------------------------------------------------------- */

const char *fd_name(int fd)
{
	switch (fd) {
	case FD_CONTAINER:
		return "container";
	case FD_CONTAINER2:
		return "container2";
	case FD_GROUP:
		return "group";
	case FD_GROUP2:
		return "group2";
	case FD_DEVICE:
		return "device";
	case FD_DEVICE2:
		return "device2";
	case FD_DEVICE3:
		return "device3";
	case FD_DMA_BUF:
		return "dma-buf";
	case FD_IOMMUFD:
		return "iommufd";
	case FD_IOMMUFD2:
		return "iommufd2";
	case FD_MEMORY:
	case FD_MEMORY_RO:
		return "memory";
	case FD_FAULTS:
		return "faults";
	case FD_FAULTS2:
		return "faults2";
	case FD_VEVENTS:
		return "vevents";
	default:
		return fd >= FD_ACCESS && fd <= FD_ACCESS_LAST ? "access" : "fd";
	}
}

void print_result(long ret)
{
	if (ret < 0)
		printf(" -> %s", strerrorname_np((int)-ret));
	else
		printf(" -> %ld", ret);
}

void section(const char *name)
{
	printf("# %s\n", name);
}

/* Ioctls ------------------------------------------------------------------- */

void args_fill(unsigned int n, const uint32_t *words)
{
	memset((void *)ARGS, 0xa5, ARGS_WORDS * 4);
	if (n)
		memcpy((void *)ARGS, words, n * 4);
}

/* The argument area up to the last word that the call changed; "." is a word untouched. */
void print_changed(unsigned int n, const uint32_t *words)
{
	const uint32_t *now = (const uint32_t *)ARGS;
	unsigned int last = 0;

	for (unsigned int i = 0; i < ARGS_WORDS; i++) {
		if (now[i] != (i < n ? words[i] : 0xa5a5a5a5u))
			last = i + 1;
	}
	if (last)
		printf(" |");
	for (unsigned int i = 0; i < last; i++) {
		if (now[i] == (i < n ? words[i] : 0xa5a5a5a5u))
			printf(" .");
		else
			printf(" %x", now[i]);
	}
}

static long print_call(long ret, int fd, const char *name, unsigned int n, const uint32_t *words)
{
	printf("%s %s", fd_name(fd), name);
	for (unsigned int i = 0; i < n; i++)
		printf(" %x", words[i]);
	print_result(ret);
	print_changed(n, words);
	printf("\n");
	return ret;
}

long call(const struct door *door, int fd, const char *name, unsigned long cmd, unsigned int n,
	  const uint32_t *words)
{
	args_fill(n, words);
	return print_call(door->ioctl(fd, cmd, ARGS), fd, name, n, words);
}

long call_fd(const struct door *door, int fd, const char *name, unsigned long cmd, unsigned int n,
	     const uint32_t *words, int new_fd)
{
	args_fill(n, words);
	return print_call(door->ioctl_fd(fd, cmd, ARGS, new_fd), fd, name, n, words);
}

long call_value(const struct door *door, int fd, const char *name, unsigned long cmd, uintptr_t arg)
{
	long ret = door->ioctl(fd, cmd, arg);

	printf("%s %s =%lx", fd_name(fd), name, (unsigned long)arg);
	print_result(ret);
	printf("\n");
	return ret;
}

void call_faults(const struct door *door, int fd, const char *name, unsigned long cmd,
		 unsigned int n, const uint32_t *words)
{
	uintptr_t fits = EDGE - n * 4;
	char label[64];

	snprintf(label, sizeof(label), "%s null", name);
	call_value(door, fd, label, cmd, 0);
	snprintf(label, sizeof(label), "%s unmapped", name);
	call_value(door, fd, label, cmd, UNMAPPED);
	snprintf(label, sizeof(label), "%s kernel", name);
	call_value(door, fd, label, cmd, 0xffffffff80000000ul);
	snprintf(label, sizeof(label), "%s wraps", name);
	call_value(door, fd, label, cmd, ~(uintptr_t)0 - 7);
	memcpy((void *)fits, words, n * 4);
	snprintf(label, sizeof(label), "%s fits", name);
	call_value(door, fd, label, cmd, fits);
	memcpy((void *)(fits + 4), words, n * 4 - 4);
	snprintf(label, sizeof(label), "%s edge", name);
	call_value(door, fd, label, cmd, fits + 4);
	if (mprotect((void *)READ_ONLY, PAGE, PROT_READ | PROT_WRITE))
		die("mprotect");
	memcpy((void *)READ_ONLY, words, n * 4);
	if (mprotect((void *)READ_ONLY, PAGE, PROT_READ))
		die("mprotect");
	snprintf(label, sizeof(label), "%s readonly", name);
	call_value(door, fd, label, cmd, READ_ONLY);
}

long call_device_fd(const struct door *door, int group, const char *text, int new_fd)
{
	long ret;

	memset((void *)BUFFER, 0xa5, 2 * PAGE);
	strcpy((char *)BUFFER, text);
	ret = door->ioctl_fd(group, VIA_VFIO_GROUP_GET_DEVICE_FD, BUFFER, new_fd);
	printf("%s GROUP_GET_DEVICE_FD \"%.40s\"(%zu)", fd_name(group), text, strlen(text));
	print_result(ret);
	printf("\n");
	return ret;
}

void call_unknown(const struct door *door, int fd, const unsigned int *known)
{
	static const unsigned long foreign[] = {0,	1,	    0x5401,	0x541b,	    0x3b00,
						0x3bff, 0x40043b66, 0x80043b64, 0xc0083b70, 0xae00};

	for (unsigned int cmd = 0x3b60; cmd < 0x3bb0; cmd++) {
		const unsigned int *k = known;
		char name[16];

		while (*k && *k != cmd)
			k++;
		if (*k)
			continue;
		snprintf(name, sizeof(name), "%x", cmd);
		call_value(door, fd, name, cmd, 0);
	}
	for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
		char name[16];

		snprintf(name, sizeof(name), "%lx", foreign[i]);
		call_value(door, fd, name, foreign[i], ARGS);
	}
}

/* Other calls -------------------------------------------------------------- */

int call_open(const struct door *door, const char *node, int fd)
{
	int ret = door->open(node, fd);

	printf("open %s", fd_name(fd));
	print_result(ret < 0 ? ret : 0);
	printf("\n");
	return ret;
}

void call_close(const struct door *door, int fd)
{
	printf("close %s", fd_name(fd));
	print_result(door->close(fd));
	printf("\n");
}

void call_read(const struct door *door, int fd, unsigned int region, uint64_t offset, size_t len,
	       uintptr_t buf)
{
	const unsigned char *bytes = (const unsigned char *)BUFFER;
	ssize_t ret;

	memset((void *)BUFFER, 0xa5, 2 * PAGE);
	ret = door->pread(fd, buf, len, ((uint64_t)region << VIA_VFIO_PCI_OFFSET_SHIFT) + offset);
	printf("%s read %u+%lx len %zx", fd_name(fd), region, (unsigned long)offset, len);
	if (buf != BUFFER)
		printf(" to %lx", (unsigned long)buf);
	print_result(ret);
	if (buf == BUFFER && ret > 0 && ret <= 16) {
		printf(" |");
		for (ssize_t i = 0; i < ret; i++)
			printf(" %02x", bytes[i]);
	}
	printf("\n");
}

void call_write(const struct door *door, int fd, unsigned int region, uint64_t offset, size_t len,
		uint64_t value, uintptr_t buf)
{
	ssize_t ret;

	memset((void *)BUFFER, 0, 2 * PAGE);
	memcpy((void *)BUFFER, &value, sizeof(value));
	ret = door->pwrite(fd, buf, len, ((uint64_t)region << VIA_VFIO_PCI_OFFSET_SHIFT) + offset);
	printf("%s write %u+%lx len %zx = %lx", fd_name(fd), region, (unsigned long)offset, len,
	       (unsigned long)value);
	if (buf != BUFFER)
		printf(" from %lx", (unsigned long)buf);
	print_result(ret);
	printf("\n");
}

void call_mmap(const struct door *door, int fd, unsigned int region, uint64_t offset, size_t len,
	       int prot, int flags)
{
	long ret = door->mmap(fd, ((uint64_t)region << VIA_VFIO_PCI_OFFSET_SHIFT) + offset, len,
			      prot, flags);

	printf("%s mmap %u+%lx len %zx prot %x flags %x", fd_name(fd), region,
	       (unsigned long)offset, len, prot, flags);
	print_result(ret);
	printf("\n");
}

void call_event(int fd)
{
	uint64_t count = 0;
	ssize_t ret = read(fd, &count, sizeof(count));

	printf("event %d", fd - FD_EVENT);
	if (ret < 0)
		print_result(-errno);
	else
		printf(" -> %lu", (unsigned long)count);
	printf("\n");
}

void signal_event(int fd, uint64_t count)
{
	if (write(fd, &count, sizeof(count)) != sizeof(count))
		die("eventfd");
}

void all_calls(const struct door *door, const struct subject *subject)
{
	arena_make();
	events_make();
	container_calls(door, subject);
	group_calls(door, subject);
	type1_calls(door, subject);
	device_calls(door, subject);
	region_calls(door, subject);
	irq_calls(door, subject);
	close_calls(door, subject);
}
