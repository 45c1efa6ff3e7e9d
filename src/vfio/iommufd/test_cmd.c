/* SPDX-License-Identifier: MIT */
/*
 * TEST_CMD: what the kernel's own tests of iommufd ask for besides the ABI, to
 * have devices and to look inside (spec iommu.md 9.3). Offered on request only.
 */
#include "vfio/iommufd/test_cmd.h"
#include "vfio/iommufd/mock.h"
#include "vfio/iommufd/test_access.h"

#include "base/util.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/vfs.h>
#include <unistd.h>

#define PAGE ((uint64_t)4096)
#define DIRTY_BITS_MAX ((uint64_t)1 << 27)
#define MEMORY_LIMIT_MIN 12u

/* Objects, each with a user ------------------------------------------------------ */

static struct via_mock *mock_get(struct via_iommufd *iommufd, uint32_t id)
{
	struct via_object *object = via_object_get(iommufd, id, VIA_OBJECT_TEST);

	return object ? VIA_CONTAINER_OF(object, struct via_mock, object) : NULL;
}

static int hwpt_get(struct via_iommufd *iommufd, uint32_t id, enum via_object_kind kind,
		    struct via_hwpt **ret_hwpt)
{
	struct via_object *object = via_object_get(iommufd, id, kind);
	struct via_hwpt *hwpt;

	if (!object)
		return -ENOENT;
	hwpt = VIA_CONTAINER_OF(object, struct via_hwpt, object);
	if (hwpt->ops != &via_mock_hw_ops) {
		via_object_put(object);
		return -EINVAL;
	}
	*ret_hwpt = hwpt;
	return 0;
}

/* By the id of a DEVICE; put with via_object_put(&mock->idev->object). */
static int device_get(struct via_iommufd *iommufd, uint32_t id, struct via_mock **ret_mock)
{
	struct via_object *object = via_object_get(iommufd, id, VIA_OBJECT_DEVICE);
	struct via_mock *mock;

	if (!object)
		return -ENOENT;
	mock = via_mock_of(VIA_CONTAINER_OF(object, struct via_idev, object));
	if (!mock) {
		via_object_put(object);
		return -EINVAL;
	}
	*ret_mock = mock;
	return 0;
}

/* Devices ------------------------------------------------------------------------- */

static int add_reserved(struct via_iommufd *iommufd, const struct via_iommu_test_cmd *cmd)
{
	const uint64_t start = cmd->reserve.start, length = cmd->reserve.length;
	struct via_object *object;
	int ret;

	if (!length)
		return -EINVAL;
	if (length - 1 > UINT64_MAX - start)
		return -EOVERFLOW;
	object = via_object_get(iommufd, cmd->id, VIA_OBJECT_IOAS);
	if (!object)
		return -ENOENT;
	ret = via_ioas_reserve(VIA_CONTAINER_OF(object, struct via_iommufd_ioas, object)->ioas,
			       start, start + (length - 1), NULL);
	via_object_put(object);
	return ret;
}

static int mock_domain(const struct via_iommufd_call *call, struct via_iommu_test_cmd *cmd)
{
	const bool flags = cmd->op == VIA_IOMMU_TEST_MOCK_DOMAIN_FLAGS;
	struct via_mock *mock;
	uint32_t pt_id = cmd->id;
	int ret;

	ret = via_mock_new(call->iommufd, flags ? cmd->domain.dev_flags : 0, &pt_id, &mock);
	if (ret < 0)
		return ret;
	cmd->domain.out_stdev_id = mock->object.id;
	cmd->domain.out_hwpt_id = pt_id;
	cmd->domain.out_idev_id = mock->idev->object.id;
	ret = via_iommufd_reply(call, cmd);
	if (ret < 0) {
		via_object_abort(&mock->object);
		mock->object.ops->destroy(&mock->object);
		return ret;
	}
	via_object_finish(&mock->object);
	return 0;
}

/* Attach, or replace, as pasid. */
static int attach(const struct via_iommufd_call *call, struct via_iommu_test_cmd *cmd,
		  uint32_t pasid, bool replace, uint32_t *pt_id)
{
	struct via_mock *mock = mock_get(call->iommufd, cmd->id);
	int ret;

	if (!mock)
		return -ENOENT;
	ret = via_idev_attach(mock->idev, pasid, replace, pt_id);
	if (!ret)
		ret = via_iommufd_reply(call, cmd);
	else
		replace = true;
	if (ret < 0 && !replace)
		via_idev_detach(mock->idev, pasid);
	via_object_put(&mock->object);
	return ret;
}

