/* SPDX-License-Identifier: MIT */
/*
 * The features of migration and the descriptor of its data (pci-config.md 6.11,
 * 6.12). What states and streams are is the device room's business.
 */
#include "device/migration.h"
#include "vfio/feature.h"
#include "vfio/profile.h"

#include <errno.h>
#include <stdlib.h>

/* Bytes that go through our memory at once. */
#define STEP 65536u

int via_has_migration(const struct via_device_file *df)
{
	/* The kernel's vfio-pci has none, only drivers for particular hardware do. */
	if (!via_profile_full(df->vfio, VIA_DIFFERS_MIGRATION))
		return -ENOTTY;
	return via_device_migration_flags(df->placed->dev) ? 0 : -ENOTTY;
}

/* The one feature that a function without it refuses as if an argument were wrong (Q19). */
int via_has_precopy(const struct via_device_file *df)
{
	if (via_has_migration(df) < 0 ||
	    !(via_device_migration_flags(df->placed->dev) & VIA_VFIO_MIGRATION_PRE_COPY))
		return -EINVAL;
	return 0;
}

long via_run_migration(struct via_device_file *df, struct via_caller *caller, uint32_t op,
		       uint64_t data, uint32_t len)
{
	const struct via_vfio_device_feature_migration migration = {
		.flags = via_device_migration_flags(df->placed->dev),
	};

	return via_copy_out(caller, data, &migration, sizeof(migration));
}

long via_run_mig_data_size(struct via_device_file *df, struct via_caller *caller, uint32_t op,
			   uint64_t data, uint32_t len)
{
	const struct via_vfio_device_feature_mig_data_size size = {
		.stop_copy_length = via_device_migration_size(df->placed->dev),
	};

	return via_copy_out(caller, data, &size, sizeof(size));
}

long via_run_precopy_v2(struct via_device_file *df, struct via_caller *caller, uint32_t op,
			uint64_t data, uint32_t len)
{
	via_device_migration_set_precopy_v2(df->placed->dev);
	return 0;
}

/* The descriptor of the data ------------------------------------------------ */

struct data_file {
	struct via_file file;
	struct via_migration_session *session; /* a reference */
};

static struct data_file *data_file_of(struct via_file *file)
{
	return VIA_CONTAINER_OF(file, struct data_file, file);
}

static long data_ioctl(struct via_file *file, struct via_caller *caller, unsigned long cmd,
		       uint64_t arg)
{
	struct via_vfio_precopy_info info;
	struct via_precopy_info have;
	int ret;

	if (cmd != VIA_VFIO_MIG_GET_PRECOPY_INFO)
		return -ENOTTY;
	ret = via_copy_in(caller, &info, arg, sizeof(info));
	if (ret < 0)
		return ret;
	if (info.argsz < sizeof(info))
		return -EINVAL;
	ret = via_migration_precopy_info(data_file_of(file)->session, &have);
	if (ret < 0)
		return ret;
	/* Who has not asked for them finds in the flags what he put there. */
	if (have.v2)
		info.flags = have.flags;
	info.initial_bytes = have.initial_bytes;
	info.dirty_bytes = have.dirty_bytes;
	return via_copy_out(caller, arg, &info, sizeof(info));
}

static ssize_t data_read(struct via_file *file, struct via_caller *caller, uint64_t addr,
			 size_t len, uint64_t offset)
{
	struct via_migration_session *session = data_file_of(file)->session;
	size_t done = 0;
	ssize_t ret = 0;
	uint8_t *buf;

	buf = malloc(len < STEP ? len : STEP);
	if (!buf)
		return -ENOMEM;
	while (done < len) {
		uint64_t mark;

		ret = via_migration_peek(session, buf, len - done < STEP ? len - done : STEP,
					 &mark);
		if (ret <= 0)
			break;
		if (via_copy_out(caller, addr + done, buf, (size_t)ret) < 0) {
			ret = -EFAULT;
			break;
		}
		via_migration_consume(session, mark, (size_t)ret);
		done += (size_t)ret;
	}
	free(buf);
	return done ? (ssize_t)done : ret;
}

static ssize_t data_write(struct via_file *file, struct via_caller *caller, uint64_t addr,
			  size_t len, uint64_t offset)
{
	struct via_migration_session *session = data_file_of(file)->session;
	size_t done = 0;
	ssize_t ret = 0;
	uint8_t *buf;

	buf = malloc(len < STEP ? len : STEP);
	if (!buf)
		return -ENOMEM;
	while (done < len) {
		size_t n = len - done < STEP ? len - done : STEP;

		ret = via_copy_in(caller, buf, addr + done, n);
		if (!ret)
			ret = via_migration_write(session, buf, n);
		if (ret <= 0)
			break;
		done += (size_t)ret;
	}
	free(buf);
	return done ? (ssize_t)done : ret;
}

static void data_release(struct via_file *file)
{
	struct data_file *data = data_file_of(file);

	via_migration_session_put(data->session);
	free(data);
}

static const struct via_file_ops saving_ops = {
	.kind = "migration data",
	.stream = true,
	.ioctl = data_ioctl,
	.pread = data_read,
	.release = data_release,
};

static const struct via_file_ops restoring_ops = {
	.kind = "migration data",
	.stream = true,
	.pwrite = data_write,
	.release = data_release,
};

/* Consumes the session. */
static struct via_file *data_file_new(struct via_migration_session *session)
{
	struct data_file *data = calloc(1, sizeof(*data));

	if (!data) {
		via_migration_session_put(session);
		return NULL;
	}
	data->file.ops = via_migration_session_saves(session) ? &saving_ops : &restoring_ops;
	data->file.refs = 1;
	data->session = session;
	return &data->file;
}

/* State --------------------------------------------------------------------- */

static long give_session(struct via_caller *caller, struct via_migration_session *session,
			 struct via_vfio_device_feature_mig_state *mig, uint64_t data)
{
	struct via_file *file = data_file_new(session);
	int ret;

	if (!file)
		return -ENOMEM;
	/* A descriptor that the caller does not hear of could not be taken back. */
	mig->data_fd = -1;
	ret = via_copy_out(caller, data, mig, sizeof(*mig));
	if (ret >= 0)
		ret = caller->ops->file_put(caller, file, true);
	if (ret < 0) {
		via_file_put(file);
		return ret;
	}
	mig->data_fd = ret;
	return via_copy_out(caller, data, mig, sizeof(*mig));
}

long via_run_mig_state(struct via_device_file *df, struct via_caller *caller, uint32_t op,
		       uint64_t data, uint32_t len)
{
	struct via_device *dev = df->placed->dev;
	struct via_vfio_device_feature_mig_state mig;
	struct via_migration_session *session = NULL;
	int ret, fault;

	ret = via_copy_in(caller, &mig, data, sizeof(mig));
	if (ret < 0)
		return ret;
	if (op == VIA_VFIO_DEVICE_FEATURE_GET)
		mig.device_state = (uint32_t)via_device_migration_get(dev);
	else
		ret = via_device_migration_set(dev, mig.device_state, &session);
	if (session)
		return give_session(caller, session, &mig, data);
	mig.data_fd = -1;
	fault = via_copy_out(caller, data, &mig, sizeof(mig));
	return fault < 0 ? fault : ret;
}
