/* SPDX-License-Identifier: MIT */
#include "preload/doorbell.h"

#include "preload/client.h"
#include "preload/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif
#ifndef UFFD_FEATURE_WP_HUGETLBFS_SHMEM
#define UFFD_FEATURE_WP_HUGETLBFS_SHMEM (1 << 12)
#endif

static bool register_pages(int uffd, uint64_t addr, uint64_t len)
{
	struct uffdio_api api = {
		.api = UFFD_API,
		.features = UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_WP_HUGETLBFS_SHMEM,
	};
	struct uffdio_register reg = {
		.range = {addr, len},
		.mode = UFFDIO_REGISTER_MODE_WP,
	};

	return via_sys(SYS_ioctl, uffd, UFFDIO_API, &api) == 0 &&
	       via_sys(SYS_ioctl, uffd, UFFDIO_REGISTER, &reg) == 0 &&
	       (reg.ioctls & 1ull << _UFFDIO_WRITEPROTECT);
}

bool via_doorbell_watch(uint64_t id, uint64_t offset, uint64_t addr, uint64_t len)
{
	struct via_call call = {
		.request = {.op = VIA_DOOR_GUARD, .id = id, .arg = {offset, addr, len}},
	};
	bool ok;

	call.fd = (int)via_sys(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
	if (call.fd < 0)
		return false;
	ok = register_pages(call.fd, addr, len) && via_call(&call) == 0;
	/* The registration lives as long as the host's copy; without one it ends here. */
	via_sys(SYS_close, call.fd);
	return ok;
}
