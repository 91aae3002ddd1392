"""The how-tos for authors are followed to the letter, each in an empty folder and environment."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
from pages import FOLLOWED, HOWTOS, Block, Command, blocks, check_output, commands
from wheels import ROOT, CleanEnvironment

_SCRIPTS = {"bench": "tokenbench.cli.main", "pip": "pip", "pytest": "pytest"}
# The packages of this environment replace the index.
_PIP = {"PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
# A busy machine must not change what a run shows.
_BUSY = " --allow-invalid --reporter console:all=true"


@pytest.fixture
def reader(tmp_path: Path) -> CleanEnvironment:
    """A new environment that sees the packages of this one, and none of the examples."""
    venv.create(tmp_path / "env", with_pip=False)
    made = CleanEnvironment(folder=tmp_path / "env", home=tmp_path / "home")
    (site,) = (tmp_path / "env/lib").glob("python*/site-packages")
    line = f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n"
    (site / "parent.pth").write_text(line)
    for name, module in _SCRIPTS.items():
        script = tmp_path / "env/bin" / name
        script.write_text(f'#!/bin/sh\nexec "{made.python}" -m {module} "$@"\n')
        script.chmod(0o755)
    return made


@pytest.mark.real
@pytest.mark.parametrize("page", FOLLOWED, ids=lambda p: p.stem)
def test_howto_is_followed_to_the_letter(
    reader: CleanEnvironment, tmp_path: Path, page: Path
) -> None:
    """The reader writes the files and types the commands, in order, and sees what the page shows.

    The package works, its test passes, and the last command shows what it does.
    """
    folder = tmp_path / "work"
    folder.mkdir()
    typed: list[Command] = []
    for block in blocks(page):
        if block.path is not None:
            (folder / block.path).write_text(block.text)
        for command in commands(block):
            typed.append(command)
            done = _type(reader, folder, command.text)
            assert done.returncode == 0, f"{command.text}\n{done.stdout}{done.stderr}"
            check_output(done, command.shown)
    words = [command.text.split()[0] for command in typed]
    assert {"pip", "pytest", "bench"} <= set(words)
    assert typed[-1].shown


def _type(reader: CleanEnvironment, folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", command + (_BUSY if command.startswith("bench run") else "")],
        cwd=folder,
        env=reader.variables(COLUMNS="140", **_PIP),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def _files() -> list[tuple[Path, Block]]:
    return [(page, block) for page in HOWTOS for block in blocks(page) if block.path or block.file]


@pytest.mark.parametrize(("page", "block"), _files(), ids=lambda v: getattr(v, "path", None))
def test_howto_files_are_those_of_the_example(page: Path, block: Block) -> None:
    """Byte for byte; a reader sees the path that the comment names."""
    assert block.path is not None and block.file is not None
    assert Path(block.path).parts[1:] == Path(block.file).parts[2:]
    assert (ROOT / block.file).read_text() == block.text


def test_howtos_show_whole_examples() -> None:
    """Every file of the example is on the page; what is not, the reader makes by a command."""
    kinds = {page.stem.rpartition("-")[2] for page in HOWTOS}
    assert kinds == {"workload", "eval", "reporter", "codec", "amendment", "launcher", "pools"}
    for page in HOWTOS:
        shown = {block.file for block in blocks(page) if block.file}
        (folder,) = {str(Path(*Path(file).parts[:2])) for file in shown}
        every = [f for f in (ROOT / folder).rglob("*.*") if "__pycache__" not in f.parts]
        assert {str(f.relative_to(ROOT)) for f in every if f.suffix != ".md"} == shown
        assert page.read_text().count("<!-- file:") == len(shown)


def test_the_reader_has_no_example(reader: CleanEnvironment, tmp_path: Path) -> None:
    """The new environment has the plugins of the project and nothing else."""
    done = reader("bench", "plugins", "list", cwd=tmp_path)
    assert "llamacpp" in done.stdout and "tiny" not in done.stdout, done.stdout + done.stderr
    assert str(reader.python) != sys.executable
