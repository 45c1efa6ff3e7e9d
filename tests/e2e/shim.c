/* SPDX-License-Identifier: MIT */
/*
 * What a program may do around a device that the shim has to get right:
 * signals, masks, fork, exec, descriptor games, pieces of mappings. Runs under
 * `viaduct run --bars=trap --device edu,addr=0000:00:01.0,group=1`; nothing in
 * it knows of Viaduct.
 *
 *   shim GROUP BDF [CASE]
 */
#include "edu-client.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

static const char *self;
/* ASAN_OPTIONS when the shim has ASan (lib.sh), or NULL. */
static const char *sanitizer_options;

/* Signals ------------------------------------------------------------------------------------- */

static volatile sig_atomic_t got_signal, got_depth;
static void *volatile got_addr;
static sigjmp_buf jump;
static char *volatile guarded;

static void on_segv_open(int sig, siginfo_t *info, void *context)
{
	(void)context;
	got_signal = sig;
	got_addr = info->si_addr;
	/* A register from inside the handler, with SIGSEGV blocked as the program sees it. */
	CHECK(*reg(ID) == EDU_ID);
	CHECK(mprotect((void *)((uintptr_t)info->si_addr & ~(uintptr_t)(PAGE - 1)), PAGE,
		       PROT_READ | PROT_WRITE) == 0);
}

static void on_segv_jump(int sig)
{
	got_signal = sig;
	siglongjmp(jump, 1);
}

static void on_bus(int sig, siginfo_t *info, void *context)
{
	(void)context;
	got_signal = sig;
	got_addr = info->si_addr;
	siglongjmp(jump, 1);
}

static void on_usr(int sig)
{
	(void)sig;
	alive();
	got_depth++;
}

static void test_signals(void)
{
	struct sigaction act = {.sa_sigaction = on_segv_open, .sa_flags = SA_SIGINFO | SA_ONSTACK};
	struct sigaction back;
	static char stack_memory[65536];
	stack_t stack = {.ss_sp = stack_memory, .ss_size = sizeof(stack_memory)};
	sigset_t all, now;

	open_all();
	/* Before and after the trap's own handler is there, the program sees only its own. */
	CHECK(sigaction(SIGSEGV, NULL, &back) == 0 && back.sa_handler == SIG_DFL);
	CHECK(sigaltstack(&stack, NULL) == 0);
	CHECK(sigaction(SIGSEGV, &act, NULL) == 0);
	CHECK(sigaction(SIGSEGV, NULL, &back) == 0);
	CHECK(back.sa_sigaction == on_segv_open && back.sa_flags & SA_ONSTACK &&
	      !(back.sa_flags & SA_NODEFER));
	guarded = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	guarded[5] = 1;
	CHECK(got_signal == SIGSEGV && got_addr == guarded + 5);
	alive();

	/* Out of a handler by siglongjmp, many times, and by signal(). */
	CHECK(signal(SIGSEGV, on_segv_jump) != SIG_ERR);
	CHECK(mprotect(guarded, PAGE, PROT_NONE) == 0);
	for (int i = 0; i < 100; i++) {
		got_signal = 0;
		if (!sigsetjmp(jump, 1))
			guarded[0] = 1;
		CHECK(got_signal == SIGSEGV);
		alive();
	}
	CHECK(signal(SIGSEGV, SIG_DFL) == on_segv_jump);

	/* Masks: everything blocked, and the device still there. */
	sigfillset(&all);
	CHECK(sigprocmask(SIG_BLOCK, &all, NULL) == 0);
	CHECK(sigprocmask(SIG_BLOCK, NULL, &now) == 0 && sigismember(&now, SIGSEGV));
	alive();
	CHECK(pthread_sigmask(SIG_UNBLOCK, &all, &now) == 0 && sigismember(&now, SIGSEGV));
	CHECK(sigprocmask(SIG_BLOCK, NULL, &now) == 0 && !sigismember(&now, SIGSEGV));

	/* A handler that runs with everything blocked. */
	act = (struct sigaction){.sa_handler = on_usr};
	sigfillset(&act.sa_mask);
	CHECK(sigaction(SIGUSR1, &act, NULL) == 0);
	CHECK(sigaction(SIGUSR1, NULL, &back) == 0 && sigismember(&back.sa_mask, SIGSEGV));
	raise(SIGUSR1);
	CHECK(got_depth == 1);

	/* Memory disabled: SIGBUS at the register, then it works again. */
	act = (struct sigaction){.sa_sigaction = on_bus, .sa_flags = SA_SIGINFO};
	CHECK(sigaction(SIGBUS, &act, NULL) == 0);
	memory_enable(false);
	got_signal = 0;
	if (!sigsetjmp(jump, 1))
		(void)*reg(LIVENESS);
	CHECK(got_signal == SIGBUS && got_addr == (void *)reg(LIVENESS));
	memory_enable(true);
	alive();
	signal(SIGBUS, SIG_DFL);
	close_all();
}

