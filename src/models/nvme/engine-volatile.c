/* SPDX-License-Identifier: MIT */
/*
 * The engine of cache=volatile, a disk whose write cache is lost when the
 * process is killed: what is written stays in memory, block by block, until a
 * flush puts it into the image. Made to test that guests flush what they
 * promise; every call blocks.
 */
#include "models/nvme/backend.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define N_BUCKETS 4096
/* Blocks held at most; beyond that everything goes to the image early, as a disk may do. */
#define MAX_HELD_BYTES ((uint64_t)256 << 20)

struct block {
	struct block *next;
	uint64_t number;
	uint8_t data[];
};

struct cache {
	int fd;
	uint32_t block_size;
	uint64_t n_held;
	struct block *buckets[N_BUCKETS];
	struct via_nvme_io_list done;
};

static struct block **find(struct cache *c, uint64_t number)
{
	struct block **at = &c->buckets[number % N_BUCKETS];

	while (*at && (*at)->number != number)
		at = &(*at)->next;
	return at;
}

static struct block *hold(struct cache *c, uint64_t number)
{
	struct block **at = find(c, number);

	if (!*at) {
		*at = malloc(sizeof(struct block) + c->block_size);
		if (!*at)
			return NULL;
		(*at)->next = NULL;
		(*at)->number = number;
		c->n_held++;
	}
	return *at;
}

static int write_whole(int fd, const uint8_t *data, size_t len, uint64_t offset)
{
	while (len) {
		ssize_t n = pwrite(fd, data, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		data += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

/* Put everything into the image. What could not be written stays held. */
static int write_back(struct cache *c)
{
	size_t i;

	for (i = 0; i < N_BUCKETS; i++) {
		while (c->buckets[i]) {
			struct block *b = c->buckets[i];
			int r = write_whole(c->fd, b->data, c->block_size,
					    b->number * c->block_size);

			if (r < 0)
				return r;
			c->buckets[i] = b->next;
			c->n_held--;
			free(b);
		}
	}
	return 0;
}

static int flush(struct cache *c)
{
	int r = write_back(c);

	if (r == 0 && fdatasync(c->fd) < 0)
		r = -errno;
	return r;
}

static int64_t cached_read(struct cache *c, const struct via_nvme_io *io)
{
	uint64_t first = io->offset / c->block_size;
	uint8_t *data = io->iov->iov_base;
	size_t len = io->iov->iov_len, at;
	ssize_t n = pread(c->fd, data, len, (off_t)io->offset);

	if (n < 0)
		return -errno;
	if ((size_t)n != len)
		return -EIO;
	for (at = 0; at < len; at += c->block_size) {
		struct block *b = *find(c, first + at / c->block_size);

		if (b)
			memcpy(data + at, b->data, c->block_size);
	}
	return n;
}

/* @data NULL: zeros. */
static int64_t cached_write(struct cache *c, const struct via_nvme_io *io, const uint8_t *data,
			    uint64_t len)
{
	uint64_t first = io->offset / c->block_size, at;
	int r = 0;

	for (at = 0; at < len; at += c->block_size) {
		struct block *b;

		if (c->n_held * c->block_size >= MAX_HELD_BYTES)
			r = write_back(c);
		if (r < 0)
			return r;
		b = hold(c, first + at / c->block_size);
		if (!b)
			return -ENOMEM;
		if (data)
			memcpy(b->data, data + at, c->block_size);
		else
			memset(b->data, 0, c->block_size);
	}
	if (io->fua && (r = flush(c)) < 0)
		return r;
	return (int64_t)len;
}

static void volatile_submit(void *engine, struct via_nvme_io *io)
{
	struct cache *c = engine;

	switch (io->op) {
	case NVME_IO_READ:
		io->raw = cached_read(c, io);
		break;
	case NVME_IO_WRITE:
		io->raw = cached_write(c, io, io->iov->iov_base, io->iov->iov_len);
		break;
	case NVME_IO_FLUSH:
		io->raw = flush(c);
		break;
	case NVME_IO_ZERO:
		io->raw = cached_write(c, io, NULL, io->len);
		break;
	case NVME_IO_DISCARD:
		/* Advice; the blocks keep their content. */
		io->raw = 0;
		break;
	}
	via_nvme_io_list_add(&c->done, io);
}

static void volatile_reap(void *engine, struct via_nvme_io_list *done)
{
	struct cache *c = engine;
	struct via_nvme_io *io;

	while ((io = via_nvme_io_list_pop(&c->done)))
		via_nvme_io_list_add(done, io);
}

static void volatile_wait(void *engine)
{
	/* Every step was done when it was submitted. */
}

static void volatile_free(void *engine)
{
	struct cache *c = engine;
	size_t i;

	/* An orderly end: a disk that is switched off after a shutdown keeps its cache. */
	write_back(c);
	for (i = 0; i < N_BUCKETS; i++) {
		while (c->buckets[i]) {
			struct block *b = c->buckets[i];

			c->buckets[i] = b->next;
			free(b);
		}
	}
	free(c);
}

static const struct via_nvme_engine_ops volatile_ops = {
	.submit = volatile_submit,
	.reap = volatile_reap,
	.wait = volatile_wait,
	.free = volatile_free,
};

int via_nvme_volatile_new(int fd, uint32_t block_size, struct via_nvme_engine *ret_engine)
{
	struct cache *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->fd = fd;
	c->block_size = block_size;
	via_nvme_io_list_init(&c->done);
	*ret_engine = (struct via_nvme_engine){&volatile_ops, c, -1};
	return 0;
}
