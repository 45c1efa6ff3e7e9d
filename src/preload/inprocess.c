/* SPDX-License-Identifier: MIT */
/*
 * The host's code runs on the program's threads here and calls libc like
 * anybody, so its own calls would come back through the shim: while a thread
 * is inside, and on the host's own threads, the shim lets everything pass.
 */
#include "preload/inprocess.h"

#include "preload/signals.h"
#include "preload/sys.h"

#include "host/local.h"
#include "memory/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Atomic: 0 not looked, 1 in process, 2 not. */
static int presence;
static pthread_once_t once = PTHREAD_ONCE_INIT;
/* Written under once. */
static struct via_host *host;
static int host_error;
static pid_t host_pid;

static __thread unsigned int inside __attribute__((tls_model("initial-exec")));

bool via_inprocess_present(void)
{
	int now = __atomic_load_n(&presence, __ATOMIC_RELAXED);

	if (!now) {
		const char *value = getenv("VIADUCT_INPROCESS");

		now = value && strcmp(value, "1") == 0 && getenv("VIADUCT_DEVICES") ? 1 : 2;
		__atomic_store_n(&presence, now, __ATOMIC_RELAXED);
	}
	return now == 1;
}

bool via_inprocess_inside(void)
{
	return inside != 0;
}

/* The host's threads -------------------------------------------------------------------- */

struct start {
	void *(*main)(void *);
	void *arg;
};

static void *thread_main(void *arg)
{
	struct start start = *(struct start *)arg;

	free(arg);
	inside = 1;
	via_guard_adopt_thread();
	return start.main(start.arg);
}

/* The linker sends every pthread_create() in this library here (--wrap). */
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*main)(void *),
			  void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*main)(void *),
			  void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*main)(void *),
			  void *arg)
{
	struct start *start = malloc(sizeof(*start));
	uint64_t all = ~(1ull << (SIGSEGV - 1) | 1ull << (SIGBUS - 1)), old;
	int err;

	if (!start)
		return EAGAIN;
	*start = (struct start){main, arg};
	/* The program's signals are not for the host's threads, but their own faults are. */
	via_sys(SYS_rt_sigprocmask, SIG_SETMASK, &all, &old, sizeof(all));
	err = __real_pthread_create(thread, attr, thread_main, start);
	via_sys(SYS_rt_sigprocmask, SIG_SETMASK, &old, NULL, sizeof(old));
	if (err)
		free(start);
	return err;
}

/* Making the host ------------------------------------------------------------------------- */

static void say(const char *text, const char *detail)
{
	char line[1400];
	int n = snprintf(line, sizeof(line), "viaduct: %s: %s\n", text, detail);

	if (n > 0)
		via_sys(SYS_write, STDERR_FILENO, line,
			n < (int)sizeof(line) ? n : (int)sizeof(line));
}

static bool setting(const char *config, const char *name, const char *value)
{
	char text[64];
	int n = snprintf(text, sizeof(text), "%s=%s", name, value);
	const char *at = n > 0 ? strstr(config, text) : NULL;

	return at && (at[n] == ';' || at[n] == '\0') && (at == config || at[-1] == ';');
}

/* 0: not set. */
static long number(const char *config, const char *name)
{
	char text[64];
	int n = snprintf(text, sizeof(text), ";%s=", name);
	const char *at = n > 0 ? strstr(config, text) : NULL;

	return at ? strtol(at + n, NULL, 10) : 0;
}

static int add_devices(void)
{
	const char *devices = getenv("VIADUCT_DEVICES");
	char *list = strdup(devices ? devices : ""), *rest = list, *spec;
	struct via_error error = {0};
	int err = list ? 0 : -ENOMEM;

	while (!err && (spec = strsep(&rest, "\n")))
		if (*spec)
			err = via_host_add_device(host, spec, &error);
	if (err)
		say("in process", error.text);
	free(list);
	return err;
}

/* Virtual functions appear in the view only if it can be reached: else they have no names. */
static void show_view(void)
{
	const char *dir = getenv("VIADUCT_ROOT"), *sysfs = getenv("VIADUCT_SYSFS");
	int root = dir ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1, sys = -1;

	if (sysfs && strcmp(sysfs, "mounted") == 0)
		sys = open("/sys", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	else if (root >= 0)
		sys = openat(root, "sys", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root >= 0 && sys >= 0 && via_host_view(host, sys, root) == 0)
		return;
	if (root >= 0)
		close(root);
	if (sys >= 0)
		close(sys);
}

static void make_host(void)
{
	const char *config = getenv("VIADUCT_CONFIG");
	struct via_vfio_config c = {0};

	config = config ? config : "";
	c.profile = setting(config, "profile", "linux") ? VIA_PROFILE_LINUX : VIA_PROFILE_FULL;
	c.bars = setting(config, "bars", "trap") ? VIA_BARS_TRAP
		 : setting(config, "bars", "io") ? VIA_BARS_IO
						 : VIA_BARS_AUTO;
	c.memlock = setting(config, "memlock", "enforce") ? VIA_MEMLOCK_ENFORCE : VIA_MEMLOCK_WARN;
	c.compat_container = setting(config, "container", "iommufd");
	c.iommu_test = setting(config, "iommu_test", "yes");
	if (setting(config, "iommu", "spapr"))
		c.iommu_kind = VIA_IOMMU_SPAPR;
	else if (setting(config, "iommu", "none"))
		c.iommu_kind = VIA_IOMMU_NONE;
	c.dma_entry_limit = (uint32_t)number(config, "dma_entry_limit");
	c.vaddr_wait_ms = (int32_t)number(config, "vaddr_wait_ms");
	host_pid = getpid();
	via_signals_guard_host();
	host_error = via_host_new(&c, &host);
	if (!host_error)
		host_error = add_devices();
	if (!host_error)
		show_view();
}

/* Calls ------------------------------------------------------------------------------------- */

static int64_t call_inside(struct via_call *call)
{
	uint8_t stack[512], *data = stack;
	size_t size = 0;
	int64_t ret;
	long p;

	/* The host may use all of the data; what needs none gets none. */
	if (call->in_len || call->out_len) {
		size = VIA_DOOR_DATA_SIZE;
		p = via_sys(SYS_mmap, NULL, size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (p < 0 && p >= -4095)
			return -ENOMEM;
		data = (uint8_t *)p;
	}
	if (call->in_len)
		memcpy(data, call->in, call->in_len);
	call->request.n_fds = call->fd >= 0;
	ret = via_host_local_call(host, &call->request, data, call->fd, &call->reply,
				  &call->ret_fd);
	if (ret >= 0 && call->out_len)
		memcpy(call->out, data, call->out_len);
	if (call->ret_fd >= 0 && !call->cloexec)
		via_sys(SYS_fcntl, call->ret_fd, F_SETFD, 0);
	if (size)
		via_sys(SYS_munmap, data, size);
	return ret;
}

int64_t via_inprocess_call(struct via_call *call)
{
	int64_t ret;

	inside++;
	pthread_once(&once, make_host);
	if (host_error) {
		ret = host_error;
	} else if (host_pid != getpid()) {
		static int said;

		/* The host's threads stayed in the parent. */
		if (!__atomic_exchange_n(&said, 1, __ATOMIC_RELAXED))
			say("in process",
			    "a forked child has no devices; run without --in-process");
		ret = -ENODEV;
	} else {
		ret = call_inside(call);
	}
	inside--;
	return ret;
}
