/* SPDX-License-Identifier: MIT */
/* Copies between stores and buffers. */
#include "memory/guard.h"
#include "memory/store.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>

/*
 * Pieces of one program's memory, gathered for one system call. Two lists that
 * are walked in parallel: neighbours in either are joined.
 */
struct batch {
	struct via_mm *mm;
	bool write;
	size_t n_local, n_remote;
	struct iovec local[IOV_MAX], remote[IOV_MAX];
};

static int batch_flush(struct batch *b)
{
	int rc = 0;

	if (b->n_local)
		rc = (b->write ? b->mm->ops->writev : b->mm->ops->readv)(
			b->mm, b->local, b->n_local, b->remote, b->n_remote);
	b->n_local = b->n_remote = 0;
	return rc;
}

static void iov_append(struct iovec *iov, size_t *n, void *base, size_t len)
{
	struct iovec *last = *n ? &iov[*n - 1] : NULL;

	if (last && (char *)last->iov_base + last->iov_len == (char *)base)
		last->iov_len += len;
	else
		iov[(*n)++] = (struct iovec){ base, len };
}

static int batch_add(struct batch *b, struct via_mm *mm, uint8_t *local, uint64_t remote,
		     size_t len)
{
	int rc = 0;

	if (b->n_local == IOV_MAX || b->n_remote == IOV_MAX || mm != b->mm)
		rc = batch_flush(b);
	b->mm = mm;
	iov_append(b->local, &b->n_local, local, len);
	iov_append(b->remote, &b->n_remote, (void *)(uintptr_t)remote, len);
	return rc;
}

/* One piece that lies in one segment and one buffer. batch is NULL where all is mapped. */
static int copy_piece(struct via_store *store, const struct via_store_seg *seg, uint64_t offset,
		      uint8_t *buf, size_t len, bool write, struct batch *batch)
{
	uint64_t at = offset - seg->offset;
	int rc;

	assert(seg->host || batch);
	if (!seg->host)
		return batch ? batch_add(batch, store->space->mm, buf, seg->remote + at, len)
			     : -EFAULT;
	/* Bytes arrive in the order of the list. */
	rc = batch ? batch_flush(batch) : 0;
	if (rc)
		return rc;
	return write ? via_guard_write(seg->host + at, buf, len)
		     : via_guard_read(buf, seg->host + at, len);
}

/* Lengths are checked: the buffers hold exactly what the runs do. */
static int copy_runs(const struct via_store_run *runs, size_t n_runs, const struct iovec *bufs,
		     bool write, struct batch *batch)
{
	size_t buf_done = 0;
	int rc;

	for (size_t i = 0; i < n_runs; i++) {
		struct via_store *store = runs[i].store;
		uint64_t offset = runs[i].offset, end = offset + runs[i].len;

		while (offset < end) {
			const struct via_store_seg *seg = via_store_seg(store, offset);
			uint64_t len = seg->offset + seg->len - offset;

			if (len > end - offset)
				len = end - offset;
			if (len > bufs->iov_len - buf_done)
				len = bufs->iov_len - buf_done;
			if (len) {
				rc = copy_piece(store, seg, offset,
						(uint8_t *)bufs->iov_base + buf_done, len, write,
						batch);
				if (rc)
					return rc;
			}
			offset += len;
			buf_done += len;
			if (buf_done == bufs->iov_len && offset < end) {
				bufs++;
				buf_done = 0;
			}
		}
	}
	return batch ? batch_flush(batch) : 0;
}

/* Apart, so that only a copy that needs it pays for the large frame. */
static int __attribute__((noinline)) copy_batched(const struct via_store_run *runs, size_t n_runs,
						  const struct iovec *bufs, bool write)
{
	struct batch batch;

	batch.mm = NULL;
	batch.write = write;
	batch.n_local = batch.n_remote = 0;
	return copy_runs(runs, n_runs, bufs, write, &batch);
}

static int transfer(const struct via_store_run *runs, size_t n_runs, const struct iovec *bufs,
		    size_t n_bufs, bool write)
{
	unsigned int prot = write ? VIA_PROT_WRITE : VIA_PROT_READ;
	uint64_t total = 0, room = 0;
	bool mapped = true;

	for (size_t i = 0; i < n_runs; i++) {
		const struct via_store *store = runs[i].store;

		if (runs[i].offset > store->len || runs[i].len > store->len - runs[i].offset)
			return -ERANGE;
		if (!(store->prot & prot))
			return -EACCES;
		mapped = mapped && store->mapped;
		if (__builtin_add_overflow(total, runs[i].len, &total))
			return -EINVAL;
	}
	for (size_t i = 0; i < n_bufs; i++)
		if (__builtin_add_overflow(room, bufs[i].iov_len, &room))
			return -EINVAL;
	if (total != room)
		return -EINVAL;
	if (!total)
		return 0;
	if (mapped)
		return copy_runs(runs, n_runs, bufs, write, NULL);
	return copy_batched(runs, n_runs, bufs, write);
}

int via_store_readv(const struct via_store_run *runs, size_t n_runs, const struct iovec *bufs,
		    size_t n_bufs)
{
	return transfer(runs, n_runs, bufs, n_bufs, false);
}

int via_store_writev(const struct via_store_run *runs, size_t n_runs, const struct iovec *bufs,
		     size_t n_bufs)
{
	return transfer(runs, n_runs, bufs, n_bufs, true);
}
