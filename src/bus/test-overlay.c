/* SPDX-License-Identifier: MIT */
/* Two levels: what a vCPU's bus eclipses of the VM's, and what shows through. */
#include "bus/test-support.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "bus/map.h"

static struct via_bus *new_vcpu(struct via_bus *vm)
{
	struct via_bus *bus;

	assert_int_equal(via_bus_new_as(&(struct via_bus_desc){.name = "vcpu", .below = vm}, &bus),
			 0);
	return bus;
}

static void fill(struct dev *d, uint8_t with)
{
	memset(d->mem, with, DEV_BYTES);
}

static void case_17_eclipses_on_one_vcpu(void **state)
{
	struct via_bus *vm = new_bus(), *vcpu[2] = {new_vcpu(vm), new_vcpu(vm)};
	struct dev d[2] = {0};
	uint8_t buf[16];
	uint64_t v;

	fill(&d[0], 0xaa);
	fill(&d[1], 0xbb);
	/* A priority of the VM's level is none of the vCPU's. */
	add(vm, &d[0], 0x1000, 0x1fff, 100);
	add(vcpu[0], &d[1], 0x1400, 0x14ff, -100);
	assert_int_equal(owner(vcpu[0], d, 2, 0x13ff), 0);
	assert_int_equal(owner(vcpu[0], d, 2, 0x1400), 1);
	assert_int_equal(owner(vcpu[0], d, 2, 0x14ff), 1);
	assert_int_equal(owner(vcpu[0], d, 2, 0x1500), 0);
	assert_int_equal(owner(vcpu[0], d, 2, 0x2000), -1);
	assert_int_equal(owner(vcpu[1], d, 2, 0x1400), 0);
	assert_int_equal(owner(vm, d, 2, 0x1400), 0);

	/* An access over an edge belongs to both levels, in both orders. */
	assert_int_equal(via_bus_read_value(vcpu[0], 0x13fe, 4, &v), 0);
	assert_int_equal(v, 0xbbbbaaaa);
	assert_int_equal(via_bus_read_value(vcpu[0], 0x14fe, 4, &v), 0);
	assert_int_equal(v, 0xaaaabbbb);
	assert_int_equal(via_bus_read(vcpu[0], 0x13f8, buf, 16, NULL), 0);
	assert_int_equal(buf[7], 0xaa);
	assert_int_equal(buf[8], 0xbb);
	assert_int_equal(via_bus_write_value(vcpu[0], 0x13fe, 4, 0x44332211), 0);
	assert_int_equal(d[0].mem[0x3fe % DEV_BYTES], 0x11);
	assert_int_equal(d[0].mem[0x3ff % DEV_BYTES], 0x22);
	assert_int_equal(d[1].mem[0], 0x33);
	assert_int_equal(d[1].mem[1], 0x44);
	via_bus_free(vcpu[0]);
	via_bus_free(vcpu[1]);
	via_bus_free(vm);
}

static void case_18_own_devices(void **state)
{
	struct via_bus *vm = new_bus(), *vcpu[2] = {new_vcpu(vm), new_vcpu(vm)};
	struct dev d[3] = {0};

	add(vcpu[0], &d[0], 0xfee00000, 0xfee00fff, 0);
	add(vcpu[1], &d[1], 0xfee00000, 0xfee00fff, 0);
	assert_int_equal(owner(vcpu[0], d, 3, 0xfee00020), 0);
	assert_int_equal(owner(vcpu[1], d, 3, 0xfee00020), 1);
	assert_int_equal(owner(vm, d, 3, 0xfee00020), -1);
	/* Many claims above, so that more than one is to be passed by. */
	for (unsigned int i = 0; i < 100; i++)
		add(vcpu[0], &d[0], 0x10000 + 0x20 * i, 0x10000 + 0x20 * i + 0xf, 0);
	add(vm, &d[2], 0x10000, 0x1ffff, 0);
	for (unsigned int i = 0; i < 100; i++) {
		assert_int_equal(owner(vcpu[0], d, 3, 0x10000 + 0x20 * i), 0);
		assert_int_equal(owner(vcpu[0], d, 3, 0x10000 + 0x20 * i + 0xf), 0);
		assert_int_equal(owner(vcpu[0], d, 3, 0x10000 + 0x20 * i + 0x10), 2);
		assert_int_equal(owner(vcpu[1], d, 3, 0x10000 + 0x20 * i), 2);
	}
	via_bus_free(vcpu[0]);
	via_bus_free(vcpu[1]);
	via_bus_free(vm);
}

