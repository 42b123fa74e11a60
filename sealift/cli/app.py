"""The root command of `sealift`, its list of commands, and `invoke`, which runs one and returns the exit code."""

import sys

import click

from sealift import __version__
from sealift.cli.exit_codes import EPILOG, ExitCode
from sealift.cli.parsing.command_groups import LazyCommand, LazyGroup
from sealift.cli.parsing.param_types import TEXT
from sealift.cli.result import RESULT
from sealift.cli.streams import OutputError

COMMANDS = {
    "init": LazyCommand("sealift.cli.commands.init:init", "Write a sealift.toml for this directory."),
    "deploy": LazyCommand(
        "sealift.cli.commands.deploy:deploy", "Deploy a directory, an image or a build, and wait until it is live."
    ),
    "build": LazyCommand("sealift.cli.commands.build:build", "Build an image without deploying it; show a build."),
    "builds": LazyCommand("sealift.cli.commands.builds:builds", "List builds, newest first."),
    "status": LazyCommand("sealift.cli.commands.status:status", "Show an environment on one screen, or a deployment."),
    "open": LazyCommand(
        "sealift.cli.commands.open:open_command", "Print the URL of the app, and open it in the browser."
    ),
    "diff": LazyCommand("sealift.cli.commands.diff:diff", "Show how two deployments differ."),
    "stats": LazyCommand("sealift.cli.commands.stats:stats", "Show requests, errors and latencies by deployment."),
    "usage": LazyCommand("sealift.cli.commands.usage:usage", "Show the CPU, memory and traffic that instances used."),
    "logs": LazyCommand("sealift.cli.commands.logs:logs", "Print what an app prints, or a build log."),
    "ls": LazyCommand("sealift.cli.commands.ls:ls", "List deployments, newest first."),
    "run": LazyCommand("sealift.cli.commands.run:run_command", "Run a command once, with what is live."),
    "promote": LazyCommand("sealift.cli.commands.promote:promote", "Make a ready deployment the live one."),
    "rollback": LazyCommand("sealift.cli.commands.rollback:rollback", "Return to the version that was live before."),
    "ps": LazyCommand("sealift.cli.commands.ps:ps", "List the instances that run now, with CPU and memory."),
    "exec": LazyCommand("sealift.cli.commands.exec:exec_command", "Run a command in an instance that runs."),
    "scale": LazyCommand("sealift.cli.commands.scale:scale", "Set how many instances run, and wait until they do."),
    "restart": LazyCommand("sealift.cli.commands.restart:restart", "Make all instances again, one at a time."),
    "cancel": LazyCommand("sealift.cli.commands.cancel:cancel", "Cancel a deployment or build that has not finished."),
    "stop": LazyCommand("sealift.cli.commands.stop:stop", "Stop a deployment, or take the app down (--live)."),
    "delete": LazyCommand(
        "sealift.cli.commands.delete:delete", "Delete a deployment, an environment, or a project with all that it has."
    ),
    "env": LazyCommand("sealift.cli.commands.env:env", "List, set, import and unset environment variables."),
    "domains": LazyCommand("sealift.cli.commands.domains:domains", "List, add, verify and remove domains of your own."),
    "certificates": LazyCommand(
        "sealift.cli.commands.certificates:certificates", "List TLS certificates, show one, or order one again."
    ),
    "trust": LazyCommand("sealift.cli.commands.trust:trust", "Show how to trust the server's certificate authority."),
    "projects": LazyCommand("sealift.cli.commands.projects:projects", "List and create projects."),
    "environments": LazyCommand("sealift.cli.commands.environments:environments", "List and create environments."),
    "login": LazyCommand("sealift.cli.commands.login:login", "Log in to a server, which is then the default one."),
    "logout": LazyCommand("sealift.cli.commands.logout:logout", "Delete the stored key for a server."),
    "whoami": LazyCommand("sealift.cli.commands.whoami:whoami", "Show the server and whose key is in use."),
    "servers": LazyCommand("sealift.cli.commands.servers:servers", "List the servers that you have logged in to."),
    "keys": LazyCommand("sealift.cli.commands.keys:keys", "List, create and revoke access keys."),
    "completion": LazyCommand("sealift.cli.commands.completion:completion", "Print a shell completion script."),
    "version": LazyCommand("sealift.cli.commands.version:version", "Show the versions of the CLI and the server."),
}


class _Root(LazyGroup):
    lazy_commands = COMMANDS


@click.group(
    cls=_Root,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--url",
    type=TEXT,
    envvar="SEALIFT_URL",
    show_envvar=True,
    metavar="URL",
    help="Server, http[s]://host[:port].  [default: the last login, else the stack on this machine]",
)
@click.version_option(__version__, prog_name="sealift", message="%(prog)s %(version)s")
@click.pass_context
def cli(ctx: click.Context, url: str | None) -> None:
    """Deploy code to your own machines.

    The access key is read from SEALIFT_API_KEY, else from the file in SEALIFT_API_KEY_FILE, else it is that of the
    login to the server; there is no option for it. The project is read from sealift.toml, unless --project or
    SEALIFT_PROJECT is set.
    """
    ctx.obj = url


def invoke(args: list[str] | None = None) -> int:
    """Run the command line and return the exit code. Commands return theirs; None is 0.

    With --json, stdout ends with a result whenever the command fails, for whatever reason.
    """
    RESULT.begin(sys.argv[1:] if args is None else args)
    try:
        code = _run(args)
        RESULT.complete(code)
        sys.stdout.flush()
        return code
    except OutputError as error:
        if not error.reason:  # the reader of stdout has exited
            return ExitCode.FAILED
        click.echo(f"error: can't write to stdout: {error.reason}", err=True)
        return ExitCode.OUTPUT
    except BrokenPipeError:  # the reader of stderr has exited
        return ExitCode.FAILED


def _run(args: list[str] | None) -> int:
    try:
        return int(cli.main(args, prog_name="sealift", standalone_mode=False) or 0)
    except SystemExit as end:  # raised by click after it answered a completion request of the shell
        return int(end.code or 0)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return ExitCode.USAGE
    except click.ClickException as error:
        from sealift.cli.format.text import clean_block, prose
        from sealift.cli.parsing.usage import usage_text

        message = clean_block(usage_text(error))
        click.echo(prose(f"error: {message}"), err=True)
        RESULT.fail(ExitCode.USAGE, code="usage", message=message)
        return ExitCode.USAGE
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return ExitCode.INTERRUPTED
    except (OutputError, BrokenPipeError):
        raise
    except Exception as error:
        import traceback

        traceback.print_exc()
        message = f"this is a bug in sealift ({type(error).__name__}); please report it with the lines above"
        click.echo(f"error: {message}", err=True)
        RESULT.fail(ExitCode.FAILED, code="client.fault", message=message)
        return ExitCode.FAILED
