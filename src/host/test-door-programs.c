/* SPDX-License-Identifier: MIT */
/* The programs of test-door.c: each ends with status 0, or prints what went wrong. */
#include "host/test-door.h"

#include "host/test-client.h"

#include <linux/userfaultfd.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#define EDU_ID 0x11e81234u
#define EDU_IDENTIFICATION 0x010000edu

static struct client client;
static int64_t container, group, device; /* ids */
static int container_fd, group_fd, device_fd;

static void open_all(void)
{
	CHECK((container = client_open(&client, "vfio/vfio", true, &container_fd)) > 0);
	CHECK((group = client_open(&client, GROUP, true, &group_fd)) > 0);
	CHECK(client_ioctl(&client, group, VIA_VFIO_GROUP_SET_CONTAINER, &container_fd) == 0);
	CHECK(client_ioctl(&client, container, VIA_VFIO_SET_IOMMU,
			   (void *)VIA_VFIO_TYPE1v2_IOMMU) == 0);
	device_fd = (int)client_ioctl(&client, group, VIA_VFIO_GROUP_GET_DEVICE_FD, DEVICE);
	CHECK(device_fd >= 0);
	CHECK((device = client_identify(&client, device_fd)) > 0);
}

static void run_open(void)
{
	struct pollfd ready;

	CHECK((container = client_open(&client, "vfio/vfio", true, &container_fd)) > 0);
	CHECK(client_ioctl(&client, container, VIA_VFIO_GET_API_VERSION, NULL) ==
	      VIA_VFIO_API_VERSION);
	ready = (struct pollfd){.fd = container_fd, .events = POLLIN | POLLOUT};
	CHECK(poll(&ready, 1, 0) == 1 && ready.revents == (POLLIN | POLLOUT));
	CHECK(client_open(&client, "vfio/99", true, &group_fd) == -ENOENT);
	CHECK(client_open(&client, "vfio/../vfio", true, &group_fd) == -ENOENT);
	CHECK(client_ioctl(&client, container + 1, VIA_VFIO_GET_API_VERSION, NULL) == -ESTALE);
	CHECK(client_ioctl(&client, 0, VIA_VFIO_GET_API_VERSION, NULL) == -ESTALE);
	CHECK(client_ioctl(&client, -1, VIA_VFIO_GET_API_VERSION, NULL) == -ESTALE);
	CHECK(client_call(&client, 999, 0, 0, 0, 0, 0) == -ENOSYS);
	CHECK(client_identify(&client, client.sock) == 0);
	CHECK(client_identify(&client, STDERR_FILENO) == 0);
}

/* The effect of a close is there when the next call begins. */
static void run_close(void)
{
	for (int i = 0; i < 20; i++) {
		int copy, second = -1;

		CHECK((group = client_open(&client, GROUP, true, &group_fd)) > 0);
		CHECK(client_open(&client, GROUP, true, &second) == -EBUSY);
		copy = dup(group_fd);
		CHECK(close(group_fd) == 0);
		CHECK(client_open(&client, GROUP, true, &second) == -EBUSY);
		if (i % 2)
			CHECK(dup2(STDERR_FILENO, copy) == copy);
		CHECK(close(copy) == 0);
		CHECK(client_ioctl(&client, group, VIA_VFIO_GROUP_GET_STATUS, NULL) == -ESTALE);
	}
}

