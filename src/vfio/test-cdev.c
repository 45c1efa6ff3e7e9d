/* SPDX-License-Identifier: MIT */
/*
 * Device nodes, groups on an iommufd and attachments: what a kernel has
 * answered to a long list of calls, and what devices reach meanwhile.
 */
#include "vfio/test-node.h"

static const char *const recorded[] = {
#include "vfio/cdev-script.inc"
};

static size_t at_line;
static unsigned int wrong;

static void compare_line(void *cookie, const char *text)
{
	const char *want = at_line < VIA_ARRAY_SIZE(recorded) ? recorded[at_line] : "nothing";

	if (strcmp(text, want) != 0) {
		print_error("line %zu: \"%s\", a kernel says \"%s\"\n", at_line + 1, text, want);
		wrong++;
	}
	at_line++;
}

static void test_as_a_kernel_answers(void **state)
{
	struct nodes *n = *state;

	at_line = 0;
	wrong = 0;
	n->s.line = compare_line;
	script_run(&n->s);
	assert_int_equal(wrong, 0);
	assert_int_equal(at_line, VIA_ARRAY_SIZE(recorded));
}

static void test_case_151_before_bind(void **state)
{
	struct nodes *n = *state;
	struct via_file *file = NULL;
	int fd = node_open(&n->s, n->s.cdev[2]);
	struct via_mmap map;
	uint32_t word;

	/* The calls are among those that are recorded; what is no call is the same. */
	assert_int_equal(test_file_get(&n->m->tc.caller, fd, &file), 0);
	assert_int_equal(via_file_pread(file, &n->m->tc.caller, (uint64_t)(uintptr_t)&word, 4, 0),
			 -EINVAL);
	assert_int_equal(via_file_pwrite(file, &n->m->tc.caller, (uint64_t)(uintptr_t)&word, 4, 0),
			 -EINVAL);
	assert_int_equal(
		via_file_mmap(file, &n->m->tc.caller, 0, PAGE, PROT_READ, MAP_SHARED, &map),
		-EINVAL);
	via_file_put(file);
	assert_int_equal(n->m->probes[2]->resets, 0);
}

static void test_case_152_attach_and_replace(void **state)
{
	struct nodes *n = *state;
	int iommufd = node_open(&n->s, "iommu"), fd = bound(n, 2, iommufd, NULL);
	uint32_t a = ioas_with(n, iommufd, 1), b = ioas_with(n, iommufd, 2), pt = 77;

	assert_false(can_read(n, fd, IOVA));
	assert_int_equal(attach_to(&n->s, fd, &pt), -ENOENT);
	pt = a;
	assert_int_equal(attach_to(&n->s, fd, &pt), 0);
	assert_true(can_read(n, fd, IOVA));
	assert_false(can_read(n, fd, IOVA + PAGE));
	pt = b;
	assert_int_equal(attach_to(&n->s, fd, &pt), 0);
	assert_true(can_read(n, fd, IOVA + PAGE));
	assert_int_equal(unmap_page(n, iommufd, b, IOVA), 0);
	assert_false(can_read(n, fd, IOVA));
	assert_int_equal(detach(&n->s, fd), 0);
	assert_false(can_read(n, fd, IOVA + PAGE));
	assert_int_equal(detach(&n->s, fd), 0);
}

static void test_case_154_iommufd_closed_before_the_device(void **state)
{
	struct nodes *n = *state;
	int iommufd = node_open(&n->s, "iommu"), fd = bound(n, 2, iommufd, NULL);
	uint32_t pt = ioas_with(n, iommufd, 1);

	assert_int_equal(attach_to(&n->s, fd, &pt), 0);
	node_close(&n->s, iommufd);
	assert_true(can_read(n, fd, IOVA));
	node_close(&n->s, fd);
	/* Free again, and reaches nothing any more. */
	iommufd = node_open(&n->s, "iommu");
	fd = bound(n, 2, iommufd, NULL);
	assert_false(can_read(n, fd, IOVA));
}

/*
 * Upper case: as PASID 0, lower case: without a PASID. A, B: attach to one of two
 * HWPTs, P: detach; '!': the one before is EBUSY. As a kernel has answered.
 */
static void test_the_device_itself_as_pasid_0(void **state)
{
	static const char calls[] = "ABApBP"
				    "aA!B!PbpAP"
				    "Aa!b!pa!P"
				    "abA!B!Pp"
				    "Apa!P";
	struct nodes *n = *state;
	int iommufd = node_open(&n->s, "iommu");
	uint32_t id, hwpts[2], ioas = ioas_new(&n->s, iommufd);
	int fd = bound(n, 2, iommufd, &id);

	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(hwpt_new(&n->s, iommufd, id, ioas, VIA_IOMMU_HWPT_ALLOC_PASID,
					  &hwpts[i]),
				 0);
	for (const char *c = calls; *c; c++) {
		uint32_t pt = hwpts[(*c & 31) == 2];
		long ret;

		if ((*c & 31) == 16)
			ret = *c == 'P' ? detach_pasid(&n->s, fd, 0) : detach(&n->s, fd);
		else
			ret = *c < 'a' ? attach_pasid(&n->s, fd, 0, &pt) : attach_to(&n->s, fd, &pt);
		assert_int_equal(ret, c[1] == '!' ? -EBUSY : 0);
		c += c[1] == '!';
	}
}

