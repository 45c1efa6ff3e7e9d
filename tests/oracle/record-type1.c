/* SPDX-License-Identifier: MIT */
/*
 * Writes a line of src/iommu/type1-script.inc on a real kernel with QEMU's
 * intel-iommu. Build it static, run it as: record-type1 VERSION SEED GROUP [trace].
 * Seeds below 100: as root. Others: as a user whose RLIMIT_MEMLOCK is SCRIPT_MEMLOCK.
 */
#include "iommu/type1-script.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>

static int container;

static int answer(int rc)
{
	return rc < 0 ? -errno : rc;
}

static int do_map(const struct via_vfio_iommu_type1_dma_map *map)
{
	struct via_vfio_iommu_type1_dma_map arg = *map;

	return answer(ioctl(container, VIA_VFIO_IOMMU_MAP_DMA, &arg));
}

static int do_unmap(struct via_vfio_iommu_type1_dma_unmap *unmap,
		    const struct via_vfio_bitmap *bitmap)
{
	struct {
		struct via_vfio_iommu_type1_dma_unmap unmap;
		struct via_vfio_bitmap bitmap;
	} arg = { *unmap, *bitmap };
	int rc = answer(ioctl(container, VIA_VFIO_IOMMU_UNMAP_DMA, &arg));

	unmap->size = arg.unmap.size;
	return rc;
}

static int do_dirty(uint32_t flags, const struct via_vfio_iommu_type1_dirty_bitmap_get *get)
{
	struct {
		struct via_vfio_iommu_type1_dirty_bitmap dirty;
		struct via_vfio_iommu_type1_dirty_bitmap_get get;
	} arg = { { sizeof(arg), flags }, *get };

	return answer(ioctl(container, VIA_VFIO_IOMMU_DIRTY_PAGES, &arg));
}

int main(int argc, char **argv)
{
	struct script script = { do_map, do_unmap, do_dirty, argc > 4 ? stderr : NULL };
	uint64_t sums[SCRIPT_SUMS];
	char path[64];
	int group;

	if (argc < 4)
		return 2;
	(void)snprintf(path, sizeof(path), "/dev/vfio/%s", argv[3]);
	container = open("/dev/vfio/vfio", O_RDWR);
	group = open(path, O_RDWR);
	if (container < 0 || group < 0 ||
	    ioctl(group, VIA_VFIO_GROUP_SET_CONTAINER, &container) ||
	    ioctl(container, VIA_VFIO_SET_IOMMU, atol(argv[1])) ||
	    script_run(&script, strtoull(argv[2], NULL, 0), sums)) {
		perror(argv[0]);
		return 1;
	}
	printf("{ %s, %s,\n  {", argv[1], argv[2]);
	for (size_t i = 0; i < SCRIPT_SUMS; i++)
		printf("%s 0x%016llx,", i % 4 ? "" : "\n   ", (unsigned long long)sums[i]);
	printf("\n  } },\n");
	return 0;
}
