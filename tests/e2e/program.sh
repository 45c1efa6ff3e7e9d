#!/bin/bash
# SPDX-License-Identifier: MIT
# An unmodified program and the edu device, in every way of running it; and
# what a kernel keeps across fork, exec, descriptor passing and death.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
EDU=$BUILD/examples/edu-driver
STATE=$BUILD/tests/e2e/vfio-state
EXPECTED=$SOURCE/tests/e2e/edu-driver.expected
BDF=0000:00:03.0
run=("$VIADUCT" run --device "edu,addr=$BDF,group=7")

same "edu-driver prints what it prints on a real kernel" "$EXPECTED" "${run[@]}" -- "$EDU" $BDF
same "with --bars=io" "$EXPECTED" "${run[@]}" --bars=io -- "$EDU" $BDF
same "with --bars=trap" "$EXPECTED" "${run[@]}" --bars=trap -- "$EDU" $BDF
same "with --profile=linux" "$EXPECTED" "${run[@]}" --profile=linux -- "$EDU" $BDF
# Of each call the bytes that go in and come out, recorded on a kernel.
"${run[@]}" --profile=linux -- "$BUILD/tests/e2e/edu-driver-traced" $BDF >/dev/null 2>"$WORKDIR/trace" </dev/null
if grep -v '^#' "$SOURCE/tests/e2e/edu-driver.trace" | diff -u - "$WORKDIR/trace" >"$WORKDIR/diff"; then
	ok "T95: a client's calls are answered as by a kernel, byte for byte"
else
	not_ok "T95: a client's calls are answered as by a kernel, byte for byte" "$WORKDIR/diff"
fi
same "with --in-process" "$EXPECTED" "${run[@]}" --in-process -- "$EDU" $BDF
same "through a shell script" "$EXPECTED" "${run[@]}" -- sh -c "exec $EDU $BDF"
same "a script that rebinds" "$EXPECTED" "${run[@]}" -- sh -c "cd /sys/bus/pci && echo vfio-pci >devices/$BDF/driver_override &&
	echo $BDF >devices/$BDF/driver/unbind && echo $BDF >drivers_probe && exec $EDU $BDF"
same "in a nested run" "$EXPECTED" "${run[@]}" -- "${run[@]}" -- "$EDU" $BDF

if [ -n "${VIADUCT_SANITIZED:-}" ]; then
	skip "under gdb" "gdb does not start with ASan's run-time preloaded, shim or no shim"
elif command -v gdb >/dev/null; then
	"${run[@]}" -- gdb -q --batch -ex 'handle SIGSEGV nostop noprint pass' -ex run --args "$EDU" $BDF >"$WORKDIR/gdb" 2>&1 </dev/null
	grep -vE '^\[|^Using host|^warning|^$|debuginfod|^Signal |^SIGSEGV' "$WORKDIR/gdb" | grep -Fxf "$EXPECTED" >"$WORKDIR/out"
	if diff -u "$EXPECTED" "$WORKDIR/out" >"$WORKDIR/diff"; then ok "under gdb"; else not_ok "under gdb" "$WORKDIR/gdb"; fi
else
	skip "under gdb" "gdb is not installed"
fi
if [ -n "${VIADUCT_SANITIZED:-}" ]; then
	skip "under valgrind" "valgrind does not run ASan"
elif command -v valgrind >/dev/null; then
	same "under valgrind with --bars=io" "$EXPECTED" "${run[@]}" --bars=io -- valgrind -q "$EDU" $BDF
else
	skip "under valgrind" "valgrind is not installed"
fi

refuse=("$BUILD/tests/e2e/refuse" unshare mount userfaultfd io_uring_setup --)
same "where unshare, mount, userfaultfd and io_uring are refused" "$EXPECTED" "${refuse[@]}" "${run[@]}" -- "$EDU" $BDF
"${refuse[@]}" "${run[@]}" --explain -- true 2>&1 | grep -q 'redirected' && ok "--explain says that paths are redirected then" || not_ok "--explain does not say that paths are redirected"

if [ "$(id -u)" = 0 ]; then
	# The build tree may lie where others cannot look; an installation does not.
	meson install -C "$BUILD" --no-rebuild --quiet --destdir "$WORKDIR/stage" >/dev/null 2>&1
	cp "$EDU" "$WORKDIR/"
	installed=$(find "$WORKDIR/stage" -name viaduct -type f -perm -u+x | head -n 1)
	same "as nobody, from an installation" "$EXPECTED" setpriv --reuid=nobody --regid=nogroup --clear-groups --no-new-privs \
		"$installed" run --device "edu,addr=$BDF" -- "$WORKDIR/edu-driver" $BDF
else
	skip "as nobody" "not root: the other cases ran unprivileged"
fi

# --- as with a kernel
for mode in fork exec scm; do
	same "container descriptor by $mode" "$EXPECTED" "${run[@]}" -- "$EDU" --$mode $BDF
done
same "state ends exactly at the last close, in every order" "$SOURCE/tests/e2e/vfio-state.expected" "${run[@]}" -- "$STATE" close 7 $BDF

cat >"$WORKDIR/two" <<S
$STATE try 7
{ $STATE hold 7 $BDF < "$WORKDIR/fifo" & }
exec 9>"$WORKDIR/fifo"
sleep 0.5
$STATE try 7
exec 9>&-
wait
$STATE try 7
S
mkfifo "$WORKDIR/fifo"
printf 'free\nheld\nEBUSY\nfree\n' >"$WORKDIR/two.expected"
same "two programs in one run: EBUSY until the last close" "$WORKDIR/two.expected" "${run[@]}" -- bash "$WORKDIR/two"

