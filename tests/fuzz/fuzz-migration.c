/* SPDX-License-Identifier: MIT */
/*
 * A stream that a device is to take over, and the states around it. Three kinds:
 * bytes as they come; records with the checksums that they should have; what the
 * device itself would say, changed here and there, with checksums set right. Whatever
 * comes, a reset brings the device back, and it works.
 */
#include "fuzz.h"

#include "device/migration.h"
#include "device/stream.h"
#include "memory/guard.h"

#include <viaduct/models.h>

#include <errno.h>
#include <sys/mman.h>

#define IOVA 0x100000ull
#define MEMORY ((uint64_t)1 << 20)
#define IMAGE_MAX 65536u

struct subject {
	const char *model;
	struct via_device *dev;
	uint64_t reg; /* one that keeps what is written to its low byte, */
	uint8_t flip; /* but for these bits */
	uint8_t image[IMAGE_MAX];
	size_t len;
};

static struct subject subjects[] = {
	{.model = "edu", .reg = 4, .flip = 0xff},
	{.model = "ioat", .reg = 0xac},
};

static void quiet(void *cookie, enum via_log_level level, const char *text)
{
}

static void write_command(struct via_device *dev)
{
	uint16_t command = 6;

	FUZZ_CHECK(via_device_region_write(dev, VIA_REGION_CONFIG, 4, &command, 2) == 2);
}

static int go(struct subject *s, uint32_t to, struct via_migration_session **ret_session)
{
	struct via_migration_session *session;
	int ret = via_device_migration_set(s->dev, to, &session);

	FUZZ_CHECK(!session || ret == 0);
	if (ret_session)
		*ret_session = session;
	else
		via_migration_session_put(session);
	return ret;
}

static void take_image(struct subject *s)
{
	struct via_migration_session *session;
	uint64_t mark;
	ssize_t n;

	FUZZ_CHECK(go(s, VIA_STATE_STOP_COPY, &session) == 0 && session);
	while ((n = via_migration_peek(session, s->image + s->len, IMAGE_MAX - s->len, &mark)) >
	       0) {
		via_migration_consume(session, mark, (size_t)n);
		s->len += (size_t)n;
	}
	FUZZ_CHECK(n == 0);
	via_migration_session_put(session);
	FUZZ_CHECK(via_device_reset(s->dev) == 0);
}

/* Slow to make, so one of each serves all inputs. */
static struct subject *subject_get(unsigned int i)
{
	static struct via_ioas *ioas;
	struct subject *s = &subjects[i];
	struct via_options *opts;
	struct via_error err = {0};

	if (s->dev)
		return s;
	if (!ioas) {
		struct via_mm *self = via_mm_self();
		struct via_space *space;
		uint8_t *memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		FUZZ_CHECK(via_guard_install() == 0 && memory != MAP_FAILED);
		FUZZ_CHECK(via_space_new_mm(self, &space) == 0);
		via_mm_put(self);
		FUZZ_CHECK(via_ioas_new(via_iommu_props_intel(), &ioas) == 0);
		FUZZ_CHECK(via_ioas_map(ioas, IOVA, space, (uintptr_t)memory, MEMORY,
					VIA_PROT_READ | VIA_PROT_WRITE) == 0);
		via_log_set(quiet, NULL, VIA_LOG_ERROR);
	}
	FUZZ_CHECK(via_options_parse(via_model_find(s->model), NULL, &err, &opts) == 0);
	FUZZ_CHECK(via_model_find(s->model)->create(opts, &err, &s->dev) == 0);
	via_options_free(opts);
	FUZZ_CHECK(via_device_attach(s->dev, ioas) == 0);
	FUZZ_CHECK(via_device_open(s->dev) == 0);
	write_command(s->dev);
	take_image(s);
	return s;
}

/* --- Streams --------------------------------------------------------------- */

static void seal(uint8_t *record, size_t len, uint32_t *crc)
{
	*crc = via_stream_crc(*crc, record, len);
	via_put_le32(record + 16, *crc);
	via_put_le32(record + 20, 0);
}