/* --- Lookups, counted by the linker's --wrap --- */

static _Atomic unsigned int n_searches; /* other threads dispatch too */

struct via_bus_entry *__real_via_bus_map_find_slow(const struct via_bus_map *map, uint64_t addr);
struct via_bus_entry *__wrap_via_bus_map_find_slow(const struct via_bus_map *map, uint64_t addr);
struct via_bus_cursor __real_via_bus_map_seek(const struct via_bus_map *map, uint64_t addr);
struct via_bus_cursor __wrap_via_bus_map_seek(const struct via_bus_map *map, uint64_t addr);

struct via_bus_entry *__wrap_via_bus_map_find_slow(const struct via_bus_map *map, uint64_t addr)
{
	n_searches++;
	return __real_via_bus_map_find_slow(map, addr);
}

struct via_bus_cursor __wrap_via_bus_map_seek(const struct via_bus_map *map, uint64_t addr)
{
	n_searches++;
	return __real_via_bus_map_seek(map, addr);
}

static unsigned int searches(struct via_bus *bus, uint64_t addr, unsigned int size, int want)
{
	uint64_t v;

	n_searches = 0;
	assert_int_equal(via_bus_read_value(bus, addr, size, &v), want);
	return n_searches;
}

static void case_19_empty_overlay_adds_no_lookup(void **state)
{
	struct via_bus *vm = new_bus(), *vcpu = new_vcpu(vm);
	struct dev d[2] = {0};
	unsigned int i;

	for (i = 0; i < 100; i++)
		add(vm, &d[0], 0x1000u * i, 0x1000u * i + 0xfff, (int)(i & 1));
	(void)searches(vcpu, 0, 4, 0);
	for (i = 0; i < 100; i++)
		assert_int_equal(searches(vcpu, 0x1000u * i + 0x40, 4, 0), 0);
	/* Nor does an overlay of one claim that is elsewhere. */
	add(vcpu, &d[1], 0xfee00000, 0xfee00fff, 0);
	for (i = 0; i < 100; i++)
		assert_int_equal(searches(vcpu, 0x1000u * i + 0x40, 4, 0), 0);
	assert_int_equal(searches(vcpu, 0xfee00020, 4, 0), 0);
	/* Nor does what nobody answers; and the counter counts. */
	assert_int_equal(searches(vcpu, 0x400000, 4, -ENXIO), 0);
	assert_true(searches(vcpu, 0xfee00ffc, 8, -ENXIO) > 0);
	via_bus_free(vcpu);
	via_bus_free(vm);
}

struct other {
	struct via_bus *bus;
	_Atomic bool stop;
	_Atomic unsigned int n, n_bad;
};

static int read_id(void *opaque, uint64_t offset, unsigned int size, uint64_t *ret_value)
{
	*ret_value = *(const uint64_t *)opaque;
	return VIA_BUS_OK;
}

static const struct via_bus_ops id_ops = {read_id, NULL};

static void *other_vcpu(void *arg)
{
	struct other *other = arg;

	while (!atomic_load(&other->stop)) {
		uint64_t low = 0, high = 0;

		if (via_bus_read_value(other->bus, 0x1000, 8, &low) || low != 1 ||
		    via_bus_read_value(other->bus, 0x2000, 8, &high) || high != 2)
			atomic_fetch_add(&other->n_bad, 1);
		atomic_fetch_add(&other->n, 1);
	}
	return NULL;
}

