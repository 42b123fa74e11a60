"""What an app printed, fit to be stored and shown: without secrets, escape codes and our probes."""

from collections.abc import Collection, Mapping

from pkg.output.excerpt import excerpt
from pkg.output.redact import Redactor
from pkg.output.text import printable_lines, without_escapes
from pkg.output.variables import secret_values
from svc.krane.controller.probe_lines import without_probes
from svc.krane.runtime.port import NotExecuted, Runtime

MAX_LINES = 100  # of an excerpt, as cluster.proto says
MAX_CHARS = 16_000


class AppOutput:
    """The output of one deployment. `use` comes first, with every topology."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._variables: Mapping[str, str] = {}
        self._plain: frozenset[str] = frozenset()
        self._redactor: Redactor | None = None

    def use(self, variables: Mapping[str, str], plain: Collection[str]) -> None:
        """From now on the values of these variables are redacted, but for those that are named in `plain`."""
        if variables != self._variables or set(plain) != self._plain:
            self._variables, self._plain, self._redactor = dict(variables), frozenset(plain), None

    def redacted(self, text: str) -> str:
        """`text` without the secret values of variables."""
        return self._known.text(text)

    async def read(self, name: str, probe_path: str) -> tuple[list[str], NotExecuted | None]:
        """The newest lines of an instance, and the program that could not be executed. Raises Unavailable."""
        output = await self._runtime.output(name)
        # Twice: a value may hold what looks like an escape code, and a coloured one is whole only without its colours.
        raw = self._known.block(output.text)
        lines = printable_lines(self._known.block(without_escapes(raw)))
        return without_probes(lines, probe_path), output.not_executed

    @property
    def _known(self) -> Redactor:
        if self._redactor is None:
            self._redactor = Redactor(secret_values(self._variables, self._plain))
        return self._redactor


def shown(lines: list[str]) -> list[str]:
    """Those of the app's lines that show why it failed."""
    return excerpt(lines, MAX_LINES, MAX_CHARS)
