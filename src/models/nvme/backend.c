/* SPDX-License-Identifier: MIT */
/*
 * An operation is a loop of steps. The engine does one step at a time; what a
 * step left over (a short read, a range too long for one go, a way of zeroing
 * that the file system does not know) is decided here, once for all engines.
 */
#include "models/nvme/backend.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Zeros are written in pieces of this size when the image has no better way. */
#define ZERO_CHUNK ((size_t)64 << 10)
/*
 * A write to the page cache is a copy, but io_uring leaves it to a thread of
 * the kernel's, since a file system may have to wait: a wake-up, and a third
 * thread beside ours and the guest's. So writes are made at once as long as
 * none takes longer than this for each 64 KiB; after one did (dirty pages are
 * being throttled, a page is read first) the engine has them for a while.
 */
#define QUICK_NS 250000u
#define QUICK_BYTES ((uint64_t)64 << 10)
#define PAUSE_NS 100000000u
/* What one command can read, and a page for its unaligned ends. */
#define MAX_CACHED_PAGES 130

struct via_nvme_backend {
	int fd;
	uint64_t size;
	size_t alignment;
	bool direct, ignore_flush, takes_leases;
	bool writes_at_once;   /* they may be: see QUICK_NS */
	uint64_t at_once_from; /* not before this time, CLOCK_MONOTONIC in ns */
	struct via_nvme_engine engine;
	unsigned int in_flight;
	struct via_nvme_io_list done;	  /* steps as the engine reported them */
	struct via_nvme_io_list finished; /* whole operations */
	const uint8_t *cache;		  /* the image mapped, or NULL */
	void *zeros;			  /* ZERO_CHUNK bytes, page aligned */
};

static int open_image(const struct via_nvme_backend_config *config, struct stat *ret_st,
		      struct via_error *err)
{
	struct stat st;
	int fd, flags;

	/* Looked at before it is opened: opening a FIFO would wait for a writer. */
	if (stat(config->image, &st) < 0)
		return via_error_set(err, -errno,
				     "nvme: image '%s': %s; make one with `truncate -s 1G FILE`",
				     config->image, strerror(errno));
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return via_error_set(
			err, -EINVAL,
			"nvme: image '%s' is neither a regular file nor a block device",
			config->image);
	flags = O_CLOEXEC | (config->readonly ? O_RDONLY : O_RDWR);
	if (config->direct)
		flags |= O_DIRECT;
	/* The kernel then refuses a device that is mounted. */
	if (S_ISBLK(st.st_mode) && !config->readonly)
		flags |= O_EXCL;
	fd = open(config->image, flags);
	if (fd < 0) {
		int code = -errno;
		const char *advice = "";

		if (code == -EINVAL && config->direct)
			advice = "; its file system may not support direct=on";
		else if (code == -EACCES || code == -EROFS)
			advice = "; check its permissions, or use readonly=on";
		else if (code == -EBUSY)
			advice = "; it is mounted or used by the kernel";
		return via_error_set(err, code, "nvme: cannot open image '%s': %s%s", config->image,
				     strerror(-code), advice);
	}
	if (fstat(fd, ret_st) < 0 || (ret_st->st_mode & S_IFMT) != (st.st_mode & S_IFMT)) {
		close(fd);
		return via_error_set(err, -EINVAL, "nvme: image '%s' changed while it was opened",
				     config->image);
	}
	return fd;
}

/*
 * An open file description lock, so that it is the image's and not the
 * process's: it falls when the last descriptor is closed, however that comes.
 */
static int lock_image(int fd, const struct via_nvme_backend_config *config, struct via_error *err)
{
	struct flock lock = {
		.l_type = config->readonly ? F_RDLCK : F_WRLCK,
		.l_whence = SEEK_SET,
	};
	int tries, code = 0;

	/*
	 * After a kill the kernel may need a moment to end what io_uring had in
	 * flight, and with it the lock of the process that was killed.
	 */
	for (tries = 0; tries < 50; tries++) {
		if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
			return 0;
		code = errno;
		if (code != EAGAIN && code != EACCES)
			break;
		usleep(10000);
	}
	if (code == EAGAIN || code == EACCES)
		return via_error_set(err, -EBUSY,
				     "nvme: image '%s' is in use by another device or program; "
				     "stop that first, or open both with readonly=on",
				     config->image);
	return via_error_set(err, -code, "nvme: cannot lock image '%s': %s", config->image,
			     strerror(code));
}

