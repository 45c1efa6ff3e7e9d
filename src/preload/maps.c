/* SPDX-License-Identifier: MIT */
/*
 * mmap and its kin. A region's register areas are mapped without access and
 * its other areas are shared pages of the region's memfd. The table of pieces
 * follows every change of the address space that touches them.
 */
#include "preload/maps.h"

#include "preload/doorbell.h"
#include "preload/huge.h"
#include "preload/ours.h"
#include "preload/pieces.h"
#include "preload/pins.h"
#include "preload/real.h"
#include "preload/share.h"
#include "preload/signals.h"
#include "preload/sys.h"

#include <viaduct/pci.h>

#include <errno.h>

enum { MAX_AREAS = 128, PAGE = 4096 };

/* Mapping a region -------------------------------------------------------------------------- */

/* What the kernel is asked for, for a piece of which the program wants prot. */
static int kernel_prot(const struct via_piece *p)
{
	if (p->kind == VIA_AREA_REGISTER)
		return PROT_NONE;
	/* The processor reads what it may write, and emulation has to as well. */
	return p->trapped ? (p->prot & ~PROT_WRITE) | (p->prot & PROT_WRITE ? PROT_READ : 0)
			  : p->prot;
}

static bool failed(long ret)
{
	return ret < 0 && ret >= -4095;
}

struct region_reply {
	uint64_t id;
	int memfd;
	uint64_t offset, len;
	uint32_t n_areas;
	struct via_door_area areas[MAX_AREAS];
};

static int64_t ask_region(int fd, uint64_t file_id, uint64_t len, int prot, int flags,
			  uint64_t offset, struct region_reply *r)
{
	struct via_call call = {
		.request = {.op = VIA_DOOR_MMAP,
			    .id = file_id,
			    .arg = {offset, len, (uint64_t)prot, (uint64_t)(unsigned int)flags}},
		.fd = -1,
		.out = r->areas,
		.out_len = sizeof(r->areas),
		.cloexec = true,
	};
	int64_t ret = file_id ? via_call(&call) : via_call_on(fd, &call);

	if (ret < 0)
		return ret;
	r->id = (uint64_t)ret;
	r->memfd = call.ret_fd;
	r->offset = call.reply.value[0];
	r->len = call.reply.value[1];
	r->n_areas = (uint32_t)call.reply.value[2];
	if (r->memfd < 0 || call.reply.value[2] > MAX_AREAS || !r->len || r->len % PAGE) {
		via_call_simple(VIA_DOOR_UNMAP, r->id, 0, 0, 0, 0);
		if (r->memfd >= 0)
			via_sys(SYS_close, r->memfd);
		return -ENOMEM;
	}
	return 0;
}

/*
 * Lay the areas out at addr, all of which is reserved. Registers too are pages of the BAR's file,
 * by which the host knows them when they are named as memory for DMA.
 */
static long place_areas(const struct region_reply *r, uint64_t addr, int prot)
{
	for (uint32_t i = 0; i < r->n_areas; i++) {
		const struct via_door_area *a = &r->areas[i];
		long ret = via_sys(SYS_mmap, addr + a->offset, a->size,
				   a->kind == VIA_AREA_REGISTER ? PROT_NONE : prot,
				   MAP_SHARED | MAP_FIXED, r->memfd, r->offset + a->offset);

		if (failed(ret))
			return ret;
	}
	return 0;
}

