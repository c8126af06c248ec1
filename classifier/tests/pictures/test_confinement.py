"""What the process that decodes TIFF and AVIF cannot do, tried from inside it."""

import errno
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest import mock, skipUnless

from django.test import SimpleTestCase

from classifier import errors
from classifier.pictures import confinement, sandbox
from classifier.tests.hostile.common import noise
from classifier.tests.pictures.test_sandbox import read

# Stands for a decoder that a file has taken over: in place of decoding it tries what would hurt.
TAKEN_OVER = """
import ctypes, json, mmap, os, socket, subprocess, sys, threading
from classifier import errors
from classifier.pictures import sandbox

STATX, UNSHARE = {"x86_64": (332, 272), "aarch64": (291, 97)}[os.uname().machine]
attempts = {
    "the parent's environment": lambda: open(f"/proc/{os.getppid()}/environ", "rb").read(),
    "the parent's memory": lambda: open(f"/proc/{os.getppid()}/mem", "rb"),
    "its own environment": lambda: open("/proc/self/environ", "rb"),
    ".env": lambda: open(ENV),
    "a directory": lambda: os.listdir("."),
    "a new file": lambda: open("taken-over", "w"),
    "a socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM),
    "a socket of this machine": lambda: socket.socket(socket.AF_UNIX),
    "a signal": lambda: os.kill(os.getppid(), 0),
    "a process": os.fork,
    "a program": lambda: os.execv("/bin/true", ["true"]),
    "looking into the parent": lambda: ptrace(os.getppid()),
    "a link": lambda: os.symlink("/etc/passwd", "taken-over"),
    "whether .env is there": lambda: os.stat(ENV),
    "what a link says": lambda: os.readlink("/proc/self/exe"),
    "the same by another call": lambda: called(STATX, -100, ENV.encode(), 0, 0x7FF, ctypes.create_string_buffer(256)),
    "a namespace": lambda: called(UNSHARE, 0x10000000),
}

def called(number, *arguments):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), "refused")

def ptrace(pid):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(16, pid, 0, 0):
        raise OSError(ctypes.get_errno(), "ptrace")

def decode(*arguments):
    told = {}
    for name, attempt in attempts.items():
        try:
            attempt()
            told[name] = "done"
        except OSError as error:
            told[name] = error.errno
    raise errors.BrokenImage(json.dumps(told))

sandbox.picture_decode = decode
"""


@skipUnless(sys.platform == "linux" and os.uname().machine in confinement.CALLS, "there is no filter for this system")
class ConfinementTests(SimpleTestCase):
    def taken_over(self, before: str = "") -> dict[str, object]:
        """What became of each attempt: "done", or the error's number. `before`: code that runs first."""
        secret = Path(self.enterContext(tempfile.TemporaryDirectory())) / ".env"
        secret.write_text("SECRET_KEY=secret")
        code = f"ENV = {str(secret)!r}\n{TAKEN_OVER}{before}\nsandbox.main(*sys.argv[1:])"
        with (
            mock.patch.object(sandbox, "COMMAND", [sys.executable, "-c", code]),
            self.assertRaises(errors.BrokenImage) as caught,
        ):
            read(noise())
        return json.loads(str(caught.exception))

    def test_a_decoder_that_was_taken_over_gets_nothing(self):
        told = self.taken_over()
        self.assertEqual(len(told), 17)
        self.assertEqual(set(told.values()), {errno.EPERM}, told)

    def test_without_the_filter_the_same_attempts_succeed(self):
        """So that the test above does not pass because they could not work anyway."""
        harmless = ["the parent's environment", "its own environment", ".env", "a directory", "a socket", "a signal",
                    "whether .env is there", "the same by another call", "what a link says"]  # fmt: skip
        sandbox.unconfined_log.cache_clear()
        with self.assertLogs("classifier.pictures.sandbox", "WARNING") as logged:
            told = self.taken_over(
                f"sandbox.confine_self = lambda: 'told'; attempts = {{name: attempts[name] for name in {harmless}}}"
            )
        self.assertIn("without a filter of system calls: told", logged.output[0])
        self.assertEqual(told, dict.fromkeys(harmless, "done"))

    def test_nothing_is_logged_where_the_filter_holds(self):
        sandbox.unconfined_log.cache_clear()
        with self.assertNoLogs("classifier.pictures.sandbox", "WARNING"):
            read(noise())

    def test_a_kernel_without_filters_is_told(self):
        code = (
            "from classifier.pictures import confinement as c; c.PR_SET_SECCOMP = 9999; print(c.confine_self());"
            "c.CALLS = {}; print(c.confine_self()); print(len(open('manage.py').read()) > 0)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=sandbox.ROOT)
        self.assertEqual(done.stderr, "")
        refused, missing, readable = done.stdout.splitlines()
        self.assertIn("the kernel refuses a filter", refused)
        self.assertIn("no filter for linux on", missing)
        self.assertEqual(readable, "True")
