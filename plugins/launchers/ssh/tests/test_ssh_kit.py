"""The launcher `ssh` passes the conformance kit, with this machine as its host."""

from __future__ import annotations

import shutil
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import two_hosts

from tokenbench_testing import LauncherKit

FOLDER = Path(tempfile.gettempdir(), f"ssh-kit-{uuid.uuid4().hex}")


@pytest.fixture(scope="module", autouse=True)
def config() -> Iterator[None]:
    """An sshd of the test's own, and keys."""
    if two_hosts.SSHD is None or shutil.which("ssh") is None:
        pytest.skip("OpenSSH is not installed")
    FOLDER.mkdir()
    two_hosts.this_machine(FOLDER)
    yield
    shutil.rmtree(FOLDER)


class TestSsh(LauncherKit):
    """Through ssh to this machine."""

    name = "ssh"
    options = {"hosts": ["self"], "config": str(FOLDER / "config"), "python": sys.executable}