static void test_a_group_moves_as_a_whole(void **state)
{
	struct nodes *n = *state;
	int iommufd = node_open(&n->s, "iommu");
	int a = bound(n, 0, iommufd, NULL), b = bound(n, 1, iommufd, NULL);
	uint32_t one = ioas_with(n, iommufd, 1), two = ioas_with(n, iommufd, 2), pt = one;

	assert_int_equal(attach_to(&n->s, a, &pt), 0);
	/* Hardware does not tell them apart. */
	assert_true(can_read(n, b, IOVA));
	pt = one;
	assert_int_equal(attach_to(&n->s, b, &pt), 0);
	pt = two;
	assert_int_equal(attach_to(&n->s, a, &pt), 0);
	assert_true(can_read(n, b, IOVA + PAGE));
	node_close(&n->s, a);
	assert_true(can_read(n, b, IOVA + PAGE));
	/* Who comes later finds it there. */
	a = bound(n, 0, iommufd, NULL);
	assert_true(can_read(n, a, IOVA + PAGE));
	assert_int_equal(detach(&n->s, b), 0);
	assert_false(can_read(n, b, IOVA));
	assert_false(can_read(n, a, IOVA));
}

static void test_a_group_on_an_iommufd_reaches_memory(void **state)
{
	struct nodes *n = *state;
	int iommufd = node_open(&n->s, "iommu"), group = node_open(&n->s, n->s.group[2]), fd;

	assert_int_equal(set_container(&n->s, group, iommufd), 0);
	assert_int_equal(map_at(n->m, iommufd, IOVA), 0);
	fd = device(n->m, group, n->s.name[2]);
	assert_true(fd >= 0);
	assert_true(can_read(n, fd, IOVA));
	node_close(&n->s, group);
	node_close(&n->s, iommufd);
	assert_true(can_read(n, fd, IOVA));
	node_close(&n->s, fd);
	assert_int_equal(set_container(&n->s, node_open(&n->s, n->s.group[2]),
				       node_open(&n->s, "vfio/vfio")),
			 0);
}

/* Functions of one slot in groups of their own: each may belong to somebody else. */
static void test_hot_reset_of_what_is_not_owned(void **state)
{
	struct nodes *n = *state;
	int iommufd = node_open(&n->s, "iommu"), other = node_open(&n->s, "iommu"), a, b;
	struct hot_reset_info hot = {.info = {.argsz = sizeof(hot)}};

	n->m->probes[3] = nodes_add(n->m, "0000:05:00.0", 5);
	(void)nodes_add(n->m, "0000:05:00.1", 6);
	a = node_open(&n->s, "vfio/devices/vfio3");
	b = node_open(&n->s, "vfio/devices/vfio4");
	assert_int_equal(bind_to(&n->s, a, iommufd, NULL), 0);
	for (unsigned int round = 0; round < 2; round++) {
		assert_int_equal(call(&n->s, a, VIA_VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, &hot), 0);
		assert_int_equal(hot.info.flags, VIA_VFIO_PCI_HOT_RESET_FLAG_DEV_ID);
		assert_int_equal(hot.info.count, 2);
		assert_int_equal(hot.devices[0].group_id, 1);
		assert_int_equal((int)hot.devices[1].group_id, -1);
		n->m->probes[3]->resets = 0;
		assert_int_equal(hot_reset(&n->s, a, 0, 0), -EINVAL);
		assert_int_equal(n->m->probes[3]->resets, 0);
		/* Once nobody's, then somebody else's. */
		if (!round)
			assert_int_equal(bind_to(&n->s, b, other, NULL), 0);
	}
	node_close(&n->s, b);
	b = node_open(&n->s, "vfio/devices/vfio4");
	assert_int_equal(bind_to(&n->s, b, iommufd, NULL), 0);
	assert_int_equal(call(&n->s, a, VIA_VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, &hot), 0);
	assert_int_equal(hot.info.flags, VIA_VFIO_PCI_HOT_RESET_FLAG_DEV_ID |
						 VIA_VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED);
	assert_int_equal(hot.devices[1].group_id, 2);
	assert_int_equal(hot_reset(&n->s, a, 0, 0), 0);
	assert_int_equal(n->m->probes[3]->resets, 1);
}

/* Reset ------------------------------------------------------------------------- */

