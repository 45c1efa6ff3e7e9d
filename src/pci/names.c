/* SPDX-License-Identifier: MIT */
#include "pci/names.h"
#include "pci/regs.h"

#define FIELDS(...) ((const struct via_reg_field[]){__VA_ARGS__, {NULL, 0}})

static const struct via_reg_name header[] = {
	{PCI_VENDOR_ID, 2, "Vendor ID", NULL},
	{PCI_DEVICE_ID, 2, "Device ID", NULL},
	{PCI_COMMAND, 2, "Command",
	 FIELDS({"I/O", PCI_COMMAND_IO}, {"memory", PCI_COMMAND_MEMORY},
		{"bus master", PCI_COMMAND_MASTER}, {"parity", 0x40}, {"SERR", PCI_COMMAND_SERR},
		{"INTx disable", PCI_COMMAND_INTX_DISABLE})},
	{PCI_STATUS, 2, "Status",
	 FIELDS({"interrupt", PCI_STATUS_INTERRUPT}, {"capabilities", PCI_STATUS_CAP_LIST},
		{"master parity", PCI_STATUS_MASTER_PARITY},
		{"signalled target abort", PCI_STATUS_SIG_TARGET_ABORT},
		{"received target abort", PCI_STATUS_REC_TARGET_ABORT},
		{"received master abort", PCI_STATUS_REC_MASTER_ABORT},
		{"signalled system error", PCI_STATUS_SIG_SYSTEM_ERROR},
		{"detected parity", PCI_STATUS_DETECTED_PARITY})},
	{PCI_REVISION_ID, 1, "Revision", NULL},
	{PCI_CLASS_PROG, 1, "Interface", NULL},
	{PCI_CLASS_DEVICE, 2, "Class", NULL},
	{PCI_CACHE_LINE_SIZE, 1, "Cache Line Size", NULL},
	{PCI_LATENCY_TIMER, 1, "Latency Timer", NULL},
	{PCI_HEADER_TYPE, 1, "Header Type", NULL},
	{PCI_BIST, 1, "BIST", NULL},
	{PCI_BAR(0), 4, "BAR 0", NULL},
	{PCI_BAR(1), 4, "BAR 1", NULL},
	{PCI_BAR(2), 4, "BAR 2", NULL},
	{PCI_BAR(3), 4, "BAR 3", NULL},
	{PCI_BAR(4), 4, "BAR 4", NULL},
	{PCI_BAR(5), 4, "BAR 5", NULL},
	{PCI_CARDBUS_CIS, 4, "CardBus CIS", NULL},
	{PCI_SUBSYSTEM_VENDOR_ID, 2, "Subsystem Vendor ID", NULL},
	{PCI_SUBSYSTEM_ID, 2, "Subsystem ID", NULL},
	{PCI_ROM_BAR, 4, "Expansion ROM", FIELDS({"enable", PCI_ROM_BAR_ENABLE})},
	{PCI_CAPABILITY_LIST, 1, "Capabilities Pointer", NULL},
	{PCI_INTERRUPT_LINE, 1, "Interrupt Line", NULL},
	{PCI_INTERRUPT_PIN, 1, "Interrupt Pin", NULL},
	{0x3e, 1, "Min_Gnt", NULL},
	{0x3f, 1, "Max_Lat", NULL},
	{0, 0, NULL, NULL},
};

static const struct via_reg_name pm[] = {
	{PCI_PM_PMC, 2, "Power Management Capabilities",
	 FIELDS({"version", 0x7}, {"D1", PCI_PM_PMC_D1}, {"D2", PCI_PM_PMC_D2},
		{"PME support", PCI_PM_PMC_PME})},
	{PCI_PM_CSR, 2, "Power Management Control/Status",
	 FIELDS({"state", PCI_PM_CSR_STATE}, {"no soft reset", PCI_PM_CSR_NO_SOFT_RESET},
		{"PME enable", PCI_PM_CSR_PME_ENABLE}, {"PME status", PCI_PM_CSR_PME_STATUS})},
	{0, 0, NULL, NULL},
};

static const struct via_reg_name vpd[] = {
	{PCI_VPD_ADDRESS, 2, "VPD Address",
	 FIELDS({"address", PCI_VPD_ADDRESS_BITS}, {"flag", PCI_VPD_FLAG})},
	{PCI_VPD_DATA, 4, "VPD Data", NULL},
	{0, 0, NULL, NULL},
};

