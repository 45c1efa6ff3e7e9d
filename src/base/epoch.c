/* SPDX-License-Identifier: MIT */
#include "base/epoch.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"

/* Writers outside a section wait for readers once this much is pending. */
#define BACKLOG_MAX 64u

struct via_epoch_domain via_epoch_domain = {.now = VIA_EPOCH_STEP};
_Thread_local struct via_epoch_slot *via_epoch_self __attribute__((tls_model("initial-exec")));

/* Every slot ever made; pushed by compare-and-swap, never taken off. */
static struct via_epoch_slot *_Atomic slots;

/*
 * Threads for which no slot could be allocated share a count. Its readers are
 * waited for together, which is slower for the writer but never wrong.
 */
static _Atomic unsigned int overflow_readers;
static _Thread_local unsigned int overflow_nest __attribute__((tls_model("initial-exec")));

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t slot_key;
static bool slot_key_valid; /* written under `once` */

/* Protects the list of deferred objects; never held while foreign code runs. */
static pthread_mutex_t deferred_lock = PTHREAD_MUTEX_INITIALIZER;
static struct via_epoch_head *deferred;
/* Deferred lazily: they wait for the next grace period to begin. */
static struct via_epoch_head *lazy;
static _Atomic unsigned int n_lazy; /* written under deferred_lock */
/* Set by a poller that found the lock taken: the holder polls for it. */
static _Atomic bool poll_again;

static long membarrier(int cmd)
{
	return syscall(SYS_membarrier, cmd, 0, 0);
}

static void membarrier_register(void)
{
	if (VIA_EPOCH_TSAN || membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) ||
	    membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED))
		(void)atomic_fetch_or(&via_epoch_domain.attention, VIA_EPOCH_FENCED);
}

static void slot_release(void *arg)
{
	struct via_epoch_slot *slot = arg;

	via_epoch_self = NULL;
	slot->active = NULL;
	atomic_store_explicit(&slot->word, 0, memory_order_release);
	atomic_store_explicit(&slot->owned, false, memory_order_release);
}

static void fork_prepare(void)
{
	(void)pthread_mutex_lock(&deferred_lock);
}

static void fork_parent(void)
{
	(void)pthread_mutex_unlock(&deferred_lock);
}

static void fork_child(void)
{
	struct via_epoch_slot *slot;

	/* The other threads, and so their sections, do not exist here. */
	for (slot = atomic_load(&slots); slot; slot = slot->next) {
		if (slot == via_epoch_self)
			continue;
		slot->active = NULL;
		atomic_store(&slot->word, 0);
		atomic_store(&slot->owned, false);
	}
	atomic_store(&overflow_readers, overflow_nest ? 1 : 0);
	(void)pthread_mutex_unlock(&deferred_lock);
	membarrier_register();
}

static void init_once(void)
{
	membarrier_register();
	slot_key_valid = pthread_key_create(&slot_key, slot_release) == 0;
	(void)pthread_atfork(fork_prepare, fork_parent, fork_child);
}

static struct via_epoch_slot *slot_take(void)
{
	struct via_epoch_slot *slot;

	for (slot = atomic_load_explicit(&slots, memory_order_acquire); slot; slot = slot->next) {
		bool owned = false;

		if (!atomic_load_explicit(&slot->owned, memory_order_relaxed) &&
		    atomic_compare_exchange_strong(&slot->owned, &owned, true))
			return slot;
	}
	slot = aligned_alloc(_Alignof(struct via_epoch_slot), sizeof(*slot));
	if (!slot)
		return NULL;
	*slot = (struct via_epoch_slot){.owned = true};
	slot->next = atomic_load_explicit(&slots, memory_order_relaxed);
	while (!atomic_compare_exchange_weak(&slots, &slot->next, slot))
		;
	return slot;
}

/* Without the key a dead thread's slot could never be reused: better none. */
static bool attach(void)
{
	struct via_epoch_slot *slot;

	(void)pthread_once(&once, init_once);
	if (!slot_key_valid)
		return false;
	slot = slot_take();
	if (!slot)
		return false;
	if (pthread_setspecific(slot_key, slot)) {
		atomic_store(&slot->owned, false);
		return false;
	}
	via_epoch_self = slot;
	return true;
}

