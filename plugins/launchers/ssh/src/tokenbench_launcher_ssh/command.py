"""The command line of ssh."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from .destination import Destination
from .options import SshOptions

# These override the user's configuration, which is for terminals.
_OPTIONS = (
    "BatchMode=yes",  # No prompts: nobody could answer.
    "LogLevel=ERROR",  # The last line of standard error is then the cause of a failure.
    # A silently lost host is detected after 20 s.
    "ServerAliveInterval=5",
    "ServerAliveCountMax=4",
    # A shared connection would outlive this one, and end with the first of its users.
    "ControlMaster=no",
    "ControlPath=none",
    # Ports, programs and keys that the user's own sessions forward.
    "ClearAllForwardings=yes",
    "ForwardX11=no",
    "ForwardAgent=no",
    "PermitLocalCommand=no",
    "RemoteCommand=none",
    "RequestTTY=no",
)
_PLAIN = re.compile(r"[\w@%+=:,./-]+", re.ASCII)


def ssh_command(options: SshOptions, target: Destination, argv: Sequence[str]) -> tuple[str, ...]:
    """The command that runs `argv` on a host."""
    return (*ssh_options(options, target), "--", target.host, remote_command(argv))


def ssh_options(options: SshOptions, target: Destination) -> tuple[str, ...]:
    """The program and its options."""
    command = ["ssh"]
    if options.config is not None:
        command += ["-F", str(Path(options.config).expanduser())]
    for setting in (*_OPTIONS, f"ConnectTimeout={options.connect_timeout_s}"):
        command += ["-o", setting]
    if target.user is not None:
        command += ["-l", target.user]
    if target.port is not None:
        command += ["-p", str(target.port)]
    return tuple(command)


def remote_command(argv: Sequence[str]) -> str:
    """`argv` as one line for the login shell of the host, whichever that is.

    sh, csh and fish quote differently. They agree on text in single quotes without quotes, line
    ends, backslashes before those, and exclamation marks. So the command is written with octal
    escapes for such characters, and sh reads it: printf(1) is POSIX.
    """
    if all(_PLAIN.fullmatch(part) for part in argv):
        return "exec " + " ".join(argv)
    escaped = re.sub(r"[^\w@%+=:,./ -]", _octal, shlex.join(argv), flags=re.ASCII)
    return f"""exec sh -c 'eval "exec $(printf %b "$1")"' sh '{escaped}'"""


def _octal(found: re.Match[str]) -> str:
    return "".join(f"\\0{byte:03o}" for byte in found[0].encode(errors="surrogateescape"))
