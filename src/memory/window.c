/* SPDX-License-Identifier: MIT */
#include "memory/space.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/magic.h>

/* Half of vm.max_map_count's default divided among a few spaces. */
#define WINDOWS_MAX 8192

/* Windows begin and end at multiples of this where the file is large enough. */
#define WINDOW_ALIGN ((uint64_t)1 << 30)
/* The end of a small file is rounded up to this, so that it may grow a little. */
#define WINDOW_SLACK ((uint64_t)2 << 20)

static size_t bucket_of(uint64_t dev, uint64_t ino)
{
	return (size_t)(((dev ^ ino) * 0x9e3779b97f4a7c15u) >> 58);
}

_Static_assert(VIA_WINDOW_BUCKETS == 1 << (64 - 58), "bucket_of() yields six bits");

static struct via_window *find(struct via_space *space, const struct via_window *want)
{
	struct via_window *w = space->buckets[bucket_of(want->dev, want->ino)];

	for (; w; w = w->next)
		if (w->dev == want->dev && w->ino == want->ino && w->writable >= want->writable &&
		    w->offset <= want->offset && want->offset - w->offset <= w->len &&
		    want->len <= w->len - (want->offset - w->offset))
			return w;
	return NULL;
}

static uint64_t round_up(uint64_t v, uint64_t to)
{
	return (v + to - 1) & ~(to - 1);
}

/*
 * Widen [offset, end), page multiples, to what is worth mapping of a file of this size.
 * True: its pages are memory and nothing else.
 */
static bool widen(int fd, uint64_t size, uint64_t *offset, uint64_t *end)
{
	struct statfs fs;

	if (fstatfs(fd, &fs))
		return false;
	*offset &= ~(WINDOW_ALIGN - 1);
	if (fs.f_type == HUGETLBFS_MAGIC) {
		/* A mapping must be whole pages, and one past the end would grow the file. */
		uint64_t page = (uint64_t)fs.f_bsize;
		uint64_t limit = round_up(size, page);

		*end = round_up(*end, WINDOW_ALIGN > page ? WINDOW_ALIGN : page);
		if (*end > limit)
			*end = limit;
		return true;
	}
	*end = round_up(*end, WINDOW_ALIGN);
	if (*end > round_up(size, WINDOW_SLACK))
		*end = round_up(size, WINDOW_SLACK);
	return fs.f_type == TMPFS_MAGIC;
}

static int map(int fd, struct via_window *w)
{
	int prot = PROT_READ | (w->writable ? PROT_WRITE : 0);
	void *base = mmap(NULL, w->len, prot, MAP_SHARED | MAP_NORESERVE, fd, (off_t)w->offset);

	if (base == MAP_FAILED)
		return -errno;
	w->base = base;
	return 0;
}

int via_window_get(struct via_space *space, int fd, uint64_t offset, uint64_t len, bool writable,
		   struct via_window **ret_window, uint8_t **ret_ptr)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	struct via_window want, *w;
	uint64_t end, wide_offset, wide_end;
	struct stat st;
	int rc = 0;

	if (__builtin_add_overflow(offset, len, &end) || end > INT64_MAX - WINDOW_ALIGN)
		return -EOVERFLOW;
	if (fstat(fd, &st))
		return -errno;
	want = (struct via_window){
		.dev = st.st_dev,
		.ino = st.st_ino,
		.offset = offset & ~(page - 1),
		.len = round_up(end, page) - (offset & ~(page - 1)),
		.writable = writable,
	};

	pthread_mutex_lock(&space->lock);
	w = find(space, &want);
	if (!w) {
		w = space->n_windows < WINDOWS_MAX ? malloc(sizeof(*w)) : NULL;
		if (!w) {
			rc = space->n_windows < WINDOWS_MAX ? -ENOMEM : -ENFILE;
			goto out;
		}
		wide_offset = want.offset;
		wide_end = want.offset + want.len;
		want.prompt = widen(fd, (uint64_t)st.st_size, &wide_offset, &wide_end);
		*w = want;
		if (wide_end >= want.offset + want.len) {
			w->offset = wide_offset;
			w->len = wide_end - wide_offset;
		}
		rc = map(fd, w);
		if (rc == -ENOMEM && w->len != want.len) {
			*w = want;
			rc = map(fd, w);
		}
		if (rc) {
			free(w);
			goto out;
		}
		w->next = space->buckets[bucket_of(w->dev, w->ino)];
		space->buckets[bucket_of(w->dev, w->ino)] = w;
		space->n_windows++;
	}
	w->refs++;
	*ret_window = w;
	*ret_ptr = w->base + (offset - w->offset);
out:
	pthread_mutex_unlock(&space->lock);
	return rc;
}

void via_window_put(struct via_space *space, struct via_window *window)
{
	struct via_window **p;

	pthread_mutex_lock(&space->lock);
	if (--window->refs) {
		pthread_mutex_unlock(&space->lock);
		return;
	}
	p = &space->buckets[bucket_of(window->dev, window->ino)];
	while (*p != window)
		p = &(*p)->next;
	*p = window->next;
	space->n_windows--;
	pthread_mutex_unlock(&space->lock);
	(void)munmap(window->base, window->len);
	free(window);
}
