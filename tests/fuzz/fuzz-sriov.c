/* SPDX-License-Identifier: MIT */
/*
 * Virtual functions made and removed between a program's calls, with tokens good
 * and bad. At each step there are as many devices as sriov_numvfs says, or a
 * removal waits for one that is open; nobody has a virtual function without its
 * token; and in the end all can be removed and made again.
 */
#include "fuzz.h"

#include "vfio/test-caller.h"
#include "vfio/vfio.h"

#include <viaduct/abi/vfio.h>
#include <viaduct/models.h>

#include <stdio.h>
#include <stdlib.h>

#define FDS 8
#define TOTAL 4u

static const char *const tokens[] = {"52ac9bff-3a88-4fbd-901a-0d767c3b6c97",
				     "88594674-90a0-47a9-aea8-9d9b352ac08a"};

struct state {
	struct test_caller tc;
	struct via_vfio *vfio;
	struct via_device *pf;
	int fds[FDS]; /* -1: none */
	int token;    /* 0 and 1: as in tokens; -1: another */
	/* What a listener hears. */
	unsigned int n_vfs;  /* that have come and not gone */
	unsigned int refuse; /* the n-th that comes; 0: none */
	bool listens;
};

/* A caller that goes away after a while. */
struct waiting {
	struct via_caller caller;
	unsigned int looks;
};

static int vf_added(void *cookie, struct via_device *vf, unsigned int index, unsigned int group,
		    unsigned int number)
{
	struct state *s = cookie;

	if (s->refuse && --s->refuse == 0)
		return -ENOSPC;
	s->n_vfs++;
	return 0;
}

static void vf_leaving(void *cookie, struct via_device *vf, unsigned int index)
{
	FUZZ_CHECK(((struct state *)cookie)->n_vfs > 0);
}

static void vf_removed(void *cookie, struct via_device *vf, unsigned int group, unsigned int number)
{
	struct state *s = cookie;

	/* Also of the one that was refused. */
	if (s->n_vfs)
		s->n_vfs--;
}

static void pf_changed(void *cookie, struct via_device *pf, unsigned int n)
{
	FUZZ_CHECK(n <= TOTAL);
}

static const struct via_vfio_vf_ops vf_ops = {
	.added = vf_added,
	.leaving = vf_leaving,
	.removed = vf_removed,
	.changed = pf_changed,
};

static void add(struct state *s, const char *text, const char *options)
{
	const struct via_model *model = via_model_find(text);
	struct via_pci_addr addr = {.device = strcmp(text, "sriov") == 0 ? 3 : 4};
	struct via_options *opts;
	struct via_device *dev;

	FUZZ_CHECK(via_options_parse(model, options, NULL, &opts) == 0);
	FUZZ_CHECK(model->create(opts, NULL, &dev) == 0);
	via_options_free(opts);
	FUZZ_CHECK(via_vfio_add(s->vfio, dev, &addr, -1, NULL) == 0);
	if (addr.device == 3)
		s->pf = dev;
}

static void forget(struct state *s, unsigned int i)
{
	if (s->fds[i] >= 0)
		test_close(&s->tc, s->fds[i]);
	s->fds[i] = -1;
}

static void keep(struct state *s, unsigned int i, int fd)
{
	forget(s, i);
	s->fds[i] = fd;
}

static long call(struct state *s, unsigned int i, unsigned long cmd, const void *arg)
{
	struct via_file *file = NULL;
	long r;

	if (s->fds[i] < 0 || test_file_get(&s->tc.caller, s->fds[i], &file))
		return -EBADF;
	r = via_file_ioctl(file, &s->tc.caller, cmd, (uint64_t)(uintptr_t)arg);
	FUZZ_CHECK(r >= -4095 && r <= INT32_MAX);
	via_file_put(file);
	return r;
}

static void open_node(struct state *s, struct fuzz_input *in)
{
	uint8_t how = fuzz_u8(in);
	struct via_file *file;
	char node[16] = "vfio/vfio";

	if (how & 0x80)
		(void)snprintf(node, sizeof(node), "vfio/%u", how >> 4 & 7u);
	if (via_vfio_open(s->vfio, &s->tc.caller, node, O_RDWR, &file) == 0)
		keep(s, how % FDS, test_file_put(&s->tc.caller, file, true));
}

