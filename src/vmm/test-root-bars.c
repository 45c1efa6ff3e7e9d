/* SPDX-License-Identifier: MIT */
/* BARs on the machine's buses, wherever a guest puts them. */
#include "vmm/test-root.h"

#define A DEVFN(1, 0)
#define B DEVFN(2, 0)
#define BOTH (PCI_COMMAND_MEMORY | PCI_COMMAND_IO)

static void test_sizing(void **state)
{
	static const uint32_t expected[] = {0xffff8004, 0xffffffff, 0xfffffff1,
					    0xffffffc8, 0xffff0008, 0};
	struct machine *m = *state;

	/* Decoding as well as not. */
	for (unsigned int on = 0; on < 2; on++) {
		command(m, A, on ? BOTH : 0);
		for (unsigned int i = 0; i < VIA_PCI_BARS; i++) {
			set_bar(m, A, i, 0xffffffff);
			assert_int_equal(cfg(m, A, PCI_BAR(i), 4), expected[i]);
			set_bar(m, A, i, 0);
		}
		set_cfg(m, A, PCI_ROM_BAR, 4, 0xfffff800);
		assert_int_equal(cfg(m, A, PCI_ROM_BAR, 4), 0xfffff800);
		set_cfg(m, A, PCI_ROM_BAR, 4, 0);
	}
}

static void test_where_the_guest_puts_them(void **state)
{
	struct machine *m = *state;

	set_bar(m, A, 0, 0x40000000);
	set_bar(m, A, 1, 0x12);
	set_bar(m, A, 2, 0x5000);
	set_bar(m, A, 4, 0xd0000000);
	assert_false(there(m->mmio, 0x1240000000));
	assert_false(there(m->mmio, 0xd0000000));
	assert_false(there(m->pio, 0x5000));

	command(m, A, PCI_COMMAND_IO);
	assert_false(there(m->mmio, 0xd0000000));
	assert_int_equal(get(m->pio, 0x5004, 4), 0x01020004);
	assert_int_equal(get(m->pio, 0x5003, 1), 3);
	assert_false(there(m->pio, 0x5010));
	command(m, A, BOTH);
	assert_int_equal(get(m->mmio, 0x1240000008, 4), 0x01000008);
	assert_int_equal(get(m->mmio, 0xd000fffc, 4), 0x0104fffc);
	assert_false(there(m->mmio, 0xd0010000));
	assert_false(there(m->mmio, 0xcffffffc));
	put(m->mmio, 0x1240000010, 8, 0x1122334455667788);
	assert_true(m->toy[0]->last == 0x1122334455667788 && m->toy[0]->last_size == 8);
	/* A doorbell is heard before the store returns. */
	put(m->mmio, 0x1240000000 + BELL, 4, 77);
	assert_int_equal(m->toy[0]->bell, 77);
	assert_int_equal(get(m->mmio, 0x1240000000 + BELL, 4), 77);

	/* Elsewhere. */
	set_bar(m, A, 4, 0xe0000000);
	assert_false(there(m->mmio, 0xd0000000));
	assert_int_equal(get(m->mmio, 0xe0000004, 4), 0x01040004);
	set_bar(m, A, 2, 0x6000);
	assert_false(there(m->pio, 0x5000));
	assert_true(there(m->pio, 0x6000));
	set_bar(m, A, 1, 0x13);
	assert_false(there(m->mmio, 0x1240000008));
	assert_true(there(m->mmio, 0x1340000008));

	command(m, A, 0xffff & ~PCI_COMMAND_IO);
	assert_false(there(m->pio, 0x6000));
	command(m, A, 0xffff & ~PCI_COMMAND_MEMORY);
	assert_false(there(m->mmio, 0xe0000000));
	assert_false(there(m->mmio, 0x1340000008));
}

static void test_narrow_and_unaligned(void **state)
{
	struct machine *m = *state;

	set_bar(m, A, 3, 0xc0000000);
	set_bar(m, A, 4, 0xc0010000);
	command(m, A, PCI_COMMAND_MEMORY);
	/* Registers of 4 bytes and nothing else: what is not theirs has no effect. */
	assert_int_equal(get(m->mmio, 0xc0000004, 4), 0x01030004);
	assert_int_equal(get(m->mmio, 0xc0000004, 2), 0xffff);
	put(m->mmio, 0xc0000004, 2, 0x1234);
	assert_int_equal(m->toy[0]->last_size, 0);
	put(m->mmio, 0xc0000004, 4, 0x1234);
	assert_int_equal(m->toy[0]->last, 0x1234);
	/* Past the end there is nobody, before it somebody. */
	assert_int_equal(get(m->mmio, 0xc001fffc, 8) >> 32, 0xffffffff);
	assert_int_equal(get(m->mmio, 0xc001fffc, 8) & 0xffffffff, 0x0104fffc);
}

