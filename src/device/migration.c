/* SPDX-License-Identifier: MIT */
/*
 * Migration of a device: what a state lets it do, and the sessions that hops
 * open and end.
 *
 * How much a device may do has three steps. It runs; or it is *quiet*: accesses
 * come through, but its thread stands still, interrupts are held back and it
 * cannot master the bus; or it is *frozen*: registers are out of reach too, so
 * nothing in it changes, while config space and the MSI-X table still take what
 * is written. Both are set with memory_lock held for writing, so no access runs
 * that began under the step before.
 *
 * A reset gives RUNNING. It happens with the config lock held, which comes after
 * ours, so it only leaves a note; whoever caused it calls
 * via_migration_settle() when that lock is free again.
 */
#include "device/migration.h"

#include "device/stream.h"
#include "iommu/dma.h"

#include <errno.h>
#include <stdlib.h>

struct via_migration_session {
	int refs;		/* atomic */
	struct via_device *dev; /* held; constant */
	bool saves;		/* constant */
	/* Under the device's migration lock. */
	bool over;
	struct via_stream_out *out;
	struct via_stream_in *in;
};

enum step { RUNS, QUIET, FROZEN };

static const uint8_t step_of[VIA_N_MIGRATION_STATES] = {
	[VIA_STATE_ERROR] = FROZEN,    [VIA_STATE_STOP] = FROZEN,
	[VIA_STATE_RUNNING] = RUNS,    [VIA_STATE_STOP_COPY] = FROZEN,
	[VIA_STATE_RESUMING] = FROZEN, [VIA_STATE_RUNNING_P2P] = QUIET,
	[VIA_STATE_PRE_COPY] = RUNS,   [VIA_STATE_PRE_COPY_P2P] = QUIET,
};

/* States in which the session that saves is open. */
static bool is_saving(uint32_t state)
{
	return state == VIA_STATE_STOP_COPY || state == VIA_STATE_PRE_COPY ||
	       state == VIA_STATE_PRE_COPY_P2P;
}

/* --- Steps ----------------------------------------------------------------- */

static int call_stop(struct via_device *dev)
{
	const struct via_migration_ops *ops = dev->ops->migration;

	return ops->stop ? ops->stop(dev, dev->model) : 0;
}

static void call_resume(struct via_device *dev)
{
	const struct via_migration_ops *ops = dev->ops->migration;

	if (ops->resume)
		ops->resume(dev, dev->model);
}

static void set_gates(struct via_device *dev, bool quiet, bool frozen)
{
	pthread_rwlock_wrlock(&dev->memory_lock);
	dev->migration.quiet = quiet;
	dev->migration.frozen = frozen;
	pthread_rwlock_unlock(&dev->memory_lock);
}

static int go_quiet(struct via_device *dev)
{
	int ret;

	/* Doorbells that are polled or rung by an access end here, and the thread. */
	set_gates(dev, true, false);
	if (dev->worker.running)
		via_worker_stop(dev);
	/* What is under way may still use the bus. */
	ret = call_stop(dev);
	via_irqs_hold(dev->irqs, true);
	via_device_set_halted(dev, true);
	return ret;
}

static int run(struct via_device *dev)
{
	via_device_set_halted(dev, false);
	set_gates(dev, false, false);
	via_irqs_hold(dev->irqs, false);
	call_resume(dev);
	/* Doorbells may have been written in the meantime. */
	__atomic_store_n(&dev->worker.rung, true, __ATOMIC_SEQ_CST);
	return dev->worker.running ? 0 : via_worker_start(dev);
}

static int change_step(struct via_device *dev, enum step from, enum step to)
{
	int ret = 0;

	if (from == RUNS && to != RUNS)
		ret = go_quiet(dev);
	if (to == FROZEN)
		set_gates(dev, true, true);
	else if (from == FROZEN)
		set_gates(dev, true, false);
	if (to == RUNS && from != RUNS)
		ret = run(dev);
	return ret;
}

/* --- Sessions -------------------------------------------------------------- */

static int session_open(struct via_device *dev, bool saves)
{
	struct via_migration_session *session = calloc(1, sizeof(*session));
	int ret;

	if (!session)
		return -ENOMEM;
	session->refs = 1;
	session->dev = dev;
	session->saves = saves;
	ret = saves ? via_stream_out_new(dev, &session->out) : via_stream_in_new(dev, &session->in);
	if (ret) {
		free(session);
		return ret;
	}
	via_device_hold(dev);
	dev->migration.session = session;
	return 0;
}

