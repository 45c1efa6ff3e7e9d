/* SPDX-License-Identifier: MIT */
/*
 * Connections and the calls that come over them. All of a slot belongs to an
 * enemy: a word of it is read once, into our own memory, and then checked.
 */
#include "host/internal.h"

#include "base/log.h"
#include "base/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Connections that have not said hello; more push out the oldest. */
#define MAX_GREETING 64
/* A dead connection is announced in the state; this bounds what a forged state can delay. */
#define IDLE_LOOK_NS 5000000000

static _Thread_local struct via_conn *current_conn;

struct via_conn *via_conn_current(void)
{
	return current_conn;
}

/* Copy words that the other side may change meanwhile: each is loaded exactly once. */
static void load_words(void *dst, const void *src, size_t len)
{
	const volatile uint64_t *from = src;
	uint64_t *to = dst;

	for (size_t i = 0; i < len / sizeof(*to); i++)
		to[i] = from[i];
}

static int take_fd(struct via_conn *conn, int *ret_fd)
{
	struct via_door_message message;
	int r, fd;

	r = via_door_recv(conn->source.fd, &message, sizeof(message), MSG_DONTWAIT, true, &fd);
	if (r == -EMFILE)
		return -ENFILE;
	if (r || fd < 0 || message.magic != VIA_DOOR_MAGIC) {
		if (!r && fd >= 0)
			(void)close(fd);
		conn->broken = true;
		return -EPROTO;
	}
	*ret_fd = fd;
	return 0;
}

static int give_fd(struct via_conn *conn, int fd)
{
	static const struct via_door_message message = {.magic = VIA_DOOR_MAGIC};
	int r = via_door_send(conn->source.fd, &message, sizeof(message), fd, MSG_DONTWAIT);

	if (r == -ETOOMANYREFS)
		return -ENFILE;
	if (r)
		conn->broken = true;
	return r;
}

bool via_conn_upcall(struct via_conn *conn, const struct via_door_upcall *upcall, int send_fd,
		     struct via_door_answer *ret_answer, int *ret_fd)
{
	struct via_door_slot *slot = conn->slot;
	struct via_door_upcall out = *upcall;

	if (conn->broken || __atomic_load_n(&conn->dead, __ATOMIC_ACQUIRE))
		return false;
	if (send_fd >= 0 && give_fd(conn, send_fd))
		return false;
	out.n_fds = send_fd >= 0;
	slot->upcall = out;
	via_door_post(&slot->state, VIA_DOOR_UPCALL);
	/* That may have written over a hang-up's CLOSED, and nobody would answer. */
	if (__atomic_load_n(&conn->dead, __ATOMIC_SEQ_CST) ||
	    via_door_wait(&slot->state, VIA_DOOR_UPCALL, &conn->spin,
			  (int64_t)VIA_DOOR_UPCALL_SECONDS * 1000000000) != VIA_DOOR_ANSWER) {
		conn->broken = true;
		return false;
	}
	load_words(ret_answer, &slot->answer, sizeof(*ret_answer));
	if (ret_answer->n_fds > (ret_fd ? 1u : 0u)) {
		conn->broken = true;
		return false;
	}
	if (ret_fd) {
		*ret_fd = -1;
		if (ret_answer->n_fds) {
			int r = take_fd(conn, ret_fd);

			if (r == -ENFILE)
				ret_answer->result = -ENFILE;
			else if (r)
				return false;
		}
	}
	return true;
}

static void run_call(struct via_conn *conn)
{
	struct via_door_slot *slot = conn->slot;
	struct via_remote_caller caller;
	struct via_call call = {.host = conn->host,
				.peer = conn->peer,
				.caller = &caller.base,
				.data = slot->data,
				.fd = -1,
				.reply_fd = -1};

	load_words(&call.request, &slot->request, sizeof(call.request));
	if (call.request.n_fds > 1) {
		conn->broken = true;
		return;
	}
	if (call.request.n_fds) {
		call.reply.result = take_fd(conn, &call.fd);
		if (conn->broken)
			return;
	}
	if (via_call_settles(&call)) {
		__atomic_store_n(&conn->settling, true, __ATOMIC_SEQ_CST);
		via_settle(conn->host);
		__atomic_store_n(&conn->settling, false, __ATOMIC_SEQ_CST);
	}
	via_remote_caller_init(&caller, conn);
	if (!call.reply.result && !__atomic_load_n(&conn->dead, __ATOMIC_SEQ_CST)) {
		current_conn = conn;
		via_call_run(&call);
		current_conn = NULL;
	}
	if (call.reply_fd >= 0) {
		int r = give_fd(conn, call.reply_fd);

		(void)close(call.reply_fd);
		call.reply.n_fds = !r;
		if (r)
			call.reply.result = r;
	}
	if (call.fd >= 0)
		(void)close(call.fd);
	slot->reply = call.reply;
}

