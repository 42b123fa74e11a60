"""Groups of commands: with hints for unknown words, and one whose commands are imported when they are invoked."""

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


@dataclass(frozen=True)
class LazyCommand:
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


def is_called_alone(ctx: click.Context) -> bool:
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
    "deploy": ("up", "push", "publish", "launch", "ship", "redeploy", "build"),
    "init": ("link", "setup"),
    "status": ("info", "show", "describe", "inspect", "open"),
    "env": ("secrets", "secret", "vars", "var", "variables", "config"),
    "projects": ("project", "app"),
    "environments": ("environment", "envs"),
    "keys": ("key", "login", "auth", "token", "tokens"),
    "set": ("add", "put"),
    "import": ("push", "load"),
    "create": ("add", "new", "make"),
}
# What has another way than a command of that kind. The first one that the group has counts.
_INSTEAD = (
    (("destroy", "delete", "remove", "rm", "down", "kill", "teardown", "undeploy", "drop", "purge"), (
        ("stop", "`sealift stop --live` takes an app down"),
        ("unset", "`sealift env unset NAME` removes a variable"),
        ("revoke", "`sealift keys revoke KEY_ID` ends a key"),
    )),
    (("get", "pull", "show", "print", "reveal"), (
        ("unset", "`sealift env` lists names, and the values of plain ones; sealed values are never shown"),
    )),
    (("create", "new"), (("projects", "`sealift deploy --create` makes the project, too"),)),
    (("restart", "reload", "start", "resume"), (
        ("deploy", "`sealift deploy` starts new instances, also of what has not changed; `sealift promote` brings back "
         "an app that was taken down"),
    )),
    (("scale", "autoscale", "resize"), (
        ("deploy", "[run] replicas, memory_mib and cpu_millicores in sealift.toml say how many and how large, from the "
         "next deploy on"),
    )),
    (("run", "exec", "shell", "console", "ssh", "bash"), (
        ("deploy", "there is no way into an instance but `docker exec` on its machine"),
    )),
    (("domains", "domain", "certs", "cert", "ssl"), (
        ("deploy", "an app has addresses below the server's own domain only: `sealift status` shows them"),
    )),
)  # fmt: skip
NEAR = 0.8  # of difflib: a letter or two of a word; "destroy" is not near "deploy"


def _hint(name: str, known: list[str], ctx: click.Context) -> str:
    """What was probably meant, never something destructive; else where to look."""
    from difflib import get_close_matches

    noun, _, verb = name.partition(":")  # "config:set"
    if verb and (meant := noun if noun in known else _foreign(noun, known)):
        return f"; did you mean {meant!r}? See: {ctx.command_path} {meant} --help"
    harmless = [one for one in known if one not in _DESTRUCTIVE]
    near = _foreign(name, harmless) or next(iter(get_close_matches(name, harmless, 1, NEAR)), "")
    if near:
        return f"; did you mean {near!r}?"
    return "".join(f"; {said}" for said in (_instead(name, known), f"see: {ctx.command_path} --help") if said)


def _foreign(name: str, known: list[str]) -> str:
    """The command for which other tools have this word; "" for none."""
    return next((one for one in known if name in _ELSEWHERE.get(one, ())), "")


def _instead(name: str, known: list[str]) -> str:
    """How what the word stands for is done here; "" when that is not known."""
    return next((said for words, ways in _INSTEAD if name in words for has, said in ways if has in known), "")


class LazyGroup(CommandGroup):
    """Knows its commands' names and one line about each; loads the one that is asked for."""

    verbs: dict[str, LazyCommand]

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