static void session_end(struct via_device *dev)
{
	struct via_migration_session *session = dev->migration.session;

	if (!session)
		return;
	dev->migration.session = NULL;
	session->over = true;
	via_stream_out_free(session->out);
	via_stream_in_free(session->in);
	session->out = NULL;
	session->in = NULL;
	via_migration_session_put(session);
}

struct via_migration_session *via_migration_session_get(struct via_migration_session *session)
{
	__atomic_fetch_add(&session->refs, 1, __ATOMIC_RELAXED);
	return session;
}

void via_migration_session_put(struct via_migration_session *session)
{
	/* The device's own reference has gone with the end of the session. */
	if (!session || __atomic_sub_fetch(&session->refs, 1, __ATOMIC_ACQ_REL))
		return;
	via_device_let_go(session->dev);
	free(session);
}

bool via_migration_session_saves(const struct via_migration_session *session)
{
	return session->saves;
}

/* --- States ---------------------------------------------------------------- */

/* Whatever it was about to do: nothing goes on but a reset. */
static void fail(struct via_device *dev)
{
	session_end(dev);
	if (!dev->migration.halted)
		(void)go_quiet(dev);
	set_gates(dev, true, true);
	dev->migration.state = VIA_STATE_ERROR;
}

/* With our lock held. */
static void after_reset(struct via_device *dev)
{
	struct via_migration *m = &dev->migration;

	if (!__atomic_exchange_n(&m->was_reset, false, __ATOMIC_ACQ_REL))
		return;
	session_end(dev);
	if (change_step(dev, (enum step)step_of[m->state], RUNS))
		fail(dev);
	else
		m->state = VIA_STATE_RUNNING;
}

static void enter(struct via_device *dev)
{
	pthread_mutex_lock(&dev->migration.lock);
	after_reset(dev);
}

static void leave(struct via_device *dev)
{
	pthread_mutex_unlock(&dev->migration.lock);
}

void via_migration_settle(struct via_device *dev)
{
	if (!__atomic_load_n(&dev->migration.was_reset, __ATOMIC_ACQUIRE))
		return;
	enter(dev);
	leave(dev);
}

void via_migration_init(struct via_device *dev)
{
	pthread_mutex_init(&dev->migration.lock, NULL);
	dev->migration.state = VIA_STATE_RUNNING;
}

void via_migration_end(struct via_device *dev)
{
	pthread_mutex_lock(&dev->migration.lock);
	session_end(dev);
	__atomic_store_n(&dev->migration.was_reset, false, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&dev->migration.lock);
}

void via_migration_deinit(struct via_device *dev)
{
	pthread_mutex_destroy(&dev->migration.lock);
}

void via_migration_close(struct via_device *dev)
{
	struct via_migration *m = &dev->migration;

	pthread_mutex_lock(&m->lock);
	session_end(dev);
	via_dma_log_stop(dev->dma);
	m->precopy_v2 = false;
	__atomic_store_n(&m->was_reset, false, __ATOMIC_RELAXED);
	/* Reset it has been; its thread is not needed any more. */
	if (m->halted) {
		via_device_set_halted(dev, false);
		call_resume(dev);
	}
	set_gates(dev, false, false);
	via_irqs_hold(dev->irqs, false);
	m->state = VIA_STATE_RUNNING;
	pthread_mutex_unlock(&m->lock);
}

unsigned int via_device_migration_flags(const struct via_device *dev)
{
	/* The registers of another's are not ours to carry. */
	if (!dev->ops->migration || !via_config_state_size(dev->config))
		return 0;
	return VIA_MIGRATION_HAS_STOP_COPY | dev->ops->migration->flags;
}

enum via_migration_state via_device_migration_get(struct via_device *dev)
{
	enum via_migration_state state;

	enter(dev);
	state = dev->migration.state;
	leave(dev);
	return state;
}

/*
 * One hop. A failure leaves the state as it is where nothing has happened yet;
 * else it is ERROR.
 */
