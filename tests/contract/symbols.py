#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""symbols.py LIBRARY: the public headers, the symbol map and the library agree."""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
headers = set()
for h in (ROOT / "include/viaduct").glob("*.h"):
    text = re.sub(r"/\*.*?\*/", "", h.read_text(encoding="utf-8"), flags=re.S)
    for m in re.finditer(r"^VIA_PUBLIC\b(.*?);", text, flags=re.S | re.M):
        headers.add(re.search(r"\b(via_\w+)\s*\(", m.group(1)).group(1))
mapped = set(re.findall(r"^\s+(via_\w+);", (ROOT / "src/viaduct.map").read_text(encoding="utf-8"), flags=re.M))
out = subprocess.run(["nm", "-D", "--defined-only", sys.argv[1]], check=True, capture_output=True, text=True).stdout
exported = {line.split()[-1].split("@")[0] for line in out.splitlines() if " T " in line or " D " in line or " R " in line}
bad = 0
for what, extra in (("declared but not in src/viaduct.map", headers - mapped),
                    ("in src/viaduct.map but in no public header", mapped - headers),
                    ("declared but not exported by the library", headers - exported),
                    ("exported but not declared", exported - headers)):
    for name in sorted(extra):
        print(f"{name}: {what}")
        bad = 1
if not bad:
    print(f"{len(headers)} public symbols")
sys.exit(bad)
