"""The overlays agree with the services, the images and themselves, and a real API server takes them."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tomli
from lightkube.codecs import from_dict
from ruamel.yaml import YAML

from dev.k8s.installation_secrets import OWN
from dev.k8s.rendering import OVERLAYS, Manifest, pod_specs, render, secrets_used
from pkg.config import Strict, load
from pkg.testing.kubernetes.control_plane import ControlPlane
from pkg.testing.parts import prepared_part
from pkg.testing.wait import KUBERNETES_TEST_TIMEOUT_S
from svc.api.config import ApiConfig
from svc.krane.config import KraneConfig
from svc.worker.config import WorkerConfig
from tests.packaging.repository import IMAGES, ROOT

pytestmark = pytest.mark.timeout(KUBERNETES_TEST_TIMEOUT_S)

NAMES = ("local", "production")
KINDS: dict[str, type[Strict]] = {"api": ApiConfig, "krane": KraneConfig, "worker": WorkerConfig}
CONFIG = "/etc/sealift/sealift.toml"
JOBS = OVERLAYS.parent / "jobs"
# Not ours: they come with a builder of one developer's own.
BUILDER = {"buildkitd", "registry"}
USER = 65532


@pytest.fixture(scope="session", params=NAMES)
def overlay(request: pytest.FixtureRequest) -> list[Manifest]:
    return rendered(request.param)


def rendered(name: str) -> list[Manifest]:
    return render(OVERLAYS / name, program=kubectl())


def kubectl() -> str:
    return str(prepared_part("kubernetes") / "root/usr/bin/kubectl")


def by_kind(manifests: list[Manifest], kind: str) -> dict[str, Manifest]:
    return {one["metadata"]["name"]: one for one in manifests if one["kind"] == kind}


def containers(manifests: list[Manifest]) -> Iterator[tuple[Manifest, Manifest]]:
    """Each container of ours with the specification of its Pod."""
    for _, spec in pod_specs(manifests):
        yield from ((spec, one) for one in spec["containers"] if one["name"] not in BUILDER)


def configs(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest, Manifest, dict[str, Any]]]:
    """Service, Pod, container and configuration of everything that reads the configuration of a service."""
    maps = by_kind(manifests, "ConfigMap")
    for spec, container in containers(manifests):
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        for mount in container["volumeMounts"]:
            if mount["mountPath"] == CONFIG:
                name = volumes[mount["name"]]["configMap"]["name"]
                service = re.fullmatch(r"sealift-(\w+)-[a-z0-9]+", name)
                assert service
                yield service[1], spec, container, tomli.loads(maps[name]["data"][mount["subPath"]])


def test_every_configuration_is_one(overlay: list[Manifest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise: each process starts with its file and with the variables that its own container has, and no others."""
    found = set()
    maps = by_kind(overlay, "ConfigMap")
    for service, spec, container, _ in configs(overlay):
        found.add((service, container["name"]))
        volume = next(one for one in spec["volumes"] if one["name"] == "config")
        path = tmp_path / f"{service}.toml"
        path.write_text(maps[volume["configMap"]["name"]]["data"]["sealift.toml"])
        with monkeypatch.context() as environment:
            for variable in container.get("env", ()):
                environment.setenv(variable["name"], variable.get("value") or value_of(variable["name"]))
            load(path, KINDS[service])
    assert found == {
        ("api", "api"), ("api", "migrate"), ("worker", "worker"), ("krane", "krane"), ("krane", "envoy"),
    }  # fmt: skip


def value_of(variable: str) -> str:
    """Something of the form that the Secret holds."""
    if variable == "RESTATE_IDENTITY":
        return "publickeyv1_w7YHemBctH5Ck2nQRQ47iBBqhNHy4FV7t2Usbye2A6f"
    return "https://s3.example.com" if variable.endswith("_URL") else "given"


