/* SPDX-License-Identifier: MIT */
/* MAP, MAP_FILE, COPY, UNMAP and the ranges of an IOAS (spec iommu.md 2.6, 11.2). */
#include "vfio/iommufd/test-iommufd.h"

#include <linux/magic.h>
#include <stdio.h>
#include <sys/statfs.h>
#include <sys/syscall.h>

/* There is no dma-buf of a kernel driver here: while this is set, memfds look like it. */
static bool foreign;

int fstatfs(int fd, struct statfs *fs)
{
	const int ret = (int)syscall(SYS_fstatfs, fd, fs);

	if (!ret && foreign && fs->f_type == TMPFS_MAGIC)
		fs->f_type = 0x444d4142;
	return ret;
}

static void test_case_11_18_chosen_iova(void **state)
{
	struct bench *b = *state;
	uint64_t iova = 0;
	uint32_t id = ioas_new(b);
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_int_equal(map_at(b, id, F, VA, PAGE, 0), 0);
	assert_int_equal(unmap(b, id, 0, PAGE), 0);
	assert_int_equal(map_auto(b, id, VA + 0x1000, 0x1000), 0x1000);
	id = ioas_new(b);
	assert_int_equal(map_auto(b, id, VA + 0x1234, 0x1000), 0x1234);
	id = ioas_new(b);
	assert_int_equal(map_auto(b, id, VA + 0x200000, 0x300000), 0x200000);
	id = ioas_new(b);
	assert_int_equal(map_file(b, id, RW, fd, 0, 0x5000, &iova), 0);
	assert_int_equal(iova, 0x8000);
	close(fd);
	id = ioas_new(b);
	assert_int_equal(map_at(b, id, F, VA, PAGE, 0x2000), 0);
	assert_int_equal(map_auto(b, id, VA + 0x2000, 0x2000), 0x4000);
	id = ioas_new(b);
	assert_int_equal(map_auto(b, id, VA + 0x1000, 0x3000), 0x1000);
	assert_int_equal(map_auto(b, id, VA + 0x4000, 0x3000), 0x4000);
}

static void test_case_19_20_allowed(void **state)
{
	const struct via_iommu_iova_range page = {0x10000, 0x10fff}, less = {0x10000, 0x10ffe};
	struct bench *b = *state;
	const uint32_t id = ioas_new(b);

	assert_int_equal(allow(b, id, &page, 1), 0);
	assert_int_equal(map_auto(b, id, VA, PAGE), 0x10000);
	assert_int_equal(map_auto(b, id, VA, PAGE), -ENOSPC);
	/* Case 36: only what is chosen is restricted. */
	assert_int_equal(map_at(b, id, F, VA, PAGE, 0x40000), 0);
	assert_int_equal(unmap(b, id, 0x10000, PAGE), 0);
	assert_int_equal(allow(b, id, &less, 1), 0);
	assert_int_equal(map_auto(b, id, VA, PAGE), -ENOSPC);
	assert_int_equal(allow(b, id, NULL, 0), 0);
	assert_int_equal(map_auto(b, id, VA + PAGE, PAGE), 0x1000);
}

static void test_case_21_25_chosen_iova(void **state)
{
	struct bench *b = *state;
	uint32_t id = ioas_new(b);

	assert_int_equal(map_at(b, id, F, VA, 1, 0x1003), 0);
	assert_int_equal(map_auto(b, id, VA + 0x1003, 1), 0x1007);
	id = ioas_new(b);
	assert_int_equal(via_ioas_reserve(inside(b, id), 6, 6 + (0xffffffffffff8001 - 1), b), 0);
	assert_int_equal(map_auto(b, id, VA + 0x200000, 0x5000), -ENOSPC);
	id = ioas_new(b);
	assert_int_equal(map_at(b, id, F, VA, PAGE, 0x200000), 0);
	assert_int_equal(map_auto(b, id, VA + 0x200000, 0x200000), 0x400000);

	id = dom(b);
	assert_int_equal(map_auto(b, id, addr(b->memory) + 0x1400, 0x800), -EINVAL);
	assert_int_equal(map_auto(b, id, addr(b->memory) + 0x1800, 0x800), LOW + 0x800);
	assert_int_equal(map_auto(b, id, addr(b->memory) + 0x1800, 0x800), LOW + 0x1800);
	assert_int_equal(map_auto(b, id, addr(b->memory), PAGE), LOW + 0x2000);
}

