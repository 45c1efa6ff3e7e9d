#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Dependency points down only: a file may include headers of its own room and
of rooms below it. Includes are written "room/file.h" or <viaduct/room.h>."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Rooms of one tier may not include each other.
TIERS = [["base"], ["memory"], ["iommu"], ["bus"], ["pci"], ["device"], ["igd"], ["models"],
         ["vfio", "wire", "vmm"], ["host"], ["preload", "cli"]]
LEVEL = {room: i for i, tier in enumerate(TIERS) for room in tier}
INCLUDE = re.compile(r'^\s*#\s*include\s+(?P<q>[<"])(?P<path>[^">]+)[>"]', re.M)
# Headers that are every room's: the kernel ABI is facts without code.
COMMON = {"abi"}
# Headers whose room has another name.
HEADER_ROOM = {"kvm": "bus"}


def room_of(path):
    parts = path.relative_to(ROOT).parts
    if parts[0] == "src" and len(parts) > 2:
        return parts[1]
    if parts[:2] == ("include", "viaduct"):
        return "abi" if parts[2] == "abi" else HEADER_ROOM.get(path.stem, path.stem)
    return None


def check(path, text, errors):
    room = room_of(path)
    if room in COMMON or room is None or room == "viaduct":
        return
    if room not in LEVEL:
        errors.append(f"{path}: unknown room '{room}'")
        return
    for m in INCLUDE.finditer(text):
        name = m.group("path")
        if m.group("q") == '"':
            target = name.split("/")[0]
            if "/" not in name or target not in LEVEL:
                errors.append(f'{path}: write #include "room/file.h", not "{name}"')
                continue
        elif name.startswith("viaduct/"):
            target = name.split("/")[1].removesuffix(".h")
            target = HEADER_ROOM.get(target, target)
            if target in COMMON:
                continue
            if target not in LEVEL:
                errors.append(f"{path}: <{name}> belongs to no room")
                continue
        else:
            continue
        if target != room and LEVEL[target] >= LEVEL[room]:
            errors.append(f"{path}: {room} may not include {name}")


def self_test():
    """The test must be able to fail."""
    errors = []
    check(ROOT / "src/bus/x.c", '#include "vfio/file.h"\n', errors)
    check(ROOT / "src/vfio/x.c", '#include "wire/file.h"\n', errors)
    check(ROOT / "src/bus/x.c", '#include "x.h"\n#include <viaduct/device.h>\n', errors)
    check(ROOT / "src/bus/x.c", '#include "base/log.h"\n#include <viaduct/base.h>\n', errors)
    assert len(errors) == 4, errors


self_test()
problems = []
n = 0
for pattern in ("src/**/*.[ch]", "include/viaduct/**/*.h"):
    for p in sorted(ROOT.glob(pattern)):
        check(p, p.read_text(encoding="utf-8"), problems)
        n += 1
print("\n".join(str(x) for x in problems) or f"{n} files, no upward include")
sys.exit(1 if problems else 0)
