/* SPDX-License-Identifier: MIT */
/*
 * Interrupts under torture: models send from several threads while a client
 * masks, unmasks, re-arms and exchanges eventfds at random. Nothing is lost
 * and nothing comes twice.
 *
 *	unit-PCI_interrupt_torture [TRIGGERS [SEED]]
 *
 * Two ways of counting. *Exact*: each vector has a lock of this test's, held
 * around each message and around what the client does to that vector, and a
 * model of the vector that says what must arrive; the engine's own locks are
 * fought over by all the vectors. *Free*: no lock of ours, so a message may come
 * just before or just after a mask bit changes; then what must hold is the
 * sum, the silence while a vector is masked, and an event for each masked
 * period in which a message was surely sent.
 */
#include "pci/msix.h"

#include <viaduct/abi/vfio.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum {
	NONE = VIA_VFIO_IRQ_SET_DATA_NONE,
	EVENTFD = VIA_VFIO_IRQ_SET_DATA_EVENTFD,
	MASK = VIA_VFIO_IRQ_SET_ACTION_MASK,
	UNMASK = VIA_VFIO_IRQ_SET_ACTION_UNMASK,
	TRIGGER = VIA_VFIO_IRQ_SET_ACTION_TRIGGER,
};

enum {
	N_VECTORS = 32,
	N_PRODUCERS = 2,
	FULL = N_VECTORS - 1, /* its eventfds are full: nothing can be counted there */
};

static uint64_t n_triggers;
static uint64_t seed;

struct random {
	uint64_t state;
};

static uint64_t draw(struct random *random)
{
	random->state ^= random->state << 13;
	random->state ^= random->state >> 7;
	random->state ^= random->state << 17;
	return random->state;
}

static struct random random_stream(unsigned int n)
{
	struct random random = {(seed + n) * 0x9e3779b97f4a7c15u | 1};

	for (int i = 0; i < 8; i++)
		(void)draw(&random);
	return random;
}

/* Two eventfds for each vector: one connected, one that was before. */
struct vector {
	pthread_mutex_t lock; /* the model of the exact way: all that follows but fds and free */
	int fds[2];	      /* constant */
	int connected;	      /* 0, 1, or -1 */
	bool masked, pending;
	uint64_t expected[2];
	/* The free way. */
	atomic_uint phase; /* enum phase | count << 2, written by the client */
	atomic_uint sure;  /* the last phase that a message was sent wholly in while MASKED */
	atomic_ullong sent, sent_unmasked, sent_masked; /* all; wholly in such a phase */
	uint64_t periods, sure_periods; /* the client's: masked ones, and those with sure */
};

struct torture {
	struct via_irqs *irqs;
	unsigned int index; /* VIA_IRQ_MSI or VIA_IRQ_MSIX */
	bool latches;	    /* masked messages become pending */
	struct vector vectors[N_VECTORS];
	/* The exact way's model; changed with the locks of all vectors held, read with any. */
	bool armed, function_mask, master;
	unsigned int n_allocated, n_granted;
	atomic_ullong dropped, coalesced, unarmed, discarded;
	atomic_ullong sent;
	atomic_bool stop;
};

/* --- The engine and a program's view of it ---------------------------------- */

static int get_fd(void *cookie, int fd, int *ret_fd)
{
	*ret_fd = dup(fd); /* by fcntl() qemu-user does not know what it is a copy of */
	return *ret_fd < 0 ? -EBADF : 0;
}

static int set_irqs(struct torture *t, uint32_t flags, uint32_t start, uint32_t count,
		    const int *fds)
{
	struct via_set_irqs set = {.index = t->index,
				   .start = start,
				   .count = count,
				   .flags = flags,
				   .fds = fds,
				   .fd_get = get_fd};

	return via_irqs_set(t->irqs, &set);
}

static uint64_t take(int fd)
{
	uint64_t n = 0;

	return read(fd, &n, sizeof(n)) == (ssize_t)sizeof(n) ? n : 0;
}

