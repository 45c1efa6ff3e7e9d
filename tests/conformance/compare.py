#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Run the list of calls in process and compare it with a recording of a kernel.

usage: compare.py RECORDING DIFFERENCES DOCUMENT PROGRAM [ARG...]

A line that differs must be covered by a difference of the file DIFFERENCES,
"NAME<TAB>REGEX" a line, where REGEX matches all of "SECTION: RECORDED LINE =>
OUR RESULT" and NAME stands in the document of deliberate differences. One that
covers nothing is an error, too.
"""
import re
import subprocess
import sys


def entries(text):
    """[(section, line)] of a run"""
    found, section = [], ''
    for line in text.splitlines():
        if line.startswith('##'):
            continue
        if line.startswith('#'):
            section = line[2:]
        found.append((section, line))
    return found


def differences(path, document):
    known = []
    for line in open(path):
        if line.startswith('#') or not line.strip():
            continue
        name, regex = line.rstrip('\n').split('\t', 1)
        if name not in document:
            sys.exit(f'{name}: not in the document of differences')
        known.append([name, re.compile(regex), 0])
    return known


def main():
    recording, listed, document, *command = sys.argv[1:]
    known = differences(listed, open(document).read())
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if run.returncode:
        sys.exit(f'{command[0]}: exit status {run.returncode}')
    theirs, ours = entries(open(recording).read()), entries(run.stdout)
    bad = 0
    if len(theirs) != len(ours):
        print(f'{len(theirs)} calls recorded, {len(ours)} made')
        bad += 1
    for (section, want), (_, have) in zip(theirs, ours):
        if want == have:
            continue
        result = have.split(' -> ', 1)[-1]
        for entry in known:
            if entry[1].fullmatch(f'{section}: {want} => {result}'):
                entry[2] += 1
                break
        else:
            bad += 1
            print(f'[{section}]\n  linux: {want}\n  ours:  {have}')
    for name, regex, count in known:
        print(f'difference {name}: {count} calls')
        if not count:
            print(f'  {regex.pattern}: covers nothing')
            bad += 1
    print(f'{len(theirs)} lines compared, {bad} unexpected')
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main())
