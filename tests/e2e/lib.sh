# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# TAP and bookkeeping for the end-to-end scripts. Source it; BUILD is the build
# directory (first argument of the script).
set -u
BUILD=$(cd "${1:?build directory}" && pwd)
SOURCE=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
VIADUCT=$BUILD/src/cli/viaduct
WORKDIR=$(mktemp -d "${TMPDIR:-/tmp}/viaduct-e2e.XXXXXX")
chmod 755 "$WORKDIR"
cases=0
bad=0
export LC_ALL=C

finish() {
	local status=$?
	echo "1..$cases"
	rm -rf "$WORKDIR"
	# A bare exit in a trap is that of before the trap.
	[ "$bad" = 0 ] || status=1
	exit $status
}
trap finish EXIT

ok() { cases=$((cases + 1)); echo "ok $cases - $1"; }
not_ok() { # name [file with detail]
	cases=$((cases + 1)) bad=$((bad + 1))
	echo "not ok $cases - $1"
	[ $# -lt 2 ] || sed 's/^/# /' "$2" | tail -n 40
}
skip() { cases=$((cases + 1)); echo "ok $cases - $1 # SKIP $2"; } # name reason

# VIADUCT_SANITIZED: a second build, with ASan and UBSan, whose host process and shim serve the programs
# of this one. ASan's run-time is preloaded behind the shim: its malloc and the rest then stand before
# libc's, and a program's bad pointers reach the shim first. The program's signals are its own.
if [ -n "${VIADUCT_SANITIZED:-}" ]; then
	runtime=$(ldd "$VIADUCT_SANITIZED/src/preload/libviaduct-preload.so" | sed -n 's/.* => \(.*libasan[^ ]*\) .*/\1/p')
	[ -n "$runtime" ] || not_ok "the shim of $VIADUCT_SANITIZED has no ASan"
	VIADUCT=$WORKDIR/viaduct
	cat >"$VIADUCT" <<-S
		#!/bin/sh
		export LD_PRELOAD="$runtime\${LD_PRELOAD:+:\$LD_PRELOAD}"
		export ASAN_OPTIONS=detect_leaks=1:verify_asan_link_order=0:handle_segv=0:handle_sigbus=0:use_sigaltstack=0:log_path=$WORKDIR/sanitizer
		export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1:log_path=$WORKDIR/sanitizer
		exec "$VIADUCT_SANITIZED/src/cli/viaduct" "\$@"
	S
	chmod 755 "$VIADUCT"
fi
# At the end: what they found, in whatever process.
sanitizers() {
	[ -n "${VIADUCT_SANITIZED:-}" ] || return
	if "$VIADUCT" run --device edu -- cat /proc/self/maps | grep -q "$VIADUCT_SANITIZED/src/preload/"; then ok "the shim is the one with sanitizers"; else not_ok "the shim has no sanitizers"; fi
	sed '/^Shadow bytes/,/ABORTING$/d' "$WORKDIR"/sanitizer* >"$WORKDIR/detail" 2>/dev/null
	if [ -s "$WORKDIR/detail" ]; then not_ok "the sanitizers found something" "$WORKDIR/detail"; else ok "the sanitizers found nothing in the shim and the host process"; fi
}

# check NAME COMMAND...: the command's status decides; its output is shown when it fails.
check() {
	local name=$1
	shift
	if "$@" >"$WORKDIR/check.log" 2>&1; then ok "$name"; else
		echo "status $?: $*" >>"$WORKDIR/check.log"
		not_ok "$name" "$WORKDIR/check.log"
	fi
}

# same NAME EXPECTED-FILE COMMAND...: standard output must equal the file, status 0.
same() {
	local name=$1 expected=$2 status
	shift 2
	"$@" >"$WORKDIR/out" 2>"$WORKDIR/err" </dev/null
	status=$?
	if [ $status = 0 ] && diff -u "$expected" "$WORKDIR/out" >"$WORKDIR/diff"; then ok "$name"; else
		{ echo "status $status: $*"; cat "$WORKDIR/diff" "$WORKDIR/err"; } >"$WORKDIR/detail"
		not_ok "$name" "$WORKDIR/detail"
	fi
}

# What a run must not leave behind: processes (and with them sockets, mounts and locks), shared
# memory, directories. Only what this script started counts.
export VIADUCT_E2E=$WORKDIR TMPDIR=$WORKDIR/tmp
mkdir -m 1777 "$TMPDIR"
leftovers() {
	local p
	for p in $(pgrep -x viaduct-host; pgrep -x viaduct); do
		{ tr "\0" "\n" <"/proc/$p/environ"; } 2>/dev/null | grep -qx "VIADUCT_E2E=$WORKDIR" && echo "process $p: $(tr '\0' ' ' <"/proc/$p/cmdline")"
	done
	find "$TMPDIR" /dev/shm -newer "$WORKDIR/start" -name 'viaduct*' 2>/dev/null
	true
}
: >"$WORKDIR/start"
settled() { # waits up to two seconds for asynchronous ends
	local i
	for i in $(seq 20); do
		[ -z "$(leftovers)" ] && return 0
		sleep 0.1
	done
	leftovers
	return 1
}
