/* SPDX-License-Identifier: MIT */
#include "memory/guard.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/uio.h>
#include <ucontext.h>
#include <unistd.h>

/* Atomic: somebody's handler calls via_guard_fixup(). */
static bool active;
/* Of this thread at least. */
static __thread bool active_here __attribute__((tls_model("initial-exec")));

#if defined(__x86_64__)

#define HAVE_LOOP 1

/* Bytes at and after which rep movsb is as fast as vector moves. */
#define REP_MIN "1024"

/* 0, or 1 when an access between via_guard_first and via_guard_end faulted. */
extern int via_guard_loop(void *dst, const void *src, size_t len);
extern const char via_guard_first[], via_guard_end[], via_guard_failed[];

__asm__(".pushsection .text\n"
	".hidden via_guard_loop\n"
	".hidden via_guard_first\n"
	".hidden via_guard_end\n"
	".hidden via_guard_failed\n"
	".globl via_guard_loop, via_guard_first, via_guard_end, via_guard_failed\n"
	".p2align 5\n"
	".type via_guard_loop, @function\n"
	"via_guard_loop:\n"
	".cfi_startproc\n"
	"	endbr64\n"
	"via_guard_first:\n"
	"	cmpq $" REP_MIN ", %rdx\n"
	"	jae 7f\n"
	"0:	subq $64, %rdx\n"
	"	jb 1f\n"
	"	movups (%rsi), %xmm0\n"
	"	movups 16(%rsi), %xmm1\n"
	"	movups 32(%rsi), %xmm2\n"
	"	movups 48(%rsi), %xmm3\n"
	"	movups %xmm0, (%rdi)\n"
	"	movups %xmm1, 16(%rdi)\n"
	"	movups %xmm2, 32(%rdi)\n"
	"	movups %xmm3, 48(%rdi)\n"
	"	addq $64, %rsi\n"
	"	addq $64, %rdi\n"
	"	jmp 0b\n"
	"1:	addq $64, %rdx\n"
	"2:	cmpq $16, %rdx\n"
	"	jb 3f\n"
	"	movups (%rsi), %xmm0\n"
	"	movups %xmm0, (%rdi)\n"
	"	addq $16, %rsi\n"
	"	addq $16, %rdi\n"
	"	subq $16, %rdx\n"
	"	jmp 2b\n"
	"3:	testb $8, %dl\n"
	"	jz 4f\n"
	"	movq (%rsi), %rax\n"
	"	movq %rax, (%rdi)\n"
	"	addq $8, %rsi\n"
	"	addq $8, %rdi\n"
	"4:	testb $4, %dl\n"
	"	jz 5f\n"
	"	movl (%rsi), %eax\n"
	"	movl %eax, (%rdi)\n"
	"	addq $4, %rsi\n"
	"	addq $4, %rdi\n"
	"5:	testb $2, %dl\n"
	"	jz 6f\n"
	"	movzwl (%rsi), %eax\n"
	"	movw %ax, (%rdi)\n"
	"	addq $2, %rsi\n"
	"	addq $2, %rdi\n"
	"6:	testb $1, %dl\n"
	"	jz 8f\n"
	"	movzbl (%rsi), %eax\n"
	"	movb %al, (%rdi)\n"
	"	jmp 8f\n"
	"7:	movq %rdx, %rcx\n"
	"	rep movsb\n"
	"8:	xorl %eax, %eax\n"
	"	ret\n"
	"via_guard_end:\n"
	"via_guard_failed:\n"
	"	movl $1, %eax\n"
	"	ret\n"
	".cfi_endproc\n"
	".size via_guard_loop, . - via_guard_loop\n"
	".popsection\n");

bool via_guard_fixup(void *ucontext)
{
	ucontext_t *uc = ucontext;
	greg_t *pc = &uc->uc_mcontext.gregs[REG_RIP];

	if ((uintptr_t)*pc < (uintptr_t)via_guard_first ||
	    (uintptr_t)*pc >= (uintptr_t)via_guard_end)
		return via_guard_range_fixup((uintptr_t)uc->uc_mcontext.gregs[REG_CR2]);
	*pc = (greg_t)(uintptr_t)via_guard_failed;
	return true;
}

