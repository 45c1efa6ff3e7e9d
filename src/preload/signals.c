/* SPDX-License-Identifier: MIT */
#include "preload/signals.h"

#include "preload/client.h"
#include "preload/lock.h"
#include "preload/real.h"
#include "preload/sys.h"

#include "memory/guard.h"

#include <errno.h>
#include <string.h>
#include <ucontext.h>

static struct via_lock lock;
/* Atomic. */
static bool installed;
/* lock: what the program thinks is installed for SIGSEGV. */
static struct sigaction segv;
/* Atomic. */
static bool bus_installed;
/* lock: the same for SIGBUS, which only has a handler underneath in process. */
static struct sigaction bus;
/* Atomic: signals whose handler the program wants to run with SIGSEGV blocked. */
static uint64_t wants_blocked;

/* This thread's mask has SIGSEGV, as the program sees it. */
static __thread bool blocked __attribute__((tls_model("initial-exec")));
/* Inside the program's SIGSEGV handler, and what blocked was before. */
static __thread unsigned int depth __attribute__((tls_model("initial-exec")));
static __thread bool blocked_outside __attribute__((tls_model("initial-exec")));

/* Installing ------------------------------------------------------------------------------ */

/* The kernel's action underneath: the program's stack and mask, never blocked, our handler. */
static int install(const struct sigaction *program)
{
	struct sigaction under = {
		.sa_sigaction = via_trap_handler,
		.sa_flags =
			SA_SIGINFO | SA_NODEFER | (program->sa_flags & (SA_ONSTACK | SA_RESTART)),
		.sa_mask = program->sa_mask,
	};

	sigdelset(&under.sa_mask, SIGSEGV);
	return REAL(sigaction)(SIGSEGV, &under, NULL);
}

void via_signals_install(void)
{
	struct sigaction now;
	uint64_t old;

	if (__atomic_load_n(&installed, __ATOMIC_ACQUIRE))
		return;
	old = via_lock(&lock);
	if (!installed && !REAL(sigaction)(SIGSEGV, NULL, &now)) {
		segv = now;
		install(&segv);
		__atomic_store_n(&installed, true, __ATOMIC_RELEASE);
	}
	via_unlock(&lock, old);
}

void via_signals_after_fork(void)
{
	via_lock_reset(&lock);
}

/* Chaining --------------------------------------------------------------------------------- */

/* Let the kernel do what it does without a handler, when the thread goes on. */
static void default_action(int sig, siginfo_t *info)
{
	struct sigaction dfl = {.sa_handler = SIG_DFL};
	uint64_t mask = 1ull << (sig - 1);

	REAL(sigaction)(sig, &dfl, NULL);
	/* A fault happens again by itself; a signal that somebody sent does not. */
	if (info->si_code <= 0)
		via_sys(SYS_tgkill, via_sys(SYS_getpid, 0), via_sys(SYS_gettid, 0), sig);
	via_sys(SYS_rt_sigprocmask, SIG_UNBLOCK, &mask, NULL, sizeof(mask));
}

void via_signals_chain(siginfo_t *info, void *context)
{
	uint64_t old = via_lock(&lock);
	struct sigaction act = segv;
	bool sent = info->si_code <= 0, ignored;

	ignored = !(act.sa_flags & SA_SIGINFO) && act.sa_handler == SIG_IGN;
	if (act.sa_flags & SA_RESETHAND && !ignored)
		segv = (struct sigaction){.sa_handler = SIG_DFL};
	via_unlock(&lock, old);

	if (sent && ignored)
		return;
	if (ignored || (!(act.sa_flags & SA_SIGINFO) && act.sa_handler == SIG_DFL) ||
	    (blocked && !sent)) {
		default_action(SIGSEGV, info);
		return;
	}
	if (!depth++)
		blocked_outside = blocked;
	blocked = blocked || !(act.sa_flags & SA_NODEFER) || sigismember(&act.sa_mask, SIGSEGV);
	if (act.sa_flags & SA_SIGINFO)
		act.sa_sigaction(SIGSEGV, info, context);
	else
		/* Handlers may look at the further arguments, as the kernel always passes them. */
		((void (*)(int, siginfo_t *, void *))(void (*)(void))act.sa_handler)(SIGSEGV, info,
										     context);
	if (!--depth)
		blocked = blocked_outside;
}

