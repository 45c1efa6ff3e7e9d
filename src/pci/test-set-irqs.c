/* SPDX-License-Identifier: MIT */
/* SET_IRQS (pci-config.md 6.8): validation, and every cell against a real kernel's answers. */
#include "pci/set-irqs-matrix.h"
#include "pci/test-irqs.h"

static int set_on_rig(void *cookie, uint32_t flags, uint32_t index, uint32_t start, uint32_t count,
		      const void *data)
{
	return rig_set(cookie, flags, index, start, count, data);
}

static void test_matrix_as_kernel(void **state)
{
	static const char *const kernel[] = {
#include "pci/set-irqs-matrix.inc"
	};
	static const struct via_irqs_desc desc = {
		.intx = true, .express = true, .msi = MATRIX_MSI, .msi_maskable = true,
		.msix = MATRIX_MSIX,
	};
	struct matrix_row rows[MATRIX_ROWS];
	struct matrix m = { .set = set_on_rig, .not_eventfd = open("/dev/null", O_RDWR) };
	const char *const *expected = kernel;
	struct rig rig;
	unsigned int wrong = 0;

	rig_init(&rig, &desc);
	m.cookie = &rig;
	m.eventfd = rig.fds[0];
	matrix_rows(rows);
	for (unsigned int armed = 0; armed < MATRIX_STATES; armed++) {
		for (uint32_t index = 0; index < MATRIX_INDEXES; index++) {
			for (unsigned int row = 0; row < MATRIX_ROWS; row++, expected++) {
				char line[2 * MATRIX_COLUMNS + 1];

				matrix_line(&m, armed, index, &rows[row], line);
				if (!strcmp(line, *expected))
					continue;
				print_error("state %u index %u flags %#x fd %d: %s, kernel %s\n",
					    armed, index, rows[row].flags, rows[row].fd, line,
					    *expected);
				wrong++;
			}
		}
	}
	assert_ptr_equal(expected, kernel + sizeof(kernel) / sizeof(kernel[0]));
	assert_int_equal(wrong, 0);
	rig_deinit(&rig);
	close(m.not_eventfd);
}

static const struct via_irqs_desc desc_r = {
	.intx = true, .express = true, .msi = 8, .msi_maskable = true, .msix = 16,
};

static int setup(void **state)
{
	struct rig *rig = test_malloc(sizeof(*rig));

	rig_init(rig, &desc_r);
	*state = rig;
	return 0;
}

static int teardown(void **state)
{
	rig_deinit(*state);
	test_free(*state);
	return 0;
}

static int check(struct rig *rig, uint32_t argsz, uint32_t flags, uint32_t index, uint32_t start,
		 uint32_t count, size_t *ret_len)
{
	struct via_set_irqs set = {
		.index = index, .start = start, .count = count, .flags = flags,
	};

	return via_irqs_check(rig->irqs, argsz, &set, ret_len);
}

