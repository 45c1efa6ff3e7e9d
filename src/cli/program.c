/* SPDX-License-Identifier: MIT */
#include "cli/program.h"
#include "cli/cli.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static int search_path(const char *name, char *ret_path)
{
	const char *path = getenv("PATH");
	int result = -ENOENT;

	if (strchr(name, '/')) {
		if (strlen(name) >= PATH_MAX)
			return -ENAMETOOLONG;
		strcpy(ret_path, name);
		return access(name, X_OK) ? -errno : 0;
	}
	for (const char *p = path ? path : "/usr/local/bin:/bin:/usr/bin"; ; p++) {
		size_t len = strcspn(p, ":");
		struct stat st;
		int n = snprintf(ret_path, PATH_MAX, "%.*s%s%s", (int)len, p, len ? "/" : "", name);

		if (n > 0 && n < PATH_MAX && !stat(ret_path, &st) && S_ISREG(st.st_mode)) {
			if (!access(ret_path, X_OK))
				return 0;
			result = -EACCES;
		}
		p += len;
		if (!*p)
			return result;
	}
}

/* Why an ELF file cannot take a preloaded library, or NULL. head is the file's beginning. */
static const char *elf_objection(int fd, const unsigned char *head)
{
	Elf64_Ehdr eh;
	bool interp = false;
	static char why[128];

	if (head[EI_CLASS] != ELFCLASS64)
		return "it is a 32-bit program, and the shim is 64-bit";
	memcpy(&eh, head, sizeof(eh));
	if (eh.e_phentsize != sizeof(Elf64_Phdr) || eh.e_phnum > 256)
		return "its ELF header is damaged";
	for (unsigned int i = 0; i < eh.e_phnum; i++) {
		Elf64_Phdr ph;
		char loader[256] = "";

		if (pread(fd, &ph, sizeof(ph), (off_t)(eh.e_phoff + i * sizeof(ph))) != sizeof(ph))
			return "its ELF header is damaged";
		if (ph.p_type != PT_INTERP)
			continue;
		interp = true;
		if (ph.p_filesz == 0 || ph.p_filesz >= sizeof(loader) ||
		    pread(fd, loader, ph.p_filesz, (off_t)ph.p_offset) != (ssize_t)ph.p_filesz)
			return "its ELF header is damaged";
		if (strstr(loader, "ld-musl")) {
			(void)snprintf(why, sizeof(why), "it uses musl (%.64s), and the shim is for glibc", loader);
			return why;
		}
	}
	return interp ? NULL : "it is statically linked, so the dynamic loader cannot add the shim; link it dynamically";
}

/* Scripts are as good as their interpreter, four deep as in the kernel. */
static int check(const char *path, unsigned int depth, struct via_error *err)
{
	unsigned char head[256] = {0};
	struct stat st;
	const char *why = NULL;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* an interpreter may be a pipe */

	/* Executable but unreadable: nothing can be said, and the loader will tell. */
	if (fd < 0)
		return 0;
	ssize_t n = pread(fd, head, sizeof(head) - 1, 0);

	if (fstat(fd, &st) == 0 && (st.st_mode & (S_ISUID | S_ISGID)) && st.st_uid != geteuid())
		why = "it is setuid or setgid, and the loader ignores LD_PRELOAD then; run a copy without that bit";
	else if (n >= (ssize_t)sizeof(Elf64_Ehdr) && !memcmp(head, ELFMAG, SELFMAG))
		why = elf_objection(fd, head);
	close(fd);
	if (why) {
		via_error_set(err, -ENOEXEC, "cannot serve '%s': %s", path, why);
		return CLI_CANNOT_INVOKE;
	}
	if (n > 2 && head[0] == '#' && head[1] == '!' && depth < 4) {
		char *interpreter = (char *)head + 2 + strspn((char *)head + 2, " \t");

		interpreter[strcspn(interpreter, " \t\n")] = '\0';
		return check(interpreter, depth + 1, err);
	}
	return 0;
}

int program_find(const char *name, char *ret_path, struct via_error *err)
{
	int r = search_path(name, ret_path);

	if (r == -ENOENT) {
		via_error_set(err, r, "program '%s' not found%s", name, strchr(name, '/') ? "" : " in PATH");
		return CLI_NOT_FOUND;
	}
	if (r) {
		via_error_set(err, r, "cannot run '%s': %s", name, strerror(-r));
		return CLI_CANNOT_INVOKE;
	}
	return check(ret_path, 0, err);
}
