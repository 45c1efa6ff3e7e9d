/* SPDX-License-Identifier: MIT */
/*
 * What the files of the host room share. Nothing outside includes this.
 *
 * Threads
 *	loop	one; looks for events (new connections, hang-ups) and never
 *		blocks on anything a peer or a device can hold up
 *	reaper	one; does what a hang-up leads to and may block: the last
 *		close of a file, dropping a dead process's mappings
 *	slot	one per connection; runs its calls
 *	guard	one, started by the first guard; userfaultfd events
 *
 * A call that must see earlier closes looks for events itself and does the
 * reaper's work (via_settle()), so there is no moment at which a descriptor is
 * closed in the program and still open for the next call.
 *
 * Lock order: poll_lock, then lock, then via_peer.lock; reap_lock, then
 * whatever release() takes. Nothing foreign is called under lock or via_peer.lock.
 */
#ifndef VIA_HOST_INTERNAL_H
#define VIA_HOST_INTERNAL_H

#include "host/door.h"
#include "host/host.h"

#include <viaduct/device.h>

#include <pthread.h>
#include <stdio.h>

/* Something with a descriptor in the loop's epoll set. */
struct via_source {
	int fd;
	void (*event)(struct via_source *source, uint32_t events);
};

/* Work for the reaper. */
struct via_reap {
	struct via_reap *next;
	void (*run)(struct via_reap *reap);
};

/* Ids for a table of pointers: index in the low half, a count of reuses above. */
struct via_id_slot {
	void *ptr;
	uint32_t generation;
};

struct via_id_table {
	struct via_id_slot *slots;
	uint32_t n_slots;
	uint32_t n_used;
	uint32_t search; /* where to look for a free one */
};

/* > 0, or 0 for lack of memory. */
uint64_t via_id_add(struct via_id_table *table, void *ptr);
void *via_id_find(const struct via_id_table *table, uint64_t id);
void via_id_remove(struct via_id_table *table, uint64_t id);
void via_id_deinit(struct via_id_table *table);

#define VIA_FILE_BUCKETS 256u

struct via_conn;
struct via_host_view;
struct via_peer;
struct via_hosted_file;
struct via_guard;

struct via_host {
	struct via_vfio *vfio;		     /* constant */
	bool iommu_test;		     /* constant: programs are selftests */
	const struct via_iommu_props *iommu; /* constant; NULL: the default */
	uint32_t entry_limit;		     /* constant: of type1; 0: what iommu says */
	/*
	 * All sources are in two epoll sets. alarm_fd, edge-triggered, is what
	 * the loop thread sleeps on. epoll_fd is only looked at, under poll_lock:
	 * a look at a set that another thread is scanning can miss events.
	 */
	int epoll_fd, alarm_fd, wake_fd; /* constant */

	pthread_mutex_t poll_lock;  /* looking for events and acting on them */
	struct via_source listener; /* fd: poll_lock; -1 when not listening */
	int reserve_fd;		 /* poll_lock; given up to refuse a peer */
	unsigned int n_greeting; /* poll_lock */
	uint64_t n_accepted;	 /* poll_lock */

	pthread_mutex_t reap_lock; /* running the reaper's work */

	pthread_mutex_t lock;	/* all below, unless said otherwise */
	pthread_cond_t changed; /* a connection is dead, or has gone */
	pthread_cond_t reap_more;
	struct via_reap *reap_first, **reap_end;
	struct via_peer *peers;
	unsigned int n_peers;
	struct via_conn *conns;
	unsigned int n_slots; /* connections with a slot thread */
	uint64_t n_ended; /* atomic; connections that have closed all that they held */
	struct via_id_table files;
	struct via_hosted_file *buckets[VIA_FILE_BUCKETS];
	unsigned int n_files; /* published and not yet released */
	unsigned int n_pollable; /* atomic; files that are not always readable */
	bool stopping;

	bool started; /* via_host_start(): lock; threads run */
	pthread_t loop_thread, reap_thread;

