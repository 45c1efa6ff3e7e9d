/* SPDX-License-Identifier: MIT */
/**
 * DOC: viaduct/bus.h - who answers this address?
 *
 * A bus is a set of claims on a 64-bit address space. Dispatch searches an
 * immutable rendered view of them: no lock, no allocation, no shared write.
 * Claims may nest with priorities; the view is a pure function of the set.
 * A device's BAR is a small bus; a machine is a big one.
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
};

/** enum via_bus_flags - properties of a claim */
enum via_bus_flags {
	VIA_BUS_BIG_ENDIAN = 1u << 0,	/* a callback's value is its bytes most significant first */
	VIA_BUS_INDIVISIBLE = 1u << 1,	/* an access crossing an edge fails whole, nobody is asked */
	VIA_BUS_REENTRANT = 1u << 2,	/* may be entered again on the same thread */
	VIA_BUS_NARROW_RMW = 1u << 3,	/* a write narrower than impl_min may read-modify-write */
};

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
 *
 * An access that the device does not accept is answered by nobody. One that it
 * accepts but its callbacks cannot do is cut into ascending aligned pieces of
 * at most @impl_max; less than @impl_min is read out of the containing word, and
 * written by read-modify-write with VIA_BUS_NARROW_RMW, otherwise not at all.
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
};

/** via_bus_new() - an empty bus named @name (kept by reference). 0 or -ENOMEM */
VIA_PUBLIC int via_bus_new(const char *name, struct via_bus **ret_bus);
/** via_bus_free() - no dispatch may be running; removes what is left */
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
 * Allowed everywhere, also in a callback of @claim. @done (may be NULL) runs on
 * the thread that leaves last, outside every callback and lock. Cannot fail.
 */
VIA_PUBLIC void via_bus_remove_async(struct via_claim *claim, void (*done)(void *opaque),
				     void *opaque);

/** enum via_bus_change_kind - one step of a transaction */
enum via_bus_change_kind { VIA_BUS_ADD, VIA_BUS_REMOVE, VIA_BUS_MOVE };

/**
 * struct via_bus_change - one step of a transaction
 * @kind: what to do
 * @claim: REMOVE and MOVE: which; ADD: filled on success
 * @desc: ADD: what
 * @start: MOVE: new start, the size stays
 */
struct via_bus_change {
	enum via_bus_change_kind kind;
	struct via_claim *claim;
	struct via_claim_desc desc;
	uint64_t start;
};

/**
 * via_bus_commit() - apply all changes at one instant, or none
 * Waits as via_bus_remove() when something is removed or moved; inside a
 * callback a move does not wait, and removing is -EDEADLK.
 * Return: 0; as via_bus_add(); -EINVAL also for a claim of another bus, two
 * changes of one claim, or a move past the end of the space.
 */
VIA_PUBLIC int via_bus_commit(struct via_bus *bus, struct via_bus_change *changes, size_t n);

/**
 * via_bus_read() - dispatch a read
 * @addr: first byte
 * @buf: filled; bytes that nobody answers are 0xff
 * @len: any length; cut into naturally aligned accesses of at most 8 bytes
 * @ret_done: prefix of bytes that a claim answered; may be NULL
 *
 * Any thread. Return: 0; -ENXIO if some byte had no claim; a callback's errno.
 */
VIA_PUBLIC int via_bus_read(struct via_bus *bus, uint64_t addr, void *buf, size_t len,
			    size_t *ret_done);
VIA_PUBLIC int via_bus_write(struct via_bus *bus, uint64_t addr, const void *buf, size_t len,
			     size_t *ret_done);

/**
 * via_bus_read_value() - one access of 1, 2, 4 or 8 bytes; the hot path
 * @addr: may be unaligned
 * @ret_value: the bytes as a little-endian number; also written on -ENXIO, with
 *	ones for the bytes that nobody answered
 *
 * Any thread, also in a signal handler of a thread that has dispatched before.
 * Return: 0; -ENXIO, -EINVAL for another size, or a callback's errno.
 */
VIA_PUBLIC int via_bus_read_value(struct via_bus *bus, uint64_t addr, unsigned int size,
				  uint64_t *ret_value);
VIA_PUBLIC int via_bus_write_value(struct via_bus *bus, uint64_t addr, unsigned int size,
				   uint64_t value);

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