static void run_upcalls(void)
{
	struct {
		struct via_vfio_irq_set set;
		int32_t fd;
	} irqs = {{.argsz = sizeof(irqs),
		   .flags = VIA_VFIO_IRQ_SET_DATA_EVENTFD | VIA_VFIO_IRQ_SET_ACTION_TRIGGER,
		   .index = VIA_VFIO_PCI_MSI_IRQ_INDEX,
		   .count = 1}};
	int event = eventfd(0, EFD_NONBLOCK), bad = 400;
	eventfd_t n;

	open_all();
	CHECK(client.upcalls > 0);
	CHECK(fcntl(device_fd, F_GETFD) == FD_CLOEXEC);
	CHECK(client_ioctl(&client, group, VIA_VFIO_GROUP_SET_CONTAINER, &bad) == -EBADF);
	irqs.fd = event;
	CHECK(client_ioctl(&client, device, VIA_VFIO_DEVICE_SET_IRQS, &irqs) == 0);
	irqs.set.flags = VIA_VFIO_IRQ_SET_DATA_NONE | VIA_VFIO_IRQ_SET_ACTION_TRIGGER;
	irqs.set.argsz = sizeof(irqs.set);
	CHECK(client_ioctl(&client, device, VIA_VFIO_DEVICE_SET_IRQS, &irqs) == 0);
	CHECK(eventfd_read(event, &n) == 0 && n == 1);
	irqs.set.argsz = sizeof(irqs);
	irqs.set.flags = VIA_VFIO_IRQ_SET_DATA_EVENTFD | VIA_VFIO_IRQ_SET_ACTION_TRIGGER;
	irqs.fd = bad;
	CHECK(client_ioctl(&client, device, VIA_VFIO_DEVICE_SET_IRQS, &irqs) == -EBADF);
	CHECK(client_ioctl(&client, device, VIA_VFIO_DEVICE_SET_IRQS, (void *)8) == -EFAULT);
}

static struct via_vfio_region_info region(uint32_t index)
{
	struct via_vfio_region_info info = {.argsz = sizeof(info), .index = index};

	CHECK(client_ioctl(&client, device, VIA_VFIO_DEVICE_GET_REGION_INFO, &info) == 0);
	return info;
}

static void enable_memory(void)
{
	uint64_t command = region(VIA_VFIO_PCI_CONFIG_REGION_INDEX).offset + 4;
	uint16_t value = 6;

	CHECK(client_call(&client, VIA_DOOR_PWRITE, (uint64_t)device, (uintptr_t)&value, 2, command,
			  0) == 2);
}

static void run_transfer(void)
{
	uint64_t config;
	uint32_t value = 0;
	uint16_t half[2] = {0};

	open_all();
	config = region(VIA_VFIO_PCI_CONFIG_REGION_INDEX).offset;
	CHECK(client_call(&client, VIA_DOOR_PREAD, (uint64_t)device, (uintptr_t)&value, 4, config,
			  0) == 4);
	CHECK(value == EDU_ID);
	CHECK(client_call(&client, VIA_DOOR_PREAD, (uint64_t)device, 8, 4, config, 0) == -EFAULT);
	CHECK(client_call(&client, VIA_DOOR_PREAD, (uint64_t)device, (uintptr_t)&value, 4,
			  UINT64_MAX - 1, 0) == -EINVAL);
	CHECK(client_call(&client, VIA_DOOR_PREAD, (uint64_t)device, (uintptr_t)&value,
			  UINT64_MAX - 1, config, 0) == -EINVAL);
	enable_memory();
	/* By position: BAR 0 is at 0, its first word in two halves. */
	for (int i = 0; i < 2; i++)
		CHECK(client_call(&client, VIA_DOOR_PREAD, (uint64_t)device, (uintptr_t)&half[i], 2,
				  0, 1) >= 0);
}

