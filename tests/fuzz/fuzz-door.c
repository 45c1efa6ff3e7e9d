/* SPDX-License-Identifier: MIT */
/*
 * A shim that is an enemy, at a real socket of a real host: any greeting, any
 * request and answer, descriptors of any kind, states out of turn, hang-ups in
 * the middle. However it ends, the host gives everything back, and serves the
 * next program.
 */
#include "calls.h"
#include "function.h"

#include "host/host.h"
#include "host/test-client.h"

#include <linux/userfaultfd.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>

#define CLIENTS 2
#define FDS 8
#define CALLS 48
/* Longer than any call takes; a client out of turn gives up before. */
#define WAIT_NS 10000000000
#define SHORT_NS 2000000

static struct via_host *host;
static char socket_name[64];

struct state {
	struct client clients[CLIENTS]; /* slot NULL: not connected */
	int fds[FDS];			/* of the program; -1: none */
	int64_t files[FDS], mappings[FDS];
	unsigned int n_fds, n_mappings;
};

static void start(void)
{
	const struct via_vfio_config config = {0};
	struct via_error err = {0};

	FUZZ_CHECK(via_host_new(&config, &host) == 0);
	/* One with doorbells and areas of memory, one from the catalogue. */
	FUZZ_CHECK(via_vfio_add(via_host_vfio(host), function_new(FUNCTION_MSI | FUNCTION_MSIX),
				&(struct via_pci_addr){.device = 4}, 1, &err) == 0);
	FUZZ_CHECK(via_host_add_device(host, "edu,addr=0000:01:00.0,group=2", &err) == 0);
	FUZZ_CHECK(via_host_listen(host, socket_name, sizeof(socket_name), &err) == 0);
}

static void hang_up(struct client *client)
{
	if (client->slot)
		client_disconnect(client);
	client->slot = NULL;
}

/* The client at i, connected: anew when the host has hung up. */
static struct client *client_at(struct state *s, unsigned int i)
{
	struct client *client = &s->clients[i % CLIENTS];

	if (!client->slot)
		FUZZ_CHECK(client_connect(client, socket_name, 1) == 0);
	return client;
}

static void keep_fd(struct state *s, int fd, int64_t file)
{
	unsigned int i = s->n_fds++ % FDS;

	if (s->fds[i] >= 0)
		close(s->fds[i]);
	s->fds[i] = fd;
	s->files[i] = file;
}

/* Whatever waits in the socket is taken, so that it never fills. */
static void take_fds(struct state *s, struct client *client, int64_t file)
{
	struct via_door_message message;
	int fd;

	while (!via_door_recv(client->sock, &message, sizeof(message), MSG_DONTWAIT, true, &fd))
		if (fd >= 0)
			keep_fd(s, fd, file);
}

/* Pages of the arena for doorbell guards. */
#define GUARDED_PAGE 12
#define GUARDED_PAGES 4

/* As a shim makes one for its doorbells; or without what it is for. */
static int guard_fd(bool registered)
{
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register range = {
		.range = {(uintptr_t)arena_page(GUARDED_PAGE), GUARDED_PAGES * ARENA_PAGE},
		.mode = UFFDIO_REGISTER_MODE_WP};

	if (registered && !ioctl(fd, UFFDIO_API, &api))
		(void)ioctl(fd, UFFDIO_REGISTER, &range);
	return fd;
}

static int odd_fd(uint8_t kind)
{
	switch (kind & 3) {
	case 0:
		return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	case 1:
		return memfd_create("odd", MFD_CLOEXEC);
	case 2:
		return guard_fd(kind & 4);
	default:
		return socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	}
}

static void send_odd_fd(struct client *client, uint8_t kind)
{
	const struct via_door_message message = {
		.magic = kind & 0x10 ? VIA_DOOR_MAGIC + 1 : VIA_DOOR_MAGIC};
	int fd = kind & 8 ? -1 : odd_fd(kind);

	(void)via_door_send(client->sock, &message, sizeof(message) - (kind & 0x20 ? 1 : 0), fd,
			    MSG_DONTWAIT);
	if (fd >= 0)
		close(fd);
}

/* An answer as a shim would give it, or a false one. */
static void answer(struct state *s, struct client *client, struct fuzz_input *in)
{
	struct via_door_slot *slot = client->slot;
	struct via_door_answer reply = {0};
	struct via_door_message message;
	uint8_t how = fuzz_u8(in);
	int fd;

	if (how & 0x80) {
		reply.result = (int64_t)fuzz_number(in);
		reply.n_fds = fuzz_u8(in);
		if (how & 1)
			send_odd_fd(client, how >> 1);
	} else if (slot->upcall.op == VIA_DOOR_GET_FD) {
		fd = odd_fd(how);
		for (unsigned int i = 0; i < FDS; i++)
			if (s->fds[i] >= 0 && s->fds[i] == (int)slot->upcall.arg[0]) {
				close(fd);
				fd = dup(s->fds[i]);
			}
		message = (struct via_door_message){.magic = VIA_DOOR_MAGIC};
		reply.n_fds = !via_door_send(client->sock, &message, sizeof(message), fd,
					     MSG_DONTWAIT);
		close(fd);
	} else if (slot->upcall.op == VIA_DOOR_PUT_FD) {
		if (!via_door_recv(client->sock, &message, sizeof(message), MSG_DONTWAIT, true,
				   &fd) && fd >= 0) {
			keep_fd(s, fd, (int64_t)slot->upcall.arg[1]);
			reply.result = fd;
		}
	} else {
		fuzz_bytes(in, slot->data, 64);
	}
	slot->answer = reply;
	via_door_post(&slot->state, VIA_DOOR_ANSWER);
}

