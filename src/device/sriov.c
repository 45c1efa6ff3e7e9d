/* SPDX-License-Identifier: MIT */
/* Physical functions and the virtual ones that are made of them. */
#include "device/internal.h"

#include <errno.h>
#include <stdlib.h>

int via_vfs_init(struct via_device *dev)
{
	const struct via_device_desc *desc = dev->desc;

	for (size_t i = 0; i < desc->n_caps && !dev->sriov; i++)
		if (desc->caps[i].kind == VIA_CAP_SRIOV)
			dev->sriov = &desc->caps[i].sriov;
	if (!dev->sriov)
		return 0;
	dev->vfs = calloc(dev->sriov->total, sizeof(struct via_device *));
	return dev->vfs ? 0 : -ENOMEM;
}

void via_vfs_lose(struct via_device *pf)
{
	if (!pf->sriov)
		return;
	pthread_rwlock_rdlock(&pf->vf_lock);
	for (unsigned int i = 0; i < pf->sriov->total; i++)
		if (pf->vfs[i])
			via_config_lose(pf->vfs[i]->config);
	pthread_rwlock_unlock(&pf->vf_lock);
}

void via_vfs_unlink(struct via_device *vf)
{
	struct via_device *pf = vf->pf;

	if (!pf)
		return;
	pthread_rwlock_wrlock(&pf->vf_lock);
	pf->vfs[vf->vf_index] = NULL;
	pthread_rwlock_unlock(&pf->vf_lock);
}

const struct via_pci_sriov *via_device_sriov(const struct via_device *dev)
{
	return dev->sriov;
}

struct via_device *via_device_pf(const struct via_device *dev)
{
	return dev->pf;
}

bool via_device_vf_addr(const struct via_device *pf, unsigned int index,
			struct via_pci_addr *ret_addr)
{
	uint32_t id = (uint32_t)pf->addr.bus << 8 | (uint32_t)pf->addr.device << 3 |
		      pf->addr.function;

	id += pf->sriov->offset + index * pf->sriov->stride;
	if (id > 0xffff)
		return false;
	*ret_addr = (struct via_pci_addr){
		.segment = pf->addr.segment,
		.bus = (uint8_t)(id >> 8),
		.device = id >> 3 & 31,
		.function = id & 7,
	};
	return true;
}

/* What the physical function's capability says of its virtual ones must be true. */
static int check(const struct via_device *pf, const struct via_device *vf, struct via_error *err)
{
	const struct via_device_desc *desc = vf->desc;
	const struct via_pci_sriov *sriov = pf->sriov;

	if (!(desc->flags & VIA_DEVICE_VF))
		return via_error_set(err, -EINVAL, "device %s: is no virtual function", desc->name);
	if (desc->ident.vendor != pf->desc->ident.vendor ||
	    desc->ident.device != sriov->vf_device)
		return via_error_set(err, -EINVAL, "device %s: ids %04x:%04x are not those of %s",
				     desc->name, desc->ident.vendor, desc->ident.device,
				     pf->desc->name);
	for (unsigned int i = 0; i < VIA_PCI_BARS; i++)
		if (desc->bars[i].size != sriov->bars[i].size ||
		    (desc->bars[i].flags & ~(unsigned int)VIA_BAR_UNMAPPABLE) !=
			    sriov->bars[i].flags)
			return via_error_set(err, -EINVAL,
					     "device %s: BAR %u is not as %s says", desc->name, i,
					     pf->desc->name);
	return 0;
}

int via_device_vf_new(struct via_device *pf, unsigned int index, struct via_error *err,
		      struct via_device **ret_vf)
{
	struct via_device *vf;
	int ret;

	if (!pf->sriov || index >= pf->sriov->total)
		return via_error_set(err, -EINVAL, "device %s: has no virtual function %u",
				     pf->desc->name, index);
	ret = pf->ops->vf_new(pf, pf->model, index, err, &vf);
	if (ret)
		return ret;
	ret = check(pf, vf, err);
	if (ret) {
		via_device_free(vf);
		return ret;
	}
	vf->pf = pf;
	vf->vf_index = index;
	pthread_rwlock_wrlock(&pf->vf_lock);
	pf->vfs[index] = vf;
	pthread_rwlock_unlock(&pf->vf_lock);
	*ret_vf = vf;
	return 0;
}

int via_device_set_vfs(struct via_device *pf, unsigned int n)
{
	int ret;

	/* It stays awake as long as there are any, as in a call that does not end. */
	via_device_begin(pf);
	ret = via_config_set_vfs(pf->config, n);
	if (!ret && n && !pf->power.has_vfs)
		via_device_begin(pf);
	else if (!ret && !n && pf->power.has_vfs)
		via_device_end(pf);
	if (!ret)
		pf->power.has_vfs = n;
	via_device_end(pf);
	return ret;
}

void via_device_request(struct via_device *dev)
{
	via_irqs_notify(dev->irqs, VIA_IRQ_REQ);
}

void via_vf_irq_trigger(struct via_device *pf, unsigned int index, unsigned int vector)
{
	if (!pf->sriov || index >= pf->sriov->total)
		return;
	pthread_rwlock_rdlock(&pf->vf_lock);
	if (pf->vfs[index])
		via_irqs_trigger(pf->vfs[index]->irqs, vector);
	pthread_rwlock_unlock(&pf->vf_lock);
}