static void run_mapping(void)
{
	struct via_door_area *areas;
	int64_t id;
	int fd;

	open_all();
	enable_memory();
	id = client_call(&client, VIA_DOOR_MMAP, (uint64_t)device, region(0).offset, 8192,
			 PROT_READ | PROT_WRITE, MAP_SHARED);
	CHECK(id > 0 && client.slot->reply.n_fds == 1);
	fd = client_take_fd(&client, true);
	CHECK(client.slot->reply.value[1] == 8192 && client.slot->reply.value[2] >= 1);
	areas = (struct via_door_area *)client.slot->data;
	CHECK(areas[0].offset == 0 && areas[0].size == 8192 && areas[0].kind == 0);
	CHECK(client_call(&client, VIA_DOOR_REG_READ, (uint64_t)id, 0, 4, 0, 0) == 0);
	CHECK(client.slot->reply.value[0] == EDU_IDENTIFICATION);
	CHECK(client_call(&client, VIA_DOOR_REG_WRITE, (uint64_t)id, 4, 4, 0x12345678, 0) == 0);
	CHECK(client_call(&client, VIA_DOOR_REG_READ, (uint64_t)id, 4, 4, 0, 0) == 0);
	CHECK(client.slot->reply.value[0] == (uint32_t)~0x12345678u);
	CHECK(client_call(&client, VIA_DOOR_REG_READ, (uint64_t)id, 8192, 1, 0, 0) == -EINVAL);
	CHECK(client_call(&client, VIA_DOOR_REG_READ, (uint64_t)id, 8190, 4, 0, 0) == -EINVAL);
	CHECK(client_call(&client, VIA_DOOR_REG_READ, (uint64_t)id, UINT64_MAX, 4, 0, 0) ==
	      -EINVAL);
	CHECK(client_call(&client, VIA_DOOR_REG_READ, (uint64_t)id, 0, 3, 0, 0) == -EINVAL);
	/* A mapping keeps its file open, as in a kernel. */
	close(device_fd);
	close(group_fd);
	close(container_fd);
	CHECK(client_call(&client, VIA_DOOR_REG_READ, (uint64_t)id, 0, 4, 0, 0) == 0);
	CHECK(client_open(&client, GROUP, true, &group_fd) == -EBUSY);
	CHECK(client_call(&client, VIA_DOOR_UNMAP, (uint64_t)id, 0, 0, 0, 0) == 0);
	CHECK(client_call(&client, VIA_DOOR_UNMAP, (uint64_t)id, 0, 0, 0, 0) == -ESTALE);
	CHECK(client_call(&client, VIA_DOOR_REG_READ, (uint64_t)id, 0, 4, 0, 0) == -ESTALE);
	CHECK(client_open(&client, GROUP, true, &group_fd) > 0);
	close(group_fd);
	close(fd);
	/* Left for the hang-up to clean: */
	open_all();
	CHECK(client_call(&client, VIA_DOOR_MMAP, (uint64_t)device, region(0).offset, 4096,
			  PROT_READ, MAP_SHARED) > 0);
}

/* A program holds the file behind a BAR; what it cuts off must not fault in the host. */
static void run_truncate(void)
{
	uint64_t value = 7;
	int fd;

	CHECK((container = client_open(&client, "vfio/vfio", true, &container_fd)) > 0);
	CHECK((group = client_open(&client, "vfio/2", true, &group_fd)) > 0);
	CHECK(client_ioctl(&client, group, VIA_VFIO_GROUP_SET_CONTAINER, &container_fd) == 0);
	CHECK(client_ioctl(&client, container, VIA_VFIO_SET_IOMMU,
			   (void *)VIA_VFIO_TYPE1v2_IOMMU) == 0);
	device_fd = (int)client_ioctl(&client, group, VIA_VFIO_GROUP_GET_DEVICE_FD, NVME);
	CHECK(device_fd >= 0 && (device = client_identify(&client, device_fd)) > 0);
	enable_memory();
	CHECK(client_call(&client, VIA_DOOR_MMAP, (uint64_t)device, region(0).offset, 0x4000,
			  PROT_READ | PROT_WRITE, MAP_SHARED) > 0);
	fd = client_take_fd(&client, true);
	CHECK(ftruncate(fd, 0) == 0);
	CHECK(client_call(&client, VIA_DOOR_PREAD, (uint64_t)device, (uintptr_t)&value, 8,
			  region(0).offset + 0x1000, 0) == 8);
	CHECK(value == 0);
	CHECK(client_call(&client, VIA_DOOR_PWRITE, (uint64_t)device, (uintptr_t)&value, 8,
			  region(0).offset + 0x1000, 0) == 8);
	CHECK(client_ioctl(&client, device, VIA_VFIO_DEVICE_RESET, NULL) == 0);
	CHECK(lseek(fd, 0, SEEK_END) == 0x4000);
}

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif

