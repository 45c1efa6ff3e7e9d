#!/bin/bash
# SPDX-License-Identifier: MIT
# Programs that are unkind to the shim, on purpose or by nature.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
BDF=0000:00:01.0
run=("$VIADUCT" run --device "edu,addr=$BDF,group=1")

cases_of() { # program, options of run...: each of its cases is one of ours
	local program=$1 status line
	shift
	"${run[@]}" "$@" -- "$BUILD/tests/e2e/$program" 1 $BDF >"$WORKDIR/out" 2>&1
	status=$?
	while read -r line; do
		case $line in
		"ok "*) ok "$*: ${line#ok * - }" ;;
		"not ok "*) not_ok "$*: ${line#not ok * - }" "$WORKDIR/out" ;;
		esac
	done <"$WORKDIR/out"
	[ $status = 0 ] || not_ok "$program $*: status $status" "$WORKDIR/out"
}

for bars in trap auto; do
	cases_of shim --bars=$bars
done
cases_of memory --bars=trap

for case in signals vectors; do
	check "--in-process: $case" "${run[@]}" --bars=trap --in-process -- "$BUILD/tests/e2e/shim" 1 $BDF "$case"
done
check "--in-process: lost memory" "${run[@]}" --bars=trap --in-process -- "$BUILD/tests/e2e/memory" 1 $BDF "lost memory"
for case in "kept from children" "kept from children in the middle of first uses"; do
	for way in --dma=copy --in-process; do
		check "$way: $case" "${run[@]}" $way --bars=trap -- "$BUILD/tests/e2e/memory" 1 $BDF "$case"
	done
	check "where userfaultfd is refused: $case" \
		"$BUILD/tests/e2e/refuse" userfaultfd -- "${run[@]}" --bars=trap -- "$BUILD/tests/e2e/memory" 1 $BDF "$case"
done

truncate -s 1M "$WORKDIR/disk.img"
nvme=("$VIADUCT" run --device "nvme,image=$WORKDIR/disk.img,addr=0000:00:02.0,group=2")
check "doorbells by plain stores, also in a child" "${nvme[@]}" -- "$BUILD/tests/e2e/doorbell" 2 0000:00:02.0
check "doorbells where userfaultfd is refused" \
	"$BUILD/tests/e2e/refuse" userfaultfd -- "${nvme[@]}" -- "$BUILD/tests/e2e/doorbell" 2 0000:00:02.0

check "ioeventfds, low power, dma-bufs: edu" "${run[@]}" --bars=trap -- "$BUILD/tests/e2e/low-power" 1 $BDF 0x80
check "ioeventfds, low power, dma-bufs: nvme" "${nvme[@]}" --bars=trap -- "$BUILD/tests/e2e/low-power" 2 0000:00:02.0 0x24

CALLS=${CALLS:-100000}
for mode in "" --bars=io --in-process; do
	# shellcheck disable=SC2086 # no mode is no argument
	check "$CALLS random calls with bad pointers ${mode:-(default)}" \
		"${run[@]}" $mode --device "nvme,image=$WORKDIR/disk.img,addr=0000:00:02.0,group=2" -- "$BUILD/tests/e2e/hostile" 1 $BDF "$CALLS"
done
sanitizers
if settled >"$WORKDIR/left"; then ok "nothing is left behind"; else not_ok "left behind" "$WORKDIR/left"; fi
