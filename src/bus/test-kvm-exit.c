/* SPDX-License-Identifier: MIT */
/* Exits of a vCPU as accesses, with a made-up struct kvm_run: also such as KVM never makes. */
#include "bus/kvm.h"

#include "bus/test-support.h"

#define SHARED 12288u
#define DATA 4096u

struct fixture {
	struct kvm_run *run;
	struct via_bus *mmio, *pio;
	struct dev devs[2]; /* at 0x1000 on the one, at 0x100 on the other */
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->run = calloc(1, SHARED);
	assert_non_null(f->run);
	f->mmio = new_bus();
	f->pio = new_bus();
	(void)add(f->mmio, &f->devs[0], 0x1000, 0x103f, 0);
	(void)add(f->pio, &f->devs[1], 0x100, 0x13f, 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	via_bus_free(f->mmio);
	via_bus_free(f->pio);
	free(f->run);
	free(f);
	return 0;
}

static int dispatch(struct fixture *f)
{
	return via_kvm_dispatch(f->run, SHARED, f->mmio, f->pio);
}

static int mmio(struct fixture *f, uint64_t addr, uint32_t len, bool write)
{
	f->run->exit_reason = KVM_EXIT_MMIO;
	f->run->mmio.phys_addr = addr;
	f->run->mmio.len = len;
	f->run->mmio.is_write = write;
	return dispatch(f);
}

static int pio(struct fixture *f, uint16_t port, uint8_t size, uint32_t count, bool out,
	       uint64_t offset)
{
	f->run->exit_reason = KVM_EXIT_IO;
	f->run->io.port = port;
	f->run->io.size = size;
	f->run->io.count = count;
	f->run->io.direction = out ? KVM_EXIT_IO_OUT : KVM_EXIT_IO_IN;
	f->run->io.data_offset = offset;
	return dispatch(f);
}

/* Every length that KVM may make of an instruction, and what lies behind the bytes stays. */
static void lengths(void **state)
{
	struct fixture *f = *state;

	for (uint32_t len = 1; len <= 8; len++) {
		for (uint8_t i = 0; i < 8; i++)
			f->run->mmio.data[i] = (uint8_t)(0x10 * len + i);
		memset(f->devs[0].mem, 0xee, DEV_BYTES);
		assert_int_equal(mmio(f, 0x1008, len, true), 0);
		assert_memory_equal(f->devs[0].mem + 8, f->run->mmio.data, len);
		assert_int_equal(f->devs[0].mem[8 + len], 0xee);

		memset(f->run->mmio.data, 0x77, 8);
		assert_int_equal(mmio(f, 0x1008, len, false), 0);
		assert_memory_equal(f->run->mmio.data, f->devs[0].mem + 8, len);
		for (uint32_t i = len; i < 8; i++)
			assert_int_equal(f->run->mmio.data[i], 0x77);
	}
}

static void lengths_that_are_none(void **state)
{
	struct fixture *f = *state;
	uint32_t bad[] = {0, 9, 16, UINT32_MAX};

	memset(f->run->mmio.data, 0x77, 8);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(mmio(f, 0x1000, bad[i], false), -EINVAL);
		assert_int_equal(mmio(f, 0x1000, bad[i], true), -EINVAL);
		assert_int_equal(f->run->mmio.data[0], 0x77);
	}
	assert_int_equal(f->devs[0].n_calls, 0);
}

static void nobody(void **state)
{
	struct fixture *f = *state;

	memset(f->run->mmio.data, 0x77, 8);
	assert_int_equal(mmio(f, 0x2000, 4, false), -ENXIO);
	assert_memory_equal(f->run->mmio.data, "\xff\xff\xff\xff\x77", 5);
	assert_int_equal(mmio(f, 0x2000, 3, false), -ENXIO);
	assert_int_equal(mmio(f, 0x2000, 4, true), -ENXIO);
	f->devs[0].mem[63] = 0x12;
	assert_int_equal(mmio(f, 0x103f, 2, false), -ENXIO);
	assert_memory_equal(f->run->mmio.data, "\x12\xff", 2);
	f->run->exit_reason = KVM_EXIT_HLT;
	assert_int_equal(dispatch(f), VIA_KVM_EXIT_OTHER);
}

static void ports(void **state)
{
	struct fixture *f = *state;
	uint8_t *data = (uint8_t *)f->run + DATA;

	for (uint8_t size = 1; size <= 4; size *= 2) {
		memcpy(data, "\x21\x43\x65\x87", 4);
		assert_int_equal(pio(f, 0x110, size, 1, true, DATA), 0);
		assert_memory_equal(f->devs[1].mem + 0x10, data, size);
		memset(data, 0x77, 8);
		assert_int_equal(pio(f, 0x110, size, 1, false, DATA), 0);
		assert_memory_equal(data, f->devs[1].mem + 0x10, size);
		assert_int_equal(data[size], 0x77);
	}
	assert_int_equal(pio(f, 0x999, 4, 1, false, DATA), -ENXIO);
	assert_memory_equal(data, "\xff\xff\xff\xff\x77", 5);
	assert_int_equal(pio(f, 0x999, 4, 1, true, DATA), -ENXIO);
}

