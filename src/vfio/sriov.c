/* SPDX-License-Identifier: MIT */
/*
 * What a write to sriov_numvfs does. Removal asks the programs that have a
 * virtual function open to give it back, and waits for as long as they take:
 * whoever closes the last file of one goes on with the next, so that nothing
 * is left undone when the writer has been killed meanwhile.
 *
 * Models make and free their functions, and are told how many there are, without
 * vfio->lock: sriov->changing, and where functions are removed ->removing, keep others from
 * changing the number, and that is all that they keep others from.
 */
#include "vfio/sriov.h"

#include "base/log.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

/* How often those who hold a function are reminded. */
#define REMIND_MS 10000

int via_sriov_new(struct via_placed *placed, struct via_sriov **ret_sriov)
{
	const struct via_pci_sriov *desc = via_device_sriov(placed->dev);
	struct via_sriov *sriov;

	*ret_sriov = NULL;
	if (!desc)
		return 0;
	sriov = calloc(1, sizeof(*sriov) + desc->total * sizeof(sriov->vfs[0]));
	if (!sriov)
		return -ENOMEM;
	sriov->pf = placed;
	sriov->total = desc->total;
	/* Until somebody sets one, nobody knows it. */
	if (getrandom(sriov->token, sizeof(sriov->token), 0) != (ssize_t)sizeof(sriov->token)) {
		free(sriov);
		return -EIO;
	}
	*ret_sriov = sriov;
	return 0;
}

/* Tokens ------------------------------------------------------------------- */

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool via_uuid_parse(const char *text, uint8_t ret_uuid[VIA_UUID_SIZE])
{
	uint8_t uuid[VIA_UUID_SIZE];
	unsigned int n = 0;

	for (unsigned int i = 0; i < VIA_UUID_TEXT;) {
		if (i == 8 || i == 13 || i == 18 || i == 23) {
			if (text[i++] != '-')
				return false;
			continue;
		}
		/* In order, so that nothing behind a NUL is looked at. */
		if (digit(text[i]) < 0 || digit(text[i + 1]) < 0)
			return false;
		uuid[n++] = (uint8_t)(digit(text[i]) << 4 | digit(text[i + 1]));
		i += 2;
	}
	memcpy(ret_uuid, uuid, sizeof(uuid));
	return true;
}

int via_sriov_check_token(struct via_placed *placed, const uint8_t *token)
{
	struct via_sriov *sriov = placed->pf ? placed->pf->sriov : placed->sriov;

	if (!sriov)
		return token ? -EINVAL : 0;
	if (placed->pf || sriov->users) {
		if (!token) {
			via_log(VIA_LOG_INFO, "%s: a VF token is required", placed->name);
			return -EACCES;
		}
		if (memcmp(token, sriov->token, VIA_UUID_SIZE) != 0) {
			via_log(VIA_LOG_INFO, "%s: not the VF token", placed->name);
			return -EACCES;
		}
		return 0;
	}
	if (token)
		memcpy(sriov->token, token, VIA_UUID_SIZE);
	return 0;
}

/* Removal ------------------------------------------------------------------ */

static const struct via_vfio_vf_ops no_ops;

static const struct via_vfio_vf_ops *ops_of(const struct via_vfio *vfio)
{
	return vfio->vf_ops ? vfio->vf_ops : &no_ops;
}

static void free_vf(struct via_vfio *vfio, struct via_placed *placed)
{
	pthread_mutex_unlock(&vfio->lock);
	via_placed_free(placed);
	pthread_mutex_lock(&vfio->lock);
}

static void remove_vf(struct via_vfio *vfio, struct via_placed *placed)
{
	const struct via_vfio_vf_ops *ops = ops_of(vfio);
	unsigned int group = placed->group->number;

	via_placed_remove(vfio, placed);
	if (ops->removed)
		ops->removed(vfio->vf_cookie, placed->dev, group, placed->number);
	free_vf(vfio, placed);
}

static int tell_model(struct via_sriov *sriov, unsigned int n)
{
	struct via_vfio *vfio = sriov->pf->group->vfio;
	int ret;

	pthread_mutex_unlock(&vfio->lock);
	ret = via_device_set_vfs(sriov->pf->dev, n);
	pthread_mutex_lock(&vfio->lock);
	return ret;
}

void via_sriov_continue(struct via_sriov *sriov)
{
	struct via_vfio *vfio = sriov->pf->group->vfio;
	const struct via_vfio_vf_ops *ops = ops_of(vfio);

	for (; sriov->n_removed < sriov->n; sriov->n_removed++) {
		struct via_placed *placed = sriov->vfs[sriov->n_removed];

		if (!placed->going) {
			placed->going = true;
			if (ops->leaving)
				ops->leaving(vfio->vf_cookie, placed->dev, sriov->n_removed);
			via_device_request(placed->dev);
		}
		if (placed->n_files)
			return;
		sriov->vfs[sriov->n_removed] = NULL;
		remove_vf(vfio, placed);
	}
	(void)tell_model(sriov, 0);
	sriov->n = 0;
	sriov->removing = false;
	if (ops->changed)
		ops->changed(vfio->vf_cookie, sriov->pf->dev, 0);
	pthread_cond_broadcast(&vfio->vfs_changed);
}

/* Once more, those who hold the function that is to go next. */
static void remind(const struct via_sriov *sriov)
{
	/* What somebody is taking away already nobody holds. */
	if (sriov->removing && sriov->n_removed < sriov->n && sriov->vfs[sriov->n_removed])
		via_device_request(sriov->vfs[sriov->n_removed]->dev);
}

