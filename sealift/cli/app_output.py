"""What an app printed last, as far as the server keeps it: before a failed start, and at its last end. Pure."""

from collections.abc import Iterator

from sealift.cli.text import ago, clean
from sealift.ctrl.v1 import deployment_pb2


def blocks(found: deployment_pb2.Deployment) -> Iterator[tuple[str, list[str]]]:
    """Headings and lines: of the start that failed first, then of each instance that ended."""
    if found.last_output:
        yield "before its start failed", [clean(line) for line in found.last_output]
    for instance in found.instances:
        if instance.HasField("last_exit"):
            yield exit_text(instance), [clean(line) for line in instance.last_exit.output]


def exit_text(instance: deployment_pb2.Instance) -> str:
    """Which instance ended when and why, e.g. "local/0, 3 min ago: the app exited with code 7"."""
    seen = instance.last_exit
    return f"{instance.region}/{instance.replica}, {ago(seen.at)} ago: {clean(seen.reason)}"