/* Signals beyond a full counter must not block; these are a program's blocking descriptors. */
static void fill(struct vector *v)
{
	const uint64_t most = UINT64_MAX - 1;

	for (int i = 0; i < 2; i++)
		assert_int_equal(write(v->fds[i], &most, sizeof(most)), sizeof(most));
}

static void start(struct torture *t, unsigned int index, bool maskable)
{
	struct via_irqs_desc desc = {.intx = true};

	*t = (struct torture){
		.index = index, .latches = index == VIA_IRQ_MSIX || maskable, .master = true};
	if (index == VIA_IRQ_MSIX)
		desc.msix = N_VECTORS;
	else
		desc.msi = N_VECTORS;
	desc.msi_maskable = maskable;
	assert_int_equal(via_irqs_new(&desc, NULL, NULL, &t->irqs), 0);
	via_irqs_set_bus_master(t->irqs, true);
	for (unsigned int i = 0; i < N_VECTORS; i++) {
		struct vector *v = &t->vectors[i];

		pthread_mutex_init(&v->lock, NULL);
		v->connected = -1;
		/* MSI-X entries are masked until they are connected. */
		v->masked = index == VIA_IRQ_MSIX;
		for (int n = 0; n < 2; n++)
			v->fds[n] = eventfd(0, EFD_CLOEXEC | (i == FULL ? 0 : EFD_NONBLOCK));
	}
	fill(&t->vectors[FULL]);
}

static void stop(struct torture *t)
{
	via_irqs_free(t->irqs);
	for (unsigned int i = 0; i < N_VECTORS; i++) {
		pthread_mutex_destroy(&t->vectors[i].lock);
		close(t->vectors[i].fds[0]);
		close(t->vectors[i].fds[1]);
	}
}

static void lock_all(struct torture *t)
{
	for (unsigned int i = 0; i < N_VECTORS; i++)
		pthread_mutex_lock(&t->vectors[i].lock);
}

static void unlock_all(struct torture *t)
{
	for (unsigned int i = 0; i < N_VECTORS; i++)
		pthread_mutex_unlock(&t->vectors[i].lock);
}

/* Let the producers send a little. */
static void wait_for_messages(struct torture *t, struct random *random, unsigned int most)
{
	uint64_t until = atomic_load(&t->sent) + (draw(random) >> 20) % most;

	while (atomic_load(&t->sent) < until && atomic_load(&t->sent) < n_triggers)
		sched_yield();
}

/* --- The exact way: the model ------------------------------------------------ */

static bool is_there(const struct torture *t, unsigned int i)
{
	return t->armed && (t->index == VIA_IRQ_MSIX || i < t->n_granted);
}

static bool is_masked(const struct torture *t, const struct vector *v)
{
	return v->connected < 0 || v->masked || t->function_mask;
}

/* What one message comes to. */
static void expect_message(struct torture *t, unsigned int i)
{
	struct vector *v = &t->vectors[i];

	if (!t->armed) {
		atomic_fetch_add(&t->unarmed, 1);
	} else if (is_there(t, i) && is_masked(t, v) && t->latches) {
		if (v->pending)
			atomic_fetch_add(&t->coalesced, 1);
		v->pending = true;
	} else if (!is_there(t, i) || is_masked(t, v) || !t->master) {
		atomic_fetch_add(&t->dropped, 1);
	} else {
		v->expected[v->connected]++;
	}
}

/* Something was unmasked, connected or switched on. */
static void expect_replay(struct torture *t, unsigned int i)
{
	struct vector *v = &t->vectors[i];

	if (!v->pending || !is_there(t, i) || is_masked(t, v) || !t->master)
		return;
	v->pending = false;
	v->expected[v->connected]++;
}

static void expect_replay_all(struct torture *t)
{
	for (unsigned int i = 0; i < N_VECTORS; i++)
		expect_replay(t, i);
}