static void test_t72_t74_t78_check(void **state)
{
	struct rig *rig = *state;
	size_t len = 99;

	assert_int_equal(check(rig, 19, TRIGGER | NONE, VIA_IRQ_MSI, 0, 0, &len), -EINVAL);
	assert_int_equal(check(rig, 20, TRIGGER | NONE, 5, 0, 0, &len), -EINVAL);
	assert_int_equal(check(rig, 20, TRIGGER | NONE, VIA_IRQ_MSI, 1, UINT32_MAX - 1, &len),
			 -EINVAL);
	assert_int_equal(check(rig, 20, TRIGGER | NONE, VIA_IRQ_MSI, 1, UINT32_MAX, &len), -EINVAL);
	assert_int_equal(check(rig, 20, TRIGGER | NONE, VIA_IRQ_MSI, UINT32_MAX, 1, &len), -EINVAL);
	assert_int_equal(check(rig, 20, TRIGGER | NONE | 0x40, VIA_IRQ_MSI, 0, 0, &len), -EINVAL);
	assert_int_equal(check(rig, 20, TRIGGER, VIA_IRQ_MSI, 0, 0, &len), -EINVAL); /* T72 */
	assert_int_equal(check(rig, 20, TRIGGER | NONE, VIA_IRQ_MSIX, 16, 0, &len), -EINVAL); /* T74 */
	assert_int_equal(check(rig, 28, TRIGGER | EVENTFD, VIA_IRQ_MSIX, 15, 2, &len), -EINVAL);
	assert_int_equal(check(rig, 20, TRIGGER | EVENTFD, VIA_IRQ_MSIX, 0, 1, &len), -EINVAL); /* T78 */
	assert_int_equal(check(rig, 27, TRIGGER | EVENTFD, VIA_IRQ_MSIX, 0, 2, &len), -EINVAL);
	assert_int_equal(check(rig, 21, TRIGGER | BOOL, VIA_IRQ_MSIX, 0, 2, &len), -EINVAL);
	assert_int_equal(len, 99);
	assert_int_equal(check(rig, 28, TRIGGER | EVENTFD, VIA_IRQ_MSIX, 0, 2, &len), 0);
	assert_int_equal(len, 8);
	assert_int_equal(check(rig, 22, TRIGGER | BOOL, VIA_IRQ_MSIX, 14, 2, &len), 0);
	assert_int_equal(len, 2);
	/* Which action it is does not matter here: that is ENOTTY, later. */
	assert_int_equal(check(rig, 20, NONE, VIA_IRQ_MSIX, 15, 1, &len), 0);
	assert_int_equal(len, 0);
	assert_int_equal(rig_set(rig, NONE, VIA_IRQ_MSIX, 0, 0, NULL), -ENOTTY);
	assert_int_equal(rig_set(rig, NONE | TRIGGER | MASK, VIA_IRQ_INTX, 0, 1, NULL), -ENOTTY);
	assert_int_equal(rig_set(rig, 0x39, VIA_IRQ_MSI, 0, 1, NULL), -ENOTTY);
	assert_int_equal(rig_set(rig, 0x01, VIA_IRQ_MSI, 0, 1, NULL), -ENOTTY);
}

static void test_t73_no_such_action(void **state)
{
	struct rig *rig = *state;

	/* Whatever is armed. */
	for (int armed = 0; armed < 2; armed++) {
		assert_int_equal(rig_set(rig, MASK | NONE, VIA_IRQ_MSI, 0, 1, NULL), -ENOTTY);
		assert_int_equal(rig_set(rig, UNMASK | BOOL, VIA_IRQ_MSIX, 0, 1, "\1"), -ENOTTY);
		assert_int_equal(rig_set(rig, UNMASK | NONE, VIA_IRQ_ERR, 0, 1, NULL), -ENOTTY);
		assert_int_equal(rig_set(rig, MASK | NONE, VIA_IRQ_REQ, 0, 1, NULL), -ENOTTY);
		assert_int_equal(rig_arm(rig, VIA_IRQ_MSI, 0, 1), 0);
	}
}

