"""Starts the Envoy next to a krane: `python -m build.krane.envoy --config FILE`, with krane's own configuration.

Same image, another container: what users see must not end when krane does. On one machine the supervisor starts Envoy.
With `--drain-s SECONDS` it drains the Envoy that runs there instead, before its container is stopped.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import NoReturn

from build.util.run import DEFAULT_CONFIG, EXIT_CONFIG, EXIT_FAILED
from pkg import local_http
from pkg.config import ConfigError, load
from pkg.envoy import bootstrap, command, find_binary
from pkg.errors import Unavailable
from svc.krane.config import KraneConfig


def prepare(config: KraneConfig) -> list[str]:
    """Writes Envoy's bootstrap next to krane's sockets, which both containers share, and returns the command line.

    May be repeated. The admin socket of one that was killed is removed: the next could not listen there.

    Raises:
        Unavailable: There is no Envoy.
        OSError: The folder of the sockets cannot be written.
    """
    ingress = config.ingress
    made = bootstrap(
        node_id=f"{config.region}-envoy",
        cluster=config.region,
        ads_socket=ingress.ads_socket,
        admin_socket=ingress.admin_socket,
    )
    arguments = command(find_binary(), ingress.admin_socket.with_suffix(".json"))
    ingress.admin_socket.with_suffix(".json").write_text(json.dumps(made), encoding="utf-8")
    ingress.admin_socket.unlink(missing_ok=True)
    ingress.draining_mark.unlink(missing_ok=True)
    return arguments


def drain(config: KraneConfig, for_s: float) -> None:
    """Has Envoy ask its clients to connect elsewhere, and returns after `for_s` seconds; requests are served meanwhile.

    Before a stop: whatever sends requests here learns in that time that this replica goes. krane learns it too: it goes
    on feeding this Envoy until that has ended, and then leaves the region.

    Raises:
        OSError: no Envoy answers on the admin socket.
    """
    config.ingress.draining_mark.touch()
    socket, path = config.ingress.admin_socket, "/drain_listeners?graceful&skip_exit"
    try:
        answer = asyncio.run(local_http.request(f"unix://{socket}", path, method="POST"))
    except OSError as error:
        raise OSError(f"no Envoy answers on {socket}: {error}") from error
    if answer.status != 200:
        raise OSError(f"Envoy refuses to drain: HTTP {answer.status}")
    time.sleep(for_s)


def main() -> NoReturn:
    """Becomes Envoy, or ends the process: 1 there is no Envoy or no place for its files, 2 a wrong configuration."""
    parser = argparse.ArgumentParser(prog="sealift-envoy", description="The Envoy of a Sealift krane.")
    default = Path(os.environ.get("SEALIFT_CONFIG") or DEFAULT_CONFIG)
    parser.add_argument("--config", metavar="FILE", type=Path, default=default, help="krane's TOML configuration")
    parser.add_argument("--drain-s", metavar="SECONDS", type=float, help="drain the Envoy that runs, for so long")
    given = parser.parse_args()
    try:
        config = load(given.config, KraneConfig)
        if given.drain_s is not None:
            drain(config, given.drain_s)
            sys.exit(0)
        arguments = prepare(config)
    except ConfigError as error:
        _refuse(error.message, EXIT_CONFIG)
    except (OSError, Unavailable) as error:
        _refuse(str(error), EXIT_FAILED)
    os.execv(arguments[0], arguments)  # noqa: S606 - the whole point: signals reach Envoy itself


def _refuse(message: str, status: int) -> NoReturn:
    print(f"sealift-envoy: {message}", file=sys.stderr)  # noqa: T201 - for a person
    sys.exit(status)


if __name__ == "__main__":
    main()