/* The oldest epoch that some reader is still in. */
static uint64_t oldest_reader(void)
{
	const struct via_epoch_slot *slot;
	uint64_t oldest = UINT64_MAX;

	if (atomic_load(&overflow_readers))
		return 0;
	for (slot = atomic_load_explicit(&slots, memory_order_acquire); slot; slot = slot->next) {
		uint64_t word = atomic_load_explicit(&slot->word, memory_order_seq_cst);

		if (word && word < oldest)
			oldest = word;
	}
	return oldest;
}

/* Moves what no reader can see any more off the list. Under deferred_lock. */
static struct via_epoch_head *take_ready(void)
{
	struct via_epoch_head *ready = NULL, **ready_tail = &ready, **link = &deferred;
	uint64_t oldest = oldest_reader();

	while (*link) {
		struct via_epoch_head *head = *link;

		if (head->epoch > oldest) {
			link = &head->next;
			continue;
		}
		*link = head->next;
		head->next = NULL;
		*ready_tail = head;
		ready_tail = &head->next;
	}
	return ready;
}

/*
 * A thread that cannot have the lock leaves its request to the holder, so the
 * last of several readers to leave is never the one whose look is lost.
 */
static void poll_deferred(void)
{
	atomic_store(&poll_again, true);
	while (atomic_load(&poll_again) && pthread_mutex_trylock(&deferred_lock) == 0) {
		struct via_epoch_head *ready, *next;

		atomic_store(&poll_again, false);
		ready = take_ready();
		(void)pthread_mutex_unlock(&deferred_lock);
		for (; ready; ready = next) {
			next = ready->next;
			ready->free_fn(ready);
			(void)atomic_fetch_sub(&via_epoch_domain.attention, VIA_EPOCH_PENDING);
		}
	}
}

/* The section has ended: the store to the slot comes before the look at what is pending. */
void via_epoch_left(void)
{
#if !VIA_EPOCH_TSAN
	atomic_thread_fence(memory_order_seq_cst);
#endif
	if (via_epoch_n_pending())
		poll_deferred();
}

void via_epoch_enter_slow(void)
{
	if (!overflow_nest && attach()) {
		via_epoch_enter();
		return;
	}
	if (overflow_nest++ == 0)
		(void)atomic_fetch_add(&overflow_readers, 1);
}

void via_epoch_exit_slow(void)
{
	if (--overflow_nest)
		return;
	(void)atomic_fetch_sub(&overflow_readers, 1);
	if (via_epoch_n_pending())
		poll_deferred();
}

bool via_epoch_inside_slow(void)
{
	return overflow_nest != 0;
}

static void pause_ns(long ns)
{
	struct timespec ts = {.tv_nsec = ns};

	(void)nanosleep(&ts, NULL);
}

/*
 * After this, a reader that announced an epoch older than the returned one is
 * seen in its slot, and one that is not seen will see what was unpublished.
 * Pairs with via_epoch_begin().
 */
static uint64_t begin_grace(void)
{
	uint64_t epoch = atomic_fetch_add(&via_epoch_domain.now, VIA_EPOCH_STEP) + VIA_EPOCH_STEP;

	(void)pthread_once(&once, init_once);
	if (via_epoch_fenced()) {
#if !VIA_EPOCH_TSAN
		atomic_thread_fence(memory_order_seq_cst);
#endif
		return epoch;
	}
	if (membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) == 0)
		return epoch;
	/*
	 * Refused although it worked once: a filter was installed since. From
	 * now on readers fence; a store that one made before it knew leaves
	 * its CPU long before this sleep ends.
	 */
	(void)atomic_fetch_or(&via_epoch_domain.attention, VIA_EPOCH_FENCED);
	pause_ns(10 * 1000 * 1000);
	return epoch;
}

static bool slot_blocks(const struct via_epoch_slot *slot, uint64_t epoch)
{
	uint64_t word = atomic_load_explicit(&slot->word, memory_order_seq_cst);

	return word && word < epoch;
}

