"""A user at her server, without a browser: kernels and terminals by Jupyter's own protocol.

notebook.py URL TOKEN start [NAME]              prints the new kernel's id
notebook.py URL TOKEN run KERNEL  <code         prints what the code printed
notebook.py URL TOKEN stop KERNEL
notebook.py URL TOKEN restart KERNEL
notebook.py URL TOKEN interrupt KERNEL
notebook.py URL TOKEN kernels                   prints the names of kernels there are
notebook.py URL TOKEN type LINE                 types a line into a new terminal
"""

from __future__ import annotations

import asyncio
import json
import sys
import uuid

from tornado.httpclient import AsyncHTTPClient, HTTPRequest
from tornado.websocket import websocket_connect

SECONDS = 100.0


class Notebook:
    def __init__(self, url: str, token: str) -> None:
        self.url = url.rstrip("/")
        self.headers = {"Authorization": f"token {token}"}

    async def ask(self, method: str, path: str, **body: str) -> dict[str, str]:
        request = HTTPRequest(
            f"{self.url}/api/{path}", method, self.headers, request_timeout=SECONDS,
            body=json.dumps(body) if method == "POST" else None,
        )  # fmt: skip
        answer = await AsyncHTTPClient().fetch(request)
        found: dict[str, str] = json.loads(answer.body or b"{}")
        return found

    def socket(self, path: str):  # type: ignore[no-untyped-def]
        request = HTTPRequest(f"ws{self.url[4:]}/{path}", headers=self.headers)
        return websocket_connect(request, max_message_size=2**26)

    async def run(self, kernel: str, code: str) -> str:
        """Run code; what it printed, and the traceback if it failed."""
        channels = await self.socket(f"api/kernels/{kernel}/channels")
        header = {
            "msg_id": uuid.uuid4().hex, "msg_type": "execute_request", "username": "",
            "session": uuid.uuid4().hex, "version": "5.3",
        }  # fmt: skip
        content = {"code": code, "silent": False, "store_history": False}
        message = {"channel": "shell", "header": header, "parent_header": {}, "metadata": {},
                   "content": content}  # fmt: skip
        await channels.write_message(json.dumps(message))
        printed = []
        while (text := await channels.read_message()) is not None:
            found = json.loads(text)
            if found["parent_header"].get("msg_id") != header["msg_id"]:
                continue
            body = found["content"]
            if found["msg_type"] == "stream":
                printed.append(body["text"])
            elif found["msg_type"] == "error":
                printed.append("\n".join(body["traceback"]))
            elif found["msg_type"] == "status" and body["execution_state"] == "idle":
                break
        channels.close()
        return "".join(printed)

    async def type(self, line: str) -> None:
        terminal = await self.ask("POST", "terminals")
        channel = await self.socket(f"terminals/websocket/{terminal['name']}")
        await channel.write_message(json.dumps(["stdin", line]))
        # What the terminal shows is read on, or it would be blocked by its own output.
        while (await channel.read_message()) is not None:
            pass


async def main() -> None:
    url, token, verb, *more = sys.argv[1:]
    notebook = Notebook(url, token)
    if verb == "start":
        name = {"name": more[0]} if more else {}
        print((await notebook.ask("POST", "kernels", **name))["id"])
    elif verb == "run":
        print(await notebook.run(more[0], sys.stdin.read()), end="")
    elif verb == "stop":
        await notebook.ask("DELETE", f"kernels/{more[0]}")
    elif verb in {"restart", "interrupt"}:
        await notebook.ask("POST", f"kernels/{more[0]}/{verb}")
    elif verb == "kernels":
        print(*sorted((await notebook.ask("GET", "kernelspecs"))["kernelspecs"]))
    elif verb == "type":
        await notebook.type(more[0] + "\r")


if __name__ == "__main__":
    asyncio.run(asyncio.wait_for(main(), SECONDS))
