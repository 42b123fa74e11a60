"""The process types of an app beside its web instances: names, and the ids of what runs them. Pure.

All instances of one process type in a region are a workload, as the web instances of a deployment are one. The id of a
workload is the deployment's for web, and "dep_06b7....worker" for a process; the name of an instance is made of it, so
both can be read back.
"""

import re
from dataclasses import dataclass

from pkg.ids import dns_label

WEB = "web"  # how people name the instances with routes; in ids, columns and messages they have no name: ""
MAX_PROCESSES = 10
MAX_PROCESS_REPLICAS = 20
MAX_NAME_CHARS = 20  # a StatefulSet's name leaves so much: its Pods carry a label of it and a hash, 63 characters long
NAME_RULE = f"1 to {MAX_NAME_CHARS} of a-z, 0-9 and -, beginning with a letter and not ending with -"
_NAME = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?")
_INSTANCE = re.compile(r"dep-[a-z0-9]+(?:-(?P<process>[a-z](?:[a-z0-9-]*[a-z0-9])?))?-(?P<replica>\d+)")


@dataclass(frozen=True)
class Process:
    """One process type of an app, as its settings have it.

    Attributes:
        name: See `NAME_RULE`; never `WEB`.
        command: What runs in place of the image's command; not empty.
        replicas: How many instances each region runs, 0 to `MAX_PROCESS_REPLICAS`.
        cpu_millicores, memory_mib, disk_mib: Of each instance; None: those of the web instances.
    """

    name: str
    command: tuple[str, ...]
    replicas: int = 1
    cpu_millicores: int | None = None
    memory_mib: int | None = None
    disk_mib: int | None = None


def name_problem(name: str) -> str:
    """Why a process can't be called so, for people; "" if it can."""
    if name == WEB:
        return f"{WEB!r} is the app itself, with its routes: its settings are those of [run]"
    if len(name) > MAX_NAME_CHARS or not _NAME.fullmatch(name):
        return f"{name[:80]!r} is no name of a process: use {NAME_RULE}"
    return ""


def workload_id(deployment_id: str, process: str = "") -> str:
    """The id of what runs a process of a deployment; for web (""), the deployment's."""
    return f"{deployment_id}.{process}" if process else deployment_id


def split_workload(workload: str) -> tuple[str, str]:
    """(deployment id, process) of `workload_id`."""
    deployment_id, _, process = workload.partition(".")
    return deployment_id, process


def workload_label(workload: str) -> str:
    """The id as a DNS label: "dep-06b7" or "dep-06b7-worker"."""
    return dns_label(workload).replace(".", "-")


def process_of_instance(name: str) -> str:
    """The process of an instance by its name, "dep-06b7...-worker-0"; "" for web, and for what is no such name."""
    found = _INSTANCE.fullmatch(name)
    return (found["process"] or "") if found else ""
