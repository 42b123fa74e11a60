"""`python -m dev.build_backend.run ARGUMENT...`: the supervisor, with the builder that dev/.env chooses.

Without such a file, or with a configuration of the user's own (SEALIFT_CONFIG), it is `python -m svc.standalone`.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from dev.build_backend import variables
from dev.build_backend.stack import stack_config

CONFIG = variables.ROOT / ".dev/stack.toml"


def environment(env: Mapping[str, str], file: Mapping[str, str], config: Path = CONFIG) -> dict[str, str]:
    """The supervisor's environment; writes `config` when the builder is chosen. What is set in `env` goes first."""
    chosen = variables.resolved({**file, **{name: env[name] for name in variables.NAMES & env.keys()}})
    if variables.BACKEND not in chosen or "SEALIFT_CONFIG" in env:
        return dict(env)
    config.parent.mkdir(exist_ok=True)
    config.write_text(stack_config(chosen), encoding="utf-8")
    return {**env, **chosen, "SEALIFT_CONFIG": str(config)}


def main() -> None:
    """Becomes the supervisor."""
    env = environment(os.environ, variables.read())
    os.execve(sys.executable, [sys.executable, "-m", "svc.standalone", *sys.argv[1:]], env)


if __name__ == "__main__":
    main()
