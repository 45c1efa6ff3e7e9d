# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# A KVM that is there everywhere: that of a stock kernel in a guest of QEMU's software
# emulation, whose processor has SVM. Source it after kernel.sh.
#
# guest_kvm DIRECTORY PROGRAM=NAME...: run static programs there, one by one. Leaves in
# DIRECTORY: NAME, what it printed, with a line "status N" at the end; console; end, if all
# ran; complaints, what the guest's kernel had to say. Takes about 6 seconds.
guest_kvm() {
	local dir=$1 here program
	shift
	here=$(dirname "${BASH_SOURCE[0]}")
	guest_kernel || return 1
	guest_initrd "$dir/kvm.initrd" "$here/kvm.init" kvm-amd "${@/=/=kvm/}"
	# shellcheck disable=SC2086 # GUEST_QEMU is a list of words
	timeout 200 qemu-system-x86_64 $GUEST_QEMU -cpu qemu64,+svm,+npt -m 256M \
		-serial "file:$dir/console" -kernel "$KERNEL" -initrd "$dir/kvm.initrd" \
		-append "$GUEST_APPEND" >"$dir/qemu.log" 2>&1 </dev/null || return 1
	tr -d '\r' <"$dir/console" | sed -n 's/^kvm: //p' >"$dir/said"
	for program; do sed -n "s/^${program##*=}: //p" "$dir/said" >"$dir/${program##*=}"; done
	sed -n 's/^kernel: //p' "$dir/said" >"$dir/complaints"
	! grep -qx end "$dir/said" || : >"$dir/end"
}
