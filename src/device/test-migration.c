/* SPDX-License-Identifier: MIT */
/* Migration of a device in the device room: states, what stopping means, streams. */
#include "device/migration.h"
#include "device/stream.h"
#include "iommu/dma.h"

#include <viaduct/abi/vfio.h>

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

/*
 * A model with everything that can be carried: registers (0: a value, 4: kicks
 * the worker, 8: triggers a vector, 12: reads count themselves), a doorbell page,
 * two pages of memory; an MSI-X table in BAR 2.
 */
struct toy {
	uint32_t value, reads, works, rings; /* device's lock */
	uint32_t bell;
	unsigned int stops, resumes; /* test thread */
	int stop_result;
	bool refuse;
	struct via_device *dev;
};

#define BELL 0x1000u
#define MEMORY 0x2000u

static uint64_t toy_read(struct via_device *dev, void *model, unsigned int bar, uint64_t offset,
			 unsigned int size)
{
	struct toy *t = model;

	if (offset == 12)
		t->reads++;
	return offset == 0 ? t->value : offset == 12 ? t->reads : 0;
}

static void toy_write(struct via_device *dev, void *model, unsigned int bar, uint64_t offset,
		      unsigned int size, uint64_t value)
{
	struct toy *t = model;

	if (offset == 0)
		t->value = (uint32_t)value;
	else if (offset == 4)
		via_device_kick(dev, 1);
	else if (offset == 8)
		via_irq_trigger(dev, (unsigned int)value);
	else if (offset == 16)
		via_irq_set_level(dev, value);
}

static bool toy_doorbell(struct via_device *dev, void *model, unsigned int bar)
{
	struct toy *t = model;
	uint32_t now = __atomic_load_n((uint32_t *)via_device_region_memory(dev, 0, BELL),
				       __ATOMIC_ACQUIRE);

	if (now == t->bell)
		return false;
	t->bell = now;
	t->rings++;
	return true;
}

static void toy_work(struct via_device *dev, void *model, uint64_t events)
{
	struct toy *t = model;

	t->works++;
}

static void toy_reset(struct via_device *dev, void *model, enum via_reset kind)
{
	struct toy *t = model;

	t->value = t->bell = 0;
}

static int toy_stop(struct via_device *dev, void *model)
{
	struct toy *t = model;

	t->stops++;
	return t->stop_result;
}

static void toy_resume(struct via_device *dev, void *model)
{
	((struct toy *)model)->resumes++;
}

static ssize_t toy_save(struct via_device *dev, void *model, uint8_t *buf)
{
	const struct toy *t = model;

	memset(buf, 0, 300);
	via_put_le32(buf, t->value);
	via_put_le32(buf + 296, t->bell);
	return 300;
}

static int toy_load(struct via_device *dev, void *model, uint32_t version, const uint8_t *buf,
		    size_t len, struct via_error *err)
{
	struct toy *t = model;

	if (t->refuse || version != 3 || len != 300)
		return via_error_set(err, -EINVAL, "refused");
	t->value = via_get_le32(buf);
	t->bell = via_get_le32(buf + 296);
	return 0;
}

#define TOY_OPS(name, migration_flags)                             \
	static const struct via_migration_ops name##_migration = { \
		.flags = migration_flags,                          \
		.version = 3,                                      \
		.max_size = 300,                                   \
		.stop = toy_stop,                                  \
		.resume = toy_resume,                              \
		.save = toy_save,                                  \
		.load = toy_load,                                  \
	};                                                         \
	static const struct via_device_ops name = {                \
		.read = toy_read,                                  \
		.write = toy_write,                                \
		.doorbell = toy_doorbell,                          \
		.work = toy_work,                                  \
		.reset = toy_reset,                                \
		.migration = &name##_migration,                    \
	}

TOY_OPS(plain_ops, 0);
TOY_OPS(p2p_ops, VIA_MIGRATION_P2P);
TOY_OPS(pre_copy_ops, VIA_MIGRATION_PRE_COPY);
TOY_OPS(full_ops, VIA_MIGRATION_P2P | VIA_MIGRATION_PRE_COPY);

