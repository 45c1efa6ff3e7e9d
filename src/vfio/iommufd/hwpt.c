/* SPDX-License-Identifier: MIT */
/*
 * HWPTs: what a program allocates, what comes of itself with an attachment, and
 * the commands that concern the hardware behind (spec iommu.md 2.10.3 - 2.10.5).
 */
#include "vfio/iommufd/hwpt.h"

#include <errno.h>
#include <stdlib.h>

#define PAGE 4096u
#define INFO_SIZE 64u
#define ENTRIES_MAX (1u << 19)

#define PAGING_FLAGS                                                              \
	(VIA_IOMMU_HWPT_ALLOC_NEST_PARENT | VIA_IOMMU_HWPT_ALLOC_DIRTY_TRACKING | \
	 VIA_IOMMU_HWPT_FAULT_ID_VALID | VIA_IOMMU_HWPT_ALLOC_PASID)
#define NESTED_FLAGS (VIA_IOMMU_HWPT_FAULT_ID_VALID | VIA_IOMMU_HWPT_ALLOC_PASID)

/* Objects ------------------------------------------------------------------ */

static const struct via_hwpt *paging_of(const struct via_hwpt *hwpt)
{
	if (hwpt->domain)
		return hwpt;
	return hwpt->parent ? hwpt->parent : hwpt->viommu->hwpt;
}

struct via_domain *via_hwpt_domain(const struct via_hwpt *hwpt)
{
	return paging_of(hwpt)->domain;
}

struct via_ioas *via_hwpt_ioas(const struct via_hwpt *hwpt)
{
	return paging_of(hwpt)->ioas->ioas;
}

static void list(struct via_hwpt *hwpt)
{
	struct via_hwpt **link = &hwpt->ioas->hwpts;

	while (*link)
		link = &(*link)->next;
	*link = hwpt;
}

void via_hwpt_publish(struct via_hwpt *hwpt)
{
	list(hwpt);
	via_object_finish(&hwpt->object);
}

void via_hwpt_unlink(struct via_hwpt *hwpt)
{
	struct via_hwpt **link = &hwpt->ioas->hwpts;

	while (*link && *link != hwpt)
		link = &(*link)->next;
	if (!*link)
		return;
	*link = hwpt->next;
	via_iommufd_container_hwpt(hwpt, false);
}

void via_hwpt_free(struct via_hwpt *hwpt)
{
	bool nested = !hwpt->ioas;

	via_domain_free(hwpt->domain);
	if (hwpt->private && hwpt->ops->free_private)
		hwpt->ops->free_private(hwpt->private, nested);
	if (hwpt->ioas)
		via_object_put(&hwpt->ioas->object);
	if (hwpt->parent)
		via_object_put(&hwpt->parent->object);
	if (hwpt->viommu)
		via_object_put(&hwpt->viommu->object);
	/* The object is the first thing in each. */
	if (hwpt->fault)
		via_object_put((struct via_object *)hwpt->fault);
	pthread_mutex_destroy(&hwpt->dirty_lock);
	free(hwpt);
}

static void hwpt_destroy(struct via_object *object)
{
	struct via_hwpt *hwpt = (struct via_hwpt *)object;

	if (hwpt->ioas) {
		pthread_mutex_lock(&object->iommufd->devices_lock);
		via_hwpt_unlink(hwpt);
		pthread_mutex_unlock(&object->iommufd->devices_lock);
	}
	via_hwpt_free(hwpt);
}

static const struct via_object_ops paging_ops = {VIA_OBJECT_HWPT_PAGING, hwpt_destroy};
static const struct via_object_ops nested_ops = {VIA_OBJECT_HWPT_NESTED, hwpt_destroy};

static int hwpt_new(struct via_iommufd *iommufd, const struct via_object_ops *object_ops,
		    const struct via_iommu_hw_ops *ops, uint32_t flags, struct via_hwpt **ret_hwpt)
{
	struct via_hwpt *hwpt = calloc(1, sizeof(*hwpt));
	int ret;

	if (!hwpt)
		return -ENOMEM;
	ret = via_object_reserve(iommufd, &hwpt->object, object_ops);
	if (ret < 0) {
		free(hwpt);
		return ret;
	}
	pthread_mutex_init(&hwpt->dirty_lock, NULL);
	hwpt->ops = ops;
	hwpt->flags = flags;
	*ret_hwpt = hwpt;
	return 0;
}

static void hwpt_undo(struct via_hwpt *hwpt)
{
	via_object_abort(&hwpt->object);
	via_hwpt_free(hwpt);
}

int via_hwpt_new_paging(struct via_iommufd_ioas *ioas, const struct via_iommu_hw_ops *ops,
			uint32_t flags, const struct via_domain_config *config, void *private,
			struct via_hwpt **ret_hwpt)
{
	struct via_hwpt *hwpt;
	int ret = hwpt_new(ioas->object.iommufd, &paging_ops, ops, flags, &hwpt);

