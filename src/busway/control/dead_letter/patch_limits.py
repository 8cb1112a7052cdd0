"""Limit the process of a patch, before it loads the patch.

The limits are a baseline: time, memory, output, no other process, no network. The process can still
read every file that the server's user can read, so they prevent accidents, not attacks.
"""

from __future__ import annotations

import ctypes
import platform
import resource
import struct
import sys

MEMORY_BYTES = 1024 * 1024 * 1024
CPU_S = 120
FILES = 64

_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | 1
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_NUMBER_AT, _ARCH_AT = 0, 4
_FOREIGN = 0x40000000
"""Calls from this number on belong to another binary interface (x32)."""
_NO_NEW_PRIVILEGES, _SECCOMP, _FILTER = 38, 22, 2

_CALLS: dict[str, tuple[int, tuple[int, ...]]] = {
    # clone, fork, vfork, execve, kill, tkill, tgkill, socket, connect, ptrace, setsid, unshare,
    # process_vm_readv, process_vm_writev, bpf, execveat, pidfd_send_signal, io_uring_setup, clone3
    "x86_64": (
        0xC000003E,
        (56, 57, 58, 59, 62, 200, 234, 41, 42, 101, 112, 272, 310, 311, 321, 322, 424, 425, 435),
    ),
    "aarch64": (
        0xC00000B7,
        (220, 221, 129, 130, 131, 198, 203, 117, 157, 97, 270, 271, 280, 281, 424, 425, 435),
    ),
}


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def limit() -> None:
    """Limit this process irrevocably."""
    for resource_limit, maximum in (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_CPU, CPU_S),
        (resource.RLIMIT_NOFILE, FILES),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(resource_limit)
        allowed = maximum if hard == resource.RLIM_INFINITY else min(maximum, hard)
        resource.setrlimit(resource_limit, (allowed, allowed))
    if sys.platform == "linux" and platform.machine() in _CALLS:
        _refuse_calls(*_CALLS[platform.machine()])


def _refuse_calls(arch: int, numbers: tuple[int, ...]) -> None:
    """Make the kernel refuse calls that create or reach processes or open the network.

    Each line is an instruction, how many lines to skip if it matches and if not, and an operand.
    """
    count = len(numbers)
    program = [
        (_LOAD, 0, 0, _ARCH_AT),
        (_EQUAL, 0, count + 3, arch),
        (_LOAD, 0, 0, _NUMBER_AT),
        (_AT_LEAST, count + 1, 0, _FOREIGN),
        *((_EQUAL, count - nth, 0, number) for nth, number in enumerate(numbers)),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _REFUSE),
    ]
    code = b"".join(struct.pack("HBBI", *line) for line in program)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    libc.prctl(_SECCOMP, _FILTER, ctypes.byref(_Program(len(program), code)), 0, 0)
