/* SPDX-License-Identifier: MIT */
/*
 * Fault queues: page requests of devices on their way to a program, and its
 * answers on their way back (spec iommu.md 2.10.6).
 *
 * A group is pending until a program has read it, and then delivered, under a
 * cookie, until it is answered. It gets its cookie before it is copied out, so
 * that the copy needs no lock; a failed copy puts it back, if it is still there.
 */
#include "vfio/iommufd/iommufd.h"
#include "vfio/iommufd/ready.h"

#include <stdlib.h>

/* Groups of one queue, pending and delivered: a program that never answers must stop somewhere. */
#define GROUPS_MAX 65536u
/* Records of one group. */
#define FAULTS_MAX 4096u

#define FAULT_SIZE sizeof(struct via_iommu_hwpt_pgfault)

struct group {
	struct group *next; /* of the pending ones */
	uint64_t serial;    /* tells it from a later group with the same cookie */
	struct via_hwpt *hwpt;
	struct via_idev *idev;
	void (*answered)(void *cookie, uint32_t code);
	void *cookie;
	size_t n;
	struct via_iommu_hwpt_pgfault faults[];
};

struct via_fault_queue {
	struct via_object object;
	pthread_mutex_t lock; /* all below; taken after devices_lock */
	struct via_ready ready;
	struct group *pending, **tail;
	struct group **delivered; /* by cookie; 0 is nobody's */
	uint32_t n_cookies;	  /* slots of delivered */
	uint32_t first_free;	  /* no free cookie is lower */
	unsigned int n;		  /* groups of both kinds */
	uint64_t serial;
};

struct fault_file {
	struct via_file file;
	struct via_fault_queue *queue; /* a user of it; its context lives as long */
};

static struct via_fault_queue *queue_of_object(struct via_object *object)
{
	return VIA_CONTAINER_OF(object, struct via_fault_queue, object);
}

static struct via_fault_queue *queue_of(struct via_file *file)
{
	return VIA_CONTAINER_OF(file, struct fault_file, file)->queue;
}

/* Groups; with the queue's lock held ----------------------------------------- */

static void append(struct via_fault_queue *queue, struct group *group)
{
	group->next = NULL;
	*queue->tail = group;
	queue->tail = &group->next;
	via_ready_set(&queue->ready, true);
}

static void put_back(struct via_fault_queue *queue, struct group *group)
{
	group->next = queue->pending;
	queue->pending = group;
	if (!group->next)
		queue->tail = &group->next;
	via_ready_set(&queue->ready, true);
}

static struct group *take_pending(struct via_fault_queue *queue, struct group **link)
{
	struct group *group = *link;

	*link = group->next;
	if (!*link)
		queue->tail = link;
	via_ready_set(&queue->ready, queue->pending != NULL);
	return group;
}

static int cookie_new(struct via_fault_queue *queue, struct group *group, uint32_t *ret_cookie)
{
	uint32_t cookie = queue->first_free;

	while (cookie < queue->n_cookies && queue->delivered[cookie])
		cookie++;
	if (cookie >= queue->n_cookies) {
		uint32_t n = queue->n_cookies ? 2 * queue->n_cookies : 16;
		struct group **delivered;

		delivered = reallocarray(queue->delivered, n, sizeof(struct group *));
		if (!delivered)
			return -ENOMEM;
		for (uint32_t i = queue->n_cookies; i < n; i++)
			delivered[i] = NULL;
		queue->delivered = delivered;
		queue->n_cookies = n;
	}
	queue->delivered[cookie] = group;
	queue->first_free = cookie + 1;
	*ret_cookie = cookie;
	return 0;
}

static struct group *take_delivered(struct via_fault_queue *queue, uint32_t cookie)
{
	struct group *group = NULL;

	if (cookie && cookie < queue->n_cookies)
		group = queue->delivered[cookie];
	if (group) {
		queue->delivered[cookie] = NULL;
		if (cookie < queue->first_free)
			queue->first_free = cookie;
	}
	return group;
}

/* Without the lock. */
static void answer(struct group *group, uint32_t code)
{
	if (group->answered)
		group->answered(group->cookie, code);
	free(group);
}

static void answer_all(struct group *groups)
{
	while (groups) {
		struct group *next = groups->next;

		answer(groups, VIA_IOMMUFD_PAGE_RESP_INVALID);
		groups = next;
	}
}

