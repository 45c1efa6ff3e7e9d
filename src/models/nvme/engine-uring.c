/* SPDX-License-Identifier: MIT */
/* One io_uring for one image; its own descriptor says when something is done. */
#include "models/nvme/backend.h"

#include <errno.h>

#ifdef VIA_HAVE_LIBURING

#include <liburing.h>
#include <stdlib.h>

struct uring {
	struct io_uring ring;
	int fd;
	unsigned int queued; /* not yet handed to the kernel */
};

static void uring_kick(void *engine)
{
	struct uring *u = engine;

	while (u->queued) {
		int r = io_uring_submit(&u->ring);

		if (r > 0)
			u->queued -= (unsigned int)r;
		else if (r != -EINTR && r != -EAGAIN && r != -EBUSY)
			break;
	}
}

static void uring_submit(void *engine, struct via_nvme_io *io)
{
	struct uring *u = engine;
	struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);

	if (!sqe) {
		uring_kick(u);
		sqe = io_uring_get_sqe(&u->ring);
	}
	switch (io->op) {
	case NVME_IO_READ:
		if (io->n_iov == 1)
			io_uring_prep_read(sqe, u->fd, io->iov->iov_base,
					   (unsigned int)io->iov->iov_len, io->offset);
		else
			io_uring_prep_readv(sqe, u->fd, io->iov, io->n_iov, io->offset);
		break;
	case NVME_IO_FLUSH:
		io_uring_prep_fsync(sqe, u->fd, IORING_FSYNC_DATASYNC);
		break;
	case NVME_IO_ZERO:
	case NVME_IO_DISCARD:
		if (!io->writing_zeros) {
			io_uring_prep_fallocate(sqe, u->fd, io->mode, (off_t)io->offset,
						(off_t)io->len);
			break;
		}
		/* fallthrough */
	case NVME_IO_WRITE:
		io_uring_prep_writev(sqe, u->fd, io->iov, io->n_iov, io->offset);
		sqe->rw_flags = io->fua ? RWF_DSYNC : 0;
		break;
	}
	io_uring_sqe_set_data(sqe, io);
	u->queued++;
}

static void uring_reap(void *engine, struct via_nvme_io_list *done)
{
	struct uring *u = engine;
	struct io_uring_cqe *cqe;
	unsigned int head, n = 0;

	io_uring_for_each_cqe(&u->ring, head, cqe)
	{
		struct via_nvme_io *io = io_uring_cqe_get_data(cqe);

		io->raw = cqe->res;
		via_nvme_io_list_add(done, io);
		n++;
	}
	io_uring_cq_advance(&u->ring, n);
}

static void uring_wait(void *engine)
{
	struct uring *u = engine;
	struct io_uring_cqe *cqe;

	io_uring_wait_cqe(&u->ring, &cqe);
}

static void uring_free(void *engine)
{
	struct uring *u = engine;

	io_uring_queue_exit(&u->ring);
	free(u);
}

static const struct via_nvme_engine_ops uring_ops = {
	.submit = uring_submit,
	.kick = uring_kick,
	.reap = uring_reap,
	.wait = uring_wait,
	.free = uring_free,
};

/* Everything that submit() uses must be known to this kernel. */
static bool has_opcodes(struct io_uring *ring)
{
	static const int wanted[] = {IORING_OP_READ, IORING_OP_READV, IORING_OP_WRITEV,
				     IORING_OP_FSYNC, IORING_OP_FALLOCATE};
	struct io_uring_probe *probe = io_uring_get_probe_ring(ring);
	bool ok = probe;
	size_t i;

	for (i = 0; ok && i < sizeof(wanted) / sizeof(*wanted); i++)
		ok = io_uring_opcode_supported(probe, wanted[i]);
	io_uring_free_probe(probe);
	return ok;
}

int via_nvme_uring_new(int fd, unsigned int depth, struct via_nvme_engine *ret_engine)
{
	struct uring *u = calloc(1, sizeof(*u));
	int r;

	if (!u)
		return -ENOMEM;
	u->fd = fd;
	r = io_uring_queue_init(depth, &u->ring, IORING_SETUP_CLAMP);
	if (r < 0)
		goto free_uring;
	if (!has_opcodes(&u->ring)) {
		r = -EOPNOTSUPP;
		goto exit_ring;
	}
	/*
	 * The file is not registered with the ring: the kernel takes a ring apart
	 * some time after it is closed, and the image would stay locked until then.
	 */
	*ret_engine = (struct via_nvme_engine){&uring_ops, u, u->ring.ring_fd};
	return 0;

exit_ring:
	io_uring_queue_exit(&u->ring);
free_uring:
	free(u);
	return r;
}

#else

int via_nvme_uring_new(int fd, unsigned int depth, struct via_nvme_engine *ret_engine)
{
	return -EOPNOTSUPP;
}

#endif
