/* SPDX-License-Identifier: MIT */
/**
 * DOC: viaduct/iommu.h - I/O address spaces and a device's way into them
 *
 * An IOAS maps ranges of I/O virtual addresses (IOVA) to page stores. A device
 * reaches memory only through its struct via_dma, which is attached to one
 * IOAS at a time. Translation takes no lock. via_ioas_unmap() returns when no access to
 * the removed range runs any more.
 *
 * Threads. Every function may be called by any thread, at the same time as any other
 * one on the same objects, but those that end an object. What a device does
 * (via_dma_read(), write, readv, writev, lease) may also be done in a callback of a bus,
 * that is in a device's @read and @write of registers, and with locks of the caller's
 * held that no callback of a device whose registers are mapped there takes. What changes an IOAS or
 * an attachment may wait for accesses, callbacks and leases of other threads, so it is
 * called outside of callbacks, by a thread that has no lease, and with no lock held
 * that those need. What notices that it is called in a callback of a bus is -EDEADLK.
 *
 * Bounds. @last is the last byte of a range, inclusive; lengths are bytes.
 *
 * What a VMM does with it: via_ioas_new(), one for each address space that its
 * guest's devices may have; via_ioas_map() for guest memory, or for what a guest
 * maps in a virtual IOMMU; via_dma_new() and via_dma_attach() for a device, which
 * then uses via_dma_read(), via_dma_write() or, for pointers, via_dma_lease();
 * via_ioas_track_dirty() and via_ioas_get_dirty() while the guest is moved to
 * another host. examples/ioas.c does all of it.
 */
#ifndef VIADUCT_IOMMU_H
#define VIADUCT_IOMMU_H

#include <viaduct/memory.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef uint64_t via_iova_t;

/** struct via_iova_range - IOVAs from @first to @last, both inclusive; in bytes */
struct via_iova_range {
	via_iova_t first;
	via_iova_t last;
};

/**
 * struct via_iommu_props - what the emulated IOMMU offers
 * @pgsize_bitmap: bit n set: pages of 2^n bytes; not 0. The lowest set bit is the
 *	granule, of which the IOVA and the length of every mapping are multiples
 * @ranges: usable IOVA ranges, ascending, disjoint
 * @n_ranges: entries in @ranges; 0: every IOVA is usable
 * @coherent: DMA is cache coherent (VFIO_DMA_CC_IOMMU); what programs are told
 * @entry_limit: most mappings in one type1 container (dma_entry_limit); via_ioas_map()
 *	does not look at it
 *
 * via_iommu_props_intel() is Linux 7.2 with QEMU's intel-iommu: 4 KiB, 2 MiB
 * and 1 GiB pages, 48 bits, MSI window 0xfee00000-0xfeefffff cut out.
 */
struct via_iommu_props {
	uint64_t pgsize_bitmap;
	const struct via_iova_range *ranges;
	size_t n_ranges;
	bool coherent;
	uint32_t entry_limit;
};

/** via_iommu_props_intel() - see above; static storage */
VIA_PUBLIC const struct via_iommu_props *via_iommu_props_intel(void);

struct via_ioas;

/**
 * via_ioas_new() - an IOAS without mappings
 * @props: read by this call only
 * @ret_ioas: one reference, the caller's
 *
 * Return: 0 or -ENOMEM.
 */
VIA_PUBLIC int via_ioas_new(const struct via_iommu_props *props, struct via_ioas **ret_ioas);
/** via_ioas_get() - one more reference; returns @ioas, which must not be NULL */
VIA_PUBLIC struct via_ioas *via_ioas_get(struct via_ioas *ioas);
/**
 * via_ioas_put() - give a reference back; NULL is allowed
 *
 * An attached device has a reference of its own. The last one removes what is mapped
 * and waits for nobody: leases that are out stay good until they are put.
 */
VIA_PUBLIC void via_ioas_put(struct via_ioas *ioas);

