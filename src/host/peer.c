/* SPDX-License-Identifier: MIT */
#include "host/internal.h"

#include "iommu/ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

/* The inode number that the initial user namespace has on every kernel. */
#define INITIAL_USER_NS "user:[4026531837]"

struct via_peer *via_peer_get(struct via_peer *peer)
{
	__atomic_add_fetch(&peer->refs, 1, __ATOMIC_RELAXED);
	return peer;
}

void via_peer_put(struct via_peer *peer)
{
	if (!peer || __atomic_sub_fetch(&peer->refs, 1, __ATOMIC_ACQ_REL))
		return;
	via_mm_put(peer->mm);
	via_id_deinit(&peer->mappings);
	pthread_mutex_destroy(&peer->lock);
	free(peer);
}

/* The process that connected, not one that has got its number since. */
static int peer_pidfd(int sock, pid_t pid)
{
	struct pollfd hung_up = {.fd = sock};
	socklen_t len = sizeof(int);
	int fd;

	if (getsockopt(sock, SOL_SOCKET, SO_PEERPIDFD, &fd, &len) == 0)
		return fd;
	fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (fd < 0)
		return -errno;
	/* Still connected after the open: then the number was still its own. */
	if (poll(&hung_up, 1, 0) != 0) {
		(void)close(fd);
		return -ESRCH;
	}
	return fd;
}

static int open_proc(pid_t pid)
{
	char path[32];
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Capabilities count for the kernel's checks only in the initial user namespace. */
static bool in_initial_ns(int proc_fd)
{
	char link[64];
	ssize_t n = readlinkat(proc_fd, "ns/user", link, sizeof(link) - 1);

	if (n < 0)
		return false;
	link[n] = '\0';
	return strcmp(link, INITIAL_USER_NS) == 0;
}

static unsigned int read_caps(pid_t pid)
{
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, pid};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0}};
	uint32_t caps;

	if (syscall(SYS_capget, &header, data) < 0)
		return 0;
	caps = data[0].effective;
	return (caps >> CAP_IPC_LOCK & 1 ? VIA_CAP_IPC_LOCK : 0) |
	       (caps >> CAP_SYS_RAWIO & 1 ? VIA_CAP_SYS_RAWIO : 0) |
	       (caps >> CAP_SYS_RESOURCE & 1 ? VIA_CAP_SYS_RESOURCE : 0);
}

void via_peer_sample(struct via_peer *peer, bool ns)
{
	struct rlimit64 limit;
	unsigned int caps;

	if (prlimit64(peer->pid, (enum __rlimit_resource)RLIMIT_MEMLOCK, NULL, &limit) == 0)
		__atomic_store_n(&peer->mm->memlock_limit, (uint64_t)limit.rlim_cur,
				 __ATOMIC_RELAXED);
	if (ns)
		__atomic_store_n(&peer->initial_ns, in_initial_ns(peer->proc_fd), __ATOMIC_RELAXED);
	caps = __atomic_load_n(&peer->initial_ns, __ATOMIC_RELAXED) ? read_caps(peer->pid) : 0;
	/* The kernel's selftest has to be root, but in a container root often has less. */
	if (peer->host->iommu_test)
		caps |= VIA_CAP_SYS_RESOURCE;
	__atomic_store_n(&peer->caps, caps, __ATOMIC_RELAXED);
	__atomic_store_n(&peer->mm->cap_ipc_lock, (caps & VIA_CAP_IPC_LOCK) != 0, __ATOMIC_RELAXED);
}

void via_peer_init_caller(struct via_peer *peer, const struct via_caller_ops *ops,
			  struct via_caller *caller)
{
	unsigned int flags = __atomic_load_n(&peer->flags, __ATOMIC_RELAXED);

	*caller = (struct via_caller){
		.ops = ops,
		.mm = peer->mm,
		.pid = peer->pid,
		.uid = peer->uid,
		.caps = __atomic_load_n(&peer->caps, __ATOMIC_RELAXED),
		.is_vmm = flags & (VIA_DOOR_FLAG_VMM | VIA_DOOR_FLAG_KVM),
		.has_kvm = flags & VIA_DOOR_FLAG_KVM,
	};
}

