/* SPDX-License-Identifier: MIT */
/*
 * The program's view of the system: a private /sys in which only the PCI,
 * VFIO and IOMMU parts are ours, or, where mounting is refused, a directory
 * that the shim redirects paths to.
 */
#ifndef VIA_CLI_VIEW_H
#define VIA_CLI_VIEW_H

#include "host/host.h"

struct view {
	bool mounted;	    /* /sys is assembled; else the shim redirects */
	char root[128];	    /* VIADUCT_ROOT: holds dev/ and, when not mounted, sys/ */
	char why[256];	    /* for --explain: what was chosen and why */
	/* What programs see as /sys, and root; the caller's to close. */
	int sys_fd, root_fd;
};

/*
 * Choose and build the view in this process, which is about to become the
 * program. fallback: an empty directory for the redirected tree, made by the
 * parent so that it can remove it. 0 or negative errno with text in err.
 */
int view_enter(struct via_host *host, const char *fallback, struct view *ret_view,
	       struct via_error *err);

/* A directory for view_enter(), below TMPDIR; path: at least 128 bytes. */
int view_fallback_new(char *path, size_t len, struct via_error *err);
/* Remove it with what is in it. */
void view_fallback_remove(const char *path);

#endif
