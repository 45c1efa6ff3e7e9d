/* SPDX-License-Identifier: MIT */
/*
 * Virtual functions: how they come and go while programs run, and who may open
 * them (pci-config.md 6.1). The answers are those of a Linux 7.2 whose vfio-pci
 * has an igb and its virtual functions.
 */
#include "device/export.h"
#include "vfio/dma_buf.h"
#include "vfio/sriov.h"
#include "vfio/test-caller.h"
#include "vfio/vfio.h"

#include <viaduct/abi/iommufd.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define TOTAL 8u
#define PF "0000:00:03.0"
#define VF0 "0000:00:13.0"
#define VF1 "0000:00:13.2"
#define T1 "52ac9bff-3a88-4fbd-901a-0d767c3b6c97"
#define T2 "88594674-90a0-47a9-aea8-9d9b352ac08a"

static const uint8_t t2_bytes[] = {0x88, 0x59, 0x46, 0x74, 0x90, 0xa0, 0x47, 0xa9,
				   0xae, 0xa8, 0x9d, 0x9b, 0x35, 0x2a, 0xc0, 0x8a};

static const struct via_device_desc vf_desc = {
	.name = "vf",
	.ident = {.vendor = 0x1b36, .device = 2},
	.bars[0] = {.size = 0x4000, .flags = VIA_BAR_MEM64},
	.express = {.present = true},
	.flags = VIA_DEVICE_VF,
};

static const struct via_device_ops vf_ops;

struct pf {
	unsigned int fail_at; /* the function that cannot be made; 0: none */
};

static int vf_new(struct via_device *dev, void *model, unsigned int index, struct via_error *err,
		  struct via_device **ret_vf)
{
	struct pf *pf = model;

	if (pf->fail_at && index == pf->fail_at)
		return via_error_set(err, -ENOSPC, "no more");
	return via_device_new(&vf_desc, &vf_ops, NULL, err, ret_vf);
}

static const struct via_device_ops pf_ops = {.vf_new = vf_new, .free = free};

static const struct via_pci_cap pf_caps[] = {
	{.kind = VIA_CAP_SRIOV,
	 .sriov = {.total = TOTAL, .offset = 128, .stride = 2, .vf_device = 2,
		   .bars[0] = {0x4000, VIA_BAR_MEM64}}},
};

static const struct via_device_desc pf_desc = {
	.name = "pf",
	.ident = {.vendor = 0x1b36, .device = 1, .interrupt_pin = 1},
	.express = {.present = true},
	.power_management = true,
	.caps = pf_caps,
	.n_caps = 1,
};

static const struct via_device_desc plain_desc = {
	.name = "plain",
	.ident = {.vendor = 0x1b36, .device = 3},
};

/* What somebody who listens has heard: "+0 g4 ", "~0 ", "-g4 ", "=2 ". */
struct machine {
	struct test_caller tc;
	struct via_vfio *vfio;
	struct via_device *dev;
	struct pf *pf;
	char heard[512];
	int refuse; /* what added() returns for the second function */
};

static void hear(struct machine *m, const char *fmt, ...) VIA_PRINTF(2, 3);

static void hear(struct machine *m, const char *fmt, ...)
{
	size_t n = strlen(m->heard);
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(m->heard + n, sizeof(m->heard) - n, fmt, args);
	va_end(args);
}

static int on_added(void *cookie, struct via_device *vf, unsigned int index, unsigned int group,
		    unsigned int number)
{
	struct machine *m = cookie;

	if (m->refuse && index == 1)
		return m->refuse;
	hear(m, "+%u g%u ", index, group);
	return 0;
}

static void on_leaving(void *cookie, struct via_device *vf, unsigned int index)
{
	hear(cookie, "~%u ", index);
}

static void on_removed(void *cookie, struct via_device *vf, unsigned int group,
		       unsigned int number)
{
	hear(cookie, "-g%u ", group);
}

static void on_changed(void *cookie, struct via_device *pf, unsigned int n)
{
	hear(cookie, "=%u ", n);
}

static const struct via_vfio_vf_ops listener = {on_added, on_leaving, on_removed, on_changed};

static bool never(struct via_caller *caller)
{
	return false;
}

static bool always(struct via_caller *caller)
{
	return true;
}

static struct via_caller_ops patient, dead;

static int add(struct machine *m, const struct via_device_desc *desc,
	       const struct via_device_ops *ops, void *model, const char *where, int group)
{
	struct via_error err = {0};
	struct via_pci_addr addr;
	struct via_device *dev;
	int ret;

	assert_int_equal(via_pci_addr_parse(where, &addr), 0);
	if (via_device_new(desc, ops, model, &err, &dev) < 0)
		fail_msg("%s", err.text);
	ret = via_vfio_add(m->vfio, dev, &addr, group, &err);
	if (!ret)
		m->dev = dev;
	return ret;
}

