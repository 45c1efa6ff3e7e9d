/* SPDX-License-Identifier: MIT */
/*
 * KVM is told what it can do by itself: ioeventfds, and writes to coalesced
 * claims, which it queues. After each change of a bus all that it could do is
 * listed anew and compared with what it does. What it must not do any more is
 * taken out first, then the rest is put in: a change of a KVM bus that removes waits for
 * those that added before it, which takes milliseconds if both alternate.
 *
 * The buses do all of it too, always. So what KVM refuses, or has not been told yet,
 * exits and happens here: nothing depends on its taking anything. What it
 * must not do is more than the buses would. A vCPU with claims of its own sees these
 * first, and KVM knows no such thing: what lies beneath one stays out. And KVM finds
 * neither of two nested ranges reliably (a zone with an ioeventfd inside): zones
 * are cut around ioeventfds.
 */
#include "bus/kvm.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "base/util.h"

/* --- What KVM is asked --- */

static int ask_event(int fd, const struct via_kvm_item *item, bool on)
{
	struct kvm_ioeventfd event = {
		.addr = item->addr,
		.len = (uint32_t)item->len,
		.fd = item->fd,
		.datamatch = item->data,
		.flags = (item->match ? KVM_IOEVENTFD_FLAG_DATAMATCH : 0u) |
			 (item->pio ? KVM_IOEVENTFD_FLAG_PIO : 0u) |
			 (on ? 0u : KVM_IOEVENTFD_FLAG_DEASSIGN),
	};

	return via_kvm_ioctl(fd, KVM_IOEVENTFD, &event);
}

static int ask_zone(int fd, const struct via_kvm_item *item, bool on)
{
	struct kvm_coalesced_mmio_zone zone = {
		.addr = item->addr, .size = (uint32_t)item->len, .pio = item->pio};

	return via_kvm_ioctl(fd, on ? KVM_REGISTER_COALESCED_MMIO : KVM_UNREGISTER_COALESCED_MMIO,
			     &zone);
}

static int ask(const struct via_kvm *kvm, const struct via_kvm_item *item, bool on)
{
	int ret = item->kind == VIA_KVM_ZONE ? ask_zone(kvm->fd, item, on)
					     : ask_event(kvm->fd, item, on);

	return ret < 0 ? ret : 0;
}

/* --- What there is on the buses --- */

/* Growing lists; once memory is out they are all worthless. */
struct list {
	const struct via_kvm *kvm;
	bool pio, failed;
	struct via_kvm_want *wants;
	size_t n_wants, max_wants;
	struct zone {
		struct via_bus_span span;
		struct via_coalescer *coalescer;
	} * zones; /* of one bus */
	size_t n_zones, max_zones;
	struct via_bus_span *holes; /* of one bus, where zones are not */
	size_t n_holes, max_holes;
	struct via_coalescer **coalescers;
	size_t n_coalescers, max_coalescers;
};

/* Room for one more, or false. */
static bool grow(struct list *list, void *parray, size_t n, size_t *max, size_t size)
{
	void **array = parray;
	void *more;

	if (list->failed || n < *max)
		return !list->failed;
	more = reallocarray(*array, *max ? 2 * *max : 64, size);
	if (!more) {
		list->failed = true;
		return false;
	}
	*array = more;
	*max = *max ? 2 * *max : 64;
	return true;
}

static void add_hole(struct list *list, uint64_t start, uint64_t last)
{
	if (grow(list, &list->holes, list->n_holes, &list->max_holes, sizeof(*list->holes)))
		list->holes[list->n_holes++] = (struct via_bus_span){start, last};
}

static void add_want(struct list *list, struct via_kvm_item item)
{
	if (grow(list, &list->wants, list->n_wants, &list->max_wants, sizeof(*list->wants)))
		list->wants[list->n_wants++] = (struct via_kvm_want){.item = item};
}

static void add_event(void *opaque, const struct via_bus_event *event)
{
	struct list *list = opaque;

	add_want(list, (struct via_kvm_item){.kind = VIA_KVM_IOEVENTFD,
					     .pio = list->pio,
					     .addr = event->addr,
					     .len = event->len,
					     .match = event->match,
					     .data = event->match ? event->data : 0,
					     .fd = atomic_load(&event->fd)});
}

static void add_zone(void *opaque, const struct via_bus_entry *piece)
{
	const struct via_claim_desc *desc = &piece->claim->desc;
	struct list *list = opaque;

	if (desc->flags & VIA_BUS_COALESCE &&
	    grow(list, &list->zones, list->n_zones, &list->max_zones, sizeof(*list->zones)))
		list->zones[list->n_zones++] =
			(struct zone){{piece->start, piece->last}, desc->coalescer};
}