static void test_expansion_rom(void **state)
{
	struct machine *m = *state;

	set_cfg(m, A, PCI_ROM_BAR, 4, 0xfe000000);
	command(m, A, PCI_COMMAND_MEMORY);
	assert_false(there(m->mmio, 0xfe000000));
	set_cfg(m, A, PCI_ROM_BAR, 4, 0xfe000001);
	assert_int_equal(get(m->mmio, 0xfe000000, 4), 0x0201aa55);
	assert_int_equal(get(m->mmio, 0xfe000001, 1), 0xaa);
	assert_int_equal(get(m->mmio, 0xfe000008, 1), 0xff);
	put(m->mmio, 0xfe000000, 4, 0);
	assert_int_equal(get(m->mmio, 0xfe000000, 2), 0xaa55);
	command(m, A, 0);
	assert_false(there(m->mmio, 0xfe000000));
}

/* A BAR that is put on another: the one of the lower function wins, until either goes away. */
static void test_one_above_the_other(void **state)
{
	struct machine *m = *state;

	for (unsigned int first = 0; first < 2; first++) {
		set_bar(m, first ? A : B, 4, 0xd0000000);
		command(m, first ? A : B, PCI_COMMAND_MEMORY);
		set_bar(m, first ? B : A, 4, 0xd0000000);
		command(m, first ? B : A, PCI_COMMAND_MEMORY);
		assert_int_equal(get(m->mmio, 0xd0000000, 4), 0x01040000);
		set_bar(m, A, 4, 0xd0008000);
		assert_int_equal(get(m->mmio, 0xd0000000, 4), 0x01040000);
		set_bar(m, A, 4, 0xd0010000);
		assert_int_equal(get(m->mmio, 0xd0000000, 4), 0x02040000);
		command(m, A, 0);
		command(m, B, 0);
	}
	/* Of one function the lower index. */
	set_bar(m, A, 3, 0xd0000000);
	set_bar(m, A, 4, 0xd0000000);
	command(m, A, PCI_COMMAND_MEMORY);
	assert_int_equal(get(m->mmio, 0xd0000000, 4), 0x01030000);
	assert_int_equal(get(m->mmio, 0xd0000040, 4), 0x01040040);
	/* And config space is above all, so that the guest can mend it. */
	set_bar(m, A, 4, ECAM);
	assert_int_equal(cfg(m, A, 0, 4), 0x00011b36);
	set_bar(m, A, 4, 0xd0000000);
	set_bar(m, A, 2, 0xcf8 & ~15u);
	command(m, A, BOTH);
	put(m->pio, 0xcf8, 4, 0x80000000);
	assert_int_equal(get(m->pio, 0xcfc, 4), 0x00081b36);
	assert_int_equal(get(m->pio, 0xcf4, 4), 0x01020004);
}

static int uart_read(void *opaque, uint64_t offset, unsigned int size, uint64_t *ret_value)
{
	*ret_value = 0x60;
	return VIA_BUS_OK;
}

static const struct via_bus_ops uart_ops = {.read = uart_read};

static void test_on_the_machines_own(void **state)
{
	struct machine *m = *state;

	assert_int_equal(via_bus_add(m->pio,
				     &(struct via_claim_desc){
					     .start = 0x3f8, .last = 0x3ff, .ops = &uart_ops},
				     NULL),
			 0);
	assert_int_equal(via_bus_add(m->mmio,
				     &(struct via_claim_desc){.start = 0xfee00000,
							      .last = 0xfee00fff,
							      .ops = &uart_ops},
				     NULL),
			 0);
	set_bar(m, A, 2, 0x3f0);
	set_bar(m, A, 4, 0xfee00000);
	command(m, A, BOTH);
	assert_int_equal(get(m->pio, 0x3fd, 1), 0x60);
	assert_int_equal(get(m->pio, 0x3f4, 4), 0x01020004);
	assert_int_equal(get(m->mmio, 0xfee00000, 4), 0x60);
	assert_int_equal(get(m->mmio, 0xfee01000, 4), 0x01041000);
}

