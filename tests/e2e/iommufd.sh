#!/bin/bash
# SPDX-License-Identifier: MIT
# Programs around an iommufd: huge pages that are none, one context in several
# processes, and what /proc says about memory that is mapped.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
HERE=$BUILD/tests/e2e
run=("$VIADUCT" run --hugepages=emulate --device "edu,group=7")

# What the same program prints on a kernel with free huge pages.
same "huge pages, emulated" "$SOURCE/tests/e2e/huge.expected" "${run[@]}" -- "$HERE/huge"
"$VIADUCT" run --device edu -- "$HERE/huge" >"$WORKDIR/system" 2>&1
"$HERE/huge" >"$WORKDIR/without" 2>&1
check "without the option the system's own" cmp "$WORKDIR/system" "$WORKDIR/without"

cat >"$WORKDIR/expected" <<'E2'
open: ok
node: a character device
descriptor: the same device
read, mmap: EINVAL, ENXIO
ioas: 1
map: ok
child: map where the parent has: EEXIST
child: map beside: ok
map where the child has: EEXIST
exec: unmap what a child has mapped: ok
exec: again: ENOENT
exec: another IOAS: 2
exec: after close: EBADF
E2
same "an iommufd across fork, dup and exec" "$WORKDIR/expected" "${run[@]}" -- "$HERE/iommufd-client"

cat >"$WORKDIR/expected" <<'E2'
before: open 0, openat 0, fopen 0, thread 0, another process 0
mapped: open 64, openat 64, fopen 64, thread 64, another process 64
unmapped: open 0, openat 0, fopen 0, thread 0, another process 0
E2
same "VmLck counts what DMA has locked" "$WORKDIR/expected" "${run[@]}" -- "$HERE/type1-locked" 7
same "also with --dma=copy" "$WORKDIR/expected" "${run[@]}" --dma=copy -- "$HERE/type1-locked" 7

sanitizers
if settled >"$WORKDIR/left"; then ok "nothing is left behind"; else not_ok "left behind" "$WORKDIR/left"; fi