/**
 * via_ioas_map() - map IOVAs @iova to @iova + @len - 1 to memory
 * @iova: a multiple of the granule
 * @space: where the memory is; the IOAS has a reference of its own while it is mapped
 * @addr: address in @space, in bytes; any alignment
 * @len: bytes, > 0, a multiple of the granule
 * @prot: VIA_PROT_READ, VIA_PROT_WRITE or both
 *
 * Holds the memory as via_store_new() does; it is charged to nobody. With
 * VIA_PROT_WRITE it must be readable too. What several threads map is independent;
 * until the call returns devices may reach the memory or not, and an unmap of it is -EBUSY.
 *
 * Return: 0, or nothing has changed:
 * -EINVAL @iova or @len is unaligned, @len is 0, @prot is 0 or has other bits, or a
 * byte lies outside the usable ranges (also between two of them);
 * -EOVERFLOW @iova + @len - 1 or @addr + @len - 1 does not fit in 64 bits;
 * -EEXIST something is mapped there, is being mapped or has not gone completely;
 * -EFAULT memory is missing, does not allow @prot, is behind the end of the file, or
 * the program is gone;
 * -ENOMEM no memory, descriptors or mappings are left.
 */
VIA_PUBLIC int via_ioas_map(struct via_ioas *ioas, via_iova_t iova, struct via_space *space,
			    uint64_t addr, uint64_t len, unsigned int prot);

/**
 * via_ioas_unmap() - remove every mapping inside [@iova, @last]
 * @iova, @last: of any alignment; (0, UINT64_MAX) is all
 * @ret_unmapped: bytes removed, 0 when nothing was mapped there; written on success only
 *
 * When it returns no access reaches the memory any more, and no lease on it is out.
 * It waits for running accesses, and without a bound for leases: after a second
 * devices are asked to cancel their I/O, and every 5 s the log says who waits.
 * Accesses that wait for a suspended address fail. Needs no memory.
 *
 * Return: 0;
 * -EINVAL @last is below @iova;
 * -EDEADLK called in a callback of a bus: nothing has changed;
 * -ENOENT the range would cut a mapping at one of its ends: nothing has changed;
 * -EBUSY another thread is mapping or unmapping there, or memory is locked (IOMMU_HW_QUEUE_ALLOC
 * of iommufd): mappings below have gone;
 * -EDEADLK also when an access of iommufd keeps pages pinned though it was asked a hundred
 * times to give them up: mappings below have gone.
 * How much has gone on -EBUSY and -EDEADLK is not told; the call can be repeated.
 */
VIA_PUBLIC int via_ioas_unmap(struct via_ioas *ioas, via_iova_t iova, via_iova_t last,
			      uint64_t *ret_unmapped);

/**
 * via_ioas_track_dirty() - begin or end to record what devices write
 * @on: true forgets what was written before, also when it is on already; false keeps
 *	what is recorded for via_ioas_get_dirty()
 *
 * Concerns the devices that via_dma_attach() has attached. Returns when every
 * write that ends afterwards is recorded. While it is on, via_dma_lease() gives
 * no pointers to write through; those that are out are waited for without a bound, and
 * nobody is asked to cancel I/O. Not in a callback of a bus, where it would not wait
 * for writes and does not say so.
 *
 * Return: 0; -ENOMEM: it was never on, and is not.
 */
VIA_PUBLIC int via_ioas_track_dirty(struct via_ioas *ioas, bool on);

/**
 * via_ioas_get_dirty() - take what devices have written
 * @iova: a multiple of @granule
 * @last: the last byte of a granule
 * @granule: bytes for one bit, a power of two; at least the smallest page of the IOAS
 * @bitmap: the caller's, (@last - @iova + 1) / @granule bits, rounded up to words of 64;
 *	bit i % 64 of word i / 64 is set for granule i if a byte of it was written.
 *	No bit is cleared
 *
 * What is reported is clean afterwards: copy the memory then, a later write is
 * reported by a later call. What is unmapped is forgotten. Calls at the same time share
 * what there is. Also after tracking has ended. Not in a callback of a bus.
 *
 * Return: 0; -EINVAL @granule is no power of two or too small, @last is below @iova, one
 * of them is unaligned, or nothing has ever been recorded; @bitmap is as it was then.
 */
