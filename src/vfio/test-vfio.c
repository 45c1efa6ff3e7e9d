/* SPDX-License-Identifier: MIT */
/*
 * Groups, containers and devices together: who reaches what memory when, in
 * any order of opening and closing. Single answers are compared with a
 * kernel's in tests/conformance; here is what a recording cannot show.
 */
#include "vfio/test-vfio.h"

/* Life ---------------------------------------------------------------------- */

/* Closes the three files of an open device in the order that digits name. */
static void close_in_order(struct machine *m, const char *order)
{
	int fds[3], closed = 0;

	fds[0] = node(m, "vfio/vfio");
	fds[1] = node(m, "vfio/1");
	assert_int_equal(join(m, fds[1], fds[0]), 0);
	assert_int_equal(set_type(m, fds[0]), 0);
	fds[2] = device(m, fds[1], "0000:00:04.0");
	assert_true(fds[2] >= 0);
	assert_int_equal(map_at(m, fds[0], IOVA), 0);
	for (; *order; order++) {
		int which = *order - '0';

		if (!(closed & 4))
			assert_true(reaches(m, fds[2], IOVA));
		if ((closed & 6) != 6)
			assert_int_equal(node(m, "vfio/1"), -EBUSY);
		shut(m, fds[which]);
		closed |= 1 << which;
	}

	/* All is gone: the same again finds nothing of before. */
	fds[0] = node(m, "vfio/vfio");
	fds[1] = node(m, "vfio/1");
	assert_true(fds[1] >= 0);
	assert_int_equal(join(m, fds[1], fds[0]), 0);
	assert_int_equal(set_type(m, fds[0]), 0);
	fds[2] = device(m, fds[1], "0000:00:04.0");
	assert_false(reaches(m, fds[2], IOVA));
	assert_int_equal(unmap_at(m, fds[0], IOVA), 0);
	for (int i = 0; i < 3; i++)
		shut(m, fds[i]);
}

static void files_close_in_any_order(void **state)
{
	static const char *const orders[] = {"012", "021", "102", "120", "201", "210"};

	for (size_t i = 0; i < 6; i++)
		close_in_order(*state, orders[i]);
}

static void two_groups_share_a_container(void **state)
{
	struct machine *m = *state;
	int container = node(m, "vfio/vfio"), one = node(m, "vfio/1"), two = node(m, "vfio/2");
	int a, b;

	assert_int_equal(join(m, one, container), 0);
	assert_int_equal(set_type(m, container), 0);
	assert_int_equal(map_at(m, container, IOVA), 0);
	assert_int_equal(join(m, two, container), 0);
	a = device(m, one, "0000:00:04.0");
	b = device(m, two, "0000:00:05.0");
	assert_true(reaches(m, a, IOVA) && reaches(m, b, IOVA));
	/* A device is found in its own group only. */
	assert_int_equal(device(m, one, "0000:00:05.0"), -ENODEV);

	shut(m, a);
	assert_int_equal(leave(m, one), 0);
	assert_true(reaches(m, b, IOVA));
	assert_int_equal(leave(m, two), -EBUSY);
	shut(m, b);
	/* The last group takes the mappings with it, and the type. */
	assert_int_equal(leave(m, two), 0);
	assert_int_equal(map_at(m, container, IOVA), -EINVAL);
	assert_int_equal(join(m, two, container), 0);
	assert_int_equal(set_type(m, container), 0);
	assert_int_equal(map_at(m, container, IOVA), 0);
	shut(m, one);
	shut(m, two);
	shut(m, container);
}

static void containers_are_apart(void **state)
{
	struct machine *m = *state;
	int c1 = node(m, "vfio/vfio"), c2 = node(m, "vfio/vfio");
	int one = node(m, "vfio/1"), two = node(m, "vfio/2"), a, b;

	assert_int_equal(join(m, one, c1), 0);
	assert_int_equal(join(m, two, c2), 0);
	assert_int_equal(set_type(m, c1), 0);
	assert_int_equal(map_at(m, c1, IOVA), 0);
	assert_int_equal(set_type(m, c2), 0);
	a = device(m, one, "0000:00:04.0");
	b = device(m, two, "0000:00:05.0");
	assert_true(reaches(m, a, IOVA));
	assert_false(reaches(m, b, IOVA));
	assert_int_equal(unmap_at(m, c1, IOVA), 0);
	assert_false(reaches(m, a, IOVA));
}

static void a_group_of_two(void **state)
{
	struct machine *m = *state;
	int container = node(m, "vfio/vfio"), group = node(m, "vfio/3"), a, b;

	assert_int_equal(join(m, group, container), 0);
	assert_int_equal(set_type(m, container), 0);
	assert_int_equal(map_at(m, container, IOVA), 0);
	a = device(m, group, "0000:00:06.0");
	b = device(m, group, "0000:00:06.1");
	assert_true(reaches(m, a, IOVA) && reaches(m, b, IOVA));
	shut(m, a);
	assert_int_equal(leave(m, group), -EBUSY);
	shut(m, group);
	assert_int_equal(node(m, "vfio/3"), -EBUSY);
	assert_true(reaches(m, b, IOVA));
	shut(m, b);
	group = node(m, "vfio/3");
	assert_true(group >= 0);
	assert_int_equal(map_at(m, container, IOVA), -EINVAL);
}

