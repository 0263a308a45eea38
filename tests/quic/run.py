"""Runs the test classes of this folder, some at a time, each in a process of its own.

    run.py              all
    run.py NAME...      those whose module, class or test begins so, as unittest names them
"""

import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import time
import unittest

#: The protocol page's checklist has so many.
STATEMENTS = 115
#: Most tests wait, so more than there are cores; not so many that times get wrong.
AT_ONCE = max(4, os.cpu_count() or 2)
#: Seconds after which a class hangs.
TOO_LONG = 600


def classes():
    """All test classes, as `module.Class`; those that take long begin."""
    found = {}

    def walk(suite):
        for one in suite:
            if isinstance(one, unittest.TestSuite):
                walk(one)
            elif "FailedTest" in type(one).__name__:
                sys.exit(f"{one} cannot be loaded: {one._exception}")
            else:
                found[f"{type(one).__module__}.{type(one).__name__}"] = getattr(one, "seconds", 0)

    walk(unittest.defaultTestLoader.discover(".", "test_*.py"))
    return sorted(found, key=lambda name: (-found[name], name))


def named():
    """The numbers of the checklist that tests are named by: `test_004_...`, `test_022_023_...`, `test_082_to_086_...`."""
    numbers = set()
    for path in pathlib.Path(".").glob("test_*.py"):
        for name in re.findall(r"def test_((?:\d{3}_(?:to_|and_)?)+)", path.read_text()):
            for first, last in re.findall(r"(\d{3})_to_(\d{3})", name):
                numbers.update(range(int(first), int(last) + 1))
            numbers.update(map(int, re.findall(r"\d{3}", name)))
    return numbers


def run(name):
    begin = time.monotonic()
    try:
        done = subprocess.run([sys.executable, "-m", "unittest", name], capture_output=True, text=True, timeout=TOO_LONG)
        status, text = done.returncode, done.stderr
    except subprocess.TimeoutExpired as hung:
        status, text = 1, f"{(hung.stderr or b'').decode()}\nnot over after {TOO_LONG} s"
    return name, status, text, time.monotonic() - begin


def main():
    if missing := set(range(1, STATEMENTS + 1)) - named():
        sys.exit(f"no test is named by these statements of the checklist: {sorted(missing)}")
    names = sys.argv[1:] or classes()
    ran = failed = 0
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for done in concurrent.futures.as_completed([pool.submit(run, name) for name in names]):
            name, status, text, took = done.result()
            count = re.search(r"Ran (\d+) test", text)
            ran += int(count[1]) if count else 0
            print(f"{'ok    ' if status == 0 else 'FAILED'} {name}: {count[1] if count else 'no'} tests, in {took:.0f} s")
            if status != 0:
                failed += 1
                print(text)
            sys.stdout.flush()
    print(f"{ran} tests in {len(names)} classes; {failed} classes failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
