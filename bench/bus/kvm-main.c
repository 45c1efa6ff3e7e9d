/* SPDX-License-Identifier: MIT */
/*
 * bench-bus-kvm [ENTRIES | --ours]: the bus of the kernel that this runs on, and ours beside it
 * on the same CPU, with up to so many ioeventfds (16,384). Exit status 77: no KVM here.
 * --ours: only what ours takes, for a run in a guest.
 */
#include "kvm-vm.h"
#include "measure.h"
#include "ours.h"

#include <string.h>
#include <sys/eventfd.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/util.h"

#define KVM_ROUNDS 5u
#define N_DOORBELLS 64u

/* Far from what the guest writes to. */
#define ELSEWHERE ((uint64_t)0x100000000)

static int event;

static void must(int rc, const char *what)
{
	if (rc)
		bench_die(goal_text("%s: %s", what, strerror(-rc)));
}

static void open_or_die(struct vm *vm)
{
	const char *why;

	if (!vm_open(vm, &why))
		bench_die(why);
}

static void assign(const struct vm *vm, uint64_t addr)
{
	must(vm_assign(vm, addr, event, NULL), "KVM_IOEVENTFD");
}

static void deassign(const struct vm *vm, uint64_t addr)
{
	must(vm_deassign(vm, addr, event, NULL), "KVM_IOEVENTFD, deassign");
}

/* Where the CPU is emulated, what is computed takes ten times as long, and a clock tick does not.
 */
static const char *emulated(double us_of_one)
{
	return us_of_one > 1000 && getenv("BENCH_EMULATED")
		       ? "; KVM waits for clock ticks, which emulation does not make longer, as it "
			 "does our work"
		       : "";
}

/* us that ours takes outside such a guest, from who started it; 0: not known. */
static double ours_outside(const char *variable)
{
	const char *value = getenv(variable);

	return value ? strtod(value, NULL) : 0;
}

/* KVM's wait is as long there: two clock ticks. */
static void goal_outside(const char *id, const char *what, double kvm_us, const char *variable,
			 double goal)
{
	double ours = ours_outside(variable);

	if (ours > 0)
		goal_at_least(id, what, kvm_us / ours, goal,
			      goal_text("KVM %.0f us here, ours %.1f us outside", kvm_us, ours));
}

static bool has_two_cpus(void)
{
	return sysconf(_SC_NPROCESSORS_ONLN) > 1;
}

/* us since @start, a wall clock in ns. */
static double since(double start)
{
	return (bench_wall_ns() - start) / 1000;
}

/* What an earlier change has left to do is done by then. */
static void settle(void)
{
	(void)usleep(50000);
}

/* What happened to one write. */
static const char *fate(const struct vm *vm, uint64_t offset)
{
	unsigned int exits = vm_write(vm, VM_MMIO + offset, 1, 1);
	unsigned int coalesced = vm_take_coalesced(vm);
	uint64_t signalled;

	if (read(event, &signalled, sizeof(signalled)) == (ssize_t)sizeof(signalled))
		return "entry";
	return coalesced ? "zone" : exits ? "nobody" : "lost";
}

static void kvm_exact(void)
{
	static const uint64_t offsets[] = { 0x04, 0x10, 0x14, 0x800 };
	static const char *const right[] = { "zone", "entry", "zone", "zone" };
	bool exact = true;
	struct vm vm;

	open_or_die(&vm);
	must(vm_coalesce(&vm, VM_MMIO, 0x1000), "KVM_REGISTER_COALESCED_MMIO");
	assign(&vm, VM_MMIO + 0x10);
	printf("  %-46s", "KVM: coalesced zone, ioeventfd");
	for (unsigned int i = 0; i < VIA_ARRAY_SIZE(offsets); i++) {
		const char *owner = fate(&vm, offsets[i]);

		printf(" 0x%03llx: %-7s", (unsigned long long)offsets[i], owner);
		exact &= strcmp(owner, right[i]) == 0;
	}
	printf(" %s\n", exact ? "right" : "WRONG");
	vm_close(&vm);
}

/* us to assign one more, and to take it away again when all is quiet. */
static void one_more(const struct vm *vm, uint64_t addr, double *ret_add, double *ret_remove)
{
	double start = bench_wall_ns();

	assign(vm, addr);
	*ret_add = since(start);
	settle();
	start = bench_wall_ns();
	deassign(vm, addr);
	*ret_remove = since(start);
	settle();
}

