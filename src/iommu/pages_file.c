/* SPDX-License-Identifier: MIT */
/*
 * Files as DMA memory: memfds and files of tmpfs and hugetlbfs. All page stores
 * of one file share its descriptor and its windows (memory/space.h), so that many small
 * maps of a memfd cost neither descriptors nor VMAs.
 *
 * A kernel writes through its pins, whatever the descriptor allows. A process
 * opens the file again for writing; what nobody may map writable (another user's file, a
 * memfd sealed against writes) can only be read: writes of devices to it fail.
 */
#include "iommu/pages_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

#define N_BUCKETS 64u

struct via_pages_file {
	struct via_pages_file *next; /* files_lock */
	unsigned int refs;	     /* files_lock */
	uint64_t dev, ino;	     /* constant, like mode and fd */
	int mode;		     /* O_ACCMODE */
	int fd;
	pthread_mutex_t lock;
	struct via_space *spaces[2]; /* under lock, once set constant: to read, to write too */
};

static pthread_mutex_t files_lock = PTHREAD_MUTEX_INITIALIZER;
static struct via_pages_file *files[N_BUCKETS]; /* under files_lock */

static struct via_pages_file **bucket_of(uint64_t ino)
{
	return &files[ino % N_BUCKETS];
}

static struct via_pages_file *file_new(int fd, const struct stat *st, int mode)
{
	struct via_pages_file *file = calloc(1, sizeof(*file));

	if (!file)
		return NULL;
	file->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (file->fd < 0) {
		free(file);
		return NULL;
	}
	file->dev = st->st_dev;
	file->ino = st->st_ino;
	file->mode = mode;
	pthread_mutex_init(&file->lock, NULL);
	return file;
}

int via_pages_file_get(int fd, struct via_pages_file **ret_file)
{
	int flags = fcntl(fd, F_GETFL), mode = flags & O_ACCMODE;
	struct via_pages_file *file, **bucket;
	struct stat st;

	if (flags < 0 || fstat(fd, &st))
		return -ENOMEM;
	bucket = bucket_of(st.st_ino);
	pthread_mutex_lock(&files_lock);
	/* Open descriptors keep the inode: the number means the same file. */
	for (file = *bucket; file; file = file->next)
		if (file->dev == st.st_dev && file->ino == st.st_ino && file->mode == mode)
			break;
	if (!file) {
		file = file_new(fd, &st, mode);
		if (file) {
			file->next = *bucket;
			*bucket = file;
		}
	}
	if (file)
		file->refs++;
	pthread_mutex_unlock(&files_lock);
	*ret_file = file;
	return file ? 0 : -ENOMEM;
}

void via_pages_file_put(struct via_pages_file *file)
{
	struct via_pages_file **p;

	if (!file)
		return;
	pthread_mutex_lock(&files_lock);
	if (--file->refs) {
		pthread_mutex_unlock(&files_lock);
		return;
	}
	for (p = bucket_of(file->ino); *p != file; p = &(*p)->next)
		;
	*p = file->next;
	pthread_mutex_unlock(&files_lock);
	for (int i = 0; i < 2; i++)
		via_space_put(file->spaces[i]);
	(void)close(file->fd);
	pthread_mutex_destroy(&file->lock);
	free(file);
}

/* A descriptor of the same file with another mode; the caller closes it. Negative: errno. */
static int open_again(const struct via_pages_file *file, int mode)
{
	char name[32];
	int fd;

	(void)snprintf(name, sizeof(name), "/proc/self/fd/%d", file->fd);
	fd = open(name, mode | O_CLOEXEC | O_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

static bool sealed(const struct via_pages_file *file)
{
	int seals = fcntl(file->fd, F_GET_SEALS);

	return seals >= 0 && (seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE));
}

static int new_space(const struct via_pages_file *file, bool write, struct via_space **ret_space)
{
	unsigned int prot = VIA_PROT_READ | (write ? VIA_PROT_WRITE : 0);
	int mode = write ? O_RDWR : O_RDONLY, fd = file->fd, rc;

	if (file->mode != mode)
		fd = open_again(file, mode);
	if (fd < 0)
		return fd == -EMFILE || fd == -ENFILE || fd == -ENOMEM ? -ENOMEM : -EACCES;
	rc = via_space_new_fd(fd, prot, ret_space);
	if (fd != file->fd)
		(void)close(fd);
	if (rc == -EACCES)
		return rc;
	return rc ? -ENOMEM : 0;
}

/* Borrowed: a space to write if that can be had, else to read. */
static int space_of(struct via_pages_file *file, bool write, struct via_space **ret_space)
{
	int rc = 0;

	/* A seal may have come since. */
	if (write && sealed(file))
		write = false;
	pthread_mutex_lock(&file->lock);
	if (write && !file->spaces[1]) {
		rc = new_space(file, true, &file->spaces[1]);
		if (rc == -EACCES) {
			write = false;
			rc = 0;
		}
	}
	if (!rc && !write && !file->spaces[0])
		rc = new_space(file, false, &file->spaces[0]);
	*ret_space = file->spaces[write];
	pthread_mutex_unlock(&file->lock);
	return rc;
}

/*
 * May DMA use the pages of [addr, addr + len)? All of each must lie in the
 * file: the last page of one that does not end with a page is not to be had.
 */
static int check(const struct via_pages_file *file, uint64_t addr, uint64_t len)
{
	struct statfs fs;
	struct stat st;
	uint64_t end;

	if (fstat(file->fd, &st) || fstatfs(file->fd, &fs) || !S_ISREG(st.st_mode))
		return -EINVAL;
	if (fs.f_type != TMPFS_MAGIC && fs.f_type != HUGETLBFS_MAGIC)
		return -EINVAL;
	if (__builtin_add_overflow(addr, len, &end) ||
	    __builtin_add_overflow(end, VIA_PAGES_SIZE - 1, &end) ||
	    (end & ~(VIA_PAGES_SIZE - 1)) > (uint64_t)st.st_size)
		return -EINVAL;
	return 0;
}

int via_pages_file_store(struct via_pages_file *file, uint64_t addr, uint64_t len, bool writable,
			 struct via_store **ret_store)
{
	struct via_space *space;
	int rc = check(file, addr, len);

	if (!rc)
		rc = space_of(file, writable, &space);
	if (rc)
		return rc == -EACCES ? -EFAULT : rc;
	rc = via_store_new(space, addr, len, space->prot, ret_store);
	/* It has shrunk since the check; and a seal, or no more VMAs. */
	if (rc == -EFAULT)
		return -EINVAL;
	return rc ? -ENOMEM : 0;
}

struct via_page_identity via_pages_file_identity(const struct via_pages_file *file,
						 uint64_t offset)
{
	return (struct via_page_identity){ file->dev, file->ino, offset >> VIA_PAGES_SHIFT };
}
