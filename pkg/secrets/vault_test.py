from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pkg.config import ConfigError, ensure_key_file
from pkg.errors import Internal
from pkg.secrets import MASTER_KEY_BYTES, MAX_PLAINTEXT_BYTES, Vault, load_master_key

MASTER = bytes(range(32))
AAD = "environment_variables/env_1/TOKEN"


@pytest.fixture
def vault() -> Vault:
    return Vault(MASTER)


@given(plaintext=st.binary(max_size=300), aad=st.text(max_size=40))
def test_opens_what_it_sealed(plaintext: bytes, aad: str) -> None:
    """Promise: every value and place round-trips, also through another process with the same master key."""
    sealer = Vault(MASTER)
    key = sealer.new_data_key()
    assert Vault(MASTER).open(key, sealer.seal(key, plaintext, aad), aad) == plaintext


def test_two_seals_differ(vault: Vault) -> None:
    """Promise: equal values cannot be recognised in the database, nor can equal data keys."""
    key = vault.new_data_key()
    assert vault.seal(key, b"same", AAD) != vault.seal(key, b"same", AAD)
    assert vault.new_data_key() != vault.new_data_key()
    assert b"same" not in vault.seal(key, b"same", AAD)


def test_every_changed_byte_is_noticed(vault: Vault) -> None:
    """Promise: no byte of a sealed value or of a wrapped key can be changed unnoticed."""
    key = vault.new_data_key()
    sealed = vault.seal(key, b"value", AAD)
    for index in range(len(sealed)):
        changed = bytearray(sealed)
        changed[index] ^= 1
        with pytest.raises(Internal, match=r"vault\.(not_authentic|malformed)"):
            vault.open(key, bytes(changed), AAD)
    for index in range(len(key)):
        changed = bytearray(key)
        changed[index] ^= 1
        with pytest.raises(Internal, match=r"vault\.(not_authentic|malformed|master_key)"):
            vault.open(bytes(changed), sealed, AAD)


def test_value_opens_only_where_it_belongs(vault: Vault) -> None:
    """Promise: a sealed value copied to another row or environment does not open there."""
    key = vault.new_data_key()
    sealed = vault.seal(key, b"value", AAD)
    with pytest.raises(Internal, match=r"vault\.not_authentic"):
        vault.open(key, sealed, "environment_variables/env_2/TOKEN")
    with pytest.raises(Internal, match=r"vault\.not_authentic"):
        vault.open(vault.new_data_key(), sealed, AAD)


def test_wrong_master_key_is_named_as_such(vault: Vault) -> None:
    """Promise: a database restored without its master key fails with the reason, and shows no key."""
    key = vault.new_data_key()
    sealed = vault.seal(key, b"value", AAD)
    with pytest.raises(Internal, match=r"vault\.master_key.*restore the master key") as caught:
        Vault(bytes(32)).open(key, sealed, AAD)
    assert MASTER.hex() not in str(caught.value)
    assert MASTER.hex() not in repr(vault)


@pytest.mark.parametrize("junk", [b"", b"\x01", b"\x02" + bytes(80), bytes(28)])
def test_junk_is_malformed(vault: Vault, junk: bytes) -> None:
    """Promise: what never was a sealed value is told apart from one that was changed."""
    with pytest.raises(Internal, match=r"vault\.malformed"):
        vault.open(vault.new_data_key(), junk, AAD)
    with pytest.raises(Internal, match=r"vault\.malformed"):
        vault.seal(junk, b"value", AAD)


def test_bounds(vault: Vault) -> None:
    """Promise: sizes are bounded, and a short master key never protects anything."""
    key = vault.new_data_key()
    assert len(vault.seal(key, b"", AAD)) == 29
    with pytest.raises(Internal, match=r"vault\.too_large"):
        vault.seal(key, bytes(MAX_PLAINTEXT_BYTES + 1), AAD)
    with pytest.raises(Internal, match=r"vault\.master_key"):
        Vault(b"short")


def test_master_key_file(tmp_path: Path) -> None:
    """Promise: a service reads the master key and never makes one of its own."""
    path = tmp_path / "master.key"
    with pytest.raises(ConfigError, match="cannot read"):
        load_master_key(path)
    assert not path.exists()
    made = ensure_key_file(path, MASTER_KEY_BYTES)
    assert load_master_key(path) == made
    path.write_bytes(b"x" * 31)
    with pytest.raises(ConfigError, match="31 bytes instead of 32"):
        load_master_key(path)