static void serve(struct via_conn *conn)
{
	struct via_door_slot *slot = conn->slot;
	uint32_t turn = VIA_DOOR_IDLE;

	while (!conn->broken && !__atomic_load_n(&conn->dead, __ATOMIC_ACQUIRE)) {
		uint32_t state = via_door_wait(&slot->state, turn, &conn->spin, IDLE_LOOK_NS);

		if (state == turn)
			continue;
		if (state != VIA_DOOR_REQUEST)
			break;
		run_call(conn);
		/* Hung up on, a client must not take an unfinished call for done. */
		if (conn->broken || __atomic_load_n(&conn->dead, __ATOMIC_SEQ_CST))
			break;
		turn = VIA_DOOR_REPLY;
		via_door_post(&slot->state, turn);
	}
}

static void deinit_conn(struct via_conn *conn)
{
	if (conn->slot)
		(void)munmap(conn->slot, VIA_DOOR_SLOT_SIZE);
	via_peer_put(conn->peer);
}

static void unlink_conn(struct via_conn *conn)
{
	struct via_conn **link;

	for (link = &conn->host->conns; *link != conn;)
		link = &(*link)->next;
	*link = conn->next;
}

/* More than a client that keeps to the protocol can have on the way. */
#define MAX_UNREAD 8

/*
 * Close what the client sent and we did not take. Closing the socket alone
 * would do it too, but only when nobody else holds it any more: the kernel
 * does for a moment in another thread's epoll_wait().
 */
static void drain(struct via_conn *conn)
{
	for (int i = 0; i < MAX_UNREAD; i++) {
		struct via_door_message message;
		int fd = -1;

		if (via_door_recv(conn->source.fd, &message, sizeof(message), MSG_DONTWAIT, true,
				  &fd) == 0 &&
		    fd >= 0)
			(void)close(fd);
	}
}

/*
 * The slot thread. When it gives the client up, it shuts the socket down and
 * waits for the loop to see that: closing is the loop's, so that nobody uses a
 * descriptor number that has become another's.
 */
static void *serve_main(void *cookie)
{
	struct via_conn *conn = cookie;
	struct via_host *host = conn->host;

	via_thread_prompt();
	serve(conn);
	via_door_post(&conn->slot->state, VIA_DOOR_CLOSED);
	(void)shutdown(conn->source.fd, SHUT_RDWR);
	pthread_mutex_lock(&host->lock);
	while (!__atomic_load_n(&conn->dead, __ATOMIC_SEQ_CST))
		pthread_cond_wait(&host->changed, &host->lock);
	pthread_mutex_unlock(&host->lock);
	drain(conn);
	(void)close(conn->source.fd);
	/* Counted until nothing of it is left. */
	deinit_conn(conn);
	/* Release: the close above; pairs with settle(). */
	__atomic_add_fetch(&host->n_ended, 1, __ATOMIC_ACQ_REL);
	pthread_mutex_lock(&host->lock);
	unlink_conn(conn);
	host->n_slots--;
	pthread_cond_broadcast(&host->changed);
	pthread_mutex_unlock(&host->lock);
	free(conn);
	return NULL;
}

