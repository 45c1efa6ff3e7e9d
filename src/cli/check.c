/* SPDX-License-Identifier: MIT */
#include "cli/check.h"
#include "cli/cli.h"

#include <elfutils/libdwfl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Most that are told one by one; the others are counted. */
#define MAX_REPORTS 50

/*
 * What the program's own files say suffices. Others would be looked for by names that the
 * program chooses, over the network too.
 */
static int no_debuginfo(Dwfl_Module *module, void **user, const char *name, Dwarf_Addr base,
			const char *file, const char *link, GElf_Word crc, char **ret_name)
{
	return -1;
}

/* Names and lines of a program that runs, or NULL. */
static Dwfl *symbols_of(pid_t pid)
{
	static const Dwfl_Callbacks callbacks = {
		.find_elf = dwfl_linux_proc_find_elf,
		.find_debuginfo = no_debuginfo,
	};
	Dwfl *dwfl = dwfl_begin(&callbacks);

	if (dwfl && (dwfl_linux_proc_report(dwfl, pid) || dwfl_report_end(dwfl, NULL, NULL))) {
		dwfl_end(dwfl);
		dwfl = NULL;
	}
	return dwfl;
}

static void print_frame(FILE *out, Dwfl *dwfl, unsigned int i, uint64_t at)
{
	/* A return address may be the first byte of something else. */
	Dwfl_Module *module = dwfl ? dwfl_addrmodule(dwfl, at - 1) : NULL;
	const char *name = module ? dwfl_module_addrname(module, at - 1) : NULL;
	Dwfl_Line *line = module ? dwfl_module_getsrc(module, at - 1) : NULL;
	const char *file = NULL;
	Dwarf_Addr low = 0;
	int number = 0;

	(void)fprintf(out, "        #%-2u 0x%" PRIx64, i, at);
	if (name)
		(void)fprintf(out, " %s", name);
	if (line)
		file = dwfl_lineinfo(line, NULL, &number, NULL, NULL, NULL);
	if (file) {
		(void)fprintf(out, " (%s:%d)", file, number);
	} else if (module) {
		const char *path = dwfl_module_info(module, NULL, &low, NULL, NULL, NULL, NULL, NULL);

		(void)fprintf(out, " (%s+0x%" PRIx64 ")", path, at - low);
	}
	(void)fputc('\n', out);
}

static void print_event(FILE *out, const char *what, const struct via_check_event *event,
			uint64_t n_events)
{
	Dwfl *dwfl;

	if (!event)
		return;
	(void)fprintf(out, "    %s 0x%" PRIx64 "-0x%" PRIx64 " by process %d, %" PRIu64
			   " maps and unmaps ago\n",
		      what, event->first, event->last, (int)event->pid, n_events - 1 - event->number);
	dwfl = event->n_frames ? symbols_of(event->pid) : NULL;
	for (unsigned int i = 0; i < event->n_frames; i++)
		print_frame(out, dwfl, i, event->frames[i]);
	if (dwfl)
		dwfl_end(dwfl);
}

static const char *prot_name(unsigned int prot)
{
	static const char *const names[] = {"no access", "read only", "write only", "read and write"};

	return names[prot & (VIA_PROT_READ | VIA_PROT_WRITE)];
}

/* Written at once, so that lines of several processes do not mix. */
static void report(void *cookie, const struct via_check_report *r)
{
	char *bytes = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&bytes, &len);

	if (!out)
		return;
	(void)fprintf(out, "viaduct: DMA check: %s: %s of 0x%" PRIx64 " bytes at iova 0x%" PRIx64 ": %s",
		      r->device, r->write ? "write" : "read", r->len, r->iova,
		      via_check_kind_name(r->kind));
	if (r->bad != r->iova)
		(void)fprintf(out, ", from 0x%" PRIx64 " on", r->bad);
	(void)fputc('\n', out);
	if (r->has_nearest)
		(void)fprintf(out, "    nearest mapping 0x%" PRIx64 "-0x%" PRIx64 ", %s\n", r->nearest.first,
			      r->nearest.last, prot_name(r->nearest_prot));
	else if (r->kind != VIA_CHECK_NOT_ATTACHED)
		(void)fputs("    nothing is mapped\n", out);
	print_event(out, "last mapped as", r->map, r->n_events);
	print_event(out, "last unmapped as", r->unmap, r->n_events);
	if (!fclose(out))
		(void)!write(STDERR_FILENO, bytes, len);
	free(bytes);
}

int check_new(struct via_check **ret_check)
{
	return via_check_new(report, NULL, MAX_REPORTS, ret_check);
}

uint64_t check_end(struct via_check *check)
{
	uint64_t counts[VIA_CHECK_KINDS], all = 0;
	const char *separator = ": ";

	via_check_counts(check, counts);
	for (size_t i = 0; i < VIA_CHECK_KINDS; i++)
		all += counts[i];
	(void)fprintf(stderr, "viaduct: DMA check: %" PRIu64 " access%s refused", all, all == 1 ? "" : "es");
	for (size_t i = 0; i < VIA_CHECK_KINDS; i++) {
		if (!counts[i])
			continue;
		(void)fprintf(stderr, "%s%" PRIu64 " %s", separator, counts[i],
			      via_check_kind_name((enum via_check_kind)i));
		separator = ", ";
	}
	(void)fputc('\n', stderr);
	return all;
}
