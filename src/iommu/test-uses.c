/* SPDX-License-Identifier: MIT */
/* Who is in the memory of an IOAS: leases, copies that a program holds up, and who waits for them.
 */
#include "base/epoch.h"
#include "iommu/access.h"
#include "iommu/dma.h"
#include "iommu/ioas-private.h"
#include "iommu/suspend.h"
#include "memory/guard.h"
#include "memory/store.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <linux/magic.h>
#include <linux/userfaultfd.h>

#define PAGE 4096u
#define IOVA 0x100000u
#define RW (VIA_PROT_READ | VIA_PROT_WRITE)
#define FIXED VIA_IOAS_FIXED

static void nap(long ms)
{
	const struct timespec ts = {ms / 1000, ms % 1000 * 1000000};

	(void)nanosleep(&ts, NULL);
}

/*
 * A program: our own memory, as if it were another process's, of which nothing can be
 * mapped. While it holds copies up they do what they do and then wait.
 */
struct program {
	struct via_mm mm;
	bool holds_up;	      /* atomic, like the next */
	unsigned int held_up; /* copies that wait */
};

static struct program *program_of(struct via_mm *mm)
{
	return (struct program *)mm;
}

static void wait_if_held_up(struct program *program)
{
	__atomic_add_fetch(&program->held_up, 1, __ATOMIC_ACQ_REL);
	while (__atomic_load_n(&program->holds_up, __ATOMIC_ACQUIRE))
		nap(1);
	__atomic_sub_fetch(&program->held_up, 1, __ATOMIC_ACQ_REL);
}

static const struct via_mm_ops *own_ops;

static int program_readv(struct via_mm *mm, const struct iovec *local, size_t n_local,
			 const struct iovec *remote, size_t n_remote)
{
	int rc = own_ops->readv(mm, local, n_local, remote, n_remote);

	wait_if_held_up(program_of(mm));
	return rc;
}

static int program_writev(struct via_mm *mm, const struct iovec *local, size_t n_local,
			  const struct iovec *remote, size_t n_remote)
{
	int rc = own_ops->writev(mm, local, n_local, remote, n_remote);

	wait_if_held_up(program_of(mm));
	return rc;
}

static int program_probe(struct via_mm *mm, uint64_t addr, uint64_t len, unsigned int prot)
{
	return 0;
}

static void program_free(struct via_mm *mm)
{
}

struct fixture {
	struct program program;
	struct via_mm_ops ops;
	struct via_space *space, *own_space; /* the program's; our own, which is mapped */
	struct via_ioas *ioas, *other;
	struct via_domain *domain, *other_domain;
	struct via_dma *dma;
	uint8_t *mem; /* 16 pages */
};

static const struct via_domain_config config = {0x1000, 0, UINT64_MAX, true, true};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct via_mm *self = via_mm_self();

	assert_non_null(f);
	assert_int_equal(via_guard_install(), 0);
	own_ops = self->ops;
	f->ops = *self->ops;
	f->ops.readv = program_readv;
	f->ops.writev = program_writev;
	f->ops.probe = program_probe;
	f->ops.free = program_free;
	f->program.mm = (struct via_mm){
		.ops = &f->ops, .refs = 1, .pid = getpid(), .memlock_limit = UINT64_MAX};
	assert_int_equal(via_space_new_mm(&f->program.mm, &f->space), 0);
	assert_int_equal(via_space_new_mm(self, &f->own_space), 0);
	via_mm_put(self);
	assert_int_equal(via_ioas_new_bare(&f->ioas), 0);
	assert_int_equal(via_ioas_new_bare(&f->other), 0);
	assert_int_equal(via_domain_new(f->ioas, &config, &f->domain), 0);
	assert_int_equal(via_domain_new(f->other, &config, &f->other_domain), 0);
	assert_int_equal(via_dma_new("device", &f->dma), 0);
	via_dma_enable(f->dma, true);
	assert_int_equal(via_dma_attach_domain(f->dma, f->domain), 0);
	f->mem = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(f->mem, MAP_FAILED);
	memset(f->mem, 'm', 16 * PAGE);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	via_dma_free(f->dma);
	via_domain_free(f->domain);
	via_domain_free(f->other_domain);
	via_ioas_put(f->ioas);
	via_ioas_put(f->other);
	via_space_put(f->space);
	via_space_put(f->own_space);
	assert_int_equal(f->program.mm.refs, 1);
	(void)munmap(f->mem, 16 * PAGE);
	free(f);
	return 0;
}

