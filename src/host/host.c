/* SPDX-License-Identifier: MIT */
#include "host/internal.h"

#include "device/device.h"
#include "memory/guard.h"

#include <viaduct/models.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

/* Where devices without addr= go: after what a PC's root bus usually has. */
#define FIRST_DEVICE_NUMBER 3
#define LAST_DEVICE_NUMBER 31

static int open_fds(struct via_host *host)
{
	struct epoll_event wake = {.events = EPOLLIN};

	host->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	host->alarm_fd = epoll_create1(EPOLL_CLOEXEC);
	host->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	host->guard_epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	host->guard_stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (host->epoll_fd < 0 || host->alarm_fd < 0 || host->guard_epoll_fd < 0 ||
	    host->wake_fd < 0 || host->guard_stop_fd < 0)
		return -errno;
	/* In the alarms alone, and never read: once set, the loop only ends. */
	if (epoll_ctl(host->alarm_fd, EPOLL_CTL_ADD, host->wake_fd, &wake) < 0)
		return -errno;
	host->reserve_fd = fcntl(host->epoll_fd, F_DUPFD_CLOEXEC, 0);
	return host->reserve_fd < 0 ? -errno : 0;
}

static void close_fds(struct via_host *host)
{
	int fds[] = {host->epoll_fd,	   host->alarm_fd,	host->wake_fd,
		     host->guard_epoll_fd, host->guard_stop_fd, host->reserve_fd};

	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		if (fds[i] >= 0)
			(void)close(fds[i]);
}

static void init_locks(struct via_host *host)
{
	pthread_condattr_t attr;

	pthread_mutex_init(&host->poll_lock, NULL);
	pthread_mutex_init(&host->reap_lock, NULL);
	pthread_mutex_init(&host->lock, NULL);
	pthread_mutex_init(&host->guard_lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&host->changed, &attr);
	pthread_cond_init(&host->reap_more, &attr);
	pthread_condattr_destroy(&attr);
}

static void destroy_locks(struct via_host *host)
{
	pthread_mutex_destroy(&host->poll_lock);
	pthread_mutex_destroy(&host->reap_lock);
	pthread_mutex_destroy(&host->lock);
	pthread_mutex_destroy(&host->guard_lock);
	pthread_cond_destroy(&host->changed);
	pthread_cond_destroy(&host->reap_more);
}

int via_host_new(const struct via_vfio_config *config, struct via_host **ret_host)
{
	struct via_host *host = calloc(1, sizeof(*host));
	int r;

	if (!host)
		return -ENOMEM;
	host->iommu_test = config && config->iommu_test;
	host->epoll_fd = host->alarm_fd = host->wake_fd = host->guard_stop_fd = host->reserve_fd =
		-1;
	host->guard_epoll_fd = -1;
	host->listener.fd = -1;
	host->iommu = config ? config->iommu : NULL;
	host->entry_limit = config ? config->dma_entry_limit : 0;
	host->reap_end = &host->reap_first;
	(void)clock_gettime(CLOCK_MONOTONIC, &host->since);
	init_locks(host);
	r = open_fds(host);
	if (!r)
		r = via_vfio_new(config, &host->vfio);
	if (r) {
		close_fds(host);
		destroy_locks(host);
		free(host);
		return r;
	}
	*ret_host = host;
	return 0;
}

/* Hang up on everybody and wait until their threads have ended. */
static void end_connections(struct via_host *host)
{
	pthread_mutex_lock(&host->poll_lock);
	via_loop_remove(host, &host->listener);
	via_conn_hang_up_all(host);
	pthread_mutex_unlock(&host->poll_lock);
	pthread_mutex_lock(&host->lock);
	while (host->n_slots)
		pthread_cond_wait(&host->changed, &host->lock);
	pthread_mutex_unlock(&host->lock);
}

static void end_local(struct via_host *host)
{
	struct via_peer *local = host->local;

	if (!local)
		return;
	pthread_mutex_lock(&local->lock);
	local->gone = true;
	pthread_mutex_unlock(&local->lock);
	via_mapping_drop_all(local);
	(void)close(local->proc_fd);
	via_peer_put(local);
}

void via_host_free(struct via_host *host)
{
	if (!host)
		return;
	end_connections(host);
	via_host_stop(host);
	end_local(host);
	via_files_hang_up(host);
	via_reap_run(host);
	via_guard_stop(host);
	via_host_view_free(host);
	via_vfio_free(host->vfio);
	via_snapshots_free(host);
	via_id_deinit(&host->files);
	close_fds(host);
	destroy_locks(host);
	free(host);
}

struct via_vfio *via_host_vfio(struct via_host *host)
{
	return host->vfio;
}

int via_host_listen(struct via_host *host, char *ret_name, size_t len, struct via_error *err)
{
	/* Who serves others over a socket is a process of its own, its handlers are the library's.
	 */
	int r = via_guard_install();

	if (!r)
		r = via_host_start(host);
	if (r)
		return via_error_set(err, r, "cannot start the host's threads: %s", strerror(-r));
	return via_conn_listen(host, ret_name, len, err);
}

