/* SPDX-License-Identifier: MIT */
/*
 * Every instruction form runs twice from the same random registers: on the
 * page with access, by the processor; and on the page without, by emulation
 * over a copy of its bytes. Registers, flags, vector registers and memory must
 * come out the same.
 */
#include "preload/alu.h"
#include "preload/decode.h"

#include <cpuid.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

enum { PAGE = 4096, ROUNDS = 60 };

struct state {
	uint64_t rax, rbx, rcx, rdx, rsi, rdi, r8, flags;
	uint8_t vec[3][64]; /* registers 0, 1 and 17 */
};
_Static_assert(offsetof(struct state, flags) == 56 && offsetof(struct state, vec) == 64,
	       "the stubs below know this layout");

/* The trapped page, reachable relative to rip. */
uint8_t via_test_page[PAGE] __attribute__((aligned(4096)));
static uint8_t shadow[PAGE];
static uint8_t ordinary[PAGE];

/* clang-format off */
#define LOAD_INT ""
#define SAVE_INT ""
#define LOAD_AVX "vmovdqu 64(%rdi), %ymm0\n vmovdqu 128(%rdi), %ymm1\n"
#define SAVE_AVX "vmovdqu %ymm0, 64(%r15)\n vmovdqu %ymm1, 128(%r15)\n vzeroupper\n"
#define LOAD_AVX512 "vmovdqu64 64(%rdi), %zmm0\n vmovdqu64 128(%rdi), %zmm1\n" \
		    "vmovdqu64 192(%rdi), %zmm17\n"
#define SAVE_AVX512 "vmovdqu64 %zmm0, 64(%r15)\n vmovdqu64 %zmm1, 128(%r15)\n" \
		    "vmovdqu64 %zmm17, 192(%r15)\n vzeroupper\n"

#define STUB(id, kind, insn)                                                              \
	__asm__(".pushsection .text\n form_" #id ":\n endbr64\n push %rbx\n push %r15\n"   \
		"mov %rdi, %r15\n" LOAD_##kind "pushq 56(%r15)\n popfq\n"                  \
		"mov 0(%r15), %rax\n mov 8(%r15), %rbx\n mov 16(%r15), %rcx\n"             \
		"mov 24(%r15), %rdx\n mov 32(%r15), %rsi\n mov 40(%r15), %rdi\n"           \
		"mov 48(%r15), %r8\n" insn "\n pushfq\n cld\n popq 56(%r15)\n"             \
		"mov %rax, 0(%r15)\n mov %rbx, 8(%r15)\n mov %rcx, 16(%r15)\n"             \
		"mov %rdx, 24(%r15)\n mov %rsi, 32(%r15)\n mov %rdi, 40(%r15)\n"           \
		"mov %r8, 48(%r15)\n" SAVE_##kind                                          \
		"pop %r15\n pop %rbx\n ret\n .popsection");                                \
	void form_##id(struct state *state);

enum kind { KIND_INT, KIND_AVX, KIND_AVX512 };
enum setup { PLAIN, REPEAT, BIT, SEGMENT, INDEX, NEEDS_MOVBE, NEEDS_MOVDIR };

