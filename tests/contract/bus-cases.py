#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every case of the bus's specification (section e, 1 to 76) is a test that carries its number in its
name: case_48_49_decline is 48 and 49. With --list, each case and its tests."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXPECTED = range(1, 77)
TESTS = ["src/bus/test-*.c", "src/base/test-epoch.c"]
# Cases that are no function but something else, which must be there: {case: (files, what one of them says)}.
ELSEWHERE = {
    # Against a kernel's bus: a line of their output.
    66: ("tests/kvm/*.c", r'"66: '),
    67: ("tests/kvm/*.c", r'"67: '),
    # A guest that boots the same with one bus more.
    73: ("tests/e2e/*vmm*.sh", r"(?i)(console|log).*same|same.*(console|log)"),
    # A model beside random operations: ten minutes with a sanitizer, and its inputs in every test run.
    76: ("tests/fuzz/meson.build", r"\['bus', files\('fuzz-bus\.c'\)"),
}
# Which need a part of the tree that is not in every one: where it is missing they are, too.
OPTIONAL = {66: "tests/kvm", 67: "tests/kvm", 73: "examples/linux-vmm"}

DEFINITION = re.compile(r"^static void (case_\d[a-z0-9_]*)\(void \*\*state\)", re.M)


def tests_of(text):
    """(case, test) of each test function in text that is run too."""
    for name in DEFINITION.findall(text):
        if len(re.findall(rf"\b{name}\b", text)) < 2:
            continue
        for part in name.split("_")[1:]:
            if not part.isdigit():
                break
            yield int(part), name


def self_test():
    """The test must be able to fail."""
    text = "static void case_5_32_x_7(void **state)\n{\n}\n\nstatic void case_9_y(void **state)\nTEST(case_5_32_x_7)"
    assert list(tests_of(text)) == [(5, "case_5_32_x_7"), (32, "case_5_32_x_7")], list(tests_of(text))


def main():
    self_test()
    found = {}
    for pattern in TESTS:
        for path in sorted(ROOT.glob(pattern)):
            for number, name in tests_of(path.read_text(encoding="utf-8")):
                found.setdefault(number, []).append(f"{path.relative_to(ROOT)}: {name}")
    for number, (names, says) in ELSEWHERE.items():
        for path in sorted(ROOT.glob(names)):
            if re.search(says, path.read_text(encoding="utf-8")):
                found.setdefault(number, []).append(str(path.relative_to(ROOT)))
    away = [x for x in OPTIONAL if x not in found and not (ROOT / OPTIONAL[x]).exists()]
    if "--list" in sys.argv:
        for number in EXPECTED:
            print(number, *found.get(number, ["-"]), sep="\n    ")
    bad = [f"{x}: no test has its number" for x in EXPECTED if x not in found and x not in away]
    bad += [f"{x}: there is no such case" for x in found if x not in EXPECTED]
    print("\n".join(bad) or f"{len(found)} of {len(EXPECTED)} cases have a test" +
          "".join(f"; {x} not: no {OPTIONAL[x]}" for x in away))
    return 1 if bad else 0


sys.exit(main())
