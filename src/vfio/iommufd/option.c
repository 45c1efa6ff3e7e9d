/* SPDX-License-Identifier: MIT */
/* Settings of a context and of an IOAS: OPTION, VFIO_IOAS, CHANGE_PROCESS (spec iommu.md 2.6.8 to 2.6.10). */
#include "vfio/iommufd/commands.h"

#include <errno.h>
#include <stdlib.h>

static int set_rlimit_mode(const struct via_iommufd_call *call, uint64_t value)
{
	struct via_iommufd *iommufd = call->iommufd;
	int ret = 0;

	if (!(call->caller->caps & VIA_CAP_SYS_RESOURCE))
		return -EPERM;
	pthread_mutex_lock(&iommufd->lock);
	if (iommufd->n_live)
		ret = -EBUSY;
	else if (value > 1)
		ret = -EINVAL;
	else
		iommufd->mm_accounting = value == 1;
	pthread_mutex_unlock(&iommufd->lock);
	return ret;
}

static long rlimit_mode(const struct via_iommufd_call *call, struct via_iommu_option *cmd)
{
	struct via_iommufd *iommufd = call->iommufd;

	if (cmd->object_id)
		return -EOPNOTSUPP;
	if (cmd->op == VIA_IOMMU_OPTION_OP_SET)
		return set_rlimit_mode(call, cmd->val64);
	if (cmd->op != VIA_IOMMU_OPTION_OP_GET)
		return -EOPNOTSUPP;
	pthread_mutex_lock(&iommufd->lock);
	cmd->val64 = iommufd->mm_accounting;
	pthread_mutex_unlock(&iommufd->lock);
	return 0;
}

static long huge_pages(const struct via_iommufd_call *call, struct via_iommu_option *cmd)
{
	struct via_iommufd_ioas *ioas = via_iommufd_ioas_get(call->iommufd, cmd->object_id);
	long ret = 0;

	if (!ioas)
		return -ENOENT;
	if (cmd->op == VIA_IOMMU_OPTION_OP_GET)
		cmd->val64 = via_ioas_large_pages(ioas->ioas);
	else if (cmd->op != VIA_IOMMU_OPTION_OP_SET)
		ret = -EOPNOTSUPP;
	else if (cmd->val64 > 1)
		ret = -EINVAL;
	else
		ret = via_ioas_set_large_pages(ioas->ioas, cmd->val64 == 1);
	via_iommufd_ioas_put(ioas);
	return ret;
}

long via_iommufd_option(const struct via_iommufd_call *call, void *args)
{
	struct via_iommu_option *cmd = args;

	if (cmd->reserved)
		return -EOPNOTSUPP;
	switch (cmd->option_id) {
	case VIA_IOMMU_OPTION_RLIMIT_MODE:
		return rlimit_mode(call, cmd);
	case VIA_IOMMU_OPTION_HUGE_PAGES:
		return huge_pages(call, cmd);
	default:
		return -EOPNOTSUPP;
	}
}

/* The program is written to by GET alone. */
long via_iommufd_vfio_ioas(const struct via_iommufd_call *call, void *args)
{
	struct via_iommufd *iommufd = call->iommufd;
	struct via_iommu_vfio_ioas *cmd = args;
	struct via_iommufd_ioas *ioas;
	int ret;

	if (cmd->reserved)
		return -EOPNOTSUPP;
	switch (cmd->op) {
	case VIA_IOMMU_VFIO_IOAS_GET:
		ret = via_iommufd_compat_id(iommufd, &cmd->ioas_id);
		return ret < 0 ? ret : via_iommufd_reply(call, cmd);
	case VIA_IOMMU_VFIO_IOAS_SET:
		ioas = via_iommufd_ioas_get(iommufd, cmd->ioas_id);
		if (!ioas)
			return -ENOENT;
		via_iommufd_compat_set(iommufd, ioas);
		via_iommufd_ioas_put(ioas);
		return 0;
	case VIA_IOMMU_VFIO_IOAS_CLEAR:
		via_iommufd_compat_set(iommufd, NULL);
		return 0;
	default:
		return -EOPNOTSUPP;
	}
}

long via_iommufd_change_process(const struct via_iommufd_call *call, void *args)
{
	const struct via_iommu_ioas_change_process *cmd = args;
	struct via_ledger_owner owner;
	struct via_ioas **ioases;
	struct via_object **objects;
	size_t n;
	int ret;

	if (cmd->reserved)
		return -EOPNOTSUPP;
	ret = via_objects_of_kind(call->iommufd, VIA_OBJECT_IOAS, &objects, &n);
	if (ret < 0)
		return ret;
	ioases = calloc(n ? n : 1, sizeof(struct via_ioas *));
	ret = ioases ? via_iommufd_owner(call->iommufd, call->caller, &owner) : -ENOMEM;
	if (!ret) {
		for (size_t i = 0; i < n; i++)
			ioases[i] = VIA_CONTAINER_OF(objects[i], struct via_iommufd_ioas, object)->ioas;
		ret = via_ioas_change_owner(ioases, n, &owner);
		via_iommufd_owner_put(&owner);
	}
	free(ioases);
	for (size_t i = 0; i < n; i++)
		via_object_put(objects[i]);
	free(objects);
	return ret;
}
