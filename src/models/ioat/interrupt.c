/* SPDX-License-Identifier: MIT */
/*
 * Interrupts: a message of the channel's own (MSI-X with vector control), or
 * one line for the device, ATTNSTATUS gated by the master enable, that is the INTx
 * pin or, when messages are armed, one message each time that it rises.
 */
#include "models/ioat/ioat.h"

#define CHANNEL 0u

uint8_t via_ioat_intrctrl(const struct via_ioat *ioat)
{
	uint8_t value = 0;

	if (ioat->master_int_en)
		value |= IOAT_INTRCTRL_MASTER_INT_EN;
	if (ioat->attnstatus)
		value |= IOAT_INTRCTRL_INT_STATUS;
	if (ioat->master_int_en && ioat->attnstatus)
		value |= IOAT_INTRCTRL_INT;
	if (ioat->msix_vector_control)
		value |= IOAT_INTRCTRL_MSIX_VECTOR_CONTROL;
	return value;
}

void via_ioat_interrupt_update(struct via_ioat *ioat)
{
	bool asserted = ioat->master_int_en && ioat->attnstatus;
	bool messages = via_irq_message_mode(ioat->dev);

	if (asserted && !ioat->int_asserted && messages && !ioat->msix_vector_control)
		via_irq_trigger(ioat->dev, 0);
	if (asserted != ioat->int_asserted || messages)
		via_irq_set_level(ioat->dev, asserted && !messages);
	ioat->int_asserted = asserted;
}

void via_ioat_interrupt(struct via_ioat *ioat)
{
	/*
	 * A driver looks at the completion and then rearms. What comes in between
	 * must not be lost, or it would wait for its timeout.
	 */
	if (ioat->chanctrl & IOAT_CHANCTRL_INT_DISABLE) {
		ioat->int_missed = true;
		return;
	}
	ioat->chanctrl |= IOAT_CHANCTRL_INT_DISABLE;
	ioat->attnstatus |= 1u << CHANNEL;
	if (ioat->msix_vector_control && via_irq_message_mode(ioat->dev))
		via_irq_trigger(ioat->dev, CHANNEL);
	via_ioat_interrupt_update(ioat);
}

void via_ioat_interrupt_rearm(struct via_ioat *ioat)
{
	bool missed = ioat->int_missed;

	ioat->chanctrl &= (uint16_t)~IOAT_CHANCTRL_INT_DISABLE;
	ioat->int_missed = false;
	if (missed)
		via_ioat_interrupt(ioat);
}
