/* SPDX-License-Identifier: MIT */
/* The table of interrupt routes, before a KVM that writes down what it is told. */
#include <sys/ioctl.h>

#include "bus/kvm.h"

#include "bus/test-support.h"

#define VM 1234 /* no descriptor: no call reaches the kernel */

/* What the kernel knows and does. */
static struct {
	unsigned int n_set; /* calls of KVM_SET_GSI_ROUTING */
	int max;	    /* of KVM_CAP_IRQ_ROUTING */
	int refuse;	    /* errno of the next one */
	bool has_pics;
	uint32_t nr;
	struct kvm_irq_routing_entry entries[4096];
} kernel;

int __wrap_ioctl(int fd, unsigned long request, void *arg);

int __wrap_ioctl(int fd, unsigned long request, void *arg)
{
	const struct kvm_irq_routing *table = arg;

	assert_int_equal(fd, VM);
	switch (request) {
	case KVM_CHECK_EXTENSION:
		return (uintptr_t)arg == KVM_CAP_IRQ_ROUTING ? kernel.max : 1;
	case KVM_GET_API_VERSION:
		errno = ENOTTY;
		return -1;
	case KVM_GET_IRQCHIP:
		errno = ENXIO;
		return kernel.has_pics ? 0 : -1;
	case KVM_SET_GSI_ROUTING:
		kernel.n_set++;
		if (kernel.refuse) {
			errno = kernel.refuse;
			kernel.refuse = 0;
			return -1;
		}
		assert_true(table->nr <= 4096);
		assert_int_equal(table->flags, 0);
		kernel.nr = table->nr;
		memcpy(kernel.entries, table->entries, table->nr * sizeof(table->entries[0]));
		return 0;
	default:
		fail_msg("request 0x%lx", request);
		return -1;
	}
}

/* Fails one allocation of the library, or none. */
static int allocations_left = -1;
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);

void *__wrap_calloc(size_t n, size_t size)
{
	if (allocations_left > 0 && --allocations_left == 0)
		return NULL;
	return __real_calloc(n, size);
}

static struct via_kvm *new_kvm(bool has_pics, int max)
{
	struct via_kvm *kvm;

	memset(&kernel, 0, sizeof(kernel));
	kernel.max = max;
	kernel.has_pics = has_pics;
	assert_int_equal(via_kvm_new(VM, NULL, NULL, NULL, &kvm), 0);
	return kvm;
}

static struct via_kvm_msi message(uint32_t data)
{
	return (struct via_kvm_msi){.address = 0xfee00000, .data = data};
}

static uint32_t alloc(struct via_kvm *kvm, uint32_t data)
{
	struct via_kvm_msi msi = message(data);
	uint32_t gsi = 0;

	assert_int_equal(via_kvm_msi_alloc(kvm, &msi, &gsi), 0);
	return gsi;
}

static unsigned int routes_of(uint32_t gsi)
{
	unsigned int n = 0;

	for (uint32_t i = 0; i < kernel.nr; i++)
		n += kernel.entries[i].gsi == gsi;
	return n;
}

#if defined(__x86_64__) || defined(__i386__)
/* The first change must not lose what KVM_CREATE_IRQCHIP has made. */
static void a_pc(void **state)
{
	struct via_kvm *kvm = new_kvm(true, 4096);
	struct via_kvm_route_change pin = {.kind = VIA_KVM_ROUTE_PIN, .gsi = 5, .irqchip = 9};

	assert_int_equal(kernel.n_set, 0);
	assert_int_equal(alloc(kvm, 1), 24);
	assert_int_equal(kernel.nr, 41);
	for (uint32_t gsi = 0; gsi < 24; gsi++)
		assert_int_equal(routes_of(gsi), gsi < 16 ? 2 : 1);
	for (uint32_t i = 0; i < 40; i++) {
		const struct kvm_irq_routing_entry *e = &kernel.entries[i];

		assert_int_equal(e->type, KVM_IRQ_ROUTING_IRQCHIP);
		if (e->u.irqchip.irqchip == KVM_IRQCHIP_IOAPIC)
			assert_int_equal(e->u.irqchip.pin, e->gsi);
		else
			assert_int_equal(8 * e->u.irqchip.irqchip + e->u.irqchip.pin, e->gsi);
	}
	assert_int_equal(via_kvm_routes_commit(kvm, &pin, 1), 0);
	assert_int_equal(routes_of(5), 3);
	assert_int_equal(via_kvm_routes_commit(kvm, &pin, 1), -EEXIST);
	pin.gsi = 24;
	assert_int_equal(via_kvm_routes_commit(kvm, &pin, 1), -EEXIST);
	pin.gsi = 4096;
	assert_int_equal(via_kvm_routes_commit(kvm, &pin, 1), -EINVAL);
	via_kvm_free(kvm);
}
#else
static void a_pc(void **state)
{
	skip();
}
#endif

