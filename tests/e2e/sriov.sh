#!/bin/bash
# SPDX-License-Identifier: MIT
# Virtual functions: made by a write to sysfs, opened with tokens, at work in two processes at once,
# and taken away again.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# bash, sed and python3 leave memory behind at their end: not our leaks.
lenient=(sh -c 'ASAN_OPTIONS=${ASAN_OPTIONS:-}:detect_leaks=0 exec "$@"' sh)
CLIENT=$BUILD/tests/e2e/sriov-client
PF1=0000:01:00.0 PF2=0000:02:00.0
ROUNDS=${ROUNDS:-3}
export CLIENT PF1 PF2 ROUNDS WORKDIR
export T1=52ac9bff-3a88-4fbd-901a-0d767c3b6c97 T2=88594674-90a0-47a9-aea8-9d9b352ac08a

# What the scenarios below have in common.
cat >"$WORKDIR/common" <<-'S'
	S=/sys/bus/pci/devices
	numvfs() { echo "$2" >"$S/$1/sriov_numvfs" && echo "$1: $(cat "$S/$1/sriov_numvfs")"; }
	vf() { basename "$(readlink "$S/$1/virtfn$2")"; }
	# begin NAME ARGUMENT...: the client in the background; say NAME LINE: its input; heard NAME: a line of its output
	begin() {
		local n=$1; shift
		rm -f "$WORKDIR/in.$n" "$WORKDIR/out.$n"; mkfifo "$WORKDIR/in.$n" "$WORKDIR/out.$n"
		"$CLIENT" "$@" <"$WORKDIR/in.$n" >"$WORKDIR/out.$n" &
		eval "pid_$n=$!"
		eval "exec {in_$n}>$WORKDIR/in.$n {out_$n}<$WORKDIR/out.$n"
	}
	say() { local v=in_$1; echo go >&"${!v}"; }
	heard() { local v=out_$1 line; IFS= read -r -t 60 line <&"${!v}" && echo "$1: $line" || echo "$1: nothing"; }
	end() { local i=in_$1 o=out_$1 p=pid_$1; eval "exec ${!i}>&- ${!o}<&-"; wait "${!p}"; echo "$1: status $?"; }
S

# Two cards, each with its token: 8 functions, 4 in each of two processes, at work at the same time.
cat >"$WORKDIR/two-cards" <<-'S'
	. "$WORKDIR/common"
	numvfs $PF1 8; numvfs $PF2 8
	begin a hold $PF1 $T1; heard a
	begin b hold $PF2 $T2; heard b
	"$CLIENT" try "$(vf $PF1 0)"; "$CLIENT" try "$(vf $PF1 0)" $T2; "$CLIENT" try "$(vf $PF1 0)" junk; "$CLIENT" try "$(vf $PF1 0)" $T1
	"$CLIENT" try "$(vf $PF2 7)"; "$CLIENT" try "$(vf $PF2 7)" $T1; "$CLIENT" try "$(vf $PF2 7)" $T2
	begin one work $T1 0x01020304 $ROUNDS "$(vf $PF1 0)" "$(vf $PF1 1)" "$(vf $PF1 2)" "$(vf $PF1 3)" "$(vf $PF1 4)" "$(vf $PF1 5)" "$(vf $PF1 6)" "$(vf $PF1 7)"
	begin two work $T2 0xa1b2c3d4 $ROUNDS "$(vf $PF2 0)" "$(vf $PF2 1)" "$(vf $PF2 2)" "$(vf $PF2 3)" "$(vf $PF2 4)" "$(vf $PF2 5)" "$(vf $PF2 6)" "$(vf $PF2 7)"
	heard one; heard two
	say one; say two
	for i in 0 1 2 3 4 5 6 7; do heard one; heard two; done
	end one; end two
	say a; say b; end a; end b
	numvfs $PF1 0; numvfs $PF2 0
	ls -d $S/$PF1/virtfn* $S/$PF2/virtfn* 2>/dev/null; ls $S /dev/vfio
S
{
	echo "$PF1: 8"; echo "$PF2: 8"; echo "a: token 1"; echo "b: token 1"
	printf '%s\n' EACCES EACCES EINVAL open EACCES EACCES open
	echo "one: open"; echo "two: open"
	for i in 0 1 2 3 4 5 6 7; do
		d=$((16 + i / 4)) f=$((i % 4 * 2))
		for n in one:01 two:02; do printf '%s: 0000:%s:%02x.%d: function %d, %d copies, %d interrupts\n' "${n%:*}" "${n#*:}" $d $f "$i" "$ROUNDS" "$ROUNDS"; done
	done
	echo "one: status 0"; echo "two: status 0"; echo "a: status 0"; echo "b: status 0"; echo "$PF1: 0"; echo "$PF2: 0"
	echo "/dev/vfio:"; echo 0; echo 1; echo devices; echo vfio; echo; echo "/sys/bus/pci/devices:"; echo $PF1; echo $PF2
} >"$WORKDIR/two-cards.expected"

