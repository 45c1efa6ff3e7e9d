/* SPDX-License-Identifier: MIT */
/*
 * Queues that a vIOMMU's hardware reads itself from a virtual machine's
 * memory (spec iommu.md 2.10.10): the memory is pinned, and cannot be unmapped,
 * while the queue lives.
 */
#include "vfio/iommufd/iommufd.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdlib.h>

#define PAGE ((uint64_t)4096)

static struct via_hw_queue *queue_of(struct via_object *object)
{
	return VIA_CONTAINER_OF(object, struct via_hw_queue, object);
}

/* The pages that the queue touches. False: their length passes 2^64. */
static bool covering(const struct via_hw_queue *queue, via_iova_t *ret_iova, uint64_t *ret_len)
{
	const uint64_t offset = queue->iova % PAGE;

	if (queue->length > UINT64_MAX - offset - (PAGE - 1))
		return false;
	*ret_iova = queue->iova - offset;
	*ret_len = (offset + queue->length + PAGE - 1) / PAGE * PAGE;
	return true;
}

/* The access's place in the table ------------------------------------------------ */

static void access_destroy(struct via_object *object)
{
	/* Has a user as long as it is there. */
}

static const struct via_object_ops access_object_ops = {
	.kind = VIA_OBJECT_ACCESS,
	.destroy = access_destroy,
};

static int access_object_new(struct via_iommufd *iommufd, struct via_object **ret_object)
{
	struct via_object *object = calloc(1, sizeof(*object));
	int ret;

	if (!object)
		return -ENOMEM;
	ret = via_object_reserve(iommufd, object, &access_object_ops);
	if (ret < 0) {
		free(object);
		return ret;
	}
	via_object_use(object);
	via_object_finish(object);
	*ret_object = object;
	return 0;
}

/* A lookup of another thread's may be about to put it. */
static void access_object_free(struct via_object *object)
{
	while (via_object_remove(object, 1) < 0)
		sched_yield();
	free(object);
}

/* Its memory ----------------------------------------------------------------------- */

static void queue_unmap(void *cookie, via_iova_t iova, uint64_t len)
{
	/* It is locked: nobody unmaps it. */
}

static const struct via_access_ops queue_access_ops = {
	.unmap = queue_unmap,
};

/* Hardware reads it without translation, in one go. */
static int check_adjacent(struct via_access *access, via_iova_t iova, uint64_t len)
{
	const size_t n = len / PAGE;
	struct via_page_identity *identities = calloc(n, sizeof(*identities));
	int ret;

	if (!identities)
		return -ENOMEM;
	ret = via_access_identities(access, iova, len, identities);
	for (size_t i = 1; !ret && i < n; i++) {
		if (identities[i].space != identities[0].space ||
		    identities[i].object != identities[0].object ||
		    identities[i].page != identities[0].page + i)
			ret = -EFAULT;
	}
	free(identities);
	return ret;
}

static int pin(struct via_hw_queue *queue)
{
	struct via_ioas *ioas = queue->viommu->hwpt->ioas->ioas;
	struct via_piece *pieces;
	via_iova_t iova;
	uint64_t len;
	size_t n;
	int ret;

	if (!covering(queue, &iova, &len))
		return -ERANGE;
	/* An array of so many pages no kernel makes. */
	if (len / PAGE > INT_MAX / sizeof(void *))
		return -ENOMEM;
	ret = access_object_new(queue->object.iommufd, &queue->access_object);
	if (!ret)
		ret = via_access_new(&queue_access_ops, queue, &queue->access);
	if (!ret)
		ret = via_access_attach(queue->access, ioas);
	if (ret < 0)
		return ret;
	ret = via_access_pin(queue->access, iova, len, VIA_ACCESS_LOCK, &pieces, &n);
	if (!ret) {
		via_pieces_free(pieces, n);
		ret = check_adjacent(queue->access, iova, len);
		if (ret < 0)
			(void)via_access_unpin(queue->access, iova, len, VIA_ACCESS_LOCK);
	}
	if (ret < 0)
		via_access_detach(queue->access);
	return ret;
}

static void unpin(struct via_hw_queue *queue)
{
	via_iova_t iova;
	uint64_t len;

	if (covering(queue, &iova, &len))
		(void)via_access_unpin(queue->access, iova, len, VIA_ACCESS_LOCK);
	via_access_detach(queue->access);
}

/* The object -------------------------------------------------------------------- */

static void queue_free(struct via_hw_queue *queue)
{
	if (queue->access)
		via_access_free(queue->access);
	if (queue->access_object)
		access_object_free(queue->access_object);
	via_object_put(&queue->viommu->object);
	free(queue);
}

static void queue_destroy(struct via_object *object)
{
	struct via_hw_queue *queue = queue_of(object);
	struct via_viommu *viommu = queue->viommu;

	pthread_mutex_lock(&object->iommufd->devices_lock);
	viommu->ops->hw_queue_remove(viommu, queue);
	pthread_mutex_unlock(&object->iommufd->devices_lock);
	unpin(queue);
	queue_free(queue);
}

static const struct via_object_ops hw_queue_ops = {
	.kind = VIA_OBJECT_HW_QUEUE,
	.destroy = queue_destroy,
};

static int start(struct via_hw_queue *queue)
{
	struct via_viommu *viommu = queue->viommu;
	struct via_iommufd *iommufd = queue->object.iommufd;
	int ret = pin(queue);

	if (ret < 0)
		return ret;
	pthread_mutex_lock(&iommufd->devices_lock);
	ret = viommu->ops->hw_queue_add(viommu, queue);
	pthread_mutex_unlock(&iommufd->devices_lock);
	if (ret < 0)
		unpin(queue);
	return ret;
}

static int queue_new(const struct via_iommufd_call *call, struct via_viommu *viommu,
		     struct via_iommu_hw_queue_alloc *cmd)
{
	struct via_hw_queue *queue = calloc(1, sizeof(*queue));
	int ret;

	if (!queue)
		return -ENOMEM;
	ret = via_object_reserve(viommu->object.iommufd, &queue->object, &hw_queue_ops);
	if (ret < 0) {
		free(queue);
		return ret;
	}
	via_object_use(&viommu->object);
	queue->viommu = viommu;
	queue->type = cmd->type;
	queue->index = cmd->index;
	queue->iova = cmd->nesting_parent_iova;
	queue->length = cmd->length;
	ret = start(queue);
	if (ret < 0) {
		via_object_abort(&queue->object);
		queue_free(queue);
		return ret;
	}
	cmd->out_hw_queue_id = queue->object.id;
	via_iommufd_made(call, &queue->object);
	return 0;
}

long via_iommufd_hw_queue_alloc(const struct via_iommufd_call *call, void *args)
{
	struct via_iommu_hw_queue_alloc *cmd = args;
	struct via_viommu *viommu;
	struct via_object *object;
	int ret = -EOPNOTSUPP;

	if (cmd->flags || cmd->type == VIA_IOMMU_HW_QUEUE_TYPE_DEFAULT)
		return -EOPNOTSUPP;
	if (!cmd->length)
		return -EINVAL;
	if (cmd->nesting_parent_iova > UINT64_MAX - (cmd->length - 1))
		return -EOVERFLOW;
	object = via_object_get(call->iommufd, cmd->viommu_id, VIA_OBJECT_VIOMMU);
	if (!object)
		return -ENOENT;
	viommu = VIA_CONTAINER_OF(object, struct via_viommu, object);
	if (viommu->ops->has_hw_queue && viommu->ops->has_hw_queue(viommu, cmd->type))
		ret = queue_new(call, viommu, cmd);
	via_object_put(object);
	return ret;
}
