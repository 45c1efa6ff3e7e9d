/* SPDX-License-Identifier: MIT */
#include "vfio/iommufd/mock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define TYPE_DOMAIN 0xdeadu	  /* of a domain's blob */
#define TYPE_VIOMMU 0xdeadbeefu	  /* also of invalidations and hardware queues */
#define TYPE_INFO 0xfeedbeefu
#define INFO_REGISTER 0xdeadbeefu
#define CACHE_START 0xbaddadu
#define INVALIDATE_ALL 1u
#define HW_QUEUES 2u
#define PASID_WIDTH 20u
#define PASID_OBSTINATE 1024u
#define VIOMMU_PAGES_SIZE 8192u

#define APERTURE_FIRST 0x1000000u
#define APERTURE_LAST 0x7fffffffu
#define HUGE_APERTURE_LAST (((uint64_t)1 << 56) - 1)

/* What programs pass; sizes are the ABI's. */
struct domain_blob {
	uint32_t iotlb;
	uint32_t table; /* 0: pages of 2 KiB and up, 1: 4 KiB and 1 MiB */
};
struct info_blob {
	uint32_t flags;
	uint32_t reg;
};
struct tlb_entry {
	uint32_t flags;
	uint32_t index;
};
struct cache_entry {
	uint32_t flags;
	uint32_t virt_id;
	uint32_t index;
};
struct viommu_blob {
	uint32_t in_data;
	uint32_t out_data;
	uint64_t mmap_offset;
	uint64_t mmap_length;
};
#define BLOB_MIN sizeof(uint32_t)
#define VIOMMU_BLOB_MIN offsetof(struct viommu_blob, mmap_offset)

/* Private data of domains: of a paging one these two, which are nobody's to free. */
static char default_table, huge_table;
struct nested {
	uint32_t tlb[VIA_MOCK_WORDS]; /* atomic */
};

struct mock_viommu {
	struct via_hw_queue *queues[HW_QUEUES]; /* devices_lock */
};

static struct via_mock *mock_of_hw(struct via_iommu_hw *hw)
{
	return VIA_CONTAINER_OF(hw, struct via_mock, hw);
}

struct via_mock *via_mock_of(struct via_idev *idev)
{
	return idev->hw->ops == &via_mock_hw_ops ? mock_of_hw(idev->hw) : NULL;
}

bool via_mock_huge(const struct via_hwpt *hwpt)
{
	return hwpt->private == &huge_table;
}

uint32_t via_mock_tlb(const struct via_hwpt *hwpt, unsigned int i)
{
	const struct nested *nested = hwpt->private;

	return __atomic_load_n(&nested->tlb[i], __ATOMIC_RELAXED);
}

/* Entry index of words, or all of them. */
static void invalidate_word(uint32_t *words, uint32_t flags, uint32_t index)
{
	for (uint32_t i = 0; i < VIA_MOCK_WORDS; i++) {
		if (i == index || flags & INVALIDATE_ALL)
			__atomic_store_n(&words[i], 0, __ATOMIC_RELAXED);
	}
}

static int check_invalidate(uint32_t flags, uint32_t index)
{
	if (flags & ~INVALIDATE_ALL)
		return -EOPNOTSUPP;
	return index < VIA_MOCK_WORDS ? 0 : -EINVAL;
}

/* Domains ----------------------------------------------------------------------- */

static long mock_info(struct via_iommu_hw *hw, uint32_t *type, void *buf)
{
	static const struct info_blob info = {.reg = INFO_REGISTER};

	if (*type && *type != TYPE_INFO)
		return -EOPNOTSUPP;
	*type = TYPE_INFO;
	memcpy(buf, &info, sizeof(info));
	return sizeof(info);
}

static int domain_blob(const struct via_iommufd_call *call, uint32_t type, uint32_t len,
		       uint64_t uptr, struct domain_blob *ret_blob)
{
	if (type != TYPE_DOMAIN)
		return -EOPNOTSUPP;
	return via_iommufd_blob(call, uptr, len, BLOB_MIN, ret_blob, sizeof(*ret_blob));
}

static int mock_paging(struct via_iommu_hw *hw, const struct via_iommufd_call *call,
		       uint32_t flags, uint32_t data_type, uint32_t data_len, uint64_t data_uptr,
		       struct via_domain_config *ret_config, void **ret_private)
{
	const uint32_t known = VIA_IOMMU_HWPT_ALLOC_DIRTY_TRACKING |
			       VIA_IOMMU_HWPT_ALLOC_NEST_PARENT | VIA_IOMMU_HWPT_ALLOC_PASID;
	const bool dirty = flags & VIA_IOMMU_HWPT_ALLOC_DIRTY_TRACKING;
	struct domain_blob blob = {0};
	int ret = 0;

