/* SPDX-License-Identifier: MIT */
/*
 * What the devices of a context are attached to (spec iommu.md 2.10.2).
 *
 * Hardware moves groups, not devices: what is attached as a PASID is the
 * group's. The first device of a group that attaches moves it, the others only
 * join, a replace by any of them moves it again, and the last one that leaves
 * ends it. So a group keeps one entry for each PASID, with the devices that have asked.
 */
#include "vfio/iommufd/attach.h"

#include "iommu/suspend.h"
#include "vfio/profile.h"

#include <errno.h>
#include <stdlib.h>

/* Moving ------------------------------------------------------------------- */

/* Back to what was there before; what cannot be restored reaches nothing. */
static void reset_hardware(struct via_idev *idev, uint32_t pasid, struct via_hwpt *old)
{
	if (via_idev_set_hardware(idev, pasid, old) < 0 && old)
		(void)via_idev_set_hardware(idev, pasid, NULL);
}

/* Let all devices of the group reach memory through hwpt (NULL: nothing), or none. */
static int move_group(struct via_iommufd_group *group, uint32_t pasid, struct via_hwpt *hwpt)
{
	struct via_hwpt *old = via_attachment_hwpt(group, pasid);

	for (struct via_idev *idev = group->devices; hwpt && idev; idev = idev->next) {
		if (__atomic_load_n(&idev->hw->resetting, __ATOMIC_ACQUIRE))
			return -EBUSY;
	}
	for (struct via_idev *idev = group->devices; idev; idev = idev->next) {
		int ret = via_idev_set_hardware(idev, pasid, hwpt);

		if (ret < 0) {
			for (struct via_idev *done = group->devices; done != idev;
			     done = done->next)
				reset_hardware(done, pasid, old);
			return ret;
		}
	}
	if (old && old->fault) {
		for (struct via_idev *idev = group->devices; idev; idev = idev->next)
			via_fault_flush(old, idev);
	}
	return 0;
}

/* What the hardware, as far as all of it agrees, says to a domain with these flags as pasid. */
static int check_flags(const struct via_iommufd_group *group, const struct via_idev *idev,
		       uint32_t pasid, uint32_t flags)
{
	const struct via_attachment *first = group->attachments;
	const struct via_hwpt *own = via_attachment_hwpt(group, 0);
	bool pasids = flags & VIA_IOMMU_HWPT_ALLOC_PASID;

	if (!pasid) {
		bool others =
			group->n_attachments > (first && group->n_attachments && !first->pasid);

		return others && !pasids ? -EINVAL : 0;
	}
	if (!pasids || (own && !(own->flags & VIA_IOMMU_HWPT_ALLOC_PASID)))
		return -EINVAL;
	/* Linux looks at the limit only if there is one. */
	if (!idev->hw->max_pasid_log2)
		return via_profile_full(idev->object.iommufd->vfio, VIA_DIFFERS_PASID_LIMIT)
			       ? -EINVAL
			       : 0;
	return pasid >> idev->hw->max_pasid_log2 ? -EINVAL : 0;
}

static int check_hardware(const struct via_iommufd_group *group, const struct via_hwpt *hwpt)
{
	for (struct via_idev *idev = group->devices; idev; idev = idev->next) {
		const struct via_iommu_hw_ops *ops = idev->hw->ops;
		int ret = hwpt->ops == ops ? 0 : -EINVAL;

		if (!ret && ops->fits)
			ret = ops->fits(idev->hw, hwpt);
		if (ret < 0)
			return ret;
	}
	return 0;
}

/* Keep out of ioas what the hardware has reserved for idev. */
static int reserve(struct via_idev *idev, struct via_ioas *ioas)
{
	const struct via_iommu_hw_ops *ops = idev->hw->ops;
	struct via_iova_range range;

	for (unsigned int i = 0; ops->reserved && ops->reserved(idev->hw, i, &range); i++) {
		int ret = via_ioas_reserve(ioas, range.first, range.last, idev);

		if (ret < 0) {
			via_ioas_unreserve(ioas, idev);
			return ret;
		}
	}
	return 0;
}

static void unreserve_all(const struct via_attachment *attachment, struct via_ioas *ioas)
{
	for (size_t i = 0; i < attachment->n_devices; i++)
		via_ioas_unreserve(ioas, attachment->devices[i]);
}

