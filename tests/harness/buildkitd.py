"""A modern BuildKit behind mutual TLS, as an operator would run one beside a stack."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path

from pkg.buildkit.testing_daemon import BuildkitDaemon
from pkg.buildkit.testing_front import SERVER_NAME, Front, mtls_front, unix_front
from pkg.testing.certificates import Authority


@contextmanager
def served(daemon: BuildkitDaemon, folder: Path) -> Iterator[str]:
    """Starts the daemon and its TLS, for as long as the block lasts; yields the section `[build]` that uses it.

    Certificates are written into `folder`, which exists. No SBOM is made: its scanner would have to be pulled.
    """
    authority = Authority()
    (folder / "ca.pem").write_bytes(authority.pem)
    cert, key = authority.issue("worker").write(folder, "worker")
    with _front(daemon, lambda: mtls_front(daemon.socket, authority.issue(SERVER_NAME), authority.pem, folder)) as at:
        yield (
            f'[build]\nbackend = "buildkit"\naddress = "{at}"\nserver_name = "{SERVER_NAME}"\n'
            'sbom_scanner = ""\n'
            f'ca_file = "{folder}/ca.pem"\ncert_file = "{cert}"\nkey_file = "{key}"\n'
        )


@contextmanager
def on_unix_socket(daemon: BuildkitDaemon, path: Path) -> Iterator[None]:
    """Starts the daemon and offers it on a unix socket that every user may use, for as long as the block lasts."""
    with _front(daemon, lambda: unix_front(daemon.socket, path)):
        path.chmod(0o666)
        yield


@contextmanager
def _front(daemon: BuildkitDaemon, make: Callable[[], AbstractAsyncContextManager[Front]]) -> Iterator[str]:
    """Its address."""
    address: list[str] = []
    opened, ends = threading.Event(), threading.Event()

    async def serve() -> None:
        async with make() as front:
            address.append(front.address)
            opened.set()
            await asyncio.to_thread(ends.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="buildkit-front")
    try:
        daemon.start()
        thread.start()
        assert opened.wait(10)
        yield address[0]
    finally:
        ends.set()
        if thread.ident is not None:
            thread.join()
        daemon.stop()


def registry_sections(host: str, push_password: str, pull_username: str, pull_password: str) -> str:
    """The sections of a stack that pushes below `host`/apps, and pulls with another account."""
    return (
        f'[registry]\nurl = "{host}/apps"\npassword = "{push_password}"\n'
        f'[[registries]]\nhost = "{host}"\nusername = "{pull_username}"\npassword = "{pull_password}"\n'
    )
