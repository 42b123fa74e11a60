from pathlib import Path
from typing import Literal

import pytest

from pkg.config import ConfigError, Secret, Strict, load
from pkg.config.sections import Database, Log, Tracing


class Key(Strict):
    name: str
    role: Literal["admin", "deploy"]
    region: str | None = None


class Http(Strict):
    listen: str = "127.0.0.1:7401"
    workers: int = 2
    secure: bool = False

    def problems(self) -> list[str]:
        return ["workers: needs at least 1"] if self.workers < 1 else []


class Config(Strict):
    instance_id: str | None = None
    region: str
    database: Database
    http: Http = Http()
    log: Log = Log()
    tracing: Tracing | None = None
    bootstrap_keys: tuple[Key, ...] = ()
    labels: dict[str, str] = {}  # noqa: RUF012 - a struct field, copied by msgspec
    paths: list[Path] = []  # noqa: RUF012

    def problems(self) -> list[str]:
        return ["region: 'nowhere' is no place"] if self.region == "nowhere" else []


GOOD = 'region = "eu"\n[database]\nurl = "sqlite:////tmp/control.db"\n'


@pytest.fixture
def read(tmp_path: Path):  # type: ignore[no-untyped-def]
    def go(text: str, **env: str) -> Config:
        path = tmp_path / "sealift.toml"
        path.write_text(text, encoding="utf-8")
        return load(path, Config, env)

    return go


def problems(read, text: str, **env: str) -> list[str]:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigError) as caught:
        read(text, **env)
    assert all(problem in caught.value.message for problem in caught.value.problems)
    return caught.value.problems


def test_defaults_and_values(read) -> None:  # type: ignore[no-untyped-def]
    """Promise: what the file says is what the service gets, typed; the rest are the defaults."""
    config = read(
        GOOD + '[http]\nworkers = 3\n[[bootstrap_keys]]\nname = "a"\nrole = "admin"\n'
        '[[bootstrap_keys]]\nname = "b"\nrole = "deploy"\nregion = "eu"\n'
    )
    assert config.http == Http(workers=3)
    assert config.log == Log(level="info")
    assert config.tracing is None
    assert config.bootstrap_keys == (Key(name="a", role="admin"), Key(name="b", role="deploy", region="eu"))
    assert config.database.url == Secret("sqlite:////tmp/control.db")
    with pytest.raises(AttributeError):
        config.region = "us"


def test_all_problems_at_once_with_their_paths(read) -> None:  # type: ignore[no-untyped-def]
    """Promise: one start shows every mistake, each with its TOML path, the value and what is allowed."""
    assert problems(
        read,
        'instance_id = 7\n[databse]\n[http]\nlisten = 1\nworkers = "two"\nport = 80\n[log]\nlevel = "trace"\n'
        '[[bootstrap_keys]]\nname = "a"\nrole = "root"\n[[bootstrap_keys]]\n',
    ) == [
        "databse: unknown key; did you mean 'database'?",
        "instance_id: expected a string or nothing, got an integer",
        "region: is required (string)",
        "database.url: is required (secret string)",
        "http.port: unknown key; known here: listen, secure, workers",
        "http.listen: expected a string, got an integer",
        "http.workers: expected an integer, got a string",
        "log.level: expected one of 'debug', 'info', 'warning', 'error', got 'trace'",
        "bootstrap_keys[0].role: expected one of 'admin', 'deploy', got 'root'",
        "bootstrap_keys[1].name: is required (string)",
        'bootstrap_keys[1].role: is required ("admin" or "deploy")',
    ]


def test_wrong_shapes(read) -> None:  # type: ignore[no-untyped-def]
    """Promise: a table where a value belongs, or the other way round, is a named problem and no crash."""
    assert problems(
        read, 'region = ["eu"]\nhttp = 3\nbootstrap_keys = "x"\npaths = ["a", 2]\n' + GOOD.split("\n", 1)[1]
    ) == [
        "region: expected a string, got a list",
        "http: expected a table, got 3",
        "bootstrap_keys: expected a list of tables, got 'x'",
        "paths[1]: expected a string, got an integer",
    ]