static int reserve_all(const struct via_attachment *attachment, struct via_ioas *ioas)
{
	for (size_t i = 0; i < attachment->n_devices; i++) {
		int ret = reserve(attachment->devices[i], ioas);

		if (ret < 0) {
			/* Of those that follow there is nothing to take back. */
			unreserve_all(attachment, ioas);
			return ret;
		}
	}
	return 0;
}

/* Attach and replace, in two steps: a new automatic HWPT is filled in between. */

struct move {
	struct via_idev *idev;
	uint32_t pasid;
	bool replace;
	bool either; /* replace what is attached in the same way, else attach */
	bool by_pasid;
	/* Who has been put into which address space by prepare(). */
	struct via_ioas *reserved;
	/* An automatic HWPT whose last device has left; freed without the lock. */
	struct via_hwpt *dead;
};

/* What was asked for without a PASID and as PASID 0 is one attachment with two names. */
static bool same_way(const struct via_idev *idev, uint32_t pasid, bool by_pasid)
{
	return pasid || idev->own_by_pasid == by_pasid;
}

static bool replaces(const struct move *move)
{
	const struct via_attachment *attachment =
		via_attachment_find(move->idev->group, move->pasid);

	return move->either ? via_attachment_has(attachment, move->idev) &&
				      same_way(move->idev, move->pasid, move->by_pasid)
			    : move->replace;
}

static void one_less(struct via_hwpt *hwpt, struct via_hwpt **ret_dead)
{
	bool last = !--hwpt->n_attached && hwpt->automatic;

	/* What somebody has in hand in this moment is left to the program, as by a kernel. */
	if (last && via_object_remove(&hwpt->object, 1) == 0) {
		via_hwpt_unlink(hwpt);
		*ret_dead = hwpt;
	} else {
		via_object_put(&hwpt->object);
	}
}

/*
 * The checks that need no domain, and the reservations in ioas, where the HWPT
 * to be is. hwpt: the one there is, or NULL for a new one. 1: there is nothing to do.
 */
static int prepare(struct move *move, const struct via_hwpt *hwpt, uint32_t flags,
		   struct via_ioas *ioas)
{
	struct via_iommufd_group *group = move->idev->group;
	struct via_attachment *attachment = via_attachment_find(group, move->pasid);
	bool joined = via_attachment_has(attachment, move->idev);
	int ret;

	move->reserved = NULL;
	move->replace = replaces(move);
	if (move->replace) {
		if (!joined)
			return -EINVAL;
		if (attachment->hwpt == hwpt)
			return 1;
	} else {
		if (joined)
			return -EBUSY;
		if (attachment && attachment->hwpt != hwpt)
			return -EINVAL;
	}

	/* What is mapped there may have no valid address now, only who is there already may stay. */
	if ((move->replace || !attachment) && via_ioas_suspended(ioas))
		return -EBUSY;
	if (!move->pasid && (!move->replace || via_hwpt_ioas(attachment->hwpt) != ioas)) {
		ret = move->replace ? reserve_all(attachment, ioas) : reserve(move->idev, ioas);
		if (ret < 0)
			return ret;
		move->reserved = ioas;
	}
	return check_flags(group, move->idev, move->pasid, flags);
}

static void unprepare(const struct move *move)
{
	if (!move->reserved)
		return;
	if (move->replace)
		unreserve_all(via_attachment_find(move->idev->group, move->pasid), move->reserved);
	else
		via_ioas_unreserve(move->reserved, move->idev);
}

/* idev joins those of the group that have hwpt, which the group has or gets now. */
static int join(struct move *move, struct via_hwpt *hwpt)
{
	struct via_iommufd_group *group = move->idev->group;
	struct via_attachment *attachment = via_attachment_find(group, move->pasid);
	struct via_idev **devices;
	int ret = 0;

	if (!attachment) {
		ret = move_group(group, move->pasid, hwpt);
		if (ret < 0)
			return ret;
		attachment = via_attachment_add(group, move->pasid);
		if (!attachment) {
			(void)move_group(group, move->pasid, NULL);
			return -ENOMEM;
		}
		attachment->hwpt = hwpt;
	}
	devices = reallocarray(attachment->devices, attachment->n_devices + 1, sizeof(devices[0]));
	if (!devices) {
		if (!attachment->n_devices) {
			(void)move_group(group, move->pasid, NULL);
			via_attachment_drop(group, attachment);
		}
		return -ENOMEM;
	}
	attachment->devices = devices;
	devices[attachment->n_devices++] = move->idev;
	if (!move->pasid)
		move->idev->own_by_pasid = move->by_pasid;
	via_object_use(&hwpt->object);
	hwpt->n_attached++;
	return 0;
}

