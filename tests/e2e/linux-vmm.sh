#!/bin/bash
# SPDX-License-Identifier: MIT
# examples/linux-vmm boots a stock kernel, whose busybox reads and writes a disk of the nvme model; then again with
# one more bus, an empty one, and the console says the same. Directly where /dev/kvm works; in any case in a guest
# of software emulation, whose stock kernel has a KVM of its own: twice emulated, so it takes a while. LONG=1: without
# MSI, and with two CPUs, instead.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/guest/kernel.sh
. "$SOURCE/tests/guest/kernel.sh"
VMM=$BUILD/examples/linux-vmm
CMDLINE="console=ttyS0 reboot=pci acpi=off pci=conf1 panic=-1 mitigations=off no_timer_check tsc=reliable nokaslr cryptomgr.notests io_delay=none"

[ -x "$VMM" ] || { skip "linux-vmm" "not in this build"; exit 0; }
guest_kernel || { not_ok "kernel for the guest"; exit 1; }
mkdir "$WORKDIR/files"
for i in 1 2 3; do head -c $((i * 50000)) /dev/urandom >"$WORKDIR/files/$i"; done
(cd "$WORKDIR/files" && sha256sum 1 2 3 >sums)
/sbin/mkfs.ext4 -q -b 4096 -d "$WORKDIR/files" "$WORKDIR/disk" 16M >/dev/null || { not_ok "a disk"; exit 1; }
guest_initrd "$WORKDIR/inner" "$SOURCE/tests/guest/linux-vmm-inner.init" "nvme ext4"

# judge NAME CONSOLE STATUS: what the shell in the machine said.
judge() {
	grep -a "^inner: shell" "$2" | sed "s/^inner: /# $1: /"
	if grep -qa "^inner: shell, kernel $(ls "$MODULES/lib/modules")," "$2"; then ok "$1: a shell"; else not_ok "$1: no shell" "$2"; fi
	case $1 in
	*wires) if grep -qa '^inner: interrupt *17: .*IO-APIC' "$2"; then ok "$1: the disk interrupts by INTA, the second wire"; else not_ok "$1: interrupts" "$2"; fi ;;
	*) if [ "$(grep -ca '^inner: interrupt .*MSI' "$2")" -ge 2 ]; then ok "$1: the disk interrupts by MSI-X"; else not_ok "$1: interrupts" "$2"; fi ;;
	esac
	case $1 in
	*CPUs) if grep -qa "^inner: 2 CPUs" "$2"; then ok "$1: both run"; else not_ok "$1: not two" "$2"; fi ;;
	esac
	if grep -qa "^inner: verified 3 of 3 files" "$2"; then ok "$1: the disk's files are right"; else not_ok "$1: files" "$2"; fi
	if grep -qa "^inner: unmounted" "$2" && [ "$3" = 0 ]; then ok "$1: written, unmounted, ended by its reboot"; else not_ok "$1: status $3" "$2"; fi
	if grep -aE "Kernel panic|BUG:|Oops|Call Trace" "$2" >"$WORKDIR/complaints"; then not_ok "$1: the kernel complained" "$WORKDIR/complaints"; else ok "$1: the kernel had nothing to complain of"; fi
}

# Of a console what does not depend on the clock: no time stamps, and no lines that are about time or chance. In
# order of the alphabet: threads of the kernel say in any order what they have to say.
timeless() {
	tr -d '\r' <"$1" | sed -E 's/^\[ *[0-9]+\.[0-9]+\] //' |
		grep -avE '^(vmm|linux-vmm): |clock|APIC timer|tsc|BogoMIPS|uptime|random|crng|Memory: |usecs|msecs| ms$|audit\(|rtc|UTC' | sort
}

same_but_for_time() { # NAME CONSOLE CONSOLE
	timeless "$2" >"$WORKDIR/first"
	timeless "$3" >"$WORKDIR/second"
	if [ "$(wc -l <"$WORKDIR/first")" -gt 100 ] && diff "$WORKDIR/first" "$WORKDIR/second" >"$WORKDIR/diff"; then
		ok "$1: with an empty bus before all others the console is the same, $(wc -l <"$WORKDIR/first") lines"
	else not_ok "$1: an empty bus changes the console" "$WORKDIR/diff"; fi
}

