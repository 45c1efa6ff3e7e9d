#!/bin/bash
# SPDX-License-Identifier: MIT
# The I/OAT engine with drivers that others wrote: Debian's stock kernel in a
# guest, where dmatest copies ITERATIONS times with each kind of interrupt, and then
# pieces that take a chain of descriptors.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/guest/kernel.sh
. "$SOURCE/tests/guest/kernel.sh"
# shellcheck source=tests/guest/dmatest.sh
. "$SOURCE/tests/guest/dmatest.sh"
ITERATIONS=${ITERATIONS:-1000}
ADDR=0000:00:05.0

guest_kernel || { not_ok "kernel for the guest"; exit 1; }
guest_dmatest || { not_ok "dmatest for the guest"; exit 1; }
guest_initrd "$WORKDIR/initrd" "$SOURCE/tests/guest/ioat.init" ioatdma "$DMATEST=mod/dmatest.ko"
# shellcheck disable=SC2086 # GUEST_QEMU is a list of words
timeout 100 "$VIADUCT" run --report="$WORKDIR/report" --device "ioat,addr=$ADDR" -- \
	qemu-system-x86_64 $GUEST_QEMU -m 256M -serial "file:$WORKDIR/console" -kernel "$KERNEL" \
	-initrd "$WORKDIR/initrd" -append "$GUEST_APPEND ioat.iterations=$ITERATIONS" \
	-device "vfio-pci,host=$ADDR" >"$WORKDIR/qemu.log" 2>&1 </dev/null
status=$?
tr -d '\r' <"$WORKDIR/console" | sed -n 's/^ioat: //p' >"$WORKDIR/said"
cat "$WORKDIR/said" "$WORKDIR/console" "$WORKDIR/qemu.log" >"$WORKDIR/detail"
said() { sed -n "s/^$1: $2/\\1/p" "$WORKDIR/said"; }

if [ $status = 0 ] && grep -qx end "$WORKDIR/said"; then ok "the guest ran to its end"; else not_ok "the guest, status $status" "$WORKDIR/detail"; fi
for run in "msix $ITERATIONS" "intx $ITERATIONS" "long 20"; do
	read -r style n <<<"$run"
	summary=$(said "$style" '.*summary \([0-9]* tests, [0-9]* failures\).*')
	if [ "$summary" = "$n tests, 0 failures" ]; then ok "dmatest, $style: $summary"; else not_ok "dmatest, $style: ${summary:-nothing}" "$WORKDIR/detail"; fi
	# The driver would also get along by polling after a timeout; an interrupt for each copy says that it need not.
	interrupts=$(said "$style" '\([0-9]*\) interrupts')
	if [ "${interrupts:-0}" -ge "$n" ]; then ok "$style: $interrupts interrupts"; else not_ok "$style: ${interrupts:-no} interrupts for $n copies" "$WORKDIR/detail"; fi
done
if grep -E 'kernel:|driver: .*([Ee]rr|halted|timeout|failed)' "$WORKDIR/said" >"$WORKDIR/complaints"; then not_ok "the guest's kernel complained" "$WORKDIR/complaints"; else ok "the guest's kernel and driver had nothing to complain of"; fi
if settled >"$WORKDIR/left"; then ok "nothing is left behind"; else not_ok "left behind" "$WORKDIR/left"; fi