static uint32_t *map_area(int fd, uint64_t offset)
{
	void *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)offset);

	CHECK(map != MAP_FAILED);
	return map;
}

/* A userfaultfd on which page is registered for write protection; -1: not here. */
static int watch_page(void *page)
{
	struct uffdio_api api = {.api = UFFD_API, .features = UFFD_FEATURE_WP_HUGETLBFS_SHMEM};
	struct uffdio_register reg = {.range = {(uintptr_t)page, 4096},
				      .mode = UFFDIO_REGISTER_MODE_WP};
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);

	if (fd < 0 || ioctl(fd, UFFDIO_API, &api) < 0 || ioctl(fd, UFFDIO_REGISTER, &reg) < 0)
		return -1;
	return fd;
}

/* Map the device with a doorbell: registers, the doorbell, the page with the echo. */
static int64_t map_bell(uint32_t **ret_bell, uint32_t **ret_echo)
{
	struct via_door_area *areas = (struct via_door_area *)client.slot->data;
	struct via_vfio_region_info bar;
	int64_t id;
	int fd;

	CHECK((container = client_open(&client, "vfio/vfio", true, &container_fd)) > 0);
	CHECK((group = client_open(&client, "vfio/1", true, &group_fd)) > 0);
	CHECK(client_ioctl(&client, group, VIA_VFIO_GROUP_SET_CONTAINER, &container_fd) == 0);
	CHECK(client_ioctl(&client, container, VIA_VFIO_SET_IOMMU,
			   (void *)VIA_VFIO_TYPE1v2_IOMMU) == 0);
	device_fd = (int)client_ioctl(&client, group, VIA_VFIO_GROUP_GET_DEVICE_FD, BELL);
	CHECK(device_fd >= 0);
	CHECK((device = client_identify(&client, device_fd)) > 0);
	enable_memory();
	bar = region(0);
	/* From the second page on: areas count from the start of the mapping. */
	id = client_call(&client, VIA_DOOR_MMAP, (uint64_t)device, bar.offset + 4096, 8192,
			 PROT_READ | PROT_WRITE, MAP_SHARED);
	CHECK(id > 0);
	fd = client_take_fd(&client, true);
	CHECK(client.slot->reply.value[0] == 4096 && client.slot->reply.value[2] == 2);
	CHECK(areas[0].offset == 0 && areas[0].size == 4096 && areas[0].kind == 1);
	CHECK(areas[1].offset == 4096 && areas[1].size == 4096 && areas[1].kind == 2);
	*ret_bell = map_area(fd, 4096);
	*ret_echo = map_area(fd, 8192);
	close(fd);
	return id;
}

static int64_t guard(int64_t id, uint64_t offset, void *page, int fd)
{
	client_send_fd(&client, fd);
	client.slot->request = (struct via_door_request){.op = VIA_DOOR_GUARD,
							 .n_fds = 1,
							 .id = (uint64_t)id,
							 .arg = {offset, (uintptr_t)page, 4096}};
	return client_run(&client);
}

