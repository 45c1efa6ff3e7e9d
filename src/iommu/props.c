/* SPDX-License-Identifier: MIT */
#include "iommu/ioas.h"

const struct via_iommu_props *via_iommu_props_intel(void)
{
	static const struct via_iova_range ranges[] = {
		{ 0, 0xfedfffff },
		{ 0xfef00000, 0xffffffffffff },
	};
	static const struct via_iommu_props props = {
		.pgsize_bitmap = 0x40201000,
		.ranges = ranges,
		.n_ranges = sizeof(ranges) / sizeof(ranges[0]),
		.coherent = false, /* no snoop control in the model that we follow */
		.entry_limit = 65535,
	};

	return &props;
}

bool via_ioas_usable(const struct via_iommu_props *props, via_iova_t first, via_iova_t last)
{
	for (size_t i = 0; i < props->n_ranges; i++)
		if (first >= props->ranges[i].first && last <= props->ranges[i].last)
			return true;
	return !props->n_ranges;
}
