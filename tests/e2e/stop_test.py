"""Promise: everything that runs can be ended, and the output says what visitors then see."""

from pathlib import Path

from tests.harness import apps
from tests.harness.stack import Stack
from tests.harness.wait import eventually


def test_the_app_of_an_old_branch_is_ended(stack: Stack, project: str, tmp_path: Path) -> None:
    """After a stop by id the address of its branch says so; the branch's next deploy takes it again."""
    directory = apps.app(tmp_path / "app", "one")
    old = stack.deploy(directory, project, "--env", "preview", "--branch", "pr-1")
    assert old.code == 0, old.err
    ident = old.last_json["deployment_id"]
    apps.edit(directory, "two")
    assert stack.deploy(directory, project, "--env", "preview", "--branch", "pr-2").code == 0
    address, live = f"{project}-env-preview-git-pr-1", f"{project}-env-preview"
    assert (stack.get(address).body, stack.get(live).body) == ("one", "two")

    stopped = stack.sealift("stop", ident)
    assert stopped.code == 0, stopped.err
    assert f"{ident} is stopped" in stopped.err
    gone = eventually(
        lambda: answer if (answer := stack.get(address)).status == 503 else None, what="the app is stopped"
    )
    assert f"503: the app at {address}" in gone.body
    assert "is stopped" in gone.body
    assert stack.get(live).body == "two"
    eventually(lambda: not stack.containers(ident), what="its containers are gone")

    assert stack.deploy(directory, project, "--env", "preview", "--branch", "pr-1").code == 0
    assert stack.get(address).body == "two"


def test_an_app_is_taken_down_and_brought_back(stack: Stack, project: str, tmp_path: Path) -> None:
    """`stop --live` says what visitors see and is true; a promote without an id brings the same version back."""
    directory = apps.app(tmp_path / "app", "one")
    first = stack.deploy(directory, project)
    assert first.code == 0, first.err
    ident = first.last_json["deployment_id"]
    refused = stack.sealift("stop", ident)
    assert refused.code == 1
    assert "sealift stop --live" in refused.err
    down = stack.sealift("stop", "--live", "--project", project, "--yes")
    assert down.code == 0, down.err
    assert f"visitors of {stack.url(project)}" in down.err
    eventually(lambda: stack.get(project).status == 503, what="nothing is served")
    told = stack.get(project)
    assert (told.headers["x-sealift-error"], "is stopped" in told.body) == ("ingress.stopped", True)
    listed = stack.sealift("projects").out.splitlines()
    assert [line.split()[1:3] for line in listed if line.startswith(f"{project} ")] == [["-", "stopped"]]
    nothing = stack.sealift("rollback", "--project", project)
    assert nothing.code == 1
    assert "sealift promote" in nothing.err
    back = stack.sealift("promote", "--project", project, "--yes")
    assert back.code == 0, back.err
    assert ident in back.err
    assert stack.get(project).body == "one"


def test_variables_from_everywhere(stack: Stack, project: str, tmp_path: Path) -> None:
    """The project file's variables are defaults, the environment's win; a .env file goes in whole."""
    command = 'echo "$A $B $C $D" > /www/index.html; exec /bin/busybox httpd -f -p $PORT -h /www'
    toml = '[env]\nA = "file"\nB = "file"\n'
    directory = apps.app(tmp_path / "app", command=command, toml=toml)
    variables = tmp_path / ".env"
    variables.write_text("export B='imported # \"this\"'\r\nPORT=1\nC=sealed\n")
    arguments = ("--project", project)
    for done in (
        stack.sealift("env", "import", str(variables), *arguments),
        stack.sealift("env", "set", "--plain", "D=plain", *arguments),
        stack.deploy(directory, project),
    ):
        assert done.code == 0, done.err
    assert stack.get(project).body == 'file imported # "this" sealed plain'
    assert "wins over the deployment's own: B" in done.last_json["notices"][0]
    listed = {line.split()[0]: line.split()[1] for line in stack.sealift("env", *arguments).out.splitlines()}
    assert listed == {"NAME": "VALUE", "B": "(sealed)", "C": "(sealed)", "D": "plain"}
