/* SPDX-License-Identifier: MIT */
/* Our numbers and layouts against the system's header, for each name that it has. */
#include <viaduct/abi/iommufd.h>
#include <viaduct/abi/vfio.h>

#include <linux/vfio.h>
#include <sys/ioctl.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define SAME(name) assert_int_equal(VIA_##name, name)
#define SAME_AT(type, field) \
	assert_int_equal(offsetof(struct via_##type, field), offsetof(struct type, field))
#define SAME_SIZE(type) assert_int_equal(sizeof(struct via_##type), sizeof(struct type))

static void ioctl_numbers(void **state)
{
	SAME(VFIO_API_VERSION);
	assert_int_equal(VIA_VFIO_TYPE, VFIO_TYPE);
	SAME(VFIO_GET_API_VERSION);
	SAME(VFIO_CHECK_EXTENSION);
	SAME(VFIO_SET_IOMMU);
	SAME(VFIO_GROUP_GET_STATUS);
	SAME(VFIO_GROUP_SET_CONTAINER);
	SAME(VFIO_GROUP_UNSET_CONTAINER);
	SAME(VFIO_GROUP_GET_DEVICE_FD);
	SAME(VFIO_DEVICE_GET_INFO);
	SAME(VFIO_DEVICE_GET_REGION_INFO);
	SAME(VFIO_DEVICE_GET_IRQ_INFO);
	SAME(VFIO_DEVICE_SET_IRQS);
	SAME(VFIO_DEVICE_RESET);
	SAME(VFIO_DEVICE_GET_PCI_HOT_RESET_INFO);
	SAME(VFIO_DEVICE_PCI_HOT_RESET);
	SAME(VFIO_DEVICE_QUERY_GFX_PLANE);
	SAME(VFIO_DEVICE_GET_GFX_DMABUF);
	SAME(VFIO_DEVICE_IOEVENTFD);
	SAME(VFIO_DEVICE_FEATURE);
	SAME(VFIO_IOMMU_GET_INFO);
	SAME(VFIO_IOMMU_MAP_DMA);
	SAME(VFIO_IOMMU_UNMAP_DMA);
	SAME(VFIO_IOMMU_ENABLE);
	SAME(VFIO_IOMMU_DISABLE);
	SAME(VFIO_IOMMU_DIRTY_PAGES);
#ifdef VFIO_DEVICE_BIND_IOMMUFD
	SAME(VFIO_DEVICE_BIND_IOMMUFD);
	SAME(VFIO_DEVICE_ATTACH_IOMMUFD_PT);
	SAME(VFIO_DEVICE_DETACH_IOMMUFD_PT);
#endif
}

static void constants(void **state)
{
	SAME(VFIO_TYPE1_IOMMU);
	SAME(VFIO_SPAPR_TCE_IOMMU);
	SAME(VFIO_TYPE1v2_IOMMU);
	SAME(VFIO_DMA_CC_IOMMU);
	SAME(VFIO_EEH);
	SAME(VFIO_SPAPR_TCE_v2_IOMMU);
	SAME(VFIO_NOIOMMU_IOMMU);
	SAME(VFIO_UNMAP_ALL);
	SAME(VFIO_UPDATE_VADDR);
	SAME(VFIO_GROUP_FLAGS_VIABLE);
	SAME(VFIO_GROUP_FLAGS_CONTAINER_SET);
	SAME(VFIO_DEVICE_FLAGS_RESET);
	SAME(VFIO_DEVICE_FLAGS_PCI);
	SAME(VFIO_DEVICE_FLAGS_CAPS);
	SAME(VFIO_PCI_BAR0_REGION_INDEX);
	SAME(VFIO_PCI_BAR5_REGION_INDEX);
	SAME(VFIO_PCI_ROM_REGION_INDEX);
	SAME(VFIO_PCI_CONFIG_REGION_INDEX);
	SAME(VFIO_PCI_VGA_REGION_INDEX);
	SAME(VFIO_PCI_NUM_REGIONS);
	SAME(VFIO_PCI_INTX_IRQ_INDEX);
	SAME(VFIO_PCI_MSI_IRQ_INDEX);
	SAME(VFIO_PCI_MSIX_IRQ_INDEX);
	SAME(VFIO_PCI_ERR_IRQ_INDEX);
	SAME(VFIO_PCI_REQ_IRQ_INDEX);
	SAME(VFIO_PCI_NUM_IRQS);
	SAME(VFIO_REGION_INFO_FLAG_READ);
	SAME(VFIO_REGION_INFO_FLAG_WRITE);
	SAME(VFIO_REGION_INFO_FLAG_MMAP);
	SAME(VFIO_REGION_INFO_FLAG_CAPS);
	SAME(VFIO_REGION_INFO_CAP_SPARSE_MMAP);
	SAME(VFIO_REGION_INFO_CAP_TYPE);
	SAME(VFIO_REGION_INFO_CAP_MSIX_MAPPABLE);
	SAME(VFIO_IRQ_INFO_EVENTFD);
	SAME(VFIO_IRQ_INFO_MASKABLE);
	SAME(VFIO_IRQ_INFO_AUTOMASKED);
	SAME(VFIO_IRQ_INFO_NORESIZE);
	SAME(VFIO_IRQ_SET_DATA_NONE);
	SAME(VFIO_IRQ_SET_DATA_BOOL);
	SAME(VFIO_IRQ_SET_DATA_EVENTFD);
	SAME(VFIO_IRQ_SET_ACTION_MASK);
	SAME(VFIO_IRQ_SET_ACTION_UNMASK);
	SAME(VFIO_IRQ_SET_ACTION_TRIGGER);
	SAME(VFIO_IRQ_SET_DATA_TYPE_MASK);
	SAME(VFIO_IRQ_SET_ACTION_TYPE_MASK);
	SAME(VFIO_DEVICE_IOEVENTFD_8);
	SAME(VFIO_DEVICE_IOEVENTFD_64);
	SAME(VFIO_DEVICE_IOEVENTFD_SIZE_MASK);
	SAME(VFIO_DEVICE_FEATURE_MASK);
	SAME(VFIO_DEVICE_FEATURE_GET);
	SAME(VFIO_DEVICE_FEATURE_SET);
	SAME(VFIO_DEVICE_FEATURE_PROBE);
	SAME(VFIO_DEVICE_FEATURE_PCI_VF_TOKEN);
	SAME(VFIO_DEVICE_FEATURE_MIGRATION);
	SAME(VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE);
	SAME(VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY);
	SAME(VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP);
	SAME(VFIO_DEVICE_FEATURE_LOW_POWER_EXIT);
	SAME(VFIO_DEVICE_FEATURE_DMA_LOGGING_START);
	SAME(VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP);
	SAME(VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT);
	SAME(VFIO_MIGRATION_STOP_COPY);
	SAME(VFIO_MIGRATION_P2P);
	SAME(VFIO_DEVICE_STATE_ERROR);
	SAME(VFIO_DEVICE_STATE_STOP);
	SAME(VFIO_DEVICE_STATE_RUNNING);
	SAME(VFIO_DEVICE_STATE_STOP_COPY);
	SAME(VFIO_DEVICE_STATE_RESUMING);
	SAME(VFIO_DEVICE_STATE_RUNNING_P2P);
#ifdef VFIO_MIG_GET_PRECOPY_INFO
	SAME(VFIO_MIG_GET_PRECOPY_INFO);
	SAME(VFIO_MIGRATION_PRE_COPY);
	SAME(VFIO_DEVICE_STATE_PRE_COPY);
	SAME(VFIO_DEVICE_STATE_PRE_COPY_P2P);
#endif
	SAME(VFIO_IOMMU_INFO_PGSIZES);
	SAME(VFIO_IOMMU_INFO_CAPS);
	SAME(VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE);
	SAME(VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION);
	SAME(VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL);
	SAME(VFIO_DMA_MAP_FLAG_READ);
	SAME(VFIO_DMA_MAP_FLAG_WRITE);
	SAME(VFIO_DMA_MAP_FLAG_VADDR);
	SAME(VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP);
	SAME(VFIO_DMA_UNMAP_FLAG_ALL);
	SAME(VFIO_DMA_UNMAP_FLAG_VADDR);
	SAME(VFIO_IOMMU_DIRTY_PAGES_FLAG_START);
	SAME(VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP);
	assert_int_equal(VIA_VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP,
			 VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP);
}

static void layouts(void **state)
{
	SAME_SIZE(vfio_info_cap_header);
	SAME_SIZE(vfio_group_status);
	SAME_AT(vfio_device_info, num_irqs);
	SAME_AT(vfio_device_info, cap_offset);
	SAME_SIZE(vfio_region_info);
	SAME_AT(vfio_region_info, cap_offset);
	SAME_AT(vfio_region_info, size);
	SAME_AT(vfio_region_info, offset);
	SAME_SIZE(vfio_region_sparse_mmap_area);
	SAME_SIZE(vfio_region_info_cap_sparse_mmap);
	SAME_AT(vfio_region_info_cap_sparse_mmap, nr_areas);
	SAME_SIZE(vfio_region_info_cap_type);
	SAME_SIZE(vfio_irq_info);
	SAME_AT(vfio_irq_info, count);
	SAME_SIZE(vfio_irq_set);
	SAME_AT(vfio_irq_set, count);
	SAME_SIZE(vfio_pci_dependent_device);
	SAME_AT(vfio_pci_dependent_device, devfn);
	SAME_SIZE(vfio_pci_hot_reset_info);
	SAME_SIZE(vfio_pci_hot_reset);
	SAME_AT(vfio_device_ioeventfd, offset);
	SAME_AT(vfio_device_ioeventfd, data);
	SAME_AT(vfio_device_ioeventfd, fd);
	SAME_SIZE(vfio_device_feature);
	SAME_AT(vfio_iommu_type1_info, iova_pgsizes);
	SAME_AT(vfio_iommu_type1_info, cap_offset);
	SAME_SIZE(vfio_iommu_type1_info_cap_iova_range);
	SAME_SIZE(vfio_iommu_type1_info_cap_migration);
	SAME_AT(vfio_iommu_type1_info_cap_migration, max_dirty_bitmap_size);
	SAME_SIZE(vfio_iommu_type1_info_dma_avail);
	SAME_SIZE(vfio_iommu_type1_dma_map);
	SAME_AT(vfio_iommu_type1_dma_map, vaddr);
	SAME_AT(vfio_iommu_type1_dma_map, iova);
	SAME_SIZE(vfio_iommu_type1_dma_unmap);
	SAME_SIZE(vfio_device_feature_migration);
	SAME_SIZE(vfio_device_feature_mig_state);
	SAME_AT(vfio_device_feature_mig_state, data_fd);
	SAME_SIZE(vfio_device_feature_dma_logging_control);
	SAME_AT(vfio_device_feature_dma_logging_control, num_ranges);
	SAME_AT(vfio_device_feature_dma_logging_control, ranges);
	SAME_SIZE(vfio_device_feature_dma_logging_range);
	SAME_SIZE(vfio_device_feature_dma_logging_report);
	SAME_AT(vfio_device_feature_dma_logging_report, bitmap);
	SAME_SIZE(vfio_bitmap);
	SAME_SIZE(vfio_iommu_type1_dirty_bitmap);
	SAME_SIZE(vfio_iommu_type1_dirty_bitmap_get);
	SAME_AT(vfio_iommu_type1_dirty_bitmap_get, bitmap);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ioctl_numbers),
		cmocka_unit_test(constants),
		cmocka_unit_test(layouts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