# One card whose token changes between the opens: two processes with different tokens at once.
cat >"$WORKDIR/one-card" <<-'S'
	. "$WORKDIR/common"
	begin pf hold $PF1 $T1 $T2; heard pf
	numvfs $PF1 8
	begin one work $T1 0x11 $ROUNDS "$(vf $PF1 0)" "$(vf $PF1 1)"; heard one
	"$CLIENT" try "$(vf $PF1 2)" $T2
	say pf; heard pf
	"$CLIENT" try "$(vf $PF1 2)" $T1
	begin two work $T2 0x22 $ROUNDS "$(vf $PF1 2)" "$(vf $PF1 3)"; heard two
	say one; say two
	heard one; heard two; heard one; heard two
	end one; end two
	say pf; end pf
	# The token outlives who has set it; with nobody inside the card opens without.
	"$CLIENT" try "$(vf $PF1 2)"; "$CLIENT" try "$(vf $PF1 2)" $T2; "$CLIENT" try $PF1
S
cat >"$WORKDIR/one-card.expected" <<-S
	pf: token 1
	$PF1: 8
	one: open
	EACCES
	pf: token 2
	EACCES
	two: open
	one: 0000:01:10.0: function 0, $ROUNDS copies, $ROUNDS interrupts
	two: 0000:01:10.4: function 2, $ROUNDS copies, $ROUNDS interrupts
	one: 0000:01:10.2: function 1, $ROUNDS copies, $ROUNDS interrupts
	two: 0000:01:10.6: function 3, $ROUNDS copies, $ROUNDS interrupts
	one: status 0
	two: status 0
	pf: status 0
	EACCES
	open
	open
S

# A removal waits for who has one of them, and asks for it; a writer that is killed leaves it to them.
cat >"$WORKDIR/removal" <<-'S'
	. "$WORKDIR/common"
	begin pf hold $PF1 $T1 $T1; heard pf; say pf; heard pf
	numvfs $PF1 2
	begin vf lend "$(vf $PF1 1)" $T1; heard vf
	say pf; end pf
	"$CLIENT" try $PF1; "$CLIENT" try $PF1 $T1
	numvfs $PF1 0
	heard vf; end vf
	numvfs $PF1 1
	begin pf hold $PF1 $T1; heard pf
	begin vf work $T1 1 1 "$(vf $PF1 0)"; heard vf
	bash -c 'echo 0 >/sys/bus/pci/devices/'$PF1'/sriov_numvfs' & writer=$!
	sleep 0.3; kill -KILL $writer; wait $writer 2>/dev/null; echo "writer: $?"
	ls -d $S/$PF1/virtfn0 2>/dev/null; cat $S/$PF1/sriov_numvfs
	say vf; heard vf; end vf
	cat $S/$PF1/sriov_numvfs; ls $S
	say pf; end pf
S
cat >"$WORKDIR/removal.expected" <<-S
	pf: token 1
	pf: token 2
	$PF1: 2
	vf: open
	pf: status 0
	EACCES
	open
	$PF1: 0
	vf: given back
	vf: status 0
	$PF1: 1
	pf: token 1
	vf: open
	writer: 137
	1
	vf: 0000:01:10.0: function 0, 1 copies, 1 interrupts
	vf: status 0
	0
	$PF1
	$PF2
	pf: status 0
S

# Every way in which programs write such a file, and what they hear when it fails.
cat >"$WORKDIR/writers" <<-'S'
	export F=/sys/bus/pci/devices/$PF1/sriov_numvfs
	echo 2 >$F; echo "bash: $? $(cat $F)"
	(echo 3 >$F) 2>&1 | sed 's/.*: //'
	(echo 9 >$F) 2>&1 | sed 's/.*: //'
	(printf 'junk' >/sys/bus/pci/devices/$PF1/virtfn0/physfn/sriov_numvfs) 2>&1 | sed 's/.*: //'
	sh -c 'printf "0\n" >$F'; echo "sh: $? $(cat $F)"
	sh -c 'echo 77 >$F' 2>/dev/null; echo "sh: $?"
	echo 4 | tee $F >/dev/null; echo "tee: $? $(cat $F)"
	echo 5 | tee $F 2>&1 >/dev/null | sed 's/.*: //'
	/bin/echo 0 >$F; echo "echo: $? $(cat $F)"
	/bin/echo 9 2>/dev/null >$F; echo "echo: $?"
	echo 6 >"$WORKDIR/six"; cat "$WORKDIR/six" >$F; echo "cat: $? $(cat $F)"
	dd if="$WORKDIR/six" of=$F 2>/dev/null; echo "dd: $?"
	python3 - <<-'P'
		import os
		name = os.environ['F']
		def put(text):
		    try:
		        with open(name, 'w') as f:
		            f.write(text)
		    except OSError as e:
		        print('python:', e.strerror)
		put('1')
		put('0')
		put('1')
		fd = os.open(name, os.O_WRONLY | os.O_TRUNC)
		print('python:', os.write(fd, b'0\n'), open(name).read().strip(), os.path.exists(os.path.dirname(name) + '/virtfn0'))
	P
	(echo 1 >/sys/bus/pci/devices/$PF1/sriov_totalvfs) 2>&1 | sed 's/.*: //'
