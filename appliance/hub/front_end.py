"""JupyterLab's and Notebook's own files at one address for everybody, and which a page needs first.

The names of these files carry a hash of their content, so one address below /hub/static/ serves all
users: a browser that several people use, or a cache in front, fetches each file once. The proxy
serves those of the environment in use; here is what it hasn't got, such as files of the environment
before an upgrade, which servers that still run ask for.

Lab waits for some forty of them when it opens. Which ones stands in the main script that its
builder wrote: the chunks that the script asks for first, the modules that each of them shares with
extensions, and the chunks in which those modules are. A browser that is told of them on the log-in
page has them when the server is there. A script that reads otherwise costs that head start alone.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Final

from tornado.web import HTTPError, StaticFileHandler

from appliance.config.schema import FrontEnd

# Below an environment.
_FOLDERS: Final = {
    FrontEnd.LAB: "share/jupyter/lab/static",
    FrontEnd.NOTEBOOK: "lib/python3*/site-packages/notebook/static",
}
# A name with a hash in it, as nginx serves them too (`proxy/routing.py`).
HASHED: Final = re.compile(
    r"(?:[A-Za-z0-9_.-]{0,100}[.-])?[0-9a-f]{16,64}(?:\.[a-z0-9]{1,10}){1,3}"
)

_FIRST: Final = re.compile(
    r"Promise\.all\(\[((?:\w+\.e\(\d+\),?)+)\]\)\.then\(\w+\.bind\(\w+,\d+\)"
)
_CHUNK: Final = re.compile(r"\.e\((\d+)\)")
# The function that makes a chunk's address: {12:"name"} or 12===e?"name":e, then {12:"hash"}.
_HASHES: Final = re.compile(r'"\."\+\(\{([^{}]+)\}\)?\[\w+\]\+"\.js\?v="')
_HASH: Final = re.compile(r'"?(\d+)"?:"([0-9a-f]{16,64})"')
_NAME: Final = re.compile(r'(\d+)===\w+\?"(\w+)"')
_SHARED: Final = re.compile(r"chunkMapping:\{([^{}]*)\}")
_MODULES: Final = re.compile(r'"?(\d+)"?:\[([\d,"]*)\]')
_HANDLER: Final = re.compile(r"(\d+):\{shareScope:(.*?)treeShakingMode:null\}")
_MOST: Final = 80


def first_chunks(script: str) -> list[str]:
    """The files that a main script needs before its page is there, in the order of its asking."""
    first, hashes = _FIRST.search(script), _HASHES.search(script)
    if first is None or hashes is None:
        return []
    hash_of = dict(_HASH.findall(hashes[1]))
    name_of = dict(_NAME.findall(script[max(0, hashes.start() - 200) : hashes.start()]))
    modules_of = {
        chunk: modules.replace('"', "").split(",")
        for mapping in _SHARED.findall(script)
        for chunk, modules in _MODULES.findall(mapping)
    }
    chunks_of = {module: _CHUNK.findall(text) for module, text in _HANDLER.findall(script)}
    found: dict[str, None] = {}
    waiting = _CHUNK.findall(first[1])
    while waiting:
        chunk = waiting.pop(0)
        if chunk not in found:
            found[chunk] = None
            for module in modules_of.get(chunk, ()):
                waiting += chunks_of.get(module, ())
    return [
        f"{name_of.get(chunk, chunk)}.{hash_of[chunk]}.js" for chunk in found if chunk in hash_of
    ][:_MOST]


class FrontEndFiles:
    """Looks into the environments below the directory of the software."""

    def __init__(self, software: Path, front_end: FrontEnd) -> None:
        self._software = software
        self._front_end = front_end

    def first(self) -> tuple[str, ...]:
        """What the front end loads first, below /hub/static/, with the query it asks by."""
        return _first((self._software / "user").resolve(), self._front_end)

    def find(self, name: str) -> Path | None:
        """A file of an environment in use: the one now, or one before."""
        if not HASHED.fullmatch(name):
            return None
        before = (self._software / "environments").glob("user-*")
        for environment in (self._software / "user", *before):
            for folder in environment.glob(_FOLDERS[self._front_end]):
                path = folder / name
                if path.is_file():
                    return path
        return None


@lru_cache(maxsize=4)
def _first(environment: Path, front_end: FrontEnd) -> tuple[str, ...]:
    folder = next(environment.glob(_FOLDERS[front_end]), environment)
    main = next((path for path in folder.glob("main.*.js") if HASHED.fullmatch(path.name)), None)
    if main is None:
        return ()
    names = [main.name, *first_chunks(main.read_text("utf-8", "replace"))]
    return tuple(
        f"{front_end}/{name}?v={name.split('.')[-2]}" for name in names if (folder / name).is_file()
    )


class SharedFileHandler(StaticFileHandler):
    """Serves what the proxy hasn't got; no log-in is needed, they are parts of public packages."""

    def initialize(  # type: ignore[override]
        self, *, software: Path, front_end: FrontEnd
    ) -> None:
        super().initialize(path=str(software))
        self._files = FrontEndFiles(software, front_end)

    @classmethod
    def get_absolute_path(cls, root: str, path: str) -> str:
        del root
        return path

    def validate_absolute_path(self, root: str, absolute_path: str) -> str:
        del root
        found = self._files.find(absolute_path)
        if found is None:
            raise HTTPError(404)
        return str(found)

    def set_extra_headers(self, path: str) -> None:
        del path
        self.set_header("Cache-Control", "public, max-age=31536000, immutable")
        self.set_header("X-Content-Type-Options", "nosniff")
