/* SPDX-License-Identifier: MIT */
/*
 * How a command reaches its handler (spec iommu.md 2.3). The order of the
 * checks is what programs see: the pointer is tried before the number is looked
 * up, and the size before the rest of the structure.
 */
#include "base/util.h"
#include "vfio/iommufd/commands.h"
#include "vfio/iommufd/test_cmd.h"

#include <errno.h>

/* What the table is indexed by: the low byte of a number, from here on. */
#define FIRST 0x80u
#define LAST_OF_TEST VIA_IOMMU_TEST_CMD

#define ARGS_MAX 128u

#define ROW(cmd, type, last_field, when, fn)                                                       \
	[(cmd & 0xff) - FIRST] = {                                                                 \
		.number = (cmd),                                                                   \
		.min = offsetof(struct type, last_field) +                                         \
		       sizeof(((struct type *)NULL)->last_field),                                  \
		.size = sizeof(struct type),                                                       \
		.reply = (when),                                                                   \
		.handler = (fn),                                                                   \
	}

static long destroy(const struct via_iommufd_call *call, void *args)
{
	const struct via_iommu_destroy *cmd = args;

	return via_object_destroy(call->iommufd, cmd->id);
}

static const struct via_iommufd_command commands[] = {
	ROW(VIA_IOMMU_DESTROY, via_iommu_destroy, id, VIA_REPLY_NEVER, destroy),
	ROW(VIA_IOMMU_IOAS_ALLOC, via_iommu_ioas_alloc, out_ioas_id, VIA_REPLY_DONE,
	    via_iommufd_ioas_alloc),
	ROW(VIA_IOMMU_IOAS_ALLOW_IOVAS, via_iommu_ioas_allow_iovas, allowed_iovas, VIA_REPLY_NEVER,
	    via_iommufd_ioas_allow_iovas),
	ROW(VIA_IOMMU_IOAS_COPY, via_iommu_ioas_copy, src_iova, VIA_REPLY_DONE,
	    via_iommufd_ioas_copy),
	ROW(VIA_IOMMU_IOAS_IOVA_RANGES, via_iommu_ioas_iova_ranges, out_iova_alignment,
	    VIA_REPLY_SHORT, via_iommufd_ioas_iova_ranges),
	ROW(VIA_IOMMU_IOAS_MAP, via_iommu_ioas_map, iova, VIA_REPLY_DONE, via_iommufd_ioas_map),
	ROW(VIA_IOMMU_IOAS_UNMAP, via_iommu_ioas_unmap, length, VIA_REPLY_DONE,
	    via_iommufd_ioas_unmap),
	ROW(VIA_IOMMU_OPTION, via_iommu_option, val64, VIA_REPLY_DONE, via_iommufd_option),
	ROW(VIA_IOMMU_VFIO_IOAS, via_iommu_vfio_ioas, reserved, VIA_REPLY_NEVER,
	    via_iommufd_vfio_ioas),
	ROW(VIA_IOMMU_HWPT_ALLOC, via_iommu_hwpt_alloc, reserved, VIA_REPLY_DONE,
	    via_iommufd_hwpt_alloc),
	ROW(VIA_IOMMU_GET_HW_INFO, via_iommu_hw_info, reserved, VIA_REPLY_DONE,
	    via_iommufd_get_hw_info),
	ROW(VIA_IOMMU_HWPT_SET_DIRTY_TRACKING, via_iommu_hwpt_set_dirty_tracking, reserved,
	    VIA_REPLY_NEVER, via_iommufd_set_dirty_tracking),
	ROW(VIA_IOMMU_HWPT_GET_DIRTY_BITMAP, via_iommu_hwpt_get_dirty_bitmap, data, VIA_REPLY_NEVER,
	    via_iommufd_get_dirty_bitmap),
	ROW(VIA_IOMMU_HWPT_INVALIDATE, via_iommu_hwpt_invalidate, reserved, VIA_REPLY_ALWAYS,
	    via_iommufd_hwpt_invalidate),
	ROW(VIA_IOMMU_FAULT_QUEUE_ALLOC, via_iommu_fault_alloc, out_fault_fd, VIA_REPLY_DONE,
	    via_iommufd_fault_queue_alloc),
	ROW(VIA_IOMMU_IOAS_MAP_FILE, via_iommu_ioas_map_file, iova, VIA_REPLY_DONE,
	    via_iommufd_ioas_map_file),
	ROW(VIA_IOMMU_VIOMMU_ALLOC, via_iommu_viommu_alloc, out_viommu_id, VIA_REPLY_DONE,
	    via_iommufd_viommu_alloc),
	ROW(VIA_IOMMU_VDEVICE_ALLOC, via_iommu_vdevice_alloc, virt_id, VIA_REPLY_DONE,
	    via_iommufd_vdevice_alloc),
	ROW(VIA_IOMMU_IOAS_CHANGE_PROCESS, via_iommu_ioas_change_process, reserved, VIA_REPLY_NEVER,
	    via_iommufd_change_process),
	ROW(VIA_IOMMU_VEVENTQ_ALLOC, via_iommu_veventq_alloc, out_veventq_fd, VIA_REPLY_DONE,
	    via_iommufd_veventq_alloc),
	ROW(VIA_IOMMU_HW_QUEUE_ALLOC, via_iommu_hw_queue_alloc, length, VIA_REPLY_DONE,
	    via_iommufd_hw_queue_alloc),
	ROW(VIA_IOMMU_TEST_CMD, via_iommu_test_cmd, last, VIA_REPLY_NEVER, via_iommufd_test_cmd),
};

