"""From a source to a stored file and back, in pieces: hashed, packed, encrypted, with room kept."""

from __future__ import annotations

import hashlib
import os
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, Protocol

from appliance.backup.errors import BackupError, WrongKey
from appliance.backup.manifest import Part
from appliance.backup.members import Readable
from appliance.backup.place import Room
from appliance.backup.sealing import Sealing

CHUNK: Final = 256 * 1024
_GZIP: Final = 31
# Notebooks with pictures gain little from more, and it takes several times as long.
_LEVEL: Final = 3
_LOOK_EVERY: Final = 8 * 2**20


class Sink(Protocol):
    """Takes bytes."""

    def write(self, data: bytes, /) -> object: ...


@dataclass(frozen=True, slots=True)
class Sum:
    """How much, and its SHA-256."""

    size: int
    sha256: str


class Summing:
    """Counts and hashes what passes."""

    def __init__(self) -> None:
        self.size = 0
        self._hash = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.size += len(data)
        self._hash.update(data)
        return len(data)

    @property
    def sum(self) -> Sum:
        return Sum(self.size, self._hash.hexdigest())


class _Packed:
    """Reads a source packed by gzip; what was read is summed."""

    def __init__(self, source: Readable, tick: Callable[[int], None]) -> None:
        self.content = Summing()
        self.failure: BaseException | None = None
        self._source = source
        self._tick = tick
        self._packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
        self._ready = b""
        self._over = False

    def read(self, size: int = CHUNK) -> bytes:
        try:
            while not self._ready and not self._over:
                data = self._source.read(CHUNK)
                self.content.write(data)
                self._tick(len(data))
                self._ready = self._packer.compress(data) if data else self._packer.flush()
                self._over = not data
        except BaseException as err:
            self.failure = err
            raise
        found, self._ready = self._ready[:size], self._ready[size:]
        return found


class _Stored:
    """The file in the backup's folder, written as long as there is room."""

    def __init__(self, file: IO[bytes], room: Room) -> None:
        self.stored = Summing()
        self.failure: BaseException | None = None
        self._file = file
        self._room = room
        self._looked = 0

    def write(self, data: bytes) -> int:
        try:
            if self.stored.size + len(data) >= self._looked + _LOOK_EVERY:
                self._looked = self.stored.size
                self._room.check()
            self._file.write(data)
        except BaseException as err:
            self.failure = err
            raise
        return self.stored.write(data)

    def flush(self) -> None:
        self._file.flush()


def store(
    source: Readable,
    path: Path,
    *,
    sealing: Sealing,
    room: Room,
    tick: Callable[[int], None],
) -> tuple[Sum, Sum]:
    """Write a source into a new file; what is stored, and what it holds."""
    packed = _Packed(source, tick)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        stored = _Stored(file, room)
        if sealing.is_on:
            _encrypt(packed, stored, sealing)
        else:
            while data := packed.read():
                stored.write(data)
        file.flush()
        os.fsync(file.fileno())
    return stored.stored.sum, packed.content.sum


def _encrypt(packed: _Packed, stored: _Stored, sealing: Sealing) -> None:
    import pyrage

    try:
        pyrage.encrypt_io(packed, stored, sealing.receivers())
    except (pyrage.EncryptError, OSError) as err:
        # The library has its own error for whatever happened to its reader and writer.
        for failure in (packed.failure, stored.failure):
            if failure is not None:
                raise failure from err
        raise BackupError("cannot encrypt the backup", why=str(err)) from err


class _Unpacked:
    """Takes what gzip packed, and passes on what was in it."""

    def __init__(self, sink: Sink) -> None:
        self.failure: BaseException | None = None
        self._sink = sink
        self._unpacker = zlib.decompressobj(_GZIP)

    def write(self, data: bytes) -> int:
        try:
            rest = bytes(data)
            while rest:
                self._sink.write(self._unpacker.decompress(rest, 4 * CHUNK))
                rest = self._unpacker.unconsumed_tail
        except BaseException as err:
            self.failure = err
            raise
        return len(data)

    def flush(self) -> None:
        """Asked for by the encryption's writer; all has been passed on."""

    def end(self) -> None:
        self._sink.write(self._unpacker.flush())
        if not self._unpacker.eof:
            raise zlib.error("it ends in the middle")


class _Bounded:
    """Passes on no more than the manifest says there is: room was looked for by that."""

    def __init__(self, sink: Sink, folder: Path, part: Part) -> None:
        self._sink = sink
        self._folder = folder
        self._part = part
        self._left = part.content_size

    def write(self, data: bytes) -> object:
        self._left -= len(data)
        if self._left < 0:
            raise damaged(self._folder, self._part.file, "it holds more than was put there")
        return self._sink.write(data)


class _Read:
    """Reads the stored file, and sums it."""

    def __init__(self, file: IO[bytes]) -> None:
        self.stored = Summing()
        self._file = file

    def read(self, size: int = CHUNK) -> bytes:
        data = self._file.read(size)
        self.stored.write(data)
        return data


def load(folder: Path, part: Part, sink: Sink, *, sealed: bool, identities: Sequence[Any]) -> Sum:
    """Pass the content of a stored part to a sink; the sum of what is stored.

    Raises BackupError for what is damaged, WrongKey for what can't be opened, and whatever the sink
    raises.
    """
    unpacked = _Unpacked(_Bounded(sink, folder, part))
    try:
        descriptor = os.open(folder / part.file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            reading = _Read(file)
            if sealed:
                _decrypt(reading, unpacked, identities)
            else:
                while data := reading.read():
                    unpacked.write(data)
            unpacked.end()
            while reading.read():
                pass
    except (OSError, zlib.error) as err:
        if unpacked.failure is not None and not isinstance(unpacked.failure, zlib.error):
            raise unpacked.failure from err
        raise damaged(folder, part.file, str(getattr(err, "strerror", None) or err)) from err
    return reading.stored.sum


def _decrypt(reading: _Read, unpacked: _Unpacked, identities: Sequence[Any]) -> None:
    import pyrage

    try:
        pyrage.decrypt_io(reading, unpacked, identities)
    except pyrage.DecryptError as err:
        if unpacked.failure is not None:
            raise unpacked.failure from err
        raise WrongKey(
            "cannot open the backup",
            why="it is encrypted for another key",
            mend="give the passphrase, or by --identity FILE a secret key that it is encrypted for",
        ) from err


def sum_file(path: Path) -> Sum:
    """Of a file as it is stored."""
    summing = Summing()
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        while data := file.read(CHUNK):
            summing.write(data)
    return summing.sum


def damaged(folder: Path, file: str, why: str) -> BackupError:
    return BackupError(
        f"cannot read the backup {folder.name}",
        why=f"{file}: {why}",
        mend="choose another one: appliance backup list",
    )


@contextmanager
def piped(feed: Callable[[Sink], object]) -> Iterator[int]:
    """The reading end of a pipe that a thread feeds; at the end its failure is raised.

    Who stops reading early makes the thread end without a word.
    """
    reading, writing = os.pipe()
    failure: list[BaseException] = []

    def run() -> None:
        with suppress(BrokenPipeError):
            try:
                with os.fdopen(writing, "wb", buffering=CHUNK) as pipe:
                    feed(pipe)
            except BrokenPipeError:
                raise
            except BaseException as err:  # noqa: BLE001 - raised below, in the other thread
                failure.append(err)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield reading
    except BaseException as err:
        os.close(reading)
        thread.join()
        if failure:
            # Whoever reads fails because of what the thread met.
            raise failure[0] from err
        raise
    os.close(reading)
    thread.join()
    if failure:
        raise failure[0]
