"""The generated configs are what the services read, and what the commented examples show."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pkg.builders.buildkit.settings import BuildkitSettings
from pkg.builders.depot.settings import DepotSettings
from pkg.builders.docker.config import DockerConfig
from pkg.config import Secret, Strict, load
from pkg.depot.config import DepotConfig
from pkg.images.config import Images, RegistryLogin
from pkg.registry.config import RegistryAddress, RegistryConfig
from pkg.storage.disk.config import DiskConfig
from pkg.storage.s3.config import S3Config
from pkg.storage.s3.settings import S3Settings
from pkg.telemetry.clickhouse.config import ClickHouseConfig
from svc.api.config import ApiConfig
from svc.api.config import Retention as ApiRetention
from svc.krane.config import KraneConfig
from svc.standalone.command import ROOT
from svc.standalone.config import StandaloneConfig
from svc.standalone.render import Addresses, Stack, write_configs
from svc.standalone.secrets import ensure_secrets
from svc.standalone.sections import Metrics, Retention
from svc.standalone.statedir import StateDir
from svc.worker.config import Deploy as WorkerDeploy
from svc.worker.config import WorkerConfig

SERVICES: dict[str, type[Strict]] = {"api": ApiConfig, "worker": WorkerConfig, "krane": KraneConfig}


ADDRESSES = Addresses(
    api="127.0.0.1:1", http="127.0.0.1:2", worker="127.0.0.1:3", worker_metrics="127.0.0.1:5",
    krane_metrics="127.0.0.1:6", ingress="127.0.0.1:4", ingress_tls="127.0.0.1:7",
)  # fmt: skip


@pytest.fixture
def stack(tmp_path_factory: pytest.TempPathFactory) -> Stack:
    state = StateDir(tmp_path_factory.mktemp("t") / 'a "q" s')
    state.prepare()
    ensure_secrets(state.secrets)
    made = Stack(StandaloneConfig(), state, ADDRESSES, Path("/run/e.sock"))
    write_configs(made)
    return made


@pytest.mark.parametrize("name", SERVICES)
def test_services_accept_their_generated_config(stack: Stack, name: str) -> None:
    """No service refuses to start because the supervisor writes a key that it does not know."""
    path = stack.state.config(name)
    load(path, SERVICES[name])
    assert path.stat().st_mode & 0o077 == 0


def test_the_services_agree(stack: Stack) -> None:
    """Each dials what the other listens on, and both ends share their key files."""
    api = load(stack.state.config("api"), ApiConfig)
    worker = load(stack.state.config("worker"), WorkerConfig)
    krane = load(stack.state.config("krane"), KraneConfig)
    assert krane.api.address == api.grpc.listen == "127.0.0.1:1"
    assert worker.objects.external_url == api.http.external_url == "http://127.0.0.1:2"
    assert worker.http.uri == f"http://{worker.http.listen}" == "http://127.0.0.1:3"
    assert (krane.ingress.listen, api.ingress.port, worker.ingress.port) == ("127.0.0.1:4", 4, 4)
    assert (krane.ingress.tls_listen, krane.ingress.public_tls_port, krane.ingress.redirect) == (
        "127.0.0.1:7",
        7,
        False,
    )
    assert (krane.ingress.api_grpc, krane.ingress.api_http) == (api.grpc.listen, api.http.listen)
    assert krane.ingress.api_hostname == api.ingress.api_hostname == worker.ingress.api_hostname == "sealift.localhost"
    assert api.database.url == worker.database.url
    assert api.telemetry == worker.telemetry
    assert isinstance(api.objects, DiskConfig)
    assert isinstance(worker.objects, DiskConfig)
    assert (api.objects.root, api.objects.signing_key_file) == (worker.objects.root, worker.objects.signing_key_file)
    assert api.vault.master_key_file == worker.vault.master_key_file
    assert (api.restate.ingress, api.restate.admin) == (worker.restate.ingress, worker.restate.admin)
    assert api.build.backend == worker.build.backend
    assert isinstance(worker.build, DockerConfig)
    assert krane.docker.socket == worker.build.engine_socket == Path("/run/e.sock")
    assert {key.role: key.region for key in api.bootstrap_keys} == {"admin": "", "cluster": krane.region}
    assert (worker.metrics.listen, krane.metrics.listen) == ("127.0.0.1:5", "127.0.0.1:6")
    assert api.retention == ApiRetention()
    assert krane.api.key_file == next(key.file for key in api.bootstrap_keys if key.role == "cluster")


def test_clients_elsewhere_upload_to_the_external_url(stack: Stack) -> None:
    """Signed URLs name what other machines reach; builders, on this one, need no way round."""
    config = StandaloneConfig(external_url="https://deploy.example.com/", metrics=Metrics(serve=False))
    write_configs(replace(stack, config=config))
    assert load(stack.state.config("api"), ApiConfig).http.external_url == "https://deploy.example.com"
    worker = load(stack.state.config("worker"), WorkerConfig)
    assert worker.objects.external_url == "http://127.0.0.1:2"
    assert (worker.metrics.listen, load(stack.state.config("krane"), KraneConfig).metrics.listen) == (None, None)


def test_the_standby_time_reaches_the_worker(stack: Stack) -> None:
    """How long a replaced deployment stays warm is set in the supervisor's file; its default is the worker's own."""
    write_configs(stack)
    assert load(stack.state.config("worker"), WorkerConfig).deploy == WorkerDeploy()
    write_configs(replace(stack, config=StandaloneConfig(retention=Retention(standby_ttl_s=0))))
    assert load(stack.state.config("worker"), WorkerConfig).deploy.standby_ttl_s == 0
    assert Retention(standby_ttl_s=-1).problems() == ["standby_ttl_s: expected 0 to 2592000, got -1"]


def test_logins_for_pulls_reach_krane_alone(stack: Stack) -> None:
    """What an operator sets for pulls is krane's whatever the password holds; no other file has it."""
    logins = (RegistryLogin(host="r.example.com", username="puller", password=Secret('a"${HOME}$\\')),)
    images = Images(allow_local=("tools/*",))
    write_configs(replace(stack, config=StandaloneConfig(registries=logins, images=images)))
    krane = load(stack.state.config("krane"), KraneConfig, env={})
    assert (krane.registries, krane.images) == (logins, images)
    assert load(stack.state.config("api"), ApiConfig, env={}).images == images
    assert "HOME" not in stack.state.config("worker").read_text() + stack.state.config("api").read_text()


