"""A kernel that counts, watched through the proxy like in a browser tab.

counter.py URL TOKEN STOP           until the file STOP is there; prints one line of JSON:
{"numbers": how many came, "missing": how many between the first and the last did not,
 "seconds": the longest time between two messages, "connections": how often it had to connect}

The kernel goes on when the connection is lost; a new one asks for what the kernel holds now, as
JupyterLab does, so what was printed in between counts as missing unless the kernel itself ended.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
import uuid
from pathlib import Path

from notebook import Notebook
from tornado.websocket import WebSocketError

CODE = """
import itertools, time
for number in itertools.count():
    print(number, flush=True)
    time.sleep(0.05)
"""
PATIENCE = 20.0


class Counter:
    def __init__(self, url: str, token: str, stop: Path) -> None:
        self.notebook = Notebook(url, token)
        self.stop = stop
        self.numbers: set[int] = set()
        self.longest = 0.0
        self.connections = 0
        self.last = time.monotonic()

    async def watch(self) -> dict[str, float]:
        kernel = (await self.notebook.ask("POST", "kernels"))["id"]
        print("counting", flush=True)
        while not self.stop.exists():
            try:
                await self.listen(kernel)
            except (OSError, WebSocketError):
                await asyncio.sleep(0.1)
            if time.monotonic() - self.last > PATIENCE:
                break
        missing = max(self.numbers) - min(self.numbers) + 1 - len(self.numbers)
        await self.notebook.ask("DELETE", f"kernels/{kernel}")
        return {
            "numbers": len(self.numbers), "missing": missing, "seconds": round(self.longest, 2),
            "connections": self.connections,
        }  # fmt: skip

    async def listen(self, kernel: str) -> None:
        channels = await self.notebook.socket(f"api/kernels/{kernel}/channels")
        self.connections += 1
        if not self.numbers:
            await channels.write_message(json.dumps(self.request()))
        while not self.stop.exists():
            text = await asyncio.wait_for(channels.read_message(), PATIENCE)
            if text is None:
                return
            found = json.loads(text)
            if found["msg_type"] == "stream":
                self.longest = max(self.longest, time.monotonic() - self.last)
                self.last = time.monotonic()
                self.numbers |= {int(word) for word in found["content"]["text"].split()}
        channels.close()

    def request(self) -> dict[str, object]:
        self.last = time.monotonic()
        header = {
            "msg_id": uuid.uuid4().hex, "msg_type": "execute_request", "username": "",
            "session": uuid.uuid4().hex, "version": "5.3",
        }  # fmt: skip
        content = {"code": CODE, "silent": False, "store_history": False}
        return {"channel": "shell", "header": header, "parent_header": {}, "metadata": {},
                "content": content}  # fmt: skip


async def main() -> None:
    url, token, stop = sys.argv[1:]
    print(json.dumps(await Counter(url, token, Path(stop)).watch()))


if __name__ == "__main__":
    asyncio.run(main())