/* Control only: what follows is in a place that depends on it. */
static const struct via_reg_name msi[] = {
	{PCI_MSI_CONTROL, 2, "Message Control",
	 FIELDS({"enable", PCI_MSI_CONTROL_ENABLE}, {"log2 vectors", PCI_MSI_CONTROL_MMC},
		{"log2 enabled", PCI_MSI_CONTROL_MME}, {"64 bit", PCI_MSI_CONTROL_64BIT},
		{"maskable", PCI_MSI_CONTROL_MASKABLE})},
	{PCI_MSI_ADDRESS, 4, "Message Address", NULL},
	{0, 0, NULL, NULL},
};

static const struct via_reg_name pcix[] = {
	{PCI_PCIX_COMMAND, 2, "PCI-X Command", NULL},
	{4, 4, "PCI-X Status", NULL},
	{0, 0, NULL, NULL},
};

static const struct via_reg_name vendor[] = {
	{PCI_VENDOR_LEN, 1, "Length", NULL},
	{0, 0, NULL, NULL},
};

static const struct via_reg_name express[] = {
	{PCI_EXP_FLAGS, 2, "PCI Express Capabilities",
	 FIELDS({"version", PCI_EXP_FLAGS_VERSION}, {"type", PCI_EXP_FLAGS_TYPE})},
	{PCI_EXP_DEVCAP, 4, "Device Capabilities",
	 FIELDS({"max payload", 0x7}, {"extended tag", PCI_EXP_DEVCAP_EXT_TAG},
		{"role-based errors", PCI_EXP_DEVCAP_ROLE_BASED_ERRORS},
		{"function level reset", PCI_EXP_DEVCAP_FLR})},
	{PCI_EXP_DEVCTL, 2, "Device Control",
	 FIELDS({"error reporting", PCI_EXP_DEVCTL_ERROR_REPORTING},
		{"relaxed ordering", PCI_EXP_DEVCTL_RELAXED_ORDERING},
		{"max payload", PCI_EXP_DEVCTL_MPS}, {"extended tag", PCI_EXP_DEVCTL_EXT_TAG},
		{"phantom functions", PCI_EXP_DEVCTL_PHANTOM},
		{"aux power", PCI_EXP_DEVCTL_AUX_POWER}, {"no snoop", PCI_EXP_DEVCTL_NO_SNOOP},
		{"max read request", PCI_EXP_DEVCTL_MRRS}, {"reset", PCI_EXP_DEVCTL_FLR})},
	{PCI_EXP_DEVSTA, 2, "Device Status",
	 FIELDS({"correctable", 0x1}, {"non-fatal", 0x2}, {"fatal", 0x4}, {"unsupported", 0x8},
		{"transactions pending", 0x20})},
	{PCI_EXP_LNKCAP, 4, "Link Capabilities", NULL},
	{0x10, 2, "Link Control", NULL},
	{PCI_EXP_LNKSTA, 2, "Link Status", NULL},
	{0x14, 4, "Slot Capabilities", NULL},
	{0x18, 2, "Slot Control", NULL},
	{0x1a, 2, "Slot Status", NULL},
	{0x1c, 2, "Root Control", NULL},
	{0x1e, 2, "Root Capabilities", NULL},
	{0x20, 4, "Root Status", NULL},
	{0x24, 4, "Device Capabilities 2", NULL},
	{PCI_EXP_DEVCTL2, 2, "Device Control 2",
	 FIELDS({"completion timeout", 0x1f}, {"ARI forwarding", PCI_EXP_DEVCTL2_ARI},
		{"LTR", 0x400})},
	{0x2a, 2, "Device Status 2", NULL},
	{PCI_EXP_LNKCAP2, 4, "Link Capabilities 2", NULL},
	{0x30, 2, "Link Control 2", NULL},
	{0x32, 2, "Link Status 2", NULL},
	{0, 0, NULL, NULL},
};

static const struct via_reg_name msix[] = {
	{PCI_MSIX_CONTROL, 2, "Message Control",
	 FIELDS({"table size - 1", PCI_MSIX_CONTROL_SIZE},
		{"function mask", PCI_MSIX_CONTROL_FUNCTION_MASK},
		{"enable", PCI_MSIX_CONTROL_ENABLE})},
	{PCI_MSIX_TABLE, 4, "Table", FIELDS({"BAR", 0x7}, {"offset", 0xfffffff8})},
	{PCI_MSIX_PBA, 4, "Pending Bits", FIELDS({"BAR", 0x7}, {"offset", 0xfffffff8})},
	{0, 0, NULL, NULL},
};

static const struct via_reg_name af[] = {
	{2, 1, "Length", NULL},
	{PCI_AF_CAP, 1, "AF Capabilities",
	 FIELDS({"transactions pending", PCI_AF_CAP_TRANSACTIONS}, {"reset", PCI_AF_CAP_FLR})},
	{PCI_AF_CONTROL, 1, "AF Control", FIELDS({"reset", PCI_AF_CONTROL_FLR})},
	{PCI_AF_STATUS, 1, "AF Status", FIELDS({"transactions pending", 0x1})},
	{0, 0, NULL, NULL},
};

