"""Writes the config files of api, worker and krane from the stack's own, at every start."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import msgspec

from svc.standalone import restate, toml
from svc.standalone.config import StandaloneConfig
from svc.standalone.files import replace
from svc.standalone.secrets import (
    ADMIN_KEY_FILE,
    ADMIN_KEY_NAME,
    KRANE_KEY_FILE,
    SUPERVISOR_KEY_FILE,
    SUPERVISOR_KEY_NAME,
)
from svc.standalone.sections import EngineBuilds, ObjectFiles, TelemetryFile, Tls
from svc.standalone.statedir import StateDir

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Addresses:
    """host:port of each TCP listener, all chosen."""

    api: str
    http: str
    worker: str
    worker_metrics: str
    krane_metrics: str
    ingress: str
    ingress_tls: str = ""  # empty: HTTPS is not served

    @property
    def ingress_port(self) -> int:
        """Under which hostnames answer."""
        return int(self.ingress.rpartition(":")[2])

    @property
    def ingress_tls_port(self) -> int:
        """Under which they answer by HTTPS; 0: they do not."""
        return int(self.ingress_tls.rpartition(":")[2] or 0)


@dataclass(frozen=True)
class Stack:
    """One stack as it is about to run: the config with every choice made.

    Attributes:
        builds_cgroup: the control group that bounds all builds; "" where the engine is not ours.
        apps_cgroup: the control group of the apps; "" there, too.
        address_pool: where krane takes the addresses of instances, as CIDR; "" lets the engine choose.
    """

    config: StandaloneConfig
    state: StateDir
    addresses: Addresses
    engine_socket: Path
    builds_cgroup: str = ""
    apps_cgroup: str = ""
    address_pool: str = ""


def write_configs(stack: Stack) -> None:
    """Write restate.toml, api.toml, worker.toml and krane.toml into the run directory, 0600."""
    files = {
        "restate": restate.render(stack.config, stack.state),
        "api": toml.render(api(stack)),
        "worker": toml.render(worker(stack)),
        "krane": toml.render(krane(stack)),
    }
    for name, text in files.items():
        replace(stack.state.config(name), text)


def api(stack: Stack) -> toml.Table:
    """Keys of svc.api.config."""
    state, config = stack.state, stack.config
    external_url = config.url_elsewhere(stack.addresses.ingress_tls_port) or f"http://{stack.addresses.http}"
    return {
        "grpc": {"listen": stack.addresses.api},
        "http": {"listen": stack.addresses.http, "external_url": external_url},
        **_stores(stack),
        "objects": _objects(stack),
        "restate": _restate(state),
        "retention": {"images_per_environment": config.retention.images_per_environment},
        "logs": {"mib_per_deployment": config.logs.mib_per_deployment},
        "exec": toml.section(config.exec),
        "build": {"backend": config.build.backend},
        "images": _images(config),
        **({"registry": {"url": config.registry.url}} if config.registry else {}),
        "limits": _limits(config),
        "domains": toml.section(config.domains),
        **_common(stack),
        **_ingress(stack),
        "bootstrap_keys": [
            {"name": ADMIN_KEY_NAME, "role": "admin", "file": str(state.secrets / ADMIN_KEY_FILE)},
            {"name": SUPERVISOR_KEY_NAME, "role": "admin", "file": str(state.secrets / SUPERVISOR_KEY_FILE)},
            {
                "name": f"krane-{config.region}",
                "role": "cluster",
                "file": str(state.secrets / KRANE_KEY_FILE),
                "region": config.region,
            },
        ],
    }


def _images(config: StandaloneConfig) -> toml.Table:
    return {"allow_local": list(config.images.allow_local)}


def _limits(config: StandaloneConfig) -> toml.Table:
    limits = {"max_context_bytes": config.limits.max_context_bytes}
    # what the operator did not set is left to the workspace
    return limits if config.limits.build_slots is None else limits | {"build_slots": config.limits.build_slots}


def worker(stack: Stack) -> toml.Table:
    """Keys of svc.worker.config."""
    state, config = stack.state, stack.config
    public_key = (state.secrets / "restate.pub").read_text().strip()
    return {
        "http": {"listen": stack.addresses.worker, "uri": f"http://{stack.addresses.worker}"},
        **_stores(stack),
        "objects": {**_objects(stack), **_for_builders(stack)},
        "restate": {**_restate(state), "identity_public_key": public_key},
        "build": _build(stack),
        "logs": {"retention_days": config.logs.retention_days},
        "deploy": {"standby_ttl_s": config.retention.standby_ttl_s},
        **({"registry": toml.section(config.registry)} if config.registry else {}),
        **({"depot": toml.section(config.depot)} if config.depot else {}),
        **_metrics(stack, stack.addresses.worker_metrics),
        **_common(stack),
        **_ingress(stack),
    }


def _build(stack: Stack) -> toml.Table:
    config = stack.config
    section = toml.section(config.build) | {"timeout_s": config.limits.build_timeout_s}
    if not isinstance(config.build, EngineBuilds):
        return section
    section |= {"engine_socket": str(stack.engine_socket), "cgroup": stack.builds_cgroup}
    if not stack.builds_cgroup:
        return section
    return section | {
        "disk": str(stack.state.engine),
        "min_free_mib": config.builds.min_free_mib,
        "hang_report": str(stack.state.hang_report),
        "ended_steps": str(stack.state.ended_steps),
    }


def krane(stack: Stack) -> toml.Table:
    """Keys of svc.krane.config."""
    state, config = stack.state, stack.config
    return {
        "region": config.region,
        "state_dir": str(state.krane),
        "api": {"address": stack.addresses.api, "key_file": str(state.secrets / KRANE_KEY_FILE)},
        "runtime": toml.section(config.runtime),
        "kubernetes": toml.section(config.kubernetes),
        "docker": {
            "socket": str(stack.engine_socket),
            "network": network_name(state),
            "address_pool": stack.address_pool,
            "cgroup_parent": stack.apps_cgroup,
        },
        "registries": [toml.section(login) for login in config.registries],
        "images": _images(config),
        "ingress": {
            "listen": stack.addresses.ingress,
            "ads_socket": str(state.socket("ads")),
            "admin_socket": str(state.socket("envoy")),
            "trusted_proxies": list(config.ingress.trusted_proxies),
            "access_log": str(state.logs / "access.log") if config.ingress.access_log else "",
            **_https(stack),
            "api_hostname": config.api_hostname,
            "api_grpc": stack.addresses.api,
            "api_http": stack.addresses.http,
        },
        "logs": {"kib_per_s": config.logs.kib_per_s, "burst_mib": config.logs.burst_mib},
        **_metrics(stack, stack.addresses.krane_metrics),
        **_common(stack),
    }


def _https(stack: Stack) -> toml.Table:
    config, addresses = stack.config, stack.addresses
    if not addresses.ingress_tls:
        return {}
    is_https = config.public_scheme == "https"
    return {
        "tls_listen": addresses.ingress_tls,
        "public_tls_port": _public_port(stack) if is_https else addresses.ingress_tls_port,
        "redirect": config.tls.redirects,
        "hsts_max_age_s": config.tls.hsts_max_age_s,
    }


def _public_port(stack: Stack) -> int:
    return stack.config.public_port(stack.addresses.ingress_port, stack.addresses.ingress_tls_port)


def network_name(state: StateDir) -> str:
    """Of the apps' network, as krane gets it (`pkg.networks`): each stack on one machine has its own."""
    return f"sealift-{hashlib.sha256(str(state.root).encode()).hexdigest()[:8]}"


