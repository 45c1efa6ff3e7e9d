/* SPDX-License-Identifier: MIT */
/* The argument of TEST_CMD (spec iommu.md 9.3), from facts. */
#ifndef VIA_VFIO_IOMMUFD_TEST_CMD_H
#define VIA_VFIO_IOMMUFD_TEST_CMD_H

#include <viaduct/abi/iommufd.h>

#define VIA_IOMMU_TEST_ADD_RESERVED 1
#define VIA_IOMMU_TEST_MOCK_DOMAIN 2
#define VIA_IOMMU_TEST_MD_CHECK_MAP 3
#define VIA_IOMMU_TEST_MD_CHECK_REFS 4
#define VIA_IOMMU_TEST_CREATE_ACCESS 5
#define VIA_IOMMU_TEST_DESTROY_ACCESS_PAGES 6
#define VIA_IOMMU_TEST_ACCESS_PAGES 7
#define VIA_IOMMU_TEST_ACCESS_RW 8
#define VIA_IOMMU_TEST_SET_TEMP_MEMORY_LIMIT 9
#define VIA_IOMMU_TEST_MOCK_DOMAIN_REPLACE 10
#define VIA_IOMMU_TEST_ACCESS_REPLACE_IOAS 11
#define VIA_IOMMU_TEST_MOCK_DOMAIN_FLAGS 12
#define VIA_IOMMU_TEST_DIRTY 13
#define VIA_IOMMU_TEST_MD_CHECK_IOTLB 14
#define VIA_IOMMU_TEST_TRIGGER_IOPF 15
#define VIA_IOMMU_TEST_DEV_CHECK_CACHE 16
#define VIA_IOMMU_TEST_TRIGGER_VEVENT 17
#define VIA_IOMMU_TEST_PASID_ATTACH 18
#define VIA_IOMMU_TEST_PASID_REPLACE 19
#define VIA_IOMMU_TEST_PASID_DETACH 20
#define VIA_IOMMU_TEST_PASID_CHECK_HWPT 21
#define VIA_IOMMU_TEST_DMABUF_GET 22
#define VIA_IOMMU_TEST_DMABUF_REVOKE 23

#define VIA_IOMMU_TEST_ACCESS_WRITE (1u << 0)
#define VIA_IOMMU_TEST_ACCESS_SLOW (1u << 2)   /* of ACCESS_RW */
#define VIA_IOMMU_TEST_ACCESS_SYZ (1u << 16)   /* the IOVA is the number of an area, and an offset */
#define VIA_IOMMU_TEST_ACCESS_PINS (1u << 0)   /* of CREATE_ACCESS */

/* Callers may end the structure after last (68 bytes). */
struct via_iommu_test_cmd {
	uint32_t size;
	uint32_t op;
	uint32_t id; /* of an object; of ACCESS_* a descriptor */
	uint32_t reserved;
	union {
		struct {
			uint64_t start;
			uint64_t length;
		} reserve;
		struct {
			uint32_t out_stdev_id;
			uint32_t out_hwpt_id;
			uint32_t out_idev_id;
			uint32_t dev_flags; /* of MOCK_DOMAIN_FLAGS */
		} domain;
		struct {
			uint32_t pt_id;
		} replace;
		struct {
			uint64_t iova;
			uint64_t length;
			uint64_t uptr;
		} check_map;
		struct {
			uint64_t length;
			uint64_t uptr;
			uint32_t refs;
		} check_refs;
		struct {
			uint32_t out_fd;
			uint32_t flags;
		} create_access;
		struct {
			uint32_t item;
		} destroy_pages;
		struct {
			uint32_t flags;
			uint32_t out_item;
			uint64_t iova;
			uint64_t length;
			uint64_t uptr;
		} access_pages;
		struct {
			uint64_t iova;
			uint64_t length;
			uint64_t uptr;
			uint32_t flags;
		} access_rw;
		struct {
			uint32_t limit;
		} memory;
		struct {
			uint32_t ioas_id;
		} access_replace;
		struct {
			uint32_t flags;
			uint32_t pad;
			uint64_t iova;
			uint64_t length;
			uint64_t page_size;
			uint64_t uptr;
			uint64_t out_n_dirty;
		} dirty;
		struct {
			uint32_t index;
			uint32_t value;
		} check_word; /* of a TLB or a cache */
		struct {
			uint32_t dev_id;
			uint32_t pasid;
			uint32_t grpid;
			uint32_t perm;
			uint64_t addr;
		} iopf;
		struct {
			uint32_t dev_id;
		} vevent;
		struct {
			uint32_t pasid;
			uint32_t pt_id;
		} pasid;
		struct {
			uint32_t length;
			uint32_t open_flags;
		} dmabuf_get;
		struct {
			int32_t fd;
			uint32_t revoked;
		} dmabuf_revoke;
	};
	uint32_t last;
};
VIA_ABI_SIZE(via_iommu_test_cmd, 72);
VIA_ABI_AT(via_iommu_test_cmd, dirty.out_n_dirty, 56);
VIA_ABI_AT(via_iommu_test_cmd, last, 64);

#endif
