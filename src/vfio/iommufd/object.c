/* SPDX-License-Identifier: MIT */
/*
 * The table of a context's objects. An object's place in it is its id; a place
 * is empty, taken by an object (ready or still being made), or by a tombstone,
 * which stays until the context goes.
 */
#include "vfio/iommufd/commands.h"

#include <errno.h>
#include <stdlib.h>

/* What a program may have of them in one context. */
#define OBJECTS_MAX 65536u
#define OBJECTS_STEP 64u

static struct via_object tombstone;

/* All helpers with iommufd->lock held, but where said. */

static struct via_object *at(const struct via_iommufd *iommufd, uint32_t id)
{
	return id && id < iommufd->n_objects ? iommufd->objects[id] : NULL;
}

static struct via_object *ready_at(const struct via_iommufd *iommufd, uint32_t id)
{
	struct via_object *object = at(iommufd, id);

	return object && object != &tombstone && object->ready ? object : NULL;
}

static int grow(struct via_iommufd *iommufd)
{
	uint32_t n = iommufd->n_objects ? 2 * iommufd->n_objects : OBJECTS_STEP;
	struct via_object **objects;

	/* Id 0 is nobody's. */
	if (n > OBJECTS_MAX + 1)
		n = OBJECTS_MAX + 1;
	if (n == iommufd->n_objects)
		return -ENOMEM;
	objects = reallocarray(iommufd->objects, n, sizeof(struct via_object *));
	if (!objects)
		return -ENOMEM;
	for (uint32_t id = iommufd->n_objects; id < n; id++)
		objects[id] = NULL;
	iommufd->objects = objects;
	iommufd->n_objects = n;
	return 0;
}

static int reserve(struct via_iommufd *iommufd, struct via_object *object)
{
	uint32_t id = iommufd->first_free ? iommufd->first_free : 1;

	while (id < iommufd->n_objects && iommufd->objects[id])
		id++;
	if (id >= iommufd->n_objects) {
		int ret = grow(iommufd);

		if (ret < 0)
			return ret;
	}
	iommufd->objects[id] = object;
	iommufd->first_free = id + 1;
	iommufd->n_live++;
	object->id = id;
	return 0;
}

static void take_out(struct via_object *object)
{
	struct via_iommufd *iommufd = object->iommufd;

	iommufd->objects[object->id] = NULL;
	if (object->id < iommufd->first_free)
		iommufd->first_free = object->id;
	iommufd->n_live--;
	object->ready = false;
	if (iommufd->compat && &iommufd->compat->object == object)
		iommufd->compat = NULL;
}

int via_object_reserve(struct via_iommufd *iommufd, struct via_object *object,
		       const struct via_object_ops *ops)
{
	int ret;

	object->ops = ops;
	object->iommufd = iommufd;
	object->users = 0;
	object->ready = false;
	object->orphan = false;
	pthread_mutex_lock(&iommufd->lock);
	ret = reserve(iommufd, object);
	pthread_mutex_unlock(&iommufd->lock);
	return ret;
}

void via_object_finish(struct via_object *object)
{
	pthread_mutex_lock(&object->iommufd->lock);
	object->ready = true;
	pthread_mutex_unlock(&object->iommufd->lock);
}

static bool is_listed(const struct via_object *object)
{
	return object->iommufd->objects[object->id] == object;
}

void via_object_show(struct via_object *object)
{
	struct via_iommufd *iommufd = object->iommufd;

	pthread_mutex_lock(&iommufd->lock);
	object->ready = is_listed(object);
	if (--object->users == 0)
		pthread_cond_broadcast(&iommufd->unused);
	pthread_mutex_unlock(&iommufd->lock);
}

void via_object_drop(struct via_object *object)
{
	struct via_iommufd *iommufd = object->iommufd;
	bool ours, last;

	pthread_mutex_lock(&iommufd->lock);
	ours = is_listed(object);
	if (ours)
		take_out(object);
	last = --object->users == 0;
	object->orphan = ours && !last;
	if (last)
		pthread_cond_broadcast(&iommufd->unused);
	pthread_mutex_unlock(&iommufd->lock);
	if (ours && last)
		object->ops->destroy(object);
}

void via_object_abort(struct via_object *object)
{
	struct via_iommufd *iommufd = object->iommufd;

	pthread_mutex_lock(&iommufd->lock);
	take_out(object);
	pthread_mutex_unlock(&iommufd->lock);
}

struct via_object *via_object_get(struct via_iommufd *iommufd, uint32_t id,
				  enum via_object_kind kind)
{
	struct via_object *object;

