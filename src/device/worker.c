/* SPDX-License-Identifier: MIT */
/*
 * The device's thread: work that a model asked for, descriptors that it
 * watches, resample eventfds, and doorbells.
 *
 * Doorbells in mapped memory are polled while they are busy. After a while
 * without news every mapping is asked to report its next write, the doorbells
 * are looked at once more (a write may have come before the last mapping was
 * armed), and the thread sleeps. How long a while is learned from the time
 * between doorbells: it covers the next one if that comes within POLL_MAX_NS,
 * since arming, the writer's fault and two wake-ups cost about as much as half
 * of that; it is short when doorbells come seldom, so that polling for them
 * costs little.
 *
 * Going to sleep: asleep := true, then look at what would wake it; waking:
 * leave the news, then look at asleep. Both are sequentially consistent, so
 * one of the two sees the other.
 */
#include "device/internal.h"

#include "base/log.h"
#include "base/thread.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define POLL_MIN_NS 50000u
#define POLL_MAX_NS 500000u
/* Polls before others of this CPU get their turn: it may be they who ring next. */
#define POLLS_PER_YIELD 8u
/* Turns of others before the descriptors are looked at. */
#define YIELDS_PER_LOOK 8u
#define UNARMED_SLEEP_MS 1

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void via_worker_wake(struct via_device *dev)
{
	struct via_worker *w = &dev->worker;
	uint64_t one = 1;

	if (__atomic_exchange_n(&w->asleep, false, __ATOMIC_SEQ_CST))
		while (write(w->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
			;
}

void via_device_kick(struct via_device *dev, uint64_t events)
{
	__atomic_fetch_or(&dev->worker.events, events, __ATOMIC_SEQ_CST);
	via_worker_wake(dev);
}

static bool run_work(struct via_device *dev)
{
	struct via_worker *w = &dev->worker;
	uint64_t events;

	if (!__atomic_load_n(&w->events, __ATOMIC_RELAXED))
		return false;
	via_peers_lock_model(dev);
	/* Taken with the lock held, so that a reset before us has cleared them. */
	events = __atomic_exchange_n(&w->events, 0, __ATOMIC_SEQ_CST);
	if (events && dev->ops->work)
		dev->ops->work(dev, dev->model, events);
	via_peers_unlock_model(dev);
	return events;
}

/* What a readable descriptor stands for. False: not watched any more. */
static bool find_watch(struct via_worker *w, int fd, uint64_t *ret_events)
{
	bool found = false;

	pthread_mutex_lock(&w->lock);
	for (size_t i = 0; i < w->n_watches && !found; i++) {
		found = w->watches[i].fd == fd;
		if (found)
			*ret_events = w->watches[i].events;
	}
	pthread_mutex_unlock(&w->lock);
	return found;
}

/* Wait for descriptors and collect what they mean. */
static void look(struct via_device *dev, int timeout_ms)
{
	struct via_worker *w = &dev->worker;
	struct epoll_event ready[16];
	int n = epoll_wait(w->epoll_fd, ready, 16, timeout_ms);

	for (int i = 0; i < n; i++) {
		uint64_t events = 0, count;

		if (ready[i].data.fd == w->wake_fd) {
			if (read(w->wake_fd, &count, sizeof(count)) < 0)
				continue;
		} else if (ready[i].data.fd == dev->ioeventfds.epoll_fd) {
			via_ioeventfds_run(dev);
		} else if (find_watch(w, ready[i].data.fd, &events)) {
			if (events)
				__atomic_fetch_or(&w->events, events, __ATOMIC_SEQ_CST);
			else
				via_irqs_resample(dev->irqs);
		}
	}
}

static bool has_news(struct via_device *dev)
{
	struct via_worker *w = &dev->worker;

	return __atomic_load_n(&w->events, __ATOMIC_SEQ_CST) ||
	       __atomic_load_n(&w->rung, __ATOMIC_SEQ_CST) ||
	       __atomic_load_n(&dev->power.event, __ATOMIC_SEQ_CST) ||
	       __atomic_load_n(&w->stop, __ATOMIC_SEQ_CST);
}

static void sleep_until_news(struct via_device *dev, int timeout_ms)
{
	struct via_worker *w = &dev->worker;

	__atomic_store_n(&w->asleep, true, __ATOMIC_SEQ_CST);
	look(dev, has_news(dev) ? 0 : timeout_ms);
	__atomic_store_n(&w->asleep, false, __ATOMIC_SEQ_CST);
}

/*
 * Nothing came for a while: have the mappings report the next write. True
 * when polling can end.
 */
static bool stop_polling(struct via_device *dev)
{
	struct via_worker *w = &dev->worker;
	int ret = via_guards_arm(dev);

	if (ret && !w->arm_failed) {
		w->arm_failed = true;
		via_log(VIA_LOG_WARNING,
			"%s: mapped doorbells cannot report writes (%s): they are polled every %d ms",
			dev->desc->name, strerror(-ret), UNARMED_SLEEP_MS);
	}
	return !ret;
}

/* When to poll; the worker thread's own. */
struct polling {
	bool on;
	uint64_t window;      /* ns without a doorbell until it ends */
	uint64_t last;	      /* when the last doorbell was seen */
	uint64_t quiet_since; /* or something else to do */
	unsigned int rounds;
};

/* The window follows the longest time between doorbells of late. */
static void saw_doorbell(struct polling *p)
{
	uint64_t now = now_ns(), gap = now - p->last;

	if (gap > POLL_MAX_NS) {
		p->window /= 2;
	} else {
		p->window -= p->window / 16;
		if (p->window < 2 * gap)
			p->window = 2 * gap;
	}
	if (p->window < POLL_MIN_NS)
		p->window = POLL_MIN_NS;
	if (p->window > POLL_MAX_NS)
		p->window = POLL_MAX_NS;
	p->last = p->quiet_since = now;
}

/* Between two polls. */
static void pause_polling(struct via_device *dev, struct polling *p)
{
	if (++p->rounds % POLLS_PER_YIELD)
		return;
	(void)sched_yield();
	if (p->rounds % (POLLS_PER_YIELD * YIELDS_PER_LOOK) == 0)
		look(dev, 0);
}

static void *worker_main(void *arg)
{
	struct via_device *dev = arg;
	struct via_worker *w = &dev->worker;
	struct polling p = {.window = POLL_MIN_NS};

	via_thread_prompt();
	while (!__atomic_load_n(&w->stop, __ATOMIC_SEQ_CST)) {
		bool armed = true;

		if (__atomic_exchange_n(&dev->power.event, false, __ATOMIC_SEQ_CST))
			via_power_wake(dev);
		if (run_work(dev))
			p.quiet_since = now_ns();
		if (__atomic_exchange_n(&w->rung, false, __ATOMIC_SEQ_CST)) {
			via_guards_disarm(dev);
			p.on = true;
			p.quiet_since = now_ns();
		}
		if (p.on && via_doorbells_poll(dev))
			saw_doorbell(&p);
		if (p.on && via_guards_present(dev) && now_ns() - p.quiet_since < p.window) {
			pause_polling(dev, &p);
			continue;
		}
		if (p.on) {
			armed = stop_polling(dev);
			if (via_doorbells_poll(dev)) {
				via_guards_disarm(dev);
				saw_doorbell(&p);
				continue;
			}
			p.on = !armed;
		}
		sleep_until_news(dev, armed ? -1 : UNARMED_SLEEP_MS);
	}
	return NULL;
}

/* --- watches --- */

static int watch(struct via_device *dev, int fd, uint64_t events)
{
	struct via_worker *w = &dev->worker;
	struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};
	struct via_watch *grown;
	int ret = 0;

	pthread_mutex_lock(&w->lock);
	for (size_t i = 0; i < w->n_watches; i++) {
		if (w->watches[i].fd == fd) {
			w->watches[i].events = events;
			goto out;
		}
	}
	grown = reallocarray(w->watches, w->n_watches + 1, sizeof(*grown));
	if (!grown) {
		ret = -ENOMEM;
		goto out;
	}
	w->watches = grown;
	if (epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, fd, &ev)) {
		ret = -errno;
		goto out;
	}
	w->watches[w->n_watches++] = (struct via_watch){fd, events};
out:
	pthread_mutex_unlock(&w->lock);
	return ret;
}

