/* SPDX-License-Identifier: MIT */
/**
 * DOC: viaduct/bus.h - who answers this address?
 *
 * A bus is a set of claims on a 64-bit address space. Dispatch searches an
 * immutable rendered view of them: no lock, no allocation, no shared write.
 * Claims may nest with priorities; the view is a pure function of the set.
 * A device's BAR is a small bus; a machine is a big one.
 *
 * Threads. Every function may be called by any thread, at the same time as any other one on
 * the same objects, but those that end an object; a claim is removed once. What
 * changes claims or waits may be called in a callback where it says so. Addresses
 * and sizes are bytes; ranges include their last address. The caller owns buses, claims and
 * coalescers, and what a description points to until the claim is gone.
 */
#ifndef VIADUCT_BUS_H
#define VIADUCT_BUS_H

#include <viaduct/base.h>

#ifdef __cplusplus
extern "C" {
#endif

struct via_bus;
struct via_claim;

/** enum via_bus_result - outcome of one device callback */
enum via_bus_result {
	VIA_BUS_OK = 0,
	VIA_BUS_DECLINE = 1, /* not mine: ask the claim beneath */
};

/**
 * struct via_bus_ops - a claim's callbacks
 * @read, @write: one access
 * @write_lanes: a write of some bytes of a word of impl_min bytes, which is above 1: bit n
 *	of @lanes says that byte n of @value, counted from the lowest address, is written.
 *	NULL: see struct via_claim_desc
 *
 * @offset is relative to the claim's device: claim offset + (address - start).
 * @size is 1, 2, 4 or 8 and obeys the claim's width rules. Called on the
 * dispatching thread inside a read section; may dispatch and change claims,
 * but must not remove synchronously (-EDEADLK). A device (ops and opaque) that
 * is entered again on the same thread is refused with -EBUSY, more than eight
 * devices inside each other with -ELOOP; several threads may be in one device.
 * Return: enum via_bus_result, or a negative errno that ends the access. A
 * decline of a read or a write hands the rest of it to the claim beneath.
 */
struct via_bus_ops {
	int (*read)(void *opaque, uint64_t offset, unsigned int size, uint64_t *ret_value);
	int (*write)(void *opaque, uint64_t offset, unsigned int size, uint64_t value);
	int (*write_lanes)(void *opaque, uint64_t offset, unsigned int size, uint64_t value,
			   unsigned int lanes);
};

/** enum via_bus_flags - properties of a claim */
enum via_bus_flags {
	VIA_BUS_BIG_ENDIAN = 1u << 0,  /* a callback's value is its bytes most significant first */
	VIA_BUS_INDIVISIBLE = 1u << 1, /* an access crossing an edge fails whole, nobody is asked */
	VIA_BUS_REENTRANT = 1u << 2,   /* may be entered again on the same thread */
	VIA_BUS_NARROW_RMW = 1u << 3,  /* a write narrower than impl_min may read-modify-write */
	VIA_BUS_DISABLED = 1u << 4,    /* not seen until VIA_BUS_ENABLE */
	VIA_BUS_COALESCE = 1u << 5,    /* writes are queued in @coalescer, not made at once */
	VIA_BUS_DISCARD =
		1u << 6, /* with COALESCE: removal drops queued writes, else it makes them */
};

/**
 * struct via_bus_ioeventfd - an eventfd that is signalled instead of a write
 * @fd: an eventfd; the caller's, open until the claim is gone. Its number is its identity
 * @len: of the write: exactly 1, 2, 4 or 8 bytes; 0: any
 * @match: only a write of @data; not with @len 0
 * @data: compared in its low @len bytes
 *
 * The rules are those of KVM_IOEVENTFD. A write of exactly this address, length and
 * data signals @fd and reaches no claim, whatever their priorities; all
 * others, and reads, reach what lies there as if it were not. It never blocks: a full
 * counter stays full.
 */
struct via_bus_ioeventfd {
	int fd;
	uint8_t len;
	bool match;
	uint64_t data;
};

struct via_coalescer;

/**
 * struct via_claim_desc - a range that a device answers
 * @start: first address
 * @last: last address, inclusive, >= start
 * @priority: higher eclipses lower; equal priorities must not overlap
 * @offset: added to (address - start) for the callbacks, for aliases
 * @ops: callbacks, kept by reference; a missing read gives all-ones, a missing write drops
 * @opaque: passed to the callbacks
 * @name: for dumps and messages; kept by reference
 * @valid_min, @valid_max: widths the device accepts (1, 2, 4, 8; 0 means 1 and 8)
 * @valid_unaligned: unaligned accesses are accepted (alignment is that of the callback's offset)
 * @impl_min, @impl_max: widths that the callbacks can do (0 means 1 and 8)
 * @impl_unaligned: callbacks can do unaligned accesses
 * @flags: enum via_bus_flags
 * @ioeventfd: read by the call that gets it; the claim is an eventfd at @start and
 *	nothing else of the description matters, @last included. NULL: a device
 * @coalescer: queue of writes that the device must have seen before any other
 *	access to this claim; NULL: none
 *
 * An access that the device does not accept is answered by nobody. One that it
 * accepts but its callbacks cannot do is cut into ascending aligned pieces of
 * at most @impl_max; less than @impl_min is read out of the containing word, and
 * written by @ops->write_lanes, or by read-modify-write with VIA_BUS_NARROW_RMW,
 * otherwise not at all.
 */
struct via_claim_desc {
	uint64_t start;
	uint64_t last;
	int priority;
	uint64_t offset;
	const struct via_bus_ops *ops;
	void *opaque;
	const char *name;
	uint8_t valid_min, valid_max, impl_min, impl_max;
	bool valid_unaligned, impl_unaligned;
	unsigned int flags;
	const struct via_bus_ioeventfd *ioeventfd;
	struct via_coalescer *coalescer;
};

/**
 * struct via_bus_miss - an access, or a part of one, that nobody answers
 * @addr: first byte
 * @size: bytes, 1 to 8
 * @write: a write of @value; a read otherwise
 */
struct via_bus_miss {
	uint64_t addr;
	unsigned int size;
	bool write;
	uint64_t value;
};

/**
 * struct via_bus_desc - a bus
 * @name: for dumps and messages; kept by reference
 * @last: last address of the space, e.g. 0xffff for I/O ports; 0: 2^64 - 1. An access
 *	that would pass the end of a smaller space is -EINVAL, and nobody is asked
 * @below: what shows through where no claim of this bus answers, and what claims that
 *	decline leave it to. A vCPU's bus has the VM's below it: its claims eclipse those
 *	of the VM for accesses that are made on it. Must not be above another one and outlives
 *	this one; NULL: none
 * @zeros: bytes that nobody answers read as 0, not as ones
 * @miss: told of what nobody answers, on the accessing thread, in a read section; optional.
 *	For a bus with one @below, that of this one
 * @opaque: for @miss
 */
struct via_bus_desc {
	const char *name;
	uint64_t last;
	struct via_bus *below;
	bool zeros;
	void (*miss)(void *opaque, const struct via_bus_miss *miss);
	void *opaque;
};

/** via_bus_new() - an empty bus of all 2^64 addresses, named @name. 0 or -ENOMEM */
VIA_PUBLIC int via_bus_new(const char *name, struct via_bus **ret_bus);
/**
 * via_bus_new_as() - an empty bus
 * @desc: read by this call only
 * Return: 0; -EINVAL @below is above another one, or has another @last; -ENOMEM.
 */
VIA_PUBLIC int via_bus_new_as(const struct via_bus_desc *desc, struct via_bus **ret_bus);
/** via_bus_free() - no dispatch may be running on it; removes what is left */
VIA_PUBLIC void via_bus_free(struct via_bus *bus);

/**
 * via_bus_add() - add one claim and publish it
 * Return: 0; -EEXIST overlap at equal priority; -EINVAL bad description; -ENOMEM.
 */
VIA_PUBLIC int via_bus_add(struct via_bus *bus, const struct via_claim_desc *desc,
			   struct via_claim **ret_claim);

/**
 * via_bus_remove() - remove, and wait until no callback of it runs
 *
 * Cannot fail for lack of memory. @claim is gone on success.
 * Return: 0; -EDEADLK from inside a callback of any bus, nothing changed.
 */
VIA_PUBLIC int via_bus_remove(struct via_claim *claim);

/**
 * via_bus_remove_async() - remove; @done(@opaque) runs once, after the last callback
 *
 * Allowed everywhere, also in a callback of @claim. @done (may be NULL) runs in no
 * callback of a bus, on this thread or on another one that has just made an access, by the
 * bus or by DMA. Around DMA a device may hold locks: @done takes none that is held
 * around an access. Cannot fail.
 */
VIA_PUBLIC void via_bus_remove_async(struct via_claim *claim, void (*done)(void *opaque),
				     void *opaque);

/** enum via_bus_change_kind - one step of a transaction */
enum via_bus_change_kind {
	VIA_BUS_ADD,
	VIA_BUS_REMOVE,
	VIA_BUS_MOVE,	 /* to @start, the size stays */
	VIA_BUS_RESIZE,	 /* to @start and @last; the offset of @start stays what it was */
	VIA_BUS_ENABLE,	 /* seen; no change if it was */
	VIA_BUS_DISABLE, /* keeps its place and is not seen */
};

/**
 * struct via_bus_change - one step of a transaction
 * @kind: what to do
 * @claim: which, of this bus; ADD: filled on success
 * @desc: ADD: what
 * @start: MOVE and RESIZE: new start
 * @last: RESIZE: new last address
 */
struct via_bus_change {
	enum via_bus_change_kind kind;
	struct via_claim *claim;
	struct via_claim_desc desc;
	uint64_t start;
	uint64_t last;
};

/**
 * via_bus_commit() - apply all changes at one instant, or none
 * Waits as via_bus_remove() when something goes from where it was; inside a
 * callback only removing is -EDEADLK, the rest does not wait.
 * Return: 0; as via_bus_add(); -EINVAL also for a claim of another bus, two
 * changes of one claim, a move past the end of the space, or a resized ioeventfd.
 */
VIA_PUBLIC int via_bus_commit(struct via_bus *bus, struct via_bus_change *changes, size_t n);

/**
 * via_bus_ioeventfd_assign() - add a claim that is an ioeventfd, by KVM_IOEVENTFD's rules
 * Return: 0; -EINVAL @len is none of 0, 1, 2, 4, 8, @match with @len 0, or the end passes
 * the space's; -EBADF no eventfd; -EEXIST one that takes the same writes is there; -ENOMEM.
 */
VIA_PUBLIC int via_bus_ioeventfd_assign(struct via_bus *bus, uint64_t addr,
					const struct via_bus_ioeventfd *ioeventfd);
/**
 * via_bus_ioeventfd_deassign() - remove the one that equals @ioeventfd in every field
 * @data counts with @match only. As via_bus_remove() otherwise; -ENOENT there is none.
 */
VIA_PUBLIC int via_bus_ioeventfd_deassign(struct via_bus *bus, uint64_t addr,
					  const struct via_bus_ioeventfd *ioeventfd);

/**
 * via_bus_read() - dispatch a read
 * @addr: first byte
 * @buf: filled; bytes that nobody answers are 0xff, or 0 (struct via_bus_desc)
 * @len: any length; cut into naturally aligned accesses of at most 8 bytes
 * @ret_done: prefix of bytes that a claim answered; may be NULL
 *
 * Any thread. Return: 0; -ENXIO if some byte had no claim; a callback's errno.
 */
VIA_PUBLIC int via_bus_read(struct via_bus *bus, uint64_t addr, void *buf, size_t len,
			    size_t *ret_done);
/** via_bus_write() - the same for a write of @buf; what nobody answers is dropped */
VIA_PUBLIC int via_bus_write(struct via_bus *bus, uint64_t addr, const void *buf, size_t len,
			     size_t *ret_done);

/**
 * via_bus_read_value() - one access of 1, 2, 4 or 8 bytes; the hot path
 * @addr: may be unaligned
 * @ret_value: the bytes as a little-endian number; also written on -ENXIO, with
 *	ones, or zeros (struct via_bus_desc), for the bytes that nobody answered
 *
 * Any thread, also in a signal handler of a thread that has dispatched before, but
 * for claims with a coalescer.
 * Return: 0; -ENXIO, -EINVAL for another size, or a callback's errno.
 */
VIA_PUBLIC int via_bus_read_value(struct via_bus *bus, uint64_t addr, unsigned int size,
				  uint64_t *ret_value);
/** via_bus_write_value() - the same for a write of the low @size bytes of @value */
VIA_PUBLIC int via_bus_write_value(struct via_bus *bus, uint64_t addr, unsigned int size,
				   uint64_t value);

/**
 * via_bus_read_string() - @count reads of @size bytes at one address, as INS does
 * @buf: @count * @size bytes
 * @ret_done: accesses that were answered, as a prefix; may be NULL
 *
 * When the first is answered and a later one is not, it and the rest read as 0 without
 * asking, as in Linux. Return: 0; -ENXIO nobody answered the first, and nobody
 * was asked for the others; -EINVAL; a callback's errno.
 */
VIA_PUBLIC int via_bus_read_string(struct via_bus *bus, uint64_t addr, unsigned int size, void *buf,
				   size_t count, size_t *ret_done);
/** via_bus_write_string() - the same for writes, as OUTS does: the rest is dropped */
VIA_PUBLIC int via_bus_write_string(struct via_bus *bus, uint64_t addr, unsigned int size,
				    const void *buf, size_t count, size_t *ret_done);

/**
 * struct via_bus_op - one access of a batch
 * @addr, @size, @write: as for via_bus_read_value() and via_bus_write_value()
 * @value: of a write; filled by a read
 * @result: filled: what the single access would return
 */
struct via_bus_op {
	uint64_t addr;
	uint64_t value;
	uint8_t size;
	bool write;
	int result;
};

/**
 * via_bus_batch() - accesses in order, as if made one by one, in one read section
 * @stop: end with the first that is not answered; else all are made
 *
 * Keep it short: changes of the bus wait for its end. Return: accesses made.
 */
VIA_PUBLIC size_t via_bus_batch(struct via_bus *bus, struct via_bus_op *ops, size_t n, bool stop);

/**
 * via_coalescer_new() - a queue of writes for one device
 * @n_slots: writes it can hold, 1 to 65536; one more is made at once, after all that are queued
 * @notify_fd: an eventfd signalled when the queue stops being empty, or -1; the caller's
 *
 * What is queued is made, in order, before any other access to a claim with this
 * coalescer, by via_coalescer_drain(), and on removal. A device whose callbacks run
 * concurrently orders them by itself. Return: 0; -EINVAL; -ENOMEM.
 */
VIA_PUBLIC int via_coalescer_new(size_t n_slots, int notify_fd,
				 struct via_coalescer **ret_coalescer);
/** via_coalescer_free() - after the last claim that has it; NULL is allowed */
VIA_PUBLIC void via_coalescer_free(struct via_coalescer *coalescer);
/**
 * via_coalescer_drain() - make what is queued; a fence, or a timer
 * Any thread. In a callback it makes what it can without waiting for another thread.
 */
VIA_PUBLIC void via_coalescer_drain(struct via_coalescer *coalescer);

/**
 * via_bus_set_counting() - count accesses of each claim and of addresses that nobody answers
 * Off in a new bus, and free of cost then. Switching on keeps what was counted before.
 * Return: 0 or -ENOMEM.
 */
VIA_PUBLIC int via_bus_set_counting(struct via_bus *bus, bool on);

/**
 * struct via_claim_stats - calls of the claim's callbacks while counting was on
 * Neighbours that are one piece, as halves of one device may be, count as the first of them.
 */
struct via_claim_stats {
	uint64_t reads, writes; /* answered */
	uint64_t declines;
	uint64_t refusals; /* entered again on the same thread, or too deep */
};
/** via_claim_get_stats() - what was counted of @claim, which is not removed meanwhile */
VIA_PUBLIC void via_claim_get_stats(const struct via_claim *claim,
				    struct via_claim_stats *ret_stats);

/** struct via_bus_miss_stats - accesses that nobody answered at one address */
struct via_bus_miss_stats {
	uint64_t addr;
	uint64_t reads, writes;
};
/**
 * via_bus_get_misses() - addresses that nobody answered, most often first
 * @stats: room for @n
 * @ret_others: accesses at addresses beyond the first 64 that came up; may be NULL
 * Return: how many there are, of which min(@n, that) are filled in.
 */
VIA_PUBLIC size_t via_bus_get_misses(struct via_bus *bus, struct via_bus_miss_stats *stats,
				     size_t n, uint64_t *ret_others);

/**
 * via_bus_dump() - the rendered view as text, one entry a line, ascending
 * @buf: may be NULL when @len is 0
 * Return: length that the whole text needs, without the NUL.
 */
VIA_PUBLIC size_t via_bus_dump(struct via_bus *bus, char *buf, size_t len);

#ifdef __cplusplus
}
#endif

#endif