/* A name, and a token or what looks like one. */
static void get_device(struct state *s, struct fuzz_input *in)
{
	static const char *const names[] = {"0000:00:03.0", "0000:00:04.0", "0000:00:13.0",
					    "0000:00:13.2", "0000:00:13.4", "0000:00:13.6",
					    "0000:00:14.0", "0000:00:13."};
	uint8_t how = fuzz_u8(in), more = fuzz_u8(in);
	unsigned int group = how % FDS, name = how >> 3 & 7;
	const char *token = more & 1 ? tokens[more >> 1 & 1] : NULL;
	char text[256];
	long r;

	(void)snprintf(text, sizeof(text), "%s%s%s", names[name], token ? " vf_token=" : "",
		       token ? token : "");
	if (more & 0x80) {
		char *at = text + fuzz_u8(in) % (strlen(text) + 1);

		fuzz_bytes(in, at, 8);
		text[strlen(names[name]) + 80] = '\0';
	}
	r = call(s, group, VIA_VFIO_GROUP_GET_DEVICE_FD, text);
	/* Virtual functions want the token; it can also be taken on by a call that fails. */
	if (r >= 0 && !(more & 0x80) && name >= 2)
		FUZZ_CHECK(token && (s->token < 0 || token == tokens[s->token]));
	if (r >= 0 && !(more & 0x80) && name == 0 && token)
		s->token = token == tokens[1];
	else if (more & 0x80 || r == -EINVAL)
		s->token = -1;
	if (r >= 0)
		keep(s, more >> 2 & 7, (int)r);
}

static void set_token(struct state *s, struct fuzz_input *in)
{
	uint8_t how = fuzz_u8(in);
	struct {
		struct via_vfio_device_feature header;
		uint8_t token[24];
	} arg = {.header = {.argsz = 8u + (how >> 3 & 31u),
			    .flags = VIA_VFIO_DEVICE_FEATURE_SET |
				     VIA_VFIO_DEVICE_FEATURE_PCI_VF_TOKEN}};

	if (call(s, how % FDS, VIA_VFIO_DEVICE_FEATURE, &arg) == 0)
		s->token = -1;
}

static unsigned int count(struct state *s)
{
	unsigned int n = 0;

	while (via_vfio_device(s->vfio, n))
		n++;
	return n;
}

/* Whoever writes to sriov_numvfs waits, but not for ever. */
static bool is_gone(struct via_caller *caller)
{
	return ++((struct waiting *)caller)->looks > 1;
}

static void wait_vfs(struct state *s, struct fuzz_input *in)
{
	struct via_caller_ops ops = *s->tc.caller.ops;
	struct waiting waiting = {.caller = s->tc.caller};

	ops.gone = is_gone;
	waiting.caller.ops = &ops;
	if (fuzz_u8(in) & 1)
		via_vfio_wait_vfs(s->vfio, s->pf, &waiting.caller);
	else
		FUZZ_CHECK(via_vfio_set_numvfs(s->vfio, s->pf, 0, &waiting.caller) <= 0);
}

static void set_numvfs(struct state *s, uint8_t n)
{
	int before = via_vfio_numvfs(s->vfio, s->pf);
	int r = via_vfio_set_numvfs(s->vfio, s->pf, n, NULL), now = via_vfio_numvfs(s->vfio, s->pf);

	FUZZ_CHECK(r != 0 || now == n || (n == 0 && now == before));
	FUZZ_CHECK(r == 0 || now == before);
	if (n > TOTAL)
		FUZZ_CHECK(r == -ERANGE);
}

