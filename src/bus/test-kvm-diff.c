/* SPDX-License-Identifier: MIT */
/* Sets of what KVM shall do: differences, and zones with holes. */
#include "bus/kvm-diff.h"

#include "bus/test-support.h"

#define N 400u

static uint32_t seed = 1;

static uint32_t rnd(uint32_t n)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % n;
}

static struct via_kvm_want event(uint64_t addr, uint64_t len, int fd)
{
	return (struct via_kvm_want){.item = {.addr = addr, .len = len, .fd = fd}};
}

static size_t n_changes(const struct via_kvm_want *set, size_t n)
{
	size_t changes = 0;

	for (size_t i = 0; i < n; i++)
		changes += set[i].changes;
	return changes;
}

/* Each field makes another item, the state does not. */
static void fields(void **state)
{
	struct via_kvm_want a = event(0x1000, 4, 5), b = a;

	b.item.error = -ENOSPC;
	b.changes = true;
	assert_int_equal(via_kvm_want_compare(&a, &b), 0);
	for (int field = 0; field < 7; field++) {
		b = a;
		b.item.pio = field == 0;
		b.item.addr += field == 1;
		b.item.kind = field == 2 ? VIA_KVM_ZONE : VIA_KVM_IOEVENTFD;
		b.item.len += field == 3;
		b.item.match = field == 4;
		b.item.data += field == 5;
		b.item.fd += field == 6;
		assert_int_equal(via_kvm_want_compare(&a, &b), -1);
		assert_int_equal(via_kvm_want_compare(&b, &a), 1);
	}
}

static void differences(void **state)
{
	struct via_kvm_want old[] = {event(1, 4, 1), event(2, 4, 1), event(3, 4, 1), event(4, 4, 1),
				     event(5, 4, 1)};
	struct via_kvm_want next[] = {event(0, 4, 1), event(2, 4, 1), event(3, 4, 1),
				      event(4, 4, 2), event(5, 4, 1), event(6, 4, 1)};

	old[0].item.error = -ENOSPC; /* was refused: there is nothing to take out */
	old[2].item.error = -ENOSPC; /* refused, and still wanted: to be tried again */
	next[4].item.error = -EBUSY; /* KVM has it and must not any more */
	next[5].item.error = -EBUSY; /* and this one never */
	via_kvm_diff(old, 5, next, 6);
	assert_false(old[0].changes);
	assert_false(old[1].changes);
	assert_false(old[2].changes);
	assert_true(old[3].changes);
	assert_true(old[4].changes);
	assert_true(next[0].changes);
	assert_false(next[1].changes);
	assert_true(next[2].changes);
	assert_true(next[3].changes);
	assert_false(next[4].changes);
	assert_false(next[5].changes);

	via_kvm_diff(old, 0, next, 0);
	via_kvm_diff(NULL, 0, next, 4);
	assert_int_equal(n_changes(next, 4), 4);
	via_kvm_diff(old, 5, NULL, 0);
	assert_int_equal(n_changes(old, 5), 3);
}

/* What a set of bits says when the marks are carried out must be the next set. */
static void random_differences(void **state)
{
	for (int round = 0; round < 2000; round++) {
		struct via_kvm_want old[64], next[64];
		size_t n_old = 0, n_next = 0;
		uint64_t kvm = 0, want = 0;

		for (unsigned int i = 0; i < 64; i++) {
			if (rnd(2)) {
				old[n_old] = event(i, 4, 1);
				old[n_old].item.error = rnd(4) ? 0 : -ENOSPC;
				kvm |= (uint64_t)!old[n_old++].item.error << i;
			}
			if (rnd(2)) {
				next[n_next] = event(i, 4, 1);
				next[n_next].item.error = rnd(4) ? 0 : -EBUSY;
				want |= (uint64_t)!next[n_next++].item.error << i;
			}
		}
		via_kvm_diff(old, n_old, next, n_next);
		for (size_t i = 0; i < n_old; i++) {
			uint64_t bit = UINT64_C(1) << old[i].item.addr;

			assert_true(!old[i].changes || kvm & bit);
			kvm &= old[i].changes ? ~bit : UINT64_MAX;
		}
		for (size_t i = 0; i < n_next; i++) {
			uint64_t bit = UINT64_C(1) << next[i].item.addr;

			assert_true(!next[i].changes || !(kvm & bit));
			kvm |= next[i].changes ? bit : 0;
		}
		assert_int_equal(kvm, want);
	}
}

