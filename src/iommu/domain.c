/* SPDX-License-Identifier: MIT */
/* Paging domains: what their table can hold, who loads the areas, what was written. */
#include "iommu/domain.h"

#include "base/epoch.h"
#include "base/log.h"
#include "base/util.h"
#include "iommu/ioas-private.h"

#include <errno.h>
#include <stdlib.h>

#define GRANULE_MIN ((uint64_t)512)

/* After so long we say what we wait for. */
#define WRITER_COMPLAIN_MS 5000

static uint64_t granule_of(const struct via_domain_config *config)
{
	return config->pgsize_bitmap & -config->pgsize_bitmap;
}

/* Areas ---------------------------------------------------------------------- */

/* All loaded areas, linked. domains_lock written: nobody else changes anything. */
static struct via_ioas_area *list_loaded(struct via_ioas *ioas)
{
	struct via_ioas_area *list = NULL, *area = via_index_find(&ioas->index, 0);

	while (area) {
		if (area->loaded) {
			area->next = list;
			list = area;
		}
		area = area->last == UINT64_MAX ? NULL :
						  via_index_find(&ioas->index, area->last + 1);
	}
	return list;
}

static void unload_all(struct via_ioas *ioas)
{
	via_ioas_quiesce(ioas, list_loaded(ioas));
}

static void show_all(struct via_ioas *ioas)
{
	struct via_ioas_area *area;

	pthread_mutex_lock(&ioas->lock);
	area = via_index_find(&ioas->index, 0);
	while (area) {
		via_ioas_show(ioas, area);
		area = area->last == UINT64_MAX ? NULL :
						  via_index_find(&ioas->index, area->last + 1);
	}
	pthread_mutex_unlock(&ioas->lock);
}

/* All or nothing. domains_lock written. */
static int load_all(struct via_ioas *ioas)
{
	struct via_ioas_area *area = via_index_find(&ioas->index, 0);

	while (area) {
		int rc = via_area_load(area);

		if (rc) {
			unload_all(ioas);
			return rc;
		}
		area = area->last == UINT64_MAX ? NULL :
						  via_index_find(&ioas->index, area->last + 1);
	}
	show_all(ioas);
	return 0;
}

/* Domains -------------------------------------------------------------------- */

static void unlink_domain(struct via_ioas *ioas, struct via_domain *domain)
{
	struct via_domain **p = &ioas->domains;

	while (*p != domain)
		p = &(*p)->next;
	*p = domain->next;
	via_ioas_unreserve_locked(ioas, domain);
	(void)via_ioas_recompute_alignment(ioas); /* it can only become less */
}

static int reserve_outside(struct via_ioas *ioas, struct via_domain *domain)
{
	const struct via_domain_config *config = &domain->config;
	int rc = 0;

	if (config->aperture_first)
		rc = via_ioas_reserve_locked(ioas, 0, config->aperture_first - 1, domain);
	if (!rc && config->aperture_last != UINT64_MAX)
		rc = via_ioas_reserve_locked(ioas, config->aperture_last + 1, UINT64_MAX, domain);
	return rc;
}

/* Last in the list: their order is that of their attachment. ioas->lock held. */
static int link_domain(struct via_ioas *ioas, struct via_domain *domain)
{
	struct via_domain **p = &ioas->domains;
	int rc;

	while (*p)
		p = &(*p)->next;
	domain->next = NULL;
	*p = domain;
	rc = via_ioas_recompute_alignment(ioas);
	if (rc) {
		*p = NULL;
		return rc;
	}
	rc = reserve_outside(ioas, domain);
	if (rc)
		unlink_domain(ioas, domain);
	return rc;
}

int via_domain_new(struct via_ioas *ioas, const struct via_domain_config *config,
		   struct via_domain **ret_domain)
{
	struct via_domain *domain;
	bool is_first;
	int rc;

	if (!config->pgsize_bitmap || granule_of(config) > VIA_PAGES_SIZE)
		return -EINVAL;
	domain = calloc(1, sizeof(*domain));
	if (!domain)
		return -ENOMEM;
	domain->ioas = via_ioas_get(ioas);
	domain->config = *config;
	pthread_mutex_init(&domain->track_lock, NULL);

	pthread_rwlock_wrlock(&ioas->domains_lock);
	is_first = !ioas->domains;
	pthread_mutex_lock(&ioas->lock);
	rc = link_domain(ioas, domain);
	pthread_mutex_unlock(&ioas->lock);
	if (!rc && is_first) {
		rc = load_all(ioas);
		if (rc) {
			pthread_mutex_lock(&ioas->lock);
			unlink_domain(ioas, domain);
			pthread_mutex_unlock(&ioas->lock);
		}
	}
	pthread_rwlock_unlock(&ioas->domains_lock);
	if (rc) {
		via_domain_deinit(domain);
		free(domain);
		via_ioas_put(ioas);
		return rc;
	}
	*ret_domain = domain;
	return 0;
}

void via_domain_free(struct via_domain *domain)
{
	struct via_ioas *ioas;

	if (!domain)
		return;
	ioas = domain->ioas;
	pthread_rwlock_wrlock(&ioas->domains_lock);
	if (ioas->domains == domain && !domain->next)
		unload_all(ioas);
	pthread_mutex_lock(&ioas->lock);
	unlink_domain(ioas, domain);
	pthread_mutex_unlock(&ioas->lock);
	pthread_rwlock_unlock(&ioas->domains_lock);
	via_domain_deinit(domain);
	free(domain);
	via_ioas_put(ioas);
}