static int hop(struct via_device *dev, enum via_migration_state to, bool *ret_opened)
{
	struct via_migration *m = &dev->migration;
	enum via_migration_state from = m->state;
	bool opens = !m->session && (is_saving(to) || to == VIA_STATE_RESUMING);
	int ret = 0;

	if (from == VIA_STATE_RESUMING && m->session) {
		ret = via_stream_in_complete(m->session->in);
		if (ret)
			return ret;
		ret = via_stream_in_apply(m->session->in);
		session_end(dev);
	}
	if (!ret && opens) {
		ret = session_open(dev, to != VIA_STATE_RESUMING);
		if (ret)
			return ret;
	}
	if (!ret)
		ret = change_step(dev, (enum step)step_of[from], (enum step)step_of[to]);
	if (ret) {
		fail(dev);
		return ret;
	}
	if (is_saving(from) && !is_saving(to))
		session_end(dev);
	else if (to == VIA_STATE_STOP_COPY)
		via_stream_out_finish(m->session->out);
	m->state = to;
	*ret_opened = opens;
	return 0;
}

int via_device_migration_set(struct via_device *dev, uint32_t target,
			     struct via_migration_session **ret_session)
{
	struct via_migration *m = &dev->migration;
	unsigned int flags = via_device_migration_flags(dev);
	bool opened = false;
	int ret = 0;

	*ret_session = NULL;
	if (!flags)
		return -ENOTTY;
	/* What other devices have sent while it ran is part of its state. */
	via_peers_settle(dev);
	enter(dev);
	do {
		enum via_migration_state next;

		ret = via_migration_next(flags, m->state, target, &next);
		if (!ret && next != m->state)
			ret = hop(dev, next, &opened);
	} while (!ret && m->state != target);
	if (!ret && opened)
		*ret_session = via_migration_session_get(m->session);
	leave(dev);
	return ret;
}

uint64_t via_device_migration_size(struct via_device *dev)
{
	return via_stream_size(dev);
}

void via_device_migration_set_precopy_v2(struct via_device *dev)
{
	enter(dev);
	dev->migration.precopy_v2 = true;
	leave(dev);
}

/* --- Data ------------------------------------------------------------------ */

ssize_t via_migration_peek(struct via_migration_session *session, void *buf, size_t len,
			   uint64_t *ret_mark)
{
	const uint8_t *bytes = NULL;
	ssize_t ret;

	enter(session->dev);
	if (session->over) {
		ret = -ENODEV;
	} else if (!session->saves) {
		ret = -EINVAL;
	} else {
		ret = via_stream_out_peek(session->out, &bytes);
		if (ret > 0) {
			if ((size_t)ret > len)
				ret = (ssize_t)len;
			memcpy(buf, bytes, (size_t)ret);
			*ret_mark = via_stream_out_position(session->out);
		}
	}
	leave(session->dev);
	return ret;
}

void via_migration_consume(struct via_migration_session *session, uint64_t mark, size_t n)
{
	enter(session->dev);
	/* Somebody else may have read the same bytes at the same time. */
	if (!session->over && via_stream_out_position(session->out) == mark)
		via_stream_out_advance(session->out, n);
	leave(session->dev);
}

ssize_t via_migration_write(struct via_migration_session *session, const void *buf, size_t len)
{
	ssize_t ret;

	enter(session->dev);
	if (session->over)
		ret = -ENODEV;
	else if (session->saves)
		ret = -EINVAL;
	else
		ret = via_stream_in_write(session->in, buf, len);
	leave(session->dev);
	return ret;
}

int via_migration_precopy_info(struct via_migration_session *session,
			       struct via_precopy_info *ret_info)
{
	struct via_migration *m = &session->dev->migration;
	struct via_precopy_info info = {0};
	int ret = -EINVAL;

	enter(session->dev);
	if (m->state == VIA_STATE_PRE_COPY || m->state == VIA_STATE_PRE_COPY_P2P) {
		info.v2 = m->precopy_v2;
		ret = session->over ? -ENODEV
				    : via_stream_out_left(session->out, &info.initial_bytes,
							  &info.dirty_bytes);
	}
	leave(session->dev);
	if (!ret)
		*ret_info = info;
	return ret;
}

/* --- Log of DMA ------------------------------------------------------------ */

int via_device_log_start(struct via_device *dev, struct via_dma_log *log)
{
	bool pause;
	int ret = 0;

	enter(dev);
	/* Leases that were given before end; from then on there are none for writing. */
	pause = dev->ops->migration->stop && !dev->migration.halted;
	if (pause)
		ret = change_step(dev, RUNS, QUIET);
	if (!ret)
		ret = via_dma_log_start(dev->dma, log);
	if (pause && change_step(dev, QUIET, RUNS)) {
		fail(dev);
		ret = -EIO;
	}
	leave(dev);
	return ret;
}

void via_device_log_stop(struct via_device *dev)
{
	via_dma_log_stop(dev->dma);
}