static void *produce_exact(void *cookie)
{
	static atomic_uint n;
	struct torture *t = cookie;
	struct random random = random_stream(100 + atomic_fetch_add(&n, 1));

	while (atomic_fetch_add(&t->sent, 1) < n_triggers) {
		unsigned int i = (unsigned int)(draw(&random) >> 20) % N_VECTORS;

		pthread_mutex_lock(&t->vectors[i].lock);
		expect_message(t, i);
		via_irqs_trigger(t->irqs, i);
		pthread_mutex_unlock(&t->vectors[i].lock);
		if ((draw(&random) >> 20) % 8 == 0)
			sched_yield();
	}
	atomic_fetch_sub(&t->sent, 1);
	return NULL;
}

/* --- The exact way: the client ------------------------------------------------ */

static uint32_t mask_register(const struct torture *t)
{
	uint32_t mask = 0;

	for (unsigned int i = 0; i < N_VECTORS; i++)
		mask |= (uint32_t)t->vectors[i].masked << i;
	return mask;
}

static void mask_exact(struct torture *t, unsigned int i, bool masked)
{
	struct vector *v = &t->vectors[i];

	pthread_mutex_lock(&v->lock);
	v->masked = masked;
	/* Of the register only this bit changes, and only this thread changes it. */
	if (t->index == VIA_IRQ_MSIX)
		via_msix_table_write(t->irqs, i * VIA_MSIX_ENTRY_SIZE + 12, 4, masked);
	else
		via_irqs_set_msi_mask(t->irqs, mask_register(t));
	expect_replay(t, i);
	pthread_mutex_unlock(&v->lock);
}

/* which: 0 or 1, or -1 to take it away. */
static void connect_exact(struct torture *t, unsigned int i, int which)
{
	struct vector *v = &t->vectors[i];
	int fd = which < 0 ? -1 : v->fds[which];
	bool can;
	int r;

	pthread_mutex_lock(&v->lock);
	can = t->armed && (which < 0 || t->index == VIA_IRQ_MSIX || i < t->n_allocated);
	if (t->armed) {
		r = set_irqs(t, TRIGGER | EVENTFD, i, 1, &fd);
		assert_int_equal(r, can ? 0 : -EINVAL);
		/* What was connected goes also when the new one cannot be. */
		v->connected = can ? which : -1;
		if (t->index == VIA_IRQ_MSIX)
			v->masked = v->connected < 0;
		expect_replay(t, i);
	}
	pthread_mutex_unlock(&v->lock);
}

static void disarm_exact(struct torture *t)
{
	lock_all(t);
	if (t->armed) {
		assert_int_equal(set_irqs(t, TRIGGER | NONE, 0, 0, NULL), 0);
		t->armed = false;
		for (unsigned int i = 0; i < N_VECTORS; i++) {
			struct vector *v = &t->vectors[i];

			atomic_fetch_add(&t->discarded, v->pending);
			v->pending = false;
			v->connected = -1;
			if (t->index == VIA_IRQ_MSIX)
				v->masked = true;
		}
	}
	unlock_all(t);
}

static void arm_exact(struct torture *t, unsigned int n)
{
	int fds[N_VECTORS];

	lock_all(t);
	if (!t->armed) {
		for (unsigned int i = 0; i < n; i++)
			fds[i] = t->vectors[i].fds[0];
		assert_int_equal(set_irqs(t, TRIGGER | EVENTFD, 0, n, fds), 0);
		t->armed = true;
		t->n_allocated = n;
		for (t->n_granted = 1; t->n_granted < n;)
			t->n_granted *= 2;
		for (unsigned int i = 0; i < n; i++) {
			t->vectors[i].connected = 0;
			if (t->index == VIA_IRQ_MSIX)
				t->vectors[i].masked = false;
		}
	}
	unlock_all(t);
}

static void switch_exact(struct torture *t, unsigned int what, bool on)
{
	lock_all(t);
	if (what & 1) {
		t->master = on;
		via_irqs_set_bus_master(t->irqs, on);
	} else if (t->index == VIA_IRQ_MSIX) {
		t->function_mask = !on;
		via_irqs_msix_function_mask(t->irqs, !on);
	} else if (t->armed) {
		/* Config space lets no more through than was armed. */
		unsigned int qmax = via_irqs_msi_qmax(t->irqs);
		unsigned int mme = on ? qmax : what % 6 < qmax ? what % 6 : qmax;

		t->n_granted = 1u << mme;
		via_irqs_msi_control(t->irqs, true, mme);
	}
	expect_replay_all(t);
	unlock_all(t);
}

