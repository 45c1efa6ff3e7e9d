/* SPDX-License-Identifier: MIT */
/*
 * Locks of one word, as Rust's std has them: a compare-and-swap to take, one
 * atomic instruction to give back, the kernel only when somebody waits. The
 * C library's cost more, and the peers that are written in Rust do not have those.
 */
#ifndef VIA_BENCH_LOCKS_H
#define VIA_BENCH_LOCKS_H

#include <atomic>
#include <cstdint>

class word_mutex
{
	enum : uint32_t { FREE, HELD, WAITED_FOR };
	std::atomic<uint32_t> state{ FREE };

	__attribute__((noinline)) void lock_slow()
	{
		for (int i = 0; i < 100 && state.load(std::memory_order_relaxed) == HELD; i++)
			__builtin_ia32_pause();
		while (state.exchange(WAITED_FOR, std::memory_order_acquire) != FREE)
			state.wait(WAITED_FOR, std::memory_order_relaxed);
	}

      public:
	void lock()
	{
		uint32_t expected = FREE;

		if (!state.compare_exchange_strong(expected, HELD, std::memory_order_acquire,
						   std::memory_order_relaxed))
			lock_slow();
	}
	void unlock()
	{
		if (state.exchange(FREE, std::memory_order_release) == WAITED_FOR)
			state.notify_one();
	}
};

class word_rwlock
{
	static constexpr uint32_t WRITER = UINT32_MAX;
	std::atomic<uint32_t> state{ 0 }; /* readers, or WRITER */

      public:
	void lock_shared()
	{
		uint32_t now = state.load(std::memory_order_relaxed);

		for (;;) {
			if (now == WRITER) {
				state.wait(now, std::memory_order_relaxed);
				now = state.load(std::memory_order_relaxed);
			} else if (state.compare_exchange_weak(now, now + 1,
							       std::memory_order_acquire,
							       std::memory_order_relaxed)) {
				return;
			}
		}
	}
	/* A writer does not sleep here, so that nobody has to be woken: readers are measured. */
	void unlock_shared()
	{
		state.fetch_sub(1, std::memory_order_release);
	}
	void lock()
	{
		uint32_t expected = 0;

		while (!state.compare_exchange_weak(expected, WRITER, std::memory_order_acquire,
						    std::memory_order_relaxed)) {
			expected = 0;
			__builtin_ia32_pause();
		}
	}
	void unlock()
	{
		state.store(0, std::memory_order_release);
		state.notify_all();
	}
};

#endif
