/* SPDX-License-Identifier: MIT */
#include "base/slab.h"

#include "base/util.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define CHUNK ((size_t)2 << 20)

struct object {
	uint64_t tag[12];
};

static struct via_slab slab = VIA_SLAB(struct object);

/* Under a sanitizer objects are the allocator's, and there are no chunks. */
static bool has_chunks(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	return false;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
	return false;
#else
	return true;
#endif
#else
	return true;
#endif
}

/* Objects come and go at random: none overlaps another, and each is at a cache line. */
static void test_objects_are_apart(void **state)
{
	static struct object *object[100000];
	uint64_t x = 88172645463325252;

	for (unsigned int i = 0; i < 1000000; i++) {
		struct object **o;

		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		o = &object[x % VIA_ARRAY_SIZE(object)];
		if (*o) {
			for (size_t k = 0; k < VIA_ARRAY_SIZE((*o)->tag); k++)
				assert_int_equal((*o)->tag[k], (uintptr_t)o + k);
			via_slab_free(*o);
			*o = NULL;
			continue;
		}
		*o = via_slab_alloc(&slab);
		assert_non_null(*o);
		assert_int_equal((uintptr_t)*o % 64, 0);
		for (size_t k = 0; k < VIA_ARRAY_SIZE((*o)->tag); k++)
			(*o)->tag[k] = (uintptr_t)o + k;
	}
	for (size_t i = 0; i < VIA_ARRAY_SIZE(object); i++)
		via_slab_free(object[i]);
}

/* The empty go, but for one; and what is there is as much as the objects need. */
static void test_chunks_go(void **state)
{
	static struct object *object[100000];
	size_t in_chunk = (CHUNK - 64) / slab.size, n = VIA_ARRAY_SIZE(object);

	if (!has_chunks())
		skip();
	via_slab_free(via_slab_alloc(&slab));
	assert_int_equal(via_slab_bytes(&slab), CHUNK);
	for (size_t i = 0; i < n; i++)
		object[i] = via_slab_alloc(&slab);
	assert_int_equal(via_slab_bytes(&slab), (n + in_chunk - 1) / in_chunk * CHUNK);
	for (size_t i = 0; i < n; i++)
		via_slab_free(object[i]);
	assert_int_equal(via_slab_bytes(&slab), CHUNK);
	/* What was freed comes first. */
	for (unsigned int i = 0; i < 100; i++) {
		via_slab_free(via_slab_alloc(&slab));
		assert_int_equal(via_slab_bytes(&slab), CHUNK);
	}
}

static void *toil(void *arg)
{
	struct object *object[64] = { 0 };

	for (unsigned int i = 0; i < 20000; i++) {
		struct object **o = &object[(i * 7) % 64];

		if (*o && (*o)->tag[0] != (uintptr_t)arg + i - 64)
			abort();
		via_slab_free(*o);
		*o = via_slab_alloc(&slab);
		if (!*o)
			abort();
		(*o)->tag[0] = (uintptr_t)arg + i;
	}
	for (unsigned int i = 0; i < 64; i++)
		via_slab_free(object[i]);
	return NULL;
}

/* A child that is forked while others allocate can allocate too. */
static void test_threads_and_fork(void **state)
{
	pthread_t thread[3];

	if (!has_chunks())
		skip(); /* a sanitizer's allocator is not ours to test */
	for (uintptr_t i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, toil, (void *)(i << 32)), 0);
	for (unsigned int i = 0; i < 20; i++) {
		int status = -1;
		pid_t pid = fork();

		if (!pid) {
			(void)alarm(20);
			for (unsigned int k = 0; k < 100; k++)
				memset(via_slab_alloc(&slab), 1, slab.size);
			_exit(0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
	}
	for (unsigned int i = 0; i < 3; i++)
		(void)pthread_join(thread[i], NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_objects_are_apart),
		cmocka_unit_test(test_chunks_go),
		cmocka_unit_test(test_threads_and_fork),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
