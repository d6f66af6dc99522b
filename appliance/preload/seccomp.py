"""A process's seccomp programs, copied from it and put on another.

Filters are inherited by fork, not by joining namespaces, so what systemd put on the unit's first
process must be read from there: ptrace(2), PTRACE_SECCOMP_GET_FILTER. It takes CAP_SYS_ADMIN, a
tracer without filters of its own, and a kernel with CONFIG_CHECKPOINT_RESTORE, which Debian's has.
"""

from __future__ import annotations

import ctypes
import errno
import os
from contextlib import suppress
from typing import Final

from . import linux

Program = ctypes.Array[ctypes.c_char]

# systemd adds about one a property; more are the user's own doing.
_PROGRAMS_MAX: Final = 64
_INSTRUCTION_BYTES: Final = 8


class CannotCopyError(Exception):
    """This kernel doesn't show filters, or there are too many."""


def read_filters(pid: int) -> list[Program]:
    """The programs of a process, oldest first; it is halted for a moment.

    Raises CannotCopyError, and OSError if the process can't be traced. The caller has an alarm: a
    process that doesn't stop must not make it wait for ever.
    """
    linux.ptrace(linux.PTRACE_SEIZE, pid)
    try:
        linux.ptrace(linux.PTRACE_INTERRUPT, pid)
        os.waitpid(pid, linux.WALL)
        programs: list[Program] = []
        while (program := _read_filter(pid, len(programs))) is not None:
            programs.append(program)
            if len(programs) > _PROGRAMS_MAX:
                raise CannotCopyError(f"it has more than {_PROGRAMS_MAX} system call filters")
        return programs
    finally:
        with suppress(OSError):
            linux.ptrace(linux.PTRACE_DETACH, pid)


def _read_filter(pid: int, index: int) -> Program | None:
    try:
        length = linux.ptrace(linux.PTRACE_SECCOMP_GET_FILTER, pid, index)
    except OSError as err:
        if err.errno == errno.ENOENT:
            return None
        if err.errno in (errno.EINVAL, errno.EIO, errno.EACCES, errno.EPERM):
            raise CannotCopyError("this kernel does not show system call filters") from err
        raise
    program = ctypes.create_string_buffer(length * _INSTRUCTION_BYTES)
    linux.ptrace(linux.PTRACE_SECCOMP_GET_FILTER, pid, index, program)
    return program