static void spans_at_the_ends(void **state)
{
	struct via_bus_span spans[] = {
		{UINT64_MAX, UINT64_MAX},     {5, 9}, {0, 0}, {10, 11}, {1, 2},
		{UINT64_MAX - 1, UINT64_MAX}, {6, 7}};
	struct via_bus_span out[8];
	size_t n = via_bus_spans_join(spans, 7);

	assert_int_equal(n, 3);
	assert_true(spans[0].first == 0 && spans[0].last == 2);
	assert_true(spans[1].first == 5 && spans[1].last == 11);
	assert_true(spans[2].first == UINT64_MAX - 1 && spans[2].last == UINT64_MAX);
	assert_int_equal(via_bus_spans_join(NULL, 0), 0);
	assert_int_equal(via_kvm_zone_cut((struct via_bus_span){0, UINT64_MAX}, spans, n, out), 2);
	assert_true(out[0].first == 3 && out[0].last == 4);
	assert_true(out[1].first == 12 && out[1].last == UINT64_MAX - 2);
	assert_int_equal(via_kvm_zone_cut((struct via_bus_span){6, 8}, spans, n, out), 0);
	assert_int_equal(via_kvm_zone_cut((struct via_bus_span){3, 4}, spans, n, out), 1);
	assert_int_equal(via_kvm_zone_cut((struct via_bus_span){0, UINT64_MAX}, NULL, 0, out), 1);
	assert_true(out[0].first == 0 && out[0].last == UINT64_MAX);
	assert_false(via_kvm_spans_touch(NULL, 0, (struct via_bus_span){0, UINT64_MAX}));
	assert_false(via_kvm_spans_touch(spans, n, (struct via_bus_span){3, 4}));
	assert_true(via_kvm_spans_touch(spans, n, (struct via_bus_span){3, 5}));
	assert_true(via_kvm_spans_touch(spans, n, (struct via_bus_span){2, 4}));
	assert_true(via_kvm_spans_touch(spans, n, (struct via_bus_span){UINT64_MAX, UINT64_MAX}));
}

/* Zones and holes against a picture of each byte. */
static void random_zones(void **state)
{
	for (int round = 0; round < 2000; round++) {
		struct via_bus_span holes[12], out[13];
		bool hole[N] = {false}, left[N] = {false};
		struct via_bus_span zone = {rnd(N / 2), N / 2 + rnd(N / 2)};
		size_t n = rnd(12), n_out;

		for (size_t i = 0; i < n; i++) {
			holes[i].first = rnd(N - 20);
			holes[i].last = holes[i].first + rnd(20);
			for (uint64_t k = holes[i].first; k <= holes[i].last; k++)
				hole[k] = true;
		}
		n = via_bus_spans_join(holes, n);
		for (size_t i = 1; i < n; i++)
			assert_true(holes[i].first > holes[i - 1].last + 1);
		n_out = via_kvm_zone_cut(zone, holes, n, out);
		assert_true(n_out <= n + 1);
		for (size_t i = 0; i < n_out; i++) {
			assert_true(out[i].first <= out[i].last);
			assert_true(i == 0 || out[i].first > out[i - 1].last);
			for (uint64_t k = out[i].first; k <= out[i].last; k++)
				left[k] = true;
		}
		for (uint64_t k = 0; k < N; k++) {
			assert_int_equal(left[k], k >= zone.first && k <= zone.last && !hole[k]);
			assert_int_equal(via_kvm_spans_touch(holes, n, (struct via_bus_span){k, k}),
					 hole[k]);
		}
	}
}

static void places(void **state)
{
	struct via_kvm_want e = event(0x1000, 4, 1);

	assert_int_equal(via_kvm_item_span(&e.item).first, 0x1000);
	assert_int_equal(via_kvm_item_span(&e.item).last, 0x1003);
	e.item.len = 0;
	assert_int_equal(via_kvm_item_span(&e.item).last, 0x1007);
	e.item.addr = UINT64_MAX - 2;
	assert_int_equal(via_kvm_item_span(&e.item).last, UINT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields),
		cmocka_unit_test(differences),
		cmocka_unit_test(random_differences),
		cmocka_unit_test(spans_at_the_ends),
		cmocka_unit_test(random_zones),
		cmocka_unit_test(places),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
