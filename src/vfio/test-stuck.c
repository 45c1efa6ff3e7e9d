/* SPDX-License-Identifier: MIT */
/*
 * A program that waits for ever in a call or a close (its device's thread is inside a
 * model that does not come back, its memory never answers) holds up nobody else.
 */
#include "base/epoch.h"
#include "vfio/test-vfio.h"

#include <viaduct/abi/iommufd.h>

#include <time.h>

#define SHORT_MS 100
#define LONG_MS 10000

/* A place where threads of models and calls stay until they are told. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool shut;
	unsigned int inside;
} gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void gate_set(bool shut)
{
	pthread_mutex_lock(&gate.lock);
	gate.shut = shut;
	pthread_cond_broadcast(&gate.changed);
	pthread_mutex_unlock(&gate.lock);
}

static void gate_pass(void)
{
	pthread_mutex_lock(&gate.lock);
	gate.inside++;
	pthread_cond_broadcast(&gate.changed);
	while (gate.shut)
		pthread_cond_wait(&gate.changed, &gate.lock);
	gate.inside--;
	pthread_mutex_unlock(&gate.lock);
}

static void gate_await(void)
{
	pthread_mutex_lock(&gate.lock);
	while (!gate.inside)
		pthread_cond_wait(&gate.changed, &gate.lock);
	pthread_mutex_unlock(&gate.lock);
}

/* Models ------------------------------------------------------------------------- */

/* Register 16 is the probe's; others give the device's thread work. */
static void slow_write(struct via_device *dev, void *model, unsigned int bar, uint64_t offset,
		       unsigned int size, uint64_t value)
{
	if (offset == 16)
		probe_write(dev, model, bar, offset, size, value);
	else
		via_device_kick(dev, 1);
}

static void slow_work(struct via_device *dev, void *model, uint64_t events)
{
	gate_pass();
}

static const struct via_device_ops slow_ops = {
	.read = probe_read,
	.write = slow_write,
	.doorbell = probe_doorbell,
	.work = slow_work,
	.free = free,
};

static void vf_free(void *model)
{
	gate_pass();
	free(model);
}

static const struct via_device_desc vf_desc = {
	.name = "vf",
	.ident = {.vendor = 0x1b36, .device = 2},
	.express = {.present = true},
	.flags = VIA_DEVICE_VF,
};

static const struct via_device_ops vf_ops = {.free = vf_free};

static int vf_new(struct via_device *dev, void *model, unsigned int index, struct via_error *err,
		  struct via_device **ret_vf)
{
	gate_pass();
	return via_device_new(&vf_desc, &vf_ops, malloc(1), err, ret_vf);
}

static const struct via_device_ops pf_ops = {.vf_new = vf_new, .free = free};

static const struct via_pci_cap pf_caps[] = {
	{.kind = VIA_CAP_SRIOV, .sriov = {.total = 2, .offset = 128, .stride = 2, .vf_device = 2}},
};

static const struct via_device_desc pf_desc = {
	.name = "pf",
	.ident = {.vendor = 0x1b36, .device = 1},
	.express = {.present = true},
	.caps = pf_caps,
	.n_caps = 1,
};

static struct via_device *place(struct machine *m, const struct via_device_desc *desc,
				const struct via_device_ops *ops, const char *text, int group)
{
	struct via_pci_addr addr;
	struct via_device *dev;

	assert_int_equal(via_pci_addr_parse(text, &addr), 0);
	assert_int_equal(via_device_new(desc, ops, calloc(1, sizeof(struct probe)), NULL, &dev), 0);
	assert_int_equal(via_vfio_add(m->vfio, dev, &addr, group, NULL), 0);
	return dev;
}

/* Slow functions in groups 1 (alone), 3 (two of a slot); group 2 is another program's. */
static struct machine *slow_machine(const struct via_vfio_config *config)
{
	struct machine *m = calloc(1, sizeof(*m));

	assert_non_null(m);
	test_caller_init(&m->tc);
	assert_int_equal(via_vfio_new(config, &m->vfio), 0);
	place(m, &probe_desc, &slow_ops, "0000:01:00.0", 1);
	place(m, &probe_desc, &slow_ops, "0000:02:00.0", 2);
	place(m, &probe_desc, &slow_ops, "0000:03:00.0", 3);
	place(m, &probe_desc, &slow_ops, "0000:03:00.1", 3);
	m->memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(m->memory, MAP_FAILED);
	return m;
}