void via_domain_deinit(struct via_domain *domain)
{
	via_dirty_store_free(domain->dirty);
	pthread_mutex_destroy(&domain->track_lock);
}

/* What lies between the usable ranges is reserved for ever. */
static int reserve_unusable(struct via_ioas *ioas, const struct via_iommu_props *props)
{
	via_iova_t at = 0;
	int rc = 0;

	for (size_t i = 0; i < props->n_ranges && !rc; i++) {
		if (props->ranges[i].first > at)
			rc = via_ioas_reserve_locked(ioas, at, props->ranges[i].first - 1,
						     &ioas->own);
		if (__builtin_add_overflow(props->ranges[i].last, 1, &at))
			return rc;
	}
	if (!rc && at)
		rc = via_ioas_reserve_locked(ioas, at, UINT64_MAX, &ioas->own);
	return rc;
}

int via_domain_init_own(struct via_ioas *ioas, const struct via_iommu_props *props)
{
	struct via_domain *own = &ioas->own;

	own->config = (struct via_domain_config){
		.pgsize_bitmap = props->pgsize_bitmap,
		.aperture_last = UINT64_MAX,
		.coherent = props->coherent,
		.dirty = true,
	};
	ioas->domains = own;
	(void)via_ioas_recompute_alignment(ioas); /* there is no area */
	return reserve_unusable(ioas, props);
}

struct via_ioas *via_domain_ioas(const struct via_domain *domain)
{
	return domain->ioas;
}

const struct via_domain_config *via_domain_config(const struct via_domain *domain)
{
	return &domain->config;
}

/* Dirty tracking --------------------------------------------------------------- */

static int track(struct via_domain *domain)
{
	struct via_dirty_store *dirty = domain->dirty;
	uint64_t granule = granule_of(&domain->config);
	int rc;

	if (!dirty) {
		granule = via_min_u64(via_max_u64(granule, GRANULE_MIN), VIA_PAGES_SIZE);
		rc = via_dirty_store_new(granule, &dirty);
		if (rc)
			return rc;
		__atomic_store_n(&domain->dirty, dirty, __ATOMIC_RELEASE);
	} else {
		via_dirty_store_clear(dirty, 0, UINT64_MAX);
	}
	__atomic_store_n(&domain->tracks, true, __ATOMIC_RELEASE);
	return 0;
}

/*
 * What is written through a pointer is not recorded: let it be over. No new ones are given, and
 * those of a device that has left count too: it is the domain's memory that they write.
 */
static void wait_for_writers(struct via_domain *domain)
{
	const struct via_use_filter writers = {
		.range = VIA_USES_EVERYWHERE, .kinds = VIA_USE_WRITE, .domain = domain,
	};

	while (via_uses_wait(&domain->ioas->uses, &writers, WRITER_COMPLAIN_MS))
		via_log(VIA_LOG_WARNING, "dirty tracking waits for device I/O that does not end");
}

int via_domain_track(struct via_domain *domain, bool on)
{
	int rc = 0;

	pthread_mutex_lock(&domain->track_lock);
	if (on)
		rc = track(domain);
	else
		__atomic_store_n(&domain->tracks, false, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&domain->track_lock);
	/* A write that has not seen the change is over then. */
	if (!rc)
		(void)via_epoch_synchronize();
	if (!rc && on)
		wait_for_writers(domain);
	return rc;
}

bool via_domain_tracks(const struct via_domain *domain)
{
	return __atomic_load_n(&domain->tracks, __ATOMIC_ACQUIRE);
}

struct via_dirty_store *via_domain_dirty(const struct via_domain *domain)
{
	return __atomic_load_n(&domain->dirty, __ATOMIC_ACQUIRE);
}

void via_domain_written(struct via_domain *domain, via_iova_t iova, uint64_t len)
{
	if (via_domain_tracks(domain))
		via_dirty_store_mark(via_domain_dirty(domain), iova, len);
}

/* The library's calls, for devices that are attached to the IOAS itself ------------ */

int via_ioas_track_dirty(struct via_ioas *ioas, bool on)
{
	return via_domain_track(&ioas->own, on);
}

/* Where a harvest puts its bits. */
struct bits {
	via_iova_t iova;
	unsigned int shift; /* of a granule */
	uint64_t *words;
};

static int set_bits(void *cookie, via_iova_t first, via_iova_t last)
{
	const struct bits *bits = cookie;
	uint64_t bit = (first - bits->iova) >> bits->shift;
	uint64_t end = (last - bits->iova) >> bits->shift;

	for (; bit <= end; bit++)
		bits->words[bit / 64] |= (uint64_t)1 << bit % 64;
	return 0;
}

int via_ioas_get_dirty(struct via_ioas *ioas, via_iova_t iova, via_iova_t last, uint64_t granule,
		       uint64_t *bitmap)
{
	struct via_dirty_store *dirty = via_domain_dirty(&ioas->own);
	struct bits bits = { iova, 0, bitmap };

	if (!dirty || !via_is_pow2(granule) || granule < via_dirty_store_granule(dirty) ||
	    last < iova || ((iova | (last + 1)) & (granule - 1)))
		return -EINVAL;
	bits.shift = (unsigned int)__builtin_ctzll(granule);
	return via_dirty_store_harvest(dirty, iova, last, true, set_bits, &bits);
}