void via_worker_unwatch(struct via_device *dev, int fd)
{
	struct via_worker *w = &dev->worker;

	pthread_mutex_lock(&w->lock);
	for (size_t i = 0; i < w->n_watches; i++) {
		if (w->watches[i].fd == fd) {
			epoll_ctl(w->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
			w->watches[i] = w->watches[--w->n_watches];
			break;
		}
	}
	pthread_mutex_unlock(&w->lock);
}

int via_device_watch(struct via_device *dev, int fd, uint64_t events)
{
	if (events)
		return watch(dev, fd, events);
	via_worker_unwatch(dev, fd);
	return 0;
}

int via_worker_watch_resample(struct via_device *dev, int fd)
{
	return watch(dev, fd, 0);
}

/* --- life --- */

int via_worker_init(struct via_device *dev)
{
	struct via_worker *w = &dev->worker;
	struct epoll_event ev = {.events = EPOLLIN};

	pthread_mutex_init(&w->lock, NULL);
	pthread_mutex_init(&w->guard_lock, NULL);
	w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (w->epoll_fd < 0)
		return -errno;
	w->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (w->wake_fd < 0)
		return -errno;
	ev.data.fd = w->wake_fd;
	return epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, w->wake_fd, &ev) ? -errno : 0;
}

void via_worker_deinit(struct via_device *dev)
{
	struct via_worker *w = &dev->worker;

	if (w->epoll_fd >= 0)
		close(w->epoll_fd);
	if (w->wake_fd >= 0)
		close(w->wake_fd);
	free(w->watches);
	pthread_mutex_destroy(&w->lock);
	pthread_mutex_destroy(&w->guard_lock);
}

int via_worker_start(struct via_device *dev)
{
	struct via_worker *w = &dev->worker;
	sigset_t all, old;
	int ret;

	__atomic_store_n(&w->stop, false, __ATOMIC_SEQ_CST);
	/* Signals of the process are not for this thread, but its own faults are. */
	sigfillset(&all);
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGBUS);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	ret = pthread_create(&w->thread, NULL, worker_main, dev);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	w->running = !ret;
	if (!ret)
		pthread_setname_np(w->thread, "viaduct-device");
	return -ret;
}

void via_worker_stop(struct via_device *dev)
{
	struct via_worker *w = &dev->worker;

	__atomic_store_n(&w->stop, true, __ATOMIC_SEQ_CST);
	via_worker_wake(dev);
	pthread_join(w->thread, NULL);
	w->running = false;
}
