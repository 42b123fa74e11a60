"""The other commands as processes."""

import json
import re
import termios
import time
from pathlib import Path

import grpc
import pytest

from sealift.cli.conftest import Eventually, Program
from sealift.cli.format.deployment_text import deployment_text
from sealift.client import testing_deployment
from sealift.client.testing import FakeServer
from sealift.ctrl.v1 import deployment_pb2, environment_pb2, usage_pb2


async def test_ls_status_logs(sealift: Program, server: FakeServer) -> None:
    """Promise: deployments can be listed, shown and their logs read, as text and as JSON."""
    await sealift("deploy")
    await sealift("deploy", "--image", "x")
    listed = await sealift("ls")
    assert [line.split()[0] for line in listed.out.splitlines()] == ["DEPLOYMENT", "dep_2", "dep_1"]
    assert [one["deployment_id"] for one in (await sealift("ls", "--json")).events] == ["dep_2", "dep_1"]
    status = await sealift("status", "dep_1")
    assert "step        Building" in status.out
    shown = json.loads((await sealift("status", "dep_2", "--json")).out)
    assert (shown["deployment_id"], shown["status"], shown["is_live"]) == ("dep_2", "ready", True)
    log = await sealift("logs", "--build", "dep_1")
    assert "compiling\nlinking\n" in log.out
    rest = await sealift("logs", "--build", "bld_1", "--after", "3", "--json", "--follow")
    assert [event["seq"] for event in rest.events] == [4, 5]
    assert rest.code == 0
    assert "no build log" in (await sealift("logs", "--build")).err


def test_a_failure_is_told_once() -> None:
    """Promise: `sealift status` shows a long reason once, not also at its step."""
    found = deployment_pb2.Deployment(deployment_id="dep_1", status=deployment_pb2.DEPLOYMENT_STATUS_FAILED)
    found.error.message = "the app exited with code 3 before it was healthy."
    found.steps.add(name="deploying", started_at=1, ended_at=2, error=found.error.message)
    shown = deployment_text(found)
    assert shown.count("exited with code 3") == 1
    assert "Starting        0.0 s  failed" in shown


def test_an_app_that_keeps_crashing_shows() -> None:
    """Promise: an instance that is healthy between crashes is distinguishable from a stable one."""
    found = deployment_pb2.Deployment(deployment_id="dep_1", status=deployment_pb2.DEPLOYMENT_STATUS_READY)
    found.instances.add(region="local", state=deployment_pb2.INSTANCE_STATE_HEALTHY)
    found.instances.add(region="local", replica=1, state=deployment_pb2.INSTANCE_STATE_HEALTHY, restarts=3)
    found.instances.add(region="local", replica=2, state=deployment_pb2.INSTANCE_STATE_FAILED, reason="it\x1b[31m fell")
    lines = [line.split(None, 1)[1] for line in deployment_text(found).splitlines() if line.startswith("instance")]
    assert lines == ["local/0 healthy", "local/1 healthy  3 restarts", "local/2 failed  it fell"]


def test_a_silent_region_is_not_shown_as_well() -> None:
    """Promise: an unknown state is shown with its age and the reason, not as current."""
    found = deployment_pb2.Deployment(
        status=deployment_pb2.DEPLOYMENT_STATUS_READY, run_state=deployment_pb2.RUN_STATE_RUNNING, is_live=True
    )
    seen = found.instances.add(region="local", state=deployment_pb2.INSTANCE_STATE_HEALTHY)
    seen.silence.since = int(time.time() * 1000) - 200_000
    seen.silence.reason = "krane of region local does not report"
    text = deployment_text(found)
    assert "local/0 unknown, was healthy  last seen 3 min ago: krane of region local does not report" in text
    assert "ready, live, running, last known state" in text
    seen.silence.is_probed = True
    seen.silence.reason = "the engine of region local does not answer: it hangs"
    text = deployment_text(found)
    assert "local/0 healthy according to probes  last seen 3 min ago: the engine of region local" in text
    assert "ready, live, running\n" in text