/* What stops more than one vector is undone soon, or little would arrive. */
static void client_exact(struct torture *t, struct random *random)
{
	unsigned int i = (unsigned int)(draw(random) >> 20) % N_VECTORS;
	unsigned int what = (unsigned int)(draw(random) >> 20) % 64;
	unsigned int n = N_VECTORS - (unsigned int)(draw(random) >> 20) % 8;

	if (what < 24) {
		mask_exact(t, i, true);
		wait_for_messages(t, random, 8);
		mask_exact(t, i, false);
	} else if (what < 28) {
		mask_exact(t, i, what & 1);
	} else if (what < 50) {
		connect_exact(t, i, what & 1);
	} else if (what < 54) {
		connect_exact(t, i, -1);
		wait_for_messages(t, random, 8);
		connect_exact(t, i, what & 1);
	} else if (what < 60) {
		switch_exact(t, what, false);
		wait_for_messages(t, random, 8);
		switch_exact(t, what, true);
	} else if (what == 60) {
		disarm_exact(t);
		wait_for_messages(t, random, 8);
		arm_exact(t, n);
	}
}

static uint32_t pending_bits(struct torture *t)
{
	return t->index == VIA_IRQ_MSIX ? (uint32_t)via_msix_pba_read(t->irqs, 0, 4)
					: via_irqs_msi_pending(t->irqs);
}

/* Everything that was sent is somewhere, and each eventfd has what is its own. */
static void check_exact(struct torture *t)
{
	uint64_t delivered = 0, pending = 0, sent = atomic_load(&t->sent);

	for (unsigned int i = 0; i < N_VECTORS; i++) {
		struct vector *v = &t->vectors[i];

		assert_int_equal(pending_bits(t) >> i & 1, v->pending);
		pending += v->pending;
		delivered += v->expected[0] + v->expected[1];
		for (int n = 0; n < 2 && i != FULL; n++)
			assert_int_equal(take(v->fds[n]), v->expected[n]);
	}
	assert_int_equal(via_irqs_delivered(t->irqs), delivered);
	assert_int_equal(via_irqs_dropped(t->irqs), atomic_load(&t->dropped));
	assert_int_equal(sent, delivered + pending + atomic_load(&t->dropped) +
				       atomic_load(&t->coalesced) + atomic_load(&t->unarmed) +
				       atomic_load(&t->discarded));
	print_message("# %llu sent: %llu delivered, %llu coalesced, %llu dropped, %llu pending at "
		      "a disarm, %llu not armed\n",
		      (unsigned long long)sent, (unsigned long long)delivered,
		      (unsigned long long)atomic_load(&t->coalesced),
		      (unsigned long long)atomic_load(&t->dropped),
		      (unsigned long long)atomic_load(&t->discarded),
		      (unsigned long long)atomic_load(&t->unarmed));
}

static void run_exact(unsigned int index, bool maskable)
{
	struct torture *t = test_malloc(sizeof(*t));
	struct random random = random_stream(index);
	pthread_t producers[N_PRODUCERS];

	start(t, index, maskable);
	arm_exact(t, N_VECTORS);
	for (int i = 0; i < N_PRODUCERS; i++)
		assert_int_equal(pthread_create(&producers[i], NULL, produce_exact, t), 0);
	while (atomic_load(&t->sent) < n_triggers)
		client_exact(t, &random);
	for (int i = 0; i < N_PRODUCERS; i++)
		pthread_join(producers[i], NULL);
	check_exact(t);
	stop(t);
	test_free(t);
}

static void test_msix_exact(void **state)
{
	run_exact(VIA_IRQ_MSIX, false);
}

static void test_msi_exact(void **state)
{
	run_exact(VIA_IRQ_MSI, true);
}