/* How a process ends whose fault is nobody's. */
static void test_crash(void)
{
	void *volatile nowhere = (void *)16;
	pid_t pid;

	open_all();
	for (int how = 0; how < 4; how++) {
		fflush(stdout);
		pid = fork();
		if (!pid) {
			sigset_t segv;

			sigemptyset(&segv);
			sigaddset(&segv, SIGSEGV);
			bar = map_bar();
			alive();
			if (how == 1)
				signal(SIGSEGV, SIG_IGN);
			if (how == 2)
				sigprocmask(SIG_BLOCK, &segv, NULL);
			if (how == 3)
				raise(SIGSEGV);
			*(volatile int *)nowhere = 1;
			_exit(0);
		}
		int status = child_status(pid);

		CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
	}
	close_all();
}

/* Calls in a timer's handler, in the middle of calls. */
static void test_nested(void)
{
	struct itimerval often = {{0, 700}, {0, 700}}, off = {{0, 0}, {0, 0}};
	struct sigaction act = {.sa_handler = on_usr, .sa_flags = SA_RESTART};
	struct vfio_device_info info = {.argsz = sizeof(info)};

	open_all();
	got_depth = 0;
	CHECK(sigaction(SIGALRM, &act, NULL) == 0);
	CHECK(setitimer(ITIMER_REAL, &often, NULL) == 0);
	for (int i = 0; i < 20000 && got_depth < 200; i++) {
		uint32_t id;

		CHECK(ioctl(device, VFIO_DEVICE_GET_INFO, &info) == 0);
		CHECK(pread(device, &id, 4, (off_t)bar_offset) == 4 && id == EDU_ID);
		CHECK(*reg(ID) == EDU_ID);
	}
	CHECK(setitimer(ITIMER_REAL, &off, NULL) == 0);
	CHECK(got_depth > 0);
	signal(SIGALRM, SIG_DFL);
	close_all();
}

static void *hammer(void *arg)
{
	for (int i = 0; i < 2000; i++) {
		uint32_t id;

		CHECK(*reg(ID) == EDU_ID);
		CHECK(pread(device, &id, 4, (off_t)bar_offset) == 4 && id == EDU_ID);
	}
	return arg;
}

static void test_threads(void)
{
	pthread_t threads[8];

	open_all();
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 8; i++)
			CHECK(pthread_create(&threads[i], NULL, hammer, NULL) == 0);
		for (int i = 0; i < 8; i++)
			CHECK(pthread_join(threads[i], NULL) == 0);
	}
	close_all();
}

/* Processes ------------------------------------------------------------------------------- */

static void test_fork(void)
{
	pid_t pid;
	int status;

	open_all();
	pid = fork();
	if (!pid) {
		/* The mapping came along, and so did the descriptors. */
		alive();
		CHECK(munmap((void *)(uintptr_t)bar, PAGE) == 0);
		bar = map_bar();
		alive();
		_exit(0);
	}
	status = child_status(pid);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	alive();

	/* The parent gives everything up while the child still holds it. */
	int gate[2];

	CHECK(pipe(gate) == 0);
	pid = fork();
	if (!pid) {
		char c;

		close(gate[1]);
		CHECK(read(gate[0], &c, 1) == 0);
		alive();
		_exit(0);
	}
	close(gate[0]);
	close_all();
	CHECK(open(group_path, O_RDWR) < 0 && errno == EBUSY);
	close(gate[1]);
	status = child_status(pid);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	open_all();
	close_all();
}

