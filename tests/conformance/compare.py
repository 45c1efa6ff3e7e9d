#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Run the list of calls in process and compare it with a recording of a kernel.

usage: compare.py RECORDING DIFFERENCES DOCUMENT PROGRAM [ARG...]

An ARG {seed} is replaced by the seed that the recording names ("## seed: N").

A line that differs must be covered by a difference of the file DIFFERENCES,
"NAME<TAB>REGEX" a line, where REGEX matches all of "SECTION: RECORDED LINE =>
OUR RESULT" and a line of the table of deliberate differences begins with NAME. One that
covers nothing is an error, too.
"""
import itertools
import re
import subprocess
import sys

SHOWN = 20  # differences of a section


def entries(text):
    """[(section, its lines)] of a run"""
    found = [('', [])]
    for line in text.splitlines():
        if line.startswith('##'):
            continue
        if line.startswith('#'):
            found.append((line[2:], []))
        found[-1][1].append(line)
    return found


def differences(path, document):
    known = []
    for line in open(path):
        if line.startswith('#') or not line.strip():
            continue
        name, regex = line.rstrip('\n').split('\t', 1)
        if not re.search(rf'^\| {re.escape(name)}', document, re.MULTILINE):
            sys.exit(f'{name}: not in the document of differences')
        known.append([name, re.compile(regex), 0])
    return known


def compare(section, theirs, ours, known):
    """The number of lines that no known difference covers; prints the first of them."""
    bad = 0
    for want, have in itertools.zip_longest(theirs, ours, fillvalue='nothing'):
        if want == have:
            continue
        call, result = have.split(' -> ', 1)[0], have.split(' -> ', 1)[-1]
        # What explains another result of a call does not explain another call; what is
        # written may be what was read before.
        same = call.split(' = ')[0] == want.split(' -> ', 1)[0].split(' = ')[0]
        for entry in known if same else []:
            if entry[1].fullmatch(f'{section}: {want} => {result}'):
                entry[2] += 1
                break
        else:
            bad += 1
            if bad <= SHOWN:
                print(f'[{section}]\n  linux: {want}\n  ours:  {have}')
            if not same:
                print(f'[{section}]: other calls from here on')
                break
    if bad > SHOWN:
        print(f'[{section}]: {bad - SHOWN} more')
    return bad


def main():
    recording, listed, document, *command = sys.argv[1:]
    known = differences(listed, open(document).read())
    recorded = open(recording).read()
    seed = re.search(r'^## seed: (\d+)$', recorded, re.MULTILINE)
    if seed:
        command = [arg.replace('{seed}', seed[1]) for arg in command]
        print(f'seed {seed[1]}')
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    theirs, ours = entries(recorded), entries(run.stdout)
    bad = 0
    if run.returncode:
        last = ours[-1][1][-1] if ours else 'no call'
        print(f'{command[0]}: exit status {run.returncode} after {last}')
        bad += 1
    if [name for name, _ in theirs] != [name for name, _ in ours]:
        print(f'{len(theirs)} sections recorded, {len(ours)} made')
        bad += 1
    for (section, recorded), (_, made) in zip(theirs, ours):
        bad += compare(section, recorded, made, known)
    for name, regex, count in known:
        print(f'difference {name}: {count} calls')
        if not count:
            print(f'  {regex.pattern}: covers nothing')
            bad += 1
    total = sum(len(lines) for _, lines in theirs)
    print(f'{total} lines compared, {bad} unexpected')
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main())