def test_the_port_in_use_is_shown() -> None:
    """Promise: `status` shows the port, whether it was adopted, and what the deploy waits for."""
    found = deployment_pb2.Deployment(deployment_id="dep_1", port=3000, port_is_adopted=True)
    found.instances.add(region="local", state=deployment_pb2.INSTANCE_STATE_STARTING, port_notice="two ports")
    text = deployment_text(found)
    assert "port        3000, adopted: the port on which the app listens" in text
    assert "local/0 starting  two ports" in text
    found.port_is_adopted = False
    assert "port        3000\n" in deployment_text(found)
    found.port = 0
    assert "\nport" not in deployment_text(found)


@pytest.mark.parametrize(("is_live", "said"), [(True, "ready, live, running"), (False, "ready, not live, running")])
def test_status_says_whether_it_is_live(is_live: bool, said: str) -> None:
    """Promise: a ready deployment that is not live is not shown as live."""
    found = deployment_pb2.Deployment(
        status=deployment_pb2.DEPLOYMENT_STATUS_READY, run_state=deployment_pb2.RUN_STATE_RUNNING, is_live=is_live
    )
    assert f"status      {said}\n" in deployment_text(found)


async def test_switches(sealift: Program, server: FakeServer) -> None:
    """Promise: rollback and promote wait, print the URL on stdout and the duration on stderr."""
    await sealift("deploy")
    done = await sealift("rollback")
    assert done.code == 1
    assert "rollback.no_target" in done.err
    await sealift("deploy")
    done = await sealift("rollback")
    assert (done.code, done.out) == (0, "http://hello.sealift.localhost:7480\n")
    assert "done in 42 ms: dep_1 is live" in done.err
    result = json.loads((await sealift("promote", "dep_2", "--json")).out)
    assert (result["status"], result["deployment_id"], result["took_ms"]) == ("done", "dep_2", 42)


async def test_a_switch_that_waits(sealift: Program, server: FakeServer) -> None:
    """Promise: a queued rollback shows the reason."""
    await sealift("deploy")
    await sealift("deploy")
    server.queued_reason = "an upgrade is near"
    done = await sealift("rollback")
    assert done.code == 0
    assert done.err.count("queued: an upgrade is near\n") == 1


async def test_stop(sealift: Program, server: FakeServer) -> None:
    """Promise: a deployment that is not live can be stopped; a live one can't, with the server's reason."""
    await sealift("deploy")
    await sealift("deploy")
    done = await sealift("stop", "dep_1")
    assert (done.code, done.out) == (0, "dep_1\n")
    assert "stop done in 42 ms: dep_1 is stopped" in done.err
    assert "deployment.routed" in (await sealift("stop", "dep_2")).err


async def test_environments(sealift: Program, server: FakeServer) -> None:
    """Promise: environments can be created and listed; an unknown one is answered with the existing ones."""
    unknown = await sealift("deploy", "--env", "staging")
    assert "has no environment 'staging', only " in unknown.err
    assert "sealift environments create staging" in unknown.err
    assert (await sealift("environments", "create", "staging")).out == "env_staging\n"
    assert (await sealift("deploy", "--env", "staging")).code == 0
    assert "staging" in (await sealift("environments")).out
    assert "staging" in [one["slug"] for one in (await sealift("environments", "--json")).events]