static const struct via_reg_name none[] = {{0, 0, NULL, NULL}};

static const struct cap {
	const char *name;
	const struct via_reg_name *regs;
} caps[] = {
	[PCI_CAP_ID_PM] = {"PM", pm},
	[PCI_CAP_ID_AGP] = {"AGP", NULL},
	[PCI_CAP_ID_VPD] = {"VPD", vpd},
	[PCI_CAP_ID_SLOT] = {"Slot ID", NULL},
	[PCI_CAP_ID_MSI] = {"MSI", msi},
	[PCI_CAP_ID_HOT_SWAP] = {"CompactPCI hot swap", NULL},
	[PCI_CAP_ID_PCIX] = {"PCI-X", pcix},
	[PCI_CAP_ID_HT] = {"HyperTransport", NULL},
	[PCI_CAP_ID_VENDOR] = {"vendor-specific", vendor},
	[PCI_CAP_ID_DEBUG] = {"debug port", NULL},
	[PCI_CAP_ID_CRC] = {"CompactPCI CRC", NULL},
	[PCI_CAP_ID_SHPC] = {"SHPC", NULL},
	[PCI_CAP_ID_SUBSYSTEM] = {"bridge subsystem id", NULL},
	[PCI_CAP_ID_AGP3] = {"AGP bridge", NULL},
	[PCI_CAP_ID_SECURE] = {"secure device", NULL},
	[PCI_CAP_ID_EXP] = {"PCI Express", express},
	[PCI_CAP_ID_MSIX] = {"MSI-X", msix},
	[PCI_CAP_ID_SATA] = {"SATA", NULL},
	[PCI_CAP_ID_AF] = {"AF", af},
	[PCI_CAP_ID_EA] = {"enhanced allocation", NULL},
};

static const struct via_reg_name aer[] = {
	{PCI_AER_UNCOR_STATUS, 4, "Uncorrectable Error Status", NULL},
	{PCI_AER_UNCOR_MASK, 4, "Uncorrectable Error Mask", NULL},
	{PCI_AER_UNCOR_SEVERITY, 4, "Uncorrectable Error Severity", NULL},
	{PCI_AER_COR_STATUS, 4, "Correctable Error Status", NULL},
	{PCI_AER_COR_MASK, 4, "Correctable Error Mask", NULL},
	{PCI_AER_CONTROL, 4, "AER Capabilities and Control", NULL},
	{0x1c, 4, "Header Log 0", NULL},
	{0x20, 4, "Header Log 1", NULL},
	{0x24, 4, "Header Log 2", NULL},
	{0x28, 4, "Header Log 3", NULL},
	{0, 0, NULL, NULL},
};

static const struct via_reg_name dsn[] = {
	{4, 4, "Serial Number, low", NULL},
	{8, 4, "Serial Number, high", NULL},
	{0, 0, NULL, NULL},
};

static const struct via_reg_name acs[] = {
	{PCI_ACS_CAP, 2, "ACS Capability", NULL},
	{PCI_ACS_CONTROL, 2, "ACS Control", NULL},
	{0, 0, NULL, NULL},
};

static const struct via_reg_name ari[] = {
	{4, 2, "ARI Capability", FIELDS({"next function", 0xff00})},
	{6, 2, "ARI Control", NULL},
	{0, 0, NULL, NULL},
};

static const struct via_reg_name ats[] = {
	{PCI_ATS_CAP, 2, "ATS Capability", FIELDS({"queue depth", PCI_ATS_CAP_QUEUE_DEPTH})},
	{PCI_ATS_CONTROL, 2, "ATS Control", FIELDS({"enable", PCI_ATS_CONTROL_ENABLE})},
	{0, 0, NULL, NULL},
};

static const struct via_reg_name sriov[] = {
	{0x04, 4, "SR-IOV Capabilities", NULL},
	{0x08, 2, "SR-IOV Control", FIELDS({"VF enable", 0x1}, {"VF memory", 0x8}, {"ARI", 0x10})},
	{0x0a, 2, "SR-IOV Status", NULL},
	{0x0c, 2, "InitialVFs", NULL},
	{0x0e, 2, "TotalVFs", NULL},
	{0x10, 2, "NumVFs", NULL},
	{0x12, 1, "Function Dependency Link", NULL},
	{0x14, 2, "First VF Offset", NULL},
	{0x16, 2, "VF Stride", NULL},
	{0x1a, 2, "VF Device ID", NULL},
	{0x1c, 4, "Supported Page Sizes", NULL},
	{0x20, 4, "System Page Size", NULL},
	{0x24, 4, "VF BAR 0", NULL},
	{0x28, 4, "VF BAR 1", NULL},
	{0x2c, 4, "VF BAR 2", NULL},
	{0x30, 4, "VF BAR 3", NULL},
	{0x34, 4, "VF BAR 4", NULL},
	{0x38, 4, "VF BAR 5", NULL},
	{0x3c, 4, "Migration State Array", NULL},
	{0, 0, NULL, NULL},
};

