/* SPDX-License-Identifier: MIT */
/*
 * What processes do with one iommufd and with each other's figures: prints what
 * it sees; an error is a line too.
 */
#include <viaduct/abi/iommufd.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *result(long ret)
{
	return ret < 0 ? strerrorname_np(errno) : "ok";
}

static uint32_t ioas_alloc(int fd)
{
	struct via_iommu_ioas_alloc alloc = {.size = sizeof(alloc)};

	return ioctl(fd, VIA_IOMMU_IOAS_ALLOC, &alloc) ? 0 : alloc.out_ioas_id;
}

static long map(int fd, uint32_t ioas, void *memory, uint64_t iova)
{
	struct via_iommu_ioas_map cmd = {.size = sizeof(cmd),
				     .flags = VIA_IOMMU_IOAS_MAP_FIXED_IOVA | VIA_IOMMU_IOAS_MAP_READABLE,
				     .ioas_id = ioas,
				     .user_va = (uint64_t)(unsigned long)memory,
				     .length = 4096,
				     .iova = iova};

	return ioctl(fd, VIA_IOMMU_IOAS_MAP, &cmd);
}

static long unmap(int fd, uint32_t ioas, uint64_t iova)
{
	struct via_iommu_ioas_unmap cmd = {
		.size = sizeof(cmd), .ioas_id = ioas, .iova = iova, .length = 4096};

	return ioctl(fd, VIA_IOMMU_IOAS_UNMAP, &cmd);
}

/* Who gets the descriptor and the IOAS by exec. */
static int executed(const char *fd_text, const char *ioas_text)
{
	int fd = atoi(fd_text);
	uint32_t ioas = (uint32_t)atoi(ioas_text);

	printf("exec: unmap what a child has mapped: %s\n", result(unmap(fd, ioas, 0x2000)));
	printf("exec: again: %s\n", result(unmap(fd, ioas, 0x2000)));
	printf("exec: another IOAS: %u\n", ioas_alloc(fd));
	close(fd);
	printf("exec: after close: %s\n", result(unmap(fd, ioas, 0x1000)));
	return 0;
}

int main(int argc, char **argv)
{
	char ioas_text[16], fd_text[16];
	struct stat st;
	dev_t number;
	void *memory;
	uint32_t ioas;
	int fd, copy, status;

	setvbuf(stdout, NULL, _IONBF, 0);
	if (argc == 3)
		return executed(argv[1], argv[2]);
	fd = open("/dev/iommu", O_RDWR);
	printf("open: %s\n", result(fd));
	printf("node: %s\n", !stat("/dev/iommu", &st) && S_ISCHR(st.st_mode) && major(st.st_rdev) == 10
				       ? "a character device" : "something else");
	number = st.st_rdev;
	printf("descriptor: %s\n", !fstat(fd, &st) && S_ISCHR(st.st_mode) && st.st_rdev == number
					     ? "the same device" : "something else");
	printf("read, mmap: %s", result(read(fd, ioas_text, 1)));
	printf(", %s\n", result((long)mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 4096)));
	memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ioas = ioas_alloc(fd);
	printf("ioas: %u\n", ioas);
	printf("map: %s\n", result(map(fd, ioas, memory, 0x1000)));
	copy = dup(fd);
	close(fd);
	if (fork() == 0) {
		printf("child: map where the parent has: %s\n", result(map(copy, ioas, memory, 0x1000)));
		printf("child: map beside: %s\n", result(map(copy, ioas, memory, 0x2000)));
		_exit(0);
	}
	wait(&status);
	printf("map where the child has: %s\n", result(map(copy, ioas, memory, 0x2000)));
	snprintf(fd_text, sizeof(fd_text), "%d", copy);
	snprintf(ioas_text, sizeof(ioas_text), "%u", ioas);
	execl("/proc/self/exe", argv[0], fd_text, ioas_text, NULL);
	return 1;
}
