/* SPDX-License-Identifier: MIT */
/*
 * The door between a program's shim and the host process: what lies in a call
 * slot and what travels over its socket. Both sides include this file; the
 * host treats everything in it as written by an enemy.
 *
 * Connection. One per program thread that calls (a pool of them serves as
 * well: a connection is not bound to the thread that made it, only one call
 * runs on it at a time). The client connects an AF_UNIX SOCK_SEQPACKET socket
 * to the abstract name in VIADUCT_SOCKET (written with '@' for the NUL), sends
 * struct via_door_hello, and receives struct via_door_welcome with, when error
 * is 0, one descriptor: a sealed memfd of VIA_DOOR_SLOT_SIZE bytes, to be
 * mapped shared. The memfd can be closed after mmap, the socket stays open:
 * its hang-up ends the connection.
 *
 * Process. All connections with one pid and one cookie are one process to the
 * host. The cookie is random, made anew after fork and exec. When the last
 * connection of a process hangs up its mapping handles are dropped and its
 * address space counts as gone, so a process that has mappings must keep one
 * connection open (put a dead thread's connection back into a pool).
 *
 * Call. state tells whose turn it is:
 *
 *	IDLE/REPLY  client fills request (and data), sends the request's
 *		    descriptor if it has one, posts REQUEST
 *	REQUEST	    host works; posts REPLY, or UPCALL
 *	UPCALL	    client does what upcall says, fills answer, posts ANSWER
 *	ANSWER	    host goes on with the call; posts REPLY, or UPCALL again
 *	CLOSED	    host has given the connection up; the client drops it
 *
 * Descriptors travel over the connection's socket, each in a message of its
 * own (struct via_door_message with one SCM_RIGHTS descriptor), and are sent
 * before the state is posted that announces them: so the receiver never waits.
 *
 * Waiting: the side whose turn it is not waits with via_door_wait(), which
 * spins a little and then marks the word and sleeps on it; via_door_post()
 * wakes the other side only when it is marked. A client waits with a limit and
 * looks at its socket for a hang-up when it expires: the host may be killed.
 */
#ifndef VIA_HOST_DOOR_H
#define VIA_HOST_DOOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define VIA_DOOR_MAGIC 0x6f6f6456u /* "Vdoo" */
#define VIA_DOOR_VERSION 1u

#define VIA_DOOR_HEAD_SIZE 4096u
#define VIA_DOOR_DATA_SIZE 65536u
#define VIA_DOOR_SLOT_SIZE (VIA_DOOR_HEAD_SIZE + VIA_DOOR_DATA_SIZE)

/* Bounds per process; more is refused with EMFILE, ENFILE, ENOMEM. */
#define VIA_DOOR_MAX_SLOTS 256u
#define VIA_DOOR_MAX_FILES 4096u
#define VIA_DOOR_MAX_MAPPINGS 4096u

/* via_door_hello.flags, and arg[0] of VIA_DOOR_NOTE. */
#define VIA_DOOR_FLAG_VMM (1u << 0) /* a QEMU */
#define VIA_DOOR_FLAG_KVM (1u << 1) /* has opened /dev/kvm */
#define VIA_DOOR_FLAGS (VIA_DOOR_FLAG_VMM | VIA_DOOR_FLAG_KVM)

/* Memory of the program that only its shim may write. */
struct via_door_keep_out {
	uint64_t addr, len; /* len 0: none */
};
#define VIA_DOOR_N_KEEP_OUT 2u

/* Client to host, first message. */
struct via_door_hello {
	uint32_t magic;
	uint32_t version;
	uint64_t cookie;
	uint32_t tid;
	uint32_t flags;
	/*
	 * The shim's own state, which in a kernel would not be the program's
	 * memory: results and DMA that the program sends there are EFAULT.
	 */
	struct via_door_keep_out keep_out[VIA_DOOR_N_KEEP_OUT];
};

/* Host to client, answer to hello; on error 0 the slot's memfd comes with it. */
struct via_door_welcome {
	uint32_t magic;
	uint32_t version; /* the host's */
	int32_t error;	  /* 0; -EPROTO version, -EPERM uid, -EMFILE slots, -ENOMEM */
	uint32_t slot_size;
};

/* Accompanies every other descriptor, in both directions. */
struct via_door_message {
	uint32_t magic;
	uint32_t reserved;
};

enum via_door_state {
	VIA_DOOR_IDLE = 0,
	VIA_DOOR_REQUEST = 1,
	VIA_DOOR_REPLY = 2,
	VIA_DOOR_UPCALL = 3,
	VIA_DOOR_ANSWER = 4,
	VIA_DOOR_CLOSED = 5,
};

/* Ored into the state by the side that sleeps; post() takes it away. */
#define VIA_DOOR_WAITING 0x80000000u

/*
 * Operations. "id" is via_door_request.id. Results are those of the system
 * call: >= 0 or negative errno. Addresses are in the calling process. Ids of
 * files and mappings are > 0 and never reused. -ESTALE: the host does not know
 * the id (any more): forget it and IDENTIFY the descriptor again.
 *
 * OPEN, IOCTL and IDENTIFY see every close that happened before them; READ,
 * WRITE and REG_* do not pay for that.
 */
