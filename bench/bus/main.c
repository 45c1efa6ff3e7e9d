/* SPDX-License-Identifier: MIT */
/*
 * bench-bus [PART...]: the bus beside its peers, in one run. Every goal is printed
 * where it is measured, and all of them once more at the end: G15 to G23 of the list of goals,
 * c.10 of the specification of the bus.
 */
#include "measure.h"

#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/util.h"

static const struct {
	const char *name;
	void (*measure)(void);
} parts[] = {
	{ "exact", measure_exact },	      { "dispatch", measure_dispatch },
	{ "protection", measure_protection }, { "overlay", measure_overlay },
	{ "threads", measure_threads },	      { "register", measure_register },
	{ "remove", measure_remove },	      { "move", measure_move },
	{ "match", measure_match },
};

static void *idle(void *arg)
{
	for (;;)
		(void)pause();
	return NULL;
}

static const char *cpu_name(void)
{
	static char line[160];
	FILE *f = fopen("/proc/cpuinfo", "r");
	const char *name = "unknown";

	while (f && name && fgets(line, sizeof(line), f)) {
		if (strncmp(line, "model name", 10) == 0 && strchr(line, ':')) {
			line[strcspn(line, "\n")] = '\0';
			name = strchr(line, ':') + 2;
			break;
		}
	}
	if (f)
		(void)fclose(f);
	return name;
}

/* us that the first touch of a page takes. */
static double page_fault(void)
{
	const size_t n = 1024, size = 4096;
	char *p = mmap(NULL, n * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	double start;

	if (p == MAP_FAILED)
		bench_die("out of memory");
	(void)madvise(p, n * size, MADV_NOHUGEPAGE);
	start = bench_cpu_ns();
	for (size_t i = 0; i < n; i++)
		p[i * size] = 1;
	start = bench_cpu_ns() - start;
	(void)munmap(p, n * size);
	return start / (double)n / 1000;
}

static void header(bool pinned)
{
	printf("The bus and its peers on %ld CPUs, %s; compiler %s.\n"
	       "One thread at work %s, thread CPU time unless it says wall clock.\n"
	       "Older figures, and the goals, are of an Intel Xeon (family 6 model 207) under KVM "
	       "in 2026-11;\n"
	       "where an uncontended lock or atomic instruction is cheaper than its 6 to 21 ns, "
	       "peers with a lock\n"
	       "are cheaper too, and a ratio to them is smaller though our own cost may be less.\n"
	       "All memory was used before: the first touch of a page, %.1f us here, is in none of "
	       "it.\n",
	       sysconf(_SC_NPROCESSORS_ONLN), cpu_name(), __VERSION__,
	       pinned ? "pinned to CPU 0" : "not pinned", page_fault());
}

int main(int argc, char **argv)
{
	bool pinned = bench_pin(0) == 0;
	pthread_t thread;

	machine_keep_memory();
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	/* A VMM has threads, and with only one the C library's mutex skips its atomics. */
	if (pthread_create(&thread, NULL, idle, NULL))
		bench_die("cannot start a thread");
	header(pinned);
	for (unsigned int i = 0; i < VIA_ARRAY_SIZE(parts); i++) {
		bool wanted = argc < 2;

		for (int k = 1; k < argc; k++)
			wanted |= strcmp(argv[k], parts[i].name) == 0;
		if (wanted)
			parts[i].measure();
	}
	goals_summary();
	return 0;
}
