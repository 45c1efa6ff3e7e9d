/* SPDX-License-Identifier: MIT */
/*
 * Who is calling. vfio/ never assumes that the caller's address space or
 * descriptor table is its own: the door that received the call provides these
 * operations. One struct via_caller belongs to one call on one thread; the
 * struct via_mm in it may be kept longer (a reference of one's own).
 */
#ifndef VIA_VFIO_CALLER_H
#define VIA_VFIO_CALLER_H

#include <viaduct/memory.h>

#include <sys/types.h>

struct via_caller;
struct via_file;

struct via_caller_ops {
	/* A duplicate, ours to close, of the caller's descriptor: 0 or -EBADF. */
	int (*fd_get)(struct via_caller *caller, int fd, int *ret_fd);
	/* Install ours (consumed on success) in the caller: number >= 0 or -EMFILE, -ENFILE. */
	int (*fd_put)(struct via_caller *caller, int fd, bool cloexec);
	/*
	 * The file object behind the caller's descriptor, with a reference:
	 * 0, -EBADF not open, -EBADFD open but none of ours.
	 */
	int (*file_get)(struct via_caller *caller, int fd, struct via_file **ret_file);
	/* A new descriptor for file (its reference is consumed on success): >= 0 or errno. */
	int (*file_put)(struct via_caller *caller, struct via_file *file, bool cloexec);
	/* Optional: the program will never see the result of this call, so it need not wait. */
	bool (*gone)(struct via_caller *caller);
};

/* Bits of via_caller.caps. */
#define VIA_CAP_IPC_LOCK (1u << 0)
#define VIA_CAP_SYS_RAWIO (1u << 1)
#define VIA_CAP_SYS_RESOURCE (1u << 2)

struct via_caller {
	const struct via_caller_ops *ops;
	struct via_mm *mm;
	pid_t pid;
	uid_t uid;
	unsigned int caps;
	bool is_vmm;  /* a guest may run on its mappings: registers are offered without MMAP */
	/* Return addresses of the call in the program, innermost first; with the checker only. */
	const uint64_t *trace;
	unsigned int n_trace;
	bool has_kvm; /* has opened /dev/kvm: doorbells neither, see via_area_offered() */
};

/* The one place where arguments are copied. All return 0 or -EFAULT. */
int via_copy_in(struct via_caller *caller, void *dst, uint64_t addr, size_t len);
int via_copy_out(struct via_caller *caller, uint64_t addr, const void *src, size_t len);

/*
 * The argsz rule: copy in the first min_size bytes; -EINVAL when the argsz in
 * its first word is smaller than min_size; then as much of full_size as argsz
 * covers, the rest zeroed.
 */
int via_copy_in_argsz(struct via_caller *caller, void *dst, uint64_t addr, size_t min_size,
		      size_t full_size);

/*
 * What a program that knows more than we do has put behind a structure: all of it is looked at, and
 * in its order. 0, -EFAULT, -E2BIG: a byte is not 0; -EINTR: the program has gone meanwhile.
 */
int via_check_zeros(struct via_caller *caller, uint64_t addr, uint64_t len);

/*
 * A NUL-terminated string of at most size - 1 bytes: 0, -EFAULT, -EINVAL (too long).
 */
int via_copy_in_string(struct via_caller *caller, char *dst, uint64_t addr, size_t size);

#endif