	pthread_mutex_t guard_lock; /* guards, guard_started and the thread's work */
	struct via_guard *guards;
	bool guard_started;
	int guard_epoll_fd; /* constant */
	pthread_t guard_thread;
	int guard_stop_fd; /* constant */

	struct via_peer *local;	    /* the in-process caller; lock; NULL until used */
	struct timespec since;	    /* constant */
	uint64_t calls;		    /* atomic; for the report */
	struct via_snapshot *snapshots; /* constant once programs run */
	uint64_t programs;	    /* lock; processes that have called */
	bool no_autoprobe;	    /* atomic */
	struct via_host_view *view; /* constant once programs run; NULL: nobody sees what changes */
};

/* loop.c: threads, events and the reaper */
/* A thread that takes no signals but those of its own faults. 0 or negative errno. */
int via_thread_start(pthread_t *ret_thread, void *(*run)(void *cookie), void *cookie);
int via_host_start(struct via_host *host);
void via_host_stop(struct via_host *host);
int via_loop_add(struct via_host *host, struct via_source *source, uint32_t events);
int via_loop_change(struct via_host *host, struct via_source *source, uint32_t events);
/* From an event or with poll_lock held. Closes the descriptor. */
void via_loop_remove(struct via_host *host, struct via_source *source);
/* Likewise, and leaves the descriptor to its owner. */
void via_loop_forget(struct via_host *host, struct via_source *source);
/* Look for what has happened, for a call whose effects may be among it. */
void via_loop_look(struct via_host *host);
void via_reap_push(struct via_host *host, struct via_reap *reap);
void via_reap_run(struct via_host *host);
/*
 * See all closes that have happened. Not with a lock or a reference to a file
 * that another thread's release may wait for.
 */
void via_settle(struct via_host *host);

/* files.c: descriptors of programs and the files behind them */
struct via_hosted_file {
	struct via_source source; /* our end; its hang-up is the last close */
	struct via_reap reap;
	struct via_host *host;
	struct via_hosted_file *next; /* in its bucket; host lock */
	struct via_file *file;	      /* the reference of the open description */
	struct via_reap messages;     /* takes what was written to our end */
	/* A duplicate of the file's poll descriptor, or -1; watched while the program's end says "no". */
	struct via_source waiting;
	bool hung_up;		      /* poll_lock */
	int message_error;	      /* host lock: of the first message since somebody asked */
	struct via_peer *owner;	      /* whom it is charged to; a reference */
	uint64_t id, dev, ino;	      /* constant */
	uint64_t rdev;		      /* host lock: as struct via_file_ident */
};

struct via_file_ident {
	uint64_t id, dev, ino;
	uint64_t rdev; /* of the node that was opened, 0 without one */
};

/*
 * Make a descriptor for file. On 0 the file's reference is consumed and
 * *ret_fd is ours to send and close: closing it everywhere is the last close.
 */
int via_files_publish(struct via_host *host, struct via_peer *owner, struct via_file *file,
		      bool cloexec, struct via_file_ident *ret_ident, int *ret_fd);
/* The file is that of a device node. */
void via_files_name(struct via_host *host, uint64_t id, uint64_t rdev);
/* A reference, or NULL. */
struct via_file *via_files_find(struct via_host *host, uint64_t id);
/* The file behind one of our descriptors: 0, -EBADF not open, -EBADFD none of ours. */
int via_files_identify(struct via_host *host, int fd, struct via_file_ident *ret_ident,
		       struct via_file **ret_file);
/*
 * What became of the messages that a program wrote to its end, once: 0 or an
 * errno. Waits for what they have begun. -ESTALE: no such file.
 */
int via_files_flush(struct via_host *host, uint64_t id, struct via_caller *caller);
/*
 * After a call that may have emptied the file: let its descriptor say whether
 * it is readable. True: a byte that says so wrongly is for the program's side to
 * take out, and to call this again. Without host lock.
 */