static void kvm_register(unsigned int max)
{
	static const struct {
		unsigned int n;
		const char *older;
	} rows[] = { { 1, "2.7" }, { 1000, "27" }, { 4000, "88" }, { 16000, "324" } };
	double add[KVM_ROUNDS] = { 0 }, remove[KVM_ROUNDS], ours[KVM_ROUNDS];
	unsigned int n = 0, reached = 0;
	struct vm vm;

	open_or_die(&vm);
	printf("\nthe kernel's bus with so many ioeventfds: us, medians of %u\n", KVM_ROUNDS);
	printf("  %-10s %12s %18s %22s\n", "entries", "one more", "one less, quiet",
	       "older, one more");
	for (unsigned int i = 0; i < VIA_ARRAY_SIZE(rows) && rows[i].n <= max; i++) {
		for (; n < rows[i].n; n++)
			assign(&vm, ELSEWHERE + 8 * (uint64_t)n);
		settle();
		for (unsigned int k = 0; k < KVM_ROUNDS; k++) {
			one_more(&vm, ELSEWHERE - 8, &add[k], &remove[k]);
			ours[k] = ours_register(16384, true) / 1000;
		}
		printf("  %-10u %12.1f %18.1f %22s\n", n, bench_median(add, KVM_ROUNDS),
		       bench_median(remove, KVM_ROUNDS), rows[i].older);
		reached = n;
	}
	vm_close(&vm);
	printf("  ours, 16384 in one commit: %.3f us each\n", bench_median(ours, KVM_ROUNDS));
	if (reached < 16000)
		goal_skip("G19", "one commit of 16384, each: KVM's at 16000",
			  "fewer entries asked for");
	else
		goal_at_least("G19", "one commit of 16384, each: KVM's at 16000",
			      add[KVM_ROUNDS / 2] / ours[KVM_ROUNDS / 2], 1000,
			      goal_text("KVM %.0f us, 324 us then; ours %.3f us",
					add[KVM_ROUNDS / 2], ours[KVM_ROUNDS / 2]));
}

static void kvm_remove(void)
{
	bool two = has_two_cpus();
	double us[KVM_ROUNDS], ours[KVM_ROUNDS], p50, p50_ours;
	struct vm vm;

	open_or_die(&vm);
	for (unsigned int k = 0; k < KVM_ROUNDS; k++) {
		double start;

		settle();
		assign(&vm, ELSEWHERE);
		start = bench_wall_ns();
		deassign(&vm, ELSEWHERE);
		us[k] = since(start);
		ours[k] = ours_remove(16, two, 50).p50;
	}
	vm_close(&vm);
	p50 = bench_median(us, KVM_ROUNDS);
	p50_ours = bench_median(ours, KVM_ROUNDS);
	printf("\nremoving one just after it was added, us: KVM %.1f (8000 then), ours %.1f%s\n",
	       p50, p50_ours, two ? " with a busy reader" : "");
	goal_at_least("G20", "remove after an add: KVM", p50 / p50_ours, 200,
		      goal_text("KVM %.1f us (where its adds wait themselves, as in 6.1, nothing "
				"is left to wait for); ours %.1f us%s",
				p50, p50_ours, emulated(p50)));
	goal_outside("G20", "remove after an add: KVM, to ours outside the guest", p50,
		     "BENCH_REMOVE", 200);
}

/* us to move 64 ioeventfds to @to, and the order of it. */
static double kvm_move(const struct vm *vm, uint64_t from, uint64_t to, bool removals_first)
{
	double start = bench_wall_ns();

	for (unsigned int i = 0; i < N_DOORBELLS; i++) {
		deassign(vm, from + 8 * i);
		if (!removals_first)
			assign(vm, to + 8 * i);
	}
	for (unsigned int i = 0; i < N_DOORBELLS && removals_first; i++)
		assign(vm, to + 8 * i);
	return since(start);
}

static void kvm_moves(void)
{
	double one_by_one[KVM_ROUNDS], first_quiet[KVM_ROUNDS], first[KVM_ROUNDS], ours[KVM_ROUNDS];
	bool two = has_two_cpus();
	const uint64_t place[] = { ELSEWHERE, ELSEWHERE + 0x1000 };
	struct vm vm;

	open_or_die(&vm);
	for (unsigned int i = 0; i < N_DOORBELLS; i++)
		assign(&vm, place[0] + 8 * i);
	for (unsigned int k = 0; k < KVM_ROUNDS; k++) {
		settle();
		one_by_one[k] = kvm_move(&vm, place[0], place[1], false);
		first[k] = kvm_move(&vm, place[1], place[0], true);
		settle();
		first_quiet[k] = kvm_move(&vm, place[0], place[1], true);
		settle();
		(void)kvm_move(&vm, place[1], place[0], true);
		ours[k] = ours_move(1024, two, 20).p50;
	}
	vm_close(&vm);
	printf("\nmoving 64 doorbells, us, medians of %u rounds in turn\n", KVM_ROUNDS);
	printf("  %-50s %10.0f  (512000 to 670000 then)\n", "KVM, one by one",
	       bench_median(one_by_one, KVM_ROUNDS));
	printf("  %-50s %10.0f  (11800 then)\n", "KVM, removals first, just after a change",
	       bench_median(first, KVM_ROUNDS));
	printf("  %-50s %10.0f  (380 then)\n", "KVM, removals first, quiet",
	       bench_median(first_quiet, KVM_ROUNDS));
	printf("  %-50s %10.0f\n", "ours, with their device, one commit",
	       bench_median(ours, KVM_ROUNDS));
	goal_at_least("G21", "move of 64 doorbells: KVM one by one",
		      one_by_one[KVM_ROUNDS / 2] / ours[KVM_ROUNDS / 2], 5000,
		      goal_text("KVM %.0f us; ours %.0f us%s", one_by_one[KVM_ROUNDS / 2],
				ours[KVM_ROUNDS / 2],
				emulated(one_by_one[KVM_ROUNDS / 2] / N_DOORBELLS)));
	goal_at_least("G21", "KVM one by one: KVM with removals first",
		      one_by_one[KVM_ROUNDS / 2] / first[KVM_ROUNDS / 2], 50,
		      goal_text("%.0f against %.0f us; where adds wait themselves, as in 6.1, the "
				"order gains little",
				one_by_one[KVM_ROUNDS / 2], first[KVM_ROUNDS / 2]));
	goal_outside("G21", "move of 64 doorbells: KVM one by one, to ours outside the guest",
		     one_by_one[KVM_ROUNDS / 2], "BENCH_MOVE", 5000);
}

