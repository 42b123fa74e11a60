"""What the worker's configuration promises."""

from pathlib import Path

import pytest

from pkg.config import ConfigError, Secret, load
from svc.worker.config import WorkerConfig

GOOD = """
[database]
url = "sqlite:////var/lib/sealift/control.db"
[telemetry]
path = "/var/lib/sealift/telemetry.db"
[objects]
root = "/var/lib/sealift/objects"
signing_key_file = "/k"
external_url = "http://127.0.0.1:7401"
[restate]
ingress = "unix:///run/i.sock"
admin = "unix:///run/a.sock"
identity_public_key = "publickeyv1_abc"
[vault]
master_key_file = "/m"
"""


def test_the_shortest_file_has_the_documented_defaults(tmp_path: Path) -> None:
    """Everything that has a sensible default may be left out."""
    file = tmp_path / "worker.toml"
    file.write_text(GOOD)
    config = load(file, WorkerConfig)
    assert (config.http.listen, config.build.timeout_s) == ("127.0.0.1:7402", 1800)
    limits = config.deploy
    assert (limits.standby_ttl_s, limits.unrouted_ttl_s, limits.route_timeout_s, limits.wait_poll_s) == (
        1800, 1800, 60, 5.0,
    )  # fmt: skip


def test_everything_wrong_is_said_at_once(tmp_path: Path) -> None:
    """One start, all problems, each with its key."""
    file = tmp_path / "worker.toml"
    wrong = GOOD.replace("publickeyv1_abc", "secret") + "[build]\ntimeout_s = 5\n[deploy]\nwait_poll_s = 0\nnews = 1\n"
    file.write_text(wrong)
    with pytest.raises(ConfigError) as refused:
        load(file, WorkerConfig)
    text = "\n".join(refused.value.problems)
    for key in ("identity_public_key", "timeout_s", "news"):
        assert key in text


@pytest.mark.parametrize(
    ("line", "instead", "problem"),
    [
        ('external_url = "http://127.0.0.1:7401"\n', "", "objects.external_url: is required (string)"),
        ("[objects]\n", '[objects]\nbackend = "nfs"\n', "objects.backend: expected one of 'disk', 's3', got 'nfs'"),
    ],
)
def test_the_store_is_known_and_can_be_reached(tmp_path: Path, line: str, instead: str, problem: str) -> None:
    """Promise: a worker without a way to the objects does not start; an unknown store is refused with the choices."""
    file = tmp_path / "worker.toml"
    file.write_text(GOOD.replace(line, instead))
    with pytest.raises(ConfigError) as refused:
        load(file, WorkerConfig)
    assert refused.value.problems == [problem]


S3 = """[objects]
backend = "s3"
url = "http://127.0.0.1:9000"
bucket = "build-contexts"
access_key_id = "a"
access_key_secret = "s"
"""


def test_a_bucket_is_reached_by_whatever_builds(tmp_path: Path) -> None:
    """Promise: an engine gets contexts through the api, whose URL is required; Depot needs an external URL."""
    file = tmp_path / "worker.toml"
    disk = GOOD[GOOD.index("[objects]") :]
    other = GOOD.replace(disk[: disk.index("\n[", 1) + 1], S3)
    file.write_text(other)
    with pytest.raises(ConfigError) as refused:
        load(file, WorkerConfig)
    (problem,) = refused.value.problems
    assert problem.startswith("objects.api_url: is required with this builder")
    file.write_text(other.replace("[objects]\n", '[objects]\napi_url = "http://127.0.0.1:7401"\n'))
    load(file, WorkerConfig)
    file.write_text(other + '[build]\nbackend = "depot"\n')
    with pytest.raises(ConfigError) as refused:
        load(file, WorkerConfig)
    assert any(problem.startswith("objects.external_url: is required") for problem in refused.value.problems)


def test_all_that_a_builder_requires_is_named_at_once(tmp_path: Path) -> None:
    """Promise: Depot needs the token, a registry, and objects with a URL that is not on loopback."""
    file = tmp_path / "worker.toml"
    file.write_text(GOOD + '[build]\nbackend = "depot"\n')
    with pytest.raises(ConfigError) as refused:
        load(file, WorkerConfig)
    assert [problem.partition(":")[0] for problem in refused.value.problems] == [
        "objects.external_url", "depot", "registry",
    ]  # fmt: skip
    sections = '[depot]\naccess_token = "t"\n[registry]\nurl = "r.example.com/apps"\npassword = "p"\n'
    file.write_text(GOOD.replace("127.0.0.1:7401", "10.0.0.5:7401") + '[build]\nbackend = "depot"\n' + sections)
    config = load(file, WorkerConfig)
    assert config.depot is not None
    assert config.registry is not None
    assert (config.depot.access_token, config.registry.password) == (Secret("t"), Secret("p"))
    assert config.build.is_elsewhere


def test_a_key_that_another_service_reads_now_is_refused_by_its_new_place(tmp_path: Path) -> None:
    """Promise: the old setting for the number of kept images is refused with its new place, before any deletion."""
    file = tmp_path / "worker.toml"
    file.write_text(GOOD + "[retention]\nimages_per_environment = 50\n")
    with pytest.raises(ConfigError, match=r"move .retention. images_per_environment to the api"):
        load(file, WorkerConfig)
