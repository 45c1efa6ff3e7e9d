/* SPDX-License-Identifier: MIT */
/*
 * The calls of I/O address spaces as a table: where each field of an argument
 * lies and what belongs there, so that an input's few bytes make a call that gets deep.
 */
#ifndef VIA_TESTS_FUZZ_IOMMU_CALLS_H
#define VIA_TESTS_FUZZ_IOMMU_CALLS_H

#include "vfio/iommufd/test_cmd.h"

#include <viaduct/abi/iommufd.h>
#include <viaduct/abi/vfio.h>

/* What the ids of a context stand for. */
enum id_kind {
	ID_NONE,
	ID_IOAS,
	ID_PAGING,
	ID_NESTED,
	ID_DEVICE,
	ID_STDEV,
	ID_FAULT,
	ID_VIOMMU,
	ID_VDEVICE,
	ID_VEVENTQ,
	ID_HW_QUEUE,
	ID_KINDS,
	ID_PT = ID_KINDS, /* an IOAS or a domain */
	ID_ANY,
};

enum field_kind {
	FIELD_END,
	FIELD_ID,    /* of: enum id_kind */
	FIELD_CONST, /* of: its value, nearly always */
	FIELD_BITS,  /* of: flags that there are */
	FIELD_SMALL, /* of: below it */
	FIELD_IOVA,
	FIELD_LENGTH,
	FIELD_ADDRESS, /* of memory to map */
	FIELD_PAGE_SIZE,
	FIELD_BUFFER, /* address of some numbers */
	FIELD_RANGES, /* address of IOVA ranges; of: 1: their lengths instead of their ends */
	FIELD_FD,
	FIELD_NUMBER,
	FIELD_MEMORY, /* a file of one of many kinds */
};

struct field {
	uint8_t at, width;
	uint8_t kind; /* enum field_kind */
	uint32_t of;
};

enum call_on { ON_IOMMUFD, ON_CONTAINER, ON_GROUP, ON_DEVICE, ON_RESULT };

enum {
	CALL_RETURNS_FD = 1 << 0,
	CALL_NO_SIZE = 1 << 1, /* the argument does not begin with its size */
	CALL_VALUE = 1 << 2,   /* it is the first field's value itself */
	CALL_NAME = 1 << 3,    /* it is a device's name */
};

struct call_row {
	uint32_t cmd;
	uint8_t size, on, how;
	struct {
		uint8_t at, kind; /* 0: none; at: of an id that is made */
	} made[3];
	uint8_t fd_at; /* 0: none; of a descriptor that is made */
	struct field fields[8];
};

#define AT(type, field, kind_, of_)                                                                \
	{                                                                                          \
		offsetof(struct type, field), sizeof(((struct type *)0)->field), kind_, of_        \
	}
#define NATIVE(name, type, ...) {name, sizeof(struct type), ON_IOMMUFD, 0, __VA_ARGS__}
#define TEST(number, ...)                                                                          \
	{                                                                                          \
		VIA_IOMMU_TEST_CMD, sizeof(struct via_iommu_test_cmd), ON_IOMMUFD, 0, __VA_ARGS__  \
	}
#define T(field, kind, of) AT(via_iommu_test_cmd, field, kind, of)
#define OP(number) T(op, FIELD_CONST, number)
#define CONTAINER(name, type, ...) {name, sizeof(struct type), ON_CONTAINER, 0, __VA_ARGS__}

#define MOCK_TYPE 0xdeadbeefu
#define MOCK_DOMAIN 0xdeadu
#define MOCK_EVENTS 0xbeefbeefu