static void run_guard(void)
{
	uint32_t *bell, *echo;
	int64_t id = map_bell(&bell, &echo);
	int fd = watch_page(bell);

	if (fd < 0)
		_exit(EXIT_SKIPPED);
	CHECK(guard(id, 0, bell, STDERR_FILENO) == -EINVAL);
	CHECK(guard(id, 8192, bell, fd) == -EINVAL);
	CHECK(guard(id, 1, bell, fd) == -EINVAL);
	CHECK(guard(id, UINT64_MAX & ~4095ull, bell, fd) == -EINVAL);
	CHECK(guard(id + 1, 0, bell, fd) == -ESTALE);
	CHECK(guard(id, 0, bell, fd) == 0);
	/* Sometimes the device polls, sometimes it sleeps and the write is the event. */
	for (uint32_t i = 1; i <= 200; i++) {
		if (i % 4 == 0)
			usleep(1000);
		__atomic_store_n(bell, i, __ATOMIC_SEQ_CST);
		for (int waited = 0; __atomic_load_n(echo, __ATOMIC_SEQ_CST) != i; waited++) {
			CHECK(waited < 2000);
			usleep(500);
		}
	}
	/* Asleep again, and the mapping goes: a write to the page must not hang. */
	usleep(2000);
	CHECK(client_call(&client, VIA_DOOR_UNMAP, (uint64_t)id, 0, 0, 0, 0) == 0);
	__atomic_store_n(bell, 1000, __ATOMIC_SEQ_CST);
}

/* Killed with a guard in place. */
static void run_guard_killed(void)
{
	uint32_t *bell, *echo;
	int64_t id = map_bell(&bell, &echo);
	int fd = watch_page(bell);

	if (fd < 0)
		_exit(EXIT_SKIPPED);
	CHECK(guard(id, 0, bell, fd) == 0);
	usleep(1000);
	raise(SIGKILL);
}

/* What was inherited over exec is identified by the new program. */
static void run_exec(const char *name)
{
	char number[16];

	CHECK((container = client_open(&client, "vfio/vfio", false, &container_fd)) > 0);
	snprintf(number, sizeof(number), "%d", container_fd);
	execl("/proc/self/exe", "program", "executed", name, number, NULL);
	_exit(1);
}

static void run_executed(int fd)
{
	int64_t id = client_identify(&client, fd);

	CHECK(id > 0);
	CHECK(client_ioctl(&client, id, VIA_VFIO_GET_API_VERSION, NULL) == 0);
}

/* fd is one end of a socketpair to another program or to the test. */
static void run_sender(int fd)
{
	char byte = 0;

	CHECK((group = client_open(&client, GROUP, true, &group_fd)) > 0);
	CHECK(via_door_send(fd, &byte, 1, group_fd, 0) == 0);
}

static void run_receiver(int fd)
{
	struct via_vfio_group_status status = {.argsz = sizeof(status)};
	int64_t id;
	int theirs;
	char byte;

	CHECK(via_door_recv(fd, &byte, 1, 0, true, &theirs) == 0 && theirs >= 0);
	CHECK((id = client_identify(&client, theirs)) > 0);
	CHECK(client_ioctl(&client, id, VIA_VFIO_GROUP_GET_STATUS, &status) == 0);
	CHECK(client_open(&client, GROUP, true, &group_fd) == -EBUSY);
	close(theirs);
	CHECK(client_open(&client, GROUP, true, &group_fd) > 0);
}

/* Does everything in circles until it is killed. */
static void run_busy(void)
{
	client.exit_when_lost = true;
	for (;;) {
		while ((container = client_open(&client, "vfio/vfio", true, &container_fd)) < 0)
			;
		while ((group = client_open(&client, GROUP, true, &group_fd)) == -EBUSY)
			;
		CHECK(group > 0);
		CHECK(client_ioctl(&client, group, VIA_VFIO_GROUP_SET_CONTAINER, &container_fd) ==
		      0);
		CHECK(client_ioctl(&client, container, VIA_VFIO_SET_IOMMU,
				   (void *)VIA_VFIO_TYPE1v2_IOMMU) == 0);
		device_fd = (int)client_ioctl(&client, group, VIA_VFIO_GROUP_GET_DEVICE_FD, DEVICE);
		CHECK(device_fd >= 0);
		CHECK((device = client_identify(&client, device_fd)) > 0);
		enable_memory();
		if (client_call(&client, VIA_DOOR_MMAP, (uint64_t)device, region(0).offset, 4096,
				PROT_READ, MAP_SHARED) > 0) {
			int64_t id = client.slot->reply.result;

			close(client_take_fd(&client, true));
			CHECK(client_call(&client, VIA_DOOR_REG_READ, (uint64_t)id, 0, 4, 0, 0) ==
			      0);
			CHECK(client_call(&client, VIA_DOOR_UNMAP, (uint64_t)id, 0, 0, 0, 0) == 0);
		}
		close(device_fd);
		close(group_fd);
		close(container_fd);
	}
}

