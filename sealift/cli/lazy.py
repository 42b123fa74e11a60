"""A click group whose commands are imported when they are invoked."""

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


@dataclass(frozen=True)
class Verb:
    """A command that is not imported yet.

    Attributes:
        home: "package.module:attribute".
        help: the line of `sealift --help`.
    """

    home: str
    help: str

    def load(self) -> click.Command:
        """Import it."""
        module, _, attribute = self.home.partition(":")
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command


class LazyGroup(click.Group):
    """Knows its commands' names and one line about each; loads the one that is asked for."""

    verbs: dict[str, Verb]

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names, in the order of the table."""
        return list(self.verbs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command itself, imported now."""
        verb = self.verbs.get(cmd_name)
        return verb.load() if verb else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click, with a guess for a mistyped name."""
        name = args[0] if args else ""
        if name and not name.startswith("-") and name not in self.verbs and not ctx.resilient_parsing:
            from difflib import get_close_matches

            near = get_close_matches(name, self.verbs, 1, 0.5)
            hint = f"; did you mean {near[0]!r}?" if near else "; see sealift --help"
            raise click.UsageError(f"no such command {name!r}{hint}", ctx)
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem]":
        """Names that begin so, and options, without importing a command."""
        from click.shell_completion import CompletionItem

        found = [
            CompletionItem(name, help=verb.help) for name, verb in self.verbs.items() if name.startswith(incomplete)
        ]
        return found + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, without importing one."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, verb.help) for name, verb in self.verbs.items()])