def test_variables(read) -> None:  # type: ignore[no-untyped-def]
    """Promise: ${VAR} and ${VAR:-default} as in a shell, also for numbers; $${ is a plain ${."""
    text = (
        'region = "${REGION:-eu}"\nlabels = {a = "$${X}", b = "$HOME ${EMPTY}"}\n[database]\nurl = "sqlite:///${DB}"\n'
        '[http]\nworkers = "${WORKERS}"\nsecure = "${SECURE:-true}"\n'
    )
    config = read(text, DB="x.db", WORKERS="5", EMPTY="", REGION="")
    assert config.region == "eu"
    assert config.labels == {"a": "${X}", "b": "$HOME "}
    assert config.database.url.reveal() == "sqlite:///x.db"
    assert (config.http.workers, config.http.secure) == (5, True)
    assert read(GOOD.replace('"eu"', '"${R}"'), R="${NOT_AGAIN}").region == "${NOT_AGAIN}"


def test_unset_and_malformed_variables_are_all_named(read) -> None:  # type: ignore[no-untyped-def]
    """Promise: a missing variable is an error by its name, never an empty value."""
    assert problems(read, 'region = "${A} ${B} ${1} ${open"\n[database]\nurl = "${A}"') == [
        "region: environment variable A is not set",
        "region: environment variable B is not set",
        "region: '${1}' is not a variable; write ${NAME} or ${NAME:-default}, or $${ for a plain ${",
        "region: '${open' is not a variable; write ${NAME} or ${NAME:-default}, or $${ for a plain ${",
        "database.url: environment variable A is not set",
    ]


def test_no_error_shows_a_secret_or_what_a_variable_holds(read) -> None:  # type: ignore[no-untyped-def]
    """Promise: error messages go to logs; secrets do not."""
    found = problems(
        read,
        'region = "eu"\n[database]\nurl = "mysql://u:hunter2@h"\n[log]\nlevel = "${LEVEL}"\n[http]\nworkers = "${N}"\n',
        LEVEL="hunter3",
        N="hunter4",
    )
    assert len(found) == 3
    assert not any("hunter" in problem for problem in found)
    with pytest.raises(ConfigError) as caught:
        read('[database]\nurl = "hunter2\n')
    assert "hunter" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_rules_across_fields(read) -> None:  # type: ignore[no-untyped-def]
    """Promise: a section's own rules are reported with its path, together with the others."""
    text = GOOD.replace("eu", "nowhere") + '[http]\nworkers = 0\n[tracing]\nendpoint = "ftp://x"\n'
    assert problems(read, text) == [
        "http.workers: needs at least 1",
        "tracing.endpoint: expected a URL of scheme http or https, got 'ftp://x'",
        "region: 'nowhere' is no place",
    ]


def test_files_that_are_none(tmp_path: Path) -> None:
    """Promise: a missing, binary or broken file is an error that names the file."""
    with pytest.raises(ConfigError, match=r"cannot read .*none\.toml: No such file"):
        load(tmp_path / "none.toml", Config)
    (tmp_path / "x.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"config\.syntax"):
        load(tmp_path / "x.toml", Config)
    (tmp_path / "x.toml").write_text("a = \n")
    with pytest.raises(ConfigError, match=r"not valid TOML: .*line 1"):
        load(tmp_path / "x.toml", Config)


def test_secret_does_not_show() -> None:
    """Promise: printing, formatting or logging a secret shows nothing of it."""
    secret = Secret("hunter2")
    assert "hunter2" not in f"{secret} {secret!r} {[secret]} {Database(url=secret)}"
    assert secret.reveal() == "hunter2"
    assert secret == Secret("hunter2") != Secret("other")
    assert not Secret("")
