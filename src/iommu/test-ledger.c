/* SPDX-License-Identifier: MIT */
/* The ledger of pinned pages: who pays, up to which limit, and what is only counted. */
#include "iommu/ledger.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define PAGE 4096u

static void test_users(void **state)
{
	struct via_user *a = via_user_get(1), *b = via_user_get(2), *again = via_user_get(1);
	struct via_mm one = { .memlock_limit = 16 * PAGE }, two = { .memlock_limit = 8 * PAGE };
	struct via_ledger_owner by_one = { &one, a, VIA_CHARGE_USER, true };
	struct via_ledger_owner by_two = { &two, again, VIA_CHARGE_USER, true };
	struct via_ledger_owner other = { &two, b, VIA_CHARGE_USER, true };

	assert_ptr_equal(a, again);
	assert_ptr_not_equal(a, b);
	/* One sum for the processes of a user, each with its own limit; equality is allowed. */
	assert_int_equal(via_ledger_pin(&by_one, 6, NULL), 0);
	assert_int_equal(via_ledger_pin(&by_two, 3, NULL), -ENOMEM);
	assert_int_equal(via_ledger_pin(&by_two, 2, NULL), 0);
	assert_int_equal(via_ledger_pin(&by_one, 9, NULL), -ENOMEM);
	assert_int_equal(via_ledger_pin(&by_one, 8, NULL), 0);
	assert_int_equal(via_user_pages(a), 16);
	assert_int_equal(via_ledger_pinned(&one), 14);
	assert_int_equal(via_ledger_pinned(&two), 2);
	assert_int_equal(via_ledger_pages(&one), 0); /* not what mlock counts in */
	assert_int_equal(via_ledger_pin(&other, 8, NULL), 0);
	assert_int_equal(via_user_pages(b), 8);
	via_ledger_unpin(&other, 8);
	via_ledger_unpin(&by_one, 14);
	via_ledger_unpin(&by_two, 2);
	assert_int_equal(via_user_pages(a), 0);
	assert_int_equal(via_ledger_pinned(&one) + via_ledger_pinned(&two), 0);
	via_user_put(again);
	assert_ptr_equal(via_user_ref(a), a);
	via_user_put(a);
	via_user_put(a);
	via_user_put(b);
	via_user_put(NULL);
	/* All references are gone: a new account. */
	a = via_user_get(1);
	assert_int_equal(via_user_pages(a), 0);
	via_user_put(a);
}

static void test_case_59_memlocked_counts_in_mm_mode(void **state)
{
	struct via_mm mm = { .memlock_limit = 16 * PAGE, .locked_pages = 8 };
	struct via_ledger_owner owner = { &mm, via_user_get(7), VIA_CHARGE_MM, true };

	assert_int_equal(via_ledger_pin(&owner, 8, NULL), 0);
	assert_int_equal(via_ledger_pin(&owner, 1, NULL), -ENOMEM);
	assert_int_equal(mm.locked_pages, 16);
	assert_int_equal(mm.pinned_pages, 8);
	via_ledger_unpin(&owner, 8);
	owner.mode = VIA_CHARGE_USER;
	assert_int_equal(via_ledger_pin(&owner, 16, NULL), 0);
	via_ledger_unpin(&owner, 16);
	assert_int_equal(mm.locked_pages, 8);
	via_user_put(owner.user);
}

static void test_case_60_no_limit_for_the_capable(void **state)
{
	struct via_mm mm = { .memlock_limit = 0 };
	struct via_ledger_owner owner = { &mm, NULL, VIA_CHARGE_NONE, true };
	bool over = true;

	assert_int_equal(via_ledger_pin(&owner, 16, &over), 0);
	assert_false(over);
	assert_int_equal(mm.pinned_pages, 16);
	assert_int_equal(mm.locked_pages, 0);
	via_ledger_unpin(&owner, 16);
	/* type1 counts in the other one. */
	mm.cap_ipc_lock = true;
	assert_int_equal(via_ledger_charge(&mm, 16, true, NULL), 0);
	assert_int_equal(mm.locked_pages, 16);
	assert_int_equal(mm.pinned_pages, 0);
	via_ledger_uncharge(&mm, 16);
	/* The capability counts when the owner is made, not when it pays. */
	owner.mode = VIA_CHARGE_MM;
	assert_int_equal(via_ledger_pin(&owner, 1, NULL), -ENOMEM);
	/* Nobody pays. */
	owner.mm = NULL;
	assert_int_equal(via_ledger_pin(&owner, UINT64_MAX, NULL), 0);
	via_ledger_unpin(&owner, UINT64_MAX);
}

static unsigned int n_logged;

static void on_log(void *cookie, enum via_log_level level, const char *message)
{
	n_logged += strstr(message, "RLIMIT_MEMLOCK") != NULL;
}

static void test_not_enforced_is_told_once(void **state)
{
	struct via_mm mm = { .memlock_limit = PAGE }, other = { .memlock_limit = PAGE };
	struct via_ledger_owner owner = { &mm, NULL, VIA_CHARGE_MM, false };
	bool over;

	assert_int_equal(via_ledger_pin(&owner, 1, &over), 0);
	assert_false(over);
	assert_int_equal(via_ledger_pin(&owner, 1, &over), 0);
	assert_true(over);
	assert_int_equal(mm.locked_pages, 2);
	via_log_set(on_log, NULL, VIA_LOG_WARNING);
	via_ledger_warn_over(&mm, 2);
	via_ledger_warn_over(&mm, 3);
	assert_int_equal(n_logged, 1);
	via_ledger_warn_over(&other, 2);
	assert_int_equal(n_logged, 2);
	via_log_set(NULL, NULL, VIA_LOG_WARNING);
}

#define ROUNDS 20000

static void *pay(void *cookie)
{
	struct via_ledger_owner *owner = cookie;

	for (unsigned int i = 0; i < ROUNDS; i++) {
		struct via_user *user = via_user_get(owner->user ? 77 : 78);

		if (!via_ledger_pin(owner, 3, NULL))
			via_ledger_unpin(owner, 3);
		via_user_put(user);
	}
	return NULL;
}

static void test_concurrently(void **state)
{
	struct via_mm mm = { .memlock_limit = 4 * PAGE };
	struct via_ledger_owner owner = { &mm, via_user_get(77), VIA_CHARGE_USER, true };
	pthread_t threads[3];

	for (size_t i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, pay, &owner), 0);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(via_user_pages(owner.user), 0);
	assert_int_equal(mm.pinned_pages, 0);
	via_user_put(owner.user);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_users),
		cmocka_unit_test(test_case_59_memlocked_counts_in_mm_mode),
		cmocka_unit_test(test_case_60_no_limit_for_the_capable),
		cmocka_unit_test(test_not_enforced_is_told_once),
		cmocka_unit_test(test_concurrently),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