static void add_vcpu_event(void *opaque, const struct via_bus_event *event)
{
	struct via_kvm_item item = {.addr = event->addr, .len = event->len};
	struct via_bus_span span = via_kvm_item_span(&item);

	add_hole(opaque, span.first, span.last);
}

static void add_vcpu_piece(void *opaque, const struct via_bus_entry *piece)
{
	add_hole(opaque, piece->start, piece->last);
}

/* Where vCPUs have something of their own. */
static void add_vcpus(struct list *list)
{
	const struct via_kvm_vcpu *vcpu;

	for (vcpu = list->kvm->vcpus; vcpu; vcpu = vcpu->next) {
		if (vcpu->mmio == list->kvm->mmio)
			continue;
		if (vcpu->mmio->below != list->kvm->mmio)
			add_hole(list, 0, UINT64_MAX);
		via_bus_each_piece(vcpu->mmio, add_vcpu_piece, list);
		via_bus_each_event(vcpu->mmio, add_vcpu_event, list);
	}
}

/* Why no write to a zone may be queued by KVM, or 0. */
static int zone_error(const struct list *list, const struct zone *zone)
{
	const struct via_kvm *kvm = list->kvm;

	if (!kvm->ring.page ||
	    (list->pio && ioctl(kvm->fd, KVM_CHECK_EXTENSION, KVM_CAP_COALESCED_PIO) <= 0))
		return -EOPNOTSUPP;
	if (!atomic_load(&kvm->ring.shared))
		return -ENODEV;
	return via_coalescer_tells(zone->coalescer) ? -EPROTONOSUPPORT : 0;
}

static void cut_zones(struct list *list)
{
	struct via_bus_span *pieces = calloc(list->n_holes + 1, sizeof(*pieces));

	list->failed |= !pieces;
	for (size_t i = 0; i < list->n_zones && !list->failed; i++) {
		const struct zone *zone = &list->zones[i];
		int error = zone_error(list, zone);
		size_t n = via_kvm_zone_cut(zone->span, list->holes, list->n_holes, pieces);

		for (size_t k = 0; k < n; k++) {
			uint64_t len = pieces[k].last - pieces[k].first;

			add_want(list,
				 (struct via_kvm_item){
					 .kind = VIA_KVM_ZONE,
					 .pio = list->pio,
					 .addr = pieces[k].first,
					 .len = len < UINT64_MAX ? len + 1 : len,
					 .error = !error && len >= UINT32_MAX ? -E2BIG : error});
		}
		if (!error && n &&
		    grow(list, &list->coalescers, list->n_coalescers, &list->max_coalescers,
			 sizeof(struct via_coalescer *)))
			list->coalescers[list->n_coalescers++] = zone->coalescer;
	}
	free(pieces);
}

static void add_bus(struct list *list, struct via_bus *bus, bool pio)
{
	size_t first = list->n_wants, n_events;

	if (!bus)
		return;
	list->pio = pio;
	list->n_zones = list->n_holes = 0;
	via_bus_each_event(bus, add_event, list);
	via_bus_each_piece(bus, add_zone, list);
	if (!pio)
		add_vcpus(list);
	if (list->failed)
		return;
	n_events = list->n_wants;
	list->n_holes = via_bus_spans_join(list->holes, list->n_holes);
	for (size_t i = first; i < n_events; i++) {
		struct via_kvm_item *item = &list->wants[i].item;

		if (via_kvm_spans_touch(list->holes, list->n_holes, via_kvm_item_span(item)))
			item->error = -EBUSY;
	}
	if (!list->n_zones)
		return;
	/* One of any length is found by its first byte, and so must no zone be. */
	for (size_t i = first; i < n_events; i++) {
		const struct via_kvm_item *item = &list->wants[i].item;

		add_hole(list, item->addr, item->addr + (item->len ? item->len - 1 : 0));
	}
	if (list->failed)
		return;
	list->n_holes = via_bus_spans_join(list->holes, list->n_holes);
	cut_zones(list);
}

/* --- The difference --- */

static int pointer_compare(const void *a, const void *b)
{
	uintptr_t x = (uintptr_t) * (struct via_coalescer *const *)a;
	uintptr_t y = (uintptr_t) * (struct via_coalescer *const *)b;

	return (x > y) - (x < y);
}

/* Whose queues KVM fills: these are told to have it emptied first. Both lists are sorted. */
static void set_sources(struct via_kvm *kvm, struct via_coalescer *const *of, size_t n,
			struct via_coalescer *const *except, size_t n_except, bool on)
{
	for (size_t i = 0, k = 0; i < n; i++) {
		while (k < n_except && (uintptr_t)except[k] < (uintptr_t)of[i])
			k++;
		if (k == n_except || except[k] != of[i])
			via_coalescer_set_source(of[i], on ? &kvm->offload.source : NULL);
	}
}

