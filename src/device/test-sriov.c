/* SPDX-License-Identifier: MIT */
/* Physical functions, the virtual ones that their models make, and what binds them. */
#include "device/device.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <setjmp.h>
#include <cmocka.h>

#define TOTAL 4u

struct pf_model {
	const struct via_device_desc *vf_desc; /* what vf_new makes */
	int fail;			       /* what it returns instead */
	unsigned int made, freed;
};

struct vf_model {
	struct pf_model *pf;
	struct via_device *pf_dev;
	unsigned int kinds; /* bits 1 << enum via_reset */
};

static void vf_reset(struct via_device *dev, void *model, enum via_reset kind)
{
	struct vf_model *m = model;

	m->kinds |= 1u << kind;
	/* Allowed, also while the physical function is being reset. */
	via_device_lock(m->pf_dev);
	via_device_unlock(m->pf_dev);
}

static void vf_free(void *model)
{
	struct vf_model *m = model;

	m->pf->freed++;
	free(m);
}

static const struct via_device_ops vf_ops = {.reset = vf_reset, .free = vf_free};

static const struct via_device_desc vf_desc = {
	.name = "sample-vf",
	.ident = {.vendor = 0x1b36, .device = 2},
	.bars[0] = {.size = 0x4000, .flags = VIA_BAR_MEM64},
	.express = {.present = true},
	.flags = VIA_DEVICE_VF,
};

static int vf_new(struct via_device *dev, void *model, unsigned int index, struct via_error *err,
		  struct via_device **ret_vf)
{
	struct pf_model *pf = model;
	struct vf_model *m;

	if (pf->fail)
		return via_error_set(err, pf->fail, "no more");
	m = calloc(1, sizeof(*m));
	assert_non_null(m);
	m->pf = pf;
	m->pf_dev = dev;
	pf->made++;
	return via_device_new(pf->vf_desc, &vf_ops, m, err, ret_vf);
}

static const struct via_device_ops pf_ops = {.vf_new = vf_new};

static const struct via_pci_cap pf_caps[] = {
	{.kind = VIA_CAP_SRIOV,
	 .sriov = {.total = TOTAL, .offset = 128, .stride = 2, .vf_device = 2,
		   .bars[0] = {0x4000, VIA_BAR_MEM64}}},
};

static const struct via_device_desc pf_desc = {
	.name = "sample",
	.ident = {.vendor = 0x1b36, .device = 1, .interrupt_pin = 1},
	.bars[0] = {.size = 0x1000},
	.express = {.present = true},
	.power_management = true,
	.caps = pf_caps,
	.n_caps = 1,
};

static struct via_device *make_pf(struct pf_model *pf)
{
	const struct via_pci_addr addr = {.bus = 1, .device = 3};
	struct via_error err = {0};
	struct via_device *dev;

	*pf = (struct pf_model){.vf_desc = &vf_desc};
	if (via_device_new(&pf_desc, &pf_ops, pf, &err, &dev))
		fail_msg("%s", err.text);
	via_device_set_addr(dev, &addr);
	return dev;
}

static void refused(const struct via_device_desc *desc, const struct via_device_ops *ops,
		    const char *text)
{
	struct via_error err = {0};
	struct via_device *dev;
	struct vf_model *m = calloc(1, sizeof(*m));
	struct pf_model pf = {0};

	assert_non_null(m);
	m->pf = &pf;
	assert_int_equal(via_device_new(desc, ops, m, &err, &dev), -EINVAL);
	assert_string_equal(err.text, text);
	if (!pf.freed)
		free(m);
}

static void descriptions(void **state)
{
	struct via_device_desc pin = vf_desc, rom = vf_desc, io = vf_desc, plain = vf_desc,
			       nested = vf_desc;

	pin.ident.interrupt_pin = 1;
	rom.rom = (struct via_pci_rom){(const uint8_t *)"", 1};
	io.bars[2] = (struct via_bar_desc){.size = 16, .flags = VIA_BAR_IO};
	plain.express.present = false;
	nested.caps = pf_caps;
	nested.n_caps = 1;
	refused(&pin, &vf_ops, "device sample-vf: a virtual function has no interrupt pin");
	refused(&rom, &vf_ops, "device sample-vf: a virtual function has no expansion ROM");
	refused(&io, &vf_ops,
		"device sample-vf: BAR 2 is I/O, which a virtual function cannot have");
	refused(&plain, &vf_ops, "device sample-vf: a virtual function is PCI Express");
	refused(&nested, &vf_ops, "device sample-vf: a virtual function cannot have SR-IOV");
	refused(&pf_desc, &vf_ops, "device sample: has SR-IOV but the model no vf_new callback");
}

static void wrong_vf(struct pf_model *pf, struct via_device *dev,
		     const struct via_device_desc *desc, const char *text)
{
	unsigned int freed = pf->freed;
	struct via_error err = {0};
	struct via_device *vf;

	pf->vf_desc = desc;
	assert_int_equal(via_device_vf_new(dev, 0, &err, &vf), -EINVAL);
	assert_string_equal(err.text, text);
	assert_int_equal(pf->freed, freed + 1);
	pf->vf_desc = &vf_desc;
}

