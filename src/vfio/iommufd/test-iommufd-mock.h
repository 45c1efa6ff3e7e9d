/* SPDX-License-Identifier: MIT */
/* What the tests of the mock vendor share: TEST_CMD, and the commands that need a device. */
#ifndef VIA_VFIO_IOMMUFD_TEST_MOCK_H
#define VIA_VFIO_IOMMUFD_TEST_MOCK_H

#include "vfio/iommufd/test-iommufd.h"

#include <poll.h>
#include "vfio/iommufd/test_cmd.h"

#define TYPE 0xdeadbeefu /* of a vIOMMU, its invalidations and its queues */
#define NESTED_TYPE 0xdeadu
#define EVENT_TYPE 0xbeefbeefu
#define TLB 0xbadbeefu
#define PARENT VIA_IOMMU_HWPT_ALLOC_NEST_PARENT

static inline int setup_mock(void **state)
{
	const struct via_vfio_config config = {.profile = VIA_PROFILE_LINUX, .iommu_test = true};

	*state = bench_new(&config);
	return 0;
}

static inline int setup_mock_full(void **state)
{
	const struct via_vfio_config config = {.iommu_test = true};

	*state = bench_new(&config);
	return 0;
}

#define MOCK(f) cmocka_unit_test_setup_teardown(f, setup_mock, teardown)
#define MOCK_FULL(f) cmocka_unit_test_setup_teardown(f, setup_mock_full, teardown)

static inline long test_cmd(struct bench *b, struct via_iommu_test_cmd *cmd, uint32_t op,
			    uint32_t id)
{
	cmd->size = sizeof(*cmd);
	cmd->op = op;
	cmd->id = id;
	return ioc(b, VIA_IOMMU_TEST_CMD, cmd);
}

struct mocked {
	uint32_t stdev, hwpt, idev;
};

static inline long mock_flags(struct bench *b, uint32_t pt, uint32_t flags, struct mocked *ret_mock)
{
	struct via_iommu_test_cmd cmd = {.domain.dev_flags = flags};
	long ret = test_cmd(b, &cmd, VIA_IOMMU_TEST_MOCK_DOMAIN_FLAGS, pt);

	*ret_mock = (struct mocked){cmd.domain.out_stdev_id, cmd.domain.out_hwpt_id,
				    cmd.domain.out_idev_id};
	return ret;
}

static inline struct mocked mock_new(struct bench *b, uint32_t pt)
{
	struct mocked m;

	assert_int_equal(mock_flags(b, pt, 0, &m), 0);
	return m;
}

static inline long replace(struct bench *b, uint32_t stdev, uint32_t pt)
{
	struct via_iommu_test_cmd cmd = {.replace.pt_id = pt};
	long ret = test_cmd(b, &cmd, VIA_IOMMU_TEST_MOCK_DOMAIN_REPLACE, stdev);

	return ret < 0 ? ret : (long)cmd.replace.pt_id;
}

static inline long pasid(struct bench *b, uint32_t op, uint32_t stdev, uint32_t number, uint32_t pt)
{
	struct via_iommu_test_cmd cmd = {.pasid = {number, pt}};

	return test_cmd(b, &cmd, op, stdev);
}

static inline long check_map(struct bench *b, uint32_t hwpt, uint64_t iova, const void *p,
			     uint64_t length)
{
	struct via_iommu_test_cmd cmd = {.check_map = {iova, length, addr(p)}};

	return test_cmd(b, &cmd, VIA_IOMMU_TEST_MD_CHECK_MAP, hwpt);
}

static inline long check_refs(struct bench *b, const void *p, uint64_t length, uint32_t refs)
{
	struct via_iommu_test_cmd cmd = {.check_refs = {length, addr(p), refs}};

	return test_cmd(b, &cmd, VIA_IOMMU_TEST_MD_CHECK_REFS, 0);
}

static inline long check_word(struct bench *b, uint32_t op, uint32_t id, uint32_t i, uint32_t value)
{
	struct via_iommu_test_cmd cmd = {.check_word = {i, value}};

	return test_cmd(b, &cmd, op, id);
}