/* What has left a container reaches nothing, though others still use it. */
static void a_group_that_left(void **state)
{
	struct machine *m = *state;
	int container = node(m, "vfio/vfio"), one = node(m, "vfio/1"), two = node(m, "vfio/2");
	struct via_dma *dma = via_device_dma(via_vfio_device(m->vfio, 0));
	uint32_t value;

	assert_int_equal(join(m, one, container), 0);
	assert_int_equal(join(m, two, container), 0);
	assert_int_equal(set_type(m, container), 0);
	assert_int_equal(map_at(m, container, IOVA), 0);
	via_dma_enable(dma, true);
	assert_int_equal(via_dma_read(dma, IOVA, &value, 4), 0);
	assert_int_equal(value, SECRET);
	assert_int_equal(leave(m, one), 0);
	assert_int_equal(via_dma_read(dma, IOVA, &value, 4), -EFAULT);
	assert_int_equal(join(m, one, container), 0);
	assert_int_equal(via_dma_read(dma, IOVA, &value, 4), 0);
}

static void no_join_while_suspended(void **state)
{
	struct machine *m = *state;
	int container = node(m, "vfio/vfio"), one = node(m, "vfio/1"), two = node(m, "vfio/2");
	struct via_vfio_iommu_type1_dma_unmap suspend = {
		.argsz = sizeof(suspend),
		.flags = VIA_VFIO_DMA_UNMAP_FLAG_VADDR,
		.iova = IOVA,
		.size = PAGE,
	};

	assert_int_equal(join(m, one, container), 0);
	assert_int_equal(set_type(m, container), 0);
	assert_int_equal(map_at(m, container, IOVA), 0);
	assert_int_equal(ioc(m, container, VIA_VFIO_IOMMU_UNMAP_DMA, &suspend), 0);
	assert_int_equal(join(m, two, container), -EBUSY);
	assert_int_equal(leave(m, two), -EINVAL);
	assert_int_equal(unmap_at(m, container, IOVA), 0);
	assert_int_equal(join(m, two, container), 0);
}

static int refuse_file(struct via_caller *caller, struct via_file *file, bool cloexec)
{
	return -EMFILE;
}

static void no_descriptor_left(void **state)
{
	struct machine *m = *state;
	int container = node(m, "vfio/vfio"), group = node(m, "vfio/1");
	const struct via_caller_ops *ops = m->tc.caller.ops;
	struct via_caller_ops refusing = *ops;

	assert_int_equal(join(m, group, container), 0);
	assert_int_equal(set_type(m, container), 0);
	refusing.file_put = refuse_file;
	m->tc.caller.ops = &refusing;
	assert_int_equal(ioc(m, group, VIA_VFIO_GROUP_GET_DEVICE_FD, "0000:00:04.0"), -EMFILE);
	m->tc.caller.ops = ops;
	/* The device was closed again. */
	assert_int_equal(leave(m, group), 0);
}

static void several_files_of_a_device(void **state)
{
	struct machine *m = *state;
	int container = node(m, "vfio/vfio"), group = node(m, "vfio/1"), a, b;
	unsigned int resets;

	assert_int_equal(join(m, group, container), 0);
	assert_int_equal(set_type(m, container), 0);
	assert_int_equal(map_at(m, container, IOVA), 0);
	a = device(m, group, "0000:00:04.0");
	resets = m->probes[0]->resets;
	b = device(m, group, "0000:00:04.0");
	assert_true(reaches(m, a, IOVA));
	assert_int_equal(reg(m, b, 8), SECRET);
	shut(m, a);
	/* Only the first open and the last close reset it. */
	assert_int_equal(m->probes[0]->resets, resets);
	assert_int_equal(reg(m, b, 8), SECRET);
	shut(m, b);
	assert_true(m->probes[0]->resets > resets);
}

/* Placement ------------------------------------------------------------------ */

