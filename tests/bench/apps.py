"""The deployed apps: the tests' app, and one on a Python base image like `examples/hello`."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.harness import apps

# Like examples/hello, but without a package from an index: the figures must not depend on one.
_DOCKERFILE = """\
ARG BASE_IMAGE=python:3.12-slim
FROM ${BASE_IMAGE}
WORKDIR /app
COPY requirements.txt .
RUN pip install --no-cache-dir --disable-pip-version-check --root-user-action=ignore -r requirements.txt
COPY . .
ENV PYTHONUNBUFFERED=1
CMD ["python", "app.py"]
"""
_CODE = '''\
"""Says one line."""

import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

GREETING = "{body}"


class Hello(BaseHTTPRequestHandler):
    """Answers every path."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        """Say it."""
        body = (GREETING + "\\n").encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):
        """Say nothing."""


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    ThreadingHTTPServer(("0.0.0.0", int(os.environ.get("PORT", "8080"))), Hello).serve_forever()
'''


@dataclass(frozen=True)
class App:
    """An app in a directory.

    Attributes:
        name: short, the slug of its project.
        edit: the one-line change: what it answers from the next build on.
        build_args: to build it.
    """

    name: str
    directory: Path
    edit: Callable[[Path, str], None]
    build_args: dict[str, str] = field(default_factory=dict)


def busybox_app(directory: Path) -> App:
    """`FROM scratch`, a static busybox, one file."""
    return App("busybox", apps.app(directory / "busybox", "0"), apps.edit)


def python_app(directory: Path, base_image: str) -> App:
    """An ordinary small Python app on a base image that the engine has."""
    place = directory / "python"
    place.mkdir()
    (place / "Dockerfile").write_text(_DOCKERFILE)
    (place / "requirements.txt").write_text("# nothing\n")
    _edit_python(place, "0")
    return App("python", place, _edit_python, {"BASE_IMAGE": base_image})


def _edit_python(directory: Path, body: str) -> None:
    (directory / "app.py").write_text(_CODE.replace("{body}", body))
