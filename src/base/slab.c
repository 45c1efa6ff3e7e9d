/* SPDX-License-Identifier: MIT */
#include "base/slab.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

/* A sanitizer is to know when each object is freed. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define EACH_ALONE 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define EACH_ALONE 1
#endif
#endif
#ifndef EACH_ALONE
#define EACH_ALONE 0
#endif

#define CHUNK ((size_t)2 << 20) /* its size and its alignment */

struct free_object {
	struct free_object *next;
};

struct via_slab_chunk {
	struct via_slab *slab;		    /* constant */
	struct via_slab_chunk *prev, *next; /* of slab->open, if there is room */
	struct free_object *free;	    /* have been used */
	size_t n_touched;		    /* objects from the start on: what lies above has never been used */
	size_t n_used;
};

static struct {
	pthread_mutex_t lock; /* before a slab's */
	struct via_slab *first;
	bool forks; /* handlers are there */
} all = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void fork_prepare(void)
{
	pthread_mutex_lock(&all.lock);
	for (struct via_slab *slab = all.first; slab; slab = slab->next)
		pthread_mutex_lock(&slab->lock);
}

static void fork_done(void)
{
	for (struct via_slab *slab = all.first; slab; slab = slab->next)
		pthread_mutex_unlock(&slab->lock);
	pthread_mutex_unlock(&all.lock);
}

/* Before its first chunk; no lock held. */
static void enroll(struct via_slab *slab)
{
	struct via_slab *other;

	pthread_mutex_lock(&all.lock);
	if (!all.forks)
		all.forks = !pthread_atfork(fork_prepare, fork_done, fork_done);
	for (other = all.first; other && other != slab; other = other->next)
		;
	if (!other) {
		slab->next = all.first;
		all.first = slab;
	}
	pthread_mutex_unlock(&all.lock);
}

static struct via_slab_chunk *chunk_of(void *object)
{
	return (void *)((uintptr_t)object & ~(uintptr_t)(CHUNK - 1));
}

static size_t room_of(const struct via_slab *slab)
{
	return (CHUNK - VIA_SLAB_LINE) / slab->size;
}

/* Address space for a chunk, aligned. */
static void *chunk_map(void)
{
	uint8_t *at = mmap(NULL, 2 * CHUNK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			   -1, 0);
	size_t before;

	if (at == MAP_FAILED)
		return NULL;
	before = -(uintptr_t)at & (CHUNK - 1);
	/* If one of these fails there is a little more address space, which nobody uses. */
	if (before)
		(void)munmap(at, before);
	(void)munmap(at + before + CHUNK, CHUNK - before);
	return at + before;
}

static void open_add(struct via_slab *slab, struct via_slab_chunk *chunk)
{
	chunk->prev = NULL;
	chunk->next = slab->open;
	if (slab->open)
		slab->open->prev = chunk;
	slab->open = chunk;
}

static void open_remove(struct via_slab *slab, struct via_slab_chunk *chunk)
{
	if (chunk->prev)
		chunk->prev->next = chunk->next;
	else
		slab->open = chunk->next;
	if (chunk->next)
		chunk->next->prev = chunk->prev;
}

/* The slab's lock is held, but not all the time. */
static bool chunk_add(struct via_slab *slab)
{
	struct via_slab_chunk *chunk;
	bool is_first = !slab->n_chunks;

	if (slab->spare) {
		open_add(slab, slab->spare);
		slab->spare = NULL;
		return true;
	}
	pthread_mutex_unlock(&slab->lock);
	enroll(slab);
	chunk = chunk_map();
	/* Those who have few objects shall not pay for many. */
	if (chunk && !is_first)
		(void)madvise(chunk, CHUNK, MADV_HUGEPAGE);
	pthread_mutex_lock(&slab->lock);
	if (!chunk)
		return slab->open != NULL;
	chunk->slab = slab;
	open_add(slab, chunk);
	slab->n_chunks++;
	return true;
}

void *via_slab_alloc(struct via_slab *slab)
{
	struct via_slab_chunk *chunk;
	void *object;

	if (EACH_ALONE)
		return aligned_alloc(VIA_SLAB_LINE, slab->size);
	pthread_mutex_lock(&slab->lock);
	if (!slab->open && !chunk_add(slab)) {
		pthread_mutex_unlock(&slab->lock);
		return NULL;
	}
	chunk = slab->open;
	object = chunk->free;
	if (object)
		chunk->free = chunk->free->next;
	else
		object = (uint8_t *)chunk + VIA_SLAB_LINE + slab->size * chunk->n_touched++;
	if (++chunk->n_used == room_of(slab))
		open_remove(slab, chunk);
	pthread_mutex_unlock(&slab->lock);
	return object;
}

/* It is empty. Keep one, so that an object that comes and goes costs no system call. The lock held. */
static struct via_slab_chunk *chunk_done(struct via_slab *slab, struct via_slab_chunk *chunk)
{
	open_remove(slab, chunk);
	if (!slab->spare) {
		slab->spare = chunk;
		return NULL;
	}
	slab->n_chunks--;
	return chunk;
}

void via_slab_free(void *object)
{
	struct via_slab_chunk *chunk;
	struct free_object *freed = object;
	struct via_slab *slab;

	if (EACH_ALONE || !object) {
		free(object);
		return;
	}
	chunk = chunk_of(object);
	slab = chunk->slab;
	pthread_mutex_lock(&slab->lock);
	freed->next = chunk->free;
	chunk->free = freed;
	if (chunk->n_used-- == room_of(slab))
		open_add(slab, chunk);
	chunk = chunk->n_used ? NULL : chunk_done(slab, chunk);
	pthread_mutex_unlock(&slab->lock);
	/* It can fail where the kernel would have to split what it knows as one. */
	if (chunk && munmap(chunk, CHUNK))
		(void)madvise(chunk, CHUNK, MADV_DONTNEED);
}

size_t via_slab_bytes(struct via_slab *slab)
{
	size_t n;

	pthread_mutex_lock(&slab->lock);
	n = slab->n_chunks;
	pthread_mutex_unlock(&slab->lock);
	return n * CHUNK;
}
