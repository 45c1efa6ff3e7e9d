/* SPDX-License-Identifier: MIT */
/*
 * MAP, MAP_FILE, COPY and UNMAP: what is checked before an IOAS is asked (spec
 * iommu.md 2.6.4 to 2.6.7). The order of the checks is what programs see.
 */
#include "vfio/bar_memory.h"
#include "vfio/iommufd/commands.h"
#include "vfio/profile.h"

#include <errno.h>

#define MAP_FLAGS                                                                                  \
	(VIA_IOMMU_IOAS_MAP_FIXED_IOVA | VIA_IOMMU_IOAS_MAP_WRITEABLE | VIA_IOMMU_IOAS_MAP_READABLE)

static unsigned int prot_of(uint32_t flags)
{
	return (flags & VIA_IOMMU_IOAS_MAP_READABLE ? VIA_PROT_READ : 0) |
	       (flags & VIA_IOMMU_IOAS_MAP_WRITEABLE ? VIA_PROT_WRITE : 0);
}

static unsigned int place_of(uint32_t flags)
{
	return flags & VIA_IOMMU_IOAS_MAP_FIXED_IOVA ? VIA_IOAS_FIXED : 0;
}

/* Steps 1 to 3, of all three commands that map. */
static int check_map(uint32_t flags, uint64_t iova, uint64_t length)
{
	if (flags & ~MAP_FLAGS)
		return -EOPNOTSUPP;
	if (iova == UINT64_MAX || length == UINT64_MAX)
		return -EOVERFLOW;
	return prot_of(flags) ? 0 : -EINVAL;
}

int via_iommufd_container_owner(struct via_iommufd *iommufd, struct via_caller *caller,
				bool mm_accounting, struct via_ledger_owner *ret_owner)
{
	int ret = via_iommufd_owner(iommufd, caller, ret_owner);

	/* As type1: who may exceed the limit is charged too, without one. */
	if (!ret && mm_accounting)
		ret_owner->mode = VIA_CHARGE_MM;
	return ret;
}

int via_iommufd_memory_pages(struct via_iommufd *iommufd, struct via_caller *caller, uint64_t addr,
			     uint64_t length, bool writable, bool mm_accounting,
			     struct via_pages **ret_pages)
{
	struct via_ledger_owner owner;
	const struct via_bar_use use = {
		.writable = writable,
		.refused = !via_profile_full(iommufd->vfio, VIA_DIFFERS_BAR_MEMORY),
		.owner = &owner,
	};
	struct via_space *space;
	int ret;

	ret = via_iommufd_container_owner(iommufd, caller, mm_accounting, &owner);
	if (ret < 0)
		return ret;
	ret = via_bar_memory(iommufd->vfio, caller, addr, length, &use, ret_pages);
	if (ret > 0 || ret == -ENOMEM) {
		via_iommufd_owner_put(&owner);
		return ret < 0 ? ret : 0;
	}
	if (ret < 0)
		addr = via_bar_memory_nowhere(addr);
	ret = via_iommufd_space(iommufd, caller->mm, &space);
	if (!ret) {
		ret = via_pages_new_memory(space, addr, length, writable, &owner, ret_pages);
		via_space_put(space);
	}
	via_iommufd_owner_put(&owner);
	return ret;
}

int via_iommufd_map_memory(struct via_iommufd *iommufd, struct via_caller *caller,
			   struct via_iommufd_ioas *ioas, uint64_t addr, uint64_t length,
			   unsigned int prot, unsigned int flags, bool mm_accounting,
			   uint64_t *iova)
{
	struct via_pages *pages;
	uint64_t end;
	int ret;

	if (__builtin_add_overflow(addr, length, &end))
		return -EOVERFLOW;
	if (!length || length > UINT64_MAX - VIA_PAGES_SIZE)
		return -EINVAL;
	ret = via_iommufd_memory_pages(iommufd, caller, addr, length, prot & VIA_PROT_WRITE,
				       mm_accounting, &pages);
	if (ret < 0)
		return ret;
	ret = via_ioas_map_pages(ioas->ioas, pages, 0, length, prot, flags, iova, NULL);
	via_pages_put(pages);
	return ret;
}

long via_iommufd_ioas_map(const struct via_iommufd_call *call, void *args)
{
	struct via_iommu_ioas_map *cmd = args;
	struct via_iommufd_ioas *ioas;
	int ret;

	if (cmd->reserved)
		return -EOPNOTSUPP;
	ret = check_map(cmd->flags, cmd->iova, cmd->length);
	if (ret < 0)
		return ret;
	ioas = via_iommufd_ioas_get(call->iommufd, cmd->ioas_id);
	if (!ioas)
		return -ENOENT;
	ret = via_iommufd_map_memory(call->iommufd, call->caller, ioas, cmd->user_va, cmd->length,
				     prot_of(cmd->flags), place_of(cmd->flags), false, &cmd->iova);
	via_iommufd_ioas_put(ioas);
	return ret;
}