/* id, vector registers, what the operands need, instruction. rdi points into the page. */
#define FORMS(F) \
F(load8, INT, PLAIN, "movb (%rdi), %al") \
F(load8_high, INT, PLAIN, "movb (%rdi), %ah") \
F(load8_sil, INT, PLAIN, "movb (%rdi), %sil") \
F(load8_r8, INT, PLAIN, "movb (%rdi), %r8b") \
F(load16, INT, PLAIN, "movw (%rdi), %bx") \
F(load32, INT, PLAIN, "movl (%rdi), %ecx") \
F(load64, INT, PLAIN, "movq (%rdi), %r8") \
F(load_disp, INT, PLAIN, "movl -64(%rdi), %eax") \
F(load_index, INT, INDEX, "movl 8(%rdi,%rcx,4), %eax") \
F(load_rip, INT, PLAIN, "movl via_test_page+64(%rip), %eax") \
F(load_rip_imm, INT, PLAIN, "addl $0x12345, via_test_page+68(%rip)") \
F(load_fs, INT, SEGMENT, "movl %fs:(%rdi), %eax") \
F(load_moffs, INT, PLAIN, "xchg %rdi, %rbx\n xchg %rdi, %rbx\n movq (%rdi), %rax") \
F(store8, INT, PLAIN, "movb %cl, (%rdi)") \
F(store8_high, INT, PLAIN, "movb %dh, (%rdi)") \
F(store16, INT, PLAIN, "movw %dx, (%rdi)") \
F(store32, INT, PLAIN, "movl %r8d, (%rdi)") \
F(store64, INT, PLAIN, "movq %rbx, (%rdi)") \
F(store8_imm, INT, PLAIN, "movb $0x81, (%rdi)") \
F(store16_imm, INT, PLAIN, "movw $0x8123, (%rdi)") \
F(store32_imm, INT, PLAIN, "movl $0x89abcdef, (%rdi)") \
F(store64_imm, INT, PLAIN, "movq $-3, (%rdi)") \
F(movnti32, INT, PLAIN, "movnti %eax, (%rdi)") \
F(movnti64, INT, PLAIN, "movnti %rax, (%rdi)") \
F(movzx8_16, INT, PLAIN, "movzbw (%rdi), %ax") \
F(movzx8_32, INT, PLAIN, "movzbl (%rdi), %eax") \
F(movzx8_64, INT, PLAIN, "movzbq (%rdi), %rax") \
F(movzx16_32, INT, PLAIN, "movzwl (%rdi), %edx") \
F(movzx16_64, INT, PLAIN, "movzwq (%rdi), %rdx") \
F(movsx8_16, INT, PLAIN, "movsbw (%rdi), %ax") \
F(movsx8_32, INT, PLAIN, "movsbl (%rdi), %eax") \
F(movsx8_64, INT, PLAIN, "movsbq (%rdi), %rax") \
F(movsx16_32, INT, PLAIN, "movswl (%rdi), %eax") \
F(movsx16_64, INT, PLAIN, "movswq (%rdi), %rax") \
F(movsxd, INT, PLAIN, "movslq (%rdi), %rax") \
F(movbe16, INT, NEEDS_MOVBE, "movbe (%rdi), %ax") \
F(movbe32, INT, NEEDS_MOVBE, "movbe (%rdi), %eax") \
F(movbe64, INT, NEEDS_MOVBE, "movbe (%rdi), %rax") \
F(movbe16_out, INT, NEEDS_MOVBE, "movbe %cx, (%rdi)") \
F(movbe32_out, INT, NEEDS_MOVBE, "movbe %ecx, (%rdi)") \
F(movbe64_out, INT, NEEDS_MOVBE, "movbe %rcx, (%rdi)") \
F(movdiri, INT, NEEDS_MOVDIR, "movdiri %eax, (%rdi)") \
F(movdir64b, INT, NEEDS_MOVDIR, "movdir64b (%rsi), %rbx") \
F(add8, INT, PLAIN, "addb %al, (%rdi)") \
F(add16, INT, PLAIN, "addw %ax, (%rdi)") \
F(add32, INT, PLAIN, "addl %eax, (%rdi)") \
F(add64, INT, PLAIN, "addq %rax, (%rdi)") \
F(add8_imm, INT, PLAIN, "addb $0x7f, (%rdi)") \
F(add64_imm8, INT, PLAIN, "addq $-1, (%rdi)") \
F(add32_in, INT, PLAIN, "addl (%rdi), %eax") \
F(adc8, INT, PLAIN, "adcb %al, (%rdi)") \
F(adc32, INT, PLAIN, "adcl %eax, (%rdi)") \
F(adc64_in, INT, PLAIN, "adcq (%rdi), %rax") \
F(sbb16, INT, PLAIN, "sbbw %ax, (%rdi)") \
F(sbb64, INT, PLAIN, "sbbq %rax, (%rdi)") \
F(sub8, INT, PLAIN, "subb %dh, (%rdi)") \
F(sub16, INT, PLAIN, "subw %ax, (%rdi)") \
F(sub32, INT, PLAIN, "subl $0x1000, (%rdi)") \
F(sub64_in, INT, PLAIN, "subq (%rdi), %rax") \
F(and8, INT, PLAIN, "andb $0xf0, (%rdi)") \
F(and16_in, INT, PLAIN, "andw (%rdi), %ax") \
F(and32, INT, PLAIN, "andl %eax, (%rdi)") \
F(and64, INT, PLAIN, "andq %rax, (%rdi)") \
F(or8, INT, PLAIN, "orb %al, (%rdi)") \
F(or16, INT, PLAIN, "orw $0x8001, (%rdi)") \
F(or32, INT, PLAIN, "lock orl %eax, (%rdi)") \
F(or64_in, INT, PLAIN, "orq (%rdi), %rax") \
F(xor8, INT, PLAIN, "xorb (%rdi), %ah") \
F(xor32, INT, PLAIN, "xorl %eax, (%rdi)") \
F(xor64, INT, PLAIN, "xorq %rax, (%rdi)") \
F(not8, INT, PLAIN, "notb (%rdi)") \
F(not64, INT, PLAIN, "notq (%rdi)") \
F(neg16, INT, PLAIN, "negw (%rdi)") \
F(neg32, INT, PLAIN, "negl (%rdi)") \
F(inc8, INT, PLAIN, "incb (%rdi)") \
F(inc32, INT, PLAIN, "incl (%rdi)") \
F(inc64, INT, PLAIN, "lock incq (%rdi)") \
F(dec16, INT, PLAIN, "decw (%rdi)") \
F(dec64, INT, PLAIN, "decq (%rdi)") \
F(cmp8, INT, PLAIN, "cmpb $0x10, (%rdi)") \
F(cmp16, INT, PLAIN, "cmpw %ax, (%rdi)") \
F(cmp32_in, INT, PLAIN, "cmpl (%rdi), %eax") \
F(cmp64, INT, PLAIN, "cmpq $-2, (%rdi)") \
F(test8, INT, PLAIN, "testb $0x80, (%rdi)") \
F(test32, INT, PLAIN, "testl %eax, (%rdi)") \
F(test64, INT, PLAIN, "testq %rax, (%rdi)") \
F(shl32_1, INT, PLAIN, "shll $1, (%rdi)") \
F(shr8_1, INT, PLAIN, "shrb $1, (%rdi)") \
F(sar64_1, INT, PLAIN, "sarq $1, (%rdi)") \
F(rol16_1, INT, PLAIN, "rolw $1, (%rdi)") \
F(ror32_1, INT, PLAIN, "rorl $1, (%rdi)") \
F(imul32, INT, PLAIN, "imull (%rdi), %eax") \
F(imul64_imm, INT, PLAIN, "imulq $77, (%rdi), %rax") \
F(xchg8, INT, PLAIN, "xchgb %al, (%rdi)") \
F(xchg32, INT, PLAIN, "xchgl %eax, (%rdi)") \
F(xchg64, INT, PLAIN, "xchgq (%rdi), %rbx") \
F(xadd16, INT, PLAIN, "lock xaddw %ax, (%rdi)") \
F(xadd32, INT, PLAIN, "lock xaddl %eax, (%rdi)") \
F(xadd64, INT, PLAIN, "xaddq %rbx, (%rdi)") \
F(cmpxchg8, INT, PLAIN, "cmpxchgb %bl, (%rdi)") \
F(cmpxchg32, INT, PLAIN, "lock cmpxchgl %ebx, (%rdi)") \
F(cmpxchg32_hit, INT, PLAIN, "movl via_test_page+1024(%rip), %eax\n movl %eax, (%rdi)\n lock cmpxchgl %ebx, (%rdi)") \
F(cmpxchg64, INT, PLAIN, "lock cmpxchgq %rbx, (%rdi)") \
F(bt32_imm, INT, PLAIN, "btl $13, (%rdi)") \
F(bts16, INT, BIT, "btsw %dx, (%rdi)") \
F(bts32, INT, BIT, "btsl %edx, (%rdi)") \
F(bts64, INT, BIT, "lock btsq %rdx, (%rdi)") \
F(bts32_imm, INT, PLAIN, "lock btsl $31, (%rdi)") \
F(btr64_imm, INT, PLAIN, "btrq $63, (%rdi)") \
F(btc32, INT, BIT, "btcl %edx, (%rdi)") \
F(cmove, INT, PLAIN, "cmovel (%rdi), %eax") \
F(cmovg, INT, PLAIN, "cmovgq (%rdi), %rax") \
F(cmovbe, INT, PLAIN, "cmovbew (%rdi), %ax") \
F(setl, INT, PLAIN, "setl (%rdi)") \
F(setnp, INT, PLAIN, "setnp (%rdi)") \
F(push64, INT, PLAIN, "pushq (%rdi)\n popq %r8") \
F(clflush, INT, PLAIN, "clflush (%rdi)") \
F(movs8, INT, REPEAT, "movsb") \
F(movs32, INT, REPEAT, "movsl") \
F(rep_movs8, INT, REPEAT, "rep movsb") \
F(rep_movs16, INT, REPEAT, "rep movsw") \
F(rep_movs32, INT, REPEAT, "rep movsl") \
F(rep_movs64, INT, REPEAT, "rep movsq") \
F(rep_movs64_out, INT, REPEAT, "xchg %rdi, %rsi\n rep movsq") \
F(stos32, INT, REPEAT, "stosl") \
F(rep_stos8, INT, REPEAT, "rep stosb") \
F(rep_stos16, INT, REPEAT, "rep stosw") \
F(rep_stos64, INT, REPEAT, "rep stosq") \
F(lods8, INT, REPEAT, "xchg %rdi, %rsi\n lodsb") \
F(lods32, INT, REPEAT, "xchg %rdi, %rsi\n lodsl") \
F(rep_lods64, INT, REPEAT, "xchg %rdi, %rsi\n rep lodsq") \
F(movd_in, AVX, PLAIN, "movd (%rdi), %xmm0") \
F(movd_out, AVX, PLAIN, "movd %xmm0, (%rdi)") \
F(movq_in, AVX, PLAIN, "movq (%rdi), %xmm0") \
F(movq_out, AVX, PLAIN, "movq %xmm1, (%rdi)") \
F(movss_in, AVX, PLAIN, "movss (%rdi), %xmm0") \
F(movss_out, AVX, PLAIN, "movss %xmm0, (%rdi)") \
F(movsd_in, AVX, PLAIN, "movsd (%rdi), %xmm0") \
F(movsd_out, AVX, PLAIN, "movsd %xmm0, (%rdi)") \
F(movups_in, AVX, PLAIN, "movups (%rdi), %xmm1") \
F(movups_out, AVX, PLAIN, "movups %xmm1, (%rdi)") \
F(movdqu_in, AVX, PLAIN, "movdqu (%rdi), %xmm0") \
F(movdqu_out, AVX, PLAIN, "movdqu %xmm0, (%rdi)") \
F(movaps_in, AVX, PLAIN, "movaps via_test_page+256(%rip), %xmm0") \
F(movdqa_out, AVX, PLAIN, "movdqa %xmm0, via_test_page+256(%rip)") \
F(movntdq, AVX, PLAIN, "movntdq %xmm0, via_test_page+256(%rip)") \
F(movntdqa, AVX, PLAIN, "movntdqa via_test_page+256(%rip), %xmm0") \
F(lddqu, AVX, PLAIN, "lddqu (%rdi), %xmm0") \
F(movlps_in, AVX, PLAIN, "movlps (%rdi), %xmm0") \
F(movhps_in, AVX, PLAIN, "movhps (%rdi), %xmm0") \
F(movhpd_out, AVX, PLAIN, "movhpd %xmm0, (%rdi)") \
F(movlpd_out, AVX, PLAIN, "movlpd %xmm0, (%rdi)") \
F(vmovd_in, AVX, PLAIN, "vmovd (%rdi), %xmm0") \
F(vmovq_out, AVX, PLAIN, "vmovq %xmm0, (%rdi)") \
F(vmovss_in, AVX, PLAIN, "vmovss (%rdi), %xmm0") \
F(vmovdqu128_in, AVX, PLAIN, "vmovdqu (%rdi), %xmm0") \
F(vmovdqu256_in, AVX, PLAIN, "vmovdqu (%rdi), %ymm0") \
F(vmovdqu256_out, AVX, PLAIN, "vmovdqu %ymm0, (%rdi)") \
F(vmovups256_out, AVX, PLAIN, "vmovups %ymm1, (%rdi)") \
F(vmovntdq256, AVX, PLAIN, "vmovntdq %ymm1, via_test_page+256(%rip)") \
F(vmovhps, AVX, PLAIN, "vmovhps (%rdi), %xmm1, %xmm0") \
F(vmovlpd, AVX, PLAIN, "vmovlpd (%rdi), %xmm1, %xmm0") \
F(vbroadcastss, AVX, PLAIN, "vbroadcastss (%rdi), %ymm0") \
F(vpbroadcastb, AVX, PLAIN, "vpbroadcastb (%rdi), %ymm0") \
F(vbroadcasti128, AVX, PLAIN, "vbroadcasti128 (%rdi), %ymm1") \
F(vmovdqu64_zmm_in, AVX512, PLAIN, "vmovdqu64 (%rdi), %zmm0") \
F(vmovdqu64_zmm_out, AVX512, PLAIN, "vmovdqu64 %zmm1, (%rdi)") \
F(vmovdqu64_ymm17_in, AVX512, PLAIN, "vmovdqu64 (%rdi), %ymm17") \
F(vmovdqu64_zmm17_out, AVX512, PLAIN, "vmovdqu64 %zmm17, (%rdi)") \
F(vmovdqu8_xmm17_in, AVX512, PLAIN, "vmovdqu8 (%rdi), %xmm17") \
F(vmovdqu_zmm_keep, AVX512, PLAIN, "movdqu (%rdi), %xmm0")
/* clang-format on */

