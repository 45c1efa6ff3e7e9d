/* SPDX-License-Identifier: MIT */
/*
 * What the tests of /dev/iommu share: a context, and hardware like that of the
 * kernel's own test driver (pages of 2 KiB, IOVAs from 16 MiB to 2 GiB).
 */
#ifndef VIA_VFIO_IOMMUFD_TEST_H
#define VIA_VFIO_IOMMUFD_TEST_H

#include "vfio/iommufd/iommufd.h"
#include "vfio/test-caller.h"
#include "vfio/vfio.h"

#include <viaduct/abi/vfio.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <cmocka.h>

#define PAGE 4096u
#define VA 0x7f0000000000u
#define LOW 0x1000000u
#define MAX UINT64_MAX
#define READ VIA_IOMMU_IOAS_MAP_READABLE
#define WRITE VIA_IOMMU_IOAS_MAP_WRITEABLE
#define FIXED VIA_IOMMU_IOAS_MAP_FIXED_IOVA
#define RW (READ | WRITE)
#define F (FIXED | RW)

struct test_hw {
	struct via_iommu_hw hw;
	struct via_idev *idev;
};

struct bench {
	struct test_caller tc;
	struct via_vfio *vfio;
	struct via_iommufd *iommufd;
	int fd;
	struct test_hw hws[4];
	uint8_t *memory; /* MEMORY bytes, aligned to 2 MiB */
};

#define MEMORY (64u * PAGE)

static inline int test_paging(struct via_iommu_hw *hw, const struct via_iommufd_call *call,
			      uint32_t flags, uint32_t data_type, uint32_t data_len,
			      uint64_t data_uptr, struct via_domain_config *ret_config,
			      void **ret_private)
{
	*ret_config = (struct via_domain_config){
		.pgsize_bitmap = ~(uint64_t)2047,
		.aperture_first = LOW,
		.aperture_last = 0x7fffffff,
		.coherent = true,
		.dirty = true,
	};
	return 0;
}

static inline int test_attach(struct via_iommu_hw *hw, uint32_t pasid, struct via_hwpt *hwpt)
{
	return 0;
}

static const struct via_iommu_hw_ops test_hw_ops = {
	.name = "test",
	.paging = test_paging,
	.attach = test_attach,
};

static inline struct bench *bench_new(const struct via_vfio_config *config)
{
	struct bench *b = calloc(1, sizeof(*b));
	struct via_file *file = NULL;
	uintptr_t at;
	void *memory;

	assert_non_null(b);
	test_caller_init(&b->tc);
	b->tc.caller.caps = VIA_CAP_IPC_LOCK | VIA_CAP_SYS_RAWIO | VIA_CAP_SYS_RESOURCE;
	assert_int_equal(via_vfio_new(config, &b->vfio), 0);
	assert_int_equal(via_vfio_open(b->vfio, &b->tc.caller, "iommu", O_RDWR, &file), 0);
	b->iommufd = via_iommufd_of(file);
	b->fd = test_file_put(&b->tc.caller, file, true);
	for (size_t i = 0; i < 4; i++)
		b->hws[i].hw = (struct via_iommu_hw){
			.ops = &test_hw_ops, .group = &b->hws[i], .isolated_msi = true};
	memory = mmap(NULL, 0x200000 + MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		      -1, 0);
	assert_ptr_not_equal(memory, MAP_FAILED);
	at = ((uintptr_t)memory + 0x1fffff) & ~(uintptr_t)0x1fffff;
	b->memory = (uint8_t *)at;
	return b;
}

static inline void bench_free(struct bench *b)
{
	for (size_t i = 0; i < 4; i++)
		if (b->hws[i].idev)
			via_idev_unbind(b->hws[i].idev);
	test_caller_deinit(&b->tc);
	via_vfio_free(b->vfio);
	munmap(b->memory, MEMORY);
	free(b);
}

static inline int setup_linux(void **state)
{
	const struct via_vfio_config config = {.profile = VIA_PROFILE_LINUX};

	*state = bench_new(&config);
	return 0;
}

static inline int setup_full(void **state)
{
	*state = bench_new(NULL);
	return 0;
}

static inline int teardown(void **state)
{
	bench_free(*state);
	return 0;
}

static inline long ioc(struct bench *b, unsigned long cmd, const void *arg)
{
	struct via_file *file = NULL;
	long ret;

	assert_int_equal(test_file_get(&b->tc.caller, b->fd, &file), 0);
	ret = via_file_ioctl(file, &b->tc.caller, cmd, (uint64_t)(uintptr_t)arg);
	via_file_put(file);
	return ret;
}

static inline uint32_t ioas_new(struct bench *b)
{
	struct via_iommu_ioas_alloc cmd = {.size = sizeof(cmd)};

	assert_int_equal(ioc(b, VIA_IOMMU_IOAS_ALLOC, &cmd), 0);
	return cmd.out_ioas_id;
}

static inline long destroy(struct bench *b, uint32_t id)
{
	struct via_iommu_destroy cmd = {.size = sizeof(cmd), .id = id};

	return ioc(b, VIA_IOMMU_DESTROY, &cmd);
}