/* The order is part of the inputs: new rows go to the end. */
static const struct call_row call_rows[] = {
	NATIVE(VIA_IOMMU_DESTROY, via_iommu_destroy,
	       .fields = {AT(via_iommu_destroy, id, FIELD_ID, ID_ANY)}),
	NATIVE(VIA_IOMMU_IOAS_ALLOC, via_iommu_ioas_alloc, .made = {{8, ID_IOAS}}),
	NATIVE(VIA_IOMMU_IOAS_ALLOW_IOVAS, via_iommu_ioas_allow_iovas,
	       .fields = {AT(via_iommu_ioas_allow_iovas, ioas_id, FIELD_ID, ID_IOAS),
			  AT(via_iommu_ioas_allow_iovas, num_iovas, FIELD_SMALL, 4),
			  AT(via_iommu_ioas_allow_iovas, allowed_iovas, FIELD_RANGES, 0)}),
	NATIVE(VIA_IOMMU_IOAS_COPY, via_iommu_ioas_copy,
	       .fields = {AT(via_iommu_ioas_copy, flags, FIELD_BITS, 7),
			  AT(via_iommu_ioas_copy, dst_ioas_id, FIELD_ID, ID_IOAS),
			  AT(via_iommu_ioas_copy, src_ioas_id, FIELD_ID, ID_IOAS),
			  AT(via_iommu_ioas_copy, length, FIELD_LENGTH, 0),
			  AT(via_iommu_ioas_copy, dst_iova, FIELD_IOVA, 0),
			  AT(via_iommu_ioas_copy, src_iova, FIELD_IOVA, 0)}),
	NATIVE(VIA_IOMMU_IOAS_IOVA_RANGES, via_iommu_ioas_iova_ranges,
	       .fields = {AT(via_iommu_ioas_iova_ranges, ioas_id, FIELD_ID, ID_IOAS),
			  AT(via_iommu_ioas_iova_ranges, num_iovas, FIELD_SMALL, 8),
			  AT(via_iommu_ioas_iova_ranges, allowed_iovas, FIELD_BUFFER, 0)}),
	NATIVE(VIA_IOMMU_IOAS_MAP, via_iommu_ioas_map,
	       .fields = {AT(via_iommu_ioas_map, flags, FIELD_BITS, 7),
			  AT(via_iommu_ioas_map, ioas_id, FIELD_ID, ID_IOAS),
			  AT(via_iommu_ioas_map, user_va, FIELD_ADDRESS, 0),
			  AT(via_iommu_ioas_map, length, FIELD_LENGTH, 0),
			  AT(via_iommu_ioas_map, iova, FIELD_IOVA, 0)}),
	NATIVE(VIA_IOMMU_IOAS_UNMAP, via_iommu_ioas_unmap,
	       .fields = {AT(via_iommu_ioas_unmap, ioas_id, FIELD_ID, ID_IOAS),
			  AT(via_iommu_ioas_unmap, iova, FIELD_IOVA, 0),
			  AT(via_iommu_ioas_unmap, length, FIELD_LENGTH, 0)}),
	NATIVE(VIA_IOMMU_OPTION, via_iommu_option,
	       .fields = {AT(via_iommu_option, option_id, FIELD_SMALL, 3),
			  AT(via_iommu_option, op, FIELD_SMALL, 3),
			  AT(via_iommu_option, object_id, FIELD_ID, ID_IOAS),
			  AT(via_iommu_option, val64, FIELD_SMALL, 3)}),
	NATIVE(VIA_IOMMU_VFIO_IOAS, via_iommu_vfio_ioas,
	       .fields = {AT(via_iommu_vfio_ioas, ioas_id, FIELD_ID, ID_IOAS),
			  AT(via_iommu_vfio_ioas, op, FIELD_SMALL, 4)}),
	NATIVE(VIA_IOMMU_HWPT_ALLOC, via_iommu_hwpt_alloc, .made = {{16, ID_PAGING}},
	       .fields = {AT(via_iommu_hwpt_alloc, flags, FIELD_BITS, 15),
			  AT(via_iommu_hwpt_alloc, dev_id, FIELD_ID, ID_DEVICE),
			  AT(via_iommu_hwpt_alloc, pt_id, FIELD_ID, ID_IOAS),
			  AT(via_iommu_hwpt_alloc, fault_id, FIELD_ID, ID_FAULT)}),
	NATIVE(VIA_IOMMU_HWPT_ALLOC, via_iommu_hwpt_alloc, .made = {{16, ID_NESTED}},
	       .fields = {AT(via_iommu_hwpt_alloc, flags, FIELD_BITS, 15),
			  AT(via_iommu_hwpt_alloc, dev_id, FIELD_ID, ID_DEVICE),
			  AT(via_iommu_hwpt_alloc, pt_id, FIELD_ID, ID_ANY),
			  AT(via_iommu_hwpt_alloc, data_type, FIELD_CONST, MOCK_DOMAIN),
			  AT(via_iommu_hwpt_alloc, data_len, FIELD_CONST, 8),
			  AT(via_iommu_hwpt_alloc, data_uptr, FIELD_BUFFER, 0),
			  AT(via_iommu_hwpt_alloc, fault_id, FIELD_ID, ID_FAULT)}),
	NATIVE(VIA_IOMMU_GET_HW_INFO, via_iommu_hw_info,
	       .fields = {AT(via_iommu_hw_info, flags, FIELD_BITS, 1),
			  AT(via_iommu_hw_info, dev_id, FIELD_ID, ID_DEVICE),
			  AT(via_iommu_hw_info, data_len, FIELD_SMALL, 64),
			  AT(via_iommu_hw_info, data_uptr, FIELD_BUFFER, 0),
			  AT(via_iommu_hw_info, data_type, FIELD_SMALL, 3)}),
	NATIVE(VIA_IOMMU_HWPT_SET_DIRTY_TRACKING, via_iommu_hwpt_set_dirty_tracking,
	       .fields = {AT(via_iommu_hwpt_set_dirty_tracking, flags, FIELD_BITS, 1),
			  AT(via_iommu_hwpt_set_dirty_tracking, hwpt_id, FIELD_ID, ID_PAGING)}),
	NATIVE(VIA_IOMMU_HWPT_GET_DIRTY_BITMAP, via_iommu_hwpt_get_dirty_bitmap,
	       .fields = {AT(via_iommu_hwpt_get_dirty_bitmap, hwpt_id, FIELD_ID, ID_PAGING),
			  AT(via_iommu_hwpt_get_dirty_bitmap, flags, FIELD_BITS, 1),
			  AT(via_iommu_hwpt_get_dirty_bitmap, iova, FIELD_IOVA, 0),
			  AT(via_iommu_hwpt_get_dirty_bitmap, length, FIELD_LENGTH, 0),
			  AT(via_iommu_hwpt_get_dirty_bitmap, page_size, FIELD_PAGE_SIZE, 0),
			  AT(via_iommu_hwpt_get_dirty_bitmap, data, FIELD_BUFFER, 0)}),
	NATIVE(VIA_IOMMU_HWPT_INVALIDATE, via_iommu_hwpt_invalidate,
	       .fields = {AT(via_iommu_hwpt_invalidate, hwpt_id, FIELD_ID, ID_NESTED),
			  AT(via_iommu_hwpt_invalidate, data_uptr, FIELD_BUFFER, 0),
			  AT(via_iommu_hwpt_invalidate, data_type, FIELD_CONST, MOCK_TYPE),
			  AT(via_iommu_hwpt_invalidate, entry_len, FIELD_CONST, 8),
			  AT(via_iommu_hwpt_invalidate, entry_num, FIELD_SMALL, 5)}),
	NATIVE(VIA_IOMMU_HWPT_INVALIDATE, via_iommu_hwpt_invalidate,
	       .fields = {AT(via_iommu_hwpt_invalidate, hwpt_id, FIELD_ID, ID_VIOMMU),
			  AT(via_iommu_hwpt_invalidate, data_uptr, FIELD_BUFFER, 0),
			  AT(via_iommu_hwpt_invalidate, data_type, FIELD_CONST, MOCK_TYPE),
			  AT(via_iommu_hwpt_invalidate, entry_len, FIELD_SMALL, 18),
			  AT(via_iommu_hwpt_invalidate, entry_num, FIELD_SMALL, 5)}),
	NATIVE(VIA_IOMMU_FAULT_QUEUE_ALLOC, via_iommu_fault_alloc, .made = {{8, ID_FAULT}},
	       .fd_at = 12),
	NATIVE(VIA_IOMMU_IOAS_MAP_FILE, via_iommu_ioas_map_file,
	       .fields = {AT(via_iommu_ioas_map_file, flags, FIELD_BITS, 7),
			  AT(via_iommu_ioas_map_file, ioas_id, FIELD_ID, ID_IOAS),
			  AT(via_iommu_ioas_map_file, fd, FIELD_FD, 0),
			  AT(via_iommu_ioas_map_file, start, FIELD_SMALL, 3),
			  AT(via_iommu_ioas_map_file, length, FIELD_LENGTH, 0),
			  AT(via_iommu_ioas_map_file, iova, FIELD_IOVA, 0)}),
	NATIVE(VIA_IOMMU_VIOMMU_ALLOC, via_iommu_viommu_alloc, .made = {{20, ID_VIOMMU}},
	       .fields = {AT(via_iommu_viommu_alloc, type, FIELD_CONST, MOCK_TYPE),
			  AT(via_iommu_viommu_alloc, dev_id, FIELD_ID, ID_DEVICE),
			  AT(via_iommu_viommu_alloc, hwpt_id, FIELD_ID, ID_PAGING),
			  AT(via_iommu_viommu_alloc, data_len, FIELD_SMALL, 26),
			  AT(via_iommu_viommu_alloc, data_uptr, FIELD_BUFFER, 0)}),
	NATIVE(VIA_IOMMU_VDEVICE_ALLOC, via_iommu_vdevice_alloc, .made = {{12, ID_VDEVICE}},
	       .fields = {AT(via_iommu_vdevice_alloc, viommu_id, FIELD_ID, ID_VIOMMU),
			  AT(via_iommu_vdevice_alloc, dev_id, FIELD_ID, ID_DEVICE),
			  AT(via_iommu_vdevice_alloc, virt_id, FIELD_SMALL, 5)}),
	NATIVE(VIA_IOMMU_IOAS_CHANGE_PROCESS, via_iommu_ioas_change_process, .fields = {{0}}),
	NATIVE(VIA_IOMMU_VEVENTQ_ALLOC, via_iommu_veventq_alloc, .made = {{20, ID_VEVENTQ}},
	       .fd_at = 24,
	       .fields = {AT(via_iommu_veventq_alloc, viommu_id, FIELD_ID, ID_VIOMMU),
			  AT(via_iommu_veventq_alloc, type, FIELD_CONST, MOCK_EVENTS),
			  AT(via_iommu_veventq_alloc, veventq_depth, FIELD_SMALL, 4)}),
	NATIVE(VIA_IOMMU_HW_QUEUE_ALLOC, via_iommu_hw_queue_alloc, .made = {{20, ID_HW_QUEUE}},
	       .fields = {AT(via_iommu_hw_queue_alloc, viommu_id, FIELD_ID, ID_VIOMMU),
			  AT(via_iommu_hw_queue_alloc, type, FIELD_CONST, MOCK_TYPE),
			  AT(via_iommu_hw_queue_alloc, index, FIELD_SMALL, 3),
			  AT(via_iommu_hw_queue_alloc, nesting_parent_iova, FIELD_IOVA, 0),
			  AT(via_iommu_hw_queue_alloc, length, FIELD_LENGTH, 0)}),
	TEST(0, .fields = {OP(VIA_IOMMU_TEST_ADD_RESERVED), T(id, FIELD_ID, ID_IOAS),
			   T(reserve.start, FIELD_IOVA, 0), T(reserve.length, FIELD_LENGTH, 0)}),
	TEST(0, .made = {{16, ID_STDEV}, {20, ID_PAGING}, {24, ID_DEVICE}},
	     .fields = {OP(VIA_IOMMU_TEST_MOCK_DOMAIN), T(id, FIELD_ID, ID_PT)}),
	TEST(0, .made = {{16, ID_STDEV}, {20, ID_PAGING}, {24, ID_DEVICE}},
	     .fields = {OP(VIA_IOMMU_TEST_MOCK_DOMAIN_FLAGS), T(id, FIELD_ID, ID_PT),
			T(domain.dev_flags, FIELD_BITS, 7)}),
	TEST(0, .fields = {OP(VIA_IOMMU_TEST_MD_CHECK_MAP), T(id, FIELD_ID, ID_PAGING),
			   T(check_map.iova, FIELD_IOVA, 0), T(check_map.length, FIELD_LENGTH, 0),
			   T(check_map.uptr, FIELD_ADDRESS, 0)}),
	TEST(0, .fields = {OP(VIA_IOMMU_TEST_MD_CHECK_REFS), T(check_refs.length, FIELD_LENGTH, 0),
			   T(check_refs.uptr, FIELD_ADDRESS, 0),
			   T(check_refs.refs, FIELD_SMALL, 3)}),
	TEST(0, .fd_at = 16,
	     .fields = {OP(VIA_IOMMU_TEST_CREATE_ACCESS), T(id, FIELD_ID, ID_IOAS),
			T(create_access.flags, FIELD_BITS, 1)}),
	TEST(0, .fields = {OP(VIA_IOMMU_TEST_DESTROY_ACCESS_PAGES), T(id, FIELD_FD, 0),
			   T(destroy_pages.item, FIELD_SMALL, 4)}),
	TEST(0, .fields = {OP(VIA_IOMMU_TEST_ACCESS_PAGES), T(id, FIELD_FD, 0),
			   T(access_pages.flags, FIELD_BITS, 0x10001),
			   T(access_pages.iova, FIELD_IOVA, 0),
			   T(access_pages.length, FIELD_LENGTH, 0),
			   T(access_pages.uptr, FIELD_ADDRESS, 0)}),
	TEST(0, .fields = {OP(VIA_IOMMU_TEST_ACCESS_RW), T(id, FIELD_FD, 0),
			   T(access_rw.iova, FIELD_IOVA, 0), T(access_rw.length, FIELD_LENGTH, 0),
			   T(access_rw.uptr, FIELD_ADDRESS, 0),
			   T(access_rw.flags, FIELD_BITS, 0x10005)}),
	TEST(0, .fields = {OP(VIA_IOMMU_TEST_SET_TEMP_MEMORY_LIMIT),
			   T(memory.limit, FIELD_SMALL, 24)}),
	TEST(0, .fields = {OP(VIA_IOMMU_TEST_MOCK_DOMAIN_REPLACE), T(id, FIELD_ID, ID_STDEV),
			   T(replace.pt_id, FIELD_ID, ID_PT)}),
	TEST(0, .fields = {OP(VIA_IOMMU_TEST_ACCESS_REPLACE_IOAS), T(id, FIELD_FD, 0),
			   T(access_replace.ioas_id, FIELD_ID, ID_IOAS)}),
	TEST(0, .fields = {OP(VIA_IOMMU_TEST_DIRTY), T(id, FIELD_ID, ID_PAGING),
			   T(dirty.iova, FIELD_IOVA, 0), T(dirty.length, FIELD_LENGTH, 0),
			   T(dirty.page_size, FIELD_PAGE_SIZE, 0),
			   T(dirty.uptr, FIELD_BUFFER, 0)}),
	TEST(0, .fields = {OP(VIA_IOMMU_TEST_MD_CHECK_IOTLB), T(id, FIELD_ID, ID_NESTED),
			   T(check_word.index, FIELD_SMALL, 5),
			   T(check_word.value, FIELD_SMALL, 3)}),
	TEST(0, .fields = {OP(VIA_IOMMU_TEST_TRIGGER_IOPF), T(iopf.dev_id, FIELD_ID, ID_DEVICE),
			   T(iopf.pasid, FIELD_SMALL, 3), T(iopf.grpid, FIELD_SMALL, 3),
			   T(iopf.perm, FIELD_BITS, 15), T(iopf.addr, FIELD_IOVA, 0)}),
	TEST(0, .fields = {OP(VIA_IOMMU_TEST_DEV_CHECK_CACHE), T(id, FIELD_ID, ID_DEVICE),
			   T(check_word.index, FIELD_SMALL, 5),
			   T(check_word.value, FIELD_SMALL, 3)}),
	TEST(0, .fields = {OP(VIA_IOMMU_TEST_TRIGGER_VEVENT),
			   T(vevent.dev_id, FIELD_ID, ID_DEVICE)}),
	TEST(0, .fields = {OP(VIA_IOMMU_TEST_PASID_ATTACH), T(id, FIELD_ID, ID_STDEV),
			   T(pasid.pasid, FIELD_SMALL, 3), T(pasid.pt_id, FIELD_ID, ID_PT)}),
	TEST(0, .fields = {OP(VIA_IOMMU_TEST_PASID_REPLACE), T(id, FIELD_ID, ID_STDEV),
			   T(pasid.pasid, FIELD_SMALL, 3), T(pasid.pt_id, FIELD_ID, ID_PT)}),
	TEST(0, .fields = {OP(VIA_IOMMU_TEST_PASID_ATTACH), T(id, FIELD_ID, ID_STDEV),
			   T(pasid.pasid, FIELD_CONST, 1024), T(pasid.pt_id, FIELD_ID, ID_PT)}),
	TEST(0, .fields = {OP(VIA_IOMMU_TEST_PASID_DETACH), T(id, FIELD_ID, ID_STDEV),
			   T(pasid.pasid, FIELD_SMALL, 3)}),
	TEST(0, .fields = {OP(VIA_IOMMU_TEST_PASID_CHECK_HWPT), T(id, FIELD_ID, ID_STDEV),
			   T(pasid.pasid, FIELD_SMALL, 3), T(pasid.pt_id, FIELD_ID, ID_PT)}),
	{VIA_IOMMU_TEST_CMD, sizeof(struct via_iommu_test_cmd), ON_IOMMUFD, CALL_RETURNS_FD,
	 .fields = {OP(VIA_IOMMU_TEST_DMABUF_GET), T(dmabuf_get.length, FIELD_LENGTH, 0),
		    T(dmabuf_get.open_flags, FIELD_BITS, 02000000)}},
	TEST(0, .fields = {OP(VIA_IOMMU_TEST_DMABUF_REVOKE), T(dmabuf_revoke.fd, FIELD_FD, 0),
			   T(dmabuf_revoke.revoked, FIELD_SMALL, 2)}),
	TEST(0, .fields = {T(op, FIELD_SMALL, 30), T(id, FIELD_ID, ID_ANY)}),

	{VIA_VFIO_CHECK_EXTENSION, 0, ON_CONTAINER, CALL_VALUE, .fields = {{0, 4, FIELD_SMALL, 12}}},
	{VIA_VFIO_SET_IOMMU, 0, ON_CONTAINER, CALL_VALUE, .fields = {{0, 4, FIELD_SMALL, 10}}},
	CONTAINER(VIA_VFIO_IOMMU_MAP_DMA, via_vfio_iommu_type1_dma_map,
		  .fields = {AT(via_vfio_iommu_type1_dma_map, flags, FIELD_BITS, 7),
			     AT(via_vfio_iommu_type1_dma_map, vaddr, FIELD_ADDRESS, 0),
			     AT(via_vfio_iommu_type1_dma_map, iova, FIELD_IOVA, 0),
			     AT(via_vfio_iommu_type1_dma_map, size, FIELD_LENGTH, 0)}),
	CONTAINER(VIA_VFIO_IOMMU_MAP_DMA, via_vfio_iommu_type1_dma_map,
		  .fields = {AT(via_vfio_iommu_type1_dma_map, flags, FIELD_CONST, 3),
			     AT(via_vfio_iommu_type1_dma_map, vaddr, FIELD_ADDRESS, 0),
			     AT(via_vfio_iommu_type1_dma_map, iova, FIELD_IOVA, 0),
			     AT(via_vfio_iommu_type1_dma_map, size, FIELD_LENGTH, 0)}),
	{VIA_VFIO_IOMMU_UNMAP_DMA, 48, ON_CONTAINER, 0,
	 .fields = {{4, 4, FIELD_BITS, 7},
		    {8, 8, FIELD_IOVA, 0},
		    {16, 8, FIELD_LENGTH, 0},
		    {24, 8, FIELD_PAGE_SIZE, 0},
		    {32, 8, FIELD_SMALL, 24},
		    {40, 8, FIELD_BUFFER, 0}}},
	{VIA_VFIO_IOMMU_UNMAP_DMA, 24, ON_CONTAINER, 0,
	 .fields = {{8, 8, FIELD_IOVA, 0}, {16, 8, FIELD_LENGTH, 0}}},
	{VIA_VFIO_IOMMU_UNMAP_DMA, 24, ON_CONTAINER, 0, .fields = {{4, 4, FIELD_CONST, 2}}},
	{VIA_VFIO_IOMMU_DIRTY_PAGES, 48, ON_CONTAINER, 0,
	 .fields = {{4, 4, FIELD_BITS, 7},
		    {8, 8, FIELD_IOVA, 0},
		    {16, 8, FIELD_LENGTH, 0},
		    {24, 8, FIELD_PAGE_SIZE, 0},
		    {32, 8, FIELD_SMALL, 24},
		    {40, 8, FIELD_BUFFER, 0}}},
	{VIA_VFIO_IOMMU_GET_INFO, 96, ON_CONTAINER, 0},
	{VIA_VFIO_IOMMU_ENABLE, 0, ON_CONTAINER, CALL_VALUE},
	{VIA_VFIO_IOMMU_DISABLE, 0, ON_CONTAINER, CALL_VALUE},
	CONTAINER(VIA_VFIO_IOMMU_SPAPR_REGISTER_MEMORY, via_vfio_iommu_spapr_register_memory,
		  .fields = {AT(via_vfio_iommu_spapr_register_memory, vaddr, FIELD_ADDRESS, 0),
			     AT(via_vfio_iommu_spapr_register_memory, size, FIELD_LENGTH, 0)}),
	CONTAINER(VIA_VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY, via_vfio_iommu_spapr_register_memory,
		  .fields = {AT(via_vfio_iommu_spapr_register_memory, vaddr, FIELD_ADDRESS, 0),
			     AT(via_vfio_iommu_spapr_register_memory, size, FIELD_LENGTH, 0)}),
	CONTAINER(VIA_VFIO_IOMMU_SPAPR_TCE_CREATE, via_vfio_iommu_spapr_tce_create,
		  .fields = {AT(via_vfio_iommu_spapr_tce_create, page_shift, FIELD_SMALL, 26),
			     AT(via_vfio_iommu_spapr_tce_create, window_size, FIELD_NUMBER, 0),
			     AT(via_vfio_iommu_spapr_tce_create, levels, FIELD_SMALL, 7)}),
	CONTAINER(VIA_VFIO_IOMMU_SPAPR_TCE_REMOVE, via_vfio_iommu_spapr_tce_remove,
		  .fields = {AT(via_vfio_iommu_spapr_tce_remove, start_addr, FIELD_NUMBER, 0)}),
	{VIA_VFIO_EEH_PE_OP, 32, ON_CONTAINER, 0, .fields = {{8, 4, FIELD_SMALL, 12}}},

	{VIA_VFIO_GROUP_SET_CONTAINER, 4, ON_GROUP, CALL_NO_SIZE, .fields = {{0, 4, FIELD_FD, 0}}},
	{VIA_VFIO_GROUP_UNSET_CONTAINER, 0, ON_GROUP, CALL_VALUE},
	{VIA_VFIO_GROUP_GET_STATUS, 8, ON_GROUP, 0},
	{VIA_VFIO_GROUP_GET_DEVICE_FD, 0, ON_GROUP, CALL_NAME | CALL_RETURNS_FD},

	{VIA_VFIO_DEVICE_BIND_IOMMUFD, 24, ON_DEVICE, 0, .made = {{12, ID_DEVICE}},
	 .fields = {{4, 4, FIELD_BITS, 1}, {8, 4, FIELD_FD, 0}, {16, 8, FIELD_BUFFER, 0}}},
	{VIA_VFIO_DEVICE_BIND_IOMMUFD, 16, ON_DEVICE, 0, .made = {{12, ID_DEVICE}},
	 .fields = {{8, 4, FIELD_FD, 0}}},
	{VIA_VFIO_DEVICE_ATTACH_IOMMUFD_PT, 12, ON_DEVICE, 0, .made = {{8, ID_PAGING}},
	 .fields = {{8, 4, FIELD_ID, ID_PT}}},
	{VIA_VFIO_DEVICE_ATTACH_IOMMUFD_PT, 16, ON_DEVICE, 0,
	 .fields = {{4, 4, FIELD_BITS, 1}, {8, 4, FIELD_ID, ID_PT}, {12, 4, FIELD_SMALL, 3}}},
	{VIA_VFIO_DEVICE_DETACH_IOMMUFD_PT, 12, ON_DEVICE, 0,
	 .fields = {{4, 4, FIELD_BITS, 1}, {8, 4, FIELD_SMALL, 3}}},
	{VIA_VFIO_DEVICE_RESET, 0, ON_DEVICE, CALL_VALUE},
	{VIA_VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, 64, ON_DEVICE, 0},
	{VIA_VFIO_DEVICE_PCI_HOT_RESET, 24, ON_DEVICE, 0,
	 .fields = {{8, 4, FIELD_SMALL, 3}, {12, 4, FIELD_FD, 0}, {16, 4, FIELD_FD, 0}}},
	{VIA_VFIO_DEVICE_FEATURE, 56, ON_DEVICE, CALL_RETURNS_FD,
	 .fields = {{4, 4, FIELD_CONST, 1u << 16 | VIA_VFIO_DEVICE_FEATURE_DMA_BUF},
		    {8, 4, FIELD_SMALL, 8},
		    {12, 4, FIELD_BITS, 02000002},
		    {20, 4, FIELD_SMALL, 3},
		    {24, 8, FIELD_PAGE_SIZE, 0},
		    {32, 8, FIELD_LENGTH, 0},
		    {40, 8, FIELD_PAGE_SIZE, 0},
		    {48, 8, FIELD_LENGTH, 0}}},
	{VIA_VFIO_DEVICE_FEATURE, 32, ON_DEVICE, 0,
	 .fields = {{4, 4, FIELD_CONST, 2u << 16 | VIA_VFIO_DEVICE_FEATURE_DMA_LOGGING_START},
		    {8, 8, FIELD_PAGE_SIZE, 0},
		    {16, 4, FIELD_SMALL, 4},
		    {24, 8, FIELD_RANGES, 1}}},
	{VIA_VFIO_DEVICE_FEATURE, 40, ON_DEVICE, 0,
	 .fields = {{4, 4, FIELD_CONST, 1u << 16 | VIA_VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT},
		    {8, 8, FIELD_IOVA, 0},
		    {16, 8, FIELD_LENGTH, 0},
		    {24, 8, FIELD_PAGE_SIZE, 0},
		    {32, 8, FIELD_BUFFER, 0}}},
	{VIA_VFIO_DEVICE_FEATURE, 16, ON_DEVICE, 0, .fd_at = 12,
	 .fields = {{4, 4, FIELD_CONST, 2u << 16 | VIA_VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE},
		    {8, 4, FIELD_SMALL, 9},
		    {12, 4, FIELD_CONST, UINT32_MAX}}},
	/* Any feature: its number, and GET, SET or PROBE. */
	{VIA_VFIO_DEVICE_FEATURE, 56, ON_DEVICE, 0,
	 .fields = {{4, 2, FIELD_SMALL, 14}, {6, 2, FIELD_SMALL, 8}, {8, 4, FIELD_FD, 0}}},
	{VIA_VFIO_MIG_GET_PRECOPY_INFO, 24, ON_RESULT, 0},
	/* Of a dma-buf: SYNC, SET_NAME. */
	{0x40086200, 8, ON_RESULT, CALL_NO_SIZE, .fields = {{0, 8, FIELD_BITS, 15}}},
	{0x40086201, 0, ON_RESULT, CALL_NAME},
};