static void messages(void **state)
{
	struct via_kvm *kvm = new_kvm(false, 4096);
	struct via_kvm_msi msi = {0x123400000fee0, 0x4041, 0x17, true};
	uint32_t a = alloc(kvm, 1), b = alloc(kvm, 2), c;

	assert_int_equal(a, 24);
	assert_int_equal(b, 25);
	assert_int_equal(kernel.nr, 2);
	assert_int_equal(via_kvm_msi_update(kvm, a, &msi), 0);
	assert_int_equal(kernel.n_set, 3);
	assert_int_equal(kernel.entries[0].gsi, 24);
	assert_int_equal(kernel.entries[0].type, KVM_IRQ_ROUTING_MSI);
	assert_int_equal(kernel.entries[0].flags, KVM_MSI_VALID_DEVID);
	assert_int_equal(kernel.entries[0].u.msi.address_lo, 0x0000fee0);
	assert_int_equal(kernel.entries[0].u.msi.address_hi, 0x12340);
	assert_int_equal(kernel.entries[0].u.msi.data, 0x4041);
	assert_int_equal(kernel.entries[0].u.msi.devid, 0x17);
	/* The same again: KVM hears nothing, and no memory is needed. Each field counts. */
	allocations_left = 1;
	assert_int_equal(via_kvm_msi_update(kvm, a, &msi), 0);
	allocations_left = -1;
	assert_int_equal(via_kvm_msi_update(kvm, a, &msi), 0);
	assert_int_equal(kernel.n_set, 3);
	msi.data++;
	assert_int_equal(via_kvm_msi_update(kvm, a, &msi), 0);
	msi.address += 4;
	assert_int_equal(via_kvm_msi_update(kvm, a, &msi), 0);
	msi.address += UINT64_C(1) << 32;
	assert_int_equal(via_kvm_msi_update(kvm, a, &msi), 0);
	msi.devid++;
	assert_int_equal(via_kvm_msi_update(kvm, a, &msi), 0);
	msi.has_devid = false;
	assert_int_equal(via_kvm_msi_update(kvm, a, &msi), 0);
	assert_int_equal(kernel.n_set, 8);
	assert_int_equal(kernel.entries[0].u.msi.devid, 0);

	via_kvm_msi_free(kvm, a);
	assert_int_equal(kernel.nr, 1);
	assert_int_equal(kernel.entries[0].gsi, b);
	via_kvm_msi_free(kvm, a);
	via_kvm_msi_free(kvm, 4711);
	assert_int_equal(kernel.n_set, 9);
	assert_int_equal(via_kvm_msi_update(kvm, a, &msi), -ENOENT);
	c = alloc(kvm, 3);
	assert_int_equal(c, a);
	via_kvm_free(kvm);
}

