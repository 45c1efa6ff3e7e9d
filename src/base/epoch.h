/* SPDX-License-Identifier: MIT */
/*
 * Epochs: readers of immutable snapshots announce themselves with one store to
 * a slot of their own; a writer that has unpublished something waits until
 * every reader that might still see it has left (spec bus.md c.3).
 *
 * Sections nest. A forked child clears the slots it inherited; a thread that
 * exits frees its own. One domain per process.
 *
 * The reader's announcement and its later loads are ordered by the writer: a
 * membarrier(2) in begin_grace() stands for the store-load fence that readers
 * leave out. Where the kernel refuses it, and under ThreadSanitizer, readers
 * pay for the fence.
 */
#ifndef VIA_BASE_EPOCH_H
#define VIA_BASE_EPOCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__SANITIZE_THREAD__)
#define VIA_EPOCH_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define VIA_EPOCH_TSAN 1
#endif
#endif
#ifndef VIA_EPOCH_TSAN
#define VIA_EPOCH_TSAN 0
#endif

/* A slot's word: the epoch at entry, its low bits count the nesting. 0 is outside. */
#define VIA_EPOCH_NEST ((uint64_t)0xffff)
#define VIA_EPOCH_STEP ((uint64_t)0x10000)

struct via_bus_frame;

struct via_epoch_slot {
	_Alignas(64) _Atomic uint64_t word; /* stored by the owner (and a forked child) only */
	_Atomic bool owned;		    /* taken by compare-and-swap */
	struct via_epoch_slot *next;	    /* constant once the slot is on the list */
	/* The bus's: the innermost device callback of the thread; the owner only. */
	const struct via_bus_frame *active;
};

struct via_epoch_domain {
	_Alignas(64) _Atomic uint64_t now; /* advanced by writers, steps of VIA_EPOCH_STEP */
	/* What readers must not overlook: one word, so that a section looks once. */
	_Atomic unsigned int attention;
};
#define VIA_EPOCH_FENCED 1u  /* in attention: readers fence; only ever becomes set */
#define VIA_EPOCH_PENDING 2u /* in attention: one deferred object that is not yet freed */

extern struct via_epoch_domain via_epoch_domain __attribute__((visibility("hidden")));
extern _Thread_local struct via_epoch_slot *via_epoch_self
	__attribute__((visibility("hidden"), tls_model("initial-exec")));

void via_epoch_enter_slow(void);
void via_epoch_exit_slow(void);
void via_epoch_left(void);
bool via_epoch_inside_slow(void);

static inline bool via_epoch_fenced(void)
{
	return atomic_load(&via_epoch_domain.attention) & VIA_EPOCH_FENCED;
}

static inline unsigned int via_epoch_n_pending(void)
{
	return atomic_load(&via_epoch_domain.attention) / VIA_EPOCH_PENDING;
}

static inline unsigned int via_epoch_attention(void)
{
	return atomic_load_explicit(&via_epoch_domain.attention, memory_order_relaxed);
}

/* Begin and end an outermost section: the caller knows its slot, and that its word is 0. */
static inline void via_epoch_begin(struct via_epoch_slot *slot)
{
	/* Acquire: whoever sees an epoch sees what was unpublished before it began. */
	uint64_t word = atomic_load_explicit(&via_epoch_domain.now, memory_order_acquire) | 1;

#if VIA_EPOCH_TSAN
	/* ThreadSanitizer knows read-modify-writes, but neither fences nor membarrier. */
	(void)atomic_exchange_explicit(&slot->word, word, memory_order_seq_cst);
#else
	atomic_store_explicit(&slot->word, word, memory_order_relaxed);
	if (__builtin_expect(via_epoch_attention() & VIA_EPOCH_FENCED, 0))
		atomic_thread_fence(memory_order_seq_cst);
	atomic_signal_fence(memory_order_seq_cst);
#endif
}

static inline void via_epoch_end(struct via_epoch_slot *slot)
{
	atomic_store_explicit(&slot->word, 0, memory_order_release);
	atomic_signal_fence(memory_order_seq_cst);
	if (__builtin_expect(via_epoch_attention() != 0, 0))
		via_epoch_left();
}

/*
 * Any thread, also in a signal handler of a thread that has entered before: a
 * section interrupted half way through either function is left as it was found.
 */
static inline void via_epoch_enter(void)
{
	struct via_epoch_slot *slot = via_epoch_self;
	uint64_t word;

	if (__builtin_expect(!slot, 0)) {
		via_epoch_enter_slow();
		return;
	}
	word = atomic_load_explicit(&slot->word, memory_order_relaxed);
	if (word) {
		atomic_store_explicit(&slot->word, word + 1, memory_order_relaxed);
		atomic_signal_fence(memory_order_seq_cst);
		return;
	}
	via_epoch_begin(slot);
}

/* The outermost exit may run deferred free functions that were waiting for it. */
static inline void via_epoch_exit(void)
{
	struct via_epoch_slot *slot = via_epoch_self;
	uint64_t word;

	if (__builtin_expect(!slot, 0)) {
		via_epoch_exit_slow();
		return;
	}
	word = atomic_load_explicit(&slot->word, memory_order_relaxed);
	if ((word & VIA_EPOCH_NEST) != 1) {
		atomic_signal_fence(memory_order_seq_cst);
		atomic_store_explicit(&slot->word, word - 1, memory_order_relaxed);
		return;
	}
	via_epoch_end(slot);
}

/* True inside a section of this thread. */
static inline bool via_epoch_inside(void)
{
	struct via_epoch_slot *slot = via_epoch_self;

	return slot ? atomic_load_explicit(&slot->word, memory_order_relaxed) != 0
		    : via_epoch_inside_slow();
}

/*
 * Returns when every section that was open at the call has ended. -EDEADLK
 * from inside a section (nothing waited for). Needs no memory.
 */
int via_epoch_synchronize(void);

/*
 * Run free_fn(object) once, after a grace period: on this thread, on a later
 * writer, or on the last reader out; never inside a section and with no lock
 * held. Needs no memory. A caller outside a section may be made to wait when
 * many objects are pending, so call it without locks that readers take.
 */
struct via_epoch_head {
	struct via_epoch_head *next;
	uint64_t epoch;
	void (*free_fn)(struct via_epoch_head *head);
};
void via_epoch_defer(struct via_epoch_head *head, void (*free_fn)(struct via_epoch_head *head));

/*
 * The same for memory that nobody is in a hurry for: free_fn runs after some later
 * grace period that others begin, or when as many wait as via_epoch_defer() would
 * have pending. So it interrupts no reader by itself.
 */
void via_epoch_defer_lazily(struct via_epoch_head *head,
			    void (*free_fn)(struct via_epoch_head *head));

#endif
