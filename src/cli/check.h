/* SPDX-License-Identifier: MIT */
/* --check dma: what is said of accesses that were refused. */
#ifndef VIA_CLI_CHECK_H
#define VIA_CLI_CHECK_H

#include "iommu/check.h"

/* Reports go to standard error as they happen. 0 or -ENOMEM. */
int check_new(struct via_check **ret_check);
/* The summary. How many accesses were refused. */
uint64_t check_end(struct via_check *check);

#endif