static void test_t82_single(void **state)
{
	struct rig *rig = *state;

	for (uint32_t index = VIA_IRQ_ERR; index <= VIA_IRQ_REQ; index++) {
		assert_int_equal(rig_set(rig, TRIGGER | NONE, index, 0, 1, NULL), -EINVAL);
		assert_int_equal(rig_set(rig, TRIGGER | NONE, index, 0, 0, NULL), -EINVAL);
		assert_int_equal(rig_set(rig, TRIGGER | EVENTFD, index, 0, 1, &(int){ -2 }), -EINVAL);
		assert_int_equal(rig_set(rig, TRIGGER | EVENTFD, index, 0, 1, &(int){ -1 }), 0);
		assert_int_equal(rig_set(rig, TRIGGER | EVENTFD, index, 0, 0, NULL), -EINVAL);
		assert_int_equal(rig_set(rig, TRIGGER | BOOL, index, 0, 1, "\1"), 0);
		assert_int_equal(rig_set(rig, TRIGGER | EVENTFD, index, 0, 1, rig->fds), 0);
		assert_int_equal(rig_set(rig, TRIGGER | BOOL, index, 0, 1, "\0"), 0);
		assert_int_equal(rig_count(rig, 0), 0);
		assert_int_equal(rig_set(rig, TRIGGER | NONE, index, 0, 1, NULL), 0);
		assert_int_equal(rig_count(rig, 0), 1);
		assert_int_equal(rig_set(rig, TRIGGER | EVENTFD, index, 0, 1, &(int){ 999 }), -EBADF);
		assert_int_equal(rig_disarm(rig, index), 0);
		assert_int_equal(rig_disarm(rig, index), -EINVAL);
	}
}

static void test_t75_t76_exclusive(void **state)
{
	struct rig *rig = *state;

	assert_int_equal(rig_disarm(rig, VIA_IRQ_MSI), -EINVAL); /* T75 */
	assert_int_equal(rig_arm(rig, VIA_IRQ_INTX, 0, 1), 0);
	assert_int_equal(rig_arm(rig, VIA_IRQ_MSI, 0, 1), -EINVAL); /* T76 */
	via_irqs_set_level(rig->irqs, true);
	assert_int_equal(rig_count(rig, 0), 1);
	assert_false(via_irqs_message_mode(rig->irqs));
}

static void test_t77_descriptors(void **state)
{
	struct rig *rig = *state;
	int null = open("/dev/null", O_RDWR);

	assert_int_equal(rig_set(rig, TRIGGER | EVENTFD, VIA_IRQ_MSIX, 0, 1, &null), -EINVAL);
	assert_int_equal(rig_set(rig, TRIGGER | EVENTFD, VIA_IRQ_MSIX, 0, 1, &(int){ 999 }), -EBADF);
	assert_int_equal(rig_disarm(rig, VIA_IRQ_MSIX), -EINVAL); /* it did not stay armed */
	assert_int_equal(rig_set(rig, TRIGGER | EVENTFD, VIA_IRQ_MSIX, 3, 1, &(int){ -1 }), 0);
	assert_int_equal(rig_disarm(rig, VIA_IRQ_MSIX), 0);
	close(null);
}

static void test_t79_growing(void **state)
{
	struct rig *rig = *state;

	assert_int_equal(rig_arm(rig, VIA_IRQ_MSIX, 0, 4), 0);
	assert_int_equal(rig_arm(rig, VIA_IRQ_MSIX, 7, 1), 0);
	via_irqs_trigger(rig->irqs, 7);
	assert_int_equal(rig_count(rig, 7), 1);
	assert_int_equal(rig_disarm(rig, VIA_IRQ_MSIX), 0);
	assert_int_equal(rig_arm(rig, VIA_IRQ_MSI, 0, 4), 0);
	assert_int_equal(rig_arm(rig, VIA_IRQ_MSI, 7, 1), -EINVAL);
	assert_int_equal(rig_set(rig, TRIGGER | EVENTFD, VIA_IRQ_MSI, 7, 1, &(int){ -1 }), 0);
	/* Q15: nothing connected, four vectors there. */
	assert_int_equal(rig_disarm(rig, VIA_IRQ_MSI), 0);
	assert_int_equal(rig_set(rig, TRIGGER | EVENTFD, VIA_IRQ_MSI, 4, 0, NULL), 0);
	assert_int_equal(rig_arm(rig, VIA_IRQ_MSI, 3, 1), 0);
	assert_int_equal(rig_arm(rig, VIA_IRQ_MSI, 4, 1), -EINVAL);
}

