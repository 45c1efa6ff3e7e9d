/* SPDX-License-Identifier: MIT */
/*
 * A driver that makes each mistake that the DMA checker knows: GROUP BDF.
 */
#include "edu-client.h"

#include <sys/mman.h>
#include <unistd.h>

enum { IOVA = 0x100000, OTHER = 0x200000 };

static volatile int rings;

/* The functions that the checker is to name: the call is not their last deed, so that it has a frame. */
__attribute__((noinline)) static void start_ring(uint8_t *memory)
{
	dma_map(IOVA, memory, 4 * PAGE);
	rings++;
}

__attribute__((noinline)) static void stop_ring(void)
{
	dma_unmap(IOVA, 4 * PAGE);
	rings--;
}

int main(int argc, char **argv)
{
	uint8_t *memory;

	if (argc != 3)
		return 2;
	edu_client_init(argv[1], argv[2]);
	open_all();
	memory = dma_memory(OTHER, PAGE);
	dma_unmap(OTHER, PAGE);

	puts("never mapped");
	edu_dma(CARD, 0x900000, FROM_CARD);
	puts("beyond the end");
	memory = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	start_ring(memory);
	edu_dma(CARD, IOVA + 3 * PAGE + 16, FROM_CARD);
	puts("after unmap");
	stop_ring();
	edu_dma(IOVA + PAGE, CARD, TO_CARD);
	close_all();
	return 0;
}