static int change(struct move *move, struct via_hwpt *hwpt)
{
	struct via_iommufd_group *group = move->idev->group;
	struct via_attachment *attachment = via_attachment_find(group, move->pasid);
	struct via_hwpt *old = attachment->hwpt;
	int ret = move_group(group, move->pasid, hwpt);

	if (ret < 0)
		return ret;
	attachment->hwpt = hwpt;
	if (move->reserved)
		unreserve_all(attachment, via_hwpt_ioas(old));
	for (size_t i = 0; i < attachment->n_devices; i++) {
		via_object_use(&hwpt->object);
		hwpt->n_attached++;
		one_less(old, &move->dead);
	}
	return 0;
}

/* What prepare() has found possible; takes it back on failure. */
static int commit(struct move *move, struct via_hwpt *hwpt)
{
	int ret = check_hardware(move->idev->group, hwpt);

	if (!ret)
		ret = move->replace ? change(move, hwpt) : join(move, hwpt);
	if (ret < 0)
		unprepare(move);
	return ret;
}

static int move_to(struct move *move, struct via_hwpt *hwpt)
{
	int ret = prepare(move, hwpt, hwpt->flags, via_hwpt_ioas(hwpt));

	if (ret < 0)
		unprepare(move);
	return ret ? (ret < 0 ? ret : 0) : commit(move, hwpt);
}

/* By IOAS ------------------------------------------------------------------ */

/* A new automatic HWPT. */
static int move_to_new(struct move *move, struct via_iommufd_ioas *ioas, uint32_t *ret_id)
{
	const struct via_iommu_hw_ops *ops = move->idev->hw->ops;
	struct via_domain_config config;
	struct via_hwpt *hwpt = NULL;
	void *private = NULL;
	/* A replace fills the new one first: errors of what is mapped precede those of the move. */
	const bool late = replaces(move);
	int ret = late ? 0 : prepare(move, NULL, 0, ioas->ioas);

	if (!ret)
		ret = ops->paging ? ops->paging(move->idev->hw, NULL, 0, VIA_IOMMU_HWPT_DATA_NONE,
						0, 0, &config, &private)
				  : -EOPNOTSUPP;
	if (!ret)
		ret = via_hwpt_new_paging(ioas, ops, 0, &config, private, &hwpt);
	if (!hwpt) {
		if (!late)
			unprepare(move);
		return ret;
	}
	hwpt->automatic = true;
	/* Before a device reaches memory through it: no write may be missed. */
	via_iommufd_container_hwpt(hwpt, true);
	if (late)
		ret = prepare(move, hwpt, 0, ioas->ioas);
	if (ret < 0)
		unprepare(move);
	else
		ret = commit(move, hwpt);
	if (ret < 0) {
		via_object_abort(&hwpt->object);
		move->dead = hwpt;
		return ret;
	}
	via_hwpt_publish(hwpt);
	*ret_id = hwpt->object.id;
	return 0;
}

/* A user more of what is in the list, unless a program is destroying it. devices_lock held. */
static bool hold_listed(struct via_hwpt *hwpt)
{
	struct via_object *object =
		via_object_get(hwpt->object.iommufd, hwpt->object.id, VIA_OBJECT_HWPT_PAGING);

	if (object && object != &hwpt->object)
		via_object_put(object);
	return object == &hwpt->object;
}

/* The first automatic HWPT of ioas that takes it, or a new one. */
static int move_to_ioas(struct move *move, struct via_iommufd_ioas *ioas, uint32_t *ret_id)
{
	for (struct via_hwpt *hwpt = ioas->hwpts; hwpt; hwpt = hwpt->next) {
		int ret = -EINVAL;

		if (hwpt->automatic && hold_listed(hwpt)) {
			ret = move_to(move, hwpt);
			if (!ret)
				*ret_id = hwpt->object.id;
			via_object_put(&hwpt->object);
		}
		if (ret != -EINVAL)
			return ret;
	}
	return move_to_new(move, ioas, ret_id);
}

