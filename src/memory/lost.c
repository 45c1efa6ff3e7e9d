/* SPDX-License-Identifier: MIT */
#include "memory/guard.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/*
 * Read in a signal handler while others change it: nodes are never freed but
 * used again, and a reader takes a node only if start stayed the same around
 * the read of len.
 */
struct range {
	struct range *next; /* constant once published */
	uintptr_t start;    /* atomic; written under lock */
	size_t len;	    /* atomic; written under lock; 0: free */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct range *ranges; /* atomic; grows under lock */

int via_guard_range_add(void *addr, size_t len)
{
	struct range *r;
	int ret = 0;

	pthread_mutex_lock(&lock);
	for (r = ranges; r; r = r->next)
		if (!__atomic_load_n(&r->len, __ATOMIC_RELAXED))
			break;
	if (r) {
		__atomic_store_n(&r->start, (uintptr_t)addr, __ATOMIC_SEQ_CST);
		__atomic_store_n(&r->len, len, __ATOMIC_SEQ_CST);
	} else if ((r = calloc(1, sizeof(*r)))) {
		*r = (struct range){ranges, (uintptr_t)addr, len};
		__atomic_store_n(&ranges, r, __ATOMIC_RELEASE);
	} else {
		ret = -ENOMEM;
	}
	pthread_mutex_unlock(&lock);
	return ret;
}

void via_guard_range_remove(void *addr)
{
	pthread_mutex_lock(&lock);
	for (struct range *r = ranges; r; r = r->next)
		if (__atomic_load_n(&r->start, __ATOMIC_RELAXED) == (uintptr_t)addr)
			__atomic_store_n(&r->len, 0, __ATOMIC_SEQ_CST);
	pthread_mutex_unlock(&lock);
}

static bool covered(uintptr_t addr)
{
	for (struct range *r = __atomic_load_n(&ranges, __ATOMIC_ACQUIRE); r; r = r->next) {
		uintptr_t start = __atomic_load_n(&r->start, __ATOMIC_SEQ_CST);
		size_t len = __atomic_load_n(&r->len, __ATOMIC_SEQ_CST);

		if (addr >= start && addr - start < len &&
		    __atomic_load_n(&r->start, __ATOMIC_SEQ_CST) == start)
			return true;
	}
	return false;
}

bool via_guard_range_fixup(uintptr_t addr)
{
	uintptr_t page_size = (uintptr_t)sysconf(_SC_PAGESIZE);
	void *page = (void *)(addr & ~(page_size - 1));
	int saved = errno;
	bool ok = covered(addr) &&
		  mmap(page, page_size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED;

	errno = saved;
	return ok;
}
