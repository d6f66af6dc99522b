"""Gets notices: a mail server and a webhook, each message a line of JSON in a file.

post.py FILE        listens at 127.0.0.1, mail at port 2525 and the webhook at port 2580
"""

from __future__ import annotations

import json
import socketserver
import sys
import threading
from email import message_from_bytes
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

FILE = sys.argv[1]


def note(way: str, said: object) -> None:
    with open(FILE, "a", encoding="utf-8") as file:
        file.write(json.dumps([way, said]) + "\n")


class Mail(socketserver.StreamRequestHandler):
    """As much of SMTP as a sender needs."""

    def handle(self) -> None:
        self.say("220 post")
        while line := self.rfile.readline():
            match line[:4].upper():
                case b"DATA":
                    self.say("354 go on")
                    note("mail", self.letter())
                    self.say("250 got it")
                case b"QUIT":
                    self.say("221 bye")
                    return
                case _:
                    self.say("250 fine")

    def say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())

    def letter(self) -> dict[str, Any]:
        lines = iter(self.rfile.readline, b".\r\n")
        letter = message_from_bytes(b"".join(lines), policy=default)
        body = letter.get_body()
        return {
            "to": letter["To"], "subject": letter["Subject"],
            "text": body.get_content() if body else "",
        }  # fmt: skip


class Hook(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        note("webhook", json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()


class Mails(socketserver.ThreadingTCPServer):
    allow_reuse_address = True


def main() -> None:
    threading.Thread(target=Mails(("127.0.0.1", 2525), Mail).serve_forever, daemon=True).start()
    ThreadingHTTPServer(("127.0.0.1", 2580), Hook).serve_forever()


main()
