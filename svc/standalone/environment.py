"""What the processes of a stack get of the supervisor's environment: everything but the secrets of its configuration.

Each service reads its own from its configuration file. So krane has no account that pushes, and Envoy, Restate and the
engine have none at all.
"""

from collections.abc import MutableMapping

from pkg.config import Strict, secrets_of

# A program needs them, whatever the same text stands for elsewhere.
_KEPT = frozenset({"HOME", "LANG", "LOGNAME", "PATH", "PWD", "SHELL", "TERM", "TMPDIR", "USER"})


def forget_secrets(config: Strict, env: MutableMapping[str, str]) -> None:
    """Removes each variable of `env` that holds a secret of `config`, under whatever name."""
    secrets = set(secrets_of(config))
    for name in [name for name, value in env.items() if value in secrets and name not in _KEPT]:
        del env[name]