static void remove_wants(struct via_kvm *kvm)
{
	struct via_kvm_offload *o = &kvm->offload;

	for (size_t i = 0; i < o->n_have; i++) {
		struct via_kvm_want *want = &o->have[i];

		if (!want->changes)
			continue;
		/* What it does not know it does not do either. */
		(void)ask(kvm, &want->item, false);
		o->full[want->item.pio] &= want->item.kind != VIA_KVM_ZONE;
	}
}

/*
 * KVM takes 1000 zones, and beside these no more ioeventfds. The last one that
 * it took goes, so that there is room for these.
 */
static void leave_room(struct via_kvm *kvm, struct via_kvm_want *last)
{
	if (!last || ask(kvm, &last->item, false))
		return;
	last->item.error = -ENOSPC;
}

static void add_wants(struct via_kvm *kvm, struct via_kvm_want *wants, size_t n,
		      enum via_kvm_kind kind)
{
	bool full[2] = {false, false};
	struct via_kvm_want *last[2] = {NULL, NULL};

	if (kind == VIA_KVM_ZONE)
		memcpy(full, kvm->offload.full, sizeof(full));
	for (size_t i = 0; i < n; i++) {
		struct via_kvm_item *item = &wants[i].item;

		if (item->kind != kind || item->error)
			continue;
		if (wants[i].changes)
			item->error = full[item->pio] ? -ENOSPC : ask(kvm, item, true);
		if (!item->error)
			last[item->pio] = &wants[i];
		else if (item->error == -ENOSPC && !full[item->pio]) {
			full[item->pio] = true;
			if (kind == VIA_KVM_ZONE)
				leave_room(kvm, last[item->pio]);
		}
	}
	if (kind == VIA_KVM_ZONE)
		memcpy(kvm->offload.full, full, sizeof(full));
}

/* KVM does nothing any more, and why: needs no memory. */
static void withdraw(struct via_kvm *kvm, int error)
{
	struct via_kvm_offload *o = &kvm->offload;

	via_kvm_diff(o->have, o->n_have, NULL, 0);
	remove_wants(kvm);
	for (size_t i = 0; i < o->n_have; i++)
		if (!o->have[i].item.error)
			o->have[i].item.error = error;
	for (size_t i = 0; i < o->n_coalescers; i++)
		via_coalescer_set_source(o->coalescers[i], NULL);
	o->n_coalescers = 0;
}

/* Ioeventfds come in order, and without zones between them stay so. */
static void sort(struct via_kvm_want *wants, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		if (via_kvm_want_compare(&wants[i - 1], &wants[i]) > 0) {
			qsort(wants, n, sizeof(*wants), via_kvm_want_compare);
			return;
		}
	}
}

/* With offload_lock. */
static void sync_locked(struct via_kvm *kvm)
{
	struct via_kvm_offload *o = &kvm->offload;
	struct list list = {.kvm = kvm};

	/* As many as there were is likely. */
	list.max_wants = o->n_have + 64;
	list.wants = reallocarray(NULL, list.max_wants, sizeof(*list.wants));
	list.failed = !list.wants;
	add_bus(&list, kvm->mmio, false);
	add_bus(&list, kvm->pio, true);
	free(list.zones);
	free(list.holes);
	if (list.failed) {
		withdraw(kvm, -ENOMEM);
		free(list.wants);
		free(list.coalescers);
		return;
	}
	sort(list.wants, list.n_wants);
	if (list.n_coalescers)
		qsort(list.coalescers, list.n_coalescers, sizeof(struct via_coalescer *),
		      pointer_compare);
	set_sources(kvm, list.coalescers, list.n_coalescers, o->coalescers, o->n_coalescers, true);
	via_kvm_diff(o->have, o->n_have, list.wants, list.n_wants);
	remove_wants(kvm);
	add_wants(kvm, list.wants, list.n_wants, VIA_KVM_IOEVENTFD);
	add_wants(kvm, list.wants, list.n_wants, VIA_KVM_ZONE);
	set_sources(kvm, o->coalescers, o->n_coalescers, list.coalescers, list.n_coalescers, false);
	free(o->have);
	free(o->coalescers);
	o->have = list.wants;
	o->n_have = list.n_wants;
	o->coalescers = list.coalescers;
	o->n_coalescers = list.n_coalescers;
}

static void sync(struct via_kvm *kvm)
{
	(void)pthread_mutex_lock(&kvm->offload_lock);
	if (kvm->offload.on)
		sync_locked(kvm);
	(void)pthread_mutex_unlock(&kvm->offload_lock);
}

/* --- Changes --- */

static void mmio_changed(struct via_bus_listener *listener)
{
	sync(via_container_of(listener, struct via_kvm, offload.mmio));
}

static void mmio_changing(struct via_bus_listener *listener)
{
	via_kvm_ring_drain(via_container_of(listener, struct via_kvm, offload.mmio));
}