/* n pages of mem from page on, at IOVA and at the same place in it. */
static int map(struct fixture *f, struct via_space *space, unsigned int page, unsigned int n)
{
	static const struct via_ledger_owner nobody;
	via_iova_t iova = IOVA + (uint64_t)page * PAGE;
	struct via_pages *pages;
	int rc = via_pages_new_memory(space, (uintptr_t)f->mem + (uint64_t)page * PAGE,
				      (uint64_t)n * PAGE, true, &nobody, &pages);

	assert_int_equal(rc, 0);
	rc = via_ioas_map_pages(f->ioas, pages, 0, (uint64_t)n * PAGE, RW, FIXED, &iova, NULL);
	via_pages_put(pages);
	return rc;
}

static int lease(struct fixture *f, via_iova_t iova, unsigned int prot, struct via_lease *ret_lease)
{
	const struct via_dma_seg seg = {iova, 16};
	size_t n;

	return via_dma_lease(f->dma, &seg, 1, prot, ret_lease, 1, &n);
}

/* A call on a thread of its own. */
struct call {
	int (*fn)(struct call *call);
	struct fixture *f;
	struct via_ioas *ioas;
	struct via_domain *domain;
	struct via_access *access;
	via_iova_t iova;
	uint64_t len;
	uint8_t buf[4 * PAGE];
	int ret;
	bool done; /* atomic */
	pthread_t thread;
};

static void *call_main(void *arg)
{
	struct call *call = arg;

	call->ret = call->fn(call);
	__atomic_store_n(&call->done, true, __ATOMIC_RELEASE);
	return NULL;
}

static void begin(struct call *call)
{
	assert_int_equal(pthread_create(&call->thread, NULL, call_main, call), 0);
}

/* It is over within the patience that is shown to leases: it does not wait for any. */
static bool ends(struct call *call)
{
	for (unsigned int i = 0; i < 700 && !__atomic_load_n(&call->done, __ATOMIC_ACQUIRE); i++)
		nap(1);
	return __atomic_load_n(&call->done, __ATOMIC_ACQUIRE);
}

static bool waits(struct call *call)
{
	nap(30);
	return !__atomic_load_n(&call->done, __ATOMIC_ACQUIRE);
}

static int end(struct call *call)
{
	assert_int_equal(pthread_join(call->thread, NULL), 0);
	return call->ret;
}

static int call_unmap(struct call *call)
{
	uint64_t bytes;

	return via_ioas_unmap_range(call->ioas, call->iova, call->iova + (call->len - 1), &bytes);
}

static int call_attach(struct call *call)
{
	return via_dma_attach_domain(call->f->dma, call->domain);
}

static int call_track(struct call *call)
{
	return via_domain_track(call->domain, true);
}

/* Leases ------------------------------------------------------------------------- */

static void test_unmap_of_a_copy_waits_for_its_own_leases(void **state)
{
	struct fixture *f = *state;
	struct call here = {.fn = call_unmap, .ioas = f->ioas, .iova = IOVA, .len = 2 * PAGE};
	struct call there = {.fn = call_unmap, .ioas = f->other, .iova = IOVA, .len = 2 * PAGE};
	struct call beside = here;
	via_iova_t iova = IOVA;
	struct via_lease out;
	bool ended;

	assert_int_equal(map(f, f->own_space, 0, 2), 0);
	assert_int_equal(via_ioas_copy(f->other, f->ioas, IOVA, 2 * PAGE, RW, FIXED, &iova), 0);
	beside.iova = iova = 2 * IOVA;
	assert_int_equal(via_ioas_copy(f->ioas, f->ioas, IOVA, 2 * PAGE, RW, FIXED, &iova), 0);
	assert_int_equal(lease(f, IOVA, RW, &out), 0);
	begin(&there);
	begin(&beside);
	begin(&here);
	ended = ends(&there) && ends(&beside);
	assert_true(waits(&here));
	via_lease_put(&out);
	assert_int_equal(end(&there), 0);
	assert_int_equal(end(&beside), 0);
	assert_int_equal(end(&here), 0);
	assert_true(ended);
}