S
cat >"$WORKDIR/writers.expected" <<-'S'
	bash: 0 2
	Device or resource busy
	Numerical result out of range
	Invalid argument
	sh: 0 0
	sh: 1
	tee: 0 4
	Device or resource busy
	echo: 0 0
	echo: 1
	cat: 0 6
	dd: 0
	python: Device or resource busy
	python: 2 0 False
S

run=("$VIADUCT" run --device "sriov,addr=$PF1,group=0" --device "sriov,addr=$PF2,group=1")
[ "$(id -u)" = 0 ] && sed -i '/sriov_totalvfs/d' "$WORKDIR/writers" || echo "Permission denied" >>"$WORKDIR/writers.expected"
same "two cards, two tokens, two processes: 16 virtual functions" "$WORKDIR/two-cards.expected" "${run[@]}" -- "${lenient[@]}" bash "$WORKDIR/two-cards"
same "two tokens of one card in two processes" "$WORKDIR/one-card.expected" "${run[@]}" -- "${lenient[@]}" bash "$WORKDIR/one-card"
same "… with registers by pread and pwrite" "$WORKDIR/one-card.expected" "${run[@]}" --bars=io -- "${lenient[@]}" bash "$WORKDIR/one-card"
same "removal waits, and goes on without its writer" "$WORKDIR/removal.expected" "${run[@]}" -- "${lenient[@]}" bash "$WORKDIR/removal"
# From where they are, by a directory's descriptor, by a group's list; and one that is not ours.
cat >"$WORKDIR/names" <<-'S'
	cd /sys/bus/pci/devices/$PF1 && echo 1 >sriov_numvfs && cat sriov_numvfs
	cd /sys/kernel/iommu_groups && echo 0 >./0//devices/../devices/$PF1/sriov_numvfs && cat 0/devices/$PF1/sriov_numvfs
	python3 -c 'import os; d = os.open("/sys/bus/pci/devices/'$PF1'", os.O_RDONLY); f = os.open("sriov_numvfs", os.O_RDWR, dir_fd=d); print(os.write(f, b"2"), os.pread(f, 9, 0))'
	cd "$WORKDIR" && echo 7 >sriov_numvfs && cat sriov_numvfs && ls -l /sys/bus/pci/devices/$PF1/sriov_numvfs | cut -c 1-10
S
printf '%s\n' 1 0 "1 b'2\\n'" 7 -rw-r--r-- >"$WORKDIR/names.expected"
same "names of sriov_numvfs" "$WORKDIR/names.expected" "${run[@]}" -- "${lenient[@]}" bash "$WORKDIR/names"
# dd wants memory in a way that ASan's malloc refuses.
writers() {
	if [ -n "${VIADUCT_SANITIZED:-}" ]; then
		skip "$1" "dd does not live under ASan's run-time"
	else
		same "$@"
	fi
}
writers "writers of sriov_numvfs" "$WORKDIR/writers.expected" "${run[@]}" -- "${lenient[@]}" bash "$WORKDIR/writers"
refuse=("$BUILD/tests/e2e/refuse" unshare mount --)
writers "writers where paths are redirected" "$WORKDIR/writers.expected" "${refuse[@]}" "${run[@]}" -- "${lenient[@]}" bash "$WORKDIR/writers"
same "two tokens where paths are redirected" "$WORKDIR/one-card.expected" "${refuse[@]}" "${run[@]}" -- "${lenient[@]}" bash "$WORKDIR/one-card"
cat >"$WORKDIR/inside.py" <<-P
	import os
	open('/sys/bus/pci/devices/$PF1/sriov_numvfs', 'w').write('3')
	print(sorted(n for n in os.listdir('/sys/bus/pci/devices/$PF1') if n.startswith('virtfn')), os.listdir('/dev/vfio').__len__())
	open('/sys/bus/pci/devices/$PF1/sriov_numvfs', 'w').write('0')
	print(len(os.listdir('/sys/bus/pci/devices')))
P
printf "%s\n" "['virtfn0', 'virtfn1', 'virtfn2'] 7" 2 >"$WORKDIR/inside.expected"
same "--in-process" "$WORKDIR/inside.expected" "${run[@]}" --in-process -- "${lenient[@]}" python3 "$WORKDIR/inside.py"

sanitizers
if settled >"$WORKDIR/left"; then ok "nothing is left behind"; else not_ok "left behind" "$WORKDIR/left"; fi
