/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as the instruction that touched a trapped page, with any content
 * of the registers. The code is where its page ends; the next page is not
 * there, or it is and the instruction may go on in it.
 */
#include "fuzz.h"

#include "preload/decode.h"

#include <errno.h>
#include <sys/mman.h>

#define PAGE 4096u
#define CODE_MAX 15u
#define XSAVE_SIZE 4096u

struct memory {
	unsigned int accesses, fail_at;
	uint64_t word;
};

static int access_memory(struct memory *m, unsigned int size)
{
	FUZZ_CHECK(size >= 1 && size <= 8);
	return ++m->accesses == m->fail_at ? -EFAULT : 0;
}

static int read_memory(void *cookie, uint64_t addr, unsigned int size, uint64_t *ret_value)
{
	struct memory *m = cookie;
	int r = access_memory(m, size);

	if (!r)
		*ret_value = m->word;
	return r;
}

static int write_memory(void *cookie, uint64_t addr, unsigned int size, uint64_t value)
{
	FUZZ_CHECK(size == 8 || value < 1ull << 8 * size);
	return access_memory(cookie, size);
}

/* The end of a page, with a page behind it or not. */
static uint8_t *page_end(bool more)
{
	static uint8_t *made[2];
	uint8_t *page = made[more];

	if (!page) {
		page = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			    0);
		FUZZ_CHECK(page != MAP_FAILED);
		FUZZ_CHECK(more || mprotect(page + PAGE, PAGE, PROT_NONE) == 0);
		made[more] = page;
	}
	return page + PAGE;
}

/* The image of a frame with as many vector registers as the processor has. */
static void fill_xsave(uint8_t *image, struct fuzz_input *in, bool extended)
{
	const uint32_t magic = 0x46505853, size = XSAVE_SIZE;
	const uint64_t features = 0xe7;

	memset(image, 0, XSAVE_SIZE);
	fuzz_bytes(in, image + 160, 32);
	memset(image + 464, 0, 48);
	if (!extended)
		return;
	memcpy(image + 464, &magic, sizeof(magic));
	memcpy(image + 472, &features, sizeof(features));
	memcpy(image + 480, &size, sizeof(size));
	memset(image + 512, 0, 64);
	image[512] = (uint8_t)fuzz_u8(in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct via_emulate_ops ops = {read_memory, write_memory};
	struct fuzz_input in = {data, size};
	struct via_emulate_fault fault = {0};
	uint8_t first = fuzz_u8(&in), len = first % (CODE_MAX + 1), how, *code;
	_Alignas(64) static uint8_t xsave[XSAVE_SIZE];
	struct memory memory = {0};
	ucontext_t uc;
	greg_t rip;
	int r;

	if (first & 0x80)
		code = page_end(true) - (first >> 4 & 7);
	else
		code = page_end(false) - CODE_MAX;
	memset(code, 0xcc, CODE_MAX);
	fuzz_bytes(&in, code, len);
	how = fuzz_u8(&in);
	memory.fail_at = how & 0x1f;
	memset(&uc, 0, sizeof(uc));
	for (unsigned int i = REG_R8; i <= REG_RSP; i++)
		uc.uc_mcontext.gregs[i] = (greg_t)fuzz_number(&in);
	/* A repeat count is work, which a program may ask for; not here. */
	uc.uc_mcontext.gregs[REG_RCX] &= 0xff;
	uc.uc_mcontext.gregs[REG_EFL] = (greg_t)(fuzz_u16(&in) & 0xcd5u) | 2;
	memory.word = fuzz_u64(&in);
	rip = (greg_t)(uintptr_t)code;
	uc.uc_mcontext.gregs[REG_RIP] = rip;
	if (how & 0x80) {
		fill_xsave(xsave, &in, how & 0x40);
		uc.uc_mcontext.fpregs = (fpregset_t)(void *)xsave;
	}
	r = via_emulate(&uc, &ops, &memory, &fault);
	FUZZ_CHECK(r == 0 || r == -ENOSYS || r == -EFAULT);
	if (r == 0)
		FUZZ_CHECK(uc.uc_mcontext.gregs[REG_RIP] > rip &&
			   uc.uc_mcontext.gregs[REG_RIP] <= rip + (greg_t)CODE_MAX);
	else
		FUZZ_CHECK(uc.uc_mcontext.gregs[REG_RIP] == rip);
	if (r == -ENOSYS)
		FUZZ_CHECK(memory.accesses == 0);
	return 0;
}