/* The id of what hardware i is attached to afterwards, or an errno. */
static inline long attach(struct bench *b, unsigned int i, uint32_t pt)
{
	int ret;

	if (!b->hws[i].idev)
		assert_int_equal(via_idev_bind(b->iommufd, &b->hws[i].hw, &b->hws[i].idev), 0);
	ret = via_idev_attach(b->hws[i].idev, 0, false, &pt);
	return ret < 0 ? ret : (long)pt;
}

/* An IOAS with hardware 0 attached. */
static inline uint32_t dom(struct bench *b)
{
	const uint32_t id = ioas_new(b);

	assert_true(attach(b, 0, id) > 0);
	return id;
}

static inline long map_va(struct bench *b, uint32_t ioas, uint32_t flags, uint64_t va,
			  uint64_t length, uint64_t *iova)
{
	struct via_iommu_ioas_map cmd = {
		.size = sizeof(cmd),
		.flags = flags,
		.ioas_id = ioas,
		.user_va = va,
		.length = length,
		.iova = *iova,
	};
	long ret = ioc(b, VIA_IOMMU_IOAS_MAP, &cmd);

	*iova = cmd.iova;
	return ret;
}

static inline long map_at(struct bench *b, uint32_t ioas, uint32_t flags, uint64_t va,
			  uint64_t length, uint64_t iova)
{
	return map_va(b, ioas, flags, va, length, &iova);
}

/* The IOVA that is chosen, or an errno. */
static inline int64_t map_auto(struct bench *b, uint32_t ioas, uint64_t va, uint64_t length)
{
	uint64_t iova = 0;
	long ret = map_va(b, ioas, RW, va, length, &iova);

	return ret < 0 ? ret : (int64_t)iova;
}

static inline long map_file(struct bench *b, uint32_t ioas, uint32_t flags, int fd, uint64_t start,
			    uint64_t length, uint64_t *iova)
{
	struct via_iommu_ioas_map_file cmd = {
		.size = sizeof(cmd),
		.flags = flags,
		.ioas_id = ioas,
		.fd = fd,
		.start = start,
		.length = length,
		.iova = *iova,
	};
	long ret = ioc(b, VIA_IOMMU_IOAS_MAP_FILE, &cmd);

	*iova = cmd.iova;
	return ret;
}

static inline long copy(struct bench *b, uint32_t flags, uint32_t dst, uint32_t src,
			uint64_t length, uint64_t dst_iova, uint64_t src_iova)
{
	struct via_iommu_ioas_copy cmd = {
		.size = sizeof(cmd),
		.flags = flags,
		.dst_ioas_id = dst,
		.src_ioas_id = src,
		.length = length,
		.dst_iova = dst_iova,
		.src_iova = src_iova,
	};

	return ioc(b, VIA_IOMMU_IOAS_COPY, &cmd);
}

/* *length: in, and as it is afterwards. */
static inline long unmap_len(struct bench *b, uint32_t ioas, uint64_t iova, uint64_t *length)
{
	struct via_iommu_ioas_unmap cmd = {
		.size = sizeof(cmd), .ioas_id = ioas, .iova = iova, .length = *length};
	long ret = ioc(b, VIA_IOMMU_IOAS_UNMAP, &cmd);

	*length = cmd.length;
	return ret;
}

static inline long unmap(struct bench *b, uint32_t ioas, uint64_t iova, uint64_t length)
{
	return unmap_len(b, ioas, iova, &length);
}

static inline long allow(struct bench *b, uint32_t ioas, const struct via_iommu_iova_range *ranges,
			 uint32_t n)
{
	struct via_iommu_ioas_allow_iovas cmd = {
		.size = sizeof(cmd),
		.ioas_id = ioas,
		.num_iovas = n,
		.allowed_iovas = (uint64_t)(uintptr_t)ranges,
	};

	return ioc(b, VIA_IOMMU_IOAS_ALLOW_IOVAS, &cmd);
}

static inline long option(struct bench *b, uint32_t option, uint16_t op, uint32_t object,
			  uint64_t *value)
{
	struct via_iommu_option cmd = {
		.size = sizeof(cmd),
		.option_id = option,
		.op = op,
		.object_id = object,
		.val64 = *value,
	};
	long ret = ioc(b, VIA_IOMMU_OPTION, &cmd);

	*value = cmd.val64;
	return ret;
}

static inline long set_option(struct bench *b, uint32_t id, uint32_t object, uint64_t value)
{
	return option(b, id, VIA_IOMMU_OPTION_OP_SET, object, &value);
}

/* The IOAS behind an id, for what programs cannot ask for. */
static inline struct via_ioas *inside(struct bench *b, uint32_t id)
{
	struct via_object *object = via_object_get(b->iommufd, id, VIA_OBJECT_IOAS);
	struct via_ioas *ioas;

	assert_non_null(object);
	ioas = VIA_CONTAINER_OF(object, struct via_iommufd_ioas, object)->ioas;
	via_object_put(object);
	return ioas;
}

static inline uint64_t addr(const void *p)
{
	return (uint64_t)(uintptr_t)p;
}

#define LINUX(f) cmocka_unit_test_setup_teardown(f, setup_linux, teardown)
#define FULL(f) cmocka_unit_test_setup_teardown(f, setup_full, teardown)

#endif
