#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The table of src/vfio/profile.c names every place where profiles linux and full
differ: each entry has its line in docs/differences.md, which says "profile full" and
names the same test, that test exists and is run, the entry is asked for somewhere,
and nothing else in the library looks at the profile."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
ENTRY = re.compile(r"\[VIA_DIFFERS_(\w+)\] = \{(.*?)\n\t\},", re.S)
FIELD = re.compile(r"\.(\w+) = ((?:\s*\"[^\"]*\")+|NULL)")


def entries(text):
    """{id: {field: string}} of the table."""
    found = {}
    for name, body in ENTRY.findall(text):
        found[name] = {k: "".join(re.findall(r'"([^"]*)"', v)) for k, v in FIELD.findall(body)}
    return found


def check(table, docs, sources, tests):
    """What is wrong, one line each. sources, tests: {path: text}."""
    bad = []
    for name, entry in table.items():
        lines = [x for x in docs.splitlines() if x.startswith(f"| {entry['name']} (profile full)")]
        if len(lines) != 1:
            bad.append(f"{name}: {len(lines)} lines in docs/differences.md begin with: | {entry['name']} (profile full)")
        elif f"`{entry['test']}`" not in lines[0]:
            bad.append(f"{name}: its line in docs/differences.md does not name `{entry['test']}`")
        if not any(len(re.findall(rf"\b{entry['test']}\b", text)) > 1 for text in tests.values()):
            bad.append(f"{name}: no test {entry['test']} is run")
        if not any(f"VIA_DIFFERS_{name})" in text for text in sources.values()):
            bad.append(f"{name}: nobody asks for it")
    for path, text in sources.items():
        if re.search(r"(config\.|->|\()profile [!=]=", text):
            bad.append(f"{path}: looks at the profile itself")
    return bad


def self_test():
    """The test must be able to fail."""
    text = '[VIA_DIFFERS_A] = {\n\t\t.name = "a "\n\t\t"b",\n\t\t.spec = NULL,\n\t\t.test = "t",\n\t},'
    table = entries(text)
    assert table == {"A": {"name": "a b", "spec": "", "test": "t"}}, table
    good = ["| a b (profile full) | x | `t` |", {"f.c": "(VIA_DIFFERS_A)"}, {"t.c": "t t"}]
    assert check(table, *good) == []
    for i, worse in enumerate(["| a b | `t` |", {"f.c": "config.profile == (VIA_DIFFERS_A)"}, {"t.c": "t"}]):
        assert len(check(table, *good[:i], worse, *good[i + 1:])) == 1, i
    assert check(table, "| a b (profile full) | x |", *good[1:]) != []
    assert check(table, good[0], {"f.c": ""}, good[2]) != []


def main():
    self_test()
    table = entries((ROOT / "src/vfio/profile.c").read_text(encoding="utf-8"))
    header = (ROOT / "src/vfio/profile.h").read_text(encoding="utf-8")
    ids = [x for x in re.findall(r"\tVIA_DIFFERS_(\w+),", header) if x != "COUNT"]
    texts = {p.relative_to(ROOT): p.read_text(encoding="utf-8") for p in sorted(ROOT.glob("src/vfio/**/*.[ch]"))}
    tests = {p: t for p, t in texts.items() if p.name.startswith("test-")}
    sources = {p: t for p, t in texts.items() if p not in tests and p.name not in ("profile.c", "profile.h")}
    bad = check(table, (ROOT / "docs/differences.md").read_text(encoding="utf-8"), sources, tests)
    bad += [f"{x}: not in the table" for x in ids if x not in table]
    print("\n".join(bad) or f"{len(table)} places where profiles differ")
    return 1 if bad else 0


sys.exit(main())