static size_t records(struct fuzz_input *in, const struct subject *s, uint8_t *out)
{
	size_t len = 0;
	uint32_t crc = 0;

	/* It begins as it should, mostly. */
	if (fuzz_u8(in) & 7) {
		len = VIA_STREAM_HEAD + VIA_STREAM_IDENT_SIZE;
		memcpy(out, s->image, len);
		crc = via_get_le32(out + 16);
	}
	while (in->left && len < IMAGE_MAX - VIA_STREAM_HEAD - 16384) {
		uint8_t kind = fuzz_u8(in);
		size_t n = kind & 0x80 ? fuzz_u16(in) & 0x3fff : kind >> 3 & 15;

		via_put_le32(out + len, kind & 7 ? (uint32_t)(kind & 7) : fuzz_u8(in));
		via_put_le32(out + len + 4, (uint32_t)n);
		via_put_le64(out + len + 8, fuzz_number(in));
		fuzz_bytes(in, out + len + VIA_STREAM_HEAD, n);
		seal(out + len, n, &crc);
		len += VIA_STREAM_HEAD + n;
	}
	return len;
}

static size_t changed(struct fuzz_input *in, const struct subject *s, uint8_t *out)
{
	uint32_t crc = 0;

	memcpy(out, s->image, s->len);
	while (in->left) {
		size_t at = (size_t)fuzz_take(in, 3) % s->len;

		out[at] = fuzz_u8(in);
	}
	for (size_t at = 0; at + VIA_STREAM_HEAD <= s->len;) {
		uint32_t n = via_get_le32(out + at + 4);

		if (n > s->len - at - VIA_STREAM_HEAD)
			break;
		seal(out + at, n, &crc);
		at += VIA_STREAM_HEAD + n;
	}
	return s->len;
}

static size_t stream(struct fuzz_input *in, const struct subject *s, uint8_t *out)
{
	size_t n;

	switch (fuzz_u8(in) % 3) {
	case 0:
		n = in->left < IMAGE_MAX ? in->left : IMAGE_MAX;
		fuzz_bytes(in, out, n);
		return n;
	case 1:
		return records(in, s, out);
	default:
		return changed(in, s, out);
	}
}

/* --- Around them ----------------------------------------------------------- */

static void check_alive(struct subject *s)
{
	uint64_t value = 0;

	FUZZ_CHECK(via_device_reset(s->dev) == 0);
	FUZZ_CHECK(via_device_migration_get(s->dev) == VIA_STATE_RUNNING);
	write_command(s->dev);
	FUZZ_CHECK(via_device_mapped_write(s->dev, 0, s->reg, 4, 0x5a) == 0);
	FUZZ_CHECK(via_device_mapped_read(s->dev, 0, s->reg, 4, &value) == 0);
	FUZZ_CHECK((uint8_t)(value ^ s->flip) == 0x5a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t bytes[IMAGE_MAX + VIA_STREAM_HEAD];
	struct fuzz_input in = {data, size};
	uint8_t how = fuzz_u8(&in);
	struct subject *s = subject_get(how & 1);
	struct via_migration_session *session;
	enum via_migration_state state;
	size_t len, at = 0, step = (how >> 1 & 7) == 0 ? 1 : (size_t)37 << (how >> 1 & 7);
	uint32_t target = how >> 4;
	ssize_t n = 0;
	int ret;

	FUZZ_CHECK(go(s, VIA_STATE_RESUMING, &session) == 0 && session);
	len = stream(&in, s, bytes);
	while (at < len && n >= 0) {
		n = via_migration_write(session, bytes + at, len - at < step ? len - at : step);
		FUZZ_CHECK(n == -EINVAL || n > 0);
		at += n > 0 ? (size_t)n : 0;
	}
	/* Refused once is refused for good. */
	if (n < 0)
		FUZZ_CHECK(via_migration_write(session, bytes, 1) == -EINVAL);
	ret = go(s, VIA_STATE_STOP, NULL);
	state = via_device_migration_get(s->dev);
	FUZZ_CHECK(n >= 0 || ret == -EINVAL);
	FUZZ_CHECK(ret ? state == VIA_STATE_RESUMING || state == VIA_STATE_ERROR
		       : state == VIA_STATE_STOP);
	if (!ret) {
		/* It can be saved again, and run. */
		FUZZ_CHECK(go(s, VIA_STATE_STOP_COPY, NULL) == 0);
		FUZZ_CHECK(go(s, VIA_STATE_RUNNING, NULL) == 0);
	}
	(void)go(s, target, NULL);
	via_migration_session_put(session);
	check_alive(s);
	return 0;
}
