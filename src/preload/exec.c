/* SPDX-License-Identifier: MIT */
/*
 * A program that is started with an environment made from scratch still needs
 * the shim and its settings: what is missing is added. Only the stack is used,
 * because a vfork child runs here in its parent's memory.
 */
#include "preload/exec.h"

#include "preload/client.h"
#include "preload/real.h"
#include "preload/self.h"

#include <alloca.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

extern char **environ;

static const char *const names[] = {
	"LD_PRELOAD",	     "VIADUCT_SOCKET",	"VIADUCT_ROOT",	  "VIADUCT_SYSFS",
	"VIADUCT_INPROCESS", "VIADUCT_DEVICES", "VIADUCT_CONFIG", "VIADUCT_DMA",
	"VIADUCT_HUGEPAGES", "VIADUCT_CHECK",
};
enum { N_NAMES = sizeof(names) / sizeof(names[0]), PRELOAD = 0 };

/* "NAME=value" as at the start, or NULL; the shim's own path. Constant after the constructor. */
static char *kept[N_NAMES];
static char shim_path[512];

static bool is_named(const char *entry, const char *name)
{
	size_t len = strlen(name);

	return strncmp(entry, name, len) == 0 && entry[len] == '=';
}

/* preload: the value of LD_PRELOAD. */
static void find_shim(const char *preload)
{
	const char *at = strstr(preload, "libviaduct-preload.so"), *start = at;
	size_t len;

	if (!at)
		return;
	while (start > preload && start[-1] != ':' && start[-1] != ' ')
		start--;
	len = (size_t)(at - start) + strcspn(at, ": ");
	if (len < sizeof(shim_path))
		memcpy(shim_path, start, len);
}

void via_exec_init(void)
{
	for (unsigned int i = 0; i < N_NAMES; i++)
		for (char **e = environ; e && *e && !kept[i]; e++)
			if (is_named(*e, names[i]))
				kept[i] = strdup(*e);
	if (kept[PRELOAD])
		find_shim(kept[PRELOAD] + strlen("LD_PRELOAD="));
}

/*
 * The kernel's limit for a string, and more entries than it takes with the
 * usual limit of a stack: a copy of them must not overflow ours.
 */
enum { PAGE = 4096, MAX_STRING = 32 * PAGE, MAX_ENTRIES = 1 << 18, BATCH = 32 };

/* What complete() needs. */
struct room {
	size_t n;    /* entries that are there */
	size_t text; /* bytes for the longest LD_PRELOAD entry that it may have to make */
};

/* Bytes before the NUL of a string of the program's; negative where the kernel refuses it. */
static int64_t length(uint64_t from)
{
	char part[256];
	int64_t n = 0;
	int r;

	while ((r = via_self_string(part, from + (uint64_t)n, sizeof(part))) == -ENAMETOOLONG) {
		n += (int64_t)sizeof(part);
		if (n > MAX_STRING)
			return -E2BIG;
	}
	return r < 0 ? r : n + r;
}

/* False for what the kernel is going to refuse: it cannot be read, or is too much. */
static bool measure(char *const envp[], struct room *ret_room)
{
	uint64_t at = (uint64_t)envp, entries[BATCH];

	*ret_room = (struct room){.text = 1};
	while (at) {
		/* Never past the page that the array may end in. */
		size_t n = (PAGE - at % PAGE) / sizeof(entries[0]);
		int64_t len;

		n = n > BATCH ? BATCH : n + !n;
		if (via_self_read(entries, at, n * sizeof(entries[0])))
			return false;
		for (size_t i = 0; i < n; i++) {
			if (!entries[i])
				return true;
			len = length(entries[i]);
			if (len < 0 || ++ret_room->n > MAX_ENTRIES)
				return false;
			if (is_named((const char *)entries[i], "LD_PRELOAD") &&
			    ret_room->text < (size_t)len + sizeof(shim_path) + 2)
				ret_room->text = (size_t)len + sizeof(shim_path) + 2;
		}
		at += n * sizeof(entries[0]);
	}
	return true;
}