static void test_q13_failure_takes_vectors_down(void **state)
{
	struct rig *rig = *state;
	int fds[3] = { rig->fds[1], 999, rig->fds[3] };

	assert_int_equal(rig_arm(rig, VIA_IRQ_MSIX, 0, 4), 0);
	assert_int_equal(rig_set(rig, TRIGGER | EVENTFD, VIA_IRQ_MSIX, 1, 3, fds), -EBADF);
	for (unsigned int i = 0; i < 4; i++)
		via_irqs_trigger(rig->irqs, i);
	assert_int_equal(rig_count(rig, 0), 1);
	assert_int_equal(rig_count(rig, 1), 0);
	assert_int_equal(rig_count(rig, 2), 0);
	assert_int_equal(rig_count(rig, 3), 1); /* not reached */
}

static void test_loopback(void **state)
{
	struct rig *rig = *state;

	assert_int_equal(rig_set(rig, TRIGGER | EVENTFD, VIA_IRQ_MSI, 0, 4,
				 (int[]){ rig->fds[0], -1, rig->fds[2], rig->fds[3] }), 0);
	assert_int_equal(rig_set(rig, TRIGGER | NONE, VIA_IRQ_MSI, 0, 4, NULL), 0);
	assert_int_equal(rig_set(rig, TRIGGER | BOOL, VIA_IRQ_MSI, 1, 3, "\1\0\1"), 0);
	assert_int_equal(rig_count(rig, 0), 1);
	assert_int_equal(rig_count(rig, 2), 1);
	assert_int_equal(rig_count(rig, 3), 2);
}

static void test_t83_power_and_empty_enable(void **state)
{
	struct rig *rig = *state;

	assert_int_equal(rig_set(rig, TRIGGER | EVENTFD, VIA_IRQ_MSI, 0, 0, NULL), -ERANGE);
	assert_int_equal(rig_set(rig, TRIGGER | EVENTFD, VIA_IRQ_MSIX, 0, 0, NULL), -ERANGE);
	via_irqs_set_power(rig->irqs, 3);
	assert_int_equal(rig_arm(rig, VIA_IRQ_MSI, 0, 1), -EINVAL);
	assert_int_equal(rig_set(rig, TRIGGER | EVENTFD, VIA_IRQ_MSI, 0, 1, &(int){ -1 }), -EINVAL);
	assert_int_equal(rig_arm(rig, VIA_IRQ_INTX, 0, 1), 0);
}

static int refuse_watch(void *cookie, int fd)
{
	return -ENOSPC;
}

static void test_resample_needs_a_watcher(void **state)
{
	static const struct via_irqs_ops refusing = { .watch = refuse_watch };
	struct rig rig = { .watched = -1 };
	int fd = eventfd(0, 0);

	for (int i = 0; i < 2; i++) {
		assert_int_equal(via_irqs_new(&desc_r, i ? &refusing : NULL, &rig, &rig.irqs), 0);
		assert_int_equal(rig_set(&rig, TRIGGER | EVENTFD, VIA_IRQ_INTX, 0, 1, &fd), 0);
		for (int again = 0; again < 2; again++)
			assert_int_equal(rig_set(&rig, UNMASK | EVENTFD, VIA_IRQ_INTX, 0, 1, &fd),
					 i ? -ENOSPC : -EINVAL);
		via_irqs_free(rig.irqs);
	}
	close(fd);
}

int main(void)
{
#define WITH_RIG(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_matrix_as_kernel),
		WITH_RIG(test_t72_t74_t78_check),
		WITH_RIG(test_t73_no_such_action),
		WITH_RIG(test_t75_t76_exclusive),
		WITH_RIG(test_t77_descriptors),
		WITH_RIG(test_t79_growing),
		WITH_RIG(test_q13_failure_takes_vectors_down),
		WITH_RIG(test_loopback),
		WITH_RIG(test_t82_single),
		WITH_RIG(test_t83_power_and_empty_enable),
		cmocka_unit_test(test_resample_needs_a_watcher),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
