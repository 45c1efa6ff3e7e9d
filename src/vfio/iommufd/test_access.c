/* SPDX-License-Identifier: MIT */
#include "vfio/iommufd/test_access.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>

#define PAGE ((uint64_t)4096)
#define LENGTH_MAX (16u << 20)

/* What a program has pinned. */
struct item {
	struct item *next;
	uint32_t id;
	via_iova_t iova;
	uint64_t length;
	unsigned int flags;
};

struct test_access {
	struct via_file file;
	struct via_object object; /* has a user as long as the file is open */
	struct via_access *access;
	bool pins; /* constant */
	pthread_mutex_t replace_lock;
	struct via_iommufd_ioas *ioas; /* replace_lock; a user of it */
	pthread_mutex_t lock;	       /* below; leaf */
	struct item *items;
	uint32_t next_id;
};

/* Items ------------------------------------------------------------------------ */

static void item_drop(struct test_access *ta, struct item *item)
{
	(void)via_access_unpin(ta->access, item->iova, item->length, item->flags);
	free(item);
}

/* The IOAS wants [iova, iova + len) back: a driver lets go of all that touches it. */
static void items_unmap(void *cookie, via_iova_t iova, uint64_t len)
{
	const via_iova_t last = len > UINT64_MAX - iova ? UINT64_MAX : iova + (len - 1);
	struct test_access *ta = cookie;
	struct item *dropped = NULL;

	pthread_mutex_lock(&ta->lock);
	for (struct item **link = &ta->items; *link;) {
		struct item *item = *link;

		if (item->iova > last || item->iova + (item->length - 1) < iova) {
			link = &item->next;
			continue;
		}
		*link = item->next;
		item->next = dropped;
		dropped = item;
	}
	pthread_mutex_unlock(&ta->lock);
	while (dropped) {
		struct item *next = dropped->next;

		item_drop(ta, dropped);
		dropped = next;
	}
}

static const struct via_access_ops pinning_ops = {
	.unmap = items_unmap,
};

static int item_add(struct test_access *ta, via_iova_t iova, uint64_t length, unsigned int flags,
		    uint32_t *ret_id)
{
	struct item *item = calloc(1, sizeof(*item));

	if (!item)
		return -ENOMEM;
	item->iova = iova;
	item->length = length;
	item->flags = flags;
	pthread_mutex_lock(&ta->lock);
	item->id = ta->next_id++;
	item->next = ta->items;
	ta->items = item;
	*ret_id = item->id;
	pthread_mutex_unlock(&ta->lock);
	return 0;
}

static struct item *item_take(struct test_access *ta, uint32_t id)
{
	struct item **link, *item;

	pthread_mutex_lock(&ta->lock);
	for (link = &ta->items; *link && (*link)->id != id;)
		link = &(*link)->next;
	item = *link;
	if (item)
		*link = item->next;
	pthread_mutex_unlock(&ta->lock);
	return item;
}

/* The file ----------------------------------------------------------------------- */

static void object_destroy(struct via_object *object)
{
	/* Never without a user. */
}

static const struct via_object_ops object_ops = {
	.kind = VIA_OBJECT_ACCESS,
	.destroy = object_destroy,
};

static struct test_access *access_of(struct via_file *file)
{
	return VIA_CONTAINER_OF(file, struct test_access, file);
}

static void access_release(struct via_file *file)
{
	struct test_access *ta = access_of(file);
	struct via_iommufd *iommufd = ta->object.iommufd;

	if (ta->ioas) {
		items_unmap(ta, 0, UINT64_MAX);
		via_access_detach(ta->access);
		via_object_put(&ta->ioas->object);
	}
	via_access_free(ta->access);
	/* A lookup of another thread's may be about to put it. */
	while (via_object_remove(&ta->object, 1) < 0)
		sched_yield();
	via_iommufd_put(iommufd);
	pthread_mutex_destroy(&ta->replace_lock);
	pthread_mutex_destroy(&ta->lock);
	free(ta);
}

static const struct via_file_ops access_file_ops = {
	.kind = "iommufd-test-access",
	.release = access_release,
};

static int access_new(struct via_iommufd *iommufd, bool pins, struct test_access **ret_ta)
{
	struct test_access *ta = calloc(1, sizeof(*ta));
	int ret;

	if (!ta)
		return -ENOMEM;
	ret = via_access_new(pins ? &pinning_ops : NULL, ta, &ta->access);
	if (!ret)
		ret = via_object_reserve(iommufd, &ta->object, &object_ops);
	if (ret < 0) {
		if (ta->access)
			via_access_free(ta->access);
		free(ta);
		return ret;
	}
	via_object_use(&ta->object);
	via_object_finish(&ta->object);
	via_iommufd_get(iommufd);
	ta->file.ops = &access_file_ops;
	ta->file.refs = 1;
	ta->pins = pins;
	ta->next_id = 0;
	pthread_mutex_init(&ta->replace_lock, NULL);
	pthread_mutex_init(&ta->lock, NULL);
	*ret_ta = ta;
	return 0;
}