static void test_vfork(void)
{
	pid_t pid;

	open_all();
	for (int i = 0; i < 20; i++) {
		pid = vfork();
		if (!pid) {
			close(device);
			close(group);
			execl("/bin/true", "true", (char *)NULL);
			_exit(127);
		}
		CHECK(child_status(pid) == 0);
		alive();
		CHECK(ioctl(container, VFIO_GET_API_VERSION) == VFIO_API_VERSION);
	}
	close_all();
}

/* Started by test_exec with an environment made from scratch. */
static int exec_child(const char *fd)
{
	container = atoi(fd);
	CHECK(ioctl(container, VFIO_GET_API_VERSION) == VFIO_API_VERSION);
	CHECK(ioctl(container, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU) == 1);
	return 0;
}

/* Environments that are no memory, or not to the end, or have an entry that is none. */
static void refused_environments(char **argv)
{
	char *page =
		mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char **last = (char **)(void *)(page + PAGE) - 1, *text = page + 3 * PAGE - 16;
	char *wild[] = {(char *)"A=1", (char *)8, NULL}, *endless[] = {text, NULL};
	char **const bad[] = {(char **)8, (char **)(1ul << 60), (char **)~0ul, last, wild, endless};
	pid_t pid;

	CHECK(page != MAP_FAILED && munmap(page + PAGE, PAGE) == 0 &&
	      munmap(page + 3 * PAGE, PAGE) == 0);
	*last = wild[0];
	memcpy(text, "LD_PRELOAD=libm.", 16);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		CHECK(execve(self, argv, bad[i]) < 0 && errno == EFAULT);
		CHECK(execvpe(self, argv, bad[i]) < 0 && errno == EFAULT);
		CHECK(execveat(AT_FDCWD, self, argv, bad[i], 0) < 0 && errno == EFAULT);
		/* ASan's run-time has a posix_spawn behind the shim's that reads it. */
		CHECK(sanitizer_options ||
		      posix_spawn(&pid, self, NULL, NULL, argv, bad[i]) == EFAULT);
	}
	CHECK(munmap(page, PAGE) == 0 && munmap(page + 2 * PAGE, PAGE) == 0);
}

static void test_exec(void)
{
	char number[16];
	char *argv[] = {(char *)(uintptr_t)self, (char *)"1", (char *)"0000:00:01.0",
			(char *)"exec-child",	 number,      NULL};
	/* Nothing, but for the options of a shim with sanitizers and its run-time behind it. */
	const char *behind = strchr(getenv("LD_PRELOAD"), ':');
	char options[512], *entry = sanitizer_options ? options : NULL;
	char few[256], many[1024], *nothing[] = {entry, NULL}, *others[] = {few, entry, NULL, NULL};
	pid_t pid;

	snprintf(options, sizeof(options), "ASAN_OPTIONS=%s",
		 sanitizer_options ? sanitizer_options : "");
	snprintf(few, sizeof(few), "LD_PRELOAD=%s", behind ? behind + 1 : "libm.so.6");
	strcpy(many, few);
	open_all();
	int fd = dup(container);

	CHECK(fd >= 0);
	snprintf(number, sizeof(number), "%d", fd);
	pid = fork();
	if (!pid) {
		execve(self, argv, nothing);
		_exit(127);
	}
	CHECK(child_status(pid) == 0);
	CHECK(posix_spawn(&pid, self, NULL, NULL, argv, nothing) == 0);
	CHECK(child_status(pid) == 0);
	pid = vfork();
	if (!pid) {
		execle(self, self, "1", bdf, "exec-child", number, (char *)NULL, nothing);
		_exit(127);
	}
	CHECK(child_status(pid) == 0);
	refused_environments(argv);
	/* What somebody else preloads stays, behind the shim. */
	CHECK(posix_spawn(&pid, self, NULL, NULL, argv, others) == 0);
	CHECK(child_status(pid) == 0);
	/* Said twice, the second time at length. */
	while (strlen(many) < sizeof(many) - 16)
		strcat(many, ":libm.so.6");
	others[entry ? 2 : 1] = many;
	CHECK(posix_spawn(&pid, self, NULL, NULL, argv, others) == 0);
	CHECK(child_status(pid) == 0);
	close(fd);
	close_all();
}

