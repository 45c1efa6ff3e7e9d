/* SPDX-License-Identifier: MIT */
#include "preload/client.h"

#include "preload/arena.h"
#include "preload/fdtable.h"
#include "preload/inprocess.h"
#include "preload/sys.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { NONE = 0, IDLE, BUSY }; /* conn.use */

struct conn {
	uint32_t use; /* atomic; who made it BUSY owns the rest */
	int sock;     /* hidden descriptors */
	int memory;   /* the slot's memfd: copies to and from the program's memory go through it */
	struct via_door_slot *slot;
	struct via_door_spin spin;
};

/*
 * Wiped by fork (MADV_WIPEONFORK), which is how a child finds out, also one
 * that was made without libc's knowledge.
 */
struct pool {
	uint64_t cookie; /* atomic; 0: new or wiped */
	struct conn conn[VIA_DOOR_MAX_SLOTS];
};

/* Hidden descriptors of the pool, which a forked child has to close. Atomic; -1 or 0: none. */
static int inherited[VIA_DOOR_MAX_SLOTS * 2];
/* Atomic: VIA_DOOR_FLAG_* of this process. */
static uint32_t process_flags;
/* Where this thread last found a connection. */
static __thread unsigned int hint __attribute__((tls_model("initial-exec")));

/* Written by the first caller, all with the same bytes. 0 unknown, 1 present, 2 absent. */
static int presence;
static struct sockaddr_un door_addr;
static socklen_t door_addr_len;

static void look_at_environment(void)
{
	const char *name = getenv("VIADUCT_SOCKET");
	size_t len = name ? strlen(name) : 0;
	char exe[256];
	long n;

	if (len < 2 || len > sizeof(door_addr.sun_path) || name[0] != '@') {
		__atomic_store_n(&presence, via_inprocess_present() ? 1 : 2, __ATOMIC_RELEASE);
		return;
	}
	door_addr.sun_family = AF_UNIX;
	memcpy(door_addr.sun_path + 1, name + 1, len - 1);
	door_addr_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	n = via_sys(SYS_readlink, "/proc/self/exe", exe, sizeof(exe) - 1);
	if (n > 0) {
		const char *base;

		exe[n] = '\0';
		base = strrchr(exe, '/');
		if (base && strncmp(base, "/qemu-system", 12) == 0)
			__atomic_or_fetch(&process_flags, VIA_DOOR_FLAG_VMM, __ATOMIC_RELAXED);
	}
	__atomic_store_n(&presence, 1, __ATOMIC_RELEASE);
}

bool via_client_present(void)
{
	if (!__atomic_load_n(&presence, __ATOMIC_ACQUIRE))
		look_at_environment();
	return __atomic_load_n(&presence, __ATOMIC_RELAXED) == 1 && !via_inprocess_inside();
}

/* The pool --------------------------------------------------------------------------- */

static struct pool *pool_get(void)
{
	struct via_arena *arena = via_arena_get();

	_Static_assert(sizeof(struct pool) <= VIA_ARENA_POOL, "room in the arena");
	return arena ? (struct pool *)(void *)arena->pool : NULL;
}

