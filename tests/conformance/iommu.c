/* SPDX-License-Identifier: MIT */
#include "iommu.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void die(const char *what)
{
	perror(what);
	exit(2);
}

void memory_make(void)
{
	int fd = memfd_create("memory", MFD_CLOEXEC), again;
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (fd < 0 || ftruncate(fd, MEMORY_PAGES * PAGE))
		die("memfd");
	again = open(path, O_RDONLY | O_CLOEXEC);
	if (again < 0 || dup3(fd, FD_MEMORY, O_CLOEXEC) < 0 ||
	    dup3(again, FD_MEMORY_RO, O_CLOEXEC) < 0)
		die("memfd");
	close(fd);
	close(again);
	if (mmap((void *)MEMORY, MEMORY_PAGES * PAGE, PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_FIXED_NOREPLACE, FD_MEMORY, 0) != (void *)MEMORY ||
	    mmap((void *)LAND, LAND_PAGES * PAGE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != (void *)LAND)
		die("land");
	for (size_t i = 0; i < LAND_PAGES * PAGE / 4; i++)
		((uint32_t *)LAND)[i] = (uint32_t)i;
	for (size_t i = 0; i < MEMORY_PAGES * PAGE / 4; i++)
		((uint32_t *)MEMORY)[i] = ~(uint32_t)i;
}

/* The generator: xorshift with a multiplication, as usual ------------------- */

static uint64_t state;

void seed_with(uint64_t seed, uint64_t sequence)
{
	state = seed * 0x9e3779b97f4a7c15u + sequence + 1;
	for (int i = 0; i < 8; i++)
		random64();
}

uint64_t random64(void)
{
	if (!state)
		state = 1;
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return state * 0x2545f4914f6cdd1du;
}

unsigned int below(unsigned int n)
{
	return (unsigned int)((random64() >> 33) % n);
}

bool rarely(unsigned int n)
{
	return !below(n);
}

/* Calls -------------------------------------------------------------------- */

static void shown_fill(const struct shown *shown)
{
	for (unsigned int i = 0; shown && i < shown->words; i++)
		((uint32_t *)shown->at)[i] = shown->fill;
}

static void shown_print(const struct shown *shown)
{
	const uint32_t *now = shown ? (const uint32_t *)shown->at : NULL;
	unsigned int last = shown ? shown->words : 0;

	while (last && now[last - 1] == shown->fill)
		last--;
	if (last)
		printf(" @");
	for (unsigned int i = 0; i < last; i++) {
		if (now[i] == shown->fill)
			printf(" .");
		else
			printf(" %x", now[i]);
	}
}

static long finish(long ret, int fd, const char *name, unsigned int n, const uint32_t *words,
		   const struct shown *shown)
{
	printf("%s %s", fd_name(fd), name);
	for (unsigned int i = 0; i < n; i++)
		printf(" %x", words[i]);
	print_result(ret);
	print_changed(n, words);
	shown_print(shown);
	printf("\n");
	return ret;
}

long io(const struct door *door, int fd, const char *name, unsigned long cmd, unsigned int n,
	const uint32_t *words, const struct shown *shown)
{
	args_fill(n, words);
	shown_fill(shown);
	return finish(door->ioctl(fd, cmd, ARGS), fd, name, n, words, shown);
}

long io_fd(const struct door *door, int fd, const char *name, unsigned long cmd, unsigned int n,
	   const uint32_t *words, unsigned int fd_word, int new_fd)
{
	long ret;

	args_fill(n, words);
	ret = door->ioctl(fd, cmd, ARGS);
	if (ret >= 0) {
		int got = (int)((uint32_t *)ARGS)[fd_word];

		((uint32_t *)ARGS)[fd_word] = (uint32_t)door->renumber(got, new_fd);
	}
	return finish(ret, fd, name, n, words, NULL);
}

uint32_t word_after(unsigned int i)
{
	return ((const uint32_t *)ARGS)[i];
}

uint64_t u64_after(unsigned int i)
{
	return word_after(i) | (uint64_t)word_after(i + 1) << 32;
}

void sizes(const struct door *door, int fd, const char *name, unsigned long cmd, unsigned int min,
	   unsigned int n, const uint32_t *words)
{
	const unsigned int full = n * 4;
	const uint32_t some[] = {0,	   3,	     4,	       min - 4,	   min - 1,
				 min,	   min + 1,  full - 4, full - 1,   full + 1,
				 full + 4, full + 8, 1024,     0x80000000, ~0u};
	uint32_t more[ARGS_WORDS] = {0};

	memcpy(more, words, full);
	more[0] = full;
	io(door, fd, name, cmd, n, more, NULL);
	for (size_t i = 0; i < sizeof(some) / sizeof(some[0]); i++) {
		more[0] = some[i];
		io(door, fd, name, cmd, n, more, NULL);
		if (some[i] <= full || some[i] > 1024)
			continue;
		io(door, fd, name, cmd, some[i] > full + 8 ? ARGS_WORDS : n + 3, more, NULL);
	}
	/* What is not zero lies one byte before the end, and one behind it. */
	more[0] = full + 8;
	more[n + 1] = 0x01000000;
	io(door, fd, name, cmd, n + 2, more, NULL);
	more[0] = full + 7;
	io(door, fd, name, cmd, n + 2, more, NULL);
}

void bits(const struct door *door, int fd, const char *name, unsigned long cmd, unsigned int n,
	  const uint32_t *words, unsigned int word, unsigned int width)
{
	uint32_t changed[ARGS_WORDS];

	memcpy(changed, words, n * 4);
	for (unsigned int bit = 0; bit < width; bit++) {
		changed[word] = words[word] ^ 1u << bit;
		io(door, fd, name, cmd, n, changed, NULL);
	}
}

/* The test driver ------------------------------------------------------------ */

#define TEST_WORDS 18u

static const char *const test_names[] = {
	[TEST_ADD_RESERVED] = "TEST_ADD_RESERVED",
	[TEST_MOCK_DOMAIN] = "TEST_MOCK_DOMAIN",
	[TEST_CHECK_MAP] = "TEST_CHECK_MAP",
	[TEST_CHECK_REFS] = "TEST_CHECK_REFS",
	[TEST_CREATE_ACCESS] = "TEST_CREATE_ACCESS",
	[TEST_DESTROY_ACCESS_PAGES] = "TEST_DESTROY_ACCESS_PAGES",
	[TEST_ACCESS_PAGES] = "TEST_ACCESS_PAGES",
	[TEST_ACCESS_RW] = "TEST_ACCESS_RW",
	[TEST_TEMP_MEMORY_LIMIT] = "TEST_TEMP_MEMORY_LIMIT",
	[TEST_REPLACE] = "TEST_REPLACE",
	[TEST_ACCESS_REPLACE_IOAS] = "TEST_ACCESS_REPLACE_IOAS",
	[TEST_MOCK_DOMAIN_FLAGS] = "TEST_MOCK_DOMAIN_FLAGS",
	[TEST_DIRTY] = "TEST_DIRTY",
	[TEST_CHECK_IOTLB] = "TEST_CHECK_IOTLB",
	[TEST_TRIGGER_IOPF] = "TEST_TRIGGER_IOPF",
	[TEST_CHECK_CACHE] = "TEST_CHECK_CACHE",
	[TEST_TRIGGER_VEVENT] = "TEST_TRIGGER_VEVENT",
	[TEST_PASID_ATTACH] = "TEST_PASID_ATTACH",
	[TEST_PASID_REPLACE] = "TEST_PASID_REPLACE",
	[TEST_PASID_DETACH] = "TEST_PASID_DETACH",
	[TEST_PASID_CHECK] = "TEST_PASID_CHECK",
};

static void test_words(unsigned int op, uint32_t id, unsigned int n, const uint32_t *words,
		       uint32_t *all)
{
	memset(all, 0, TEST_WORDS * 4);
	all[0] = TEST_WORDS * 4;
	all[1] = op;
	all[2] = id;
	memcpy(all + 4, words, n * 4);
}

long test_cmd(const struct door *door, unsigned int op, uint32_t id, unsigned int n,
	      const uint32_t *words)
{
	const unsigned int known = sizeof(test_names) / sizeof(test_names[0]);
	const char *name = op && op < known ? test_names[op] : "TEST";
	uint32_t all[TEST_WORDS];
	long ret;

	test_words(op, id, n, words, all);
	args_fill(TEST_WORDS, all);
	ret = door->ioctl(FD_IOMMUFD, TEST_CMD, ARGS);
	printf("%s %s %x:", fd_name(FD_IOMMUFD), name, id);
	for (unsigned int i = 0; i < n; i++)
		printf(" %x", words[i]);
	print_result(ret);
	print_changed(TEST_WORDS, all);
	printf("\n");
	return ret;
}

long test_access(const struct door *door, uint32_t ioas, uint32_t flags, int new_fd)
{
	uint32_t all[TEST_WORDS];

	test_words(TEST_CREATE_ACCESS, ioas, 2, (uint32_t[]){0, flags}, all);
	return io_fd(door, FD_IOMMUFD, test_names[TEST_CREATE_ACCESS], TEST_CMD, TEST_WORDS, all, 4,
		     new_fd);
}

/* Programs ------------------------------------------------------------------- */

void iommufd_open(const struct door *door)
{
	call_open(door, "iommu", FD_IOMMUFD);
}

int iommu_main(const struct door *door, int argc, const char *const *argv)
{
	static const struct {
		const char *name;
		void (*lists)(const struct door *door, const struct machine *machine);
		void (*random)(const struct door *door, const struct machine *machine);
	} lists[] = {
		{"type1", type1_lists, type1_random},	 {"native", native_lists, native_random},
		{"mock", mock_lists, mock_random},	 {"cdev", cdev_lists, cdev_random},
		{"compat", compat_lists, compat_random},
	};
	struct machine machine;
	char node[32];

	if (argc != 5) {
		fprintf(stderr, "usage: LIST SEED ADDRESS GROUP CDEV\n");
		return 2;
	}
	snprintf(node, sizeof(node), "vfio/%s", argv[3]);
	machine = (struct machine){
		.subject = {argv[2], node}, .cdev = argv[4], .seed = strtoull(argv[1], NULL, 0)};
	arena_make();
	events_make();
	memory_make();
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		if (strcmp(argv[0], lists[i].name))
			continue;
		printf("## seed: %" PRIu64 "\n", machine.seed);
		lists[i].lists(door, &machine);
		lists[i].random(door, &machine);
		return 0;
	}
	fprintf(stderr, "%s: no such list\n", argv[0]);
	return 2;
}