static void test_case_15_largest_alignment(void **state)
{
	const uint64_t size = 0x40000000;
	struct bench *b = *state;
	const uint32_t id = dom(b);
	uint8_t *memory = mmap(NULL, size + 0x200000, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	assert_ptr_not_equal(memory, MAP_FAILED);
	assert_int_equal(map_auto(b, id, (addr(memory) + 0x1fffff) & ~0x1fffffull, size), LOW);
	assert_int_equal(unmap(b, id, LOW, size), 0);
	munmap(memory, size + 0x200000);
}

static void test_case_26_31_map_errors(void **state)
{
	struct via_iommu_ioas_map cmd = {.size = sizeof(cmd), .flags = F, .reserved = 1};
	struct bench *b = *state;
	const uint32_t id = ioas_new(b);

	assert_int_equal(ioc(b, VIA_IOMMU_IOAS_MAP, &cmd), -EOPNOTSUPP);
	assert_int_equal(map_at(b, id, F, VA, 0, 0), -EINVAL);
	assert_int_equal(map_at(b, id, F, VA, MAX, 0), -EOVERFLOW);
	assert_int_equal(map_at(b, id, RW, VA, PAGE, MAX), -EOVERFLOW);
	assert_int_equal(map_at(b, id, F | 8, VA, PAGE, MAX), -EOPNOTSUPP);
	assert_int_equal(map_at(b, id, FIXED, VA, PAGE, 0), -EINVAL);
	assert_int_equal(map_at(b, 999, FIXED, VA, PAGE, 0), -EINVAL);
	assert_int_equal(map_at(b, 999, F, MAX, PAGE, 0), -ENOENT);
	assert_int_equal(map_at(b, id, F, -(uint64_t)PAGE, PAGE, 0), -EOVERFLOW);
	assert_int_equal(map_at(b, id, F, VA, PAGE, -(uint64_t)PAGE), 0);
	assert_int_equal(map_at(b, id, F, VA, 2 * PAGE, -(uint64_t)PAGE), -EOVERFLOW);
	assert_int_equal(map_at(b, id, F, 0, MAX - 100, 0), -EINVAL);

	assert_int_equal(map_at(b, id, F, VA, 0x2000, 0x1000), 0);
	assert_int_equal(map_at(b, id, F, VA, 1, 0x2fff), -EEXIST);
	assert_int_equal(map_at(b, id, F, VA, 1, 0x3000), 0);
	assert_int_equal(via_ioas_reserve(inside(b, id), 0x10000, 0x1ffff, b), 0);
	assert_int_equal(map_at(b, id, F, VA, PAGE, 0x11000), -EINVAL);
	assert_int_equal(map_at(b, id, F, VA, 0x20000, 0x2000), -EINVAL);
}

static void test_case_32_34_attach_later(void **state)
{
	struct bench *b = *state;
	uint32_t id = ioas_new(b);
	void *hole = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_int_equal(map_at(b, id, F, addr(b->memory), 0x801, LOW), 0);
	assert_int_equal(attach(b, 0, id), -EADDRINUSE);
	assert_int_equal(unmap(b, id, LOW, 0x801), 0);
	assert_int_equal(map_at(b, id, F, addr(b->memory), PAGE, 0x1000), 0);
	assert_int_equal(attach(b, 0, id), -EADDRINUSE);
	id = ioas_new(b);
	munmap(hole, PAGE);
	assert_int_equal(map_at(b, id, F, addr(hole), PAGE, LOW), 0);
	assert_int_equal(attach(b, 0, id), -EFAULT);
	assert_int_equal(unmap(b, id, LOW, PAGE), 0);
	assert_true(attach(b, 0, id) > 0);
}

static void test_case_35_protection(void **state)
{
	struct bench *b = *state;
	const uint32_t id = dom(b);

	mprotect(b->memory, PAGE, PROT_READ);
	assert_int_equal(map_at(b, id, F, addr(b->memory), PAGE, LOW), -EFAULT);
	assert_int_equal(map_at(b, id, FIXED | READ, addr(b->memory), PAGE, LOW), 0);
	mprotect(b->memory, PAGE, PROT_READ | PROT_WRITE);
	assert_int_equal(map_at(b, id, F, 8, PAGE, LOW + PAGE), -EINVAL);
	assert_int_equal(map_at(b, id, F, PAGE, PAGE, LOW + PAGE), -EFAULT);
	assert_int_equal(map_at(b, id, F, addr(b->memory), PAGE, 0), -EINVAL);
	assert_int_equal(map_at(b, id, F, addr(b->memory), 0x801, LOW + PAGE), -EINVAL);
	assert_int_equal(map_at(b, id, F, addr(b->memory), 0x800, LOW + PAGE + 1), -EINVAL);
}

static void test_case_37_allow_errors(void **state)
{
	const struct via_iommu_iova_range single = {5, 5};
	const struct via_iommu_iova_range two[] = {{0x10000, 0x1ffff}, {0x1ffff, 0x2ffff}};
	const struct via_iommu_iova_range page = {0x10000, 0x10fff};
	struct via_iommu_ioas_allow_iovas cmd = {.size = sizeof(cmd), .reserved = 1};
	struct via_iommu_iova_range *edge;
	struct bench *b = *state;
	const uint32_t id = ioas_new(b);
	uint8_t *pages = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			      -1, 0);

	assert_int_equal(ioc(b, VIA_IOMMU_IOAS_ALLOW_IOVAS, &cmd), -EOPNOTSUPP);
	assert_int_equal(allow(b, id, &single, 1), -EINVAL);
	assert_int_equal(allow(b, id, two, 2), -EINVAL);
	assert_int_equal(allow(b, 999, two, 2), -ENOENT);
	assert_int_equal(allow(b, id, NULL, 1), -EFAULT);
	assert_int_equal(allow(b, id, NULL, 65537), -ENOMEM);
	assert_int_equal(allow(b, id, &page, 1), 0);
	assert_int_equal(via_ioas_reserve(inside(b, id), 0x20000, 0x2ffff, b), 0);
	assert_int_equal(allow(b, id, two + 1, 1), -EADDRINUSE);
	/* The old list is still there. */
	assert_int_equal(map_auto(b, id, VA, PAGE), 0x10000);
	assert_int_equal(map_auto(b, id, VA, PAGE), -ENOSPC);

	/* What comes first is what is told. */
	munmap(pages + PAGE, PAGE);
	edge = (void *)(pages + PAGE - sizeof(two));
	memcpy(edge, two, sizeof(two));
	assert_int_equal(allow(b, id, edge, 3), -EINVAL);
	edge[1].start = 0x20000;
	assert_int_equal(allow(b, id, edge, 3), -EFAULT);
	munmap(pages, PAGE);
}