static const struct via_device_ops *const all_ops[] = {&plain_ops, &p2p_ops, &pre_copy_ops,
						       &full_ops};

static const struct via_area toy_areas[] = {
	{BELL, 0x1000, VIA_AREA_DOORBELL},
	{MEMORY, 0x2000, VIA_AREA_MEMORY},
};

#define TOY_DESC(device_name, device_id, vectors_)                                                 \
	{                                                                                          \
		.name = device_name,                                                               \
		.ident = {.vendor = 0x1af4,                                                        \
			  .device = device_id,                                                     \
			  .class_code = 0x00ff00,                                                  \
			  .interrupt_pin = 1},                                                     \
		.bars = {[0] = {.size = 0x4000, .areas = toy_areas, .n_areas = 2},                 \
			 [2] = {.size = 0x2000}},                                                  \
		.msix = {.vectors = vectors_, .table_bar = 2, .pba_bar = 2, .pba_offset = 0x1000}, \
		.express = {.present = true}, .power_management = true,                            \
	}

static const struct via_device_desc toy_desc = TOY_DESC("toy", 0x10f0, 70);
static const struct via_device_desc other_descs[] = {
	TOY_DESC("boy", 0x10f0, 70),
	TOY_DESC("toy", 0x10f1, 70),
	TOY_DESC("toy", 0x10f0, 71),
};

/* Whether it works or not: some call it while it must not. */
static ssize_t config_put(struct toy *t, uint64_t at, uint16_t value)
{
	uint8_t b[2];

	via_put_le16(b, value);
	return via_device_region_write(t->dev, VIA_REGION_CONFIG, at, b, 2);
}

static struct toy *make_of(const struct via_device_desc *desc, const struct via_device_ops *ops)
{
	struct toy *t = calloc(1, sizeof(*t));

	assert_non_null(t);
	assert_int_equal(via_device_new(desc, ops, t, NULL, &t->dev), 0);
	assert_int_equal(via_device_open(t->dev), 0);
	assert_int_equal(config_put(t, 4, 6), 2);
	return t;
}

static struct toy *make(const struct via_device_ops *ops)
{
	return make_of(&toy_desc, ops);
}

static void discard(struct toy *t)
{
	via_device_close(t->dev);
	via_device_free(t->dev);
	free(t);
}

static uint32_t get(struct toy *t, uint64_t reg)
{
	uint8_t b[4];

	assert_int_equal(via_device_region_read(t->dev, 0, reg, b, 4), 4);
	return via_get_le32(b);
}

static void put(struct toy *t, uint64_t reg, uint32_t value)
{
	uint8_t b[4];

	via_put_le32(b, value);
	assert_int_equal(via_device_region_write(t->dev, 0, reg, b, 4), 4);
}

static uint32_t locked(struct toy *t, const uint32_t *what)
{
	uint32_t value;

	via_device_lock(t->dev);
	value = *what;
	via_device_unlock(t->dev);
	return value;
}

static void becomes(struct toy *t, const uint32_t *what, uint32_t value)
{
	for (int i = 0; i < 2000 && locked(t, what) != value; i++)
		usleep(1000);
	assert_int_equal(locked(t, what), value);
}

static int go(struct toy *t, uint32_t state, struct via_migration_session **ret_session)
{
	struct via_migration_session *session;
	int ret = via_device_migration_set(t->dev, state, &session);

	if (ret_session)
		*ret_session = session;
	else
		via_migration_session_put(session);
	return ret;
}

static size_t read_all(struct via_migration_session *session, uint8_t *buf, size_t size,
		       ssize_t end)
{
	size_t len = 0;
	uint64_t mark;
	ssize_t n;

	while ((n = via_migration_peek(session, buf + len, size - len < 1000 ? size - len : 1000,
				       &mark)) > 0) {
		via_migration_consume(session, mark, (size_t)n);
		len += (size_t)n;
		assert_true(len < size);
	}
	assert_int_equal(n, end);
	return len;
}

static uint8_t image[1 << 17];