VIA_PUBLIC int via_ioas_get_dirty(struct via_ioas *ioas, via_iova_t iova, via_iova_t last,
				  uint64_t granule, uint64_t *bitmap);

struct via_dma;

/** enum via_dma_fault - why a device access was refused; for messages and tools */
enum via_dma_fault {
	VIA_DMA_NOT_ATTACHED,
	VIA_DMA_UNMAPPED,
	VIA_DMA_PROTECTION,
	VIA_DMA_MEMORY,	    /* mapped, but the page is gone, or another device did not answer */
	VIA_DMA_SUSPENDED,  /* its address did not come back in time (VFIO_DMA_UNMAP_FLAG_VADDR) */
	VIA_DMA_BUS_MASTER, /* the function's Bus Master Enable is 0 */
};

/**
 * struct via_dma_stats - counters since the handle was made
 * @read_bytes, @write_bytes: bytes of calls that have succeeded, leases too; of one that
 *	failed half way none
 * @accesses: calls that have succeeded, whatever their length
 * @faults: calls that were refused with -EFAULT or -EPERM
 */
struct via_dma_stats {
	uint64_t read_bytes, write_bytes;
	uint64_t accesses;
	uint64_t faults;
};

/**
 * via_dma_new() - a device's DMA handle
 * @name: for messages; copied
 * @ret_dma: the caller's, released by via_dma_free()
 *
 * It is attached to nothing, and not enabled: see via_dma_enable(). That of a device
 * (via_device_dma()) belongs to the library, which does both.
 * Return: 0 or -ENOMEM.
 */
VIA_PUBLIC int via_dma_new(const char *name, struct via_dma **ret_dma);
/**
 * via_dma_free() - detach and free; NULL is allowed
 *
 * No call with @dma is running, and none follows. Leases that are out stay good.
 * Not in a callback of a bus.
 */
VIA_PUBLIC void via_dma_free(struct via_dma *dma);

/**
 * via_dma_attach() - point the device at @ioas, or at nothing with NULL
 * @ioas: a reference is taken, and given back when the device leaves
 *
 * Accesses reach the former IOAS or the new one. Returns when none through the former
 * one runs any more and the leases it has there are put: a device is asked to cancel its I/O
 * after a while, by its reset. An access that waits for a suspended address looks
 * in the new IOAS. Where the device is already nothing is done. Waits for accesses of all
 * devices, without a bound.
 *
 * Return: 0; -EDEADLK called in a callback of a bus, nothing has changed.
 */
VIA_PUBLIC int via_dma_attach(struct via_dma *dma, struct via_ioas *ioas);

/**
 * via_dma_enable() - Bus Master Enable; off in a new handle
 *
 * Any access that begins while it is off is -EPERM. Does not wait: one that runs may
 * end as usual, and leases stay good. Off ends, with a fault, accesses that wait for a suspended
 * address. May be called anywhere, also in callbacks.
 */
VIA_PUBLIC void via_dma_enable(struct via_dma *dma, bool on);