bool via_files_show(struct via_host *host, uint64_t id);
/* As if every program had closed everything. */
void via_files_hang_up(struct via_host *host);

/* peer.c: processes */
struct via_peer {
	struct via_source exit; /* a pidfd; poll_lock */
	int refs;		/* atomic */
	struct via_host *host;	/* constant; outlives us but for our mm */
	struct via_peer *next;	/* host lock */
	struct via_reap reap;
	pid_t pid;	      /* constant */
	uid_t uid;	      /* constant */
	uint64_t cookie;      /* constant */
	struct via_mm *mm;    /* constant; a reference */
	int proc_fd;	      /* constant: /proc/PID, -1 for ourselves */
	unsigned int flags;   /* atomic: VIA_DOOR_FLAG_* */
	unsigned int caps;    /* atomic: VIA_CAP_* */
	bool initial_ns;      /* atomic: its capabilities are such to the system */
	unsigned int n_conns; /* host lock; alive */
	unsigned int n_files; /* host lock */

	pthread_mutex_t lock; /* below */
	struct via_id_table mappings;
	bool gone;
};

/* The process at the other end of sock: found or made, with a reference. */
int via_peer_join(struct via_host *host, int sock, const struct via_door_hello *hello,
		  struct via_peer **ret_peer);
/* One connection fewer. With poll_lock held, as is joining. */
void via_peer_leave(struct via_peer *peer);
struct via_peer *via_peer_get(struct via_peer *peer);
void via_peer_put(struct via_peer *peer);
/* The in-process peer. */
int via_peer_local(struct via_host *host, struct via_peer **ret_peer);
/* Take RLIMIT_MEMLOCK and capabilities as they are now; with ns also look for its user namespace. */
void via_peer_sample(struct via_peer *peer, bool ns);
/* What DMA locks and pins of the memory of process pid, in pages. -ESRCH: nobody has called from there. */
int via_peer_locked(struct via_host *host, pid_t pid, uint64_t *ret_locked, uint64_t *ret_pinned);
void via_peer_init_caller(struct via_peer *peer, const struct via_caller_ops *ops,
			  struct via_caller *caller);

/* remote.c: another process's memory. On 0 both descriptors (a pidfd, /proc/PID) are consumed. */
int via_remote_mm_new(pid_t pid, uid_t uid, int pid_fd, int proc_fd, struct via_mm **ret_mm);
/* The process has gone or has another program: nothing is reachable any more. */
void via_remote_mm_gone(struct via_mm *mm);
/* The pages that DMA refers to, of a remote mm. */
struct via_pins;
struct via_pins *via_remote_mm_pins(struct via_mm *mm);
/* Ranges that are not to be written for the program: VIA_DOOR_N_KEEP_OUT of them. */
void via_remote_mm_keep_out(struct via_mm *mm, const struct via_door_keep_out *ranges);

/* maps.c: what /proc/PID/maps says */
struct via_vma {
	uint64_t start, end, offset;
	uint64_t inode;
	unsigned int dev_major, dev_minor;
	bool read, write, shared;
	bool region; /* a device's, which no kernel takes for memory */
};

/*
 * Call fn for each mapping that touches [addr, addr+len), ascending, until it
 * returns other than 0. 0 when all of the range is mapped, -EFAULT at a hole.
 */
int via_maps_walk(int proc_fd, uint64_t addr, uint64_t len,
		  int (*fn)(void *cookie, const struct via_vma *vma), void *cookie);

/* slot.c: connections */
struct via_conn {
	struct via_source source;
	struct via_host *host;
	struct via_peer *peer;	    /* NULL while greeting, then constant; a reference */
	struct via_conn *next;	    /* host lock */
	struct via_door_slot *slot; /* constant while serving */
	struct via_door_spin spin;  /* slot thread */
	bool dead;		    /* atomic; set by the loop */
	bool settling;		    /* atomic; the slot thread waits for others to go */
	bool broken;		    /* slot thread: the peer has violated the protocol */
	uint64_t order;		    /* constant: by age */
};

