/* SPDX-License-Identifier: MIT */
/* Two vCPUs, each on a CPU and in a device of its own: how much more do they do than one? */
#include "measure.h"

#include <pthread.h>
#include <unistd.h>

#include "base/util.h"

#define N_OPS 2000000u
#define N_DEVICES 64u

/* One vCPU. */
struct worker {
	const struct peer *peer;
	void *bus;
	uint64_t *addr;
	int cpu;
	pthread_barrier_t *barrier;
	double began, ended; /* wall */
	double each;	     /* CPU ns of one access */
};

static void *work(void *arg)
{
	struct worker *w = arg;

	(void)bench_pin(w->cpu);
	(void)w->peer->run(w->bus, w->addr, N_OPS / 20, true);
	(void)pthread_barrier_wait(w->barrier);
	w->began = bench_wall_ns();
	w->each = w->peer->run(w->bus, w->addr, N_OPS, true);
	w->ended = bench_wall_ns();
	return NULL;
}

/* Accesses in a ns. */
struct throughput {
	double wall, cpu;
};

static struct throughput run_with(struct worker *workers, unsigned int n)
{
	struct throughput t = { 0 };
	pthread_barrier_t barrier;
	pthread_t threads[2];
	double began, ended;

	(void)pthread_barrier_init(&barrier, NULL, n);
	for (unsigned int i = 0; i < n; i++) {
		workers[i].barrier = &barrier;
		if (pthread_create(&threads[i], NULL, work, &workers[i]))
			bench_die("cannot start a thread");
	}
	for (unsigned int i = 0; i < n; i++)
		(void)pthread_join(threads[i], NULL);
	(void)pthread_barrier_destroy(&barrier);
	began = workers[0].began;
	ended = workers[0].ended;
	for (unsigned int i = 0; i < n; i++) {
		began = workers[i].began < began ? workers[i].began : began;
		ended = workers[i].ended > ended ? workers[i].ended : ended;
		t.cpu += 1 / workers[i].each;
	}
	t.wall = n * (double)N_OPS / (ended - began);
	return t;
}

/* A peer, and what each round said of it. */
struct subject {
	void *bus;
	struct worker workers[2];
	double wall[ROUNDS], cpu[ROUNDS];	/* two against one */
	double alone[ROUNDS], together[ROUNDS]; /* CPU ns of an access */
};

static void subject_init(struct subject *s, const struct machine *m, const struct peer *peer)
{
	s->bus = machine_bus(m, peer);
	for (int i = 0; i < 2; i++) {
		struct worker *w = &s->workers[i];

		*w = (struct worker){ .peer = peer, .bus = s->bus, .cpu = i };
		w->addr = calloc(N_ADDRESSES, sizeof(*w->addr));
		if (!w->addr)
			bench_die("out of memory");
		machine_aim(w->addr, N_DEVICES / 3 * (unsigned int)(i + 1));
	}
}

static void subject_deinit(struct subject *s)
{
	s->workers[0].peer->destroy(s->bus);
	free(s->workers[0].addr);
	free(s->workers[1].addr);
}

static void subject_round(struct subject *s, unsigned int round)
{
	struct throughput one = run_with(s->workers, 1), two = run_with(s->workers, 2);

	s->wall[round] = two.wall / one.wall;
	s->cpu[round] = two.cpu / one.cpu;
	s->alone[round] = 1 / one.cpu;
	s->together[round] = 2 / two.cpu;
}

void measure_threads(void)
{
	static const struct peer *const peers[] = {
		&peer_ours,   &peer_floor, &peer_kernel,      &peer_map,
		&peer_crosvm, &peer_cloud, &peer_cloud_mutex, &peer_vm_device,
	};
	static struct subject subjects[VIA_ARRAY_SIZE(peers)];
	struct machine m;

	if (sysconf(_SC_NPROCESSORS_ONLN) < 2) {
		goal_skip("G18", "two vCPUs on two devices", "this machine has one CPU");
		return;
	}
	machine_init(&m, N_DEVICES);
	for (unsigned int i = 0; i < VIA_ARRAY_SIZE(peers); i++)
		subject_init(&subjects[i], &m, peers[i]);
	for (unsigned int round = 0; round < ROUNDS; round++) {
		for (unsigned int i = 0; i < VIA_ARRAY_SIZE(peers); i++)
			subject_round(&subjects[(i + round) % VIA_ARRAY_SIZE(peers)], round);
	}
	printf("\ntwo vCPUs, each on a CPU and on one of %u devices (two on peers with locks took "
	       "29 to\n"
	       "123 ns an access then): medians of %u rounds in turn\n",
	       N_DEVICES, ROUNDS);
	printf("  %-46s %9s %9s %12s %12s\n", "", "one, ns", "two, ns", "x (wall)", "x (CPU time)");
	for (unsigned int i = 0; i < VIA_ARRAY_SIZE(peers); i++) {
		struct subject *s = &subjects[i];

		/* Sorts them: a median is in the middle afterwards. */
		printf("  %-46s %9.2f %9.2f %11.2fx %11.2fx\n", peers[i]->name,
		       bench_median(s->alone, ROUNDS), bench_median(s->together, ROUNDS),
		       bench_median(s->wall, ROUNDS), bench_median(s->cpu, ROUNDS));
		subject_deinit(s);
	}
	machine_deinit(&m);
	goal_at_least("G18", "two vCPUs on two devices against one, wall clock",
		      bench_median(subjects[0].wall, ROUNDS), 1.9,
		      goal_text("the floor itself: %.2fx; other load on the CPUs is in this",
				bench_median(subjects[1].wall, ROUNDS)));
	goal_at_least("G18", "two vCPUs on two devices against one, CPU time",
		      bench_median(subjects[0].cpu, ROUNDS), 1.9,
		      goal_text("the floor itself: %.2fx; hardware threads of one core share it",
				bench_median(subjects[1].cpu, ROUNDS)));
}
