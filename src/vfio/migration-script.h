/* SPDX-License-Identifier: MIT */
/*
 * Calls of migration and of DMA logging, one line for each answer: the same on
 * a real kernel (tests/oracle/record-migration.c, whose lines are in
 * migration-script.inc) and on ours (test-migration.c). The device has all
 * states. Lines end in an errno, or 0.
 */
#ifndef VIA_VFIO_MIGRATION_SCRIPT_H
#define VIA_VFIO_MIGRATION_SCRIPT_H

#include <viaduct/abi/vfio.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct script {
	void *cookie;
	/* As the system calls: >= 0 or negative errno. */
	long (*ioctl)(void *cookie, int fd, unsigned long cmd, void *arg); /* fd -1: the device */
	long (*read)(void *cookie, int fd, void *buf, size_t len);
	long (*write)(void *cookie, int fd, const void *buf, size_t len);
	long (*pread)(void *cookie, int fd, void *buf, size_t len);
	void (*close)(void *cookie, int fd);
	void (*line)(void *cookie, const char *text);
	/* The end of a page after which there is none. */
	uint8_t *edge;
	/* Bytes that make a restoring session complete. */
	uint8_t image[1 << 16];
	size_t image_len;
};

struct script_feature {
	struct via_vfio_device_feature header;
	union {
		uint8_t bytes[32];
		struct via_vfio_device_feature_mig_state mig;
		struct via_vfio_device_feature_dma_logging_control control;
		struct via_vfio_device_feature_dma_logging_report report;
	};
};

static inline long script_feature(struct script *s, struct script_feature *f, uint32_t flags,
				  uint32_t argsz)
{
	f->header.argsz = argsz;
	f->header.flags = flags;
	return s->ioctl(s->cookie, -1, VIA_VFIO_DEVICE_FEATURE, f);
}

static inline long script_set(struct script *s, uint32_t state, int *ret_fd)
{
	struct script_feature f = {.mig = {.device_state = state, .data_fd = 77}};
	long r = script_feature(s, &f,
				VIA_VFIO_DEVICE_FEATURE_SET | VIA_VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
				sizeof(f.header) + sizeof(f.mig));

	*ret_fd = f.mig.data_fd;
	return r;
}

static inline uint32_t script_get(struct script *s)
{
	struct script_feature f = {.mig = {.device_state = 99, .data_fd = 77}};
	long r = script_feature(s, &f,
				VIA_VFIO_DEVICE_FEATURE_GET | VIA_VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
				sizeof(f.header) + sizeof(f.mig));

	return r || f.mig.data_fd != -1 ? 88 : f.mig.device_state;
}

static inline void script_line(struct script *s, const char *what, long a, long b, long c, long r)
{
	char text[96];

	(void)snprintf(text, sizeof(text), "%s %ld %ld %ld: %ld", what, a, b, c, r < 0 ? r : 0);
	s->line(s->cookie, text);
}

/* Into a state from RUNNING; the data's descriptor if it opened one, else -1. */
static inline int script_go(struct script *s, uint32_t state)
{
	int fd = -1, last;

	(void)s->ioctl(s->cookie, -1, VIA_VFIO_DEVICE_RESET, NULL);
	if (script_set(s, state, &fd))
		script_line(s, "cannot go", state, 0, 0, 0);
	if (state == VIA_VFIO_DEVICE_STATE_RESUMING)
		for (size_t at = 0; at < s->image_len; at += (size_t)last) {
			last = (int)s->write(s->cookie, fd, s->image + at, s->image_len - at);
			if (last <= 0)
				break;
		}
	return fd;
}

static inline void script_take_image(struct script *s)
{
	int fd = script_go(s, VIA_VFIO_DEVICE_STATE_STOP_COPY);
	long n;

	while ((n = s->read(s->cookie, fd, s->image + s->image_len,
			    sizeof(s->image) - s->image_len)) > 0)
		s->image_len += (size_t)n;
	script_line(s, "end of image", 0, 0, 0, n);
	s->close(s->cookie, fd);
}

static inline void script_states(struct script *s)
{
	for (uint32_t from = 1; from < 8; from++) {
		for (uint32_t to = 0; to <= 9; to++) {
			int first = script_go(s, from), fd;
			long r = script_set(s, to == 9 ? UINT32_MAX : to, &fd);

			script_line(s, "state", from, to, r ? fd : 10 * (long)script_get(s) + (fd >= 0),
				    r);
			if (r)
				script_line(s, "stays", from, to, script_get(s), 0);
			if (fd >= 0)
				s->close(s->cookie, fd);
			if (first >= 0)
				s->close(s->cookie, first);
		}
	}
}

