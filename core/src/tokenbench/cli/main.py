"""``bench``: the group, the error boundary, the exit codes."""

from __future__ import annotations

import gc
import importlib
import sys
import traceback
from typing import Any

import click

from tokenbench import __version__

# Command name -> module in this package that holds a click command of that name.
_COMMANDS = {
    "run": "run",
    "plan": "plan",
    "plugins": "plugins",
    "hardware": "hardware",
    "report": "report",
    "metrics": "metrics",
    "load-worker": "load_worker",
    "calibrate": "calibrate",
}
_HELP = {
    "run": "Measure: start engines, load them, check accuracy, report.",
    "plan": "Show what `bench run` would do, without doing it.",
    "plugins": "List, check and create plugins.",
    "hardware": "List accelerators with their figures and prices.",
    "report": "Render finished runs again.",
    "metrics": "Print the definition of every metric.",
    "load-worker": "Run a load job by hand or on another host.",
    "calibrate": "Measure the load generator itself on this machine.",
}


class _Lazy(click.Group):
    """Imports a command's module when that command is used, so that `--help` stays instant."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"tokenbench.cli.{_COMMANDS[cmd_name]}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_HELP.items()))


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="bench")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.option(
    "--no-plugin", "without", multiple=True, metavar="NAME", help="Ignore the plugin NAME."
)
@click.pass_context
def cli(ctx: click.Context, debug: bool, without: tuple[str, ...]) -> None:
    """What a token really costs: how fast, how cheap, how power-hungry and how accurate."""
    ctx.obj = {"debug": debug, "without": without}


def main(args: list[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    # Imported objects are not garbage: collecting among them takes a tenth of the start.
    gc.set_threshold(50_000)
    arguments = sys.argv[1:] if args is None else args
    debug = "--debug" in arguments
    try:
        code: Any = cli.main(arguments, prog_name="bench", standalone_mode=False)
    except click.UsageError as error:
        _say(error.format_message(), _click_hint(error))
        sys.exit(2)
    except click.Abort:
        sys.exit(130)
    except click.ClickException as error:
        _say(error.format_message(), "see `bench --help`")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        _say("interrupted", "run it again; nothing was left running")
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(1)
    except Exception as error:
        if debug:
            traceback.print_exc()
        sys.exit(_explain(error))
    sys.exit(code if isinstance(code, int) else 0)


def _explain(error: Exception) -> int:
    """Print the error; returns the exit code. Imports the API here: `--help` needs none."""
    from tokenbench.api.errors import BenchError

    if isinstance(error, BenchError):
        log = f" (log: {error.log})" if error.log is not None else ""
        _say(error.message, error.hint + log)
        return error.exit_code
    _say(
        f"this is a bug in bench: {type(error).__name__}: {error}",
        "run again with --debug for the traceback, and report it",
    )
    return 1


def _click_hint(error: click.UsageError) -> str:
    name = error.ctx.command_path if error.ctx is not None else "bench"
    return f"see `{name} --help`"


def _say(message: str, hint: str) -> None:
    """Print two lines to standard error, whatever the texts contain."""
    click.echo(f"error: {_one_line(message)}", err=True)
    click.echo(f"hint: {_one_line(hint)}", err=True)


def _one_line(text: str) -> str:
    clean = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(clean.split())


if __name__ == "__main__":
    main()