static void step(struct state *s, struct fuzz_input *in)
{
	uint8_t kind = fuzz_u8(in);
	unsigned int i = kind >> 3 & (FDS - 1);
	int fd;

	switch (kind & 7) {
	case 0:
		open_node(s, in);
		break;
	case 1:
		fd = s->fds[fuzz_u8(in) % FDS];
		(void)call(s, i, VIA_VFIO_GROUP_SET_CONTAINER, &fd);
		break;
	case 2:
		(void)call(s, i, VIA_VFIO_SET_IOMMU, (void *)VIA_VFIO_TYPE1v2_IOMMU);
		break;
	case 3:
		get_device(s, in);
		break;
	case 4:
		set_token(s, in);
		break;
	case 5:
		if ((kind & 0xc0) == 0xc0)
			wait_vfs(s, in);
		else
			set_numvfs(s, kind & 0x80 ? fuzz_u8(in) : kind >> 3 & 7);
		break;
	case 6:
		(void)call(s, i, kind & 0x80 ? VIA_VFIO_DEVICE_RESET : VIA_VFIO_GROUP_UNSET_CONTAINER,
			   NULL);
		break;
	default:
		forget(s, i);
	}
	FUZZ_CHECK(count(s) <= 2u + (unsigned int)via_vfio_numvfs(s->vfio, s->pf));
}

/* What an administrator and two programs do: token, functions, one of them open. */
static void begin(struct state *s)
{
	struct via_file *files[3];
	char text[64];

	FUZZ_CHECK(via_vfio_set_numvfs(s->vfio, s->pf, 2, NULL) == 0);
	FUZZ_CHECK(via_vfio_open(s->vfio, &s->tc.caller, "vfio/vfio", O_RDWR, &files[0]) == 0);
	FUZZ_CHECK(via_vfio_open(s->vfio, &s->tc.caller, "vfio/0", O_RDWR, &files[1]) == 0);
	FUZZ_CHECK(via_vfio_open(s->vfio, &s->tc.caller, "vfio/2", O_RDWR, &files[2]) == 0);
	for (unsigned int i = 0; i < 3; i++)
		keep(s, i, test_file_put(&s->tc.caller, files[i], true));
	FUZZ_CHECK(call(s, 1, VIA_VFIO_GROUP_SET_CONTAINER, &s->fds[0]) == 0);
	FUZZ_CHECK(call(s, 2, VIA_VFIO_GROUP_SET_CONTAINER, &s->fds[0]) == 0);
	FUZZ_CHECK(call(s, 0, VIA_VFIO_SET_IOMMU, (void *)VIA_VFIO_TYPE1v2_IOMMU) == 0);
	(void)snprintf(text, sizeof(text), "0000:00:03.0 vf_token=%s", tokens[0]);
	keep(s, 3, (int)call(s, 1, VIA_VFIO_GROUP_GET_DEVICE_FD, text));
	(void)snprintf(text, sizeof(text), "0000:00:13.0 vf_token=%s", tokens[0]);
	keep(s, 4, (int)call(s, 2, VIA_VFIO_GROUP_GET_DEVICE_FD, text));
	FUZZ_CHECK(s->fds[3] >= 0 && s->fds[4] >= 0);
	s->token = 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	struct state s = {.token = -1};
	uint8_t kind = fuzz_u8(&in);

	test_caller_init(&s.tc);
	FUZZ_CHECK(via_vfio_new(NULL, &s.vfio) == 0);
	add(&s, "sriov", "vfs=4");
	add(&s, "edu", NULL);
	for (unsigned int i = 0; i < FDS; i++)
		s.fds[i] = -1;
	s.listens = kind & 2;
	if (s.listens)
		via_vfio_on_vfs(s.vfio, &vf_ops, &s);
	if (kind & 1)
		begin(&s);
	s.refuse = kind >> 2 & 7;
	for (int i = 0; i < FUZZ_STEPS && in.left; i++)
		step(&s, &in);
	s.refuse = 0;
	for (unsigned int i = 0; i < FDS; i++)
		forget(&s, i);
	/* Nobody has anything open: all goes, and comes again. */
	set_numvfs(&s, 0);
	FUZZ_CHECK(via_vfio_numvfs(s.vfio, s.pf) == 0 && count(&s) == 2);
	begin(&s);
	FUZZ_CHECK(!s.listens || s.n_vfs == 2);
	test_caller_deinit(&s.tc);
	FUZZ_CHECK(via_vfio_set_numvfs(s.vfio, s.pf, 0, NULL) == 0 && count(&s) == 2);
	via_vfio_free(s.vfio);
	return 0;
}