async def test_settings_of_an_environment(sealift: Program, server: FakeServer) -> None:
    """Promise: only given settings change, for later deployments; invalid ones are refused without a call."""
    assert (await sealift("environments", "set", "preview", "--memory-mib", "256", "--replicas", "2")).code == 0
    done = await sealift("environments", "set", "preview", "--port", "3000")
    assert done.out == "0 millicores, 256 MiB of memory, 0 MiB of disk, replicas: 2, port: 3000, protocol: http1\n"
    bounds = await sealift("environments", "set", "preview", "--min-replicas", "2", "--max-replicas", "8")
    assert ", replicas: 2 to 8 at 0% CPU, port: 3000, protocol: http1\n" in bounds.out
    assert ", protocol: h2c\n" in (await sealift("environments", "set", "preview", "--protocol", "h2c")).out
    assert (await sealift("environments", "set", "preview", "--protocol", "h3")).code == 2
    checked = await sealift("environments", "set", "preview", "--health-check-path", "/up", "--start-timeout-s", "60")
    assert checked.out.endswith(", protocol: h2c, health check: /up\n")
    started = await sealift("environments", "set", "preview", "--command", "python 'a b.py'", "--start-timeout-s", "90")
    assert started.out.endswith(", health check: /up, command: python 'a b.py'\n")
    settings = server.environments["preview"].settings
    assert (settings.health_check.path, settings.health_check.start_timeout_s) == ("/up", 90)
    assert list(settings.command.values) == ["python", "a b.py"]
    assert "must start with /" in (await sealift("environments", "set", "preview", "--health-check-path", "up")).err
    assert "is not a command" in (await sealift("environments", "set", "preview", "--command", "it's")).err
    assert "preview of hello is changed; deploy to apply the change" in done.err
    assert "nothing to change" in (await sealift("environments", "set", "preview")).err
    assert (await sealift("environments", "set", "preview", "--memory-mib", "1")).code == 2
    assert "has no environment 'nope'" in (await sealift("environments", "set", "nope", "--port", "80")).err


async def test_a_mistyped_project_gets_a_guess(sealift: Program) -> None:
    """Promise: a mistyped project gets a suggestion, an unknown one how to create it."""
    assert "did you mean 'hello'?" in (await sealift("ls", "--project", "helo")).err
    assert "sealift projects create shop" in (await sealift("ls", "--project", "shop")).err
    assert "create" not in (await sealift("ls", "--project", "not_a_slug")).err


async def test_env(sealift: Program, server: FakeServer) -> None:
    """Promise: values come from stdin or a file, are never in argv and never shown."""
    assert (await sealift("env", "set", "TOKEN", stdin="s3cret\n")).code == 0
    sealift.files(value="from a file\n")
    await sealift("env", "set", "OTHER", "--file", "value")
    assert server.variables == {"TOKEN": "s3cret", "OTHER": "from a file"}
    lines = [" ".join(line.split()) for line in (await sealift("env", "ls")).out.splitlines()]
    assert lines == ["NAME VALUE AGE LIVE", *(f"{name} (sealed) 2 h not deployed yet" for name in ("OTHER", "TOKEN"))]
    refused = await sealift("env", "set", "TOKEN=hunter2")
    assert refused.code == 2
    assert "hunter2" not in refused.err
    assert '  printf %s "$TOKEN" | sealift env set TOKEN\n' in refused.err
    assert "  sealift env set TOKEN --file FILE\n" in refused.err
    assert "  sealift env set --plain TOKEN=VALUE\n[" in refused.err
    assert (await sealift("env", "set", "A", "B")).code == 2
    await sealift("env", "unset", "TOKEN", "OTHER")
    assert server.variables == {}
    nothing = await sealift("env", "ls")
    assert (nothing.out, nothing.code) == ("", 0)
    assert "production has no variables" in nothing.err


async def test_env_says_what_is_deployed(sealift: Program, server: FakeServer) -> None:
    """Promise: each variable is shown with the age of its value and with what the live deployment has of it."""
    assert (await sealift("deploy")).code == 0
    server.variable_states = {
        "A": environment_pb2.VARIABLE_STATE_LIVE,
        "B": environment_pb2.VARIABLE_STATE_CHANGED,
        "GONE": environment_pb2.VARIABLE_STATE_REMOVED,
    }
    await sealift("env", "set", "--plain", "A=1", "B=2", "C=3")
    lines = [" ".join(line.split()) for line in (await sealift("env")).out.splitlines()]
    assert lines[1:] == [
        "A 1 2 h dep_1",
        "B 2 2 h not deployed yet, dep_1 has another value",
        "C 3 2 h not deployed yet",
        "GONE (sealed) - removed, dep_1 still has it",
    ]
    told = (await sealift("env", "--json")).events
    assert [one["state"] for one in told] == ["live", "changed", "not_deployed", "removed"]
    assert {one["live_deployment_id"] for one in told} == {"dep_1"}
    del server.environments["production"].variables[:]  # of an older server
    assert (await sealift("env")).out.splitlines()[1].split() == ["A", "1", "-", "-"]


