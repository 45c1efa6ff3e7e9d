/* SPDX-License-Identifier: MIT */
/* A client of the door, written from host/door.h alone, for the tests. */
#ifndef VIA_HOST_TEST_CLIENT_H
#define VIA_HOST_TEST_CLIENT_H

#include "host/door.h"

#include <viaduct/abi/vfio.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

/* For programs under test: their exit status tells the line. */
#define CHECK(what)                                                                          \
	do {                                                                                 \
		if (!(what)) {                                                               \
			fprintf(stderr, "%s:%d: %s (errno %d)\n", __FILE__, __LINE__, #what, \
				errno);                                                      \
			_exit(1);                                                            \
		}                                                                            \
	} while (0)

struct client {
	int sock;
	struct via_door_slot *slot;
	struct via_door_spin spin;
	bool die_in_upcall, mute_in_upcall, exit_when_lost;
	unsigned int upcalls;
};

/* 0, or the error with which the host refused. */
static inline int client_connect(struct client *client, const char *name, uint64_t cookie)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	struct via_door_hello hello = {
		.magic = VIA_DOOR_MAGIC, .version = VIA_DOOR_VERSION, .cookie = cookie};
	struct via_door_welcome welcome;
	int fd;

	*client = (struct client){.sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)};
	CHECK(client->sock >= 0);
	memcpy(addr.sun_path + 1, name + 1, strlen(name) - 1);
	if (connect(client->sock, (struct sockaddr *)&addr,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))) < 0)
		return -errno;
	if (via_door_send(client->sock, &hello, sizeof(hello), -1, 0))
		return -EPIPE;
	if (via_door_recv(client->sock, &welcome, sizeof(welcome), 0, true, &fd))
		return -ECONNRESET;
	CHECK(welcome.magic == VIA_DOOR_MAGIC && welcome.version == VIA_DOOR_VERSION);
	if (welcome.error) {
		close(client->sock);
		return welcome.error;
	}
	CHECK(fd >= 0 && welcome.slot_size == VIA_DOOR_SLOT_SIZE);
	client->slot = mmap(NULL, VIA_DOOR_SLOT_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(client->slot != MAP_FAILED);
	close(fd);
	return 0;
}

static inline void client_disconnect(struct client *client)
{
	munmap(client->slot, VIA_DOOR_SLOT_SIZE);
	close(client->sock);
}

static inline void client_send_fd(struct client *client, int fd)
{
	struct via_door_message message = {.magic = VIA_DOOR_MAGIC};

	CHECK(via_door_send(client->sock, &message, sizeof(message), fd, 0) == 0);
}

static inline int client_take_fd(struct client *client, bool cloexec)
{
	struct via_door_message message;
	int fd;

	CHECK(via_door_recv(client->sock, &message, sizeof(message), MSG_DONTWAIT, cloexec, &fd) ==
	      0);
	CHECK(fd >= 0);
	return fd;
}

/* By a pipe, so that a bad address is an error. */
static inline int client_copy(struct client *client, bool write_there, uint64_t addr, size_t len)
{
	uint8_t *from = client->slot->data, *to = (uint8_t *)(uintptr_t)addr;
	int ends[2], r = 0;

	if (!write_there) {
		from = to;
		to = client->slot->data;
	}
	CHECK(pipe(ends) == 0);
	for (size_t at = 0; !r && at < len;) {
		/* Raw: the host may ask for more than an object that a sanitizer knows. */
		ssize_t n = syscall(SYS_write, ends[1], from + at, len - at < 4096 ? len - at : 4096);

		if (n <= 0 || read(ends[0], to + at, (size_t)n) != n)
			r = -EFAULT;
		at += n > 0 ? (size_t)n : 0;
	}
	close(ends[0]);
	close(ends[1]);
	return r;
}

static inline void client_answer(struct client *client)
{
	struct via_door_slot *slot = client->slot;
	const uint64_t *arg = slot->upcall.arg;
	struct via_door_answer answer = {0};

	client->upcalls++;
	if (client->die_in_upcall)
		raise(SIGKILL);
	if (client->mute_in_upcall)
		raise(SIGSTOP);
	switch (slot->upcall.op) {
	case VIA_DOOR_GET_FD:
		if (fcntl((int)arg[0], F_GETFD) < 0) {
			answer.result = -EBADF;
			break;
		}
		client_send_fd(client, (int)arg[0]);
		answer.n_fds = 1;
		break;
	case VIA_DOOR_PUT_FD:
		answer.result = client_take_fd(client, arg[0]);
		break;
	case VIA_DOOR_READ_MEM:
	case VIA_DOOR_WRITE_MEM:
		CHECK(arg[1] <= VIA_DOOR_DATA_SIZE);
		answer.result = client_copy(client, slot->upcall.op == VIA_DOOR_WRITE_MEM, arg[0],
					    arg[1]);
		break;
	default:
		answer.result = -ENOSYS;
	}
	slot->answer = answer;
	via_door_post(&slot->state, VIA_DOOR_ANSWER);
}

/* The status of a program that found the host gone. */
#define EXIT_LOST 3

static inline int64_t client_lost(struct client *client)
{
	if (client->exit_when_lost)
		_exit(EXIT_LOST);
	return -EIO;
}

static inline int64_t client_run(struct client *client)
{
	struct via_door_slot *slot = client->slot;
	uint32_t turn = VIA_DOOR_REQUEST, state;

	via_door_post(&slot->state, VIA_DOOR_REQUEST);
	for (;;) {
		state = via_door_wait(&slot->state, turn, &client->spin, 1000000000);
		if (state == turn) {
			struct pollfd gone = {.fd = client->sock};

			if (poll(&gone, 1, 0))
				return client_lost(client);
		} else if (state == VIA_DOOR_UPCALL) {
			turn = VIA_DOOR_ANSWER;
			client_answer(client);
		} else if (state == VIA_DOOR_REPLY) {
			return slot->reply.result;
		} else {
			return client_lost(client);
		}
	}
}

static inline int64_t client_call(struct client *client, uint32_t op, uint64_t id, uint64_t a,
				  uint64_t b, uint64_t c, uint64_t d)
{
	client->slot->request = (struct via_door_request){.op = op, .id = id, .arg = {a, b, c, d}};
	return client_run(client);
}

/* Id of the file or negative errno; *ret_fd is the program's descriptor. */
static inline int64_t client_open(struct client *client, const char *node, bool cloexec,
				  int *ret_fd)
{
	int64_t id;

	memcpy(client->slot->data, node, strlen(node));
	id = client_call(client, VIA_DOOR_OPEN, 0, strlen(node), O_RDWR, 0, 0);
	if (id > 0) {
		CHECK(client->slot->reply.n_fds == 1);
		*ret_fd = client_take_fd(client, cloexec);
	}
	return id;
}

static inline int64_t client_ioctl(struct client *client, int64_t id, unsigned long cmd,
				   const void *arg)
{
	return client_call(client, VIA_DOOR_IOCTL, (uint64_t)id, cmd, (uint64_t)(uintptr_t)arg, 0,
			   0);
}

static inline int64_t client_identify(struct client *client, int fd)
{
	client_send_fd(client, fd);
	client->slot->request = (struct via_door_request){.op = VIA_DOOR_IDENTIFY, .n_fds = 1};
	return client_run(client);
}

#endif