/* Size of the image and what its block size must be a multiple of. */
static int measure_image(struct via_nvme_backend *backend, const struct stat *st,
			 const struct via_nvme_backend_config *config, struct via_error *err)
{
	uint64_t granule = 512;

	backend->size = (uint64_t)st->st_size;
	backend->alignment = 1;
	if (S_ISBLK(st->st_mode)) {
		int sector = 0;

		if (ioctl(backend->fd, BLKGETSIZE64, &backend->size) < 0 ||
		    ioctl(backend->fd, BLKSSZGET, &sector) < 0 || sector <= 0)
			return via_error_set(err, -errno, "nvme: cannot get the size of '%s': %s",
					     config->image, strerror(errno));
		granule = (uint64_t)sector;
	}
	if (config->direct) {
		struct statx stx = {0};

		backend->alignment = 512;
		if (S_ISREG(st->st_mode))
			granule = 512;
#ifdef STATX_DIOALIGN
		if (statx(backend->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) == 0 &&
		    (stx.stx_mask & STATX_DIOALIGN) && stx.stx_dio_offset_align) {
			granule = stx.stx_dio_offset_align;
			backend->alignment = stx.stx_dio_mem_align;
		}
#endif
		if (backend->alignment > 4096)
			return via_error_set(err, -EOPNOTSUPP,
					     "nvme: '%s' needs buffers aligned to %zu bytes for "
					     "direct=on; use direct=off",
					     config->image, backend->alignment);
	}
	if (granule > config->block_size)
		return via_error_set(err, -EINVAL,
				     "nvme: '%s' can only be accessed in blocks of %llu bytes; "
				     "use lba_size=4096%s",
				     config->image, (unsigned long long)granule,
				     config->direct ? " or direct=off" : "");
	if (!backend->size || backend->size % config->block_size)
		return via_error_set(err, -EINVAL,
				     "nvme: the size of image '%s' (%llu bytes) is not a multiple "
				     "of its block size %u; resize it with `truncate`",
				     config->image, (unsigned long long)backend->size,
				     config->block_size);
	return 0;
}

/* Address space only; without it reads go through the engine. */
static void map_cache(struct via_nvme_backend *backend,
		      const struct via_nvme_backend_config *config)
{
	void *p;

	/* Of a file that is not ours to write, mincore() says that all is there. */
	if (config->direct || config->hold_writes || config->readonly)
		return;
	p = mmap(NULL, backend->size, PROT_READ, MAP_SHARED | MAP_NORESERVE, backend->fd, 0);
	if (p != MAP_FAILED)
		backend->cache = p;
}

static void unmap_cache(struct via_nvme_backend *backend)
{
	if (backend->cache)
		munmap((void *)(uintptr_t)backend->cache, backend->size);
}

const void *via_nvme_backend_cached(const struct via_nvme_backend *backend, uint64_t offset,
				    uint64_t len)
{
	unsigned char resident[MAX_CACHED_PAGES];
	uint64_t first = offset & ~(uint64_t)4095, n = (offset + len - first + 4095) >> 12, i;

	if (!backend->cache || n > MAX_CACHED_PAGES ||
	    mincore((void *)(uintptr_t)(backend->cache + first), n << 12, resident) < 0)
		return NULL;
	for (i = 0; i < n; i++)
		if (!(resident[i] & 1))
			return NULL;
	return backend->cache + offset;
}

static int start_engine(struct via_nvme_backend *backend,
			const struct via_nvme_backend_config *config, struct via_error *err)
{
	int r;

	backend->takes_leases = true;
	if (config->hold_writes) {
		backend->takes_leases = false;
		r = via_nvme_volatile_new(backend->fd, config->block_size, &backend->engine);
		return r < 0 ? via_error_set(err, r, "nvme: %s", strerror(-r)) : 0;
	}
	if (config->engine != NVME_ENGINE_THREADS) {
		r = via_nvme_uring_new(backend->fd, config->depth, &backend->engine);
		backend->writes_at_once = r == 0 && !config->direct;
		if (r == 0)
			return 0;
		if (config->engine == NVME_ENGINE_URING)
			return via_error_set(err, r,
					     "nvme: io_uring is not available (%s); "
					     "use engine=threads or engine=auto",
					     strerror(-r));
	}
	r = via_nvme_threads_new(backend->fd, &backend->engine);
	return r < 0 ? via_error_set(err, r, "nvme: cannot start I/O threads: %s", strerror(-r))
		     : 0;
}

int via_nvme_backend_open(const struct via_nvme_backend_config *config, struct via_error *err,
			  struct via_nvme_backend **ret_backend)
{
	struct via_nvme_backend *backend = calloc(1, sizeof(*backend));
	struct stat st = {0};
	int r;

