/* SPDX-License-Identifier: MIT */
/* One thread, one access after another: to one device, and to devices at random. */
#include "measure.h"

#include "base/util.h"

#define N_OPS 200000u

static const struct peer *const peers[] = {
	&peer_ours,	      &peer_floor,  &peer_floor_section, &peer_kernel,
	&peer_kernel_cookie,  &peer_linear, &peer_map,		 &peer_crosvm,
	&peer_crosvm_mutex,   &peer_cloud,  &peer_cloud_mutex,	 &peer_vm_device,
	&peer_vm_device_bare, &peer_qemu,
};
#define N_PEERS VIA_ARRAY_SIZE(peers)
#define FLOOR 2u /* with a section: no bus that can change is below it */

/* A peer in this table. */
struct subject {
	const struct peer *peer;
	const struct machine *machine;
	void *bus;
	unsigned int n_ops;
	bool hit;
};

static double run_subject(void *arg)
{
	const struct subject *s = arg;

	return s->peer->run(s->bus, s->machine->addr, s->n_ops, s->hit);
}

/* One table: the peers that can have so many devices. */
struct table {
	struct machine machine;
	struct subject subjects[N_PEERS];
	struct bench_case cases[N_PEERS];
	unsigned int n;
};

static void table_init(struct table *t, unsigned int n)
{
	t->n = 0;
	machine_init(&t->machine, n);
	for (unsigned int i = 0; i < N_PEERS; i++) {
		const struct peer *peer = peers[i];
		struct subject *s = &t->subjects[t->n];

		if (!peer->create || (peer->n_max && n > peer->n_max))
			continue;
		*s = (struct subject){ peer, &t->machine, machine_bus(&t->machine, peer), N_OPS,
				       true };
		if (peer->scan)
			s->n_ops = N_OPS / (n / 32 + 1);
		t->cases[t->n++] = (struct bench_case){ peer->name, run_subject, s, { 0 } };
	}
}

static void table_aim(struct table *t, enum pattern pattern)
{
	unsigned int i, n = 0;

	machine_pattern(&t->machine, pattern);
	for (i = 0; i < t->n; i++) {
		const struct peer *peer = t->subjects[i].peer;

		t->subjects[i].hit = pattern != MISS;
		/* These know no miss. */
		if (pattern == MISS && (peer == &peer_floor || peer == &peer_floor_section)) {
			peer->destroy(t->subjects[i].bus);
			continue;
		}
		t->subjects[n] = t->subjects[i];
		t->cases[n] = t->cases[i];
		t->cases[n].arg = &t->subjects[n];
		n++;
	}
	t->n = n;
}

static void table_deinit(struct table *t)
{
	for (unsigned int i = 0; i < t->n; i++)
		t->subjects[i].peer->destroy(t->subjects[i].bus);
	machine_deinit(&t->machine);
}

static const struct bench_case *find(const struct table *t, const struct peer *peer)
{
	for (unsigned int i = 0; i < t->n; i++) {
		if (t->subjects[i].peer == peer)
			return &t->cases[i];
	}
	return NULL;
}

static double older(const struct peer *peer, unsigned int n, enum pattern pattern)
{
	if (pattern == MISS)
		return 0;
	if (pattern == HOT)
		return n == 16384 || peer == &peer_qemu ? peer->older.hot : 0;
	switch (n) {
	case 4:
		return peer->older.random_4;
	case 64:
		return peer->older.random_64;
	case 1024:
		return peer->older.random_1024;
	default:
		return peer->older.random_16384;
	}
}