/* Nothing at the place of n slots from i, but nothing of anybody else's either. */
static void clear_slots(size_t i, size_t n)
{
	struct via_arena *arena = via_arena_get();

	via_sys(SYS_mmap, arena->slots[i], n * VIA_ARENA_SLOT, PROT_NONE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
}

static void close_inherited(void)
{
	bool any = false;

	for (size_t i = 0; i < sizeof(inherited) / sizeof(inherited[0]); i++) {
		int fd = __atomic_exchange_n(&inherited[i], 0, __ATOMIC_ACQ_REL);

		if (fd > 0)
			via_fd_close_hidden(fd);
		any |= fd > 0;
	}
	if (any)
		clear_slots(0, VIA_DOOR_MAX_SLOTS);
}

uint64_t via_client_generation(void)
{
	struct pool *pool = pool_get();
	uint64_t cookie, fresh = 0;

	if (!pool)
		return 0;
	cookie = __atomic_load_n(&pool->cookie, __ATOMIC_ACQUIRE);
	if (cookie)
		return cookie;
	if (via_sys(SYS_getrandom, &fresh, sizeof(fresh), 0) != sizeof(fresh) || !fresh)
		fresh = (uint64_t)via_sys(SYS_getpid, 0) << 32 | 1;
	/* The descriptors go before the cookie is there, so that nobody connects in between. */
	close_inherited();
	if (__atomic_compare_exchange_n(&pool->cookie, &cookie, fresh, false, __ATOMIC_ACQ_REL,
					__ATOMIC_ACQUIRE))
		return fresh;
	return cookie;
}

void via_client_after_fork(void)
{
	struct pool *pool = pool_get();

	if (!pool)
		return;
	/* Where the kernel did not wipe the pool for us. */
	memset(pool, 0, sizeof(*pool));
	close_inherited();
}

static void disconnect(struct pool *pool, struct conn *c)
{
	size_t i = (size_t)(c - pool->conn);

	if (c->slot)
		clear_slots(i, 1);
	__atomic_store_n(&inherited[2 * i], 0, __ATOMIC_RELEASE);
	__atomic_store_n(&inherited[2 * i + 1], 0, __ATOMIC_RELEASE);
	if (c->sock > 0)
		via_fd_close_hidden(c->sock);
	if (c->memory > 0)
		via_fd_close_hidden(c->memory);
	c->slot = NULL;
	c->sock = c->memory = 0;
	__atomic_store_n(&c->use, NONE, __ATOMIC_RELEASE);
}

static int greet(struct conn *c, uint64_t cookie, void *place)
{
	struct via_door_hello hello = {
		.magic = VIA_DOOR_MAGIC,
		.version = VIA_DOOR_VERSION,
		.cookie = cookie,
		.tid = (uint32_t)via_sys(SYS_gettid, 0),
		.flags = __atomic_load_n(&process_flags, __ATOMIC_RELAXED),
	};
	struct via_door_welcome welcome;
	struct ucred peer;
	socklen_t len = sizeof(peer);
	int err, fd = -1;
	long p;

	via_arena_keep_out(hello.keep_out);
	err = (int)via_sys(SYS_connect, c->sock, &door_addr, door_addr_len);
	if (err)
		return err;
	err = (int)via_sys(SYS_getsockopt, c->sock, SOL_SOCKET, SO_PEERCRED, &peer, &len);
	if (err || peer.uid != (uid_t)via_sys(SYS_geteuid, 0))
		return -EPERM;
	/* Where Yama lets only ancestors read our memory; refused without Yama. */
	via_sys(SYS_prctl, PR_SET_PTRACER, peer.pid, 0, 0, 0);
	err = via_door_send(c->sock, &hello, sizeof(hello), -1, 0);
	if (!err)
		err = via_door_recv(c->sock, &welcome, sizeof(welcome), 0, true, &fd);
	if (err)
		return err;
	if (welcome.magic != VIA_DOOR_MAGIC || (!welcome.error && fd < 0))
		err = -EPROTO;
	else if (welcome.error)
		err = welcome.error;
	else if (welcome.slot_size != VIA_DOOR_SLOT_SIZE)
		err = -EPROTO;
	if (err) {
		if (fd >= 0)
			via_sys(SYS_close, fd);
		return err;
	}
	c->memory = via_fd_hide(fd);
	p = via_sys(SYS_mmap, place, VIA_DOOR_SLOT_SIZE, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_FIXED, c->memory, 0);
	if (p < 0 && p >= -4095)
		return (int)p;
	via_sys(SYS_madvise, p, VIA_DOOR_SLOT_SIZE, MADV_DONTDUMP);
	c->slot = (struct via_door_slot *)p;
	return 0;
}

/* c is BUSY and empty. On failure it is NONE. */
static int make_connection(struct pool *pool, struct conn *c, uint64_t cookie)
{
	size_t i = (size_t)(c - pool->conn);
	long sock = via_sys(SYS_socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	int err;

	if (sock < 0) {
		disconnect(pool, c);
		return (int)sock;
	}
	c->spin = (struct via_door_spin){0};
	c->sock = via_fd_hide((int)sock);
	__atomic_store_n(&inherited[2 * i], c->sock, __ATOMIC_RELEASE);
	err = greet(c, cookie, via_arena_get()->slots[i]);
	if (err) {
		disconnect(pool, c);
		return err == -EMFILE || err == -EPERM ? err : -EIO;
	}
	__atomic_store_n(&inherited[2 * i + 1], c->memory, __ATOMIC_RELEASE);
	return 0;
}

static bool take(struct conn *c, uint32_t from)
{
	return __atomic_load_n(&c->use, __ATOMIC_RELAXED) == from &&
	       __atomic_compare_exchange_n(&c->use, &from, BUSY, false, __ATOMIC_ACQUIRE,
					   __ATOMIC_RELAXED);
}

static int begin(struct pool **ret_pool, struct conn **ret_conn)
{
	uint64_t cookie = via_client_generation();
	struct pool *pool = pool_get();

	if (!pool || !cookie)
		return -ENOMEM;
	*ret_pool = pool;
	*ret_conn = &pool->conn[hint];
	if (take(*ret_conn, IDLE))
		return 0;
	for (unsigned int tries = 0; tries < 1000; tries++) {
		for (unsigned int i = 0; i < VIA_DOOR_MAX_SLOTS; i++) {
			*ret_conn = &pool->conn[i];
			if (take(*ret_conn, IDLE)) {
				hint = i;
				return 0;
			}
			if (take(*ret_conn, NONE)) {
				hint = i;
				return make_connection(pool, *ret_conn, cookie);
			}
		}
		via_sys(SYS_nanosleep, &(struct timespec){.tv_nsec = 1000000}, NULL);
	}
	return -EMFILE;
}

/* Calls ---------------------------------------------------------------------------------- */

static int send_descriptor(struct conn *c, int fd)
{
	struct via_door_message message = {.magic = VIA_DOOR_MAGIC};

	return via_door_send(c->sock, &message, sizeof(message), fd, 0);
}

static int receive_descriptor(struct conn *c, bool cloexec, int *ret_fd)
{
	struct via_door_message message;

	return via_door_recv(c->sock, &message, sizeof(message), MSG_DONTWAIT, cloexec, ret_fd);
}

static int64_t put_fd(struct conn *c, const struct via_door_upcall *up)
{
	int fd = -1, err = receive_descriptor(c, up->arg[0] == 1, &fd);

	if (err)
		return err;
	if (fd < 0)
		return -EPROTO;
	if (up->arg[1])
		via_fd_set(fd, (struct via_fd){VIA_FD_OURS, up->arg[1], up->arg[3]});
	else
		via_fd_forget(fd);
	return fd;
}

/* The kernel copies between the program's memory and the slot, so that a bad pointer is EFAULT. */
static int64_t copy_memory(struct conn *c, const struct via_door_upcall *up)
{
	bool in = up->op == VIA_DOOR_READ_MEM;
	uint64_t done = 0;

	if (up->arg[1] > VIA_DOOR_DATA_SIZE)
		return -EINVAL;
	while (done < up->arg[1]) {
		long n = via_sys(in ? SYS_pwrite64 : SYS_pread64, c->memory, up->arg[0] + done,
				 up->arg[1] - done, VIA_DOOR_HEAD_SIZE + done);

		if (n <= 0)
			return -EFAULT;
		done += (uint64_t)n;
	}
	return 0;
}

static void serve_upcall(struct conn *c)
{
	struct via_door_upcall up = c->slot->upcall;
	struct via_door_answer answer = {0};

	switch (up.op) {
	case VIA_DOOR_GET_FD:
		/* The shim's own descriptors are not the program's to give. */
		if (up.arg[0] > INT32_MAX || via_fd_get((int)up.arg[0]).kind == VIA_FD_HIDDEN)
			answer.result = -EBADF;
		else
			answer.result = send_descriptor(c, (int)up.arg[0]);
		answer.n_fds = answer.result == 0;
		break;
	case VIA_DOOR_PUT_FD:
		answer.result = put_fd(c, &up);
		break;
	case VIA_DOOR_READ_MEM:
	case VIA_DOOR_WRITE_MEM:
		answer.result = copy_memory(c, &up);
		break;
	default:
		answer.result = -ENOSYS;
	}
	c->slot->answer = answer;
}

static bool hung_up(struct conn *c)
{
	struct pollfd p = {.fd = c->sock};
	struct timespec now = {0};
	long n = via_sys(SYS_ppoll, &p, 1, &now, NULL, 0);

	return n == 1 && (p.revents & (POLLHUP | POLLERR | POLLNVAL));
}

/* The conversation from REQUEST to REPLY; -EIO: the connection is of no more use. */
static int converse(struct conn *c)
{
	uint32_t turn = VIA_DOOR_REQUEST, state;

	via_door_post(&c->slot->state, turn);
	for (;;) {
		state = via_door_wait(&c->slot->state, turn, &c->spin, 500000000);
		if (state == turn) {
			if (hung_up(c))
				return -EIO;
		} else if (state == VIA_DOOR_UPCALL) {
			serve_upcall(c);
			turn = VIA_DOOR_ANSWER;
			via_door_post(&c->slot->state, turn);
		} else {
			return state == VIA_DOOR_REPLY ? 0 : -EIO;
		}
	}
}

static int64_t remote_call(struct via_call *call)
{
	struct pool *pool;
	struct conn *c;
	int err = begin(&pool, &c);

	if (err)
		return err;
	call->request.n_fds = 0;
	if (call->fd >= 0) {
		err = send_descriptor(c, call->fd);
		if (err)
			goto out;
		call->request.n_fds = 1;
	}
	if (call->in_len)
		memcpy(c->slot->data, call->in, call->in_len);
	c->slot->request = call->request;
	err = converse(c);
	if (err) {
		disconnect(pool, c);
		return err;
	}
	call->reply = c->slot->reply;
	if (call->out_len && call->reply.result >= 0)
		memcpy(call->out, c->slot->data, call->out_len);
	if (call->reply.n_fds)
		err = receive_descriptor(c, call->cloexec, &call->ret_fd);
out:
	__atomic_store_n(&c->use, IDLE, __ATOMIC_RELEASE);
	return err ? err : call->reply.result;
}

int64_t via_call(struct via_call *call)
{
	call->ret_fd = -1;
	if (via_inprocess_present())
		return via_inprocess_call(call);
	return remote_call(call);
}

int64_t via_call_simple(uint32_t op, uint64_t id, uint64_t a0, uint64_t a1, uint64_t a2,
			uint64_t a3)
{
	struct via_call call = {.request = {.op = op, .id = id, .arg = {a0, a1, a2, a3}}, .fd = -1};

	return via_call(&call);
}

void via_client_note_kvm(void)
{
	uint32_t before = __atomic_fetch_or(&process_flags, VIA_DOOR_FLAG_KVM, __ATOMIC_RELAXED);

	/* A process that has not called yet says it with its first hello. */
	if (!(before & VIA_DOOR_FLAG_KVM) && pool_get() &&
	    __atomic_load_n(&pool_get()->cookie, __ATOMIC_ACQUIRE))
		via_call_simple(VIA_DOOR_NOTE, 0, VIA_DOOR_FLAG_KVM, 0, 0, 0);
}
