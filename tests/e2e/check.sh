#!/bin/bash
# SPDX-License-Identifier: MIT
# viaduct run --check dma: every kind of mistake is refused, counted and explained.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
BDF=0000:00:04.0
run=("$VIADUCT" run --device "edu,addr=$BDF,group=3")

"${run[@]}" --check dma -- "$BUILD/tests/e2e/dma-errors" 3 $BDF >"$WORKDIR/out" 2>"$WORKDIR/err"
[ $? = 0 ] && ok "the program's own status" || not_ok "the program's own status" "$WORKDIR/err"
said() { # name, text that must be there
	if grep -q -- "$2" "$WORKDIR/err"; then ok "$1"; else not_ok "$1" "$WORKDIR/err"; fi
}
said "an access where nothing was ever mapped" 'edu: write of 0x1000 bytes at iova 0x900000: never mapped'
said "one that begins in a mapping and goes on behind it" 'edu: write of 0x1000 bytes at iova 0x103010: beyond the end of a mapping, from 0x104000 on'
said "the mapping next to it" 'nearest mapping 0x100000-0x103fff, read and write'
said "one that comes after the unmap" 'edu: read of 0x1000 bytes at iova 0x101000: after unmap'
said "who mapped it, by function and line" '#[0-9]* *0x[0-9a-f]* start_ring (.*tests/e2e/dma-errors.c:[0-9]*)'
said "who unmapped it" '#[0-9]* *0x[0-9a-f]* stop_ring (.*tests/e2e/dma-errors.c:[0-9]*)'
said "how long ago" 'last unmapped as 0x100000-0x103fff by process [0-9]*, 0 maps and unmaps ago'
said "the summary" 'DMA check: 3 accesses refused: 1 never mapped, 1 after unmap, 1 beyond the end of a mapping$'

"${run[@]}" --check dma --check-exit 42 -- "$BUILD/tests/e2e/dma-errors" 3 $BDF >/dev/null 2>&1
[ $? = 42 ] && ok "--check-exit: the status that was asked for" || not_ok "--check-exit: the status that was asked for"
"${run[@]}" --check dma --check-exit 42 -- "$BUILD/examples/edu-driver" $BDF >"$WORKDIR/out" 2>"$WORKDIR/err"
[ $? = 0 ] && grep -q 'DMA check: 0 accesses refused$' "$WORKDIR/err" && ok "a program without mistakes" || not_ok "a program without mistakes" "$WORKDIR/err"
"${run[@]}" -- "$BUILD/tests/e2e/dma-errors" 3 $BDF >/dev/null 2>"$WORKDIR/err"
[ $? = 0 ] && ! grep -q 'DMA check' "$WORKDIR/err" && ok "nothing is said without the option" || not_ok "nothing is said without the option" "$WORKDIR/err"

wrong() { # name, text, options...
	local name=$1 text=$2
	shift 2
	"${run[@]}" "$@" -- true >"$WORKDIR/out" 2>&1
	[ $? = 2 ] && grep -q -- "$text" "$WORKDIR/out" && ok "$name" || not_ok "$name" "$WORKDIR/out"
}
wrong "no such check" "must be dma" --check=irq
wrong "no status" "from 1 to 255" --check=dma --check-exit=x
wrong "a status that is none" "from 1 to 255" --check=dma --check-exit=256
wrong "a status without a check" "is for --check dma" --check-exit=3
wrong "not in the program itself" "leave out --in-process" --check=dma --in-process

if settled >"$WORKDIR/left"; then ok "nothing is left behind"; else not_ok "left behind" "$WORKDIR/left"; fi