	if (!backend)
		return -ENOMEM;
	backend->direct = config->direct;
	backend->ignore_flush = config->ignore_flush;
	via_nvme_io_list_init(&backend->done);
	via_nvme_io_list_init(&backend->finished);
	backend->fd = r = open_image(config, &st, err);
	if (r < 0)
		goto free_backend;
	r = lock_image(backend->fd, config, err);
	if (r == 0)
		r = measure_image(backend, &st, config, err);
	if (r < 0)
		goto close_image;
	backend->zeros = aligned_alloc(4096, ZERO_CHUNK);
	if (!backend->zeros) {
		r = -ENOMEM;
		goto close_image;
	}
	memset(backend->zeros, 0, ZERO_CHUNK);
	map_cache(backend, config);
	r = start_engine(backend, config, err);
	if (r < 0)
		goto free_zeros;
	*ret_backend = backend;
	return 0;

free_zeros:
	unmap_cache(backend);
	free(backend->zeros);
close_image:
	close(backend->fd);
free_backend:
	free(backend);
	return r;
}

void via_nvme_backend_close(struct via_nvme_backend *backend)
{
	if (!backend)
		return;
	while (via_nvme_backend_wait(backend))
		;
	backend->engine.ops->free(backend->engine.object);
	unmap_cache(backend);
	free(backend->zeros);
	close(backend->fd);
	free(backend);
}

uint64_t via_nvme_backend_size(const struct via_nvme_backend *backend)
{
	return backend->size;
}

size_t via_nvme_backend_alignment(const struct via_nvme_backend *backend)
{
	return backend->alignment;
}

bool via_nvme_backend_takes_leases(const struct via_nvme_backend *backend)
{
	return backend->takes_leases;
}

int via_nvme_backend_event_fd(const struct via_nvme_backend *backend)
{
	return backend->engine.event_fd;
}

/* What the next step of a ZERO or DISCARD shall try; false when no way is left. */
static bool choose_zero_way(struct via_nvme_backend *backend, struct via_nvme_io *io)
{
	static const int keep[] = {FALLOC_FL_ZERO_RANGE, FALLOC_FL_PUNCH_HOLE};
	static const int give_back[] = {FALLOC_FL_PUNCH_HOLE, FALLOC_FL_ZERO_RANGE};

	if (io->op == NVME_IO_DISCARD) {
		io->mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
		return io->attempt == 0;
	}
	if (io->attempt < 2) {
		io->mode = (io->deallocate ? give_back : keep)[io->attempt] | FALLOC_FL_KEEP_SIZE;
		return true;
	}
	io->writing_zeros = true;
	io->zero_iov.iov_base = backend->zeros;
	io->zero_iov.iov_len = io->len < ZERO_CHUNK ? (size_t)io->len : ZERO_CHUNK;
	io->iov = &io->zero_iov;
	io->n_iov = 1;
	return true;
}

