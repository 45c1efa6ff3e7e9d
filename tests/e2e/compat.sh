#!/bin/bash
# SPDX-License-Identifier: MIT
# viaduct compat: each answer in profile linux is what a real kernel gave (compat/*.kernel), each in
# profile full what we have chosen (compat/full.expected).
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
HERE=$(cd "$(dirname "$0")" && pwd)

"$VIADUCT" compat --json >"$WORKDIR/json" 2>"$WORKDIR/err"
status=$?
cat "$WORKDIR/err" >>"$WORKDIR/out"
[ $status = 0 ] && ok "the questions are answered" || { not_ok "the questions are answered" "$WORKDIR/err"; exit 1; }
python3 - "$WORKDIR/json" "$WORKDIR" <<'P'
import json, sys
for column in ("type1", "compat", "native", "full"):
    with open(f"{sys.argv[2]}/{column}", "w") as out:
        for q in json.load(open(sys.argv[1])):
            out.write(f"{q['id']}\t{q[column] or '-'}\n")
P
for column in type1 compat native full; do
	want=$HERE/compat/$column.kernel
	[ -e "$want" ] || want=$HERE/compat/full.expected
	# Each line is a case of its own: gaps and rows by name.
	while IFS=$'\t' read -r id answer; do
		ours=$(awk -F '\t' -v id="$id" '$1 == id { print $2 }' "$WORKDIR/$column")
		if [ "$ours" = "$answer" ]; then ok "$column: $id"; else
			printf 'want %s\nhave %s\n' "$answer" "$ours" >"$WORKDIR/detail"
			not_ok "$column: $id" "$WORKDIR/detail"
		fi
	done < <(grep -v '^#' "$want")
done
for column in type1 compat native full; do
	want=$HERE/compat/$column.kernel
	[ -e "$want" ] || want=$HERE/compat/full.expected
	[ "$(grep -c . "$WORKDIR/$column")" = "$(grep -vc '^#' "$want")" ] && ok "$column: no question without an expected answer" ||
		not_ok "$column: no question without an expected answer" "$WORKDIR/$column"
done

"$VIADUCT" compat >"$WORKDIR/out" 2>/dev/null
{ grep -q '^gap-1: hole punching' "$WORKDIR/out" && grep -q '^    full    0, 0, 0x1000 bytes gone, hole can be mapped$' "$WORKDIR/out"; } &&
	ok "the table for people" || not_ok "the table for people" "$WORKDIR/out"
"$VIADUCT" compat --nonsense >"$WORKDIR/out" 2>&1
[ $? = 2 ] && grep -q -- "--nonsense" "$WORKDIR/out" && ok "wrong options are named" || not_ok "wrong options are named" "$WORKDIR/out"
"$VIADUCT" compat nonsense >"$WORKDIR/out" 2>&1
[ $? = 2 ] && ok "there are no arguments" || not_ok "there are no arguments" "$WORKDIR/out"
"$VIADUCT" compat --help >"$WORKDIR/out" 2>&1 && grep -q '^Usage: viaduct compat' "$WORKDIR/out" && ok "help" || not_ok "help" "$WORKDIR/out"

sanitizers
if settled >"$WORKDIR/left"; then ok "nothing is left behind"; else not_ok "left behind" "$WORKDIR/left"; fi