def _metrics(stack: Stack, listen: str) -> dict[str, toml.Table]:
    return {"metrics": {"listen": listen}} if stack.config.metrics.serve else {}


def _common(stack: Stack) -> dict[str, toml.Table]:
    return {"log": {"level": stack.config.log.level}, "tracing": {"endpoint": stack.config.tracing.endpoint}}


def _ingress(stack: Stack) -> dict[str, toml.Table]:
    config = stack.config
    return {
        "ingress": {
            "apex_domain": config.ingress.apex_domain,
            "scheme": config.public_scheme,
            "port": _public_port(stack),
            "api_hostname": config.api_hostname,
        },
        "tls": _tls(stack.config.tls),
    }


def _tls(tls: Tls) -> toml.Table:
    """Keys of pkg.certificates.config; how HTTPS is served is krane's."""
    values = toml.section(msgspec.structs.replace(tls, dns=None, redirect=None))
    del values["hsts_max_age_s"]
    return values if tls.dns is None else {**values, "dns": toml.section(tls.dns)}


def _stores(stack: Stack) -> dict[str, toml.Table]:
    state = stack.state
    return {
        "database": {"url": f"sqlite:///{state.root / 'control.db'}"},
        "telemetry": _telemetry(stack),
        "vault": {"master_key_file": str(state.secrets / "master.key")},
    }


def _telemetry(stack: Stack) -> toml.Table:
    telemetry = stack.config.telemetry
    section = toml.section(telemetry)
    if isinstance(telemetry, TelemetryFile):
        return section | {"path": str(stack.state.root / "telemetry.db")}
    return section


def _objects(stack: Stack) -> toml.Table:
    objects, state = stack.config.objects, stack.state
    section = toml.section(objects)
    if isinstance(objects, ObjectFiles):
        section |= {"root": str(state.objects), "signing_key_file": str(state.secrets / "urls.key")}
    return section


def _for_builders(stack: Stack) -> toml.Table:
    """Where builders reach the api's HTTP port; those on this machine need no way round."""
    config, local = stack.config, f"http://{stack.addresses.http}"
    if isinstance(config.objects, ObjectFiles):
        elsewhere = config.url_elsewhere(stack.addresses.ingress_tls_port)
        return {"external_url": elsewhere if config.build.is_elsewhere else local}
    return {"api_url": local}


def _restate(state: StateDir) -> dict[str, str]:
    sockets = state.restate_sockets
    return {"ingress": f"unix://{sockets / 'ingress.sock'}", "admin": f"unix://{sockets / 'admin.sock'}"}