/* ns of one write of the guest's that signals the last of @n ioeventfds at one address. */
static double kvm_hit(unsigned int n)
{
	const unsigned int n_writes = 400;
	uint64_t signalled;
	struct vm vm;
	double start;

	open_or_die(&vm);
	for (uint32_t data = 0; data < n; data++)
		must(vm_assign(&vm, VM_MMIO, event, &data), "KVM_IOEVENTFD");
	(void)vm_write(&vm, VM_MMIO, n - 1, 10);
	(void)read(event, &signalled, sizeof(signalled));
	start = bench_wall_ns();
	if (vm_write(&vm, VM_MMIO, n - 1, n_writes))
		bench_die("a write that an ioeventfd matches came back");
	start = (bench_wall_ns() - start) / n_writes;
	if (read(event, &signalled, sizeof(signalled)) != (ssize_t)sizeof(signalled) ||
	    signalled != n_writes)
		bench_die("an ioeventfd was not heard");
	vm_close(&vm);
	return start;
}

static void kvm_match(void)
{
	double one[KVM_ROUNDS], many[KVM_ROUNDS], more[KVM_ROUNDS], ours[KVM_ROUNDS];

	for (unsigned int k = 0; k < KVM_ROUNDS; k++) {
		one[k] = kvm_hit(1);
		many[k] = kvm_hit(1000);
		more[k] = many[k] - one[k];
		ours[k] = ours_match(1000).find;
	}
	printf("\ndata-matched ioeventfds at one address, a guest writes to the last: ns, wall "
	       "clock\n"
	       "  KVM with 1: %.0f (1000 then), with 1000: %.0f (24600 then), so %.0f to find it\n",
	       bench_median(one, KVM_ROUNDS), bench_median(many, KVM_ROUNDS),
	       bench_median(more, KVM_ROUNDS));
	printf("  ours, to find one of 1000, without the system call that signals: %.0f\n",
	       bench_median(ours, KVM_ROUNDS));
	goal_at_least("G22", "find one of 1000 at one address: KVM",
		      more[KVM_ROUNDS / 2] / ours[KVM_ROUNDS / 2], 500,
		      goal_text("KVM %.0f ns for 999 more than one; ours %.0f ns in all",
				more[KVM_ROUNDS / 2], ours[KVM_ROUNDS / 2]));
}

/* For who starts this in a guest: shell variables. */
static int print_ours(void)
{
	printf("BENCH_REMOVE=%.2f BENCH_MOVE=%.2f\n", ours_remove(16, has_two_cpus(), 500).p50,
	       ours_move(1024, has_two_cpus(), 500).p50);
	return 0;
}

int main(int argc, char **argv)
{
	unsigned int max = argc > 1 ? (unsigned int)strtoul(argv[1], NULL, 0) : 16384;
	struct utsname name;
	const char *why;
	struct vm vm;

	machine_keep_memory();
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	(void)bench_pin(0);
	if (argc > 1 && strcmp(argv[1], "--ours") == 0)
		return print_ours();
	if (!vm_open(&vm, &why)) {
		printf("no KVM here: %s\n", why);
		return 77;
	}
	vm_close(&vm);
	event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (event < 0 || uname(&name))
		bench_die("no eventfd");
	printf("The bus of Linux %s's KVM, and ours on the same CPU; older figures: Linux 6.18 on "
	       "a Xeon.\n",
	       name.release);
	measure_exact();
	kvm_exact();
	kvm_register(max);
	kvm_remove();
	kvm_moves();
	kvm_match();
	goals_summary();
	return 0;
}