static int slow_setup(void **state)
{
	gate_set(false);
	*state = slow_machine(NULL);
	return 0;
}

/* The device's thread goes into its model and does not come back. */
static void stick(struct machine *m, int fd)
{
	gate_set(true);
	assert_int_equal(region_write(m, fd, VIA_VFIO_PCI_CONFIG_REGION_INDEX, 4, 6, 2), 2);
	assert_int_equal(region_write(m, fd, 0, 0, 1, 4), 4);
	gate_await();
}

/* Threads ------------------------------------------------------------------------ */

struct task {
	pthread_t thread;
	long (*run)(struct task *task);
	struct machine *m;
	int fd, other;
	const char *name;
	struct via_caller *caller;
	long ret;
};

static void *task_main(void *arg)
{
	struct task *task = arg;

	task->ret = task->run(task);
	return NULL;
}

static void begin(struct task *task)
{
	assert_int_equal(pthread_create(&task->thread, NULL, task_main, task), 0);
}

static bool ends(struct task *task, unsigned int ms)
{
	struct timespec until;

	(void)clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += ms / 1000;
	until.tv_nsec += (long)(ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	return pthread_timedjoin_np(task->thread, NULL, &until) == 0;
}

static void join_task(struct task *task)
{
	assert_int_equal(pthread_join(task->thread, NULL), 0);
}

/* Done by another program, soon. The gate is opened if it is not, so that the test can end. */
static long soon(struct machine *m, long (*run)(struct task *task), const char *name)
{
	struct task task = {.run = run, .m = m, .name = name};
	bool done;

	begin(&task);
	done = ends(&task, LONG_MS);
	if (!done) {
		gate_set(false);
		join_task(&task);
	}
	assert_true(done);
	return task.ret;
}

static long do_close(struct task *task)
{
	return test_close(&task->m->tc, task->fd);
}

static long do_open(struct task *task)
{
	return node(task->m, task->name);
}

static long do_get_device(struct task *task)
{
	struct via_file *file = NULL;
	long ret;

	assert_int_equal(test_file_get(&task->m->tc.caller, task->fd, &file), 0);
	ret = via_file_ioctl(file, task->caller ? task->caller : &task->m->tc.caller,
			     VIA_VFIO_GROUP_GET_DEVICE_FD, (uint64_t)(uintptr_t)task->name);
	via_file_put(file);
	return ret;
}

static long do_bind(struct task *task)
{
	struct via_vfio_device_bind_iommufd bind = {.argsz = sizeof(bind), .iommufd = task->other};

	return ioc(task->m, task->fd, VIA_VFIO_DEVICE_BIND_IOMMUFD, &bind);
}

static long do_join(struct task *task)
{
	return join(task->m, task->fd, task->other);
}

static long do_set_type(struct task *task)
{
	return set_type(task->m, task->fd);
}

static long do_map(struct task *task)
{
	struct via_vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = VIA_VFIO_DMA_MAP_FLAG_READ,
		.vaddr = (uint64_t)(uintptr_t)task->m->memory,
		.iova = IOVA,
		.size = PAGE,
	};
	struct via_file *file = NULL;
	long ret;

	assert_int_equal(test_file_get(&task->m->tc.caller, task->fd, &file), 0);
	ret = via_file_ioctl(file, task->caller, VIA_VFIO_IOMMU_MAP_DMA, (uint64_t)(uintptr_t)&map);
	via_file_put(file);
	return ret;
}

static long do_hot_reset(struct task *task)
{
	struct {
		struct via_vfio_pci_hot_reset reset;
		int32_t group;
	} arg = {{.argsz = sizeof(arg), .count = 1}, task->other};

	return ioc(task->m, task->fd, VIA_VFIO_DEVICE_PCI_HOT_RESET, &arg);
}

/* All that a program does with a group, a container and a device: 0, or what went wrong. */
static long use_group(struct machine *m, const char *name, const char *device_name, bool shuts)
{
	int fds[3] = {node(m, "vfio/vfio"), node(m, name), -1};
	long ret = fds[0] < 0 ? fds[0] : fds[1] < 0 ? fds[1] : join(m, fds[1], fds[0]);

	if (!ret)
		ret = set_type(m, fds[0]);
	if (!ret)
		fds[2] = (int)ioc(m, fds[1], VIA_VFIO_GROUP_GET_DEVICE_FD, device_name);
	if (!ret && fds[2] < 0)
		ret = fds[2];
	for (int i = 2; i >= 0 && shuts; i--)
		if (fds[i] >= 0)
			shut(m, fds[i]);
	return ret;
}

