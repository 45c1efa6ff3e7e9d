/* SPDX-License-Identifier: MIT */
/*
 * What a program can see of huge pages. It prints what it sees: on a kernel with
 * at least 12 of them free, and under viaduct run --hugepages=emulate, the same.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef MFD_HUGETLB
#define MFD_HUGETLB 4u
#endif
#define HUGE_2MB (21u << 26)
#define MB (1ul << 20)

static const char *outcome(const void *p)
{
	static char text[64];

	if (p == MAP_FAILED)
		return strerror(errno);
	snprintf(text, sizeof(text), "%s", (uintptr_t)p % (2 * MB) ? "unaligned" : "aligned");
	return text;
}

static const char *result(long ret)
{
	return ret < 0 ? strerror(errno) : "ok";
}

static void anonymous(const char *name, int flags)
{
	uint8_t *p = mmap(NULL, 3 * MB, PROT_READ | PROT_WRITE,
			  flags | MAP_ANONYMOUS | MAP_HUGETLB | MAP_POPULATE, -1, 0);
	int status;

	printf("%s: %s\n", name, outcome(p));
	if (p == MAP_FAILED)
		return;
	/* Rounded up: the fourth megabyte is there. */
	p[4 * MB - 1] = 1;
	if (fork() == 0) {
		p[4 * MB - 1] = 2;
		_exit(0);
	}
	wait(&status);
	printf("%s: a child's write is %s\n", name, p[4 * MB - 1] == 2 ? "seen" : "not seen");
	printf("%s: protect a part of a page: %s\n", name, result(mprotect(p + MB, MB, PROT_READ)));
	printf("%s: unmap a part of a page: %s\n", name, result(munmap(p + MB, MB)));
	printf("%s: unmap the second: %s\n", name, result(munmap(p + 2 * MB, 2 * MB)));
	p[0] = 3;
	printf("%s: unmap the first: %s\n", name, result(munmap(p, 2 * MB)));
}

static void fixed(void)
{
	uint8_t *room = mmap(NULL, 16 * MB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t *at = (uint8_t *)(((uintptr_t)room + 4 * MB) & ~(2 * MB - 1));
	int flags = MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB | MAP_FIXED | (int)HUGE_2MB;
	uint8_t *p = mmap(at, 4 * MB, PROT_READ | PROT_WRITE, flags, -1, 0);

	printf("fixed: %s\n", p == at ? "there" : outcome(p));
	printf("fixed between pages: %s\n", outcome(mmap(at + 4096, 2 * MB, PROT_READ, flags, -1, 0)));
	if (p == at)
		munmap(p, 4 * MB);
	munmap(room, 16 * MB);
}

static void refused(void)
{
	int plain = memfd_create("plain", 0);

	printf("no length: %s\n", outcome(mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0)));
	printf("an ordinary file: %s\n", outcome(mmap(NULL, 2 * MB, PROT_READ, MAP_SHARED | MAP_HUGETLB, plain, 0)));
	printf("a size that is none: %s\n", outcome(mmap(NULL, 2 * MB, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | (13 << 26), -1, 0)));
	close(plain);
}

static void file(void)
{
	int fd = memfd_create("buffer", MFD_HUGETLB | MFD_CLOEXEC);
	struct statfs fs;
	uint8_t *p, *q;

	printf("memfd: %s\n", result(fd));
	if (fd < 0)
		return;
	if (fstatfs(fd, &fs) == 0)
		printf("memfd: file system %lx, blocks of %ld\n", (long)fs.f_type, (long)fs.f_bsize);
	printf("memfd: set its size: %s\n", result(ftruncate(fd, 4 * MB)));
	p = mmap(NULL, 4 * MB, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	printf("memfd: %s\n", outcome(p));
	q = mmap(NULL, 2 * MB, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 2 * MB);
	printf("memfd, second page: %s\n", outcome(q));
	if (p != MAP_FAILED && q != MAP_FAILED) {
		p[2 * MB] = 7;
		printf("memfd: one file: %s\n", q[0] == 7 ? "yes" : "no");
	}
	printf("memfd, between pages: %s\n", outcome(mmap(NULL, 2 * MB, PROT_READ, MAP_SHARED, fd, 4096)));
	printf("memfd: unmap a part of a page: %s\n", result(munmap(p, 4096)));
	printf("memfd: unmap: %s\n", result(munmap(p, 4 * MB)));
	close(fd);
}

int main(void)
{
	setvbuf(stdout, NULL, _IONBF, 0);
	anonymous("shared", MAP_SHARED);
	anonymous("private", MAP_PRIVATE);
	fixed();
	refused();
	file();
	return 0;
}
