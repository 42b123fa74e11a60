from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pkg.config import ConfigError, ensure_key_file
from pkg.errors import Internal
from pkg.secrets import (
    MASTER_KEY_BYTES,
    MAX_PLAINTEXT_BYTES,
    AssociatedData,
    KeyPurpose,
    Vault,
    load_master_key,
)

MASTER = bytes(range(32))
PLACE = AssociatedData.environment_variable("env_1", "TOKEN")


@pytest.fixture
def vault() -> Vault:
    return Vault(MASTER)


@given(plaintext=st.binary(max_size=300), place=st.text(max_size=40).map(AssociatedData))
def test_opens_what_it_sealed(plaintext: bytes, place: AssociatedData) -> None:
    """Promise: every value and place round-trips, also through another process with the same master key."""
    sealer = Vault(MASTER)
    key = sealer.new_data_key()
    assert Vault(MASTER).open(key, sealer.seal(key, plaintext, place), place) == plaintext


def test_two_seals_differ(vault: Vault) -> None:
    """Promise: equal values cannot be recognised in the database, nor can equal data keys."""
    key = vault.new_data_key()
    assert vault.seal(key, b"same", PLACE) != vault.seal(key, b"same", PLACE)
    assert vault.new_data_key() != vault.new_data_key()
    assert b"same" not in vault.seal(key, b"same", PLACE)


def test_every_changed_byte_is_noticed(vault: Vault) -> None:
    """Promise: no byte of a sealed value or of a wrapped key can be changed unnoticed."""
    key = vault.new_data_key()
    sealed = vault.seal(key, b"value", PLACE)
    for index in range(len(sealed)):
        changed = bytearray(sealed)
        changed[index] ^= 1
        with pytest.raises(Internal, match=r"vault\.(not_authentic|malformed)"):
            vault.open(key, bytes(changed), PLACE)
    for index in range(len(key)):
        changed = bytearray(key)
        changed[index] ^= 1
        with pytest.raises(Internal, match=r"vault\.(not_authentic|malformed|master_key)"):
            vault.open(bytes(changed), sealed, PLACE)


def test_value_opens_only_where_it_belongs(vault: Vault) -> None:
    """Promise: a sealed value copied to another row or environment does not open there."""
    key = vault.new_data_key()
    sealed = vault.seal(key, b"value", PLACE)
    with pytest.raises(Internal, match=r"vault\.not_authentic"):
        vault.open(key, sealed, AssociatedData.environment_variable("env_2", "TOKEN"))
    with pytest.raises(Internal, match=r"vault\.not_authentic"):
        vault.open(vault.new_data_key(), sealed, PLACE)


def test_wrong_master_key_is_named_as_such(vault: Vault) -> None:
    """Promise: a database restored without its master key fails with the reason, and shows no key."""
    key = vault.new_data_key()
    sealed = vault.seal(key, b"value", PLACE)
    with pytest.raises(Internal, match=r"vault\.master_key.*restore the master key") as caught:
        Vault(bytes(32)).open(key, sealed, PLACE)
    assert MASTER.hex() not in str(caught.value)
    assert MASTER.hex() not in repr(vault)


@pytest.mark.parametrize("junk", [b"", b"\x01", b"\x02" + bytes(80), bytes(28)])
def test_junk_is_malformed(vault: Vault, junk: bytes) -> None:
    """Promise: bytes that never were a sealed value are distinguished from one that was changed."""
    with pytest.raises(Internal, match=r"vault\.malformed"):
        vault.open(vault.new_data_key(), junk, PLACE)
    with pytest.raises(Internal, match=r"vault\.malformed"):
        vault.seal(junk, b"value", PLACE)


def test_bounds(vault: Vault) -> None:
    """Promise: sizes are bounded, and a short master key never protects anything."""
    key = vault.new_data_key()
    assert len(vault.seal(key, b"", PLACE)) == 29
    with pytest.raises(Internal, match=r"vault\.too_large"):
        vault.seal(key, bytes(MAX_PLAINTEXT_BYTES + 1), PLACE)
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


def test_what_older_versions_sealed_opens(vault: Vault) -> None:
    """Promise: values in the databases of users open for ever: these were sealed before the kinds had a name."""
    key = bytes.fromhex(
        "017b227221da7a3a84a06039ac791004aa02decbeab5049b6e98991a0f6a0a92c1b1842cfa9522a76997854b14e4b25b634903d45a9cb3"
        "2067a2f605b3bdf2a0489b3f9e46"
    )
    for place, sealed in (
        (
            AssociatedData.environment_variable("env_a", "TOKEN"),
            "01408d3127e82c37f71e82965a423a7821cd0cd0cb59928941eac3e4986231be082d8cfc",
        ),
        (
            AssociatedData.deployment_variables("dep_a"),
            "0167edd4b5bb82fdb02043b423884d59ca657d3b5960b7260634a73c6a52d811ae466164",
        ),
        (
            AssociatedData.build_secret("bld_a", "npm"),
            "018665e18a595e40788023dd59356d36b6d1195e37a938e8ed1cec2e31a98d3bafff6587",
        ),
    ):
        assert vault.open(key, bytes.fromhex(sealed), place) == b"hunter2"


def test_no_two_places_are_the_same() -> None:
    """Promise: ids can't be chosen so that one place reads as another."""
    assert AssociatedData.environment_variable("env_1", "a:b") != AssociatedData.environment_variable("env_1", "b")
    for parent in ("env_1:a", ""):
        with pytest.raises(ValueError, match="must be ids"):
            AssociatedData.environment_variable(parent, "b")


def test_a_derived_key_depends_on_master_key_and_purpose_only(vault: Vault) -> None:
    """Promise: every process of an installation derives the same key, which reveals nothing of the master key."""
    key = vault.derived_key(KeyPurpose.IDEMPOTENCY_PAYLOAD)
    assert key == Vault(MASTER).derived_key(KeyPurpose.IDEMPOTENCY_PAYLOAD)
    assert key != Vault(bytes(32)).derived_key(KeyPurpose.IDEMPOTENCY_PAYLOAD)
    assert (len(key), key == MASTER) == (32, False)