static void test_unmap_of_a_part_waits_for_its_own_leases(void **state)
{
	struct fixture *f = *state;
	struct call low = {.fn = call_unmap, .ioas = f->ioas, .iova = IOVA, .len = PAGE};
	struct call high = {.fn = call_unmap, .ioas = f->ioas, .iova = IOVA + PAGE, .len = PAGE};
	struct via_lease out;
	bool ended;

	assert_int_equal(map(f, f->own_space, 0, 2), 0);
	assert_int_equal(lease(f, IOVA, RW, &out), 0);
	assert_int_equal(via_ioas_cut(f->ioas, IOVA + PAGE - 1, false), 0);
	begin(&high);
	begin(&low);
	ended = ends(&high);
	assert_true(waits(&low));
	via_lease_put(&out);
	assert_int_equal(end(&low), 0);
	assert_int_equal(end(&high), 0);
	assert_true(ended);
}

static void test_detaching_waits_for_leases(void **state)
{
	struct fixture *f = *state;
	struct call leave = {.fn = call_attach, .f = f, .domain = f->other_domain};
	struct call track = {.fn = call_track, .domain = f->domain};
	struct via_lease out;
	bool left, tracked;

	assert_int_equal(map(f, f->own_space, 0, 1), 0);
	assert_int_equal(lease(f, IOVA, VIA_PROT_WRITE, &out), 0);
	begin(&leave);
	left = !waits(&leave);
	/* What it writes is the old domain's memory. */
	begin(&track);
	tracked = !waits(&track);
	via_lease_put(&out);
	assert_int_equal(end(&leave), 0);
	assert_int_equal(end(&track), 0);
	assert_false(tracked);
	assert_false(left);
}

/* A device that is half way to a domain can have leases. */
static void test_tracking_waits_for_one_that_attaches(void **state)
{
	struct fixture *f = *state;
	struct call attach = {.fn = call_attach, .f = f, .domain = f->domain};
	struct call track = {.fn = call_track, .domain = f->domain};
	struct via_lease out;
	int rc = -1;

	assert_int_equal(via_dma_attach_domain(f->dma, NULL), 0);
	assert_int_equal(map(f, f->own_space, 0, 1), 0);
	pthread_mutex_lock(&f->ioas->users_lock);
	begin(&attach);
	for (unsigned int i = 0; rc && i < 1000; i++) {
		nap(1);
		rc = lease(f, IOVA, VIA_PROT_WRITE, &out);
	}
	assert_int_equal(rc, 0);
	assert_true(waits(&attach));
	begin(&track);
	assert_true(waits(&track));
	pthread_mutex_unlock(&f->ioas->users_lock);
	assert_int_equal(end(&attach), 0);
	assert_true(waits(&track));
	assert_int_equal(lease(f, IOVA, VIA_PROT_WRITE, &(struct via_lease){0}), -EOPNOTSUPP);
	via_lease_put(&out);
	assert_int_equal(end(&track), 0);
}

/* Copies ------------------------------------------------------------------------- */

static int call_read(struct call *call)
{
	return via_dma_read(call->f->dma, call->iova, call->buf, call->len);
}

static int call_write(struct call *call)
{
	memset(call->buf, 'w', call->len);
	return via_dma_write(call->f->dma, call->iova, call->buf, call->len);
}

static int call_access_write(struct call *call)
{
	memset(call->buf, 'w', call->len);
	return via_access_rw(call->access, call->iova, call->buf, call->len, true);
}

static int call_leave(struct call *call)
{
	via_access_detach(call->access);
	return 0;
}

static int call_suspend(struct call *call)
{
	uint64_t size;

	return via_ioas_suspend(call->ioas, call->iova, call->iova + (call->len - 1), &size);
}