static void placing_devices(void **state)
{
	struct machine *m = *state;
	static const char *const order[] = {"0000:00:04.0", "0000:00:05.0", "0000:00:06.0",
					    "0000:00:06.1", "0000:01:00.0", "0001:00:00.0"};
	struct via_pci_addr addr;
	struct via_device *dev;
	struct via_error err = {0};
	char text[VIA_PCI_ADDR_LEN];

	add(m, "0001:00:00.0", -1);
	add(m, "0000:01:00.0", -1);
	for (size_t i = 0; i < 6; i++) {
		dev = via_vfio_device(m->vfio, i);
		via_pci_addr_format(via_device_addr(dev), text);
		assert_string_equal(text, order[i]);
	}
	assert_null(via_vfio_device(m->vfio, 6));
	assert_int_equal(via_vfio_device_group(m->vfio, 0), 1);
	assert_int_equal(via_vfio_device_group(m->vfio, 3), 3);
	assert_int_equal(via_vfio_device_group(m->vfio, 5), 0);
	assert_int_equal(via_vfio_device_group(m->vfio, 4), 4);
	assert_int_equal(via_vfio_device_group(m->vfio, 6), -1);

	assert_int_equal(via_pci_addr_parse("0000:00:05.0", &addr), 0);
	assert_int_equal(via_device_new(&probe_desc, &probe_ops, calloc(1, sizeof(struct probe)),
					NULL, &dev),
			 0);
	assert_int_equal(via_vfio_add(m->vfio, dev, &addr, -1, &err), -EEXIST);
	assert_non_null(strstr(err.text, "0000:00:05.0"));

	/* A group that somebody works with is not changed. */
	assert_true(node(m, "vfio/1") >= 0);
	assert_int_equal(via_pci_addr_parse("0000:00:07.0", &addr), 0);
	assert_int_equal(via_device_new(&probe_desc, &probe_ops, calloc(1, sizeof(struct probe)),
					NULL, &dev),
			 0);
	assert_int_equal(via_vfio_add(m->vfio, dev, &addr, 1, NULL), -EBUSY);
}

static void nodes(void **state)
{
	static const char *const absent[] = {
		"",	   "vfio",    "vfio/",	"vfio/vfio2",	   "vfio/9",  "vfio/01", "vfio/+1",
		"vfio/1 ", "vfio/-1", "iommu2", "vfio/4294967297", "vfio/ 1", "vfio/1x",
		"vfio/devices", "vfio/devices/vfio", "vfio/devices/vfio4", "vfio/devices/vfio00",
		"vfio/devices/0"};
	struct machine *m = *state;

	for (size_t i = 0; i < sizeof(absent) / sizeof(absent[0]); i++)
		assert_int_equal(node(m, absent[i]), -ENOENT);
	assert_true(node(m, "vfio/vfio") >= 0);
	assert_true(node(m, "vfio/3") >= 0);
	assert_true(node(m, "vfio/devices/vfio3") >= 0);
	assert_true(node(m, "iommu") >= 0);
}

/* Threads ----------------------------------------------------------------------- */

struct worker {
	struct machine *m;
	int container, group;
	unsigned int number;
};

static void *mapper(void *arg)
{
	struct worker *w = arg;

	for (int i = 0; i < 200; i++) {
		/* Afresh: the answer's argsz is what it would take, capabilities included. */
		struct via_vfio_iommu_type1_info info = {.argsz = sizeof(info)};
		long ret = map_at(w->m, w->container, (uint64_t)(w->number + 1) << 30);

		assert_true(ret == 0 || ret == -EINVAL || ret == -EEXIST);
		ioc(w->m, w->container, VIA_VFIO_IOMMU_GET_INFO, &info);
		unmap_at(w->m, w->container, (uint64_t)(w->number + 1) << 30);
		ioc(w->m, w->container, VIA_VFIO_CHECK_EXTENSION, (void *)10);
	}
	return NULL;
}

static void *mover(void *arg)
{
	struct worker *w = arg;

	for (int i = 0; i < 50; i++) {
		int fd;

		if (join(w->m, w->group, w->container))
			continue;
		set_type(w->m, w->container);
		fd = device(w->m, w->group, w->number ? "0000:00:05.0" : "0000:00:04.0");
		if (fd >= 0) {
			reaches(w->m, fd, 1u << 30);
			shut(w->m, fd);
		}
		assert_int_equal(leave(w->m, w->group), 0);
	}
	return NULL;
}

/* Mappings come and go while groups join and leave. */
static void threads(void **state)
{
	struct machine *m = *state;
	int container = node(m, "vfio/vfio");
	struct worker workers[4];
	pthread_t ids[4];

	for (unsigned int i = 0; i < 4; i++) {
		workers[i] = (struct worker){m, container, -1, i % 2};
		if (i < 2)
			workers[i].group = node(m, i ? "vfio/2" : "vfio/1");
	}
	for (unsigned int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&ids[i], NULL, i < 2 ? mover : mapper, &workers[i]),
				 0);
	for (unsigned int i = 0; i < 4; i++)
		pthread_join(ids[i], NULL);
	/* Whatever the order was, nothing is left. */
	assert_int_equal(map_at(m, container, IOVA), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(files_close_in_any_order),
		TEST(two_groups_share_a_container),
		TEST(containers_are_apart),
		TEST(a_group_of_two),
		TEST(a_group_that_left),
		TEST(no_join_while_suspended),
		TEST(no_descriptor_left),
		TEST(several_files_of_a_device),
		TEST(placing_devices),
		TEST(nodes),
		TEST(threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
