/* SPDX-License-Identifier: MIT */
/*
 * Writes to sriov_numvfs through the door, and what programs find in their sysfs
 * afterwards. The errnos are those of Linux 7.2 with an igb on vfio-pci.
 */
#include "host/local.h"

#include "device/device.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define PF "sys/devices/pci0000:00/0000:00:03.0/"
#define VF0 "sys/devices/pci0000:00/0000:00:13.0/"
#define VF1 "sys/devices/pci0000:00/0000:00:13.2/"
#define NUMVFS "sysfs/0000:00:03.0/sriov_numvfs"

struct fixture {
	struct via_host *host;
	char dir[32];
	int root; /* has sys/ and dev/ */
	struct via_door_reply reply;
	uint8_t data[VIA_DOOR_DATA_SIZE];
	int reply_fd;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct via_error err = {0};
	int sys, root;

	assert_non_null(f);
	assert_int_equal(via_host_new(NULL, &f->host), 0);
	if (via_host_add_device(f->host, "sriov,group=4", &err))
		fail_msg("%s", err.text);
	assert_int_equal(via_host_add_device(f->host, "edu", &err), 0);
	strcpy(f->dir, "/tmp/viaduct-vfs-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->root = open(f->dir, O_RDONLY | O_DIRECTORY);
	assert_int_equal(mkdirat(f->root, "sys", 0755), 0);
	assert_int_equal(mkdirat(f->root, "dev", 0755), 0);
	assert_int_equal(mkdirat(f->root, "dev/vfio", 0755), 0);
	sys = openat(f->root, "sys", O_RDONLY | O_DIRECTORY);
	root = fcntl(f->root, F_DUPFD, 0);
	assert_int_equal(via_host_sysfs(f->host, sys, &err), 0);
	assert_int_equal(via_host_view(f->host, sys, root), 0);
	*state = f;
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	via_host_free(f->host);
	close(f->root);
	assert_int_equal(nftw(f->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
	free(f);
	return 0;
}

static int64_t call(struct fixture *f, uint32_t op, int64_t id, uint64_t a, uint64_t b, uint64_t c,
		    uint64_t d)
{
	struct via_door_request request = {.op = op, .id = (uint64_t)id, .arg = {a, b, c, d}};

	return via_host_local_call(f->host, &request, f->data, -1, &f->reply, &f->reply_fd);
}

static int64_t open_node(struct fixture *f, const char *node, int flags, int *ret_fd)
{
	int64_t id;

	memcpy(f->data, node, strlen(node));
	id = call(f, VIA_DOOR_OPEN, 0, strlen(node), (uint64_t)flags, 0, 0);
	*ret_fd = f->reply_fd;
	return id;
}

static int64_t put(struct fixture *f, int64_t id, const char *text)
{
	return call(f, VIA_DOOR_PWRITE, id, (uintptr_t)text, strlen(text), 0, 1);
}

static void assert_text(struct fixture *f, const char *path, const char *text)
{
	int fd = openat(f->root, path, O_RDONLY);
	char buf[2048];
	ssize_t n;

	if (fd < 0)
		fail_msg("no %s", path);
	n = read(fd, buf, sizeof(buf) - 1);
	assert_true(n >= 0);
	buf[n] = '\0';
	close(fd);
	assert_string_equal(buf, text);
}

static void assert_link(struct fixture *f, const char *path, const char *text)
{
	char buf[128];
	ssize_t n = readlinkat(f->root, path, buf, sizeof(buf) - 1);

	if (n < 0)
		fail_msg("no %s", path);
	buf[n] = '\0';
	assert_string_equal(buf, text);
}

static bool there(struct fixture *f, const char *path)
{
	return faccessat(f->root, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void numbers(void **state)
{
	static const struct {
		const char *text;
		int64_t ret;
		const char *value;
	} rows[] = {
		{"0", 1, "0\n"},	{"", 0, "0\n"},		  {"\n", -EINVAL, "0\n"},
		{" ", -EINVAL, "0\n"},	{"abc", -EINVAL, "0\n"},  {"-1", -EINVAL, "0\n"},
		{"9", -ERANGE, "0\n"},	{"65535", -ERANGE, "0\n"}, {"65536", -EINVAL, "0\n"},
		{"99999999999", -EINVAL, "0\n"}, {"0x", -EINVAL, "0\n"},
		{"0x2", 3, "2\n"},	{"010", -EBUSY, "2\n"},	  {"2", 1, "2\n"},
		{"2\n", 2, "2\n"},	{"2\n\n", -EINVAL, "2\n"}, {" 2", -EINVAL, "2\n"},
		{"2 ", -EINVAL, "2\n"},	{"3", -EBUSY, "2\n"},	  {"+2", 2, "2\n"},
		{"0\n", 2, "0\n"},	{"+2", 2, "2\n"},	  {"0", 1, "0\n"},
		{"2x", -EINVAL, "0\n"},	{"08", -EINVAL, "0\n"},	  {"07", 2, "7\n"},
		{"7", 1, "7\n"},	{"6", -EBUSY, "7\n"},	  {"x", -EINVAL, "7\n"},
		{"0X0", 3, "0\n"},	{"010", 3, "8\n"},	  {"00", 2, "0\n"},
	};
	struct fixture *f = *state;
	int fd;
	int64_t id = open_node(f, NUMVFS, O_WRONLY, &fd);
	char *page = calloc(1, 5001);

	assert_true(id > 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int64_t ret = put(f, id, rows[i].text);

		if (ret != rows[i].ret)
			fail_msg("'%s': %ld", rows[i].text, (long)ret);
		assert_text(f, PF "sriov_numvfs", rows[i].value);
	}
	/* A page at most, and a NUL ends the text. */
	memset(page, '0', 5000);
	assert_int_equal(put(f, id, page), 4096);
	assert_int_equal(call(f, VIA_DOOR_PWRITE, id, (uintptr_t) "0\0x", 3, 0, 1), 3);
	assert_int_equal(call(f, VIA_DOOR_PWRITE, id, 8, 1, 0, 1), -EFAULT);
	assert_int_equal(call(f, VIA_DOOR_PREAD, id, (uintptr_t)page, 8, 0, 1), -EBADF);
	assert_int_equal(call(f, VIA_DOOR_IOCTL, id, 0x3b64, 0, 0, 0), -ENOTTY);
	close(fd);
	free(page);
}

static void opens(void **state)
{
	struct fixture *f = *state;
	char text[8] = "";
	int64_t id;
	int fd;

	assert_int_equal(open_node(f, NUMVFS, O_RDONLY, &fd), -ENOENT);
	assert_int_equal(open_node(f, "sysfs/0000:00:04.0/sriov_numvfs", O_RDWR, &fd), -ENOENT);
	assert_int_equal(open_node(f, "sysfs/0000:00:03.0/vendor", O_RDWR, &fd), -ENOENT);
	assert_int_equal(open_node(f, "sysfs/sriov_numvfs", O_RDWR, &fd), -ENOENT);
	assert_int_equal(open_node(f, "sysfs/", O_RDWR, &fd), -ENOENT);
	assert_int_equal(open_node(f, "sysfs/0000:00:03.0000000000/sriov_numvfs", O_RDWR, &fd),
			 -ENOENT);
	id = open_node(f, NUMVFS, O_RDWR, &fd);
	assert_int_equal(put(f, id, "3"), 1);
	assert_int_equal(call(f, VIA_DOOR_PREAD, id, (uintptr_t)text, 7, 0, 0), 2);
	assert_string_equal(text, "3\n");
	assert_int_equal(call(f, VIA_DOOR_PREAD, id, (uintptr_t)text, 7, 2, 0), 0);
	/* A virtual function is no physical one. */
	assert_int_equal(open_node(f, "sysfs/0000:00:13.0/sriov_numvfs", O_RDWR, &fd), -ENOENT);
	close(fd);
}

static void autoprobe(void **state)
{
	struct fixture *f = *state;
	int fd;
	int64_t id = open_node(f, "sysfs/0000:00:03.0/sriov_drivers_autoprobe", O_WRONLY, &fd);

	assert_int_equal(put(f, id, "2"), -EINVAL);
	assert_int_equal(put(f, id, "x"), -EINVAL);
	assert_int_equal(put(f, id, "0"), 1);
	assert_text(f, PF "sriov_drivers_autoprobe", "0\n");
	assert_int_equal(put(f, id, "on"), 2);
	assert_text(f, PF "sriov_drivers_autoprobe", "1\n");
	assert_int_equal(put(f, id, "Off"), 3);
	assert_text(f, PF "sriov_drivers_autoprobe", "0\n");
	close(fd);
}

static void tree(void **state)
{
	struct fixture *f = *state;
	int fd;
	int64_t id = open_node(f, NUMVFS, O_WRONLY, &fd);
	uint8_t config[4096];
	struct stat st;

	assert_text(f, PF "sriov_totalvfs", "8\n");
	assert_text(f, PF "sriov_offset", "128\n");
	assert_text(f, PF "sriov_stride", "2\n");
	assert_text(f, PF "sriov_vf_device", "5f11\n");
	assert_false(there(f, "sys/devices/pci0000:00/0000:00:04.0/sriov_numvfs"));
	assert_int_equal(put(f, id, "2"), 1);
	assert_link(f, PF "virtfn0", "../0000:00:13.0");
	assert_link(f, PF "virtfn1", "../0000:00:13.2");
	assert_false(there(f, PF "virtfn2"));
	assert_link(f, VF0 "physfn", "../0000:00:03.0");
	assert_link(f, VF0 "driver", "../../../bus/pci/drivers/vfio-pci");
	assert_link(f, VF0 "iommu_group", "../../../kernel/iommu_groups/1");
	assert_link(f, VF1 "iommu_group", "../../../kernel/iommu_groups/2");
	assert_text(f, VF0 "vendor", "0x1234\n");
	assert_text(f, VF0 "device", "0x5f11\n");
	assert_text(f, VF0 "irq", "0\n");
	assert_text(f, VF0 "driver_override", "vfio-pci\n");
	assert_text(f, VF0 "ari_enabled", "1\n");
	assert_true(there(f, VF0 "sriov_vf_msix_count"));
	assert_false(there(f, VF0 "sriov_numvfs"));
	assert_text(f, "sys/class/vfio/2/dev", "247:2\n");
	assert_text(f, "sys/bus/pci/devices/0000:00:13.2/irq", "0\n");
	assert_true(there(f, "sys/bus/pci/drivers/vfio-pci/0000:00:13.2"));
	assert_true(there(f, "sys/kernel/iommu_groups/2/devices/0000:00:13.2"));
	assert_true(there(f, "sys/class/iommu/dmar0/devices/0000:00:13.2"));
	assert_int_equal(fstatat(f->root, "dev/vfio/devices/vfio2", &st, 0), 0);
	assert_text(f, "sys/class/vfio-dev/vfio2/dev", "511:2\n");
	assert_int_equal(fstatat(f->root, "dev/vfio/2", &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0666);

	/* What the hardware answers: no ids, no addresses. */
	fd = openat(f->root, VF0 "config", O_RDONLY);
	assert_int_equal(read(fd, config, sizeof(config)), sizeof(config));
	close(fd);
	assert_int_equal(via_get_le32(config), 0xffffffff);
	assert_int_equal(via_get_le32(config + 0x10), 0);
	/* And of the physical function that it has two. */
	fd = openat(f->root, PF "config", O_RDONLY);
	assert_int_equal(read(fd, config, sizeof(config)), sizeof(config));
	close(fd);
	assert_int_equal(via_get_le32(config + 0x140), 0x00010010);
	assert_int_equal(via_get_le16(config + 0x148), 0x19);
	assert_int_equal(via_get_le16(config + 0x150), 2);

	assert_int_equal(put(f, id, "0"), 1);
	assert_false(there(f, PF "virtfn0"));
	assert_false(there(f, VF0));
	assert_false(there(f, VF1));
	assert_false(there(f, "sys/bus/pci/devices/0000:00:13.2"));
	assert_false(there(f, "sys/bus/pci/drivers/vfio-pci/0000:00:13.2"));
	assert_false(there(f, "sys/kernel/iommu_groups/2"));
	assert_false(there(f, "sys/class/iommu/dmar0/devices/0000:00:13.2"));
	assert_false(there(f, "sys/class/vfio/2"));
	assert_false(there(f, "dev/vfio/2"));
	assert_false(there(f, "dev/vfio/devices/vfio2"));
	assert_false(there(f, "sys/class/vfio-dev/vfio2"));
	assert_true(there(f, "sys/class/vfio/4"));
}

/* Each has its part of the window that the physical function shows. */
static void windows(void **state)
{
	unsigned long long start[2][2], end[2][2], flags, pf_start = 0, pf_end = 0;
	struct fixture *f = *state;
	char text[2048];
	int fd;
	int64_t id = open_node(f, NUMVFS, O_WRONLY, &fd);

	assert_int_equal(put(f, id, "8"), 1);
	for (int i = 0; i < 2; i++) {
		int file = openat(f->root, i ? VF1 "resource" : VF0 "resource", O_RDONLY);

		text[read(file, text, sizeof(text) - 1)] = '\0';
		close(file);
		assert_int_equal(sscanf(text, "%llx %llx %llx", &start[i][0], &end[i][0], &flags),
				 3);
		assert_int_equal(flags, 0x14220c);
		assert_int_equal(sscanf(text + 3 * 57, "%llx %llx", &start[i][1], &end[i][1]), 2);
		for (int bar = 0; bar < 2; bar++)
			assert_int_equal(end[i][bar] - start[i][bar], 0x3fff);
	}
	assert_int_equal(start[1][0], end[0][0] + 1);
	assert_int_equal(start[1][1], end[0][1] + 1);
	id = openat(f->root, PF "resource", O_RDONLY);
	text[read((int)id, text, sizeof(text) - 1)] = '\0';
	close((int)id);
	assert_int_equal(sscanf(text + 7 * 57, "%llx %llx", &pf_start, &pf_end), 2);
	assert_int_equal(pf_start, start[0][0]);
	assert_int_equal(pf_end - pf_start, 8 * 0x4000 - 1);
	close(fd);
}

/* What stdio writes goes to the descriptor itself, and is asked about afterwards. */
static void messages(void **state)
{
	struct fixture *f = *state;
	char text[8] = "";
	int fd, other;
	int64_t id = open_node(f, NUMVFS, O_RDWR, &fd);

	assert_int_equal(write(fd, "2\n", 2), 2);
	assert_int_equal(call(f, VIA_DOOR_FLUSH, id, 0, 0, 0, 0), 0);
	assert_text(f, PF "sriov_numvfs", "2\n");
	assert_int_equal(write(fd, "3\n", 2), 2);
	assert_int_equal(write(fd, "x\n", 2), 2);
	assert_int_equal(call(f, VIA_DOOR_FLUSH, id, 0, 0, 0, 0), -EBUSY);
	assert_int_equal(call(f, VIA_DOOR_FLUSH, id, 0, 0, 0, 0), 0);
	/* Any call that sees closes sees these too. */
	assert_int_equal(write(fd, "0\n", 2), 2);
	assert_int_equal(call(f, VIA_DOOR_SYNC, 0, 0, 0, 0, 0), 0);
	assert_text(f, PF "sriov_numvfs", "0\n");
	/* And the last words of who closes it. */
	for (int i = 0; i < 30; i++)
		assert_int_equal(write(fd, i % 2 ? "0" : "1", 1), 1);
	assert_int_equal(write(fd, "5\n", 2), 2);
	close(fd);
	assert_int_equal(call(f, VIA_DOOR_SYNC, 0, 0, 0, 0, 0), 0);
	assert_text(f, PF "sriov_numvfs", "5\n");
	assert_int_equal(call(f, VIA_DOOR_FLUSH, id, 0, 0, 0, 0), -ESTALE);
	/* Read so, there is the value of when it was opened. */
	id = open_node(f, NUMVFS, O_RDWR, &other);
	assert_int_equal(read(other, text, sizeof(text)), 2);
	assert_string_equal(text, "5\n");
	assert_int_equal(read(other, text, sizeof(text)), 0);
	close(other);
}

/* The program has the tree too: no link that it puts there is followed. */
static void hostile_tree(void **state)
{
	struct fixture *f = *state;
	int fd;
	int64_t id = open_node(f, NUMVFS, O_WRONLY, &fd);

	assert_int_equal(mkdirat(f->root, "elsewhere", 0755), 0);
	assert_int_equal(renameat(f->root, "sys/class/vfio", f->root, "sys/class/moved"), 0);
	assert_int_equal(symlinkat("../../elsewhere", f->root, "sys/class/vfio"), 0);
	assert_int_equal(put(f, id, "2"), -ENOTDIR);
	assert_false(there(f, "elsewhere/1"));
	assert_false(there(f, VF0));
	assert_text(f, PF "sriov_numvfs", "0\n");
	assert_int_equal(unlinkat(f->root, "sys/class/vfio", 0), 0);
	assert_int_equal(renameat(f->root, "sys/class/moved", f->root, "sys/class/vfio"), 0);
	assert_int_equal(put(f, id, "2"), 1);
	/* What it adds goes with the rest, what it takes away is missed by nobody. */
	assert_int_equal(mkdirat(f->root, VF0 "more", 0755), 0);
	assert_int_equal(mkdirat(f->root, VF0 "more/and", 0755), 0);
	assert_int_equal(symlinkat("../../../../elsewhere", f->root, VF0 "more/out"), 0);
	assert_int_equal(unlinkat(f->root, VF0 "driver", 0), 0);
	assert_int_equal(unlinkat(f->root, PF "virtfn1", 0), 0);
	assert_int_equal(put(f, id, "0"), 1);
	assert_false(there(f, VF0));
	assert_true(there(f, "elsewhere"));
	/* In its way, files are an error. */
	assert_int_equal(mkdirat(f->root, "dev/vfio/2", 0755), 0);
	assert_int_equal(put(f, id, "2"), -EEXIST);
	assert_false(there(f, "dev/vfio/1"));
	assert_text(f, PF "sriov_numvfs", "0\n");
	close(fd);
}

static void addresses(void **state)
{
	struct fixture *f = *state;
	struct via_error err = {0};
	char text[VIA_PCI_ADDR_LEN];
	struct via_device *dev;
	unsigned int n = 0;

	/* The second goes where its virtual functions are in nobody's way. */
	assert_int_equal(via_host_add_device(f->host, "sriov", &err), 0);
	assert_int_equal(via_host_add_device(f->host, "edu", &err), 0);
	assert_int_equal(via_host_add_device(f->host, "edu,addr=0000:00:13.4", &err), -EEXIST);
	for (; (dev = via_vfio_device(via_host_vfio(f->host), n)); n++) {
		static const char *const expected[] = {"0000:00:03.0", "0000:00:04.0",
						       "0000:00:05.0", "0000:00:06.0"};

		via_pci_addr_format(via_device_addr(dev), text);
		assert_string_equal(text, expected[n]);
	}
	assert_int_equal(n, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(numbers, setup, teardown),
		cmocka_unit_test_setup_teardown(opens, setup, teardown),
		cmocka_unit_test_setup_teardown(autoprobe, setup, teardown),
		cmocka_unit_test_setup_teardown(tree, setup, teardown),
		cmocka_unit_test_setup_teardown(windows, setup, teardown),
		cmocka_unit_test_setup_teardown(messages, setup, teardown),
		cmocka_unit_test_setup_teardown(hostile_tree, setup, teardown),
		cmocka_unit_test_setup_teardown(addresses, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