static inline void script_data(struct script *s)
{
	struct via_vfio_precopy_info info = {.argsz = sizeof(info), .flags = 0xabcd};
	uint8_t byte[8];
	int fd, next;
	long r;

	fd = script_go(s, VIA_VFIO_DEVICE_STATE_PRE_COPY);
	script_line(s, "pre-copy write", 0, 0, 0, s->write(s->cookie, fd, byte, 1));
	script_line(s, "pre-copy pread", 0, 0, 0, s->pread(s->cookie, fd, byte, 1));
	script_line(s, "pre-copy read to nowhere", 0, 0, 0, s->read(s->cookie, fd, s->edge, 8));
	script_line(s, "pre-copy read", 0, 0, 0, s->read(s->cookie, fd, byte, 1));
	for (uint32_t argsz = 0; argsz <= 25; argsz += argsz ? 1 : 23) {
		info.argsz = argsz;
		r = s->ioctl(s->cookie, fd, VIA_VFIO_MIG_GET_PRECOPY_INFO, &info);
		script_line(s, "info", argsz, (long)info.flags, info.initial_bytes > 0, r);
	}
	script_line(s, "info nowhere", 0, 0, 0,
		    s->ioctl(s->cookie, fd, VIA_VFIO_MIG_GET_PRECOPY_INFO, s->edge));
	script_line(s, "other ioctl", 0, 0, 0,
		    s->ioctl(s->cookie, fd, VIA_VFIO_DEVICE_RESET, NULL));
	r = script_set(s, VIA_VFIO_DEVICE_STATE_PRE_COPY_P2P, &next);
	script_line(s, "to pre-copy p2p", next, 0, 0, r);
	info.argsz = sizeof(info);
	script_line(s, "info in p2p", 0, 0, 0,
		    s->ioctl(s->cookie, fd, VIA_VFIO_MIG_GET_PRECOPY_INFO, &info));
	r = script_set(s, VIA_VFIO_DEVICE_STATE_STOP_COPY, &next);
	script_line(s, "to stop-copy", next, 0, 0, r);
	script_line(s, "info in stop-copy", 0, 0, 0,
		    s->ioctl(s->cookie, fd, VIA_VFIO_MIG_GET_PRECOPY_INFO, &info));
	r = script_set(s, VIA_VFIO_DEVICE_STATE_RUNNING, &next);
	script_line(s, "to running", next, 0, 0, r);
	script_line(s, "read afterwards", 0, 0, 0, s->read(s->cookie, fd, byte, 1));
	s->close(s->cookie, fd);

	fd = script_go(s, VIA_VFIO_DEVICE_STATE_RUNNING);
	(void)script_set(s, VIA_VFIO_DEVICE_STATE_RESUMING, &fd);
	script_line(s, "resuming read", 0, 0, 0, s->read(s->cookie, fd, byte, 1));
	script_line(s, "resuming ioctl", 0, 0, 0,
		    s->ioctl(s->cookie, fd, VIA_VFIO_MIG_GET_PRECOPY_INFO, &info));
	script_line(s, "resuming write from nowhere", 0, 0, 0,
		    s->write(s->cookie, fd, s->edge, 1));
	r = script_set(s, VIA_VFIO_DEVICE_STATE_STOP, &next);
	script_line(s, "without image", next, 0, 0, r);
	script_line(s, "stays", 0, 0, script_get(s), 0);
	(void)s->ioctl(s->cookie, -1, VIA_VFIO_DEVICE_RESET, NULL);
	script_line(s, "after reset", 0, 0, script_get(s), 0);
	script_line(s, "write afterwards", 0, 0, 0, s->write(s->cookie, fd, byte, 1));
	s->close(s->cookie, fd);
}

static inline void script_features(struct script *s)
{
	static const struct {
		uint32_t index, size;
	} rows[] = {{1, 8}, {2, 8}, {6, 24}, {7, 0}, {8, 32}, {9, 8}, {12, 0}};
	struct via_vfio_device_feature_dma_logging_range range = {0, 0x10000};
	uint64_t bitmap = 0;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (uint32_t op = 0; op < 8; op++) {
			for (int more = -1; more <= 8; more += more < 1 ? 1 : 7) {
				struct script_feature f = {.header = {0}};
				uint32_t argsz = (uint32_t)(8 + (int)rows[i].size + more);
				long r;

				(void)s->ioctl(s->cookie, -1, VIA_VFIO_DEVICE_RESET, NULL);
				if (rows[i].index == 2)
					f.mig.device_state = VIA_VFIO_DEVICE_STATE_RUNNING;
				if (rows[i].index == 6)
					f.control = (struct via_vfio_device_feature_dma_logging_control){
						4096, 1, 0, (uint64_t)(uintptr_t)&range};
				if (rows[i].index == 8) {
					/* One that has been started. */
					struct script_feature start = {.control = {
						4096, 1, 0, (uint64_t)(uintptr_t)&range}};

					(void)script_feature(s, &start, 0x20006, 32);
					f.report = (struct via_vfio_device_feature_dma_logging_report){
						0, 0x10000, 4096, (uint64_t)(uintptr_t)&bitmap};
				}
				r = script_feature(s, &f, rows[i].index | op << 16, argsz);
				script_line(s, "feature", rows[i].index, op, more, r);
				/* Whatever was started. */
				(void)script_feature(s, &f, 0x20007, 8);
			}
		}
		for (uint32_t op = 1; op < 3; op++) {
			struct via_vfio_device_feature *f = (void *)(s->edge - 8);

			f->argsz = 64;
			f->flags = rows[i].index | op << 16;
			script_line(s, "feature at the edge", rows[i].index, op, 0,
				    s->ioctl(s->cookie, -1, VIA_VFIO_DEVICE_FEATURE, f));
		}
	}
}

