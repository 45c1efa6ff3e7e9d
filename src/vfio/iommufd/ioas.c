/* SPDX-License-Identifier: MIT */
/* IOASes as objects, and the ranges that their IOVAs may lie in (spec iommu.md 2.6.1 to 2.6.3). */
#include "iommu/check.h"
#include "iommu/suspend.h"
#include "vfio/iommufd/commands.h"

#include <errno.h>
#include <stdlib.h>

/* Entries of ALLOW_IOVAS in one call; and of a context, whose lists may be replaced by as many. */
#define ALLOWED_MAX 65536u
#define ALLOWED_ALL (2 * ALLOWED_MAX)
#define ALLOWED_STEP 256u

static void ioas_destroy(struct via_object *object)
{
	struct via_iommufd_ioas *ioas = VIA_CONTAINER_OF(object, struct via_iommufd_ioas, object);
	uint64_t bytes;

	pthread_mutex_lock(&object->iommufd->lock);
	object->iommufd->n_allowed -= ioas->n_allowed;
	pthread_mutex_unlock(&object->iommufd->lock);

	/* Nobody else uses it: no area can be pinned, locked or on its way. */
	(void)via_ioas_unmap_range(ioas->ioas, 0, UINT64_MAX, &bytes);
	via_ioas_put(ioas->ioas);
	via_dirty_store_free(ioas->container.left);
	pthread_mutex_destroy(&ioas->container.lock);
	free(ioas);
}

static const struct via_object_ops ioas_ops = {
	.kind = VIA_OBJECT_IOAS,
	.destroy = ioas_destroy,
};

int via_iommufd_ioas_new(struct via_iommufd *iommufd, struct via_iommufd_ioas **ret_ioas)
{
	struct via_iommufd_ioas *ioas = calloc(1, sizeof(*ioas));
	int ret;

	if (!ioas)
		return -ENOMEM;
	ret = via_ioas_new_bare(&ioas->ioas);
	if (!ret) {
		via_ioas_set_check(ioas->ioas, iommufd->vfio->config.check);
		via_ioas_set_vaddr_wait(ioas->ioas, via_vfio_vaddr_wait(iommufd->vfio));
		ret = via_object_reserve(iommufd, &ioas->object, &ioas_ops);
		if (ret < 0)
			via_ioas_put(ioas->ioas);
	}
	if (ret < 0) {
		free(ioas);
		return ret;
	}
	pthread_mutex_init(&ioas->container.lock, NULL);
	*ret_ioas = ioas;
	return 0;
}

void via_iommufd_ioas_drop(struct via_iommufd_ioas *ioas)
{
	via_object_abort(&ioas->object);
	ioas_destroy(&ioas->object);
}

struct via_iommufd_ioas *via_iommufd_ioas_get(struct via_iommufd *iommufd, uint32_t id)
{
	struct via_object *object = via_object_get(iommufd, id, VIA_OBJECT_IOAS);

	return object ? VIA_CONTAINER_OF(object, struct via_iommufd_ioas, object) : NULL;
}

void via_iommufd_ioas_put(struct via_iommufd_ioas *ioas)
{
	if (ioas)
		via_object_put(&ioas->object);
}

long via_iommufd_ioas_alloc(const struct via_iommufd_call *call, void *args)
{
	struct via_iommu_ioas_alloc *cmd = args;
	struct via_iommufd_ioas *ioas;
	int ret;

	if (cmd->flags)
		return -EOPNOTSUPP;
	ret = via_iommufd_ioas_new(call->iommufd, &ioas);
	if (ret < 0)
		return ret;
	cmd->out_ioas_id = ioas->object.id;
	via_iommufd_made(call, &ioas->object);
	return 0;
}

/* IOVA_RANGES -------------------------------------------------------------- */

/* Up to max of the ranges, the caller's to free; they may become more while we look. */
static int ranges_of(struct via_ioas *ioas, size_t max, struct via_iova_range **ret_ranges,
		     size_t *ret_total)
{
	size_t total = via_ioas_ranges(ioas, NULL, 0);

	for (;;) {
		const size_t room = total < max ? total : max;
		struct via_iova_range *ranges = calloc(room ? room : 1, sizeof(*ranges));

		if (!ranges)
			return -ENOMEM;
		total = via_ioas_ranges(ioas, ranges, room);
		if (room == max || total <= room) {
			*ret_ranges = ranges;
			*ret_total = total;
			return 0;
		}
		free(ranges);
	}
}

static long iova_ranges(const struct via_iommufd_call *call, struct via_iommufd_ioas *ioas,
			struct via_iommu_ioas_iova_ranges *cmd)
{
	const uint32_t room = cmd->num_iovas;
	struct via_iova_range *ranges;
	size_t total, n;
	int ret;

