"""Prints what a deployment's instances print; the work of `sealift logs`."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

import click

from sealift.cli.buildplan.processes import WEB
from sealift.cli.exit_codes import ExitCode
from sealift.cli.format.deployment_text import app_output
from sealift.cli.format.log_text import WholeLines, log_json, log_text
from sealift.cli.format.text import clean, prose
from sealift.cli.project.project_file import project_ref
from sealift.cli.session import find_deployment, find_environment, find_project
from sealift.client.client import Client
from sealift.client.errors import InputError
from sealift.client.follow_logs import follow_logs
from sealift.ctrl.v1 import deployment_pb2, log_pb2

DEFAULT_TAIL = 200
MAX_TAIL = 1000
_ENDED = (deployment_pb2.RUN_STATE_NONE, deployment_pb2.RUN_STATE_STOPPED)


@dataclass(frozen=True)
class LogsWanted:
    """Which lines, and how they are printed.

    Attributes:
        since_s: how far back; None: as far as `tail` goes.
        tail: the newest lines; None: the default of what else is asked for.
        after: a cursor; "" for none.
        instances: numbers or ids; none: all.
        grep: only lines that match; None: all.
        process: only its lines, "web" for instances with routes; numbers of `instances` are then its; "": of all.
    """

    follow: bool
    since_s: int | None
    tail: int | None
    after: str
    instances: tuple[str, ...]
    grep: re.Pattern[str] | None
    as_json: bool
    process: str = ""

    @property
    def follows_environment(self) -> bool:
        """Whether another deployment may follow: unless an instance is named by an id, which is of one deployment."""
        return self.follow and all(each.rpartition("/")[2].isdecimal() for each in self.instances)

    @property
    def chooses(self) -> bool:
        """Whether only some of the lines are wanted."""
        return self.since_s is not None or bool(self.after or self.instances or self.process or self.grep)

    def request(self, deployment_id: str) -> log_pb2.GetLogsRequest:
        """For the server."""
        tail = self.tail
        if tail is None:
            tail = 0 if self.since_s is not None or self.after or self.grep else DEFAULT_TAIL
        return log_pb2.GetLogsRequest(
            deployment_id=deployment_id,
            follow=self.follow,
            since=0 if self.since_s is None else int((time.time() - self.since_s) * 1000),
            tail=tail,
            after=self.after,
            instance_ids=[instance_id(deployment_id, each, self.process) for each in self.instances],
            process="" if self.instances else self.process,
            line_cursors=self.as_json,
        )


def instance_id(deployment_id: str, instance: str, process: str = "") -> str:
    """The id of an instance that is named by its number, e.g. "0" or "local/0", or by its id."""
    number = instance.rpartition("/")[2]
    if not number.isdecimal():
        return instance
    owner = deployment_id.replace("_", "-")
    return f"{owner}-{number}" if process in ("", WEB) else f"{owner}-{process}-{number}"


async def deployment_of_logs(
    client: Client, deployment_id: str | None, project: str | None, environment: str | None
) -> deployment_pb2.Deployment:
    """The given deployment, else what is live, else the latest."""
    if deployment_id:
        return await find_deployment(client, deployment_id, project, environment)
    found = await find_project(client, project_ref(project))
    live = found.live_deployment_id
    if environment:
        live = (await find_environment(client, found, environment)).live_deployment_id
    return await find_deployment(client, live or None, project, environment)


async def print_logs(
    client: Client, found: deployment_pb2.Deployment, wanted: LogsWanted, note: Callable[[str], None]
) -> int:
    """Prints the lines of one deployment; with `follow` until nothing of it runs any more."""
    is_empty = not await _print_lines(client, wanted.request(found.deployment_id), wanted, note)
    if wanted.follow:
        note(f"no instance of {found.deployment_id} runs any more")
    elif is_empty:
        _print_kept(found, wanted)
    return ExitCode.OK


async def follow_environment(
    client: Client, found: deployment_pb2.Deployment, wanted: LogsWanted, note: Callable[[str], None]
) -> int:
    """Prints what is live as it comes: `found`, and after a deploy, promote or rollback what is live then.

    Of a deployment that becomes live it prints what it has printed since this began, each line once. It ends when
    nothing is live and nothing of the last one runs any more.
    """
    requests: dict[str, log_pb2.GetLogsRequest] = {}
    began_ms = int(time.time() * 1000)
    current = found.deployment_id
    request = requests[current] = wanted.request(current)
    while True:
        request.until_replaced = True
        await _print_lines(client, request, wanted, note)
        last = await client.deployment(current)
        live = await _live_beside(client, last)
        if live:
            note(f"{live} is live now, in place of {current}: its lines follow")
            if live not in requests:
                requests[live] = wanted.request(live)
                requests[live].since, requests[live].tail, requests[live].after = began_ms, 0, ""
            current, request = live, requests[live]
        elif last.run_state in _ENDED:
            note(f"no instance of {current} runs any more")
            return ExitCode.OK


async def _live_beside(client: Client, last: deployment_pb2.Deployment) -> str:
    """The id of the deployment that is live in the environment of `last`; "" if none is, or `last` itself."""
    if last.is_live:
        return ""
    live = (await client.environment(last.project_id, last.environment_slug)).live_deployment_id
    return live if live != last.deployment_id else ""


async def _print_lines(
    client: Client, request: log_pb2.GetLogsRequest, wanted: LogsWanted, note: Callable[[str], None]
) -> bool:
    """Whether there was any; afterwards `request` goes on behind them."""
    lines, is_any = WholeLines(), False
    async for message in follow_logs(client, request, notice=note):
        shown = [
            log_json(line, text) if wanted.as_json else log_text(line, text)
            for line, text in lines.feed(message.lines)
            if wanted.grep is None or wanted.grep.search(clean(text))
        ]
        if shown:
            is_any = True
            click.echo("\n".join(shown))
    return is_any


def _print_kept(found: deployment_pb2.Deployment, wanted: LogsWanted) -> None:
    """What the deployment itself keeps of a failed start or of its last exits."""
    kept = [] if wanted.chooses else list(app_output(found))
    if not kept:
        why = "no line matches" if wanted.chooses else "its instances have printed nothing, or it is kept no longer"
        click.echo(prose(f"no output of {found.deployment_id}: {why}; for the build: --build"), err=True)
    for heading, lines in kept:
        if wanted.as_json:
            import json

            click.echo(json.dumps({"of": heading, "lines": lines}, ensure_ascii=False))
        else:
            click.echo("\n".join([f"# {heading}", *lines]))


def pattern(text: str | None) -> re.Pattern[str] | None:
    """The regular expression of --grep. Raises InputError."""
    if text is None:
        return None
    try:
        return re.compile(text)
    except re.error as error:
        raise InputError(f"--grep: {text!r:.80} is not a regular expression: {error}") from None