/* Spins first: most sections last less than a system call. */
static void backoff(unsigned int *round)
{
	unsigned int n = (*round)++;

	if (n < 64) {
#if defined(__x86_64__) || defined(__i386__)
		__builtin_ia32_pause();
#endif
	} else if (n < 128) {
		(void)sched_yield();
	} else {
		pause_ns(n < 256 ? 50 * 1000 : 1000 * 1000);
		if (n == 1256)
			via_log(VIA_LOG_WARNING,
				"a change has waited a second for a device callback to return");
	}
}

/* Those that wait have been unpublished before the grace period that @epoch begins. */
static void stamp_lazy(struct via_epoch_head *list, unsigned int n, uint64_t epoch)
{
	struct via_epoch_head *head = list;

	if (!list)
		return;
	/* Before they can be taken off the list, and their share with them. */
	(void)atomic_fetch_add(&via_epoch_domain.attention, n * VIA_EPOCH_PENDING);
	(void)pthread_mutex_lock(&deferred_lock);
	for (;; head = head->next) {
		head->epoch = epoch;
		if (!head->next)
			break;
	}
	head->next = deferred;
	deferred = list;
	(void)pthread_mutex_unlock(&deferred_lock);
}

static struct via_epoch_head *take_lazy(unsigned int *ret_n)
{
	struct via_epoch_head *list;

	*ret_n = 0;
	if (!atomic_load_explicit(&n_lazy, memory_order_relaxed))
		return NULL;
	(void)pthread_mutex_lock(&deferred_lock);
	list = lazy;
	lazy = NULL;
	*ret_n = atomic_exchange(&n_lazy, 0);
	(void)pthread_mutex_unlock(&deferred_lock);
	return list;
}

int via_epoch_synchronize(void)
{
	const struct via_epoch_slot *slot;
	struct via_epoch_head *waiting;
	unsigned int round = 0, n;
	uint64_t epoch;

	if (via_epoch_inside())
		return -EDEADLK;
	waiting = take_lazy(&n);
	epoch = begin_grace();
	stamp_lazy(waiting, n, epoch);
	for (slot = atomic_load_explicit(&slots, memory_order_acquire); slot; slot = slot->next) {
		while (slot_blocks(slot, epoch))
			backoff(&round);
	}
	while (atomic_load(&overflow_readers))
		backoff(&round);
	if (via_epoch_n_pending())
		poll_deferred();
	return 0;
}

void via_epoch_defer(struct via_epoch_head *head, void (*free_fn)(struct via_epoch_head *head))
{
	struct via_epoch_head *waiting;
	unsigned int n;

	head->free_fn = free_fn;
	waiting = take_lazy(&n);
	/* Before the barrier: a reader that is not seen outside sees this and polls. */
	(void)atomic_fetch_add(&via_epoch_domain.attention, VIA_EPOCH_PENDING);
	head->epoch = begin_grace();
	stamp_lazy(waiting, n, head->epoch);
	(void)pthread_mutex_lock(&deferred_lock);
	head->next = deferred;
	deferred = head;
	(void)pthread_mutex_unlock(&deferred_lock);

	if (via_epoch_inside())
		return;
	if (via_epoch_n_pending() > BACKLOG_MAX)
		(void)via_epoch_synchronize();
	else
		poll_deferred();
}

void via_epoch_defer_lazily(struct via_epoch_head *head,
			    void (*free_fn)(struct via_epoch_head *head))
{
	unsigned int n;

	head->free_fn = free_fn;
	(void)pthread_mutex_lock(&deferred_lock);
	head->next = lazy;
	lazy = head;
	n = atomic_fetch_add(&n_lazy, 1) + 1;
	(void)pthread_mutex_unlock(&deferred_lock);
	if (n <= BACKLOG_MAX)
		return;
	(void)pthread_mutex_lock(&deferred_lock);
	head = lazy;
	if (head) {
		lazy = head->next;
		(void)atomic_fetch_sub(&n_lazy, 1);
	}
	(void)pthread_mutex_unlock(&deferred_lock);
	if (head)
		via_epoch_defer(head, head->free_fn);
}
