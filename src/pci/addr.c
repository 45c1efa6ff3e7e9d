/* SPDX-License-Identifier: MIT */
#include <viaduct/pci.h>

#include <errno.h>

static const char hex_digits[] = "0123456789abcdef";

/* Exactly n hexadecimal digits; the text after them, or NULL. */
static const char *parse_hex(const char *text, unsigned int n, unsigned int *ret_value)
{
	unsigned int value = 0;

	for (unsigned int i = 0; i < n; i++) {
		char c = text[i];
		unsigned int digit;

		if (c >= '0' && c <= '9')
			digit = (unsigned int)(c - '0');
		else if (c >= 'a' && c <= 'f')
			digit = (unsigned int)(c - 'a') + 10;
		else if (c >= 'A' && c <= 'F')
			digit = (unsigned int)(c - 'A') + 10;
		else
			return NULL;
		value = value << 4 | digit;
	}
	*ret_value = value;
	return text + n;
}

int via_pci_addr_parse(const char *text, struct via_pci_addr *ret_addr)
{
	unsigned int segment = 0, bus, device, function;
	const char *p = parse_hex(text, 4, &segment);

	if (p && *p == ':')
		text = p + 1;
	else
		segment = 0;
	p = parse_hex(text, 2, &bus);
	if (!p || *p != ':')
		return -EINVAL;
	p = parse_hex(p + 1, 2, &device);
	if (!p || *p != '.' || device > 31)
		return -EINVAL;
	p = parse_hex(p + 1, 1, &function);
	if (!p || *p || function > 7)
		return -EINVAL;
	*ret_addr = (struct via_pci_addr){
		.segment = (uint16_t)segment,
		.bus = (uint8_t)bus,
		.device = (uint8_t)device,
		.function = (uint8_t)function,
	};
	return 0;
}

static char *put_hex(char *p, unsigned int value, unsigned int n)
{
	while (n--)
		*p++ = hex_digits[value >> 4 * n & 0xf];
	return p;
}

void via_pci_addr_format(const struct via_pci_addr *addr, char text[VIA_PCI_ADDR_LEN])
{
	char *p = put_hex(text, addr->segment, 4);

	*p++ = ':';
	p = put_hex(p, addr->bus, 2);
	*p++ = ':';
	p = put_hex(p, addr->device & 31u, 2);
	*p++ = '.';
	p = put_hex(p, addr->function & 7u, 1);
	*p = '\0';
}
