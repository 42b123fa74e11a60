"""A permanent refusal is reported at once with its cause; a transient one is retried; text of users decides nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svc.krane.runtime.port import ADDRESSES, DISK
from svc.krane.runtime.refusals import (
    Kind,
    classify,
    is_init_missing,
    is_lost_start,
    is_quota_refused,
    shortage,
)

_RUNC = "failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: "
_OLD = "OCI runtime create failed: container_linux.go:380: starting container process caused: "
_CRUN = "failed to create task for container: failed to create shim task: OCI runtime create failed: crun: "


@pytest.mark.parametrize(
    ("status_code", "said", "code", "part"),
    [
        (500, "unable to find user nosuch: no matching entries in passwd file", "instance.user_not_found", "'nosuch'"),
        (500, "unable to find group Staff: no matching entries in group file", "instance.user_not_found", "'Staff'"),
        (500, "uids and gids must be in range 0-2147483647", "instance.user_not_found", "number"),
        (400, _RUNC + 'exec: "/no/such": stat /no/such: no such file or directory: unknown',
         "instance.command_not_found", "'serve --fast' is not in the image"),
        (400, _RUNC + 'exec: "x": executable file not found in $PATH: unknown', "instance.command_not_found", ""),
        (400, _RUNC + 'exec: "": executable file not found in $PATH: unknown', "instance.command_not_found", ""),
        (500, _OLD + 'exec: "/no": stat /no: no such file or directory: unknown', "instance.command_not_found", ""),
        (500, _CRUN + "executable file `x` not found in $PATH: No such file or directory: unknown",
         "instance.command_not_found", ""),
        (400, _RUNC + 'exec: "/tmp": permission denied: unknown', "instance.command_denied", "chmod +x"),
        (500, _RUNC + 'exec: "/tmp": is a directory: unknown', "instance.command_denied", ""),
        (500, _CRUN + "open executable: Permission denied: unknown", "instance.command_denied", ""),
        (500, _OLD + "exec user process caused: exec format error", "instance.wrong_platform", "linux/amd64"),
        (400, "No command specified", "instance.no_command", "[run] command"),
        (400, "the working directory 'foo' is invalid, it needs to be an absolute path", "instance.bad_workdir", ""),
        (500, "Cannot mkdir: /etc/passwd is not a directory", "instance.bad_workdir", "WORKDIR"),
        (500, _RUNC + 'error during container init: chdir to cwd ("/root/x") set in config.json failed: permission '
         "denied: unknown", "instance.bad_workdir", ""),
        (400, "invalid environment variable: =x", "instance.bad_variable", "variable"),
        (500, _RUNC + "error during container init: environment variable value can't contain null(\\x00): \"A=x\"",
         "instance.bad_variable", ""),
        (500, _RUNC + "exec /usr/bin/true: argument list too long", "instance.command_too_long", "2 MiB"),
        (500, _RUNC + "error during container init: sethostname: invalid argument: unknown", "instance.refused", ""),
        (500, _RUNC + 'error during container init: open /proc/self/x: read-only file system', "instance.read_only",
         ""),
        (400, "Minimum memory limit allowed is 6MB", "instance.refused", ""),
        (400, "Unknown runtime specified nosuch", "instance.refused", ""),
        (400, 'invalid CapAdd: unknown capability: "CAP_NOSUCH"', "instance.refused", ""),
    ],
)  # fmt: skip
def test_what_no_retry_heals(status_code: int, said: str, code: str, part: str) -> None:
    """Promise: what the image or its settings cause ends the deploy at once, with a code and a next step of its own."""
    found = classify(status_code, said, command=["serve", "--fast"], platform="linux/amd64")
    assert (found.kind, found.code) == (Kind.PERMANENT, code)
    assert part in found.why


@pytest.mark.parametrize(
    ("status_code", "said", "part"),
    [
        (500, "mkdir /var/lib/docker/overlay2/x: no space left on device", "disk is full"),
        (500, "no available IPv4 addresses on this network's address pools: sealift (abc)", "no free address"),
        (500, "fork/exec /usr/bin/containerd-shim-runc-v2: resource temporarily unavailable", "short"),
        (500, _RUNC + "unable to apply cgroup configuration: mkdir /sys/fs/cgroup/x: cannot allocate memory", "short"),
        (500, _RUNC + "unable to apply cgroup configuration: failed to write 77: device or resource busy", "limits"),
        (404, "network sealift not found", "network"),
        (409, "removal of container abc is already in progress", "busy"),
        (500, "server error: database is locked", "busy"),
        (500, "context deadline exceeded", "busy"),
        (500, "transport is closing: unavailable", "containerd"),
        (500, "can't get final child's PID from pipe: EOF", "containerd"),
        (500, "task " + "a" * 64 + ": already exists: unknown", "killed"),
        (404, "No such container: dep-1-0", "not there"),
        (429, "slow down", "not there"),
    ],
)  # fmt: skip
def test_what_may_heal(status_code: int, said: str, part: str) -> None:
    """Promise: what the machine or the engine is short of right now is tried again, and named meanwhile."""
    found = classify(status_code, said)
    assert found.kind is Kind.TRANSIENT
    assert part in found.why


def test_what_nobody_knows_is_neither() -> None:
    """Promise: an unknown 500 is called unknown, so that it is tried again under its own text."""
    assert classify(500, "the moon is in the wrong place").kind is Kind.UNKNOWN
    assert classify(None, "").kind is Kind.UNKNOWN


@given(st.sampled_from(["timeout", "no space left on device", "cgroup", "context deadline exceeded", "try again"]))
def test_a_programs_name_decides_nothing(name: str) -> None:
    """Promise: a command that is called like an engine's trouble is still a command that is not there."""
    said = f'{_RUNC}exec: "{name}": executable file not found in $PATH: unknown'
    assert classify(400, said, command=[name]).code == "instance.command_not_found"