static long do_use_group(struct task *task)
{
	return use_group(task->m, "vfio/2", "0000:02:00.0", true);
}

/* Closing waits for everybody's sections. */
static long do_use_group_open(struct task *task)
{
	return use_group(task->m, "vfio/2", "0000:02:00.0", false);
}

/* The same with the device's own node and an iommufd. */
static long do_use_node(struct task *task)
{
	int fd = node(task->m, "vfio/devices/vfio1"), iommu = node(task->m, "iommu");
	struct via_vfio_device_bind_iommufd bind = {.argsz = sizeof(bind), .iommufd = iommu};
	struct via_vfio_device_attach_iommufd_pt attach = {.argsz = 16};
	struct via_iommu_ioas_alloc alloc = {.size = sizeof(alloc)};
	long ret = ioc(task->m, fd, VIA_VFIO_DEVICE_BIND_IOMMUFD, &bind);

	if (!ret)
		ret = ioc(task->m, iommu, VIA_IOMMU_IOAS_ALLOC, &alloc);
	attach.pt_id = alloc.out_ioas_id;
	if (!ret)
		ret = ioc(task->m, fd, VIA_VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach);
	shut(task->m, fd);
	shut(task->m, iommu);
	return ret;
}

/* Others, while one is stuck. */
static void others_go_on(struct machine *m)
{
	assert_int_equal(soon(m, do_use_group, NULL), 0);
	assert_int_equal(soon(m, do_use_node, NULL), 0);
}

/* Group 1, in a container of type 1. */
struct user {
	int container, group, device;
};

static struct user open_group(struct machine *m, const char *name, const char *device_name)
{
	struct user u = {.container = node(m, "vfio/vfio"), .group = node(m, name)};

	assert_int_equal(join(m, u.group, u.container), 0);
	assert_int_equal(set_type(m, u.container), 0);
	u.device = (int)ioc(m, u.group, VIA_VFIO_GROUP_GET_DEVICE_FD, device_name);
	assert_true(u.device >= 0);
	return u;
}

/* Cases -------------------------------------------------------------------------- */

/* The last close of a device waits for its thread. */
static void close_of_a_device(void **state)
{
	struct machine *m = *state;
	struct user u = open_group(m, "vfio/1", "0000:01:00.0");
	struct task closer = {.run = do_close, .m = m, .fd = u.device};
	long fd;

	stick(m, u.device);
	shut(m, u.group);
	shut(m, u.container);
	begin(&closer);
	assert_false(ends(&closer, SHORT_MS));
	others_go_on(m);
	/* The device's file is not released: the group is in use. */
	assert_int_equal(soon(m, do_open, "vfio/1"), -EBUSY);
	gate_set(false);
	join_task(&closer);
	fd = node(m, "vfio/1");
	assert_true(fd >= 0);
	shut(m, (int)fd);
}

static bool hung_up; /* atomic */

static bool caller_gone(struct via_caller *caller)
{
	return __atomic_load_n(&hung_up, __ATOMIC_ACQUIRE);
}

/* Who opens it meanwhile waits for it, as for a kernel's mutex; but not when nobody hears. */
static void open_of_a_closing_device(void **state)
{
	struct machine *m = *state;
	struct user u = open_group(m, "vfio/1", "0000:01:00.0");
	struct task closer = {.run = do_close, .m = m, .fd = u.device};
	struct task opener = {.run = do_get_device, .m = m, .fd = u.group, .name = "0000:01:00.0"};
	struct test_caller dying = m->tc;
	struct via_caller_ops ops = *m->tc.caller.ops;
	struct task gone = opener;

	ops.gone = caller_gone;
	dying.caller.ops = &ops;
	gone.caller = &dying.caller;
	stick(m, u.device);
	begin(&closer);
	assert_false(ends(&closer, SHORT_MS));
	begin(&opener);
	__atomic_store_n(&hung_up, false, __ATOMIC_RELEASE);
	begin(&gone);
	assert_false(ends(&opener, SHORT_MS));
	assert_false(ends(&gone, SHORT_MS));
	__atomic_store_n(&hung_up, true, __ATOMIC_RELEASE);
	assert_true(ends(&gone, LONG_MS));
	assert_int_equal(gone.ret, -EINTR);
	others_go_on(m);
	gate_set(false);
	join_task(&closer);
	join_task(&opener);
	assert_true(opener.ret >= 0);
	/* It is open: an answering device. */
	assert_int_equal(region_write(m, (int)opener.ret, 0, 16, 0x1234, 4), 4);
	assert_int_equal(reg(m, (int)opener.ret, 16), 0x1234);
	shut(m, (int)opener.ret);
	shut(m, u.group);
	shut(m, u.container);
}