static int setup(void **state)
{
	struct machine *m = calloc(1, sizeof(*m));

	assert_non_null(m);
	test_caller_init(&m->tc);
	patient = dead = *m->tc.caller.ops;
	patient.gone = never;
	dead.gone = always;
	assert_int_equal(via_vfio_new(NULL, &m->vfio), 0);
	assert_int_equal(add(m, &plain_desc, &vf_ops, NULL, "0000:00:02.0", 1), 0);
	m->pf = calloc(1, sizeof(*m->pf));
	assert_non_null(m->pf);
	assert_int_equal(add(m, &pf_desc, &pf_ops, m->pf, PF, 0), 0);
	via_vfio_on_vfs(m->vfio, &listener, m);
	*state = m;
	return 0;
}

static int teardown(void **state)
{
	struct machine *m = *state;

	test_caller_deinit(&m->tc);
	via_vfio_free(m->vfio);
	free(m);
	return 0;
}

static int node(struct machine *m, const char *name)
{
	struct via_file *file = NULL;
	int ret = via_vfio_open(m->vfio, &m->tc.caller, name, O_RDWR, &file);

	return ret < 0 ? ret : test_file_put(&m->tc.caller, file, true);
}

static long ioc(struct machine *m, int fd, unsigned long cmd, const void *arg)
{
	struct via_file *file = NULL;
	long ret;

	assert_int_equal(test_file_get(&m->tc.caller, fd, &file), 0);
	ret = via_file_ioctl(file, &m->tc.caller, cmd, (uint64_t)(uintptr_t)arg);
	via_file_put(file);
	return ret;
}

static int config(struct machine *m, int fd, unsigned int pos, bool write, uint16_t *value)
{
	const uint64_t at = ((uint64_t)VIA_VFIO_PCI_CONFIG_REGION_INDEX
			     << VIA_VFIO_PCI_OFFSET_SHIFT) + pos;
	struct via_file *file = NULL;
	ssize_t ret;

	assert_int_equal(test_file_get(&m->tc.caller, fd, &file), 0);
	ret = write ? via_file_pwrite(file, &m->tc.caller, (uint64_t)(uintptr_t)value, 2, at)
		    : via_file_pread(file, &m->tc.caller, (uint64_t)(uintptr_t)value, 2, at);
	via_file_put(file);
	return (int)ret;
}

struct opened {
	int container, group, device;
};

static struct opened open_group(struct machine *m, const char *name)
{
	struct opened o = {node(m, "vfio/vfio"), node(m, name), -1};

	assert_true(o.container >= 0 && o.group >= 0);
	assert_int_equal(ioc(m, o.group, VIA_VFIO_GROUP_SET_CONTAINER, &o.container), 0);
	assert_int_equal(ioc(m, o.container, VIA_VFIO_SET_IOMMU, (void *)VIA_VFIO_TYPE1v2_IOMMU),
			 0);
	return o;
}

static int get(struct machine *m, int group, const char *text)
{
	return (int)ioc(m, group, VIA_VFIO_GROUP_GET_DEVICE_FD, text);
}

static void shut(struct machine *m, struct opened *o)
{
	int *fds[] = {&o->device, &o->group, &o->container};

	for (int i = 0; i < 3; i++) {
		if (*fds[i] >= 0)
			assert_int_equal(test_close(&m->tc, *fds[i]), 0);
		*fds[i] = -1;
	}
}

/* GET_DEVICE_FD and nothing else: 0 or the errno. */
static int once(struct machine *m, const char *group, const char *text)
{
	struct opened o = open_group(m, group);

	o.device = get(m, o.group, text);
	if (o.device < 0) {
		int ret = o.device;

		o.device = -1;
		shut(m, &o);
		return ret;
	}
	shut(m, &o);
	return 0;
}

static int set(struct machine *m, unsigned int n)
{
	struct via_caller caller = m->tc.caller;

	caller.ops = &patient;
	return via_vfio_set_numvfs(m->vfio, m->dev, n, &caller);
}

static unsigned int count(struct machine *m)
{
	unsigned int n = 0;

	while (via_vfio_device(m->vfio, n))
		n++;
	return n;
}

/* Numbers ------------------------------------------------------------------ */