static void pio_changed(struct via_bus_listener *listener)
{
	sync(via_container_of(listener, struct via_kvm, offload.pio));
}

static void pio_changing(struct via_bus_listener *listener)
{
	via_kvm_ring_drain(via_container_of(listener, struct via_kvm, offload.pio));
}

static void vcpu_changed(struct via_bus_listener *listener)
{
	sync(via_container_of(listener, struct via_kvm_vcpu, listener)->kvm);
}

static void source_drain(struct via_coalescer_source *source)
{
	via_kvm_ring_drain(via_container_of(source, struct via_kvm, offload.source));
}

void via_kvm_offload_init(struct via_kvm *kvm)
{
	struct via_kvm_offload *o = &kvm->offload;

	(void)pthread_mutex_init(&kvm->offload_lock, NULL);
	o->mmio = (struct via_bus_listener){.changed = mmio_changed, .changing = mmio_changing};
	o->pio = (struct via_bus_listener){.changed = pio_changed, .changing = pio_changing};
	o->source.drain = source_drain;
}

void via_kvm_offload_deinit(struct via_kvm *kvm)
{
	via_kvm_offload(kvm, false);
	(void)pthread_mutex_destroy(&kvm->offload_lock);
}

void via_kvm_offload_vcpu(struct via_kvm_vcpu *vcpu, bool there)
{
	struct via_kvm_vcpu **link = &vcpu->kvm->vcpus;
	struct via_kvm *kvm = vcpu->kvm;
	bool listens;

	/* A change of its bus is heard of before the vCPU counts, and until it does not. */
	vcpu->listener.changed = vcpu_changed;
	listens = there && vcpu->mmio != kvm->mmio;
	if (listens)
		via_bus_listen(vcpu->mmio, &vcpu->listener);
	(void)pthread_mutex_lock(&kvm->offload_lock);
	if (there) {
		vcpu->next = *link;
		*link = vcpu;
	} else {
		while (*link != vcpu)
			link = &(*link)->next;
		*link = vcpu->next;
	}
	if (kvm->offload.on)
		sync_locked(kvm);
	(void)pthread_mutex_unlock(&kvm->offload_lock);
	if (!there && vcpu->mmio != kvm->mmio) {
		via_bus_unlisten(vcpu->mmio, &vcpu->listener);
		(void)via_epoch_synchronize();
	}
}

static void end(struct via_kvm *kvm)
{
	struct via_kvm_offload *o = &kvm->offload;

	withdraw(kvm, -ECANCELED);
	free(o->have);
	free(o->coalescers);
	o->have = NULL;
	o->coalescers = NULL;
	o->n_have = 0;
	o->full[0] = o->full[1] = false;
}

void via_kvm_offload(struct via_kvm *kvm, bool on)
{
	struct via_kvm_offload *o = &kvm->offload;
	bool was;

	(void)pthread_mutex_lock(&kvm->offload_lock);
	was = o->on;
	o->on = on;
	if (was && !on)
		end(kvm);
	(void)pthread_mutex_unlock(&kvm->offload_lock);
	if (was == on)
		return;
	if (on) {
		via_bus_listen(kvm->mmio, &o->mmio);
		if (kvm->pio)
			via_bus_listen(kvm->pio, &o->pio);
		sync(kvm);
		return;
	}
	via_bus_unlisten(kvm->mmio, &o->mmio);
	if (kvm->pio)
		via_bus_unlisten(kvm->pio, &o->pio);
	/* Who has been told of the ring, by a listener or a queue, has left it. */
	via_kvm_ring_drain(kvm);
	(void)via_epoch_synchronize();
}

size_t via_kvm_list(struct via_kvm *kvm, struct via_kvm_item *items, size_t n)
{
	size_t there;

	(void)pthread_mutex_lock(&kvm->offload_lock);
	there = kvm->offload.n_have;
	for (size_t i = 0; i < there && i < n; i++)
		items[i] = kvm->offload.have[i].item;
	(void)pthread_mutex_unlock(&kvm->offload_lock);
	return there;
}

const char *via_kvm_item_reason(const struct via_kvm_item *item)
{
	switch (-item->error) {
	case 0:
		return "KVM does it";
	case EBUSY:
		return "a vCPU has something of its own there";
	case ENOSPC:
		return "KVM has no room for more";
	case EEXIST:
		return "KVM has one of somebody else's that takes the same writes";
	case EINVAL:
		return "KVM does not take it";
	case E2BIG:
		return "it is too large for KVM";
	case ENODEV:
		return "there is no vCPU yet";
	case EPROTONOSUPPORT:
		return "its queue tells of writes, and that of KVM cannot";
	case EOPNOTSUPP:
		return "this KVM cannot";
	default:
		return strerror(-item->error);
	}
}