static struct nodes *resetting;
static int reset_fd;
static uint32_t reset_pt;
static long reset_attach, reset_detach;

static void attach_in_reset(struct via_device *dev, void *model, enum via_reset kind)
{
	uint32_t pt = reset_pt;

	(void)dev;
	(void)model;
	if (!resetting || kind == VIA_RESET_OPEN || kind == VIA_RESET_CLOSE)
		return;
	reset_attach = attach_to(&resetting->s, reset_fd, &pt);
	reset_detach = detach(&resetting->s, reset_fd);
}

static void test_nothing_attaches_to_a_device_in_reset(void **state)
{
	static struct via_device_ops ops;
	struct nodes *n = *state;
	struct via_pci_addr addr;
	struct via_device *dev;
	int iommufd = node_open(&n->s, "iommu");

	ops = writer_ops;
	ops.reset = attach_in_reset;
	assert_int_equal(via_pci_addr_parse("0000:04:00.0", &addr), 0);
	assert_int_equal(
		via_device_new(&probe_desc, &ops, calloc(1, sizeof(struct probe)), NULL, &dev), 0);
	assert_int_equal(via_vfio_add(n->m->vfio, dev, &addr, -1, NULL), 0);
	reset_fd = node_open(&n->s, "vfio/devices/vfio3");
	assert_int_equal(bind_to(&n->s, reset_fd, iommufd, NULL), 0);
	reset_pt = ioas_with(n, iommufd, 1);
	resetting = n;
	assert_int_equal(call(&n->s, reset_fd, VIA_VFIO_DEVICE_RESET, NULL), 0);
	assert_int_equal(reset_attach, -EBUSY);
	assert_int_equal(reset_detach, 0);
	reset_attach = 0;
	assert_int_equal(hot_reset(&n->s, reset_fd, 0, 0), 0);
	assert_int_equal(reset_attach, -EBUSY);
	resetting = NULL;
	assert_int_equal(attach_to(&n->s, reset_fd, &reset_pt), 0);
}

/* Many at once ------------------------------------------------------------------- */

static struct nodes *crowd;
static int crowd_iommufd;
static uint32_t crowd_ioas[2];

/* Opens, attaches, replaces, destroys and closes, in an order of its own. */
static void *person(void *arg)
{
	unsigned int seed = (unsigned int)(uintptr_t)arg;
	struct nodes *n = crowd;

	for (unsigned int i = 0; i < 300; i++) {
		unsigned int device = (unsigned int)rand_r(&seed) % 3;
		int fd = node_open(&n->s, n->s.cdev[device]);
		uint32_t id, pt, hwpt;

		if (fd < 0)
			continue;
		if (bind_to(&n->s, fd, crowd_iommufd, &id) == 0) {
			for (unsigned int j = 0; j < 4; j++) {
				pt = crowd_ioas[(unsigned int)rand_r(&seed) % 2];
				if (attach_to(&n->s, fd, &pt) == 0)
					(void)destroy(&n->s, crowd_iommufd, pt);
				(void)region_write(n->m, fd, 0, 0, IOVA, 4);
				if (hwpt_new(&n->s, crowd_iommufd, id, crowd_ioas[j % 2], 0,
					     &hwpt) == 0)
					(void)destroy(&n->s, crowd_iommufd, hwpt);
				if (rand_r(&seed) % 2)
					(void)detach(&n->s, fd);
			}
		}
		node_close(&n->s, fd);
	}
	return NULL;
}

static void test_many_at_once(void **state)
{
	struct nodes *n = *state;
	pthread_t threads[4];

	crowd = n;
	crowd_iommufd = node_open(&n->s, "iommu");
	crowd_ioas[0] = ioas_with(n, crowd_iommufd, 2);
	crowd_ioas[1] = ioas_with(n, crowd_iommufd, 3);
	for (uintptr_t i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, person, (void *)(i + 1)), 0);
	for (size_t i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(destroy(&n->s, crowd_iommufd, crowd_ioas[0]), 0);
	assert_int_equal(destroy(&n->s, crowd_iommufd, crowd_ioas[1]), 0);
	/* The lowest number is free: nobody has left anything. */
	assert_int_equal(ioas_new(&n->s, crowd_iommufd), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LINUX(test_as_a_kernel_answers),
		FULL(test_case_151_before_bind),
		FULL(test_case_152_attach_and_replace),
		FULL(test_case_154_iommufd_closed_before_the_device),
		FULL(test_the_device_itself_as_pasid_0),
		FULL(test_a_group_moves_as_a_whole),
		FULL(test_a_group_on_an_iommufd_reaches_memory),
		FULL(test_hot_reset_of_what_is_not_owned),
		FULL(test_nothing_attaches_to_a_device_in_reset),
		FULL(test_many_at_once),
	};

	return cmocka_run_group_tests_name("VFIO device nodes", tests, NULL, NULL);
}