static int detach(struct via_iommufd *iommufd, const struct via_iommu_test_cmd *cmd)
{
	struct via_mock *mock = mock_get(iommufd, cmd->id);

	if (!mock)
		return -ENOENT;
	via_idev_detach(mock->idev, cmd->pasid.pasid);
	via_object_put(&mock->object);
	return 0;
}

/* Is hwpt_id (0: nothing) what pasid is attached to? */
static int check_hwpt(struct via_iommufd *iommufd, const struct via_iommu_test_cmd *cmd)
{
	const uint32_t id = cmd->pasid.pt_id;
	struct via_mock *mock = mock_get(iommufd, cmd->id);
	struct via_object *object = NULL;
	const struct via_hwpt *hwpt;
	int ret = -ENOENT;

	if (!mock)
		return -ENOENT;
	if (id) {
		object = via_object_get(iommufd, id, VIA_OBJECT_ANY);
		if (!object)
			goto out;
		ret = -EINVAL;
		if (object->ops->kind != VIA_OBJECT_HWPT_PAGING &&
		    object->ops->kind != VIA_OBJECT_HWPT_NESTED)
			goto out;
	}
	pthread_mutex_lock(&iommufd->devices_lock);
	hwpt = via_idev_hwpt(mock->idev, cmd->pasid.pasid);
	ret = (hwpt ? &hwpt->object : NULL) == object ? 0 : -EINVAL;
	pthread_mutex_unlock(&iommufd->devices_lock);
out:
	if (object)
		via_object_put(object);
	via_object_put(&mock->object);
	return ret;
}

/* Events --------------------------------------------------------------------------- */

/* Where do the faults of pasid go? devices_lock held. */
static struct via_hwpt *fault_target(struct via_mock *mock, uint32_t pasid)
{
	struct via_hwpt *hwpt = via_idev_hwpt(mock->idev, pasid);

	if (hwpt || !pasid)
		return hwpt;
	/* Of a PASID that only the guest knows: it lies in the nested domain's own table. */
	hwpt = via_idev_hwpt(mock->idev, 0);
	return hwpt && hwpt->object.ops->kind == VIA_OBJECT_HWPT_NESTED ? hwpt : NULL;
}

static int trigger_iopf(struct via_iommufd *iommufd, const struct via_iommu_test_cmd *cmd)
{
	struct via_iommu_hwpt_pgfault fault = {
		.flags = VIA_IOMMU_PGFAULT_FLAGS_LAST_PAGE,
		.pasid = cmd->iopf.pasid,
		.grpid = cmd->iopf.grpid,
		.perm = cmd->iopf.perm,
		.addr = cmd->iopf.addr,
	};
	struct via_hwpt *hwpt;
	struct via_mock *mock;
	int ret = device_get(iommufd, cmd->iopf.dev_id, &mock);

	if (ret < 0)
		return ret;
	if (fault.pasid)
		fault.flags |= VIA_IOMMU_PGFAULT_FLAGS_PASID_VALID;
	pthread_mutex_lock(&iommufd->devices_lock);
	hwpt = fault_target(mock, fault.pasid);
	/* What nobody takes the device would be told; it has no ears. */
	if (hwpt)
		(void)via_fault_report(hwpt, mock->idev, &fault, 1, NULL, NULL);
	pthread_mutex_unlock(&iommufd->devices_lock);
	via_object_put(&mock->idev->object);
	return 0;
}

static int trigger_vevent(struct via_iommufd *iommufd, const struct via_iommu_test_cmd *cmd)
{
	struct via_mock *mock;
	uint32_t virt_id;
	int ret = device_get(iommufd, cmd->vevent.dev_id, &mock);

	if (ret < 0)
		return ret;
	ret = -ENOENT;
	pthread_mutex_lock(&iommufd->devices_lock);
	virt_id = (uint32_t)mock->virt_id;
	if (mock->viommu && mock->virt_id)
		ret = via_viommu_event(mock->viommu, VIA_MOCK_VEVENTQ, &virt_id, sizeof(virt_id));
	pthread_mutex_unlock(&iommufd->devices_lock);
	via_object_put(&mock->idev->object);
	return ret;
}

/* Looking inside ------------------------------------------------------------------- */

