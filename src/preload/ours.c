/* SPDX-License-Identifier: MIT */
#include "preload/ours.h"

#include "preload/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

static int socket_option(int fd, int option)
{
	int value = -1;
	socklen_t len = sizeof(value);

	if (via_sys(SYS_getsockopt, fd, SOL_SOCKET, option, &value, &len))
		return -1;
	return value;
}

uint64_t via_ours(int fd)
{
	struct via_fd f = via_fd_get(fd);
	struct via_call call = {.request = {.op = VIA_DOOR_IDENTIFY}, .fd = fd};
	struct stat st;
	int64_t id;

	if (f.kind == VIA_FD_HIDDEN || fd < 0 || !via_client_present())
		return 0;
	if (via_sys(SYS_fstat, fd, &st)) {
		via_fd_forget(fd);
		return 0;
	}
	if (!S_ISSOCK(st.st_mode)) {
		via_fd_set(fd, (struct via_fd){VIA_FD_OTHER, 0, 0});
		return 0;
	}
	if (f.kind != VIA_FD_UNKNOWN && f.ino == st.st_ino)
		return f.kind == VIA_FD_OURS ? f.id : 0;
	if (socket_option(fd, SO_DOMAIN) != AF_UNIX || socket_option(fd, SO_TYPE) != SOCK_SEQPACKET)
		id = 0;
	else
		id = via_call(&call);
	if (id < 0)
		return 0;
	via_fd_set(fd, (struct via_fd){id ? VIA_FD_OURS : VIA_FD_OTHER, (uint64_t)id, st.st_ino});
	return (uint64_t)id;
}

int64_t via_call_on(int fd, struct via_call *call)
{
	int64_t ret = -ENOTSOCK;

	for (int tries = 0; tries < 2; tries++) {
		call->request.id = via_ours(fd);
		if (!call->request.id)
			return -ENOTSOCK;
		ret = via_call(call);
		if (ret != -ESTALE)
			return ret;
		via_fd_forget(fd);
	}
	return ret;
}

int via_open_node(const char *node, int flags)
{
	struct via_call call = {
		.request = {.op = VIA_DOOR_OPEN, .arg = {strlen(node), (uint64_t)(unsigned)flags}},
		.fd = -1,
		.in = node,
		.in_len = strlen(node),
		.cloexec = flags & O_CLOEXEC,
	};
	int64_t id = via_call(&call);

	if (id < 0)
		return (int)id;
	if (call.ret_fd < 0)
		return -EIO;
	via_fd_set(call.ret_fd, (struct via_fd){VIA_FD_OURS, (uint64_t)id, call.reply.value[1]});
	return call.ret_fd;
}