static void on_bus(int sig, siginfo_t *info, void *context)
{
	struct sigaction act;
	bool ignored;
	uint64_t old;

	if (via_guard_fixup(context))
		return;
	old = via_lock(&lock);
	act = bus;
	ignored = !(act.sa_flags & SA_SIGINFO) && act.sa_handler == SIG_IGN;
	if (act.sa_flags & SA_RESETHAND && !ignored)
		bus = (struct sigaction){.sa_handler = SIG_DFL};
	via_unlock(&lock, old);
	if (ignored && info->si_code <= 0)
		return;
	if (ignored || (!(act.sa_flags & SA_SIGINFO) && act.sa_handler == SIG_DFL))
		default_action(sig, info);
	else if (act.sa_flags & SA_SIGINFO)
		act.sa_sigaction(sig, info, context);
	else
		((void (*)(int, siginfo_t *, void *))(void (*)(void))act.sa_handler)(sig, info,
										     context);
}

/* The kernel does what the program's flags and mask ask for. */
static void install_bus(const struct sigaction *program)
{
	struct sigaction under = {
		.sa_sigaction = on_bus,
		.sa_flags = SA_SIGINFO | (program->sa_flags & (SA_ONSTACK | SA_RESTART | SA_NODEFER)),
		.sa_mask = program->sa_mask,
	};

	sigdelset(&under.sa_mask, SIGSEGV);
	REAL(sigaction)(SIGBUS, &under, NULL);
}

void via_signals_guard_host(void)
{
	uint64_t old;

	via_signals_install();
	old = via_lock(&lock);
	if (!bus_installed && !REAL(sigaction)(SIGBUS, NULL, &bus)) {
		install_bus(&bus);
		__atomic_store_n(&bus_installed, true, __ATOMIC_RELEASE);
	}
	via_unlock(&lock, old);
}

/*
 * Queued rather than called, so that the kernel picks the stack and mask: it
 * is delivered when the trap's handler returns, at the same instruction.
 */
void via_signals_bus_error(uint64_t addr, void *context)
{
	ucontext_t *uc = context;
	siginfo_t info = {.si_signo = SIGBUS, .si_code = BUS_ADRERR};
	struct sigaction act, dfl = {.sa_handler = SIG_DFL};

	info.si_addr = (void *)addr;
	/* A fault cannot be blocked or ignored: the process ends. */
	if (sigismember(&uc->uc_sigmask, SIGBUS) ||
	    (!REAL(sigaction)(SIGBUS, NULL, &act) && act.sa_handler == SIG_IGN)) {
		REAL(sigaction)(SIGBUS, &dfl, NULL);
		sigdelset(&uc->uc_sigmask, SIGBUS);
	}
	via_sys(SYS_rt_tgsigqueueinfo, via_sys(SYS_getpid, 0), via_sys(SYS_gettid, 0), SIGBUS,
		&info);
}

/* Actions ------------------------------------------------------------------------------------ */

static int set_segv(const struct sigaction *act, struct sigaction *old_act)
{
	uint64_t old = via_lock(&lock);
	struct sigaction before = segv;

	if (act) {
		segv = *act;
		install(act);
	}
	via_unlock(&lock, old);
	if (old_act)
		*old_act = before;
	return 0;
}

static int set_bus(const struct sigaction *act, struct sigaction *old_act)
{
	uint64_t old = via_lock(&lock);
	struct sigaction before = bus;

	if (act) {
		bus = *act;
		install_bus(act);
	}
	via_unlock(&lock, old);
	if (old_act)
		*old_act = before;
	return 0;
}

static int set_action(int sig, const struct sigaction *act, struct sigaction *old_act)
{
	struct sigaction copy;
	uint64_t bit, before;
	int ret;

	if (!via_client_present() || sig < 1 || sig > 64)
		return REAL(sigaction)(sig, act, old_act);
	if (sig == SIGSEGV && __atomic_load_n(&installed, __ATOMIC_ACQUIRE))
		return set_segv(act, old_act);
	if (sig == SIGBUS && __atomic_load_n(&bus_installed, __ATOMIC_ACQUIRE))
		return set_bus(act, old_act);
	bit = 1ull << (sig - 1);
	before = __atomic_load_n(&wants_blocked, __ATOMIC_RELAXED);
	if (act && sig != SIGSEGV) {
		copy = *act;
		if (sigismember(&copy.sa_mask, SIGSEGV))
			__atomic_or_fetch(&wants_blocked, bit, __ATOMIC_RELAXED);
		else
			__atomic_and_fetch(&wants_blocked, ~bit, __ATOMIC_RELAXED);
		sigdelset(&copy.sa_mask, SIGSEGV);
		act = &copy;
	}
	ret = REAL(sigaction)(sig, act, old_act);
	if (!ret && old_act && before & bit)
		sigaddset(&old_act->sa_mask, SIGSEGV);
	return ret;
}