/* to: place for n + N_NAMES + 1 entries; text: as measured. */
static char **complete(char *const envp[], size_t n, char **to, char *text)
{
	bool have[N_NAMES] = {false};

	for (size_t i = 0; i < n; i++) {
		to[i] = envp[i];
		for (unsigned int k = 0; k < N_NAMES; k++)
			have[k] |= is_named(envp[i], names[k]);
		/* Somebody else's preload, without ours: ours goes in front. */
		if (is_named(envp[i], "LD_PRELOAD") && shim_path[0] &&
		    !strstr(envp[i], "libviaduct-preload.so")) {
			const char *others = envp[i] + strlen("LD_PRELOAD=");

			strcpy(stpcpy(text, "LD_PRELOAD="), shim_path);
			if (*others)
				strcat(strcat(text, ":"), others);
			to[i] = text;
		}
	}
	for (unsigned int k = 0; k < N_NAMES; k++)
		if (!have[k] && kept[k])
			to[n++] = kept[k];
	to[n] = NULL;
	return to;
}

/* envp, or a completed copy on the stack of the calling function. */
#define COMPLETE(envp)                                                               \
	({                                                                           \
		char *const *_envp = (envp);                                         \
		struct room _room;                                                   \
		via_client_present() && measure(_envp, &_room)                       \
			? complete(_envp, _room.n,                                   \
				   alloca((_room.n + N_NAMES + 1) * sizeof(char *)), \
				   alloca(_room.text))                               \
			: (char **)(uintptr_t)_envp;                                 \
	})

VIA_INTERPOSE int execve(const char *path, char *const argv[], char *const envp[])
{
	return REAL(execve)(path, argv, COMPLETE(envp));
}

VIA_INTERPOSE int execv(const char *path, char *const argv[])
{
	return REAL(execve)(path, argv, COMPLETE(environ));
}

VIA_INTERPOSE int execvp(const char *file, char *const argv[])
{
	return REAL(execvpe)(file, argv, COMPLETE(environ));
}

VIA_INTERPOSE int execvpe(const char *file, char *const argv[], char *const envp[])
{
	return REAL(execvpe)(file, argv, COMPLETE(envp));
}

VIA_INTERPOSE int execveat(int dir, const char *path, char *const argv[], char *const envp[],
			   int flags)
{
	return REAL(execveat)(dir, path, argv, COMPLETE(envp), flags);
}

VIA_INTERPOSE int fexecve(int fd, char *const argv[], char *const envp[])
{
	return REAL(fexecve)(fd, argv, COMPLETE(envp));
}

/* Arguments up to the NULL as an array on the stack; ap is left behind the NULL. */
#define GATHER(argv, ap, first)                           \
	do {                                              \
		va_list _count;                           \
		size_t _n = 1;                            \
		va_copy(_count, ap);                      \
		while (va_arg(_count, char *))            \
			_n++;                             \
		va_end(_count);                           \
		argv = alloca((_n + 1) * sizeof(char *)); \
		argv[0] = (char *)(uintptr_t)(first);     \
		for (size_t _i = 1; _i <= _n; _i++)       \
			argv[_i] = va_arg(ap, char *);    \
	} while (0)

VIA_INTERPOSE int execl(const char *path, const char *arg, ...)
{
	char **argv;
	va_list ap;

	va_start(ap, arg);
	GATHER(argv, ap, arg);
	va_end(ap);
	return execv(path, argv);
}

VIA_INTERPOSE int execlp(const char *file, const char *arg, ...)
{
	char **argv;
	va_list ap;

	va_start(ap, arg);
	GATHER(argv, ap, arg);
	va_end(ap);
	return execvp(file, argv);
}

VIA_INTERPOSE int execle(const char *path, const char *arg, ...)
{
	char **argv, **envp;
	va_list ap;

	va_start(ap, arg);
	GATHER(argv, ap, arg);
	envp = va_arg(ap, char **);
	va_end(ap);
	return execve(path, argv, envp);
}

VIA_INTERPOSE int posix_spawn(pid_t *restrict pid, const char *restrict path,
			      const posix_spawn_file_actions_t *restrict actions,
			      const posix_spawnattr_t *restrict attr, char *const argv[restrict],
			      char *const envp[restrict])
{
	return REAL(posix_spawn)(pid, path, actions, attr, argv, COMPLETE(envp));
}

VIA_INTERPOSE int posix_spawnp(pid_t *restrict pid, const char *restrict file,
			       const posix_spawn_file_actions_t *restrict actions,
			       const posix_spawnattr_t *restrict attr, char *const argv[restrict],
			       char *const envp[restrict])
{
	return REAL(posix_spawnp)(pid, file, actions, attr, argv, COMPLETE(envp));
}