static int check_map(const struct via_iommufd_call *call, const struct via_iommu_test_cmd *cmd)
{
	const uint64_t iova = cmd->check_map.iova, length = cmd->check_map.length;
	const uint64_t uptr = cmd->check_map.uptr;
	uint64_t page = VIA_MOCK_PAGE, end;
	struct via_hwpt *hwpt;
	int ret = hwpt_get(call->iommufd, cmd->id, VIA_OBJECT_HWPT_PAGING, &hwpt);

	if (ret < 0)
		return ret;
	if (via_mock_huge(hwpt))
		page = PAGE;
	if (iova % page || length % page || uptr % page ||
	    __builtin_add_overflow(uptr, length, &end))
		ret = -EINVAL;
	for (uint64_t at = 0; !ret && at < length; at += page) {
		ret = via_mock_check_page(hwpt, iova + at, call->caller->mm, uptr + at);
		if (!ret)
			ret = via_iommufd_heard(call, at / page);
	}
	via_object_put(&hwpt->object);
	return ret;
}

/* Does the page belong to a file of huge pages, whose pins a kernel counts elsewhere? */
static bool is_huge(struct via_mm *mm, uint64_t addr)
{
	struct via_backing backing;
	struct statfs st;
	bool huge;

	if (mm->ops->backing(mm, addr, PAGE, 0, &backing) < 0 || backing.fd < 0)
		return false;
	huge = fstatfs(backing.fd, &st) == 0 && st.f_type == HUGETLBFS_MAGIC;
	(void)close(backing.fd);
	return huge;
}

static int check_refs(const struct via_iommufd_call *call, const struct via_iommu_test_cmd *cmd)
{
	const uint64_t uptr = cmd->check_refs.uptr, length = cmd->check_refs.length;
	struct via_mm *mm = call->caller->mm;
	struct via_page_identity identity;
	uint64_t end;

	if (length % PAGE || uptr % PAGE || __builtin_add_overflow(uptr, length, &end))
		return -EINVAL;
	for (uint64_t addr = uptr; addr != end; addr += PAGE) {
		if (via_mm_identity(mm, addr, &identity) < 0)
			return -EFAULT;
		if (via_pages_count_pins(&identity) != cmd->check_refs.refs && !is_huge(mm, addr))
			return -EIO;
		if (via_iommufd_heard(call, (addr - uptr) / PAGE) < 0)
			return -EINTR;
	}
	return 0;
}

static int check_tlb(struct via_iommufd *iommufd, const struct via_iommu_test_cmd *cmd)
{
	struct via_hwpt *hwpt;
	int ret = hwpt_get(iommufd, cmd->id, VIA_OBJECT_HWPT_NESTED, &hwpt);

	if (ret < 0)
		return ret;
	if (cmd->check_word.index >= VIA_MOCK_WORDS ||
	    via_mock_tlb(hwpt, cmd->check_word.index) != cmd->check_word.value)
		ret = -EINVAL;
	via_object_put(&hwpt->object);
	return ret;
}

static int check_cache(struct via_iommufd *iommufd, const struct via_iommu_test_cmd *cmd)
{
	const uint32_t i = cmd->check_word.index;
	struct via_mock *mock;
	int ret = device_get(iommufd, cmd->id, &mock);

	if (ret < 0)
		return ret;
	if (i >= VIA_MOCK_WORDS ||
	    __atomic_load_n(&mock->cache[i], __ATOMIC_RELAXED) != cmd->check_word.value)
		ret = -EINVAL;
	via_object_put(&mock->idev->object);
	return ret;
}

/* Dirty tracking ------------------------------------------------------------------- */

/* For each bit of the program's map, a device's write at its page. */
static int mark_dirty(const struct via_iommufd_call *call, struct via_hwpt *hwpt,
		      struct via_iommu_test_cmd *cmd, uint64_t n)
{
	const size_t size = (n + 7) / 8;
	uint8_t *bits = malloc(size);
	uint64_t count = 0;
	int ret;

	if (!bits)
		return -ENOMEM;
	ret = via_copy_in(call->caller, bits, cmd->dirty.uptr, size);
	for (uint64_t i = 0; !ret && i < n; i++) {
		ret = via_iommufd_heard(call, i);
		if (ret || !(bits[i / 8] >> (i % 8) & 1))
			continue;
		via_mock_mark_dirty(hwpt, cmd->dirty.iova + i * cmd->dirty.page_size);
		count++;
	}
	free(bits);
	if (ret < 0)
		return ret;
	cmd->dirty.out_n_dirty = count;
	return via_iommufd_reply(call, cmd);
}

