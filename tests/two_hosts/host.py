"""The first process of a host. The host ends with it, and it ends when its standard input does.

Reads one line of JSON: `name`, `address`; `hide`, folders that are empty there, /run first, but
for the folders to `show`; `files`, path to text; `sshd`, its command.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import subprocess
import sys
from pathlib import Path

settings = json.loads(sys.stdin.buffer.raw.readline())
socket.sethostname(settings["name"])
os.chdir("/")


def mount(*arguments: str) -> None:
    subprocess.run(("mount", *arguments), check=True)


def bind(source: str, target: str) -> None:
    Path(target).mkdir(parents=True, exist_ok=True)
    mount("--bind", source, target)


for folder in settings["hide"]:
    mode = "1777" if folder == "/tmp" else "755"
    mount("-t", "tmpfs", "-o", f"mode={mode}", "tmpfs", folder)
    if folder == "/run":
        for number, path in enumerate(settings["show"]):
            bind(path, f"/run/show-{number}")
for number, path in enumerate(settings["show"]):
    bind(f"/run/show-{number}", path)
Path("/run/sshd").mkdir()
for path, text in settings["files"].items():
    Path(path).touch(mode=0o644 if path == "/run/hosts" else 0o600)
    Path(path).write_text(text)
mount("--bind", "/run/hosts", "/etc/hosts")
sshd = subprocess.Popen(settings["sshd"], stdin=subprocess.DEVNULL)
while True:
    with contextlib.suppress(OSError), socket.socket() as probe:
        probe.connect((settings["address"], 22))
        break
    select.select([], [], [], 0.02)
os.write(1, b"ready\n")
while True:
    if select.select([0], [], [], 0.1)[0] and not os.read(0, 1):
        os._exit(0)
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
