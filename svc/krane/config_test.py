"""krane's configuration."""

from pathlib import Path

import pytest

from pkg.config import ConfigError, load
from svc.krane.config import KraneConfig
from svc.krane.runtime import factory
from svc.krane.runtime.port import RuntimeContext

WHOLE = """
region = "local"
state_dir = "/var/lib/sealift/krane"
[api]
address = "127.0.0.1:7400"
key_file = "/var/lib/sealift/secrets/krane.key"
[docker]
socket = "/var/run/docker.sock"
network = "sealift"
[ingress]
listen = "127.0.0.1:7480"
ads_socket = "/run/sealift/ads.sock"
admin_socket = "/run/sealift/admin.sock"
[metrics]
listen = "127.0.0.1:7404"
[log]
level = "debug"
[tracing]
endpoint = ""
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "krane.toml"
    path.write_text(text)
    return path


def test_a_whole_file_is_read(tmp_path: Path) -> None:
    # Promise: every documented key is known.
    config = load(write(tmp_path, WHOLE), KraneConfig, {})
    assert config.api.target == "127.0.0.1:7400"
    assert not config.api.is_tls
    assert config.metrics.listen == "127.0.0.1:7404"


def test_every_problem_is_named_at_once(tmp_path: Path) -> None:
    # Promise: an operator fixes a file once.
    text = WHOLE.replace('"local"', '"Local!"').replace("127.0.0.1:7480", "nowhere").replace("127.0.0.1:7400", "x")
    text = text.replace("/run/sealift/ads.sock", "/" + "a" * 200)
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path, text), KraneConfig, {})
    told = "\n".join(caught.value.problems)
    assert "region" in told
    assert "address" in told
    assert "listen" in told
    assert "ads_socket" in told


def test_https_and_the_hostname_of_the_api_are_off_unless_asked_for(tmp_path: Path) -> None:
    """Promise: a file from before HTTPS means what it meant, and half a setting is named."""
    ingress = load(write(tmp_path, WHOLE), KraneConfig, {}).ingress
    assert (ingress.tls_listen, ingress.redirect, ingress.hsts_max_age_s, ingress.api_hostname) == ("", False, 0, "")
    bad = 'redirect = true\nhsts_max_age_s = -1\npublic_tls_port = 0\napi_hostname = "Api!"\napi_grpc = "x"\n'
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path, WHOLE.replace("[metrics]", bad + "[metrics]")), KraneConfig, {})
    told = "\n".join(caught.value.problems)
    for key in ("redirect", "hsts_max_age_s", "public_tls_port", "api_hostname", "api_grpc", "api_http"):
        assert key in told


@pytest.mark.parametrize("listen", ["7480", "localhost:80", ":80", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:99999"])
def test_where_envoy_can_not_listen(tmp_path: Path, listen: str) -> None:
    """Promise: Envoy would refuse it later and less clearly; krane names the key."""
    text = WHOLE.replace('listen = "127.0.0.1:7480"', f'listen = "{listen}"\ntls_listen = "{listen}"')
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path, text), KraneConfig, {})
    assert [problem.split(": ")[0] for problem in caught.value.problems] == ["ingress.listen", "ingress.tls_listen"]


def test_tls_is_asked_for_by_the_scheme(tmp_path: Path) -> None:
    # Promise: https:// means TLS.
    config = load(write(tmp_path, WHOLE.replace("127.0.0.1:7400", "https://api.example:443")), KraneConfig, {})
    assert config.api.is_tls
    assert config.api.target == "api.example:443"


def test_a_cluster_without_a_login_ends_krane_at_its_start(tmp_path: Path) -> None:
    """Promise: a kubeconfig that is not there, or says nothing, is named before anything is tried."""
    for text in (None, "{}", "nothing: [", '{"clusters": [], "users": [], "contexts": [], "current-context": "x"}'):
        kubeconfig = tmp_path / "kubeconfig"
        if text is not None:
            kubeconfig.write_text(text)
        section = f'[runtime]\nbackend = "kubernetes"\n[kubernetes]\nkubeconfig = "{kubeconfig}"\n'
        config = load(write(tmp_path, WHOLE + section), KraneConfig, {})
        with pytest.raises(ConfigError, match=r"no login to a cluster in .*kubeconfig"):
            factory.make(config, RuntimeContext("inst_1", frozenset))


def test_a_krane_outside_of_a_cluster_names_who_may_reach_instances(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Promise: where no machine and no Pod may send requests, krane's log says so and names the key."""
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        '{"clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}], '
        '"users": [{"name": "u", "user": {"token": "t"}}], '
        '"contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}], "current-context": "x"}'
    )
    section = f'[runtime]\nbackend = "kubernetes"\n[kubernetes]\nkubeconfig = "{kubeconfig}"\n'
    for more, warnings in (("", 1), ('ingress_ranges = ["10.1.2.3/32"]\n', 0), ('ingress_namespace = "sealift"\n', 0)):
        caplog.clear()
        config = load(write(tmp_path, WHOLE + section + more), KraneConfig, {})
        factory.make(config, RuntimeContext("inst_1", frozenset))
        assert [record.levelname for record in caplog.records].count("WARNING") == warnings
        assert caplog.text.count("ingress_ranges") == warnings
