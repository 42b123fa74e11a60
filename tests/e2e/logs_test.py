"""Promise: all services log in one vocabulary, line by line, and nothing that is secret."""

import base64
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc

from pkg.testing.wait import WAIT_S
from sealift.ctrl.v1 import ctrl_pb2, ctrl_pb2_grpc
from tests.harness import apps
from tests.harness.log_fields import allowed
from tests.harness.stack import ROOT, Stack

SERVICES = ("api", "worker", "krane")
_OF_OBJECTS = re.compile(r"<[\w.]+ object at 0x|<[A-Z]\w*\(|\bSecret\(")


def _lines(stack: Stack, service: str) -> list[dict[str, Any]]:
    texts = (stack.state / "logs" / f"{service}.log").read_text(encoding="utf-8").splitlines()
    assert texts, f"{service} logs nothing"
    return [json.loads(text) for text in texts]


def _is_plain(value: object) -> bool:
    if isinstance(value, list):
        return all(isinstance(item, str) for item in value)
    return isinstance(value, str | int | float | bool)


def _server_instance(stack: Stack) -> str:
    key = (stack.state / "secrets" / "admin.key").read_text().strip()
    with grpc.insecure_channel(stack.endpoints["api"]) as channel:
        info = ctrl_pb2_grpc.CtrlServiceStub(channel).GetServerInfo(
            ctrl_pb2.GetServerInfoRequest(), metadata=[("authorization", f"Bearer {key}")], timeout=WAIT_S
        )
    return str(info.instance_id)


def test_logs_of_good_and_bad_deploys(stack: Stack, project: str, tmp_path: Path) -> None:
    """Deploys that work and that fail, a rollback, variables and build secrets: every line keeps to the vocabulary."""
    variable, secret = "variable-4713-value", "secret-4714-value"
    setting = subprocess.run(
        [sys.executable, "-m", "sealift.cli.main", "env", "set", "WORD", "--project", project],
        input=variable, env=stack.env, cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert setting.returncode == 0, setting.stderr
    use = "RUN --mount=type=secret,id=token test -s /run/secrets/token"
    directory = apps.app(tmp_path / "app", build=use)
    arguments = ("--project", project, "--json", "--secret", "id=token,env=TOKEN")
    for body in ("one", "two"):
        apps.edit(directory, body)
        done = stack.sealift("deploy", str(directory), *arguments, env={"TOKEN": secret})
        assert done.code == 0, done.err
    ident = done.last_json["deployment_id"]
    assert stack.sealift("rollback", "--project", project).code == 0
    assert stack.deploy(apps.app(tmp_path / "broken", build="RUN exit 7"), project).code != 0
    assert stack.deploy(apps.app(tmp_path / "exits", command="exit 3"), project).code != 0
    assert stack.sealift("status", "dep_00000000000000000000000000").code != 0

    lines = {service: _lines(stack, service) for service in SERVICES}
    for service, found in lines.items():
        assert {line["service"] for line in found} == {service}
        assert len({line["service.instance.id"] for line in found}) == 1, f"{service} is one process here"
        for line in found:
            assert set(line) <= allowed(), set(line) - allowed()
            assert [name for name, value in line.items() if not _is_plain(value)] == [], line
            assert not _OF_OBJECTS.search(json.dumps({k: v for k, v in line.items() if k != "exc"})), line
        assert any(line.get("deployment_id") == ident for line in found), f"{service} never names the deployment"
    assert lines["api"][0]["service.instance.id"] == _server_instance(stack)

    logged = "".join((stack.state / "logs" / f"{name}.log").read_text() for name in (*SERVICES, "restate", "envoy"))
    keys = [(stack.state / "secrets" / name).read_bytes() for name in ("master.key", "urls.key")]
    hidden = [variable, secret, *(form for key in keys for form in (key.hex(), base64.b64encode(key).decode()))]
    hidden += [(stack.state / "secrets" / name).read_text().strip() for name in ("admin.key", "krane.key")]
    assert [text for text in hidden if text in logged] == []
    assert "sig=" not in logged
    assert "signature=" not in logged.lower()