VIA_INTERPOSE int sigaction(int sig, const struct sigaction *restrict act,
			    struct sigaction *restrict old)
{
	return set_action(sig, act, old);
}

VIA_INTERPOSE int __sigaction(int sig, const struct sigaction *act, struct sigaction *old);
VIA_INTERPOSE int __sigaction(int sig, const struct sigaction *act, struct sigaction *old)
{
	return set_action(sig, act, old);
}

static sighandler_t set_handler(int sig, sighandler_t handler, int flags, bool mask_self)
{
	struct sigaction act = {.sa_handler = handler, .sa_flags = flags}, old;

	sigemptyset(&act.sa_mask);
	if (mask_self)
		sigaddset(&act.sa_mask, sig);
	if (handler == SIG_ERR || sig < 1 || sig > 64) {
		errno = EINVAL;
		return SIG_ERR;
	}
	return set_action(sig, &act, &old) < 0 ? SIG_ERR : old.sa_handler;
}

VIA_INTERPOSE sighandler_t signal(int sig, sighandler_t handler)
{
	return set_handler(sig, handler, SA_RESTART, true);
}

sighandler_t bsd_signal(int sig, sighandler_t handler);
VIA_INTERPOSE sighandler_t bsd_signal(int sig, sighandler_t handler)
{
	return set_handler(sig, handler, SA_RESTART, true);
}

VIA_INTERPOSE sighandler_t ssignal(int sig, sighandler_t handler)
{
	return set_handler(sig, handler, SA_RESTART, true);
}

VIA_INTERPOSE sighandler_t sysv_signal(int sig, sighandler_t handler)
{
	return set_handler(sig, handler, SA_RESETHAND | SA_NODEFER, false);
}

VIA_INTERPOSE sighandler_t __sysv_signal(int sig, sighandler_t handler)
{
	return set_handler(sig, handler, SA_RESETHAND | SA_NODEFER, false);
}

/* Masks ---------------------------------------------------------------------------------------- */

static int set_mask(int how, const sigset_t *set, sigset_t *old)
{
	bool before = blocked, named = false;
	sigset_t copy;
	int err;

	if (!via_client_present())
		return REAL(pthread_sigmask)(how, set, old);
	if (set) {
		copy = *set;
		named = sigismember(&copy, SIGSEGV) == 1;
		if (how != SIG_UNBLOCK)
			sigdelset(&copy, SIGSEGV);
		set = &copy;
	}
	err = REAL(pthread_sigmask)(how, set, old);
	if (err)
		return err;
	if (set && how == SIG_SETMASK)
		blocked = named;
	else if (set && named)
		blocked = how == SIG_BLOCK;
	if (old && before)
		sigaddset(old, SIGSEGV);
	return 0;
}

VIA_INTERPOSE int pthread_sigmask(int how, const sigset_t *restrict set, sigset_t *restrict old)
{
	return set_mask(how, set, old);
}

VIA_INTERPOSE int sigprocmask(int how, const sigset_t *restrict set, sigset_t *restrict old)
{
	int err = set_mask(how, set, old);

	if (err) {
		errno = err;
		return -1;
	}
	return 0;
}

/* Jumping out of a handler
 * -------------------------------------------------------------------------- */

static void leave_handlers(void)
{
	if (depth) {
		depth = 0;
		blocked = blocked_outside;
	}
}

VIA_INTERPOSE _Noreturn void siglongjmp(sigjmp_buf env, int value)
{
	leave_handlers();
	REAL(siglongjmp)(env, value);
	__builtin_unreachable();
}

VIA_INTERPOSE _Noreturn void longjmp(jmp_buf env, int value)
{
	leave_handlers();
	REAL(siglongjmp)(env, value);
	__builtin_unreachable();
}

VIA_INTERPOSE _Noreturn void _longjmp(jmp_buf env, int value)
{
	leave_handlers();
	REAL(siglongjmp)(env, value);
	__builtin_unreachable();
}

_Noreturn void __longjmp_chk(sigjmp_buf env, int value);
VIA_INTERPOSE _Noreturn void __longjmp_chk(sigjmp_buf env, int value)
{
	leave_handlers();
	REAL(__longjmp_chk)(env, value);
	__builtin_unreachable();
}
