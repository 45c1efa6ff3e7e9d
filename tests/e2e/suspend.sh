#!/bin/bash
# SPDX-License-Identifier: MIT
# Programs that suspend the addresses of their mappings while a device wants to read there: the
# transfer waits for the memory at its new address, also across an exec, in both kinds of container.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
HERE=$BUILD/tests/e2e
ADDR=0000:00:03.0

seen() { # file line
	printf '%s\n' "shared memory while suspended: works" "private memory while suspended: waits" "$2" >"$1"
}
complains() { # name pattern options...
	local name=$1 pattern=$2
	shift 2
	"$VIADUCT" run "$@" --device edu -- true >"$WORKDIR/out" 2>"$WORKDIR/err"
	if [ $? = 2 ] && grep -q -- "$pattern" "$WORKDIR/err"; then ok "$name"; else not_ok "$name" "$WORKDIR/err"; fi
}

for container in type1 iommufd; do
	run=("$VIADUCT" run "--container=$container" --device "edu,group=7,addr=$ADDR")
	seen "$WORKDIR/expected" "resumed: the transfer went on with the new memory"
	same "$container: exec while a device waits" "$WORKDIR/expected" "${run[@]}" -- "$HERE/suspend" 7 $ADDR exec
	same "$container: memory that moves" "$WORKDIR/expected" "${run[@]}" -- "$HERE/suspend" 7 $ADDR move
	for what in unmap reset close; do
		seen "$WORKDIR/expected" "$what: the wait ended"
		same "$container: a wait that $what ends" "$WORKDIR/expected" "${run[@]}" -- "$HERE/suspend" 7 $ADDR $what
	done
	seen "$WORKDIR/expected" "late: the wait ended"
	same "$container: a wait that takes too long" "$WORKDIR/expected" "${run[@]}" --vaddr-wait=500 -- "$HERE/suspend" 7 $ADDR late
	# shellcheck disable=SC2016 # for the other shell
	same "$container: the limit of mappings, as the program sees it" <(echo 12) "${run[@]}" --dma-entry-limit=12 -- \
		sh -c 'cat /sys/module/vfio_iommu_type1/parameters/dma_entry_limit'
done

for wrong in 0 -1 4294967296 99999999999999999999 x 1x ''; do
	complains "--dma-entry-limit='$wrong'" "--dma-entry-limit=$wrong: must be" --dma-entry-limit="$wrong"
done
for wrong in -1 3600001 1.5 ''; do complains "--vaddr-wait='$wrong'" "--vaddr-wait=$wrong: must be" --vaddr-wait="$wrong"; done

sanitizers
if settled >"$WORKDIR/left"; then ok "nothing is left behind"; else not_ok "left behind" "$WORKDIR/left"; fi
