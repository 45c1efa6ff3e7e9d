/* SPDX-License-Identifier: MIT */
/* Files that are readable only while something waits, and mappings that keep an object in use. */
#include "host/internal.h"
#include "host/local.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* A queue of bytes. */
struct queue {
	struct via_file file;
	pthread_mutex_t lock;
	unsigned int n; /* lock */
	int event;	/* readable while n */
	int memfd;
	unsigned int n_mapped, n_released;
};

static struct queue *queue_of(struct via_file *file)
{
	return (struct queue *)(void *)file;
}

static void put(struct queue *q, unsigned int n)
{
	pthread_mutex_lock(&q->lock);
	q->n += n;
	assert_int_equal(eventfd_write(q->event, 1), 0);
	pthread_mutex_unlock(&q->lock);
}

static ssize_t queue_pread(struct via_file *file, struct via_caller *caller, uint64_t addr,
			   size_t len, uint64_t offset)
{
	struct queue *q = queue_of(file);
	eventfd_t value;
	size_t n;

	(void)caller;
	(void)addr;
	assert_int_equal(offset, 0);
	pthread_mutex_lock(&q->lock);
	n = len < q->n ? len : q->n;
	q->n -= (unsigned int)n;
	if (n && !q->n)
		assert_int_equal(eventfd_read(q->event, &value), 0);
	pthread_mutex_unlock(&q->lock);
	return (ssize_t)n;
}

static ssize_t queue_pwrite(struct via_file *file, struct via_caller *caller, uint64_t addr,
			    size_t len, uint64_t offset)
{
	(void)file;
	(void)caller;
	(void)addr;
	(void)offset;
	return (ssize_t)len;
}

static int queue_poll_fd(struct via_file *file)
{
	return queue_of(file)->event;
}

static void queue_unmapped(void *owner)
{
	((struct queue *)owner)->n_mapped--;
}

static int queue_mmap(struct via_file *file, struct via_caller *caller, uint64_t offset,
		      uint64_t len, int prot, int flags, struct via_mmap *ret_map)
{
	struct queue *q = queue_of(file);

	(void)caller;
	if ((flags & MAP_TYPE) != MAP_SHARED)
		return -EINVAL;
	if (prot & PROT_EXEC)
		return -EPERM;
	if (offset != 4096 || len != 8192)
		return -ENXIO;
	q->n_mapped++;
	*ret_map = (struct via_mmap){.fd = q->memfd,
				     .len = len,
				     .unmapped = queue_unmapped,
				     .owner = q};
	return 0;
}

static void queue_release(struct via_file *file)
{
	queue_of(file)->n_released++;
}

static const struct via_file_ops read_only_ops = {
	.kind = "queue",
	.records = true,
	.pread = queue_pread,
	.mmap = queue_mmap,
	.poll_fd = queue_poll_fd,
	.release = queue_release,
};

static const struct via_file_ops both_ops = {
	.kind = "queue",
	.records = true,
	.pread = queue_pread,
	.pwrite = queue_pwrite,
	.poll_fd = queue_poll_fd,
	.release = queue_release,
};

struct fixture {
	struct via_host *host;
	struct via_peer *peer;
	struct via_file_ident ident;
	struct queue queue;
	struct via_door_reply reply;
	uint8_t data[VIA_DOOR_DATA_SIZE];
	int fd, reply_fd;
};

static int start(void **state, const struct via_file_ops *ops)
{
	struct via_vfio_config config = {.profile = VIA_PROFILE_FULL};
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	assert_int_equal(via_host_new(&config, &f->host), 0);
	assert_int_equal(via_host_start(f->host), 0);
	assert_int_equal(via_peer_local(f->host, &f->peer), 0);
	f->queue.file = (struct via_file){.ops = ops, .refs = 1};
	f->queue.event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	f->queue.memfd = memfd_create("queue", MFD_CLOEXEC);
	assert_int_equal(ftruncate(f->queue.memfd, 8192), 0);
	pthread_mutex_init(&f->queue.lock, NULL);
	assert_int_equal(via_files_publish(f->host, f->peer, &f->queue.file, true, &f->ident,
					   &f->fd),
			 0);
	*state = f;
	return 0;
}