static void numbers(void **state)
{
	struct machine *m = *state;

	assert_int_equal(via_vfio_numvfs(m->vfio, m->dev), 0);
	assert_int_equal(via_vfio_numvfs(m->vfio, via_vfio_device(m->vfio, 0)), -ENOENT);
	assert_int_equal(via_vfio_set_numvfs(m->vfio, via_vfio_device(m->vfio, 0), 1, NULL),
			 -ENOENT);
	assert_int_equal(set(m, TOTAL + 1), -ERANGE);
	assert_int_equal(set(m, 0), 0);
	assert_string_equal(m->heard, "");
	assert_int_equal(set(m, 3), 0);
	assert_string_equal(m->heard, "+0 g2 +1 g3 +2 g4 =3 ");
	assert_int_equal(via_vfio_numvfs(m->vfio, m->dev), 3);
	assert_int_equal(count(m), 5);
	assert_int_equal(set(m, 3), 0);
	assert_int_equal(set(m, 2), -EBUSY);
	assert_int_equal(set(m, 8), -EBUSY);
	assert_int_equal(set(m, 9), -ERANGE);
	m->heard[0] = '\0';
	assert_int_equal(set(m, 0), 0);
	assert_string_equal(m->heard, "~0 -g2 ~1 -g3 ~2 -g4 =0 ");
	assert_int_equal(count(m), 2);
	assert_int_equal(node(m, "vfio/2"), -ENOENT);
	assert_int_equal(set(m, 8), 0);
	assert_int_equal(count(m), 10);
}

/* When one cannot be made, none is there. */
static void all_or_none(void **state)
{
	struct machine *m = *state;
	struct opened o = open_group(m, "vfio/0");
	uint16_t num = 0;

	m->pf->fail_at = 2;
	assert_int_equal(set(m, 4), -ENOSPC);
	assert_string_equal(m->heard, "+0 g2 +1 g3 -g3 -g2 ");
	m->pf->fail_at = 0;
	m->refuse = -EDQUOT;
	m->heard[0] = '\0';
	assert_int_equal(set(m, 4), -EDQUOT);
	assert_string_equal(m->heard, "+0 g2 -g3 -g2 ");
	m->refuse = 0;
	assert_int_equal(count(m), 2);
	o.device = get(m, o.group, PF);
	assert_int_equal(config(m, o.device, 0x100 + 0x10, false, &num), 2);
	assert_int_equal(num, 0);
	assert_int_equal(set(m, 4), 0);
	assert_int_equal(config(m, o.device, 0x100 + 0x10, false, &num), 2);
	assert_int_equal(num, 4);
	shut(m, &o);
}

static void places(void **state)
{
	struct machine *m = *state;
	struct via_pci_addr addr;
	struct via_error err = {0};
	struct via_device *dev;
	struct pf *pf = calloc(1, sizeof(*pf));

	/* Where a virtual function will be nobody else can, and the other way round. */
	assert_int_equal(add(m, &plain_desc, &vf_ops, NULL, VF1, -1), -EEXIST);
	assert_int_equal(add(m, &plain_desc, &vf_ops, NULL, "0000:00:13.1", -1), 0);
	assert_int_equal(via_device_new(&pf_desc, &pf_ops, pf, &err, &dev), 0);
	assert_int_equal(via_pci_addr_parse("0000:00:04.0", &addr), 0);
	assert_false(via_vfio_fits(m->vfio, dev, &addr));
	assert_int_equal(via_pci_addr_parse("0000:ff:10.0", &addr), 0);
	assert_false(via_vfio_fits(m->vfio, dev, &addr));
	assert_int_equal(via_pci_addr_parse("0000:00:05.0", &addr), 0);
	assert_true(via_vfio_fits(m->vfio, dev, &addr));
	assert_int_equal(via_vfio_add(m->vfio, dev, &addr, -1, &err), 0);
	m->dev = dev;
	assert_int_equal(set(m, 1), 0);
	assert_int_equal(node(m, "vfio/4") < 0, 0);
}

/* Tokens ------------------------------------------------------------------- */

static void options(void **state)
{
	static const struct {
		const char *text;
		int ret;
	} rows[] = {
		{PF, 0},
		{PF " ", 0},
		{PF " vf_token=" T1, 0},
		{PF "   vf_token=" T1 " ", 0},
		{PF " vf_token=52AC9BFF-3A88-4FBD-901A-0D767C3B6C97", 0},
		{PF " vf_token=52ac9bff3a884fbd901a0d767c3b6c97", -EINVAL},
		{PF " vf_token={" T1 "}", -EINVAL},
		{PF " vf_token=" T1 "0", -EINVAL},
		{PF " vf_token=" T1 ",", -EINVAL},
		{PF " vf_token=" T1 "\n", -EINVAL},
		{PF " vf_token=", -EINVAL},
		{PF " vf_token", -EINVAL},
		{PF " vf_token= " T1, -EINVAL},
		{PF " vf_token=5-ac9bff-3a88-4fbd-901a-0d767c3b6c97", -EINVAL},
		{PF " VF_TOKEN=" T1, -EINVAL},
		{PF " vf_token=" T1 " vf_token=" T1, -EINVAL},
		{PF " vf_token=" T1 " foo", -EINVAL},
		{PF " foo", -EINVAL},
		{PF " vf_token=52ac9bff-3a88-4fbd-901a-0d767c3b6c9", -EINVAL},
		{PF "x vf_token=" T1, -ENODEV},
		{PF "\tvf_token=" T1, -ENODEV},
	};
	struct machine *m = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (once(m, "vfio/0", rows[i].text) != rows[i].ret)
			fail_msg("'%s'", rows[i].text);
	/* For one that is neither physical nor virtual no token is right. */
	assert_int_equal(once(m, "vfio/1", "0000:00:02.0"), 0);
	assert_int_equal(once(m, "vfio/1", "0000:00:02.0 vf_token=" T1), -EINVAL);
}

