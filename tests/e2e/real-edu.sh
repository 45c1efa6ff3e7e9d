#!/bin/bash
# SPDX-License-Identifier: MIT
# The same edu-driver source on Debian's stock kernel, with its own VFIO, an
# emulated VT-d and QEMU's real edu device, prints the file that program.sh
# compares with. RECORD=1 writes that file anew.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/guest/kernel.sh
. "$SOURCE/tests/guest/kernel.sh"
EXPECTED=$SOURCE/tests/e2e/edu-driver.expected

guest_kernel || { not_ok "kernel for the guest"; exit 1; }
guest_initrd "$WORKDIR/initrd" "$SOURCE/tests/guest/edu.init" "vfio-pci vfio_iommu_type1" \
	"$BUILD/examples/edu-driver-static=bin/edu-driver"
# shellcheck disable=SC2086 # GUEST_QEMU is a list of words
timeout 100 qemu-system-x86_64 $GUEST_QEMU -m 256M -serial "file:$WORKDIR/console" -kernel "$KERNEL" \
	-initrd "$WORKDIR/initrd" -append "$GUEST_APPEND intel_iommu=on" -machine kernel-irqchip=off \
	-device intel-iommu,intremap=on,caching-mode=on -device edu,addr=3.0 >"$WORKDIR/qemu.log" 2>&1 </dev/null
tr -d '\r' <"$WORKDIR/console" | sed -n 's/^edu: //p' >"$WORKDIR/out"
[ -z "${RECORD:-}" ] || cp "$WORKDIR/out" "$EXPECTED"
if [ -s "$WORKDIR/out" ] && diff -u "$EXPECTED" "$WORKDIR/out" >"$WORKDIR/diff"; then
	ok "edu-driver on a real kernel prints the expected text"
else
	cat "$WORKDIR/diff" "$WORKDIR/console" "$WORKDIR/qemu.log" >"$WORKDIR/detail" 2>/dev/null
	not_ok "edu-driver on a real kernel" "$WORKDIR/detail"
fi
