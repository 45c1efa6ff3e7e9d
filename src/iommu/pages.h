/* SPDX-License-Identifier: MIT */
/*
 * Page stores as iommufd has them: a linear source (memory of a program, a
 * file, a region of another device) in slots of 4 KiB, which areas of one or
 * several IOASes share after a copy or a cut.
 *
 * Nothing of the source is looked at before something needs it: a slot is
 * pinned, and charged, exactly once, and only while it lies in an area that a
 * domain has loaded or in a range that an access has pinned. A run of pinned
 * slots is a struct via_store (memory/store.h).
 *
 * Any thread. Locks: the IOAS's come first, then pages->lock, then the
 * ledger's and the program's. Making a store may wait for the program, with
 * pages->lock held and no other.
 */
#ifndef VIA_IOMMU_PAGES_H
#define VIA_IOMMU_PAGES_H

#include "iommu/ledger.h"

#define VIA_PAGES_SHIFT 12
#define VIA_PAGES_SIZE ((uint64_t)1 << VIA_PAGES_SHIFT)

struct via_pages;

enum via_pages_kind {
	VIA_PAGES_MEMORY, /* addresses of a program */
	VIA_PAGES_FILE,
	VIA_PAGES_REGION, /* what another device answers for */
};

/*
 * A region as DMA memory. Every callback may run on any thread; memory(),
 * written() also inside a read section (base/epoch.h), access() never.
 */
struct via_pages_region_ops {
	/*
	 * The address of offset in our memory, and how far it goes on, or NULL
	 * where every access has to be seen. Stays valid until release().
	 */
	uint8_t *(*memory)(void *cookie, uint64_t offset, uint64_t *ret_len);
	/* An access where memory() is NULL: 0, or -EFAULT when the device does not answer (in time). */
	int (*access)(void *cookie, uint64_t offset, void *buf, size_t len, bool write);
	/* Somebody has written through memory(). */
	void (*written)(void *cookie);
	/* The pages are gone; also after a failed via_pages_new_region(). */
	void (*release)(void *cookie);
};

/*
 * len > 0, addr + len does not wrap. owner: who is charged, and how (copied,
 * with references of its own). writable: a map of it has asked for VIA_PROT_WRITE.
 * All: 0 or -ENOMEM.
 */
int via_pages_new_memory(struct via_space *space, uint64_t addr, uint64_t len, bool writable,
			 const struct via_ledger_owner *owner, struct via_pages **ret_pages);
/* fd is duplicated. What it is (not a memfd: -EINVAL) is found out by the first pin. */
int via_pages_new_file(int fd, uint64_t start, uint64_t len, bool writable,
		       const struct via_ledger_owner *owner, struct via_pages **ret_pages);
/*
 * Never charged, cannot be pinned by an access (-EINVAL) nor cut (-EOPNOTSUPP).
 * restores: after via_pages_restore() its areas work again (else they stay empty for ever).
 */
int via_pages_new_region(const struct via_pages_region_ops *ops, void *cookie, uint64_t start,
			 uint64_t len, bool restores, struct via_pages **ret_pages);
/*
 * What is not there is found by the first copy, not by pinning (memory whose address a
 * program has just announced). Before the first pin.
 */
void via_pages_set_unprobed(struct via_pages *pages);
struct via_pages *via_pages_get(struct via_pages *pages);
void via_pages_put(struct via_pages *pages); /* NULL allowed */

enum via_pages_kind via_pages_kind(const struct via_pages *pages);
bool via_pages_writable(const struct via_pages *pages);
/* The source's first byte: address or offset. Its low 12 bits are the first slot's offset. */
uint64_t via_pages_start(const struct via_pages *pages);
uint64_t via_pages_len(const struct via_pages *pages);

/*
 * Pin the bytes [offset, offset + len) of the source once more (all slots that
 * they touch), charging what was not pinned. All or nothing:
 * 0; -EFAULT bad memory; -EINVAL a file that cannot be DMA memory, or beyond its
 * end; -ENOMEM also for the limit.
 */
