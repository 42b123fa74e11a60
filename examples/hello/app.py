"""A web app that says hello, and for how long it has been running."""

import os
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import humanize

GREETING = "Hello from Sealift, version 1"
STARTED = time.time()


class Hello(BaseHTTPRequestHandler):
    """Answers every path with the greeting."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Say hello."""
        age = humanize.naturaldelta(time.time() - STARTED)
        body = f"{GREETING} (up {age})\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Log to standard output."""
        print(f"{self.command} {self.path} -> {args[1]}")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    port = int(os.environ.get("PORT", "8080"))
    print(f"listening on {port}")
    ThreadingHTTPServer(("0.0.0.0", port), Hello).serve_forever()