static size_t save(struct toy *t)
{
	struct via_migration_session *session;
	size_t len;

	assert_int_equal(go(t, VIA_STATE_STOP_COPY, &session), 0);
	len = read_all(session, image, sizeof(image), 0);
	assert_true(len <= via_device_migration_size(t->dev));
	via_migration_session_put(session);
	return len;
}

static int load(struct toy *t, const uint8_t *bytes, size_t len)
{
	struct via_migration_session *session;
	ssize_t n = 0;
	int ret;

	assert_int_equal(via_device_reset(t->dev), 0);
	assert_int_equal(go(t, VIA_STATE_RESUMING, &session), 0);
	for (size_t at = 0; at < len; at += (size_t)n) {
		n = via_migration_write(session, bytes + at, len - at < 777 ? len - at : 777);
		if (n < 0)
			break;
	}
	ret = go(t, VIA_STATE_STOP, NULL);
	if (n < 0)
		assert_int_equal(ret, -EINVAL);
	via_migration_session_put(session);
	return ret;
}

/* --- states ---------------------------------------------------------------- */

static enum via_migration_state state_of(char c)
{
	static const char names[] = "xSRCUPYZ";

	return (enum via_migration_state)(strchr(names, c) - names);
}

/* The tables of each set of optional states: rows from, columns to, both in the order of row 0. */
static const char *const tables[4][8] = {
	{"SRCU", "SRCU", "SRSS", "SSCS", "SSSU"},
	{"SRCUP", "SPCUP", "PRPPP", "SSCSS", "SSSUS", "SRSSP"},
	{"SRCUY", "SRCUR", "SRSSY", "SSCSx", "SSSUS", "RRCRY"},
	{"SRPYZCU", "SPPPPCU", "PRPYPPP", "SRPRZSS", "RRRYZZR", "PPPYZCP", "SSSxxCS", "SSSSSSU"},
};

static void every_cell(void **test_state)
{
	for (unsigned int set = 0; set < 4; set++) {
		unsigned int flags = VIA_MIGRATION_HAS_STOP_COPY | set << 1;
		const char *names = tables[set][0];

		for (uint32_t from = 0; from < 10; from++) {
			for (uint32_t to = 0; to < 10; to++) {
				enum via_migration_state next = VIA_STATE_ERROR, want = next;

				for (size_t i = 0; names[i]; i++)
					for (size_t k = 0; names[k]; k++)
						if (state_of(names[i]) == from &&
						    state_of(names[k]) == to)
							want = state_of(tables[set][i + 1][k]);
				assert_int_equal(via_migration_next(flags, from, to, &next),
						 want ? 0 : -EINVAL);
				assert_int_equal(next, want);
			}
		}
	}
	assert_int_equal(via_migration_next(1, UINT32_MAX, 1, &(enum via_migration_state){0}),
			 -EINVAL);
	assert_int_equal(via_migration_next(1, 1, UINT32_MAX, &(enum via_migration_state){0}),
			 -EINVAL);
}

/* From each state to each, on a device; after it all the device works. */
static void every_way(void **test_state)
{
	for (unsigned int set = 0; set < 4; set++) {
		struct toy *t = make(all_ops[set]), *source = make(all_ops[set]);
		const char *names = tables[set][0];
		size_t len;

		put(source, 0, 1234);
		len = save(source);
		for (size_t i = 0; names[i]; i++) {
			for (size_t k = 0; names[k]; k++) {
				struct via_migration_session *first, *second;
				uint32_t from = state_of(names[i]), to = state_of(names[k]);
				bool blocked =
					from == VIA_STATE_STOP_COPY &&
					(to == VIA_STATE_PRE_COPY || to == VIA_STATE_PRE_COPY_P2P);

				assert_int_equal(via_device_reset(t->dev), 0);
				assert_int_equal(via_device_migration_get(t->dev),
						 VIA_STATE_RUNNING);
				assert_int_equal(go(t, from, &first), 0);
				if (from == VIA_STATE_RESUMING)
					assert_int_equal(via_migration_write(first, image, len),
							 len);
				assert_int_equal(go(t, to, &second), blocked ? -EINVAL : 0);
				assert_int_equal(via_device_migration_get(t->dev),
						 blocked ? from : to);
				/* One session for the way before the copy and the copy. */
				if (to == from ||
				    (from == VIA_STATE_PRE_COPY && to != VIA_STATE_RESUMING) ||
				    (from == VIA_STATE_PRE_COPY_P2P && to != VIA_STATE_RESUMING))
					assert_null(second);
				via_migration_session_put(first);
				via_migration_session_put(second);
			}
		}
		assert_int_equal(via_device_reset(t->dev), 0);
		put(t, 4, 0);
		becomes(t, &t->works, 1);
		discard(t);
		discard(source);
	}
}