/* Descriptors ----------------------------------------------------------------------------- */

static void send_fd(int sock, int fd)
{
	char c = 0, space[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec iov = {&c, 1};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = space,
			     .msg_controllen = sizeof(space)};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
	CHECK(sendmsg(sock, &msg, 0) == 1);
}

static int receive_fd(int sock)
{
	char c, space[CMSG_SPACE(sizeof(int))];
	struct iovec iov = {&c, 1};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = space,
			     .msg_controllen = sizeof(space)};
	int fd;

	CHECK(recvmsg(sock, &msg, 0) == 1);
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
	return fd;
}

static void test_descriptors(void)
{
	struct pollfd p;
	struct stat st;
	uint32_t id = 0;
	int pair[2], copies[4], fd;

	open_all();
	copies[0] = dup(device);
	copies[1] = dup2(device, 77);
	copies[2] = dup3(device, 78, O_CLOEXEC);
	copies[3] = fcntl(device, F_DUPFD_CLOEXEC, 200);
	CHECK(copies[1] == 77 && copies[2] == 78 && copies[3] >= 200);
	CHECK(close(device) == 0);
	for (int i = 0; i < 4; i++) {
		id = 0;
		CHECK(pread(copies[i], &id, 4, (off_t)bar_offset) == 4 && id == EDU_ID);
	}
	CHECK(close(group) == 0 && close(container) == 0);
	CHECK(munmap((void *)(uintptr_t)bar, PAGE) == 0);
	for (int i = 0; i < 4; i++) {
		CHECK(open(group_path, O_RDWR) < 0 && errno == EBUSY);
		CHECK(close(copies[i]) == 0);
	}

	/* The last descriptor is gone, but a mapping holds the device as well. */
	open_all();
	CHECK(close(device) == 0 && close(group) == 0 && close(container) == 0);
	CHECK(*reg(ID) == EDU_ID);
	CHECK(open(group_path, O_RDWR) < 0 && errno == EBUSY);
	CHECK(munmap((void *)(uintptr_t)bar, PAGE) == 0);

	/* Over a socket, onto a number that was another file's. */
	open_all();
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	fd = open("/dev/null", O_RDONLY);
	CHECK(read(fd, &id, 4) == 0);
	send_fd(pair[0], device);
	fclose(fdopen(fd, "r"));
	CHECK(receive_fd(pair[1]) == fd);
	id = 0;
	CHECK(pread(fd, &id, 4, (off_t)bar_offset) == 4 && id == EDU_ID);
	close(fd);
	/* A datagram-like socket of the program's own is left alone. */
	close(pair[0]);
	close(pair[1]);
	CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0);
	CHECK(write(pair[0], "abc", 3) == 3 && read(pair[1], &id, 4) == 3);
	CHECK(pread(pair[1], &id, 4, 0) < 0 && errno == ESPIPE);
	close(pair[0]);
	close(pair[1]);

	p = (struct pollfd){.fd = device, .events = POLLIN | POLLOUT};
	CHECK(poll(&p, 1, 0) == 1 && p.revents == (POLLIN | POLLOUT));
	CHECK(fstat(device, &st) == 0 && S_ISCHR(st.st_mode));
	CHECK(stat("/dev/vfio/vfio", &st) == 0 && S_ISCHR(st.st_mode));
	CHECK(access(group_path, R_OK | W_OK) == 0);
	CHECK(stat("/dev/vfio/99", &st) < 0 && errno == ENOENT);
	CHECK(open("/dev/vfio/99", O_RDWR) < 0 && errno == ENOENT);
	close_all();
}