static void drop_mappings(struct via_reap *reap)
{
	struct via_peer *peer = (struct via_peer *)((char *)reap - offsetof(struct via_peer, reap));

	via_mapping_drop_all(peer);
	via_peer_put(peer);
}

static struct via_peer *new_peer(struct via_host *host, pid_t pid, uid_t uid)
{
	struct via_peer *peer = calloc(1, sizeof(*peer));

	if (!peer)
		return NULL;
	peer->refs = 1;
	peer->host = host;
	peer->pid = pid;
	peer->uid = uid;
	peer->proc_fd = -1;
	peer->exit.fd = -1;
	peer->reap.run = drop_mappings;
	pthread_mutex_init(&peer->lock, NULL);
	return peer;
}

/*
 * Usually its sockets hang up first; not when the program has put one into its
 * own queue.
 */
static void exited(struct via_source *source, uint32_t events)
{
	struct via_peer *peer = (struct via_peer *)source;

	(void)events;
	via_conn_hang_up_peer(peer->host, peer);
}

static int watch_exit(struct via_peer *peer, int pid_fd)
{
	int fd = fcntl(pid_fd, F_DUPFD_CLOEXEC, 0), r;

	if (fd < 0)
		return -errno;
	peer->exit = (struct via_source){.fd = fd, .event = exited};
	r = via_loop_add(peer->host, &peer->exit, EPOLLIN);
	if (r) {
		(void)close(fd);
		peer->exit.fd = -1;
	}
	return r;
}

static int new_remote_peer(struct via_host *host, int sock, pid_t pid, uid_t uid,
			   struct via_peer **ret_peer)
{
	int pid_fd = peer_pidfd(sock, pid), proc_fd = open_proc(pid), r = -ENOMEM;
	struct via_peer *peer = new_peer(host, pid, uid);
	struct pollfd gone = {.fd = pid_fd, .events = POLLIN};

	if (pid_fd < 0)
		r = pid_fd;
	else if (proc_fd < 0)
		r = proc_fd;
	else if (poll(&gone, 1, 0) != 0)
		r = -ESRCH;
	else if (peer)
		r = watch_exit(peer, pid_fd);
	if (!r)
		r = via_remote_mm_new(pid, uid, pid_fd, proc_fd, &peer->mm);
	if (r) {
		if (pid_fd >= 0)
			(void)close(pid_fd);
		if (proc_fd >= 0)
			(void)close(proc_fd);
		if (peer)
			via_loop_remove(host, &peer->exit);
		via_peer_put(peer);
		return r;
	}
	peer->proc_fd = proc_fd; /* the address space's, which lives as long as the peer */
	via_peer_sample(peer, true);
	*ret_peer = peer;
	return 0;
}

static struct via_peer **find_peer(struct via_host *host, pid_t pid)
{
	struct via_peer **link = &host->peers;

	while (*link && (*link)->pid != pid)
		link = &(*link)->next;
	return link;
}

/* With host lock. The caller then lets drop_mappings() run. */
static void unlink_peer(struct via_host *host, struct via_peer **link)
{
	struct via_peer *peer = *link;

	*link = peer->next;
	peer->next = NULL;
	host->n_peers--;
	pthread_mutex_lock(&peer->lock);
	peer->gone = true;
	pthread_mutex_unlock(&peer->lock);
	via_remote_mm_gone(peer->mm);
}

/* A process has one program at a time: another cookie means that it has executed a new one. */
static void retire_other(struct via_host *host, pid_t pid, uint64_t cookie)
{
	struct via_peer **link, *old = NULL;

	pthread_mutex_lock(&host->lock);
	link = find_peer(host, pid);
	if (*link && (*link)->cookie != cookie) {
		old = *link;
		unlink_peer(host, link);
	}
	pthread_mutex_unlock(&host->lock);
	if (!old)
		return;
	via_conn_hang_up_peer(host, old);
	via_loop_remove(host, &old->exit);
	via_reap_push(host, &old->reap);
}

