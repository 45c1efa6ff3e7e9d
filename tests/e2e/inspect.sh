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
complains "nothing to look at" 2 "one of --device, --recording and --host" inspect
complains "two things to look at" 2 "one of --device, --recording and --host" inspect --device edu --recording x
complains "two things, one of the host" 2 "one of --device, --recording and --host" inspect --host $BDF --device edu
complains "two ways of showing" 2 "one way of showing" inspect --device edu --json --diff
complains "--check without a recording" 2 "need a --recording" inspect --device edu --check
complains "an unknown model" 1 "nope" inspect --device nope
complains "a file that is not there" 1 "No such file" inspect --recording "$WORKDIR/nothing"
complains "a file that is no recording" 1 "no image of the device" inspect --recording "$BUILD/build.ninja"
complains "a recording without a view" 1 "does not say what a program found" inspect --recording "$WORKDIR/raw" --changes
complains "a profile that is none" 2 "must be full or linux" inspect --device edu --profile x
complains "a snapshot of a run in process" 2 "leave out --in-process" run --in-process --snapshot "$WORKDIR/left" --device edu -- true
complains "a snapshot where no directory can be" 125 "Not a directory" run --snapshot "$WORKDIR/raw" --device edu -- true

# Functions of the host, from a sysfs made of a recording: one with all of its config space, one of
# which only the header can be read, one that does not answer, a bridge.
python3 - "$SOURCE/tests/conformance/recordings/config/nvme.txt" "$WORKDIR/sysfs/bus/pci/devices" <<'P'
import os, sys
text = open(sys.argv[1]).read().split("\n")
config, reading = bytearray(4096), False
for line in text:
    if line.startswith("config_"):
        reading = line.startswith("config_before_open")
    elif reading and ":" in line:
        at, data = line.split(":")
        data = bytes.fromhex(data)
        config[int(at, 16):int(at, 16) + len(data)] = data
config[4] |= 4  # in use by a driver
resources = "".join(" ".join(l.split()[2:5]) + "\n" for l in text if l.startswith("resource"))
def function(address, config, **files):
    os.makedirs(f"{sys.argv[2]}/{address}")
    open(f"{sys.argv[2]}/{address}/config", "wb").write(config)
    for name, value in dict(vendor="0x1b36\n", device="0x0010\n", resource=resources, **files).items():
        open(f"{sys.argv[2]}/{address}/{name}", "w").write(value)
function("0000:02:00.0", config, **{"class": "0x010802\n", "reset_method": "flr bus\n"})
function("0000:03:00.0", config[:64], reset="")
function("0000:04:00.0", bytes(b"\xff") * 256)
function("0000:05:00.0", config[:14] + b"\1" + config[15:])
function("0000:06:00.0", config[:63])
os.makedirs(f"{sys.argv[2]}/0000:07:00.0")
P
host() { "$VIADUCT" inspect --sysfs "$WORKDIR/sysfs" --host "$@" >"$WORKDIR/out" 2>"$WORKDIR/err"; }
host 0000:02:00.0
{ [ $? = 0 ] && [ ! -s "$WORKDIR/err" ] && grep -q '^0000:02:00.0 host function \[1b36:0010\], class 010802, 4096 bytes of config space$' "$WORKDIR/out" &&
	grep -q '^MSI-X at 0x40' "$WORKDIR/out" && grep -q '^  004  Command  *0103 ' "$WORKDIR/out"; } &&
	ok "a function of the host" || not_ok "a function of the host" "$WORKDIR/out"
"$VIADUCT" inspect --recording "$SOURCE/tests/conformance/recordings/config/nvme.txt" --registers | sed 1d >"$WORKDIR/told"
sed 1d "$WORKDIR/out" | diff "$WORKDIR/told" - >"$WORKDIR/diff" &&
	ok "a program finds in it what a kernel shows of such a function" || not_ok "view of a function of the host" "$WORKDIR/diff"
host 02:00.0 --diff
{ grep -q '^004  Command of header: device 010[67] .*, program 0103 ' "$WORKDIR/out" && [ ! -s "$WORKDIR/err" ]; } &&
	ok "--diff with the function as it is" || not_ok "--diff of a function of the host" "$WORKDIR/out"
host 0000:02:00.0 --json
python3 -c 'import json,sys; j=json.load(sys.stdin); assert (j["model"], j["address"], j["known"], j["config_size"]) == ("host function", "0000:02:00.0", 4096, 4096)' <"$WORKDIR/out" &&
	ok "a function of the host as JSON" || not_ok "a function of the host as JSON" "$WORKDIR/out"
host 0000:03:00.0
{ [ $? = 0 ] && grep -q ', 256 bytes of config space, 64 of them known$' "$WORKDIR/out" && grep -q '^  034  Capabilities Pointer  *[4-9a-f]' "$WORKDIR/out" &&
	! grep -q '^[^ ].* at 0x' "$WORKDIR/out" && grep -q '^viaduct: 0000:03:00.0: bytes 0x40 to 0xff, .*cannot be read' "$WORKDIR/err"; } &&
	ok "what cannot be read is named" || not_ok "a function of which only the header can be read" "$WORKDIR/out"
host 0000:03:00.0 --json
python3 -c 'import json,sys; j=json.load(sys.stdin); assert j["known"] == 64 and [b["name"] for b in j["blocks"]] == ["header"]' <"$WORKDIR/out" &&
	ok "what cannot be read as JSON" || not_ok "what cannot be read as JSON" "$WORKDIR/out"
fake() { complains "$1" "$2" "$3" inspect --sysfs "$WORKDIR/sysfs" "${@:4}"; } # name, status, text, arguments...
fake "a function that does not answer" 1 "0000:04:00.0: it does not answer" --host 0000:04:00.0
fake "a bridge of the host" 1 "0000:05:00.0: .*header type 1" --host 0000:05:00.0
fake "less than a header" 1 "0000:06:00.0: .*not even the header" --host 0000:06:00.0
fake "no config space" 1 "0000:07:00.0: .*No such file" --host 0000:07:00.0
fake "a function that is not there" 1 "0000:09:00.0: this machine has no such function" --host 0000:09:00.0
fake "a function that is not there: which are" 1 "^  0000:02:00.0 0x1b36 0x0010 0x010802$" --host 0000:09:00.0
fake "no address" 1 "'eth0' is no address" --host eth0
fake "nothing to look at: what is there" 2 "^  0000:02:00.0 0x1b36"
complains "a machine without PCI" 1 "nowhere/bus/pci/devices: No such file" inspect --sysfs "$WORKDIR/nowhere" --host $BDF
complains "--check of a function of the host" 2 "need a --recording" inspect --host $BDF --check

# The real ones, where there are any, as another user: the header and no more.
real=$(find /sys/bus/pci/devices -mindepth 1 2>/dev/null | sort | tail -n 1)
if [ -z "$real" ]; then
	skip "a real function as a user" "no PCI functions on this machine"
elif [ "$(id -u)" != 0 ] || ! command -v setpriv >/dev/null; then
	skip "a real function as a user" "needs root and setpriv"
else
	cp "$BUILD/src/cli/viaduct" "$WORKDIR/as-user" && chmod 755 "$WORKDIR/as-user"
	setpriv --reuid 65534 --clear-groups "$WORKDIR/as-user" inspect --host "${real##*/}" >"$WORKDIR/out" 2>&1
	{ grep -q "64 of them known$" "$WORKDIR/out" && grep -q "run this with sudo" "$WORKDIR/out"; } || grep -q 'header type 1' "$WORKDIR/out" &&
		ok "a real function as a user" || not_ok "a real function as a user" "$WORKDIR/out"
fi
