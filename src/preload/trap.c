/* SPDX-License-Identifier: MIT */
/* SIGSEGV: an access to a register area is carried out by the host and stepped over. */
#include "preload/client.h"
#include "preload/decode.h"
#include "preload/inprocess.h"
#include "preload/maps.h"
#include "preload/self.h"
#include "preload/signals.h"
#include "preload/sys.h"

#include "memory/guard.h"

#include <viaduct/pci.h>

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

/* The page fault's error code: a write. */
enum { FAULT_WRITE = 1 << 1 };

static bool trapped(const struct via_piece *p, bool write)
{
	int need =
		write ? PROT_WRITE : PROT_READ | PROT_WRITE; /* what may be written may be read */

	return p->trapped && (p->prot & need) && (write || p->kind == VIA_AREA_REGISTER);
}

/*
 * The first trapped access of an instruction is the one that faulted. If not,
 * the frame's registers are not those of the moment: a simulator keeps them
 * elsewhere, and what we would carry out is some other access.
 */
struct fault {
	uint64_t addr;
	bool seen;
};

static bool plausible(struct fault *fault, uint64_t addr, unsigned int size)
{
	fault->seen |= fault->addr - addr < size;
	return fault->seen;
}

static int read_memory(void *cookie, uint64_t addr, unsigned int size, uint64_t *ret_value)
{
	struct via_piece p;

	if (!via_maps_find(addr, &p) || p.kind != VIA_AREA_REGISTER) {
		*ret_value = 0;
		return via_self_read(ret_value, addr, size);
	}
	if (!trapped(&p, false))
		return -EFAULT;
	if (!plausible(cookie, addr, size))
		return -EILSEQ;
	if (p.end - addr >= size)
		return via_maps_read(&p, addr, size, ret_value);
	*ret_value = 0;
	for (unsigned int i = 0; i < size; i++) {
		uint64_t byte;
		int err = read_memory(cookie, addr + i, 1, &byte);

		if (err)
			return err;
		*ret_value |= (byte & 0xff) << 8 * i;
	}
	return 0;
}

static int write_memory(void *cookie, uint64_t addr, unsigned int size, uint64_t value)
{
	struct via_piece p;

	if (!via_maps_find(addr, &p) || !p.trapped)
		return via_self_write(addr, &value, size);
	if (!trapped(&p, true))
		return -EFAULT;
	if (!plausible(cookie, addr, size))
		return -EILSEQ;
	if (p.end - addr >= size)
		return via_maps_write(&p, addr, size, value);
	for (unsigned int i = 0; i < size; i++) {
		int err = write_memory(cookie, addr + i, 1, value >> 8 * i & 0xff);

		if (err)
			return err;
	}
	return 0;
}

static const struct via_emulate_ops ops = {.read = read_memory, .write = write_memory};

/* The program is about to crash on it: the one case in which the shim writes to its stderr. */
static void say_unsupported(const ucontext_t *uc, int err)
{
	static const char hex[] = "0123456789abcdef";
	static const char unknown[] =
		"viaduct: the trap cannot carry out the instruction that accesses "
		"this device register (use --bars=io): ";
	static const char elsewhere[] =
		"viaduct: the registers are not those of this device access; use --bars=io, or "
		"with "
		"valgrind --vex-iropt-register-updates=allregs-at-mem-access: ";
	static int said;
	const char *reason = err == -ENOSYS ? unknown : elsewhere;
	char text[256];
	uint8_t bytes[15];
	unsigned int at = 0;

	if (__atomic_exchange_n(&said, 1, __ATOMIC_RELAXED))
		return;
	while (reason[at]) {
		text[at] = reason[at];
		at++;
	}
	for (unsigned int i = 0; i < sizeof(bytes); i++) {
		if (via_self_read(&bytes[i], (uint64_t)uc->uc_mcontext.gregs[REG_RIP] + i, 1))
			break;
		text[at++] = hex[bytes[i] >> 4];
		text[at++] = hex[bytes[i] & 15];
	}
	text[at++] = '\n';
	via_sys(SYS_write, STDERR_FILENO, text, at);
}

void via_trap_handler(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	uint64_t addr = (uint64_t)info->si_addr;
	bool write = uc->uc_mcontext.gregs[REG_ERR] & FAULT_WRITE;
	int saved_errno = errno, err;
	struct via_emulate_fault failed = {addr, write};
	struct fault fault = {addr, false};
	struct via_piece p;

	if (via_inprocess_inside() && via_guard_fixup(context))
		return;
	if (info->si_code <= 0 || !via_maps_find(addr, &p) || !trapped(&p, write)) {
		via_signals_chain(info, context);
		errno = saved_errno;
		return;
	}
	err = via_emulate(uc, &ops, &fault, &failed);
	if (err == -ENOSYS || err == -EILSEQ) {
		say_unsupported(uc, err);
		via_signals_chain(info, context);
	} else if (err == -EFAULT) {
		info->si_addr = (void *)failed.addr;
		via_signals_chain(info, context);
	} else if (err) {
		via_signals_bus_error(failed.addr, context);
	}
	errno = saved_errno;
}
