/* SPDX-License-Identifier: MIT */
#include "ours.h"

#include "measure.h"

#include <linux/membarrier.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <viaduct/bus.h>

#define N_DOORBELLS 64u
#define N_SAMPLES_MAX 4096u

static int device_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	((struct device *)opaque)->value = value;
	return VIA_BUS_OK;
}

static const struct via_bus_ops ops = { .write = device_write };

static void *allocate(size_t n, size_t size)
{
	void *p = calloc(n, size);

	if (!p)
		bench_die("out of memory");
	return p;
}

static struct via_bus *new_bus(void)
{
	struct via_bus *bus;

	if (via_bus_new("bench", &bus))
		bench_die("out of memory");
	return bus;
}

static struct via_claim_desc device_desc(unsigned int i, struct device *device)
{
	return (struct via_claim_desc){
		.start = (uint64_t)i * STRIDE,
		.last = (uint64_t)i * STRIDE + DEVICE_LEN - 1,
		.ops = &ops,
		.opaque = device,
	};
}

static void commit(struct via_bus *bus, struct via_bus_change *changes, size_t n)
{
	if (via_bus_commit(bus, changes, n))
		bench_die("a commit fails");
}

/* CPU ns. */
static double add_all(struct via_bus *bus, const struct machine *m, bool one_commit)
{
	struct via_bus_change *changes = allocate(m->n, sizeof(*changes));
	struct via_claim *claim;
	double start;

	for (unsigned int i = 0; i < m->n; i++)
		changes[i] = (struct via_bus_change){ .kind = VIA_BUS_ADD,
						      .desc = device_desc(i, &m->devices[i]) };
	start = bench_cpu_ns();
	if (one_commit)
		commit(bus, changes, m->n);
	for (unsigned int i = 0; i < m->n && !one_commit; i++) {
		if (via_bus_add(bus, &changes[i].desc, &claim))
			bench_die("cannot add a claim");
	}
	start = bench_cpu_ns() - start;
	free(changes);
	return start;
}

double ours_register(unsigned int n, bool one_commit)
{
	struct via_bus *bus = new_bus();
	struct machine m;
	double ns;

	machine_init(&m, n);
	ns = add_all(bus, &m, one_commit);
	via_bus_free(bus);
	machine_deinit(&m);
	return ns / n;
}

/* A bus that another CPU may be busy with while it changes. */
struct busy {
	struct machine machine;
	struct via_bus *bus;
	bool has_reader;
	pthread_t reader;
	_Atomic bool stop;
	_Atomic unsigned int n_reads;
};

static void *read_busily(void *arg)
{
	struct busy *b = arg;

	(void)bench_pin(1);
	for (unsigned int i = 0; !b->stop; i++) {
		if (via_bus_write_value(b->bus, b->machine.addr[i % N_ADDRESSES], 4, i))
			bench_die("an access missed");
		atomic_store_explicit(&b->n_reads, i + 1, memory_order_relaxed);
	}
	return NULL;
}

static void busy_init(struct busy *b, unsigned int n, bool reader)
{
	machine_init(&b->machine, n);
	b->bus = new_bus();
	(void)add_all(b->bus, &b->machine, true);
	b->stop = false;
	b->n_reads = 0;
	b->has_reader = reader;
	if (!reader)
		return;
	if (pthread_create(&b->reader, NULL, read_busily, b))
		bench_die("cannot start a thread");
	while (!b->n_reads)
		(void)usleep(100);
}

static void busy_deinit(struct busy *b)
{
	b->stop = true;
	if (b->has_reader)
		(void)pthread_join(b->reader, NULL);
	via_bus_free(b->bus);
	machine_deinit(&b->machine);
}

/* Samples of a change. One during which the reader did not run, for other load, is none. */
struct samples {
	const struct busy *busy;
	unsigned int n, wanted, tries;
	unsigned int n_reads;
	double start;
	double us[N_SAMPLES_MAX];
};

static void samples_init(struct samples *s, const struct busy *busy, unsigned int wanted)
{
	s->busy = busy;
	s->n = s->tries = 0;
	s->wanted = wanted < N_SAMPLES_MAX ? wanted : N_SAMPLES_MAX;
}

static bool samples_more(const struct samples *s)
{
	return s->n < s->wanted && s->tries < 8 * s->wanted;
}

static void sample_begin(struct samples *s)
{
	s->tries++;
	s->n_reads = s->busy->n_reads;
	s->start = bench_wall_ns();
}

static void sample_end(struct samples *s)
{
	s->us[s->n] = (bench_wall_ns() - s->start) / 1000;
	if (!s->busy->has_reader || s->busy->n_reads != s->n_reads)
		s->n++;
}

static struct latency samples_latency(struct samples *s)
{
	double p50;

	if (!s->n)
		bench_die("the reader did not run at all");
	p50 = bench_median(s->us, s->n);
	return (struct latency){ p50, s->us[s->n * 99 / 100] };
}

struct latency ours_remove(unsigned int n, bool reader, unsigned int n_samples)
{
	static struct samples samples;
	static struct device device;
	/* Behind all others: the reader does not look for it. */
	struct via_claim_desc desc = device_desc(n, &device);
	struct via_claim *claim;
	struct busy b;

