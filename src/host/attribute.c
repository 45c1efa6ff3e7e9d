/* SPDX-License-Identifier: MIT */
/*
 * Files of the program's sysfs that do something when they are written. In the
 * tree they are plain files with the value, kept up to date: who only reads
 * them opens those. Who opens one for writing gets a descriptor of ours.
 */
#include "host/internal.h"

#include "device/device.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

/* A write longer than a page is cut, as the kernel does. */
#define MAX_TEXT 4096

struct attribute;

struct kind {
	const char *name;
	unsigned int (*show)(struct attribute *attribute);
	/* caller NULL: do not wait. 0 or negative errno. */
	int (*store)(struct attribute *attribute, const char *text, struct via_caller *caller);
};

struct attribute {
	struct via_file file;
	struct via_host *host;
	struct via_device *pf; /* lives as long as the host */
	const struct kind *kind;
	int access; /* O_RDWR or O_WRONLY */
};

static struct attribute *attribute_of(struct via_file *file)
{
	return (struct attribute *)((char *)file - offsetof(struct attribute, file));
}

/* --- sriov_numvfs ---------------------------------------------------------- */

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : 16;
}

/* A number of 16 bits as the kernel reads it: a plus, 0x or 0 in front, one newline behind. */
static bool parse_u16(const char *text, unsigned int *ret_value)
{
	unsigned int base = 10, value = 0, n = 0;

	text += *text == '+';
	if (text[0] == '0' && (text[1] | 0x20) == 'x' && digit(text[2]) < 16) {
		base = 16;
		text += 2;
	} else if (text[0] == '0') {
		base = 8;
	}
	for (; digit(*text) < (int)base; text++, n++) {
		value = value * base + (unsigned int)digit(*text);
		if (value > 0xffff)
			return false;
	}
	text += n && *text == '\n';
	*ret_value = value;
	return n && !*text;
}

static unsigned int numvfs_show(struct attribute *attribute)
{
	return (unsigned int)via_vfio_numvfs(attribute->host->vfio, attribute->pf);
}

static int numvfs_store(struct attribute *attribute, const char *text, struct via_caller *caller)
{
	unsigned int n;

	if (!parse_u16(text, &n))
		return -EINVAL;
	return via_vfio_set_numvfs(attribute->host->vfio, attribute->pf, n, caller);
}

/* --- sriov_drivers_autoprobe ----------------------------------------------- */

/* vfio-pci takes virtual functions of its own in any case, so it changes nothing. */
static unsigned int autoprobe_show(struct attribute *attribute)
{
	return !__atomic_load_n(&attribute->host->no_autoprobe, __ATOMIC_RELAXED);
}

static int autoprobe_store(struct attribute *attribute, const char *text, struct via_caller *caller)
{
	bool on = strchr("yYtT1", text[0]), off = strchr("nNfF0", text[0]);

	if ((text[0] | 0x20) == 'o') {
		on = (text[1] | 0x20) == 'n';
		off = (text[1] | 0x20) == 'f';
	}
	if (!text[0] || (!on && !off))
		return -EINVAL;
	__atomic_store_n(&attribute->host->no_autoprobe, off, __ATOMIC_RELAXED);
	via_host_attribute(attribute->host, attribute->pf, attribute->kind->name, on);
	return 0;
}

static const struct kind kinds[] = {
	{"sriov_numvfs", numvfs_show, numvfs_store},
	{"sriov_drivers_autoprobe", autoprobe_show, autoprobe_store},
};

/* --- the file -------------------------------------------------------------- */

static ssize_t attribute_give(struct via_file *file, char *buf, size_t size)
{
	struct attribute *attribute = attribute_of(file);

	if (attribute->access == O_WRONLY)
		return 0;
	return snprintf(buf, size, "%u\n", attribute->kind->show(attribute));
}

static ssize_t attribute_pread(struct via_file *file, struct via_caller *caller, uint64_t addr,
			       size_t len, uint64_t offset)
{
	struct attribute *attribute = attribute_of(file);
	char text[16];
	size_t size;

	if (attribute->access == O_WRONLY)
		return -EBADF;
	size = (size_t)attribute_give(file, text, sizeof(text));
	if (offset >= size)
		return 0;
	if (len > size - offset)
		len = size - offset;
	return via_copy_out(caller, addr, text + offset, len) ? -EFAULT : (ssize_t)len;
}

/* Where in the file does not matter. */
static ssize_t attribute_pwrite(struct via_file *file, struct via_caller *caller, uint64_t addr,
				size_t len, uint64_t offset)
{
	struct attribute *attribute = attribute_of(file);
	char *text;
	int ret;

	if (!len)
		return 0;
	if (len > MAX_TEXT)
		len = MAX_TEXT;
	text = calloc(1, len + 1);
	if (!text)
		return -ENOMEM;
	ret = via_copy_in(caller, text, addr, len);
	if (!ret)
		ret = attribute->kind->store(attribute, text, caller);
	free(text);
	return ret ? ret : (ssize_t)len;
}

static int attribute_take(struct via_file *file, const char *text)
{
	struct attribute *attribute = attribute_of(file);

	return attribute->kind->store(attribute, text, NULL);
}

static void attribute_sync(struct via_file *file, struct via_caller *caller)
{
	struct attribute *attribute = attribute_of(file);

	via_vfio_wait_vfs(attribute->host->vfio, attribute->pf, caller);
}

static void attribute_release(struct via_file *file)
{
	free(attribute_of(file));
}

static const struct via_file_ops attribute_ops = {
	.kind = "attribute",
	.pread = attribute_pread,
	.pwrite = attribute_pwrite,
	.give = attribute_give,
	.take = attribute_take,
	.sync = attribute_sync,
	.release = attribute_release,
};

static struct via_device *find_pf(struct via_host *host, const char *addr)
{
	char text[VIA_PCI_ADDR_LEN];
	struct via_device *dev;

	for (size_t i = 0; (dev = via_vfio_device(host->vfio, i)); i++) {
		/* Only physical functions stay for sure. */
		if (via_vfio_numvfs(host->vfio, dev) < 0)
			continue;
		via_pci_addr_format(via_device_addr(dev), text);
		if (strcmp(text, addr) == 0)
			return dev;
	}
	return NULL;
}

int via_attribute_open(struct via_host *host, const char *path, int flags,
		       struct via_file **ret_file)
{
	const char *slash = strchr(path, '/');
	const struct kind *kind = NULL;
	struct attribute *attribute;
	char addr[VIA_PCI_ADDR_LEN];
	struct via_device *pf;

	if (!slash || (size_t)(slash - path) >= sizeof(addr) || (flags & O_ACCMODE) == O_RDONLY)
		return -ENOENT;
	memcpy(addr, path, (size_t)(slash - path));
	addr[slash - path] = '\0';
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(kinds[i].name, slash + 1) == 0)
			kind = &kinds[i];
	pf = kind ? find_pf(host, addr) : NULL;
	if (!pf)
		return -ENOENT;
	attribute = calloc(1, sizeof(*attribute));
	if (!attribute)
		return -ENOMEM;
	attribute->file.ops = &attribute_ops;
	attribute->file.refs = 1;
	attribute->host = host;
	attribute->pf = pf;
	attribute->kind = kind;
	attribute->access = flags & O_ACCMODE;
	*ret_file = &attribute->file;
	return 0;
}