static int setup(void **state)
{
	return start(state, &read_only_ops);
}

static int setup_both(void **state)
{
	return start(state, &both_ops);
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	struct via_host_counts counts;

	if (f->fd >= 0)
		close(f->fd);
	via_host_settle(f->host);
	via_host_counts(f->host, &counts);
	assert_int_equal(counts.files, 0);
	assert_int_equal(f->queue.n_released, 1);
	assert_int_equal(__atomic_load_n(&f->host->n_pollable, __ATOMIC_RELAXED), 0);
	via_host_free(f->host);
	assert_int_equal(f->queue.n_mapped, 0);
	close(f->queue.event);
	close(f->queue.memfd);
	pthread_mutex_destroy(&f->queue.lock);
	free(f);
	return 0;
}

static int64_t call(struct fixture *f, uint32_t op, uint64_t id, uint64_t a, uint64_t b, uint64_t c,
		    uint64_t d)
{
	struct via_door_request request = {.op = op, .id = id, .arg = {a, b, c, d}};

	return via_host_local_call(f->host, &request, f->data, -1, &f->reply, &f->reply_fd);
}

static int polled(struct fixture *f)
{
	struct pollfd p = {.fd = f->fd, .events = POLLIN | POLLOUT};

	assert_true(poll(&p, 1, 0) >= 0);
	return p.revents;
}

/* Whether poll(2) finds it readable within a second; the loop's thread may have to say so. */
static bool readable_soon(struct fixture *f)
{
	struct pollfd p = {.fd = f->fd, .events = POLLIN};

	return poll(&p, 1, 1000) == 1 && p.revents == POLLIN;
}

/* As the shim does it: the bytes read, and whether there was a byte to be taken out. */
static int64_t read_some(struct fixture *f, uint64_t len, bool *ret_take)
{
	char bytes[64];
	int64_t n = call(f, VIA_DOOR_PREAD, f->ident.id, (uint64_t)(uintptr_t)bytes, len, 0, 1);

	*ret_take = f->reply.value[0] == 1;
	return n;
}

static bool take_byte(struct fixture *f)
{
	char byte;

	return recv(f->fd, &byte, 1, MSG_DONTWAIT) == 1;
}

static void test_readable_while_something_waits(void **state)
{
	struct fixture *f = *state;
	bool take;

	for (int round = 0; round < 3; round++) {
		assert_int_equal(polled(f), 0);
		put(&f->queue, 3);
		assert_true(readable_soon(f));
		assert_int_equal(read_some(f, 2, &take), 2);
		assert_false(take);
		assert_int_equal(polled(f), POLLIN);
		assert_int_equal(read_some(f, 2, &take), 1);
		assert_true(take);
		assert_true(take_byte(f));
		assert_int_equal(call(f, VIA_DOOR_SHOW, f->ident.id, 0, 0, 0, 0), 0);
		assert_int_equal(polled(f), 0);
		assert_int_equal(read_some(f, 2, &take), 0);
		assert_false(take);
	}
}

/* The event of an ioctl is seen when that returns, not some time later. */
static void test_readable_when_the_call_returns(void **state)
{
	struct fixture *f = *state;
	bool take;

	for (int round = 0; round < 200; round++) {
		put(&f->queue, 1);
		assert_int_equal(call(f, VIA_DOOR_IOCTL, f->ident.id, 0x3b00, 0, 0, 0), -ENOTTY);
		assert_int_equal(polled(f), POLLIN);
		assert_int_equal(read_some(f, 1, &take), 1);
		assert_true(take && take_byte(f));
		assert_int_equal(call(f, VIA_DOOR_SHOW, f->ident.id, 0, 0, 0, 0), 0);
		assert_int_equal(polled(f), 0);
	}
}

