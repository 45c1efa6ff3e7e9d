/* SPDX-License-Identifier: MIT */
/* Ioeventfds in software: the table that KVM must pass too, and what only a bus has. */
#include "bus/test-ioeventfd.h"
#include "bus/test-support.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/util.h"

#define BASE 0xd0000u

static uint64_t fired(int fd)
{
	uint64_t n;

	return read(fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

static int new_fd(void)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

/* --- The table --- */

struct table {
	struct via_bus *bus, *asked; /* the same, or one above it that shows all */
	struct dev dev;
	int fd[IOEVENTFD_FDS];
	/* What is there, to be gone before the next case. */
	const struct ioeventfd_step *there[64];
	unsigned int n_there;
};

static struct via_bus_ioeventfd of_step(const struct table *t, const struct ioeventfd_step *s)
{
	return (struct via_bus_ioeventfd){
		.fd = t->fd[s->fd], .len = s->len, .match = s->match, .data = s->data};
}

static void clear(struct table *t)
{
	while (t->n_there) {
		const struct ioeventfd_step *s = t->there[--t->n_there];
		struct via_bus_ioeventfd e = of_step(t, s);

		/* Those of the case that went by themselves are not there any more. */
		(void)via_bus_ioeventfd_deassign(t->bus, BASE + s->addr, &e);
	}
}

static void change(struct table *t, const struct ioeventfd_step *s)
{
	struct via_bus_ioeventfd e = of_step(t, s);
	int ret = s->kind == ASSIGN ? via_bus_ioeventfd_assign(t->bus, BASE + s->addr, &e)
				    : via_bus_ioeventfd_deassign(t->bus, BASE + s->addr, &e);

	assert_int_equal(ret, s->ret);
	if (s->kind == ASSIGN && !ret)
		t->there[t->n_there++] = s;
}

/* How an access is made: none of them may make a difference. */
enum way { SINGLE, BUFFER, BATCH, STRING, N_WAYS };

static int access_by(struct table *t, const struct ioeventfd_step *s, enum way way)
{
	struct via_bus_op op = {.addr = BASE + s->addr,
				.size = s->len,
				.write = s->kind == WRITE,
				.value = s->data};
	uint64_t value = s->data, addr = BASE + s->addr;
	uint8_t bytes[8];

	via_put_le64(bytes, value);
	switch (way) {
	case SINGLE:
		return op.write ? via_bus_write_value(t->asked, addr, s->len, value)
				: via_bus_read_value(t->asked, addr, s->len, &value);
	case BUFFER:
		return op.write ? via_bus_write(t->asked, addr, bytes, s->len, NULL)
				: via_bus_read(t->asked, addr, bytes, s->len, NULL);
	case BATCH:
		assert_int_equal(via_bus_batch(t->asked, &op, 1, false), 1);
		return op.result;
	default:
		return op.write ? via_bus_write_string(t->asked, addr, s->len, bytes, 1, NULL)
				: via_bus_read_string(t->asked, addr, s->len, bytes, 1, NULL);
	}
}

static void make_access(struct table *t, const struct ioeventfd_step *s)
{
	unsigned int way;
	int i, ret;

	for (way = 0; way < N_WAYS; way++) {
		/* A buffer is cut into aligned accesses first. */
		if (way == BUFFER && (BASE + s->addr) % s->len)
			continue;
		dev_reset(&t->dev);
		ret = access_by(t, s, way);
		assert_int_equal(ret, s->fd < 0 ? s->ret : 0);
		for (i = 0; i < IOEVENTFD_FDS; i++)
			assert_int_equal(fired(t->fd[i]), i == s->fd);
		assert_int_equal(t->dev.n_reads + t->dev.n_writes > 0, s->fd < 0 && !s->ret);
	}
}

static void run_table(struct via_bus *bus, struct via_bus *asked)
{
	struct table t = {.bus = bus, .asked = asked};
	struct via_claim_desc desc = claim_of(&t.dev, BASE, BASE + IOEVENTFD_DEVICE - 1, 7);
	size_t i;

	desc.valid_unaligned = true;
	add_desc(bus, &desc);
	for (i = 0; i < IOEVENTFD_FDS; i++)
		t.fd[i] = new_fd();
	for (i = 0; i < sizeof(ioeventfd_steps) / sizeof(ioeventfd_steps[0]); i++) {
		const struct ioeventfd_step *s = &ioeventfd_steps[i];

		if (s->kind == CASE)
			clear(&t);
		else if (s->kind == ASSIGN || s->kind == DEASSIGN)
			change(&t, s);
		else
			make_access(&t, s);
	}
	clear(&t);
	for (i = 0; i < IOEVENTFD_FDS; i++)
		close(t.fd[i]);
}

static void case_57_58_59_60_61_64_table(void **state)
{
	struct via_bus *bus = new_bus();

	run_table(bus, bus);
	via_bus_free(bus);
}

static void case_57_58_59_60_61_64_table_below(void **state)
{
	struct via_bus *vm = new_bus(), *vcpu;
	struct dev elsewhere = {0};

	assert_int_equal(via_bus_new_as(&(struct via_bus_desc){.below = vm}, &vcpu), 0);
	add(vcpu, &elsewhere, 0xfee00000, 0xfee00fff, 0);
	run_table(vm, vcpu);
	via_bus_free(vcpu);
	via_bus_free(vm);
}

/* --- What is refused --- */

static void case_59_overflow(void **state)
{
	struct via_bus *bus = new_bus(), *ports;
	struct via_bus_ioeventfd e = {.fd = new_fd(), .len = 8};
	int zero = open("/dev/zero", O_RDWR | O_CLOEXEC);

	assert_int_equal(via_bus_ioeventfd_assign(bus, UINT64_MAX - 6, &e), -EINVAL);
	assert_int_equal(via_bus_ioeventfd_assign(bus, UINT64_MAX - 7, &e), 0);
	assert_int_equal(via_bus_write_value(bus, UINT64_MAX - 7, 8, 0), 0);
	assert_int_equal(fired(e.fd), 1);
	e.len = 1;
	assert_int_equal(via_bus_ioeventfd_assign(bus, UINT64_MAX, &e), 0);
	assert_int_equal(via_bus_write_value(bus, UINT64_MAX, 1, 0), 0);
	assert_int_equal(fired(e.fd), 1);
	/* What passes the end of the space has not its length. */
	assert_int_equal(via_bus_write_value(bus, UINT64_MAX, 2, 0), -ENXIO);
	assert_int_equal(via_bus_write_value(bus, UINT64_MAX, 8, 0), -ENXIO);
	assert_int_equal(fired(e.fd), 0);

	assert_int_equal(via_bus_new_as(&(struct via_bus_desc){.last = 0xffff}, &ports), 0);
	e.len = 2;
	assert_int_equal(via_bus_ioeventfd_assign(ports, 0xffff, &e), -EINVAL);
	assert_int_equal(via_bus_ioeventfd_assign(ports, 0x10000, &e), -EINVAL);
	assert_int_equal(via_bus_ioeventfd_assign(ports, 0xfffe, &e), 0);
	e.len = 0;
	assert_int_equal(via_bus_ioeventfd_assign(ports, 0x10000, &e), -EINVAL);
	assert_int_equal(via_bus_ioeventfd_assign(ports, 0xffff, &e), 0);
	assert_int_equal(via_bus_write_value(ports, 0xffff, 1, 0), 0);
	assert_int_equal(fired(e.fd), 1);
	assert_int_equal(via_bus_write_value(ports, 0xffff, 2, 0), -EINVAL);
	assert_int_equal(fired(e.fd), 0);
	via_bus_free(ports);

	close(e.fd);
	assert_int_equal(via_bus_ioeventfd_assign(bus, 0x10, &e), -EBADF);
	e.fd = zero;
	assert_int_equal(via_bus_ioeventfd_assign(bus, 0x10, &e), -EBADF);
	e.fd = -1;
	assert_int_equal(via_bus_ioeventfd_assign(bus, 0x10, &e), -EBADF);
	close(zero);
	via_bus_free(bus);
}

/* Only the low bytes of the data are anybody's. */
static void data_of_its_length(void **state)
{
	struct via_bus *bus = new_bus();
	struct via_bus_ioeventfd e = {.fd = new_fd(), .len = 2, .match = true, .data = 0xabc1234};

	assert_int_equal(via_bus_ioeventfd_assign(bus, 0x10, &e), 0);
	assert_int_equal(via_bus_write_value(bus, 0x10, 2, 0x771234), 0);
	assert_int_equal(fired(e.fd), 1);
	e.data = 0x1234;
	assert_int_equal(via_bus_ioeventfd_assign(bus, 0x10, &e), -EEXIST);
	assert_int_equal(via_bus_ioeventfd_deassign(bus, 0x10, &e), 0);
	e.data = 0x51234;
	assert_int_equal(via_bus_ioeventfd_assign(bus, 0x10, &e), 0);
	assert_int_equal(via_bus_ioeventfd_deassign(bus, 0x10, &e), 0);
	close(e.fd);
	via_bus_free(bus);
}

/* --- Many --- */

static void case_62_a_thousand_at_one_address(void **state)
{
	enum { N = 1000 };
	struct via_bus *bus = new_bus();
	struct dev d = {0};
	int fd[N], i;

	add(bus, &d, 0, 0xfff, 0);
	for (i = 0; i < N; i++) {
		struct via_bus_ioeventfd e = {
			.len = 4, .match = true, .data = (unsigned int)i * 3u};

		fd[i] = e.fd = new_fd();
		assert_int_equal(via_bus_ioeventfd_assign(bus, 0x100, &e), 0);
	}
	for (i = 0; i < N; i++) {
		assert_int_equal(via_bus_write_value(bus, 0x100, 4, (unsigned int)i * 3u), 0);
		assert_int_equal(fired(fd[i]), 1);
	}
	for (i = 0; i < N; i++)
		assert_int_equal(fired(fd[i]), 0);
	assert_int_equal(d.n_writes, 0);
	for (i = 0; i < N; i++)
		assert_int_equal(
			via_bus_write_value(bus, 0x100, 4, (unsigned int)i * 3u + 1 + i % 2), 0);
	assert_int_equal(d.n_writes, N);
	/* Every other one goes; the rest stay. */
	for (i = 0; i < N; i += 2) {
		struct via_bus_ioeventfd e = {
			.fd = fd[i], .len = 4, .match = true, .data = (unsigned int)i * 3u};

		assert_int_equal(via_bus_ioeventfd_deassign(bus, 0x100, &e), 0);
	}
	for (i = 0; i < N; i++) {
		assert_int_equal(via_bus_write_value(bus, 0x100, 4, (unsigned int)i * 3u), 0);
		assert_int_equal(fired(fd[i]), i & 1);
	}
	for (i = 0; i < N; i++)
		close(fd[i]);
	via_bus_free(bus);
}

/* Many addresses, lengths and data at once, asked in any order. */
static void many_kinds(void **state)
{
	enum { N = 256 };
	struct via_bus *bus = new_bus();
	struct via_bus_change ch[N] = {0};
	struct via_bus_ioeventfd e[N];
	int i, k;

	for (i = 0; i < N; i++) {
		e[i] = (struct via_bus_ioeventfd){.fd = new_fd(),
						  .len = (uint8_t)(1u << (i & 3)),
						  .match = i & 4,
						  .data = (unsigned int)i};
		ch[i].desc.start = 8u * (unsigned int)i;
		ch[i].desc.ioeventfd = &e[i];
	}
	assert_int_equal(via_bus_commit(bus, ch, N), 0);
	for (k = 0; k < N; k++) {
		i = k * 91 % N;
		assert_int_equal(
			via_bus_write_value(bus, 8u * (unsigned int)i, e[i].len, (unsigned int)i),
			0);
		assert_int_equal(fired(e[i].fd), 1);
		assert_int_equal(via_bus_write_value(bus, 8u * (unsigned int)i, e[i].len,
						     (unsigned int)i ^ 1u),
				 e[i].match ? -ENXIO : 0);
		assert_int_equal(fired(e[i].fd), !e[i].match);
		/* The whole table goes by one transaction. */
		ch[i].kind = VIA_BUS_REMOVE;
	}
	assert_int_equal(via_bus_commit(bus, ch, N), 0);
	for (i = 0; i < N; i++) {
		assert_int_equal(
			via_bus_write_value(bus, 8u * (unsigned int)i, e[i].len, (unsigned int)i),
			-ENXIO);
		close(e[i].fd);
	}
	via_bus_free(bus);
}

static void case_63_inside_a_coalesced_zone(void **state)
{
	struct via_bus *bus = new_bus();
	struct via_coalescer *coalescer;
	struct via_bus_ioeventfd e = {.fd = new_fd(), .len = 4};
	struct dev d = {0};
	struct via_claim_desc desc = claim_of(&d, 0x1000, 0x1fff, 0);
	int order;

	for (order = 0; order < 2; order++) {
		struct via_claim *zone;

		assert_int_equal(via_coalescer_new(16, -1, &coalescer), 0);
		desc.coalescer = coalescer;
		desc.flags = VIA_BUS_COALESCE;
		if (order)
			assert_int_equal(via_bus_ioeventfd_assign(bus, 0x1010, &e), 0);
		zone = add_desc(bus, &desc);
		if (!order)
			assert_int_equal(via_bus_ioeventfd_assign(bus, 0x1010, &e), 0);
		dev_reset(&d);
		assert_int_equal(via_bus_write_value(bus, 0x1010, 4, 1), 0);
		assert_int_equal(fired(e.fd), 1);
		assert_int_equal(via_bus_write_value(bus, 0x1800, 4, 1), 0);
		assert_int_equal(via_bus_write_value(bus, 0x1010, 2, 1), 0);
		assert_int_equal(via_bus_write_value(bus, 0x1014, 4, 1), 0);
		/* The zone is a zone everywhere else. */
		assert_int_equal(d.n_writes, 0);
		via_coalescer_drain(coalescer);
		assert_int_equal(d.n_writes, 3);
		assert_int_equal(fired(e.fd), 0);
		assert_int_equal(via_bus_ioeventfd_deassign(bus, 0x1010, &e), 0);
		assert_int_equal(via_bus_remove(zone), 0);
		via_coalescer_free(coalescer);
	}
	close(e.fd);
	via_bus_free(bus);
}

static void case_65_full_counter(void **state)
{
	static const uint64_t full = UINT64_MAX - 1;
	struct via_bus *bus = new_bus();
	int flags, i;

	for (i = 0; i < 2; i++) {
		struct via_bus_ioeventfd e = {.len = 4};
		uint64_t n;

		e.fd = eventfd(0, i ? EFD_NONBLOCK : 0);
		assert_int_equal(write(e.fd, &full, sizeof(full)), sizeof(full));
		assert_int_equal(via_bus_ioeventfd_assign(bus, 0x10, &e), 0);
		assert_int_equal(via_bus_write_value(bus, 0x10, 4, 1), 0);
		flags = fcntl(e.fd, F_GETFL);
		assert_int_equal(fcntl(e.fd, F_SETFL, flags | O_NONBLOCK), 0);
		assert_int_equal(read(e.fd, &n, sizeof(n)), sizeof(n));
		assert_true(n == full);
		/* Emptied, it counts on. */
		assert_int_equal(via_bus_write_value(bus, 0x10, 4, 1), 0);
		assert_int_equal(fired(e.fd), 1);
		assert_int_equal(via_bus_ioeventfd_deassign(bus, 0x10, &e), 0);
		close(e.fd);
	}
	via_bus_free(bus);
}

/* --- As claims --- */

static void as_claims(void **state)
{
	struct via_bus *bus = new_bus();
	struct via_bus_ioeventfd e = {.fd = new_fd(), .len = 4, .match = true, .data = 5};
	struct via_claim_desc desc = {.start = 0x100, .ioeventfd = &e, .flags = VIA_BUS_DISABLED};
	struct via_bus_change ch[2] = {{.kind = VIA_BUS_ENABLE}};
	struct via_claim *claim[2];
	char text[256];

	claim[0] = add_desc(bus, &desc);
	/* What the description pointed to is not needed any more. */
	e.data = 6;
	assert_int_equal(via_bus_write_value(bus, 0x100, 4, 5), -ENXIO);
	e.data = 5;
	assert_int_equal(via_bus_ioeventfd_deassign(bus, 0x100, &e), -ENOENT);
	/* Where one is not seen there is room for another. */
	desc.flags = 0;
	claim[1] = add_desc(bus, &desc);
	ch[0].claim = claim[0];
	assert_int_equal(via_bus_commit(bus, ch, 1), -EEXIST);
	ch[1] = (struct via_bus_change){.kind = VIA_BUS_DISABLE, .claim = claim[1]};
	assert_int_equal(via_bus_commit(bus, ch, 2), 0);
	assert_int_equal(via_bus_write_value(bus, 0x100, 4, 5), 0);
	assert_int_equal(fired(e.fd), 1);
	/* Once more is no change. */
	assert_int_equal(via_bus_commit(bus, ch, 2), 0);
	assert_int_equal(via_bus_write_value(bus, 0x100, 4, 5), 0);
	assert_int_equal(fired(e.fd), 1);

	ch[0] = (struct via_bus_change){.kind = VIA_BUS_MOVE, .claim = claim[0], .start = 0x200};
	assert_int_equal(via_bus_commit(bus, ch, 1), 0);
	assert_int_equal(via_bus_write_value(bus, 0x100, 4, 5), -ENXIO);
	assert_int_equal(via_bus_write_value(bus, 0x200, 4, 5), 0);
	assert_int_equal(fired(e.fd), 1);
	ch[0].start = UINT64_MAX - 2;
	assert_int_equal(via_bus_commit(bus, ch, 1), -EINVAL);
	ch[0].start = UINT64_MAX - 3;
	assert_int_equal(via_bus_commit(bus, ch, 1), 0);
	assert_int_equal(via_bus_write_value(bus, UINT64_MAX - 3, 4, 5), 0);
	assert_int_equal(fired(e.fd), 1);
	ch[0] = (struct via_bus_change){
		.kind = VIA_BUS_RESIZE, .claim = claim[0], .start = 0, .last = 3};
	assert_int_equal(via_bus_commit(bus, ch, 1), -EINVAL);
	/* Two that change places at one instant. */
	ch[0] = (struct via_bus_change){.kind = VIA_BUS_MOVE, .claim = claim[0], .start = 0x300};
	ch[1] = (struct via_bus_change){.kind = VIA_BUS_MOVE, .claim = claim[1], .start = 0x400};
	assert_int_equal(via_bus_commit(bus, ch, 2), 0);
	ch[0].start = 0x400;
	ch[1].start = 0x300;
	ch[1].kind = VIA_BUS_MOVE;
	assert_int_equal(via_bus_commit(bus, ch, 2), 0);
	assert_int_equal(via_bus_write_value(bus, 0x400, 4, 5), 0);
	assert_int_equal(fired(e.fd), 1);
	(void)via_bus_dump(bus, text, sizeof(text));
	assert_string_equal(text, "0000000000000400 ioeventfd length 4 data 0x5\n");
	assert_int_equal(via_bus_remove(claim[0]), 0);
	assert_int_equal(via_bus_write_value(bus, 0x400, 4, 5), -ENXIO);
	via_bus_remove_async(claim[1], NULL, NULL);
	close(e.fd);
	via_bus_free(bus);
}

/* In a callback nothing can be waited for. */
struct from_inside {
	struct via_bus *bus;
	struct via_bus_ioeventfd event;
	int ret;
};

static int deassign_inside(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	struct from_inside *in = opaque;

	in->ret = via_bus_ioeventfd_deassign(in->bus, 0x10, &in->event);
	return VIA_BUS_OK;
}

static void not_from_a_callback(void **state)
{
	static const struct via_bus_ops ops = {.write = deassign_inside};
	struct via_bus *bus = new_bus();
	struct from_inside in = {bus, {.fd = new_fd(), .len = 4}, 0};
	struct via_claim_desc desc = {.last = 0xff, .ops = &ops, .opaque = &in};

	add_desc(bus, &desc);
	assert_int_equal(via_bus_ioeventfd_assign(bus, 0x10, &in.event), 0);
	assert_int_equal(via_bus_write_value(bus, 0x80, 4, 0), 0);
	assert_int_equal(in.ret, -EDEADLK);
	assert_int_equal(via_bus_write_value(bus, 0x10, 4, 0), 0);
	assert_int_equal(fired(in.event.fd), 1);
	close(in.event.fd);
	via_bus_free(bus);
}

static void dump_of_all_kinds(void **state)
{
	struct via_bus *bus = new_bus();
	struct via_bus_ioeventfd e = {.fd = new_fd()};
	struct dev d = {0};
	char text[512];

	add(bus, &d, 0x10, 0x1f, 0);
	assert_int_equal(via_bus_ioeventfd_assign(bus, 0x30, &e), 0);
	e.len = 2;
	assert_int_equal(via_bus_ioeventfd_assign(bus, 0x10, &e), 0);
	e.match = true;
	e.len = 8;
	e.data = 0xabc;
	assert_int_equal(via_bus_ioeventfd_assign(bus, 0x20, &e), 0);
	(void)via_bus_dump(bus, text, sizeof(text));
	assert_string_equal(text, "0000000000000010-000000000000001f dev +0x0 priority 0\n"
				  "0000000000000010 ioeventfd length 2\n"
				  "0000000000000020 ioeventfd length 8 data 0xabc\n"
				  "0000000000000030 ioeventfd length any\n");
	close(e.fd);
	via_bus_free(bus);
}

/* A write over several claims whose whole is an ioeventfd's, and one that merely begins there. */
static void over_several_claims(void **state)
{
	struct via_bus *bus = new_bus();
	struct via_bus_ioeventfd e = {.fd = new_fd(), .len = 8};
	struct dev d[2] = {0};
	struct via_claim_desc desc = claim_of(&d[1], 0x104, 0x10f, 0);

	add(bus, &d[0], 0x100, 0x103, 0);
	desc.offset = 4;
	add_desc(bus, &desc);
	assert_int_equal(via_bus_ioeventfd_assign(bus, 0x100, &e), 0);
	assert_int_equal(via_bus_write_value(bus, 0x100, 8, 1), 0);
	assert_int_equal(fired(e.fd), 1);
	assert_int_equal(d[0].n_writes + d[1].n_writes, 0);
	assert_int_equal(via_bus_write_value(bus, 0x100, 4, 1), 0);
	assert_int_equal(fired(e.fd), 0);
	assert_int_equal(d[0].n_writes, 1);
	assert_int_equal(via_bus_write(bus, 0x100, "0123456789abcdef", 16, NULL), 0);
	assert_int_equal(fired(e.fd), 1);
	assert_int_equal(d[0].n_writes, 1);
	assert_int_equal(d[1].n_writes, 1);
	close(e.fd);
	via_bus_free(bus);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(case_57_58_59_60_61_64_table),
		cmocka_unit_test(case_57_58_59_60_61_64_table_below),
		cmocka_unit_test(case_59_overflow),
		cmocka_unit_test(data_of_its_length),
		cmocka_unit_test(case_62_a_thousand_at_one_address),
		cmocka_unit_test(many_kinds),
		cmocka_unit_test(case_63_inside_a_coalesced_zone),
		cmocka_unit_test(case_65_full_counter),
		cmocka_unit_test(as_claims),
		cmocka_unit_test(not_from_a_callback),
		cmocka_unit_test(dump_of_all_kinds),
		cmocka_unit_test(over_several_claims),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