cat >"$WORKDIR/kills" <<S
for i in \$(seq ${KILLS:-100}); do
	$EDU --loop 100000 $BDF >/dev/null 2>&1 &
	sleep "0.0\$((RANDOM % 10))\$((RANDOM % 10))"
	kill -KILL \$!
	wait \$! 2>/dev/null
	state=\$($STATE try 7)
	[ "\$state" = free ] || echo "kill \$i: group \$state"
done
$EDU $BDF
S
same "${KILLS:-100} times SIGKILL at random moments" "$EXPECTED" "${run[@]}" -- bash "$WORKDIR/kills"

[ "$("${run[@]}" -- "$STATE" bar 7 $BDF)" = mapped ] && ok "a BAR can be mapped for DMA" || not_ok "a BAR mapped for DMA"

# --- a good parent
preloads=$(LD_PRELOAD="libm.so.6 libdl.so.2" "${run[@]}" -- "${run[@]}" -- sh -c 'echo "$LD_PRELOAD"')
[ -z "${runtime:-}" ] || preloads=${preloads//"$runtime:"/}
case $preloads in
*libviaduct-preload.so*libviaduct-preload.so*) not_ok "a nested run loads the shim twice: $preloads" ;;
/*libviaduct-preload.so:libm.so.6:libdl.so.2) ok "what the user preloads stays, also in a nested run" ;;
*) not_ok "what the user preloads is lost: $preloads" ;;
esac
"${run[@]}" -- bash -c "(sleep 0.5; $EDU $BDF >$WORKDIR/background 2>&1) & exit 5"
[ $? = 5 ] && ok "the command ends with the program, not with its background processes" || not_ok "status with a background process"
settled >/dev/null
check "a background process finds its devices afterwards" diff -u "$EXPECTED" "$WORKDIR/background"
status() { "${run[@]}" -- sh -c "$1" >/dev/null 2>&1; echo $?; }
[ "$(status 'exit 42')" = 42 ] && ok "exit status" || not_ok "exit status"
[ "$(status 'kill -TERM $$')" = 143 ] && ok "128+n for a signal" || not_ok "128+n for a signal"
complains() { # name, status, text, arguments...
	local name=$1 want=$2 text=$3 got
	shift 3
	"$VIADUCT" "$@" >"$WORKDIR/out" 2>&1
	got=$?
	if [ "$got" = "$want" ] && grep -q -- "$text" "$WORKDIR/out"; then ok "$name"; else
		echo "status $got, wanted $want and '$text'" >>"$WORKDIR/out"
		not_ok "$name" "$WORKDIR/out"
	fi
}
complains "unknown model" 125 "unknown device model 'nosuch'.*edu" run --device nosuch -- true
complains "unknown option of a model" 125 "colour" run --device edu,colour=red -- true
complains "bad address" 125 "addr" run --device edu,addr=zz -- true
complains "same address twice" 125 "0000:00:03.0" run --device edu,addr=$BDF --device edu,addr=$BDF -- true
complains "missing image" 125 "image" run --device nvme -- true
complains "image that is not there" 125 "/nonexistent/disk.img" run --device nvme,image=/nonexistent/disk.img -- true
complains "program not found" 127 "nosuchprogram" run --device edu -- nosuchprogram
complains "static program" 126 "statically linked" run --device edu -- "$EDU-static" $BDF
complains "no program" 2 "no program" run --device edu
complains "report in process" 2 "in-process" run --in-process --report --device edu -- true
complains "bad choice" 2 "trap" run --bars=sideways --device edu -- true

truncate -s 1M "$WORKDIR/disk.img"
"${run[@]}" --device "nvme,image=$WORKDIR/disk.img" -- sh -c "
	$VIADUCT run --device nvme,image=$WORKDIR/disk.img -- true" >"$WORKDIR/out" 2>&1
if [ $? = 125 ] && grep -q "disk.img" "$WORKDIR/out"; then ok "a second run on the same image is refused"; else not_ok "a second run on the same image" "$WORKDIR/out"; fi

if command -v lspci >/dev/null; then
	# What it leaks itself is nobody's concern.
	LSAN_OPTIONS=detect_leaks=0 "${run[@]}" --device "nvme,image=$WORKDIR/disk.img,addr=0000:00:04.0" -- lspci -nvv >"$WORKDIR/lspci" 2>&1
	for text in '^00:03.0 .*1234:11e8' '^00:04.0 .*1b36:0010' 'Region 0: Memory at .*64-bit.*size=16K' 'MSI-X: Enable- Count=65' \
		'FLReset+ ' 'Kernel driver in use: vfio-pci'; do
		if grep -q -- "$text" "$WORKDIR/lspci"; then ok "lspci shows $text"; else not_ok "lspci does not show $text" "$WORKDIR/lspci"; fi
	done
	[ "$(grep -c '^[0-9a-f]' "$WORKDIR/lspci")" = 2 ] && ok "lspci shows our devices only" || not_ok "lspci shows other devices" "$WORKDIR/lspci"
else
	skip "lspci" "pciutils is not installed"
fi

sanitizers
if settled >"$WORKDIR/left"; then ok "nothing is left behind"; else not_ok "left behind" "$WORKDIR/left"; fi