static int enter_region(const struct region_reply *r, const struct via_mapping *made, uint64_t addr)
{
	struct via_mapping *m = via_mappings_free();
	int err = m ? 0 : -ENOMEM;
	uint32_t first;

	via_pieces_write_begin();
	via_pieces_remove(addr, addr + r->len);
	first = via_n_pieces;
	if (m)
		*m = *made;
	for (uint32_t i = 0; i < r->n_areas && !err; i++) {
		const struct via_door_area *a = &r->areas[i];

		if (!via_pieces_add((struct via_piece){
			    .start = addr + a->offset,
			    .end = addr + a->offset + a->size,
			    .offset = a->offset,
			    .mapping = (uint32_t)(m - via_mappings),
			    .kind = a->kind,
			    .prot = made->prot,
			    .trapped = a->kind == VIA_AREA_REGISTER,
		    }))
			err = -ENOMEM;
	}
	if (err) {
		while (via_n_pieces > first)
			via_pieces_drop(via_n_pieces - 1);
		if (m)
			m->hidden = 0;
	}
	via_pieces_write_end();
	return err;
}

/* Writes to this doorbell piece cannot be watched: trap them. */
static void trap_doorbell(uint64_t start)
{
	uint64_t old = via_lock(&via_pieces_lock);

	via_pieces_write_begin();
	for (uint32_t i = 0; i < via_n_pieces; i++) {
		struct via_piece *p = &via_pieces[i];

		if (p->start != start)
			continue;
		p->trapped = true;
		via_sys(SYS_mprotect, p->start, p->end - p->start, kernel_prot(p));
	}
	via_pieces_write_end();
	via_unlock(&via_pieces_lock, old);
}

static void prepare_traps(const struct region_reply *r, uint64_t addr, int prot)
{
	for (uint32_t i = 0; i < r->n_areas; i++) {
		const struct via_door_area *a = &r->areas[i];

		if (a->kind == VIA_AREA_REGISTER)
			via_signals_install();
		if (a->kind != VIA_AREA_DOORBELL || !(prot & PROT_WRITE))
			continue;
		if (!via_doorbell_watch(r->id, a->offset, addr + a->offset, a->size)) {
			via_signals_install();
			trap_doorbell(addr + a->offset);
		}
	}
}

static long map_region(void *hint, size_t len, int prot, int flags, int fd, off_t offset)
{
	struct region_reply r;
	struct via_mapping made;
	struct via_released released = {.n = 0};
	int place = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE |
		    (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE | MAP_32BIT));
	int64_t ret;
	long addr;
	uint64_t old;

	if (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE) && (uint64_t)hint % PAGE)
		return -EINVAL;
	ret = ask_region(fd, 0, len, prot, flags, (uint64_t)offset, &r);
	if (ret)
		return (long)ret;
	made = (struct via_mapping){
		.hidden = via_fd_hide((int)via_sys(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 0)),
		.id = r.id,
		.generation = via_client_generation(),
		.offset = (uint64_t)offset,
		.len = len,
		.prot = prot,
		.flags = flags,
	};
	old = via_lock(&via_pieces_lock);
	addr = made.hidden < 0 ? -EMFILE : via_sys(SYS_mmap, hint, r.len, PROT_NONE, place, -1, 0);
	if (!failed(addr)) {
		ret = place_areas(&r, (uint64_t)addr, prot);
		if (!ret)
			ret = enter_region(&r, &made, (uint64_t)addr);
		if (ret) {
			via_sys(SYS_munmap, addr, r.len);
			addr = (long)ret;
		}
	}
	via_mappings_collect(&released);
	via_unlock(&via_pieces_lock, old);
	via_sys(SYS_close, r.memfd);
	via_mappings_release(&released);
	if (failed(addr)) {
		via_call_simple(VIA_DOOR_UNMAP, r.id, 0, 0, 0, 0);
		if (made.hidden >= 0)
			via_fd_close_hidden(made.hidden);
		return addr;
	}
	prepare_traps(&r, (uint64_t)addr, prot);
	return addr;
}

/* Accesses ------------------------------------------------------------------------------------- */