static void test_t88_running_to_resuming(void **test_state)
{
	struct toy *t = make(&plain_ops);
	struct via_migration_session *session;
	unsigned int flags = via_device_migration_flags(t->dev);
	uint32_t hops[4], at = VIA_STATE_RUNNING;
	size_t n = 0;

	while (at != VIA_STATE_RESUMING && n < 4) {
		enum via_migration_state next;

		assert_int_equal(via_migration_next(flags, at, VIA_STATE_RESUMING, &next), 0);
		hops[n++] = at = next;
	}
	assert_int_equal(n, 2);
	assert_int_equal(hops[0], VIA_STATE_STOP);
	assert_int_equal(hops[1], VIA_STATE_RESUMING);
	assert_int_equal(go(t, VIA_STATE_RESUMING, &session), 0);
	assert_non_null(session);
	assert_false(via_migration_session_saves(session));
	assert_int_equal(t->stops, 1);
	via_migration_session_put(session);
	discard(t);
}

static void resets(void **test_state)
{
	struct toy *t = make(&full_ops);
	uint8_t flr[2] = {0, 0x80};
	uint16_t cap;

	/* Where the PCI Express capability is. */
	for (cap = 0x40;; cap = image[1]) {
		assert_int_equal(via_device_region_read(t->dev, VIA_REGION_CONFIG, cap, image, 2),
				 2);
		if (image[0] == 0x10)
			break;
		assert_true(image[1]);
	}
	for (uint32_t state = 1; state < 8; state++) {
		struct via_migration_session *session;

		assert_int_equal(go(t, state, &session), 0);
		if (state % 2)
			assert_int_equal(via_device_region_write(t->dev, VIA_REGION_CONFIG,
								 cap + 8u, flr, 2),
					 2);
		else
			assert_int_equal(via_device_reset(t->dev), 0);
		/* Without being asked for its state. */
		put(t, 0, state);
		assert_int_equal(get(t, 0), state);
		assert_int_equal(via_device_migration_get(t->dev), VIA_STATE_RUNNING);
		if (session)
			assert_int_equal(
				via_migration_session_saves(session)
					? via_migration_peek(session, image, 1, &(uint64_t){0})
					: via_migration_write(session, image, 1),
				-ENODEV);
		via_migration_session_put(session);
	}
	assert_int_equal(t->stops, t->resumes);
	discard(t);
}

static void errors(void **test_state)
{
	struct toy *t = make(&full_ops);
	size_t len = save(t);

	/* A model that cannot stop. */
	t->stop_result = -EIO;
	assert_int_equal(via_device_reset(t->dev), 0);
	assert_int_equal(go(t, VIA_STATE_STOP, NULL), -EIO);
	for (uint32_t state = 0; state < 9; state++) {
		assert_int_equal(via_device_migration_get(t->dev), VIA_STATE_ERROR);
		assert_int_equal(go(t, state, NULL), -EINVAL);
	}
	assert_int_equal(get(t, 0), UINT32_MAX);
	t->stop_result = 0;
	assert_int_equal(via_device_reset(t->dev), 0);
	assert_int_equal(via_device_migration_get(t->dev), VIA_STATE_RUNNING);
	put(t, 4, 0);
	becomes(t, &t->works, 1);
	/* A model that does not like what it gets. */
	t->refuse = true;
	assert_int_equal(load(t, image, len), -EINVAL);
	assert_int_equal(via_device_migration_get(t->dev), VIA_STATE_ERROR);
	t->refuse = false;
	assert_int_equal(load(t, image, len), 0);
	/* The next one to open it finds it running. */
	assert_int_equal(go(t, VIA_STATE_STOP_COPY, NULL), 0);
	via_device_close(t->dev);
	assert_int_equal(via_device_open(t->dev), 0);
	assert_int_equal(via_device_migration_get(t->dev), VIA_STATE_RUNNING);
	discard(t);
}

