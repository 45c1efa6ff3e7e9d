/* SPDX-License-Identifier: MIT */
#include "cli/launch.h"
#include "cli/check.h"
#include "cli/cli.h"
#include "cli/program.h"
#include "cli/supervise.h"
#include "cli/view.h"
#include "device/device.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* What the child that becomes the program needs from its parent, besides what fork gave it. */
struct child {
	const struct launch *l;
	const char *path;     /* of the program */
	const char *shim;     /* of libviaduct-preload.so */
	const char *fallback; /* directory for a redirected view */
	/*
	 * Its end of a socketpair. The host gets the view's directories by it, and
	 * answers with its socket's name, or end of file when it failed. In process:
	 * end of file when the images are free to be opened.
	 */
	int gate;
};

/* path: PATH_MAX bytes. */
static int find_shim(char *path, struct via_error *err)
{
	const char *given = getenv("VIADUCT_PRELOAD");
	/* In a build tree, and in an installation wherever it was moved to. */
	static const char *const beside[] = {"../preload/libviaduct-preload.so",
					     "../" VIA_LIBDIR "/viaduct/libviaduct-preload.so"};
	char self[PATH_MAX], try[PATH_MAX * 2];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	self[n > 0 ? n : 0] = '\0';
	if (strrchr(self, '/'))
		*strrchr(self, '/') = '\0';
	if (given) {
		if (!realpath(given, path))
			return via_error_set(err, -errno, "VIADUCT_PRELOAD=%s: %s", given, strerror(errno));
		return 0;
	}
	for (size_t i = 0; i < sizeof(beside) / sizeof(beside[0]); i++) {
		(void)snprintf(try, sizeof(try), "%s/%s", self, beside[i]);
		if (realpath(try, path))
			return 0;
	}
	if (realpath(VIA_PRELOAD_DIR "/libviaduct-preload.so", path))
		return 0;
	return via_error_set(err, -ENOENT,
			     "libviaduct-preload.so is neither beside %s nor in %s; install it, or set VIADUCT_PRELOAD",
			     self, VIA_PRELOAD_DIR);
}

/* Ours in front of what the user preloads, without a second copy from an outer run. */
static int set_preload(const char *shim)
{
	static const char name[] = "libviaduct-preload.so";
	const char *old = getenv("LD_PRELOAD");
	/* Every kept library costs its length and one separator. */
	char *value = calloc(1, strlen(shim) + (old ? strlen(old) : 0) + 2);
	int r;

	if (!value)
		return -ENOMEM;
	strcpy(value, shim);
	/* The loader takes colons and spaces alike. */
	for (const char *p = old; p && *(p += strspn(p, ": "));) {
		size_t len = strcspn(p, ": ");

		if (len < sizeof(name) - 1 ||
		    strncmp(p + len - (sizeof(name) - 1), name, sizeof(name) - 1) != 0) {
			strcat(value, ":");
			strncat(value, p, len);
		}
		p += len;
	}
	r = setenv("LD_PRELOAD", value, 1) ? -errno : 0;
	free(value);
	return r;
}

static const char *const profile_names[] = {"full", "linux"};
static const char *const bars_names[] = {"auto", "trap", "io"};
static const char *const memlock_names[] = {"warn", "enforce"};
static const char *const iommu_names[] = {"intel", "spapr", "none"};
static const char *const container_names[] = {"type1", "iommufd"};
static const char *const huge_names[] = {"system", "emulate"};

static int set_in_process(const struct launch *l)
{
	char config[192];
	size_t len = 1;
	char *devices;

	for (size_t i = 0; i < l->n_devices; i++)
		len += strlen(l->devices[i]) + 1;
	devices = calloc(len, 1);
	if (!devices)
		return -ENOMEM;
	for (size_t i = 0; i < l->n_devices; i++) {
		strcat(devices, l->devices[i]);
		strcat(devices, "\n");
	}
	(void)snprintf(config, sizeof(config), "profile=%s;bars=%s;memlock=%s;container=%s;iommu_test=%s;dma_entry_limit=%u;vaddr_wait_ms=%d;iommu=%s",
		       profile_names[l->config.profile], bars_names[l->config.bars],
		       memlock_names[l->config.memlock],
		       container_names[l->config.compat_container],
		       l->config.iommu_test ? "yes" : "no", l->config.dma_entry_limit,
		       l->config.vaddr_wait_ms, iommu_names[l->config.iommu_kind]);
	(void)setenv("VIADUCT_INPROCESS", "1", 1);
	(void)setenv("VIADUCT_DEVICES", devices, 1);
	(void)setenv("VIADUCT_CONFIG", config, 1);
	free(devices);
	return 0;
}