/* Until a change is over. -EINTR: caller does not wait, or is gone. */
static int wait_changed(struct via_sriov *sriov, struct via_caller *caller)
{
	struct via_vfio *vfio = sriov->pf->group->vfio;
	int ret = 0;

	for (unsigned int ms = 0; !ret && (sriov->removing || sriov->changing);
	     ms += VIA_PAUSE_MS) {
		if (ms && ms % REMIND_MS == 0)
			remind(sriov);
		ret = caller ? via_vfio_pause(vfio, &vfio->vfs_changed, caller) : -EINTR;
	}
	return ret;
}

/* Making ------------------------------------------------------------------- */

static int make_vf(struct via_sriov *sriov, unsigned int i, struct via_error *err)
{
	struct via_vfio *vfio = sriov->pf->group->vfio;
	const struct via_vfio_vf_ops *ops = ops_of(vfio);
	struct via_pci_addr addr;
	struct via_placed *placed;
	struct via_device *dev;
	int ret;

	if (!via_device_vf_addr(sriov->pf->dev, i, &addr))
		return -EINVAL;
	pthread_mutex_unlock(&vfio->lock);
	ret = via_device_vf_new(sriov->pf->dev, i, err, &dev);
	if (!ret)
		ret = via_placed_new(dev, &addr, &placed, err);
	pthread_mutex_lock(&vfio->lock);
	if (ret)
		return ret;
	placed->pf = sriov->pf;
	ret = via_placed_add(vfio, placed, -1, err);
	if (ret < 0) {
		free_vf(vfio, placed);
		return ret;
	}
	if (ops->added)
		ret = ops->added(vfio->vf_cookie, dev, i, placed->group->number, placed->number);
	if (ret < 0) {
		remove_vf(vfio, placed);
		return ret;
	}
	sriov->vfs[i] = placed;
	return 0;
}

static int enable(struct via_sriov *sriov, unsigned int n)
{
	struct via_vfio *vfio = sriov->pf->group->vfio;
	struct via_error err = {0};
	unsigned int i;
	int ret;

	ret = tell_model(sriov, n);
	for (i = 0; i < n && !ret; i++)
		ret = make_vf(sriov, i, &err);
	if (ret < 0) {
		via_log(VIA_LOG_WARNING, "%s: cannot enable %u virtual functions: %s",
			sriov->pf->name, n, err.text[0] ? err.text : strerror(-ret));
		while (i-- > 0) {
			if (!sriov->vfs[i])
				continue;
			remove_vf(vfio, sriov->vfs[i]);
			sriov->vfs[i] = NULL;
		}
		(void)tell_model(sriov, 0);
		return ret;
	}
	sriov->n = n;
	sriov->n_removed = 0;
	if (ops_of(vfio)->changed)
		ops_of(vfio)->changed(vfio->vf_cookie, sriov->pf->dev, n);
	return 0;
}

static int set_numvfs(struct via_sriov *sriov, unsigned int n, struct via_caller *caller)
{
	int ret;

	if (n > sriov->total)
		return -ERANGE;
	ret = wait_changed(sriov, caller);
	if (ret < 0)
		return n ? -EBUSY : 0;
	if (n == sriov->n)
		return 0;
	if (n && sriov->n)
		return -EBUSY;
	if (n) {
		sriov->changing = true;
		ret = enable(sriov, n);
		sriov->changing = false;
		pthread_cond_broadcast(&sriov->pf->group->vfio->vfs_changed);
		return ret;
	}
	sriov->removing = true;
	via_sriov_continue(sriov);
	(void)wait_changed(sriov, caller);
	return 0;
}

/* What others call --------------------------------------------------------- */

static struct via_sriov *find(const struct via_vfio *vfio, const struct via_device *dev)
{
	for (size_t i = 0; i < vfio->n_devices; i++)
		if (vfio->devices[i]->dev == dev)
			return vfio->devices[i]->sriov;
	return NULL;
}

void via_vfio_on_vfs(struct via_vfio *vfio, const struct via_vfio_vf_ops *ops, void *cookie)
{
	pthread_mutex_lock(&vfio->lock);
	vfio->vf_ops = ops;
	vfio->vf_cookie = cookie;
	pthread_mutex_unlock(&vfio->lock);
}

int via_vfio_numvfs(struct via_vfio *vfio, const struct via_device *pf)
{
	struct via_sriov *sriov;
	int ret;

	pthread_mutex_lock(&vfio->lock);
	sriov = find(vfio, pf);
	ret = sriov ? (int)sriov->n : -ENOENT;
	pthread_mutex_unlock(&vfio->lock);
	return ret;
}

int via_vfio_set_numvfs(struct via_vfio *vfio, const struct via_device *pf, unsigned int n,
			struct via_caller *caller)
{
	struct via_sriov *sriov;
	int ret;

	pthread_mutex_lock(&vfio->lock);
	sriov = find(vfio, pf);
	ret = sriov ? set_numvfs(sriov, n, caller) : -ENOENT;
	pthread_mutex_unlock(&vfio->lock);
	return ret;
}

void via_vfio_wait_vfs(struct via_vfio *vfio, const struct via_device *pf,
		       struct via_caller *caller)
{
	struct via_sriov *sriov;

	pthread_mutex_lock(&vfio->lock);
	sriov = find(vfio, pf);
	if (sriov)
		(void)wait_changed(sriov, caller);
	pthread_mutex_unlock(&vfio->lock);
}
