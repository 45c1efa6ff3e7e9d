#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every case of the config space specification (section 9.2, T1 to T95) is a
test that carries its number in its name: test_t5_t6_splitting is T5 and T6.
With --list, each case and its tests."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXPECTED = [f"t{i}" for i in range(1, 96)] + ["t32b"]
# Cases that are no function but something else, which must be there: (file, what it says).
ELSEWHERE = {
    # All others once more, where bytes are the other way round.
    "t2": ("tools/run-tests", r'"s390x",.*\n.*"pci", "device"'),
    # A client's calls, through the shim.
    "t95": ("tests/e2e/program.sh", r'ok "T95: '),
}

DEFINITION = re.compile(r"^static void (test_t\d[a-z0-9_]*)\(void \*\*state\)", re.M)
NUMBERS = re.compile(r"(?<=_)t\d+b?(?=_|$)")


def tests_of(text):
    """(case, test) of each test function in text that is run too."""
    for name in DEFINITION.findall(text):
        runs = len(re.findall(rf"\b{name}\b", text)) > 1
        for number in NUMBERS.findall(name) if runs else []:
            yield number, name


def self_test():
    """The test must be able to fail."""
    text = "static void test_t5_t32b_x(void **state)\n{\n}\n\nstatic void test_t7_y(void **state)\nTEST(test_t5_t32b_x)"
    assert list(tests_of(text)) == [("t5", "test_t5_t32b_x"), ("t32b", "test_t5_t32b_x")], list(tests_of(text))


def main():
    self_test()
    found = {}
    for path in sorted(ROOT.glob("src/*/test-*.[ch]")):
        for number, name in tests_of(path.read_text(encoding="utf-8")):
            found.setdefault(number, []).append(f"{path.relative_to(ROOT)}: {name}")
    for number, (name, says) in ELSEWHERE.items():
        if re.search(says, (ROOT / name).read_text(encoding="utf-8")):
            found.setdefault(number, []).append(name)
    if "--list" in sys.argv:
        for number in EXPECTED:
            print(number.upper(), *found.get(number, ["-"]), sep="\n    ")
    bad = [f"{x.upper()}: no test has its number" for x in EXPECTED if x not in found]
    bad += [f"{x.upper()}: there is no such case" for x in found if x not in EXPECTED]
    print("\n".join(bad) or f"{len(found)} of {len(EXPECTED)} cases have a test")
    return 1 if bad else 0


sys.exit(main())
