/* SPDX-License-Identifier: MIT */
#include <viaduct/pci.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void test_parse(void **state)
{
	static const struct {
		const char *text, *formatted; /* NULL: refused */
	} cases[] = {
		{ "0000:00:03.0", "0000:00:03.0" },
		{ "00:1f.7", "0000:00:1f.7" },
		{ "AbCd:eF:1A.3", "abcd:ef:1a.3" },
		{ "ffff:ff:1f.7", "ffff:ff:1f.7" },
		{ "", NULL },
		{ "0000:00:20.0", NULL },
		{ "0000:00:00.8", NULL },
		{ "0000:00:00.0 ", NULL },
		{ "0000:00:00", NULL },
		{ "00:00:00.0", NULL },
		{ "10000:00:00.0", NULL },
		{ " 00:03.0", NULL },
		{ "+0:03.0", NULL },
		{ "0:3.0", NULL },
		{ "0000:0g:00.0", NULL },
		{ "0000:", NULL },
		{ "0000", NULL },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct via_pci_addr addr = { .segment = 77 };
		char text[VIA_PCI_ADDR_LEN];
		int r = via_pci_addr_parse(cases[i].text, &addr);

		if (cases[i].formatted) {
			assert_int_equal(r, 0);
			via_pci_addr_format(&addr, text);
			assert_string_equal(text, cases[i].formatted);
		} else {
			assert_int_equal(r, -EINVAL);
			assert_int_equal(addr.segment, 77);
		}
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = { cmocka_unit_test(test_parse) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