static void test_case_38_42_unmap(void **state)
{
	struct bench *b = *state;
	const uint32_t id = ioas_new(b);
	uint64_t len = MAX;

	assert_int_equal(unmap_len(b, id, 0, &len), 0);
	assert_int_equal(len, 0);
	assert_int_equal(unmap(b, id, 0x1000, MAX), -EOVERFLOW);
	assert_int_equal(unmap(b, id, MAX, 1), -EOVERFLOW);
	assert_int_equal(unmap(b, id, 0x1000, 0), -EINVAL);
	assert_int_equal(unmap(b, id, 0x2000, -(uint64_t)0x1000), -EOVERFLOW);
	assert_int_equal(unmap(b, id, 0x2000, 0x1000), -ENOENT);
	assert_int_equal(unmap(b, 999, 0x2000, 0), -ENOENT);

	assert_int_equal(map_at(b, id, F, VA, 0x1000, 0x1000), 0);
	assert_int_equal(map_at(b, id, F, VA, 0x1000, 0x3000), 0);
	len = 0x10000;
	assert_int_equal(unmap_len(b, id, 0, &len), 0);
	assert_int_equal(len, 0x2000);

	assert_int_equal(map_at(b, id, F, VA, 0x1000, 0x1000), 0);
	assert_int_equal(map_at(b, id, F, VA, 0x2000, 0x3000), 0);
	len = 0x3000;
	assert_int_equal(unmap_len(b, id, 0x1000, &len), -ENOENT);
	assert_int_equal(len, 0x3000);
	assert_int_equal(map_at(b, id, F, VA, 0x1000, 0x1000), 0);
	assert_int_equal(map_at(b, id, F, VA, 0x1000, 0x3000), -EEXIST);
	assert_int_equal(unmap(b, id, 0x4000, 0x1000), -ENOENT);
	len = MAX;
	assert_int_equal(unmap_len(b, id, 0, &len), 0);
	assert_int_equal(len, 0x3000);
}

