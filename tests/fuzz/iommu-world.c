/* SPDX-License-Identifier: MIT */
/* The program's descriptors and ids, and how it begins and ends. */
#include "iommu-world.h"

#include "iommu-steps.h"

#include <sys/eventfd.h>

/* Descriptors --------------------------------------------------------------- */

void world_forget(struct world *s, unsigned int i)
{
	if (s->fds[i] >= 0)
		test_close(&s->tc, s->fds[i]);
	s->fds[i] = -1;
}

void world_put_fd(struct world *s, unsigned int i, int fd)
{
	world_forget(s, i);
	s->fds[i] = fd;
}

void world_got_fd(struct world *s, int fd)
{
	struct via_file *file = NULL;

	/* A program's own descriptors are not for us to close. */
	if (test_file_get(&s->tc.caller, fd, &file))
		return;
	world_put_fd(s,
		     !strcmp(file->ops->kind, "device") ? FD_DEVICE + (s->fds[FD_DEVICE] >= 0)
							: FD_RESULT + s->n_results++ % FD_RESULTS,
		     fd);
	via_file_put(file);
}

int world_open(struct world *s, const char *node, unsigned int i)
{
	struct via_file *file;
	int r = via_vfio_open(s->vfio, &s->tc.caller, node, O_RDWR, &file);

	FUZZ_CHECK(r <= 0 && r >= -4095);
	if (!r) {
		int fd = test_file_put(&s->tc.caller, file, true);

		if (fd < 0)
			via_file_put(file);
		else
			world_put_fd(s, i, fd);
	}
	return r;
}

long world_file(struct world *s, unsigned int i, struct via_file **ret_file)
{
	*ret_file = NULL;
	return s->fds[i] < 0 ? -EBADF : test_file_get(&s->tc.caller, s->fds[i], ret_file);
}

void world_remember(struct world *s, unsigned int kind, uint32_t id)
{
	struct ids *ids = &s->ids[kind];

	if (kind && id)
		ids->id[ids->n++ % IDS] = id;
}

/* Begin --------------------------------------------------------------------- */

/* A simple call of the start. */
static long ask(struct world *s, unsigned int i, unsigned long cmd, const void *bytes, size_t len)
{
	struct via_file *file;
	long r = world_file(s, i, &file);

	if (r < 0)
		return r;
	memcpy(arena_page(0), bytes, len);
	r = via_file_ioctl(file, &s->tc.caller, cmd, ARGUMENT);
	via_file_put(file);
	return r;
}

static void begin_native(struct world *s)
{
	struct via_iommu_ioas_alloc alloc = {.size = sizeof(alloc)};
	struct via_iommu_test_cmd mock = {.size = sizeof(mock),
					  .op = VIA_IOMMU_TEST_MOCK_DOMAIN_FLAGS,
					  .domain.dev_flags = 4};

	for (unsigned int i = 0; i < 2; i++) {
		FUZZ_CHECK(world_open(s, "iommu", FD_IOMMUFD + i) == 0);
		FUZZ_CHECK(ask(s, FD_IOMMUFD + i, VIA_IOMMU_IOAS_ALLOC, &alloc, sizeof(alloc)) ==
			   0);
		world_remember(s, ID_IOAS, via_get_le32(arena_page(0) + 8));
	}
	for (unsigned int i = 0; i < 2; i++) {
		mock.id = s->ids[ID_IOAS].id[0];
		FUZZ_CHECK(ask(s, FD_IOMMUFD, VIA_IOMMU_TEST_CMD, &mock, sizeof(mock)) == 0);
		world_remember(s, ID_STDEV, via_get_le32(arena_page(0) + 16));
		world_remember(s, ID_PAGING, via_get_le32(arena_page(0) + 20));
		world_remember(s, ID_DEVICE, via_get_le32(arena_page(0) + 24));
	}
}

