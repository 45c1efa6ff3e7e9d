/* SPDX-License-Identifier: MIT */
#include "host/internal.h"

#include <errno.h>
#include <unistd.h>

static struct via_conn *conn_of(struct via_caller *caller)
{
	return ((struct via_remote_caller *)caller)->conn;
}

static int remote_fd_get(struct via_caller *caller, int fd, int *ret_fd)
{
	struct via_door_upcall upcall = {.op = VIA_DOOR_GET_FD, .arg = {(uint64_t)(int64_t)fd}};
	struct via_door_answer answer;
	int ours;

	if (fd < 0)
		return -EBADF;
	if (!via_conn_upcall(conn_of(caller), &upcall, -1, &answer, &ours))
		return -EBADF;
	if (answer.result || ours < 0) {
		if (ours >= 0)
			(void)close(ours);
		return answer.result == -ENFILE ? -ENFILE : -EBADF;
	}
	*ret_fd = ours;
	return 0;
}

/* The program's number, or why there is none. */
static int put(struct via_caller *caller, int fd, bool cloexec, const struct via_file_ident *ident)
{
	struct via_door_upcall upcall = {.op = VIA_DOOR_PUT_FD,
					 .arg = {cloexec, ident->id, ident->dev, ident->ino}};
	struct via_door_answer answer;

	if (!via_conn_upcall(conn_of(caller), &upcall, fd, &answer, NULL))
		return -ENFILE;
	if (answer.result >= 0 && answer.result <= INT32_MAX)
		return (int)answer.result;
	return answer.result == -EMFILE ? -EMFILE : -ENFILE;
}

static int remote_fd_put(struct via_caller *caller, int fd, bool cloexec)
{
	static const struct via_file_ident foreign;
	int r = put(caller, fd, cloexec, &foreign);

	if (r >= 0)
		(void)close(fd);
	return r;
}

static int remote_file_get(struct via_caller *caller, int fd, struct via_file **ret_file)
{
	int ours, r;

	r = remote_fd_get(caller, fd, &ours);
	if (r)
		return r;
	r = via_files_identify(conn_of(caller)->host, ours, NULL, ret_file);
	(void)close(ours);
	return r;
}

static int remote_file_put(struct via_caller *caller, struct via_file *file, bool cloexec)
{
	struct via_conn *conn = conn_of(caller);
	struct via_file_ident ident;
	int fd, r;

	r = via_files_publish(conn->host, conn->peer, file, cloexec, &ident, &fd);
	if (r)
		return r;
	r = put(caller, fd, cloexec, &ident);
	if (r < 0)
		(void)via_file_get(file); /* the hang-up puts one, the caller keeps its own */
	(void)close(fd);
	return r;
}

static bool remote_gone(struct via_caller *caller)
{
	return __atomic_load_n(&conn_of(caller)->dead, __ATOMIC_ACQUIRE);
}

static const struct via_caller_ops remote_caller_ops = {
	.fd_get = remote_fd_get,
	.fd_put = remote_fd_put,
	.file_get = remote_file_get,
	.file_put = remote_file_put,
	.gone = remote_gone,
};

void via_remote_caller_init(struct via_remote_caller *caller, struct via_conn *conn)
{
	caller->conn = conn;
	via_peer_init_caller(conn->peer, &remote_caller_ops, &caller->base);
}