#define DECLARE(id, kind, setup, insn) STUB(id, kind, insn)
FORMS(DECLARE)

static const struct form {
	const char *name;
	void (*run)(struct state *state);
	enum kind kind;
	enum setup setup;
} forms[] = {
#define ENTRY(id, kind, setup, insn) {insn, form_##id, KIND_##kind, setup},
	FORMS(ENTRY)};

/* The backend: the page's copy, or memory as it is ------------------------------- */

static unsigned int accesses;
static int access_error;

static void *where(uint64_t addr)
{
	if (addr - (uint64_t)via_test_page < PAGE)
		return shadow + (addr - (uint64_t)via_test_page);
	return (void *)addr;
}

static int fake_read(void *cookie, uint64_t addr, unsigned int size, uint64_t *ret_value)
{
	if (access_error)
		return access_error;
	*ret_value = 0x5555555555555555; /* above size: to be ignored */
	memcpy(ret_value, where(addr), size);
	accesses++;
	return 0;
}

static int fake_write(void *cookie, uint64_t addr, unsigned int size, uint64_t value)
{
	if (access_error)
		return access_error;
	memcpy(where(addr), &value, size);
	accesses++;
	return 0;
}

static const struct via_emulate_ops ops = {.read = fake_read, .write = fake_write};
static int emulate_result;
static struct via_emulate_fault emulate_fault;
static ucontext_t at_fault;
static sigjmp_buf escape;