/* Descriptors on their way to the host that would keep themselves open. */
static void run_hold(void)
{
	char byte = 0;

	CHECK((container = client_open(&client, "vfio/vfio", true, &container_fd)) > 0);
	CHECK(via_door_send(container_fd, &byte, 1, container_fd, MSG_DONTWAIT) == -EPIPE);
	CHECK(via_door_send(client.sock, &byte, 1, client.sock, MSG_DONTWAIT) == 0);
	CHECK(via_door_send(client.sock, &byte, 1, container_fd, MSG_DONTWAIT) == 0);
}

static void run_mute(void)
{
	CHECK((container = client_open(&client, "vfio/vfio", true, &container_fd)) > 0);
	CHECK((group = client_open(&client, GROUP, true, &group_fd)) > 0);
	client.mute_in_upcall = true;
	client_ioctl(&client, group, VIA_VFIO_GROUP_SET_CONTAINER, &container_fd);
}

static void run_die_in_upcall(void)
{
	CHECK((container = client_open(&client, "vfio/vfio", true, &container_fd)) > 0);
	CHECK((group = client_open(&client, GROUP, true, &group_fd)) > 0);
	client.die_in_upcall = true;
	client_ioctl(&client, group, VIA_VFIO_GROUP_SET_CONTAINER, &container_fd);
}

/* Garbage in every word; each connection may be lost, others not. */
static void run_garbage(const char *name, unsigned int seed)
{
	srandom(seed);
	for (int i = 0; i < 30; i++) {
		struct client victim;
		uint64_t *words;

		CHECK(client_connect(&victim, name, seed) == 0);
		words = (uint64_t *)victim.slot;
		for (int j = 0; j < 40; j++) {
			for (size_t k = 16; k < sizeof(struct via_door_slot) / 8 && k < 600; k++)
				words[k] = random() % 3 ? (uint64_t)random()
							: ~(uint64_t)0 >> (random() % 64);
			victim.slot->request.op = (uint32_t)random() % 14;
			victim.slot->request.n_fds =
				(uint32_t)random() % 20 ? 0 : (uint32_t)random();
			victim.slot->request.id = (uint64_t)random() % 3
							  ? (uint64_t)random() % 4
							  : (uint64_t)random() << (random() % 40);
			if (random() % 10 == 0)
				(void)via_door_send(victim.sock, words, (size_t)random() % 4096,
						    random() % 2 ? victim.sock : -1, MSG_DONTWAIT);
			via_door_post(&victim.slot->state,
				      random() % 4 ? VIA_DOOR_REQUEST : (uint32_t)random());
			if (random() % 2)
				(void)via_door_wait(&victim.slot->state, VIA_DOOR_REQUEST,
						    &victim.spin, 200000);
		}
		client_disconnect(&victim);
	}
}

/* More connections than a process may have. */
static void run_many(const char *name)
{
	static struct client many[VIA_DOOR_MAX_SLOTS];
	struct client extra;

	/* One is open already. */
	for (size_t i = 0; i + 1 < VIA_DOOR_MAX_SLOTS; i++)
		CHECK(client_connect(&many[i], name, (uint64_t)getpid()) == 0);
	CHECK(client_connect(&extra, name, (uint64_t)getpid()) == -EMFILE);
	client_disconnect(&many[0]);
	/* The host sees the hang-up when it sees it. */
	for (int r = -EMFILE; r;) {
		r = client_connect(&extra, name, (uint64_t)getpid());
		CHECK(r == 0 || r == -EMFILE);
	}
}