# boot WAY: here, without a guest around it.
boot() {
	cp "$WORKDIR/disk" "$WORKDIR/disk$1.img"
	# shellcheck disable=SC2086 # an option or none
	timeout 60 "$VMM" $1 -k "$KERNEL" -i "$WORKDIR/inner" -a "$CMDLINE" -d "nvme,image=$WORKDIR/disk$1.img" \
		</dev/null >"$WORKDIR/direct$1" 2>&1
}

# Some have a KVM that makes virtual machines but cannot run a kernel in them.
if ! "$VMM" -k /dev/null 2>&1 | grep -q bzImage; then
	skip "linux-vmm directly" "$("$VMM" -k /dev/null 2>&1 | sed 's/^linux-vmm: //')"
else
	boot ""
	status=$?
	if ! grep -qa "^inner: shell" "$WORKDIR/direct"; then
		skip "linux-vmm directly" "this KVM does not run Linux, which came to: $(tr -d '\r' <"$WORKDIR/direct" | tail -n 1)"
	else
		judge "here" "$WORKDIR/direct" $status
		boot -e
		judge "here, empty bus" "$WORKDIR/direct-e" $?
		same_but_for_time "here" "$WORKDIR/direct" "$WORKDIR/direct-e"
		if /sbin/e2fsck -fn "$WORKDIR/disk.img" >"$WORKDIR/detail" 2>&1; then ok "the file system is sound"; else not_ok "the file system" "$WORKDIR/detail"; fi
	fi
fi

echo "$CMDLINE" >"$WORKDIR/cmdline"
if [ -z "${LONG:-}" ]; then printf '%s\n' 'plain||' 'empty bus|-e|'; else printf '%s\n' 'wires||pci=nomsi' 'two CPUs|-c 2|'; fi >"$WORKDIR/ways"
guest_initrd "$WORKDIR/outer" "$SOURCE/tests/guest/linux-vmm.init" kvm-amd "$VMM=bin/linux-vmm" "$KERNEL=vmm/kernel" \
	"$WORKDIR/inner=vmm/initrd" "$WORKDIR/disk=vmm/disk" "$WORKDIR/cmdline=vmm/cmdline" "$WORKDIR/ways=vmm/ways"
# shellcheck disable=SC2086 # GUEST_QEMU is a list of words
timeout 250 qemu-system-x86_64 $GUEST_QEMU -cpu qemu64,+svm,+npt -m 700M -serial "file:$WORKDIR/console" \
	-kernel "$KERNEL" -initrd "$WORKDIR/outer" -append "$GUEST_APPEND loglevel=0" >"$WORKDIR/qemu.log" 2>&1 </dev/null
tr -d '\r' <"$WORKDIR/console" | sed -n 's/^vmm: /# in a guest: /p'
while IFS='|' read -r name _; do
	tr -d '\r' <"$WORKDIR/console" | sed -n "/^vmm: begin $name, at/,/^vmm: status/p" >"$WORKDIR/nested-$name"
	judge "in a guest, $name" "$WORKDIR/nested-$name" "$(sed -n 's/^vmm: status \([0-9]*\) .*/\1/p' "$WORKDIR/nested-$name")"
done <"$WORKDIR/ways"
[ -n "${LONG:-}" ] || same_but_for_time "in a guest" "$WORKDIR/nested-plain" "$WORKDIR/nested-empty bus"
if grep -qa "^vmm: end" "$WORKDIR/console" && ! grep -qa "^vmm: kernel:" "$WORKDIR/console"; then ok "the outer guest ran to its end without complaint"; else
	cat "$WORKDIR/console" "$WORKDIR/qemu.log" >"$WORKDIR/detail"
	not_ok "the outer guest" "$WORKDIR/detail"
fi
[ -z "${LINUX_VMM_LOG:-}" ] || cp "$WORKDIR/console" "$LINUX_VMM_LOG"