static void close_of_a_node(void **state)
{
	struct machine *m = *state;
	int fd = node(m, "vfio/devices/vfio0"), iommu = node(m, "iommu");
	struct task closer = {.run = do_close, .m = m, .fd = fd};
	struct task binder = {.run = do_bind, .m = m, .fd = fd, .other = iommu};

	begin(&binder);
	join_task(&binder);
	assert_int_equal(binder.ret, 0);
	stick(m, fd);
	begin(&closer);
	assert_false(ends(&closer, SHORT_MS));
	others_go_on(m);
	/* A node can always be opened. To bind it is to open the device. */
	binder.fd = (int)soon(m, do_open, "vfio/devices/vfio0");
	assert_true(binder.fd >= 0);
	begin(&binder);
	assert_false(ends(&binder, SHORT_MS));
	assert_int_equal(soon(m, do_open, "vfio/1"), -EBUSY);
	gate_set(false);
	join_task(&closer);
	join_task(&binder);
	assert_int_equal(binder.ret, 0);
	shut(m, binder.fd);
	shut(m, iommu);
}

static void hot_reset(void **state)
{
	struct machine *m = *state;
	struct user u = open_group(m, "vfio/3", "0000:03:00.0");
	int second = (int)ioc(m, u.group, VIA_VFIO_GROUP_GET_DEVICE_FD, "0000:03:00.1");
	struct task reset = {.run = do_hot_reset, .m = m, .fd = second, .other = u.group};
	struct task opener = {.run = do_get_device, .m = m, .fd = u.group, .name = "0000:03:00.1"};
	struct task closer = {.run = do_close, .m = m, .fd = second};

	assert_true(second >= 0);
	stick(m, u.device);
	begin(&reset);
	assert_false(ends(&reset, SHORT_MS));
	others_go_on(m);
	begin(&opener);
	begin(&closer);
	assert_false(ends(&opener, SHORT_MS));
	gate_set(false);
	join_task(&reset);
	join_task(&opener);
	join_task(&closer);
	assert_int_equal(reset.ret, 0);
	assert_true(opener.ret >= 0);
	shut(m, (int)opener.ret);
	shut(m, u.device);
	shut(m, u.group);
	shut(m, u.container);
}

/* Memory that does not answer. */
static int deaf_probe(struct via_mm *mm, uint64_t addr, uint64_t len, unsigned int prot)
{
	gate_pass();
	return 0;
}

static int deaf_backing(struct via_mm *mm, uint64_t addr, uint64_t len, unsigned int prot,
			struct via_backing *ret_backing)
{
	struct via_mm *self = via_mm_self();
	int ret;

	gate_pass();
	ret = self->ops->backing(self, addr, len, prot, ret_backing);
	via_mm_put(self);
	return ret;
}

static void deaf_free(struct via_mm *mm)
{
}

/* What is mapped meanwhile is not in the way of who comes and goes. */
static void map_in_a_container(void **state)
{
	struct machine *m = *state;
	struct user u = open_group(m, "vfio/1", "0000:01:00.0");
	int third = node(m, "vfio/3");
	struct test_caller deaf = m->tc;
	struct via_mm_ops ops = *m->tc.caller.mm->ops;
	struct via_mm mm = {.ops = &ops, .refs = 1, .cap_ipc_lock = true, .memlock_limit = 1 << 30};
	struct task map = {.run = do_map, .m = m, .fd = u.container, .caller = &deaf.caller};
	struct task joiner = {.run = do_join, .m = m, .fd = third, .other = u.container};
	struct task closer = {.run = do_close, .m = m, .fd = u.group};

	ops.probe = deaf_probe;
	ops.backing = deaf_backing;
	ops.free = deaf_free;
	deaf.caller.mm = &mm;
	gate_set(true);
	begin(&map);
	gate_await();
	begin(&joiner);
	assert_true(ends(&joiner, LONG_MS));
	shut(m, u.device);
	begin(&closer);
	assert_true(ends(&closer, LONG_MS));
	others_go_on(m);
	gate_set(false);
	join_task(&map);
	assert_int_equal(map.ret, 0);
	assert_int_equal(joiner.ret, 0);
	shut(m, third);
	shut(m, u.container);
}

