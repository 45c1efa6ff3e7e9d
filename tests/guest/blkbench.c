/* SPDX-License-Identifier: MIT */
/*
 * blkbench DEVICE MILLISECONDS [PREFIX [JOB...]]: rates of a block device with O_DIRECT
 * and Linux's native asynchronous I/O, linked statically for a small guest.
 * Prints "PREFIXname value unit" for sequential reads and writes of 1 MiB and
 * random reads and writes of 4 KiB, at queue depths 1 and 32. Writes repeat
 * what was read from the same place, so the content does not change.
 */
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MAX_DEPTH 32

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint64_t random_next(void)
{
	static uint64_t x = 88172645463325252u;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return x;
}

struct job {
	const char *name;
	int writing;
	size_t size;
	unsigned int depth;
	int random;
};

static const struct job jobs[] = {
	{"seq-read-1M", 0, 1 << 20, 4, 0},	{"rand-read-4k-qd1", 0, 4096, 1, 1},
	{"rand-read-4k-qd32", 0, 4096, 32, 1},	{"seq-write-1M", 1, 1 << 20, 4, 0},
	{"rand-write-4k-qd32", 1, 4096, 32, 1},
};

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void prepare(const struct job *j, struct iocb *cb, int fd, uint64_t *next, uint64_t blocks)
{
	uint64_t block = j->random ? random_next() % blocks : (*next)++ % blocks;

	cb->aio_fildes = (uint32_t)fd;
	cb->aio_lio_opcode = j->writing ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD;
	cb->aio_nbytes = j->size;
	cb->aio_offset = (int64_t)(block * j->size);
}

static void run(const struct job *j, int fd, uint64_t bytes, double seconds, const char *prefix)
{
	struct iocb cbs[MAX_DEPTH], *list[MAX_DEPTH];
	struct io_event events[MAX_DEPTH];
	aio_context_t ctx = 0;
	uint64_t next = 0, done = 0, blocks = bytes / j->size;
	double start, elapsed;
	unsigned int flying = j->depth;

	if (syscall(SYS_io_setup, MAX_DEPTH, &ctx))
		die("io_setup");
	memset(cbs, 0, sizeof(cbs));
	for (unsigned int i = 0; i < j->depth; i++) {
		void *buf;

		if (posix_memalign(&buf, 4096, j->size))
			die("memory");
		memset(buf, 0, j->size);
		cbs[i].aio_buf = (uint64_t)(uintptr_t)buf;
		list[i] = &cbs[i];
		prepare(j, &cbs[i], fd, &next, blocks);
		/* A writer stores what is there already. */
		if (j->writing && pread(fd, buf, j->size, cbs[i].aio_offset) != (ssize_t)j->size)
			die("pread");
	}
	start = now();
	if (syscall(SYS_io_submit, ctx, (long)j->depth, list) != (long)j->depth)
		die("io_submit");
	while (flying) {
		long n = syscall(SYS_io_getevents, ctx, 1L, (long)MAX_DEPTH, events, NULL);
		long again = 0;

		if (n < 1)
			die("io_getevents");
		for (long i = 0; i < n; i++) {
			if (events[i].res != (int64_t)j->size) {
				fprintf(stderr, "%s: result %lld\n", j->name,
					(long long)events[i].res);
				exit(1);
			}
			done++;
			flying--;
			if (now() - start < seconds) {
				struct iocb *cb = (struct iocb *)(uintptr_t)events[i].obj;

				if (!j->writing)
					prepare(j, cb, fd, &next, blocks);
				list[again++] = cb;
			}
		}
		if (again && syscall(SYS_io_submit, ctx, again, list) != again)
			die("io_submit");
		flying += (unsigned int)again;
	}
	elapsed = now() - start;
	if (j->size > 4096)
		printf("%s%s %.0f MB/s\n", prefix, j->name,
		       (double)(done * j->size) / elapsed / 1e6);
	else
		printf("%s%s %.0f IOPS\n", prefix, j->name, (double)done / elapsed);
	fflush(stdout);
	syscall(SYS_io_destroy, ctx);
	for (unsigned int i = 0; i < j->depth; i++)
		free((void *)(uintptr_t)cbs[i].aio_buf);
}

int main(int argc, char **argv)
{
	uint64_t bytes = 0;
	int fd;

	if (argc < 3) {
		fprintf(stderr, "usage: blkbench DEVICE MILLISECONDS [PREFIX [JOB...]]\n");
		return 2;
	}
	fd = open(argv[1], O_RDWR | O_DIRECT);
	if (fd < 0)
		die(argv[1]);
	if (ioctl(fd, BLKGETSIZE64, &bytes))
		bytes = (uint64_t)lseek(fd, 0, SEEK_END);
	for (size_t i = 0; i < sizeof(jobs) / sizeof(jobs[0]); i++) {
		bool wanted = argc <= 4;

		for (int k = 4; k < argc; k++)
			wanted |= !strcmp(argv[k], jobs[i].name);
		if (wanted)
			run(&jobs[i], fd, bytes, atof(argv[2]) / 1e3, argc > 3 ? argv[3] : "");
	}
	return 0;
}
