/* SPDX-License-Identifier: MIT */
/* The tree that programs see as /sys, beside what Linux 7.2 prints for QEMU's edu device. */
#include "host/host.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define EDU "devices/pci0000:00/0000:00:03.0/"

struct fixture {
	struct via_host *host;
	char dir[32];
	int fd;
};

static int setup(void **state)
{
	struct via_vfio_config config = {.profile = VIA_PROFILE_FULL};
	struct fixture *f = calloc(1, sizeof(*f));
	struct via_error err = {0};

	assert_non_null(f);
	assert_int_equal(via_host_new(&config, &f->host), 0);
	assert_int_equal(via_host_add_device(f->host, "edu", &err), 0);
	assert_int_equal(via_host_add_device(f->host, "edu,group=7,addr=0001:02:1f.7", &err), 0);
	strcpy(f->dir, "/tmp/viaduct-sysfs-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->fd = open(f->dir, O_RDONLY | O_DIRECTORY);
	assert_true(f->fd >= 0);
	assert_int_equal(via_host_sysfs(f->host, f->fd, &err), 0);
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

	close(f->fd);
	assert_int_equal(nftw(f->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
	via_host_free(f->host);
	free(f);
	return 0;
}

static size_t read_file(struct fixture *f, const char *path, void *buf, size_t size)
{
	int fd = openat(f->fd, path, O_RDONLY);
	ssize_t n;

	if (fd < 0)
		fail_msg("no %s", path);
	n = read(fd, buf, size);
	assert_true(n >= 0);
	close(fd);
	return (size_t)n;
}

static void assert_text(struct fixture *f, const char *path, const char *text)
{
	char buf[2048];

	buf[read_file(f, path, buf, sizeof(buf) - 1)] = '\0';
	assert_string_equal(buf, text);
}

/* Both names lead to the same file. */
static void assert_same(struct fixture *f, const char *a, const char *b)
{
	struct stat st_a, st_b;

	if (fstatat(f->fd, a, &st_a, 0) || fstatat(f->fd, b, &st_b, 0))
		fail_msg("%s or %s is missing", a, b);
	assert_int_equal(st_a.st_ino, st_b.st_ino);
}

static void prints_as_the_kernel(void **state)
{
	struct fixture *f = *state;

	assert_text(f, EDU "vendor", "0x1234\n");
	assert_text(f, EDU "device", "0x11e8\n");
	assert_text(f, EDU "subsystem_vendor", "0x1af4\n");
	assert_text(f, EDU "subsystem_device", "0x1100\n");
	assert_text(f, EDU "class", "0x00ff00\n");
	assert_text(f, EDU "revision", "0x10\n");
	assert_text(f, EDU "numa_node", "-1\n");
	assert_text(f, EDU "modalias", "pci:v00001234d000011E8sv00001AF4sd00001100bc00scFFi00\n");
	assert_text(f, EDU "uevent",
		    "DRIVER=vfio-pci\nPCI_CLASS=FF00\nPCI_ID=1234:11E8\nPCI_SUBSYS_ID=1AF4:1100\n"
		    "PCI_SLOT_NAME=0000:00:03.0\n"
		    "MODALIAS=pci:v00001234d000011E8sv00001AF4sd00001100bc00scFFi00\n");
	assert_text(f, EDU "vfio-dev/vfio0/dev", "511:0\n");
	assert_text(f, EDU "vfio-dev/vfio0/uevent",
		    "MAJOR=511\nMINOR=0\nDEVNAME=vfio/devices/vfio0\n");
	assert_text(f, "kernel/iommu_groups/7/type", "DMA\n");
	assert_text(f, "kernel/iommu_groups/7/reserved_regions",
		    "0x00000000fee00000 0x00000000feefffff msi\n");
	assert_text(f, "class/iommu/dmar0/intel-iommu/cap", "80d2008c222f0686\n");
	assert_text(f, "module/vfio/parameters/enable_unsafe_noiommu_mode", "N\n");
	assert_text(f, "module/vfio_iommu_type1/parameters/dma_entry_limit", "65535\n");
}

static void entry_limit_is_shown(void **state)
{
	const struct via_vfio_config config = {.dma_entry_limit = 12};
	char dir[] = "/tmp/viaduct-sysfs-XXXXXX";
	struct via_error err = {0};
	struct fixture f = {0};

	assert_int_equal(via_host_new(&config, &f.host), 0);
	assert_non_null(mkdtemp(dir));
	f.fd = open(dir, O_RDONLY | O_DIRECTORY);
	assert_int_equal(via_host_sysfs(f.host, f.fd, &err), 0);
	assert_text(&f, "module/vfio_iommu_type1/parameters/dma_entry_limit", "12\n");
	close(f.fd);
	assert_int_equal(nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
	via_host_free(f.host);
}

static void tells_where_the_bars_are(void **state)
{
	unsigned long long start, end, flags;
	struct fixture *f = *state;
	uint8_t config[4096];
	char text[2048];

	/* 13 lines of three numbers. */
	text[read_file(f, EDU "resource", text, sizeof(text) - 1)] = '\0';
	assert_int_equal(strlen(text), 13 * 57);
	assert_int_equal(sscanf(text, "%llx %llx %llx", &start, &end, &flags), 3);
	assert_true(start && start % 0x100000 == 0);
	assert_int_equal(end, start + 0xfffff);
	assert_int_equal(flags, 0x40200);
	assert_int_equal(read_file(f, EDU "config", config, sizeof(config)), 256);
	assert_int_equal(via_get_le32(config), 0x11e81234);
	assert_int_equal(via_get_le32(config + 0x10), start);
	/* The second device has addresses of its own. */
	read_file(f, "devices/pci0001:02/0001:02:1f.7/config", config, sizeof(config));
	assert_true(via_get_le32(config + 0x10) > end);
}

static void leads_everywhere(void **state)
{
	struct fixture *f = *state;
	char path[PATH_MAX], *real;

	assert_same(f, "bus/pci/devices/0000:00:03.0", EDU);
	assert_same(f, "bus/pci/drivers/vfio-pci/0000:00:03.0", EDU);
	assert_same(f, "kernel/iommu_groups/7/devices/0001:02:1f.7",
		    "bus/pci/devices/0001:02:1f.7");
	assert_same(f, "class/iommu/dmar0/devices/0000:00:03.0", EDU);
	assert_same(f, EDU "driver/module", "module/vfio_pci");
	assert_same(f, "module/vfio_pci/drivers/pci:vfio-pci", "bus/pci/drivers/vfio-pci");
	assert_same(f, EDU "iommu/intel-iommu", "class/iommu/dmar0/intel-iommu");
	assert_same(f, "bus/pci/devices/0001:02:1f.7/iommu_group", "kernel/iommu_groups/7");
	assert_same(f, EDU "vfio-dev/vfio0/device", EDU);
	assert_same(f, "class/vfio-dev/vfio1", "devices/pci0001:02/0001:02:1f.7/vfio-dev/vfio1");
	assert_same(f, "class/vfio-dev/vfio0/subsystem", "class/vfio-dev");
	/* QEMU takes the last part of where this leads. */
	snprintf(path, sizeof(path), "%s/bus/pci/devices/0000:00:03.0/subsystem", f->dir);
	real = realpath(path, NULL);
	assert_non_null(real);
	assert_string_equal(strrchr(real, '/'), "/pci");
	free(real);
}

static void says_what_went_wrong(void **state)
{
	struct fixture *f = *state;
	struct via_error err = {0};

	/* Everything is there already. */
	assert_int_equal(via_host_sysfs(f->host, f->fd, &err), -EEXIST);
	assert_non_null(strstr(err.text, "bus/pci/drivers/vfio-pci/bind"));
}

static void reports_what_happened(void **state)
{
	struct fixture *f = *state;
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	via_host_report(f->host, out);
	fclose(out);
	assert_non_null(strstr(text, "0000:00:03.0 edu [1234:11e8]"));
	assert_non_null(strstr(text, "0001:02:1f.7 edu [1234:11e8], group 7"));
	/* What the tree needed is not the programs' doing. */
	assert_non_null(strstr(text, "config space  0 reads, 0 writes"));
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(prints_as_the_kernel),
		cmocka_unit_test(entry_limit_is_shown),
		cmocka_unit_test(tells_where_the_bars_are),
		cmocka_unit_test(leads_everywhere),
		cmocka_unit_test(says_what_went_wrong),
		cmocka_unit_test(reports_what_happened),
	};

	return cmocka_run_group_tests_name("sysfs and report", tests, setup, teardown);
}