static void served_hang_up(struct via_source *source, uint32_t events)
{
	struct via_conn *conn = (struct via_conn *)source;
	struct via_peer *peer = via_peer_get(conn->peer);
	struct via_host *host = conn->host;

	(void)events;
	/* The descriptor stays the slot thread's, which may be using it. */
	via_loop_forget(host, source);
	pthread_mutex_lock(&host->lock);
	__atomic_store_n(&conn->dead, true, __ATOMIC_SEQ_CST);
	/* Under the lock: afterwards the thread may free the connection. */
	via_door_post(&conn->slot->state, VIA_DOOR_CLOSED);
	pthread_cond_broadcast(&host->changed);
	pthread_mutex_unlock(&host->lock);
	/*
	 * Last, because it puts the program's memory out of reach: a call that
	 * fails for that must find its connection dead, not answer.
	 */
	via_peer_leave(peer);
	via_peer_put(peer);
}

static int make_slot(struct via_conn *conn, int *ret_fd)
{
	int fd = memfd_create("viaduct-slot", MFD_CLOEXEC | MFD_ALLOW_SEALING), r;
	void *map;

	if (fd < 0)
		return -errno;
	/* Without the seals the client could cut the pages off under our feet. */
	if (ftruncate(fd, VIA_DOOR_SLOT_SIZE) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
		r = -errno;
		(void)close(fd);
		return r;
	}
	map = mmap(NULL, VIA_DOOR_SLOT_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED) {
		(void)close(fd);
		return -ENOMEM;
	}
	conn->slot = map;
	*ret_fd = fd;
	return 0;
}

static int start_thread(struct via_conn *conn)
{
	pthread_t thread;
	int r = via_thread_start(&thread, serve_main, conn);

	if (!r)
		(void)pthread_detach(thread);
	return r;
}

static void forget_greeting(struct via_conn *conn)
{
	struct via_host *host = conn->host;

	via_loop_remove(host, &conn->source);
	host->n_greeting--;
	pthread_mutex_lock(&host->lock);
	unlink_conn(conn);
	pthread_mutex_unlock(&host->lock);
	deinit_conn(conn);
	free(conn);
}

/* From greeting to serving: all or nothing. */
static int admit(struct via_conn *conn, const struct via_door_hello *hello)
{
	struct via_door_welcome welcome = {.magic = VIA_DOOR_MAGIC,
					   .version = VIA_DOOR_VERSION,
					   .slot_size = VIA_DOOR_SLOT_SIZE};
	struct via_host *host = conn->host;
	int r, slot_fd = -1;

	if (hello->magic != VIA_DOOR_MAGIC || hello->version != VIA_DOOR_VERSION)
		return -EPROTO;
	r = via_peer_join(host, conn->source.fd, hello, &conn->peer);
	if (r)
		return r;
	r = make_slot(conn, &slot_fd);
	if (!r)
		r = via_loop_change(host, &conn->source, EPOLLHUP | EPOLLRDHUP);
	if (!r)
		r = via_door_send(conn->source.fd, &welcome, sizeof(welcome), slot_fd,
				  MSG_DONTWAIT);
	if (slot_fd >= 0)
		(void)close(slot_fd);
	if (!r) {
		conn->source.event = served_hang_up;
		pthread_mutex_lock(&host->lock);
		host->n_slots++;
		r = start_thread(conn);
		if (r)
			host->n_slots--;
		pthread_mutex_unlock(&host->lock);
	}
	if (r)
		via_peer_leave(conn->peer);
	return r;
}

static void greet(struct via_source *source, uint32_t events)
{
	struct via_conn *conn = (struct via_conn *)source;
	struct via_door_hello hello;
	int r, fd = -1;

	(void)events;
	r = via_door_recv(source->fd, &hello, sizeof(hello), MSG_DONTWAIT, true, &fd);
	if (r == -EAGAIN)
		return;
	if (!r && fd >= 0) {
		(void)close(fd);
		r = -EPROTO;
	}
	if (!r)
		r = admit(conn, &hello);
	if (!r) {
		conn->host->n_greeting--;
		return;
	}
	if (r != -ECONNRESET) {
		struct via_door_welcome refusal = {
			.magic = VIA_DOOR_MAGIC, .version = VIA_DOOR_VERSION, .error = r};

		via_log(VIA_LOG_WARNING, "door: a program was refused: %s", strerror(-r));
		(void)via_door_send(source->fd, &refusal, sizeof(refusal), -1, MSG_DONTWAIT);
	}
	forget_greeting(conn);
}

