"""Writes what must be in the state directory before any process starts: keys and configuration files."""

import os
from pathlib import Path

from svc.standalone import engine, envoy, health, ports, restate
from svc.standalone.config import StandaloneConfig
from svc.standalone.process import read_pidfile
from svc.standalone.render import LOOPBACK, Addresses, Stack, write_configs
from svc.standalone.secrets import ensure_secrets
from svc.standalone.statedir import StateDir


async def configure(
    config: StandaloneConfig, state: StateDir, *, check_ports: bool = True
) -> tuple[Stack, health.Endpoints]:
    """Make missing keys, choose ports and engine, write the configuration of each process again. Idempotent.

    Args:
        config: of the stack.
        state: prepared, and held by the caller.
        check_ports: refuse ports that are taken; False where the services may run already.

    Raises:
        StartupError: a port is taken, Restate's data is gone, or no engine answers and none may be started.
        pkg.config.ConfigError: a key can be read by others or is cut short.
    """
    restate.check_data(state)
    ensure_secrets(state.secrets)
    stack, endpoints = await _choose(config, state, check_ports=check_ports)
    write_configs(stack)
    endpoints.write(state)
    return stack, endpoints


async def _choose(config: StandaloneConfig, state: StateDir, *, check_ports: bool) -> tuple[Stack, health.Endpoints]:
    chosen = ports.choose(_keep_chosen(wanted_ports(config), health.read_endpoints(state)))
    if check_ports:
        adopted = read_pidfile(state.pidfile(envoy.NAME))
        ports.check(chosen, frozenset({adopted.pid} if adopted else ()))
    address = {port.name: f"{port.host}:{port.number}" for port in chosen}
    private = await _uses_private_engine(config, state)
    socket_path = engine.private_socket(state) if private else Path(config.engine.socket)
    # Not served, they are no part of the table; their addresses are not used then.
    stack = Stack(
        config, state, Addresses(**{"worker_metrics": "", "krane_metrics": "", **address}), socket_path,
        builds_cgroup=engine.builds_cgroup(state) if private else "",
        apps_cgroup=engine.apps_cgroup(engine.private_bridge(state)) if private else "",
        address_pool=engine.address_pool(state) if private else config.engine.address_pool,
    )  # fmt: skip
    endpoints = health.Endpoints(
        pid=os.getpid(), state_dir=str(state.root), **address,
        api_url=config.api_url(stack.addresses.ingress_tls_port),
        apex_domain=config.ingress.apex_domain, region=config.region,
        engine_socket=str(socket_path), engine_is_private=private,
    )  # fmt: skip
    return stack, endpoints


def wanted_ports(config: StandaloneConfig) -> list[ports.Port]:
    """The table of TCP ports as configured."""
    return [
        ports.Port("api", LOOPBACK, config.ports.api),
        ports.Port("http", LOOPBACK, config.ports.http),
        ports.Port("worker", LOOPBACK, config.ports.worker),
        ports.Port("ingress", config.ingress.bind, config.ports.ingress),
        *([ports.Port("ingress_tls", config.ingress.bind, config.ports.ingress_tls)] if config.tls.enabled else []),
        *(
            [
                ports.Port("worker_metrics", LOOPBACK, config.ports.worker_metrics),
                ports.Port("krane_metrics", LOOPBACK, config.ports.krane_metrics),
            ]
            if config.metrics.serve
            else []
        ),
    ]


def _keep_chosen(wanted: list[ports.Port], before: health.Endpoints | None) -> list[ports.Port]:
    """A port that was chosen freely stays the same at the next start: workflows in flight are bound to the worker's."""
    if before is None:
        return wanted
    last = {port.name: int(getattr(before, port.name).rpartition(":")[2] or 0) for port in wanted}
    return [ports.Port(port.name, port.host, port.number or last[port.name]) for port in wanted]


async def _uses_private_engine(config: StandaloneConfig, state: StateDir) -> bool:
    # Apps live in the engine that runs them: one that is still there from an earlier start stays the one.
    if config.engine.private == "auto" and read_pidfile(state.pidfile(engine.NAME)):
        return True
    return await engine.wants_private(config)
