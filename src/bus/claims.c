/* SPDX-License-Identifier: MIT */
/* One claim: what may be asked for, and its place among those of its bus. */
#include "bus/view.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "base/util.h"

#define KNOWN_FLAGS                                                                          \
	(VIA_BUS_BIG_ENDIAN | VIA_BUS_INDIVISIBLE | VIA_BUS_REENTRANT | VIA_BUS_NARROW_RMW | \
	 VIA_BUS_DISABLED | VIA_BUS_COALESCE | VIA_BUS_DISCARD)

void via_claim_put(struct via_claim *claim)
{
	if (atomic_fetch_sub(&claim->refs, 1) != 1)
		return;
	via_claim_counters_free(claim);
	free(claim);
}

static bool width_ok(uint8_t *min, uint8_t *max)
{
	*min = *min ? *min : 1;
	*max = *max ? *max : 8;
	return via_is_pow2(*min) && via_is_pow2(*max) && *min <= *max && *max <= 8;
}

static int check_device(struct via_claim_desc *d, uint64_t space_last)
{
	unsigned int queued = VIA_BUS_COALESCE | VIA_BUS_DISCARD;

	if (d->last < d->start || d->last > space_last ||
	    d->last - d->start > UINT64_MAX - d->offset)
		return -EINVAL;
	if (!width_ok(&d->valid_min, &d->valid_max) || !width_ok(&d->impl_min, &d->impl_max))
		return -EINVAL;
	if (d->flags & ~(unsigned int)KNOWN_FLAGS)
		return -EINVAL;
	if ((d->flags & queued && !d->coalescer) || (d->flags & queued) == VIA_BUS_DISCARD)
		return -EINVAL;
	return 0;
}

/* Where it would be, wherever that is. */
struct via_bus_event *via_claim_event_new(const struct via_claim *claim, uint64_t addr)
{
	const struct via_bus_ioeventfd *desc = claim->desc.ioeventfd;
	struct via_bus_event *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->addr = addr;
	e->len = desc->len;
	e->match = desc->match;
	e->data = desc->data;
	e->nonblock = claim->nonblock;
	atomic_init(&e->fd, desc->fd);
	return e;
}

/* The claim and, behind it, what it says of an ioeventfd. */
struct claim_of_event {
	struct via_claim claim;
	struct via_bus_ioeventfd ioeventfd;
};

static struct via_claim *claim_alloc(const struct via_claim_desc *desc)
{
	struct claim_of_event *both;
	int flags;

	if (!desc->ioeventfd)
		return calloc(1, sizeof(struct via_claim));
	both = calloc(1, sizeof(*both));
	if (!both)
		return NULL;
	both->ioeventfd = *desc->ioeventfd;
	if (!both->ioeventfd.match)
		both->ioeventfd.data = 0;
	else if (both->ioeventfd.len < 8)
		both->ioeventfd.data &= (UINT64_C(1) << 8 * both->ioeventfd.len) - 1;
	both->claim.desc.ioeventfd = &both->ioeventfd;
	flags = fcntl(desc->ioeventfd->fd, F_GETFL);
	both->claim.nonblock = flags >= 0 && flags & O_NONBLOCK;
	return &both->claim;
}

int via_claim_new(struct via_bus *bus, const struct via_claim_desc *desc,
		  struct via_claim **ret_claim)
{
	struct via_claim_desc d = *desc;
	struct via_claim *claim;
	int ret;

	if (d.ioeventfd) {
		ret = via_bus_event_check(d.ioeventfd, d.start, bus->last);
		d = (struct via_claim_desc){
			.start = d.start, .name = d.name, .flags = d.flags & VIA_BUS_DISABLED};
		d.last = d.start + (desc->ioeventfd->len ? desc->ioeventfd->len - 1 : 0);
	} else {
		ret = check_device(&d, bus->last);
	}
	if (ret)
		return ret;
	claim = claim_alloc(desc);
	if (!claim)
		return -ENOMEM;
	d.ioeventfd = claim->desc.ioeventfd;
	claim->bus = bus;
	claim->enabled = !(d.flags & VIA_BUS_DISABLED);
	d.flags &= ~(unsigned int)VIA_BUS_DISABLED;
	claim->desc = d;
	atomic_init(&claim->refs, 1);
	*ret_claim = claim;
	return 0;
}

void via_claim_link(struct via_claim *claim)
{
	struct via_bus *bus = claim->bus;

	claim->next = bus->claims;
	claim->link = &bus->claims;
	if (claim->next)
		claim->next->link = &claim->next;
	bus->claims = claim;
}

void via_claim_unlink(struct via_claim *claim)
{
	*claim->link = claim->next;
	if (claim->next)
		claim->next->link = claim->link;
}
