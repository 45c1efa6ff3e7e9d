/* SPDX-License-Identifier: MIT */
/**
 * DOC: viaduct/base.h - conventions every other header relies on
 *
 * Errors. A function returns 0 (or a count) or a negative errno, exactly the
 * errno of the kernel's ABI where there is one; errno itself is not touched.
 * The library never prints, exits or aborts on input: text for people goes to
 * the log callback or into a struct via_error that the caller gave.
 *
 * Words. `last` is an inclusive bound, `end` an exclusive one, `n_` a count,
 * `_len`/`size` are bytes. Out-parameters start with `ret_`, come last and are
 * written only on success. Verb pairs: init/deinit for the caller's memory,
 * new/free for single ownership, get/put for references. free and put accept
 * NULL.
 */
#ifndef VIADUCT_BASE_H
#define VIADUCT_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VIA_PUBLIC __attribute__((visibility("default")))
#define VIA_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

/*
 * Little-endian quantities as a device or an ABI stores them. sparse refuses
 * arithmetic on them and assignment from a host integer, so a forgotten
 * conversion does not pass `make lint`.
 */
#ifdef __CHECKER__
#define VIA_BITWISE __attribute__((bitwise))
#define VIA_FORCE __attribute__((force))
#else
#define VIA_BITWISE
#define VIA_FORCE
#endif
typedef uint16_t VIA_BITWISE via_le16;
typedef uint32_t VIA_BITWISE via_le32;
typedef uint64_t VIA_BITWISE via_le64;

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define VIA_SWAP_LE(bits, v) (v)
#else
#define VIA_SWAP_LE(bits, v) __builtin_bswap##bits(v)
#endif

static inline uint16_t via_le16_to_cpu(via_le16 v)
{
	return (uint16_t)VIA_SWAP_LE(16, (VIA_FORCE uint16_t)v);
}

static inline uint32_t via_le32_to_cpu(via_le32 v)
{
	return (uint32_t)VIA_SWAP_LE(32, (VIA_FORCE uint32_t)v);
}

static inline uint64_t via_le64_to_cpu(via_le64 v)
{
	return (uint64_t)VIA_SWAP_LE(64, (VIA_FORCE uint64_t)v);
}

static inline via_le16 via_cpu_to_le16(uint16_t v)
{
	return (VIA_FORCE via_le16)(uint16_t)VIA_SWAP_LE(16, v);
}

static inline via_le32 via_cpu_to_le32(uint32_t v)
{
	return (VIA_FORCE via_le32)(uint32_t)VIA_SWAP_LE(32, v);
}

static inline via_le64 via_cpu_to_le64(uint64_t v)
{
	return (VIA_FORCE via_le64)(uint64_t)VIA_SWAP_LE(64, v);
}

/* Unaligned little-endian access to bytes: the only way config images are read. */
static inline uint16_t via_get_le16(const void *p)
{
	via_le16 v;

	memcpy(&v, p, sizeof(v));
	return via_le16_to_cpu(v);
}

static inline uint32_t via_get_le32(const void *p)
{
	via_le32 v;

	memcpy(&v, p, sizeof(v));
	return via_le32_to_cpu(v);
}

static inline uint64_t via_get_le64(const void *p)
{
	via_le64 v;

	memcpy(&v, p, sizeof(v));
	return via_le64_to_cpu(v);
}

static inline void via_put_le16(void *p, uint16_t v)
{
	via_le16 le = via_cpu_to_le16(v);

	memcpy(p, &le, sizeof(le));
}

static inline void via_put_le32(void *p, uint32_t v)
{
	via_le32 le = via_cpu_to_le32(v);

	memcpy(p, &le, sizeof(le));
}

static inline void via_put_le64(void *p, uint64_t v)
{
	via_le64 le = via_cpu_to_le64(v);

	memcpy(p, &le, sizeof(le));
}

/**
 * struct via_error - what went wrong, for a person
 * @code: negative errno, or 0 when nothing was reported
 * @text: one line without a newline: what is wrong and what to do about it
 *
 * Given by the caller of a set-up function, usually on the stack. A function
 * taking one accepts NULL.
 */
struct via_error {
	int code;
	char text[1020];
};

/**
 * via_error_set() - fill @err (may be NULL) and hand back @code
 * @err: the caller's error or NULL
 * @code: negative errno
 * @fmt: printf format of the text, no newline
 *
 * An error that already carries a text keeps it: the first report is nearest
 * to the cause. Any thread. Return: @code.
 */
VIA_PUBLIC int via_error_set(struct via_error *err, int code, const char *fmt, ...)
	VIA_PRINTF(3, 4);

/** enum via_log_level - severity of a log line, most severe first */
enum via_log_level {
	VIA_LOG_ERROR,
	VIA_LOG_WARNING,
	VIA_LOG_INFO,
	VIA_LOG_DEBUG,
};

/** typedef via_log_fn - receives one line of log text, no newline, any thread */
typedef void via_log_fn(void *cookie, enum via_log_level level, const char *text);

/**
 * via_log_set() - choose where log lines go
 * @fn: callback, or NULL for silence (the default)
 * @cookie: passed to @fn
 * @max: lines less severe than this are dropped before formatting
 *
 * Process-wide. Call before other threads use the library; the callback may
 * run on any thread and must not call back into the library.
 */
VIA_PUBLIC void via_log_set(via_log_fn *fn, void *cookie, enum via_log_level max);

/** via_version() - "MAJOR.MINOR.PATCH" of the library in use, static storage */
VIA_PUBLIC const char *via_version(void);

#ifdef __cplusplus
}
#endif

#endif
