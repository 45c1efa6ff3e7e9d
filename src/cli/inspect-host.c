/* SPDX-License-Identifier: MIT */
/*
 * A function of this machine, from what the kernel's sysfs says of it: written
 * down as a recording, which is then seen through the same engine as any other.
 * Nothing is opened but files, and nothing of the function changes.
 */
#include "cli/inspect.h"

#include "pci/regs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* What the kernel shows of config space to anybody. */
#define HEADER_SIZE 64u

/* dir/ADDRESS/name. -1: it cannot be opened, see errno. */
static int open_attribute(const char *sysfs, const char *address, const char *name)
{
	char path[PATH_MAX];
	int n = snprintf(path, sizeof(path), "%s/bus/pci/devices/%s/%s", sysfs, address, name);

	if (n < 0 || (size_t)n >= sizeof(path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	return open(path, O_RDONLY | O_CLOEXEC);
}

/* As much as there is, up to size. Bytes read, or negative errno. */
static int read_attribute(const char *sysfs, const char *address, const char *name, void *bytes,
			  size_t size)
{
	int fd = open_attribute(sysfs, address, name);
	size_t done = 0;
	ssize_t n = 1;

	if (fd < 0)
		return -errno;
	while (n > 0 && done < size) {
		n = read(fd, (char *)bytes + done, size - done);
		if (n < 0) {
			n = -errno;
			break;
		}
		done += (size_t)n;
	}
	close(fd);
	return n < 0 ? (int)n : (int)done;
}

/* A line of text; "" if there is none. */
static void read_line(const char *sysfs, const char *address, const char *name, char *text,
		      size_t size)
{
	int n = read_attribute(sysfs, address, name, text, size - 1);

	text[n > 0 ? n : 0] = '\0';
	text[strcspn(text, "\n")] = '\0';
}

static bool has_attribute(const char *sysfs, const char *address, const char *name)
{
	int fd = open_attribute(sysfs, address, name);

	if (fd < 0)
		return errno == EACCES;
	close(fd);
	return true;
}

/* --- What is written down ---------------------------------------------------- */

static void write_resources(FILE *out, const char *sysfs, const char *address)
{
	char text[4096];
	int n = read_attribute(sysfs, address, "resource", text, sizeof(text) - 1);
	char *save, *line;

	text[n > 0 ? n : 0] = '\0';
	line = strtok_r(text, "\n", &save);
	for (unsigned int i = 0; line && i < VIA_RECORDING_RESOURCES; i++) {
		(void)fprintf(out, "resource %u %s\n", i, line);
		line = strtok_r(NULL, "\n", &save);
	}
}

/* Kernels before 5.15 only say that there is a way. */
static void write_reset(FILE *out, const char *sysfs, const char *address)
{
	char methods[128];

	read_line(sysfs, address, "reset_method", methods, sizeof(methods));
	if (!*methods && has_attribute(sysfs, address, "reset"))
		(void)snprintf(methods, sizeof(methods), "reset");
	(void)fprintf(out, "reset_method %s\n", methods);
}

/* A virtual function's ids are known to the kernel alone. */
static void write_ids(FILE *out, const char *sysfs, const char *address)
{
	uint8_t ids[VIA_CONFIG_SIZE_PCI] = {0};
	char vendor[16], device[16];

	read_line(sysfs, address, "vendor", vendor, sizeof(vendor));
	read_line(sysfs, address, "device", device, sizeof(device));
	via_put_le16(ids + PCI_VENDOR_ID, (uint16_t)strtoul(vendor, NULL, 16));
	via_put_le16(ids + PCI_DEVICE_ID, (uint16_t)strtoul(device, NULL, 16));
	via_recording_write_image(out, "config_vfio", ids, sizeof(ids));
}

static int write_recording(FILE *out, const char *sysfs, struct inspect_host *host,
			   struct via_error *err)
{
	uint8_t *bytes = host->bytes;
	struct stat st;
	int fd = open_attribute(sysfs, host->address, "config");
	int n;

	if (fd < 0 || fstat(fd, &st)) {
		n = -errno;
		if (fd >= 0)
			close(fd);
		return via_error_set(err, n, "%s: its config space cannot be read: %s",
				     host->address, strerror(-n));
	}
	close(fd);
	n = read_attribute(sysfs, host->address, "config", bytes, sizeof(host->bytes));
	if (n < (int)HEADER_SIZE)
		return via_error_set(err, n < 0 ? n : -EIO,
				     "%s: its config space cannot be read: %s", host->address,
				     n < 0 ? strerror(-n) : "not even the header is there");
	host->size = st.st_size > (off_t)VIA_CONFIG_SIZE_PCI || n > (int)VIA_CONFIG_SIZE_PCI
			     ? VIA_RECORDING_SIZE
			     : VIA_CONFIG_SIZE_PCI;
	host->known = (unsigned int)n;
	if (via_get_le32(bytes + PCI_VENDOR_ID) == 0xffffffffu &&
	    !has_attribute(sysfs, host->address, "physfn/vendor"))
		return via_error_set(err, -EIO,
				     "%s: it does not answer: all ones, as a function has that is "
				     "without power or gone",
				     host->address);

	(void)fprintf(out, "device %s\n", host->address);
	write_resources(out, sysfs, host->address);
	write_reset(out, sysfs, host->address);
	if (via_get_le16(bytes + PCI_VENDOR_ID) == 0xffff)
		write_ids(out, sysfs, host->address);
	via_recording_write_image(out, "config_before_open", bytes, host->size);
	return 0;
}

int inspect_host_open(const char *sysfs, const char *text, struct via_error *err,
		      struct inspect_host *ret_host)
{
	struct inspect_host host = {.fd = -1};
	char path[PATH_MAX];
	struct via_pci_addr addr;
	FILE *out;
	int r;

	if (via_pci_addr_parse(text, &addr))
		return via_error_set(err, -EINVAL,
				     "'%s' is no address of a function, like 0000:00:02.0", text);
	via_pci_addr_format(&addr, host.address);
	(void)snprintf(path, sizeof(path), "%s/bus/pci/devices/%s", sysfs, host.address);
	if (access(path, F_OK))
		return via_error_set(err, -ENODEV, "%s: this machine has no such function",
				     host.address);
	host.fd = memfd_create("recording", MFD_CLOEXEC);
	r = host.fd < 0 ? -errno : fcntl(host.fd, F_DUPFD_CLOEXEC, 0);
	out = r < 0 ? NULL : fdopen(r, "w");
	if (!out) {
		if (r >= 0)
			close(r);
		inspect_host_close(&host);
		return via_error_set(err, r < 0 ? r : -ENOMEM, "%s: %s", host.address,
				     strerror(r < 0 ? -r : ENOMEM));
	}
	r = write_recording(out, sysfs, &host, err);
	if (fclose(out) && !r)
		r = via_error_set(err, -EIO, "%s: cannot be written down", host.address);
	if (r) {
		inspect_host_close(&host);
		return r;
	}
	(void)snprintf(host.spec, sizeof(host.spec), "image,recording=/proc/self/fd/%d,addr=%s",
		       host.fd, host.address);
	*ret_host = host;
	return 0;
}

void inspect_host_close(struct inspect_host *host)
{
	if (host->fd >= 0)
		close(host->fd);
	host->fd = -1;
}

void inspect_host_finish(const struct inspect_host *host, struct inspect_view *view)
{
	const uint8_t *device = host->bytes;

	(void)snprintf(view->name, sizeof(view->name), "host function");
	/* Not as the host would set it up for the program, but as it is now. */
	memcpy(view->device, device, sizeof(view->device));
	if (host->known >= view->config_size)
		return;
	view->known = host->known;
	/* Which capabilities it has is not known, but where the list starts is. */
	view->config[PCI_CAPABILITY_LIST] = device[PCI_CAPABILITY_LIST];
	view->config[PCI_STATUS] |= device[PCI_STATUS] & PCI_STATUS_CAP_LIST;
}

/* --- What there is ----------------------------------------------------------- */

static int is_address(const struct dirent *entry)
{
	struct via_pci_addr addr;

	return !via_pci_addr_parse(entry->d_name, &addr);
}

void inspect_host_list(const char *sysfs, FILE *out)
{
	char path[PATH_MAX], vendor[16], device[16], class[16];
	struct dirent **entries;
	int n;

	(void)snprintf(path, sizeof(path), "%s/bus/pci/devices", sysfs);
	n = scandir(path, &entries, is_address, alphasort);
	if (n < 0) {
		(void)fprintf(out, "%s: %s\n", path, strerror(errno));
		return;
	}
	(void)fprintf(out,
		      n ? "functions of this machine (address, vendor, device, class):\n"
			: "this machine has no PCI functions (%s is empty)\n",
		      path);
	for (int i = 0; i < n; i++) {
		const char *name = entries[i]->d_name;

		read_line(sysfs, name, "vendor", vendor, sizeof(vendor));
		read_line(sysfs, name, "device", device, sizeof(device));
		read_line(sysfs, name, "class", class, sizeof(class));
		(void)fprintf(out, "  %s %s %s %s\n", name, vendor, device, class);
		free(entries[i]);
	}
	free(entries);
}