/* What no program may hold up: all the others' affairs. */
static int call_others(struct call *call)
{
	static const struct via_ledger_owner nobody;
	struct fixture *f = call->f;
	int rc = via_epoch_synchronize();

	for (unsigned int i = 0; !rc && i < 10; i++) {
		via_iova_t iova = IOVA;
		struct via_pages *pages;
		uint64_t bytes;

		rc = via_pages_new_memory(f->own_space, (uintptr_t)f->mem, PAGE, true, &nobody,
					  &pages);
		if (rc)
			break;
		rc = via_ioas_map_pages(f->other, pages, 0, PAGE, RW, FIXED, &iova, NULL);
		via_pages_put(pages);
		if (!rc)
			rc = via_ioas_unmap_range(f->other, IOVA, IOVA + PAGE - 1, &bytes);
	}
	return rc;
}

static void hold_up(struct fixture *f, struct call *copy)
{
	__atomic_store_n(&f->program.holds_up, true, __ATOMIC_RELEASE);
	begin(copy);
	for (unsigned int i = 0; i < 10000; i++, nap(1))
		if (__atomic_load_n(&f->program.held_up, __ATOMIC_ACQUIRE))
			return;
	fail();
}

static void go_on(struct fixture *f)
{
	__atomic_store_n(&f->program.holds_up, false, __ATOMIC_RELEASE);
}

/* Of a copy at the first two pages, whose program does not answer. */
static void check_held_up(struct fixture *f, struct call *copy)
{
	struct call unmap = {.fn = call_unmap, .ioas = f->ioas, .iova = IOVA, .len = 2 * PAGE};
	struct call beside = unmap;
	struct call others = {.fn = call_others, .f = f};
	bool ended, waited;

	beside.iova = IOVA + 2 * PAGE;
	copy->f = f;
	copy->iova = IOVA + 0x800;
	copy->len = PAGE;
	assert_int_equal(map(f, f->space, 0, 2), 0);
	assert_int_equal(map(f, f->space, 2, 2), 0);
	hold_up(f, copy);
	begin(&others);
	begin(&beside);
	ended = ends(&others) && ends(&beside);
	begin(&unmap);
	waited = waits(&unmap);
	go_on(f);
	assert_int_equal(end(copy), 0);
	assert_int_equal(end(&others), 0);
	assert_int_equal(end(&beside), 0);
	assert_int_equal(end(&unmap), 0);
	assert_true(ended);
	assert_true(waited);
}

static void test_nobody_else_waits_for_a_read(void **state)
{
	struct call copy = {.fn = call_read};

	check_held_up(*state, &copy);
	assert_int_equal(copy.buf[0], 'm');
	assert_int_equal(copy.buf[PAGE - 1], 'm');
}

static void test_nobody_else_waits_for_a_write(void **state)
{
	struct fixture *f = *state;
	struct call copy = {.fn = call_write};

	check_held_up(f, &copy);
	assert_int_equal(f->mem[0x7ff], 'm');
	assert_int_equal(f->mem[0x800], 'w');
	assert_int_equal(f->mem[PAGE + 0x7ff], 'w');
	assert_int_equal(f->mem[PAGE + 0x800], 'm');
}

static void test_nobody_else_waits_for_an_access(void **state)
{
	struct fixture *f = *state;
	struct call copy = {.fn = call_access_write};

	assert_int_equal(via_access_new(NULL, NULL, &copy.access), 0);
	assert_int_equal(via_access_attach(copy.access, f->ioas), 0);
	check_held_up(f, &copy);
	assert_int_equal(f->mem[0x800], 'w');
	via_access_free(copy.access);
}

/* Nor does it wait for others of its IOAS; who leaves waits. */
static void test_leaving_waits_for_a_copy(void **state)
{
	struct fixture *f = *state;
	struct call copy = {.fn = call_access_write, .f = f, .iova = IOVA, .len = PAGE};
	struct call leave = {.fn = call_leave};
	struct call detach = {.fn = call_attach, .f = f};
	bool ended, waited;

	assert_int_equal(via_access_new(NULL, NULL, &copy.access), 0);
	leave.access = copy.access;
	assert_int_equal(via_access_attach(copy.access, f->ioas), 0);
	assert_int_equal(map(f, f->space, 0, 1), 0);
	hold_up(f, &copy);
	begin(&detach);
	ended = ends(&detach);
	begin(&leave);
	waited = waits(&leave);
	go_on(f);
	assert_int_equal(end(&copy), 0);
	assert_int_equal(end(&detach), 0);
	assert_int_equal(end(&leave), 0);
	assert_true(ended);
	assert_true(waited);
	via_access_free(copy.access);
}

