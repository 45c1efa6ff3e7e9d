/* SPDX-License-Identifier: MIT */
#include "vfio/topology.h"

#include <errno.h>
#include <time.h>

int via_vfio_pause(struct via_vfio *vfio, pthread_cond_t *changed, struct via_caller *caller)
{
	struct timespec until;

	if (!caller) {
		(void)pthread_cond_wait(changed, &vfio->lock);
		return 0;
	}
	if (caller->ops->gone && caller->ops->gone(caller))
		return -EINTR;
	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += VIA_PAUSE_MS * 1000000L;
	if (until.tv_nsec >= 1000000000L) {
		until.tv_nsec -= 1000000000L;
		until.tv_sec++;
	}
	(void)pthread_cond_timedwait(changed, &vfio->lock, &until);
	return 0;
}

int via_turn_wait(struct via_vfio *vfio, const struct via_turn *turn, struct via_caller *caller)
{
	int ret = 0;

	while (turn->taken && !ret)
		ret = via_vfio_pause(vfio, &vfio->turn_ended, caller);
	return ret;
}

int via_turn_take(struct via_vfio *vfio, struct via_turn *turn, struct via_caller *caller)
{
	int ret = via_turn_wait(vfio, turn, caller);

	if (!ret)
		turn->taken = true;
	return ret;
}

void via_turn_end(struct via_vfio *vfio, struct via_turn *turn)
{
	turn->taken = false;
	pthread_cond_broadcast(&vfio->turn_ended);
}