void via_host_counts(struct via_host *host, struct via_host_counts *ret_counts)
{
	struct via_host_counts counts = {0};

	pthread_mutex_lock(&host->lock);
	counts.peers = host->n_peers;
	counts.slots = host->n_slots;
	counts.files = host->n_files;
	for (struct via_peer *p = host->peers; p; p = p->next) {
		pthread_mutex_lock(&p->lock);
		counts.mappings += p->mappings.n_used;
		pthread_mutex_unlock(&p->lock);
	}
	if (host->local) {
		pthread_mutex_lock(&host->local->lock);
		counts.mappings += host->local->mappings.n_used;
		pthread_mutex_unlock(&host->local->lock);
	}
	pthread_mutex_unlock(&host->lock);
	*ret_counts = counts;
}

/* What a device specification says besides the model's own options. */
struct spec {
	char *model;
	char *rest; /* for the model */
	struct via_pci_addr addr;
	bool has_addr;
	int group;
};

static void spec_deinit(struct spec *spec)
{
	free(spec->model);
	free(spec->rest);
}

static int parse_group(const char *text, int *ret_group, struct via_error *err)
{
	char *end;
	long n;

	errno = 0;
	n = strtol(text, &end, 10);
	if (end == text || *end || errno || n < 0 || n > 0xffff)
		return via_error_set(err, -EINVAL, "group=%s: give a number from 0 to 65535", text);
	*ret_group = (int)n;
	return 0;
}

/* One "key=value" of the specification: ours, or appended to the rest. */
static int take_item(struct spec *spec, const char *item, struct via_error *err)
{
	if (strncmp(item, "addr=", 5) == 0) {
		if (via_pci_addr_parse(item + 5, &spec->addr))
			return via_error_set(err, -EINVAL, "%s: give an address like 0000:00:03.0",
					     item);
		spec->has_addr = true;
		return 0;
	}
	if (strncmp(item, "group=", 6) == 0)
		return parse_group(item + 6, &spec->group, err);
	if (spec->rest[0])
		(void)strcat(spec->rest, ",");
	(void)strcat(spec->rest, item);
	return 0;
}

/* The end of the item at p: a comma that is not one of two. */
static char *item_end(char *p)
{
	for (; *p; p++) {
		if (*p != ',')
			continue;
		if (p[1] != ',')
			break;
		p++;
	}
	return p;
}

static int parse_spec(const char *text, struct spec *spec, struct via_error *err)
{
	char *p, *end;
	bool more;
	int r = 0;

	*spec = (struct spec){.group = -1};
	spec->model = strdup(text);
	spec->rest = calloc(1, strlen(text) + 1);
	if (!spec->model || !spec->rest)
		return via_error_set(err, -ENOMEM, "out of memory");
	end = item_end(spec->model);
	more = *end;
	*end = '\0';
	while (!r && more) {
		p = end + 1;
		end = item_end(p);
		more = *end;
		*end = '\0';
		r = take_item(spec, p, err);
	}
	/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): spec owns its strings */
	return r;
}

/* Where dev, and what virtual functions it can have, are in nobody's way. */
static int choose_address(struct via_host *host, struct via_device *dev,
			  struct via_pci_addr *ret_addr)
{
	struct via_pci_addr addr = {0};

	for (unsigned int bus = 0; bus < 256; bus++)
		for (unsigned int n = bus ? 0 : FIRST_DEVICE_NUMBER; n <= LAST_DEVICE_NUMBER; n++) {
			addr.bus = (uint8_t)bus;
			addr.device = (uint8_t)n;
			if (via_vfio_fits(host->vfio, dev, &addr)) {
				*ret_addr = addr;
				return 0;
			}
		}
	return -ENOSPC;
}

static int unknown_model(const char *name, struct via_error *err)
{
	char known[512] = "";

	for (const struct via_model *const *m = via_models(); *m; m++)
		if (strlen(known) + strlen((*m)->name) + 3 < sizeof(known)) {
			if (known[0])
				(void)strcat(known, ", ");
			(void)strcat(known, (*m)->name);
		}
	return via_error_set(err, -ENOENT, "unknown device model '%s'; there are: %s", name, known);
}

static int make_device(const struct via_model *model, const char *options, struct via_error *err,
		       struct via_device **ret_dev)
{
	struct via_options *opts;
	int r;

	r = via_options_parse(model, options, err, &opts);
	if (r)
		return via_error_set(err, r, "bad options for model '%s': %s", model->name,
				     options);
	r = model->create(opts, err, ret_dev);
	via_options_free(opts);
	return r ? via_error_set(err, r, "cannot make a device of model '%s': %s", model->name,
				 strerror(-r))
		 : 0;
}

int via_host_add_device(struct via_host *host, const char *text, struct via_error *err)
{
	const struct via_model *model;
	struct via_device *dev = NULL;
	struct spec spec;
	int r;

	r = parse_spec(text, &spec, err);
	if (r)
		goto out;
	model = via_model_find(spec.model);
	if (!model) {
		r = unknown_model(spec.model, err);
		goto out;
	}
	r = make_device(model, spec.rest, err, &dev);
	if (r)
		goto out;
	if (!spec.has_addr && choose_address(host, dev, &spec.addr)) {
		via_device_free(dev);
		r = via_error_set(err, -ENOSPC, "no PCI address is free");
		goto out;
	}
	r = via_vfio_add(host->vfio, dev, &spec.addr, spec.group, err);
	if (r) {
		char addr[VIA_PCI_ADDR_LEN];

		via_pci_addr_format(&spec.addr, addr);
		r = via_error_set(err, r, "cannot place the device at %s: %s%s", addr, strerror(-r),
				  r == -EEXIST ? "; choose another with addr=" : "");
	}
out:
	spec_deinit(&spec);
	return r;
}
