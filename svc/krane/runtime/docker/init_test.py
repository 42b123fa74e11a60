"""An image's own init stays process 1; everything else gets the engine's."""

import pytest

from svc.krane.runtime.docker.init import brings_init


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