static int dirty(const struct via_iommufd_call *call, struct via_iommu_test_cmd *cmd)
{
	const uint64_t page_size = cmd->dirty.page_size, length = cmd->dirty.length;
	struct via_hwpt *hwpt;
	int ret;

	if (!page_size || !length || cmd->dirty.iova % page_size || length % page_size ||
	    !cmd->dirty.uptr)
		return -EINVAL;
	if (length / page_size > DIRTY_BITS_MAX)
		return -EOVERFLOW;
	ret = hwpt_get(call->iommufd, cmd->id, VIA_OBJECT_HWPT_PAGING, &hwpt);
	if (ret < 0)
		return ret;
	if (!via_domain_tracks(hwpt->domain))
		ret = -EINVAL;
	else
		ret = mark_dirty(call, hwpt, cmd, length / page_size);
	via_object_put(&hwpt->object);
	return ret;
}

/* Dispatch ------------------------------------------------------------------------- */

long via_iommufd_test_cmd(const struct via_iommufd_call *call, void *args)
{
	struct via_iommufd *iommufd = call->iommufd;
	struct via_iommu_test_cmd *cmd = args;

	switch (cmd->op) {
	case VIA_IOMMU_TEST_ADD_RESERVED:
		return add_reserved(iommufd, cmd);
	case VIA_IOMMU_TEST_MOCK_DOMAIN:
	case VIA_IOMMU_TEST_MOCK_DOMAIN_FLAGS:
		return mock_domain(call, cmd);
	case VIA_IOMMU_TEST_MD_CHECK_MAP:
		return check_map(call, cmd);
	case VIA_IOMMU_TEST_MD_CHECK_REFS:
		return check_refs(call, cmd);
	case VIA_IOMMU_TEST_CREATE_ACCESS:
		return via_test_access_create(call, cmd);
	case VIA_IOMMU_TEST_DESTROY_ACCESS_PAGES:
		return via_test_access_unpin(call, cmd);
	case VIA_IOMMU_TEST_ACCESS_PAGES:
		return via_test_access_pages(call, cmd);
	case VIA_IOMMU_TEST_ACCESS_RW:
		return via_test_access_rw(call, cmd);
	case VIA_IOMMU_TEST_SET_TEMP_MEMORY_LIMIT:
		/* Our batches are as large as they are. */
		return cmd->memory.limit < MEMORY_LIMIT_MIN ? -EINVAL : 0;
	case VIA_IOMMU_TEST_MOCK_DOMAIN_REPLACE:
		return attach(call, cmd, 0, true, &cmd->replace.pt_id);
	case VIA_IOMMU_TEST_ACCESS_REPLACE_IOAS:
		return via_test_access_replace(call, cmd);
	case VIA_IOMMU_TEST_DIRTY:
		return dirty(call, cmd);
	case VIA_IOMMU_TEST_MD_CHECK_IOTLB:
		return check_tlb(iommufd, cmd);
	case VIA_IOMMU_TEST_TRIGGER_IOPF:
		return trigger_iopf(iommufd, cmd);
	case VIA_IOMMU_TEST_DEV_CHECK_CACHE:
		return check_cache(iommufd, cmd);
	case VIA_IOMMU_TEST_TRIGGER_VEVENT:
		return trigger_vevent(iommufd, cmd);
	case VIA_IOMMU_TEST_PASID_ATTACH:
		return attach(call, cmd, cmd->pasid.pasid, false, &cmd->pasid.pt_id);
	case VIA_IOMMU_TEST_PASID_REPLACE:
		return attach(call, cmd, cmd->pasid.pasid, true, &cmd->pasid.pt_id);
	case VIA_IOMMU_TEST_PASID_DETACH:
		return detach(iommufd, cmd);
	case VIA_IOMMU_TEST_PASID_CHECK_HWPT:
		return check_hwpt(iommufd, cmd);
	case VIA_IOMMU_TEST_DMABUF_GET:
		return via_mock_dmabuf_get(call->caller, cmd->dmabuf_get.length,
					   cmd->dmabuf_get.open_flags);
	case VIA_IOMMU_TEST_DMABUF_REVOKE:
		return via_mock_dmabuf_revoke(call->caller, cmd->dmabuf_revoke.fd,
					      cmd->dmabuf_revoke.revoked);
	default:
		return -EOPNOTSUPP;
	}
}
