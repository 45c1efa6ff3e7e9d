#!/bin/bash
# SPDX-License-Identifier: MIT
# The KVM glue against a KVM that is there everywhere: that of a stock kernel in a guest
# of QEMU's software emulation. The programs are those of tests/kvm, and tiny-vmm.
# KVM_LOG=DIRECTORY keeps what they printed.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/guest/kernel.sh
. "$SOURCE/tests/guest/kernel.sh"
# shellcheck source=tests/guest/kvm.sh
. "$SOURCE/tests/guest/kvm.sh"

programs=()
for program in "$BUILD"/tests/kvm/kvm-*; do
	[ -f "$program" ] && [ -x "$program" ] && programs+=("$program=${program##*/kvm-}")
done
[ ${#programs[@]} -gt 0 ] || { skip "KVM in a guest" "no programs for it in this build"; exit 0; }
guest_kvm "$WORKDIR" "${programs[@]}" "$BUILD/examples/tiny-vmm-static=tiny-vmm" ||
	{ not_ok "a guest with KVM" "$WORKDIR/console"; exit 1; }
[ -z "${KVM_LOG:-}" ] || { mkdir -p "$KVM_LOG" && cp "$WORKDIR"/* "$KVM_LOG" 2>/dev/null; }

for program in "${programs[@]}"; do
	name=${program##*=}
	n=0
	while read -r line; do
		case $line in
		"ok "*) n=$((n + 1)); ok "$name: ${line#* - }" ;;
		"not ok "*) n=$((n + 1)); not_ok "$name: ${line#* - }" ;;
		"1.."*" # SKIP "*) not_ok "$name: skipped: ${line#*SKIP }" ;;
		"# "*) echo "$line" ;;
		esac
	done <"$WORKDIR/$name"
	if grep -qx "1..$n" "$WORKDIR/$name" && grep -qx "status [01]" "$WORKDIR/$name"; then ok "$name: all $n cases ran"; else not_ok "$name: it did not end as it should" "$WORKDIR/$name"; fi
done
n=$(grep -c '^ok ' "$WORKDIR/tiny-vmm")
if grep -qx "status 0" "$WORKDIR/tiny-vmm" && [ "$n" -gt 0 ]; then ok "tiny-vmm: the guest found $n things as they should be"; else not_ok "tiny-vmm" "$WORKDIR/tiny-vmm"; fi
if [ -e "$WORKDIR/end" ]; then ok "the guest ran to its end"; else not_ok "the guest" "$WORKDIR/console"; fi
if [ -s "$WORKDIR/complaints" ]; then not_ok "the guest's kernel complained" "$WORKDIR/complaints"; else ok "the guest's kernel had nothing to complain of"; fi
