/* SPDX-License-Identifier: MIT */
/*
 * Dma-bufs of the mock vendor: plain memory behind a descriptor, which TEST_CMD
 * can make stop answering (spec iommu.md 2.11, 9.3).
 */
#include "vfio/iommufd/mock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#define PAGE 4096u
#define LENGTH_MAX (512u * PAGE)
/* Of one buffer: a program that maps it again and again must stop somewhere. */
#define PAGES_MAX 4096u

/* The bytes: who maps them keeps them. */
struct memory {
	int refs; /* atomic */
	uint64_t length;
	uint8_t bytes[];
};

struct dmabuf {
	struct via_file file;
	struct memory *memory;
	pthread_mutex_t lock; /* all below */
	bool revoked;
	size_t n;
	struct via_pages *pages[PAGES_MAX]; /* all that were made of it, with references */
};

static void memory_put(struct memory *memory)
{
	if (__atomic_sub_fetch(&memory->refs, 1, __ATOMIC_ACQ_REL) == 0)
		free(memory);
}

static uint8_t *region_memory(void *cookie, uint64_t offset, uint64_t *ret_len)
{
	struct memory *memory = cookie;

	if (offset >= memory->length)
		return NULL;
	*ret_len = memory->length - offset;
	return memory->bytes + offset;
}

static int region_access(void *cookie, uint64_t offset, void *buf, size_t len, bool write)
{
	return -EFAULT;
}

static void region_written(void *cookie)
{
}

static void region_release(void *cookie)
{
	memory_put(cookie);
}

static const struct via_pages_region_ops region_ops = {
	.memory = region_memory,
	.access = region_access,
	.written = region_written,
	.release = region_release,
};

static struct dmabuf *dmabuf_of(struct via_file *file)
{
	return VIA_CONTAINER_OF(file, struct dmabuf, file);
}

static int dmabuf_pages(struct via_file *file, uint64_t start, uint64_t len, bool writable,
			struct via_pages **ret_pages)
{
	struct dmabuf *dmabuf = dmabuf_of(file);
	struct memory *memory = dmabuf->memory;
	struct via_pages *pages;
	int ret;

	if (!len || start >= memory->length || len > memory->length - start)
		return -EINVAL;
	__atomic_add_fetch(&memory->refs, 1, __ATOMIC_RELAXED);
	ret = via_pages_new_region(&region_ops, memory, start, len, false, &pages);
	if (ret < 0)
		return ret;
	pthread_mutex_lock(&dmabuf->lock);
	if (dmabuf->revoked)
		ret = -ENODEV;
	else if (dmabuf->n == PAGES_MAX)
		ret = -ENOMEM;
	else
		dmabuf->pages[dmabuf->n++] = via_pages_get(pages);
	pthread_mutex_unlock(&dmabuf->lock);
	if (ret < 0) {
		via_pages_put(pages);
		return ret;
	}
	*ret_pages = pages;
	return 0;
}

static void dmabuf_release(struct via_file *file)
{
	struct dmabuf *dmabuf = dmabuf_of(file);

	for (size_t i = 0; i < dmabuf->n; i++)
		via_pages_put(dmabuf->pages[i]);
	memory_put(dmabuf->memory);
	pthread_mutex_destroy(&dmabuf->lock);
	free(dmabuf);
}

static const struct via_file_ops dmabuf_ops = {
	.kind = "dma-buf",
	.dma_pages = dmabuf_pages,
	.release = dmabuf_release,
};

long via_mock_dmabuf_get(struct via_caller *caller, uint32_t length, uint32_t open_flags)
{
	const uint64_t size = ((uint64_t)length + PAGE - 1) / PAGE * PAGE;
	struct dmabuf *dmabuf;
	long fd;

	if (!size || size > LENGTH_MAX)
		return -EINVAL;
	dmabuf = calloc(1, sizeof(*dmabuf));
	if (!dmabuf)
		return -ENOMEM;
	dmabuf->memory = calloc(1, sizeof(*dmabuf->memory) + size);
	if (!dmabuf->memory) {
		free(dmabuf);
		return -ENOMEM;
	}
	dmabuf->memory->refs = 1;
	dmabuf->memory->length = size;
	pthread_mutex_init(&dmabuf->lock, NULL);
	dmabuf->file.ops = &dmabuf_ops;
	dmabuf->file.refs = 1;
	fd = caller->ops->file_put(caller, &dmabuf->file, open_flags & O_CLOEXEC);
	if (fd < 0)
		via_file_put(&dmabuf->file);
	return fd;
}

int via_mock_dmabuf_revoke(struct via_caller *caller, int fd, bool revoked)
{
	struct via_file *file;
	struct dmabuf *dmabuf;
	int ret = caller->ops->file_get(caller, fd, &file);

	/* An open file that is no dma-buf at all is as wrong as one of another vendor. */
	if (ret < 0)
		return ret == -EBADFD ? -EINVAL : ret;
	if (file->ops == &dmabuf_ops) {
		dmabuf = dmabuf_of(file);
		pthread_mutex_lock(&dmabuf->lock);
		dmabuf->revoked = revoked;
		for (size_t i = 0; revoked && i < dmabuf->n; i++)
			via_pages_revoke(dmabuf->pages[i]);
		pthread_mutex_unlock(&dmabuf->lock);
	} else {
		ret = file->ops->dma_pages ? -EOPNOTSUPP : -EINVAL;
	}
	via_file_put(file);
	return ret;
}
