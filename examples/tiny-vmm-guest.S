/* SPDX-License-Identifier: MIT */
/*
 * The guest of tiny-vmm: long mode, at 0x1000, with the first 4 GiB mapped where they are.
 * The processor's number is in EBX, and RDI points to where findings go, one dword each.
 * tiny-vmm.c says what they should be. Devices lie below 2 GiB, where an instruction can name them.
 */
#define BASE 0x1000
#define AT(label) (label - guest + BASE)

#define PAGE 0x50000000 /* each processor's own page, or the machine's device */
#define PAGE_ID (PAGE + 0)
#define PAGE_BASE (PAGE + 4)
#define PAGE_MOVED (PAGE + 0x1000)
#define PAGE_DONE (PAGE_MOVED + 8)

#define EDU 0x60000000 /* where the guest puts its registers */
#define EDU_VECTOR 0x20
#define LAPIC 0xfee00000

#define CONSOLE 0xe9
#define MESSAGE 0x9000
#define ANSWER 0xa000
#define MESSAGE_LEN 32

	.section .rodata
	.code64
	.globl	tiny_vmm_guest, tiny_vmm_guest_size
tiny_vmm_guest:
guest:
	/* Whose page is it? It moves away, and shows the machine's device beneath. */
	movl	PAGE_ID, %eax
	stosl
	movl	$PAGE_MOVED, PAGE_BASE
	movl	PAGE_ID, %eax
	stosl
	movl	PAGE_MOVED, %eax
	stosl
	testl	%ebx, %ebx
	jnz	done

	movl	$AT(hello), %esi
	movl	$(hello_end - hello), %ecx
	movl	$CONSOLE, %edx
	rep outsb

	lgdt	AT(gdt_pointer)
	lidt	AT(idt_pointer)
	movl	$LAPIC, %r8d
	movl	$0x1ff, 0xf0(%r8)		/* the local APIC is on */

	/* Find it: device by device, the addresses of config mechanism 1. */
	movl	$0x80000000, %ebp
find:	xorl	%ecx, %ecx
	call	config_read
	cmpl	$0x11e81234, %eax
	je	found
	addl	$0x800, %ebp
	cmpl	$0x80010000, %ebp
	jne	find
	jmp	done
found:	movl	%ebp, %eax
	shrl	$11, %eax
	andl	$0x1f, %eax
	stosl

	/* Size and place BAR 0. */
	movl	$0x10, %ecx
	movl	$0xffffffff, %eax
	call	config_write
	call	config_read
	notl	%eax
	incl	%eax
	stosl
	movl	$EDU, %eax
	call	config_write

	/* One message for all its interrupts: the capability with id 5. */
	movl	$0x34, %ecx
	call	config_read
	movzbl	%al, %ecx
next:	call	config_read
	cmpb	$5, %al
	je	msi
	movzbl	%ah, %ecx
	jmp	next
msi:	pushq	%rax
	addl	$4, %ecx
	movl	$LAPIC, %eax			/* to processor 0 */
	call	config_write
	addl	$4, %ecx			/* upper half of the address */
	xorl	%eax, %eax
	call	config_write
	addl	$4, %ecx
	movl	$EDU_VECTOR, %eax
	call	config_write
	subl	$12, %ecx
	popq	%rax
	orl	$0x10000, %eax			/* MSI Enable */
	call	config_write
	movl	$4, %ecx
	movl	$6, %eax			/* memory space, bus master */
	call	config_write

	/* Registers: identification, liveness, a factorial with an interrupt at its end. */
	movl	EDU + 0x00, %eax
	stosl
	movl	$0x12345678, EDU + 0x04
	movl	EDU + 0x04, %eax
	stosl
	movl	$0x80, EDU + 0x20
	movl	$10, EDU + 0x08
	call	wait_interrupt
	stosl
	movl	EDU + 0x08, %eax
	stosl

	/* DMA: a message into the device, and back to another place. */
	movl	$MESSAGE, EDU + 0x80
	movl	$0x40000, EDU + 0x88
	movl	$MESSAGE_LEN, EDU + 0x90
	movl	$5, EDU + 0x98			/* go, from memory, interrupt */
	call	wait_interrupt
	stosl
	movl	$0x40000, EDU + 0x80
	movl	$ANSWER, EDU + 0x88
	movl	$7, EDU + 0x98			/* go, to memory, interrupt */
	call	wait_interrupt
	stosl
	movl	AT(interrupts), %eax
	stosl

done:	movl	$1, PAGE_DONE
1:	hlt
	jmp	1b

/* Dword ECX of the config space of device EBP, in EAX. */
config_read:
	leal	(%rbp, %rcx), %eax
	movl	$0xcf8, %edx
	outl	%eax, %dx
	movl	$0xcfc, %edx
	inl	%dx, %eax
	ret

config_write:
	pushq	%rax
	leal	(%rbp, %rcx), %eax
	movl	$0xcf8, %edx
	outl	%eax, %dx
	popq	%rax
	movl	$0xcfc, %edx
	outl	%eax, %dx
	ret

/* Sleeps until there has been one; EAX is what the device said it was for. */
wait_interrupt:
	cli
	xorl	%eax, %eax
	xchgl	%eax, AT(status)
	testl	%eax, %eax
	jnz	1f
	sti
	hlt
	jmp	wait_interrupt
1:	ret

interrupt:
	pushq	%rax
	movl	EDU + 0x24, %eax
	movl	%eax, EDU + 0x64		/* acknowledged */
	movl	%eax, AT(status)
	incl	AT(interrupts)
	movl	$0, 0xb0(%r8)			/* end of interrupt */
	popq	%rax
	iretq

status:	.long	0
interrupts: .long 0
hello:	.ascii	"Hello from the guest, through a port and a string instruction.\n"
hello_end:

	.balign	8
gdt:	.quad	0, 0x00af9b000000ffff, 0x00cf93000000ffff /* none, 64-bit code, data */
gdt_pointer:
	.word	. - gdt - 1
	.quad	AT(gdt)
	.balign	8
idt:	.fill	2 * EDU_VECTOR, 8, 0
	.word	AT(interrupt), 8, 0x8e00, 0	/* a gate to the code segment */
	.quad	0
idt_pointer:
	.word	. - idt - 1
	.quad	AT(idt)
guest_end:

	.balign	4
tiny_vmm_guest_size: .long guest_end - guest
	.section .note.GNU-stack, "", @progbits