static void tokens(void **state)
{
	struct machine *m = *state;
	struct opened pf, vf;
	int fd;

	assert_int_equal(set(m, 2), 0);
	/* The first is random. */
	assert_int_equal(once(m, "vfio/2", VF0), -EACCES);
	assert_int_equal(once(m, "vfio/2", VF0 " vf_token=" T1), -EACCES);

	pf = open_group(m, "vfio/0");
	pf.device = get(m, pf.group, PF " vf_token=" T1);
	assert_true(pf.device >= 0);
	assert_int_equal(once(m, "vfio/2", VF0), -EACCES);
	assert_int_equal(once(m, "vfio/2", VF0 " vf_token=" T2), -EACCES);
	assert_int_equal(once(m, "vfio/2", VF0 " vf_token=junk"), -EINVAL);
	assert_int_equal(once(m, "vfio/2", VF0 " vf_token=" T1), 0);
	/* While no virtual function is open the physical one opens with any token, and takes it on. */
	assert_int_equal(test_close(&m->tc, get(m, pf.group, PF)), 0);
	assert_int_equal(once(m, "vfio/2", VF0 " vf_token=" T1), 0);
	assert_int_equal(test_close(&m->tc, get(m, pf.group, PF " vf_token=" T2)), 0);
	assert_int_equal(once(m, "vfio/2", VF0 " vf_token=" T1), -EACCES);
	assert_int_equal(test_close(&m->tc, get(m, pf.group, PF " vf_token=" T1)), 0);

	vf = open_group(m, "vfio/2");
	vf.device = get(m, vf.group, VF0 " vf_token=" T1);
	assert_true(vf.device >= 0);
	/* Each further descriptor needs it too, of both. */
	assert_int_equal(get(m, vf.group, VF0), -EACCES);
	assert_int_equal(get(m, vf.group, VF0 " vf_token=" T2), -EACCES);
	fd = get(m, vf.group, VF0 " vf_token=" T1);
	assert_true(fd >= 0);
	assert_int_equal(test_close(&m->tc, fd), 0);
	assert_int_equal(get(m, pf.group, PF), -EACCES);
	assert_int_equal(get(m, pf.group, PF " vf_token=" T2), -EACCES);
	assert_int_equal(test_close(&m->tc, get(m, pf.group, PF " vf_token=" T1)), 0);

	/* The token outlives who has set it. */
	shut(m, &pf);
	assert_int_equal(once(m, "vfio/3", VF1), -EACCES);
	assert_int_equal(once(m, "vfio/3", VF1 " vf_token=" T1), 0);
	assert_int_equal(once(m, "vfio/0", PF), -EACCES);
	shut(m, &vf);
	assert_int_equal(once(m, "vfio/0", PF " vf_token=" T2), 0);
	assert_int_equal(once(m, "vfio/3", VF1 " vf_token=" T1), -EACCES);
	assert_int_equal(set(m, 0), 0);
	assert_int_equal(set(m, 1), 0);
	assert_int_equal(once(m, "vfio/2", VF0 " vf_token=" T2), 0);
}

/* The token is looked at before anything else, and taken on whatever follows. */
static void tokens_come_first(void **state)
{
	struct machine *m = *state;
	int group;

	assert_int_equal(set(m, 1), 0);
	group = node(m, "vfio/2");
	assert_int_equal(get(m, group, VF0), -EACCES);
	assert_int_equal(test_close(&m->tc, group), 0);
	group = node(m, "vfio/0");
	assert_int_equal(get(m, group, PF " vf_token=" T1), -EINVAL);
	assert_int_equal(test_close(&m->tc, group), 0);
	group = node(m, "vfio/2");
	assert_int_equal(get(m, group, VF0 " vf_token=" T1), -EINVAL);
	assert_int_equal(test_close(&m->tc, group), 0);
}

static long feature(struct machine *m, int fd, uint32_t flags, uint32_t argsz, const void *data)
{
	struct {
		struct via_vfio_device_feature header;
		uint8_t data[56];
	} arg = {.header = {.argsz = argsz, .flags = flags}};

	if (data)
		memcpy(arg.data, data, sizeof(t2_bytes));
	return ioc(m, fd, VIA_VFIO_DEVICE_FEATURE, &arg);
}