def test_api_and_worker_get_the_same_clickhouse(stack: Stack) -> None:
    """Both keep build logs where the operator says, and a password arrives as it was written."""
    telemetry = ClickHouseConfig(url="http://10.0.0.5:8123", password=Secret('p"w ${NOT_A_VARIABLE} $x'))
    write_configs(replace(stack, config=StandaloneConfig(telemetry=telemetry)))
    assert load(stack.state.config("api"), ApiConfig).telemetry == telemetry
    assert load(stack.state.config("worker"), WorkerConfig).telemetry == telemetry
    assert "NOT_A_VARIABLE" not in stack.state.config("krane").read_text()


def test_the_account_that_pushes_reaches_the_worker_alone(stack: Stack) -> None:
    """The api knows where images are; whoever may write there is the worker, whatever the password holds."""
    registry = RegistryConfig(url="r.example.com/apps", username="pusher", password=Secret('a"${HOME}$\\'))
    write_configs(replace(stack, config=StandaloneConfig(registry=registry)))
    assert load(stack.state.config("worker"), WorkerConfig, env={}).registry == registry
    assert load(stack.state.config("api"), ApiConfig, env={}).registry == RegistryAddress(url=registry.url)
    assert "HOME" not in stack.state.config("api").read_text() + stack.state.config("krane").read_text()


def test_every_builder_and_store_can_be_chosen(stack: Stack) -> None:
    """What an operator sets for one machine is what api and worker load, secrets included."""
    registry = RegistryConfig(url="r.example.com/apps", password=Secret("p"))
    bucket = S3Settings(
        url="http://10.0.0.5:9000", external_url="https://s3.example.com", bucket="build-contexts",
        access_key_id="id", access_key_secret=Secret("${s'"),
    )  # fmt: skip
    depot = DepotConfig(access_token=Secret("t"), cache_gb=7)
    for build in (DepotSettings(platform="linux/arm64"), BuildkitSettings(address="unix:///run/b.sock")):
        config = StandaloneConfig(build=build, registry=registry, depot=depot, objects=bucket)
        assert config.problems() == []
        write_configs(replace(stack, config=config))
        api = load(stack.state.config("api"), ApiConfig, env={})
        worker = load(stack.state.config("worker"), WorkerConfig, env={})
        assert (worker.build.backend, worker.build.timeout_s, api.build.backend) == (build.backend, 1800, build.backend)
        assert (worker.depot, worker.registry) == (depot, registry)
        for objects in (api.objects, worker.objects):
            assert isinstance(objects, S3Config)
            assert (objects.bucket, objects.access_key_secret) == (bucket.bucket, bucket.access_key_secret)


def test_depot_fetches_contexts_from_the_disk_by_the_external_url(stack: Stack) -> None:
    """Machines elsewhere reach no loopback; without a URL that leads here, the start is refused."""
    needs: dict[str, Any] = {
        "build": DepotSettings(),
        "registry": RegistryConfig(url="r.example.com", password=Secret("p")),
        "depot": DepotConfig(access_token=Secret("t")),
    }
    assert [line for line in StandaloneConfig(**needs).problems() if line.startswith("external_url: is required")]
    config = StandaloneConfig(external_url="https://deploy.example.com/", **needs)
    assert config.problems() == []
    write_configs(replace(stack, config=config))
    worker = load(stack.state.config("worker"), WorkerConfig, env={})
    assert worker.objects.external_url == "https://deploy.example.com"


@pytest.mark.parametrize(("name", "kind"), [*SERVICES.items(), ("standalone", StandaloneConfig)])
def test_commented_examples_are_valid(name: str, kind: type[Strict]) -> None:
    """dev/config shows keys that exist, with values that are accepted."""
    load(ROOT / "dev/config" / f"{name}.toml", kind, env={})


def test_commented_example_shows_every_default() -> None:
    """The example of the stack's own config is the defaults, key by key."""
    assert load(ROOT / "dev/config/standalone.toml", StandaloneConfig, env={}) == StandaloneConfig()
