/* SPDX-License-Identifier: MIT */
/*
 * Copies that a bad page cannot kill. Memory of a program or of a file may go
 * away at any time (munmap, ftruncate): such a copy ends as -EFAULT.
 *
 * The copy loop is a few instructions at known addresses. A SIGSEGV or SIGBUS
 * whose program counter lies in them is sent to the loop's error exit: no
 * per-thread state, no sigsetjmp, so a copy costs what memcpy costs. Until a
 * handler is in place, and on processors without such a loop, the kernel copies
 * (process_vm_readv of our own process), which is as safe but slower.
 */
#ifndef VIA_MEMORY_GUARD_H
#define VIA_MEMORY_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Install handlers for SIGSEGV and SIGBUS that pass on what is not ours to
 * the handlers found. For a process that is the library's own. Again, after
 * somebody else has installed his: ours comes first again. Any thread; threads
 * must not block the two signals. 0 or negative errno.
 */
int via_guard_install(void);

/*
 * For a process whose handlers belong to somebody else: call
 * via_guard_fixup() with the handler's third argument before anything else;
 * true means resume. Then announce with via_guard_adopt(true) that it is so.
 */
bool via_guard_fixup(void *ucontext);
void via_guard_adopt(bool on);

/*
 * The same for the calling thread alone, which must not block the two signals:
 * where other threads of the process may.
 */
void via_guard_adopt_thread(void);

/*
 * Copy len bytes from (read) or to (write) memory that may be bad; the other
 * side is good. 0 or -EFAULT, then a prefix may have been copied. Ascending;
 * an aligned access of 1, 2, 4 or 8 bytes is one load and one store. Any thread.
 */
int via_guard_read(void *dst, const void *bad, size_t len);
int via_guard_write(void *bad, const void *src, size_t len);

/*
 * Memory that is used through plain pointers although its file is in the hands
 * of programs too, such as a BAR's memfd. A page that such a program truncates
 * away becomes private zeros at its next use here. 0 or -ENOMEM. Any thread.
 */
int via_guard_range_add(void *addr, size_t len);
void via_guard_range_remove(void *addr);
/* For guard.c: whether the access that faulted at addr may be repeated now. */
bool via_guard_range_fixup(uintptr_t addr);

#endif
