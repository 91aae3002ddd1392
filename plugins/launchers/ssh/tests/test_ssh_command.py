"""The command line of ssh: destinations, options, and quoting for the login shell of a host."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenbench_launcher_ssh.command import remote_command, ssh_command
from tokenbench_launcher_ssh.destination import Destination, destination
from tokenbench_launcher_ssh.options import SshOptions

from tokenbench.api import FrozenMap

ECHO = ("printf", "%s\\0", "first")
SHELLS = ("sh", "bash", "tcsh", "fish", "zsh")
ARGUMENTS = st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("gpu1", Destination(name="gpu1", host="gpu1")),
        ("a.lee@gpu1", Destination(name="gpu1", host="gpu1", user="a.lee")),
        ("gpu1:2222", Destination(name="gpu1:2222", host="gpu1", port=2222)),
        ("me@10.0.0.1:22", Destination(name="10.0.0.1:22", host="10.0.0.1", user="me", port=22)),
        ("[fe80::1%eth0]:22", Destination(name="[fe80::1%eth0]:22", host="fe80::1%eth0", port=22)),
    ],
)
def test_destination(text: str, found: Destination) -> None:
    """The forms that users know from ssh and scp."""
    assert destination(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "", "@gpu1", "gpu1:", "gpu1:0", "gpu1:70000", "gpu1:x", "::1", "-oProxyCommand=x", "a b",
        "-x@gpu1", "me@-x", "gpu1/x", "gpu1\n", "$(x)",
    ],
)  # fmt: skip
def test_no_destination(text: str) -> None:
    """Whatever ssh or a shell would take for something else is refused."""
    with pytest.raises(ValueError, match="expected"):
        destination(text)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"hosts": ()}, "hosts is empty"),
        ({"hosts": ("a", "me@a")}, "hosts names a twice"),
        (
            {"hosts": ("me@a:2",), "addresses": FrozenMap(a="x")},
            "addresses has a; the hosts are a:2",
        ),
    ],
)
def test_options_that_do_not_fit(options, said: str) -> None:
    """The same host twice has one agent's log and folder; addresses belong to hosts."""
    with pytest.raises(ValueError, match=said):
        SshOptions(**options)


def test_ssh_options_come_before_the_host() -> None:
    """User, port and configuration are options; the host stands after ``--``."""
    options = SshOptions(hosts=("me@gpu1:2222",), config="~/x", connect_timeout_s=3)
    command = ssh_command(options, destination("me@gpu1:2222"), ("true",))
    assert command[0] == "ssh" and command[-3:] == ("--", "gpu1", "exec true")
    text = " ".join(command)
    assert "~" not in text
    for part in ("-l me", "-p 2222", "-o BatchMode=yes", "-o ConnectTimeout=3", "/x -o"):
        assert part in text


def test_options_are_known_to_ssh() -> None:
    """The installed ssh accepts each option."""
    if shutil.which("ssh") is None:
        pytest.skip("ssh is not installed")
    options = SshOptions(hosts=("gpu1",), config="/dev/null")
    command = ssh_command(options, destination("gpu1"), ("true",))
    done = subprocess.run(("ssh", "-G", *command[1:]), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    found = done.stdout.lower().splitlines()
    assert {"batchmode yes", "serveraliveinterval 5", "clearallforwardings yes"} <= set(found)


def through(shell: str, argv: tuple[str, ...]) -> list[str]:
    """What a program gets as its arguments, if sshd gives the line to this login shell."""
    line = remote_command((*ECHO, *argv))
    done = subprocess.run((shell, "-c", line), capture_output=True, check=True, timeout=30)
    first, *found = done.stdout.decode().split("\0")[:-1]
    assert first == "first"
    return found


@pytest.mark.parametrize("shell", SHELLS)
def test_login_shells_pass_arguments_on(shell: str) -> None:
    """Each login shell passes on what is special to any of them."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    hard = (
        "", " ", "\n", "a\n", "\t", "'", '"', "\\", "\\\\", "\\n", "\\'", "\\0101", "!", "!!", "!$",
        "$HOME", "$(id)", "`id`", "~", "*", "?", "[a]", "{a,b}", "#", "%b", "%s", ";", "&", "|",
        "<", ">", "(", ")", "^", "=", "-", "--", "é", "日本", "\x7f",
    )  # fmt: skip
    assert through(shell, hard) == list(hard)
    assert through(shell, ("plain", "--x=1", "a/b:c,d")) == ["plain", "--x=1", "a/b:c,d"]


@given(ARGUMENTS)
def test_sh_passes_any_text_on(argv) -> None:
    """Any arguments without NUL arrive unchanged."""
    assert through("sh", tuple(argv)) == argv