static void case_20_vcpu_goes_while_another_runs(void **state)
{
	static uint64_t id[3] = {1, 2, 3};
	struct via_bus *vm = new_bus();
	struct via_claim_desc desc = {
		.start = 0x1000, .last = 0x1fff, .ops = &id_ops, .opaque = &id[0]};
	struct other other = {.bus = new_vcpu(vm)};
	pthread_t thread;
	unsigned int i;

	add_desc(vm, &desc);
	desc = (struct via_claim_desc){
		.start = 0x2000, .last = 0x2fff, .ops = &id_ops, .opaque = &id[1]};
	add_desc(other.bus, &desc);
	assert_int_equal(pthread_create(&thread, NULL, other_vcpu, &other), 0);
	for (i = 0; i < 300 || atomic_load(&other.n) < 300; i++) {
		struct via_bus *vcpu = new_vcpu(vm);
		struct via_claim *claim;
		uint64_t v = 0;

		desc = (struct via_claim_desc){
			.start = 0x1000, .last = 0x2fff, .ops = &id_ops, .opaque = &id[2]};
		claim = add_desc(vcpu, &desc);
		assert_int_equal(via_bus_read_value(vcpu, 0x1000, 8, &v), 0);
		assert_int_equal(v, 3);
		if (i & 1)
			via_bus_remove_async(claim, NULL, NULL);
		via_bus_free(vcpu);
	}
	atomic_store(&other.stop, true);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(other.n_bad, 0);
	via_bus_free(other.bus);
	via_bus_free(vm);
}

/* A local APIC: a write to register 0 moves it there, from its own handler. */
struct lapic {
	struct via_bus *bus;
	struct via_claim *claim;
	int ret;
	unsigned int n_reads;
};

static int lapic_read(void *opaque, uint64_t offset, unsigned int size, uint64_t *ret_value)
{
	struct lapic *lapic = opaque;

	lapic->n_reads++;
	*ret_value = 0x14;
	return VIA_BUS_OK;
}

static int lapic_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	struct lapic *lapic = opaque;
	struct via_bus_change move = {.kind = VIA_BUS_MOVE, .claim = lapic->claim, .start = value};

	lapic->ret = via_bus_commit(lapic->bus, &move, 1);
	return VIA_BUS_OK;
}

static const struct via_bus_ops lapic_ops = {lapic_read, lapic_write};

static void case_21_relocates_itself(void **state)
{
	struct via_bus *vm = new_bus(), *vcpu = new_vcpu(vm);
	struct lapic lapic = {.bus = vcpu};
	struct via_claim_desc desc = {
		.start = 0xfee00000, .last = 0xfee00fff, .ops = &lapic_ops, .opaque = &lapic};
	struct dev d = {0};
	uint64_t v = 0;

	fill(&d, 0x5a);
	add(vm, &d, 0xfee00000, 0xfeefffff, 0);
	lapic.claim = add_desc(vcpu, &desc);
	assert_int_equal(via_bus_read_value(vcpu, 0xfee00030, 4, &v), 0);
	assert_int_equal(v, 0x14);
	assert_int_equal(via_bus_write_value(vcpu, 0xfee00000, 4, 0xfee20000), 0);
	assert_int_equal(lapic.ret, 0);
	assert_int_equal(via_bus_read_value(vcpu, 0xfee00030, 4, &v), 0);
	assert_int_equal(v, 0x5a5a5a5a);
	assert_int_equal(via_bus_read_value(vcpu, 0xfee20030, 4, &v), 0);
	assert_int_equal(v, 0x14);
	assert_int_equal(via_bus_read_value(vm, 0xfee20030, 4, &v), 0);
	assert_int_equal(v, 0x5a5a5a5a);
	assert_int_equal(lapic.n_reads, 2);
	via_bus_free(vcpu);
	via_bus_free(vm);
}