async def test_projects_and_init(sealift: Program, server: FakeServer, tmp_path: Path) -> None:
    """Promise: one command turns a new directory into a project; an existing file is not changed."""
    assert (await sealift("init")).code == 2
    done = await sealift("init", str(tmp_path / "app"), "--project", "x")
    assert "already exists" in done.err
    (sealift.cwd / "sealift.toml").unlink()
    assert (await sealift("init", "--project", "shop", "--create")).code == 0
    assert 'project = "shop"' in (sealift.cwd / "sealift.toml").read_text()
    assert "shop" in server.projects
    assert (await sealift("deploy")).code == 0
    assert (await sealift("projects", "create", "shop")).code == 1
    assert [line.split()[0] for line in (await sealift("projects")).out.splitlines()] == ["SLUG", "hello", "shop"]


async def test_init_names_what_lies_there(sealift: Program, server: FakeServer) -> None:
    """Promise: without a Dockerfile, and without an app to generate one for, the next step is not a deploy."""
    for name in ("sealift.toml", "Dockerfile", "app.py"):
        (sealift.cwd / name).unlink()
    sealift.files(compose_DOT_yaml="")
    done = await sealift("init")
    assert "found compose.yaml, which is not supported yet" in done.err
    assert done.err.endswith("next: write a Dockerfile; then: sealift deploy --create\n")
    (sealift.cwd / "sealift.toml").unlink()
    sealift.files(api__Dockerfile="FROM scratch\n")
    assert "next: use a Dockerfile listed above" in (await sealift("init", "--create")).err
    (sealift.cwd / "sealift.toml").unlink()
    sealift.files(Dockerfile="FROM scratch\n")
    assert (await sealift("init")).err.endswith("next: sealift deploy --create\n")


async def test_init_creates_the_project_of_a_file_that_is_there(sealift: Program, server: FakeServer) -> None:
    """Promise: --create works after the file was written; the file is not changed."""
    sealift.files(sealift_DOT_toml='project = "shop"  # mine\n')
    done = await sealift("init", "--create")
    assert done.code == 0
    assert "already exists: not changed" in done.err
    assert "shop" in server.projects
    assert (sealift.cwd / "sealift.toml").read_text() == 'project = "shop"  # mine\n'


async def test_nothing_to_list(sealift: Program) -> None:
    """Promise: an empty list has a message."""
    assert "project 'hello' has no deployments yet" in (await sealift("ls")).err
    assert "has no matching deployments" in (await sealift("ls", "--branch", "x")).err
    assert "has no deployments in 'preview' yet" in (await sealift("status", "--wait", "--env", "preview")).err
    assert "nothing yet; to deploy: sealift deploy" in (await sealift("status", "--env", "preview")).out


async def test_the_log_of_a_cancelled_build(sealift: Program, server: FakeServer, eventually: Eventually) -> None:
    """Promise: a cancelled build exits with 6, not 4."""
    server.scenario = testing_deployment.waits_for_cancel
    assert (await sealift("deploy", "--detach")).code == 0
    assert (await sealift("cancel", "dep_1")).code == 0
    await eventually(lambda: bool(server.deployments["dep_1"].deployment.ended_at))
    assert (await sealift("logs", "--build", "--follow", "dep_1")).code == 6


@pytest.mark.parametrize("answer", [b"\x03", b"s3cret\r"])
async def test_env_asks_at_a_terminal(
    sealift: Program, server: FakeServer, eventually: Eventually, answer: bytes
) -> None:
    """Promise: a value is prompted for without echo; Ctrl-C ends the command with 130."""
    async with sealift.at_terminal("env", "set", "TOKEN") as terminal:
        await terminal.until(b"Value of TOKEN")
        await eventually(lambda: not termios.tcgetattr(terminal.ours)[3] & termios.ECHO)  # a moment after the question
        terminal.type(answer)
        code = await terminal.end()
    assert code == (130 if answer == b"\x03" else 0)
    assert server.variables == ({} if answer == b"\x03" else {"TOKEN": "s3cret"})
    assert b"s3cret" not in terminal.shown