static struct via_iommufd_ioas *ioas_get(struct via_iommufd *iommufd, uint32_t id)
{
	struct via_object *object = via_object_get(iommufd, id, VIA_OBJECT_IOAS);

	return object ? VIA_CONTAINER_OF(object, struct via_iommufd_ioas, object) : NULL;
}

static int attach(struct test_access *ta, uint32_t id)
{
	struct via_iommufd_ioas *ioas = ioas_get(ta->object.iommufd, id);
	int ret;

	if (!ioas)
		return -ENOENT;
	ret = via_access_attach(ta->access, ioas->ioas);
	if (ret < 0)
		via_object_put(&ioas->object);
	else
		ta->ioas = ioas;
	return ret;
}

int via_test_access_create(const struct via_iommufd_call *call, struct via_iommu_test_cmd *cmd)
{
	struct test_access *ta;
	int ret;

	if (cmd->create_access.flags & ~VIA_IOMMU_TEST_ACCESS_PINS)
		return -EOPNOTSUPP;
	ret = access_new(call->iommufd, cmd->create_access.flags & VIA_IOMMU_TEST_ACCESS_PINS, &ta);
	if (ret < 0)
		return ret;
	ret = attach(ta, cmd->id);
	/* A reply that fails must not leave a descriptor behind: does it? */
	if (!ret)
		ret = via_iommufd_reply(call, cmd);
	if (!ret)
		ret = call->caller->ops->file_put(call->caller, &ta->file, true);
	if (ret < 0) {
		via_file_put(&ta->file);
		return ret;
	}
	cmd->create_access.out_fd = (uint32_t)ret;
	return via_iommufd_reply(call, cmd);
}

/* Behind a descriptor of the program's, with a reference. */
static int access_get(struct via_caller *caller, uint32_t fd, struct test_access **ret_ta)
{
	struct via_file *file;

	if (caller->ops->file_get(caller, (int)fd, &file) < 0)
		return -EBADFD;
	if (file->ops != &access_file_ops) {
		via_file_put(file);
		return -EBADFD;
	}
	*ret_ta = access_of(file);
	return 0;
}

int via_test_access_replace(const struct via_iommufd_call *call,
			    const struct via_iommu_test_cmd *cmd)
{
	struct via_iommufd_ioas *ioas;
	struct test_access *ta;
	int ret = access_get(call->caller, cmd->id, &ta);

	if (ret < 0)
		return ret;
	ioas = ioas_get(ta->object.iommufd, cmd->access_replace.ioas_id);
	ret = -ENOENT;
	if (ioas) {
		pthread_mutex_lock(&ta->replace_lock);
		ret = via_access_replace(ta->access, ioas->ioas);
		if (!ret) {
			struct via_iommufd_ioas *old = ta->ioas;

			ta->ioas = ioas;
			ioas = old;
		}
		pthread_mutex_unlock(&ta->replace_lock);
		via_object_put(&ioas->object);
	}
	via_file_put(&ta->file);
	return ret;
}

/* Fuzzers' IOVAs ------------------------------------------------------------------ */

struct nth {
	uint32_t left;
	via_iova_t first;
};

static int count_area(void *cookie, const struct via_ioas_area *area)
{
	struct nth *nth = cookie;

	if (nth->left--)
		return 0;
	nth->first = area->first;
	return 1;
}

/* Low half: the number of an area; high half: an offset in it. 0: there is none. */
static via_iova_t syz_iova(struct test_access *ta, uint64_t code)
{
	struct nth nth = {.left = (uint32_t)code};
	int found;

	pthread_mutex_lock(&ta->replace_lock);
	found = via_ioas_each_area(ta->ioas->ioas, count_area, &nth);
	pthread_mutex_unlock(&ta->replace_lock);
	return found > 0 ? nth.first + (code >> 32) : 0;
}

/* Pins and copies ----------------------------------------------------------------- */

/* Is what is pinned what the program sees from uptr on? */
static int check_pages(struct test_access *ta, struct via_mm *mm, via_iova_t iova, uint64_t length,
		       uint64_t uptr)
{
	const uint64_t n = (iova % PAGE + length + PAGE - 1) / PAGE;
	struct via_page_identity *pinned = calloc(n + 1, sizeof(*pinned)), seen;
	int ret;

	if (!pinned)
		return -ENOMEM;
	ret = via_access_identities(ta->access, iova, length, pinned);
	for (uint64_t i = 0; !ret && i < n; i++) {
		ret = via_mm_identity(mm, uptr - iova % PAGE + i * PAGE, &seen);
		if (ret < 0)
			ret = -EFAULT;
		else if (seen.space != pinned[i].space || seen.object != pinned[i].object ||
			 seen.page != pinned[i].page)
			ret = -EBADE;
	}
	free(pinned);
	return ret;
}

