"""Giving up, for good, every system call that decoding does not need (Linux: seccomp, for any process).

Afterwards this process can read and write what it has open, take memory within its limits, and end. It can open no
file, so neither `.env` nor what /proc says of other processes, nor ask whether one is there, make no socket, start no
program, and signal nobody.

Landlock and namespaces of its own would take nothing more away. What Landlock governs (opening, making and executing
files, TCP ports, signals) are calls that are refused here, and asking for a path it does not govern at all.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import struct
import sys

# <linux/prctl.h>, <linux/seccomp.h>, <linux/filter.h>, <linux/audit.h>
PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 4, 38, 22, 2
ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
CALL_AT, ARCHITECTURE_AT = 0, 4  # bytes into what the filter is shown of a call

# The processor's number for the kernel, and the numbers of its calls, in this order:
# read write close fstat lseek pread64 readv writev ftruncate, mmap mprotect munmap mremap madvise brk,
# futex sched_yield sched_getaffinity set_robust_list rseq, rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack,
# getpid gettid getrandom clock_gettime gettimeofday exit exit_group.
# newfstatat is not among them: it takes paths, too. glibc 2.33 and later ask it in fstat's name, and whoever asks does
# without the answer (a file's kind, for buffers).
CALLS = {
    "x86_64": (0xC000003E, (0, 1, 3, 5, 8, 17, 19, 20, 77, 9, 10, 11, 25, 28, 12, 202, 24, 204, 273, 334,
                            13, 14, 15, 131, 39, 186, 318, 228, 96, 60, 231)),
    "aarch64": (0xC00000B7, (63, 64, 57, 80, 62, 67, 65, 66, 46, 222, 226, 215, 216, 233, 214, 98, 124, 123, 99,
                             293, 134, 135, 139, 132, 172, 178, 278, 113, 169, 93, 94)),
}  # fmt: skip


class Program(ctypes.Structure):
    """struct sock_fprog"""

    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def confine_self() -> str:
    """Give up the calls, in a process of one thread; "", or why this kernel or processor does not let us."""
    machine = os.uname().machine
    if sys.platform != "linux" or machine not in CALLS:
        return f"no filter for {sys.platform} on {machine}"
    architecture, numbers = CALLS[machine]
    code = _filter(architecture, numbers)
    program = Program(len(code) // 8, code)
    with contextlib.suppress(OSError):  # of no use where it is refused, and no harm
        _prctl(PR_SET_DUMPABLE, 0)
    try:
        _prctl(PR_SET_NO_NEW_PRIVS, 1)
        _prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(program))
    except OSError as error:
        return f"the kernel refuses a filter: {error.strerror}"
    return ""


def _filter(architecture: int, numbers: tuple[int, ...]) -> bytes:
    """Classic BPF: the calls allowed of this processor, EPERM for any other and for any other processor's."""
    count = len(numbers)
    code = [
        (LOAD, 0, 0, ARCHITECTURE_AT),
        (JUMP_IF_EQUAL, 0, count + 1, architecture),
        (LOAD, 0, 0, CALL_AT),
        *((JUMP_IF_EQUAL, count - place, 0, number) for place, number in enumerate(numbers)),
        (RETURN, 0, 0, REFUSE),
        (RETURN, 0, 0, ALLOW),
    ]
    return b"".join(struct.pack("HBBI", *instruction) for instruction in code)


def _prctl(option: int, *values: int) -> None:
    """Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    arguments = [ctypes.c_ulong(value) for value in (*values, 0, 0, 0, 0)[:4]]
    if libc.prctl(option, *arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, errno.errorcode.get(number, str(number)))
