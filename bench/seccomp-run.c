/* SPDX-License-Identifier: MIT */
/*
 * seccomp-run DEVICE-SPEC -- PROGRAM ARG...: a study of the second interception
 * path. PROGRAM may be linked statically: its openat, ioctl, pread64 and
 * pwrite64 calls are seen by seccomp user notification instead of a preloaded
 * shim, descriptors are put into it with ADDFD, its memory is reached with
 * process_vm_readv. The file objects behind are the same, unchanged.
 *
 * Registers are offered without MMAP, so nothing needs to be trapped. What the
 * path needs to be complete stands in docs/design.md. bench/door times it.
 */
#include "host/host.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_FILES 64

/* One thread serves everything, so nothing here needs a lock. */
static struct {
	struct via_file *file;
	ino_t ino; /* of the end that the program holds */
	int end;   /* ours: its hang-up is the last close */
} files[MAX_FILES];
static int notify_fd;

/* --- the program's memory */

static int vm_copy(struct via_mm *mm, const struct iovec *local, size_t n_local,
		   const struct iovec *remote, size_t n_remote, bool write)
{
	size_t want = 0;
	ssize_t n;

	for (size_t i = 0; i < n_remote; i++)
		want += remote[i].iov_len;
	n = write ? process_vm_writev(mm->pid, local, n_local, remote, n_remote, 0)
		  : process_vm_readv(mm->pid, local, n_local, remote, n_remote, 0);
	return n == (ssize_t)want ? 0 : -EFAULT;
}

static int vm_readv(struct via_mm *mm, const struct iovec *local, size_t n_local,
		    const struct iovec *remote, size_t n_remote)
{
	return vm_copy(mm, local, n_local, remote, n_remote, false);
}

static int vm_writev(struct via_mm *mm, const struct iovec *local, size_t n_local,
		     const struct iovec *remote, size_t n_remote)
{
	return vm_copy(mm, local, n_local, remote, n_remote, true);
}

/* The driver under study maps ordinary memory; a byte of each page shows that it is there. */
static int vm_probe(struct via_mm *mm, uint64_t addr, uint64_t len, unsigned int prot)
{
	(void)prot;
	for (uint64_t at = addr; at - addr < len; at += 4096) {
		char byte;
		struct iovec local = {&byte, 1}, remote = {(void *)(uintptr_t)at, 1};

		if (vm_readv(mm, &local, 1, &remote, 1))
			return -EFAULT;
	}
	return 0;
}

static int vm_backing(struct via_mm *mm, uint64_t addr, uint64_t len, unsigned int prot,
		      struct via_backing *ret_backing)
{
	(void)mm;
	(void)addr;
	(void)prot;
	*ret_backing = (struct via_backing){.fd = -1, .len = len};
	return 0;
}

static void vm_free(struct via_mm *mm)
{
	free(mm);
}

static const struct via_mm_ops vm_ops = {
	.readv = vm_readv,
	.writev = vm_writev,
	.probe = vm_probe,
	.backing = vm_backing,
	.free = vm_free,
};

/* --- the program's descriptors */

struct caller {
	struct via_caller base;
	int pidfd;
	uint64_t id; /* of the notification that is being served */
};

static int caller_fd_get(struct via_caller *base, int fd, int *ret_fd)
{
	struct caller *c = (struct caller *)base;
	int r = (int)syscall(SYS_pidfd_getfd, c->pidfd, fd, 0);

	if (r < 0)
		return -EBADF;
	*ret_fd = r;
	return 0;
}

static int caller_fd_put(struct via_caller *base, int fd, bool cloexec)
{
	struct caller *c = (struct caller *)base;
	struct seccomp_notif_addfd add = {
		.id = c->id,
		.srcfd = (uint32_t)fd,
		.newfd_flags = cloexec ? O_CLOEXEC : 0,
	};
	int r = ioctl(notify_fd, SECCOMP_IOCTL_NOTIF_ADDFD, &add);

	r = r < 0 ? -errno : r;
	close(fd);
	return r;
}

static int find(struct caller *c, int fd, bool *ret_open)
{
	struct stat st;
	int ours, found = -1;

	*ret_open = !caller_fd_get(&c->base, fd, &ours);
	if (!*ret_open)
		return -1;
	if (!fstat(ours, &st))
		for (int i = 0; i < MAX_FILES; i++)
			if (files[i].file && files[i].ino == st.st_ino)
				found = i;
	close(ours);
	return found;
}

static int caller_file_get(struct via_caller *base, int fd, struct via_file **ret_file)
{
	bool open;
	int i = find((struct caller *)base, fd, &open);

	if (i < 0)
		return open ? -EBADFD : -EBADF;
	*ret_file = via_file_get(files[i].file);
	return 0;
}

static int caller_file_put(struct via_caller *base, struct via_file *file, bool cloexec)
{
	int pair[2], i = 0;
	struct stat st;

	while (i < MAX_FILES && files[i].file)
		i++;
	if (i == MAX_FILES || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair)) {
		via_file_put(file);
		return -ENFILE;
	}
	(void)fstat(pair[1], &st);
	files[i].file = file;
	files[i].ino = st.st_ino;
	files[i].end = pair[0];
	return caller_fd_put(base, pair[1], cloexec);
}

static const struct via_caller_ops caller_ops = {
	.fd_get = caller_fd_get,
	.fd_put = caller_fd_put,
	.file_get = caller_file_get,
	.file_put = caller_file_put,
};

/* --- notifications */

