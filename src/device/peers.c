/* SPDX-License-Identifier: MIT */
#include "device/peers.h"

#include "base/thread.h"
#include "device/internal.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

/* A request's, and the queue's. */
#define REQUEST_BYTES 4096u
#define QUEUE_BYTES (64u << 10)

/*
 * A completion timeout. Locks that wait for each other are found out at once: this is for a
 * function that has much to do, or a model that waits for others in ways of its own.
 */
#define TIMEOUT_MS 1000u

struct via_peer_request {
	struct via_peer_request *next;
	bool waited_for; /* the peers' lock: by its author, who frees it */
	bool done;	 /* the same */
	int result;	 /* the same */
	/* Constant, but for the data of a read. */
	bool write;
	unsigned int region;
	uint64_t offset;
	size_t len;
	uint8_t data[];
};

/* --- Who waits for whom --- */

/* Devices whose model_lock this thread holds, innermost first, linked by model_outer. */
static _Thread_local struct via_device *held __attribute__((tls_model("initial-exec")));

static pthread_mutex_t graph_lock = PTHREAD_MUTEX_INITIALIZER; /* a leaf: every waits_for */

void via_peers_lock_model(struct via_device *dev)
{
	pthread_mutex_lock(&dev->model_lock);
	dev->model_outer = held;
	held = dev;
}

void via_peers_unlock_model(struct via_device *dev)
{
	struct via_device **at = &held;

	while (*at != dev)
		at = &(*at)->model_outer;
	*at = dev->model_outer;
	pthread_mutex_unlock(&dev->model_lock);
}

static bool holds(const struct via_device *dev)
{
	for (const struct via_device *d = held; d; d = d->model_outer)
		if (d == dev)
			return true;
	return false;
}

/* Its register accesses take no model_lock: nobody who holds that is in their way. */
static bool is_concurrent(const struct via_device *dev)
{
	return dev->desc->flags & VIA_DEVICE_CONCURRENT;
}

/* This thread is going to wait for dev. False: dev waits for this thread. */
static bool wait_begin(struct via_device *dev, bool *ret_noted)
{
	bool ok = true;

	*ret_noted = held && !is_concurrent(dev);
	if (!*ret_noted)
		return true;
	pthread_mutex_lock(&graph_lock);
	for (struct via_device *d = dev; ok && d; d = d->peers.waits_for)
		ok = !holds(d);
	for (struct via_device *d = held; ok && d; d = d->model_outer)
		d->peers.waits_for = dev;
	pthread_mutex_unlock(&graph_lock);
	return ok;
}

static void wait_end(bool noted)
{
	if (!noted)
		return;
	pthread_mutex_lock(&graph_lock);
	for (struct via_device *d = held; d; d = d->model_outer)
		d->peers.waits_for = NULL;
	pthread_mutex_unlock(&graph_lock);
}

/* --- The queue; the lock is held --- */

static void complete(struct via_peers *p, struct via_peer_request *request, int result)
{
	__atomic_store_n(&p->n_done, p->n_done + 1, __ATOMIC_RELEASE);
	request->result = result;
	request->done = true;
	if (!request->waited_for)
		free(request);
	pthread_cond_broadcast(&p->done);
}

static struct via_peer_request *take(struct via_peers *p)
{
	struct via_peer_request *request = p->first;

	if (!request)
		return NULL;
	p->first = request->next;
	if (!p->first)
		p->end = &p->first;
	p->bytes -= request->len;
	return request;
}

static void drop_all(struct via_peers *p)
{
	struct via_peer_request *request;

	while ((request = take(p)))
		complete(p, request, -EFAULT);
}

static void put(struct via_peers *p, struct via_peer_request *request)
{
	request->next = NULL;
	*p->end = request;
	p->end = &request->next;
	p->bytes += request->len;
	__atomic_store_n(&p->n_queued, p->n_queued + 1, __ATOMIC_RELEASE);
	pthread_cond_signal(&p->news);
}

/* --- The thread --- */

static void *peers_main(void *arg)
{
	struct via_device *dev = arg;
	struct via_peers *p = &dev->peers;
	struct via_peer_request *request;

	via_thread_prompt();
	pthread_mutex_lock(&p->lock);
	for (;;) {
		int result;

		while (!p->first && !p->stop)
			pthread_cond_wait(&p->news, &p->lock);
		if (p->stop)
			break;
		request = take(p);
		pthread_mutex_unlock(&p->lock);
		result = via_device_peer_access(dev, request->region, request->offset,
						request->data, request->len, request->write);
		pthread_mutex_lock(&p->lock);
		complete(p, request, result ? -EFAULT : 0);
	}
	drop_all(p);
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

static int start(struct via_device *dev)
{
	struct via_peers *p = &dev->peers;
	sigset_t all, old;
	int ret;

	p->stop = false;
	/* Signals of the process are not for this thread, but its own faults are. */
	sigfillset(&all);
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGBUS);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	ret = pthread_create(&p->thread, NULL, peers_main, dev);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	p->running = !ret;
	if (!ret)
		pthread_setname_np(p->thread, "viaduct-peers");
	return ret ? -ENOMEM : 0;
}

int via_peers_expect(struct via_device *dev)
{
	struct via_peers *p = &dev->peers;
	int ret = 0;

	pthread_mutex_lock(&p->lock);
	if (!p->open)
		ret = -ENODEV;
	else if (!p->running)
		ret = start(dev);
	pthread_mutex_unlock(&p->lock);
	return ret;
}