/* Each call refuses path as the kernel does; readlinkat by number asks the kernel itself. */
static void refused(const char *path)
{
	struct statx stx;
	struct stat st;
	char buf[16];
	int err;

	CHECK(syscall(SYS_readlinkat, AT_FDCWD, path, buf, sizeof(buf)) < 0);
	err = errno;
	CHECK(open(path, O_RDONLY) < 0 && errno == err);
	CHECK(openat(AT_FDCWD, path, O_RDONLY) < 0 && errno == err);
	CHECK(stat(path, &st) < 0 && errno == err);
	CHECK(lstat(path, &st) < 0 && errno == err);
	CHECK(fstatat(AT_FDCWD, path, &st, 0) < 0 && errno == err);
	CHECK(statx(AT_FDCWD, path, 0, STATX_BASIC_STATS, &stx) < 0 && errno == err);
	CHECK(access(path, R_OK) < 0 && errno == err);
	CHECK(faccessat(AT_FDCWD, path, R_OK, 0) < 0 && errno == err);
	CHECK(readlink(path, buf, sizeof(buf)) < 0 && errno == err);
	/* ASan's run-time has an fopen of its own behind the shim's, which reads the path first. */
	CHECK(sanitizer_options || (!fopen(path, "re") && errno == err));
	CHECK(getxattr(path, "user.x", buf, sizeof(buf)) < 0 && errno == err);
	CHECK(llistxattr(path, buf, sizeof(buf)) < 0 && errno == err);
}

static void test_bad_paths(void)
{
	static char longest[2 * PAGE];
	char *page =
		mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	/* The compiler knows as well as we do that these are bad. */
	const char *volatile bad[] = {
		NULL,	      (char *)8,	  (char *)(1ul << 46), (char *)0xffff888000000000ul,
		(char *)~0ul, (char *)(1ul << 60)};
	struct stat st;

	CHECK(page != MAP_FAILED && munmap(page + PAGE, PAGE) == 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		refused(bad[i]);
	refused(page + PAGE);
	/* Up to the edge of what is there: with an end, and without. */
	memcpy(page + PAGE - 10, "/dev/vfio", 10);
	CHECK(stat(page + PAGE - 10, &st) == 0 && S_ISDIR(st.st_mode));
	memcpy(page + PAGE - 9, "/dev/vfio", 9);
	refused(page + PAGE - 9);
	refused(page + PAGE - 1);
	memset(longest, '/', sizeof(longest) - 1);
	refused(longest);
	/* As long as a path can be, across pages. */
	memset(longest, '/', PAGE - 1);
	memcpy(longest + PAGE - 1 - 14, "/dev/vfio/vfio", 15);
	CHECK(stat(longest, &st) == 0 && S_ISCHR(st.st_mode));
	CHECK(munmap(page, PAGE) == 0);
}

/* What `ls -l` asks about each entry of a directory. */
static void listed(const char *path, mode_t type)
{
	char list[256], value[64];
	struct statx stx;
	struct stat st;

	CHECK(stat(path, &st) == 0 && (st.st_mode & S_IFMT) == type);
	CHECK(lstat(path, &st) == 0 && (st.st_mode & S_IFMT) == type);
	CHECK(statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &stx) == 0 &&
	      (stx.stx_mode & S_IFMT) == type);
	CHECK(listxattr(path, list, sizeof(list)) >= 0);
	CHECK(llistxattr(path, list, sizeof(list)) >= 0);
	/* None of these is set; a file system that has no such names at all says so. */
	CHECK(getxattr(path, "system.posix_acl_access", value, sizeof(value)) < 0 &&
	      (errno == ENODATA || errno == EOPNOTSUPP));
	CHECK(lgetxattr(path, "security.none", value, sizeof(value)) < 0 &&
	      (errno == ENODATA || errno == EOPNOTSUPP));
	CHECK(setxattr(path, "no-name-space", value, 1, 0) < 0 && errno == EOPNOTSUPP);
	CHECK(lsetxattr(path, "no-name-space", value, 1, 0) < 0 && errno == EOPNOTSUPP);
	CHECK(removexattr(path, "no-name-space") < 0 && errno == EOPNOTSUPP);
	CHECK(lremovexattr(path, "no-name-space") < 0 && errno == EOPNOTSUPP);
}

