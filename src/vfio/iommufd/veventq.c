/* SPDX-License-Identifier: MIT */
/*
 * Event queues of a vIOMMU: what its devices have to tell a virtual machine
 * (spec iommu.md 2.10.9). A queue that is full drops events and says so once, by
 * a header without an event at its end.
 */
#include "vfio/iommufd/iommufd.h"
#include "vfio/iommufd/ready.h"

#include <stdlib.h>

#define HEADER_SIZE sizeof(struct via_iommufd_vevent_header)

struct event {
	struct event *next;
	struct via_iommufd_vevent_header header;
	size_t len;
	uint8_t data[];
};

struct via_veventq {
	struct via_object object;
	struct via_viommu *viommu; /* a user of it */
	struct via_veventq *next;  /* of viommu->veventqs; devices_lock */
	uint32_t type, depth;	   /* constant */
	pthread_mutex_t lock;	   /* all below; after devices_lock */
	struct via_ready ready;
	struct event *events, **tail;
	uint32_t n_events; /* also those that a read has taken but not yet handed over */
	uint32_t sequence; /* of the next event, 0 .. INT32_MAX */
	bool lost;	   /* the last thing of the queue is a header without an event */
	uint32_t lost_sequence;
};

struct veventq_file {
	struct via_file file;
	struct via_veventq *queue; /* a user of it; its context lives as long */
};

static struct via_veventq *queue_of(struct via_file *file)
{
	return VIA_CONTAINER_OF(file, struct veventq_file, file)->queue;
}

/* devices_lock held. */
static struct via_veventq *find(struct via_viommu *viommu, uint32_t type)
{
	struct via_veventq *queue = viommu->veventqs;

	while (queue && queue->type != type)
		queue = queue->next;
	return queue;
}

/* With the queue's lock. */
static void update_ready(struct via_veventq *queue)
{
	via_ready_set(&queue->ready, queue->events || queue->lost);
}

int via_viommu_event(struct via_viommu *viommu, uint32_t type, const void *data, size_t len)
{
	struct via_veventq *queue = find(viommu, type);
	struct event *event;

	if (!queue)
		return -EOPNOTSUPP;
	event = calloc(1, sizeof(*event) + len);
	if (event) {
		event->len = len;
		memcpy(event->data, data, len);
	}
	pthread_mutex_lock(&queue->lock);
	if (event && queue->n_events < queue->depth) {
		event->header.sequence = queue->sequence;
		*queue->tail = event;
		queue->tail = &event->next;
		queue->n_events++;
		/* The gap in the sequence tells as much. */
		queue->lost = false;
	} else {
		free(event);
		queue->lost = true;
		queue->lost_sequence = queue->sequence;
	}
	queue->sequence = (queue->sequence + 1) & INT32_MAX;
	update_ready(queue);
	pthread_mutex_unlock(&queue->lock);
	return event ? 0 : -ENOMEM;
}

/* The file --------------------------------------------------------------------- */

/*
 * Take what comes next if it fits into room: 1 and *ret_event (NULL: a header
 * without an event, in *ret_header); 0 nothing, or no room for a header; -EINVAL.
 */
static int take(struct via_veventq *queue, size_t room, struct event **ret_event,
		struct via_iommufd_vevent_header *ret_header)
{
	struct event *event;
	int ret = 0;

	pthread_mutex_lock(&queue->lock);
	event = queue->events;
	if ((!event && !queue->lost) || room < HEADER_SIZE)
		goto out;
	ret = -EINVAL;
	if (event && event->len > room - HEADER_SIZE)
		goto out;
	ret = 1;
	if (event) {
		queue->events = event->next;
		if (!queue->events)
			queue->tail = &queue->events;
		*ret_header = event->header;
	} else {
		queue->lost = false;
		*ret_header = (struct via_iommufd_vevent_header){
			.flags = VIA_IOMMU_VEVENTQ_FLAG_LOST_EVENTS,
			.sequence = queue->lost_sequence,
		};
	}
	*ret_event = event;
	update_ready(queue);
out:
	pthread_mutex_unlock(&queue->lock);
	return ret;
}

/* It could not be handed over: it comes first again. */
static void put_back(struct via_veventq *queue, struct event *event,
		     const struct via_iommufd_vevent_header *header)
{
	pthread_mutex_lock(&queue->lock);
	if (event) {
		event->next = queue->events;
		queue->events = event;
		if (!event->next)
			queue->tail = &event->next;
	} else if (!queue->events && !queue->lost) {
		queue->lost = true;
		queue->lost_sequence = header->sequence;
	}
	update_ready(queue);
	pthread_mutex_unlock(&queue->lock);
}

static void handed_over(struct via_veventq *queue, struct event *event)
{
	if (!event)
		return;
	pthread_mutex_lock(&queue->lock);
	queue->n_events--;
	pthread_mutex_unlock(&queue->lock);
	free(event);
}

static ssize_t veventq_pread(struct via_file *file, struct via_caller *caller, uint64_t addr,
			     size_t len, uint64_t offset)
{
	struct via_veventq *queue = queue_of(file);
	struct via_iommufd_vevent_header header;
	struct event *event;
	size_t done = 0;
	int ret;

	if (offset)
		return -ESPIPE;
	if (len < HEADER_SIZE)
		return -EINVAL;
	while ((ret = take(queue, len - done, &event, &header)) > 0) {
		ret = via_copy_out(caller, addr + done, &header, HEADER_SIZE);
		if (!ret && event)
			ret = via_copy_out(caller, addr + done + HEADER_SIZE, event->data,
					   event->len);
		if (ret < 0) {
			put_back(queue, event, &header);
			break;
		}
		done += HEADER_SIZE + (event ? event->len : 0);
		handed_over(queue, event);
	}
	return done ? (ssize_t)done : ret;
}

