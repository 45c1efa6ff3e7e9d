#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every source file carries its SPDX line; nothing names a path of a developer's machine."""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
files = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\n")
bad = n = 0
for name in files:
    p = ROOT / name
    if not name or not p.is_file() or p.suffix in (".txt", ".bin", ".rec") or "/corpus/" in name or "/recordings/" in name:
        continue
    try:
        text = p.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        continue
    n += 1
    if p.suffix in (".c", ".h", ".py", ".sh", ".cc", ".map") or p.name == "meson.build" or text.startswith("#!"):
        if "SPDX-License-Identifier: MIT" not in "\n".join(text.split("\n")[:3]):
            print(f"{name}: no SPDX line")
            bad = 1
    if p.name != pathlib.Path(__file__).name and re.search(r"(?<![\w.])/(work|farm)/", text):
        print(f"{name}: a path of a developer's machine")
        bad = 1
print(f"{n} files")
sys.exit(bad)
