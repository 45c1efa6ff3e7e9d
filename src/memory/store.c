/* SPDX-License-Identifier: MIT */
/* Making stores, and the leases on them. */
#include "memory/store.h"
#include "memory/uses.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* A store under construction. */
struct builder {
	struct via_space *space;
	unsigned int prot;
	struct via_store_seg *segs;
	size_t n_segs, room;
	uint64_t len;
};

static int add_seg(struct builder *b, const struct via_store_seg *seg)
{
	struct via_store_seg *last = b->n_segs ? &b->segs[b->n_segs - 1] : NULL;

	/* Neighbours that continue each other become one; a window counts once. */
	if (last && !last->host && !seg->host && last->remote + last->len == seg->remote) {
		last->len += seg->len;
		b->len += seg->len;
		return 0;
	}
	if (last && last->host && seg->host && last->window == seg->window &&
	    last->host + last->len == seg->host) {
		last->len += seg->len;
		b->len += seg->len;
		if (seg->window)
			via_window_put(b->space, seg->window);
		return 0;
	}
	if (b->n_segs == b->room) {
		size_t room = b->room ? 2 * b->room : 4;
		struct via_store_seg *segs = reallocarray(b->segs, room, sizeof(*segs));

		if (!segs)
			return -ENOMEM;
		b->segs = segs;
		b->room = room;
	}
	b->segs[b->n_segs] = *seg;
	b->segs[b->n_segs++].offset = b->len;
	b->len += seg->len;
	return 0;
}

static int add_window(struct builder *b, int fd, uint64_t offset, uint64_t len)
{
	struct via_store_seg seg = { .len = len };
	int rc;

	rc = via_window_get(b->space, fd, offset, len, b->prot & VIA_PROT_WRITE, &seg.window,
			    &seg.host);
	if (rc)
		return rc;
	rc = add_seg(b, &seg);
	if (rc)
		via_window_put(b->space, seg.window);
	return rc;
}

/* Private memory, and shared memory that cannot be mapped: in place or by copies. */
static int add_private(struct builder *b, uint64_t addr, uint64_t len)
{
	struct via_store_seg seg = { .len = len, .remote = addr };

	/* pid 0 is our own process. */
	if (!b->space->mm->pid)
		seg.host = (uint8_t *)(uintptr_t)addr;
	return add_seg(b, &seg);
}

static int build_mm(struct builder *b, uint64_t addr, uint64_t len, bool probe)
{
	struct via_mm *mm = b->space->mm;
	int rc = probe ? mm->ops->probe(mm, addr, len, b->prot) : 0;

	while (!rc && len) {
		struct via_backing backing = { .fd = -1 };

		rc = mm->ops->backing(mm, addr, len, b->prot, &backing);
		if (rc && !probe) {
			backing = (struct via_backing){ .fd = -1, .len = len };
			rc = 0;
		}
		if (rc)
			break;
		if (!backing.len || backing.len > len)
			backing.len = len;
		if (backing.fd >= 0) {
			rc = add_window(b, backing.fd, backing.offset, backing.len);
			(void)close(backing.fd);
			if (rc && rc != -ENOMEM)
				rc = add_private(b, addr, backing.len);
		} else {
			rc = add_private(b, addr, backing.len);
		}
		addr += backing.len;
		len -= backing.len;
	}
	return rc;
}

static int build_fd(struct builder *b, uint64_t addr, uint64_t len)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	struct stat st;

	if (fstat(b->space->fd, &st))
		return -errno;
	if (addr + len > (((uint64_t)st.st_size + page - 1) & ~(page - 1)))
		return -EFAULT;
	return add_window(b, b->space->fd, addr, len);
}

/* Does the program's side have to follow this segment? */
static bool is_held(const struct via_space *space, const struct via_store_seg *seg)
{
	return space->mm && space->mm->ops->hold && !seg->host;
}

static void drop_segs(struct via_space *space, struct via_store_seg *segs, size_t n_segs,
		      size_t n_held)
{
	for (size_t i = 0; i < n_segs; i++) {
		if (segs[i].window)
			via_window_put(space, segs[i].window);
		if (i < n_held && is_held(space, &segs[i]))
			space->mm->ops->release(space->mm, segs[i].remote, segs[i].len);
	}
}

/* After the segments have their final form. *ret_n: those that are done, also on failure. */
static int hold_segs(struct builder *b, size_t *ret_n)
{
	int rc = 0;

	for (*ret_n = 0; *ret_n < b->n_segs && !rc; *ret_n += !rc) {
		struct via_store_seg *seg = &b->segs[*ret_n];

		if (is_held(b->space, seg))
			rc = b->space->mm->ops->hold(b->space->mm, seg->remote, seg->len,
						     &seg->remote);
	}
	return rc;
}

