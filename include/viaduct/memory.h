/* SPDX-License-Identifier: MIT */
/**
 * DOC: viaduct/memory.h - spaces, page stores, leases
 *
 * A *space* is one address domain with a backend: the library's own process,
 * a file (memfd, hugetlb, regular), or the address space of a program that
 * calls through a door. A *store* is a run of a space held for DMA: made once
 * when memory is mapped, it keeps the pages alive as a kernel pin does. A
 * *lease* is the only way to get a pointer into a store; unmapping waits for
 * leases. Copies need no lease and never fault: a bad page is -EFAULT.
 */
#ifndef VIADUCT_MEMORY_H
#define VIADUCT_MEMORY_H

#include <viaduct/base.h>

#include <sys/types.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Access rights, for mappings, stores and leases. */
#define VIA_PROT_READ (1u << 0)	 /* the device may read the memory */
#define VIA_PROT_WRITE (1u << 1) /* the device may write the memory */

struct via_space;
struct via_store;
struct via_use;

/**
 * struct via_backing - what lies behind a range of an address space
 * @fd: owned by the receiver: a descriptor that maps the same pages, or -1
 *      when the memory is private and can only be copied
 * @offset: file offset of the first byte, in bytes
 * @len: bytes from the asked address for which this answer holds, >= 1
 */
struct via_backing {
	int fd;
	uint64_t offset;
	uint64_t len;
};

struct via_mm;

/**
 * struct via_page_identity - what makes two pages of 4 KiB the same one
 * @space: device number of the file system, or the address of the struct via_mm
 * @object: inode; 0: private
 * @page: number in the file; for private memory the place, which changes for a
 *        page that is held when the program moves it, and is never that of another
 *        page at the same time
 */
struct via_page_identity {
	uint64_t space;
	uint64_t object;
	uint64_t page;
};

/**
 * struct via_mm_ops - how to reach the address space of a program
 *
 * Every callback may run on any thread, concurrently. Lengths are bytes.
 */
struct via_mm_ops {
	/**
	 * @readv: copy from the program: @remote runs (iov_base is an address
	 * in the program) into @local buffers. All or nothing: 0, -EFAULT when
	 * any page is not readable, -ESRCH when the program is gone.
	 */
	int (*readv)(struct via_mm *mm, const struct iovec *local, size_t n_local,
		     const struct iovec *remote, size_t n_remote);
	/** @writev: the other direction; a failed copy may have written a prefix */
	int (*writev)(struct via_mm *mm, const struct iovec *local, size_t n_local,
		      const struct iovec *remote, size_t n_remote);
	/** @probe: 0 if all of [addr, addr+len) allows @prot, else -EFAULT */
	int (*probe)(struct via_mm *mm, uint64_t addr, uint64_t len, unsigned int prot);
	/** @backing: what lies at @addr (first run only); 0, -EFAULT or -ESRCH */
	int (*backing)(struct via_mm *mm, uint64_t addr, uint64_t len, unsigned int prot,
		       struct via_backing *ret_backing);
	/** @free: the last reference is gone */
	void (*free)(struct via_mm *mm);
	/**
	 * @hold: optional: private memory begins to be used for DMA.
	 * *@ret_addr is the address to give to @readv and @writev for it from
	 * now on, which stays right when the program moves the pages. 0, -ENOMEM
	 */
	int (*hold)(struct via_mm *mm, uint64_t addr, uint64_t len, uint64_t *ret_addr);
	/** @release: of what @hold returned, with the same length */
	void (*release)(struct via_mm *mm, uint64_t addr, uint64_t len);
	/**
	 * @identity: optional: the page at @addr (in the program, or from @hold).
	 * The pages after it, up to *@ret_len bytes from @addr (<= @len), have the numbers
	 * that follow. 0, -EFAULT, -ESRCH
	 */
	int (*identity)(struct via_mm *mm, uint64_t addr, uint64_t len,
			struct via_page_identity *ret_identity, uint64_t *ret_len);
};

/**
 * struct via_mm - a program's address space, embedded in the owner's object
 * @ops: constant after init
 * @refs: atomic; via_mm_get()/via_mm_put()
 * @pid: process id for messages; 0 for the library's own process
 * @locked_pages: pages charged by DMA mappings, 4 KiB units; atomic; the ledger's
 * @memlock_limit: bytes; RLIMIT_MEMLOCK sampled when the program last called; atomic
 * @cap_ipc_lock: the program may exceed the limit; atomic
 * @uid: constant once it is in use; whose account pays where users pay
 * @memlock_warned: it has been told that it exceeds the limit; atomic
 * @pinned_pages: pages that page stores pin, 4 KiB units; atomic; the ledger's
 */
struct via_mm {
	const struct via_mm_ops *ops;
	int refs;
	pid_t pid;
	uint64_t locked_pages;
	uint64_t memlock_limit;
	bool cap_ipc_lock;
	bool memlock_warned;
	uid_t uid;
	uint64_t pinned_pages;
};

/** via_mm_get() - one more reference; returns @mm, which must not be NULL. Any thread */
VIA_PUBLIC struct via_mm *via_mm_get(struct via_mm *mm);
/** via_mm_put() - give one back; the last one calls @ops->free. NULL is allowed. Any thread */
VIA_PUBLIC void via_mm_put(struct via_mm *mm);
/** via_mm_self() - the library's own address space; a new reference, never NULL */
VIA_PUBLIC struct via_mm *via_mm_self(void);

