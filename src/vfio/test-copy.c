/* SPDX-License-Identifier: MIT */
/* Copying arguments: the argsz rule, strings, and pages that are not there. */
#include "vfio/test-caller.h"

#include <errno.h>
#include <sys/mman.h>

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define PAGE 4096

static struct test_caller tc;
static char *page; /* followed by a page without access */

struct sized {
	uint32_t argsz, a, b, c;
};

static uint64_t at(const void *p)
{
	return (uint64_t)(uintptr_t)p;
}

static void argsz_rule(void **state)
{
	struct sized in = {8, 1, 2, 3}, out;

	memset(&out, 0xff, sizeof(out));
	assert_int_equal(via_copy_in_argsz(&tc.caller, &out, at(&in), 8, sizeof(out)), 0);
	assert_int_equal(out.a, 1);
	assert_int_equal(out.b, 0);
	assert_int_equal(out.c, 0);
	in.argsz = 14; /* half of the last field */
	assert_int_equal(via_copy_in_argsz(&tc.caller, &out, at(&in), 8, sizeof(out)), 0);
	assert_int_equal(out.b, 2);
	assert_int_equal(out.c, 3);
	in.argsz = UINT32_MAX;
	assert_int_equal(via_copy_in_argsz(&tc.caller, &out, at(&in), 8, sizeof(out)), 0);
	assert_int_equal(out.c, 3);
	in.argsz = 7;
	assert_int_equal(via_copy_in_argsz(&tc.caller, &out, at(&in), 8, sizeof(out)), -EINVAL);
	in.argsz = 0;
	assert_int_equal(via_copy_in_argsz(&tc.caller, &out, at(&in), 8, sizeof(out)), -EINVAL);
}

static void argsz_reads_no_more_than_it_claims(void **state)
{
	struct sized in = {8, 1, 2, 3}, out;
	char *edge = page + PAGE;

	memcpy(edge - 8, &in, 8);
	assert_int_equal(via_copy_in_argsz(&tc.caller, &out, at(edge - 8), 8, sizeof(out)), 0);
	in.argsz = 9;
	memcpy(edge - 8, &in, 8);
	assert_int_equal(via_copy_in_argsz(&tc.caller, &out, at(edge - 8), 8, sizeof(out)),
			 -EFAULT);
	/* A wrong size is not seen when the minimum cannot be read. */
	assert_int_equal(via_copy_in_argsz(&tc.caller, &out, at(edge - 4), 8, sizeof(out)),
			 -EFAULT);
	assert_int_equal(via_copy_in_argsz(&tc.caller, &out, 0, 8, sizeof(out)), -EFAULT);
	assert_int_equal(via_copy_in_argsz(&tc.caller, &out, UINT64_MAX - 3, 8, sizeof(out)),
			 -EFAULT);
}

static void strings(void **state)
{
	char text[16], *edge = page + PAGE;

	assert_int_equal(via_copy_in_string(&tc.caller, text, at("0000:00:03.0"), sizeof(text)), 0);
	assert_string_equal(text, "0000:00:03.0");
	assert_int_equal(via_copy_in_string(&tc.caller, text, at(""), sizeof(text)), 0);
	assert_int_equal(via_copy_in_string(&tc.caller, text, at("123456789012345"), 16), 0);
	assert_int_equal(via_copy_in_string(&tc.caller, text, at("1234567890123456"), 16), -EINVAL);
	/* Ends with the last byte that there is. */
	memcpy(edge - 4, "abc", 4);
	assert_int_equal(via_copy_in_string(&tc.caller, text, at(edge - 4), sizeof(text)), 0);
	assert_string_equal(text, "abc");
	memcpy(edge - 4, "abcd", 4);
	assert_int_equal(via_copy_in_string(&tc.caller, text, at(edge - 4), sizeof(text)), -EFAULT);
	/* Long enough to be refused before the bad page is reached. */
	memset(edge - 16, 'x', 16);
	assert_int_equal(via_copy_in_string(&tc.caller, text, at(edge - 16), 16), -EINVAL);
	assert_int_equal(via_copy_in_string(&tc.caller, text, 0, sizeof(text)), -EFAULT);
}

static void copies_at_an_edge(void **state)
{
	char buf[8] = "1234567", *edge = page + PAGE;

	assert_int_equal(via_copy_out(&tc.caller, at(edge - 8), buf, 8), 0);
	assert_int_equal(via_copy_out(&tc.caller, at(edge - 7), buf, 8), -EFAULT);
	assert_int_equal(via_copy_in(&tc.caller, buf, at(edge - 7), 8), -EFAULT);
	/* Nothing asked, nothing looked at. */
	assert_int_equal(via_copy_in(&tc.caller, buf, 0, 0), 0);
	assert_int_equal(via_copy_out(&tc.caller, UINT64_MAX, buf, 0), 0);
	assert_int_equal(mprotect(page, PAGE, PROT_READ), 0);
	assert_int_equal(via_copy_out(&tc.caller, at(page), buf, 8), -EFAULT);
	assert_int_equal(via_copy_in(&tc.caller, buf, at(page), 8), 0);
	assert_int_equal(mprotect(page, PAGE, PROT_READ | PROT_WRITE), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(argsz_rule),
		cmocka_unit_test(argsz_reads_no_more_than_it_claims),
		cmocka_unit_test(strings),
		cmocka_unit_test(copies_at_an_edge),
	};

	test_caller_init(&tc);
	page = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED || mprotect(page + PAGE, PAGE, PROT_NONE))
		return 99;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
