"""``bench``: the group, the error boundary, the exit codes."""

from __future__ import annotations

import contextlib
import errno
import gc
import importlib
import os
import sys
import threading
import time
import traceback
from typing import Any

import click

from tokenbench import __version__

from . import streams

# The commands, in the order of `bench --help`, with their summaries. Each is the `command` of a
# module of this package.
_COMMANDS = {
    "run": "Start engines, measure them under load, check accuracy, report.",
    "plan": "Show what `bench run` would do, without doing it.",
    "plugins": "List, check and create plugins.",
    "hardware": "List accelerators with their figures and prices.",
    "doctor": "Show what this machine has, and what would disturb a measurement.",
    "report": "Render finished runs again.",
    "compare": "Compare two runs: better, worse, or no change beyond the noise.",
    "cost": "Show which series is cheapest at the speed that users need.",
    "import": "Import results of other tools.",
    "metrics": "Print the definition of every metric.",
    "load-worker": "Run a load job by hand or on another host.",
    "calibrate": "Measure the load generator itself on this machine.",
}

# How long threads that a plugin started, and did not end, may keep the command from exiting.
_THREADS_S = 2.0


class _Lazy(click.Group):
    """Imports a command's module when that command is used, so that `--help` stays instant."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        name = "import_" if cmd_name == "import" else cmd_name.replace("-", "_")
        module = importlib.import_module(f"tokenbench.cli.{name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="bench")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.option(
    "--no-plugin", "without", multiple=True, metavar="NAME", help="Ignore the plugin NAME."
)
@click.pass_context
def cli(ctx: click.Context, debug: bool, without: tuple[str, ...]) -> None:
    """Benchmark LLM inference servers: speed, cost, power and accuracy."""
    ctx.obj = {"debug": debug, "without": without}


def main(args: list[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    try:
        _main(args)
    except SystemExit as end:
        if args is None and "tokenbench.guard.call" in sys.modules:
            _leave_plugins(end.code)
        raise


def _leave_plugins(code: Any) -> None:
    """Exit at once if a plugin's code still runs: the interpreter might wait for it for ever."""
    from tokenbench.guard.call import stuck

    threads = [t for t in threading.enumerate() if t is not threading.main_thread()]
    deadline = time.monotonic() + _THREADS_S
    for thread in [] if stuck() else [t for t in threads if not t.daemon]:
        thread.join(max(0.0, deadline - time.monotonic()))
    if stuck() or any(t.is_alive() and not t.daemon for t in threads):
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        os._exit(code if isinstance(code, int) else 1)


def _main(args: list[str] | None) -> None:
    # Imported objects are not garbage: collecting among them takes a tenth of the start.
    gc.set_threshold(50_000)
    streams.prepare()
    arguments = sys.argv[1:] if args is None else args
    debug = "--debug" in arguments
    try:
        code: Any = cli.main(arguments, prog_name="bench", standalone_mode=False)
    except click.UsageError as error:
        _say(error.format_message(), _click_hint(error))
        sys.exit(2)
    except click.ClickException as error:
        _say(error.format_message(), "see `bench --help`")
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _say("interrupted", "run it again; nothing was left running")
        sys.exit(130)
    except Exception as error:
        if debug:
            traceback.print_exc()
        sys.exit(_explain(error))
    if (lost := streams.lost_output()) is not None:
        _say(
            f"cannot write to standard output: {lost.strerror}",
            "what was measured is in the run directory; `bench report` prints it again",
        )
        sys.exit(1)
    sys.exit(code if isinstance(code, int) else 0)


def _explain(error: Exception) -> int:
    """Print the error; returns the exit code. Imports the API here: `--help` needs none."""
    from tokenbench.api.errors import BenchError

    if isinstance(error, BenchError):
        log = f" (log: {error.log})" if error.log is not None else ""
        _say(error.message, error.hint + log)
        return error.exit_code
    if (known := _system_error(error)) is not None:
        _say(*known)
        return 2 if isinstance(error, UnicodeError) else 1
    _say(
        f"this is a bug in bench: {type(error).__name__}: {error}",
        "run again with --debug for the traceback, and report it",
    )
    return 1


def _system_error(error: Exception) -> tuple[str, str] | None:
    """Message and hint for an error that is not the fault of `bench`."""
    if isinstance(error, UnicodeEncodeError) and error.reason == "surrogates not allowed":
        return (
            f"a path or text is not valid UTF-8: {error.object[:80]!r}",
            "use names of folders and files that are valid UTF-8",
        )
    if not isinstance(error, OSError):
        return None
    place = f" ({error.filename})" if error.filename else ""
    what = f"{error.strerror or error}{place}"
    hints = {
        errno.EMFILE: "raise the limit of open files: ulimit -n 4096",
        errno.ENFILE: "this machine has too many open files; end other programs",
        errno.ENOSPC: "the disk is full; delete files",
        errno.EDQUOT: "the disk quota is used up; delete files",
        errno.EFBIG: "the file size limit is reached; raise it: ulimit -f unlimited",
        errno.ENOMEM: "this machine has too little memory; end other programs",
        errno.EAGAIN: "too many processes; raise the limit: ulimit -u",
        errno.EROFS: "the file system is read-only; choose another folder",
    }
    hint = hints.get(error.errno or 0)
    return None if hint is None else (what, hint)


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
