/* SPDX-License-Identifier: MIT */
/*
 * What each operation of the door does. The same for a connection and for the
 * in-process door; only the caller and the way of descriptors differ.
 */
#include "host/internal.h"
#include "host/pins.h"

#include <viaduct/abi/iommufd.h>
#include <viaduct/abi/vfio.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static int64_t call_open(struct via_call *call)
{
	struct via_file_ident ident;
	struct via_file *file;
	char node[64];
	int64_t r;

	if (call->request.arg[0] >= sizeof(node))
		return -ENOENT;
	memcpy(node, call->data, call->request.arg[0]);
	node[call->request.arg[0]] = '\0';
	via_peer_sample(call->peer, true);
	via_peer_init_caller(call->peer, call->caller->ops, call->caller);
	if (strncmp(node, "sysfs/", 6) == 0)
		r = via_attribute_open(call->host, node + 6, (int)call->request.arg[1], &file);
	else
		r = via_vfio_open(call->host->vfio, call->caller, node, (int)call->request.arg[1],
				  &file);
	if (r)
		return r;
	r = via_files_publish(call->host, call->peer, file, true, &ident, &call->reply_fd);
	if (r) {
		via_file_put(file);
		return r;
	}
	via_files_name(call->host, ident.id, via_door_node_number(node));
	call->reply.n_fds = 1;
	call->reply.value[0] = ident.dev;
	call->reply.value[1] = ident.ino;
	return (int64_t)ident.id;
}

static int64_t call_ioctl(struct via_call *call, struct via_file *file)
{
	uint64_t frames[VIA_DOOR_FRAMES];
	const uint64_t *arg = call->request.arg;
	uint64_t n_frames = arg[0] >> 32;
	long r;

	/* Limit and capabilities count at the moment at which memory is mapped. */
	switch ((uint32_t)arg[0]) {
	case VIA_VFIO_IOMMU_MAP_DMA:
	case VIA_IOMMU_IOAS_MAP:
	case VIA_IOMMU_IOAS_MAP_FILE:
	case VIA_IOMMU_IOAS_CHANGE_PROCESS:
	case VIA_IOMMU_OPTION:
		via_peer_sample(call->peer, false);
		via_peer_init_caller(call->peer, call->caller->ops, call->caller);
		break;
	default:
		break;
	}
	/* Once, since the program can change them. */
	call->caller->n_trace = n_frames < VIA_DOOR_FRAMES ? (unsigned int)n_frames : VIA_DOOR_FRAMES;
	memcpy(frames, call->data, call->caller->n_trace * sizeof(frames[0]));
	call->caller->trace = frames;
	r = via_file_ioctl(file, call->caller, (uint32_t)arg[0], arg[1]);
	call->caller->n_trace = 0;
	call->caller->trace = NULL;
	/* What it has made readable is so when the call returns. */
	if (__atomic_load_n(&call->host->n_pollable, __ATOMIC_RELAXED))
		via_loop_look(call->host);
	return r;
}

/* The kernel never transfers more in one call. */
#define MAX_TRANSFER 0x7ffff000

static int64_t call_transfer(struct via_call *call, struct via_file *file)
{
	const uint64_t *arg = call->request.arg;
	bool write = call->request.op == VIA_DOOR_PWRITE, move = arg[3] == 1;
	uint64_t len = arg[1] < MAX_TRANSFER ? arg[1] : MAX_TRANSFER;
	uint64_t at = move ? __atomic_load_n(&file->position, __ATOMIC_RELAXED) : arg[2];
	ssize_t r;

	if ((int64_t)arg[1] < 0 || (int64_t)at < 0)
		return -EINVAL;
	if (file->ops->stream && !move)
		return -ESPIPE;
	r = write ? via_file_pwrite(file, call->caller, arg[0], len, at)
		  : via_file_pread(file, call->caller, arg[0], len, at);
	if (move && r > 0 && !file->ops->stream && !file->ops->records)
		__atomic_store_n(&file->position, at + (uint64_t)r, __ATOMIC_RELAXED);
	if (file->ops->poll_fd)
		call->reply.value[0] = via_files_show(call->host, call->request.id) && !write;
	return r;
}

static int64_t call_mmap(struct via_call *call, struct via_file *file)
{
	struct via_door_area *areas = (struct via_door_area *)call->data;
	struct via_mmap map;
	size_t n_areas;
	int64_t id;

	id = via_mapping_new(call->peer, file, call->caller, call->request.arg, &map, areas,
			     VIA_DOOR_DATA_SIZE / sizeof(*areas), &n_areas);
	if (id < 0)
		return id;
	call->reply_fd = fcntl(map.fd, F_DUPFD_CLOEXEC, 0);
	if (call->reply_fd < 0) {
		(void)via_mapping_unmap(call->peer, (uint64_t)id);
		return -ENFILE;
	}
	call->reply.n_fds = 1;
	call->reply.value[0] = map.offset;
	call->reply.value[1] = map.len;
	call->reply.value[2] = n_areas;
	return id;
}

