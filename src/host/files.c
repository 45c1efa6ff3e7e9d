/* SPDX-License-Identifier: MIT */
/*
 * The program holds one end of a socketpair, we hold the other. What the
 * program does with its end (dup, fork, SCM_RIGHTS, close, being killed) is
 * the kernel's business; when the last copy is gone our end hangs up.
 */
#include "host/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static struct via_hosted_file **bucket_of(struct via_host *host, uint64_t ino)
{
	return &host->buckets[ino % VIA_FILE_BUCKETS];
}

/* A page, which is as much as a text file of sysfs takes; and how many at once. */
#define MESSAGE_SIZE 4096
#define MAX_MESSAGES 16

/* True: there may be more. */
static bool take_messages(struct via_hosted_file *hosted)
{
	char text[MESSAGE_SIZE + 1];

	for (int i = 0; i < MAX_MESSAGES; i++) {
		ssize_t n = recv(hosted->source.fd, text, MESSAGE_SIZE, MSG_DONTWAIT);
		int r;

		/* Said once, before what is queued, when the program has not read what it could. */
		if (n < 0 && errno == ECONNRESET)
			continue;
		if (n <= 0)
			return false;
		text[n] = '\0';
		r = hosted->file->ops->take(hosted->file, text);
		pthread_mutex_lock(&hosted->host->lock);
		if (r && !hosted->message_error)
			hosted->message_error = r;
		pthread_mutex_unlock(&hosted->host->lock);
	}
	return true;
}

/* Reaper's work. Until it is done the loop does not look for more. */
static void messages_came(struct via_reap *reap)
{
	struct via_hosted_file *hosted = (struct via_hosted_file *)((char *)reap -
								    offsetof(struct via_hosted_file,
									     messages));
	struct via_host *host = hosted->host;

	(void)take_messages(hosted);
	pthread_mutex_lock(&host->poll_lock);
	if (!hosted->hung_up)
		(void)via_loop_change(host, &hosted->source, EPOLLIN | EPOLLHUP);
	pthread_mutex_unlock(&host->poll_lock);
}

/* Files that are not always readable ---------------------------------------------------- */

/*
 * The program's end of such a file is readable while a byte lies in it. We put
 * it there; only who has the end can take it out, and does so in the course of
 * a read(2) that left nothing (via_files_show()). SIOCOUTQ tells whether it is
 * still there, whoever was killed in between.
 */