static void test_detaching_waits_for_a_copy(void **state)
{
	struct fixture *f = *state;
	struct call copy = {.fn = call_write, .f = f, .iova = IOVA, .len = PAGE};
	struct call leave = {.fn = call_attach, .f = f, .domain = f->other_domain};
	bool waited;

	assert_int_equal(map(f, f->space, 0, 1), 0);
	hold_up(f, &copy);
	begin(&leave);
	waited = waits(&leave);
	go_on(f);
	assert_int_equal(end(&copy), 0);
	assert_int_equal(end(&leave), 0);
	assert_true(waited);
}

static void test_suspending_waits_for_a_copy(void **state)
{
	struct fixture *f = *state;
	struct call copy = {.fn = call_write, .f = f, .iova = IOVA, .len = PAGE};
	struct call suspend = {.fn = call_suspend, .ioas = f->ioas, .iova = IOVA, .len = PAGE};
	bool waited;

	via_ioas_set_vaddr_wait(f->ioas, 10);
	assert_int_equal(map(f, f->space, 0, 1), 0);
	hold_up(f, &copy);
	begin(&suspend);
	waited = waits(&suspend);
	go_on(f);
	assert_int_equal(end(&copy), 0);
	assert_int_equal(end(&suspend), 0);
	assert_true(waited);
}

static int note(void *cookie, via_iova_t first, via_iova_t last)
{
	*(struct via_iova_range *)cookie = (struct via_iova_range){first, last};
	return 0;
}

/* A copy that began before, and ended after, tracking was switched on is seen by both kinds. */
static void test_a_mark_is_not_lost(void **state)
{
	struct fixture *f = *state;
	const struct via_iova_range range = {IOVA, IOVA + 4 * PAGE - 1};
	struct call copy = {.fn = call_write, .f = f, .iova = IOVA + PAGE, .len = PAGE};
	struct call track = {.fn = call_track, .domain = f->domain};
	struct via_iova_range dirty = {0};
	struct via_dma_log *log;
	via_iova_t at;
	bool ended;

	assert_int_equal(via_dma_log_new(&range, 1, 12, &log), 0);
	assert_int_equal(map(f, f->space, 0, 4), 0);
	hold_up(f, &copy);
	begin(&track);
	ended = ends(&track);
	if (ended)
		assert_int_equal(via_dma_log_start(f->dma, log), 0);
	go_on(f);
	assert_int_equal(end(&copy), 0);
	assert_int_equal(end(&track), 0);
	assert_true(ended);
	assert_true(via_dma_log_next(log, IOVA, IOVA + 4 * PAGE - 1, &at));
	assert_int_equal(at, IOVA + PAGE);
	assert_int_equal(via_dirty_store_harvest(via_domain_dirty(f->domain), 0, UINT64_MAX, true,
						 note, &dirty),
			 0);
	assert_int_equal(dirty.first, IOVA + PAGE);
	via_dma_log_stop(f->dma);
	via_dma_log_put(log);
	assert_int_equal(via_domain_track(f->domain, false), 0);
}

/* Unmap has the marks of all copies that it has waited for. */
static void test_the_mark_comes_before_the_end(void **state)
{
	struct fixture *f = *state;
	struct call copy = {.fn = call_write, .f = f, .iova = IOVA + PAGE, .len = PAGE};
	struct call leave = {.fn = call_attach, .f = f};
	struct via_iova_range range = {0};

	assert_int_equal(via_domain_track(f->domain, true), 0);
	assert_int_equal(map(f, f->space, 0, 4), 0);
	hold_up(f, &copy);
	begin(&leave);
	assert_true(waits(&leave));
	go_on(f);
	assert_int_equal(end(&leave), 0);
	assert_int_equal(via_dirty_store_harvest(via_domain_dirty(f->domain), 0, UINT64_MAX, true,
						 note, &range),
			 0);
	assert_int_equal(end(&copy), 0);
	assert_int_equal(range.first, IOVA + PAGE);
	assert_int_equal(range.last, IOVA + 2 * PAGE - 1);
}