/* --- what stopping means --------------------------------------------------- */

static int own_fd(void *cookie, int fd, int *ret_fd)
{
	*ret_fd = dup(fd);
	return *ret_fd < 0 ? -EBADF : 0;
}

static void arm(struct toy *t, uint32_t index, uint32_t start, int fd)
{
	struct via_set_irqs set = {
		.index = index,
		.start = start,
		.count = 1,
		.flags = VIA_VFIO_IRQ_SET_DATA_EVENTFD | VIA_VFIO_IRQ_SET_ACTION_TRIGGER,
		.fds = &fd,
		.fd_get = own_fd,
	};

	assert_int_equal(via_device_set_irqs(t->dev, &set), 0);
}

static uint64_t events(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	uint64_t n = 0;

	if (poll(&p, 1, 0) == 1)
		assert_int_equal(read(fd, &n, sizeof(n)), sizeof(n));
	return n;
}

static void quiet_and_frozen(void **test_state)
{
	struct toy *t = make(&full_ops);
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	uint64_t value;
	uint32_t word = 0;
	uint8_t line;

	arm(t, VIA_IRQ_MSIX, 1, fd);
	put(t, 0, 7);
	/* Quiet: accesses come through, and nothing follows from them. */
	assert_int_equal(go(t, VIA_STATE_RUNNING_P2P, NULL), 0);
	put(t, 0, 8);
	assert_int_equal(get(t, 0), 8);
	put(t, 8, 1);
	put(t, 4, 0);
	put(t, BELL, 5);
	usleep(20000);
	assert_int_equal(events(fd), 0);
	assert_int_equal(t->works, 0);
	assert_int_equal(t->rings, 0);
	assert_int_equal(via_dma_write(via_device_dma(t->dev), 0, &word, 4), -EPERM);
	/* Frozen: not even that. */
	assert_int_equal(go(t, VIA_STATE_STOP, NULL), 0);
	assert_int_equal(get(t, 12), UINT32_MAX);
	put(t, 0, 9);
	assert_int_equal(t->value, 8);
	assert_int_equal(t->reads, 0);
	/* Memory, config space and the MSI-X table take what is written. */
	put(t, MEMORY, 0x11223344);
	assert_int_equal(get(t, MEMORY), 0x11223344);
	line = 0xbc;
	assert_int_equal(via_device_region_write(t->dev, VIA_REGION_CONFIG, 0x3c, &line, 1), 1);
	line = 0;
	assert_int_equal(via_device_region_read(t->dev, VIA_REGION_CONFIG, 0x3c, &line, 1), 1);
	assert_int_equal(line, 0xbc);
	assert_int_equal(via_device_mapped_write(t->dev, 2, 0x28, 4, 0x5678), 0);
	assert_int_equal(via_device_mapped_read(t->dev, 2, 0x28, 4, &value), 0);
	assert_int_equal(value, 0x5678);
	assert_int_equal(events(fd), 0);
	/* Running again: all of it happens, once. */
	assert_int_equal(go(t, VIA_STATE_RUNNING, NULL), 0);
	becomes(t, &t->works, 1);
	becomes(t, &t->rings, 1);
	assert_int_equal(events(fd), 1);
	assert_int_equal(get(t, 0), 8);
	assert_int_equal(t->stops, 1);
	assert_int_equal(t->resumes, 1);
	close(fd);
	discard(t);
}

/* --- streams --------------------------------------------------------------- */