/* The host's handle of a mapping that the parent made, or that the host has forgotten. */
static int64_t ask_again(struct via_mapping *m)
{
	struct via_call identify = {.request = {.op = VIA_DOOR_IDENTIFY}, .fd = m->hidden};
	struct region_reply r;
	uint64_t generation = via_client_generation();
	int64_t ret = via_call(&identify);

	if (ret <= 0)
		return -EFAULT;
	ret = ask_region(-1, (uint64_t)ret, m->len, m->prot, m->flags, m->offset, &r);
	if (ret)
		return ret;
	via_sys(SYS_close, r.memfd);
	__atomic_store_n(&m->id, r.id, __ATOMIC_RELEASE);
	__atomic_store_n(&m->generation, generation, __ATOMIC_RELEASE);
	return 0;
}

static int access_register(const struct via_piece *p, uint32_t op, uint64_t addr, unsigned int size,
			   uint64_t *value)
{
	struct via_mapping *m = &via_mappings[p->mapping];
	struct via_call call = {
		.request = {.op = op, .arg = {p->offset + (addr - p->start), size, *value}},
		.fd = -1,
	};
	int64_t ret = -ESTALE;

	for (int tries = 0; tries < 3 && ret == -ESTALE; tries++) {
		if (tries ||
		    __atomic_load_n(&m->generation, __ATOMIC_ACQUIRE) != via_client_generation()) {
			ret = ask_again(m);
			if (ret)
				return (int)ret;
		}
		call.request.id = __atomic_load_n(&m->id, __ATOMIC_ACQUIRE);
		ret = via_call(&call);
	}
	*value = call.reply.value[0];
	return ret == -ESTALE ? -EFAULT : (int)ret;
}

int via_maps_read(const struct via_piece *piece, uint64_t addr, unsigned int size,
		  uint64_t *ret_value)
{
	*ret_value = 0;
	return access_register(piece, VIA_DOOR_REG_READ, addr, size, ret_value);
}

int via_maps_write(const struct via_piece *piece, uint64_t addr, unsigned int size, uint64_t value)
{
	return access_register(piece, VIA_DOOR_REG_WRITE, addr, size, &value);
}

void via_maps_after_fork(void)
{
	via_pieces_after_fork();
	for (uint32_t i = 0; i < via_n_pieces; i++) {
		struct via_piece *p = &via_pieces[i];

		if (p->kind != VIA_AREA_DOORBELL || p->trapped)
			continue;
		via_signals_install();
		p->trapped = true;
		via_sys(SYS_mprotect, p->start, p->end - p->start, kernel_prot(p));
	}
}

/* The interposed calls ------------------------------------------------------------------ */

static uint64_t page_up(uint64_t v)
{
	return (v + PAGE - 1) & ~(uint64_t)(PAGE - 1);
}

/* A change of the address space by the kernel, and the same in the table. */
static long replace(long nr, const void *addr, size_t len, long a2, long a3, long a4, long a5)
{
	struct via_released released;
	uint64_t old = via_lock(&via_pieces_lock);
	long ret = via_sys(nr, addr, len, a2, a3, a4, a5);

	if (!failed(ret)) {
		via_pieces_write_begin();
		via_pieces_remove((uint64_t)addr, (uint64_t)addr + page_up(len));
		via_pieces_write_end();
	}
	via_mappings_collect(&released);
	via_unlock(&via_pieces_lock, old);
	via_mappings_release(&released);
	return ret;
}

/* A mapping at a fixed place of a device's takes it away. */
static long map_huge(uint64_t start, uint64_t *len, int prot, int flags, int fd, off_t offset,
		     uint64_t page)
{
	uint64_t end = start + ((*len + page - 1) & ~(page - 1));
	long ret;

	if (flags & MAP_FIXED && start % page == 0) {
		via_pins_rescue(start, end, false);
		if (via_pieces_overlap(start, end)) {
			ret = replace(SYS_mmap, (void *)start, end - start, PROT_NONE,
				      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1,
				      0);
			if (failed(ret))
				return ret;
		}
	}
	return via_huge_map(start, *len, prot, flags, fd, (uint64_t)offset, page, len);
}

