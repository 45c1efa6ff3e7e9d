/* SPDX-License-Identifier: MIT */
/*
 * seqwriter FILE PREFIX: append one number after another to FILE, each made
 * durable with fsync before "PREFIXnumber" is printed. Goes on after the last
 * number that FILE holds. Never ends by itself: the machine is to be killed.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	char record[16];
	long n = 0;
	int fd = argc == 3 ? open(argv[1], O_RDWR | O_CREAT, 0644) : -1;
	off_t end = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);

	if (end < 0) {
		fprintf(stderr, "usage: seqwriter FILE PREFIX\n");
		return 1;
	}
	end -= end % 8;
	if (end && pread(fd, record, 8, end - 8) == 8) {
		record[8] = '\0';
		n = atol(record);
	}
	for (;;) {
		n++;
		(void)snprintf(record, sizeof(record), "%07lu\n", (unsigned long)n % 10000000);
		if (pwrite(fd, record, 8, end) != 8 || fsync(fd)) {
			perror("seqwriter");
			return 1;
		}
		end += 8;
		printf("%s%ld\n", argv[2], n);
		fflush(stdout);
	}
}