static void explain(const struct launch *l, struct via_host *host, const struct child *c,
		    const struct view *view, const char *socket)
{
	struct via_vfio *vfio = via_host_vfio(host);
	struct via_device *dev;

	fprintf(stderr, "viaduct: program   %s, with %s\n", c->path, c->shim);
	fprintf(stderr, "viaduct: sysfs     %s\n", view->why);
	fprintf(stderr, "viaduct: devices   kept %s%s\n",
		l->in_process ? "in the program itself" : "by a host process, reached at ", socket);
	fprintf(stderr, "viaduct: choices   profile %s, bars %s, memlock %s, dma %s\n",
		profile_names[l->config.profile], bars_names[l->config.bars],
		memlock_names[l->config.memlock],
		l->in_process ? "direct" : l->copy_dma ? "copy" : "share");
	fprintf(stderr, "viaduct: choices   container %s, huge pages %s%s\n",
		container_names[l->config.compat_container], huge_names[l->emulate_huge],
		l->config.iommu_test ? ", with the kernel's test commands" : "");
	for (size_t i = 0; (dev = via_vfio_device(vfio, i)); i++) {
		char addr[VIA_PCI_ADDR_LEN], node[VIA_GROUP_NODE_LEN], own[48] = "";

		via_pci_addr_format(via_device_addr(dev), addr);
		via_vfio_group_node(vfio, (unsigned int)via_vfio_device_group(vfio, i), node);
		if (via_vfio_device_nodes(vfio))
			(void)snprintf(own, sizeof(own), " and /dev/vfio/devices/vfio%d",
				       via_vfio_device_number(vfio, dev));
		fprintf(stderr, "viaduct: device    %s is %s, /dev/%s%s\n", addr, via_device_name(dev),
			node, own);
	}
}

/* So that the host can show in the view what changes. Without, nothing does. */
static void send_view(int gate, const struct view *view)
{
	const int fds[] = {view->sys_fd, view->root_fd};
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(fds))];
	} control = {0};
	char byte = 0;
	struct iovec iov = {&byte, 1};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control.space,
			     .msg_controllen = sizeof(control.space)};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(fds));
	memcpy(CMSG_DATA(cmsg), fds, sizeof(fds));
	(void)!sendmsg(gate, &msg, MSG_NOSIGNAL);
	close(view->sys_fd);
	close(view->root_fd);
}

/* Waits until the view is there, or the child has failed and said why. */
static void receive_view(int gate, struct via_host *host)
{
	int fds[] = {-1, -1};
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(fds))];
	} control;
	char byte;
	struct iovec iov = {&byte, 1};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control.space,
			     .msg_controllen = sizeof(control.space)};
	struct cmsghdr *cmsg;
	ssize_t n;

	do
		n = recvmsg(gate, &msg, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	cmsg = n == 1 ? CMSG_FIRSTHDR(&msg) : NULL;
	if (!cmsg || cmsg->cmsg_len != CMSG_LEN(sizeof(fds)))
		return;
	memcpy(fds, CMSG_DATA(cmsg), sizeof(fds));
	if (via_host_view(host, fds[0], fds[1])) {
		close(fds[0]);
		close(fds[1]);
	}
}