static void see_closes(void)
{
	for (int i = 0; i < MAX_FILES; i++) {
		struct pollfd p = {.fd = files[i].end, .events = 0};

		if (files[i].file && poll(&p, 1, 0) > 0 && (p.revents & POLLHUP)) {
			close(files[i].end);
			via_file_put(files[i].file);
			files[i].file = NULL;
		}
	}
}

static long serve_open(struct via_vfio *vfio, struct caller *c, const struct seccomp_data *d,
		       bool *ret_ours)
{
	char path[64];
	struct via_file *file;
	int r = via_copy_in_string(&c->base, path, d->args[1], sizeof(path));

	if (r || strncmp(path, "/dev/vfio/", 10))
		return 0;
	*ret_ours = true;
	see_closes();
	r = via_vfio_open(vfio, &c->base, path + 5, (int)d->args[2], &file);
	return r ? r : caller_file_put(&c->base, file, d->args[2] & O_CLOEXEC);
}

static long serve(struct via_vfio *vfio, struct caller *c, const struct seccomp_data *d,
		  bool *ret_ours)
{
	bool open;
	int i;

	if (d->nr == SYS_openat)
		return serve_open(vfio, c, d, ret_ours);
	i = find(c, (int)d->args[0], &open);
	if (i < 0)
		return 0;
	*ret_ours = true;
	see_closes();
	switch (d->nr) {
	case SYS_ioctl:
		return via_file_ioctl(files[i].file, &c->base, d->args[1], d->args[2]);
	case SYS_pread64:
		return via_file_pread(files[i].file, &c->base, d->args[1], d->args[2], d->args[3]);
	default:
		return via_file_pwrite(files[i].file, &c->base, d->args[1], d->args[2], d->args[3]);
	}
}

static void loop(struct via_vfio *vfio, pid_t pid)
{
	struct caller c = {.base = {.ops = &caller_ops, .pid = pid, .uid = getuid(), .is_vmm = true}};
	struct seccomp_notif *req;
	struct seccomp_notif_resp *resp;
	struct via_mm *mm = calloc(1, sizeof(*mm));

	if (!mm || seccomp_notify_alloc(&req, &resp))
		return;
	*mm = (struct via_mm){.ops = &vm_ops, .refs = 1, .pid = pid, .memlock_limit = UINT64_MAX};
	c.base.mm = mm;
	c.pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	for (;;) {
		struct pollfd p = {.fd = notify_fd, .events = POLLIN};
		bool ours = false;
		long r;

		if (poll(&p, 1, -1) < 1 || !(p.revents & POLLIN))
			break; /* hang-up: nobody is left under the filter */
		memset(req, 0, sizeof(*req));
		if (seccomp_notify_receive(notify_fd, req))
			continue;
		c.id = req->id;
		r = serve(vfio, &c, &req->data, &ours);
		*resp = (struct seccomp_notif_resp){.id = req->id};
		if (!ours)
			resp->flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
		else if (r < 0)
			resp->error = (int32_t)r;
		else
			resp->val = r;
		(void)seccomp_notify_respond(notify_fd, resp);
	}
	see_closes();
	seccomp_notify_free(req, resp);
	close(c.pidfd);
	via_mm_put(mm);
}

/* --- the program */

static int send_fd(int sock, int fd)
{
	char byte = 0, control[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec iov = {&byte, 1};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
			   .msg_controllen = sizeof(control)};
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);

	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(h), &fd, sizeof(fd));
	return sendmsg(sock, &m, 0) == 1 ? 0 : -errno;
}

static int receive_fd(int sock)
{
	char byte, control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = {&byte, 1};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
			   .msg_controllen = sizeof(control)};
	struct cmsghdr *h;
	int fd = -1;

	if (recvmsg(sock, &m, MSG_CMSG_CLOEXEC) == 1 && (h = CMSG_FIRSTHDR(&m)))
		memcpy(&fd, CMSG_DATA(h), sizeof(fd));
	return fd;
}

static int become(int sock, char **argv)
{
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_ALLOW);

	if (!f || seccomp_rule_add(f, SCMP_ACT_NOTIFY, SCMP_SYS(openat), 0) ||
	    seccomp_rule_add(f, SCMP_ACT_NOTIFY, SCMP_SYS(pread64), 0) ||
	    seccomp_rule_add(f, SCMP_ACT_NOTIFY, SCMP_SYS(pwrite64), 0) ||
	    /* Every VFIO number has the type ';'. */
	    seccomp_rule_add(f, SCMP_ACT_NOTIFY, SCMP_SYS(ioctl), 1,
			     SCMP_A1(SCMP_CMP_MASKED_EQ, 0xff00, ';' << 8)) ||
	    seccomp_load(f) || send_fd(sock, seccomp_notify_fd(f)))
		return 125;
	execvp(argv[0], argv);
	return 127;
}

int main(int argc, char **argv)
{
	struct via_vfio_config config = {.bars = VIA_BARS_IO};
	struct via_error err = {0};
	struct via_host *host;
	int pair[2], status = 0;
	pid_t pid;

	if (argc < 4 || strcmp(argv[2], "--")) {
		fprintf(stderr, "usage: seccomp-run DEVICE-SPEC -- PROGRAM ARG...\n");
		return 2;
	}
	if (via_host_new(&config, &host) || via_host_add_device(host, argv[1], &err)) {
		fprintf(stderr, "seccomp-run: %s\n", err.text);
		return 125;
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) || (pid = fork()) < 0)
		return 125;
	if (pid == 0)
		_exit(become(pair[1], argv + 3));
	close(pair[1]);
	notify_fd = receive_fd(pair[0]);
	if (notify_fd >= 0)
		loop(via_host_vfio(host), pid);
	(void)waitpid(pid, &status, 0);
	via_host_free(host);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