static void case_22_disabled(void **state)
{
	struct via_bus *vm = new_bus(), *vcpu = new_vcpu(vm);
	struct dev d[2] = {0};
	struct via_claim *lapic, *hole;
	struct via_claim_desc desc = {
		.start = 0xfee00000, .last = 0xfee00fff, .flags = VIA_BUS_DISABLED, .priority = -1};
	struct via_bus_change change[2] = {{.kind = VIA_BUS_DISABLE}};
	uint64_t v = 0;

	fill(&d[0], 0x5a);
	add(vm, &d[0], 0xfee00000, 0xfeefffff, 0);
	lapic = add(vcpu, &d[1], 0xfee00000, 0xfee00fff, 0);
	/* What has no callbacks is a hole that nobody looks through. */
	hole = add_desc(vcpu, &desc);
	assert_int_equal(owner(vcpu, d, 2, 0xfee00020), 1);
	change[0].claim = lapic;
	assert_int_equal(via_bus_commit(vcpu, change, 1), 0);
	assert_int_equal(owner(vcpu, d, 2, 0xfee00020), 0);

	/* The quirk: ones are read and writes are dropped. */
	change[0] = (struct via_bus_change){.kind = VIA_BUS_ENABLE, .claim = hole};
	assert_int_equal(via_bus_commit(vcpu, change, 1), 0);
	dev_reset(&d[0]);
	assert_int_equal(via_bus_read_value(vcpu, 0xfee00020, 4, &v), 0);
	assert_int_equal(v, 0xffffffff);
	assert_int_equal(via_bus_write_value(vcpu, 0xfee00020, 4, 1), 0);
	assert_int_equal(d[0].n_calls, 0);

	change[0] = (struct via_bus_change){.kind = VIA_BUS_ENABLE, .claim = lapic};
	change[1] = (struct via_bus_change){.kind = VIA_BUS_DISABLE, .claim = hole};
	assert_int_equal(via_bus_commit(vcpu, change, 2), 0);
	assert_int_equal(owner(vcpu, d, 2, 0xfee00020), 1);
	/* Once more is no change. */
	assert_int_equal(via_bus_commit(vcpu, change, 2), 0);
	assert_int_equal(owner(vcpu, d, 2, 0xfee00020), 1);
	change[0].kind = VIA_BUS_DISABLE;
	assert_int_equal(via_bus_commit(vcpu, change, 1), 0);
	/* What is not seen goes as well. */
	assert_int_equal(via_bus_remove(hole), 0);
	assert_int_equal(owner(vcpu, d, 2, 0xfee00020), 0);
	via_bus_free(vcpu);
	via_bus_free(vm);
}

static void refused_levels(void **state)
{
	struct via_bus *vm = new_bus(), *vcpu = new_vcpu(vm), *bus;

	assert_int_equal(via_bus_new_as(&(struct via_bus_desc){.below = vcpu}, &bus), -EINVAL);
	assert_int_equal(via_bus_new_as(&(struct via_bus_desc){.below = vm, .last = 0xffff}, &bus),
			 -EINVAL);
	assert_int_equal(
		via_bus_new_as(&(struct via_bus_desc){.below = vm, .last = UINT64_MAX}, &bus), 0);
	via_bus_free(bus);
	via_bus_free(vcpu);
	via_bus_free(vm);
}

/* --- What a vCPU's claim declines --- */

static struct via_bus_miss missed[8];
static unsigned int n_missed;

static void note_miss(void *opaque, const struct via_bus_miss *miss)
{
	if (n_missed < 8)
		missed[n_missed] = *miss;
	n_missed++;
}

