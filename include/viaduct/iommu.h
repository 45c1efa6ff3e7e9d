/* SPDX-License-Identifier: MIT */
/**
 * DOC: viaduct/iommu.h - I/O address spaces and a device's way into them
 *
 * An IOAS maps ranges of I/O virtual addresses (IOVA) to page stores. A device
 * reaches memory only through its struct via_dma, which is attached to one
 * IOAS. Translation takes no lock. via_ioas_unmap() returns when no access to
 * the removed range runs any more.
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

/** struct via_iova_range - inclusive range of IOVAs */
struct via_iova_range {
	via_iova_t first;
	via_iova_t last;
};

/**
 * struct via_iommu_props - what the emulated IOMMU offers
 * @pgsize_bitmap: bit n set: pages of 2^n bytes; the lowest set bit is the granule
 * @ranges: usable IOVA ranges, ascending, disjoint
 * @n_ranges: entries in @ranges
 * @coherent: DMA is cache coherent (VFIO_DMA_CC_IOMMU)
 * @entry_limit: most mappings in one type1 container (dma_entry_limit)
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

VIA_PUBLIC const struct via_iommu_props *via_iommu_props_intel(void);

struct via_ioas;

/** via_ioas_new() - an empty IOAS over @props (kept, not copied). 0 or -ENOMEM */
VIA_PUBLIC int via_ioas_new(const struct via_iommu_props *props, struct via_ioas **ret_ioas);
VIA_PUBLIC struct via_ioas *via_ioas_get(struct via_ioas *ioas);
VIA_PUBLIC void via_ioas_put(struct via_ioas *ioas);

/**
 * via_ioas_map() - map [iova, iova+len) to memory
 * @ioas: any thread
 * @iova: a multiple of the granule
 * @space: where the memory is
 * @addr: address in @space
 * @len: bytes, > 0, a multiple of the granule
 * @prot: VIA_PROT_*
 *
 * Return: 0; -EINVAL unaligned, empty or outside the usable ranges; -EOVERFLOW;
 * -EEXIST overlap; -EFAULT bad memory; -ENOMEM.
 */
VIA_PUBLIC int via_ioas_map(struct via_ioas *ioas, via_iova_t iova, struct via_space *space,
			    uint64_t addr, uint64_t len, unsigned int prot);

/**
 * via_ioas_unmap() - remove every mapping inside [iova, last]
 * @ret_unmapped: bytes removed; may be 0
 *
 * Waits for leases on the removed memory and for running accesses.
 * Return: 0; -ENOENT when the range would cut a mapping (nothing removed).
 */
VIA_PUBLIC int via_ioas_unmap(struct via_ioas *ioas, via_iova_t iova, via_iova_t last,
			      uint64_t *ret_unmapped);

/**
 * via_ioas_track_dirty() - begin or end to record what devices write
 * @ioas: any thread
 * @on: true forgets what was written before, also when it is on already
 *
 * Concerns the devices that via_dma_attach() has attached. Returns when every
 * write that ends afterwards is recorded. While it is on, via_dma_lease() gives
 * no pointers to write through; those that are out are waited for.
 * Return: 0 or -ENOMEM.
 */
VIA_PUBLIC int via_ioas_track_dirty(struct via_ioas *ioas, bool on);

/**
 * via_ioas_get_dirty() - take what devices have written
 * @iova: a multiple of @granule
 * @last: the last byte of a granule
 * @granule: bytes for one bit, a power of two; at least the smallest page of the IOAS
 * @bitmap: words for (@last - @iova + 1) / @granule bits; bit i % 64 of word i / 64
 *          is set for granule i if a byte of it was written. No bit is cleared
 *
 * What is reported is clean afterwards: copy the memory then, a later write is
 * reported by a later call. What is unmapped is forgotten.
 * Return: 0; -EINVAL also when nothing has ever been recorded.
 */
VIA_PUBLIC int via_ioas_get_dirty(struct via_ioas *ioas, via_iova_t iova, via_iova_t last,
				  uint64_t granule, uint64_t *bitmap);