/* Never returns: becomes the program, or exits with a status that says why not. */
static _Noreturn void become_program(const struct child *c, struct via_host *host)
{
	struct via_error err = {0};
	struct view view = {0};
	char socket[128] = "";

	supervise_restore_signals();
	if (view_enter(host, c->fallback, &view, &err)) {
		cli_error("%s", err.text);
		_exit(CLI_OURS);
	}
	if (view.mounted)
		(void)rmdir(c->fallback);
	send_view(c->gate, &view);
	ssize_t n = read(c->gate, socket, sizeof(socket) - 1);

	if (n <= 0 && !c->l->in_process)
		_exit(CLI_OURS); /* the host has said why */
	if (set_preload(c->shim) || (c->l->in_process && set_in_process(c->l))) {
		cli_error("cannot set the program's environment: out of memory");
		_exit(CLI_OURS);
	}
	(void)setenv("VIADUCT_ROOT", view.root, 1);
	(void)setenv("VIADUCT_SYSFS", view.mounted ? "mounted" : "redirect", 1);
	(void)setenv("VIADUCT_DMA", c->l->copy_dma ? "copy" : "share", 1);
	(void)setenv("VIADUCT_HUGEPAGES", huge_names[c->l->emulate_huge], 1);
	if (c->l->check_dma)
		(void)setenv("VIADUCT_CHECK", "dma", 1);
	else
		(void)unsetenv("VIADUCT_CHECK");
	if (c->l->in_process) {
		(void)unsetenv("VIADUCT_SOCKET");
	} else {
		(void)unsetenv("VIADUCT_INPROCESS");
		(void)setenv("VIADUCT_SOCKET", socket, 1);
	}
	if (c->l->explain)
		explain(c->l, host, c, &view, socket);
	execv(c->path, c->l->argv);
	cli_error("cannot run '%s': %s", c->path, strerror(errno));
	_exit(errno == ENOENT ? CLI_NOT_FOUND : CLI_CANNOT_INVOKE);
}

/* The directory stays open as long as the process lives. */
static int set_snapshot(const struct launch *l, struct via_host *host)
{
	int dir;

	if (!l->snapshot)
		return 0;
	if (mkdir(l->snapshot, 0777) && errno != EEXIST) {
		cli_error("--snapshot=%s: %s", l->snapshot, strerror(errno));
		return -errno;
	}
	dir = open(l->snapshot, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0) {
		cli_error("--snapshot=%s: %s", l->snapshot, strerror(errno));
		return -errno;
	}
	if (via_host_snapshot(host, dir)) {
		cli_error("cannot start: out of memory");
		return -ENOMEM;
	}
	return 0;
}

static struct via_host *make_host(const struct launch *l, struct via_check **ret_check)
{
	struct via_vfio_config config = l->config;
	struct via_error err = {0};
	struct via_host *host = NULL;
	int r = 0;

	/* It lives as long as the process: devices may tell it to the end. */
	if (l->check_dma)
		r = check_new(ret_check);
	config.check = *ret_check;
	if (!r)
		r = via_host_new(&config, &host);
	if (r) {
		cli_error("cannot start: %s", strerror(-r));
		return NULL;
	}
	for (size_t i = 0; i < l->n_devices; i++) {
		if (via_host_add_device(host, l->devices[i], &err)) {
			cli_error("--device %s: %s", l->devices[i], err.text);
			via_host_free(host);
			return NULL;
		}
	}
	if (set_snapshot(l, host)) {
		via_host_free(host);
		return NULL;
	}
	return host;
}

static void report(const struct launch *l, struct via_host *host)
{
	FILE *out = l->report && *l->report ? fopen(l->report, "we") : stderr;

	if (!l->report)
		return;
	if (!out) {
		cli_error("--report=%s: %s", l->report, strerror(errno));
		return;
	}
	via_host_report(host, out);
	if (out != stderr)
		(void)fclose(out);
}

/*
 * A background process of the program may hold devices, or open them yet. The
 * host is the subreaper of them all, so as long as there is one it has a child.
 */
static bool in_use(struct via_host *host)
{
	struct via_host_counts counts;
	pid_t pid;

	while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
		;
	via_host_settle(host);
	via_host_counts(host, &counts);
	return pid == 0 || counts.peers || counts.files;
}

/* The program has ended; wait for its background processes. */
static void linger(struct via_host *host)
{
	const struct timespec tick = {.tv_nsec = 50 * 1000 * 1000};
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null >= 0) {
		(void)dup2(null, STDERR_FILENO);
		close(null);
	}
	while (in_use(host))
		(void)nanosleep(&tick, NULL);
}

/*
 * Fork the child that becomes the program; it waits at the gate. Before the
 * host's threads exist, so that the child may use the heap; exec closes the
 * devices that it inherits. The process id, or -1 with everything said.
 */
