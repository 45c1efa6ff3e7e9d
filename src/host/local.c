/* SPDX-License-Identifier: MIT */
#include "host/local.h"

#include "host/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

struct local_caller {
	struct via_caller base;
	struct via_host *host;
	struct via_peer *peer;
};

static struct local_caller *local_of(struct via_caller *caller)
{
	return (struct local_caller *)caller;
}

static int local_fd_get(struct via_caller *caller, int fd, int *ret_fd)
{
	int ours = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	if (ours < 0)
		return errno == EBADF ? -EBADF : -ENFILE;
	*ret_fd = ours;
	return 0;
}

static int local_fd_put(struct via_caller *caller, int fd, bool cloexec)
{
	/* Already a number of the program's. */
	return fcntl(fd, F_SETFD, cloexec ? FD_CLOEXEC : 0) < 0 ? -errno : fd;
}

static int local_file_get(struct via_caller *caller, int fd, struct via_file **ret_file)
{
	return via_files_identify(local_of(caller)->host, fd, NULL, ret_file);
}

static int local_file_put(struct via_caller *caller, struct via_file *file, bool cloexec)
{
	struct local_caller *local = local_of(caller);
	struct via_file_ident ident;
	int fd, r;

	r = via_files_publish(local->host, local->peer, file, cloexec, &ident, &fd);
	return r ? r : fd;
}

static const struct via_caller_ops local_caller_ops = {
	.fd_get = local_fd_get,
	.fd_put = local_fd_put,
	.file_get = local_file_get,
	.file_put = local_file_put,
};

int64_t via_host_local_call(struct via_host *host, const struct via_door_request *request,
			    void *data, int fd, struct via_door_reply *ret_reply, int *ret_fd)
{
	struct local_caller caller = {.host = host};
	struct via_call call = {.host = host,
				.caller = &caller.base,
				.request = *request,
				.data = data,
				.fd = -1,
				.reply_fd = -1};
	int r;

	*ret_reply = (struct via_door_reply){0};
	*ret_fd = -1;
	r = via_host_start(host);
	if (!r)
		r = via_peer_local(host, &call.peer);
	if (r)
		return r;
	if (fd >= 0) {
		call.fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		if (call.fd < 0)
			return -EMFILE;
	}
	if (via_call_settles(&call))
		via_settle(host);
	caller.peer = call.peer;
	via_peer_init_caller(call.peer, &local_caller_ops, &caller.base);
	via_call_run(&call);
	if (call.fd >= 0)
		(void)close(call.fd);
	*ret_reply = call.reply;
	*ret_fd = call.reply_fd;
	return call.reply.result;
}
