/* SPDX-License-Identifier: MIT */
/* The in-process door: the same operations, in the program itself. */
#include "host/local.h"

#include <viaduct/abi/vfio.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define DEVICE "0000:00:03.0"

struct fixture {
	struct via_host *host;
	struct via_door_reply reply;
	uint8_t data[VIA_DOOR_DATA_SIZE];
	int reply_fd;
};

static int setup(void **state)
{
	struct via_vfio_config config = {.profile = VIA_PROFILE_FULL};
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	assert_int_equal(via_host_new(&config, &f->host), 0);
	assert_int_equal(via_host_add_device(f->host, "edu,addr=" DEVICE ",group=0", NULL), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	via_host_free(f->host);
	free(f);
	return 0;
}

static int64_t call(struct fixture *f, uint32_t op, int64_t id, uint64_t a, uint64_t b, uint64_t c,
		    uint64_t d, int fd)
{
	struct via_door_request request = {
		.op = op, .n_fds = fd >= 0, .id = (uint64_t)id, .arg = {a, b, c, d}};

	return via_host_local_call(f->host, &request, f->data, fd, &f->reply, &f->reply_fd);
}

static int64_t open_node(struct fixture *f, const char *node, int *ret_fd)
{
	int64_t id;

	memcpy(f->data, node, strlen(node));
	id = call(f, VIA_DOOR_OPEN, 0, strlen(node), O_RDWR, 0, 0, -1);
	*ret_fd = f->reply_fd;
	return id;
}

static int64_t do_ioctl(struct fixture *f, int64_t id, unsigned long cmd, const void *arg)
{
	return call(f, VIA_DOOR_IOCTL, id, cmd, (uintptr_t)arg, 0, 0, -1);
}

struct opened {
	int64_t container, group, device;
	int container_fd, group_fd, device_fd;
};

static void open_all(struct fixture *f, struct opened *o)
{
	o->container = open_node(f, "vfio/vfio", &o->container_fd);
	o->group = open_node(f, "vfio/0", &o->group_fd);
	assert_true(o->container > 0 && o->group > 0);
	assert_int_equal(do_ioctl(f, o->group, VIA_VFIO_GROUP_SET_CONTAINER, &o->container_fd), 0);
	assert_int_equal(
		do_ioctl(f, o->container, VIA_VFIO_SET_IOMMU, (void *)VIA_VFIO_TYPE1v2_IOMMU), 0);
	o->device_fd = (int)do_ioctl(f, o->group, VIA_VFIO_GROUP_GET_DEVICE_FD, DEVICE);
	assert_true(o->device_fd >= 0);
	assert_int_equal(fcntl(o->device_fd, F_GETFD), FD_CLOEXEC);
	o->device = call(f, VIA_DOOR_IDENTIFY, 0, 0, 0, 0, 0, o->device_fd);
	assert_true(o->device > 0);
}

static void close_all(struct opened *o)
{
	close(o->device_fd);
	close(o->group_fd);
	close(o->container_fd);
}

static void assert_clean(struct fixture *f)
{
	struct via_host_counts counts;

	via_host_settle(f->host);
	via_host_counts(f->host, &counts);
	assert_int_equal(counts.files, 0);
	assert_int_equal(counts.mappings, 0);
}

static void last_close_counts(void **state)
{
	struct fixture *f = *state;
	int fd, copy, second;

	for (int i = 0; i < 20; i++) {
		assert_true(open_node(f, "vfio/0", &fd) > 0);
		copy = dup(fd);
		close(fd);
		assert_int_equal(open_node(f, "vfio/0", &second), -EBUSY);
		assert_int_equal(second, -1);
		close(copy);
	}
	assert_clean(f);
}

static void calls_reach_the_device(void **state)
{
	struct {
		struct via_vfio_irq_set set;
		int32_t fd;
	} irqs = {{.argsz = sizeof(irqs),
		   .flags = VIA_VFIO_IRQ_SET_DATA_EVENTFD | VIA_VFIO_IRQ_SET_ACTION_TRIGGER,
		   .index = VIA_VFIO_PCI_MSI_IRQ_INDEX,
		   .count = 1}};
	struct fixture *f = *state;
	struct opened o;
	uint32_t value;
	eventfd_t n;
	int64_t id;

	struct via_vfio_region_info info = {.argsz = sizeof(info)};
	uint16_t command = 6;

	open_all(f, &o);
	info.index = VIA_VFIO_PCI_CONFIG_REGION_INDEX;
	assert_int_equal(do_ioctl(f, o.device, VIA_VFIO_DEVICE_GET_REGION_INFO, &info), 0);
	assert_int_equal(
		call(f, VIA_DOOR_PREAD, o.device, (uintptr_t)&value, 4, info.offset, 0, -1), 4);
	assert_int_equal(value, 0x11e81234);
	assert_int_equal(call(f, VIA_DOOR_PREAD, o.device, 8, 4, info.offset, 0, -1), -EFAULT);
	assert_int_equal(
		call(f, VIA_DOOR_PWRITE, o.device, (uintptr_t)&command, 2, info.offset + 4, 0, -1),
		2);
	irqs.fd = eventfd(0, EFD_NONBLOCK);
	assert_int_equal(do_ioctl(f, o.device, VIA_VFIO_DEVICE_SET_IRQS, &irqs), 0);
	irqs.set.argsz = sizeof(irqs.set);
	irqs.set.flags = VIA_VFIO_IRQ_SET_DATA_NONE | VIA_VFIO_IRQ_SET_ACTION_TRIGGER;
	assert_int_equal(do_ioctl(f, o.device, VIA_VFIO_DEVICE_SET_IRQS, &irqs), 0);
	assert_int_equal(eventfd_read(irqs.fd, &n), 0);
	close(irqs.fd);

	info.index = 0;
	assert_int_equal(do_ioctl(f, o.device, VIA_VFIO_DEVICE_GET_REGION_INFO, &info), 0);
	id = call(f, VIA_DOOR_MMAP, o.device, info.offset, 4096, PROT_READ | PROT_WRITE, MAP_SHARED,
		  -1);
	assert_true(id > 0 && f->reply_fd >= 0);
	close(f->reply_fd);
	assert_int_equal(call(f, VIA_DOOR_REG_READ, id, 0, 4, 0, 0, -1), 0);
	assert_int_equal(f->reply.value[0], 0x010000ed);
	/* The mapping alone keeps the group taken. */
	close_all(&o);
	assert_int_equal(open_node(f, "vfio/0", &o.group_fd), -EBUSY);
	assert_int_equal(call(f, VIA_DOOR_UNMAP, id, 0, 0, 0, 0, -1), 0);
	assert_clean(f);
}

static void knows_its_own(void **state)
{
	struct fixture *f = *state;
	int fd, other = eventfd(0, 0), ends[2];
	int64_t id = open_node(f, "vfio/vfio", &fd);

	assert_int_equal(call(f, VIA_DOOR_IDENTIFY, 0, 0, 0, 0, 0, fd), id);
	assert_int_equal(call(f, VIA_DOOR_IDENTIFY, 0, 0, 0, 0, 0, other), 0);
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(call(f, VIA_DOOR_IDENTIFY, 0, 0, 0, 0, 0, ends[0]), 0);
	assert_int_equal(call(f, VIA_DOOR_IDENTIFY, 0, 0, 0, 0, 0, -1), -EBADF);
	close(ends[0]);
	close(ends[1]);
	close(other);
	close(fd);
	assert_clean(f);
}

#define THREADS 4

static void *hammer(void *cookie)
{
	struct fixture *shared = cookie;
	struct fixture *f = malloc(sizeof(*f));

	*f = (struct fixture){.host = shared->host};
	for (int i = 0; i < 200; i++) {
		int fd, group_fd;
		int64_t id = open_node(f, "vfio/vfio", &fd);

		assert_true(id > 0);
		assert_int_equal(do_ioctl(f, id, VIA_VFIO_GET_API_VERSION, NULL), 0);
		id = open_node(f, "vfio/0", &group_fd);
		assert_true(id > 0 || id == -EBUSY);
		if (id > 0) {
			(void)do_ioctl(f, id, VIA_VFIO_GROUP_SET_CONTAINER, &fd);
			close(group_fd);
		}
		close(fd);
	}
	free(f);
	return NULL;
}

static void takes_many_threads(void **state)
{
	pthread_t threads[THREADS];

	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, hammer, *state), 0);
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_clean(*state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(last_close_counts),
		cmocka_unit_test(calls_reach_the_device),
		cmocka_unit_test(knows_its_own),
		cmocka_unit_test(takes_many_threads),
	};

	return cmocka_run_group_tests_name("the in-process door", tests, setup, teardown);
}