#else

#define HAVE_LOOP 0

static int via_guard_loop(void *dst, const void *src, size_t len)
{
	return 1;
}

bool via_guard_fixup(void *ucontext)
{
	return false;
}

#endif

void via_guard_adopt(bool on)
{
	__atomic_store_n(&active, on && HAVE_LOOP, __ATOMIC_RELEASE);
}

void via_guard_adopt_thread(void)
{
	active_here = HAVE_LOOP;
}

/* Faults may be had: they end at the error exit. */
static inline bool safe(void)
{
	return __builtin_expect(__atomic_load_n(&active, __ATOMIC_RELAXED) || active_here, 1);
}

static pthread_mutex_t install_lock = PTHREAD_MUTEX_INITIALIZER;
/* Whom we pass on to: written under install_lock before our handler is in place. */
static struct sigaction old_segv, old_bus;

static void on_fault(int sig, siginfo_t *info, void *ucontext)
{
	const struct sigaction *old = sig == SIGBUS ? &old_bus : &old_segv;

	if (via_guard_fixup(ucontext) || via_guard_range_fixup((uintptr_t)info->si_addr))
		return;
	if (old->sa_flags & SA_SIGINFO) {
		old->sa_sigaction(sig, info, ucontext);
		return;
	}
	if (old->sa_handler != SIG_DFL && old->sa_handler != SIG_IGN) {
		old->sa_handler(sig);
		return;
	}
	/* One that was sent, not caused by an access, may be ignored; and is not repeated. */
	if (info->si_code <= 0 && old->sa_handler == SIG_IGN)
		return;
	(void)signal(sig, SIG_DFL);
	if (info->si_code <= 0)
		(void)raise(sig);
}

static int take(int sig, struct sigaction *old)
{
	struct sigaction sa = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	struct sigaction found;

	if (sigaction(sig, NULL, &found))
		return -errno;
	if ((found.sa_flags & SA_SIGINFO) && found.sa_sigaction == on_fault)
		return 0;
	*old = found;
	(void)sigemptyset(&sa.sa_mask);
	return sigaction(sig, &sa, NULL) ? -errno : 0;
}

int via_guard_install(void)
{
	int rc;

	pthread_mutex_lock(&install_lock);
	rc = take(SIGSEGV, &old_segv);
	if (!rc)
		rc = take(SIGBUS, &old_bus);
	if (!rc)
		via_guard_adopt(true);
	pthread_mutex_unlock(&install_lock);
	return rc;
}

/* process_vm_* copies at most this much a call. */
#define KERNEL_COPY_MAX ((size_t)1 << 30)

static int kernel_copy(void *good, void *bad, size_t len, bool write)
{
	while (len) {
		size_t n = len < KERNEL_COPY_MAX ? len : KERNEL_COPY_MAX;
		struct iovec local = { good, n }, remote = { bad, n };
		ssize_t rc = write ? process_vm_writev(getpid(), &local, 1, &remote, 1, 0)
				   : process_vm_readv(getpid(), &local, 1, &remote, 1, 0);

		if (rc <= 0)
			return -EFAULT;
		good = (char *)good + rc;
		bad = (char *)bad + rc;
		len -= (size_t)rc;
	}
	return 0;
}

int via_guard_read(void *dst, const void *bad, size_t len)
{
	if (safe())
		return __builtin_expect(via_guard_loop(dst, bad, len), 0) ? -EFAULT : 0;
	return kernel_copy(dst, (void *)(uintptr_t)bad, len, false);
}

int via_guard_write(void *bad, const void *src, size_t len)
{
	if (safe())
		return __builtin_expect(via_guard_loop(bad, src, len), 0) ? -EFAULT : 0;
	return kernel_copy((void *)(uintptr_t)src, bad, len, true);
}
