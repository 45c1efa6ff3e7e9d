/* SPDX-License-Identifier: MIT */
/* Interrupts of functions: messages as they are, pins by the wires that they share. */
#include "vmm/internal.h"

static void message(void *cookie, unsigned int vector, uint64_t address, uint32_t data)
{
	const struct via_root_function *function = cookie;
	const struct via_pci_root *root = function->root;
	const struct via_pci_message m = {
		.address = address,
		.data = data,
		.requester = (uint16_t)function->devfn,
		.vector = (uint16_t)vector,
	};

	if (root->desc.ops && root->desc.ops->message)
		root->desc.ops->message(root->desc.opaque, &m);
}

static void line(void *cookie, bool level)
{
	const struct via_root_function *function = cookie;
	struct via_pci_root *root = function->root;
	uint16_t *raised;

	if (function->wire >= VIA_ROOT_PINS)
		return;
	pthread_mutex_lock(&root->wires.lock);
	raised = &root->wires.raised[function->wire];
	*raised = (uint16_t)(level ? *raised + 1 : *raised - 1);
	if (*raised == level && root->desc.ops && root->desc.ops->intx)
		root->desc.ops->intx(root->desc.opaque, function->wire, level);
	pthread_mutex_unlock(&root->wires.lock);
}

const struct via_irqs_sink via_root_sink = {.message = message, .line = line};

unsigned int via_root_wire(const struct via_pci_root *root, unsigned int devfn, unsigned int pin)
{
	unsigned int slot = devfn / 8;

	if (pin < 1 || pin > 4)
		return VIA_ROOT_PINS;
	return root->desc.n_lines ? (slot + pin - 1) % root->desc.n_lines : slot * 4 + pin - 1;
}