static inline void script_logging(struct script *s)
{
	static const struct {
		uint64_t page_size;
		uint32_t n;
		struct via_vfio_device_feature_dma_logging_range r[3];
	} starts[] = {
		{4096, 0, {{0, 0}}},
		{4096, 1, {{0, 4096}}},
		{4096, 256, {{0, 0}}},
		{4096, 257, {{0, 0}}},
		{4096, UINT32_MAX, {{0, 0}}},
		{4096, 1, {{1, 4096}}},
		{4096, 1, {{0, 4097}}},
		{8192, 1, {{4096, 8192}}},
		{8192, 1, {{8192, 8192}}},
		{0, 1, {{0, 4096}}},
		{1, 1, {{1, 1}}},
		{4096, 1, {{0, 0}}},
		{4096, 1, {{4096, 0}}},
		{4096, 1, {{UINT64_MAX - 4095, 4096}}},
		{4096, 1, {{UINT64_MAX - 4095, 8192}}},
		{4096, 1, {{UINT64_MAX - 8191, 4096}}},
		{4096, 2, {{0, 4096}, {4096, 4096}}},
		{4096, 2, {{4096, 4096}, {0, 4096}}},
		{4096, 2, {{0, 8192}, {4096, 4096}}},
		{4096, 2, {{4096, 4096}, {0, 8192}}},
		{4096, 3, {{0, 4096}, {8192, 4096}, {0, 0x10000}}},
		{4096, 2, {{0, 8192}, {4096, 0}}},
		{4096, 2, {{0, 8192}, {8192, 0}}},
		{4096, 2, {{4096, 8192}, {0, 0}}},
		{4096, 2, {{0, 4096}, {1, 4096}}},
		{4096, 2, {{0, 4096}, {UINT64_MAX - 4095, 4096}}},
		{4096, 2, {{UINT64_MAX - 4095, 4096}, {1, 1}}},
		{12288, 1, {{0, 0x8000}}},
		{12288, 1, {{0, 0x4000}}},
	};
	static const struct via_vfio_device_feature_dma_logging_report reports[] = {
		{0, 0x10000, 4096, 1},	 {0, 0x10000, 2048, 1},	  {0, 0x10000, 0, 1},
		{0, 0x10000, 12288, 1},	 {0, 0x10000, 1u << 31, 1}, {1, 0x10000, 4096, 1},
		{0, 1, 4096, 1},	 {UINT64_MAX, 1, 4096, 1}, {UINT64_MAX - 1, 1, 4096, 1},
		{4096, UINT64_MAX, 4096, 1}, {UINT64_MAX, 1, 1, 1},
	};

	for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
		static struct via_vfio_device_feature_dma_logging_range ranges[257];
		struct script_feature f = {.control = {starts[i].page_size, starts[i].n, 0,
						       (uint64_t)(uintptr_t)ranges}};

		memset(ranges, 0, sizeof(ranges));
		/* Far apart, if the row does not say where. */
		for (uint32_t k = 0; k < 256; k++)
			ranges[k] = (struct via_vfio_device_feature_dma_logging_range){
				0x100000ull * k, 0x1000};
		if (starts[i].n < 4)
			memcpy(ranges, starts[i].r, sizeof(starts[i].r));
		script_line(s, "start", (long)i, 0, 0, script_feature(s, &f, 0x20006, 32));
		script_line(s, "stop", (long)i, 0, 0, script_feature(s, &f, 0x20007, 8));
	}
	for (unsigned int i = 0; i < 2; i++) {
		struct script_feature f = {.control = {4096, i ? 2 : 1, 0,
						       (uint64_t)(uintptr_t)(s->edge - 16 * i)}};

		if (i)
			memset(s->edge - 16, 0, 16);
		script_line(s, "start of ranges at the edge", i, 0, 0,
			    script_feature(s, &f, 0x20006, 32));
	}
	script_line(s, "stop of none", 0, 0, 0, script_feature(s, &(struct script_feature){
									.header = {0}}, 0x20007, 8));
	for (size_t i = 0; i < sizeof(reports) / sizeof(reports[0]); i++) {
		struct via_vfio_device_feature_dma_logging_range range = {0, 0x10000};
		struct script_feature f = {.control = {4096, 1, 0, (uint64_t)(uintptr_t)&range}};
		uint64_t bitmap[64] = {0};

		(void)script_feature(s, &f, 0x20006, 32);
		f.report = reports[i];
		f.report.bitmap = (uint64_t)(uintptr_t)bitmap;
		script_line(s, "report", (long)i, 0, 0, script_feature(s, &f, 0x10008, 40));
		(void)script_feature(s, &f, 0x20007, 8);
	}
}

static inline void script_run(struct script *s)
{
	script_take_image(s);
	script_states(s);
	script_data(s);
	script_features(s);
	script_logging(s);
}

#endif
