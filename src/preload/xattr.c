/* SPDX-License-Identifier: MIT */
/* Extended attributes by path: the view's own files have them, the program's names do not. */
#include "preload/path.h"
#include "preload/real.h"
#include "preload/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/xattr.h>

/* By number: what libc has behind these names is the system call and nothing else. */
#define ON_PATH(nr, path, ...)                                \
	({                                                    \
		struct via_path _p;                           \
		via_path_resolve(&_p, AT_FDCWD, path);        \
		via_ret(via_sys(nr, _p.path, ##__VA_ARGS__)); \
	})

VIA_INTERPOSE ssize_t getxattr(const char *path, const char *name, void *value, size_t size)
{
	return ON_PATH(SYS_getxattr, path, name, value, size);
}

VIA_INTERPOSE ssize_t lgetxattr(const char *path, const char *name, void *value, size_t size)
{
	return ON_PATH(SYS_lgetxattr, path, name, value, size);
}

VIA_INTERPOSE ssize_t listxattr(const char *path, char *list, size_t size)
{
	return ON_PATH(SYS_listxattr, path, list, size);
}

VIA_INTERPOSE ssize_t llistxattr(const char *path, char *list, size_t size)
{
	return ON_PATH(SYS_llistxattr, path, list, size);
}

VIA_INTERPOSE int setxattr(const char *path, const char *name, const void *value, size_t size,
			   int flags)
{
	return (int)ON_PATH(SYS_setxattr, path, name, value, size, flags);
}

VIA_INTERPOSE int lsetxattr(const char *path, const char *name, const void *value, size_t size,
			    int flags)
{
	return (int)ON_PATH(SYS_lsetxattr, path, name, value, size, flags);
}

VIA_INTERPOSE int removexattr(const char *path, const char *name)
{
	return (int)ON_PATH(SYS_removexattr, path, name);
}

VIA_INTERPOSE int lremovexattr(const char *path, const char *name)
{
	return (int)ON_PATH(SYS_lremovexattr, path, name);
}