static void finish(struct via_nvme_backend *backend, struct via_nvme_io *io, int result)
{
	io->result = result;
	via_nvme_io_list_add(&backend->finished, io);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* True if the step is done, with a result. */
static bool write_at_once(struct via_nvme_backend *backend, struct via_nvme_io *io)
{
	uint64_t start, took;

	if (!backend->writes_at_once || io->op != NVME_IO_WRITE || io->fua)
		return false;
	start = now_ns();
	if (start < backend->at_once_from)
		return false;
	io->raw = via_nvme_io_blocking(backend->fd, io);
	took = now_ns() - start;
	if (took > QUICK_NS * (1 + io->len / QUICK_BYTES))
		backend->at_once_from = start + took + PAUSE_NS;
	via_nvme_io_list_add(&backend->done, io);
	return true;
}

/* Start the next step; an I/O with nothing left to do is finished. */
static void start_step(struct via_nvme_backend *backend, struct via_nvme_io *io)
{
	bool zeroing = io->op == NVME_IO_ZERO || io->op == NVME_IO_DISCARD;

	if (io->op == NVME_IO_FLUSH) {
		if (backend->ignore_flush) {
			finish(backend, io, 0);
			return;
		}
	} else if (io->len == 0) {
		/* fallocate() has no way to ask for stability: a flush follows. */
		if (io->op != NVME_IO_ZERO || !io->fua || backend->ignore_flush) {
			finish(backend, io, 0);
			return;
		}
		io->op = NVME_IO_FLUSH;
	} else if (zeroing && !choose_zero_way(backend, io)) {
		finish(backend, io, 0);
		return;
	}
	if (!write_at_once(backend, io))
		backend->engine.ops->submit(backend->engine.object, io);
}

void via_nvme_backend_submit(struct via_nvme_backend *backend, struct via_nvme_io *io)
{
	io->attempt = 0;
	io->writing_zeros = false;
	if (backend->ignore_flush)
		io->fua = false;
	backend->in_flight++;
	start_step(backend, io);
}

void via_nvme_backend_kick(struct via_nvme_backend *backend)
{
	if (backend->engine.ops->kick)
		backend->engine.ops->kick(backend->engine.object);
}

static void advance(struct via_nvme_io *io, uint64_t done)
{
	io->offset += done;
	io->len -= done;
	while (done && done >= io->iov->iov_len) {
		done -= io->iov->iov_len;
		io->iov++;
		io->n_iov--;
	}
	if (done) {
		io->iov->iov_base = (char *)io->iov->iov_base + done;
		io->iov->iov_len -= done;
	}
}

/* A step is done: true when the whole operation is. */
static void step_done(struct via_nvme_backend *backend, struct via_nvme_io *io)
{
	int64_t raw = io->raw;

	/*
	 * ECANCELED: the kernel cancels the requests of a thread that exits;
	 * the operation itself is still wanted.
	 */
	if (raw == -EINTR || raw == -EAGAIN || raw == -ECANCELED) {
		start_step(backend, io);
		return;
	}
	switch (io->op) {
	case NVME_IO_FLUSH:
		finish(backend, io, raw < 0 ? (int)raw : 0);
		return;
	case NVME_IO_ZERO:
	case NVME_IO_DISCARD:
		if (io->writing_zeros)
			break;
		if (raw == -EOPNOTSUPP || raw == -ENOSYS || raw == -EINVAL || raw == -ENODEV) {
			io->attempt++;
		} else if (raw < 0) {
			finish(backend, io, (int)raw);
			return;
		} else {
			io->len = 0;
		}
		start_step(backend, io);
		return;
	case NVME_IO_READ:
	case NVME_IO_WRITE:
		break;
	}
	/* No progress inside the image's size means that it was truncated meanwhile. */
	if (raw <= 0 || (uint64_t)raw > io->len) {
		finish(backend, io, raw < 0 ? (int)raw : -EIO);
		return;
	}
	if ((uint64_t)raw == io->len) {
		/* The usual end; the buffers need no bookkeeping any more. */
		io->len = 0;
	} else {
		advance(io, (uint64_t)raw);
	}
	start_step(backend, io);
}

struct via_nvme_io *via_nvme_backend_reap(struct via_nvme_backend *backend)
{
	struct via_nvme_io *io = via_nvme_io_list_pop(&backend->finished);

	if (!io && backend->in_flight) {
		/* A step may be followed by another that is done at once. */
		do {
			backend->engine.ops->reap(backend->engine.object, &backend->done);
			if (!backend->done.head)
				break;
			while ((io = via_nvme_io_list_pop(&backend->done)))
				step_done(backend, io);
			via_nvme_backend_kick(backend);
			io = via_nvme_io_list_pop(&backend->finished);
		} while (!io);
	}
	if (io)
		backend->in_flight--;
	return io;
}

struct via_nvme_io *via_nvme_backend_wait(struct via_nvme_backend *backend)
{
	struct via_nvme_io *io;

	via_nvme_backend_kick(backend);
	while (!(io = via_nvme_backend_reap(backend)) && backend->in_flight)
		backend->engine.ops->wait(backend->engine.object);
	return io;
}

int64_t via_nvme_io_blocking(int fd, const struct via_nvme_io *io)
{
	int64_t n = 0;

	switch (io->op) {
	case NVME_IO_READ:
		n = preadv(fd, io->iov, (int)io->n_iov, (off_t)io->offset);
		break;
	case NVME_IO_FLUSH:
		n = fdatasync(fd);
		break;
	case NVME_IO_ZERO:
	case NVME_IO_DISCARD:
		if (!io->writing_zeros) {
			n = fallocate(fd, io->mode, (off_t)io->offset, (off_t)io->len);
			break;
		}
		/* fallthrough */
	case NVME_IO_WRITE:
		n = pwritev2(fd, io->iov, (int)io->n_iov, (off_t)io->offset,
			     io->fua ? (VIA_FORCE int)RWF_DSYNC : 0);
		break;
	}
	return n < 0 ? -errno : n;
}
