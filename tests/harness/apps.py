"""Small real apps, written to a directory with a Dockerfile.

They stand on Debian's static busybox and `FROM scratch`: no base image and no registry is needed, a build takes a
fraction of a second, and there is nothing in the image that the app did not bring.
"""

import os
import shutil
from pathlib import Path

BUSYBOX = Path("/bin/busybox")
PORT = 8080

_SERVE = f"exec /bin/busybox httpd -f -p ${{PORT:-{PORT}}} -h /www"


def app(
    directory: Path,
    body: str = "hello",
    *,
    command: str = _SERVE,
    build: str = "",
    toml: str = "",
    unique: bool = True,
) -> Path:
    """An app that answers `body` at /.

    Args:
        directory: made if absent; files in it are replaced.
        body: what / answers.
        command: shell line that is the container's command.
        build: lines put into the Dockerfile before the content is copied.
        toml: a sealift.toml, none when empty.
        unique: builds of this app share no cached layer with other runs: `build` lines really run.
    """
    www = directory / "www"
    www.mkdir(parents=True, exist_ok=True)
    (www / "index.html").write_text(body + "\n")
    shutil.copy2(BUSYBOX, directory / "busybox")
    salt = f"ENV SALT={os.urandom(8).hex()}\n" if unique else ""
    (directory / "Dockerfile").write_text(
        "FROM scratch\n"
        "COPY busybox /bin/busybox\n"
        'RUN ["/bin/busybox", "--install", "-s", "/bin"]\n'
        f"{salt}{build}\n"
        "COPY www /www\n"
        f"CMD {command}\n"
    )
    if toml:
        (directory / "sealift.toml").write_text(toml)
    return directory


def edit(directory: Path, body: str) -> None:
    """A one-line change: the response of / after the next deploy."""
    (directory / "www" / "index.html").write_text(body + "\n")
