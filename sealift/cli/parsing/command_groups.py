"""Command groups: hints for unknown commands, lazy import of commands, and commands that have commands."""

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


@dataclass(frozen=True)
class LazyCommand:
    """A command that is imported when it is needed.

    Attributes:
        path: "package.module:attribute".
        help: its line in `sealift --help`.
    """

    path: str
    help: str

    def load(self) -> click.Command:
        """Import the command."""
        module, _, attribute = self.path.partition(":")
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command


class CommandGroup(click.Group):
    """A group with `list` as an alias of `ls`, and hints for unknown commands."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command with this name or alias."""
        return super().get_command(ctx, cmd_name) or super().get_command(ctx, ALIASES.get(cmd_name, ""))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with a hint for an unknown name."""
        name = args[0] if args else ""
        known = self.list_commands(ctx)
        if name and not name.startswith("-") and ALIASES.get(name, name) not in known and not ctx.resilient_parsing:
            raise click.UsageError(f"no such command {name!r:.80}{_hint(name, known, ctx)}", ctx)
        return super().resolve_command(ctx, args)


def is_called_alone(ctx: click.Context) -> bool:
    """Whether a group was called without a command; it then lists.

    Raises:
        click.UsageError: options before a command, which the command would ignore.
    """
    if not ctx.invoked_subcommand:
        return True
    for param in ctx.command.params:
        if ctx.get_parameter_source(param.name or "") is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError(f"put {param.opts[0]} after {ctx.invoked_subcommand!r}", ctx)
    return False


ALIASES = {"list": "ls"}
# Never suggested for a mistyped command, because a wrong guess would stop or undo something.
_DESTRUCTIVE = frozenset({"stop", "cancel", "rollback", "unset", "revoke", "rm", "logout"})
# Command names of other tools.
_ELSEWHERE = {
    "ls": ("deployments", "apps", "history", "releases"),
    "deploy": ("up", "push", "publish", "launch", "ship", "redeploy"),
    "init": ("link", "setup"),
    "status": ("info", "show", "describe", "inspect", "open"),
    "env": ("secrets", "secret", "vars", "var", "variables", "config"),
    "projects": ("project", "app"),
    "environments": ("environment", "envs"),
    "domains": ("domain", "hostname", "hostnames"),
    "certificates": ("certificate", "certs", "cert", "ssl", "tls"),
    "ps": ("instances", "processes", "containers", "pods", "top"),
    "scale": ("autoscale", "resize"),
    "restart": ("reload",),
    "stats": ("metrics", "analytics", "traffic"),
    "usage": ("billing", "costs", "consumption"),
    "login": ("auth", "signin"),
    "servers": ("server", "contexts"),
    "keys": ("key", "token", "tokens"),
    "set": ("add", "put"),
    "import": ("push", "load"),
    "create": ("add", "new", "make"),
    "add": ("create", "new"),
    "verify": ("check", "refresh"),
    "retry": ("renew", "order", "issue"),
}
# Alternatives for commands that do not exist here. The first entry whose command the group has is used.
_INSTEAD = (
    (("destroy", "delete", "remove", "rm", "down", "kill", "teardown", "undeploy", "drop", "purge"), (
        ("stop", "`sealift stop --live` takes an app down"),
        ("unset", "`sealift env unset NAME` removes a variable"),
        ("revoke", "`sealift keys revoke KEY_ID` revokes a key"),
        ("rm", "`sealift domains rm HOSTNAME` removes a domain"),
    )),
    (("get", "pull", "show", "print", "reveal"), (
        ("unset", "`sealift env` lists names, and the values of plain variables; sealed values are never shown"),
    )),
    (("create", "new"), (("projects", "`sealift deploy --create` also creates the project"),)),
    (("start", "resume"), (
        ("deploy", "`sealift deploy` starts new instances, even without changes; `sealift promote` restores an app "
         "that was taken down"),
    )),
    (("exec", "shell", "console", "ssh", "bash"), (
        ("run", "`sealift run -- sh` runs a command in a container of its own"),
    )),
)  # fmt: skip
NEAR = 0.8  # ratio of difflib: one or two letters differ; "destroy" is not near "deploy"


def _hint(name: str, known: list[str], ctx: click.Context) -> str:
    """The command that was probably meant, never a destructive one; else where to find help."""
    from difflib import get_close_matches

    noun, _, verb = name.partition(":")  # "config:set"
    if verb and (meant := noun if noun in known else _foreign(noun, known)):
        return f"; did you mean {meant!r}? See: {ctx.command_path} {meant} --help"
    harmless = [one for one in known if one not in _DESTRUCTIVE]
    near = _foreign(name, harmless) or next(iter(get_close_matches(name, harmless, 1, NEAR)), "")
    if near:
        return f"; did you mean {near!r}?"
    return "".join(f"; {hint}" for hint in (_instead(name, known), f"see: {ctx.command_path} --help") if hint)


def _foreign(name: str, known: list[str]) -> str:
    """The command that other tools call `name`; "" for none."""
    return next((one for one in known if name in _ELSEWHERE.get(one, ())), "")


def _instead(name: str, known: list[str]) -> str:
    """The alternative for a command that does not exist here; "" for none."""
    return next((text for names, ways in _INSTEAD if name in names for has, text in ways if has in known), "")


class LazyGroup(CommandGroup):
    """Lists its commands with one line each; imports only the one that is invoked."""

    lazy_commands: dict[str, LazyCommand]

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names, in the order of `lazy_commands`."""
        return list(self.lazy_commands)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now."""
        command = self.lazy_commands.get(ALIASES.get(cmd_name, cmd_name))
        return command.load() if command else None

    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem]":
        """Matching names and options, without importing a command."""
        from click.shell_completion import CompletionItem

        found = [
            CompletionItem(name, help=command.help)
            for name, command in self.lazy_commands.items()
            if name.startswith(incomplete)
        ]
        return found + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.help) for name, command in self.lazy_commands.items()])


class HybridCommand(click.Command):
    """A command with an argument of its own, whose first word may also be one of `lazy_commands`.

    Only the first word counts: `build ./show` and `build --no-cache show` name a directory.
    """

    lazy_commands: ClassVar[dict[str, LazyCommand]]

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """The context of this command, or that of the command that is named first."""
        named = self.lazy_commands.get(args[0]) if args else None
        if named is None:
            return super().make_context(info_name, args, parent, **extra)
        return named.load().make_context(f"{info_name} {args[0]}", args[1:], parent, **extra)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.help) for name, command in self.lazy_commands.items()])


def complete_word(ctx: click.Context, param: click.Parameter, incomplete: str) -> "list[CompletionItem]":
    """For the argument of a `HybridCommand` that is a directory: matching commands and directories."""
    from click.shell_completion import CompletionItem

    known = ctx.command.lazy_commands if isinstance(ctx.command, HybridCommand) else {}
    found = [CompletionItem(name, help=one.help) for name, one in known.items() if name.startswith(incomplete)]
    return [*found, CompletionItem(incomplete, type="dir")]
