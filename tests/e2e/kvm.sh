#!/bin/bash
# SPDX-License-Identifier: MIT
# The KVM glue against a KVM that is there everywhere: that of a stock kernel in a guest
# of QEMU's software emulation, whose processor has SVM. Its tests are those of tests/kvm.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/guest/kernel.sh
. "$SOURCE/tests/guest/kernel.sh"

programs=()
for program in "$BUILD"/tests/kvm/kvm-*; do
	[ -f "$program" ] && [ -x "$program" ] && programs+=("$program=kvm/${program##*/kvm-}")
done
[ ${#programs[@]} -gt 0 ] || { skip "KVM in a guest" "no programs for it in this build"; exit 0; }
guest_kernel || { not_ok "kernel for the guest"; exit 1; }
guest_initrd "$WORKDIR/initrd" "$SOURCE/tests/guest/kvm.init" kvm-amd "${programs[@]}"
# shellcheck disable=SC2086 # GUEST_QEMU is a list of words
timeout 200 qemu-system-x86_64 $GUEST_QEMU -cpu qemu64,+svm,+npt -m 256M -serial "file:$WORKDIR/console" \
	-kernel "$KERNEL" -initrd "$WORKDIR/initrd" -append "$GUEST_APPEND" >"$WORKDIR/qemu.log" 2>&1 </dev/null
tr -d '\r' <"$WORKDIR/console" | sed -n 's/^kvm: //p' >"$WORKDIR/said"
cat "$WORKDIR/console" "$WORKDIR/qemu.log" >"$WORKDIR/detail"

[ -z "${KVM_LOG:-}" ] || cp "$WORKDIR/said" "$KVM_LOG"
for program in "${programs[@]}"; do
	name=${program##*/}
	sed -n "s/^$name: //p" "$WORKDIR/said" >"$WORKDIR/$name"
	n=0
	while read -r line; do
		case $line in
		"ok "*) n=$((n + 1)); ok "$name: ${line#* - }" ;;
		"not ok "*) n=$((n + 1)); not_ok "$name: ${line#* - }" "$WORKDIR/$name" ;;
		"1.."*" # SKIP "*) not_ok "$name: skipped: ${line#*SKIP }" ;;
		"# "*) echo "$line" ;;
		esac
	done <"$WORKDIR/$name"
	if grep -qx "1..$n" "$WORKDIR/$name" && grep -qx "status [01]" "$WORKDIR/$name"; then ok "$name: all $n cases ran"; else not_ok "$name: it did not end as it should" "$WORKDIR/detail"; fi
done
if grep -qx end "$WORKDIR/said"; then ok "the guest ran to its end"; else not_ok "the guest" "$WORKDIR/detail"; fi
if grep "^kernel: " "$WORKDIR/said" >"$WORKDIR/complaints"; then not_ok "the guest's kernel complained" "$WORKDIR/complaints"; else ok "the guest's kernel had nothing to complain of"; fi
