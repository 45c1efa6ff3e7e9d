/* SPDX-License-Identifier: MIT */
#include "memory/space.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static struct via_space *space_new(void)
{
	struct via_space *space = calloc(1, sizeof(*space));

	if (!space)
		return NULL;
	space->refs = 1;
	space->fd = -1;
	pthread_mutex_init(&space->lock, NULL);
	return space;
}

int via_space_new_mm(struct via_mm *mm, struct via_space **ret_space)
{
	struct via_space *space = space_new();

	if (!space)
		return -ENOMEM;
	space->mm = via_mm_get(mm);
	*ret_space = space;
	return 0;
}

int via_space_new_fd(int fd, unsigned int prot, struct via_space **ret_space)
{
	int mode = fcntl(fd, F_GETFL);
	struct via_space *space;
	struct stat st;

	if (mode < 0 || fstat(fd, &st))
		return -EBADF;
	if (!S_ISREG(st.st_mode) || !prot || (prot & ~(VIA_PROT_READ | VIA_PROT_WRITE)))
		return -EINVAL;
	/* A shared writable mapping needs a descriptor that can read as well. */
	mode &= O_ACCMODE;
	if (mode == O_WRONLY || ((prot & VIA_PROT_WRITE) && mode != O_RDWR))
		return -EACCES;
	space = space_new();
	if (!space)
		return -ENOMEM;
	space->prot = prot;
	space->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (space->fd < 0) {
		int rc = -errno;

		via_space_put(space);
		return rc;
	}
	*ret_space = space;
	return 0;
}

struct via_space *via_space_get(struct via_space *space)
{
	__atomic_add_fetch(&space->refs, 1, __ATOMIC_RELAXED);
	return space;
}

void via_space_put(struct via_space *space)
{
	if (!space || __atomic_sub_fetch(&space->refs, 1, __ATOMIC_ACQ_REL))
		return;
	via_mm_put(space->mm);
	if (space->fd >= 0)
		(void)close(space->fd);
	pthread_mutex_destroy(&space->lock);
	free(space);
}
