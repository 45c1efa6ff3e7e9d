/* SPDX-License-Identifier: MIT */
/*
 * The table by which KVM turns a GSI into an interrupt. KVM takes it whole and
 * gives nothing back, so it is kept here: a change is made on a draft, which
 * takes the table's place when KVM has taken it.
 */
#include "bus/kvm.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "base/util.h"

#define PC_PINS_PIC 16u	   /* GSIs that are pins of the two PICs too */
#define PC_PINS_IOAPIC 24u /* and of the I/O APIC */
#define GSIS_MAX 65536u	   /* KVM has 4096 */

typedef struct kvm_irq_routing_entry entry_t;

struct draft {
	struct kvm_irq_routing *table;
	uint32_t capacity; /* entries that there is room for, and that KVM takes */
	uint32_t max;	   /* GSIs */
	uint64_t *used;	   /* a bit for each: it has a route */
	uint32_t hint;	   /* no lower one is free for a message */
	bool changed;
};

void via_kvm_routes_init(struct via_kvm *kvm)
{
	int max = ioctl(kvm->fd, KVM_CHECK_EXTENSION, KVM_CAP_IRQ_ROUTING);

	kvm->routes.max = max > 0 ? (uint32_t)via_min_u64((uint64_t)max, GSIS_MAX) : 0;
}

void via_kvm_routes_deinit(struct via_kvm *kvm)
{
	free(kvm->routes.table);
}

static entry_t entry_msi(uint32_t gsi, const struct via_kvm_msi *msi)
{
	return (entry_t){
		.gsi = gsi,
		.type = KVM_IRQ_ROUTING_MSI,
		.flags = msi->has_devid ? KVM_MSI_VALID_DEVID : 0,
		.u.msi = {.address_lo = (uint32_t)msi->address,
			  .address_hi = (uint32_t)(msi->address >> 32),
			  .data = msi->data,
			  .devid = msi->has_devid ? msi->devid : 0},
	};
}

static entry_t entry_pin(uint32_t gsi, uint32_t irqchip, uint32_t pin)
{
	return (entry_t){
		.gsi = gsi,
		.type = KVM_IRQ_ROUTING_IRQCHIP,
		.u.irqchip = {.irqchip = irqchip, .pin = pin},
	};
}

static bool same_msi(const entry_t *a, const entry_t *b)
{
	return a->flags == b->flags && a->u.msi.address_lo == b->u.msi.address_lo &&
	       a->u.msi.address_hi == b->u.msi.address_hi && a->u.msi.data == b->u.msi.data &&
	       a->u.msi.devid == b->u.msi.devid;
}

static bool has_route(const struct draft *draft, uint32_t gsi)
{
	return gsi < draft->max && draft->used[gsi / 64] >> gsi % 64 & 1;
}

static int append(struct draft *draft, entry_t entry)
{
	if (draft->table->nr == draft->capacity)
		return -ENOSPC;
	draft->table->entries[draft->table->nr++] = entry;
	draft->used[entry.gsi / 64] |= UINT64_C(1) << entry.gsi % 64;
	draft->changed = true;
	return 0;
}

#if defined(__x86_64__) || defined(__i386__)
/* What KVM_CREATE_IRQCHIP leaves, where the controllers are all in the kernel. */
static void fill_pc(int fd, struct draft *draft)
{
	struct kvm_irqchip probe = {.chip_id = KVM_IRQCHIP_PIC_MASTER};

	if (via_kvm_ioctl(fd, KVM_GET_IRQCHIP, &probe))
		return;
	for (uint32_t gsi = 0; gsi < PC_PINS_IOAPIC; gsi++) {
		(void)append(draft, entry_pin(gsi, KVM_IRQCHIP_IOAPIC, gsi));
		if (gsi < PC_PINS_PIC)
			(void)append(draft, entry_pin(gsi,
						      gsi < 8 ? KVM_IRQCHIP_PIC_MASTER
							      : KVM_IRQCHIP_PIC_SLAVE,
						      gsi % 8));
	}
}
#else
static void fill_pc(int fd, struct draft *draft)
{
}
#endif

static void draft_deinit(struct draft *draft)
{
	free(draft->table);
	free(draft->used);
}

/* With room for @more routes. The first one finds out what KVM has made. */
static int draft_init(struct draft *draft, const struct via_kvm *kvm, size_t more)
{
	const struct kvm_irq_routing *old = kvm->routes.table;
	uint64_t now = old ? old->nr : PC_PINS_PIC + PC_PINS_IOAPIC;

	if (!kvm->routes.max)
		return -EOPNOTSUPP;
	*draft = (struct draft){.max = kvm->routes.max, .hint = PC_PINS_IOAPIC};
	draft->capacity =
		more < draft->max ? (uint32_t)via_min_u64(now + more, draft->max) : draft->max;
	draft->table = calloc(1, sizeof(*draft->table) + draft->capacity * sizeof(entry_t));
	draft->used = calloc(draft->max / 64 + 1, sizeof(*draft->used));
	if (!draft->table || !draft->used) {
		draft_deinit(draft);
		return -ENOMEM;
	}
	if (!old)
		fill_pc(kvm->fd, draft);
	for (uint32_t i = 0; old && i < old->nr; i++)
		(void)append(draft, old->entries[i]);
	draft->changed = false;
	return 0;
}

static entry_t *find(struct kvm_irq_routing *table, uint32_t gsi)
{
	for (uint32_t i = 0; i < table->nr; i++)
		if (table->entries[i].gsi == gsi)
			return &table->entries[i];
	return NULL;
}

