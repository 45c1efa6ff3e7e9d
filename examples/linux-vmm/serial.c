/* SPDX-License-Identifier: MIT */
/* A 16550A at 0x3f8: what is sent goes to standard output, what is typed comes in. */
#include "linux-vmm.h"

#include <unistd.h>

#define BASE 0x3f8u

enum { DATA, IER, IIR, LCR, MCR, LSR, MSR, SCRATCH };

#define IER_DATA 0x01u
#define IER_THR_EMPTY 0x02u
#define IIR_NONE 0x01u
#define IIR_THR_EMPTY 0x02u
#define IIR_DATA 0x04u
#define IIR_FIFO 0xc0u
#define LCR_DIVISOR 0x80u
#define MCR_LOOP 0x10u
#define LSR_DATA 0x01u
#define LSR_EMPTY 0x60u /* holding register and transmitter */
#define MSR_READY 0xb0u /* carrier, data set ready, clear to send */

static bool has_input(const struct serial *s)
{
	return s->head != s->tail;
}

static uint8_t interrupt_id(const struct serial *s)
{
	if (s->ier & IER_DATA && has_input(s))
		return IIR_DATA;
	if (s->ier & IER_THR_EMPTY && s->thr_empty_pending)
		return IIR_THR_EMPTY;
	return IIR_NONE;
}

/* The level follows the registers. Lock held. */
static void update_line(struct serial *s)
{
	bool line = interrupt_id(s) != IIR_NONE;

	if (line == s->line)
		return;
	s->line = line;
	(void)via_kvm_irq_line(s->machine->kvm, SERIAL_IRQ, line);
}

static uint8_t take_input(struct serial *s)
{
	return has_input(s) ? s->input[s->tail++ % sizeof(s->input)] : 0;
}

static void put_input(struct serial *s, uint8_t byte)
{
	if (s->head - s->tail < sizeof(s->input))
		s->input[s->head++ % sizeof(s->input)] = byte;
}

/* In a loop the modem's outputs are its inputs. */
static uint8_t modem_status(const struct serial *s)
{
	if (!(s->mcr & MCR_LOOP))
		return MSR_READY;
	return (uint8_t)((s->mcr & 0x0c) << 4 | (s->mcr & 0x02) << 3 | (s->mcr & 0x01) << 5);
}

static uint8_t read_register(struct serial *s, unsigned int reg)
{
	uint8_t value = 0;

	switch (reg) {
	case DATA:
		value = s->lcr & LCR_DIVISOR ? s->dll : take_input(s);
		break;
	case IER:
		value = s->lcr & LCR_DIVISOR ? s->dlm : s->ier;
		break;
	case IIR:
		value = interrupt_id(s);
		if (value == IIR_THR_EMPTY)
			s->thr_empty_pending = false;
		value |= s->fifo ? IIR_FIFO : 0;
		break;
	case LCR:
		value = s->lcr;
		break;
	case MCR:
		value = s->mcr;
		break;
	case LSR:
		value = (uint8_t)(LSR_EMPTY | (has_input(s) ? LSR_DATA : 0));
		break;
	case MSR:
		value = modem_status(s);
		break;
	default:
		value = s->scratch;
		break;
	}
	return value;
}

static void send_byte(struct serial *s, uint8_t byte)
{
	if (s->mcr & MCR_LOOP)
		put_input(s, byte);
	else
		(void)!write(STDOUT_FILENO, &byte, 1);
	s->thr_empty_pending = true;
}

static void write_register(struct serial *s, unsigned int reg, uint8_t value)
{
	switch (reg) {
	case DATA:
		if (s->lcr & LCR_DIVISOR)
			s->dll = value;
		else
			send_byte(s, value);
		break;
	case IER:
		if (s->lcr & LCR_DIVISOR) {
			s->dlm = value;
			break;
		}
		/* Nothing is being sent when one begins to ask. */
		if (value & ~s->ier & IER_THR_EMPTY)
			s->thr_empty_pending = true;
		s->ier = value & 0x0f;
		break;
	case IIR:
		s->fifo = value & 1;
		if (value & 2)
			s->tail = s->head;
		break;
	case LCR:
		s->lcr = value;
		break;
	case MCR:
		s->mcr = value & 0x1f;
		break;
	case SCRATCH:
		s->scratch = value;
		break;
	default:
		break;
	}
}

static int serial_read(void *opaque, uint64_t offset, unsigned int size, uint64_t *ret_value)
{
	struct serial *s = opaque;

	pthread_mutex_lock(&s->lock);
	*ret_value = read_register(s, (unsigned int)offset);
	update_line(s);
	pthread_mutex_unlock(&s->lock);
	return VIA_BUS_OK;
}

static int serial_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	struct serial *s = opaque;

	pthread_mutex_lock(&s->lock);
	write_register(s, (unsigned int)offset, (uint8_t)value);
	update_line(s);
	pthread_mutex_unlock(&s->lock);
	return VIA_BUS_OK;
}

static void *read_input(void *opaque)
{
	struct serial *s = opaque;
	uint8_t byte;

	while (read(STDIN_FILENO, &byte, 1) == 1) {
		pthread_mutex_lock(&s->lock);
		put_input(s, byte);
		update_line(s);
		pthread_mutex_unlock(&s->lock);
	}
	return NULL;
}

void serial_init(struct machine *m)
{
	static const struct via_bus_ops ops = {.read = serial_read, .write = serial_write};
	struct via_claim_desc claim = {
		.start = BASE,
		.last = BASE + SCRATCH,
		.ops = &ops,
		.opaque = &m->serial,
		.name = "serial",
		.impl_max = 1, /* wider accesses come as bytes */
	};
	pthread_t thread;

	m->serial.machine = m;
	pthread_mutex_init(&m->serial.lock, NULL);
	if (via_bus_add(m->pio, &claim, NULL) ||
	    pthread_create(&thread, NULL, read_input, &m->serial))
		die("no console");
	pthread_detach(thread);
}