struct via_dma;

/** enum via_dma_fault - why a device access was refused */
enum via_dma_fault {
	VIA_DMA_NOT_ATTACHED,
	VIA_DMA_UNMAPPED,
	VIA_DMA_PROTECTION,
	VIA_DMA_MEMORY, /* mapped, but the page behind it is gone */
	VIA_DMA_SUSPENDED, /* its address did not come back in time (VFIO_DMA_UNMAP_FLAG_VADDR) */
	VIA_DMA_BUS_MASTER, /* the function's Bus Master Enable is 0 */
};

/** struct via_dma_stats - counters since creation; bytes and accesses */
struct via_dma_stats {
	uint64_t read_bytes, write_bytes;
	uint64_t accesses;
	uint64_t faults;
};

/** via_dma_new() - a device's DMA handle, attached to nothing. 0 or -ENOMEM */
VIA_PUBLIC int via_dma_new(const char *name, struct via_dma **ret_dma);
VIA_PUBLIC void via_dma_free(struct via_dma *dma);

/**
 * via_dma_attach() - point the device at @ioas, or at nothing with NULL
 *
 * Returns when no access through the former IOAS runs any more. Must not be
 * called from inside an access of the same @dma. Return: 0.
 */
VIA_PUBLIC int via_dma_attach(struct via_dma *dma, struct via_ioas *ioas);

/** via_dma_enable() - Bus Master Enable; accesses fail with -EPERM while off */
VIA_PUBLIC void via_dma_enable(struct via_dma *dma, bool on);

/**
 * via_dma_read() - the device reads host memory
 * @iova: any alignment; may span mappings
 * @buf: destination
 * @len: bytes
 *
 * Any thread, no lock. Where another device's registers are mapped, the write is
 * posted, and the read waits for the device, with a bound. Return: 0; -EFAULT (counted
 * and logged as a fault; the buffer is then filled with zeros, as an aborted read
 * returns nothing).
 */
VIA_PUBLIC int via_dma_read(struct via_dma *dma, via_iova_t iova, void *buf, size_t len);
VIA_PUBLIC int via_dma_write(struct via_dma *dma, via_iova_t iova, const void *buf, size_t len);

/** struct via_dma_seg - a piece of a scatter list */
struct via_dma_seg {
	via_iova_t iova;
	uint64_t len;
};

/**
 * via_dma_readv() - read a scatter list into one buffer, in one batch
 * @segs: pieces in order
 * @buf: room for the sum of their lengths
 *
 * Memory that can only be copied is fetched with as few system calls as the
 * kernel allows. Return: 0 or -EFAULT as via_dma_read().
 */
VIA_PUBLIC int via_dma_readv(struct via_dma *dma, const struct via_dma_seg *segs, size_t n_segs,
			     void *buf);
VIA_PUBLIC int via_dma_writev(struct via_dma *dma, const struct via_dma_seg *segs, size_t n_segs,
			      const void *buf);

/**
 * via_dma_lease() - pointers for a scatter list, for I/O that outlives the call
 * @prot: VIA_PROT_READ when the device reads, VIA_PROT_WRITE when it writes
 * @leases: room for @max_leases
 * @ret_n: leases filled; together they cover the list in order
 *
 * Unmap and reset wait for these; put them as soon as the I/O is done.
 * Return: 0; -EOPNOTSUPP when some of the memory can only be copied (use a
 * bounce buffer and via_dma_readv()); -E2BIG; -EFAULT.
 */
VIA_PUBLIC int via_dma_lease(struct via_dma *dma, const struct via_dma_seg *segs, size_t n_segs,
			     unsigned int prot, struct via_lease *leases, size_t max_leases,
			     size_t *ret_n);

VIA_PUBLIC void via_dma_get_stats(const struct via_dma *dma, struct via_dma_stats *ret_stats);

#ifdef __cplusplus
}
#endif

#endif
