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
AT_ONCE = max(2, (os.cpu_count() or 2) + 1)


def classes():
    """All test classes, as `module.Class`."""
    found = set()

    def walk(suite):
        for one in suite:
            if isinstance(one, unittest.TestSuite):
                walk(one)
            elif "FailedTest" in type(one).__name__:
                sys.exit(f"{one} cannot be loaded: {one._exception}")
            else:
                found.add(f"{type(one).__module__}.{type(one).__name__}")

    walk(unittest.defaultTestLoader.discover(".", "test_*.py"))
    return sorted(found)


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
    done = subprocess.run([sys.executable, "-m", "unittest", name], capture_output=True, text=True)
    return name, done.returncode, done.stderr, time.monotonic() - begin


def main():
    if missing := set(range(1, STATEMENTS + 1)) - named():
        sys.exit(f"no test is named by these statements of the checklist: {sorted(missing)}")
    names = sys.argv[1:] or classes()
    ran = failed = expected = 0
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for name, status, text, took in pool.map(run, names):
            count = re.search(r"Ran (\d+) test", text)
            ran += int(count[1]) if count else 0
            missing = re.search(r"expected failures=(\d+)", text)
            missing = int(missing[1]) if missing else 0
            expected += missing
            what = f"{count[1] if count else 'no'} tests" + (f", {missing} of what is not there yet" if missing else "")
            print(f"{'ok    ' if status == 0 else 'FAILED'} {name}: {what}, in {took:.0f} s")
            if status != 0:
                failed += 1
                print(text)
            sys.stdout.flush()
    print(f"{ran} tests in {len(names)} classes, {expected} of what is not there yet; {failed} classes failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