/**
 * via_dma_read() - the device reads host memory
 * @iova: any alignment; the range may span mappings
 * @buf: destination
 * @len: bytes; 0 is allowed and succeeds always
 *
 * Any thread, several at once with one @dma; no lock of the library's is held over a copy. It does
 * not block but for two cases. Where another device's registers are mapped, a read waits for that
 * device, 1 s at most, and a write is posted unless much is waiting to be
 * written already. Where the address of private memory is suspended (containers of VFIO
 * only, VFIO_DMA_UNMAP_FLAG_VADDR) the access waits until it is given anew, is unmapped, the device
 * is disabled, or --vaddr-wait (10 s) has passed since it was suspended; in a callback of a bus it
 * does not wait, and is refused.
 *
 * Return: 0;
 * -EPERM the device is not enabled;
 * -EFAULT it is attached to nothing, a byte is not mapped or not for this direction, the
 * memory behind it is gone, the IOVA would pass 2^64, or it did not come back in time.
 * Both are counted and logged as a fault. All of @buf is then filled with zeros, as an
 * aborted read returns nothing.
 */
VIA_PUBLIC int via_dma_read(struct via_dma *dma, via_iova_t iova, void *buf, size_t len);
/** via_dma_write() - as via_dma_read(); of one that is refused the beginning may have been written
 */
VIA_PUBLIC int via_dma_write(struct via_dma *dma, via_iova_t iova, const void *buf, size_t len);

/** struct via_dma_seg - a piece of a scatter list: @len bytes (0 is allowed) from @iova on */
struct via_dma_seg {
	via_iova_t iova;
	uint64_t len;
};

/**
 * via_dma_readv() - read a scatter list into one buffer, in one batch
 * @segs: pieces in order; they may overlap
 * @n_segs: entries in @segs
 * @buf: room for the sum of their lengths
 *
 * Memory that can only be copied is fetched with as few system calls as the
 * kernel allows. One access for the counters. Blocks and fails as via_dma_read(): of a
 * refused list all of @buf is zeros.
 * Return: 0, -EPERM or -EFAULT.
 */
VIA_PUBLIC int via_dma_readv(struct via_dma *dma, const struct via_dma_seg *segs, size_t n_segs,
			     void *buf);
/** via_dma_writev() - as via_dma_readv(); of one that is refused the beginning may have been
 * written */
VIA_PUBLIC int via_dma_writev(struct via_dma *dma, const struct via_dma_seg *segs, size_t n_segs,
			      const void *buf);

/**
 * via_dma_lease() - pointers for a scatter list, for I/O that outlives the call
 * @prot: VIA_PROT_READ when the device reads, VIA_PROT_WRITE when it writes, or both;
 *	every mapping must allow all of it
 * @leases: room for @max_leases; each is the caller's, via_lease_put()
 * @ret_n: leases filled; together they cover the list in order. A list without bytes takes
 *	none, whatever the device may access
 *
 * Unmap, leaving the IOAS, suspension and the start of dirty tracking wait for these; put
 * them as soon as the I/O is done, on any thread. Via @ops->reset a device gives back all. Waits for suspended
 * addresses as via_dma_read(). On failure none is out.
 *
 * Return: 0;
 * -EPERM the device is not enabled;
 * -EFAULT as via_dma_read(); like -EPERM it is counted and logged as a fault, others are not;
 * -EOPNOTSUPP some of the memory can only be copied (use a bounce buffer and
 * via_dma_readv() or via_dma_writev()): private memory of another process, registers, to write also
 * another device's memory, and all while writes are recorded;
 * -EACCES to write: the mapping allows it, but the library cannot write the file behind it
 *(MAP_FILE of a sealed memfd); via_dma_writev() is -EFAULT there; -E2BIG more than @max_leases
 *would be needed: pieces of memory that are apart need one each; -ENOMEM.
 */
VIA_PUBLIC int via_dma_lease(struct via_dma *dma, const struct via_dma_seg *segs, size_t n_segs,
			     unsigned int prot, struct via_lease *leases, size_t max_leases,
			     size_t *ret_n);

/**
 * via_dma_get_stats() - the counters as they are now
 *
 * May be called anywhere. Each is exact when it is read, but they are not read at one instant.
 */
VIA_PUBLIC void via_dma_get_stats(const struct via_dma *dma, struct via_dma_stats *ret_stats);

#ifdef __cplusplus
}
#endif

#endif
