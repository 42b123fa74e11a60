"""For tests: reads a generated Dockerfile as BuildKit does, as far as they need."""

import json
import re
import shlex
from dataclasses import dataclass

_INSTRUCTIONS = frozenset({"FROM", "ARG", "ENV", "WORKDIR", "COPY", "RUN", "USER", "CMD"})


@dataclass(frozen=True)
class Instruction:
    """One instruction.

    Attributes:
        name: upper case.
        text: what follows it, with continued lines joined.
    """

    name: str
    text: str

    @property
    def words(self) -> list[str]:
        """The words after the flags."""
        return [word for word in shlex.split(self.text) if not word.startswith("--")]

    @property
    def array(self) -> list[str]:
        """The array of CMD."""
        found = json.loads(self.text)
        assert isinstance(found, list)
        return found


def instructions(dockerfile: str) -> list[Instruction]:
    """The instructions of a Dockerfile; fails if it has a syntax line or what Docker 20.10 does not know."""
    assert not re.search(r"^#\s*syntax", dockerfile, re.IGNORECASE | re.MULTILINE)
    assert dockerfile.endswith("\n")
    found = []
    for line in re.sub(r"\\\n", " ", dockerfile).splitlines():
        if not line or line.startswith("#"):
            continue
        name, _, text = line.partition(" ")
        assert name in _INSTRUCTIONS, line
        assert text.strip(), line
        assert name in ("RUN", "CMD") or "<<" not in text, line
        found.append(Instruction(name, text.strip()))
    return found


def of(dockerfile: str, name: str) -> list[Instruction]:
    """The instructions of one kind."""
    return [one for one in instructions(dockerfile) if one.name == name]