	if (flags & ~known || (dirty && mock_of_hw(hw)->flags & VIA_MOCK_NO_DIRTY))
		return -EOPNOTSUPP;
	if (data_type)
		ret = domain_blob(call, data_type, data_len, data_uptr, &blob);
	if (ret < 0)
		return ret;
	if (blob.table > 1)
		return -EOPNOTSUPP;
	if (blob.table)
		*ret_config = (struct via_domain_config){
			.pgsize_bitmap = 4096 | VIA_MOCK_LEAF,
			.aperture_last = HUGE_APERTURE_LAST,
		};
	else
		*ret_config = (struct via_domain_config){
			.pgsize_bitmap = ((uint64_t)1 << 37) - VIA_MOCK_PAGE,
			.aperture_first = APERTURE_FIRST,
			.aperture_last = APERTURE_LAST,
		};
	ret_config->dirty = dirty;
	*ret_private = blob.table ? &huge_table : &default_table;
	return 0;
}

static int mock_nested(struct via_iommu_hw *hw, const struct via_iommufd_call *call,
		       struct via_hwpt *parent, struct via_viommu *viommu, uint32_t flags,
		       uint32_t data_type, uint32_t data_len, uint64_t data_uptr,
		       void **ret_private)
{
	struct domain_blob blob;
	struct nested *nested;
	int ret;

	if (flags & ~VIA_IOMMU_HWPT_ALLOC_PASID)
		return -EOPNOTSUPP;
	ret = domain_blob(call, data_type, data_len, data_uptr, &blob);
	if (ret < 0)
		return ret;
	nested = calloc(1, sizeof(*nested));
	if (!nested)
		return -ENOMEM;
	for (size_t i = 0; i < VIA_MOCK_WORDS; i++)
		nested->tlb[i] = blob.iotlb;
	*ret_private = nested;
	return 0;
}

static void mock_free_private(void *private, bool nested)
{
	if (nested)
		free(private);
}

static int mock_fits(struct via_iommu_hw *hw, const struct via_hwpt *hwpt)
{
	if (hwpt->flags & VIA_IOMMU_HWPT_ALLOC_DIRTY_TRACKING &&
	    mock_of_hw(hw)->flags & VIA_MOCK_NO_DIRTY)
		return -EINVAL;
	return 0;
}

/* To whose vIOMMU does the device belong now, and as what? */
static int mock_attach_viommu(struct via_mock *mock, const struct via_hwpt *hwpt)
{
	struct via_vdevice *vdev = NULL;

	if (hwpt && hwpt->viommu) {
		vdev = mock->hw.idev ? mock->hw.idev->vdevice : NULL;
		if (!vdev || vdev->viommu != hwpt->viommu)
			return -ENOENT;
	}
	mock->viommu = vdev ? vdev->viommu : NULL;
	mock->virt_id = vdev ? vdev->virt_id : 0;
	return 0;
}

static int mock_attach(struct via_iommu_hw *hw, uint32_t pasid, struct via_hwpt *hwpt)
{
	struct via_mock *mock = mock_of_hw(hw);

	if (!pasid)
		return mock_attach_viommu(mock, hwpt);
	/* As narrow as can be: there is room for the device's own requests. */
	if (hwpt && !(mock->flags & VIA_MOCK_PASID))
		return -EINVAL;
	if (pasid == PASID_OBSTINATE) {
		mock->refuses = hwpt && !mock->refuses;
		if (hwpt && !mock->refuses)
			return -ENOMEM;
	}
	return 0;
}

static int mock_invalidate(struct via_hwpt *hwpt, const struct via_iommufd_call *call,
			   uint32_t type, uint64_t uptr, uint32_t entry_len, uint32_t n,
			   uint32_t *done)
{
	struct nested *nested = hwpt->private;
	struct tlb_entry entry;
	int ret;

	if (type != TYPE_VIOMMU)
		return -EINVAL;
	for (*done = 0; *done < n; (*done)++) {
		ret = via_iommufd_blob(call, uptr + (uint64_t)*done * entry_len, entry_len,
				       sizeof(entry), &entry, sizeof(entry));
		if (!ret)
			ret = check_invalidate(entry.flags, entry.index);
		if (!ret)
			ret = via_iommufd_heard(call, *done);
		if (ret < 0)
			return ret;
		invalidate_word(nested->tlb, entry.flags, entry.index);
	}
	return 0;
}