enum via_door_op {
	/*
	 * openat(2) of a node: data = "vfio/vfio", "vfio/7" (no NUL needed), or
	 * of a file in sysfs that takes writes, "sysfs/0000:00:03.0/sriov_numvfs",
	 * arg[0] = its length, arg[1] = open flags.
	 * -> file id, value[0] = st_dev, value[1] = st_ino of the descriptor,
	 * which waits in the socket (n_fds 1).
	 */
	VIA_DOOR_OPEN = 1,
	/*
	 * id = file, arg[0] = command, and above its 32 bits how many return addresses are
	 * in data (for the DMA checker); arg[1] = argument.
	 */
	VIA_DOOR_IOCTL = 2,
	/*
	 * id = file, arg[0] = address, arg[1] = length, arg[2] = offset,
	 * arg[3] = 1: use and advance the file's position instead of the offset.
	 * value[0] = 1 (PREAD): the descriptor shows something to read that is
	 * gone; take one message out of its socket, without waiting, and SHOW.
	 */
	VIA_DOOR_PREAD = 3,
	VIA_DOOR_PWRITE = 4,
	/*
	 * id = file, arg[0] = offset, arg[1] = length, arg[2] = prot, arg[3] = flags of mmap(2).
	 * -> mapping id; the descriptor to map waits in the socket (n_fds 1);
	 * value[0] = offset in it, value[1] = length (page multiple),
	 * value[2] = n, data = struct via_door_area[n], clipped to this
	 * mapping, offsets from its start, ascending, without gaps.
	 * The mapping keeps the file open in the host, as in a kernel. A fork
	 * child makes mappings of its own for what it inherited.
	 */
	VIA_DOOR_MMAP = 5,
	/* id = mapping: the last part of it has been unmapped */
	VIA_DOOR_UNMAP = 6,
	/*
	 * One trapped access: id = mapping, arg[0] = offset from its start,
	 * arg[1] = size (1, 2, 4, 8), arg[2] = value (write). -> 0 and
	 * value[0] (read); -EIO: SIGBUS for the program.
	 */
	VIA_DOOR_REG_READ = 7,
	VIA_DOOR_REG_WRITE = 8,
	/*
	 * Watch a doorbell part of a mapping: id = mapping, arg[0] = offset
	 * from its start, arg[1] = address, arg[2] = length; comes with a
	 * userfaultfd (n_fds 1) of its own, used for nothing else, on which
	 * the pages are registered for write protection. -> 0. Ends with
	 * UNMAP, or when the pages go away.
	 */
	VIA_DOOR_GUARD = 9,
	/*
	 * What is this descriptor? It comes along (n_fds 1), the host closes
	 * its copy. -> file id, value[0] = st_dev, value[1] = st_ino, value[2] =
	 * st_rdev of the node that was opened, or 0; 0: none of ours.
	 */
	VIA_DOOR_IDENTIFY = 10,
	/* See every close that has happened. -> 0 */
	VIA_DOOR_SYNC = 11,
	/* arg[0] = VIA_DOOR_FLAG_*, added to those of the process. -> 0 */
	VIA_DOOR_NOTE = 12,
	/*
	 * Which pages of [arg[0], arg[0] + arg[1]) does DMA refer to by their
	 * address? -> n, data = struct via_door_range[n], ascending, whole
	 * pages; there may be more when n is VIA_DOOR_MAX_HELD.
	 */
	VIA_DOOR_HELD = 13,
	/*
	 * The pages at [arg[0], arg[0] + arg[1]) are now at arg[2] (arg[3] = 1),
	 * or will be in a moment (arg[3] = 0; a second call with arg[3] = 1 and
	 * length 0 says when). -> 0, -ENOSPC: not followed any more.
	 */
	VIA_DOOR_MOVED = 14,
	/*
	 * id = file: what became of that which the program wrote to the
	 * descriptor itself. -> 0, or the errno of the first such write since the
	 * last time.
	 */
	VIA_DOOR_FLUSH = 15,
	/* id = file: let its descriptor show again whether there is something to read. -> 0 */
	VIA_DOOR_SHOW = 16,
	/*
	 * arg[0] = a process id. -> 0, value[0] = pages of its memory that DMA has
	 * locked, value[1] = those it has pinned, as VmLck and VmPin of
	 * /proc/PID/status show them; -ESRCH: none of ours.
	 */
	VIA_DOOR_LOCKED = 17,
};

/*
 * What the host asks during a call. The answer's result is >= 0 or a negative
 * errno; a client that does not answer within VIA_DOOR_UPCALL_SECONDS loses
 * the connection (and its call ends with -EIO inside the host).
 */
#define VIA_DOOR_UPCALL_SECONDS 10