static void strings(void **state)
{
	struct fixture *f = *state;
	uint8_t *data = (uint8_t *)f->run + DATA;

	memcpy(data, "\1\2\3\4\5\6", 6);
	assert_int_equal(pio(f, 0x100, 2, 3, true, DATA), 0);
	assert_int_equal(f->devs[1].n_writes, 3);
	assert_memory_equal(f->devs[1].mem, "\5\6", 2);
	memset(data, 0x77, 8);
	assert_int_equal(pio(f, 0x100, 2, 3, false, DATA), 0);
	assert_int_equal(f->devs[1].n_reads, 3);
	assert_memory_equal(data, "\5\6\5\6\5\6\x77", 7);

	memset(data, 0x77, 16);
	assert_int_equal(pio(f, 0x999, 4, 3, false, DATA), -ENXIO);
	assert_memory_equal(data, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x77", 13);
}

/* Data that would lie elsewhere than behind struct kvm_run in what is shared. */
static void data_elsewhere(void **state)
{
	struct fixture *f = *state;
	uint64_t end = SHARED;
	const struct {
		uint8_t size;
		uint32_t count;
		uint64_t offset;
	} bad[] = {
		{1, 1, 0},
		{4, 1, sizeof(struct kvm_run) - 1},
		{4, 1, end - 3},
		{1, 1, end},
		{1, 1, end + 1},
		{1, 1, UINT64_MAX},
		{4, 1, UINT64_MAX - 3},
		{4, UINT32_MAX, DATA},
		{2, (SHARED - DATA) / 2 + 1, DATA},
		{1, 0, DATA},
		{0, 1, DATA},
		{3, 1, DATA},
		{8, 1, DATA},
		{255, 1, DATA},
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(pio(f, 0x100, bad[i].size, bad[i].count, false, bad[i].offset),
				 -EINVAL);
		assert_int_equal(pio(f, 0x100, bad[i].size, bad[i].count, true, bad[i].offset),
				 -EINVAL);
	}
	assert_int_equal(f->devs[1].n_calls, 0);
	assert_int_equal(pio(f, 0x100, 4, 1, false, end - 4), 0);
	assert_int_equal(pio(f, 0x100, 4, (SHARED - DATA) / 4, true, DATA), 0);
	assert_int_equal(pio(f, 0x100, 4, 1, false, sizeof(struct kvm_run)), 0);
}

static void no_ports(void **state)
{
	struct fixture *f = *state;
	uint8_t *data = (uint8_t *)f->run + DATA;

	memset(data, 0x77, 8);
	f->run->exit_reason = KVM_EXIT_IO;
	f->run->io.port = 0x100;
	f->run->io.size = 2;
	f->run->io.count = 2;
	f->run->io.direction = KVM_EXIT_IO_IN;
	f->run->io.data_offset = DATA;
	assert_int_equal(via_kvm_dispatch(f->run, SHARED, f->mmio, NULL), -ENXIO);
	assert_memory_equal(data, "\xff\xff\xff\xff\x77", 5);
	f->run->io.direction = KVM_EXIT_IO_OUT;
	assert_int_equal(via_kvm_dispatch(f->run, SHARED, f->mmio, NULL), -ENXIO);
}

static int failing_read(void *opaque, uint64_t offset, unsigned int size, uint64_t *ret_value)
{
	return -EIO;
}

/* A device that fails: its errno for who asks, ones for the guest. */
static void failures(void **state)
{
	static const struct via_bus_ops ops = {.read = failing_read};
	struct via_claim_desc desc = {.start = 0x3000, .last = 0x3fff, .ops = &ops};
	struct fixture *f = *state;

	(void)add_desc(f->mmio, &desc);
	memset(f->run->mmio.data, 0x77, 8);
	assert_int_equal(mmio(f, 0x3000, 4, false), -EIO);
	assert_memory_equal(f->run->mmio.data, "\xff\xff\xff\xff\x77", 5);
}

static void descriptions(void **state)
{
	struct fixture *f = *state;
	struct via_kvm_vcpu vcpu = {.run = f->run};
	char text[160];

	static const struct {
		uint32_t reason;
		const char *text;
	} rows[] = {
		{KVM_EXIT_HLT, "KVM_EXIT_HLT"},
		{39, "KVM_EXIT_MEMORY_FAULT"},
		{14, "exit 14 of KVM"},
		{4711, "exit 4711 of KVM"},
		{KVM_EXIT_INTERNAL_ERROR,
		 "KVM_EXIT_INTERNAL_ERROR: an instruction that it cannot emulate (1)"},
	};

	f->run->internal.suberror = KVM_INTERNAL_ERROR_EMULATION;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		f->run->exit_reason = rows[i].reason;
		assert_int_equal(via_kvm_vcpu_describe(&vcpu, text, sizeof(text)),
				 strlen(rows[i].text));
		assert_string_equal(text, rows[i].text);
		assert_int_equal(via_kvm_vcpu_describe(&vcpu, NULL, 0), strlen(rows[i].text));
	}
	(void)mmio(f, 0x1004, 4, true);
	(void)via_kvm_vcpu_describe(&vcpu, text, sizeof(text));
	assert_string_equal(text, "KVM_EXIT_MMIO: write of 4 bytes at 0x1004");
	(void)pio(f, 0x3f8, 1, 3, false, DATA);
	(void)via_kvm_vcpu_describe(&vcpu, text, sizeof(text));
	assert_string_equal(text, "KVM_EXIT_IO: 3 times 1 bytes from port 0x3f8");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(lengths, setup, teardown),
		cmocka_unit_test_setup_teardown(lengths_that_are_none, setup, teardown),
		cmocka_unit_test_setup_teardown(nobody, setup, teardown),
		cmocka_unit_test_setup_teardown(ports, setup, teardown),
		cmocka_unit_test_setup_teardown(strings, setup, teardown),
		cmocka_unit_test_setup_teardown(data_elsewhere, setup, teardown),
		cmocka_unit_test_setup_teardown(no_ports, setup, teardown),
		cmocka_unit_test_setup_teardown(failures, setup, teardown),
		cmocka_unit_test_setup_teardown(descriptions, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