static void test_case_43_44_ranges(void **state)
{
	struct via_iommu_iova_range ranges[4];
	struct via_iommu_ioas_iova_ranges cmd = {
		.size = sizeof(cmd), .allowed_iovas = addr(ranges), .reserved = 1};
	struct bench *b = *state;
	const uint32_t id = dom(b), empty = ioas_new(b);

	assert_int_equal(ioc(b, VIA_IOMMU_IOAS_IOVA_RANGES, &cmd), -EOPNOTSUPP);
	cmd.reserved = 0;
	cmd.num_iovas = 3;
	cmd.ioas_id = 999;
	assert_int_equal(ioc(b, VIA_IOMMU_IOAS_IOVA_RANGES, &cmd), -ENOENT);
	assert_int_equal(cmd.num_iovas, 3);
	cmd.ioas_id = id;
	cmd.num_iovas = 0;
	assert_int_equal(ioc(b, VIA_IOMMU_IOAS_IOVA_RANGES, &cmd), -EMSGSIZE);
	assert_int_equal(cmd.num_iovas, 1);
	assert_int_equal(cmd.out_iova_alignment, 2048);
	cmd.num_iovas = 4;
	assert_int_equal(ioc(b, VIA_IOMMU_IOAS_IOVA_RANGES, &cmd), 0);
	assert_int_equal(cmd.num_iovas, 1);
	assert_true(ranges[0].start == LOW && ranges[0].last == 0x7fffffff);
	cmd.allowed_iovas = 0;
	cmd.num_iovas = 4;
	assert_int_equal(ioc(b, VIA_IOMMU_IOAS_IOVA_RANGES, &cmd), -EFAULT);
	assert_int_equal(cmd.num_iovas, 4);

	/* Of two, one fits. */
	cmd.ioas_id = empty;
	cmd.allowed_iovas = addr(ranges);
	assert_int_equal(via_ioas_reserve(inside(b, empty), 0x1000, 0x1fff, b), 0);
	cmd.num_iovas = 1;
	memset(ranges, 0x55, sizeof(ranges));
	assert_int_equal(ioc(b, VIA_IOMMU_IOAS_IOVA_RANGES, &cmd), -EMSGSIZE);
	assert_int_equal(cmd.num_iovas, 2);
	assert_int_equal(cmd.out_iova_alignment, 1);
	assert_true(ranges[0].start == 0 && ranges[0].last == 0xfff);
	assert_true(ranges[1].start == 0x5555555555555555);
	assert_int_equal(via_ioas_reserve(inside(b, empty), 0, MAX, b), 0);
	assert_int_equal(ioc(b, VIA_IOMMU_IOAS_IOVA_RANGES, &cmd), 0);
	assert_int_equal(cmd.num_iovas, 0);
}