static int store_new(struct via_space *space, uint64_t addr, uint64_t len, unsigned int prot,
		     bool probe, struct via_store **ret_store)
{
	struct builder b = { .space = space, .prot = prot };
	struct via_store *store;
	size_t n_held = 0;
	uint64_t last;
	int rc;

	if (!len || !prot || (prot & ~(VIA_PROT_READ | VIA_PROT_WRITE)))
		return -EINVAL;
	if (__builtin_add_overflow(addr, len - 1, &last))
		return -EOVERFLOW;
	if (last == UINT64_MAX)
		return -EFAULT; /* no overflow for the kernel either, but no memory is there */
	if (!space->mm && (prot & ~space->prot))
		return -EFAULT;
	rc = space->mm ? build_mm(&b, addr, len, probe) : build_fd(&b, addr, len);
	if (!rc)
		rc = hold_segs(&b, &n_held);
	store = rc ? NULL : malloc(sizeof(*store) + b.n_segs * sizeof(b.segs[0]));
	if (!store) {
		drop_segs(space, b.segs, b.n_segs, n_held);
		free(b.segs);
		return rc ? rc : -ENOMEM;
	}
	assert(b.segs);
	*store = (struct via_store){
		.refs = 1,
		.prot = prot,
		.len = len,
		.space = via_space_get(space),
		.n_segs = b.n_segs,
	};
	memcpy(store->segs, b.segs, b.n_segs * sizeof(b.segs[0]));
	store->mapped = store->prompt = true;
	for (size_t i = 0; i < b.n_segs; i++) {
		store->mapped = store->mapped && b.segs[i].host;
		store->prompt = store->prompt && b.segs[i].host &&
				(!b.segs[i].window || b.segs[i].window->prompt);
	}
	free(b.segs);
	*ret_store = store;
	return 0;
}

int via_store_new(struct via_space *space, uint64_t addr, uint64_t len, unsigned int prot,
		  struct via_store **ret_store)
{
	return store_new(space, addr, len, prot, true, ret_store);
}

int via_store_new_unprobed(struct via_space *space, uint64_t addr, uint64_t len, unsigned int prot,
			   struct via_store **ret_store)
{
	return store_new(space, addr, len, prot, false, ret_store);
}

struct via_store *via_store_get(struct via_store *store)
{
	__atomic_add_fetch(&store->refs, 1, __ATOMIC_RELAXED);
	return store;
}

void via_store_put(struct via_store *store)
{
	if (!store || __atomic_sub_fetch(&store->refs, 1, __ATOMIC_ACQ_REL))
		return;
	drop_segs(store->space, store->segs, store->n_segs, store->n_segs);
	via_space_put(store->space);
	free(store);
}

const struct via_store_seg *via_store_seg(const struct via_store *store, uint64_t offset)
{
	size_t low = 0, high = store->n_segs;

	while (high - low > 1) {
		size_t mid = (low + high) / 2;

		if (store->segs[mid].offset <= offset)
			low = mid;
		else
			high = mid;
	}
	return &store->segs[low];
}

bool via_store_pinned(const struct via_store *store)
{
	for (size_t i = 0; i < store->n_segs; i++)
		if (!store->segs[i].window)
			return false;
	return true;
}

int via_store_lease(struct via_store *store, uint64_t offset, uint64_t len, unsigned int prot,
		    struct via_lease *ret_lease)
{
	const struct via_store_seg *seg;
	uint64_t left;

	if (!len || offset >= store->len || len > store->len - offset)
		return -ERANGE;
	if (prot & ~store->prot)
		return -EACCES;
	seg = via_store_seg(store, offset);
	if (!seg->host)
		return -EOPNOTSUPP;
	left = seg->len - (offset - seg->offset);
	*ret_lease = (struct via_lease){
		.ptr = seg->host + (offset - seg->offset),
		.len = len < left ? len : left,
		.store = via_store_get(store),
	};
	return 0;
}

void via_lease_put(struct via_lease *lease)
{
	struct via_store *store = lease->store;
	struct via_use *use = lease->use;

	if (!store)
		return;
	*lease = (struct via_lease){ 0 };
	/* In this order: then it is who waits for the use that gives the memory back. */
	via_store_put(store);
	if (use) {
		via_use_end(use);
		free(use);
	}
}
