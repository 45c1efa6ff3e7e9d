/* SPDX-License-Identifier: MIT */
/*
 * The engine for where io_uring is refused or not built in: a few threads that
 * make blocking calls. A step is owned by the queue or by one worker until it
 * is on the done list.
 */
#include "models/nvme/backend.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define N_THREADS 8

struct threads {
	int fd;
	int event_fd;
	pthread_mutex_t lock;
	pthread_cond_t work;	      /* something to do, or stop */
	pthread_cond_t finished;      /* something is done */
	struct via_nvme_io_list todo; /* under lock */
	struct via_nvme_io_list done; /* under lock; its head is also read without, as a hint */
	bool stop;		      /* under lock */
	unsigned int n_threads;
	pthread_t threads[N_THREADS];
};

static void *worker(void *arg)
{
	struct threads *t = arg;
	static const uint64_t one = 1;
	struct via_nvme_io *io;

	pthread_mutex_lock(&t->lock);
	for (;;) {
		bool was_empty;

		while (!(io = via_nvme_io_list_pop(&t->todo)) && !t->stop)
			pthread_cond_wait(&t->work, &t->lock);
		if (!io)
			break;
		pthread_mutex_unlock(&t->lock);
		io->raw = via_nvme_io_blocking(t->fd, io);
		pthread_mutex_lock(&t->lock);
		was_empty = !t->done.head;
		io->next = NULL;
		if (was_empty)
			__atomic_store_n(&t->done.head, io, __ATOMIC_RELAXED);
		else
			*t->done.tail = io;
		t->done.tail = &io->next;
		pthread_cond_signal(&t->finished);
		/* An eventfd only blocks or fails when it is full, which wakes as well. */
		if (was_empty && write(t->event_fd, &one, sizeof(one)) < 0)
			continue;
	}
	pthread_mutex_unlock(&t->lock);
	return NULL;
}

static void threads_submit(void *engine, struct via_nvme_io *io)
{
	struct threads *t = engine;

	pthread_mutex_lock(&t->lock);
	via_nvme_io_list_add(&t->todo, io);
	pthread_cond_signal(&t->work);
	pthread_mutex_unlock(&t->lock);
}

static void threads_reap(void *engine, struct via_nvme_io_list *done)
{
	struct threads *t = engine;
	struct via_nvme_io *io;
	uint64_t count;

	/* A hint: a miss is made good by the eventfd. */
	if (!__atomic_load_n(&t->done.head, __ATOMIC_RELAXED))
		return;
	pthread_mutex_lock(&t->lock);
	io = t->done.head;
	__atomic_store_n(&t->done.head, NULL, __ATOMIC_RELAXED);
	t->done.tail = &t->done.head;
	if (read(t->event_fd, &count, sizeof(count)) < 0)
		count = 0; /* already drained */
	pthread_mutex_unlock(&t->lock);
	while (io) {
		struct via_nvme_io *next = io->next;

		via_nvme_io_list_add(done, io);
		io = next;
	}
}

static void threads_wait(void *engine)
{
	struct threads *t = engine;

	pthread_mutex_lock(&t->lock);
	while (!t->done.head)
		pthread_cond_wait(&t->finished, &t->lock);
	pthread_mutex_unlock(&t->lock);
}

static void threads_free(void *engine)
{
	struct threads *t = engine;
	unsigned int i;

	pthread_mutex_lock(&t->lock);
	t->stop = true;
	pthread_cond_broadcast(&t->work);
	pthread_mutex_unlock(&t->lock);
	for (i = 0; i < t->n_threads; i++)
		pthread_join(t->threads[i], NULL);
	pthread_cond_destroy(&t->finished);
	pthread_cond_destroy(&t->work);
	pthread_mutex_destroy(&t->lock);
	close(t->event_fd);
	free(t);
}

static const struct via_nvme_engine_ops threads_ops = {
	.submit = threads_submit,
	.reap = threads_reap,
	.wait = threads_wait,
	.free = threads_free,
};

int via_nvme_threads_new(int fd, struct via_nvme_engine *ret_engine)
{
	struct threads *t = calloc(1, sizeof(*t));
	sigset_t all, old;
	int r = 0;

	if (!t)
		return -ENOMEM;
	t->fd = fd;
	t->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (t->event_fd < 0) {
		r = -errno;
		free(t);
		return r;
	}
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->work, NULL);
	pthread_cond_init(&t->finished, NULL);
	via_nvme_io_list_init(&t->todo);
	via_nvme_io_list_init(&t->done);
	/* Signals are for the threads of whoever uses the library. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while (t->n_threads < N_THREADS && r == 0) {
		r = -pthread_create(&t->threads[t->n_threads], NULL, worker, t);
		if (r == 0)
			t->n_threads++;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	/* Fewer threads than wished for will do; none will not. */
	if (!t->n_threads) {
		threads_free(t);
		return r;
	}
	*ret_engine = (struct via_nvme_engine){&threads_ops, t, t->event_fd};
	return 0;
}