static int move_to_object(struct move *move, struct via_object *object, uint32_t *ret_id)
{
	switch (object->ops->kind) {
	case VIA_OBJECT_IOAS:
		return move_to_ioas(move, (struct via_iommufd_ioas *)object, ret_id);
	case VIA_OBJECT_HWPT_PAGING:
	case VIA_OBJECT_HWPT_NESTED:
		*ret_id = object->id;
		return move_to(move, (struct via_hwpt *)object);
	default:
		return -EINVAL;
	}
}

static int move(struct move *move, uint32_t *pt_id)
{
	struct via_iommufd *iommufd = move->idev->object.iommufd;
	struct via_object *object = via_object_get(iommufd, *pt_id, VIA_OBJECT_ANY);
	uint32_t id = *pt_id;
	int ret;

	if (!object)
		return -ENOENT;
	pthread_mutex_lock(&iommufd->devices_lock);
	ret = move_to_object(move, object, &id);
	pthread_mutex_unlock(&iommufd->devices_lock);
	if (move->dead)
		via_hwpt_free(move->dead);
	via_object_put(object);
	if (!ret)
		*pt_id = id;
	return ret;
}

int via_idev_attach(struct via_idev *idev, uint32_t pasid, bool replace, uint32_t *pt_id)
{
	struct move attach = {.idev = idev, .pasid = pasid, .replace = replace};

	return move(&attach, pt_id);
}

int via_idev_move(struct via_idev *idev, uint32_t pasid, bool by_pasid, uint32_t *pt_id)
{
	struct move either = {.idev = idev, .pasid = pasid, .either = true, .by_pasid = by_pasid};

	return move(&either, pt_id);
}

/* devices_lock held. */
static void leave(struct via_idev *idev, uint32_t pasid, struct via_hwpt **ret_dead)
{
	struct via_attachment *attachment = via_attachment_find(idev->group, pasid);
	struct via_hwpt *hwpt;
	size_t i = 0;

	if (!via_attachment_has(attachment, idev))
		return;
	hwpt = attachment->hwpt;
	while (attachment->devices[i] != idev)
		i++;
	attachment->devices[i] = attachment->devices[--attachment->n_devices];
	if (!attachment->n_devices) {
		(void)move_group(idev->group, pasid, NULL);
		via_attachment_drop(idev->group, attachment);
	}
	if (!pasid)
		via_ioas_unreserve(via_hwpt_ioas(hwpt), idev);
	one_less(hwpt, ret_dead);
}

static void detach(struct via_idev *idev, uint32_t pasid, const bool *by_pasid)
{
	struct via_iommufd *iommufd = idev->object.iommufd;
	struct via_hwpt *dead = NULL;

	pthread_mutex_lock(&iommufd->devices_lock);
	if (!by_pasid || same_way(idev, pasid, *by_pasid))
		leave(idev, pasid, &dead);
	pthread_mutex_unlock(&iommufd->devices_lock);
	if (dead)
		via_hwpt_free(dead);
}

void via_idev_detach(struct via_idev *idev, uint32_t pasid)
{
	detach(idev, pasid, NULL);
}

void via_idev_leave(struct via_idev *idev, uint32_t pasid, bool by_pasid)
{
	detach(idev, pasid, &by_pasid);
}

void via_iommu_hw_reset(struct via_iommu_hw *hw, struct via_idev *idev, bool begins)
{
	pthread_mutex_t *lock = idev ? &idev->object.iommufd->devices_lock : NULL;

	/* Who looks at it goes on to attach with the lock held. */
	if (lock)
		pthread_mutex_lock(lock);
	__atomic_add_fetch(&hw->resetting, begins ? 1 : -1u, __ATOMIC_ACQ_REL);
	if (lock)
		pthread_mutex_unlock(lock);
}

struct via_hwpt *via_idev_hwpt(struct via_idev *idev, uint32_t pasid)
{
	return via_attachment_hwpt(idev->group, pasid);
}

struct via_hwpt *via_idev_leave_any(struct via_idev *idev, bool *ret_more)
{
	struct via_iommufd_group *group = idev->group;
	struct via_hwpt *dead = NULL;

	*ret_more = false;
	/* From behind: nothing has to move up. */
	for (size_t i = group->n_attachments; i-- > 0;) {
		if (!via_attachment_has(&group->attachments[i], idev))
			continue;
		leave(idev, group->attachments[i].pasid, &dead);
		*ret_more = true;
		break;
	}
	return dead;
}
