/* SPDX-License-Identifier: MIT */
/* The commands of /dev/iommu: what dispatch.c's table is made of. */
#ifndef VIA_VFIO_IOMMUFD_COMMANDS_H
#define VIA_VFIO_IOMMUFD_COMMANDS_H

#include "vfio/iommufd/iommufd.h"

/* When the structure is copied back to the program. */
enum via_iommufd_reply {
	VIA_REPLY_NEVER,  /* also for a handler that does it by via_iommufd_reply() */
	VIA_REPLY_DONE,	  /* on success */
	VIA_REPLY_SHORT,  /* on success and -EMSGSIZE */
	VIA_REPLY_ALWAYS, /* on every error, too */
};

struct via_iommufd_command {
	uint32_t number; /* 0: a hole in the table */
	uint32_t min;	 /* bytes of the structure's first version */
	uint32_t size;	 /* bytes of it that we know */
	enum via_iommufd_reply reply;
	via_iommufd_handler handler; /* NULL: a hole, too */
};

/* dispatch.c: any ioctl on a file of /dev/iommu. */
long via_iommufd_dispatch(struct via_iommufd *iommufd, struct via_caller *caller, uint32_t cmd,
			  uint64_t arg);

/* object.c: the context is nobody's any more. */
void via_objects_destroy_all(struct via_iommufd *iommufd);
/* All of a kind by id, with a user more each; the array is the caller's. 0 or -ENOMEM. */
int via_objects_of_kind(struct via_iommufd *iommufd, enum via_object_kind kind,
			struct via_object ***ret_objects, size_t *ret_n);

/* iommufd.c: addresses of mm, with a reference. One space for each program that maps. 0 or -ENOMEM. */
int via_iommufd_space(struct via_iommufd *iommufd, struct via_mm *mm,
		      struct via_space **ret_space);

/* ioas.c: with one user more; NULL: no such IOAS. */
struct via_iommufd_ioas *via_iommufd_ioas_get(struct via_iommufd *iommufd, uint32_t id);
void via_iommufd_ioas_put(struct via_iommufd_ioas *ioas); /* NULL allowed */
/* It was made, but never finished. */
void via_iommufd_ioas_drop(struct via_iommufd_ioas *ioas);

/* map.c: the caller as a payer; as below. Given back with via_iommufd_owner_put(). 0 or -ENOMEM. */
int via_iommufd_container_owner(struct via_iommufd *iommufd, struct via_caller *caller,
				bool mm_accounting, struct via_ledger_owner *ret_owner);
/*
 * map.c: memory of the caller, at caller's cost. mm_accounting: as a container charges,
 * whatever the context's mode is. 0 or -ENOMEM.
 */
int via_iommufd_memory_pages(struct via_iommufd *iommufd, struct via_caller *caller, uint64_t addr,
			     uint64_t length, bool writable, bool mm_accounting,
			     struct via_pages **ret_pages);
/* Steps 5 to 10 of 2.6.4. */
int via_iommufd_map_memory(struct via_iommufd *iommufd, struct via_caller *caller,
			   struct via_iommufd_ioas *ioas, uint64_t addr, uint64_t length,
			   unsigned int prot, unsigned int flags, bool mm_accounting,
			   uint64_t *iova);
/* 2.6.7 without its answers for everything and for nothing at all; *ret_bytes also on failure. */
int via_iommufd_unmap(struct via_iommufd_ioas *ioas, uint64_t iova, uint64_t length,
		      uint64_t *ret_bytes);

/* source.c: what MAP_FILE maps. -EBADF; of a dma-buf -EINVAL, -EOPNOTSUPP, -ENODEV; -ENOMEM. */
int via_iommufd_file_pages(const struct via_iommufd_call *call, int fd, uint64_t start,
			   uint64_t length, bool writable, struct via_pages **ret_pages);

/* compat.c: the IOAS that the ioctls of a container work on; NULL for none. */
void via_iommufd_compat_set(struct via_iommufd *iommufd, struct via_iommufd_ioas *ioas);

/* ioas.c, map.c, option.c */
long via_iommufd_ioas_alloc(const struct via_iommufd_call *call, void *args);
long via_iommufd_ioas_iova_ranges(const struct via_iommufd_call *call, void *args);
long via_iommufd_ioas_allow_iovas(const struct via_iommufd_call *call, void *args);
long via_iommufd_ioas_map(const struct via_iommufd_call *call, void *args);
long via_iommufd_ioas_map_file(const struct via_iommufd_call *call, void *args);
long via_iommufd_ioas_copy(const struct via_iommufd_call *call, void *args);
long via_iommufd_ioas_unmap(const struct via_iommufd_call *call, void *args);
long via_iommufd_option(const struct via_iommufd_call *call, void *args);
long via_iommufd_vfio_ioas(const struct via_iommufd_call *call, void *args);
long via_iommufd_change_process(const struct via_iommufd_call *call, void *args);

#endif
