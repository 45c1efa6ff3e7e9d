#!/bin/bash
# SPDX-License-Identifier: MIT
# viaduct inspect: devices, recordings, what a program left behind, wrong input.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
BDF=0000:00:03.0

"$VIADUCT" inspect --device edu >"$WORKDIR/out" 2>&1
{ grep -q '^  004  Command  *0103  DDDDDVDD DDDDDDDD  *I/O, memory, SERR$' "$WORKDIR/out" && grep -q '^MSI at 0x40, 14 bytes' "$WORKDIR/out"; } &&
	ok "registers of a device in words" || not_ok "registers of a device in words" "$WORKDIR/out"
"$VIADUCT" inspect --device edu --json >"$WORKDIR/json"
python3 - "$WORKDIR/json" <<'P' && ok "registers of a device as JSON" || not_ok "registers of a device as JSON" "$WORKDIR/json"
import json, sys
j = json.load(open(sys.argv[1]))
assert (j["model"], j["config_size"], j["blocks"][0]["name"]) == ("edu", 256, "header")
command = [r for r in j["blocks"][0]["registers"] if r["name"] == "Command"][0]
assert command["value"] == 0x103 and command["writable"] == 0xffff and command["virtual"] == 0x400
assert command["fields"]["memory"] == 1 and command["fields"]["bus master"] == 0
P

"$VIADUCT" run --snapshot "$WORKDIR/left" --device "edu,addr=$BDF" -- "$BUILD/examples/edu-driver" $BDF >/dev/null
"$VIADUCT" inspect --recording "$WORKDIR/left/$BDF" --changes >"$WORKDIR/out" 2>&1
echo "004  Command of header: was 0103 (I/O, memory, SERR), is 0107 (I/O, memory, bus master, SERR)" | diff - "$WORKDIR/out" >"$WORKDIR/diff" &&
	ok "what a program changed" || not_ok "what a program changed" "$WORKDIR/out"
"$VIADUCT" inspect --recording "$WORKDIR/left/$BDF" --check >"$WORKDIR/out"
[ $? = 1 ] && grep -q '^config 004: recorded 07, here 03: Command of the header$' "$WORKDIR/out" && grep -q ': 1 difference$' "$WORKDIR/out" &&
	ok "--check names byte, register and owner, and exits with 1" || not_ok "--check" "$WORKDIR/out"
sed 's/^config_vfio/was/; /^was/,$d' "$WORKDIR/left/$BDF" >"$WORKDIR/raw"
{ cat "$WORKDIR/raw"; "$VIADUCT" inspect --recording "$WORKDIR/raw"; } >"$WORKDIR/again"
check "what inspect prints is a recording that agrees with itself" "$VIADUCT" inspect --recording "$WORKDIR/again" --check
"$VIADUCT" run --device "image,recording=$WORKDIR/raw,addr=$BDF" -- cat /sys/bus/pci/devices/$BDF/vendor >"$WORKDIR/out"
[ "$(cat "$WORKDIR/out")" = 0x1234 ] && ok "a program finds a recorded function" || not_ok "a program finds a recorded function" "$WORKDIR/out"

complains() { # name, status, text, arguments...
	local name=$1 want=$2 text=$3 got
	shift 3
	"$VIADUCT" "$@" >"$WORKDIR/out" 2>&1
	got=$?
	{ [ $got = "$want" ] && grep -q -- "$text" "$WORKDIR/out"; } && ok "$name" || { echo "status $got" >>"$WORKDIR/out"; not_ok "$name" "$WORKDIR/out"; }
}
complains "nothing to look at" 2 "one of --device and --recording" inspect
complains "two things to look at" 2 "one of --device and --recording" inspect --device edu --recording x
complains "two ways of showing" 2 "one way of showing" inspect --device edu --json --diff
complains "--check without a recording" 2 "need a --recording" inspect --device edu --check
complains "an unknown model" 1 "nope" inspect --device nope
complains "a file that is not there" 1 "No such file" inspect --recording "$WORKDIR/nothing"
complains "a file that is no recording" 1 "no image of the device" inspect --recording "$BUILD/build.ninja"
complains "a recording without a view" 1 "does not say what a program found" inspect --recording "$WORKDIR/raw" --changes
complains "a profile that is none" 2 "must be full or linux" inspect --device edu --profile x
complains "a snapshot of a run in process" 2 "leave out --in-process" run --in-process --snapshot "$WORKDIR/left" --device edu -- true
complains "a snapshot where no directory can be" 125 "Not a directory" run --snapshot "$WORKDIR/raw" --device edu -- true
