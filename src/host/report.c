/* SPDX-License-Identifier: MIT */
#include "host/internal.h"

#include "device/device.h"

#include <inttypes.h>
#include <time.h>

/* "12.3 MiB" */
static const char *format_bytes(uint64_t bytes, char text[32])
{
	static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
	double value = (double)bytes;
	size_t unit = 0;

	while (value >= 1024 && unit < sizeof(units) / sizeof(units[0]) - 1) {
		value /= 1024;
		unit++;
	}
	(void)snprintf(text, 32, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
	return text;
}

static void report_device(void *cookie, struct via_device *dev, unsigned int group)
{
	FILE *out = cookie;
	const struct via_pci_ident *id = &via_device_desc(dev)->ident;
	struct via_device_stats stats;
	char addr[VIA_PCI_ADDR_LEN], in[32], from[32];
	struct via_dma_stats dma;

	via_pci_addr_format(via_device_addr(dev), addr);
	via_device_get_stats(dev, &stats);
	via_dma_get_stats(via_device_dma(dev), &dma);
	(void)fprintf(out, "  %s %s [%04x:%04x], group %u\n", addr, via_device_name(dev),
		      id->vendor, id->device, group);
	(void)fprintf(out,
		      "    config space  %" PRIu64 " reads, %" PRIu64 " writes\n"
		      "    registers     %" PRIu64 " reads, %" PRIu64 " writes",
		      stats.config_reads, stats.config_writes, stats.bar_reads,
		      stats.bar_writes);
	if (stats.doorbells)
		(void)fprintf(out, ", %" PRIu64 " doorbells", stats.doorbells);
	(void)fprintf(out, "\n    DMA           %s read, %s written\n",
		      format_bytes(dma.read_bytes, in), format_bytes(dma.write_bytes, from));
	if (dma.faults)
		(void)fprintf(out, "    DMA FAULTS    %" PRIu64 ", see the log\n", dma.faults);
	(void)fprintf(out, "    interrupts    %" PRIu64 "\n", stats.interrupts);
}

void via_host_report(struct via_host *host, void *stream)
{
	uint64_t calls = __atomic_load_n(&host->calls, __ATOMIC_RELAXED), programs;
	FILE *out = stream;
	struct timespec now;
	double seconds;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	seconds = (double)(now.tv_sec - host->since.tv_sec) +
		  (double)(now.tv_nsec - host->since.tv_nsec) / 1e9;
	pthread_mutex_lock(&host->lock);
	programs = host->programs;
	pthread_mutex_unlock(&host->lock);
	(void)fprintf(out, "Viaduct: %.1f s, %" PRIu64 " program%s, %" PRIu64 " calls\n", seconds,
		      programs, programs == 1 ? "" : "s", calls);
	via_vfio_each(host->vfio, report_device, out);
}
