"""Runs a command of seefit in this process, which ends at once when anything in it, Python or native, asks for a socket.

Sockets between processes of one machine are let through: the C library asks the name service for the user's name by one.
"""

from __future__ import annotations

import ctypes
import os
import platform
import socket
import struct
import sys

from seefit.cli.main import run

SOCKET = {"x86_64": 41, "aarch64": 198}  # number of the system call
KILL_PROCESS, ALLOW = 0x8000_0000, 0x7FFF_0000
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
NO_NEW_PRIVILEGES, SET_SECCOMP, FILTER = 38, 22, 2


def forbid_sockets() -> None:
    """Let the kernel end the process (SIGSYS) when it calls ``socket`` for another machine: see seccomp(2)."""
    program = b"".join(
        struct.pack("HBBI", *instruction)
        for instruction in (
            (LOAD, 0, 0, 0),  # the number of the call
            (JUMP_IF_EQUAL, 0, 3, SOCKET[platform.machine()]),
            (LOAD, 0, 0, 16),  # its first argument
            (JUMP_IF_EQUAL, 1, 0, socket.AF_UNIX),
            (RETURN, 0, 0, KILL_PROCESS),
            (RETURN, 0, 0, ALLOW),
        )
    )
    held = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(held))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0) or libc.prctl(SET_SECCOMP, FILTER, ctypes.c_char_p(header)):
        raise OSError(ctypes.get_errno(), "the kernel takes no filter")


def end_on_socket(event: str, arguments: tuple[object, ...]) -> None:
    """Say what Python itself was about to do with a socket, and end."""
    if event.startswith("socket.") and event != "socket.gethostname":
        os.write(2, f"{event} {arguments}\n".encode())
        os._exit(99)


if __name__ == "__main__":
    sys.addaudithook(end_on_socket)
    if sys.platform == "linux" and platform.machine() in SOCKET:
        forbid_sockets()
    run()