/* Take out what belongs to hwpt and idev, or everything (both NULL). */
static struct group *take_all(struct via_fault_queue *queue, const struct via_hwpt *hwpt,
			      const struct via_idev *idev)
{
	struct group *taken = NULL, **end = &taken, **link;

	pthread_mutex_lock(&queue->lock);
	for (link = &queue->pending; *link;) {
		struct group *group = *link;

		if (hwpt && (group->hwpt != hwpt || group->idev != idev)) {
			link = &group->next;
			continue;
		}
		take_pending(queue, link);
		group->next = NULL;
		*end = group;
		end = &group->next;
		queue->n--;
	}
	for (uint32_t cookie = 1; cookie < queue->n_cookies; cookie++) {
		struct group *group = queue->delivered[cookie];

		if (!group || (hwpt && (group->hwpt != hwpt || group->idev != idev)))
			continue;
		take_delivered(queue, cookie);
		group->next = NULL;
		*end = group;
		end = &group->next;
		queue->n--;
	}
	pthread_mutex_unlock(&queue->lock);
	return taken;
}

/* Devices ---------------------------------------------------------------------- */

int via_fault_report(struct via_hwpt *hwpt, struct via_idev *idev,
		     const struct via_iommu_hwpt_pgfault *faults, size_t n,
		     void (*answered)(void *cookie, uint32_t code), void *cookie)
{
	struct via_fault_queue *queue = hwpt->fault;
	struct group *group;
	int ret = 0;

	if (!queue)
		return -ENODEV;
	if (!n || n > FAULTS_MAX)
		return -ENOMEM;
	group = calloc(1, sizeof(*group) + n * FAULT_SIZE);
	if (!group)
		return -ENOMEM;
	group->hwpt = hwpt;
	group->idev = idev;
	group->answered = answered;
	group->cookie = cookie;
	group->n = n;
	memcpy(group->faults, faults, n * FAULT_SIZE);
	for (size_t i = 0; i < n; i++)
		group->faults[i].dev_id = idev->object.id;
	pthread_mutex_lock(&queue->lock);
	if (queue->n < GROUPS_MAX) {
		queue->n++;
		group->serial = ++queue->serial;
		append(queue, group);
	} else {
		ret = -ENOMEM;
	}
	pthread_mutex_unlock(&queue->lock);
	if (ret < 0)
		free(group);
	return ret;
}

void via_fault_flush(struct via_hwpt *hwpt, struct via_idev *idev)
{
	if (hwpt->fault)
		answer_all(take_all(hwpt->fault, hwpt, idev));
}

/* The file --------------------------------------------------------------------- */

/*
 * The first pending group, if it fits: delivered from now on, a copy of its
 * records in *ret_faults. 1; 0 nothing waits; -EINVAL does not fit; -ENOMEM.
 */
static int deliver(struct via_fault_queue *queue, size_t room,
		   struct via_iommu_hwpt_pgfault **ret_faults, size_t *ret_n, uint64_t *ret_serial)
{
	struct via_iommu_hwpt_pgfault *faults = NULL;
	struct group *group;
	uint32_t cookie = 0;
	int ret = 0;

	pthread_mutex_lock(&queue->lock);
	group = queue->pending;
	if (!group)
		goto out;
	ret = -EINVAL;
	if (group->n > room / FAULT_SIZE)
		goto out;
	ret = -ENOMEM;
	faults = calloc(group->n, FAULT_SIZE);
	if (!faults || cookie_new(queue, group, &cookie) < 0)
		goto out;
	take_pending(queue, &queue->pending);
	for (size_t i = 0; i < group->n; i++) {
		faults[i] = group->faults[i];
		faults[i].cookie = cookie;
	}
	*ret_faults = faults;
	*ret_n = group->n;
	*ret_serial = group->serial;
	faults = NULL;
	ret = 1;
out:
	pthread_mutex_unlock(&queue->lock);
	free(faults);
	return ret;
}

/* The program could not take it: it waits again, first of all, unless it is gone meanwhile. */
static void undeliver(struct via_fault_queue *queue, uint32_t cookie, uint64_t serial)
{
	struct group *group;

	pthread_mutex_lock(&queue->lock);
	group = take_delivered(queue, cookie);
	if (group && group->serial == serial)
		put_back(queue, group);
	else if (group)
		queue->delivered[cookie] = group; /* another one */
	pthread_mutex_unlock(&queue->lock);
}

static ssize_t fault_pread(struct via_file *file, struct via_caller *caller, uint64_t addr,
			   size_t len, uint64_t offset)
{
	struct via_fault_queue *queue = queue_of(file);
	struct via_iommu_hwpt_pgfault *faults;
	size_t done = 0, n;
	uint64_t serial;
	int ret;

	if (offset || len % FAULT_SIZE)
		return -ESPIPE;
	while ((ret = deliver(queue, len - done, &faults, &n, &serial)) > 0) {
		ret = via_copy_out(caller, addr + done, faults, n * FAULT_SIZE);
		if (ret < 0)
			undeliver(queue, faults[0].cookie, serial);
		free(faults);
		if (ret < 0)
			break;
		done += n * FAULT_SIZE;
	}
	return done ? (ssize_t)done : ret;
}