static bool waits(const struct via_hosted_file *hosted)
{
	struct pollfd p = {.fd = hosted->waiting.fd, .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}

static bool told(const struct via_hosted_file *hosted)
{
	int left = 0;

	return ioctl(hosted->source.fd, SIOCOUTQ, &left) == 0 && left > 0;
}

/* With host lock. True: the byte is there and should not be. */
static bool show(struct via_hosted_file *hosted)
{
	bool there = told(hosted);

	if (!waits(hosted)) {
		(void)via_loop_change(hosted->host, &hosted->waiting, EPOLLIN);
		return there;
	}
	if (!there)
		(void)!send(hosted->source.fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	return false;
}

static void something_waits(struct via_source *source, uint32_t events)
{
	struct via_hosted_file *hosted =
		(struct via_hosted_file *)((char *)source -
					   offsetof(struct via_hosted_file, waiting));

	(void)events;
	pthread_mutex_lock(&hosted->host->lock);
	/* It stays readable until somebody reads, who then has it watched again. */
	(void)via_loop_change(hosted->host, source, 0);
	(void)show(hosted);
	pthread_mutex_unlock(&hosted->host->lock);
}

bool via_files_show(struct via_host *host, uint64_t id)
{
	struct via_hosted_file *hosted;
	bool take;

	pthread_mutex_lock(&host->lock);
	hosted = via_id_find(&host->files, id);
	take = hosted && hosted->waiting.fd >= 0 && show(hosted);
	pthread_mutex_unlock(&host->lock);
	return take;
}

static int watch_waiting(struct via_hosted_file *hosted)
{
	int fd = fcntl(hosted->file->ops->poll_fd(hosted->file), F_DUPFD_CLOEXEC, 0), r;

	if (fd < 0)
		return errno == EMFILE ? -ENFILE : -errno;
	hosted->waiting = (struct via_source){.fd = fd, .event = something_waits};
	r = via_loop_add(hosted->host, &hosted->waiting, EPOLLIN);
	if (r) {
		(void)close(fd);
		hosted->waiting.fd = -1;
		return r;
	}
	__atomic_add_fetch(&hosted->host->n_pollable, 1, __ATOMIC_RELAXED);
	return 0;
}

static void unwatch_waiting(struct via_hosted_file *hosted)
{
	if (hosted->waiting.fd < 0)
		return;
	via_loop_remove(hosted->host, &hosted->waiting);
	__atomic_sub_fetch(&hosted->host->n_pollable, 1, __ATOMIC_RELAXED);
}

/* The last close --------------------------------------------------------------------- */

static void release(struct via_reap *reap)
{
	struct via_hosted_file *hosted =
		(struct via_hosted_file *)((char *)reap - offsetof(struct via_hosted_file, reap));
	struct via_host *host = hosted->host;

	if (hosted->file->ops->take) {
		while (take_messages(hosted))
			;
		(void)close(hosted->source.fd);
	}
	via_file_put(hosted->file);
	pthread_mutex_lock(&host->lock);
	hosted->owner->n_files--;
	host->n_files--;
	pthread_mutex_unlock(&host->lock);
	via_peer_put(hosted->owner);
	free(hosted);
}

static void last_close(struct via_hosted_file *hosted)
{
	struct via_host *host = hosted->host;
	struct via_hosted_file **link;

	pthread_mutex_lock(&host->lock);
	via_id_remove(&host->files, hosted->id);
	for (link = bucket_of(host, hosted->ino); *link != hosted;)
		link = &(*link)->next;
	*link = hosted->next;
	unwatch_waiting(hosted);
	pthread_mutex_unlock(&host->lock);
	hosted->hung_up = true;
	/* What was written last is still to be read. */
	if (hosted->file->ops->take)
		via_loop_forget(host, &hosted->source);
	else
		via_loop_remove(host, &hosted->source);
	via_reap_push(host, &hosted->reap);
}

static void file_event(struct via_source *source, uint32_t events)
{
	struct via_hosted_file *hosted = (struct via_hosted_file *)source;

	if (events & EPOLLHUP) {
		last_close(hosted);
		return;
	}
	(void)via_loop_change(hosted->host, source, EPOLLHUP);
	via_reap_push(hosted->host, &hosted->messages);
}

/* A socket with this much under way, of the least that it may have, is not writable to poll(2). */
static int make_unwritable(int end)
{
	static const char ballast[2048];
	int least = 0;

	if (setsockopt(end, SOL_SOCKET, SO_SNDBUF, &least, sizeof(least)) < 0 ||
	    send(end, ballast, sizeof(ballast), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return -errno;
	return 0;
}

/* What lies queued in the program's end, and whether we ever read from ours. */
static int fill_pair(const int ends[2], struct via_file *file)
{
	char text[MESSAGE_SIZE] = "";
	ssize_t n = !file->ops->poll_fd;

	if (file->ops->give)
		n = file->ops->give(file, text, sizeof(text));
	if (n > 0 && send(ends[0], text, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL) != n)
		return -errno;
	if (file->ops->poll_fd && !file->ops->pwrite) {
		int r = make_unwritable(ends[1]);

		if (r)
			return r;
	}
	/* Bytes that say that something waits are still to be sent. */
	return shutdown(ends[0], file->ops->take ? SHUT_WR : SHUT_RD) < 0 ? -errno : 0;
}

/*
 * A socket that poll(2) finds readable and writable, as VFIO's files are
 * without a poll operation, or as the file says. We never read from it, unless the file takes
 * messages, and nothing can be sent: a program's end in the queue of our end
 * would keep itself open.
 */
static int make_pair(struct via_file *file, bool cloexec, int ret_ends[2], struct stat *ret_st)
{
	int ends[2], r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	r = fill_pair(ends, file);
	if (!r && (fstat(ends[1], ret_st) < 0 || (!cloexec && fcntl(ends[1], F_SETFD, 0) < 0)))
		r = -errno;
	if (r) {
		(void)close(ends[0]);
		(void)close(ends[1]);
		return r;
	}
	ret_ends[0] = ends[0];
	ret_ends[1] = ends[1];
	return 0;
}

int via_files_publish(struct via_host *host, struct via_peer *owner, struct via_file *file,
		      bool cloexec, struct via_file_ident *ret_ident, int *ret_fd)
{
	struct via_hosted_file *hosted = calloc(1, sizeof(*hosted));
	int ends[2] = {-1, -1}, r;
	struct stat st = {0};

	if (!hosted)
		return -ENOMEM;
	r = make_pair(file, cloexec, ends, &st);
	if (r)
		goto fail;
	hosted->source = (struct via_source){.fd = ends[0], .event = file_event};
	hosted->reap.run = release;
	hosted->messages.run = messages_came;
	hosted->waiting.fd = -1;
	hosted->host = host;
	hosted->file = file;
	hosted->owner = owner;
	hosted->dev = st.st_dev;
	hosted->ino = st.st_ino;
	pthread_mutex_lock(&host->lock);
	if (owner->n_files >= VIA_DOOR_MAX_FILES)
		r = -EMFILE;
	else if (!(hosted->id = via_id_add(&host->files, hosted)))
		r = -ENOMEM;
	else if ((r = via_loop_add(host, &hosted->source,
				   file->ops->take ? EPOLLIN | EPOLLHUP : EPOLLHUP)))
		via_id_remove(&host->files, hosted->id);
	if (!r && file->ops->poll_fd && (r = watch_waiting(hosted))) {
		via_loop_forget(host, &hosted->source);
		via_id_remove(&host->files, hosted->id);
	}
	if (!r) {
		struct via_hosted_file **head = bucket_of(host, hosted->ino);

		hosted->next = *head;
		*head = hosted;
		owner->n_files++;
		host->n_files++;
		via_peer_get(owner);
		*ret_ident = (struct via_file_ident){hosted->id, hosted->dev, hosted->ino,
							      hosted->rdev};
		*ret_fd = ends[1];
	}
	pthread_mutex_unlock(&host->lock);
	if (!r)
		return 0;
	(void)close(ends[0]);
	(void)close(ends[1]);
fail:
	free(hosted);
	return r;
}

void via_files_name(struct via_host *host, uint64_t id, uint64_t rdev)
{
	struct via_hosted_file *hosted;

	pthread_mutex_lock(&host->lock);
	hosted = via_id_find(&host->files, id);
	if (hosted)
		hosted->rdev = rdev;
	pthread_mutex_unlock(&host->lock);
}

struct via_file *via_files_find(struct via_host *host, uint64_t id)
{
	struct via_hosted_file *hosted;
	struct via_file *file = NULL;

	pthread_mutex_lock(&host->lock);
	hosted = via_id_find(&host->files, id);
	if (hosted)
		file = via_file_get(hosted->file);
	pthread_mutex_unlock(&host->lock);
	return file;
}

int via_files_flush(struct via_host *host, uint64_t id, struct via_caller *caller)
{
	struct via_hosted_file *hosted;
	struct via_file *file;
	int r = 0;

	file = via_files_find(host, id);
	if (!file)
		return -ESTALE;
	if (file->ops->sync)
		file->ops->sync(file, caller);
	via_file_put(file);
	pthread_mutex_lock(&host->lock);
	hosted = via_id_find(&host->files, id);
	if (hosted) {
		r = hosted->message_error;
		hosted->message_error = 0;
	}
	pthread_mutex_unlock(&host->lock);
	return r;
}

int via_files_identify(struct via_host *host, int fd, struct via_file_ident *ret_ident,
		       struct via_file **ret_file)
{
	struct via_hosted_file *hosted;
	socklen_t len = sizeof(int);
	int type, r = -EBADFD;
	struct stat st;

	/* Before fstat(), which a FUSE server of the program's could answer never. */
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0)
		return errno == EBADF ? -EBADF : -EBADFD;
	if (fstat(fd, &st) < 0)
		return -errno;
	pthread_mutex_lock(&host->lock);
	for (hosted = *bucket_of(host, st.st_ino); hosted; hosted = hosted->next) {
		if (hosted->ino != st.st_ino || hosted->dev != st.st_dev)
			continue;
		if (ret_file)
			*ret_file = via_file_get(hosted->file);
		if (ret_ident)
			*ret_ident = (struct via_file_ident){hosted->id, hosted->dev, hosted->ino,
							      hosted->rdev};
		r = 0;
		break;
	}
	pthread_mutex_unlock(&host->lock);
	return r;
}

void via_files_hang_up(struct via_host *host)
{
	pthread_mutex_lock(&host->poll_lock);
	for (size_t i = 0; i < VIA_FILE_BUCKETS; i++)
		for (;;) {
			struct via_hosted_file *hosted;

			pthread_mutex_lock(&host->lock);
			hosted = host->buckets[i];
			pthread_mutex_unlock(&host->lock);
			if (!hosted)
				break;
			last_close(hosted);
		}
	pthread_mutex_unlock(&host->poll_lock);
}