static void compare_config(struct toy *a, struct toy *b)
{
	static uint8_t x[4096], y[4096];

	assert_int_equal(via_device_region_read(a->dev, VIA_REGION_CONFIG, 0, x, 4096), 4096);
	assert_int_equal(via_device_region_read(b->dev, VIA_REGION_CONFIG, 0, y, 4096), 4096);
	assert_memory_equal(x, y, 4096);
}

static void save_and_load(void **test_state)
{
	struct toy *a = make(&full_ops), *b = make(&full_ops);
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	uint32_t bars[] = {0xdead4000, 0, 0xbeef2000};
	uint64_t value;
	uint8_t line = 11;
	size_t len;

	arm(a, VIA_IRQ_MSIX, 0, fd);
	put(a, 0, 0x12345678);
	put(a, MEMORY + 0x1ffc, 0xcafe);
	put(a, BELL, 3);
	becomes(a, &a->rings, 1);
	assert_int_equal(via_device_region_write(a->dev, VIA_REGION_CONFIG, 0x10, bars, 12), 12);
	assert_int_equal(via_device_region_write(a->dev, VIA_REGION_CONFIG, 0x3c, &line, 1), 1);
	assert_int_equal(via_device_mapped_write(a->dev, 2, 69 * 16, 8, 0xfee00004), 0);
	assert_int_equal(via_device_mapped_write(a->dev, 2, 69 * 16 + 8, 8, 0x4321), 0);
	put(a, 16, 1);
	/* One message is pending because its vector is masked, one comes while it is quiet. */
	put(a, 8, 68);
	assert_int_equal(go(a, VIA_STATE_RUNNING_P2P, NULL), 0);
	put(a, 8, 0);
	len = save(a);
	/* What was there is not there afterwards. */
	put(b, MEMORY, 99);
	assert_int_equal(load(b, image, len), 0);
	assert_int_equal(via_device_migration_get(b->dev), VIA_STATE_STOP);
	/* Enable is the only bit that is the host's arrangement. */
	arm(b, VIA_IRQ_MSIX, 0, fd);
	compare_config(a, b);
	assert_int_equal(events(fd), 0);
	assert_int_equal(go(b, VIA_STATE_RUNNING, NULL), 0);
	assert_int_equal(events(fd), 1);
	assert_int_equal(get(b, 0), 0x12345678);
	assert_int_equal(get(b, MEMORY), 0);
	assert_int_equal(get(b, MEMORY + 0x1ffc), 0xcafe);
	assert_int_equal(get(b, BELL), 3);
	assert_int_equal(locked(b, &b->rings), 0);
	assert_int_equal(via_device_mapped_read(b->dev, 2, 69 * 16, 8, &value), 0);
	assert_int_equal(value, 0xfee00004);
	assert_int_equal(via_device_mapped_read(b->dev, 2, 69 * 16 + 8, 8, &value), 0);
	assert_int_equal(value, 0x4321);
	assert_int_equal(via_device_mapped_read(b->dev, 2, 0x1008, 8, &value), 0);
	assert_int_equal(value, 1 << (68 - 64));
	compare_config(a, b);
	close(fd);
	discard(a);
	discard(b);
}

/* In D3hot with memory off: so it arrives, and what D0 brings back. */
static void low_power(void **test_state)
{
	struct toy *a = make(&full_ops), *b = make(&full_ops);
	uint16_t pm;
	uint8_t byte[4];
	size_t len;

	for (pm = 0x40;; pm = byte[1]) {
		assert_int_equal(via_device_region_read(a->dev, VIA_REGION_CONFIG, pm, byte, 2), 2);
		if (byte[0] == 1)
			break;
		assert_true(byte[1]);
	}
	assert_int_equal(config_put(a, pm + 4u, 3), 2);
	len = save(a);
	assert_int_equal(load(b, image, len), 0);
	compare_config(a, b);
	assert_int_equal(go(b, VIA_STATE_RUNNING, NULL), 0);
	assert_int_equal(via_device_region_read(b->dev, 0, 0, byte, 4), -EIO);
	assert_int_equal(config_put(b, pm + 4u, 0), 2);
	assert_int_equal(via_device_region_read(b->dev, 0, 0, byte, 4), 4);
	discard(a);
	discard(b);
}