/* Real devices by their own nodes, where there is an IOMMU that iommufd knows. */
static void begin_nodes(struct world *s)
{
	static const char *const nodes[] = {"vfio/devices/vfio0", "vfio/devices/vfio1"};
	struct via_vfio_device_attach_iommufd_pt attach = {.argsz = 12};
	struct via_vfio_device_bind_iommufd bind = {.argsz = 16};

	for (unsigned int i = 0; i < 2; i++) {
		bind.iommufd = s->fds[FD_IOMMUFD];
		attach.pt_id = s->ids[ID_IOAS].id[0];
		if (world_open(s, nodes[i], FD_DEVICE + i) ||
		    ask(s, FD_DEVICE + i, VIA_VFIO_DEVICE_BIND_IOMMUFD, &bind, 16))
			continue;
		world_remember(s, ID_DEVICE, via_get_le32(arena_page(0) + 12));
		if (!ask(s, FD_DEVICE + i, VIA_VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach, 12))
			world_remember(s, ID_PAGING, via_get_le32(arena_page(0) + 8));
	}
}

/* A container, or an iommufd for one, with a group in it. */
static void begin_container(struct world *s, bool iommufd)
{
	static const uint32_t types[KINDS] = {
		VIA_VFIO_TYPE1v2_IOMMU, VIA_VFIO_TYPE1_IOMMU,	  VIA_VFIO_TYPE1v2_IOMMU,
		VIA_VFIO_TYPE1_IOMMU,	VIA_VFIO_SPAPR_TCE_IOMMU, VIA_VFIO_SPAPR_TCE_v2_IOMMU,
		VIA_VFIO_NOIOMMU_IOMMU, VIA_VFIO_NOIOMMU_IOMMU,
	};
	const char *group = s->kind >= 6 ? "vfio/noiommu-1" : "vfio/1";
	struct via_file *file;

	FUZZ_CHECK(world_open(s, iommufd ? "iommu" : "vfio/vfio", FD_CONTAINER) == 0);
	FUZZ_CHECK(world_open(s, group, FD_GROUP) == 0);
	FUZZ_CHECK(!ask(s, FD_GROUP, VIA_VFIO_GROUP_SET_CONTAINER, &s->fds[FD_CONTAINER], 4));
	FUZZ_CHECK(!world_file(s, FD_CONTAINER, &file));
	(void)via_file_ioctl(file, &s->tc.caller, VIA_VFIO_SET_IOMMU, types[s->kind]);
	via_file_put(file);
	s->fds[FD_DEVICE] = (int)ask(s, FD_GROUP, VIA_VFIO_GROUP_GET_DEVICE_FD, "0000:00:04.0", 13);
}

void world_begin(struct world *s, uint8_t how)
{
	switch (how) {
	case 0:
		begin_native(s);
		begin_nodes(s);
		break;
	case 1:
		begin_container(s, false);
		break;
	case 2:
		begin_container(s, true);
		break;
	default:
		begin_native(s);
	}
}

void world_init(struct world *s, unsigned int kind)
{
	static const char path[] = "/proc/self/fd/";
	char name[sizeof(path) + 12];

	*s = (struct world){.kind = kind, .vfio = machine_get(kind)};
	test_caller_init(&s->tc);
	s->mm = s->tc.caller.mm;
	s->tc.caller.caps |= VIA_CAP_SYS_RESOURCE;
	for (unsigned int i = 0; i < FDS; i++)
		s->fds[i] = -1;
	s->fds[FD_EVENT] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	s->fds[FD_MEMORY] = memfd_create("program", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	FUZZ_CHECK(s->fds[FD_EVENT] >= 0 && s->fds[FD_MEMORY] >= 0);
	FUZZ_CHECK(!ftruncate(s->fds[FD_MEMORY], 16ll * ARENA_PAGE));
	snprintf(name, sizeof(name), "%s%d", path, s->fds[FD_MEMORY]);
	s->fds[FD_MEMORY_READ_ONLY] = open(name, O_RDONLY | O_CLOEXEC);
	FUZZ_CHECK(s->fds[FD_MEMORY_READ_ONLY] >= 0);
}

void world_deinit(struct world *s)
{
	dma_settle();
	s->tc.caller.mm = s->mm;
	via_file_put(s->mapped_file);
	test_caller_deinit(&s->tc);
	for (unsigned int i = FD_EVENT; i <= FD_MEMORY_READ_ONLY; i++)
		close(s->fds[i]);
}