static void test_case_45_48_copy(void **state)
{
	struct bench *b = *state;
	const uint32_t src = ioas_new(b), dst = ioas_new(b);

	assert_int_equal(map_at(b, src, F, VA, PAGE, 0x1000), 0);
	assert_int_equal(map_at(b, src, F, VA, PAGE, 0x2000), 0);
	assert_int_equal(copy(b, F, dst, src, 0x1000, 0, 0x1800), 0);
	assert_int_equal(unmap(b, dst, 0, 0x800), 0);
	assert_int_equal(copy(b, F, dst, src, 0x1000, 0x10000, 0x2800), -ENOENT);
	assert_int_equal(copy(b, F, dst, src, 0x1000, 0, 0x1000), -EEXIST);

	assert_int_equal(copy(b, F | 8, dst, src, MAX, MAX, MAX), -EOPNOTSUPP);
	assert_int_equal(copy(b, FIXED, dst, src, PAGE, 0, MAX), -EOVERFLOW);
	assert_int_equal(copy(b, FIXED, dst, src, PAGE, MAX, 0), -EOVERFLOW);
	assert_int_equal(copy(b, FIXED, 999, 999, PAGE, 0, 0), -EINVAL);
	assert_int_equal(copy(b, F, dst, 999, 0, 0, 0), -ENOENT);
	assert_int_equal(copy(b, F, 999, src, 0, 0, 0), -EINVAL);
	assert_int_equal(copy(b, F, 999, src, PAGE, 0, MAX - 5), -EOVERFLOW);
	assert_int_equal(copy(b, F, 999, src, PAGE, 0, 0x1000), -ENOENT);

	assert_int_equal(map_at(b, src, FIXED | READ, VA, PAGE, 0x4000), 0);
	assert_int_equal(copy(b, F, dst, src, PAGE, 0x20000, 0x4000), -EPERM);
	assert_int_equal(map_at(b, src, FIXED | WRITE, VA, PAGE, 0x5000), 0);
	assert_int_equal(copy(b, FIXED | READ, dst, src, PAGE, 0x20000, 0x5000), 0);
}

static void test_case_49_51_files(void **state)
{
	struct bench *b = *state;
	uint32_t id = dom(b), empty;
	uint64_t iova = LOW;
	int fd = memfd_create("test", MFD_CLOEXEC), pipes[2];

	assert_int_equal(ftruncate(fd, 4 * PAGE), 0);
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(map_file(b, id, F, fd, 0x1000, 0x4000, &iova), -EINVAL);
	assert_int_equal(map_file(b, id, F, fd, 0x1000, 0x3000, &iova), 0);
	iova = LOW + 0x10000;
	assert_int_equal(map_file(b, id, F, pipes[0], 0, PAGE, &iova), -EINVAL);
	assert_int_equal(map_file(b, id, F, -1, 0, PAGE, &iova), -EBADF);
	assert_int_equal(map_file(b, id, F, fd, 0, 0, &iova), -EINVAL);
	assert_int_equal(map_file(b, id, F, -1, MAX, 2, &iova), -EOVERFLOW);
	assert_int_equal(map_file(b, id, F, -1, 0, MAX - 5, &iova), -EBADF);
	assert_int_equal(map_file(b, id, F, fd, 0, MAX - 5, &iova), -EINVAL);
	assert_int_equal(map_file(b, id, F, fd, 8, MAX - 5, &iova), -EOVERFLOW);
	assert_int_equal(map_file(b, id, F, b->fd, 0, PAGE, &iova), -EINVAL);
	assert_int_equal(map_file(b, id, F, fd, 0x800, 0x800, &iova), 0);
	empty = ioas_new(b);
	assert_int_equal(set_option(b, VIA_IOMMU_OPTION_HUGE_PAGES, empty, 0), 0);
	assert_int_equal(map_file(b, empty, F, fd, 0x800, 0x800, &iova), -EINVAL);

	empty = ioas_new(b);
	iova = LOW;
	assert_int_equal(map_file(b, empty, F, pipes[0], 0, PAGE, &iova), 0);
	assert_int_equal(attach(b, 1, empty), -EINVAL);
	assert_int_equal(unmap(b, empty, LOW, PAGE), 0);
	assert_int_equal(map_file(b, empty, F, fd, 0x1000, 0x4000, &iova), 0);
	assert_int_equal(attach(b, 1, empty), -EINVAL);
	close(fd);
	close(pipes[0]);
	close(pipes[1]);
}