static void test_plain_msi_exact(void **state)
{
	run_exact(VIA_IRQ_MSI, false);
}

/* --- The free way --------------------------------------------------------------- */

enum phase { UNMASKED, CHANGING, MASKED };

static void *produce_free(void *cookie)
{
	static atomic_uint n;
	struct torture *t = cookie;
	struct random random = random_stream(200 + atomic_fetch_add(&n, 1));

	while (atomic_fetch_add(&t->sent, 1) < n_triggers) {
		struct vector *v = &t->vectors[(draw(&random) >> 20) % N_VECTORS];
		unsigned int before = atomic_load(&v->phase);

		via_irqs_trigger(t->irqs, (unsigned int)(v - t->vectors));
		atomic_fetch_add(&v->sent, 1);
		if ((draw(&random) >> 20) % 8 == 0)
			sched_yield();
		if (atomic_load(&v->phase) != before)
			continue;
		if ((before & 3) == UNMASKED)
			atomic_fetch_add(&v->sent_unmasked, 1);
		if ((before & 3) == MASKED) {
			atomic_fetch_add(&v->sent_masked, 1);
			atomic_store(&v->sure, before);
		}
	}
	atomic_fetch_sub(&t->sent, 1);
	return NULL;
}

static uint64_t count_both(struct vector *v)
{
	v->expected[0] += take(v->fds[0]);
	v->expected[1] += take(v->fds[1]);
	return v->expected[0] + v->expected[1];
}

static void set_phase(struct vector *v, enum phase phase)
{
	unsigned int now = atomic_load(&v->phase);

	atomic_store(&v->phase, ((now >> 2) + 1) << 2 | phase);
}

static void write_mask(struct torture *t, unsigned int i, bool masked)
{
	t->vectors[i].masked = masked;
	if (t->index == VIA_IRQ_MSIX)
		via_msix_table_write(t->irqs, i * VIA_MSIX_ENTRY_SIZE + 12, 4, masked);
	else
		via_irqs_set_msi_mask(t->irqs, mask_register(t));
}

/* A masked period: silent, and an event afterwards if a message was sent in it. */
static void masked_period(struct torture *t, unsigned int i, struct random *random)
{
	struct vector *v = &t->vectors[i];
	unsigned int mine;
	uint64_t before;
	bool sure;

	set_phase(v, CHANGING);
	write_mask(t, i, true);
	before = count_both(v);
	set_phase(v, MASKED);
	mine = atomic_load(&v->phase);
	wait_for_messages(t, random, 4 * N_VECTORS);
	sure = atomic_load(&v->sure) == mine;
	set_phase(v, CHANGING);
	assert_int_equal(count_both(v), before);
	write_mask(t, i, false);
	assert_true(count_both(v) >= before + sure);
	set_phase(v, UNMASKED);
	v->periods++;
	v->sure_periods += sure;
}

static void exchange(struct torture *t, unsigned int i)
{
	struct vector *v = &t->vectors[i];
	uint64_t old;

	v->connected = !v->connected;
	assert_int_equal(set_irqs(t, TRIGGER | EVENTFD, i, 1, &v->fds[v->connected]), 0);
	/* Nothing comes to the old one any more. */
	old = take(v->fds[!v->connected]);
	v->expected[!v->connected] += old;
	assert_int_equal(take(v->fds[!v->connected]), 0);
}

/* How many events came, which is as many as there can be. */
static uint64_t check_free(struct vector *v, bool masks)
{
	uint64_t n = count_both(v), sent = atomic_load(&v->sent);
	uint64_t unmasked = atomic_load(&v->sent_unmasked), masked = atomic_load(&v->sent_masked);

	/* Without masks each message is one event, in one of the two. */
	if (!masks)
		assert_int_equal(n, sent);
	/* With them: the rest came while a mask bit changed, and may be either. */
	assert_true(n >= unmasked + v->sure_periods);
	assert_true(n <= sent - masked + v->periods);
	return n;
}