static void test_paths(void)
{
	char resolved[4096], path[128];
	int seen = 0, dir, fd;
	struct dirent *e;
	DIR *d = opendir("/dev/vfio");

	CHECK(d);
	while ((e = readdir(d)))
		seen += strcmp(e->d_name, "vfio") == 0 || strcmp(e->d_name, "1") == 0;
	closedir(d);
	CHECK(seen == 2);
	CHECK(realpath("/dev//vfio/./vfio", resolved) && strcmp(resolved, "/dev/vfio/vfio") == 0);
	dir = open("/dev/vfio", O_RDONLY | O_DIRECTORY);
	CHECK(dir >= 0);
	fd = openat(dir, "vfio", O_RDWR);
	CHECK(fd >= 0 && ioctl(fd, VFIO_GET_API_VERSION) == VFIO_API_VERSION);
	close(fd);
	close(dir);
	fd = open("/dev/../dev/vfio/vfio", O_RDWR);
	CHECK(fd >= 0 && ioctl(fd, VFIO_GET_API_VERSION) == VFIO_API_VERSION);
	close(fd);
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s", bdf);
	CHECK(realpath(path, resolved) && strncmp(resolved, "/sys/devices/pci", 16) == 0);
	listed("/dev/vfio", S_IFDIR);
	listed("/dev/vfio/vfio", S_IFCHR);
	listed(group_path, S_IFCHR);
	CHECK(listxattr("/dev/vfio/99", NULL, 0) < 0 && errno == ENOENT);
	test_bad_paths();
}

/* Programs that close all they do not know. */
static void test_close_loops(void)
{
	for (int how = 0; how < 3; how++) {
		open_all();
		int keep = device;

		if (how == 0) {
			for (int fd = 3; fd < 4096; fd++)
				if (fd != keep && fd != group && fd != container)
					close(fd);
		} else if (how == 1) {
			CHECK(keep > group && group > container);
			CHECK(close_range((unsigned int)keep + 1, ~0u, 0) == 0);
		} else {
			closefrom(keep + 1);
		}
		alive();
		CHECK(ioctl(container, VFIO_GET_API_VERSION) == VFIO_API_VERSION);
		/* And everything, the device too: then it is free again. */
		CHECK(munmap((void *)(uintptr_t)bar, PAGE) == 0);
		closefrom(3);
		open_all();
		close_all();
	}
}

/* Mappings -------------------------------------------------------------------------------- */

static bool faults(volatile uint32_t *at, bool write)
{
	got_signal = 0;
	if (!sigsetjmp(jump, 1)) {
		if (write)
			*at = 1;
		else
			(void)*at;
	}
	return got_signal == SIGSEGV;
}

static void test_mappings(void)
{
	size_t len = 64 * PAGE;
	char *p, *q;

	open_all();
	signal(SIGSEGV, on_segv_jump);
	p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, device, (off_t)bar_offset);
	CHECK(p != MAP_FAILED);
	CHECK(*(volatile uint32_t *)p == EDU_ID);

	/* Protection as the program sets it. */
	CHECK(mprotect(p, PAGE, PROT_READ) == 0);
	CHECK(!faults((volatile uint32_t *)p, false));
	CHECK(faults((volatile uint32_t *)(p + LIVENESS), true));
	CHECK(mprotect(p, PAGE, PROT_NONE) == 0);
	CHECK(faults((volatile uint32_t *)p, false));
	CHECK(mprotect(p, PAGE, PROT_READ | PROT_WRITE) == 0);
	CHECK(!faults((volatile uint32_t *)(p + LIVENESS), true));

	/* Holes, and something else put there. */
	CHECK(munmap(p + PAGE, 2 * PAGE) == 0);
	CHECK(faults((volatile uint32_t *)(p + PAGE), false));
	CHECK(*(volatile uint32_t *)p == EDU_ID);
	q = mmap(p, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	CHECK(q == p && *(volatile uint32_t *)p == 0);
	q = mmap(p, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, device,
		 (off_t)bar_offset);
	CHECK(q == p && *(volatile uint32_t *)p == EDU_ID);

	/* Moved. */
	q = mmap(NULL, 4 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(q != MAP_FAILED);
	CHECK(mremap(p, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, q) == q);
	CHECK(*(volatile uint32_t *)q == EDU_ID && faults((volatile uint32_t *)p, false));
	CHECK(munmap(q, 4 * PAGE) == 0 && munmap(p, len) == 0);

	/* What the kernel refuses. */
	CHECK(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, device, (off_t)bar_offset) == MAP_FAILED);
	CHECK(errno == EINVAL);
	CHECK(mmap(NULL, 2 << 20, PROT_READ, MAP_SHARED, device, (off_t)bar_offset) == MAP_FAILED);
	CHECK(errno == EINVAL);
	CHECK(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, container, 0) == MAP_FAILED &&
	      errno == ENODEV);
	signal(SIGSEGV, SIG_DFL);
	alive();
	close_all();
}