/* The id of an HWPT, or an errno. */
static inline long hwpt_data(struct bench *b, uint32_t dev, uint32_t pt, uint32_t flags,
			     uint32_t fault, uint32_t type, const void *data, uint32_t len)
{
	struct via_iommu_hwpt_alloc cmd = {
		.size = sizeof(cmd),
		.flags = flags,
		.dev_id = dev,
		.pt_id = pt,
		.data_type = type,
		.data_len = len,
		.data_uptr = addr(data),
		.fault_id = fault,
	};
	long ret = ioc(b, VIA_IOMMU_HWPT_ALLOC, &cmd);

	return ret < 0 ? ret : (long)cmd.out_hwpt_id;
}

static inline long hwpt(struct bench *b, uint32_t dev, uint32_t pt, uint32_t flags)
{
	return hwpt_data(b, dev, pt, flags, 0, 0, NULL, 0);
}

static inline long nested(struct bench *b, uint32_t dev, uint32_t pt, uint32_t flags, uint32_t fault)
{
	const uint32_t data[2] = {TLB, 0};

	return hwpt_data(b, dev, pt, flags, fault, NESTED_TYPE, data, sizeof(data));
}

static inline long invalidate(struct bench *b, uint32_t id, const void *data, uint32_t len,
			      uint32_t *n)
{
	struct via_iommu_hwpt_invalidate cmd = {
		.size = sizeof(cmd),
		.hwpt_id = id,
		.data_uptr = addr(data),
		.data_type = TYPE,
		.entry_len = len,
		.entry_num = *n,
	};
	long ret = ioc(b, VIA_IOMMU_HWPT_INVALIDATE, &cmd);

	*n = cmd.entry_num;
	return ret;
}

static inline long viommu(struct bench *b, uint32_t dev, uint32_t pt, void *data, uint32_t len)
{
	struct via_iommu_viommu_alloc cmd = {
		.size = sizeof(cmd),
		.type = TYPE,
		.dev_id = dev,
		.hwpt_id = pt,
		.data_len = len,
		.data_uptr = addr(data),
	};
	long ret = ioc(b, VIA_IOMMU_VIOMMU_ALLOC, &cmd);

	return ret < 0 ? ret : (long)cmd.out_viommu_id;
}

/* A vIOMMU, what it nests in, and a device of it. */
struct virtual {
	struct mocked m;
	uint32_t ioas, parent, viommu;
};

static inline struct virtual virtual(struct bench *b)
{
	struct virtual v = {.ioas = ioas_new(b)};

	v.m = mock_new(b, v.ioas);
	v.parent = (uint32_t)hwpt(b, v.m.idev, v.ioas, PARENT);
	v.viommu = (uint32_t)viommu(b, v.m.idev, v.parent, NULL, 0);
	return v;
}

static inline long vdevice(struct bench *b, uint32_t id, uint32_t dev, uint64_t virt_id)
{
	struct via_iommu_vdevice_alloc cmd = {
		.size = sizeof(cmd), .viommu_id = id, .dev_id = dev, .virt_id = virt_id};
	long ret = ioc(b, VIA_IOMMU_VDEVICE_ALLOC, &cmd);

	return ret < 0 ? ret : (long)cmd.out_vdevice_id;
}

/* On a descriptor: bytes, or an errno. */
static inline ssize_t fd_rw(struct bench *b, int fd, void *buf, size_t len, uint64_t offset,
			    bool write)
{
	struct via_file *file = NULL;
	ssize_t ret;

	assert_int_equal(test_file_get(&b->tc.caller, fd, &file), 0);
	ret = write ? via_file_pwrite(file, &b->tc.caller, addr(buf), len, offset)
		    : via_file_pread(file, &b->tc.caller, addr(buf), len, offset);
	via_file_put(file);
	return ret;
}

/* Would read(2) of fd return at once? */
static inline bool readable(struct bench *b, int fd)
{
	struct pollfd p = {.events = POLLIN};
	struct via_file *file = NULL;

	assert_int_equal(test_file_get(&b->tc.caller, fd, &file), 0);
	p.fd = file->ops->poll_fd(file);
	assert_true(poll(&p, 1, 0) >= 0);
	via_file_put(file);
	return p.revents & POLLIN;
}

#endif