/* Mapped memory, private memory, and mapped memory in one access. */
static void test_kinds_in_one_access(void **state)
{
	struct fixture *f = *state;
	struct via_dma_seg segs[] = {{IOVA + 16, 3 * PAGE}, {IOVA + PAGE, 8}, {IOVA, 8}};
	uint8_t buf[3 * PAGE + 16], back[3 * PAGE + 16];

	for (size_t i = 0; i < sizeof(buf); i++)
		buf[i] = (uint8_t)(i * 5 + i / 251);
	assert_int_equal(map(f, f->own_space, 0, 1), 0);
	assert_int_equal(map(f, f->space, 1, 2), 0);
	assert_int_equal(map(f, f->own_space, 3, 1), 0);
	assert_int_equal(via_dma_writev(f->dma, segs, 1, buf), 0);
	assert_memory_equal(f->mem + 16, buf, 3 * PAGE);
	assert_int_equal(via_dma_readv(f->dma, segs, 3, back), 0);
	assert_memory_equal(back, f->mem + 16, 3 * PAGE);
	assert_memory_equal(back + 3 * PAGE, f->mem + PAGE, 8);
	assert_memory_equal(back + 3 * PAGE + 8, f->mem, 8);
	/* A hole behind: all that fails. */
	segs[0].iova = IOVA + 2 * PAGE;
	assert_int_equal(via_dma_readv(f->dma, segs, 1, back), -EFAULT);
}

/* The same with a program that does it in earnest: a child whose pages nobody brings ------- */

static int child_readv(struct via_mm *mm, const struct iovec *local, size_t n_local,
		       const struct iovec *remote, size_t n_remote)
{
	struct program *program = program_of(mm);
	ssize_t done;

	__atomic_add_fetch(&program->held_up, 1, __ATOMIC_ACQ_REL);
	done = process_vm_readv(mm->pid, local, n_local, remote, n_remote, 0);
	__atomic_sub_fetch(&program->held_up, 1, __ATOMIC_ACQ_REL);
	return done < 0 ? -EFAULT : 0;
}

static int child_backing(struct via_mm *mm, uint64_t addr, uint64_t len, unsigned int prot,
			 struct via_backing *ret_backing)
{
	*ret_backing = (struct via_backing){.fd = -1, .len = len};
	return 0;
}

/* What the child does with mem: 0 or an errno to fd; then it brings the pages when it is told to.
 */
static void serve(int fd, uint8_t *mem)
{
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register range = {
		.range = {(uintptr_t)mem, 16 * PAGE},
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	struct uffdio_zeropage zero = {.range = range.range};
	int uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC), rc;

	rc = uffd < 0 || madvise(mem, 16 * PAGE, MADV_DONTNEED) || ioctl(uffd, UFFDIO_API, &api) ||
			     ioctl(uffd, UFFDIO_REGISTER, &range)
		     ? errno
		     : 0;
	if (write(fd, &rc, sizeof(rc)) == sizeof(rc) && read(fd, &rc, sizeof(rc)) == sizeof(rc))
		(void)ioctl(uffd, UFFDIO_ZEROPAGE, &zero);
	(void)read(fd, &rc, sizeof(rc));
	_exit(0);
}

static bool is_stuck(const struct fixture *f)
{
	for (unsigned int i = 0; i < 2000; i++, nap(1))
		if (__atomic_load_n(&f->program.held_up, __ATOMIC_ACQUIRE))
			break;
	nap(50);
	return __atomic_load_n(&f->program.held_up, __ATOMIC_ACQUIRE);
}