static void run_free(unsigned int index, bool masks)
{
	struct torture *t = test_malloc(sizeof(*t));
	struct random random = random_stream(50 + index);
	uint64_t delivered = 0, periods = 0, sure = 0;
	pthread_t producers[N_PRODUCERS];

	start(t, index, masks);
	arm_exact(t, N_VECTORS);
	for (int i = 0; i < N_PRODUCERS; i++)
		assert_int_equal(pthread_create(&producers[i], NULL, produce_free, t), 0);
	while (atomic_load(&t->sent) < n_triggers) {
		unsigned int i = (unsigned int)(draw(&random) >> 20) % FULL;

		if (masks && draw(&random) >> 40 & 1)
			masked_period(t, i, &random);
		else
			exchange(t, i);
	}
	for (int i = 0; i < N_PRODUCERS; i++)
		pthread_join(producers[i], NULL);
	for (unsigned int i = 0; i < FULL; i++) {
		delivered += check_free(&t->vectors[i], masks);
		periods += t->vectors[i].periods;
		sure += t->vectors[i].sure_periods;
	}
	/* The full one was neither masked nor exchanged. */
	delivered += atomic_load(&t->vectors[FULL].sent);
	assert_int_equal(via_irqs_delivered(t->irqs), delivered);
	assert_int_equal(via_irqs_dropped(t->irqs), 0);
	assert_int_equal(pending_bits(t), 0);
	print_message("# %llu sent, %llu delivered; %llu masked periods, %llu surely with one\n",
		      (unsigned long long)atomic_load(&t->sent), (unsigned long long)delivered,
		      (unsigned long long)periods, (unsigned long long)sure);
	stop(t);
	test_free(t);
}

static void test_msix_masks_free(void **state)
{
	run_free(VIA_IRQ_MSIX, true);
}

static void test_msi_masks_free(void **state)
{
	run_free(VIA_IRQ_MSI, true);
}

static void test_msix_exchange_free(void **state)
{
	run_free(VIA_IRQ_MSIX, false);
}

static void test_plain_msi_exchange_free(void **state)
{
	run_free(VIA_IRQ_MSI, false);
}

/* --- INTx: a device, a driver, and a thread for the resample eventfd ------------- */

struct line {
	struct via_irqs *irqs;
	int fds[2]; /* what the driver waits for: one connected, one before */
	int resample;
	int watched; /* atomic; the engine's duplicate of resample, -1: none */
	atomic_bool stop;
	atomic_ullong raised;
	atomic_bool up; /* as the device set it */
	uint64_t limit;
};

static int watch(void *cookie, int fd)
{
	__atomic_store_n(&((struct line *)cookie)->watched, fd, __ATOMIC_SEQ_CST);
	return 0;
}

static void unwatch(void *cookie, int fd)
{
	__atomic_store_n(&((struct line *)cookie)->watched, -1, __ATOMIC_SEQ_CST);
}

static const struct via_irqs_ops line_ops = {.watch = watch, .unwatch = unwatch};

/* The owner's loop. A call that comes late is harmless. */
static void *resample_loop(void *cookie)
{
	struct line *l = cookie;
	struct pollfd pollfd = {.fd = l->resample, .events = POLLIN};

	while (!atomic_load(&l->stop))
		if (poll(&pollfd, 1, 10) == 1)
			via_irqs_resample(l->irqs);
	return NULL;
}

static void *device(void *cookie)
{
	struct line *l = cookie;

	while (atomic_load(&l->raised) < l->limit) {
		while (atomic_load(&l->up))
			sched_yield();
		atomic_store(&l->up, true);
		atomic_fetch_add(&l->raised, 1);
		via_irqs_set_level(l->irqs, true);
	}
	return NULL;
}

static int line_set(struct line *l, uint32_t flags, const int *fds)
{
	struct via_set_irqs set = {
		.index = VIA_IRQ_INTX, .count = 1, .flags = flags, .fds = fds, .fd_get = get_fd};

	return via_irqs_set(l->irqs, &set);
}