static int64_t call_on_file(struct via_call *call)
{
	struct via_file *file = via_files_find(call->host, call->request.id);
	int64_t r;

	if (!file)
		return -ESTALE;
	if (call->request.op == VIA_DOOR_IOCTL)
		r = call_ioctl(call, file);
	else if (call->request.op == VIA_DOOR_MMAP)
		r = call_mmap(call, file);
	else
		r = call_transfer(call, file);
	via_file_put(file);
	return r;
}

static int64_t call_identify(struct via_call *call)
{
	struct via_file_ident ident;

	if (call->fd < 0)
		return -EBADF;
	if (via_files_identify(call->host, call->fd, &ident, NULL))
		return 0;
	call->reply.value[0] = ident.dev;
	call->reply.value[1] = ident.ino;
	call->reply.value[2] = ident.rdev;
	return (int64_t)ident.id;
}

static int64_t call_guard(struct via_call *call)
{
	const uint64_t *arg = call->request.arg;
	int r;

	if (call->fd < 0)
		return -EBADF;
	r = via_mapping_guard(call->peer, call->request.id, arg[0], arg[1], arg[2], call->fd);
	if (!r)
		call->fd = -1;
	return r;
}

static int64_t call_held(struct via_call *call)
{
	struct via_door_range *ranges = malloc(VIA_DOOR_DATA_SIZE);
	size_t n;

	if (!ranges)
		return -ENOMEM;
	/* Not in the slot, which may change while they are sorted. */
	n = via_pins_held(via_remote_mm_pins(call->peer->mm), call->request.arg[0],
			  call->request.arg[1], ranges, VIA_DOOR_MAX_HELD);
	memcpy(call->data, ranges, n * sizeof(*ranges));
	free(ranges);
	return (int64_t)n;
}

static int64_t call_pins(struct via_call *call)
{
	const uint64_t *arg = call->request.arg;

	/* In process, the program's memory is used where it is. */
	if (!call->peer->mm->pid)
		return call->request.op == VIA_DOOR_HELD ? 0 : -ENOSPC;
	if (call->request.op == VIA_DOOR_HELD)
		return call_held(call);
	return via_pins_moved(via_remote_mm_pins(call->peer->mm), arg[0], arg[1], arg[2],
			      arg[3] == 1);
}

static int64_t dispatch(struct via_call *call)
{
	const struct via_door_request *request = &call->request;

	switch (request->op) {
	case VIA_DOOR_OPEN:
		return call_open(call);
	case VIA_DOOR_IOCTL:
	case VIA_DOOR_PREAD:
	case VIA_DOOR_PWRITE:
	case VIA_DOOR_MMAP:
		return call_on_file(call);
	case VIA_DOOR_FLUSH:
		return via_files_flush(call->host, call->request.id, call->caller);
	case VIA_DOOR_UNMAP:
		return via_mapping_unmap(call->peer, request->id);
	case VIA_DOOR_REG_READ:
		return via_mapping_read(call->peer, request->id, request->arg[0], request->arg[1],
					&call->reply.value[0]);
	case VIA_DOOR_REG_WRITE:
		return via_mapping_write(call->peer, request->id, request->arg[0], request->arg[1],
					 request->arg[2]);
	case VIA_DOOR_GUARD:
		return call_guard(call);
	case VIA_DOOR_IDENTIFY:
		return call_identify(call);
	case VIA_DOOR_HELD:
	case VIA_DOOR_MOVED:
		return call_pins(call);
	case VIA_DOOR_SHOW:
		(void)via_files_show(call->host, request->id);
		return 0;
	case VIA_DOOR_LOCKED:
		return via_peer_locked(call->host, (pid_t)request->arg[0], &call->reply.value[0],
				       &call->reply.value[1]);
	case VIA_DOOR_SYNC:
		return 0;
	case VIA_DOOR_NOTE:
		__atomic_or_fetch(&call->peer->flags,
				  (unsigned int)request->arg[0] & VIA_DOOR_FLAGS,
				  __ATOMIC_RELAXED);
		return 0;
	default:
		return -ENOSYS;
	}
}

bool via_call_settles(const struct via_call *call)
{
	switch (call->request.op) {
	case VIA_DOOR_OPEN:
	case VIA_DOOR_IOCTL:
	case VIA_DOOR_IDENTIFY:
	case VIA_DOOR_SYNC:
	case VIA_DOOR_FLUSH:
		return true;
	default:
		return false;
	}
}

void via_call_run(struct via_call *call)
{
	call->reply.result = dispatch(call);
	__atomic_add_fetch(&call->host->calls, 1, __ATOMIC_RELAXED);
}
