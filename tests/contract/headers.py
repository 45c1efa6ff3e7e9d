#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Each public header compiles alone, as C and as C++."""
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
modes = [["gcc", "-xc", "-std=c11"], ["gcc", "-xc", "-std=gnu17"]]
if shutil.which("g++"):
    modes.append(["g++", "-xc++", "-std=c++17"])
else:
    print("C++ is not tried: no g++")
bad = n = 0
for h in sorted((ROOT / "include").rglob("*.h")):
    for mode in modes:
        p = subprocess.run(mode + ["-Wall", "-Wextra", "-Werror", "-pedantic-errors" if "c11" in mode[-1] else "-Wpedantic",
                                   "-fsyntax-only", "-I", str(ROOT / "include"), "-include", str(h), "/dev/null"],
                           capture_output=True, text=True)
        n += 1
        if p.returncode:
            bad = 1
            print(f"{h.relative_to(ROOT)} as {mode[1]} {mode[2]}:\n{p.stderr}")
print(f"{n} compilations")
sys.exit(bad)
