#!/bin/bash
# SPDX-License-Identifier: MIT
# What the devices are behind: a POWER machine's windows, or nothing at all.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
BDF=0000:00:04.0
run=("$VIADUCT" run --device "edu,addr=$BDF,group=3")

# sPAPR itself is asked by compat.sh; here what a program finds of it.
"${run[@]}" --iommu spapr -- "$BUILD/tests/e2e/noiommu" spapr >"$WORKDIR/out" 2>&1
echo "extensions: 2 7" | diff - "$WORKDIR/out" >"$WORKDIR/diff" && ok "spapr: extensions" || not_ok "spapr: extensions" "$WORKDIR/out"

"${run[@]}" --iommu none -- sh -c "ls /dev/vfio; cat /sys/module/vfio/parameters/enable_unsafe_noiommu_mode /sys/kernel/iommu_groups/3/name /sys/kernel/iommu_groups/3/type; ls /sys/class/vfio; ls -d /sys/bus/pci/devices/$BDF/iommu 2>/dev/null" >"$WORKDIR/out" 2>&1
printf '%s\n' noiommu-3 vfio Y vfio-noiommu unknown noiommu-3 | diff - "$WORKDIR/out" >"$WORKDIR/diff" && ok "none: nodes and sysfs" || not_ok "none: nodes and sysfs" "$WORKDIR/diff"
"$VIADUCT" run --device "edu,addr=$BDF,group=3,dma_mask=0xffffffffffffffff" --iommu none -- "$BUILD/tests/e2e/noiommu" none 3 $BDF >"$WORKDIR/out" 2>&1
cat >"$WORKDIR/expected" <<'E'
extensions: 1 3 8 9
group: extensions: 8
SET_IOMMU 1: ENODEV
SET_IOMMU 8: 0
MAP: ENOTTY
device: ok
DMA by address: ok
E
diff "$WORKDIR/expected" "$WORKDIR/out" >"$WORKDIR/diff" && ok "none: a container and a device, DMA by the program's addresses" || not_ok "none: a container and a device, DMA by the program's addresses" "$WORKDIR/diff"
as_nobody=()
[ "$(id -u)" != 0 ] || as_nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups)
"${as_nobody[@]}" "${run[@]}" --iommu none --profile linux -- "$BUILD/tests/e2e/noiommu" none 3 $BDF >"$WORKDIR/out" 2>&1
grep -q '^group: EPERM' "$WORKDIR/out" && ok "none, profile linux: not for everybody" || not_ok "none, profile linux: not for everybody" "$WORKDIR/out"
"${run[@]}" --iommu nonsense -- true >"$WORKDIR/out" 2>&1
[ $? = 2 ] && grep -q "must be intel, spapr or none" "$WORKDIR/out" && ok "no such IOMMU" || not_ok "no such IOMMU" "$WORKDIR/out"

sanitizers
if settled >"$WORKDIR/left"; then ok "nothing is left behind"; else not_ok "left behind" "$WORKDIR/left"; fi