static const struct via_reg_name power[] = {
	{PCI_POWER_SELECT, 1, "Data Select", NULL},
	{PCI_POWER_DATA, 4, "Data", NULL},
	{12, 1, "Power Budget Capability", NULL},
	{0, 0, NULL, NULL},
};

static const struct via_reg_name vendor_ext[] = {
	{PCI_VENDOR_EXT_HEADER, 4, "Vendor-Specific Header",
	 FIELDS({"id", 0xffff}, {"revision", 0xf0000}, {"length", 0xfff00000})},
	{0, 0, NULL, NULL},
};

static const struct via_reg_name dvsec[] = {
	{PCI_VENDOR_EXT_HEADER, 4, "DVSEC Header 1",
	 FIELDS({"vendor", 0xffff}, {"revision", 0xf0000}, {"length", 0xfff00000})},
	{8, 2, "DVSEC Header 2", FIELDS({"id", 0xffff})},
	{0, 0, NULL, NULL},
};

static const struct ext_cap {
	uint16_t id;
	const char *name;
	const struct via_reg_name *regs;
} ext_caps[] = {
	{PCI_EXT_CAP_ID_AER, "AER", aer},
	{PCI_EXT_CAP_ID_VC, "VC", NULL},
	{PCI_EXT_CAP_ID_DSN, "DSN", dsn},
	{PCI_EXT_CAP_ID_POWER_BUDGET, "power budgeting", power},
	{PCI_EXT_CAP_ID_MFVC, "MFVC", NULL},
	{PCI_EXT_CAP_ID_VC_MFVC, "VC", NULL},
	{PCI_EXT_CAP_ID_VENDOR, "VSEC", vendor_ext},
	{PCI_EXT_CAP_ID_ACS, "ACS", acs},
	{PCI_EXT_CAP_ID_ARI, "ARI", ari},
	{PCI_EXT_CAP_ID_ATS, "ATS", ats},
	{PCI_EXT_CAP_ID_SRIOV, "SR-IOV", sriov},
	{PCI_EXT_CAP_ID_MULTICAST, "multicast", NULL},
	{PCI_EXT_CAP_ID_PRI, "PRI", NULL},
	{PCI_EXT_CAP_ID_REBAR, "Resizable BAR", NULL},
	{PCI_EXT_CAP_ID_DPA, "DPA", NULL},
	{PCI_EXT_CAP_ID_TPH, "TPH", NULL},
	{PCI_EXT_CAP_ID_LTR, "LTR", NULL},
	{PCI_EXT_CAP_ID_PASID, "PASID", NULL},
	{PCI_EXT_CAP_ID_DVSEC, "DVSEC", dvsec},
	{PCI_EXT_CAP_ID_DOE, "DOE", NULL},
};

static const struct ext_cap *find_ext(uint16_t id)
{
	for (size_t i = 0; i < sizeof(ext_caps) / sizeof(ext_caps[0]); i++)
		if (ext_caps[i].id == id)
			return &ext_caps[i];
	return NULL;
}

const char *via_cap_name(uint8_t id)
{
	return id < sizeof(caps) / sizeof(caps[0]) ? caps[id].name : NULL;
}

const char *via_ext_cap_name(uint16_t id)
{
	const struct ext_cap *cap = find_ext(id);

	return cap ? cap->name : NULL;
}

const struct via_reg_name *via_header_regs(void)
{
	return header;
}

const struct via_reg_name *via_cap_regs(uint8_t id)
{
	return id < sizeof(caps) / sizeof(caps[0]) && caps[id].regs ? caps[id].regs : none;
}

const struct via_reg_name *via_ext_cap_regs(uint16_t id)
{
	const struct ext_cap *cap = find_ext(id);

	return cap && cap->regs ? cap->regs : none;
}

const struct via_reg_name *via_reg_at(const struct via_reg_name *regs, unsigned int offset)
{
	for (; regs->name; regs++)
		if (offset >= regs->offset && offset < regs->offset + (unsigned int)regs->width)
			return regs;
	return NULL;
}