static void test_userfaultfd(void **state)
{
	struct fixture *f = *state;
	struct call copy = {.fn = call_read, .f = f, .iova = IOVA, .len = PAGE};
	struct call unmap = {.fn = call_unmap, .ioas = f->ioas, .iova = IOVA, .len = 2 * PAGE};
	struct call others = {.fn = call_others, .f = f};
	bool ended, waited, stuck;
	int fds[2], rc = -1;
	pid_t child;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		(void)close(fds[0]);
		serve(fds[1], f->mem);
	}
	(void)close(fds[1]);
	assert_int_equal(read(fds[0], &rc, sizeof(rc)), sizeof(rc));
	if (rc) {
		print_message("userfaultfd of a child: %s\n", strerror(rc));
		(void)close(fds[0]);
		(void)waitpid(child, NULL, 0);
		skip();
	}
	f->ops.readv = child_readv;
	f->ops.backing = child_backing;
	f->program.mm.pid = child;
	assert_int_equal(map(f, f->space, 0, 2), 0);
	begin(&copy);
	stuck = is_stuck(f);
	begin(&others);
	ended = ends(&others);
	begin(&unmap);
	waited = waits(&unmap);
	assert_int_equal(write(fds[0], &rc, sizeof(rc)), sizeof(rc));
	assert_int_equal(end(&copy), 0);
	assert_int_equal(end(&others), 0);
	assert_int_equal(end(&unmap), 0);
	(void)close(fds[0]);
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_int_equal(copy.buf[0], 0); /* what the child has brought */
	assert_true(stuck);
	assert_true(ended);
	assert_true(waited);
}

/* Pages of a file may come from a server, which a program may be: they are copied as private memory
 * is. */
static void test_files_are_not_prompt(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *path; /* NULL: a memfd */
		bool prompt;
	} files[] = {{NULL, true}, {"/proc/self/exe", false}};
	uint8_t byte;

	for (size_t i = 0; i < 2; i++) {
		int fd = files[i].path ? open(files[i].path, O_RDONLY | O_CLOEXEC)
				       : memfd_create("via-test", MFD_CLOEXEC);
		struct via_space *space;
		struct via_store *store;
		bool prompt = files[i].prompt;
		struct statfs fs;
		uint64_t bytes;

		assert_true(fd >= 0);
		assert_int_equal(fstatfs(fd, &fs), 0);
		if (files[i].path && fs.f_type == TMPFS_MAGIC)
			prompt = true; /* where it has been built */
		if (!files[i].path)
			assert_int_equal(ftruncate(fd, PAGE), 0);
		assert_int_equal(via_space_new_fd(fd, VIA_PROT_READ, &space), 0);
		assert_int_equal(via_store_new(space, 0, PAGE, VIA_PROT_READ, &store), 0);
		assert_true(store->mapped);
		assert_int_equal(store->prompt, prompt);
		via_store_put(store);
		assert_int_equal(via_ioas_map(f->ioas, IOVA, space, 0, PAGE, VIA_PROT_READ), 0);
		assert_int_equal(!via_ioas_find(f->ioas, IOVA)->host, !prompt);
		assert_int_equal(via_dma_read(f->dma, IOVA + 1, &byte, 1), 0);
		assert_int_equal(byte, files[i].path ? 'E' : 0);
		assert_int_equal(via_ioas_unmap(f->ioas, IOVA, IOVA + PAGE - 1, &bytes), 0);
		via_space_put(space);
		(void)close(fd);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_unmap_of_a_copy_waits_for_its_own_leases),
		TEST(test_unmap_of_a_part_waits_for_its_own_leases),
		TEST(test_detaching_waits_for_leases),
		TEST(test_tracking_waits_for_one_that_attaches),
		TEST(test_nobody_else_waits_for_a_read),
		TEST(test_nobody_else_waits_for_a_write),
		TEST(test_nobody_else_waits_for_an_access),
		TEST(test_leaving_waits_for_a_copy),
		TEST(test_detaching_waits_for_a_copy),
		TEST(test_suspending_waits_for_a_copy),
		TEST(test_a_mark_is_not_lost),
		TEST(test_the_mark_comes_before_the_end),
		TEST(test_kinds_in_one_access),
		TEST(test_userfaultfd),
		TEST(test_files_are_not_prompt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