def test_a_storage_driver_without_quotas_is_told_from_a_bad_setting() -> None:
    """Promise: an engine that can't bound a layer by itself is asked without that; other refusals are the app's."""
    assert is_quota_refused("--storage-opt is supported only for overlay over xfs with 'pquota' mount option")
    assert is_quota_refused("--storage-opt is not supported for vfs")
    assert not is_quota_refused("no space left on device")


def test_a_missing_init_of_the_engine_is_not_the_apps_fault() -> None:
    """Promise: an engine without docker-init is distinguished from an image without its command."""
    assert is_init_missing('exec: "docker-init": executable file not found in $PATH')
    assert is_init_missing(
        'error mounting "/x/docker-init" to rootfs at "/sbin/docker-init": no such file or directory'
    )
    assert not is_init_missing('exec: "init": executable file not found in $PATH')


def test_a_lost_start_is_told_from_other_conflicts() -> None:
    """Promise: only a container that can never start again is replaced; the text is the engine's own."""
    task = "b01aae2ae164729384dceec9b44047ece545a3f29d98ab53956af47145bf6b64"
    assert is_lost_start(f"task {task}: already exists")
    assert is_lost_start("id already in use")
    assert not is_lost_start('Conflict. The container name "/dep-1-0" is already in use by container "ab"')
    assert not is_lost_start("network with name sealift already exists")


@pytest.mark.parametrize(
    ("said", "resource"),
    [
        ("Address already in use", ""),
        ("no available IPv4 addresses on this network's address pools: sealift (0a1b)", ADDRESSES),
        (
            "failed to create endpoint dep-1-0 on network sealift-v2: adding interface veth12 to bridge slt1 failed: "
            "exchange full",
            ADDRESSES,
        ),
        ("driver failed programming: listen tcp4 0.0.0.0:80: bind: address already in use", None),
        ("mkdir /var/lib/docker/overlay2/0a1b-init: no space left on device", DISK),
        ("failed to copy files: write /var/lib/docker/volumes/ab/_data/x: no space left on device", DISK),
        ("mkdir /sys/fs/cgroup/memory/docker/0a1b: cannot allocate: cgroup: no space left on device", None),
        ("join session keyring: create session key: disk quota exceeded", None),
        ('exec: "no space left on device": executable file not found in $PATH', None),
        ("OCI runtime create failed: exec format error", None),
    ],
)
def test_a_start_that_has_to_wait_is_no_failed_one(said: str, resource: str | None) -> None:
    """Promise: a full network and a full disk are reported as that, not as a fault of the app; other things are not."""
    found = shortage(said)
    assert (None if found is None else found.resource) == resource
