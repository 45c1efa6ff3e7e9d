/* SPDX-License-Identifier: MIT */
/* A bzImage by the 64-bit boot protocol (Documentation/arch/x86/boot.rst of the kernel). */
#include "linux-vmm.h"

#include <asm/bootparam.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

/* What lies below 640 KiB. */
#define GDT 0x500u
#define PAGE_TABLES 0x9000u /* PML4, PDPT, four page directories */
#define BOOT_PARAMS 0x10000u
#define CMDLINE 0x20000u
#define CMDLINE_MAX 2048u
#define LOW_END 0x9fc00u
#define HIGH_START 0x100000u

#define ENTRY_64 0x200u
#define SETUP_SIGNATURE 0x53726448u /* "HdrS" */

static size_t load_file(struct machine *m, const char *path, uint64_t addr, uint64_t skip,
			uint64_t room)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t done = 0;
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		die("%s: %m", path);
	if ((uint64_t)st.st_size < skip || (uint64_t)st.st_size - skip > room)
		die("%s does not fit", path);
	while (done < (size_t)st.st_size - skip) {
		ssize_t n = pread(fd, m->ram + addr + done, (size_t)st.st_size - skip - done,
				  (off_t)(skip + done));

		if (n <= 0)
			die("%s cannot be read", path);
		done += (size_t)n;
	}
	close(fd);
	return done;
}

static uint64_t file_size(const char *path)
{
	struct stat st;

	if (stat(path, &st))
		die("%s: %m", path);
	return (uint64_t)st.st_size;
}

static void read_header(const char *path, struct setup_header *ret_header)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		die("%s: %m", path);
	if (pread(fd, ret_header, sizeof(*ret_header), 0x1f1) != sizeof(*ret_header) ||
	    ret_header->header != SETUP_SIGNATURE || ret_header->version < 0x20c ||
	    !(ret_header->xloadflags & XLF_KERNEL_64))
		die("%s is no bzImage for 64 bits", path);
	close(fd);
}

static void add_e820(struct boot_params *bp, uint64_t start, uint64_t end, uint32_t type)
{
	bp->e820_table[bp->e820_entries++] =
		(struct boot_e820_entry){.addr = start, .size = end - start, .type = type};
}

/* Identical addresses for the first 4 GiB, in pages of 2 MiB. */
static void write_page_tables(struct machine *m)
{
	uint64_t *pml4 = (uint64_t *)(void *)(m->ram + PAGE_TABLES);
	uint64_t *pdpt = pml4 + 512, *pd = pml4 + 1024;

	pml4[0] = (PAGE_TABLES + 0x1000) | 3;
	for (unsigned int i = 0; i < 4; i++)
		pdpt[i] = (PAGE_TABLES + 0x2000 + i * 0x1000) | 3;
	for (uint64_t i = 0; i < 2048; i++)
		pd[i] = i << 21 | 0x83;
}

void boot_load(struct machine *m, uint64_t *ret_entry)
{
	struct boot_params *bp = (void *)(m->ram + BOOT_PARAMS);
	uint64_t *gdt = (void *)(m->ram + GDT);
	uint64_t at, initrd, end;

	read_header(m->kernel, &bp->hdr);
	/* Where it wants to be: nothing has to be moved then. */
	at = bp->hdr.pref_address;
	if (at < HIGH_START || at >= m->ram_size || bp->hdr.init_size > m->ram_size - at)
		die("%s needs more memory", m->kernel);
	end = at + load_file(m, m->kernel, at, (bp->hdr.setup_sects + 1u) * 512, m->ram_size - at);
	if (end < at + bp->hdr.init_size)
		end = at + bp->hdr.init_size;
	if (m->initrd) {
		uint64_t size = file_size(m->initrd);

		if (size > m->ram_size - end)
			die("%s does not fit", m->initrd);
		initrd = (m->ram_size - size) & ~0xfffull;
		if (initrd < end)
			die("%s does not fit", m->initrd);
		bp->hdr.ramdisk_image = (uint32_t)initrd;
		bp->hdr.ramdisk_size =
			(uint32_t)load_file(m, m->initrd, initrd, 0, m->ram_size - initrd);
	}
	if (strlen(m->cmdline) >= CMDLINE_MAX || strlen(m->cmdline) > bp->hdr.cmdline_size)
		die("the command line is too long");
	strcpy((char *)m->ram + CMDLINE, m->cmdline);
	bp->hdr.cmd_line_ptr = CMDLINE;
	bp->hdr.type_of_loader = 0xff;
	bp->hdr.loadflags |= LOADED_HIGH;
	add_e820(bp, 0, LOW_END, 1);
	add_e820(bp, LOW_END, HIGH_START, 2);
	add_e820(bp, HIGH_START, m->ram_size, 1);
	write_page_tables(m);
	gdt[2] = 0x00af9b000000ffff; /* 0x10: 64-bit code */
	gdt[3] = 0x00cf93000000ffff; /* 0x18: data */
	*ret_entry = at + ENTRY_64;
}

void boot_registers(int vcpu_fd, uint64_t entry)
{
	struct kvm_segment code = {.limit = 0xffffffff,
				   .selector = 0x10,
				   .type = 11,
				   .present = 1,
				   .s = 1,
				   .l = 1,
				   .g = 1};
	struct kvm_segment data = {.limit = 0xffffffff,
				   .selector = 0x18,
				   .type = 3,
				   .present = 1,
				   .s = 1,
				   .db = 1,
				   .g = 1};
	struct kvm_regs regs = {.rip = entry, .rsi = BOOT_PARAMS, .rflags = 2};
	struct kvm_sregs sregs;

	if (ioctl(vcpu_fd, KVM_GET_SREGS, &sregs))
		die("KVM_GET_SREGS: %m");
	sregs.cs = code;
	sregs.ds = sregs.es = sregs.ss = sregs.fs = sregs.gs = data;
	sregs.gdt.base = GDT;
	sregs.gdt.limit = 4 * 8 - 1;
	sregs.cr0 = 0x80000011; /* PG, ET, PE */
	sregs.cr3 = PAGE_TABLES;
	sregs.cr4 = 0x20;   /* PAE */
	sregs.efer = 0x500; /* LMA, LME */
	if (ioctl(vcpu_fd, KVM_SET_SREGS, &sregs) || ioctl(vcpu_fd, KVM_SET_REGS, &regs))
		die("registers: %m");
}