static void test_vectors(void)
{
	uint32_t a = 0, b = 0;
	struct iovec iov[2] = {{&a, 4}, {&b, 4}}, bad[2] = {{&a, 4}, {(void *)8, 4}};

	/* The compiler knows as well as we do that these are bad. */
	void *volatile nowhere = (void *)16;

	open_all();
	alive();
	*reg(LIVENESS) = 0x12345678;
	CHECK(preadv(device, iov, 2, (off_t)bar_offset) == 8 && a == EDU_ID && b == ~0x12345678u);
	CHECK(preadv(device, bad, 2, (off_t)bar_offset) == 4);
	CHECK(preadv(device, bad + 1, 1, (off_t)bar_offset) < 0 && errno == EFAULT);
	CHECK(preadv(device, nowhere, 1, (off_t)bar_offset) < 0 && errno == EFAULT);
	CHECK(pread(device, nowhere, 4, (off_t)bar_offset) < 0 && errno == EFAULT);
	CHECK(ioctl(device, VFIO_DEVICE_GET_INFO, 16) < 0 && errno == EFAULT);
	close_all();
}

/* Without libc's functions, by number. */
static void test_syscall(void)
{
	uint32_t id = 0, copy = 0;
	struct iovec to = {&copy, 4}, from = {&id, 4};
	void *p;

	container = (int)syscall(SYS_openat, AT_FDCWD, "/dev/vfio/vfio", O_RDWR | O_CLOEXEC, 0);
	CHECK(container >= 0);
	group = (int)syscall(SYS_open, group_path, O_RDWR | O_CLOEXEC, 0);
	CHECK(group >= 0);
	CHECK(syscall(SYS_ioctl, group, VFIO_GROUP_SET_CONTAINER, &container) == 0);
	CHECK(syscall(SYS_ioctl, container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) == 0);
	device = (int)syscall(SYS_ioctl, group, VFIO_GROUP_GET_DEVICE_FD, bdf);
	CHECK(device >= 0);
	CHECK(syscall(SYS_ioctl, device, VFIO_DEVICE_GET_INFO, 16) < 0 && errno == EFAULT);

	find_regions();
	memory_enable(true);
	CHECK(syscall(SYS_pread64, device, &id, 4, bar_offset) == 4 && id == EDU_ID);
	id = 0x01020304;
	CHECK(syscall(SYS_pwrite64, device, &id, 4, bar_offset + LIVENESS) == 4);
	p = (void *)syscall(SYS_mmap, NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, device,
			    bar_offset);
	CHECK(p != MAP_FAILED);
	bar = p;
	CHECK(*reg(LIVENESS) == ~id);
	alive();

	CHECK(syscall(SYS_dup3, device, 79, O_CLOEXEC) == 79);
	CHECK(syscall(SYS_dup2, device, 80) == 80);
	CHECK(syscall(SYS_close, device) == 0 && syscall(SYS_munmap, bar, PAGE) == 0);
	CHECK(syscall(SYS_close, group) == 0 && syscall(SYS_close, container) == 0);
	CHECK(open(group_path, O_RDWR) < 0 && errno == EBUSY);
	CHECK(syscall(SYS_close_range, 79, 80, 0) == 0);
	CHECK(fcntl(79, F_GETFD) < 0 && errno == EBADF);

	/* Others go to the kernel with all they have; the sixth is looked at. */
	CHECK(syscall(SYS_process_vm_readv, getpid(), &to, 1, &from, 1, 0) == 4 && copy == id);
	CHECK(syscall(SYS_process_vm_readv, getpid(), &to, 1, &from, 1, 1) < 0 && errno == EINVAL);
	CHECK(syscall(-1) < 0 && errno == ENOSYS);
	/* The device is free: all was closed where it had to be. */
	open_all();
	close_all();
}