static void declines_to_the_vm(void **state)
{
	struct via_bus *vm = new_bus(), *vcpu;
	struct via_bus_desc as = {.name = "vcpu", .below = vm, .miss = note_miss};
	struct dev d[4] = {0};
	uint64_t v = 0;
	int i;

	n_missed = 0;
	for (i = 0; i < 4; i++)
		fill(&d[i], (uint8_t)(0x11 * (i + 1)));
	assert_int_equal(via_bus_new_as(&as, &vcpu), 0);
	d[3].decline_reads = d[2].decline_reads = true;
	/* Two that decline above; of the VM, a claim, a hole, and one that declines over another.
	 */
	add(vcpu, &d[3], 0x100, 0x1ff, 1);
	add(vcpu, &d[2], 0x104, 0x1ff, 0);
	add(vm, &d[0], 0x100, 0x101, 0);
	add(vm, &d[1], 0x104, 0x107, 0);
	assert_int_equal(via_bus_read_value(vcpu, 0x100, 8, &v), -ENXIO);
	assert_true(v == 0x22222222ffff1111);
	assert_int_equal(n_missed, 1);
	assert_int_equal(missed[0].addr, 0x102);
	assert_int_equal(missed[0].size, 2);
	assert_false(missed[0].write);
	/* Each was asked for all that was its own, once. */
	assert_int_equal(d[3].n_calls, 1);
	assert_int_equal(d[3].call[0].size, 8);
	assert_int_equal(d[2].n_calls, 1);
	assert_int_equal(d[2].call[0].size, 4);
	assert_int_equal(via_bus_read_value(vcpu, 0x104, 4, &v), 0);
	assert_int_equal(v, 0x22222222);
	/* Writes are taken above. */
	assert_int_equal(via_bus_write_value(vcpu, 0x100, 4, 0x01020304), 0);
	assert_int_equal(d[3].n_writes, 1);
	assert_int_equal(d[0].n_writes, 0);
	/* Everybody declines. */
	d[0].decline_reads = d[1].decline_reads = true;
	n_missed = 0;
	assert_int_equal(via_bus_read_value(vcpu, 0x100, 8, &v), -ENXIO);
	assert_true(v == UINT64_MAX);
	assert_int_equal(n_missed, 3);
	via_bus_free(vcpu);
	via_bus_free(vm);
}

static bool fired(int fd)
{
	uint64_t n;

	return read(fd, &n, sizeof(n)) == sizeof(n);
}

static void ioeventfds_of_both_levels(void **state)
{
	struct via_bus *vm = new_bus(), *vcpu = new_vcpu(vm);
	struct via_bus_ioeventfd of_vm = {.len = 4}, of_vcpu = {.len = 2};
	struct dev d[2] = {0};
	struct via_claim *claim;

	of_vm.fd = eventfd(0, EFD_NONBLOCK);
	of_vcpu.fd = eventfd(0, EFD_NONBLOCK);
	add(vm, &d[0], 0x1000, 0x1fff, 0);
	assert_int_equal(via_bus_ioeventfd_assign(vm, 0x1010, &of_vm), 0);
	/* It shows through where nothing is above. */
	assert_int_equal(via_bus_write_value(vcpu, 0x1010, 4, 1), 0);
	assert_true(fired(of_vm.fd));
	assert_int_equal(via_bus_write_value(vm, 0x1010, 4, 1), 0);
	assert_true(fired(of_vm.fd));
	assert_int_equal(d[0].n_calls, 0);
	/* Not where part of it is the vCPU's. */
	claim = add(vcpu, &d[1], 0x1012, 0x1013, 0);
	assert_int_equal(via_bus_write_value(vcpu, 0x1010, 4, 0x44332211), 0);
	assert_false(fired(of_vm.fd));
	assert_int_equal(d[0].n_writes, 1);
	assert_int_equal(d[1].n_writes, 1);
	assert_int_equal(via_bus_remove(claim), 0);
	/* Nor where the vCPU's claim takes the write, but where it declines it whole. */
	claim = add(vcpu, &d[1], 0x1000, 0x10ff, 0);
	assert_int_equal(via_bus_write_value(vcpu, 0x1010, 4, 1), 0);
	assert_false(fired(of_vm.fd));
	assert_int_equal(d[1].n_writes, 2);
	d[1].decline_writes = true;
	assert_int_equal(via_bus_write_value(vcpu, 0x1010, 4, 1), 0);
	assert_true(fired(of_vm.fd));
	assert_int_equal(d[0].n_writes, 1);
	assert_int_equal(via_bus_write_value(vcpu, 0x1010, 2, 1), 0);
	assert_false(fired(of_vm.fd));
	assert_int_equal(d[0].n_writes, 2);
	/* A vCPU's ioeventfd is above all. */
	assert_int_equal(via_bus_ioeventfd_assign(vcpu, 0x1010, &of_vcpu), 0);
	assert_int_equal(via_bus_write_value(vcpu, 0x1010, 2, 1), 0);
	assert_true(fired(of_vcpu.fd));
	assert_int_equal(d[0].n_writes, 2);
	assert_int_equal(via_bus_write_value(vm, 0x1010, 2, 1), 0);
	assert_false(fired(of_vcpu.fd));
	assert_int_equal(via_bus_write_value(vcpu, 0x1010, 4, 1), 0);
	assert_true(fired(of_vm.fd));
	/* Also where it is all that the vCPU has. */
	assert_int_equal(via_bus_remove(claim), 0);
	assert_int_equal(via_bus_write_value(vcpu, 0x1010, 2, 1), 0);
	assert_true(fired(of_vcpu.fd));
	assert_int_equal(d[0].n_writes, 3);
	d[1].decline_writes = false;
	claim = add(vcpu, &d[1], 0x8000, 0x80ff, 0);
	assert_int_equal(via_bus_write_value(vcpu, 0x1010, 2, 1), 0);
	assert_true(fired(of_vcpu.fd));
	assert_int_equal(d[0].n_writes, 3);
	/* With one above, the VM's claims still show through. */
	assert_int_equal(via_bus_remove(claim), 0);
	dev_reset(&d[0]);
	assert_int_equal(via_bus_write_value(vcpu, 0x1020, 4, 1), 0);
	assert_int_equal(d[0].n_writes, 1);
	close(of_vm.fd);
	close(of_vcpu.fd);
	via_bus_free(vcpu);
	via_bus_free(vm);
}