	if (ret < 0) {
		if (private && ops->free_private)
			ops->free_private(private, false);
		return ret;
	}
	hwpt->private = private;
	hwpt->ioas = ioas;
	via_object_use(&ioas->object);
	ret = via_domain_new(ioas->ioas, config, &hwpt->domain);
	if (ret < 0) {
		hwpt_undo(hwpt);
		return ret;
	}
	*ret_hwpt = hwpt;
	return 0;
}

/* HWPT_ALLOC --------------------------------------------------------------- */

static int alloc_paging(const struct via_iommufd_call *call, const struct via_iommu_hwpt_alloc *cmd,
			struct via_iommu_hw *hw, struct via_iommufd_ioas *ioas,
			struct via_hwpt **ret_hwpt)
{
	const uint32_t parent_with_faults =
		VIA_IOMMU_HWPT_FAULT_ID_VALID | VIA_IOMMU_HWPT_ALLOC_NEST_PARENT;
	struct via_domain_config config;
	void *private = NULL;
	int ret;

	if (!hw->ops->paging || (cmd->flags & ~PAGING_FLAGS) ||
	    (cmd->flags & parent_with_faults) == parent_with_faults)
		return -EOPNOTSUPP;
	ret = hw->ops->paging(hw, call, cmd->flags & ~VIA_IOMMU_HWPT_FAULT_ID_VALID, cmd->data_type,
			      cmd->data_len, cmd->data_uptr, &config, &private);
	if (ret < 0)
		return ret;
	return via_hwpt_new_paging(ioas, hw->ops, cmd->flags, &config, private, ret_hwpt);
}

static int alloc_nested(const struct via_iommufd_call *call, const struct via_iommu_hwpt_alloc *cmd,
			struct via_iommu_hw *hw, struct via_hwpt *parent, struct via_viommu *viommu,
			struct via_hwpt **ret_hwpt)
{
	struct via_hwpt *hwpt;
	int ret;

	if (viommu && viommu->hw_ops != hw->ops)
		return -EINVAL;
	if ((cmd->flags & ~NESTED_FLAGS) || !cmd->data_len || !hw->ops->nested)
		return -EOPNOTSUPP;
	if (parent && (parent->automatic || parent->ops != hw->ops ||
		       !(parent->flags & VIA_IOMMU_HWPT_ALLOC_NEST_PARENT)))
		return -EINVAL;
	ret = hwpt_new(call->iommufd, &nested_ops, hw->ops, cmd->flags, &hwpt);
	if (ret < 0)
		return ret;
	hwpt->parent = parent;
	hwpt->viommu = viommu;
	via_object_use(parent ? &parent->object : &viommu->object);
	ret = hw->ops->nested(hw, call, parent ? parent : viommu->hwpt, viommu,
			      cmd->flags & ~VIA_IOMMU_HWPT_FAULT_ID_VALID, cmd->data_type,
			      cmd->data_len, cmd->data_uptr, &hwpt->private);
	if (ret < 0) {
		hwpt_undo(hwpt);
		return ret;
	}
	*ret_hwpt = hwpt;
	return 0;
}

static int alloc_on(const struct via_iommufd_call *call, const struct via_iommu_hwpt_alloc *cmd,
		    struct via_iommu_hw *hw, struct via_object *object, struct via_hwpt **ret_hwpt)
{
	switch (object->ops->kind) {
	case VIA_OBJECT_IOAS:
		return alloc_paging(call, cmd, hw, (struct via_iommufd_ioas *)object, ret_hwpt);
	case VIA_OBJECT_HWPT_PAGING:
		return alloc_nested(call, cmd, hw, (struct via_hwpt *)object, NULL, ret_hwpt);
	case VIA_OBJECT_VIOMMU:
		return alloc_nested(call, cmd, hw, NULL, (struct via_viommu *)object, ret_hwpt);
	default:
		return -EINVAL;
	}
}

static int set_fault(struct via_hwpt *hwpt, uint32_t fault_id)
{
	struct via_object *object =
		via_object_get(hwpt->object.iommufd, fault_id, VIA_OBJECT_FAULT);

	if (!object)
		return -ENOENT;
	hwpt->fault = (struct via_fault_queue *)object;
	return 0;
}