	pthread_mutex_lock(&iommufd->lock);
	object = ready_at(iommufd, id);
	if (object && kind != VIA_OBJECT_ANY && object->ops->kind != kind)
		object = NULL;
	if (object)
		object->users++;
	pthread_mutex_unlock(&iommufd->lock);
	return object;
}

void via_object_use(struct via_object *object)
{
	pthread_mutex_lock(&object->iommufd->lock);
	object->users++;
	pthread_mutex_unlock(&object->iommufd->lock);
}

void via_object_put(struct via_object *object)
{
	struct via_iommufd *iommufd = object->iommufd;

	bool orphan = false;

	/* Whoever waits for the last user may free the object as soon as he has the lock. */
	pthread_mutex_lock(&iommufd->lock);
	if (--object->users == 0) {
		orphan = object->orphan;
		pthread_cond_broadcast(&iommufd->unused);
	}
	pthread_mutex_unlock(&iommufd->lock);
	if (orphan)
		object->ops->destroy(object);
}

void via_object_orphan(struct via_object *object)
{
	struct via_iommufd *iommufd = object->iommufd;
	bool unused;

	pthread_mutex_lock(&iommufd->lock);
	take_out(object);
	unused = !object->users;
	object->orphan = !unused;
	pthread_mutex_unlock(&iommufd->lock);
	if (unused)
		object->ops->destroy(object);
}

int via_object_destroy(struct via_iommufd *iommufd, uint32_t id)
{
	struct via_object *object;
	int ret = 0;

	pthread_mutex_lock(&iommufd->lock);
	object = ready_at(iommufd, id);
	if (!object)
		ret = -ENOENT;
	else if (object->users)
		ret = -EBUSY;
	else
		take_out(object);
	pthread_mutex_unlock(&iommufd->lock);
	if (!ret)
		object->ops->destroy(object);
	return ret;
}

int via_object_remove(struct via_object *object, unsigned int users)
{
	struct via_iommufd *iommufd = object->iommufd;
	int ret = 0;

	pthread_mutex_lock(&iommufd->lock);
	if (object->users > users)
		ret = -EBUSY;
	else
		take_out(object);
	pthread_mutex_unlock(&iommufd->lock);
	return ret;
}

bool via_object_bury(struct via_object *object)
{
	struct via_iommufd *iommufd = object->iommufd;
	bool ours;

	pthread_mutex_lock(&iommufd->lock);
	ours = is_listed(object);
	if (ours) {
		object->ready = false;
		iommufd->objects[object->id] = &tombstone;
	}
	pthread_mutex_unlock(&iommufd->lock);
	return ours;
}

void via_object_drain(struct via_object *object)
{
	struct via_iommufd *iommufd = object->iommufd;

	pthread_mutex_lock(&iommufd->lock);
	while (object->users)
		pthread_cond_wait(&iommufd->unused, &iommufd->lock);
	pthread_mutex_unlock(&iommufd->lock);
}

int via_objects_of_kind(struct via_iommufd *iommufd, enum via_object_kind kind,
			struct via_object ***ret_objects, size_t *ret_n)
{
	struct via_object **objects;
	size_t n = 0;

	pthread_mutex_lock(&iommufd->lock);
	objects = calloc((size_t)iommufd->n_live + 1, sizeof(struct via_object *));
	for (uint32_t id = 1; objects && id < iommufd->n_objects; id++) {
		struct via_object *object = ready_at(iommufd, id);

		if (object && object->ops->kind == kind) {
			object->users++;
			objects[n++] = object;
		}
	}
	pthread_mutex_unlock(&iommufd->lock);
	if (!objects)
		return -ENOMEM;
	*ret_objects = objects;
	*ret_n = n;
	return 0;
}

/* One leaf out of the table, or NULL: there is none. Takes the lock. */
static struct via_object *leaf_take(struct via_iommufd *iommufd)
{
	struct via_object *leaf = NULL;

	pthread_mutex_lock(&iommufd->lock);
	/* From the top: what uses another mostly came after it. */
	for (uint32_t id = iommufd->n_objects; !leaf && id-- > 1;) {
		struct via_object *object = ready_at(iommufd, id);

		if (object && !object->users)
			leaf = object;
	}
	if (leaf)
		take_out(leaf);
	pthread_mutex_unlock(&iommufd->lock);
	return leaf;
}

void via_objects_destroy_all(struct via_iommufd *iommufd)
{
	struct via_object *leaf;

	while ((leaf = leaf_take(iommufd)))
		leaf->ops->destroy(leaf);
	free(iommufd->objects);
	iommufd->objects = NULL;
	iommufd->n_objects = 0;
}