/* An ioeventfd takes a write before anybody asks whether it may be divided: on each level. */
static void ioeventfd_over_the_edge_of_an_indivisible_claim(void **state)
{
	struct via_bus *vm = new_bus(), *vcpu = new_vcpu(vm);
	struct via_bus_ioeventfd event = {.len = 8};
	struct dev d = {0};
	struct via_claim_desc desc = claim_of(&d, 0x1000, 0x1003, 0);

	desc.flags = VIA_BUS_INDIVISIBLE;
	add_desc(vm, &desc);
	event.fd = eventfd(0, EFD_NONBLOCK);
	assert_int_equal(via_bus_ioeventfd_assign(vm, 0x1000, &event), 0);
	assert_int_equal(via_bus_write_value(vm, 0x1000, 8, 1), 0);
	assert_true(fired(event.fd));
	assert_int_equal(via_bus_write_value(vcpu, 0x1000, 8, 1), 0);
	assert_true(fired(event.fd));
	assert_int_equal(via_bus_ioeventfd_deassign(vm, 0x1000, &event), 0);
	assert_int_equal(via_bus_write_value(vcpu, 0x1000, 8, 1), -ENXIO);
	/* Of either level, an indivisible claim is not crossed. */
	assert_int_equal(via_bus_write_value(vcpu, 0x1000, 4, 1), 0);
	assert_int_equal(d.n_writes, 1);
	close(event.fd);
	via_bus_free(vcpu);
	via_bus_free(vm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(case_17_eclipses_on_one_vcpu),
		cmocka_unit_test(case_18_own_devices),
		cmocka_unit_test(case_19_empty_overlay_adds_no_lookup),
		cmocka_unit_test(case_20_vcpu_goes_while_another_runs),
		cmocka_unit_test(case_21_relocates_itself),
		cmocka_unit_test(case_22_disabled),
		cmocka_unit_test(refused_levels),
		cmocka_unit_test(declines_to_the_vm),
		cmocka_unit_test(ioeventfds_of_both_levels),
		cmocka_unit_test(ioeventfd_over_the_edge_of_an_indivisible_claim),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