static uint32_t table_end(const struct via_iommufd *iommufd)
{
	const uint32_t last =
		iommufd->vfio->config.iommu_test ? LAST_OF_TEST : VIA_IOMMU_HW_QUEUE_ALLOC;

	return (last & 0xff) + 1;
}

static const struct via_iommufd_command *command(uint32_t cmd)
{
	const uint32_t i = (cmd & 0xff) - FIRST;
	const struct via_iommufd_command *row;

	if (i >= VIA_ARRAY_SIZE(commands))
		return NULL;
	row = &commands[i];
	return row->handler && row->number == cmd ? row : NULL;
}

/* The rest of the structure; its first word is call->size and is not fetched again. */
static int fetch(const struct via_iommufd_call *call, const struct via_iommufd_command *row,
		 uint8_t *args)
{
	const uint32_t known = call->size < row->size ? call->size : row->size;
	int ret = 0;

	if (call->size > row->size)
		ret = via_check_zeros(call->caller, call->arg + row->size, call->size - row->size);
	if (!ret)
		ret = via_copy_in(call->caller, args + sizeof(call->size),
				  call->arg + sizeof(call->size), known - sizeof(call->size));
	memcpy(args, &call->size, sizeof(call->size));
	return ret;
}

void via_iommufd_made(const struct via_iommufd_call *call, struct via_object *object)
{
	via_object_use(object);
	*call->made = object;
}

int via_iommufd_reply(const struct via_iommufd_call *call, const void *args)
{
	const uint32_t len = call->size < call->known ? call->size : call->known;

	return via_copy_out(call->caller, call->arg, args, len);
}

static bool replies(const struct via_iommufd_command *row, long ret)
{
	switch (row->reply) {
	case VIA_REPLY_DONE:
		return ret >= 0;
	case VIA_REPLY_SHORT:
		return ret >= 0 || ret == -EMSGSIZE;
	case VIA_REPLY_ALWAYS:
		return true;
	case VIA_REPLY_NEVER:
	default:
		return false;
	}
}

static long reply(const struct via_iommufd_call *call, const struct via_iommufd_command *row,
		  const uint8_t *args, long ret)
{
	if (!replies(row, ret) || via_iommufd_reply(call, args) == 0)
		return ret;
	return -EFAULT;
}

long via_iommufd_dispatch(struct via_iommufd *iommufd, struct via_caller *caller, uint32_t cmd,
			  uint64_t arg)
{
	struct via_iommufd_call call = {.iommufd = iommufd, .caller = caller, .arg = arg};
	_Alignas(uint64_t) uint8_t args[ARGS_MAX] = {0};
	const struct via_iommufd_command *row;
	struct via_object *made = NULL;
	long ret;

	if ((cmd & 0xff) < FIRST || (cmd & 0xff) >= table_end(iommufd))
		return via_iommufd_container_ioctl(iommufd, caller, cmd, arg);
	ret = via_copy_in(caller, &call.size, arg, sizeof(call.size));
	if (ret < 0)
		return ret;
	row = command(cmd);
	if (!row)
		return -ENOTTY;
	if (call.size < row->min)
		return -EINVAL;
	call.known = row->size;
	call.made = &made;
	ret = fetch(&call, row, args);
	if (ret < 0)
		return ret;
	ret = row->handler(&call, args);
	ret = reply(&call, row, args, ret);
	/* What the program was not told of nobody will ever use. */
	if (made && ret >= 0)
		via_object_show(made);
	else if (made)
		via_object_drop(made);
	return ret;
}

/* Steps between two looks for the program. */
#define STEPS 256u

int via_iommufd_heard(const struct via_iommufd_call *call, uint64_t i)
{
	struct via_caller *caller = call->caller;

	if (i % STEPS != STEPS - 1 || !caller->ops->gone)
		return 0;
	return caller->ops->gone(caller) ? -EINTR : 0;
}

int via_iommufd_blob(const struct via_iommufd_call *call, uint64_t uptr, uint32_t len, size_t min,
		     void *buf, size_t size)
{
	if (len < min || len > size)
		return -EINVAL;
	memset((char *)buf + len, 0, size - len);
	return via_copy_in(call->caller, buf, uptr, len);
}