#define CALL_ROWS (sizeof(call_rows) / sizeof(call_rows[0]))

/* More of them, behind a number of their own: those above stay what they are in inputs. */
static const struct call_row more_rows[] = {
	/* The IOAS of an iommufd that is used as a container. */
	NATIVE(VIA_IOMMU_VFIO_IOAS, via_iommu_vfio_ioas,
	       .made = {{offsetof(struct via_iommu_vfio_ioas, ioas_id), ID_IOAS}}),
	{VIA_IOMMU_VFIO_IOAS, sizeof(struct via_iommu_vfio_ioas), ON_CONTAINER, 0,
	 .made = {{offsetof(struct via_iommu_vfio_ioas, ioas_id), ID_IOAS}}},
	NATIVE(VIA_IOMMU_IOAS_MAP_FILE, via_iommu_ioas_map_file,
	       .fields = {AT(via_iommu_ioas_map_file, flags, FIELD_BITS, 7),
			  AT(via_iommu_ioas_map_file, ioas_id, FIELD_ID, ID_IOAS),
			  AT(via_iommu_ioas_map_file, fd, FIELD_MEMORY, 0),
			  AT(via_iommu_ioas_map_file, start, FIELD_LENGTH, 0),
			  AT(via_iommu_ioas_map_file, length, FIELD_LENGTH, 0),
			  AT(via_iommu_ioas_map_file, iova, FIELD_IOVA, 0)}),
	{VIA_IOMMU_IOAS_MAP_FILE, sizeof(struct via_iommu_ioas_map_file), ON_CONTAINER, 0,
	 .fields = {AT(via_iommu_ioas_map_file, flags, FIELD_CONST, 7),
		    AT(via_iommu_ioas_map_file, ioas_id, FIELD_ID, ID_IOAS),
		    AT(via_iommu_ioas_map_file, fd, FIELD_MEMORY, 0),
		    AT(via_iommu_ioas_map_file, length, FIELD_LENGTH, 0),
		    AT(via_iommu_ioas_map_file, iova, FIELD_IOVA, 0)}},
	/* Addresses that are suspended, and resumed. */
	{VIA_VFIO_IOMMU_UNMAP_DMA, 24, ON_CONTAINER, 0,
	 .fields = {{4, 4, FIELD_CONST, VIA_VFIO_DMA_UNMAP_FLAG_VADDR},
		    {8, 8, FIELD_IOVA, 0},
		    {16, 8, FIELD_LENGTH, 0}}},
	{VIA_VFIO_IOMMU_UNMAP_DMA, 24, ON_CONTAINER, 0,
	 .fields = {{4, 4, FIELD_CONST, VIA_VFIO_DMA_UNMAP_FLAG_VADDR | VIA_VFIO_DMA_UNMAP_FLAG_ALL}}},
	CONTAINER(VIA_VFIO_IOMMU_MAP_DMA, via_vfio_iommu_type1_dma_map,
		  .fields = {AT(via_vfio_iommu_type1_dma_map, flags, FIELD_CONST,
				VIA_VFIO_DMA_MAP_FLAG_VADDR),
			     AT(via_vfio_iommu_type1_dma_map, vaddr, FIELD_ADDRESS, 0),
			     AT(via_vfio_iommu_type1_dma_map, iova, FIELD_IOVA, 0),
			     AT(via_vfio_iommu_type1_dma_map, size, FIELD_LENGTH, 0)}),
	/* A bitmap that is as large as it should be. */
	{VIA_VFIO_IOMMU_DIRTY_PAGES, 48, ON_CONTAINER, 0,
	 .fields = {{4, 4, FIELD_CONST, VIA_VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP},
		    {8, 8, FIELD_IOVA, 0},
		    {16, 8, FIELD_LENGTH, 0},
		    {24, 8, FIELD_CONST, 4096},
		    {32, 8, FIELD_CONST, 64},
		    {40, 8, FIELD_ADDRESS, 0}}},
	NATIVE(VIA_IOMMU_HWPT_GET_DIRTY_BITMAP, via_iommu_hwpt_get_dirty_bitmap,
	       .fields = {AT(via_iommu_hwpt_get_dirty_bitmap, hwpt_id, FIELD_ID, ID_PAGING),
			  AT(via_iommu_hwpt_get_dirty_bitmap, iova, FIELD_IOVA, 0),
			  AT(via_iommu_hwpt_get_dirty_bitmap, length, FIELD_LENGTH, 0),
			  AT(via_iommu_hwpt_get_dirty_bitmap, page_size, FIELD_CONST, 4096),
			  AT(via_iommu_hwpt_get_dirty_bitmap, data, FIELD_ADDRESS, 0)}),
};

#define MORE_ROWS (sizeof(more_rows) / sizeof(more_rows[0]))

#endif
