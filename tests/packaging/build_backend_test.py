"""dev/setup-build-backend: what it asks for, tries and writes, and what the local stack makes of it."""

import re
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from dev.build_backend import variables
from dev.build_backend.__main__ import main
from dev.build_backend.run import environment
from dev.build_backend.stack import stack_config
from dev.build_backend.variables import BACKEND, BACKENDS, NAMES, VARIABLES
from pkg.registry.testing import PULLER, PUSHER, DockerRegistry
from svc.standalone.config import StandaloneConfig, read_config
from tests.packaging.repository import ROOT

SECRET = "hunter2-of-the-test"
GIVEN = {
    "docker": {},
    "buildkit": {
        "SEALIFT_BUILD_BUILDKIT_ADDRESS": "unix:///run/buildkit/buildkitd.sock",
        "SEALIFT_REGISTRY_URL": "r.example.com/apps",
        "SEALIFT_REGISTRY_PASSWORD": SECRET,
    },
    "depot": {
        "DEPOT_TOKEN": SECRET,
        "SEALIFT_DEPOT_PROJECT_REGION": "eu-central-1",
        "SEALIFT_REGISTRY_URL": "r.example.com/apps",
        "SEALIFT_BUILD_S3_URL": "http://10.0.0.5:9000",
        "SEALIFT_BUILD_S3_EXTERNAL_URL": "https://s3.example.com",
        "SEALIFT_BUILD_S3_ACCESS_KEY_ID": "key",
        "SEALIFT_BUILD_S3_ACCESS_KEY_SECRET": SECRET,
    },
}
_values = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"], exclude_characters="'"), min_size=1, max_size=30
)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The dev/.env of a test; the environment sets none of the variables."""
    path = tmp_path / ".env"
    monkeypatch.setattr(variables, "FILE", path)
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    return path


def loaded(tmp_path: Path, given: dict[str, str]) -> StandaloneConfig:
    chosen = variables.resolved(given)
    path = tmp_path / "stack.toml"
    path.write_text(stack_config(chosen), encoding="utf-8")
    assert SECRET not in path.read_text(encoding="utf-8")
    return read_config(path, {}, chosen)


def test_the_example_lists_every_variable() -> None:
    """Promise: whoever copies dev/.env.example sees all there is; nothing in it takes effect by itself."""
    text = (ROOT / "dev/.env.example").read_text(encoding="utf-8")
    assert set(re.findall(r"^# (\w+)='", text, re.MULTILINE)) == NAMES
    assert variables.parse(text) == {}


@given(st.dictionaries(st.sampled_from(sorted(NAMES)), _values, max_size=4))
def test_a_shell_reads_what_was_written(values: dict[str, str]) -> None:
    """Promise: no character of a password changes on the way into the file and out of it."""
    text = "".join(f"{variables.assignment(name, value)}\n" for name, value in values.items())
    assert variables.parse(text) == values
    script = f"set -a\n{text}\n" + "".join(f'printf "%s\\0" "${name}"\n' for name in values)
    read = subprocess.run(["bash", "-c", script], capture_output=True, check=True, env={}).stdout.decode()
    assert read.split("\0")[:-1] == list(values.values())


@pytest.mark.parametrize("value", ["a'b", "a\nb", "a\x1eb"])
def test_what_cannot_be_quoted_is_refused(value: str) -> None:
    """Promise: a value is written as it is or not at all."""
    with pytest.raises(ValueError, match="DEPOT_TOKEN"):
        variables.assignment("DEPOT_TOKEN", value)


@pytest.mark.parametrize("backend", BACKENDS)
def test_each_choice_is_a_configuration(backend: str, tmp_path: Path) -> None:
    """Promise: the variables are enough for the stack, and the file that it reads holds no secret."""
    config = loaded(tmp_path, {BACKEND: backend, **GIVEN[backend]})
    assert config.build.backend == backend
    assert (config.registry is not None) == bool(GIVEN[backend])
    if backend == "depot":
        assert config.depot is not None
        assert config.registry is not None
        tokens = (config.depot.access_token, config.registry.password, config.registries[0].password)
        assert {token.reveal() for token in tokens} == {SECRET}
        assert config.registry.username == "x-token"


def test_every_variable_of_a_section_reaches_it(tmp_path: Path) -> None:
    """Promise: no variable is asked for in vain."""
    files = {variable.name: "/x" for variable in VARIABLES if variable.name.endswith("_FILE")}
    everything = {variable.name: "value" for variable in VARIABLES} | files
    text = stack_config(variables.resolved({**everything, BACKEND: "depot"}))
    fallbacks = {"DEPOT_TOKEN", "SEALIFT_DEPOT_USERNAME"}
    host_only = {"SEALIFT_REGISTRY_URL"}
    assert set(re.findall(r"\$\{(\w+)", text)) | fallbacks | host_only == NAMES - {BACKEND} | host_only


def test_a_local_bucket_is_reached_by_its_own_url(tmp_path: Path) -> None:
    """Promise: for builders on this machine nobody has to name an external URL."""
    config = loaded(tmp_path, {
        BACKEND: "docker", "SEALIFT_BUILD_S3_URL": "http://127.0.0.1:9000", "SEALIFT_BUILD_S3_ACCESS_KEY_ID": "a",
        "SEALIFT_BUILD_S3_ACCESS_KEY_SECRET": SECRET,
    })  # fmt: skip
    assert (config.objects.backend, getattr(config.objects, "bucket", "")) == ("s3", "build-contexts")
    assert getattr(config.objects, "external_url", "") == "http://127.0.0.1:9000"


def test_the_environment_goes_first(tmp_path: Path) -> None:
    """Promise: CI sets what it has, and a configuration of the user's own is left alone."""
    config = tmp_path / ".dev/stack.toml"
    file = {BACKEND: "buildkit", **GIVEN["buildkit"]}
    env = environment({"SEALIFT_REGISTRY_PASSWORD": "from-ci", "HOME": "/h"}, file, config)
    assert (env["SEALIFT_REGISTRY_PASSWORD"], env["SEALIFT_CONFIG"], env["HOME"]) == ("from-ci", str(config), "/h")
    assert read_config(config, {}, env).build.backend == "buildkit"
    own = {"SEALIFT_CONFIG": "/etc/sealift.toml"}
    assert environment(own, file, config) == own
    assert environment({"HOME": "/h"}, {}, config) == {"HOME": "/h"}


