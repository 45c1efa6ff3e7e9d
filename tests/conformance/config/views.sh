#!/bin/sh
# SPDX-License-Identifier: MIT
# views.sh BUILD RECORDING... - what viaduct inspect makes of recorded registers is what the
# kernel told: the view of config space, device, region and irq infos, BAR sizing. Once from the
# registers of the function while it was open, once from those of before, as a host has them.
set -u
build=$1 n=0 bad=0
shift
before=$(mktemp)
trap 'rm -f "$before"' EXIT
for recording; do
	n=$((n + 1))
	awk '/^config_/ { skip = /^config_while_open/ } !skip || !/^(config_|[0-9a-f]+:)/' "$recording" > "$before"
	for file in "$recording" "$before"; do
		if ! out=$("$build/src/cli/viaduct" inspect --recording "$file" --check); then
			echo "$(basename "$recording"): $out"
			bad=$((bad + 1))
		fi
	done
done
if grep -q '^config_while_open' "$before" || ! grep -q '^config_before_open' "$before"; then
	echo "the registers of before were not what was looked at"
	bad=$((bad + 1))
fi
echo "$n recordings, $bad differ"
[ "$n" -gt 0 ] && [ "$bad" = 0 ]