/* Memory that DMA may and may not be mapped to. */
static void run_memory(void)
{
	struct via_vfio_iommu_type1_dma_map map = {.argsz = sizeof(map),
						   .flags = VIA_VFIO_DMA_MAP_FLAG_READ |
							    VIA_VFIO_DMA_MAP_FLAG_WRITE,
						   .iova = 0x100000,
						   .size = 8192};
	uint8_t *private =
		mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int memory = memfd_create("memory", 0);
	uint8_t *shared;

	CHECK(ftruncate(memory, 8192) == 0);
	shared = mmap(NULL, 16384, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
	open_all();
	map.vaddr = (uintptr_t) private;
	CHECK(client_ioctl(&client, container, VIA_VFIO_IOMMU_MAP_DMA, &map) == 0);
	map.iova += 8192;
	map.vaddr = (uintptr_t)shared;
	CHECK(client_ioctl(&client, container, VIA_VFIO_IOMMU_MAP_DMA, &map) == 0);
	map.iova += 8192;
	/* Beyond the end of the file. */
	map.vaddr = (uintptr_t)shared + 4096;
	CHECK(client_ioctl(&client, container, VIA_VFIO_IOMMU_MAP_DMA, &map) == -EFAULT);
	/* Not there at all; partly not there. */
	CHECK(munmap(private + 4096, 4096) == 0);
	map.vaddr = (uintptr_t) private;
	CHECK(client_ioctl(&client, container, VIA_VFIO_IOMMU_MAP_DMA, &map) == -EFAULT);
	/* Read-only memory is for reading. */
	map.size = 4096;
	CHECK(mprotect(private, 4096, PROT_READ) == 0);
	CHECK(client_ioctl(&client, container, VIA_VFIO_IOMMU_MAP_DMA, &map) == -EFAULT);
	map.flags = VIA_VFIO_DMA_MAP_FLAG_READ;
	CHECK(client_ioctl(&client, container, VIA_VFIO_IOMMU_MAP_DMA, &map) == 0);
}

int test_door_program(int argc, char **argv)
{
	const char *what = argv[1], *name = argv[2];
	int number = argc > 3 ? atoi(argv[3]) : -1;

	alarm(20);
	CHECK(client_connect(&client, name, (uint64_t)getpid()) == 0);
	if (strcmp(what, "open") == 0)
		run_open();
	else if (strcmp(what, "close") == 0)
		run_close();
	else if (strcmp(what, "upcalls") == 0)
		run_upcalls();
	else if (strcmp(what, "transfer") == 0)
		run_transfer();
	else if (strcmp(what, "mapping") == 0)
		run_mapping();
	else if (strcmp(what, "truncate") == 0)
		run_truncate();
	else if (strcmp(what, "exec") == 0)
		run_exec(name);
	else if (strcmp(what, "executed") == 0)
		run_executed(number);
	else if (strcmp(what, "sender") == 0)
		run_sender(number);
	else if (strcmp(what, "receiver") == 0)
		run_receiver(number);
	else if (strcmp(what, "busy") == 0)
		run_busy();
	else if (strcmp(what, "die-in-upcall") == 0)
		run_die_in_upcall();
	else if (strcmp(what, "hold") == 0)
		run_hold();
	else if (strcmp(what, "mute") == 0)
		run_mute();
	else if (strcmp(what, "garbage") == 0)
		run_garbage(name, (unsigned int)number);
	else if (strcmp(what, "many") == 0)
		run_many(name);
	else if (strcmp(what, "memory") == 0)
		run_memory();
	else if (strcmp(what, "guard") == 0)
		run_guard();
	else if (strcmp(what, "guard-killed") == 0)
		run_guard_killed();
	else
		return 2;
	return 0;
}