static void pre_copy(void **test_state)
{
	struct toy *a = make(&full_ops), *b = make(&full_ops);
	struct via_migration_session *session;
	struct via_precopy_info info;
	size_t first, more, len;

	put(a, 0, 1);
	assert_int_equal(go(a, VIA_STATE_PRE_COPY, &session), 0);
	assert_int_equal(via_migration_precopy_info(session, &info), 0);
	assert_true(info.initial_bytes > 300);
	assert_int_equal(info.dirty_bytes, 0);
	assert_false(info.v2);
	len = first = read_all(session, image, sizeof(image), -ENOMSG);
	assert_int_equal(first, info.initial_bytes);
	assert_int_equal(via_migration_precopy_info(session, &info), 0);
	assert_int_equal(info.initial_bytes, 0);
	assert_int_equal(info.dirty_bytes, 0);
	/* Only what has changed comes again: one block of 64 bytes. */
	put(a, 0, 2);
	assert_int_equal(via_migration_precopy_info(session, &info), 0);
	assert_int_equal(info.dirty_bytes, 24 + 64);
	more = read_all(session, image + len, sizeof(image) - len, -ENOMSG);
	assert_int_equal(more, 24 + 64);
	len += more;
	via_device_migration_set_precopy_v2(a->dev);
	assert_int_equal(go(a, VIA_STATE_PRE_COPY_P2P, NULL), 0);
	put(a, 0, 3);
	assert_int_equal(via_migration_precopy_info(session, &info), 0);
	assert_true(info.v2);
	assert_int_equal(info.flags, 0);
	assert_int_equal(go(a, VIA_STATE_STOP_COPY, NULL), 0);
	assert_int_equal(via_migration_precopy_info(session, &info), -EINVAL);
	len += read_all(session, image + len, sizeof(image) - len, 0);
	via_migration_session_put(session);
	assert_int_equal(load(b, image, len), 0);
	assert_int_equal(go(b, VIA_STATE_RUNNING, NULL), 0);
	assert_int_equal(get(b, 0), 3);
	discard(a);
	discard(b);
}

static void bad_streams(void **test_state)
{
	struct toy *a = make(&full_ops), *b = make(&full_ops);
	size_t len;

	put(a, 0, 5);
	put(a, MEMORY, 1);
	len = save(a);
	for (size_t cut = 0; cut < len; cut += 1 + cut / 40)
		assert_int_equal(load(b, image, cut), -EINVAL);
	for (size_t at = 0; at < len; at += 1 + at / 100) {
		image[at] ^= 0x10;
		assert_int_equal(load(b, image, len), -EINVAL);
		image[at] ^= 0x10;
	}
	/* Too long by a byte. */
	image[len] = 0;
	assert_int_equal(load(b, image, len + 1), -EINVAL);
	assert_int_equal(load(b, image, len), 0);
	for (size_t i = 0; i < sizeof(other_descs) / sizeof(other_descs[0]); i++) {
		struct toy *other = make_of(&other_descs[i], &full_ops);

		assert_int_equal(load(other, image, len), -EINVAL);
		/* The same states or not is no matter. */
		discard(other);
	}
	discard(b);
	b = make(&plain_ops);
	assert_int_equal(load(b, image, len), 0);
	discard(a);
	discard(b);
}

/* --- all at once ----------------------------------------------------------- */

struct torture {
	struct toy *t;
	unsigned int seed;
	bool *stop; /* atomic */
};

static bool going(const struct torture *x)
{
	return !__atomic_load_n(x->stop, __ATOMIC_RELAXED);
}

static void *torture_states(void *arg)
{
	struct torture *x = arg;
	uint8_t buf[512];

	while (going(x)) {
		struct via_migration_session *session;
		uint64_t mark;

		(void)via_device_migration_set(x->t->dev, (uint32_t)rand_r(&x->seed) % 8, &session);
		for (unsigned int i = 0; session && i < 4; i++) {
			if (!via_migration_session_saves(session)) {
				(void)via_migration_write(session, buf, sizeof(buf));
			} else if (via_migration_peek(session, buf, sizeof(buf), &mark) > 0) {
				via_migration_consume(session, mark, 1);
			}
		}
		via_migration_session_put(session);
	}
	return NULL;
}