	busy_init(&b, n, reader);
	samples_init(&samples, &b, n_samples);
	while (samples_more(&samples)) {
		if (via_bus_add(b.bus, &desc, &claim))
			bench_die("cannot add a claim");
		sample_begin(&samples);
		if (via_bus_remove(claim))
			bench_die("cannot remove a claim");
		sample_end(&samples);
	}
	busy_deinit(&b);
	return samples_latency(&samples);
}

struct latency membarrier_cost(bool reader)
{
	static struct samples samples;
	struct busy b;

	busy_init(&b, 16, reader);
	samples_init(&samples, &b, 500);
	while (samples_more(&samples)) {
		sample_begin(&samples);
		(void)syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
		sample_end(&samples);
	}
	busy_deinit(&b);
	return samples_latency(&samples);
}

static void doorbell(struct via_bus_change *change, uint64_t addr,
		     const struct via_bus_ioeventfd *ioeventfd)
{
	change->desc = (struct via_claim_desc){ .start = addr, .ioeventfd = ioeventfd };
}

/* The device and its doorbells, from one place to the other and back. */
struct latency ours_move(unsigned int n, bool reader, unsigned int n_samples)
{
	static struct samples samples;
	static struct device device;
	const uint64_t place[] = { (uint64_t)n * STRIDE, (uint64_t)(n + 1) * STRIDE };
	struct via_bus_ioeventfd ioeventfd = { .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
					       .len = 4 };
	struct via_bus_change changes[N_DOORBELLS + 1] = { 0 };
	struct busy b;

	busy_init(&b, n, reader);
	for (unsigned int k = 0; k < N_DOORBELLS; k++)
		doorbell(&changes[k], place[0] + 4 * k, &ioeventfd);
	changes[N_DOORBELLS].desc = device_desc(n, &device);
	commit(b.bus, changes, N_DOORBELLS + 1);
	samples_init(&samples, &b, n_samples);
	while (samples_more(&samples)) {
		uint64_t to = place[(samples.tries + 1) % 2];

		for (unsigned int k = 0; k <= N_DOORBELLS; k++) {
			changes[k].kind = VIA_BUS_MOVE;
			changes[k].start = k < N_DOORBELLS ? to + 4 * k : to;
		}
		sample_begin(&samples);
		commit(b.bus, changes, N_DOORBELLS + 1);
		sample_end(&samples);
	}
	busy_deinit(&b);
	(void)close(ioeventfd.fd);
	return samples_latency(&samples);
}

/* What is written to this one is counted and goes no further, to see what it takes to find it. */
static int silent_fd = -1;
static uint64_t n_silent;

/* In the place of the C library's. */
ssize_t write(int fd, const void *buf, size_t len)
{
	if (fd != silent_fd)
		return (ssize_t)syscall(SYS_write, fd, buf, len);
	n_silent++;
	return (ssize_t)len;
}

/* Values in an order that no cache of the last few can follow. */
#define N_WRITES 20000u
static double write_values(struct via_bus *bus, uint64_t first, unsigned int n)
{
	double start = bench_cpu_ns();

	for (unsigned int i = 0; i < N_WRITES; i++) {
		if (via_bus_write_value(bus, 0, 4, first + i * 7919u % n))
			bench_die("an access missed");
	}
	return (bench_cpu_ns() - start) / N_WRITES;
}

static double write_silently(struct via_bus *bus, uint64_t first, unsigned int n, int fd)
{
	double ns;

	silent_fd = fd;
	n_silent = 0;
	ns = write_values(bus, first, n);
	silent_fd = -1;
	return ns;
}

static uint64_t take_signals(int fd)
{
	uint64_t n;

	return read(fd, &n, sizeof(n)) == (ssize_t)sizeof(n) ? n : 0;
}

struct match_cost ours_match(unsigned int n)
{
	struct via_bus_ioeventfd ioeventfd = { .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
					       .len = 4,
					       .match = true };
	static struct device device;
	struct via_claim_desc desc = device_desc(0, &device);
	struct via_bus *bus = new_bus();
	struct match_cost cost;
	struct via_claim *claim;

	if (via_bus_add(bus, &desc, &claim))
		bench_die("cannot add a claim");
	for (ioeventfd.data = 0; ioeventfd.data < n; ioeventfd.data++) {
		if (via_bus_ioeventfd_assign(bus, 0, &ioeventfd))
			bench_die("cannot assign an ioeventfd");
	}
	cost.hit = write_values(bus, 0, n);
	if (take_signals(ioeventfd.fd) != N_WRITES)
		bench_die("a doorbell was not heard");
	cost.find = write_silently(bus, 0, n, ioeventfd.fd);
	if (n_silent != N_WRITES)
		bench_die("a doorbell is not signalled by write(2)");
	cost.other = write_silently(bus, n, n, ioeventfd.fd);
	if (n_silent || take_signals(ioeventfd.fd))
		bench_die("a doorbell was heard that was not written to");
	via_bus_free(bus);
	(void)close(ioeventfd.fd);
	return cost;
}
