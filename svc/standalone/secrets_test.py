"""Keys are made once, for this user only, and Restate's public key is what it announces."""

import stat
from pathlib import Path

from svc.standalone.secrets import base58, ensure_secrets, identity_public_key, new_api_key


def test_keys_are_private_and_made_once(tmp_path: Path) -> None:
    """No default credentials; a second start changes none."""
    ensure_secrets(tmp_path)
    made = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(made) == {
        "admin.key", "supervisor.key", "krane.key", "master.key", "urls.key", "restate.pem", "restate.pub",
    }  # fmt: skip
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}
    ensure_secrets(tmp_path)
    assert made == {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert made["restate.pub"].decode() == identity_public_key(made["restate.pem"])


def test_api_keys_differ_and_are_long() -> None:
    """256 bits, in letters and digits that survive any shell."""
    keys = {new_api_key() for _ in range(100)}
    assert len(keys) == 100
    assert all(key.startswith("slk_") and key[4:].isalnum() and len(key) == 56 for key in keys)


def test_base58_vectors() -> None:
    """The vectors of the base58 draft (draft-msporny-base58)."""
    assert base58(b"Hello World!") == "2NEpo7TZRRrLZSi2U"
    assert base58(bytes.fromhex("0000287fb4cd")) == "11233QC4"
