/* SPDX-License-Identifier: MIT */
/* Config space and interrupts on their way to another host. */
#include "pci/msix.h"
#include "pci/test-config.h"

/* Registers of the library's own: what is carried. */
static struct fixture *own(void)
{
	struct via_config_desc desc = whole_r();
	struct fixture *f = test_calloc(1, sizeof(*f));
	struct via_irqs_desc irqs;

	via_config_irqs_desc(&desc, &irqs);
	assert_int_equal(via_irqs_new(&irqs, NULL, NULL, &f->irqs), 0);
	assert_int_equal(via_config_new(&desc, &hooks, f, f->irqs, NULL, &f->config), 0);
	via_config_open(f->config);
	for (int i = 0; i < 16; i++)
		f->fds[i] = eventfd(0, EFD_NONBLOCK);
	f->hooks[0] = '\0';
	return f;
}

static void compare(struct fixture *a, struct fixture *b)
{
	uint8_t x[4096], y[4096];

	assert_int_equal(via_config_read(a->config, 0, x, 4096), 4096);
	assert_int_equal(via_config_read(b->config, 0, y, 4096), 4096);
	assert_memory_equal(x, y, 4096);
}

static uint8_t *saved(struct fixture *f)
{
	uint8_t *state = test_calloc(1, via_config_state_size(f->config));

	via_config_save(f->config, state);
	return state;
}

/* Whatever programs write, a second function that loads it reads the same. */
static void random_writes(void **state)
{
	unsigned int seed = 5;

	for (unsigned int round = 0; round < 30; round++) {
		struct fixture *a = own(), *b = own();
		uint8_t *bytes;

		assert_true(via_config_layout_hash(a->config) == via_config_layout_hash(b->config));
		for (unsigned int i = 0; i < 400; i++) {
			unsigned int pos = (unsigned int)rand_r(&seed) % (i % 2 ? 0x200 : 4096);
			unsigned int width = 1u << (unsigned int)rand_r(&seed) % 3;
			uint8_t value[4];

			via_put_le32(value, (uint32_t)rand_r(&seed) << 8 ^ (uint32_t)rand_r(&seed));
			(void)via_config_write((i % 5 ? a : b)->config, pos & ~(width - 1), value,
					       width);
			a->hooks[0] = b->hooks[0] = '\0';
		}
		bytes = saved(a);
		assert_int_equal(via_config_load(b->config, bytes), 0);
		compare(a, b);
		test_free(bytes);
		stop(a);
		stop(b);
	}
}

/* Whatever is loaded: what programs cannot change stays, nothing is reset. */
static void hostile(void **state)
{
	struct fixture *f = own(), *fresh = own();
	size_t size = via_config_state_size(f->config);
	uint8_t *bytes = test_calloc(1, size);
	unsigned int seed = 9;

	for (unsigned int round = 0; round < 300; round++) {
		for (size_t i = 0; i < size; i++)
			bytes[i] = round % 3 ? (uint8_t)(rand_r(&seed) >> 8) : 0xff;
		if (round % 4)
			via_put_le64(bytes, (uint64_t)rand_r(&seed) % 4);
		f->hooks[0] = '\0';
		(void)via_config_load(f->config, bytes);
		assert_null(strstr(f->hooks, "reset"));
		assert_int_equal(get(f, 4, 0), get(fresh, 4, 0));
		assert_int_equal(get(f, 1, 0x34), get(fresh, 1, 0x34));
		assert_int_equal(get(f, 2, PM), get(fresh, 2, PM));
		assert_int_equal(get(f, 2, EXP + 2), get(fresh, 2, EXP + 2));
		/* No request is left behind, and an enable only where there is something to enable.
		 */
		assert_int_equal(get(f, 2, EXP + PCI_EXP_DEVCTL) & PCI_EXP_DEVCTL_FLR, 0);
		assert_int_equal(get(f, 1, AF + PCI_AF_CONTROL) & PCI_AF_CONTROL_FLR, 0);
		assert_int_equal(get(f, 2, MSI + PCI_MSI_CONTROL) & PCI_MSI_CONTROL_ENABLE, 0);
		assert_int_equal(get(f, 4, 0x10) & 0xf, 0xc);
	}
	test_free(bytes);
	stop(f);
	stop(fresh);
}

static void tells_the_owner(void **state)
{
	struct fixture *a = own(), *b = own();
	uint8_t *bytes;

	put(a, 2, PCI_COMMAND, 6);
	bytes = saved(a);
	assert_int_equal(via_config_load(b->config, bytes), 0);
	assert_string_equal(b->hooks, "memory 0; command 103>6; memory 1; ");
	test_free(bytes);
	put(a, 2, PM + PCI_PM_CSR, 3);
	bytes = saved(a);
	b->hooks[0] = '\0';
	assert_int_equal(via_config_load(b->config, bytes), 0);
	assert_string_equal(b->hooks, "memory 0; power 0>3; ");
	/* It says one thing and its registers another. */
	via_put_le64(bytes, 2);
	assert_int_equal(via_config_load(b->config, bytes), -EINVAL);
	test_free(bytes);
	stop(a);
	stop(b);
}

