/* SPDX-License-Identifier: MIT */
/*
 * What the tests of device nodes share: a machine whose functions read and
 * write memory by DMA, two of them in one group, and calls on it.
 */
#ifndef VIA_VFIO_TEST_NODE_H
#define VIA_VFIO_TEST_NODE_H

#include "vfio/cdev-script.h"
#include "vfio/test-vfio.h"

#include "base/util.h"

/* Register 0x10: write 4 bytes by DMA to the IOVA that is written to it. */
static inline void writer_write(struct via_device *dev, void *model, unsigned int bar,
				uint64_t offset, unsigned int size, uint64_t value)
{
	static const uint32_t bytes = 0xd1d1d1d1;
	struct probe *probe = model;

	if (offset == 0x10)
		probe->error = (uint32_t)-via_dma_write(via_device_dma(dev), value, &bytes, 4);
	else
		probe_write(dev, model, bar, offset, size, value);
}

static const struct via_device_ops writer_ops = {
	.read = probe_read,
	.write = writer_write,
	.doorbell = probe_doorbell,
	.reset = probe_reset,
	.free = free,
};

struct nodes {
	struct machine *m;
	struct script s;
	void *fixed; /* s.read_only */
	int fds[2];
};

static inline int nodes_open(void *cookie, const char *name)
{
	return node(((struct nodes *)cookie)->m, name);
}

static inline void nodes_close(void *cookie, int fd)
{
	shut(((struct nodes *)cookie)->m, fd);
}

static inline long nodes_ioctl(void *cookie, int fd, unsigned long cmd, void *arg)
{
	struct machine *m = ((struct nodes *)cookie)->m;
	struct via_file *file = NULL;
	long ret = fd < 0 ? -EBADF : test_file_get(&m->tc.caller, fd, &file);

	if (ret < 0)
		return ret;
	ret = via_file_ioctl(file, &m->tc.caller, cmd, (uint64_t)(uintptr_t)arg);
	via_file_put(file);
	return ret;
}

static inline void nodes_fill(void *cookie, const void *data, size_t len)
{
	struct nodes *n = cookie;

	assert_int_equal(mprotect(n->fixed, PAGE, PROT_READ | PROT_WRITE), 0);
	memcpy(n->fixed, data, len);
	assert_int_equal(mprotect(n->fixed, PAGE, PROT_READ), 0);
}

static inline struct probe *nodes_add(struct machine *m, const char *addr_text, int group)
{
	struct probe *probe = calloc(1, sizeof(*probe));
	struct via_error err = {0};
	struct via_pci_addr addr;
	struct via_device *dev;

	assert_non_null(probe);
	assert_int_equal(via_pci_addr_parse(addr_text, &addr), 0);
	if (via_device_new(&probe_desc, &writer_ops, probe, &err, &dev) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(via_vfio_add(m->vfio, dev, &addr, group, NULL), 0);
	return probe;
}

#define N_PAGES 16u

/* memory has N_PAGES pages here, each beginning with SECRET. */
static inline struct nodes *nodes_new(const struct via_vfio_config *config)
{
	struct nodes *n = calloc(1, sizeof(*n));
	struct machine *m = calloc(1, sizeof(*m));

	assert_non_null(n);
	assert_non_null(m);
	n->m = m;
	test_caller_init(&m->tc);
	assert_int_equal(via_vfio_new(config, &m->vfio), 0);
	m->probes[0] = nodes_add(m, "0000:01:00.0", 1);
	m->probes[1] = nodes_add(m, "0000:01:00.1", 1);
	m->probes[2] = nodes_add(m, "0000:03:00.0", 2);
	m->memory = mmap(NULL, N_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			 -1, 0);
	assert_ptr_not_equal(m->memory, MAP_FAILED);
	for (size_t i = 0; i < N_PAGES; i++)
		m->memory[i * PAGE / 4] = SECRET;
	assert_int_equal(pipe(n->fds), 0);
	n->fixed = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	n->s = (struct script){
		.cookie = n,
		.open = nodes_open,
		.close = nodes_close,
		.ioctl = nodes_ioctl,
		.fill_read_only = nodes_fill,
		.name = {"0000:01:00.0", "0000:01:00.1", "0000:03:00.0"},
		.cdev = {"vfio/devices/vfio0", "vfio/devices/vfio1", "vfio/devices/vfio2"},
		.group = {"vfio/1", "vfio/1", "vfio/2"},
		.group_number = {1, 1, 2},
		.pipe = n->fds[0],
		.page = m->memory,
		.read_only = n->fixed,
		.bad = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
	};
	return n;
}

static inline int nodes_teardown(void **state)
{
	struct nodes *n = *state;

	test_caller_deinit(&n->m->tc);
	via_vfio_free(n->m->vfio);
	munmap(n->m->memory, N_PAGES * PAGE);
	munmap(n->fixed, PAGE);
	munmap(n->s.bad, PAGE);
	close(n->fds[0]);
	close(n->fds[1]);
	free(n->m);
	free(n);
	return 0;
}

static inline int setup_linux(void **state)
{
	static const struct via_vfio_config config = {.profile = VIA_PROFILE_LINUX};

	*state = nodes_new(&config);
	return 0;
}

static inline int setup_full(void **state)
{
	*state = nodes_new(NULL);
	return 0;
}

#define LINUX(f) cmocka_unit_test_setup_teardown(f, setup_linux, nodes_teardown)
#define FULL(f) cmocka_unit_test_setup_teardown(f, setup_full, nodes_teardown)

/* The node of a device, bound, with memory and bus master on. */
static inline int bound(struct nodes *n, unsigned int device, int iommufd, uint32_t *ret_id)
{
	int fd = node_open(&n->s, n->s.cdev[device]);

	assert_true(fd >= 0);
	assert_int_equal(bind_to(&n->s, fd, iommufd, ret_id), 0);
	assert_int_equal(region_write(n->m, fd, VIA_VFIO_PCI_CONFIG_REGION_INDEX, 4, 6, 2), 2);
	return fd;
}

/* An IOAS with the first pages of memory at IOVA. */
static inline uint32_t ioas_with(struct nodes *n, int iommufd, unsigned int pages)
{
	uint32_t ioas = ioas_new(&n->s, iommufd);

	assert_true(ioas);
	for (unsigned int i = 0; i < pages; i++)
		assert_int_equal(map_page(&n->s, iommufd, ioas, IOVA + i * PAGE,
					  (char *)n->m->memory + i * PAGE),
				 0);
	return ioas;
}

static inline long unmap_page(struct nodes *n, int iommufd, uint32_t ioas, uint64_t iova)
{
	struct via_iommu_ioas_unmap unmap = {
		.size = sizeof(unmap), .ioas_id = ioas, .iova = iova, .length = PAGE};

	return call(&n->s, iommufd, VIA_IOMMU_IOAS_UNMAP, &unmap);
}

/* What the function reads there, or 0 if it cannot. */
static inline bool can_read(struct nodes *n, int fd, uint32_t iova)
{
	return reaches(n->m, fd, iova);
}

static inline bool can_write(struct nodes *n, int fd, uint32_t iova)
{
	assert_int_equal(region_write(n->m, fd, 0, 0x10, iova, 4), 4);
	return !reg(n->m, fd, 12);
}

#endif