async def test_keys(sealift: Program, server: FakeServer) -> None:
    """Promise: a new key is printed on stdout only; lists never show keys."""
    made = await sealift("keys", "create", "ci")
    assert made.out == "slk_made\n"
    assert "slk_made" not in made.err + (await sealift("keys")).out
    assert (await sealift("keys", "revoke", next(iter(server.keys)))).code == 0
    assert "revoked" in (await sealift("keys")).out


async def test_version(sealift: Program) -> None:
    """Promise: both versions are shown, or only the client's without a server."""
    assert "server  9.9.9" in (await sealift("version")).out
    sealift.env["SEALIFT_URL"] = "http://127.0.0.1:9"
    assert (await sealift("version", "--client")).code == 0


async def test_project_is_found_from_below(sealift: Program) -> None:
    """Promise: commands find the sealift.toml of a parent directory."""
    (sealift.cwd / "deep/er").mkdir(parents=True)
    sealift.cwd = sealift.cwd / "deep/er"
    assert (await sealift("ls")).code == 0


async def test_broken_pipe(sealift: Program) -> None:
    """Promise: a closed pipe causes no traceback."""
    process = await sealift.start("projects")
    assert process.stdout
    assert process.stderr
    process.stdout._transport.close()  # type: ignore[attr-defined]
    err = await process.stderr.read()
    await process.wait()
    assert b"Traceback" not in err


async def test_lists_by_every_usual_name(sealift: Program, server: FakeServer) -> None:
    """Promise: every list has the commands ls and list, which print the same as the group itself."""
    await sealift("deploy")
    for group in ("projects", "environments", "keys"):
        bare = await sealift(group)
        assert bare.code == 0
        assert [(await sealift(group, word)).out for word in ("ls", "list")] == [bare.out, bare.out]
        assert (await sealift(group, "ls", "--json")).out == (await sealift(group, "--json")).out
    ages = re.compile(r"\d+ s\b")  # a second may pass between the two
    assert ages.sub("", (await sealift("list")).out) == ages.sub("", (await sealift("ls")).out)


async def test_plain_variables(sealift: Program, server: FakeServer) -> None:
    """Promise: plain variables are set on the command line, several at once, and shown; bare `env` lists."""
    done = await sealift("env", "set", "--plain", "LEVEL=debug", "URL=http://x/?a=b", "EMPTY=", "ODD=a\nb\x1b[31m")
    assert (done.code, done.out) == (0, "")
    assert "LEVEL, URL, EMPTY, ODD are set in production; deploy to apply the change" in done.err
    await sealift("env", "set", "TOKEN", stdin="s3cret")
    lines = [re.sub(r" +2 h +not deployed yet$", "", line) for line in (await sealift("env")).out.splitlines()[1:]]
    assert dict(line.split(None, 1) for line in lines) == {
        "LEVEL": "debug", "URL": "http://x/?a=b", "EMPTY": '""', "ODD": '"a\\nb\\u001b[31m"', "TOKEN": "(sealed)"
    }  # fmt: skip
    told = {one["name"]: one["value"] for one in (await sealift("env", "--json")).events}
    assert (told["LEVEL"], told["TOKEN"], told["ODD"]) == ("debug", None, "a\nb\x1b[31m")
    for words in (["A"], ["=x"], ["A=1", "A=2"], ["A=1", "--file", "f"]):
        assert (await sealift("env", "set", "--plain", *words)).code == 2
    assert "put --env after 'set'" in (await sealift("env", "--env", "preview", "set", "X")).err


async def test_import_of_a_file(sealift: Program, server: FakeServer) -> None:
    """Promise: a .env file is sent in one call, sealed; an error in it prevents all changes."""
    sealift.files(_DOT_env="# mine\nexport TOKEN='s3cret'\nPORT=3000\nLEVEL=debug # low\n")
    done = await sealift("env", "import", ".env")
    assert done.code == 0
    assert "ignored PORT: the port is a setting" in done.err
    assert "TOKEN, LEVEL are set in production" in done.err
    assert server.variables == {"TOKEN": "s3cret", "LEVEL": "debug"}
    assert server.calls["UpdateEnvironment"] == 1
    assert "(sealed)" in (await sealift("env", "ls")).out
    assert (await sealift("env", "import", "-", "--plain", stdin="A=1")).code == 0
    assert server.plain == {"A"}
    sealift.files(bad="GOOD=1\nTOKEN\nURL=${HOST}\n")
    refused = await sealift("env", "import", "bad")
    assert refused.code == 2
    assert "line 2: there is no = in it" in refused.err
    assert "line 3: the value of URL contains" in refused.err
    assert "GOOD" not in server.variables
    assert "can't read nosuch" in (await sealift("env", "import", "nosuch")).err