/* Power states that are not there are not loaded; sizes that are the program's are. */
static void states_and_sizes(void **state)
{
	struct fixture *a = own(), *b = own();
	size_t size = via_config_state_size(a->config), at = 0;
	uint8_t *awake, *asleep;

	put(a, 2, EXP + PCI_EXP_DEVCTL, 0x70e0);
	awake = saved(a);
	assert_int_equal(via_config_load(b->config, awake), 0);
	assert_int_equal(get(b, 2, EXP + PCI_EXP_DEVCTL), get(a, 2, EXP + PCI_EXP_DEVCTL));
	put(a, 2, PM + PCI_PM_CSR, 3);
	asleep = saved(a);
	/* The register is the byte where both differ by the state alone, the last of them. */
	for (size_t i = 8; i < size; i++)
		at = awake[i] == 0x08 && asleep[i] == 0x0b ? i : at;
	assert_true(at);
	for (unsigned int d = 0; d < 4; d++) {
		awake[at] = (uint8_t)(0x08 | d);
		via_put_le64(awake, d);
		b->hooks[0] = '\0';
		assert_int_equal(via_config_load(b->config, awake), d == 1 || d == 2 ? -EINVAL : 0);
		assert_int_equal(get(b, 1, PM + PCI_PM_CSR), d == 3 ? 0x0b : 0x08);
		/* Nor if it claims to be awake. */
		via_put_le64(awake, 0);
		assert_int_equal(via_config_load(b->config, awake), d ? -EINVAL : 0);
		/* As it says itself, not only by its registers. */
		via_put_le64(awake, d ^ 3);
		assert_int_equal(via_config_load(b->config, awake), -EINVAL);
	}
	/* The function mask that no program can set, from elsewhere: it masks, and goes again. */
	via_put_le64(awake, 0);
	awake[at] = 0x08;
	for (int masked = 1; masked >= 0; masked--) {
		awake[at + MSIX + PCI_MSIX_CONTROL + 1 - (PM + PCI_PM_CSR)] = (uint8_t)(masked << 6);
		assert_int_equal(via_config_load(b->config, awake), 0);
		put(b, 2, PCI_COMMAND, 6);
		if (masked)
			assert_int_equal(arm(b, VIA_IRQ_MSIX, 1), 0);
		via_irqs_trigger(b->irqs, 0);
		assert_int_equal(count(b, 0) != 0, !masked);
	}
	test_free(awake);
	test_free(asleep);
	stop(a);
	stop(b);
}

/* A function whose registers are somebody else's. */
static void not_ours(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(via_config_state_size(f->config), 0);
}

/* --- interrupts ------------------------------------------------------------ */

static void held(void **state)
{
	struct fixture *f = own(), *other = own();
	size_t size = via_irqs_state_size(f->irqs);
	uint8_t *bytes = test_calloc(1, size);

	put(f, 2, PCI_COMMAND, 6);
	put(other, 2, PCI_COMMAND, 6);
	assert_int_equal(arm(f, VIA_IRQ_MSIX, 16), 0);
	via_irqs_hold(f->irqs, true);
	via_irqs_trigger(f->irqs, 3);
	via_irqs_trigger(f->irqs, 3);
	via_irqs_trigger(f->irqs, 16);
	via_irqs_trigger(f->irqs, UINT32_MAX);
	assert_int_equal(count(f, 3), 0);
	via_irqs_save(f->irqs, bytes);
	via_irqs_hold(f->irqs, false);
	assert_int_equal(count(f, 3), 1);
	via_irqs_hold(f->irqs, true);
	via_irqs_hold(f->irqs, false);
	assert_int_equal(count(f, 3), 0);
	/* There: sent when it is connected and let go; pending until it is connected. */
	via_irqs_hold(other->irqs, true);
	assert_int_equal(via_irqs_load(other->irqs, bytes), 0);
	assert_int_equal(arm(other, VIA_IRQ_MSIX, 3), 0);
	via_irqs_hold(other->irqs, false);
	assert_int_equal(arm(other, VIA_IRQ_MSIX, 16), 0);
	assert_int_equal(count(other, 3), 1);
	/* The table, not connected: its entries' masks are one bit each. */
	assert_int_equal(disarm(other, VIA_IRQ_MSIX), 0);
	via_put_le32(bytes + 16 + 12, 0);
	via_put_le32(bytes + 16 + 28, 1);
	via_put_le32(bytes + 16 + 44, 0xfffffffe);
	assert_int_equal(via_irqs_load(other->irqs, bytes), 0);
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(via_msix_table_read(other->irqs, 16 * i + 12, 4), i == 1);
	via_msix_table_write(other->irqs, 12, 4, 1);
	via_irqs_save(other->irqs, bytes);
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(via_get_le32(bytes + 16 + 16 * i + 12), i < 2);
	/* A reset forgets. */
	via_irqs_hold(f->irqs, true);
	via_irqs_trigger(f->irqs, 3);
	via_irqs_reset(f->irqs);
	via_irqs_hold(f->irqs, false);
	assert_int_equal(count(f, 3), 0);
	/* The line. */
	assert_int_equal(disarm(f, VIA_IRQ_MSIX), 0);
	assert_int_equal(arm(f, VIA_IRQ_INTX, 1), 0);
	via_irqs_hold(f->irqs, true);
	via_irqs_set_level(f->irqs, true);
	assert_int_equal(count(f, 0), 0);
	assert_true(via_irqs_level(f->irqs));
	via_irqs_hold(f->irqs, false);
	assert_int_equal(count(f, 0), 1);
	/* Vectors and flags that there are not. */
	via_put_le64(bytes, 2);
	assert_int_equal(via_irqs_load(other->irqs, bytes), -EINVAL);
	via_put_le64(bytes, 1);
	assert_int_equal(via_irqs_load(other->irqs, bytes), 0);
	via_put_le64(bytes + 8, 1u << 16);
	assert_int_equal(via_irqs_load(other->irqs, bytes), -EINVAL);
	test_free(bytes);
	stop(f);
	stop(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_writes),
		cmocka_unit_test(hostile),
		cmocka_unit_test(tells_the_owner),
		cmocka_unit_test(states_and_sizes),
		WITH_WHOLE_R(not_ours),
		cmocka_unit_test(held),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
