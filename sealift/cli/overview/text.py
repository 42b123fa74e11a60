"""An environment on one screen: 24 lines of 80 columns in nearly all cases. Pure but for the clock."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from google.protobuf.message import Message

from sealift.cli.format.certificate_text import expiry_day, note_text
from sealift.cli.format.certificate_text import state_text as certificate_state
from sealift.cli.format.deployment_text import (
    LABEL_WIDTH,
    fact_row,
    instance_label,
    processes_text,
    replicas_now_text,
    state_text,
)
from sealift.cli.format.domain_text import status_text
from sealift.cli.format.enum_names import status_name
from sealift.cli.format.message_json import message_to_dict
from sealift.cli.format.stats_text import requests_text
from sealift.cli.format.tables import cut
from sealift.cli.format.text import ago, clean
from sealift.cli.overview.reading import Overview
from sealift.ctrl.v1 import acme_pb2, deployment_pb2

SHOWN = 3  # of what there may be many of
MESSAGE_CHARS = 40
REASON_CHARS = 240

Deployment = deployment_pb2.Deployment


def overview_text(found: Overview, width: int | None = None) -> str:
    """The environment as text; with `width`, wrapped to that many columns."""
    room = width - LABEL_WIDTH if width else None
    rows = [*_deployments(found, room), *_traffic(found), *_beside(found)]
    indent = "\n" if width else "\n" + " " * LABEL_WIDTH  # a wrapped value is indented already
    lines = [str(found), *(fact_row(name, value.replace("\n", indent), width) for name, value in rows if value)]
    return "\n".join(lines)


def overview_json(found: Overview) -> str:
    """The same facts as one object, with the names of the protos; what is unknown is null."""
    certificates = found.certificates
    facts = {
        "project": message_to_dict(found.project),
        "environment": message_to_dict(found.environment),
        "live": _whole(found.live),
        "standby": [message_to_dict(one) for one in found.standby],
        "under_way": [message_to_dict(one) for one in found.under_way],
        "last_failed": _whole(found.last_failed),
        "requests": _whole(found.requests),
        "domains": None if found.domains is None else [message_to_dict(one) for one in found.domains],
        "certificates": None if certificates is None else {name: _whole(one) for name, one in certificates.items()},
        "others": [message_to_dict(one) for one in found.others],
        "unknown": list(found.unknown),
    }
    return json.dumps(facts, ensure_ascii=False)


def _whole(message: Message | None) -> dict[str, Any] | None:
    return None if message is None else message_to_dict(message)


def _deployments(found: Overview, room: int | None) -> Iterator[tuple[str, str]]:
    place, live = found.environment, found.live
    if live:
        yield "live", _label(live, room)
        yield "url", "\n".join(map(clean, live.urls[:1]))
        yield "instances", "\n".join(_instances(live))
        yield "notice", _some([clean(notice) for notice in live.notices], f"sealift status {live.deployment_id}")
    elif place.is_stopped:
        yield "live", "nothing: the app is stopped; to start it again: sealift promote"
    else:
        yield "live", "nothing yet; to deploy: sealift deploy"
    if place.is_rolled_back:
        yield "rolled back", "new deployments do not go live until: sealift promote"
    yield "warm", _some([_label(one, room) for one in found.standby], "sealift ps") or ("none" if live else "")
    under_way = [f"{_name(one)}: {clean(one.queued_reason) or status_name(one.status)}" for one in found.under_way]
    yield "under way", _some(under_way, "sealift ls")
    if failed := found.last_failed:
        when = "before what is live; " if live and live.seq > failed.seq else ""
        step = f"{clean(failed.error.step)}: " if failed.error.step else ""
        reason = cut(" ".join(map(clean, failed.error.message.split("\n"))), REASON_CHARS)
        yield "last failed", f"{_label(failed, room)}\n{when}{step}{reason} [{clean(failed.error.code)}]"


def _traffic(found: Overview) -> Iterator[tuple[str, str]]:
    if found.requests is not None:
        yield "last hour", requests_text(found.requests)
    if found.domains is not None:
        shown = []
        for one in found.domains:
            problem = next((clean(text) for text in (one.reason, *one.warnings) if text), "")
            shown.append(f"{clean(one.unicode_hostname)} {status_text(one)}{': ' if problem else ''}{problem}")
        yield "domains", _some(shown, "sealift domains")
    if found.certificates is not None:
        yield "certificate", _some(_certificates(found.certificates), "sealift certificates")


def _beside(found: Overview) -> Iterator[tuple[str, str]]:
    busy = [f"{one.slug}: live is {one.live_deployment_id}" for one in found.others if one.live_deployment_id]
    idle = [one.slug for one in found.others if not one.live_deployment_id]
    if idle:
        busy.append(f"nothing is live in {', '.join(idle[:SHOWN])}{' …' if len(idle) > SHOWN else ''}")
    yield "also", _some(busy, "sealift environments")
    if found.environment.deletion_id:
        yield "deleting", f"this environment is being deleted ({found.environment.deletion_id})"
    for problem in found.unknown:
        yield "unknown", problem


def _name(one: Deployment) -> str:
    return f"{one.deployment_id} {clean(one.branch)}".strip() + f", {ago(one.created_at)} ago"


def _label(one: Deployment, room: int | None) -> str:
    """A deployment in one line, on a terminal cut to what there is room for."""
    git = one.git_commit
    message = cut(clean(git.commit_message.partition("\n")[0]), MESSAGE_CHARS)
    commit = f"{clean(git.commit_sha[:7])} {message}".strip() or clean(one.docker_image)
    label = f"{_name(one)}, {commit}" if commit else _name(one)
    return cut(label, room) if room else label


def _instances(live: Deployment) -> list[str]:
    running = [one for one in live.instances if one.state != deployment_pb2.INSTANCE_STATE_STOPPED]
    bad = [
        f"{instance_label(one)} {state_text(one)}{'  ' + clean(one.reason) if one.reason else ''}"
        for one in running
        if one.state != deployment_pb2.INSTANCE_STATE_HEALTHY or one.HasField("silence")
    ]
    restarts = sum(one.restarts for one in running)
    again = f"; {restarts} restart{'' if restarts == 1 else 's'}" if restarts else ""
    total = replicas_now_text(live)
    processes = processes_text(live)
    return [f"{total}{again}" if total else "none is reported", *processes, *_some(bad, "sealift ps").split("\n")]


def _certificates(found: dict[str, acme_pb2.ManagedCertificate | None]) -> list[str]:
    """A line for each certificate, with the hostnames that it is for; the ones that are missing first."""
    lines = [f"{clean(hostname)}: none" for hostname, one in found.items() if one is None]
    by_name: dict[str, list[str]] = {}
    for hostname, one in found.items():
        if one is not None:
            by_name.setdefault(one.name, []).append(clean(hostname))
    for name, hostnames in by_name.items():
        one = next(each for each in found.values() if each is not None and each.name == name)
        expiry = f" until {expiry_day(one)}" if one.not_after else ""
        note = f": {note_text(one)}" if note_text(one) else ""
        lines.append(f"{', '.join(hostnames)}: {certificate_state(one)}{expiry}{note}")
    return lines


def _some(lines: Sequence[str], all_of_them: str) -> str:
    """The first lines, and the command that shows the rest."""
    more = [f"… {len(lines) - SHOWN} more: {all_of_them}"] if len(lines) > SHOWN else []
    return "\n".join([*lines[:SHOWN], *more])