@pytest.mark.parametrize("backend", ["buildkit", "depot"])
def test_everything_that_is_missing_is_named_at_once(backend: str, file: Path) -> None:
    """Promise: one run tells all that a builder needs, by the variables' names, and writes nothing."""
    done = CliRunner().invoke(main, [backend])
    assert done.exit_code == 1
    named = {"buildkit": ["BUILDKIT_ADDRESS"], "depot": ["DEPOT_TOKEN", "REGISTRY_URL", "BUILD_S3_URL"]}[backend]
    assert [name for name in named if name not in done.output] == []
    assert not file.exists()


def test_a_password_without_its_registry_is_named(file: Path) -> None:
    """Promise: a half of an account gets words, not a traceback."""
    done = CliRunner().invoke(main, ["depot"], env={"SEALIFT_REGISTRY_PASSWORD": SECRET})
    assert done.exit_code == 1
    assert "SEALIFT_REGISTRY_URL: is required" in done.output
    assert SECRET not in done.output


def test_a_wrong_account_for_pulls_is_found(file: Path) -> None:
    """Promise: both accounts are tried; one that may only pull is enough for pulls."""
    arguments = ["docker", "--registry-pull-username", PULLER.username]
    with DockerRegistry(login="token") as registry:
        arguments += ["--registry-url", registry.config().url]
        passwords = {"SEALIFT_REGISTRY_PASSWORD": PUSHER.password.reveal(), "SEALIFT_REGISTRY_PULL_PASSWORD": SECRET}
        wrong = CliRunner().invoke(main, arguments, env=passwords)
        assert wrong.exit_code == 1
        assert f"pulls from {registry.host}: " in wrong.output
        assert "[[registries]]" in wrong.output
        assert not file.exists()
        passwords["SEALIFT_REGISTRY_PULL_PASSWORD"] = PULLER.password.reveal()
        right = CliRunner().invoke(main, arguments, env=passwords)
    assert right.exit_code == 0, right.output
    assert f"pulls from {registry.host}: ok" in right.output


