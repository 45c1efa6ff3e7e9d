/* SPDX-License-Identifier: MIT */
#include "host/pins.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { PAGE = 4096 };
#define HERE 0x7f0000000000ull
#define THERE 0x7e0000000000ull
#define YONDER 0x7d0000000000ull

static uint64_t at(struct via_pins *pins, uint64_t addr, uint64_t len, uint64_t *ret_len)
{
	*ret_len = len;
	return via_pins_where(pins, addr, ret_len);
}

/* What was held before a move follows it, piece by piece; what came later does not. */
static void follows_moves(void **state)
{
	struct via_pins pins;
	uint64_t old, young, len;

	assert_int_equal(via_pins_init(&pins), 0);
	assert_int_equal(via_pins_hold(&pins, HERE, 8 * PAGE, &old), 0);
	assert_int_equal(at(&pins, old + 5, 100, &len), HERE + 5);
	assert_int_equal(via_pins_moved(&pins, HERE + 2 * PAGE, 2 * PAGE, THERE, true), 0);
	assert_int_equal(via_pins_hold(&pins, HERE, 8 * PAGE, &young), 0);

	assert_int_equal(at(&pins, old, 8 * PAGE, &len), HERE);
	assert_int_equal(len, 2 * PAGE);
	assert_int_equal(at(&pins, old + 2 * PAGE + 8, 8 * PAGE, &len), THERE + 8);
	assert_int_equal(len, 2 * PAGE - 8);
	assert_int_equal(at(&pins, old + 4 * PAGE, 4 * PAGE, &len), HERE + 4 * PAGE);
	assert_int_equal(len, 4 * PAGE);
	assert_int_equal(at(&pins, young, 8 * PAGE, &len), HERE);
	assert_int_equal(len, 8 * PAGE);

	/* Again, a part of it. */
	assert_int_equal(via_pins_moved(&pins, THERE + PAGE, PAGE, YONDER, true), 0);
	assert_int_equal(at(&pins, old + 2 * PAGE, 2 * PAGE, &len), THERE);
	assert_int_equal(len, PAGE);
	assert_int_equal(at(&pins, old + 3 * PAGE, PAGE, &len), YONDER);

	via_pins_release(&pins, old, 8 * PAGE);
	via_pins_release(&pins, young, 8 * PAGE);
	assert_int_equal(pins.n_moves, 0);
	via_pins_deinit(&pins);
}

/* A program's own pointer never follows anything. */
static void leaves_plain_addresses(void **state)
{
	struct via_pins pins;
	uint64_t held, len;

	assert_int_equal(via_pins_init(&pins), 0);
	assert_int_equal(via_pins_hold(&pins, HERE, PAGE, &held), 0);
	assert_int_equal(via_pins_moved(&pins, HERE, PAGE, THERE, true), 0);
	assert_int_equal(at(&pins, HERE, PAGE, &len), HERE);
	assert_int_equal(at(&pins, 0xffff800000001000, PAGE, &len), 0xffff800000001000);
	assert_int_equal(via_pins_hold(&pins, (1ull << 48) + HERE, PAGE, &len), 0);
	assert_true(at(&pins, len, PAGE, &len) >> 63);
	via_pins_deinit(&pins);
}

static void names_held_pages(void **state)
{
	struct via_door_range r[4];
	struct via_pins pins;
	uint64_t a, b, c;

	assert_int_equal(via_pins_init(&pins), 0);
	assert_int_equal(via_pins_held(&pins, 0, HERE, r, 4), 0);
	assert_int_equal(via_pins_hold(&pins, HERE + 100, 50, &a), 0);
	assert_int_equal(via_pins_hold(&pins, HERE + PAGE, PAGE, &b), 0);
	assert_int_equal(via_pins_hold(&pins, HERE + 5 * PAGE, 3 * PAGE, &c), 0);
	assert_int_equal(via_pins_held(&pins, HERE, 6 * PAGE, r, 4), 2);
	assert_int_equal(r[0].addr, HERE);
	assert_int_equal(r[0].len, 2 * PAGE);
	assert_int_equal(r[1].addr, HERE + 5 * PAGE);
	assert_int_equal(r[1].len, PAGE);
	assert_int_equal(via_pins_held(&pins, HERE + 2 * PAGE, 3 * PAGE, r, 4), 0);

	/* What was moved away is not there any more, but where it went. */
	assert_int_equal(via_pins_moved(&pins, HERE, 8 * PAGE, THERE, true), 0);
	assert_int_equal(via_pins_held(&pins, HERE, 8 * PAGE, r, 4), 0);
	assert_int_equal(via_pins_held(&pins, THERE, 8 * PAGE, r, 4), 2);
	via_pins_release(&pins, c, 3 * PAGE);
	assert_int_equal(via_pins_held(&pins, THERE, 8 * PAGE, r, 4), 1);
	via_pins_deinit(&pins);
}

static void bounds_what_a_program_says(void **state)
{
	struct via_pins pins;
	uint64_t held;
	int r = 0;

	assert_int_equal(via_pins_init(&pins), 0);
	assert_int_equal(via_pins_moved(&pins, 1, PAGE, THERE, true), -EINVAL);
	assert_int_equal(via_pins_moved(&pins, HERE, UINT64_MAX & ~4095ull, THERE, true), -EINVAL);
	assert_int_equal(via_pins_moved(&pins, HERE, PAGE, 1ull << 50, true), -EINVAL);
	/* Nothing is held: nothing to remember. */
	assert_int_equal(via_pins_moved(&pins, HERE, PAGE, THERE, true), 0);
	assert_int_equal(pins.n_moves, 0);
	assert_int_equal(via_pins_hold(&pins, HERE, PAGE, &held), 0);
	for (int i = 0; i < 10000 && !r; i++)
		r = via_pins_moved(&pins, HERE, PAGE, THERE, true);
	assert_int_equal(r, -ENOSPC);
	assert_false(via_pins_settling(&pins));
	assert_int_equal(via_pins_moved(&pins, 0, 0, 0, false), 0);
	assert_true(via_pins_settling(&pins));
	assert_int_equal(via_pins_moved(&pins, 0, 0, 0, true), 0);
	assert_int_equal(via_pins_moved(&pins, 0, 0, 0, true), 0);
	assert_false(via_pins_settling(&pins));
	via_pins_deinit(&pins);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(follows_moves),
		cmocka_unit_test(leaves_plain_addresses),
		cmocka_unit_test(names_held_pages),
		cmocka_unit_test(bounds_what_a_program_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
