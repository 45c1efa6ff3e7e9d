/* SPDX-License-Identifier: MIT */
/* What the tests of page stores and of accesses share: a program with a limit, its memory, an IOAS. */
#ifndef VIA_IOMMU_TEST_PAGES_H
#define VIA_IOMMU_TEST_PAGES_H

#include "iommu/access.h"
#include "iommu/area.h"
#include "iommu/domain.h"
#include "memory/guard.h"
#include "memory/store.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define PAGE 4096u
#define N_PAGES 64u
#define RW (VIA_PROT_READ | VIA_PROT_WRITE)

struct fixture {
	struct via_mm mm; /* our own memory, but with a limit */
	struct via_space *space;
	struct via_user *user;
	struct via_ledger_owner owner; /* USER, enforced */
	struct via_ioas *ioas;
	uint8_t *mem; /* N_PAGES; bytes of page i are i + 1 */
};

static inline int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct via_mm *self = via_mm_self();

	assert_non_null(f);
	f->mm = (struct via_mm){ .ops = self->ops, .refs = 1, .memlock_limit = 16 * PAGE };
	via_mm_put(self);
	f->user = via_user_get(12345);
	f->owner = (struct via_ledger_owner){ &f->mm, f->user, VIA_CHARGE_USER, true };
	assert_int_equal(via_space_new_mm(&f->mm, &f->space), 0);
	assert_int_equal(via_ioas_new_bare(&f->ioas), 0);
	f->mem = mmap(NULL, N_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		      0);
	assert_ptr_not_equal(f->mem, MAP_FAILED);
	for (size_t i = 0; i < N_PAGES; i++)
		memset(f->mem + i * PAGE, (int)i + 1, PAGE);
	*state = f;
	return 0;
}

static inline int teardown(void **state)
{
	struct fixture *f = *state;

	via_ioas_put(f->ioas);
	via_space_put(f->space);
	/* Nothing is charged any more, and nobody holds the program. */
	assert_int_equal(via_user_pages(f->user), 0);
	assert_int_equal(f->mm.pinned_pages, 0);
	assert_int_equal(f->mm.locked_pages, 0);
	assert_int_equal(f->mm.refs, 1);
	via_user_put(f->user);
	(void)munmap(f->mem, N_PAGES * PAGE);
	free(f);
	return 0;
}

static inline struct via_pages *pages_of(struct fixture *f, uint64_t offset, uint64_t len)
{
	struct via_pages *pages = NULL;

	assert_int_equal(via_pages_new_memory(f->space, (uintptr_t)f->mem + offset, len, true,
					      &f->owner, &pages), 0);
	return pages;
}

/* MAP: bytes of mem at an IOVA. */
static inline int map_at(struct fixture *f, struct via_ioas *ioas, via_iova_t iova, uint64_t offset,
			 uint64_t len, unsigned int prot)
{
	struct via_pages *pages = NULL;
	int rc = via_pages_new_memory(f->space, (uintptr_t)f->mem + offset, len,
				      prot & VIA_PROT_WRITE, &f->owner, &pages);

	assert_int_equal(rc, 0);
	rc = via_ioas_map_pages(ioas, pages, 0, len, prot, VIA_IOAS_FIXED, &iova, NULL);
	via_pages_put(pages);
	return rc;
}

static inline struct via_domain *domain_of(struct via_ioas *ioas)
{
	const struct via_domain_config config = {
		.pgsize_bitmap = PAGE, .aperture_last = UINT64_MAX,
	};
	struct via_domain *domain;

	assert_int_equal(via_domain_new(ioas, &config, &domain), 0);
	return domain;
}

static inline int memfd_of(uint64_t size)
{
	int fd = memfd_create("via-test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	return fd;
}

#endif