def answers(*lines: str) -> str:
    return "".join(f"{line}\n" for line in lines)


def test_a_mistake_costs_one_answer(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise: after a wrong answer all others are kept, whatever they were, and the wrong one is asked for again."""
    monkeypatch.setattr("dev.build_backend.__main__._is_terminal", lambda: True)
    asked = {"SEALIFT_BUILD_PLATFORM", "SEALIFT_BUILD_BUILDKIT_ADDRESS"}
    env = {name: GIVEN["buildkit"].get(name, "") for name in NAMES - asked}
    first, second = ("linux/amd64", "/run/buildkit.sock"), ("", "unix:///run/buildkit.sock")
    done = CliRunner().invoke(main, ["buildkit", "--no-check"], input=answers(*first, "y", *second), env=env)
    assert done.exit_code == 0, done.output
    assert "got '/run/buildkit.sock'" in done.output
    wanted = {"SEALIFT_BUILD_PLATFORM": "linux/amd64", "SEALIFT_BUILD_BUILDKIT_ADDRESS": "unix:///run/buildkit.sock"}
    assert wanted.items() <= variables.read(file).items()

    refused = CliRunner().invoke(main, ["buildkit"], input=answers("", "nowhere", "n"), env=env)
    assert refused.exit_code == 1
    assert wanted.items() <= variables.read(file).items()


def test_an_answer_is_removed(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise: "-" removes a value, and what belongs to it goes, too: it would be refused beside the new answers."""
    tls = {f"SEALIFT_BUILD_BUILDKIT_{name}": "/x.pem" for name in ("CA_FILE", "CERT_FILE", "KEY_FILE")}
    before = {BACKEND: "buildkit", **GIVEN["buildkit"], **tls, "SEALIFT_BUILD_PLATFORM": "linux/arm64"}
    before["SEALIFT_BUILD_BUILDKIT_ADDRESS"] = "tcp://buildkit:1234"
    variables.write(before, file)
    unix = ["buildkit", "--no-check", "--buildkit-address", "unix:///run/buildkit.sock"]
    done = CliRunner().invoke(main, unix)
    assert done.exit_code == 0, done.output
    assert tls.keys() & variables.read(file).keys() == set()

    monkeypatch.setattr("dev.build_backend.__main__._is_terminal", lambda: True)
    done = CliRunner().invoke(main, unix, input=answers("-", *[""] * 9))
    assert done.exit_code == 0, done.output
    assert "SEALIFT_BUILD_PLATFORM" not in variables.read(file)
    assert variables.read(file)["SEALIFT_REGISTRY_PASSWORD"] == SECRET


def test_a_wrong_password_is_found_out_before_it_is_written(file: Path) -> None:
    """Promise: what is in dev/.env has worked; the file is its owner's alone, and lines of others stay in it."""
    file.write_text("SEALIFT_STATE_DIR=/var/lib/x\n")
    with DockerRegistry(login="basic") as registry:
        arguments = ["docker", "--registry-url", registry.config().url, "--registry-username", PUSHER.username]
        wrong = CliRunner().invoke(main, arguments, env={"SEALIFT_REGISTRY_PASSWORD": SECRET})
        assert wrong.exit_code == 1
        assert "registry: " in wrong.output
        assert file.read_text() == "SEALIFT_STATE_DIR=/var/lib/x\n"
        right = CliRunner().invoke(main, arguments, env={"SEALIFT_REGISTRY_PASSWORD": PUSHER.password.reveal()})
    assert right.exit_code == 0, (right.output, right.exception)
    assert file.stat().st_mode & 0o777 == 0o600
    assert {"SEALIFT_STATE_DIR": "/var/lib/x", "SEALIFT_REGISTRY_USERNAME": PUSHER.username}.items() <= (
        variables.read(file).items()
    )
    assert SECRET not in wrong.output + right.output
    assert PUSHER.password.reveal() not in right.output