/* A dma-buf that is not ours: its size is judged, and its memory cannot be had. */
static void test_foreign_dmabuf(void **state)
{
	struct bench *b = *state;
	const uint32_t id = ioas_new(b);
	int fd = memfd_create("test", MFD_CLOEXEC);
	uint64_t iova = LOW;

	assert_int_equal(ftruncate(fd, 4 * PAGE), 0);
	foreign = true;
	assert_int_equal(map_file(b, id, F, fd, PAGE, 3 * PAGE, &iova), -EOPNOTSUPP);
	assert_int_equal(map_file(b, id, F, fd, PAGE, 3 * PAGE + 1, &iova), -EINVAL);
	assert_int_equal(map_file(b, id, F, fd, 4 * PAGE, 1, &iova), -EINVAL);
	foreign = false;
	assert_int_equal(map_file(b, id, F, fd, PAGE, 3 * PAGE, &iova), 0);
	close(fd);
}

/* Quirk 31: what the program could not do itself. */
static void test_file_rights(void **state)
{
	struct bench *b = *state;
	const bool full = b->vfio->config.profile == VIA_PROFILE_FULL;
	const uint32_t id = dom(b);
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING), ro, path;
	uint64_t iova = LOW;
	char name[64];

	assert_int_equal(ftruncate(fd, 4 * PAGE), 0);
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	ro = open(name, O_RDONLY | O_CLOEXEC);
	path = open(name, O_PATH | O_CLOEXEC);
	assert_true(ro >= 0 && path >= 0);
	assert_int_equal(map_file(b, id, F, path, 0, PAGE, &iova), -EBADF);
	assert_int_equal(map_file(b, id, F, ro, 0, PAGE, &iova), full ? -EACCES : 0);
	iova += PAGE;
	assert_int_equal(map_file(b, id, FIXED | READ, ro, 0, PAGE, &iova), 0);
	(void)unmap(b, id, 0, MAX);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), 0);
	iova += PAGE;
	assert_int_equal(map_file(b, id, F, fd, 0, PAGE, &iova), full ? -EPERM : 0);
	close(fd);
	close(ro);
	close(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LINUX(test_case_11_18_chosen_iova),
		LINUX(test_case_15_largest_alignment),
		LINUX(test_case_19_20_allowed),
		LINUX(test_case_21_25_chosen_iova),
		LINUX(test_case_26_31_map_errors),
		LINUX(test_case_32_34_attach_later),
		LINUX(test_case_35_protection),
		LINUX(test_case_37_allow_errors),
		LINUX(test_case_38_42_unmap),
		LINUX(test_case_43_44_ranges),
		LINUX(test_case_45_48_copy),
		LINUX(test_case_49_51_files),
		LINUX(test_foreign_dmabuf),
		LINUX(test_file_rights),
		FULL(test_file_rights),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