async def test_variables_of_the_project_file(sealift: Program, server: FakeServer) -> None:
    """Promise: [env] is part of the deployment; values that are not text are refused by key."""
    sealift.files(sealift_DOT_toml='project = "hello"\n[env]\nLEVEL = "info"\nWORKERS = 4\n')
    assert (await sealift("deploy")).code == 0
    assert dict(server.created[0].variables) == {"LEVEL": "info", "WORKERS": "4"}
    sealift.files(sealift_DOT_toml='project = "hello"\n[env]\nDEBUG = true\nF = 1.0\nL = []\n"A-B" = "x"\n')
    done = await sealift("deploy")
    assert done.code == 2
    assert "env.DEBUG: must be a quoted string (it is True)" in done.err
    assert "env.A-B: names contain A-Z, a-z, 0-9 and _" in done.err
    assert done.err.count("\n  env.") == 4


async def test_projects_show_address_and_state(sealift: Program, server: FakeServer) -> None:
    """Promise: the list of projects shows each URL and its state."""
    server.projects["hello"].live_url = "http://hello.sealift.localhost:7480"
    server.projects["hello"].live_deployment_id = "dep_1"
    server.projects["hello"].live_instances = 2
    server.projects["hello"].healthy_instances = 1
    await sealift("projects", "create", "shop")
    rows = [line.split("  ")[:3] for line in (await sealift("projects")).out.splitlines()]
    assert rows[1][:2] == ["hello", "http://hello.sealift.localhost:7480"]
    assert "live, 1 of 2 healthy" in (await sealift("projects")).out
    assert (await sealift("projects")).out.splitlines()[2].split()[:4] == ["shop", "-", "not", "live"]
    server.projects["hello"].healthy_instances = 2
    assert "7480  live  " in (await sealift("projects")).out
    told = (await sealift("projects", "--json")).events[0]
    assert (told["slug"], told["live_url"]) == ("hello", "http://hello.sealift.localhost:7480")


async def test_scale_and_restart(sealift: Program, server: FakeServer) -> None:
    """Promise: both wait; stdout has the URL, stderr what was done; without a live deployment nothing is asked for."""
    none = await sealift("restart")
    assert (none.code, "nothing is live" in none.err) == (1, True)
    await sealift("deploy")
    done = await sealift("scale", "3")
    assert (done.code, done.out) == (0, "http://hello.sealift.localhost:7480\n")
    assert "scale done in 42 ms: 3 instances in each region, also of later deployments" in done.err
    result = json.loads((await sealift("scale", "1", "--json")).out)
    assert (result["kind"], result["replicas"], result["status"]) == ("scale", 1, "done")
    refused = await sealift("scale", "0")
    assert (refused.code, "must be 1 to 20" in refused.err) == (2, True)
    for command in (("worker=2",), ("--process", "worker", "2"), ("worker=2", "--process", "worker")):
        done = await sealift("scale", *command)
        assert "scale done in 42 ms: 2 instances of worker in each region, also of later" in done.err, done.err
    result = json.loads((await sealift("scale", "worker=0", "--json")).out)
    assert (result["process"], result["replicas"]) == ("worker", 0)
    assert "process" not in json.loads((await sealift("scale", "web=2", "--json")).out)
    refused = await sealift("scale", "worker=x")
    assert (refused.code, "'x' is not a whole number at least 0, or PROCESS=NUMBER" in refused.err) == (2, True)
    assert (await sealift("scale", "a=1", "--process", "b")).code == 2
    done = await sealift("restart")
    assert done.code == 0
    assert " of dep_1\n" in done.err.partition("restart op_")[2]
    assert "every instance of dep_1 was made again" in done.err


