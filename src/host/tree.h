/* SPDX-License-Identifier: MIT */
/*
 * Files of the program's view of the system, below a directory. The program can
 * reach them too, so no step follows what it may have put there: links, or
 * mounts of its own behind which a server of its own could hold us up.
 */
#ifndef VIA_HOST_TREE_H
#define VIA_HOST_TREE_H

#include <viaduct/base.h>

#include <sys/types.h>

/* After the first failure nothing more is done. */
struct via_tree {
	int root;
	int error;
	char failed[256]; /* the path that could not be made */
};

void via_tree_fail(struct via_tree *tree, int error, const char *path);
/* Make all directories of path, or all but its last part. */
void via_tree_dirs(struct via_tree *tree, const char *path, bool all);
/* A new file. */
void via_tree_bytes(struct via_tree *tree, mode_t mode, const char *path, const void *bytes,
		    size_t len);
/* dir/name with a value. */
void via_tree_put(struct via_tree *tree, mode_t mode, const char *dir, const char *name,
		  const char *fmt, ...) VIA_PRINTF(5, 6);
void via_tree_link(struct via_tree *tree, const char *dir, const char *name, const char *target);
/* Bytes of a file that exists, in place: who has it open sees them. The file may get longer. */
void via_tree_update(struct via_tree *tree, const char *path, off_t offset, const void *bytes,
		     size_t len);
/* A number and a newline as all that a file holds, likewise. */
void via_tree_value(struct via_tree *tree, const char *path, unsigned int value);
/* A file, a link, or a directory with all that is in it. What is not there is no failure. */
void via_tree_remove(struct via_tree *tree, const char *path);

#endif
