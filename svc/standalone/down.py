"""Ending a stack from outside, also one whose supervisor is gone."""

import asyncio
import os
import signal
from pathlib import Path

from pkg.docker import Engine
from pkg.docker.labels import LABEL_INSTALLATION
from svc.standalone import admin, engine, envoy, isolation
from svc.standalone.egress import firewall
from svc.standalone.errors import StartupError
from svc.standalone.health import read_endpoints
from svc.standalone.process import end, read_pidfile, send_signal, wait_ended
from svc.standalone.statedir import StateDir

STOP_TIMEOUT_S = 35.0


async def down(state: StateDir, *, with_apps: bool) -> list[str]:
    """End supervisor, services, Envoy and private engine. Idempotent.

    Args:
        state: of the stack.
        with_apps: also remove the app containers of this installation.

    Returns:
        What was ended, for people; empty when nothing ran.

    Raises:
        StartupError: the supervisor did not end in 35 s.
    """
    ended = []
    supervisor = read_pidfile(state.pidfile("supervisor"))
    if supervisor:
        # It leaves Envoy and the engine, which are ended here in the right order.
        send_signal(supervisor, signal.SIGUSR1)
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await wait_ended(supervisor)
        except TimeoutError as error:
            raise StartupError(
                f"the supervisor (process {supervisor.pid}) did not end in {STOP_TIMEOUT_S:.0f} s; see "
                f"{state.log('supervisor')}."
            ) from error
        ended.append("supervisor")
    proxy = read_pidfile(state.pidfile(envoy.NAME))
    if proxy:
        await end(proxy, 3.0)
        state.pidfile(envoy.NAME).unlink(missing_ok=True)
        ended.append("Envoy")
    endpoints = read_endpoints(state)
    if with_apps and endpoints and await Engine(Path(endpoints.engine_socket)).is_answering():
        count = await _remove_apps(state, Engine(Path(endpoints.engine_socket)))
        if count:
            ended.append(_containers(count))
    if with_apps and os.geteuid() == 0:
        firewall.remove(isolation.scope_tag(state))  # of a network on the machine's engine
    had_engine, left = await stop_engine(state, everything=False, keep_network=not with_apps)
    if left:  # an earlier stop had ended the engine and left them running
        ended.append(_containers(left))
    if had_engine:
        ended.append("private engine")
    return ended


def _containers(count: int) -> str:
    return f"{count} app container{'s' if count > 1 else ''}"


async def _remove_apps(state: StateDir, apps: Engine) -> int:
    """Remove the containers of this installation, and then their network; how many containers. Raises OSError."""
    installation = await admin.installation_id(state)
    if not installation:
        return 0
    count = await apps.remove_containers(f"{LABEL_INSTALLATION}={installation}")
    # krane makes it again. An engine has address ranges for some thirty networks only.
    await apps.remove_networks(f"{LABEL_INSTALLATION}={installation}")
    return count


async def stop_engine(state: StateDir, *, everything: bool, keep_network: bool) -> tuple[bool, int]:
    """End the private engine, if there is one. Returns whether it ran, and how many containers ran on without it.

    Args:
        state: of the stack.
        everything: remove all of its containers first; they run on without it otherwise.
        keep_network: leave its bridge for containers that run on.
    """
    identity = read_pidfile(state.pidfile(engine.NAME))
    if identity:
        private = Engine(engine.private_socket(state))
        if everything and await private.is_answering():
            await private.remove_containers()
        await end(identity, 20.0)
        state.pidfile(engine.NAME).unlink(missing_ok=True)
    left = 0 if keep_network else await engine.remove_traces(state)
    return identity is not None, left
