"""Groups of commands: with hints for unknown words, and one whose commands are imported when they are invoked."""

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


class CommandGroup(click.Group):
    """A group that has `list` beside `ls`, and helps with a word that it does not know."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name or alias."""
        return super().get_command(ctx, cmd_name) or super().get_command(ctx, ALIASES.get(cmd_name, ""))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click, with a hint for an unknown name."""
        name = args[0] if args else ""
        known = self.list_commands(ctx)
        if name and not name.startswith("-") and ALIASES.get(name, name) not in known and not ctx.resilient_parsing:
            raise click.UsageError(f"no such command {name!r:.80}{_hint(name, known, ctx)}", ctx)
        return super().resolve_command(ctx, args)


def is_bare(ctx: click.Context) -> bool:
    """Whether a group was called without a command, so that it lists.

    Raises:
        click.UsageError: it has a command, and options before it, which would say nothing to that command.
    """
    if not ctx.invoked_subcommand:
        return True
    for param in ctx.command.params:
        if ctx.get_parameter_source(param.name or "") is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError(f"put {param.opts[0]} after {ctx.invoked_subcommand!r}", ctx)
    return False


ALIASES = {"list": "ls"}
# Never proposed for a mistyped word: who meant something else would end or undo what runs.
_DESTRUCTIVE = frozenset({"stop", "cancel", "rollback", "unset", "revoke"})
# The words of other tools.
_ELSEWHERE = {
    "ls": ("ps", "deployments", "apps", "history", "releases"),
    "deploy": ("up", "push", "publish", "launch", "ship", "redeploy"),
    "status": ("info", "show", "describe", "inspect", "open"),
    "env": ("secrets", "secret", "vars", "var", "variables", "config"),
    "projects": ("project", "app"),
    "environments": ("environment", "envs"),
    "keys": ("key", "login", "auth", "token", "tokens"),
    "set": ("add", "put"),
    "create": ("add", "new", "make"),
}
_REMOVING = frozenset({"destroy", "delete", "remove", "rm", "down", "kill", "teardown", "undeploy", "drop", "purge"})
NEAR = 0.8  # of difflib: a letter or two of a word; "destroy" is not near "deploy"


def _hint(name: str, known: list[str], ctx: click.Context) -> str:
    """What was probably meant, never something destructive; else where to look."""
    from difflib import get_close_matches

    harmless = [one for one in known if one not in _DESTRUCTIVE]
    foreign = [one for one in harmless if name in _ELSEWHERE.get(one, ())]
    near = foreign or get_close_matches(name, harmless, 1, NEAR)
    if near:
        return f"; did you mean {near[0]!r}?"
    way = "; `sealift stop --live` takes an app down" if name in _REMOVING and "stop" in known else ""
    return f"{way}; see: {ctx.command_path} --help"


class LazyGroup(CommandGroup):
    """Knows its commands' names and one line about each; loads the one that is asked for."""

    verbs: dict[str, Verb]

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names, in the order of the table."""
        return list(self.verbs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command itself, imported now."""
        verb = self.verbs.get(ALIASES.get(cmd_name, cmd_name))
        return verb.load() if verb else None

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
