#!/bin/bash
# SPDX-License-Identifier: MIT
# What a guest made durable is there after the host process is killed. The
# model's cache=volatile holds writes in memory until Flush, as a drive's cache
# does, so a lost Flush is a lost number.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/guest/kernel.sh
. "$SOURCE/tests/guest/kernel.sh"
KILLS=${KILLS:-10}
ADDR=0000:00:05.0

guest_kernel || { not_ok "kernel for the guest"; exit 1; }
guest_initrd "$WORKDIR/initrd" "$SOURCE/tests/guest/durability.init" "nvme ext4 crc32c_generic" \
	"$BUILD/tests/guest/seqwriter=bin/seqwriter"

# run_and_kill IMAGE CONSOLE OPTIONS: start the guest, let it write a while, SIGKILL the host process.
run_and_kill() {
	local image=$1 console=$2 options=$3 supervisor host
	: >"$console"
	# shellcheck disable=SC2086 # GUEST_QEMU is a list of words
	"$VIADUCT" run --device "nvme,image=$image,addr=$ADDR,$options" -- \
		qemu-system-x86_64 $GUEST_QEMU -m 256M -serial "file:$console" -kernel "$KERNEL" \
		-initrd "$WORKDIR/initrd" -append "$GUEST_APPEND" -device "vfio-pci,host=$ADDR" \
		>"$WORKDIR/qemu.log" 2>&1 </dev/null &
	supervisor=$!
	for _ in $(seq 600); do
		grep -q '^durable' "$console" && break
		kill -0 "$supervisor" 2>/dev/null || break
		sleep 0.1
	done
	# A random moment in the next second and a half.
	sleep "$(awk -v r=$RANDOM 'BEGIN { printf "%.3f", 0.2 + r / 32768 * 1.3 }')"
	host=$(pgrep -P "$supervisor" -x viaduct-host)
	[ -n "$host" ] && kill -KILL "$host"
	# The guest has lost its disk; so must we of it, or it would wait for ever.
	pkill -KILL -f "^qemu-system-x86_64.*file:$console" 2>/dev/null
	wait "$supervisor" 2>/dev/null
	return 0
}

# lost IMAGE CONSOLE: numbers that were printed but are not on the disk; damage of the file system.
lost() {
	local image=$1 console=$2
	cp --sparse=always "$image" "$WORKDIR/copy.img"
	e2fsck -p -E journal_only "$WORKDIR/copy.img" >"$WORKDIR/fsck" 2>&1
	e2fsck -fn "$WORKDIR/copy.img" >"$WORKDIR/fsck" 2>&1 || { echo "file system damaged"; tail -n 5 "$WORKDIR/fsck"; }
	debugfs -R "cat /numbers" "$WORKDIR/copy.img" 2>/dev/null | sed 's/^0*//' | sort >"$WORKDIR/there"
	tr -d '\r' <"$console" | sed -n 's/^durable \([0-9]*\)$/\1/p' | sort >"$WORKDIR/printed"
	comm -13 "$WORKDIR/there" "$WORKDIR/printed"
}

truncate -s 64M "$WORKDIR/disk.img"
mke2fs -q -t ext4 "$WORKDIR/disk.img"
total=0
for k in $(seq "$KILLS"); do
	run_and_kill "$WORKDIR/disk.img" "$WORKDIR/console" cache=volatile
	lost "$WORKDIR/disk.img" "$WORKDIR/console" >"$WORKDIR/lost"
	n=$(wc -l <"$WORKDIR/printed")
	total=$((total + n))
	if [ "$n" = 0 ]; then
		cat "$WORKDIR/console" "$WORKDIR/qemu.log" >"$WORKDIR/detail"
		not_ok "kill $k: the guest wrote nothing" "$WORKDIR/detail"
	elif [ -s "$WORKDIR/lost" ]; then
		not_ok "kill $k: durable numbers lost" "$WORKDIR/lost"
	else
		ok "kill $k: all $n durable numbers are there"
	fi
done
echo "# $total numbers in $KILLS kills"

# The test must be able to fail: with Flush ignored, numbers go missing.
missing=0
for k in 1 2 3; do
	run_and_kill "$WORKDIR/disk.img" "$WORKDIR/console" cache=volatile,flush=ignore
	lost "$WORKDIR/disk.img" "$WORKDIR/console" >"$WORKDIR/lost"
	[ -s "$WORKDIR/lost" ] && missing=1 && break
done
if [ $missing = 1 ]; then ok "with Flush broken on purpose numbers are lost"; else not_ok "with Flush broken nothing was lost: the test proves nothing"; fi
if settled >"$WORKDIR/left"; then ok "nothing is left behind"; else not_ok "left behind" "$WORKDIR/left"; fi