static bool remove_gsi(struct kvm_irq_routing *table, uint32_t gsi)
{
	uint32_t kept = 0;
	bool any;

	for (uint32_t i = 0; i < table->nr; i++)
		if (table->entries[i].gsi != gsi)
			table->entries[kept++] = table->entries[i];
	any = kept != table->nr;
	table->nr = kept;
	return any;
}

/* The lowest GSI without a route that is no pin of a PC's, whether it has one or not. */
static int add_msi(struct draft *draft, struct via_kvm_route_change *change)
{
	while (has_route(draft, draft->hint))
		draft->hint++;
	if (draft->hint >= draft->max)
		return -ENOSPC;
	change->gsi = draft->hint;
	return append(draft, entry_msi(change->gsi, &change->msi));
}

static int update_msi(struct draft *draft, const struct via_kvm_route_change *change)
{
	entry_t *entry = has_route(draft, change->gsi) ? find(draft->table, change->gsi) : NULL;
	entry_t msi = entry_msi(change->gsi, &change->msi);

	if (!entry || entry->type != KVM_IRQ_ROUTING_MSI)
		return -ENOENT;
	if (!same_msi(entry, &msi)) {
		*entry = msi;
		draft->changed = true;
	}
	return 0;
}

static int add_pin(struct draft *draft, const struct via_kvm_route_change *change)
{
	if (change->gsi >= draft->max)
		return -EINVAL;
	for (uint32_t i = 0; i < draft->table->nr; i++) {
		const entry_t *e = &draft->table->entries[i];

		if (e->gsi == change->gsi &&
		    (e->type == KVM_IRQ_ROUTING_MSI || e->u.irqchip.irqchip == change->irqchip))
			return -EEXIST;
	}
	return append(draft, entry_pin(change->gsi, change->irqchip, change->pin));
}

static int apply(struct draft *draft, struct via_kvm_route_change *change)
{
	uint32_t gsi = change->gsi;

	switch (change->kind) {
	case VIA_KVM_ROUTE_MSI:
		return add_msi(draft, change);
	case VIA_KVM_ROUTE_UPDATE:
		return update_msi(draft, change);
	case VIA_KVM_ROUTE_PIN:
		return add_pin(draft, change);
	case VIA_KVM_ROUTE_REMOVE:
		if (!has_route(draft, gsi) || !remove_gsi(draft->table, gsi))
			return -ENOENT;
		draft->used[gsi / 64] &= ~(UINT64_C(1) << gsi % 64);
		if (gsi >= PC_PINS_IOAPIC)
			draft->hint = (uint32_t)via_min_u64(draft->hint, gsi);
		draft->changed = true;
		return 0;
	}
	return -EINVAL;
}

/*
 * Messages that are as they were. Whoever sends interrupts asks for each of them, and
 * that must neither need memory nor take long.
 */
static bool is_known(const struct via_kvm *kvm, const struct via_kvm_route_change *changes,
		     size_t n)
{
	for (size_t i = 0; i < n; i++) {
		entry_t msi = entry_msi(changes[i].gsi, &changes[i].msi), *entry;

		if (changes[i].kind != VIA_KVM_ROUTE_UPDATE || !kvm->routes.table)
			return false;
		entry = find(kvm->routes.table, changes[i].gsi);
		if (!entry || entry->type != KVM_IRQ_ROUTING_MSI || !same_msi(entry, &msi))
			return false;
	}
	return true;
}

/* With the lock held. */
static int commit_locked(struct via_kvm *kvm, struct via_kvm_route_change *changes, size_t n)
{
	struct draft draft;
	int ret;

	if (is_known(kvm, changes, n))
		return 0;
	ret = draft_init(&draft, kvm, n);
	if (ret)
		return ret;
	for (size_t i = 0; i < n && !ret; i++)
		ret = apply(&draft, &changes[i]);
	if (!ret && draft.changed)
		ret = via_kvm_ioctl(kvm->fd, KVM_SET_GSI_ROUTING, draft.table);
	if (!ret && draft.changed) {
		struct kvm_irq_routing *old = kvm->routes.table;

		kvm->routes.table = draft.table;
		draft.table = old;
	}
	draft_deinit(&draft);
	return ret;
}

int via_kvm_routes_commit(struct via_kvm *kvm, struct via_kvm_route_change *changes, size_t n)
{
	int ret;

	(void)pthread_mutex_lock(&kvm->lock);
	ret = commit_locked(kvm, changes, n);
	(void)pthread_mutex_unlock(&kvm->lock);
	return ret;
}

int via_kvm_msi_alloc(struct via_kvm *kvm, const struct via_kvm_msi *msi, uint32_t *ret_gsi)
{
	struct via_kvm_route_change change = {.kind = VIA_KVM_ROUTE_MSI, .msi = *msi};
	int ret = via_kvm_routes_commit(kvm, &change, 1);

	if (!ret)
		*ret_gsi = change.gsi;
	return ret;
}

int via_kvm_msi_update(struct via_kvm *kvm, uint32_t gsi, const struct via_kvm_msi *msi)
{
	struct via_kvm_route_change change = {
		.kind = VIA_KVM_ROUTE_UPDATE, .gsi = gsi, .msi = *msi};

	return via_kvm_routes_commit(kvm, &change, 1);
}

/* Needs no memory of ours: the table is made smaller in place. */
void via_kvm_msi_free(struct via_kvm *kvm, uint32_t gsi)
{
	struct kvm_irq_routing *table;
	const entry_t *entry;

	(void)pthread_mutex_lock(&kvm->lock);
	table = kvm->routes.table;
	entry = table ? find(table, gsi) : NULL;
	if (entry && entry->type == KVM_IRQ_ROUTING_MSI && remove_gsi(table, gsi))
		(void)via_kvm_ioctl(kvm->fd, KVM_SET_GSI_ROUTING, table);
	(void)pthread_mutex_unlock(&kvm->lock);
}