static void on_segv(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;

	/* Emulation must not depend on the vector registers being what they were. */
	__asm__ volatile("pxor %%xmm0, %%xmm0\n\tpxor %%xmm1, %%xmm1" ::: "xmm0", "xmm1");
	emulate_result = via_emulate(uc, &ops, NULL, &emulate_fault);
	if (emulate_result) {
		memcpy(&at_fault, uc, sizeof(at_fault));
		siglongjmp(escape, 1);
	}
}

/* cmocka takes these signals for itself before each test. */
static void take_signals(void)
{
	static const struct sigaction action = {.sa_sigaction = on_segv,
						.sa_flags = SA_SIGINFO | SA_NODEFER};

	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
}

static void page_access(int prot)
{
	assert_int_equal(mprotect(via_test_page, PAGE, prot), 0);
}

/* Random operands ------------------------------------------------------------------ */

static uint64_t seed = 1;

static uint64_t rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static uint64_t interesting(void)
{
	static const uint64_t edge[] = {0,	    1,	       0x7f,	   0x80,       0xff,
					0x7fff,	    0x8000,    0xffff,	   0x7fffffff, 0x80000000,
					0xffffffff, INT64_MAX, 1ull << 63, UINT64_MAX};

	return rnd() % 3 ? rnd() : edge[rnd() % (sizeof(edge) / sizeof(edge[0]))];
}