/* Differences from Linux on purpose ------------------------------------------------------------ */

static void *sees_segv_blocked(void *ret)
{
	sigset_t now;

	CHECK(pthread_sigmask(SIG_BLOCK, NULL, &now) == 0);
	*(bool *)ret = sigismember(&now, SIGSEGV) == 1;
	return NULL;
}

static void test_differences(void)
{
	char path[64], link[64];
	pthread_t thread;
	bool blocked = true;
	sigset_t segv, old;
	struct stat st;
	int pair[2];
	uint32_t v;
	const uint32_t flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map), .flags = flags, .iova = 0x400000, .size = PAGE};
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap), .iova = 0x400000, .size = PAGE};
	void *page;

	open_all();
	/* What a descriptor is. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", device);
	CHECK(readlink(path, link, sizeof(link)) > 0 && memcmp(link, "socket:", 7) == 0);
	CHECK(fstat(device, &st) == 0 && S_ISCHR(st.st_mode));
	CHECK(syscall(SYS_fstat, device, &st) == 0 && S_ISSOCK(st.st_mode));

	/* A register is no memory that the kernel could write to. */
	CHECK(pipe(pair) == 0 && write(pair[1], "abcd", 4) == 4);
	CHECK(read(pair[0], (void *)(uintptr_t)reg(LIVENESS), 4) < 0 && errno == EFAULT);
	close(pair[0]);
	close(pair[1]);

	/* Mapped to read only: DMA may write there all the same. */
	page = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, device, (off_t)bar_offset);
	CHECK(page != MAP_FAILED);
	map.vaddr = (uintptr_t)page;
	CHECK(ioctl(container, VFIO_IOMMU_MAP_DMA, &map) == 0);
	CHECK(ioctl(container, VFIO_IOMMU_UNMAP_DMA, &unmap) == 0 && unmap.size == PAGE);
	CHECK(munmap(page, PAGE) == 0);

	/* An atomic addition reads, and then writes: this register answers with the complement. */
	*reg(LIVENESS) = 5;
	v = __atomic_fetch_add(reg(LIVENESS), 3, __ATOMIC_SEQ_CST);
	CHECK(v == ~5u && *reg(LIVENESS) == ~(~5u + 3));

	sigemptyset(&segv);
	sigaddset(&segv, SIGSEGV);
	CHECK(pthread_sigmask(SIG_BLOCK, &segv, &old) == 0);
	CHECK(pthread_create(&thread, NULL, sees_segv_blocked, &blocked) == 0);
	CHECK(pthread_join(thread, NULL) == 0 && !blocked);
	sees_segv_blocked(&blocked);
	CHECK(blocked);
	CHECK(pthread_sigmask(SIG_SETMASK, &old, NULL) == 0);

	/* A file that is shut down is closed: the device is free. */
	CHECK(shutdown(device, SHUT_RDWR) == 0);
	CHECK(ioctl(device, VFIO_DEVICE_RESET) < 0);
	CHECK(pread(device, &v, 4, (off_t)bar_offset) < 0);
	CHECK(shutdown(group, SHUT_RDWR) == 0 && shutdown(container, SHUT_RDWR) == 0);
	CHECK(ioctl(container, VFIO_GET_API_VERSION) < 0);
	close_all();
	open_all();
	close_all();
}

static const struct edu_case cases[] = {
	{"signals", test_signals},
	{"crash", test_crash},
	{"nested", test_nested},
	{"threads", test_threads},
	{"fork", test_fork},
	{"vfork", test_vfork},
	{"exec", test_exec},
	{"descriptors", test_descriptors},
	{"paths", test_paths},
	{"close loops", test_close_loops},
	{"mappings", test_mappings},
	{"vectors", test_vectors},
	{"syscall", test_syscall},
	{"differences", test_differences},
};

int main(int argc, char **argv)
{
	self = argv[0];
	sanitizer_options = getenv("VIADUCT_SANITIZED") ? getenv("ASAN_OPTIONS") : NULL;
	return edu_cases_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]), "exec-child",
			      exec_child);
}