int via_conn_listen(struct via_host *host, char *ret_name, size_t len, struct via_error *err);
/* All connections, or those of peer. With poll_lock held. */
void via_conn_hang_up_all(struct via_host *host);
void via_conn_hang_up_peer(struct via_host *host, const struct via_peer *peer);
/* Ask the client; false: connection lost. Only from its slot thread during a call. */
bool via_conn_upcall(struct via_conn *conn, const struct via_door_upcall *upcall, int send_fd,
		     struct via_door_answer *ret_answer, int *ret_fd);
/* The connection whose call this thread runs, or NULL. */
struct via_conn *via_conn_current(void);

/* calls.c: operations */
struct via_call {
	struct via_host *host;
	struct via_peer *peer;
	struct via_caller *caller;
	struct via_door_request request; /* ours: read once from the slot */
	struct via_door_reply reply;
	uint8_t *data; /* VIA_DOOR_DATA_SIZE bytes that may change under us */
	int fd;	       /* that came with the request; -1 once consumed */
	int reply_fd;  /* to send and close, or -1 */
};

/* Must see earlier closes: via_settle() before via_call_run(). */
bool via_call_settles(const struct via_call *call);
void via_call_run(struct via_call *call);

/* caller.c: the program behind a connection as a via_caller */
struct via_remote_caller {
	struct via_caller base;
	struct via_conn *conn;
};

void via_remote_caller_init(struct via_remote_caller *caller, struct via_conn *conn);

/* mapping.c */
struct via_mapping {
	int refs;		/* atomic */
	struct via_host *host;	/* constant, as all below but guards */
	struct via_file *file;	/* a reference */
	struct via_device *dev; /* NULL: nothing to trap */
	unsigned int region;
	uint64_t offset, len;	  /* in the region */
	void (*unmapped)(void *owner); /* or NULL: as struct via_mmap */
	void *owner;
	struct via_guard *guards; /* host->guard_lock */
	bool ended;		  /* host->guard_lock: no more guards */
};

/*
 * Make a mapping handle. ret_map is what the file said; areas go to areas,
 * clipped and relative to the mapping. Return id > 0 or negative errno.
 */
int64_t via_mapping_new(struct via_peer *peer, struct via_file *file, struct via_caller *caller,
			const uint64_t arg[4], struct via_mmap *ret_map,
			struct via_door_area *areas, size_t max_areas, size_t *ret_n_areas);
int via_mapping_unmap(struct via_peer *peer, uint64_t id);
int via_mapping_read(struct via_peer *peer, uint64_t id, uint64_t offset, uint64_t size,
		     uint64_t *ret_value);
int via_mapping_write(struct via_peer *peer, uint64_t id, uint64_t offset, uint64_t size,
		      uint64_t value);
/* Consumes fd on success. */
int via_mapping_guard(struct via_peer *peer, uint64_t id, uint64_t offset, uint64_t addr,
		      uint64_t len, int fd);
/* The process is gone: drop all its mappings. Reaper's work. */
void via_mapping_drop_all(struct via_peer *peer);

/* guard.c: doorbell pages that report the next write */
/* uffd is consumed on success. */
int via_guard_add(struct via_mapping *mapping, uint64_t addr, uint64_t len, int uffd);
void via_guard_remove_all(struct via_mapping *mapping);
void via_guard_stop(struct via_host *host);

/* sysfs.c: a number that programs see changes; the vfio room's lock may be held */
void via_host_attribute(struct via_host *host, const struct via_device *dev, const char *name,
			unsigned int value);
void via_host_view_free(struct via_host *host);

/* attribute.c: "0000:00:03.0/sriov_numvfs", for open(2)'s flags */
int via_attribute_open(struct via_host *host, const char *path, int flags,
		       struct via_file **ret_file);

/* snapshot.c: after the devices are gone */
void via_snapshots_free(struct via_host *host);

#endif
