/* SPDX-License-Identifier: MIT */
/*
 * The host process's keeper of state: the VFIO subsystem, the callers that are
 * connected, the files that they hold open, and the threads that serve them.
 * `viaduct run` is one; --in-process puts one into the program itself.
 */
#ifndef VIA_HOST_HOST_H
#define VIA_HOST_HOST_H

#include "vfio/vfio.h"

struct via_host;

/* config: NULL for the defaults. */
int via_host_new(const struct via_vfio_config *config, struct via_host **ret_host);
/* Stops threads, closes files and connections, frees devices. */
void via_host_free(struct via_host *host);

struct via_vfio *via_host_vfio(struct via_host *host);

/*
 * Add a device from "MODEL[,addr=DDDD:BB:DD.F][,group=N][,key=value...]".
 * Return 0 or negative errno with text in err.
 */
int via_host_add_device(struct via_host *host, const char *spec, struct via_error *err);

/*
 * Start the event loop thread and listen for shims. The socket is abstract
 * with a random name and accepts peers of our own uid only.
 * ret_name: "@..." for VIADUCT_SOCKET, at least 64 bytes.
 */
int via_host_listen(struct via_host *host, char *ret_name, size_t len, struct via_error *err);

/* Connected peers and open files now; for tests and the report. */
struct via_host_counts {
	unsigned int peers, slots, files, mappings;
};
void via_host_counts(struct via_host *host, struct via_host_counts *ret_counts);

/* See every hang-up that has already happened (the last close of a descriptor). */
void via_host_settle(struct via_host *host);

/*
 * Write the program's view of sysfs into the directory dirfd (a tmpfs):
 * devices/pci*, bus/pci, kernel/iommu_groups, class/vfio, class/iommu, module/vfio*.
 * Once, after the last device was added and before programs run.
 */
int via_host_sysfs(struct via_host *host, int dirfd, struct via_error *err);

/*
 * From now on virtual functions appear and disappear in the program's view: sys
 * is the directory that via_host_sysfs() has filled, root the one that has dev/
 * with the nodes. Both are consumed on success. After the last device was added
 * and before programs run. 0 or -ENOMEM.
 */
int via_host_view(struct via_host *host, int sys, int root);

/*
 * From now on write a recording of each device's config space into the
 * directory dir, under its address, when the last program gives it up. dir
 * stays the caller's and must outlive the host. After the last device was
 * added and before programs run. 0 or -ENOMEM.
 */
int via_host_snapshot(struct via_host *host, int dir);

/* A person's summary of what happened, to stream (a FILE *), for the report at exit. */
void via_host_report(struct via_host *host, void *stream);

#endif
