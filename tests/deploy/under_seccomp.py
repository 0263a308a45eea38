#!/usr/bin/python3
"""Runs a program under a seccomp profile in the form that container engines take.

    under_seccomp.py [--without NAME]... PROFILE PROGRAM [ARGUMENT]...

It does what an engine's runtime does with the profile, by libseccomp (Debian: python3-seccomp). `--without` takes a
system call out of the profile.
"""
import errno
import json
import os
import sys

import seccomp

arguments = sys.argv[1:]
without = set()
while arguments[0] == "--without":
    without.add(arguments[1])
    arguments = arguments[2:]
profile_path, program = arguments[0], arguments[1:]
with open(profile_path, encoding="utf-8") as file:
    profile = json.load(file)

assert profile["defaultAction"] == "SCMP_ACT_ERRNO", "an allow list"
refused = seccomp.ERRNO(profile.get("defaultErrnoRet", errno.EPERM))
syscalls = seccomp.SyscallFilter(refused)
known = 0
for group in profile["syscalls"]:
    assert group["action"] == "SCMP_ACT_ALLOW", "nothing but an allow list"
    assert set(group) <= {"comment", "action", "names", "args"}, f"unknown here: {set(group)}"
    conditions = []
    for arg in group.get("args", []):
        assert arg["op"] == "SCMP_CMP_MASKED_EQ", f"unknown here: {arg}"
        conditions.append(
            seccomp.Arg(arg["index"], seccomp.MASKED_EQ, arg["value"], arg.get("valueTwo", 0))
        )
    for name in group["names"]:
        if name in without:
            continue
        # As the engines do, names that this libseccomp or architecture does not know are left out.
        if seccomp.resolve_syscall(seccomp.Arch(), name) >= 0:
            syscalls.add_rule(seccomp.ALLOW, name, *conditions)
            known += 1
assert known > 100, f"only {known} system calls are known here"
syscalls.load()
os.execv(program[0], program)
