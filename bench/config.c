/* SPDX-License-Identifier: MIT */
/*
 * Cost of a 4-byte read of config space that nobody but the library answers:
 * the ids, and a BAR. Beside it what asks the kernel for as much, a pread of a
 * memfd, and what a lock around a copy would cost.
 */
#include "bench.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/util.h"
#include "device/device.h"
#include "pci/config.h"
#include "pci/regs.h"

#define READS 2000000u
#define SLOW_READS 200000u
#define ROUNDS 15u

struct subject {
	struct via_device *dev;
	struct via_irqs *irqs;
	struct via_config *config;
	int memfd;
	pthread_mutex_t lock;
	uint8_t bytes[64];
	uint32_t sum; /* so that no read is left out */
};

static void die(const char *what)
{
	fprintf(stderr, "bench config: %s\n", what);
	exit(1);
}

static double read_config(struct subject *s, uint64_t pos)
{
	double start = bench_cpu_ns();
	uint32_t value;

	for (unsigned int i = 0; i < READS; i++) {
		if (via_config_read(s->config, pos, &value, sizeof(value)) != sizeof(value))
			die("a read failed");
		s->sum += value;
	}
	return (bench_cpu_ns() - start) / READS;
}

static double run_ids(void *arg)
{
	return read_config(arg, PCI_VENDOR_ID);
}

static double run_bar(void *arg)
{
	return read_config(arg, PCI_BAR(0));
}

/* Not the library's alone: STATUS is the device's, and takes the lock. */
static double run_locked(void *arg)
{
	return read_config(arg, PCI_COMMAND);
}

static double run_device(void *arg)
{
	struct subject *s = arg;
	double start = bench_cpu_ns();
	uint32_t value;

	for (unsigned int i = 0; i < READS; i++) {
		if (via_device_region_read(s->dev, VIA_REGION_CONFIG, PCI_VENDOR_ID, &value,
					   sizeof(value)) != sizeof(value))
			die("a read failed");
		s->sum += value;
	}
	return (bench_cpu_ns() - start) / READS;
}

static double run_pread(void *arg)
{
	struct subject *s = arg;
	double start = bench_cpu_ns();
	uint32_t value;

	for (unsigned int i = 0; i < SLOW_READS; i++) {
		if (pread(s->memfd, &value, sizeof(value), 0) != sizeof(value))
			die("a pread failed");
		s->sum += value;
	}
	return (bench_cpu_ns() - start) / SLOW_READS;
}

static double run_mutex(void *arg)
{
	struct subject *s = arg;
	double start = bench_cpu_ns();
	uint32_t value;

	for (unsigned int i = 0; i < READS; i++) {
		pthread_mutex_lock(&s->lock);
		memcpy(&value, s->bytes + i % 16 * 4, sizeof(value));
		pthread_mutex_unlock(&s->lock);
		s->sum += value;
	}
	return (bench_cpu_ns() - start) / READS;
}

static void start(struct subject *s)
{
	static const struct via_config_ops hooks = {.memory = NULL};
	static const struct via_device_ops ops = {.free = NULL};
	static const struct via_config_desc desc = {
		.ident = {.vendor = 0x1af4, .device = 0x10f0, .interrupt_pin = 1},
		.bars = {{.size = 0x4000}},
	};
	static const struct via_device_desc device_desc = {
		.name = "bench",
		.ident = {.vendor = 0x1af4, .device = 0x10f0, .interrupt_pin = 1},
		.bars = {{.size = 0x4000}},
	};
	struct via_irqs_desc irqs;
	struct via_error err = {0};

	*s = (struct subject){.memfd = memfd_create("config", MFD_CLOEXEC)};
	pthread_mutex_init(&s->lock, NULL);
	via_config_irqs_desc(&desc, &irqs);
	if (s->memfd < 0 || ftruncate(s->memfd, 4096) ||
	    via_irqs_new(&irqs, NULL, NULL, &s->irqs) ||
	    via_config_new(&desc, &hooks, NULL, s->irqs, &err, &s->config) ||
	    via_device_new(&device_desc, &ops, NULL, &err, &s->dev) || via_device_open(s->dev))
		die(err.text[0] ? err.text : "out of memory");
	via_config_open(s->config);
}

static void stop(struct subject *s)
{
	via_config_close(s->config);
	via_config_free(s->config);
	via_irqs_free(s->irqs);
	via_device_close(s->dev);
	via_device_free(s->dev);
	pthread_mutex_destroy(&s->lock);
	close(s->memfd);
}

/* Others that read and write the same function meanwhile. */
struct crowd {
	struct subject *s;
	atomic_bool stop;
};

static void *write_bar(void *arg)
{
	struct crowd *crowd = arg;

	for (uint32_t i = 0; !atomic_load(&crowd->stop); i++) {
		(void)via_config_write(crowd->s->config, PCI_BAR(0), &i, sizeof(i));
		(void)sched_yield();
	}
	return NULL;
}

static void measure(struct subject *s, const char *title)
{
	struct bench_case cases[] = {
		{"config space: vendor and device id", run_ids, s},
		{"config space: a BAR", run_bar, s},
		{"the same through the device's region", run_device, s},
		{"config space: COMMAND and STATUS (locks)", run_locked, s},
		{"a mutex around a copy", run_mutex, s},
		{"pread of a memfd", run_pread, s},
	};

	bench_compare(title, "ns per read, thread CPU time", cases, VIA_ARRAY_SIZE(cases), ROUNDS);
}

int main(void)
{
	bool pinned = bench_pin(0) == 0;
	struct crowd crowd = {0};
	struct subject s;
	pthread_t thread;

	printf("config space: reads of 4 bytes, %s, compiler %s\n",
	       pinned ? "pinned to CPU 0" : "not pinned", __VERSION__);
	start(&s);
	crowd.s = &s;
	/* A program has threads, and with only one the C library's mutex skips its atomics. */
	if (pthread_create(&thread, NULL, write_bar, &crowd))
		die("cannot start a thread");
	measure(&s, "while another thread writes a BAR");
	atomic_store(&crowd.stop, true);
	(void)pthread_join(thread, NULL);
	stop(&s);
	return s.sum == 0;
}