/* Until the host has done with it. A host that neither replies nor hangs up has failed. */
static void finish(struct state *s, struct client *client, struct fuzz_input *in, bool in_turn)
{
	struct via_door_slot *slot = client->slot;
	uint32_t turn = __atomic_load_n(&slot->state, __ATOMIC_RELAXED) & ~VIA_DOOR_WAITING;

	if (in_turn)
		turn = VIA_DOOR_REQUEST;
	for (unsigned int i = 0; i < 64; i++) {
		uint32_t state = via_door_wait(&slot->state, turn, &client->spin,
					       in_turn ? WAIT_NS : SHORT_NS);

		if (state == VIA_DOOR_UPCALL) {
			if (fuzz_u8(in) == 0xff)
				break; /* hang up in the middle of a call */
			turn = VIA_DOOR_ANSWER;
			answer(s, client, in);
		} else if (state == VIA_DOOR_REPLY && in_turn) {
			const struct via_door_reply *reply = &slot->reply;

			take_fds(s, client, reply->result);
			if (slot->request.op == VIA_DOOR_MMAP && reply->result > 0)
				s->mappings[s->n_mappings++ % FDS] = reply->result;
			return;
		} else {
			FUZZ_CHECK(!in_turn || state == VIA_DOOR_CLOSED);
			break;
		}
	}
	hang_up(client);
}

static void call_ioctl(struct state *s, struct client *client, struct fuzz_input *in, int64_t file)
{
	struct call call = calls_take(in, s->fds, FDS);

	client->slot->request = (struct via_door_request){
		.op = VIA_DOOR_IOCTL, .id = (uint64_t)file, .arg = {call.cmd, call.arg}};
}

/* A request that makes sense but for its numbers. */
static void make_request(struct state *s, struct client *client, struct fuzz_input *in)
{
	static const char *const nodes[] = {"vfio/vfio", "vfio/1", "vfio/2", "vfio/../x"};
	struct via_door_request *request = &client->slot->request;
	uint8_t how = fuzz_u8(in), which = fuzz_u8(in);
	int64_t file = s->files[which % FDS], mapping = s->mappings[which % FDS];

	*request = (struct via_door_request){.op = how & 15};
	switch (request->op) {
	case VIA_DOOR_OPEN:
		strcpy((char *)client->slot->data, nodes[which & 3]);
		request->arg[0] = which & 0x80 ? fuzz_number(in) : strlen(nodes[which & 3]);
		request->arg[1] = O_RDWR;
		break;
	case VIA_DOOR_IOCTL:
		call_ioctl(s, client, in, file);
		break;
	case VIA_DOOR_PREAD:
	case VIA_DOOR_PWRITE:
		request->id = (uint64_t)file;
		request->arg[0] = arena_pointer(in);
		request->arg[1] = which & 0x80 ? fuzz_number(in) : which >> 3;
		request->arg[2] = (uint64_t)(how >> 4) << VIA_VFIO_PCI_OFFSET_SHIFT | fuzz_u8(in);
		request->arg[3] = which >> 6 & 1;
		break;
	case VIA_DOOR_MMAP:
		request->id = (uint64_t)file;
		request->arg[0] = (uint64_t)(how >> 4) << VIA_VFIO_PCI_OFFSET_SHIFT;
		request->arg[1] = which & 0x80 ? fuzz_number(in) : 4096u * (1 + (which >> 5));
		request->arg[2] = PROT_READ | PROT_WRITE;
		request->arg[3] = which & 0x40 ? fuzz_u8(in) : MAP_SHARED;
		break;
	default:
		request->id = (uint64_t)mapping;
		request->arg[0] = how & 0x80 ? fuzz_number(in) : which & 0xf8u;
		request->arg[1] = how & 0x40 ? fuzz_number(in) : 1u << (how >> 4 & 3);
		request->arg[2] = fuzz_number(in);
		if (request->op == VIA_DOOR_GUARD && !(how & 0x80)) {
			request->arg[0] = (which >> 3 & 3u) * ARENA_PAGE;
			request->arg[1] = (uintptr_t)arena_page(GUARDED_PAGE + (which >> 5 & 3u));
			request->arg[2] = ARENA_PAGE;
		}
		if (request->op == VIA_DOOR_GUARD || request->op == VIA_DOOR_IDENTIFY) {
			request->n_fds = 1;
			send_odd_fd(client, fuzz_u8(in));
		}
	}
}

