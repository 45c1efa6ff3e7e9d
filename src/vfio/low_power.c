/* SPDX-License-Identifier: MIT */
/* Features LOW_POWER_*: decoded here, device/power.c knows what they mean. */
#include "vfio/feature.h"

#include <errno.h>
#include <unistd.h>

long via_run_low_power_entry(struct via_device_file *df, struct via_caller *caller,
				 uint32_t op, uint64_t data, uint32_t len)
{
	return via_device_low_power_entry(df->placed->dev, -1);
}

long via_run_low_power_entry_with_wakeup(struct via_device_file *df,
					     struct via_caller *caller, uint32_t op, uint64_t data,
					     uint32_t len)
{
	struct via_vfio_device_low_power_entry_with_wakeup entry;
	int fd, ret;

	ret = via_copy_in(caller, &entry, data, sizeof(entry));
	if (ret < 0)
		return ret;
	if (entry.wakeup_eventfd < 0)
		return -EINVAL;
	ret = caller->ops->fd_get(caller, entry.wakeup_eventfd, &fd);
	if (ret < 0)
		return ret;
	ret = via_device_low_power_entry(df->placed->dev, fd);
	if (ret < 0)
		close(fd);
	return ret;
}

long via_run_low_power_exit(struct via_device_file *df, struct via_caller *caller, uint32_t op,
				uint64_t data, uint32_t len)
{
	via_device_low_power_exit(df->placed->dev);
	return 0;
}
