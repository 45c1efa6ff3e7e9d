/* SPDX-License-Identifier: MIT */
/*
 * libc's own functions behind the names that the shim takes. Looked up when
 * the shim is loaded, or at the first call by a constructor that ran before.
 */
#ifndef VIA_PRELOAD_REAL_H
#define VIA_PRELOAD_REAL_H

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

/* Makes a definition one of the interposed symbols (listed in preload.map as well). */
#define VIA_INTERPOSE __attribute__((visibility("default")))

#define VIA_REAL_FUNCTIONS(F)                                                                      \
	F(int, openat, (int dir, const char *path, int flags, ...))                                \
	F(FILE *, fopen64, (const char *path, const char *mode))                                   \
	F(int, fflush, (FILE * stream))                                                            \
	F(int, fflush_unlocked, (FILE * stream))                                                   \
	F(int, fclose, (FILE * stream))                                                            \
	F(FILE *, freopen64, (const char *path, const char *mode, FILE *stream))                   \
	F(DIR *, opendir, (const char *path))                                                      \
	F(int, scandir,                                                                            \
	  (const char *path, struct dirent ***list, int (*filter)(const struct dirent *),          \
	   int (*compare)(const struct dirent **, const struct dirent **)))                        \
	F(int, access, (const char *path, int mode))                                               \
	F(int, eaccess, (const char *path, int mode))                                              \
	F(int, faccessat, (int dir, const char *path, int mode, int flags))                        \
	F(int, fstat64, (int fd, struct stat64 *st))                                               \
	F(int, fstatat64, (int dir, const char *path, struct stat64 *st, int flags))               \
	F(int, statx, (int dir, const char *path, int flags, unsigned int mask, struct statx *st)) \
	F(char *, realpath, (const char *path, char *resolved))                                    \
	F(ssize_t, read, (int fd, void *buf, size_t len))                                          \
	F(ssize_t, write, (int fd, const void *buf, size_t len))                                   \
	F(ssize_t, readv, (int fd, const struct iovec *iov, int n))                                \
	F(ssize_t, writev, (int fd, const struct iovec *iov, int n))                               \
	F(ssize_t, recvmsg, (int fd, struct msghdr *msg, int flags))                               \
	F(int, recvmmsg,                                                                           \
	  (int fd, struct mmsghdr *msgs, unsigned int n, int flags, struct timespec *timeout))     \
	F(int, close, (int fd))                                                                    \
	F(int, fcntl64, (int fd, int cmd, ...))                                                    \
	F(int, execve, (const char *path, char *const argv[], char *const envp[]))                 \
	F(int, execvpe, (const char *file, char *const argv[], char *const envp[]))                \
	F(int, execveat,                                                                           \
	  (int dir, const char *path, char *const argv[], char *const envp[], int flags))          \
	F(int, fexecve, (int fd, char *const argv[], char *const envp[]))                          \
	F(int, posix_spawn,                                                                        \
	  (pid_t * pid, const char *path, const posix_spawn_file_actions_t *actions,               \
	   const posix_spawnattr_t *attr, char *const argv[], char *const envp[]))                 \
	F(int, posix_spawnp,                                                                       \
	  (pid_t * pid, const char *file, const posix_spawn_file_actions_t *actions,               \
	   const posix_spawnattr_t *attr, char *const argv[], char *const envp[]))                 \
	F(int, sigaction, (int sig, const struct sigaction *act, struct sigaction *old))           \
	F(int, pthread_sigmask, (int how, const sigset_t *set, sigset_t *old))                     \
	F(int, sigpending, (sigset_t * set))                                                       \
	F(void, siglongjmp, (sigjmp_buf env, int value))                                           \
	F(void, __longjmp_chk, (sigjmp_buf env, int value))

struct via_real {
#define VIA_REAL_MEMBER(ret, name, args) ret(*name) args;
	VIA_REAL_FUNCTIONS(VIA_REAL_MEMBER)
#undef VIA_REAL_MEMBER
};

extern struct via_real via_real_table;
void via_real_init(void);

/* REAL(close)(fd) */
#define REAL(name)                        \
	(*({                              \
		if (!via_real_table.name) \
			via_real_init();  \
		via_real_table.name;      \
	}))

#endif
