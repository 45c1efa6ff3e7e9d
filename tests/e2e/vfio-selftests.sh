#!/bin/bash
# SPDX-License-Identifier: MIT
# The kernel's own VFIO selftests, with the driver for I/OAT that is part of
# them, in each of their five IOMMU modes: containers of both type1 versions, the
# same on an iommufd, and an iommufd with the device's own node. Each of their tests
# is one here, by its name; what passes on a real kernel with real hardware has to, and in each
# mode one test is skipped, that of MSI: our I/OAT has MSI-X only.
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
run=("$VIADUCT" run --profile linux --hugepages=emulate --device "ioat,addr=$ADDR" --)

# result NAME KIND [REASON]
result() {
	case $2 in
	ok) passed=$((passed + 1)); ok "$1" ;;
	skip) skipped=$((skipped + 1)); skip "$1" "$3" ;;
	*) failed=$((failed + 1)); not_ok "$1" "$WORKDIR/log" ;;
	esac
}

# judge LABEL N SKIPPED: the TAP in log, of N tests, of which those named in SKIPPED are skipped, and no other.
judge() {
	local label=$1 line name plan seen=0 left=" $3 "
	plan=$(sed -n 's/^1\.\.\([0-9]*\)$/\1/p' "$WORKDIR/log" | head -n 1)
	while read -r line; do
		seen=$((seen + 1))
		name=$(sed -E 's/^(not )?ok [0-9]+ ([^ ]*).*/\2/' <<<"$line")
		case $line in
		"ok "*"# SKIP"*)
			if [[ $left == *" $name "* ]]; then
				result "$label$name" skip "${line#*# SKIP }"
				left=${left/" $name "/ }
			else
				result "$label$name is skipped" failed
			fi ;;
		"ok "*) result "$label$name" ok ;;
		*) result "$label$name" failed ;;
		esac
	done < <(grep -E '^(not )?ok [0-9]+ ' "$WORKDIR/log")
	[ -z "${left// }" ] || result "$label${left# }should have been skipped" failed
	[ "$seen" = "${plan:-none}" ] && [ "$seen" = "$2" ] || result "$label$seen results of ${plan:-no} planned, $2 expected" failed
}

# selftest PROGRAM N [LABEL] [SKIPPED]
selftest() {
	timeout 400 "${run[@]}" "$PROGRAMS/$1" "$ADDR" >"$WORKDIR/log" 2>&1 </dev/null
	judge "${3:-}" "$2" "${4:-}"
}

# Those in which the mode is a part of each test's name. A BAR can be mapped for DMA with type1
# alone, and the tests of the other modes see that it cannot.
selftest vfio_dma_mapping_test 30
selftest vfio_dma_mapping_mmio_test 15
selftest vfio_iommufd_setup_test 6
selftest vfio_pci_driver_test 35
selftest vfio_pci_device_init_perf_test 5
# Here only the default mode is used.
for mode in $MODES; do
	IOMMU_MODE=$mode selftest vfio_pci_device_test 5 "$mode: " vfio_pci_irq_test.msi.enable_trigger_disable
done
# The one that makes a virtual function of its device.
run=("$VIADUCT" run --profile linux --device "sriov,addr=$ADDR" --)
selftest vfio_pci_sriov_uapi_test 45
# A kernel that has no type1: iommufd serves its containers, and BARs cannot be mapped any more.
run=("$VIADUCT" run --profile linux --container=iommufd --device "ioat,addr=$ADDR" --)
timeout 60 "${run[@]}" "$PROGRAMS/vfio_dma_mapping_mmio_test" "$ADDR" >"$WORKDIR/log" 2>&1 </dev/null
if [ "$(grep -c '^not ok .*vfio_type1' "$WORKDIR/log")" = 6 ] && [ "$(grep -c '^ok .*iommufd' "$WORKDIR/log")" = 9 ]; then
	ok "BARs in containers that iommufd serves, as on such a kernel"
else
	not_ok "BARs in containers that iommufd serves" "$WORKDIR/log"
fi

echo "# selftests of the kernel: $passed passed, $failed failed, $skipped skipped"
sanitizers
if settled >"$WORKDIR/left"; then ok "nothing is left behind"; else not_ok "left behind" "$WORKDIR/left"; fi