/* One of the ways to say that the interrupt was served; each unmasks once. */
static void end_of_interrupt(struct line *l, unsigned int how)
{
	static const uint64_t one = 1;

	switch (how) {
	case 0:
		assert_int_equal(write(l->resample, &one, sizeof(one)), sizeof(one));
		break;
	case 1:
		via_irqs_set_intx_disable(l->irqs, true);
		via_irqs_set_intx_disable(l->irqs, false);
		break;
	case 2:
		assert_int_equal(line_set(l, MASK | NONE, NULL), 0);
		assert_int_equal(line_set(l, UNMASK | NONE, NULL), 0);
		break;
	default:
		assert_int_equal(line_set(l, UNMASK | NONE, NULL), 0);
	}
}

static uint64_t take_line(struct line *l)
{
	struct pollfd pollfds[] = {{.fd = l->fds[0], .events = POLLIN},
				   {.fd = l->fds[1], .events = POLLIN}};

	/* So long is an interrupt that was lost. */
	if (poll(pollfds, 2, 20000) <= 0)
		fail_msg("no interrupt came after %llu",
			 (unsigned long long)atomic_load(&l->raised));
	return take(l->fds[0]) + take(l->fds[1]);
}

/* Each time the line rises one interrupt comes, however the last one ended. */
static void test_intx(void **state)
{
	static const struct via_irqs_desc desc = {.intx = true};
	struct random random = random_stream(300);
	struct line l = {
		.resample = eventfd(0, EFD_NONBLOCK), .watched = -1, .limit = n_triggers / 40};
	pthread_t threads[2];
	uint64_t served = 0;
	unsigned int connected = 0;

	for (int i = 0; i < 2; i++)
		l.fds[i] = eventfd(0, EFD_NONBLOCK);
	assert_int_equal(via_irqs_new(&desc, &line_ops, &l, &l.irqs), 0);
	assert_int_equal(line_set(&l, TRIGGER | EVENTFD, &l.fds[0]), 0);
	assert_int_equal(line_set(&l, UNMASK | EVENTFD, &l.resample), 0);
	assert_int_equal(pthread_create(&threads[0], NULL, device, &l), 0);
	assert_int_equal(pthread_create(&threads[1], NULL, resample_loop, &l), 0);
	while (served < l.limit) {
		uint64_t n = take_line(&l);

		/* The line stays up, and masked, until it is served. */
		assert_int_equal(n, 1);
		served++;
		assert_int_equal(atomic_load(&l.raised), served);
		via_irqs_set_level(l.irqs, false);
		atomic_store(&l.up, false);
		if (draw(&random) >> 40 & 1) {
			connected = !connected;
			assert_int_equal(line_set(&l, TRIGGER | EVENTFD, &l.fds[connected]), 0);
		}
		end_of_interrupt(&l, (unsigned int)(draw(&random) >> 20) % 4);
	}
	pthread_join(threads[0], NULL);
	atomic_store(&l.stop, true);
	pthread_join(threads[1], NULL);
	assert_int_equal(take(l.fds[0]) + take(l.fds[1]), 0);
	assert_int_equal(via_irqs_delivered(l.irqs), served);
	via_irqs_free(l.irqs);
	assert_int_equal(l.watched, -1);
	close(l.fds[0]);
	close(l.fds[1]);
	close(l.resample);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_msix_exact),
		cmocka_unit_test(test_msi_exact),
		cmocka_unit_test(test_plain_msi_exact),
		cmocka_unit_test(test_msix_masks_free),
		cmocka_unit_test(test_msi_masks_free),
		cmocka_unit_test(test_msix_exchange_free),
		cmocka_unit_test(test_plain_msi_exchange_free),
		cmocka_unit_test(test_intx),
	};
	/* So many in all; each of the seven message tests has its share. */
	uint64_t all = argc > 1 ? strtoull(argv[1], NULL, 0) : 350000;

	n_triggers = all / 7;
	seed = argc > 2 ? strtoull(argv[2], NULL, 0) : (uint64_t)time(NULL);
	print_message("# %llu triggers, seed %llu\n", (unsigned long long)all,
		      (unsigned long long)seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