static void test_ends_of_the_world(void **state)
{
	struct machine *m = *state;

	command(m, A, BOTH);
	/* As while it is sized with decoding on. */
	set_bar(m, A, 0, 0xffffffff);
	set_bar(m, A, 1, 0xffffffff);
	assert_int_equal(get(m->mmio, 0xffffffffffff8008, 4), 0x01000008);
	set_bar(m, A, 2, 0xffffffff);
	assert_false(there(m->pio, 0xfffffff0));
	set_bar(m, A, 2, 0xfff0);
	assert_true(there(m->pio, 0xfff0));
	set_bar(m, A, 2, 0x10000);
	assert_false(there(m->pio, 0xfff0));
	assert_false(there(m->pio, 0x10000));
	/* Address 0 is one like any other. */
	set_bar(m, A, 0, 0);
	set_bar(m, A, 1, 0);
	set_bar(m, A, 4, 0xf0000);
	assert_int_equal(get(m->mmio, 8, 4), 0x01000008);
}

static void test_asleep(void **state)
{
	struct machine *m = *state;
	unsigned int pm = capability(m, A, PCI_CAP_ID_PM);

	set_bar(m, A, 2, 0x5000);
	set_bar(m, A, 4, 0xd0000000);
	command(m, A, BOTH);
	set_cfg(m, A, pm + PCI_PM_CSR, 2, PCI_D3HOT);
	assert_false(there(m->mmio, 0xd0000000));
	assert_false(there(m->pio, 0x5000));
	set_cfg(m, A, pm + PCI_PM_CSR, 2, PCI_D0);
	assert_true(there(m->mmio, 0xd0000000));
	assert_true(there(m->pio, 0x5000));
}

static void test_legacy_vga(void **state)
{
	static const struct via_device_desc vga_desc = {
		.name = "vga",
		.ident = {.vendor = 0x1b36, .device = 2, .class_code = 0x030000},
	};
	struct machine *m = machine_new(4);

	machine_add(m, 0, &vga_desc, 1, 0);
	assert_false(there(m->mmio, 0xa0000) || there(m->pio, 0x3c0));
	command(m, A, PCI_COMMAND_MEMORY);
	assert_int_equal(get(m->mmio, 0xb8000, 4), 1u << 24 | 0xb8000);
	assert_false(there(m->pio, 0x3c0));
	command(m, A, PCI_COMMAND_IO);
	assert_false(there(m->mmio, 0xb8000));
	assert_int_equal(get(m->pio, 0x3c4, 2), 0x03c4);
	put(m->pio, 0x3c4, 2, 0x0102);
	assert_true(m->toy[0]->last == 0x0102 && m->toy[0]->last_size == 2);
	assert_false(there(m->pio, 0x3bc) || there(m->pio, 0x3e0));
	assert_true(there(m->pio, 0x3b8) && there(m->pio, 0x3dc));
	machine_free(m);
}

/* --- while others look -------------------------------------------------------- */

struct mover {
	struct machine *m;
	bool stop;	    /* atomic */
	unsigned int moves; /* atomic */
};

static void *move(void *opaque)
{
	struct mover *mover = opaque;

	while (!__atomic_load_n(&mover->stop, __ATOMIC_SEQ_CST)) {
		unsigned int n = __atomic_fetch_add(&mover->moves, 1, __ATOMIC_SEQ_CST);

		set_bar(mover->m, A, 4, n % 2 ? 0xd0000000 : 0xd0008000);
		if (n % 8 == 0)
			command(mover->m, B, n % 16 ? PCI_COMMAND_MEMORY : 0);
	}
	return NULL;
}

/* The BAR moves by half its size: its middle always answers, and never what lies beneath it. */
static void test_moves_are_seen_whole(void **state)
{
	struct mover mover = {.m = *state};
	struct machine *m = *state;
	pthread_t thread;

	set_bar(m, A, 4, 0xd0000000);
	set_bar(m, B, 4, 0xd0000000);
	command(m, A, PCI_COMMAND_MEMORY);
	assert_int_equal(pthread_create(&thread, NULL, move, &mover), 0);
	for (unsigned int i = 0; i < 20000 || __atomic_load_n(&mover.moves, __ATOMIC_SEQ_CST) < 300;
	     i++) {
		uint64_t v = get(m->mmio, 0xd0008000, 4);

		if (v != 0x01048000 && v != 0x01040000)
			fail_msg("%#llx after %u accesses", (unsigned long long)v, i);
	}
	__atomic_store_n(&mover.stop, true, __ATOMIC_SEQ_CST);
	pthread_join(thread, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_MACHINE(test_sizing),
		WITH_MACHINE(test_where_the_guest_puts_them),
		WITH_MACHINE(test_narrow_and_unaligned),
		WITH_MACHINE(test_expansion_rom),
		WITH_MACHINE(test_one_above_the_other),
		WITH_MACHINE(test_on_the_machines_own),
		WITH_MACHINE(test_ends_of_the_world),
		WITH_MACHINE(test_asleep),
		cmocka_unit_test(test_legacy_vga),
		WITH_MACHINE(test_moves_are_seen_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
