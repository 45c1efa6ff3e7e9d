# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# TAP and bookkeeping for the end-to-end scripts. Source it; BUILD is the build
# directory (first argument of the script).
set -u
BUILD=$(cd "${1:?build directory}" && pwd)
SOURCE=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# VIADUCT_HOST_BUILD: a second build, e.g. with sanitizers, whose host process serves the programs
# and the shim of this one: a preloaded library cannot bring a sanitizer into an ordinary program.
VIADUCT=${VIADUCT_HOST_BUILD:-$BUILD}/src/cli/viaduct
[ -z "${VIADUCT_HOST_BUILD:-}" ] || export VIADUCT_PRELOAD=$BUILD/src/preload/libviaduct-preload.so
WORKDIR=$(mktemp -d "${TMPDIR:-/tmp}/viaduct-e2e.XXXXXX")
chmod 755 "$WORKDIR"
cases=0
bad=0
export LC_ALL=C

finish() {
	local status=$?
	echo "1..$cases"
	rm -rf "$WORKDIR"
	[ "$bad" = 0 ] && [ "$status" = 0 ]
	exit
}
trap finish EXIT

ok() { cases=$((cases + 1)); echo "ok $cases - $1"; }
not_ok() { # name [file with detail]
	cases=$((cases + 1)) bad=$((bad + 1))
	echo "not ok $cases - $1"
	[ $# -lt 2 ] || sed 's/^/# /' "$2" | tail -n 40
}
skip() { cases=$((cases + 1)); echo "ok $cases - $1 # SKIP $2"; } # name reason

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