static int pin_pages(struct test_access *ta, const struct via_iommufd_call *call,
		     struct via_iommu_test_cmd *cmd)
{
	const uint32_t flags = cmd->access_pages.flags;
	const unsigned int how = flags & VIA_IOMMU_TEST_ACCESS_WRITE ? VIA_ACCESS_WRITE : 0;
	const uint64_t length = cmd->access_pages.length;
	struct via_piece *pieces;
	size_t n;
	int ret;

	if (!ta->pins)
		return -EOPNOTSUPP;
	if (flags & VIA_IOMMU_TEST_ACCESS_SYZ)
		cmd->access_pages.iova = syz_iova(ta, cmd->access_pages.iova);
	ret = via_access_pin(ta->access, cmd->access_pages.iova, length, how, &pieces, &n);
	if (ret < 0)
		return ret;
	via_pieces_free(pieces, n);
	if (cmd->access_pages.uptr)
		ret = check_pages(ta, call->caller->mm, cmd->access_pages.iova, length,
				  cmd->access_pages.uptr);
	if (!ret)
		ret = item_add(ta, cmd->access_pages.iova, length, how,
			       &cmd->access_pages.out_item);
	if (ret < 0) {
		(void)via_access_unpin(ta->access, cmd->access_pages.iova, length, how);
		return ret;
	}
	ret = via_iommufd_reply(call, cmd);
	if (ret < 0) {
		struct item *item = item_take(ta, cmd->access_pages.out_item);

		if (item)
			item_drop(ta, item);
	}
	return ret;
}

int via_test_access_pages(const struct via_iommufd_call *call, struct via_iommu_test_cmd *cmd)
{
	struct test_access *ta;
	int ret;

	if (cmd->access_pages.length > LENGTH_MAX)
		return -ENOMEM;
	if (cmd->access_pages.flags & ~(VIA_IOMMU_TEST_ACCESS_WRITE | VIA_IOMMU_TEST_ACCESS_SYZ))
		return -EOPNOTSUPP;
	ret = access_get(call->caller, cmd->id, &ta);
	if (ret < 0)
		return ret;
	ret = pin_pages(ta, call, cmd);
	via_file_put(&ta->file);
	return ret;
}

int via_test_access_unpin(const struct via_iommufd_call *call, const struct via_iommu_test_cmd *cmd)
{
	struct test_access *ta;
	struct item *item;
	int ret = access_get(call->caller, cmd->id, &ta);

	if (ret < 0)
		return ret;
	item = item_take(ta, cmd->destroy_pages.item);
	if (item)
		item_drop(ta, item);
	via_file_put(&ta->file);
	return item ? 0 : -ENOENT;
}

static int rw(struct test_access *ta, struct via_caller *caller,
	      const struct via_iommu_test_cmd *cmd)
{
	const uint64_t length = cmd->access_rw.length, uptr = cmd->access_rw.uptr;
	const bool write = cmd->access_rw.flags & VIA_IOMMU_TEST_ACCESS_WRITE;
	via_iova_t iova = cmd->access_rw.iova;
	void *buf = calloc(1, length ? length : 1);
	int ret = 0;

	if (!buf)
		return -ENOMEM;
	if (write)
		ret = via_copy_in(caller, buf, uptr, length);
	if (cmd->access_rw.flags & VIA_IOMMU_TEST_ACCESS_SYZ)
		iova = syz_iova(ta, iova);
	if (!ret)
		ret = via_access_rw(ta->access, iova, buf, length, write);
	if (!ret && !write)
		ret = via_copy_out(caller, uptr, buf, length);
	free(buf);
	return ret;
}

int via_test_access_rw(const struct via_iommufd_call *call, const struct via_iommu_test_cmd *cmd)
{
	struct test_access *ta;
	int ret;

	if (cmd->access_rw.length > LENGTH_MAX)
		return -ENOMEM;
	/* Fast or slow is one way for us. */
	if (cmd->access_rw.flags & ~(VIA_IOMMU_TEST_ACCESS_WRITE | VIA_IOMMU_TEST_ACCESS_SLOW |
				     VIA_IOMMU_TEST_ACCESS_SYZ))
		return -EOPNOTSUPP;
	ret = access_get(call->caller, cmd->id, &ta);
	if (ret < 0)
		return ret;
	ret = rw(ta, call->caller, cmd);
	via_file_put(&ta->file);
	return ret;
}
