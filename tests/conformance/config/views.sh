#!/bin/sh
# SPDX-License-Identifier: MIT
# views.sh BUILD RECORDING... - what viaduct inspect makes of recorded registers is what the
# kernel told: the view of config space, device, region and irq infos, BAR sizing
set -u
build=$1 n=0 bad=0
shift
for recording; do
	n=$((n + 1))
	if ! out=$("$build/src/cli/viaduct" inspect --recording "$recording" --check); then
		echo "$(basename "$recording"): $out"
		bad=$((bad + 1))
	fi
done
echo "$n recordings, $bad differ"
[ "$n" -gt 0 ] && [ "$bad" = 0 ]