/* Two readers, both told to take a byte of which there is one, and an event in between. */
static void test_event_between_two_readers(void **state)
{
	struct fixture *f = *state;
	bool first, second;

	put(&f->queue, 1);
	assert_true(readable_soon(f));
	assert_int_equal(read_some(f, 1, &first), 1);
	assert_int_equal(read_some(f, 1, &second), 0);
	assert_true(first && second);
	assert_true(take_byte(f));
	put(&f->queue, 1);
	assert_true(readable_soon(f));
	assert_true(take_byte(f));
	assert_int_equal(polled(f), 0);
	assert_int_equal(call(f, VIA_DOOR_SHOW, f->ident.id, 0, 0, 0, 0), 0);
	assert_int_equal(polled(f), POLLIN);
	assert_int_equal(call(f, VIA_DOOR_SHOW, f->ident.id, 0, 0, 0, 0), 0);
	assert_true(take_byte(f));
	/* One byte, however often it was said. */
	assert_false(take_byte(f));
}

/* A reader that was killed before it took the byte: the next one does. */
static void test_byte_that_nobody_took(void **state)
{
	struct fixture *f = *state;
	bool take;

	put(&f->queue, 1);
	assert_true(readable_soon(f));
	assert_int_equal(read_some(f, 1, &take), 1);
	assert_true(take);
	assert_int_equal(read_some(f, 1, &take), 0);
	assert_true(take && take_byte(f));
	assert_int_equal(polled(f), 0);
}

static void test_writable_who_takes_answers(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(polled(f), POLLOUT);
	put(&f->queue, 1);
	assert_true(readable_soon(f));
	assert_int_equal(polled(f), POLLIN | POLLOUT);
}

static void test_closed_while_something_waits(void **state)
{
	struct fixture *f = *state;

	put(&f->queue, 1);
	assert_true(readable_soon(f));
	close(f->fd);
	f->fd = -1;
	via_host_settle(f->host);
	assert_int_equal(f->queue.n_released, 1);
}

static void test_mapping_keeps_its_owner(void **state)
{
	static const struct via_door_area all = {.size = 8192, .kind = VIA_AREA_MEMORY};
	struct fixture *f = *state;
	int64_t id;

	assert_int_equal(call(f, VIA_DOOR_MMAP, f->ident.id, 4096, 8192, PROT_READ, MAP_PRIVATE),
			 -EINVAL);
	assert_int_equal(call(f, VIA_DOOR_MMAP, f->ident.id, 4096, 8192, PROT_EXEC, MAP_SHARED),
			 -EPERM);
	assert_int_equal(call(f, VIA_DOOR_MMAP, f->ident.id, 8192, 4096, PROT_READ, MAP_SHARED),
			 -ENXIO);
	assert_int_equal(f->queue.n_mapped, 0);
	assert_int_equal(call(f, VIA_DOOR_MMAP, f->ident.id, 4096, 0, PROT_READ, MAP_SHARED),
			 -EINVAL);
	assert_int_equal(call(f, VIA_DOOR_MMAP, f->ident.id, 4097, 8192, PROT_READ, MAP_SHARED),
			 -EINVAL);
	assert_int_equal(f->queue.n_mapped, 0);
	/* The length is rounded up before the file sees it. */
	id = call(f, VIA_DOOR_MMAP, f->ident.id, 4096, 4097, PROT_READ, MAP_SHARED);
	assert_true(id > 0);
	assert_int_equal(f->queue.n_mapped, 1);
	assert_int_equal(f->reply.value[0], 0);
	assert_int_equal(f->reply.value[1], 8192);
	assert_int_equal(f->reply.value[2], 1);
	assert_memory_equal(f->data, &all, sizeof(all));
	close(f->reply_fd);
	assert_int_equal(call(f, VIA_DOOR_UNMAP, (uint64_t)id, 0, 0, 0, 0), 0);
	assert_int_equal(f->queue.n_mapped, 0);
	assert_int_equal(call(f, VIA_DOOR_UNMAP, (uint64_t)id, 0, 0, 0, 0), -ESTALE);
	assert_int_equal(f->queue.n_mapped, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_readable_while_something_waits, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_readable_when_the_call_returns, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_event_between_two_readers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_byte_that_nobody_took, setup, teardown),
		cmocka_unit_test_setup_teardown(test_writable_who_takes_answers, setup_both,
						teardown),
		cmocka_unit_test_setup_teardown(test_closed_while_something_waits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mapping_keeps_its_owner, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