static pid_t start_program(struct child *c, struct via_host *host, int events, int *ret_gate)
{
	int gate[2];
	pid_t program;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, gate) || (program = fork()) < 0) {
		cli_error("cannot start a process: %s", strerror(errno));
		return -1;
	}
	if (program == 0) {
		close(gate[1]);
		close(events);
		c->gate = gate[0];
		become_program(c, host);
	}
	close(gate[0]);
	*ret_gate = gate[1];
	return program;
}

/* Descriptors of all programs end here, each with its own limit; ours must not be the first. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (!getrlimit(RLIMIT_NOFILE, &limit)) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

/* A pipe behind the command must see its end when the program closes it. */
static void close_stdio(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null >= 0) {
		(void)dup2(null, STDIN_FILENO);
		(void)dup2(null, STDOUT_FILENO);
		close(null);
	}
}

/* The host process. Exit status for the supervisor when the program could not be started. */
static int serve(struct child *c, struct via_host *host, struct via_check *check, int events)
{
	struct supervise_event end = {.kind = SUPERVISE_ENDED};
	struct via_error err = {0};
	char name[128];
	int gate;
	pid_t program;

	(void)prctl(PR_SET_NAME, "viaduct-host");
	program = start_program(c, host, events, &gate);
	if (program < 0) {
		via_host_free(host);
		return CLI_OURS;
	}
	receive_view(gate, host);
	raise_descriptor_limit(); /* not before: the program keeps the limit that it was given */
	if (via_host_listen(host, name, sizeof(name), &err))
		cli_error("%s", err.text);
	else
		(void)!write(gate, name, strlen(name));
	close(gate);
	close_stdio();
	end.status = supervise_child(events, program);
	via_host_settle(host);
	report(c->l, host);
	if (check && check_end(check) && c->l->check_exit)
		end.status = W_EXITCODE(c->l->check_exit, 0);
	if (in_use(host)) {
		(void)!write(events, &end, sizeof(end));
		close(events);
		linger(host);
		via_host_free(host);
		return CLI_OK;
	}
	/* Whoever comes after the command must find the images unlocked. */
	via_host_free(host);
	(void)!write(events, &end, sizeof(end));
	return CLI_OK;
}

/*
 * With --in-process the program keeps the devices. A process still stands in
 * the host's place and waits, so that both ways treat signals and stops alike.
 */
static int stand_by(struct child *c, struct via_host *host, int events)
{
	struct supervise_event end = {.kind = SUPERVISE_ENDED};
	int gate;
	pid_t program = start_program(c, host, events, &gate);

	via_host_free(host);
	if (program < 0)
		return CLI_OURS;
	close(gate);
	end.status = supervise_child(events, program);
	(void)!write(events, &end, sizeof(end));
	return CLI_OK;
}

/* Devices are made here, in the host, so that no other process holds their images open. */
static int host_main(struct child *c, int events)
{
	struct via_check *check = NULL;
	struct via_host *host = make_host(c->l, &check);

	if (!host)
		return CLI_OURS;
	supervise_detach_signals();
	return c->l->in_process ? stand_by(c, host, events) : serve(c, host, check, events);
}

int launch_program(const struct launch *l)
{
	char path[PATH_MAX], shim[PATH_MAX], fallback[128];
	struct via_error err = {0};
	struct child c = {.l = l, .path = path, .shim = shim, .fallback = fallback};
	int events[2], status = program_find(l->argv[0], path, &err);
	pid_t host;

	if (status) {
		cli_error("%s", err.text);
		return status;
	}
	if (find_shim(shim, &err) || view_fallback_new(fallback, sizeof(fallback), &err)) {
		cli_error("%s", err.text);
		return CLI_OURS;
	}
	(void)prctl(PR_SET_CHILD_SUBREAPER, 1);
	if (pipe2(events, O_CLOEXEC) || (host = fork()) < 0) {
		cli_error("cannot start the host process: %s", strerror(errno));
		(void)rmdir(fallback);
		return CLI_OURS;
	}
	if (host == 0) {
		close(events[0]);
		status = host_main(&c, events[1]);
		view_fallback_remove(fallback);
		exit(status);
	}
	close(events[1]);
	status = supervise_program(events[0], host);
	/* The host removes its tree when the last user is gone; an empty directory may go now. */
	(void)rmdir(fallback);
	return status;
}
