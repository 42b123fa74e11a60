"""An image's own init stays process 1; everything else gets the engine's."""

import pytest

from svc.krane.runtime.docker.init import brings_init, output_of
from svc.krane.runtime.port import NotExecuted


@pytest.mark.parametrize(
    "command",
    [
        ["/init"],
        ["/sbin/init"],
        ["/lib/systemd/systemd", "--system"],
        ["/usr/bin/tini", "-g", "--", "node", "server.js"],
        ["dumb-init", "--", "python"],
        ["s6-svscan", "/etc/services"],
        ["/usr/bin/env", "container=docker", "/sbin/init"],
        ["/bin/sh", "-c", "exec /init"],
        ["/bin/sh", "-ec", "-c", "A=1 exec /sbin/my_init"],
        ["sh", "-c", "exec sh -c '/sbin/runit-init'"],
    ],
)
def test_inits(command: list[str]) -> None:
    """Promise: s6-overlay, systemd, tini and their like are recognised, also behind a shell or env."""
    assert brings_init(command)


@pytest.mark.parametrize(
    "command",
    [
        [],
        [""],
        ["node", "init"],
        ["python", "/init"],
        ["/bin/sh", "-c", "flask init-db && flask run"],
        ["sh", "-c", "unbalanced '"],
        ["sh", "-c"],
        ["/bin/sh", "start.sh", "init"],
        ["env", "A=b"],
        ["supervisord", "-n"],
    ],
)
def test_apps(command: list[str]) -> None:
    """Promise: an argument that is called init makes no init of an app."""
    assert not brings_init(command)


@pytest.mark.parametrize(
    ("text", "left", "not_executed"),
    [
        ("one\ntwo\n", "one\ntwo\n", None),
        ("", "", None),
        (
            "[FATAL tini (7)] exec /run.sh failed: No such file or directory\n",
            "",
            NotExecuted("/run.sh", "No such file or directory"),
        ),
        ("one\n[WARN  tini (7)] Tini is not running as PID 1\ntwo", "one\ntwo", None),
        ("the app says [FATAL tini (7)] exec x failed: y", "the app says [FATAL tini (7)] exec x failed: y", None),
    ],
)
def test_the_init_s_own_lines_are_not_the_app_s(text: str, left: str, not_executed: NotExecuted | None) -> None:
    """Promise: nobody reads of a program that is not his, and why his own could not be executed is not lost."""
    output = output_of(text)
    assert (output.text, output.not_executed) == (left, not_executed)