	ret = ranges_of(ioas->ioas, room, &ranges, &total);
	if (ret < 0)
		return ret;
	n = total < room ? total : room;
	_Static_assert(sizeof(*ranges) == sizeof(struct via_iommu_iova_range), "same layout");
	ret = via_copy_out(call->caller, cmd->allowed_iovas, ranges, n * sizeof(*ranges));
	free(ranges);
	if (ret < 0)
		return ret;
	cmd->num_iovas = (uint32_t)total;
	cmd->out_iova_alignment = via_ioas_alignment(ioas->ioas);
	return total > room ? -EMSGSIZE : 0;
}

long via_iommufd_ioas_iova_ranges(const struct via_iommufd_call *call, void *args)
{
	struct via_iommu_ioas_iova_ranges *cmd = args;
	struct via_iommufd_ioas *ioas;
	long ret;

	if (cmd->reserved)
		return -EOPNOTSUPP;
	ioas = via_iommufd_ioas_get(call->iommufd, cmd->ioas_id);
	if (!ioas)
		return -ENOENT;
	ret = iova_ranges(call, ioas, cmd);
	via_iommufd_ioas_put(ioas);
	return ret;
}

/* ALLOW_IOVAS -------------------------------------------------------------- */

static int by_first(const void *a, const void *b)
{
	const struct via_iova_range *x = a, *y = b;

	return x->first < y->first ? -1 : x->first > y->first;
}

static bool overlap(struct via_iova_range *ranges, size_t n)
{
	if (n)
		qsort(ranges, n, sizeof(*ranges), by_first);
	for (size_t i = 1; i < n; i++)
		if (ranges[i].first <= ranges[i - 1].last)
			return true;
	return false;
}

/*
 * Entries are judged in their order, so an overlap among those before the first
 * that cannot be read is what the program hears of.
 */
static int fetch_ranges(struct via_caller *caller, uint64_t addr, size_t n,
			struct via_iova_range *ranges)
{
	size_t done = 0;
	int ret = 0;

	while (done < n && !ret) {
		size_t step = n - done < ALLOWED_STEP ? n - done : ALLOWED_STEP;

		ret = via_copy_in(caller, ranges + done, addr + done * sizeof(*ranges),
				  step * sizeof(*ranges));
		/* Some of them may be readable. */
		if (ret < 0 && step > 1) {
			step = 1;
			ret = via_copy_in(caller, ranges + done, addr + done * sizeof(*ranges),
					  sizeof(*ranges));
		}
		for (size_t i = 0; !ret && i < step; i++)
			if (ranges[done + i].first >= ranges[done + i].last)
				return -EINVAL;
		if (!ret)
			done += step;
	}
	return overlap(ranges, done) ? -EINVAL : ret;
}

static bool reserve_entries(struct via_iommufd *iommufd, uint32_t n)
{
	bool fits;

	pthread_mutex_lock(&iommufd->lock);
	fits = n <= ALLOWED_ALL - iommufd->n_allowed;
	iommufd->n_allowed += fits ? n : 0;
	pthread_mutex_unlock(&iommufd->lock);
	return fits;
}

/* The list has been replaced by n entries, or has not. */
static void settle_entries(struct via_iommufd_ioas *ioas, uint32_t n, bool replaced)
{
	struct via_iommufd *iommufd = ioas->object.iommufd;

	pthread_mutex_lock(&iommufd->lock);
	iommufd->n_allowed -= replaced ? ioas->n_allowed : n;
	if (replaced)
		ioas->n_allowed = n;
	pthread_mutex_unlock(&iommufd->lock);
}

static long allow_iovas(const struct via_iommufd_call *call, struct via_iommufd_ioas *ioas,
			const struct via_iommu_ioas_allow_iovas *cmd)
{
	const uint32_t n = cmd->num_iovas;
	struct via_iova_range *ranges;
	int ret = -ENOMEM;

	if (n > ALLOWED_MAX || !reserve_entries(call->iommufd, n))
		return -ENOMEM;
	ranges = calloc(n ? n : 1, sizeof(*ranges));
	if (ranges)
		ret = fetch_ranges(call->caller, cmd->allowed_iovas, n, ranges);
	if (!ret)
		ret = via_ioas_allow(ioas->ioas, ranges, n);
	free(ranges);
	settle_entries(ioas, n, !ret);
	return ret;
}

long via_iommufd_ioas_allow_iovas(const struct via_iommufd_call *call, void *args)
{
	const struct via_iommu_ioas_allow_iovas *cmd = args;
	struct via_iommufd_ioas *ioas;
	long ret;

	if (cmd->reserved)
		return -EOPNOTSUPP;
	ioas = via_iommufd_ioas_get(call->iommufd, cmd->ioas_id);
	if (!ioas)
		return -ENOENT;
	ret = allow_iovas(call, ioas, cmd);
	via_iommufd_ioas_put(ioas);
	return ret;
}
