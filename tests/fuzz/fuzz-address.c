/* SPDX-License-Identifier: MIT */
/* PCI addresses: what is read is what is written. */
#include "fuzz.h"

#include <viaduct/pci.h>

#include <errno.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	char *text = fuzz_text(&in), again[VIA_PCI_ADDR_LEN];
	struct via_pci_addr addr, second;
	int r = via_pci_addr_parse(text, &addr);

	FUZZ_CHECK(r == 0 || r == -EINVAL);
	if (!r) {
		FUZZ_CHECK(addr.device < 32 && addr.function < 8);
		via_pci_addr_format(&addr, again);
		FUZZ_CHECK(strlen(again) == VIA_PCI_ADDR_LEN - 1);
		FUZZ_CHECK(via_pci_addr_parse(again, &second) == 0);
		FUZZ_CHECK(second.segment == addr.segment && second.bus == addr.bus &&
			   second.device == addr.device && second.function == addr.function);
	}
	free(text);
	return 0;
}