/* Nobody else adds one meanwhile: poll_lock is held. */
static int find_or_make(struct via_host *host, int sock, const struct ucred *cred, uint64_t cookie,
			struct via_peer **ret_peer)
{
	struct via_peer *peer;
	int r;

	pthread_mutex_lock(&host->lock);
	peer = *find_peer(host, cred->pid);
	if (peer && peer->n_conns >= VIA_DOOR_MAX_SLOTS) {
		pthread_mutex_unlock(&host->lock);
		return -EMFILE;
	}
	if (!peer) {
		pthread_mutex_unlock(&host->lock);
		r = new_remote_peer(host, sock, cred->pid, cred->uid, &peer);
		if (r)
			return r;
		peer->cookie = cookie;
		pthread_mutex_lock(&host->lock);
		peer->next = host->peers;
		host->peers = peer;
		host->n_peers++;
		host->programs++;
	}
	peer->n_conns++;
	*ret_peer = via_peer_get(peer);
	pthread_mutex_unlock(&host->lock);
	return 0;
}

int via_peer_join(struct via_host *host, int sock, const struct via_door_hello *hello,
		  struct via_peer **ret_peer)
{
	struct via_peer *peer;
	socklen_t len = sizeof(struct ucred);
	struct ucred cred;
	int r;

	if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return -errno;
	/* pid 0: in a namespace that we do not see, so its memory is out of reach. */
	if (cred.uid != geteuid() || cred.pid <= 0)
		return -EPERM;
	retire_other(host, cred.pid, hello->cookie);
	r = find_or_make(host, sock, &cred, hello->cookie, &peer);
	if (r)
		return r;
	__atomic_or_fetch(&peer->flags, hello->flags & VIA_DOOR_FLAGS, __ATOMIC_RELAXED);
	via_remote_mm_keep_out(peer->mm, hello->keep_out);
	*ret_peer = peer;
	return 0;
}

int via_peer_locked(struct via_host *host, pid_t pid, uint64_t *ret_locked, uint64_t *ret_pinned)
{
	struct via_peer *peer;

	pthread_mutex_lock(&host->lock);
	peer = *find_peer(host, pid);
	if (!peer && host->local && host->local->pid == pid)
		peer = host->local;
	if (peer)
		via_peer_get(peer);
	pthread_mutex_unlock(&host->lock);
	if (!peer)
		return -ESRCH;
	*ret_locked = via_ledger_pages(peer->mm);
	*ret_pinned = via_ledger_pinned(peer->mm);
	via_peer_put(peer);
	return 0;
}

void via_peer_leave(struct via_peer *peer)
{
	struct via_host *host = peer->host;
	bool last;

	pthread_mutex_lock(&host->lock);
	last = --peer->n_conns == 0;
	if (last) {
		struct via_peer **link = find_peer(host, peer->pid);

		/* Retired already when a new program has taken its place. */
		last = *link == peer;
		if (last)
			unlink_peer(host, link);
	}
	pthread_mutex_unlock(&host->lock);
	if (!last)
		return;
	via_loop_remove(host, &peer->exit);
	via_reap_push(host, &peer->reap);
}

int via_peer_local(struct via_host *host, struct via_peer **ret_peer)
{
	struct via_peer *peer;

	pthread_mutex_lock(&host->lock);
	peer = host->local;
	pthread_mutex_unlock(&host->lock);
	if (!peer) {
		struct via_peer *made = new_peer(host, getpid(), geteuid());
		int proc_fd = open_proc(getpid());

		if (!made || proc_fd < 0) {
			if (proc_fd >= 0)
				(void)close(proc_fd);
			via_peer_put(made);
			return proc_fd < 0 ? proc_fd : -ENOMEM;
		}
		made->mm = via_mm_self();
		made->proc_fd = proc_fd;
		via_peer_sample(made, true);
		pthread_mutex_lock(&host->lock);
		if (!host->local) {
			host->local = made;
			made = NULL;
		}
		peer = host->local;
		pthread_mutex_unlock(&host->lock);
		if (made)
			(void)close(made->proc_fd);
		via_peer_put(made);
	}
	*ret_peer = peer;
	return 0;
}