/* A model cannot make other functions than its capability announces. */
static void announced_only(void **state)
{
	struct via_device_desc no_flag = vf_desc, id = vf_desc, bar = vf_desc, more = vf_desc;
	struct via_error err = {0};
	struct pf_model pf;
	struct via_device *dev = make_pf(&pf), *vf;

	no_flag.flags = 0;
	id.ident.device = 3;
	bar.bars[0].size = 0x2000;
	more.bars[2].size = 0x1000;
	wrong_vf(&pf, dev, &no_flag, "device sample-vf: is no virtual function");
	wrong_vf(&pf, dev, &id, "device sample-vf: ids 1b36:0003 are not those of sample");
	wrong_vf(&pf, dev, &bar, "device sample-vf: BAR 0 is not as sample says");
	wrong_vf(&pf, dev, &more, "device sample-vf: BAR 2 is not as sample says");
	assert_int_equal(via_device_vf_new(dev, TOTAL, &err, &vf), -EINVAL);
	pf.fail = -ENOSPC;
	assert_int_equal(via_device_vf_new(dev, 0, &err, &vf), -ENOSPC);
	via_device_free(dev);
}

static void addresses(void **state)
{
	const struct via_pci_addr last = {.bus = 255, .device = 16};
	struct via_pci_addr addr;
	struct pf_model pf;
	struct via_device *dev = make_pf(&pf);
	char text[VIA_PCI_ADDR_LEN];

	assert_true(via_device_vf_addr(dev, 0, &addr));
	via_pci_addr_format(&addr, text);
	assert_string_equal(text, "0000:01:13.0");
	assert_true(via_device_vf_addr(dev, 1, &addr));
	via_pci_addr_format(&addr, text);
	assert_string_equal(text, "0000:01:13.2");
	/* They may reach over the end of a bus, but not over the last. */
	via_device_set_addr(dev, &last);
	assert_false(via_device_vf_addr(dev, 0, &addr));
	via_device_set_addr(dev, &(struct via_pci_addr){.bus = 2, .device = 31});
	assert_true(via_device_vf_addr(dev, 0, &addr));
	via_pci_addr_format(&addr, text);
	assert_string_equal(text, "0000:03:0f.0");
	via_device_free(dev);
}

static void config_put(struct via_device *dev, uint64_t at, uint16_t value)
{
	uint8_t b[2];

	via_put_le16(b, value);
	assert_int_equal(via_device_region_write(dev, VIA_REGION_CONFIG, at, b, 2), 2);
}

static void set_command(struct via_device *dev, uint16_t command)
{
	config_put(dev, 4, command);
}

/* Whatever resets the physical function takes the virtual ones with it; not the other way. */
static void resets(void **state)
{
	struct via_error err = {0};
	struct pf_model pf;
	struct via_device *dev = make_pf(&pf), *vf[2];

	assert_null(via_device_pf(dev));
	assert_int_equal(via_device_sriov(dev)->total, TOTAL);
	assert_int_equal(via_device_vf_new(dev, 0, &err, &vf[0]), 0);
	assert_int_equal(via_device_vf_new(dev, 3, &err, &vf[1]), 0);
	assert_ptr_equal(via_device_pf(vf[0]), dev);
	assert_null(via_device_sriov(vf[0]));
	assert_int_equal(via_device_set_vfs(dev, 2), 0);
	assert_int_equal(via_device_open(vf[0]), 0);
	set_command(vf[0], 6);
	assert_true(via_config_bus_master(via_device_config(vf[0])));

	assert_int_equal(via_device_open(dev), 0);
	assert_false(via_config_bus_master(via_device_config(vf[0])));
	set_command(vf[0], 6);
	assert_int_equal(via_device_reset(dev), 0);
	assert_false(via_config_bus_master(via_device_config(vf[0])));
	set_command(vf[0], 6);
	/* PCI Express is the second of the capabilities that the library places. */
	config_put(dev, 0x50 + 8, 0x8000);
	assert_false(via_config_bus_master(via_device_config(vf[0])));

	set_command(dev, 6);
	set_command(vf[0], 6);
	assert_int_equal(via_device_reset(vf[0]), 0);
	assert_true(via_config_bus_master(via_device_config(dev)));
	assert_true(via_config_bus_master(via_device_config(vf[0])));

	/* One that has gone is not looked for. */
	via_device_free(vf[1]);
	via_device_close(dev);
	assert_false(via_config_bus_master(via_device_config(vf[0])));
	via_device_close(vf[0]);
	via_device_free(vf[0]);
	assert_int_equal(pf.freed, 2);
	assert_int_equal(via_device_set_vfs(dev, 0), 0);
	assert_int_equal(via_device_vf_new(dev, 3, &err, &vf[1]), 0);
	via_device_free(vf[1]);
	via_device_free(dev);
}

static uint64_t events(int fd)
{
	uint64_t n = 0;

	return read(fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

/* A physical function does not sleep while there are virtual ones, and is woken for them. */
static void low_power(void **state)
{
	int wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct pf_model pf;
	struct via_device *dev = make_pf(&pf);

	assert_int_equal(via_device_open(dev), 0);
	assert_int_equal(via_device_set_vfs(dev, 2), 0);
	assert_int_equal(via_device_low_power_entry(dev, dup(wake)), 0);
	via_device_begin(dev);
	via_device_end(dev);
	assert_int_equal(events(wake), 0);
	/* When the last has gone, it sleeps. */
	assert_int_equal(via_device_set_vfs(dev, 0), 0);
	assert_int_equal(events(wake), 0);
	assert_int_equal(via_device_set_vfs(dev, 1), 0);
	assert_int_equal(events(wake), 1);
	assert_int_equal(via_device_set_vfs(dev, 0), 0);
	assert_int_equal(via_device_low_power_entry(dev, dup(wake)), 0);
	via_device_begin(dev);
	via_device_end(dev);
	assert_int_equal(events(wake), 1);
	via_device_close(dev);
	via_device_free(dev);
	close(wake);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(descriptions),
		cmocka_unit_test(announced_only),
		cmocka_unit_test(addresses),
		cmocka_unit_test(resets),
		cmocka_unit_test(low_power),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