async def test_ps_of_processes(sealift: Program, server: FakeServer) -> None:
    """Promise: beside processes, ps names the process of each instance, and status the ones that are not healthy."""
    await sealift("deploy")
    live = server.deployments["dep_1"].deployment
    live.replicas = 1
    del live.instances[:]
    for process in ("", "worker"):
        live.instances.add(
            instance_id=f"dep-1-{process}-0".replace("--", "-"),
            process=process,
            region="local",
            state=deployment_pb2.INSTANCE_STATE_UNHEALTHY if process else deployment_pb2.INSTANCE_STATE_HEALTHY,
            reason="it has not been up for 5 s yet" if process else "",
        )
    live.processes.add(name="clock", is_stopped=True)
    live.processes.add(name="worker", replicas=2)
    shown = await sealift("ps")
    lines = [line.split() for line in shown.out.splitlines()]
    assert [line[:3] for line in lines] == [
        ["INSTANCE", "PROCESS", "REGION"], ["dep-1-0", "web", "local"], ["dep-1-worker-0", "worker", "local"]
    ]  # fmt: skip
    assert shown.err.splitlines()[-3:] == [
        "local: 1 healthy, 1 wanted",
        "clock: stopped, since the deployment is not live",
        "worker: local: 0 healthy, 2 wanted",
    ]
    told = [one["process"] for one in (await sealift("ps", "--json")).events]
    assert told == ["", "worker"]
    status = (await sealift("status")).out
    assert "worker: local: 0 healthy, 2 wanted" in status
    assert "local/worker/0 unhealthy  it has not been up for 5 s yet" in status
    assert "local/worker/0 unhealthy" in (await sealift("status", "dep_1")).out


async def test_ps(sealift: Program, server: FakeServer) -> None:
    """Promise: every instance that runs is listed with its state and age; --json has one object for each."""
    await sealift("deploy")
    live = server.deployments["dep_1"].deployment
    live.replicas = 2
    del live.instances[:]
    started_at = int(time.time() * 1000) - 200_000
    states = (deployment_pb2.INSTANCE_STATE_HEALTHY, deployment_pb2.INSTANCE_STATE_STARTING)
    for replica, state in enumerate((*states, deployment_pb2.INSTANCE_STATE_STOPPED)):
        live.instances.add(
            instance_id=f"dep-1-{replica}",
            region="local",
            replica=replica,
            state=state,
            started_at=started_at,
            restarts=4,
        )
    live.instances[1].reason = "connection refused"
    now = usage_pb2.UsageNow(measured_at=5, cpu_millicores=125, memory_bytes=34 << 20)
    server.usage.instances.add(deployment_id="dep_1", instance_id="dep-1-0", now=now)
    shown = await sealift("ps")
    lines = [line.split() for line in shown.out.splitlines()]
    assert lines[0][:8] == ["INSTANCE", "REGION", "STATE", "AGE", "RESTARTS", "CPU", "MEMORY", "DEPLOYMENT"]
    assert lines[1] == ["dep-1-0", "local", "healthy", "3", "min", "4", "0.12", "34.0", "MiB", "dep_1", "live"]
    assert lines[2][6:9] == ["-", "-", "dep_1"]
    assert lines[2][-2:] == ["connection", "refused"]
    assert len(lines) == 3
    assert "local: 1 healthy, 2 wanted" in shown.err
    found = [json.loads(line) for line in (await sealift("ps", "--json")).out.splitlines()]
    assert [(one["instance_id"], one["replicas"], one["is_live"]) for one in found] == [
        ("dep-1-0", 2, True), ("dep-1-1", 2, True)
    ]  # fmt: skip
    assert [one["now"] and one["now"]["memory_bytes"] for one in found] == [34 << 20, None]
    server.faults["GetUsage"] = [grpc.StatusCode.UNIMPLEMENTED]
    shown = await sealift("ps")
    assert (shown.code, shown.out.splitlines()[1].split()[6:8]) == (0, ["-", "-"])
    assert "notice: CPU and memory are unknown: " in shown.err
    del live.instances[:]
    assert "no instance runs in hello · production" in (await sealift("ps")).err