void via_peers_open(struct via_device *dev)
{
	pthread_mutex_lock(&dev->peers.lock);
	dev->peers.open = true;
	pthread_mutex_unlock(&dev->peers.lock);
}

void via_peers_close(struct via_device *dev)
{
	struct via_peers *p = &dev->peers;
	bool running;

	pthread_mutex_lock(&p->lock);
	p->open = false;
	running = p->running;
	p->running = false;
	p->stop = true;
	pthread_cond_signal(&p->news);
	pthread_mutex_unlock(&p->lock);
	if (running)
		pthread_join(p->thread, NULL);
}

void via_peers_answer(struct via_device *dev, bool on)
{
	struct via_peers *p = &dev->peers;

	pthread_mutex_lock(&p->lock);
	p->answers = on;
	if (!on) {
		drop_all(p);
		/* The thread waits for the lock that our caller holds; its author need not. */
		pthread_cond_broadcast(&p->done);
	}
	pthread_mutex_unlock(&p->lock);
}

/* --- Authors --- */

static struct timespec deadline(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	ts.tv_sec += TIMEOUT_MS / 1000;
	ts.tv_nsec += TIMEOUT_MS % 1000 * 1000000;
	if (ts.tv_nsec >= 1000000000) {
		ts.tv_sec++;
		ts.tv_nsec -= 1000000000;
	}
	return ts;
}

/* With the lock. False: it does not answer, or there is no room in time. */
static bool has_room(struct via_device *dev, size_t len)
{
	struct via_peers *p = &dev->peers;
	struct timespec until;
	bool in_time = true, noted;

	if (!p->running || !p->answers)
		return false;
	if (p->bytes + len <= QUEUE_BYTES)
		return true;
	if (!wait_begin(dev, &noted))
		return false;
	until = deadline();
	while (in_time && p->running && p->answers && p->bytes + len > QUEUE_BYTES)
		in_time = !pthread_cond_timedwait(&p->done, &p->lock, &until);
	wait_end(noted);
	return p->running && p->answers && p->bytes + len <= QUEUE_BYTES;
}

/* With the lock, of a request in the queue. Its author's again if true: it is complete. */
static bool wait_for(struct via_device *dev, struct via_peer_request *request)
{
	struct via_peers *p = &dev->peers;
	bool in_time = true, noted;
	struct timespec until;

	if (request->done)
		return true;
	if (wait_begin(dev, &noted)) {
		until = deadline();
		while (in_time && !request->done && p->answers)
			in_time = !pthread_cond_timedwait(&p->done, &p->lock, &until);
		wait_end(noted);
	}
	if (!request->done)
		request->waited_for = false;
	return request->done;
}

static int access_piece(struct via_device *dev, unsigned int region, uint64_t offset, uint8_t *buf,
			size_t len, bool write)
{
	struct via_peers *p = &dev->peers;
	struct via_peer_request *request = malloc(sizeof(*request) + len);
	int ret = -EFAULT;

	if (!request)
		return -EFAULT;
	*request = (struct via_peer_request){
		.waited_for = !write, .write = write, .region = region, .offset = offset, .len = len};
	if (write)
		memcpy(request->data, buf, len);
	pthread_mutex_lock(&p->lock);
	if (!has_room(dev, len)) {
		free(request);
	} else {
		put(p, request);
		if (write) {
			ret = 0;
		} else if (wait_for(dev, request)) {
			ret = request->result;
			if (!ret)
				memcpy(buf, request->data, len);
			free(request);
		}
	}
	pthread_mutex_unlock(&p->lock);
	return ret;
}

int via_peers_access(struct via_device *dev, unsigned int region, uint64_t offset, void *buf,
		     size_t len, bool write)
{
	uint8_t *at = buf;

	while (len) {
		/* Requests begin where naturally aligned accesses do. */
		size_t n = REQUEST_BYTES - offset % REQUEST_BYTES;
		int ret;

		if (n > len)
			n = len;
		ret = access_piece(dev, region, offset, at, n, write);
		if (ret)
			return ret;
		offset += n;
		at += n;
		len -= n;
	}
	return 0;
}

void via_peers_settle(struct via_device *dev)
{
	struct via_peers *p = &dev->peers;
	uint64_t n = __atomic_load_n(&p->n_queued, __ATOMIC_ACQUIRE);

	/* A model's own thread must not wait for what may wait for its lock. */
	if (__atomic_load_n(&p->n_done, __ATOMIC_ACQUIRE) >= n || held)
		return;
	pthread_mutex_lock(&p->lock);
	while (p->n_done < n)
		pthread_cond_wait(&p->done, &p->lock);
	pthread_mutex_unlock(&p->lock);
}

int via_peers_init(struct via_device *dev)
{
	struct via_peers *p = &dev->peers;
	pthread_condattr_t attr;

	p->end = &p->first;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->news, NULL);
	if (pthread_condattr_init(&attr))
		return -ENOMEM;
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&p->done, &attr);
	pthread_condattr_destroy(&attr);
	return 0;
}

void via_peers_deinit(struct via_device *dev)
{
	struct via_peers *p = &dev->peers;

	pthread_cond_destroy(&p->news);
	pthread_cond_destroy(&p->done);
	pthread_mutex_destroy(&p->lock);
}