static void fill(uint8_t *to, size_t len)
{
	for (size_t i = 0; i < len; i += 8) {
		uint64_t v = interesting();

		memcpy(to + i, &v, 8);
	}
}

static uint64_t fs_base(void)
{
	uint64_t base;

	__asm__("movq %%fs:0, %0" : "=r"(base)); /* the ABI keeps its own address there */
	return base;
}

static void operands(const struct form *form, struct state *s)
{
	uint64_t at = (uint64_t)via_test_page + 1024 + rnd() % 1024;

	*s = (struct state){.rax = interesting(),
			    .rbx = interesting(),
			    .rcx = interesting(),
			    .rdx = interesting(),
			    .rsi = (uint64_t)ordinary + 1024,
			    .rdi = at,
			    .r8 = interesting(),
			    .flags = 0x202 | (rnd() & VIA_FLAGS_STATUS)};
	fill(&s->vec[0][0], sizeof(s->vec));
	switch (form->setup) {
	case REPEAT:
		s->rcx = rnd() % 9;
		s->flags |= rnd() & 1 << 10;
		break;
	case BIT:
		s->rdx = (uint64_t)((int64_t)(rnd() % 4096) - 2048);
		break;
	case SEGMENT:
		s->rdi = at - fs_base();
		break;
	case INDEX:
		s->rcx = (uint64_t)((int64_t)(rnd() % 128) - 64);
		break;
	case NEEDS_MOVDIR:
		s->rbx = ((uint64_t)via_test_page + 512) & ~63ull;
		break;
	default:
		break;
	}
}