static int veventq_poll_fd(struct via_file *file)
{
	return queue_of(file)->ready.fd;
}

static void veventq_release(struct via_file *file)
{
	struct via_veventq *queue = queue_of(file);
	struct via_iommufd *iommufd = queue->object.iommufd;

	via_object_put(&queue->object);
	via_iommufd_put(iommufd);
	free(VIA_CONTAINER_OF(file, struct veventq_file, file));
}

static const struct via_file_ops veventq_file_ops = {
	.kind = "iommufd-viommu-event",
	.records = true,
	.pread = veventq_pread,
	.poll_fd = veventq_poll_fd,
	.release = veventq_release,
};

/* The object -------------------------------------------------------------------- */

static void queue_free(struct via_veventq *queue)
{
	while (queue->events) {
		struct event *next = queue->events->next;

		free(queue->events);
		queue->events = next;
	}
	via_ready_deinit(&queue->ready);
	pthread_mutex_destroy(&queue->lock);
	via_object_put(&queue->viommu->object);
	free(queue);
}

static void unlink_queue(struct via_veventq *queue)
{
	struct via_iommufd *iommufd = queue->object.iommufd;
	struct via_veventq **link = &queue->viommu->veventqs;

	pthread_mutex_lock(&iommufd->devices_lock);
	while (*link && *link != queue)
		link = &(*link)->next;
	if (*link)
		*link = queue->next;
	pthread_mutex_unlock(&iommufd->devices_lock);
}

static void veventq_destroy(struct via_object *object)
{
	struct via_veventq *queue = VIA_CONTAINER_OF(object, struct via_veventq, object);

	unlink_queue(queue);
	queue_free(queue);
}

static const struct via_object_ops veventq_ops = {
	.kind = VIA_OBJECT_VEVENTQ,
	.destroy = veventq_destroy,
};

/* Its id is reserved. */
static int queue_new(struct via_viommu *viommu, uint32_t type, uint32_t depth,
		     struct via_veventq **ret_queue)
{
	struct via_iommufd *iommufd = viommu->object.iommufd;
	struct via_veventq *queue = calloc(1, sizeof(*queue));
	int ret;

	if (!queue)
		return -ENOMEM;
	queue->tail = &queue->events;
	queue->type = type;
	queue->depth = depth;
	queue->viommu = viommu;
	ret = via_ready_init(&queue->ready);
	if (ret < 0) {
		free(queue);
		return ret;
	}
	pthread_mutex_init(&queue->lock, NULL);
	via_object_use(&viommu->object);
	pthread_mutex_lock(&iommufd->devices_lock);
	ret = find(viommu, type) ? -EEXIST
				 : via_object_reserve(iommufd, &queue->object, &veventq_ops);
	if (!ret) {
		queue->next = viommu->veventqs;
		viommu->veventqs = queue;
	}
	pthread_mutex_unlock(&iommufd->devices_lock);
	if (ret < 0) {
		queue_free(queue);
		return ret;
	}
	*ret_queue = queue;
	return 0;
}

static int queue_open(const struct via_iommufd_call *call, struct via_viommu *viommu,
		      struct via_iommu_veventq_alloc *cmd)
{
	struct veventq_file *file = calloc(1, sizeof(*file));
	struct via_veventq *queue;
	int ret;

	if (!file)
		return -ENOMEM;
	ret = queue_new(viommu, cmd->type, cmd->veventq_depth, &queue);
	if (ret < 0) {
		free(file);
		return ret;
	}
	file->file.ops = &veventq_file_ops;
	file->file.refs = 1;
	file->queue = queue;
	via_object_use(&queue->object);
	via_iommufd_get(call->iommufd);
	/* A reply that fails must not leave a descriptor behind: does it? */
	ret = via_copy_out(call->caller, call->arg, cmd,
			   offsetof(struct via_iommu_veventq_alloc, reserved));
	if (!ret)
		ret = call->caller->ops->file_put(call->caller, &file->file, true);
	if (ret < 0) {
		/* A descriptor that was refused may still lead to the file, until its end is seen. */
		unlink_queue(queue);
		via_file_put(&file->file);
		via_object_orphan(&queue->object);
		return ret;
	}
	/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the descriptor has the file */
	cmd->out_veventq_id = queue->object.id;
	cmd->out_veventq_fd = (uint32_t)ret;
	via_iommufd_made(call, &queue->object);
	return 0;
}

long via_iommufd_veventq_alloc(const struct via_iommufd_call *call, void *args)
{
	struct via_iommu_veventq_alloc *cmd = args;
	struct via_object *viommu;
	int ret;

	if (cmd->flags || cmd->reserved || cmd->type == VIA_IOMMU_VEVENTQ_TYPE_DEFAULT)
		return -EOPNOTSUPP;
	if (!cmd->veventq_depth || cmd->veventq_depth > VIA_IOMMU_VEVENTQ_DEPTH_MAX)
		return -EINVAL;
	viommu = via_object_get(call->iommufd, cmd->viommu_id, VIA_OBJECT_VIOMMU);
	if (!viommu)
		return -ENOENT;
	ret = queue_open(call, VIA_CONTAINER_OF(viommu, struct via_viommu, object), cmd);
	via_object_put(viommu);
	return ret;
}