static struct via_conn *oldest_greeting(struct via_host *host)
{
	struct via_conn *oldest = NULL;

	pthread_mutex_lock(&host->lock);
	for (struct via_conn *c = host->conns; c; c = c->next)
		if (c->source.event == greet && (!oldest || c->order < oldest->order))
			oldest = c;
	pthread_mutex_unlock(&host->lock);
	return oldest;
}

/* Out of descriptors: take the peer off the queue and let it see a hang-up. */
static void refuse_one(struct via_host *host)
{
	int fd;

	if (host->reserve_fd >= 0)
		(void)close(host->reserve_fd);
	fd = accept4(host->listener.fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0)
		(void)close(fd);
	host->reserve_fd = fcntl(host->epoll_fd, F_DUPFD_CLOEXEC, 0);
	via_log(VIA_LOG_WARNING, "door: a program was refused: out of descriptors");
}

static void accept_one(struct via_source *source, uint32_t events)
{
	struct via_host *host =
		(struct via_host *)((char *)source - offsetof(struct via_host, listener));
	struct via_conn *conn;
	int fd;

	(void)events;
	fd = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0) {
		if (errno == EMFILE || errno == ENFILE)
			refuse_one(host);
		return;
	}
	if (host->n_greeting >= MAX_GREETING)
		forget_greeting(oldest_greeting(host));
	conn = calloc(1, sizeof(*conn));
	if (!conn) {
		(void)close(fd);
		return;
	}
	conn->source = (struct via_source){.fd = fd, .event = greet};
	conn->host = host;
	conn->order = host->n_accepted++;
	if (via_loop_add(host, &conn->source, EPOLLIN)) {
		(void)close(fd);
		free(conn);
		return;
	}
	host->n_greeting++;
	pthread_mutex_lock(&host->lock);
	conn->next = host->conns;
	host->conns = conn;
	pthread_mutex_unlock(&host->lock);
}

void via_conn_hang_up_peer(struct via_host *host, const struct via_peer *peer)
{
	struct via_conn *conn;

	for (;;) {
		pthread_mutex_lock(&host->lock);
		for (conn = host->conns; conn; conn = conn->next)
			if (conn->source.event == served_hang_up && (!peer || conn->peer == peer) &&
			    !__atomic_load_n(&conn->dead, __ATOMIC_SEQ_CST))
				break;
		pthread_mutex_unlock(&host->lock);
		if (!conn)
			return;
		served_hang_up(&conn->source, EPOLLHUP);
	}
}

void via_conn_hang_up_all(struct via_host *host)
{
	struct via_conn *conn;

	while ((conn = oldest_greeting(host)))
		forget_greeting(conn);
	via_conn_hang_up_peer(host, NULL);
}

int via_conn_listen(struct via_host *host, char *ret_name, size_t len, struct via_error *err)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	uint64_t random[2];
	char name[64];
	int fd, r;

	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return via_error_set(err, -EIO, "no random numbers for the socket's name");
	(void)snprintf(name, sizeof(name), "@viaduct-%016llx%016llx", (unsigned long long)random[0],
		       (unsigned long long)random[1]);
	if (len <= strlen(name))
		return via_error_set(err, -EINVAL, "no room for the socket's name");
	memcpy(addr.sun_path + 1, name + 1, strlen(name) - 1);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return via_error_set(err, -errno, "cannot make a socket: %s", strerror(errno));
	if (bind(fd, (struct sockaddr *)&addr,
		 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))) < 0 ||
	    listen(fd, 128) < 0) {
		r = -errno;
		(void)close(fd);
		return via_error_set(err, r, "cannot listen on %s: %s", name, strerror(-r));
	}
	pthread_mutex_lock(&host->poll_lock);
	host->listener = (struct via_source){.fd = fd, .event = accept_one};
	r = via_loop_add(host, &host->listener, EPOLLIN);
	if (r) {
		(void)close(fd);
		host->listener.fd = -1;
	}
	pthread_mutex_unlock(&host->poll_lock);
	if (r)
		return via_error_set(err, r, "cannot watch the socket: %s", strerror(-r));
	(void)strcpy(ret_name, name);
	return 0;
}
