#!/bin/bash
# SPDX-License-Identifier: MIT
# A program saves a device, another one goes on with a second device from there.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
MIGRATE=$BUILD/tests/e2e/migrate
run=("$VIADUCT" run --device "edu,addr=0000:00:03.0,group=7" --device "edu,addr=0000:00:04.0,group=8")
other=("$VIADUCT" run --device "edu,addr=0000:00:05.0,group=9")
image=$WORKDIR/image

printf 'saved\nloaded\n' >"$WORKDIR/both"
same "saved in one process, loaded in another" "$WORKDIR/both" "${run[@]}" -- sh -c "
	$MIGRATE save 7 0000:00:03.0 $image && $MIGRATE load 8 0000:00:04.0 $image"
echo loaded >"$WORKDIR/one"
same "... and in another run" "$WORKDIR/one" "${other[@]}" -- "$MIGRATE" load 9 0000:00:05.0 "$image"
same "in process" "$WORKDIR/one" "${other[@]}" --in-process -- "$MIGRATE" load 9 0000:00:05.0 "$image"
echo logged >"$WORKDIR/logged"
same "DMA logging tells exactly what was written" "$WORKDIR/logged" "${run[@]}" -- "$MIGRATE" log 7 0000:00:03.0

complaint() { # name, what the log says, image
	"${other[@]}" -- "$MIGRATE" load 9 0000:00:05.0 "$3" >"$WORKDIR/out" 2>&1
	if [ $? = 1 ] && grep -q "edu: migration stream refused: $2" "$WORKDIR/out"; then ok "$1"; else not_ok "$1" "$WORKDIR/out"; fi
}
head -c 5000 "$image" >"$WORKDIR/cut"
"${other[@]}" -- "$MIGRATE" load 9 0000:00:05.0 "$WORKDIR/cut" >"$WORKDIR/out" 2>&1
if [ $? = 1 ] && grep -q "not complete" "$WORKDIR/out"; then ok "cut off: refused"; else not_ok "cut off" "$WORKDIR/out"; fi
{ head -c 1000 "$image"; printf X; tail -c +1002 "$image"; } >"$WORKDIR/damaged"
complaint "damaged: refused" "a checksum is wrong" "$WORKDIR/damaged"
complaint "not a stream: refused" "a record is too long" "$MIGRATE"

"${run[@]}" --profile=linux -- "$MIGRATE" save 7 0000:00:03.0 "$WORKDIR/none" >"$WORKDIR/out" 2>&1
if grep -q "Inappropriate ioctl" "$WORKDIR/out"; then ok "profile linux has none of it"; else not_ok "profile linux" "$WORKDIR/out"; fi

sanitizers
if settled >"$WORKDIR/left"; then ok "nothing is left behind"; else not_ok "left behind" "$WORKDIR/left"; fi