static long map(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
	uint64_t start = (uint64_t)addr, end = start + page_up(len), page;
	long ret;

	page = len ? via_huge_page(flags, fd) : 0;
	if (page) {
		uint64_t mapped = len;

		ret = map_huge(start, &mapped, prot, flags, fd, offset, page);
		if (!failed(ret))
			via_share_forget((uint64_t)ret, (uint64_t)ret + mapped);
		return ret;
	}
	if (flags & MAP_FIXED)
		via_pins_rescue(start, end, false);
	if (fd >= 0 && !(flags & MAP_ANONYMOUS) && via_maybe_ours(fd) && via_ours(fd))
		ret = map_region(addr, len, prot, flags, fd, offset);
	else if ((flags & MAP_FIXED) && via_pieces_overlap(start, end))
		ret = replace(SYS_mmap, addr, len, prot, flags, fd, offset);
	else
		ret = via_sys(SYS_mmap, addr, len, prot, flags, fd, offset);
	if (!failed(ret)) {
		via_share_forget((uint64_t)ret, (uint64_t)ret + page_up(len));
		via_huge_forget((uint64_t)ret, (uint64_t)ret + page_up(len));
		via_huge_share((uint64_t)ret, (uint64_t)ret + page_up(len), prot, flags);
	}
	return ret;
}

VIA_INTERPOSE void *mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
	return (void *)via_ret(map(addr, len, prot, flags, fd, offset));
}

VIA_INTERPOSE void *mmap64(void *addr, size_t len, int prot, int flags, int fd, off64_t offset)
{
	return (void *)via_ret(map(addr, len, prot, flags, fd, offset));
}

VIA_INTERPOSE int munmap(void *addr, size_t len)
{
	uint64_t start = (uint64_t)addr, end = start + page_up(len);

	if (start % PAGE || !len)
		return (int)via_ret(via_sys(SYS_munmap, addr, len));
	if (via_huge_cut(start, end))
		return (int)via_ret(-EINVAL);
	via_pins_rescue(start, end, false);
	/* Before another thread can be given the place. */
	via_share_forget(start, end);
	via_huge_forget(start, end);
	if (via_pieces_overlap(start, end))
		return (int)via_ret(replace(SYS_munmap, addr, len, 0, 0, 0, 0));
	return (int)via_ret(via_sys(SYS_munmap, addr, len));
}

static long protect(uint64_t start, uint64_t end, int prot)
{
	uint64_t old = via_lock(&via_pieces_lock), at = start;
	long ret = 0;

	via_pieces_write_begin();
	via_pieces_cut(start, end);
	while (at < end && !failed(ret)) {
		struct via_piece *next = NULL;

		for (uint32_t i = 0; i < via_n_pieces; i++)
			if (via_pieces[i].end > at && via_pieces[i].start < end &&
			    (!next || via_pieces[i].start < next->start))
				next = &via_pieces[i];
		if (next && next->start <= at) {
			int before = next->prot;

			next->prot = prot;
			ret = via_sys(SYS_mprotect, at, next->end - at, kernel_prot(next));
			if (failed(ret))
				next->prot = before;
			at = next->end;
		} else {
			uint64_t stop = next ? next->start : end;

			ret = via_sys(SYS_mprotect, at, stop - at, prot);
			at = stop;
		}
	}
	via_pieces_write_end();
	via_unlock(&via_pieces_lock, old);
	return ret;
}

VIA_INTERPOSE int mprotect(void *addr, size_t len, int prot)
{
	uint64_t start = (uint64_t)addr, end = start + page_up(len);

	if (via_huge_cut(start, end))
		return (int)via_ret(-EINVAL);
	if (start % PAGE || end < start || !via_pieces_overlap(start, end))
		return (int)via_ret(via_sys(SYS_mprotect, addr, len, prot));
	return (int)via_ret(protect(start, end, prot));
}

