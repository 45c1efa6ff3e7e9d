/* SPDX-License-Identifier: MIT */
/* Identify (NVM Express 1.4, section 5.15): what the controller and its namespace are. */
#include "models/nvme/nvme.h"

#include <stdio.h>

#define LEN 4096

enum {
	CNS_NAMESPACE = 0x00,
	CNS_CONTROLLER = 0x01,
	CNS_ACTIVE_NAMESPACES = 0x02,
	CNS_DESCRIPTORS = 0x03,
};

static void put_text(uint8_t *to, size_t len, const char *text)
{
	size_t n = strlen(text);

	memset(to, ' ', len);
	memcpy(to, text, n < len ? n : len);
}

static void fill_controller(const struct via_nvme *ctrl, uint8_t *id)
{
	const struct via_pci_ident *pci = &via_nvme_device_desc()->ident;

	via_put_le16(id + 0, pci->vendor);
	via_put_le16(id + 2, pci->subsystem_vendor);
	memcpy(id + 4, ctrl->serial, sizeof(ctrl->serial));
	put_text(id + 24, 40, "Viaduct NVMe Controller");
	memcpy(id + 64, ctrl->firmware, sizeof(ctrl->firmware));
	id[72] = 6; /* recommended arbitration burst, 2^n */
	id[77] = NVME_MDTS;
	via_put_le32(id + 80, NVME_VERSION);
	id[111] = 1; /* an I/O controller */
	id[258] = 3; /* abort limit, 0's based */
	id[259] = NVME_MAX_ASYNC_EVENTS - 1;
	id[260] = 0x03; /* one firmware slot, read-only */
	id[261] = 0x06; /* effects log, extended log page data */
	id[262] = NVME_N_ERRORS - 1;
	via_put_le16(id + 266, 343); /* warning temperature, kelvin */
	via_put_le16(id + 268, 373); /* critical temperature */
	id[512] = 0x66;		     /* submission queue entries are 2^6 bytes */
	id[513] = 0x44;		     /* completion queue entries, 2^4 */
	via_put_le32(id + 516, 1);   /* namespaces */
	/* Compare, Dataset Management, Write Zeroes, Select in Get Features */
	via_put_le16(id + 520, 0x001d);
	id[525] = 0x07; /* volatile cache; Flush of all namespaces is supported */
	snprintf((char *)id + 768, 256, "nqn.2026-01.org.viaduct:nvme:%.20s", ctrl->serial);
	for (size_t i = 768 + strlen((char *)id + 768); i > 768 && id[i - 1] == ' '; i--)
		id[i - 1] = 0;
	via_put_le16(id + 2048, 2500); /* power state 0: 25 W */
}

static void fill_namespace(const struct via_nvme *ctrl, uint8_t *id)
{
	via_put_le64(id + 0, ctrl->n_blocks);  /* size */
	via_put_le64(id + 8, ctrl->n_blocks);  /* capacity */
	via_put_le64(id + 16, ctrl->n_blocks); /* utilisation */
	id[33] = 0x09;		 /* deallocated blocks read as zeros; Write Zeroes can deallocate */
	id[99] = ctrl->readonly; /* write protected */
	memcpy(id + 104, ctrl->nguid, sizeof(ctrl->nguid));
	id[128 + 2] = (uint8_t)ctrl->lba_shift; /* the only format: no metadata */
}

static void fill_descriptors(const struct via_nvme *ctrl, uint8_t *id)
{
	id[0] = 2; /* NGUID */
	id[1] = sizeof(ctrl->nguid);
	memcpy(id + 4, ctrl->nguid, sizeof(ctrl->nguid));
}

uint16_t via_nvme_identify(struct via_nvme *ctrl, struct via_nvme_request *req)
{
	uint32_t nsid = req->cmd.nsid;
	uint8_t id[LEN] = {0};

	switch (req->cmd.cdw10 & 0xff) {
	case CNS_NAMESPACE:
		if (nsid != 1)
			return NVME_SC_INVALID_NS | NVME_SC_DNR;
		fill_namespace(ctrl, id);
		break;
	case CNS_CONTROLLER:
		fill_controller(ctrl, id);
		break;
	case CNS_ACTIVE_NAMESPACES:
		if (nsid >= 0xfffffffe)
			return NVME_SC_INVALID_NS | NVME_SC_DNR;
		/* Those above the given number. */
		if (nsid < 1)
			via_put_le32(id, 1);
		break;
	case CNS_DESCRIPTORS:
		if (nsid != 1)
			return NVME_SC_INVALID_NS | NVME_SC_DNR;
		fill_descriptors(ctrl, id);
		break;
	default:
		return NVME_SC_INVALID_FIELD | NVME_SC_DNR;
	}
	return via_nvme_data_out(ctrl, req, id, sizeof(id));
}