/* vIOMMUs ------------------------------------------------------------------------ */

static void mock_viommu_destroy(struct via_viommu *viommu)
{
	free(viommu->private);
}

static int invalidate_cache(struct via_viommu *viommu, const struct cache_entry *entry)
{
	struct via_iommufd *iommufd = viommu->object.iommufd;
	struct via_vdevice *vdev;
	int ret = check_invalidate(entry->flags, entry->index);

	if (ret < 0)
		return ret;
	pthread_mutex_lock(&iommufd->devices_lock);
	vdev = via_viommu_vdevice(viommu, entry->virt_id);
	if (vdev)
		invalidate_word(mock_of_hw(vdev->idev->hw)->cache, entry->flags, entry->index);
	pthread_mutex_unlock(&iommufd->devices_lock);
	return vdev ? 0 : -EINVAL;
}

/* Of any length: what is missing is zero, what we do not know has to be. */
static int get_entry(const struct via_iommufd_call *call, uint64_t addr, uint32_t len,
		     struct cache_entry *ret_entry)
{
	const uint32_t known = len < sizeof(*ret_entry) ? len : (uint32_t)sizeof(*ret_entry);
	int ret;

	memset(ret_entry, 0, sizeof(*ret_entry));
	ret = via_copy_in(call->caller, ret_entry, addr, known);
	if (!ret && len > known)
		ret = via_check_zeros(call->caller, addr + known, len - known);
	return ret;
}

static int mock_viommu_invalidate(struct via_viommu *viommu, const struct via_iommufd_call *call,
				  uint32_t type, uint64_t uptr, uint32_t entry_len, uint32_t n,
				  uint32_t *done)
{
	struct cache_entry *entries;
	int ret = 0;

	*done = 0;
	if (type != TYPE_VIOMMU)
		return -EINVAL;
	/* All entries are taken over before the first is looked at. */
	entries = calloc(n ? n : 1, sizeof(*entries));
	if (!entries)
		return -ENOMEM;
	for (uint32_t i = 0; !ret && i < n; i++) {
		ret = get_entry(call, uptr + (uint64_t)i * entry_len, entry_len, &entries[i]);
		if (!ret)
			ret = via_iommufd_heard(call, i);
	}
	while (!ret && *done < n) {
		ret = invalidate_cache(viommu, &entries[*done]);
		if (!ret)
			++*done;
	}
	free(entries);
	return ret;
}

static bool mock_has_veventq(struct via_viommu *viommu, uint32_t type)
{
	return type == VIA_MOCK_VEVENTQ;
}

static bool mock_has_hw_queue(struct via_viommu *viommu, uint32_t type)
{
	return type == TYPE_VIOMMU;
}

static int mock_hw_queue_add(struct via_viommu *viommu, struct via_hw_queue *queue)
{
	struct mock_viommu *mock = viommu->private;
	const uint32_t i = queue->index;

	if (i >= HW_QUEUES)
		return -EINVAL;
	if (mock->queues[i])
		return -EEXIST;
	if (i && !mock->queues[i - 1])
		return -EIO;
	/* Queues go in the opposite order. */
	if (i)
		via_object_use(&mock->queues[i - 1]->object);
	mock->queues[i] = queue;
	return 0;
}

static void mock_hw_queue_remove(struct via_viommu *viommu, struct via_hw_queue *queue)
{
	struct mock_viommu *mock = viommu->private;

	mock->queues[queue->index] = NULL;
	if (queue->index)
		via_object_put(&mock->queues[queue->index - 1]->object);
}

static const struct via_viommu_ops mock_viommu_ops = {
	.destroy = mock_viommu_destroy,
	.invalidate = mock_viommu_invalidate,
	.has_veventq = mock_has_veventq,
	.has_hw_queue = mock_has_hw_queue,
	.hw_queue_add = mock_hw_queue_add,
	.hw_queue_remove = mock_hw_queue_remove,
};

