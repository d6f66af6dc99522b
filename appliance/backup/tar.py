"""Packing folders by GNU tar: access lists, holes, hard links and odd names are its everyday work.

It opens folder by folder without following links, so nothing that users do to their homes meanwhile
leads it elsewhere; other file systems mounted inside are left out.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Final

from appliance.backup.errors import BackupError
from appliance.backup.manifest import NOTES_MAX
from appliance.backup.members import Sieve
from appliance.backup.sources import Source

ENVIRONMENT: Final = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "TZ": "UTC0"}
LONGEST: Final = 4000
"""Bytes of a path in an archive. Longer ones, which only folders entered step by step can have,
could not be unpacked again (PATH_MAX), and the whole restore would fail for them."""
_QUIET: Final = ("socket ignored", "file is on a different filesystem", "contents not dumped")
_COMPLAINTS_MAX: Final = 2**20

# Names in the archive's extra headers must not have process numbers in them: then what hasn't
# changed is packed to the same bytes, and stored once.
_PACK: Final = (
    "tar", "--create", "--file=-", "--format=posix", "--sort=name",
    "--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime",
    "--acls", "--xattrs", "--sparse", "--numeric-owner", "--one-file-system",
    "--ignore-failed-read", "--quoting-style=escape", "--blocking-factor=512",
)  # fmt: skip


class Packing:
    """A tar that runs; read its output to the end, then ask for the notes."""

    def __init__(self, process: subprocess.Popen[bytes], said: IO[bytes], source: Source) -> None:
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        self.output = Sieve(process.stdout, source)
        self._process = process
        self._said = said

    def notes(self) -> tuple[int, tuple[str, ...]]:
        """How many files changed meanwhile or can't be read, and the first lines of it.

        Raises BackupError if tar could not even begin.
        """
        code = self._process.wait()
        self._said.seek(0)
        text = self._said.read(_COMPLAINTS_MAX).decode(errors="replace")
        lines = [line.removeprefix("tar: ") for line in text.splitlines()]
        told = [
            line
            for line in lines
            if not any(quiet in line for quiet in _QUIET)
            and not line.startswith("Exiting with failure")
        ]
        if code < 0 or (code > 1 and not told):
            raise BackupError("cannot pack files", why=f"tar ended with {code}")
        return len(told), tuple(line[:300] for line in told[:NOTES_MAX])


@contextmanager
def packing(source: Source) -> Iterator[Packing]:
    """A folder as a tar archive, with the names in it relative to the folder."""
    with tempfile.TemporaryFile() as said:
        command = [
            *_PACK, f"--directory={source.folder}", "--wildcards", "--wildcards-match-slash",
            "--no-anchored", *(f"--exclude={name}" for name in source.exclude_names),
            "--anchored", *(f"--exclude=./{path}" for path in source.exclude),
            f"--exclude={'?' * LONGEST}*", *(["--hard-dereference"] * source.plain),
            *source.members,
        ]  # fmt: skip
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said,
                env=ENVIRONMENT,
            )  # fmt: skip
        except OSError as err:
            raise BackupError(
                "cannot pack files", why=f"tar: {err.strerror}", mend="sudo apt install tar"
            ) from err
        with process:
            try:
                yield Packing(process, said, source)
            finally:
                if process.stdout is not None:
                    process.stdout.close()
                if process.poll() is None:
                    process.terminate()