static int map_file(const struct via_iommufd_call *call, struct via_iommufd_ioas *ioas,
		    struct via_iommu_ioas_map_file *cmd)
{
	const unsigned int prot = prot_of(cmd->flags);
	struct via_pages *pages;
	uint64_t last;
	int ret;

	if (!cmd->length)
		return -EINVAL;
	if (__builtin_add_overflow(cmd->start, cmd->length - 1, &last))
		return -EOVERFLOW;
	ret = via_iommufd_file_pages(call, cmd->fd, cmd->start, cmd->length,
				     prot & VIA_PROT_WRITE, &pages);
	if (ret < 0)
		return ret;
	ret = via_ioas_map_pages(ioas->ioas, pages, 0, cmd->length, prot, place_of(cmd->flags),
				 &cmd->iova, NULL);
	via_pages_put(pages);
	return ret;
}

long via_iommufd_ioas_map_file(const struct via_iommufd_call *call, void *args)
{
	struct via_iommu_ioas_map_file *cmd = args;
	struct via_iommufd_ioas *ioas;
	int ret = check_map(cmd->flags, cmd->iova, cmd->length);

	if (ret < 0)
		return ret;
	ioas = via_iommufd_ioas_get(call->iommufd, cmd->ioas_id);
	if (!ioas)
		return -ENOENT;
	ret = map_file(call, ioas, cmd);
	via_iommufd_ioas_put(ioas);
	return ret;
}

/* What a source that is never looked at would have been told. */
static int check_source(uint64_t iova, uint64_t length)
{
	uint64_t last;

	if (!length)
		return -EINVAL;
	return __builtin_add_overflow(iova, length - 1, &last) ? -EOVERFLOW : 0;
}

long via_iommufd_ioas_copy(const struct via_iommufd_call *call, void *args)
{
	struct via_iommu_ioas_copy *cmd = args;
	struct via_iommufd_ioas *src, *dst;
	int ret;

	if (cmd->flags & ~MAP_FLAGS)
		return -EOPNOTSUPP;
	if (cmd->src_iova == UINT64_MAX)
		return -EOVERFLOW;
	ret = check_map(cmd->flags, cmd->dst_iova, cmd->length);
	if (ret < 0)
		return ret;
	src = via_iommufd_ioas_get(call->iommufd, cmd->src_ioas_id);
	if (!src)
		return -ENOENT;
	dst = via_iommufd_ioas_get(call->iommufd, cmd->dst_ioas_id);
	if (dst) {
		ret = via_ioas_copy(dst->ioas, src->ioas, cmd->src_iova, cmd->length,
				    prot_of(cmd->flags), place_of(cmd->flags), &cmd->dst_iova);
	} else {
		/* The source is judged first; a hole in it would be ENOENT too. */
		ret = check_source(cmd->src_iova, cmd->length);
		if (!ret)
			ret = -ENOENT;
	}
	via_iommufd_ioas_put(dst);
	via_iommufd_ioas_put(src);
	return ret;
}

int via_iommufd_unmap(struct via_iommufd_ioas *ioas, uint64_t iova, uint64_t length,
		      uint64_t *ret_bytes)
{
	uint64_t last;

	*ret_bytes = 0;
	if (!length)
		return -EINVAL;
	if (__builtin_add_overflow(iova, length - 1, &last))
		return -EOVERFLOW;
	return via_ioas_unmap_range(ioas->ioas, iova, last, ret_bytes);
}

long via_iommufd_ioas_unmap(const struct via_iommufd_call *call, void *args)
{
	struct via_iommu_ioas_unmap *cmd = args;
	struct via_iommufd_ioas *ioas = via_iommufd_ioas_get(call->iommufd, cmd->ioas_id);
	const bool all = !cmd->iova && cmd->length == UINT64_MAX;
	uint64_t bytes = 0;
	int ret;

	if (!ioas)
		return -ENOENT;
	if (all)
		ret = via_ioas_unmap_range(ioas->ioas, 0, UINT64_MAX, &bytes);
	else if (cmd->iova == UINT64_MAX || cmd->length == UINT64_MAX)
		ret = -EOVERFLOW;
	else
		ret = via_iommufd_unmap(ioas, cmd->iova, cmd->length, &bytes);
	if (!ret && !bytes && !all)
		ret = -ENOENT;
	via_iommufd_ioas_put(ioas);
	cmd->length = bytes;
	return ret;
}
