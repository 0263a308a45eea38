"""Compares the suite's index.json with expected.json; runs on Python 2.7 and 3.

compare.py INDEX EXPECTED [--update] [--part]
"""
from __future__ import print_function

import collections
import io
import json
import sys


def in_order(case):
    return [int(number) for number in case.split(".")]


def load(path):
    with io.open(path, encoding="utf-8") as file:
        return json.load(file)


def main():
    index, expected_path = sys.argv[1:3]
    options = sys.argv[3:]
    (results,) = load(index).values()
    seen = {case: [one["behavior"], one["behaviorClose"]] for case, one in results.items()}
    counts = collections.Counter(behavior for behavior, _ in seen.values())
    summary = ", ".join("%d %s" % (n, behavior) for behavior, n in sorted(counts.items()))
    print("autobahn: %d cases: %s" % (len(seen), summary))

    if "--update" in options:
        lines = ['"%s": ["%s", "%s"]' % ((case,) + tuple(seen[case])) for case in sorted(seen, key=in_order)]
        with io.open(expected_path, "w", encoding="utf-8") as file:
            file.write(u"{\n%s\n}\n" % ",\n".join(lines))
        return 0

    expected = load(expected_path)
    cases = set(seen) if "--part" in options else set(seen) | set(expected)
    n_differences = 0
    for case in sorted(cases, key=in_order):
        if seen.get(case) != expected.get(case):
            n_differences += 1
            show = lambda pair: "/".join(pair) if pair else "not run"
            print("case %s: %s, expected %s" % (case, show(seen.get(case)), show(expected.get(case))))
    if n_differences or not seen:
        print("FAILED: %d cases differ from expected.json" % n_differences)
        return 1
    print("as expected")
    return 0


sys.exit(main())
