#!/bin/bash
# SPDX-License-Identifier: MIT
# The kernel's own selftest of iommufd, unmodified and dynamically linked: each
# of its tests has to pass, or to be skipped, exactly where it does on a real
# kernel (iommufd-selftest-SERIES.tap, recorded there).
#
# iommufd-selftest.sh BUILD [ARG...]: ARG... go to the selftest (-l lists, -f FIXTURE, -t TEST, -r
# FIXTURE.TEST select); what is not selected is not compared.
# RUNNER="COMMAND...": it runs a static program on a real kernel; that is compared as well, and shown
# where it differs from the file. RECORD=1: it makes the file anew.
# KEEP=DIR: leave the built programs and the TAP of each run there.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/linux-selftests.sh
. "$SOURCE/tests/e2e/linux-selftests.sh"
shift
# shellcheck disable=SC2154 # from linux-selftests.sh
EXPECTED=$SOURCE/tests/e2e/iommufd-selftest-$selftests_series.tap
PROGRAMS=${KEEP:-$WORKDIR}
PROFILE=${PROFILE:-linux}
mkdir -p "$PROGRAMS"

selftests_source || { not_ok "sources of the selftests"; exit 1; }
if ! selftests_build_iommu "$PROGRAMS/dynamic" >"$WORKDIR/build.log" 2>&1; then
	not_ok "the selftest does not compile" "$WORKDIR/build.log"
	exit 1
fi

# verdicts FILE: a line "NAME pass|skip|fail" for each result in a TAP.
verdicts() {
	sed -nE 's/^ok [0-9]+ ([^ ]+) # SKIP.*/\1 skip/p; s/^ok [0-9]+ ([^ ]+)( *|.*XFAIL.*)$/\1 pass/p; s/^not ok [0-9]+ ([^ ]+).*/\1 fail/p' "$1"
}
# summary FILE: as the selftest prints it, also of a part of it.
summary() {
	verdicts "$1" | awk '{ n[$2]++ } END { printf "pass:%d fail:%d skip:%d\n", n["pass"], n["fail"], n["skip"] }'
}
# said TAP NAME: what a run has printed about one test.
said() {
	awk -v name="$2" '$1 == "#" && $2 == "RUN" { on = $3 == name } on' "$1"
}

if [ -n "${RUNNER:-}" ]; then
	selftests_build_iommu "$PROGRAMS/static" -static >"$WORKDIR/build.log" 2>&1 || not_ok "the static selftest does not compile" "$WORKDIR/build.log"
	# shellcheck disable=SC2086 # a command with its arguments
	$RUNNER "$PROGRAMS/static/iommufd" "$@" >"$PROGRAMS/kernel.tap" 2>"$WORKDIR/runner.log" </dev/null || true
	if [ -n "${RECORD:-}" ] && verdicts "$PROGRAMS/kernel.tap" | grep -q .; then
		# What it was recorded on is for a person to say.
		{
			sed -n '/^# Totals/d; /^#/p' "$EXPECTED"
			grep -E '^(not )?ok [0-9]+ |^# Totals' "$PROGRAMS/kernel.tap"
		} >"$WORKDIR/recorded" && cp "$WORKDIR/recorded" "$EXPECTED"
	fi
	sort <(verdicts "$EXPECTED") >"$WORKDIR/file"
	if verdicts "$PROGRAMS/kernel.tap" | sort | comm -23 - "$WORKDIR/file" >"$WORKDIR/detail" && [ -s "$PROGRAMS/kernel.tap" ] && [ ! -s "$WORKDIR/detail" ]; then
		ok "the real kernel answers as recorded"
	else
		cat "$WORKDIR/runner.log" >>"$WORKDIR/detail"
		not_ok "the real kernel answers other than recorded" "$WORKDIR/detail"
	fi
fi

timeout 600 "$VIADUCT" run --profile "$PROFILE" --hugepages=emulate --iommu-test -- "$PROGRAMS/dynamic/iommufd" "$@" >"$PROGRAMS/viaduct.tap" 2>&1 </dev/null
status=$?
verdicts "$PROGRAMS/viaduct.tap" >"$WORKDIR/got"
while read -r name wanted; do
	got=$(awk -v name="$name" '$1 == name { print $2 }' "$WORKDIR/got")
	if [ "${got:-missing}" = "$wanted" ]; then
		[ "$wanted" = skip ] && skip "$name" "as on a real kernel" || ok "$name"
	elif [ -n "$got" ] || [ $# = 0 ]; then
		{
			echo "a real kernel: $wanted, here: ${got:-no result}"
			said "$PROGRAMS/viaduct.tap" "$name"
		} >"$WORKDIR/detail"
		not_ok "$name" "$WORKDIR/detail"
	fi
done < <(verdicts "$EXPECTED")
if comm -13 <(verdicts "$EXPECTED" | cut -d' ' -f1 | sort) <(cut -d' ' -f1 "$WORKDIR/got" | sort) | grep . >"$WORKDIR/detail"; then
	not_ok "tests that the file does not know" "$WORKDIR/detail"
fi
if [ ! -s "$WORKDIR/got" ]; then
	{ echo "status $status"; tail -n 20 "$PROGRAMS/viaduct.tap"; } >"$WORKDIR/detail"
	not_ok "the selftest gave no result" "$WORKDIR/detail"
fi
echo "# selftest iommufd of Linux $(selftests_version)"
echo "# real kernel (recorded): $(summary "$EXPECTED")"
[ ! -s "$PROGRAMS/kernel.tap" ] || echo "# real kernel (now): $(summary "$PROGRAMS/kernel.tap")"
echo "# viaduct, profile $PROFILE: $(summary "$PROGRAMS/viaduct.tap")"

# As anybody: shared memory of a process that is gone, which only the privileged find by its mapping.
if [ "$(id -u)" = 0 ] && [ $# = 0 ]; then
	cp "$PROGRAMS/dynamic/iommufd" "$WORKDIR/iommufd" && mkdir -m 777 "$WORKDIR/home"
	TMPDIR=$WORKDIR/home HOME=$WORKDIR/home setpriv --reuid=65534 --regid=65534 --clear-groups \
		timeout 120 "$VIADUCT" run --profile "$PROFILE" --hugepages=emulate --iommu-test -- "$WORKDIR/iommufd" -t fork_gone >"$WORKDIR/nobody" 2>&1 </dev/null
	case "$(summary "$WORKDIR/nobody")" in
	"pass:"[1-9]*" fail:0 skip:0") ok "fork_gone of an unprivileged program" ;;
	*) not_ok "fork_gone of an unprivileged program" "$WORKDIR/nobody" ;;
	esac
fi
sanitizers
if settled >"$WORKDIR/left"; then ok "nothing is left behind"; else not_ok "left behind" "$WORKDIR/left"; fi