/* A moved doorbell is no longer watched where it was: trapped from then on. */
static void move_pieces(uint64_t from, uint64_t old_len, uint64_t to, uint64_t new_len)
{
	via_pieces_write_begin();
	if (to != from)
		via_pieces_remove(to, to + new_len);
	if (new_len < old_len)
		via_pieces_remove(from + new_len, from + old_len);
	via_pieces_cut(from, from + old_len);
	for (uint32_t i = 0; i < via_n_pieces && to != from; i++) {
		struct via_piece *p = &via_pieces[i];

		if (p->start < from || p->end > from + old_len)
			continue;
		p->start += to - from;
		p->end += to - from;
		if (p->kind == VIA_AREA_DOORBELL) {
			p->trapped = true;
			via_sys(SYS_mprotect, p->start, p->end - p->start, kernel_prot(p));
		}
	}
	via_pieces_write_end();
}

/* Memory that is no device's, but that DMA may refer to. */
static long move_memory(uint64_t from, uint64_t old_len, uint64_t new_len, int flags, uint64_t to)
{
	bool pinned;
	long ret;

	if (flags & MREMAP_FIXED)
		via_pins_rescue(to, to + new_len, false);
	if (new_len < old_len)
		via_pins_rescue(from + new_len, from + old_len, false);
	pinned = flags & MREMAP_MAYMOVE && via_pins_move_begin(from, from + old_len);
	via_share_before_move(from, old_len, new_len, flags);
	ret = via_sys(SYS_mremap, from, old_len, new_len, flags, to);
	if (pinned && !failed(ret) && (uint64_t)ret != from)
		via_pins_move_end(from, old_len < new_len ? old_len : new_len, (uint64_t)ret);
	else if (pinned)
		via_pins_move_end(0, 0, 0);
	if (failed(ret))
		return ret;
	if (new_len < old_len)
		via_share_forget(from + new_len, from + old_len);
	if ((uint64_t)ret != from)
		via_share_moved(from, old_len < new_len ? old_len : new_len, (uint64_t)ret, new_len);
	if (new_len < old_len)
		via_huge_forget(from + new_len, from + old_len);
	if ((uint64_t)ret != from)
		via_huge_moved(from, old_len < new_len ? old_len : new_len, (uint64_t)ret);
	return ret;
}

VIA_INTERPOSE int madvise(void *addr, size_t len, int advice)
{
	uint64_t start = (uint64_t)addr, end = start + page_up(len);

	/* The kernel's to refuse; an empty range is nobody's. */
	if (start % PAGE || end <= start)
		return (int)via_ret(via_sys(SYS_madvise, addr, len, advice));
	if (advice == MADV_DONTNEED)
		via_pins_rescue(start, end, true);
	return (int)via_ret(via_share_advise(start, end, advice));
}

VIA_INTERPOSE void *mremap(void *addr, size_t old_len, size_t new_len, int flags, ...)
{
	uint64_t from = (uint64_t)addr, to = 0, old;
	struct via_released released;
	va_list ap;
	long ret;

	va_start(ap, flags);
	if (flags & MREMAP_FIXED)
		to = (uint64_t)va_arg(ap, void *);
	va_end(ap);
	if (!via_pieces_overlap(from, from + page_up(old_len)) &&
	    (!(flags & MREMAP_FIXED) || !via_pieces_overlap(to, to + page_up(new_len))))
		return (void *)via_ret(
			move_memory(from, page_up(old_len), page_up(new_len), flags, to));

	/* A device's memory cannot grow. */
	if (via_pieces_overlap(from, from + page_up(old_len)) &&
	    page_up(new_len) > page_up(old_len))
		return (void *)via_ret(-EFAULT);
	via_signals_install();
	old = via_lock(&via_pieces_lock);
	ret = via_sys(SYS_mremap, addr, old_len, new_len, flags, to);
	if (!failed(ret))
		move_pieces(from, page_up(old_len), (uint64_t)ret, page_up(new_len));
	via_mappings_collect(&released);
	via_unlock(&via_pieces_lock, old);
	via_mappings_release(&released);
	return (void *)via_ret(ret);
}
