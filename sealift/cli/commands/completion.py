"""`sealift completion`."""

import click
from click.shell_completion import ShellComplete, get_completion_class

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_SEALIFT_COMPLETE"  # click's name for it
_HELP = """Print a completion script for SHELL: bash (4.4 or newer), zsh or fish.

\b
bash   eval "$(sealift completion bash)"     in ~/.bashrc
zsh    eval "$(sealift completion zsh)"      in ~/.zshrc, after compinit
fish   sealift completion fish | source      in ~/.config/fish/config.fish
"""


@click.command(help=_HELP)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> int:
    """Print the script."""
    kind = get_completion_class(shell)
    assert kind is not None
    # click's BashComplete.source would start bash to read its version
    click.echo(ShellComplete.source(kind(ctx.find_root().command, {}, "sealift", VARIABLE)))
    return 0