enum via_door_upcall_op {
	/* Send the program's descriptor arg[0] over the socket. -> 0 or -EBADF (nothing sent) */
	VIA_DOOR_GET_FD = 1,
	/*
	 * A descriptor waits in the socket: make it the program's lowest free
	 * number, close-on-exec when arg[0] is 1. -> number, -EMFILE.
	 * arg[1] = file id when it is one of ours, else 0; arg[2], arg[3] =
	 * its st_dev and st_ino.
	 */
	VIA_DOOR_PUT_FD = 2,
	/*
	 * Copy arg[1] bytes (<= VIA_DOOR_DATA_SIZE) from address arg[0] to
	 * data, or from data to there, so that a bad pointer is -EFAULT. Only
	 * asked when the kernel refuses process_vm_readv to the host.
	 */
	VIA_DOOR_READ_MEM = 3,
	VIA_DOOR_WRITE_MEM = 4,
};

/* Part of a mapping; kind is enum via_area_kind (register 0, doorbell 1, memory 2). */
struct via_door_area {
	uint64_t offset;
	uint64_t size;
	uint32_t kind;
	uint32_t reserved;
};

/* Pages that DMA refers to. */
struct via_door_range {
	uint64_t addr, len;
};
#define VIA_DOOR_MAX_HELD (VIA_DOOR_DATA_SIZE / 16u)

/* Return addresses of the program that go with an ioctl(2), for the DMA checker. */
#define VIA_DOOR_FRAMES 16u

struct via_door_request {
	uint32_t op;
	uint32_t n_fds; /* descriptors sent with it: 0 or 1 */
	uint64_t id;
	uint64_t arg[6];
};

struct via_door_reply {
	int64_t result;
	uint32_t n_fds; /* descriptors that wait in the socket: 0 or 1 */
	uint32_t reserved;
	uint64_t value[6];
};

struct via_door_upcall {
	uint32_t op;
	uint32_t n_fds;
	uint64_t arg[7];
};

struct via_door_answer {
	int64_t result;
	uint32_t n_fds; /* 1 when GET_FD sent one */
	uint32_t reserved;
	uint64_t value[6];
};

/*
 * The slot. Each part has cache lines of its own and one writer: request and
 * answer the client, reply and upcall the host, state whoever's turn it is
 * (plus the waiting mark of the other), data as request and upcall say.
 */
struct via_door_slot {
	_Alignas(128) uint32_t state;
	_Alignas(128) struct via_door_request request;
	_Alignas(128) struct via_door_reply reply;
	_Alignas(128) struct via_door_upcall upcall;
	_Alignas(128) struct via_door_answer answer;
	_Alignas(VIA_DOOR_HEAD_SIZE) uint8_t data[VIA_DOOR_DATA_SIZE];
};

_Static_assert(sizeof(struct via_door_slot) == VIA_DOOR_SLOT_SIZE, "slot layout");
_Static_assert(offsetof(struct via_door_slot, data) == VIA_DOOR_HEAD_SIZE, "slot layout");
_Static_assert(sizeof(struct via_door_request) == 64 && sizeof(struct via_door_reply) == 64 &&
		       sizeof(struct via_door_upcall) == 64 && sizeof(struct via_door_answer) == 64,
	       "one cache line each");

/*
 * How long one waiter spins before it sleeps; adapts to whether spinning has
 * paid lately. Zero-initialised; belongs to one thread at a time.
 */
struct via_door_spin {
	uint32_t budget_ns;
	uint32_t misses;
};

/*
 * Numbers of nodes, which sysfs says too: of misc, /dev/vfio/vfio and /dev/iommu; groups and
 * devices' own nodes have majors of their own, which a kernel gives at boot.
 */
enum {
	VIA_NODE_MISC_MAJOR = 10,
	VIA_NODE_VFIO_MINOR = 196,
	VIA_NODE_IOMMU_MINOR = 104,
	VIA_NODE_GROUP_MAJOR = 247,
	VIA_NODE_DEVICE_MAJOR = 511,
};

/* st_rdev of a node, "vfio/7"; 0: it is not a node of a device. Async-signal-safe. */
dev_t via_door_node_number(const char *node);

/*
 * The functions below use no libc wrapper that a shim might interpose, leave
 * errno alone and may run in a signal handler.
 */

/*
 * Wait until the state differs from turn (a state without the waiting mark) or
 * limit_ns is over (< 0: for ever). Everything the other side wrote before its
 * post is visible afterwards. Return: the state, without the mark; turn when
 * time is over.
 */
uint32_t via_door_wait(uint32_t *state, uint32_t turn, struct via_door_spin *spin,
		       int64_t limit_ns);
/* Hand the turn over. */
void via_door_post(uint32_t *state, uint32_t next);

/*
 * Send len bytes with one descriptor (fd < 0: none). flags: MSG_DONTWAIT or 0.
 * Return: 0 or negative errno.
 */
int via_door_send(int sock, const void *bytes, size_t len, int fd, int flags);
/*
 * Receive one message of exactly len bytes with at most one descriptor;
 * *ret_fd is it (close-on-exec when cloexec) or -1. flags: MSG_DONTWAIT or 0.
 * Return: 0; -ECONNRESET hang-up; -EPROTO another length; -EMFILE when the
 * descriptor did not fit into our table; other negative errno.
 */
int via_door_recv(int sock, void *bytes, size_t len, int flags, bool cloexec, int *ret_fd);

#endif
