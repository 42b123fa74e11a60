"""Envelope encryption of what lies in the database: variables, build secrets, certificate keys, registry credentials.

A data key per environment, itself stored wrapped by the one master key of the installation (a 0600 file of 32 random
bytes). Every sealed value is bound to the place where it belongs (`AssociatedData`, which has one constructor for each
kind of value): copied to another row it does not open. Keys for other purposes are derived from the master key
(`KeyPurpose`).

`Vault` seals and opens; `load_master_key` reads the file. Fails with `pkg.errors.Internal` and one of the codes
vault.master_key, vault.malformed, vault.not_authentic, vault.too_large; no message holds key or plaintext.
"""

from pkg.secrets.associated_data import AssociatedData
from pkg.secrets.derived_keys import KeyPurpose
from pkg.secrets.vault import MASTER_KEY_BYTES, MAX_PLAINTEXT_BYTES, Vault, load_master_key

__all__ = ["MASTER_KEY_BYTES", "MAX_PLAINTEXT_BYTES", "AssociatedData", "KeyPurpose", "Vault", "load_master_key"]