/* Pages for the program, with what it has passed in their first word. */
static int offer_pages(struct via_viommu *viommu, uint32_t data)
{
	int fd = memfd_create("viommu", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int ret = 0;

	if (fd < 0)
		return -ENOMEM;
	if (ftruncate(fd, VIOMMU_PAGES_SIZE) < 0 ||
	    pwrite(fd, &data, sizeof(data), 0) != sizeof(data) ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		ret = -ENOMEM;
	if (!ret)
		ret = via_viommu_offer(viommu, fd, VIOMMU_PAGES_SIZE);
	if (ret < 0)
		(void)close(fd);
	return ret;
}

static int viommu_data(struct via_viommu *viommu, const struct via_iommufd_call *call,
		       uint32_t len, uint64_t uptr)
{
	struct viommu_blob blob;
	int ret;

	ret = via_iommufd_blob(call, uptr, len, VIOMMU_BLOB_MIN, &blob, sizeof(blob));
	if (!ret)
		ret = offer_pages(viommu, blob.in_data);
	if (ret < 0)
		return ret;
	blob.out_data = blob.in_data;
	blob.mmap_offset = viommu->mmap_offset;
	blob.mmap_length = viommu->mmap_length;
	return via_copy_out(call->caller, uptr, &blob, len < sizeof(blob) ? len : sizeof(blob));
}

static int mock_viommu(struct via_iommu_hw *hw, const struct via_iommufd_call *call, uint32_t type,
		       uint32_t data_len, uint64_t data_uptr, struct via_viommu *viommu)
{
	struct mock_viommu *mock;
	int ret = 0;

	if (type != TYPE_VIOMMU)
		return -EOPNOTSUPP;
	if (!viommu)
		return 0;
	mock = calloc(1, sizeof(*mock));
	if (!mock)
		return -ENOMEM;
	if (data_len)
		ret = viommu_data(viommu, call, data_len, data_uptr);
	if (ret < 0) {
		free(mock);
		return ret;
	}
	viommu->private = mock;
	viommu->ops = &mock_viommu_ops;
	return 0;
}

const struct via_iommu_hw_ops via_mock_hw_ops = {
	.name = "mock",
	.info = mock_info,
	.paging = mock_paging,
	.nested = mock_nested,
	.free_private = mock_free_private,
	.fits = mock_fits,
	.attach = mock_attach,
	.invalidate = mock_invalidate,
	.viommu = mock_viommu,
};

/* Devices ------------------------------------------------------------------------ */

static void mock_destroy(struct via_object *object)
{
	struct via_mock *mock = VIA_CONTAINER_OF(object, struct via_mock, object);

	via_idev_unbind(mock->idev);
	free(mock);
}

static const struct via_object_ops mock_object_ops = {
	.kind = VIA_OBJECT_TEST,
	.destroy = mock_destroy,
};

static void init_hw(struct via_mock *mock, uint32_t flags)
{
	mock->flags = flags;
	mock->hw = (struct via_iommu_hw){
		.ops = &via_mock_hw_ops,
		.group = mock,
		.capabilities = VIA_IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED,
		.max_pasid_log2 = flags & VIA_MOCK_PASID ? PASID_WIDTH : 0,
		.isolated_msi = true,
		.inside = true,
	};
	if (!(flags & VIA_MOCK_NO_DIRTY))
		mock->hw.capabilities |= VIA_IOMMU_HW_CAP_DIRTY_TRACKING;
	for (size_t i = 0; i < VIA_MOCK_WORDS; i++)
		mock->cache[i] = CACHE_START;
}

int via_mock_new(struct via_iommufd *iommufd, uint32_t flags, uint32_t *pt_id,
		 struct via_mock **ret_mock)
{
	struct via_mock *mock = calloc(1, sizeof(*mock));
	int ret;

	if (!mock)
		return -ENOMEM;
	/* Before the device's: programs count ids. */
	ret = via_object_reserve(iommufd, &mock->object, &mock_object_ops);
	if (ret < 0) {
		free(mock);
		return ret;
	}
	ret = flags & ~(VIA_MOCK_NO_DIRTY | VIA_MOCK_PASID) ? -EINVAL : 0;
	init_hw(mock, flags);
	if (!ret)
		ret = via_idev_bind(iommufd, &mock->hw, &mock->idev);
	if (!ret) {
		ret = via_idev_attach(mock->idev, 0, false, pt_id);
		if (ret < 0)
			via_idev_unbind(mock->idev);
	}
	if (ret < 0) {
		via_object_abort(&mock->object);
		free(mock);
		return ret;
	}
	*ret_mock = mock;
	return 0;
}