static long in_a_section(struct task *task)
{
	via_epoch_enter();
	gate_pass();
	via_epoch_exit();
	return 0;
}

/* A group leaves when nobody looks at what it leaves; that may be late. */
static void leave_of_a_container(void **state)
{
	struct machine *m = *state;
	struct user u = open_group(m, "vfio/1", "0000:01:00.0");
	struct task section = {.run = in_a_section, .m = m};
	struct task closer = {.run = do_close, .m = m, .fd = u.group};
	struct task opener = {.run = do_open, .m = m, .name = "vfio/1"};
	struct task joiner = {.run = do_join, .m = m, .other = u.container};
	struct task typer = {.run = do_set_type, .m = m, .fd = u.container};

	joiner.fd = node(m, "vfio/3");
	shut(m, u.device);
	gate_set(true);
	begin(&section);
	gate_await();
	begin(&closer);
	assert_false(ends(&closer, SHORT_MS));
	/* The group waits, and so does who wants the container; nobody else. */
	begin(&opener);
	begin(&joiner);
	begin(&typer);
	assert_false(ends(&opener, SHORT_MS));
	assert_false(ends(&joiner, 0));
	assert_false(ends(&typer, 0));
	assert_int_equal(soon(m, do_use_group_open, NULL), 0);
	gate_set(false);
	join_task(&section);
	join_task(&closer);
	join_task(&opener);
	join_task(&joiner);
	join_task(&typer);
	assert_true(opener.ret >= 0);
	assert_int_equal(joiner.ret, 0);
	/* Before the other group has joined there is none. */
	assert_true(typer.ret == 0 || typer.ret == -EINVAL);
	shut(m, (int)opener.ret);
	shut(m, joiner.fd);
	shut(m, u.container);
}

/* Functions that are made and removed slowly. */
static struct via_device *pf_of(struct machine *m)
{
	struct via_device *dev = NULL;

	for (size_t i = 0; (dev = via_vfio_device(m->vfio, i)) && !via_device_sriov(dev); i++)
		;
	assert_non_null(dev);
	return dev;
}

static long do_numvfs(struct task *task)
{
	return via_vfio_set_numvfs(task->m->vfio, pf_of(task->m), (unsigned int)task->fd,
				   &task->m->tc.caller);
}

static void virtual_functions(void **state)
{
	struct machine *m = *state;
	struct task writer = {.run = do_numvfs, .m = m, .fd = 2}, second = writer;
	struct via_device *pf;

	pf = place(m, &pf_desc, &pf_ops, "0000:05:00.0", 5);
	gate_set(true);
	begin(&writer);
	gate_await();
	others_go_on(m);
	begin(&second);
	assert_false(ends(&second, SHORT_MS));
	/* Who does not wait is told so. */
	assert_int_equal(via_vfio_set_numvfs(m->vfio, pf, 1, NULL), -EBUSY);
	gate_set(false);
	join_task(&writer);
	join_task(&second);
	assert_int_equal(writer.ret, 0);
	assert_int_equal(second.ret, 0);
	assert_int_equal(via_vfio_numvfs(m->vfio, pf), 2);

	gate_set(true);
	writer.fd = 0;
	begin(&writer);
	gate_await();
	others_go_on(m);
	gate_set(false);
	join_task(&writer);
	assert_int_equal(writer.ret, 0);
	assert_int_equal(via_vfio_numvfs(m->vfio, pf), 0);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, slow_setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(close_of_a_device), CASE(open_of_a_closing_device), CASE(close_of_a_node),
		CASE(hot_reset),	 CASE(map_in_a_container),	 CASE(leave_of_a_container),
		CASE(virtual_functions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