static void close_one(struct state *s, unsigned int i)
{
	if (s->fds[i] >= 0)
		close(s->fds[i]);
	s->fds[i] = -1;
}

static void greet_badly(struct fuzz_input *in)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	uint8_t bytes[64], how = fuzz_u8(in);
	int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), fd = -1;

	FUZZ_CHECK(sock >= 0);
	memcpy(addr.sun_path + 1, socket_name + 1, strlen(socket_name) - 1);
	FUZZ_CHECK(connect(sock, (struct sockaddr *)&addr,
			   (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
				       strlen(socket_name))) == 0);
	fuzz_bytes(in, bytes, sizeof(bytes));
	if (how & 0x40) {
		struct via_door_hello hello = {.magic = VIA_DOOR_MAGIC, .version = VIA_DOOR_VERSION};

		memcpy(bytes, &hello, 8);
	}
	if (how & 0x80)
		fd = odd_fd(how);
	(void)via_door_send(sock, bytes, how & 0x3f ? how & 0x3fu : sizeof(struct via_door_hello),
			    fd, MSG_DONTWAIT);
	if (fd >= 0)
		close(fd);
	close(sock);
}

static void step(struct state *s, struct fuzz_input *in)
{
	uint8_t kind = fuzz_u8(in);
	struct client *client;

	if ((kind & 15) == 15) {
		greet_badly(in);
		return;
	}
	client = client_at(s, kind >> 4 & 1);
	switch (kind & 15) {
	case 8: /* any request */
		fuzz_bytes(in, &client->slot->request, sizeof(struct via_door_request));
		fuzz_bytes(in, client->slot->data, 32);
		via_door_post(&client->slot->state, VIA_DOOR_REQUEST);
		finish(s, client, in, true);
		break;
	case 9: /* out of turn */
		via_door_post(&client->slot->state, fuzz_u32(in));
		finish(s, client, in, false);
		break;
	case 10: /* a descriptor or bytes that nobody has asked for */
		send_odd_fd(client, fuzz_u8(in));
		break;
	case 11:
		close_one(s, kind >> 5);
		break;
	case 14: /* as if a doorbell were rung */
		*(volatile uint8_t *)arena_page(GUARDED_PAGE + (kind >> 5 & 3)) = kind;
		break;
	case 12: /* away without waiting for the reply */
		make_request(s, client, in);
		via_door_post(&client->slot->state, VIA_DOOR_REQUEST);
		hang_up(client);
		break;
	case 13:
		hang_up(client);
		break;
	default:
		make_request(s, client, in);
		via_door_post(&client->slot->state, VIA_DOOR_REQUEST);
		finish(s, client, in, true);
	}
}

/* What every shim does first. */
static void begin(struct state *s)
{
	struct client *client = client_at(s, 0);
	int64_t id;
	int fd;

	id = client_open(client, "vfio/vfio", true, &fd);
	FUZZ_CHECK(id > 0);
	keep_fd(s, fd, id);
	id = client_open(client, "vfio/1", true, &fd);
	FUZZ_CHECK(id > 0);
	keep_fd(s, fd, id);
	FUZZ_CHECK(client_ioctl(client, id, VIA_VFIO_GROUP_SET_CONTAINER, &s->fds[0]) == 0);
	FUZZ_CHECK(client_ioctl(client, s->files[0], VIA_VFIO_SET_IOMMU,
				(void *)VIA_VFIO_TYPE1v2_IOMMU) == 0);
	fd = (int)client_ioctl(client, id, VIA_VFIO_GROUP_GET_DEVICE_FD, "0000:00:04.0");
	FUZZ_CHECK(fd >= 0);
	keep_fd(s, fd, client_identify(client, fd));
	FUZZ_CHECK(s->files[2] > 0);
}

static void end(struct state *s)
{
	for (unsigned int i = 0; i < CLIENTS; i++)
		hang_up(&s->clients[i]);
	for (unsigned int i = 0; i < FDS; i++)
		close_one(s, i);
}

static bool idle(void)
{
	struct via_host_counts counts;

	via_host_settle(host);
	via_host_counts(host, &counts);
	return !counts.peers && !counts.slots && !counts.files && !counts.mappings;
}

static void wait_until_idle(void)
{
	const struct timespec pause = {.tv_nsec = 100000};
	int tries = 100000;

	while (!idle()) {
		FUZZ_CHECK(--tries);
		nanosleep(&pause, NULL);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	struct state s = {0};

	arena_init();
	if (!host)
		start();
	memset(s.fds, -1, sizeof(s.fds));
	if (fuzz_u8(&in) & 1)
		begin(&s);
	for (int i = 0; i < CALLS && in.left; i++)
		step(&s, &in);
	end(&s);
	wait_until_idle();
	/* And the next program finds all as it should be. */
	memset(&s, 0, sizeof(s));
	memset(s.fds, -1, sizeof(s.fds));
	begin(&s);
	end(&s);
	wait_until_idle();
	return 0;
}
