#!/bin/bash
# SPDX-License-Identifier: MIT
# The kernel's own VFIO selftests, with the driver for I/OAT that is part of
# them, in each of their IOMMU modes that there is. Each of their tests is one
# here, by its name and with its reason if it was skipped.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/linux-selftests.sh
. "$SOURCE/tests/e2e/linux-selftests.sh"
ADDR=0000:00:05.0
MODES="vfio_type1_iommu vfio_type1v2_iommu iommufd_compat_type1 iommufd_compat_type1v2 iommufd"
PROGRAMS=$WORKDIR/selftests
passed=0 failed=0 skipped=0

selftests_source || { not_ok "sources of the selftests"; exit 1; }
if ! selftests_build "$PROGRAMS" "$SOURCE/tests/e2e/linux-selftests.h" >"$WORKDIR/build.log" 2>&1; then
	not_ok "the selftests do not compile" "$WORKDIR/build.log"
	exit 1
fi
run=("$VIADUCT" run --device "ioat,addr=$ADDR" --)
"${run[@]}" test -e /dev/iommu && iommufd=1

# absent MODE-OR-TEST: says why that mode is not there.
absent() {
	case $1 in
	*iommufd*) [ -n "${iommufd:-}" ] || echo "no /dev/iommu" ;;
	esac
}

# result NAME KIND [REASON]
result() {
	case $2 in
	ok) passed=$((passed + 1)); ok "$1" ;;
	skip) skipped=$((skipped + 1)); skip "$1" "$3" ;;
	*) failed=$((failed + 1)); not_ok "$1" "$WORKDIR/log" ;;
	esac
}

# judge LABEL: the TAP in log. DIFFERENCE: why these fail, on purpose.
judge() {
	local label=$1 line name reason plan seen=0
	plan=$(sed -n 's/^1\.\.\([0-9]*\)$/\1/p' "$WORKDIR/log" | head -n 1)
	while read -r line; do
		seen=$((seen + 1))
		name=$(sed -E 's/^(not )?ok [0-9]+ ([^ ]*).*/\2/' <<<"$line")
		reason=$(absent "$name")
		case $line in
		"ok "*"# SKIP"*) result "$label$name" skip "${line#*# SKIP }" ;;
		"ok "*) result "$label$name" ok ;;
		*) if [ -n "$reason" ]; then
			result "$label$name" skip "$reason"
		elif [ -n "${DIFFERENCE:-}" ]; then
			result "$label$name" skip "$DIFFERENCE"
		else
			result "$label$name" failed
		fi ;;
		esac
	done < <(grep -E '^(not )?ok [0-9]+ ' "$WORKDIR/log")
	[ "$seen" = "${plan:-none}" ] || result "$label: $seen results of ${plan:-no} planned" failed
}

# Those in which the mode is a part of each test's name.
for program in vfio_pci_driver_test vfio_dma_mapping_test vfio_pci_device_init_perf_test; do
	IOMMU_MODE=vfio_type1v2_iommu timeout 400 "${run[@]}" "$PROGRAMS/$program" "$ADDR" >"$WORKDIR/log" 2>&1 </dev/null
	judge ""
done
# The one that makes a virtual function of its device.
IOMMU_MODE=vfio_type1v2_iommu timeout 120 "$VIADUCT" run --device "sriov,addr=$ADDR" -- "$PROGRAMS/vfio_pci_sriov_uapi_test" "$ADDR" >"$WORKDIR/log" 2>&1 </dev/null
judge ""
# Here only the default mode is used.
for mode in $MODES; do
	reason=$(absent "$mode")
	if [ -n "$reason" ]; then
		result "vfio_pci_device_test in mode $mode" skip "$reason"
		continue
	fi
	IOMMU_MODE=$mode timeout 60 "${run[@]}" "$PROGRAMS/vfio_pci_device_test" "$ADDR" >"$WORKDIR/log" 2>&1 </dev/null
	judge "$mode: "
done
# Each test maps a BAR for DMA, and our registers are no memory.
IOMMU_MODE=vfio_type1v2_iommu timeout 60 "${run[@]}" "$PROGRAMS/vfio_dma_mapping_mmio_test" "$ADDR" >"$WORKDIR/log" 2>&1 </dev/null
if [ "$(grep -c 'errno: 14 - Bad address' "$WORKDIR/log")" = "$(grep '^not ok' "$WORKDIR/log" | grep -vc iommufd)" ]; then
	DIFFERENCE="MAP_DMA of a BAR: docs/differences.md" judge ""
else
	judge ""
fi

echo "# selftests of the kernel: $passed passed, $failed failed, $skipped skipped"
sanitizers
if settled >"$WORKDIR/left"; then ok "nothing is left behind"; else not_ok "left behind" "$WORKDIR/left"; fi