static int respond(struct via_fault_queue *queue, const struct via_iommu_hwpt_page_response *resp)
{
	struct group *group;

	if (resp->code != VIA_IOMMUFD_PAGE_RESP_SUCCESS &&
	    resp->code != VIA_IOMMUFD_PAGE_RESP_INVALID)
		return -EINVAL;
	pthread_mutex_lock(&queue->lock);
	group = take_delivered(queue, resp->cookie);
	if (group)
		queue->n--;
	pthread_mutex_unlock(&queue->lock);
	if (!group)
		return -EINVAL;
	answer(group, resp->code);
	return 0;
}

static ssize_t fault_pwrite(struct via_file *file, struct via_caller *caller, uint64_t addr,
			    size_t len, uint64_t offset)
{
	struct via_fault_queue *queue = queue_of(file);
	struct via_iommu_hwpt_page_response resp;
	size_t done = 0;
	int ret = 0;

	if (offset || len % sizeof(resp))
		return -ESPIPE;
	for (; done < len; done += sizeof(resp)) {
		ret = via_copy_in(caller, &resp, addr + done, sizeof(resp));
		if (!ret)
			ret = respond(queue, &resp);
		if (ret < 0)
			break;
	}
	return done ? (ssize_t)done : ret;
}

static int fault_poll_fd(struct via_file *file)
{
	return queue_of(file)->ready.fd;
}

static void fault_release(struct via_file *file)
{
	struct via_fault_queue *queue = queue_of(file);
	struct via_iommufd *iommufd = queue->object.iommufd;

	via_object_put(&queue->object);
	via_iommufd_put(iommufd);
	free(VIA_CONTAINER_OF(file, struct fault_file, file));
}

static const struct via_file_ops fault_file_ops = {
	.kind = "iommufd-pgfault",
	.records = true,
	.pread = fault_pread,
	.pwrite = fault_pwrite,
	.poll_fd = fault_poll_fd,
	.release = fault_release,
};

/* The object -------------------------------------------------------------------- */

static void queue_free(struct via_fault_queue *queue)
{
	answer_all(take_all(queue, NULL, NULL));
	via_ready_deinit(&queue->ready);
	pthread_mutex_destroy(&queue->lock);
	free(queue->delivered);
	free(queue);
}

static void fault_destroy(struct via_object *object)
{
	queue_free(queue_of_object(object));
}

static const struct via_object_ops fault_ops = {
	.kind = VIA_OBJECT_FAULT,
	.destroy = fault_destroy,
};

static int queue_new(struct via_iommufd *iommufd, struct via_fault_queue **ret_queue)
{
	struct via_fault_queue *queue = calloc(1, sizeof(*queue));
	int ret;

	if (!queue)
		return -ENOMEM;
	queue->tail = &queue->pending;
	queue->first_free = 1;
	pthread_mutex_init(&queue->lock, NULL);
	ret = via_ready_init(&queue->ready);
	if (ret < 0) {
		pthread_mutex_destroy(&queue->lock);
		free(queue);
		return ret;
	}
	ret = via_object_reserve(iommufd, &queue->object, &fault_ops);
	if (ret < 0) {
		queue_free(queue);
		return ret;
	}
	*ret_queue = queue;
	return 0;
}

long via_iommufd_fault_queue_alloc(const struct via_iommufd_call *call, void *args)
{
	struct via_iommu_fault_alloc *cmd = args;
	struct via_fault_queue *queue;
	struct fault_file *file;
	int ret;

	if (cmd->flags)
		return -EOPNOTSUPP;
	file = calloc(1, sizeof(*file));
	if (!file)
		return -ENOMEM;
	ret = queue_new(call->iommufd, &queue);
	if (ret < 0) {
		free(file);
		return ret;
	}
	file->file.ops = &fault_file_ops;
	file->file.refs = 1;
	file->queue = queue;
	via_object_use(&queue->object);
	via_iommufd_get(call->iommufd);
	/* A reply that fails must not leave a descriptor behind: does it? */
	ret = via_copy_out(call->caller, call->arg, cmd, sizeof(*cmd));
	if (!ret)
		ret = call->caller->ops->file_put(call->caller, &file->file, true);
	if (ret < 0) {
		/* A descriptor that was refused may still lead to the file, until its end is seen. */
		via_file_put(&file->file);
		via_object_orphan(&queue->object);
		return ret;
	}
	/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the descriptor has the file */
	cmd->out_fault_id = queue->object.id;
	cmd->out_fault_fd = (uint32_t)ret;
	via_iommufd_made(call, &queue->object);
	return 0;
}