/**
 * via_space_new_mm() - a space whose addresses are virtual addresses of @mm
 * @mm: a reference is taken
 * @ret_space: owned by the caller, released by via_space_put()
 *
 * Return: 0 or -ENOMEM.
 */
VIA_PUBLIC int via_space_new_mm(struct via_mm *mm, struct via_space **ret_space);

/**
 * via_space_new_fd() - a space whose addresses are offsets in a file
 * @fd: memfd, hugetlb or regular file; duplicated
 * @prot: rights that the space may ever give: VIA_PROT_READ, VIA_PROT_WRITE or both
 * @ret_space: owned by the caller, released by via_space_put()
 *
 * A file that shrinks later makes the lost pages -EFAULT, never a signal.
 * Return: 0, -EBADF, -EACCES when the descriptor's mode does not allow @prot (it must
 * allow to read, whatever @prot is), -EINVAL for something that is no regular file and
 * for a bad @prot, -EMFILE, -ENOMEM.
 */
VIA_PUBLIC int via_space_new_fd(int fd, unsigned int prot, struct via_space **ret_space);

/** via_space_get() - one more reference; returns @space, which must not be NULL. Any thread */
VIA_PUBLIC struct via_space *via_space_get(struct via_space *space);
/** via_space_put() - give one back; NULL is allowed. Stores and mappings have their own. Any thread
 */
VIA_PUBLIC void via_space_put(struct via_space *space);

/**
 * via_store_new() - hold a run of a space for DMA, as a kernel pin does
 * @space: where the memory is
 * @addr: first byte; any alignment
 * @len: bytes, > 0
 * @prot: VIA_PROT_*, what the device will be allowed
 * @ret_store: owned by the caller, released by via_store_put()
 *
 * Probes every page. Shared backing (memfd, hugetlb, file) is mapped by the
 * library too, so that it survives the program's munmap; private memory of
 * another process is reached by copies. Any thread, outside of callbacks.
 * Return: 0; -EINVAL @len or @prot is 0, or @prot has other bits; -EOVERFLOW the end
 * does not fit in 64 bits; -EFAULT some of it is not there, does not allow @prot, lies
 * behind the end of the file, or @prot exceeds the space's; -ESRCH the program is gone;
 * -EPERM the file is sealed against writes; -ENFILE the space has 8192 mappings of parts
 * of files; -EMFILE, -ENOMEM.
 */
VIA_PUBLIC int via_store_new(struct via_space *space, uint64_t addr, uint64_t len,
			     unsigned int prot, struct via_store **ret_store);
/** via_store_get() - one more reference; returns @store, which must not be NULL. Any thread */
VIA_PUBLIC struct via_store *via_store_get(struct via_store *store);
/** via_store_put() - give one back; NULL is allowed. Each lease has its own. Any thread */
VIA_PUBLIC void via_store_put(struct via_store *store);

/** struct via_store_run - a piece of a store: byte offset from its start, and length */
struct via_store_run {
	struct via_store *store;
	uint64_t offset;
	uint64_t len;
};

/**
 * via_store_readv() - copy from stores into buffers, in order
 * @runs: pieces to read
 * @bufs: destination; their total length is that of the runs
 *
 * Never faults: a page that is gone is -EFAULT and the buffers' content is
 * then unspecified. Any thread, also in callbacks.
 * Return: 0; -ERANGE a run goes beyond its store; -EACCES a store was not made for this
 * direction; -EINVAL the lengths differ or overflow: nothing is copied in these three;
 * -EFAULT; -ESRCH the program is gone.
 */
VIA_PUBLIC int via_store_readv(const struct via_store_run *runs, size_t n_runs,
			       const struct iovec *bufs, size_t n_bufs);
/** via_store_writev() - the other direction; what is refused half way is written in part */
VIA_PUBLIC int via_store_writev(const struct via_store_run *runs, size_t n_runs,
				const struct iovec *bufs, size_t n_bufs);

/**
 * struct via_lease - a pointer into a store, valid until it is put
 * @ptr: host address
 * @len: bytes usable from @ptr, may be shorter than asked
 * @store: what it keeps alive
 * @use: the lender's note of it, or NULL
 *
 * Raw access through @ptr is not protected against a file that is truncated
 * meanwhile, except for library-made memfds; prefer copies for short data.
 */
struct via_lease {
	void *ptr;
	uint64_t len;
	struct via_store *store;
	struct via_use *use;
};

/**
 * via_store_lease() - borrow a pointer to bytes of a store
 * @offset: first byte, @len bytes wanted (> 0)
 * @prot: VIA_PROT_*, what is done through the pointer
 * @ret_lease: filled on success; the caller's, via_lease_put(). It has a reference to
 *	@store. It may be shorter than @len: lease the rest by another call
 *
 * Any thread, also in callbacks; does not block.
 * Return: 0; -ERANGE @len is 0 or the bytes go beyond the store; -EACCES when @prot
 * exceeds the store's; -EOPNOTSUPP when the memory can only be copied (private memory of
 * another process). The page may be gone: that is not found out.
 */
VIA_PUBLIC int via_store_lease(struct via_store *store, uint64_t offset, uint64_t len,
			       unsigned int prot, struct via_lease *ret_lease);
/**
 * via_lease_put() - @lease->ptr is not used any more
 *
 * Any thread, also another one than borrowed it, and in callbacks; wakes who waits for it.
 * *@lease is all zeros afterwards, and to put such a one does nothing. No copy of it is put.
 */
VIA_PUBLIC void via_lease_put(struct via_lease *lease);

#ifdef __cplusplus
}
#endif

#endif
