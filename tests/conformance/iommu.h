/* SPDX-License-Identifier: MIT */
/*
 * Calls of I/O address spaces: containers, /dev/iommu, and both at once. Lists
 * of cases, and sequences that a generator makes from a seed.
 *
 * A sequence depends on its seed and on the results of its own calls only, and
 * starts with fresh descriptors, so that a wrong answer in one does not change
 * the next.
 */
#ifndef VIA_CONFORMANCE_IOMMU_H
#define VIA_CONFORMANCE_IOMMU_H

#include "calls.h"

#include <viaduct/abi/iommufd.h>

/* More memory at fixed places: private, and the memfd behind FD_MEMORY. */
#define LAND ((uintptr_t)0x30000000)
#define LAND_PAGES 256u
#define MEMORY ((uintptr_t)0x31000000)
#define MEMORY_PAGES 32u
/* Of ARENA, for what a call reads or writes besides its structure. */
#define OUT PAGE_AT(20)

/* What is needed besides. */
struct machine {
	struct subject subject;
	const char *cdev; /* of the same device */
	uint64_t seed;	  /* of the generator */
};

void memory_make(void);

/* The generator: the same numbers everywhere for a seed. */
void seed_with(uint64_t seed, uint64_t sequence);
uint64_t random64(void);
unsigned int below(unsigned int n);
/* True in one of n cases. */
bool rarely(unsigned int n);

/* Words at an address that a call may write, filled with fill before it. */
struct shown {
	uintptr_t at;
	unsigned int words;
	uint32_t fill;
};

/* As call(), printing also what is shown, unless NULL. */
long io(const struct door *door, int fd, const char *name, unsigned long cmd, unsigned int n,
	const uint32_t *words, const struct shown *shown);
#define WORDS(...)                                                         \
	sizeof((uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t), (uint32_t[]) \
	{                                                                  \
		__VA_ARGS__                                                \
	}
#define IO(door, fd, name, ...) io(door, fd, #name, VIA_IOMMU_##name, WORDS(__VA_ARGS__), NULL)
#define IO_SHOWN(door, fd, name, shown, ...) \
	io(door, fd, #name, VIA_IOMMU_##name, WORDS(__VA_ARGS__), shown)
/* As io() for a call that puts a descriptor into word fd_word: it becomes new_fd. */
long io_fd(const struct door *door, int fd, const char *name, unsigned long cmd, unsigned int n,
	   const uint32_t *words, unsigned int fd_word, int new_fd);
/* Word i, and two of them, of the structure as the last call left it. */
uint32_t word_after(unsigned int i);
uint64_t u64_after(unsigned int i);

/* The call with each size that matters; n words are all of it, min bytes the least. */
void sizes(const struct door *door, int fd, const char *name, unsigned long cmd, unsigned int min,
	   unsigned int n, const uint32_t *words);
/* The call with each bit of a word turned over, one at a time. */
void bits(const struct door *door, int fd, const char *name, unsigned long cmd, unsigned int n,
	  const uint32_t *words, unsigned int word, unsigned int width);

/* The test driver's command (0x3ba0), 72 bytes. */
#define TEST_CMD 0x3ba0
enum {
	TEST_ADD_RESERVED = 1,
	TEST_MOCK_DOMAIN,
	TEST_CHECK_MAP,
	TEST_CHECK_REFS,
	TEST_CREATE_ACCESS,
	TEST_DESTROY_ACCESS_PAGES,
	TEST_ACCESS_PAGES,
	TEST_ACCESS_RW,
	TEST_TEMP_MEMORY_LIMIT,
	TEST_REPLACE,
	TEST_ACCESS_REPLACE_IOAS,
	TEST_MOCK_DOMAIN_FLAGS,
	TEST_DIRTY,
	TEST_CHECK_IOTLB,
	TEST_TRIGGER_IOPF,
	TEST_CHECK_CACHE,
	TEST_TRIGGER_VEVENT,
	TEST_PASID_ATTACH,
	TEST_PASID_REPLACE,
	TEST_PASID_DETACH,
	TEST_PASID_CHECK,
};
/* The words from offset 16 on; the rest is 0. */
long test_cmd(const struct door *door, unsigned int op, uint32_t id, unsigned int n,
	      const uint32_t *words);
/* The words are evaluated before id: recorded random sequences are in that order. */
#define TEST(door, op, id, ...)                                                            \
	({                                                                                 \
		const uint32_t words_[] = {__VA_ARGS__};                                   \
                                                                                           \
		test_cmd(door, TEST_##op, id, sizeof(words_) / sizeof(words_[0]), words_); \
	})
long test_access(const struct door *door, uint32_t ioas, uint32_t flags, int new_fd);

void iommufd_open(const struct door *door);

void type1_lists(const struct door *door, const struct machine *machine);
void type1_random(const struct door *door, const struct machine *machine);
void native_lists(const struct door *door, const struct machine *machine);
void native_random(const struct door *door, const struct machine *machine);
void mock_lists(const struct door *door, const struct machine *machine);
void mock_random(const struct door *door, const struct machine *machine);
void cdev_lists(const struct door *door, const struct machine *machine);
void cdev_random(const struct door *door, const struct machine *machine);
void compat_lists(const struct door *door, const struct machine *machine);
void compat_random(const struct door *door, const struct machine *machine);

/* A program's part: argv is LIST SEED ADDRESS GROUP CDEV. Exit status. */
int iommu_main(const struct door *door, int argc, const char *const *argv);

#endif