static bool supported(const struct form *form)
{
	uint32_t a, b, c, d;

	if (form->kind == KIND_AVX && !__builtin_cpu_supports("avx2"))
		return false;
	if (form->kind == KIND_AVX512 && !__builtin_cpu_supports("avx512bw"))
		return false;
	if (form->setup == NEEDS_MOVBE)
		return __get_cpuid(1, &a, &b, &c, &d) && (c >> 22 & 1);
	if (form->setup == NEEDS_MOVDIR)
		return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (c >> 27 & 1) && (c >> 28 & 1);
	return true;
}

/* Flags that the manual leaves undefined for an instruction are not compared. */
static uint64_t defined_flags(const struct form *form)
{
	uint64_t mask = VIA_FLAGS_STATUS | 1 << 10;

	if (strstr(form->name, "bt") == form->name || strstr(form->name, "lock bt"))
		mask &= ~0x894ull; /* PF AF SF OF; ZF stays */
	else if (strncmp(form->name, "imul", 4) == 0)
		mask &= ~0xd4ull;
	else if (strncmp(form->name, "and", 3) == 0 || strstr(form->name, "or") ||
		 strncmp(form->name, "test", 4) == 0 || strncmp(form->name, "sh", 2) == 0 ||
		 strncmp(form->name, "sar", 3) == 0)
		mask &= ~0x10ull;
	return mask;
}