long via_iommufd_hwpt_alloc(const struct via_iommufd_call *call, void *args)
{
	struct via_iommu_hwpt_alloc *cmd = args;
	struct via_iommufd *iommufd = call->iommufd;
	struct via_object *idev, *object;
	struct via_hwpt *hwpt;
	int ret = -EINVAL;

	if (cmd->reserved)
		return -EOPNOTSUPP;
	if ((cmd->data_type == VIA_IOMMU_HWPT_DATA_NONE) != !cmd->data_len)
		return -EINVAL;
	idev = via_object_get(iommufd, cmd->dev_id, VIA_OBJECT_DEVICE);
	if (!idev)
		return -ENOENT;
	object = via_object_get(iommufd, cmd->pt_id, VIA_OBJECT_ANY);
	if (object) {
		ret = alloc_on(call, cmd, ((struct via_idev *)idev)->hw, object, &hwpt);
		via_object_put(object);
	}
	via_object_put(idev);
	if (ret < 0)
		return ret;
	if (cmd->flags & VIA_IOMMU_HWPT_FAULT_ID_VALID)
		ret = set_fault(hwpt, cmd->fault_id);
	if (ret < 0) {
		hwpt_undo(hwpt);
		return ret;
	}
	cmd->out_hwpt_id = hwpt->object.id;
	if (hwpt->ioas) {
		pthread_mutex_lock(&iommufd->devices_lock);
		via_iommufd_container_hwpt(hwpt, true);
		list(hwpt);
		pthread_mutex_unlock(&iommufd->devices_lock);
	}
	via_iommufd_made(call, &hwpt->object);
	return 0;
}

/* GET_HW_INFO -------------------------------------------------------------- */

/* len bytes at addr: what there is, then zeros. */
static int put_info(struct via_caller *caller, uint64_t addr, uint32_t len, const uint8_t *info,
		    uint32_t info_len)
{
	static const uint8_t zeros[PAGE];
	uint32_t done = len < info_len ? len : info_len;
	int ret = via_copy_out(caller, addr, info, done);

	while (!ret && done < len) {
		uint32_t n = len - done < sizeof(zeros) ? len - done : (uint32_t)sizeof(zeros);

		ret = via_copy_out(caller, addr + done, zeros, n);
		done += n;
	}
	return ret;
}

long via_iommufd_get_hw_info(const struct via_iommufd_call *call, void *args)
{
	const uint32_t input_type = VIA_IOMMU_HW_INFO_FLAG_INPUT_TYPE;
	struct via_iommu_hw_info *cmd = args;
	uint32_t type = cmd->flags & input_type ? cmd->data_type : VIA_IOMMU_HW_INFO_TYPE_NONE;
	uint8_t info[INFO_SIZE] = {0};
	struct via_iommu_hw *hw;
	struct via_object *object;
	long len = 0;
	int ret;

	if ((cmd->flags & ~input_type) || cmd->reserved[0] || cmd->reserved[1] || cmd->reserved[2])
		return -EOPNOTSUPP;
	object = via_object_get(call->iommufd, cmd->dev_id, VIA_OBJECT_DEVICE);
	if (!object)
		return -ENOENT;
	hw = ((struct via_idev *)object)->hw;
	if (hw->ops->info)
		len = hw->ops->info(hw, &type, info);
	else if (type != VIA_IOMMU_HW_INFO_TYPE_NONE)
		len = -EOPNOTSUPP;
	cmd->out_max_pasid_log2 = (uint8_t)hw->max_pasid_log2;
	cmd->out_capabilities = hw->capabilities;
	via_object_put(object);
	if (len < 0)
		return len;
	ret = put_info(call->caller, cmd->data_uptr, cmd->data_len, info, (uint32_t)len);
	cmd->data_len = (uint32_t)len;
	cmd->data_type = type;
	return ret;
}

/* HWPT_INVALIDATE ---------------------------------------------------------- */

static int invalidate(struct via_object *object, const struct via_iommufd_call *call,
		      const struct via_iommu_hwpt_invalidate *cmd, uint32_t n, uint32_t *done)
{
	struct via_viommu *viommu = (struct via_viommu *)object;
	struct via_hwpt *hwpt = (struct via_hwpt *)object;

	switch (object->ops->kind) {
	case VIA_OBJECT_HWPT_NESTED:
		if (!hwpt->ops->invalidate)
			return -EOPNOTSUPP;
		return hwpt->ops->invalidate(hwpt, call, cmd->data_type, cmd->data_uptr,
					     cmd->entry_len, n, done);
	case VIA_OBJECT_VIOMMU:
		if (!viommu->ops->invalidate)
			return -EOPNOTSUPP;
		return viommu->ops->invalidate(viommu, call, cmd->data_type, cmd->data_uptr,
					       cmd->entry_len, n, done);
	default:
		return -EINVAL;
	}
}

long via_iommufd_hwpt_invalidate(const struct via_iommufd_call *call, void *args)
{
	struct via_iommu_hwpt_invalidate *cmd = args;
	uint32_t n = cmd->entry_num, done = 0;
	struct via_object *object;
	int ret;

	/* Also when nothing else is: how many are done. */
	cmd->entry_num = 0;
	if (cmd->reserved)
		return -EOPNOTSUPP;
	if (n && (!cmd->data_uptr || !cmd->entry_len || cmd->entry_len > PAGE || n > ENTRIES_MAX))
		return -EINVAL;
	object = via_object_get(call->iommufd, cmd->hwpt_id, VIA_OBJECT_ANY);
	if (!object)
		return -ENOENT;
	ret = invalidate(object, call, cmd, n, &done);
	via_object_put(object);
	cmd->entry_num = done;
	return ret;
}