static void many_at_once(void **state)
{
	struct via_kvm *kvm = new_kvm(false, 64);
	struct via_kvm_route_change changes[41];

	for (uint32_t i = 0; i < 41; i++)
		changes[i] =
			(struct via_kvm_route_change){.kind = VIA_KVM_ROUTE_MSI, .msi = message(i)};
	assert_int_equal(via_kvm_routes_commit(kvm, changes, 41), -ENOSPC);
	assert_int_equal(kernel.n_set, 0);
	assert_int_equal(via_kvm_routes_commit(kvm, changes, 40), 0);
	assert_int_equal(kernel.n_set, 1);
	for (uint32_t i = 0; i < 40; i++) {
		assert_int_equal(changes[i].gsi, 24 + i);
		assert_int_equal(routes_of(24 + i), 1);
	}
	/* A GSI is free within the same change. */
	changes[0] = (struct via_kvm_route_change){.kind = VIA_KVM_ROUTE_REMOVE, .gsi = 30};
	changes[1] = (struct via_kvm_route_change){.kind = VIA_KVM_ROUTE_MSI, .msi = message(99)};
	changes[2] = (struct via_kvm_route_change){.kind = VIA_KVM_ROUTE_UPDATE, .gsi = 31};
	assert_int_equal(via_kvm_routes_commit(kvm, changes, 3), 0);
	assert_int_equal(kernel.n_set, 2);
	assert_int_equal(changes[1].gsi, 30);
	assert_int_equal(kernel.nr, 40);
	changes[0].kind = (enum via_kvm_route_kind)77;
	assert_int_equal(via_kvm_routes_commit(kvm, changes, 1), -EINVAL);
	assert_int_equal(via_kvm_routes_commit(kvm, NULL, 0), 0);
	assert_int_equal(kernel.n_set, 2);
	via_kvm_free(kvm);
}

static void all_or_none(void **state)
{
	struct via_kvm *kvm = new_kvm(false, 4096);
	uint32_t a = alloc(kvm, 1);
	struct via_kvm_route_change changes[3] = {
		{.kind = VIA_KVM_ROUTE_UPDATE, .gsi = a, .msi = message(2)},
		{.kind = VIA_KVM_ROUTE_MSI, .msi = message(3)},
		{.kind = VIA_KVM_ROUTE_REMOVE, .gsi = 4711},
	};
	struct via_kvm_msi same = message(1), msi = message(4);

	assert_int_equal(via_kvm_routes_commit(kvm, changes, 3), -ENOENT);
	kernel.refuse = EINVAL;
	assert_int_equal(via_kvm_routes_commit(kvm, changes, 2), -EINVAL);
	assert_int_equal(kernel.n_set, 2);
	/* As it was: so this changes nothing, and that takes the next number. */
	assert_int_equal(via_kvm_msi_update(kvm, a, &same), 0);
	assert_int_equal(kernel.n_set, 2);
	assert_int_equal(alloc(kvm, 5), a + 1);
	for (int n = 1; n <= 2; n++) {
		allocations_left = n;
		assert_int_equal(via_kvm_msi_update(kvm, a, &msi), -ENOMEM);
		allocations_left = -1;
	}
	assert_int_equal(via_kvm_msi_update(kvm, a, &same), 0);
	assert_int_equal(kernel.n_set, 3);
	/* Giving back cannot fail: what KVM did not take goes with the next change. */
	kernel.refuse = ENOMEM;
	allocations_left = 1;
	via_kvm_msi_free(kvm, a);
	allocations_left = -1;
	assert_int_equal(routes_of(a), 1);
	assert_int_equal(via_kvm_msi_update(kvm, a + 1, &msi), 0);
	assert_int_equal(routes_of(a), 0);
	assert_int_equal(kernel.nr, 1);
	via_kvm_free(kvm);
}

static void cannot(void **state)
{
	struct via_kvm *kvm = new_kvm(false, 0);
	struct via_kvm_msi msi = message(1);
	uint32_t gsi;

	assert_int_equal(via_kvm_msi_alloc(kvm, &msi, &gsi), -EOPNOTSUPP);
	via_kvm_msi_free(kvm, 24);
	assert_int_equal(kernel.n_set, 0);
	via_kvm_free(kvm);
	via_kvm_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_pc),		cmocka_unit_test(messages),
		cmocka_unit_test(many_at_once), cmocka_unit_test(all_or_none),
		cmocka_unit_test(cannot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