def test_a_variable_that_is_missing_is_named(tmp_path: Path) -> None:
    """Promise: without its Secret a process says at start which variable it lacks; the kubelet names the Secret."""
    path = tmp_path / "worker.toml"
    path.write_text((OVERLAYS / "production/config/worker.toml").read_text())
    with pytest.raises(Exception, match="environment variable DEPOT_TOKEN is not set"):
        load(path, WorkerConfig)
    optional = re.findall("optional", json.dumps([rendered(name) for name in NAMES]))
    assert optional == []


def test_paths_are_mounted(overlay: list[Manifest]) -> None:
    """Promise: every path of a configuration lies in a volume of the container that reads it; keys lie in Secrets."""
    for service, spec, container, config in configs(overlay):
        if container["name"] in ("envoy", "migrate"):
            continue  # they read the part that they need, below
        mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        for path in paths(config):
            within = [mount for mount in mounts if path == mount or path.startswith(mount + "/")]
            assert within, f"{service}: {path} is in no volume"
            volume = volumes[mounts[max(within, key=len)]]
            if path.endswith((".key", ".pem")):
                secrets = secrets_used([{"kind": "Pod", "metadata": {"name": ""}, "spec": {"template": {"spec": {
                    "volumes": [volume], "containers": []}}}}])  # fmt: skip
                assert path.rpartition("/")[2] in {file for name in secrets for file in OWN[name]}, path