static void *torture_accesses(void *arg)
{
	struct torture *x = arg;

	while (going(x)) {
		uint32_t word = (uint32_t)rand_r(&x->seed);
		uint64_t at = word % 2 ? word % 6 * 4 : word % 4 * 0x1000;

		if (word & 64)
			(void)via_device_region_write(x->t->dev, 0, at, &word, 4);
		else
			(void)via_device_region_read(x->t->dev, 0, at, &word, 4);
	}
	return NULL;
}

static void *torture_config(void *arg)
{
	struct torture *x = arg;

	while (going(x)) {
		uint16_t command = rand_r(&x->seed) % 4 ? 6 : (uint16_t)rand_r(&x->seed) & 6;
		struct via_dma_log *log;
		struct via_iova_range range = {0, 0xffff};

		(void)config_put(x->t, 4, command);
		if (rand_r(&x->seed) % 16 == 0)
			(void)via_device_reset(x->t->dev);
		if (rand_r(&x->seed) % 16 == 0 && !via_dma_log_new(&range, 1, 12, &log)) {
			(void)via_device_log_start(x->t->dev, log);
			via_dma_log_put(log);
			via_device_log_stop(x->t->dev);
		}
	}
	return NULL;
}

static void torture(void **test_state)
{
	static void *(*const mains[])(void *) = {torture_states, torture_states, torture_accesses,
						 torture_accesses, torture_config};
	struct toy *t = make(&full_ops);
	pthread_t threads[5];
	struct torture x[5];
	bool stop = false;
	uint32_t works;

	for (unsigned int i = 0; i < 5; i++) {
		x[i] = (struct torture){t, i + 1, &stop};
		assert_int_equal(pthread_create(&threads[i], NULL, mains[i], &x[i]), 0);
	}
	usleep(700000);
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (unsigned int i = 0; i < 5; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(via_device_reset(t->dev), 0);
	assert_int_equal(via_device_migration_get(t->dev), VIA_STATE_RUNNING);
	assert_int_equal(config_put(t, 4, 6), 2);
	works = locked(t, &t->works);
	put(t, 0, 77);
	assert_int_equal(get(t, 0), 77);
	put(t, 4, 0);
	becomes(t, &t->works, works + 1);
	assert_int_equal(t->stops, t->resumes);
	discard(t);
}

static void log_quietly(void *cookie, enum via_log_level level, const char *text)
{
}

/* A descriptor may be closed after the device is gone. */
static void session_outlives(void **test_state)
{
	for (int saves = 0; saves < 2; saves++) {
		struct toy *t = make(&full_ops);
		struct via_migration_session *session;
		struct via_precopy_info info;
		uint64_t mark;
		uint8_t byte = 0;

		assert_int_equal(go(t, saves ? VIA_STATE_STOP_COPY : VIA_STATE_RESUMING, &session),
				 0);
		discard(t);
		assert_int_equal(via_migration_peek(session, &byte, 1, &mark), -ENODEV);
		assert_int_equal(via_migration_write(session, &byte, 1), -ENODEV);
		assert_int_equal(via_migration_precopy_info(session, &info), -EINVAL);
		via_migration_session_put(session);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_cell),
		cmocka_unit_test(every_way),
		cmocka_unit_test(test_t88_running_to_resuming),
		cmocka_unit_test(resets),
		cmocka_unit_test(errors),
		cmocka_unit_test(session_outlives),
		cmocka_unit_test(quiet_and_frozen),
		cmocka_unit_test(save_and_load),
		cmocka_unit_test(low_power),
		cmocka_unit_test(pre_copy),
		cmocka_unit_test(bad_streams),
		cmocka_unit_test(torture),
	};

	via_log_set(log_quietly, NULL, VIA_LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