static void token_by_feature(void **state)
{
	const uint32_t op_get = VIA_VFIO_DEVICE_FEATURE_GET, op_set = VIA_VFIO_DEVICE_FEATURE_SET,
		       probe = VIA_VFIO_DEVICE_FEATURE_PROBE;
	struct machine *m = *state;
	struct opened pf = open_group(m, "vfio/0"), vf, plain = open_group(m, "vfio/1");

	assert_int_equal(set(m, 2), 0);
	pf.device = get(m, pf.group, PF " vf_token=" T1);
	vf = open_group(m, "vfio/2");
	vf.device = get(m, vf.group, VF0 " vf_token=" T1);
	plain.device = get(m, plain.group, "0000:00:02.0");
	assert_int_equal(feature(m, pf.device, op_set, 23, t2_bytes), -EINVAL);
	assert_int_equal(feature(m, pf.device, op_set, 8, t2_bytes), -EINVAL);
	assert_int_equal(feature(m, pf.device, op_get, 24, NULL), -EINVAL);
	assert_int_equal(feature(m, pf.device, 0, 24, NULL), -EINVAL);
	assert_int_equal(feature(m, pf.device, probe, 8, NULL), 0);
	assert_int_equal(feature(m, pf.device, probe | op_set, 8, NULL), 0);
	assert_int_equal(feature(m, pf.device, probe | op_get, 8, NULL), -EINVAL);
	assert_int_equal(feature(m, pf.device, probe | op_get | op_set, 8, NULL), -EINVAL);
	assert_int_equal(feature(m, vf.device, op_set, 24, t2_bytes), -ENOTTY);
	assert_int_equal(feature(m, vf.device, probe, 8, NULL), -ENOTTY);
	assert_int_equal(feature(m, plain.device, op_set, 24, t2_bytes), -ENOTTY);
	assert_int_equal(once(m, "vfio/3", VF1 " vf_token=" T1), 0);
	/* Also while virtual functions are open. */
	assert_int_equal(feature(m, pf.device, op_set, 24, t2_bytes), 0);
	assert_int_equal(once(m, "vfio/3", VF1 " vf_token=" T1), -EACCES);
	assert_int_equal(once(m, "vfio/3", VF1 " vf_token=" T2), 0);
	assert_int_equal(feature(m, pf.device, op_set, 64, t2_bytes), 0);
	shut(m, &plain);
	shut(m, &vf);
	shut(m, &pf);
}

/* Removal ------------------------------------------------------------------ */

struct writer {
	struct machine *m;
	pthread_t thread;
	bool done; /* atomic */
};

static void *write_zero(void *cookie)
{
	struct writer *w = cookie;

	assert_int_equal(set(w->m, 0), 0);
	__atomic_store_n(&w->done, true, __ATOMIC_SEQ_CST);
	return NULL;
}

static bool soon(const bool *flag)
{
	const struct timespec pause = {.tv_nsec = 1000000};

	for (int i = 0; i < 2000 && !__atomic_load_n(flag, __ATOMIC_SEQ_CST); i++)
		(void)nanosleep(&pause, NULL);
	return __atomic_load_n(flag, __ATOMIC_SEQ_CST);
}

static void arm_request(struct machine *m, int device, int event)
{
	struct {
		struct via_vfio_irq_set header;
		int32_t fd;
	} arg = {.header = {.argsz = sizeof(arg), .index = VIA_VFIO_PCI_REQ_IRQ_INDEX, .count = 1,
			    .flags = VIA_VFIO_IRQ_SET_DATA_EVENTFD |
				     VIA_VFIO_IRQ_SET_ACTION_TRIGGER},
		 .fd = event};

	assert_int_equal(ioc(m, device, VIA_VFIO_DEVICE_SET_IRQS, &arg), 0);
}