def paths(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for one in value.values():
            yield from paths(one)
    elif isinstance(value, list):
        for one in value:
            yield from paths(one)
    elif isinstance(value, str):
        text = re.sub(r"^(unix://|sqlite:///)", "", value)
        if text.startswith("/") and not value.startswith("//"):
            yield text


def test_restate_finds_its_files(overlay: list[Manifest]) -> None:
    """Promise: data on the volume, the key from its Secret, and time for the longest build."""
    config = tomli.loads((OVERLAYS.parent / "base/config/restate.toml").read_text())
    spec = by_kind(overlay, "StatefulSet")["sealift-restate"]["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert config["base-dir"] == mounts[spec["volumeClaimTemplates"][0]["metadata"]["name"]]
    key = config["worker"]["invoker"]["request-identity-private-key-pem-file"]
    assert key == f"{mounts['secrets']}/restate.pem"
    assert mounts["config"] in container["args"]
    worker = next(config for service, _, _, config in configs(overlay) if service == "worker")
    longest_s = worker["build"]["timeout_s"]
    assert int(config["worker"]["invoker"]["abort-timeout"].removesuffix("s")) >= longest_s + 300


def test_ports_agree(overlay: list[Manifest]) -> None:
    """Promise: what a process listens on is the port of its container, its Service and the policy that opens it."""
    listening: dict[str, set[int]] = {"restate": {8080, 9070}}
    for service, _, container, config in configs(overlay):
        if container["name"] in ("envoy", "migrate"):
            continue
        values = [value for section in config.values() if isinstance(section, dict) for key, value in section.items()
                  if key in ("listen", "tls_listen")]  # fmt: skip
        assert all(value.startswith("0.0.0.0:") for value in values)  # probes and peers come from outside of the Pod
        listening[service] = {int(value.rpartition(":")[2]) for value in values}
    declared: dict[str, set[int]] = {}
    for _, spec in pod_specs(overlay):
        for container in spec["containers"]:
            if container["name"] not in BUILDER and "ports" in container:
                name = "krane" if container["name"] == "envoy" else container["name"]
                declared.setdefault(name, set()).update(port["containerPort"] for port in container["ports"])
                names = {port["name"] for port in container["ports"]}
                for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                    for how in container.get(probe, {}).values():
                        assert not isinstance(how, dict) or how["port"] in names
    assert declared == listening
    opened: dict[str, set[int]] = {}
    for policy in by_kind(overlay, "NetworkPolicy").values():
        labels = policy["spec"]["podSelector"].get("matchLabels", {})
        if name := labels.get("app.kubernetes.io/name"):
            ports = {port["port"] for rule in policy["spec"].get("ingress", ()) for port in rule["ports"]}
            opened.setdefault(name, set()).update(ports)
    metrics = by_kind(overlay, "NetworkPolicy")["sealift-metrics"]["spec"]["ingress"][0]["ports"]
    for name in ("worker", "krane"):
        opened[name] |= {port["port"] for port in metrics} & listening[name]
    assert opened == listening
    for made in by_kind(overlay, "Service").values():
        name = made["spec"]["selector"]["app.kubernetes.io/name"]
        assert {port["port"] for port in made["spec"]["ports"]} <= listening[name]


def test_addresses_are_those_of_services(overlay: list[Manifest]) -> None:
    """Promise: each address of a configuration is a Service of this namespace, and a port that it has."""
    services = {
        name: {port["port"] for port in one["spec"]["ports"]} for name, one in by_kind(overlay, "Service").items()
    }
    texts = [json.dumps(config) for *_, config in configs(overlay)]
    texts += [path.read_text() for path in JOBS.iterdir()]
    found = {match for text in texts for match in re.findall(r"\b(sealift-[a-z]+):(\d+)", text)}
    assert {name for name, _ in found} == {"sealift-api", "sealift-restate", "sealift-worker"}
    for name, port in found:
        assert int(port) in services[name], f"{name}:{port}"


def test_ports_are_those_of_the_images(overlay: list[Manifest]) -> None:
    """Promise: an image declares what its container serves to others; metrics are not among it."""
    for spec, container in containers(overlay):
        del spec
        if container["name"] == "migrate":
            continue
        image = "krane" if container["name"] in ("krane", "envoy") else container["name"]
        text = (ROOT / "build" / image / "BUILD.bazel").read_text()
        exposed = {int(port) for port in re.findall(r'"(\d+)/tcp"', text)}
        served = {port["containerPort"] for port in container.get("ports", ()) if port["name"] != "metrics"}
        assert served <= exposed


def test_images_are_ours(overlay: list[Manifest]) -> None:
    """Promise: every image of ours runs, nothing of ours is missing, and nothing is pulled that is on the node."""
    used = set()
    for spec, container in containers(overlay):
        del spec
        match = re.fullmatch(r"(?:ghcr\.io/)?sealift/([a-z-]+)[:@].+", container["image"])
        assert match, container["image"]
        assert container["imagePullPolicy"] == "IfNotPresent"
        used.add(match[1])
    assert used == {image.replace("_", "-") for image in IMAGES}


def test_production_runs_fixed_versions() -> None:
    """Promise: no tag that moves: a digest, or the version of a release, which is never pushed again."""
    images = [one["image"] for _, spec in pod_specs(rendered("production")) for one in spec["containers"]]
    assert images
    for image in images:
        assert re.fullmatch(r"ghcr\.io/sealift/[a-z-]+(:v\d+\.\d+\.\d+|@sha256:[0-9a-f]{64})", image), image
    assert all(f"sealift/{one}" in json.dumps(images) for one in IMAGES)


def test_a_pod_may_do_little(overlay: list[Manifest]) -> None:
    """Promise: the user of the images, no rights, a read-only root, bounded memory; only krane has a token."""
    macro = (ROOT / "build/util/images.bzl").read_text()
    assert f'user = "{USER}:{USER}"' in macro
    jobs = [manifest for path in sorted(JOBS.iterdir()) for manifest in documents(path)]
    for name, spec in pod_specs([*overlay, *jobs]):
        pod = spec["securityContext"]
        assert (pod["runAsNonRoot"], pod["runAsUser"], pod["runAsGroup"], pod["fsGroup"]) == (True, USER, USER, USER)
        assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["enableServiceLinks"] is False
        assert spec.get("automountServiceAccountToken", True) == (name == "sealift-krane")
        for volume in spec["volumes"]:
            mounted = volume.get("secret") or volume.get("projected")
            # Root's, for the group of the Pod to read; pkg.config takes it so, and only so.
            assert mounted is None or mounted["defaultMode"] == 0o440
    for _, container in containers([*overlay, *jobs]):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
        }  # fmt: skip
        assert {"cpu", "memory"} <= set(container["resources"]["requests"])
        assert "memory" in container["resources"]["limits"]


def documents(path: Path) -> list[Manifest]:
    yaml = YAML(typ="safe")
    yaml.version = (1, 1)  # as kubectl reads it: 0440 is octal
    return [document for document in yaml.load_all(path.read_text()) if document]


def test_jobs_use_what_the_api_has() -> None:
    """Promise: the Jobs of upgrade.sh run programs of the api's image and read the Secret that the api reads."""
    script = (OVERLAYS.parent / "upgrade.sh").read_text()
    made = {path.stem: documents(path)[0] for path in sorted(JOBS.iterdir())}
    assert set(made) == {"drain", "restored", "resume"}
    for name, job in made.items():
        assert job["metadata"]["name"] == f"sealift-{name}"
        assert re.search(rf"run_job {name} |--{name}\b", script)
        ((_, container),) = containers([job])
        assert f"image: {container['image']}" in script
        module = container["command"][4]
        assert (ROOT / f"{module.replace('.', '/')}.py").exists()
    commands = {name: job["spec"]["template"]["spec"]["containers"][0]["command"] for name, job in made.items()}
    assert "--undo" in commands["resume"]
    assert "--undo" not in commands["drain"]
    assert set(secrets_used([made["drain"], made["resume"]])) == {"sealift-admin-key", "depot-registry"}


def test_secrets_are_made_or_named(overlay: list[Manifest]) -> None:
    """Promise: no value of a key is in the manifests; each Secret is made by our command, or a user's, by its name."""
    assert by_kind(overlay, "Secret") == {}
    used = secrets_used(overlay)
    assert set(OWN) <= set(used)
    assert set(used) - set(OWN) <= {"depot-credentials", "depot-registry"}
    keys = used.get("depot-credentials", set())
    assert keys in (set(), {"token", "s3-url", "s3-access-key-id", "s3-access-key-secret"})


def test_every_pod_that_opens_the_database_is_on_its_node(overlay: list[Manifest]) -> None:
    """Promise: one volume, one node at a time; api and worker have one replica that is never doubled by a rollout."""
    for name in ("sealift-api", "sealift-worker"):
        spec = by_kind(overlay, "Deployment")[name]["spec"]
        assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
        claims = [volume["persistentVolumeClaim"]["claimName"] for volume in spec["template"]["spec"]["volumes"]
                  if "persistentVolumeClaim" in volume]  # fmt: skip
        assert claims == ["sealift-state"]
    assert by_kind(overlay, "PersistentVolumeClaim")["sealift-state"]["spec"]["accessModes"] == ["ReadWriteOnce"]
    krane = by_kind(overlay, "Deployment")["sealift-krane"]["spec"]
    assert (krane["replicas"], krane["strategy"]["rollingUpdate"]["maxUnavailable"]) == (2, 0)


def test_models_know_every_field(overlay: list[Manifest]) -> None:
    """Promise: no field is misspelled: lightkube's models, of a newer Kubernetes, give back what they were given."""
    for manifest in overlay:
        model: Any = from_dict(manifest)
        assert model.to_dict() == manifest


@pytest.fixture(scope="module")
def namespace(kubernetes_plane: ControlPlane) -> Iterator[Callable[..., str]]:
    kubernetes_plane.kubectl("create", "namespace", "sealift")
    yield kubernetes_plane.kubectl
    kubernetes_plane.kubectl("delete", "namespace", "sealift")


def test_a_real_server_takes_them(overlay: list[Manifest], namespace: Callable[..., str]) -> None:
    """Promise: the API server validates every object. It is older than policy/v1, of which v1beta1 stands in."""
    jobs = [manifest for path in sorted(JOBS.iterdir()) for manifest in documents(path)]
    objects = json.dumps({"apiVersion": "v1", "kind": "List", "items": [*overlay, *jobs]})
    objects = objects.replace('"policy/v1"', '"policy/v1beta1"')
    said = namespace("apply", "--server-side", "--dry-run=server", "--force-conflicts", "-f", "-", stdin=objects)
    assert said.count("(server dry run)") == len(overlay) + len(jobs)