static void print(const struct table *t, unsigned int n, enum pattern pattern)
{
	static const char *const words[] = { "one of them", "at random", "between them at random" };

	printf("\n%u devices, %s: ns of CPU for each write, medians of %u rounds in turn\n", n,
	       words[pattern], ROUNDS);
	printf("  %-46s %9s %9s %9s %9s %12s\n", "", "median", "min", "max", "to ours",
	       "older (Xeon)");
	for (unsigned int i = 0; i < t->n; i++) {
		double sorted[ROUNDS], median;
		double figure = older(t->subjects[i].peer, n, pattern);

		for (unsigned int k = 0; k < ROUNDS; k++)
			sorted[k] = t->cases[i].sample[k];
		median = bench_median(sorted, ROUNDS);
		printf("  %-46s %9.2f %9.2f %9.2f %8.2fx", t->cases[i].name, median, sorted[0],
		       sorted[ROUNDS - 1], sample_ratio(&t->cases[i], &t->cases[0], ROUNDS));
		if (figure > 0)
			printf(" %12.1f\n", figure);
		else
			printf(" %12s\n", "-");
	}
}

/* The peer's price against ours; when that is too little, how much of it is beyond anybody. */
static void compare(const struct table *t, const char *id, const char *what,
		    const struct bench_case *peer, double goal)
{
	double ours = sample_median(&t->cases[0], ROUNDS);
	double floor = sample_median(&t->cases[FLOOR], ROUNDS);
	double theirs = sample_median(peer, ROUNDS);
	const char *why;

	if (theirs / floor < goal)
		why = goal_text("callback, loop and read section alone take %.1f ns, so nothing "
				"can be more than %.1fx "
				"cheaper than this peer's %.1f ns on this CPU; ours adds %.1f ns",
				floor, theirs / floor, theirs, ours - floor);
	else
		why = goal_text("ours takes %.1f ns, %.1f above the floor; the goal would be %.1f",
				ours, ours - floor, theirs / goal);
	goal_at_least(id, goal_text("%s: %s", what, peer->name),
		      sample_ratio(peer, &t->cases[0], ROUNDS), goal, why);
}

/* The cheapest of those that VMMs use and that may change while they are searched. */
static const struct bench_case *best_locked(const struct table *t, bool vmms_only)
{
	const struct bench_case *best = NULL;

	for (unsigned int i = 1; i < t->n; i++) {
		const struct peer *peer = t->subjects[i].peer;

		if (!peer->locked || (vmms_only && peer == &peer_map))
			continue;
		if (!best || sample_median(&t->cases[i], ROUNDS) < sample_median(best, ROUNDS))
			best = &t->cases[i];
	}
	return best;
}

static void goals(const struct table *t, unsigned int n, enum pattern pattern)
{
	const struct bench_case *qemu = find(t, &peer_qemu);

	if (pattern == HOT) {
		const char *what = goal_text("hot of %u", n);

		compare(t, "G15", what, find(t, &peer_map), 12);
		compare(t, "G15", what, best_locked(t, true), 12);
		return;
	}
	if (pattern == MISS) {
		goal_at_most("c.10", goal_text("an address that nobody answers, of %u", n),
			     sample_median(&t->cases[0], ROUNDS), "ns", 5,
			     "it takes the way of all that is not one plain callback");
		return;
	}
	if (n < 1024)
		return;
	compare(t, "G16", goal_text("random of %u", n), best_locked(t, false), 10);
	compare(t, "G16", goal_text("random of %u", n), find(t, &peer_kernel), 10);
	if (n > 1024)
		return;
	if (qemu)
		compare(t, "G17", "random of 1024", qemu, 20);
	else
		goal_skip("G17", "random of 1024: QEMU's memory API", "built without libunicorn");
}

void measure_dispatch(void)
{
	static const unsigned int counts[] = { 4, 64, 1024, 16384 };
	static struct table t;

	for (unsigned int i = 0; i < VIA_ARRAY_SIZE(counts); i++) {
		table_init(&t, counts[i]);
		for (enum pattern pattern = HOT; pattern <= MISS; pattern++) {
			table_aim(&t, pattern);
			bench_run(t.cases, t.n, ROUNDS);
			print(&t, counts[i], pattern);
			goals(&t, counts[i], pattern);
		}
		table_deinit(&t);
	}
	if (!peer_qemu.create)
		printf("\n  (no figures of QEMU's memory API: built without libunicorn)\n");
}
