/* SPDX-License-Identifier: MIT */
/*
 * What a VMM does for the DMA of its devices, in short.
 *
 * It gives the guest memory that comes from a memfd, maps all of it in an I/O
 * address space, attaches a device, and lets the device work: by copies, and by
 * pointers for I/O that some other thread or the kernel does. Then it moves the
 * guest to "another host": copies the memory while the device goes on, and again
 * what the device has written meanwhile.
 *
 *   cc ioas.c $(pkg-config --cflags --libs viaduct)
 */
#include <viaduct/iommu.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE ((uint64_t)4096)
#define GUEST_SIZE (1024 * PAGE)
#define GUEST_RAM ((via_iova_t)0x100000000) /* where devices see it */

static void check(int ret, const char *what)
{
	if (!ret)
		return;
	fprintf(stderr, "%s: %s\n", what, strerror(-ret));
	exit(1);
}

static void expect(bool yes, const char *what)
{
	if (yes)
		return;
	fprintf(stderr, "unexpected: %s\n", what);
	exit(1);
}

/* The device's work: it reverses a message in place. */
static int device_reverse(struct via_dma *dma, via_iova_t at, size_t len)
{
	char in[64], out[64];
	int ret;

	if (len > sizeof(in))
		len = sizeof(in);
	ret = via_dma_read(dma, at, in, len);
	if (ret)
		return ret;
	for (size_t i = 0; i < len; i++)
		out[i] = in[len - 1 - i];
	return via_dma_write(dma, at, out, len);
}

/* Translation: pointers to what lies at an IOVA, which stay right until they are put. */
static uint64_t sum(struct via_dma *dma, via_iova_t at, uint64_t len)
{
	struct via_dma_seg seg = { at, len };
	struct via_lease leases[8];
	uint64_t total = 0;
	size_t n = 0;

	check(via_dma_lease(dma, &seg, 1, VIA_PROT_READ, leases, 8, &n), "lease");
	for (size_t i = 0; i < n; i++) {
		const unsigned char *p = leases[i].ptr;

		for (uint64_t k = 0; k < leases[i].len; k++)
			total += p[k];
		via_lease_put(&leases[i]);
	}
	return total;
}

/* Copy what the device has written since the last time. Pages copied. */
static unsigned int copy_dirty(struct via_ioas *ioas, const unsigned char *ram, unsigned char *copy)
{
	uint64_t bitmap[GUEST_SIZE / PAGE / 64] = { 0 };
	unsigned int n = 0;

	check(via_ioas_get_dirty(ioas, GUEST_RAM, GUEST_RAM + GUEST_SIZE - 1, PAGE, bitmap),
	      "what is dirty");
	for (uint64_t page = 0; page < GUEST_SIZE / PAGE; page++)
		if (bitmap[page / 64] >> page % 64 & 1) {
			memcpy(copy + page * PAGE, ram + page * PAGE, PAGE);
			n++;
		}
	return n;
}

int main(void)
{
	int fd = memfd_create("guest", MFD_CLOEXEC);
	unsigned char *ram, *copy = malloc(GUEST_SIZE);
	struct via_dma_stats stats;
	struct via_space *space;
	struct via_ioas *ioas;
	struct via_dma *dma;
	uint64_t bytes;
	char byte;

	expect(fd >= 0 && copy && !ftruncate(fd, (off_t)GUEST_SIZE), "no memory");
	ram = mmap(NULL, GUEST_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	expect(ram != MAP_FAILED, "no memory");

	/* An address space with the limits of a common IOMMU, and the guest's memory in it. */
	check(via_ioas_new(via_iommu_props_intel(), &ioas), "address space");
	check(via_space_new_fd(fd, VIA_PROT_READ | VIA_PROT_WRITE, &space), "memory");
	check(via_ioas_map(ioas, GUEST_RAM, space, 0, GUEST_SIZE, VIA_PROT_READ | VIA_PROT_WRITE),
	      "map");

	/* A device in it, as if the guest had set Bus Master Enable. */
	check(via_dma_new("example", &dma), "device");
	check(via_dma_attach(dma, ioas), "attach");
	via_dma_enable(dma, true);

	memcpy(ram + 5 * PAGE, "stressed", 8);
	check(device_reverse(dma, GUEST_RAM + 5 * PAGE, 8), "DMA");
	expect(!memcmp(ram + 5 * PAGE, "desserts", 8), "the device has written something else");
	expect(sum(dma, GUEST_RAM + 5 * PAGE, 2 * PAGE) == 's' + 't' + 'r' + 'e' + 's' + 's' + 'e' + 'd',
	       "the device has read something else");

	/* Move the guest: everything once, then what has been written meanwhile. */
	check(via_ioas_track_dirty(ioas, true), "dirty tracking");
	memcpy(copy, ram, GUEST_SIZE);
	check(device_reverse(dma, GUEST_RAM + 5 * PAGE, 8), "DMA");
	check(device_reverse(dma, GUEST_RAM + 10 * PAGE - 4, 8), "DMA");
	expect(copy_dirty(ioas, ram, copy) == 3, "another number of dirty pages");
	expect(copy_dirty(ioas, ram, copy) == 0, "dirty pages twice");
	expect(!memcmp(copy, ram, GUEST_SIZE), "the copy is different");
	check(via_ioas_track_dirty(ioas, false), "dirty tracking");

	/* When this has returned no device is in the memory any more. */
	check(via_ioas_unmap(ioas, GUEST_RAM, GUEST_RAM + GUEST_SIZE - 1, &bytes), "unmap");
	expect(bytes == GUEST_SIZE, "another number of bytes was mapped");
	via_log_set(NULL, NULL, VIA_LOG_ERROR);
	expect(via_dma_read(dma, GUEST_RAM, &byte, 1) != 0, "a device reads what is unmapped");

	via_dma_get_stats(dma, &stats);
	printf("%llu bytes read, %llu written, %llu accesses, %llu refused\n",
	       (unsigned long long)stats.read_bytes, (unsigned long long)stats.write_bytes,
	       (unsigned long long)stats.accesses, (unsigned long long)stats.faults);
	via_dma_free(dma);
	via_ioas_put(ioas);
	via_space_put(space);
	(void)munmap(ram, GUEST_SIZE);
	(void)close(fd);
	free(copy);
	return 0;
}
