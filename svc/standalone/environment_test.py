from pathlib import Path

from svc.standalone.config import read_config
from svc.standalone.environment import forget_secrets

TOML = """
[registry]
url = "registry.example.com/apps"
password = "${PUSH_PASSWORD}"
[[registries]]
host = "registry.example.com"
password = "${PULL_PASSWORD}"
[depot]
access_token = "${DEPOT_TOKEN}"
[build]
backend = "depot"
[objects]
backend = "s3"
url = "http://10.0.0.5:9000"
external_url = "https://s3.example.com"
bucket = "b01"
access_key_id = "${S3_KEY}"
access_key_secret = "${S3_SECRET}"
[telemetry]
backend = "clickhouse"
url = "http://10.0.0.5:8123"
password = "${CLICKHOUSE}"
"""
SECRETS = ("PUSH_PASSWORD", "PULL_PASSWORD", "DEPOT_TOKEN", "S3_SECRET", "CLICKHOUSE")


def test_processes_inherit_no_secret(tmp_path: Path) -> None:
    """Promise: a variable that a secret was read from, or a copy of it, is gone; everything else stays."""
    path = tmp_path / "c.toml"
    path.write_text(TOML)
    env = {name: f"value of {name}" for name in SECRETS}
    env |= {"S3_KEY": "AKID", "COPY": env["DEPOT_TOKEN"], "PATH": "/bin", "HOME": env["S3_SECRET"], "EMPTY": ""}
    config = read_config(path, {}, env)
    forget_secrets(config, env)
    assert env == {"S3_KEY": "AKID", "PATH": "/bin", "HOME": "value of S3_SECRET", "EMPTY": ""}
    assert config.registry is not None
    assert config.registry.password.reveal() == "value of PUSH_PASSWORD"