int via_pages_pin(struct via_pages *pages, uint64_t offset, uint64_t len);
/* The same range as an earlier pin, or a part that a cut has made of one. */
void via_pages_unpin(struct via_pages *pages, uint64_t offset, uint64_t len);

/* Slots that are pinned now. */
uint64_t via_pages_pinned(struct via_pages *pages);
/* Is all of this pinned, and stays, whatever the program does to its address space? */
bool via_pages_fixed(struct via_pages *pages, uint64_t offset, uint64_t len);
/* The program's addresses do not lead to what is pinned any more: a copy uses that. */
void via_pages_forget_address(struct via_pages *pages);

/* A piece of pinned memory. */
struct via_piece {
	uint64_t offset;	 /* of its first byte, from the start of the range asked for */
	uint64_t len;
	struct via_store *store; /* a reference, NULL: registers of a region */
	uint64_t store_offset;
};

/*
 * What lies behind pinned bytes. *ret_pieces is the caller's, as are the
 * references; via_pieces_free() gives both back. Regions need no pin; -ENODEV
 * while revoked. 0 or -ENOMEM.
 */
int via_pages_pieces(struct via_pages *pages, uint64_t offset, uint64_t len,
		     struct via_piece **ret_pieces, size_t *ret_n);
void via_pieces_free(struct via_piece *pieces, size_t n);

/*
 * Copy bytes from or to the source, pinned or not, in the order of the source; a
 * program's memory is what it has there now, or once it is gone what is pinned.
 * *ret_done: bytes done before an error. -EFAULT; -EINVAL for a region.
 */
int via_pages_copy(struct via_pages *pages, uint64_t offset, void *buf, uint64_t len, bool write,
		   uint64_t *ret_done);

/*
 * An access of a device to registers of a region; outside of sections of its own. -EFAULT while
 * revoked; one that is under way then is the region's own affair. Between begin, in the section
 * that has found the pages, and end: the last put waits for that, so that what the
 * pages have of others is never given back by an access, whose author holds locks.
 */
void via_pages_access_begin(struct via_pages *pages);
void via_pages_access_end(struct via_pages *pages);
int via_pages_access(struct via_pages *pages, uint64_t offset, void *buf, size_t len, bool write);
void via_pages_written(struct via_pages *pages);

/*
 * The region stops answering: every area of it is emptied in every IOAS, and
 * no device reaches its memory when this returns, which may take as long as leases are
 * out. Takes pages->lock only. Not from inside a read section.
 */
void via_pages_revoke(struct via_pages *pages);
void via_pages_restore(struct via_pages *pages);

/*
 * CHANGE_PROCESS: charge all that is pinned of the n distinct pages to owner
 * instead, in mode of each (owner->mode does not count); -ENOMEM, nothing changed; -EINVAL
 * one is not a file's. The caller keeps others from pinning meanwhile.
 */
int via_pages_change_owner(struct via_pages *const *pages, size_t n, struct via_mm *mm,
			   const struct via_ledger_owner *owner);

/*
 * Nobody pays for the pages any more; *ret_owner: who did, with the references. And: owner
 * (with references of its own) pays for all that is pinned of what nobody pays for;
 * forced: whatever the limit is. 0 or -ENOMEM. *ret_over as in ledger.h.
 */
void via_pages_take_owner(struct via_pages *pages, struct via_ledger_owner *ret_owner);
int via_pages_give_owner(struct via_pages *pages, const struct via_ledger_owner *owner,
			 bool forced);

/* Of the slot that holds a byte that is pinned. 0, -EFAULT. */
int via_pages_identity(struct via_pages *pages, uint64_t offset,
		       struct via_page_identity *ret_identity);
/* Of the page at addr in mm now. 0, -EFAULT. */
int via_mm_identity(struct via_mm *mm, uint64_t addr, struct via_page_identity *ret_identity);

/* Of all pages of the process: how many pins does this page have? For tests of the ABI. */
uint64_t via_pages_count_pins(const struct via_page_identity *identity);

#endif
