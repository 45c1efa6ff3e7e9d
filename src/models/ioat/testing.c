/* SPDX-License-Identifier: MIT */
#include "models/ioat/testing.h"

#include <viaduct/models.h>

#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>

uint64_t get(struct fixture *f, uint64_t reg, unsigned int size)
{
	uint8_t b[8] = {0};

	assert_int_equal(via_device_region_read(f->dev, 0, reg, b, size), size);
	return via_get_le64(b);
}

void put(struct fixture *f, uint64_t reg, unsigned int size, uint64_t value)
{
	uint8_t b[8];

	via_put_le64(b, value);
	assert_int_equal(via_device_region_write(f->dev, 0, reg, b, size), size);
}

uint64_t desc_iova(unsigned int i)
{
	return IOVA + DESCS + 64u * i;
}

/* Descriptor @i, followed by the next one. */
void set_desc(struct fixture *f, unsigned int i, uint64_t src, uint64_t dst, uint32_t size,
		     uint32_t control)
{
	uint8_t *d = f->memory + DESCS + (size_t)64 * i;

	via_put_le32(d, size);
	via_put_le32(d + 4, control);
	via_put_le64(d + 8, src);
	via_put_le64(d + 16, dst);
	via_put_le64(d + 24, desc_iova(i + 1));
}

void set_next(struct fixture *f, unsigned int i, uint64_t next)
{
	via_put_le64(f->memory + DESCS + (size_t)64 * i + 24, next);
}

enum ioat_state state(struct fixture *f)
{
	return (enum ioat_state)(get(f, CHAN(IOAT_CHANSTS), 8) & 7);
}

void wait_state(struct fixture *f, enum ioat_state wanted)
{
	for (int i = 0; i < 10000; i++) {
		if (state(f) == wanted)
			return;
		usleep(500);
	}
	fail_msg("state stays %d, not %d; CHANERR 0x%x", state(f), wanted,
		 (unsigned int)get(f, CHAN(IOAT_CHANERR), 4));
}

void start(struct fixture *f, uint64_t chain, uint16_t count)
{
	put(f, CHAN(IOAT_CHAINADDR), 8, chain);
	put(f, CHAN(IOAT_DMACOUNT), 2, count);
}

void command(struct fixture *f, uint8_t cmd)
{
	put(f, CHAN(IOAT_CHANCMD), 1, cmd);
}

void reset_channel(struct fixture *f)
{
	command(f, IOAT_CHANCMD_RESET);
	for (int i = 0; i < 2000 && (get(f, CHAN(IOAT_CHANCMD), 1) & IOAT_CHANCMD_RESET); i++)
		usleep(500);
	assert_int_equal(get(f, CHAN(IOAT_CHANCMD), 1), 0);
	assert_int_equal(state(f), IOAT_HALTED);
}

void clear_errors(struct fixture *f)
{
	put(f, CHAN(IOAT_CHANERR), 4, get(f, CHAN(IOAT_CHANERR), 4));
	assert_int_equal(get(f, CHAN(IOAT_CHANERR), 4), 0);
}

uint64_t completion(struct fixture *f)
{
	return via_get_le64(f->memory + COMPLETION);
}

void set_command(struct via_device *dev, uint16_t value)
{
	uint8_t b[2];

	via_put_le16(b, value);
	assert_int_equal(via_device_region_write(dev, VIA_REGION_CONFIG, 4, b, 2), 2);
}

static int own_fd(void *cookie, int fd, int *ret_fd)
{
	*ret_fd = dup(fd);
	return *ret_fd < 0 ? -EBADF : 0;
}

void arm(struct fixture *f, uint32_t index)
{
	struct via_set_irqs set = {
		.index = index,
		.count = 1,
		.flags = VIA_VFIO_IRQ_SET_DATA_EVENTFD | VIA_VFIO_IRQ_SET_ACTION_TRIGGER,
		.fds = &f->irq,
		.fd_get = own_fd,
	};

	assert_int_equal(via_device_set_irqs(f->dev, &set), 0);
}

uint64_t events(struct fixture *f, int timeout_ms)
{
	struct pollfd p = {.fd = f->irq, .events = POLLIN};
	uint64_t n = 0;

	if (poll(&p, 1, timeout_ms) == 1)
		assert_int_equal(read(f->irq, &n, sizeof(n)), sizeof(n));
	return n;
}

void fill(struct fixture *f)
{
	for (size_t i = 0; i < MIB; i++)
		f->memory[SRC + i] = (uint8_t)(i ^ i >> 7 ^ i >> 13);
	memset(f->memory + DST, 0xee, 2 * MIB);
}

uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

int make(const char *text, struct via_device **ret_dev)
{
	const struct via_model *model = via_model_find("ioat");
	struct via_options *opts;
	struct via_error err = {0};
	int ret = via_options_parse(model, text, &err, &opts);

	if (ret)
		return ret;
	ret = model->create(opts, &err, ret_dev);
	assert_true(!ret || strstr(err.text, "xfercap"));
	via_options_free(opts);
	return ret;
}

int set_up(void **ret_state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct via_mm *self = via_mm_self();

	assert_non_null(f);
	assert_int_equal(make("xfercap=1M", &f->dev), 0);
	f->memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(f->memory != MAP_FAILED);
	assert_int_equal(via_space_new_mm(self, &f->space), 0);
	via_mm_put(self);
	assert_int_equal(via_ioas_new(via_iommu_props_intel(), &f->ioas), 0);
	assert_int_equal(via_ioas_map(f->ioas, IOVA, f->space, (uintptr_t)f->memory, MEMORY,
				      VIA_PROT_READ | VIA_PROT_WRITE),
			 0);
	assert_int_equal(via_device_attach(f->dev, f->ioas), 0);
	assert_int_equal(via_device_open(f->dev), 0);
	set_command(f->dev, 6);
	f->irq = eventfd(0, EFD_CLOEXEC);
	put(f, CHAN(IOAT_CHANCMP), 8, IOVA + COMPLETION);
	fill(f);
	*ret_state = f;
	return 0;
}

int tear_down(void **test_state)
{
	struct fixture *f = *test_state;

	via_device_close(f->dev);
	assert_int_equal(via_device_attach(f->dev, NULL), 0);
	via_device_free(f->dev);
	via_ioas_put(f->ioas);
	via_space_put(f->space);
	munmap(f->memory, MEMORY);
	close(f->irq);
	free(f);
	return 0;
}