static void run_both(const struct form *form)
{
	uint8_t before[PAGE], other_before[PAGE], other_real[PAGE];
	struct state in, real, ours;

	fill(before, PAGE);
	fill(other_before, PAGE);
	operands(form, &in);
	if (form->run == form_cmpxchg8 && rnd() % 2)
		in.rax = before[in.rdi - (uint64_t)via_test_page];

	page_access(PROT_READ | PROT_WRITE);
	memcpy(via_test_page, before, PAGE);
	memcpy(ordinary, other_before, PAGE);
	real = in;
	form->run(&real);
	memcpy(other_real, ordinary, PAGE);

	memcpy(shadow, before, PAGE);
	memcpy(ordinary, other_before, PAGE);
	page_access(PROT_NONE);
	ours = in;
	if (sigsetjmp(escape, 1)) {
		fail_msg("%s: emulation gave %d", form->name, emulate_result);
	} else {
		form->run(&ours);
	}
	page_access(PROT_READ | PROT_WRITE);
	real.flags &= defined_flags(form);
	ours.flags &= defined_flags(form);
	if (memcmp(&real, &ours, sizeof(real)) != 0) {
		const uint64_t *r = (const uint64_t *)&real, *o = (const uint64_t *)&ours;

		for (size_t i = 0; i < sizeof(real) / 8; i++)
			if (r[i] != o[i])
				print_error("%s: word %zu processor %#llx emulation %#llx\n",
					    form->name, i, (unsigned long long)r[i],
					    (unsigned long long)o[i]);
		fail_msg("%s: registers differ", form->name);
	}
	if (memcmp(via_test_page, shadow, PAGE) != 0 || memcmp(other_real, ordinary, PAGE) != 0)
		fail_msg("%s: memory differs", form->name);
}

static void test_forms(void **state)
{
	unsigned int skipped = 0;

	take_signals();
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		if (!supported(&forms[i])) {
			skipped++;
			continue;
		}
		accesses = 0;
		for (unsigned int round = 0; round < ROUNDS; round++)
			run_both(&forms[i]);
		if (forms[i].run != form_clflush)
			assert_true(accesses > 0);
	}
	print_message("%zu instruction forms, %u not of this processor\n",
		      sizeof(forms) / sizeof(forms[0]), skipped);
}

/* The shift count and the flags it leaves, against the processor's own shift of a register. */
static void test_shift_by_nothing(void **state)
{
	uint64_t flags = 0x8d5;

	assert_int_equal(via_alu(VIA_ALU_SHL, 4, 0x1234, 32, &flags), 0x1234);
	assert_int_equal(flags, 0x8d5);
}

/* What is not known changes nothing; an access that fails leaves rip and names its address. */
static void test_refusals(void **state)
{
	struct state s = {.rdi = (uint64_t)via_test_page + 64, .flags = 0x202, .rcx = 4};
	uint64_t rip;

	take_signals();
	page_access(PROT_NONE);
	if (!sigsetjmp(escape, 1)) {
		__asm__ volatile("fldl (%0)" ::"r"(via_test_page));
		fail();
	}
	assert_int_equal(emulate_result, -ENOSYS);

	access_error = -EIO;
	if (!sigsetjmp(escape, 1)) {
		form_store32(&s);
		fail();
	}
	assert_int_equal(emulate_result, -EIO);
	assert_int_equal(emulate_fault.addr, (uint64_t)via_test_page + 64);
	assert_true(emulate_fault.write);
	rip = (uint64_t)at_fault.uc_mcontext.gregs[REG_RIP];
	assert_true(rip > (uint64_t)form_store32 && rip < (uint64_t)form_store32 + 100);

	if (!sigsetjmp(escape, 1)) {
		form_load8(&s);
		fail();
	}
	assert_false(emulate_fault.write);
	access_error = 0;
	page_access(PROT_READ | PROT_WRITE);
}

/* An instruction that ends at the last byte of its page, with nothing mapped after it. */
static void test_page_end(void **state)
{
	static const uint8_t code[] = {0x8b, 0x07, 0xc3}; /* mov (%rdi), %eax; ret */
	uint8_t *text =
		mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint32_t value = 0xabcd1234, (*fn)(void *);

	take_signals();
	assert_true(text != MAP_FAILED);
	memcpy(text + PAGE - sizeof(code), code, sizeof(code));
	assert_int_equal(mprotect(text, PAGE, PROT_READ | PROT_EXEC), 0);
	assert_int_equal(munmap(text + PAGE, PAGE), 0);
	memcpy(shadow + 8, &value, 4);
	page_access(PROT_NONE);
	fn = (uint32_t(*)(void *))(uintptr_t)(text + PAGE - sizeof(code));
	if (sigsetjmp(escape, 1))
		fail();
	assert_int_equal(fn(via_test_page + 8), value);
	page_access(PROT_READ | PROT_WRITE);
	munmap(text, PAGE);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_shift_by_nothing),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_page_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
