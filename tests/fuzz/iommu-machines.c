/* SPDX-License-Identifier: MIT */
/* Machines of each kind, with devices; and how they are put together and looked at. */
#include "function.h"
#include "iommu-steps.h"
#include "no-memory.h"

#include "iommu/check.h"
#include "iommu/dma.h"

static void report(void *cookie, const struct via_check_report *what)
{
	FUZZ_CHECK(what->kind < VIA_CHECK_KINDS && *via_check_kind_name(what->kind));
	FUZZ_CHECK(what->len && what->device);
}

/* Made once, as that takes its time; they go when the program ends. */
static struct via_vfio *machines[KINDS];
static struct via_check *checks[KINDS];

static void free_machines(void)
{
	for (unsigned int kind = 0; kind < KINDS; kind++) {
		uint64_t counts[VIA_CHECK_KINDS];

		if (!machines[kind])
			continue;
		via_vfio_free(machines[kind]);
		if (checks[kind])
			via_check_counts(checks[kind], counts);
		via_check_free(checks[kind]);
	}
}

struct via_vfio *machine_get(unsigned int kind)
{
	static const struct {
		unsigned int kind;
		const char *addr;
		int group;
	} functions[] = {
		{FUNCTION_MSI | FUNCTION_MSIX | FUNCTION_MIGRATES, "0000:00:04.0", 1},
		{FUNCTION_EXPRESS | FUNCTION_MSIX | FUNCTION_BAR_64, "0000:01:00.0", 2},
		{FUNCTION_EXPRESS | FUNCTION_MSI | FUNCTION_MSI_LARGE, "0000:01:00.1", 2},
	};
	static const enum via_iommu_kind iommus[KINDS / 2] = {VIA_IOMMU_INTEL, VIA_IOMMU_INTEL,
							      VIA_IOMMU_SPAPR, VIA_IOMMU_NONE};
	static const uint32_t limits[KINDS] = {200, 0, 12};
	static bool will_free;
	struct via_vfio **made = machines;
	struct via_vfio_config config = {
		.profile = kind & 1 ? VIA_PROFILE_LINUX : VIA_PROFILE_FULL,
		.memlock = kind & 1 ? VIA_MEMLOCK_ENFORCE : VIA_MEMLOCK_WARN,
		.iommu_kind = iommus[kind / 2],
		.iommu_test = true,
		.compat_container = kind / 2 == 1,
		.dma_entry_limit = limits[kind],
		.vaddr_wait_ms = VADDR_WAIT_MS,
	};

	if (made[kind])
		return made[kind];
	if (!will_free)
		will_free = !atexit(free_machines);
	if (!(kind & 1))
		FUZZ_CHECK(via_check_new(report, NULL, UINT32_MAX, &checks[kind]) == 0);
	config.check = checks[kind];
	FUZZ_CHECK(via_vfio_new(&config, &made[kind]) == 0);
	for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
		struct via_pci_addr addr;
		struct via_device *dev;

		FUZZ_CHECK(via_pci_addr_parse(functions[i].addr, &addr) == 0);
		dev = function_new(functions[i].kind);
		FUZZ_CHECK(via_vfio_add(made[kind], dev, &addr, functions[i].group, NULL) == 0);
		dma_listen(via_device_dma(dev));
	}
	return made[kind];
}
static void count_device(void *cookie, struct via_device *dev, unsigned int group)
{
	++*(size_t *)cookie;
}

/* What whoever shows a machine to people asks. */
void machine_look(struct via_vfio *vfio)
{
	size_t n = 0, i;

	via_vfio_each(vfio, count_device, &n);
	for (i = 0; via_vfio_device(vfio, i); i++) {
		struct via_device *dev = via_vfio_device(vfio, i);
		char node[VIA_GROUP_NODE_LEN];
		struct via_dma_stats stats;

		FUZZ_CHECK(via_vfio_device_group(vfio, i) >= 0);
		FUZZ_CHECK(via_vfio_device_number(vfio, dev) >= 0);
		via_vfio_group_node(vfio, (unsigned int)via_vfio_device_group(vfio, i), node);
		FUZZ_CHECK(!strncmp(node, "vfio/", 5));
		via_dma_get_stats(via_device_dma(dev), &stats);
	}
	FUZZ_CHECK(i == n && via_vfio_device_group(vfio, i) < 0);
}

/* A machine is put together, while memory lasts. */
void machine_build(struct fuzz_input *in)
{
	struct via_vfio_config config = {.iommu_test = true};
	struct via_file *file = NULL;
	struct test_caller tc;
	struct via_vfio *vfio;
	int r;

	allocations_left = fuzz_u8(in) % 4;
	r = via_vfio_new(&config, &vfio);
	allocations_left = 0;
	FUZZ_CHECK(r == 0 || r == -ENOMEM);
	if (r)
		return;
	test_caller_init(&tc);
	for (unsigned int i = 0; i < 6 && in->left; i++) {
		uint8_t at = fuzz_u8(in), how = fuzz_u8(in);
		struct via_pci_addr addr = {
			.bus = at & 1, .device = at >> 1 & 1, .function = at >> 2 & 1};
		struct via_device *dev = function_new(FUNCTION_MSI);
		bool fits = via_vfio_fits(vfio, dev, &addr);
		struct via_error err = {0};

		allocations_left = how % 16;
		r = via_vfio_add(vfio, dev, &addr, (at >> 4 & 3) - 1, &err);
		allocations_left = 0;
		FUZZ_CHECK(r <= 0 && (r || fits));
		if (how & 0x80 && !file &&
		    via_vfio_open(vfio, &tc.caller, at & 8 ? "vfio/1" : "vfio/0", O_RDWR, &file))
			file = NULL;
		machine_look(vfio);
	}
	via_file_put(file);
	test_caller_deinit(&tc);
	via_vfio_free(vfio);
}