static void removal_waits(void **state)
{
	const struct timespec pause = {.tv_nsec = 50000000};
	struct machine *m = *state;
	struct writer w = {.m = m};
	struct via_vfio_group_status status = {.argsz = sizeof(status)};
	struct via_caller killed = m->tc.caller;
	int event = eventfd(0, EFD_NONBLOCK);
	struct opened vf;
	eventfd_t n;
	uint16_t id;

	assert_int_equal(set(m, 3), 0);
	assert_int_equal(once(m, "vfio/0", PF " vf_token=" T1), 0);
	vf = open_group(m, "vfio/3");
	vf.device = get(m, vf.group, VF1 " vf_token=" T1);
	arm_request(m, vf.device, event);
	m->heard[0] = '\0';
	assert_int_equal(pthread_create(&w.thread, NULL, write_zero, &w), 0);
	(void)nanosleep(&pause, NULL);
	assert_false(__atomic_load_n(&w.done, __ATOMIC_SEQ_CST));
	/* The first has gone, the second is asked for, the third has time. */
	assert_int_equal(eventfd_read(event, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(node(m, "vfio/2"), -ENOENT);
	assert_int_equal(get(m, vf.group, VF1 " vf_token=" T1), -ENODEV);
	assert_int_equal(config(m, vf.device, 2, false, &id), 2);
	assert_int_equal(id, 2);
	assert_int_equal(ioc(m, vf.group, VIA_VFIO_GROUP_GET_STATUS, &status), 0);
	assert_int_equal(status.flags, VIA_VFIO_GROUP_FLAGS_VIABLE | VIA_VFIO_GROUP_FLAGS_CONTAINER_SET);
	assert_int_equal(ioc(m, vf.group, VIA_VFIO_GROUP_UNSET_CONTAINER, NULL), -EBUSY);
	assert_int_equal(once(m, "vfio/4", "0000:00:13.4 vf_token=" T1), 0);
	assert_int_equal(once(m, "vfio/0", PF " vf_token=" T1), 0);
	/* Who does not wait learns that it is under way. */
	killed.ops = &dead;
	assert_int_equal(via_vfio_set_numvfs(m->vfio, m->dev, 0, &killed), 0);
	assert_int_equal(via_vfio_set_numvfs(m->vfio, m->dev, 2, NULL), -EBUSY);
	assert_int_equal(via_vfio_numvfs(m->vfio, m->dev), 3);

	assert_int_equal(test_close(&m->tc, vf.device), 0);
	vf.device = -1;
	assert_true(soon(&w.done));
	assert_int_equal(pthread_join(w.thread, NULL), 0);
	assert_string_equal(m->heard, "~0 -g2 ~1 -g3 ~2 -g4 =0 ");
	/* What is left of the group. */
	assert_int_equal(ioc(m, vf.group, VIA_VFIO_GROUP_GET_STATUS, &status), -ENODEV);
	assert_int_equal(get(m, vf.group, VF1 " vf_token=" T1), -ENODEV);
	assert_int_equal(ioc(m, vf.group, VIA_VFIO_GROUP_SET_CONTAINER, &vf.container), -ENODEV);
	assert_int_equal(ioc(m, vf.group, VIA_VFIO_GROUP_UNSET_CONTAINER, NULL), -EINVAL);
	/* Its number is another's by now. */
	assert_int_equal(set(m, 3), 0);
	assert_int_equal(once(m, "vfio/3", VF1 " vf_token=" T1), 0);
	shut(m, &vf);
	assert_int_equal(close(event), 0);
}

static void nothing(struct via_region_importer *importer)
{
}

/* What a program still holds of a function's memory does not keep it, nor miss it. */
static void removal_with_a_dma_buf(void **state)
{
	struct {
		struct via_vfio_device_feature header;
		struct via_vfio_device_feature_dma_buf buf;
		struct via_vfio_region_dma_range range;
	} dma_buf = {
		.header = {sizeof(dma_buf),
			   VIA_VFIO_DEVICE_FEATURE_DMA_BUF | VIA_VFIO_DEVICE_FEATURE_GET},
		.buf = {.open_flags = O_CLOEXEC, .nr_ranges = 1},
		.range = {.length = 0x1000},
	};
	struct via_region_importer importer = {.revoke = nothing, .restore = nothing,
					       .registers = true};
	struct machine *m = *state;
	struct via_region_export *export;
	struct via_file *file = NULL;
	uint32_t value = 0;
	struct opened vf;
	int fd;

	assert_int_equal(once(m, "vfio/0", PF " vf_token=" T1), 0);
	assert_int_equal(set(m, 1), 0);
	vf = open_group(m, "vfio/2");
	vf.device = get(m, vf.group, VF0 " vf_token=" T1);
	assert_true(vf.device >= 0);
	fd = (int)ioc(m, vf.device, VIA_VFIO_DEVICE_FEATURE, &dma_buf);
	assert_true(fd >= 0);
	assert_int_equal(test_file_get(&m->tc.caller, fd, &file), 0);
	export = via_dma_buf_export(file);
	assert_int_equal(via_region_export_attach(export, &importer), 0);
	assert_int_equal(via_region_export_access(export, 0, 0, &value, 4, true), 0);
	shut(m, &vf);
	assert_int_equal(via_region_export_access(export, 0, 0, &value, 4, true), -EFAULT);
	assert_int_equal(set(m, 0), 0);
	assert_int_equal(count(m), 2);
	assert_int_equal(via_region_export_access(export, 0, 0, &value, 4, true), -EFAULT);
	assert_int_equal(via_region_export_access(export, 0, 0, &value, 4, false), -EFAULT);
	via_region_export_detach(export, &importer);
	assert_int_equal(via_region_export_attach(export, NULL), -ENODEV);
	via_file_put(file);
	assert_int_equal(test_close(&m->tc, fd), 0);
}

/* A writer that has been killed leaves the rest to whoever closes the function. */
static void removal_without_a_writer(void **state)
{
	struct machine *m = *state;
	struct via_caller killed = m->tc.caller;
	struct opened vf;

	killed.ops = &dead;
	assert_int_equal(set(m, 2), 0);
	assert_int_equal(once(m, "vfio/0", PF " vf_token=" T1), 0);
	vf = open_group(m, "vfio/2");
	vf.device = get(m, vf.group, VF0 " vf_token=" T1);
	assert_int_equal(via_vfio_set_numvfs(m->vfio, m->dev, 0, &killed), 0);
	assert_int_equal(via_vfio_numvfs(m->vfio, m->dev), 2);
	shut(m, &vf);
	assert_int_equal(via_vfio_numvfs(m->vfio, m->dev), 0);
	assert_int_equal(count(m), 2);
	/* And the group descriptor may be the last of all. */
	assert_int_equal(set(m, 1), 0);
	vf = open_group(m, "vfio/2");
	vf.device = get(m, vf.group, VF0 " vf_token=" T1);
	assert_int_equal(test_close(&m->tc, vf.group), 0);
	vf.group = -1;
	assert_int_equal(via_vfio_set_numvfs(m->vfio, m->dev, 0, NULL), 0);
	shut(m, &vf);
	assert_int_equal(via_vfio_numvfs(m->vfio, m->dev), 0);
}

/* By nodes of devices -------------------------------------------------------- */

static long bind(struct machine *m, int fd, int iommufd, const char *token)
{
	uint8_t uuid[VIA_UUID_SIZE];
	struct via_vfio_device_bind_iommufd arg = {
		.argsz = sizeof(arg),
		.iommufd = iommufd,
		.flags = token ? VIA_VFIO_DEVICE_BIND_FLAG_TOKEN : 0,
		.token_uuid_ptr = (uint64_t)(uintptr_t)uuid,
	};

	assert_true(!token || via_uuid_parse(token, uuid));
	return ioc(m, fd, VIA_VFIO_DEVICE_BIND_IOMMUFD, &arg);
}

static void node_tokens(void **state)
{
	struct machine *m = *state;
	int iommufd = node(m, "iommu"), pf, vf;

	assert_int_equal(set(m, 2), 0);
	pf = node(m, "vfio/devices/vfio1");
	vf = node(m, "vfio/devices/vfio2");
	assert_int_equal(bind(m, pf, iommufd, T1), 0);
	assert_int_equal(bind(m, vf, iommufd, NULL), -EACCES);
	assert_int_equal(bind(m, vf, iommufd, T2), -EACCES);
	assert_int_equal(bind(m, vf, iommufd, T1), 0);
	/* While a virtual function is open the physical one needs it, too. */
	assert_int_equal(test_close(&m->tc, pf), 0);
	pf = node(m, "vfio/devices/vfio1");
	assert_int_equal(bind(m, pf, iommufd, NULL), -EACCES);
	assert_int_equal(bind(m, pf, iommufd, T2), -EACCES);
	assert_int_equal(bind(m, pf, iommufd, T1), 0);
	assert_int_equal(test_close(&m->tc, vf), 0);
	vf = node(m, "vfio/devices/vfio0");
	assert_int_equal(bind(m, vf, iommufd, T1), -EINVAL);
}

/* A virtual function that is bound stays until it is closed; so does one whose node is open. */
static void removal_waits_for_nodes(void **state)
{
	struct via_iommu_ioas_alloc alloc = {.size = sizeof(alloc)};
	struct via_vfio_device_attach_iommufd_pt attach = {.argsz = sizeof(attach)};
	struct via_vfio_device_info info = {.argsz = sizeof(info)};
	struct machine *m = *state;
	int iommufd = node(m, "iommu"), pf, bound, idle;

	assert_int_equal(set(m, 2), 0);
	pf = node(m, "vfio/devices/vfio1");
	assert_int_equal(bind(m, pf, iommufd, T1), 0);
	bound = node(m, "vfio/devices/vfio2");
	idle = node(m, "vfio/devices/vfio3");
	assert_int_equal(bind(m, bound, iommufd, T1), 0);
	assert_int_equal(ioc(m, iommufd, VIA_IOMMU_IOAS_ALLOC, &alloc), 0);
	attach.pt_id = alloc.out_ioas_id;
	assert_int_equal(ioc(m, bound, VIA_VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach), 0);
	assert_int_equal(via_vfio_set_numvfs(m->vfio, m->dev, 0, NULL), 0);
	assert_int_equal(via_vfio_numvfs(m->vfio, m->dev), 2);
	assert_int_equal(node(m, "vfio/devices/vfio2"), -ENODEV);
	assert_int_equal(ioc(m, bound, VIA_VFIO_DEVICE_GET_INFO, &info), 0);
	assert_int_equal(test_close(&m->tc, bound), 0);
	assert_int_equal(via_vfio_numvfs(m->vfio, m->dev), 2);
	assert_int_equal(node(m, "vfio/devices/vfio2"), -ENOENT);
	/* Too late for it. */
	assert_int_equal(bind(m, idle, iommufd, T1), -ENODEV);
	assert_int_equal(test_close(&m->tc, idle), 0);
	assert_int_equal(via_vfio_numvfs(m->vfio, m->dev), 0);
	assert_int_equal(node(m, "vfio/devices/vfio3"), -ENOENT);

	/* A group with an iommufd that goes while its file is open. */
	assert_int_equal(set(m, 1), 0);
	bound = node(m, "vfio/2");
	assert_int_equal(ioc(m, bound, VIA_VFIO_GROUP_SET_CONTAINER, &iommufd), 0);
	idle = get(m, bound, VF0 " vf_token=" T1);
	assert_true(idle >= 0);
	assert_int_equal(via_vfio_set_numvfs(m->vfio, m->dev, 0, NULL), 0);
	assert_int_equal(test_close(&m->tc, idle), 0);
	assert_int_equal(via_vfio_numvfs(m->vfio, m->dev), 0);
	assert_int_equal(get(m, bound, VF0 " vf_token=" T1), -ENODEV);
	assert_int_equal(test_close(&m->tc, iommufd), 0);
	assert_int_equal(test_close(&m->tc, bound), 0);
}

/* Resets ------------------------------------------------------------------- */

static void power_states(void **state)
{
	/* PM is the first of the capabilities that the library places. */
	const unsigned int csr = 0x40 + 4;
	struct machine *m = *state;
	struct opened pf = open_group(m, "vfio/0");
	uint16_t d3 = 3, now = 0;

	pf.device = get(m, pf.group, PF);
	assert_int_equal(config(m, pf.device, csr, true, &d3), 2);
	assert_int_equal(config(m, pf.device, csr, false, &now), 2);
	assert_int_equal(now & 3, 3);
	assert_int_equal(set(m, 1), 0);
	assert_int_equal(config(m, pf.device, csr, false, &now), 2);
	assert_int_equal(now & 3, 0);
	assert_int_equal(config(m, pf.device, csr, true, &d3), 2);
	assert_int_equal(config(m, pf.device, csr, false, &now), 2);
	assert_int_equal(now & 3, 0);
	shut(m, &pf);
}

static void hot_reset(void **state)
{
	struct machine *m = *state;
	struct opened pf = open_group(m, "vfio/0"), vf;
	struct {
		struct via_vfio_pci_hot_reset_info header;
		struct via_vfio_pci_dependent_device devices[16];
	} info = {.header = {.argsz = sizeof(info)}};
	struct {
		struct via_vfio_pci_hot_reset header;
		int32_t fds[3];
	} reset = {.header = {.argsz = sizeof(reset), .count = 1}};

	pf.device = get(m, pf.group, PF " vf_token=" T1);
	reset.fds[0] = pf.group;
	assert_int_equal(ioc(m, pf.device, VIA_VFIO_DEVICE_PCI_HOT_RESET, &reset), 0);
	assert_int_equal(set(m, 2), 0);
	vf = open_group(m, "vfio/2");
	vf.device = get(m, vf.group, VF0 " vf_token=" T1);
	for (int i = 0; i < 2; i++) {
		int fd = i ? vf.device : pf.device;

		info.header.argsz = sizeof(info);
		assert_int_equal(ioc(m, fd, VIA_VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, &info), 0);
		assert_int_equal(info.header.count, 3);
		assert_int_equal(info.devices[0].devfn, 3 << 3);
		assert_int_equal(info.devices[1].devfn, 0x13 << 3);
		assert_int_equal(info.devices[2].devfn, 0x13 << 3 | 2);
		assert_int_equal(info.devices[2].group_id, 3);
		info.header.argsz = sizeof(info.header) + 2 * sizeof(info.devices[0]);
		assert_int_equal(ioc(m, fd, VIA_VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, &info),
				 -ENOSPC);
		/* Nobody can, whatever groups he holds. */
		reset.header.count = 2;
		reset.fds[1] = vf.group;
		assert_int_equal(ioc(m, fd, VIA_VFIO_DEVICE_PCI_HOT_RESET, &reset), -EINVAL);
	}
	assert_int_equal(ioc(m, pf.device, VIA_VFIO_DEVICE_RESET, NULL), 0);
	assert_int_equal(ioc(m, vf.device, VIA_VFIO_DEVICE_RESET, NULL), 0);
	shut(m, &vf);
	assert_int_equal(set(m, 0), 0);
	reset.header.count = 1;
	assert_int_equal(ioc(m, pf.device, VIA_VFIO_DEVICE_PCI_HOT_RESET, &reset), 0);
	shut(m, &pf);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(numbers),
		TEST(all_or_none),
		TEST(places),
		TEST(options),
		TEST(tokens),
		TEST(tokens_come_first),
		TEST(token_by_feature),
		TEST(removal_waits),
		TEST(removal_without_a_writer),
		TEST(removal_with_a_dma_buf),
		TEST(node_tokens),
		TEST(removal_waits_for_nodes),
		TEST(power_states),
		TEST(hot_reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
