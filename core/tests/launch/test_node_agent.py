"""The node agent: commands, probes, and the Pythons that hosts have."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tokenbench.api import NodeProgram, PluginError
from tokenbench.launch.node.client import AgentError, NodeAgent
from tokenbench.launch.node.program import RunningProgram

from .node_agents import AGENT, OWNER, Alone, runs

OLDEST, NEWEST = (3, 8), (3, 13)
SUPERVISOR = AGENT.parent.with_name("supervisor.py")


def _pythons() -> dict[str, str]:
    """The Pythons on this machine that a host may have, by version."""
    found = {}
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    for minor in range(OLDEST[1], NEWEST[1] + 1):
        for path in sorted(root.glob(f"versions/3.{minor}.*/bin/python")):
            found[f"3.{minor}"] = str(path)
    if (system := Path("/usr/bin/python3")).exists():
        found["system"] = str(system)
    return found


PYTHONS = _pythons()
BARE = [
    pytest.param(path, id=name, marks=() if path else pytest.mark.skip(f"no Python {name} here"))
    for name, path in {
        **{f"3.{m}": PYTHONS.get(f"3.{m}", "") for m in range(OLDEST[1], NEWEST[1] + 1)},
        "system": PYTHONS.get("system", ""),
    }.items()
]


# -- probes ----------------------------------------------------------------------------------------


def test_a_probe(program: Callable[..., RunningProgram]) -> None:
    """Its devices; again and again."""
    running = program()
    for _ in range(2):
        assert running.probe().devices[0].handle == sys.version.split()[0]


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("raise", "probe() failed: OSError: libacme.so: cannot open shared object file"),
        ("exit", "probe() failed: it ended with code 7"),
        ("exit silently", "probe() failed: it ended with code 0"),
        ("sys.exit", "probe() failed: SystemExit: enough"),
        ("interrupt", "probe() failed: KeyboardInterrupt"),
        ("kill", "probe() failed: it was killed by signal 9"),
        ("segfault", "probe() failed: it was killed by signal 11"),
        ("hang", "probe() did not return within 1 s"),
        ("stubborn", "probe() did not return within 1 s"),
    ],
)
def test_a_probe_that_fails(
    program: Callable[..., RunningProgram], agent: NodeAgent, how: str, said: str
) -> None:
    """The error names plugin and reason; the agent is well, and its next probe, too."""
    with pytest.raises(PluginError) as caught:
        program(probe=how).probe()
    assert caught.value.message == f"hardware 'acme' (acme-chips 1.0): {said}"
    assert len(program().probe().devices) == 1
    assert agent.ask("clock")


def test_what_a_probe_prints_goes_to_the_log(
    program: Callable[..., RunningProgram], tmp_path: Path
) -> None:
    """Not between the agent's lines, however it is printed."""
    assert len(program(probe="print").probe().devices) == 1
    log = (tmp_path / "log").read_text()
    for text in ("noise of the plugin", "more noise", "noise past Python"):
        assert text in log


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        ("None", "probe() returned an invalid value: Expected `object`, got `null`"),
        ("'text'", "probe() returned an invalid value: Expected `object`, got `str`"),
        ("[1]", "probe() returned an invalid value: Expected `object`, got `array`"),
        ("{'divices': []}", "probe() returned the unknown key 'divices'"),
        (
            "{'devices': [{'index': 0, 'name': 'a'}, {'index': 1, 'name': 'b', 'nmae': 'b'}]}",
            "probe() returned the unknown key 'devices[1].nmae'",
        ),
        (
            "{'devices': [{'index': 0, 'name': 'a', 'pcie': {'gen': 5}}]}",
            "probe() returned the unknown key 'devices[0].pcie.gen'",
        ),
        ("{'devices': [{'name': 'a'}]}", "probe() returned an invalid value: Object missing"),
        ("{'devices': 7}", "probe() returned an invalid value: Expected `array`"),
        ("{'devices': [7]}", "probe() returned an invalid value: Expected `object`, got `int`"),
        (
            "{'devices': [{'index': '0', 'name': 'a'}]}",
            "returned an invalid value: Expected `int`, got `str` - at `$.devices[0].index`",
        ),
        ("{'notes': {'power_w': None}}", "probe() returned an invalid value"),
        ("{'facts': [1]}", "probe() returned an invalid value"),
        ("{'reason': {1, 2}}", "probe() failed: TypeError: Object of type set is not JSON"),
        ("{'reason': b'x'}", "probe() failed: TypeError: Object of type bytes is not JSON"),
        (
            "{'devices': [{'index': 0, 'name': 'a', 'power_limit_w': float('nan')}]}",
            "probe() failed: ValueError: Out of range float values are not JSON compliant",
        ),
        ("{'reason': 'x' * (3 << 20)}", "probe() failed: a result of more than 1 MiB"),
    ],
)
def test_a_probe_that_returns_garbage(
    program: Callable[..., RunningProgram], returned: str, said: str
) -> None:
    """The error says what and where."""
    with pytest.raises(PluginError) as caught:
        program(returns=returned).probe()
    assert said in caught.value.message


def test_a_program_that_cannot_be_loaded(
    agent: NodeAgent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No such module here; what it imports is missing there; a syntax error."""
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("no_such_module", "math", "no.such.module"):
        with pytest.raises(PluginError, match=r"names the module .*, which is not a Python file"):
            RunningProgram(agent, OWNER, NodeProgram(module=name))
    (tmp_path / "needs_more.py").write_text("import no_such_binding\n")
    with pytest.raises(PluginError, match=r"failed: ModuleNotFoundError: .*no_such_binding"):
        RunningProgram(agent, OWNER, NodeProgram(module="needs_more")).probe()
    (tmp_path / "broken_node.py").write_text("def probe(:\n")
    with pytest.raises(PluginError, match="failed: SyntaxError"):
        RunningProgram(agent, OWNER, NodeProgram(module="broken_node")).probe()
    (tmp_path / "empty_node.py").write_text("")
    with pytest.raises(PluginError, match="has no attribute 'probe'"):
        RunningProgram(agent, OWNER, NodeProgram(module="empty_node")).probe()


def test_a_file_outside_of_the_program_s_folder_is_refused(agent: NodeAgent) -> None:
    """Whatever the plugin is called."""
    for path in ("../x.py", "/tmp/x.py", "a/../../x.py"):
        with pytest.raises(AgentError, match="a path outside of the program's folder"):
            agent.ask("program", name="acme", files={path: ""})


def test_a_program_that_is_a_package_with_a_binding(
    agent: NodeAgent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own files relatively; the binding as a host gets it that has nothing."""
    site = tmp_path / "site"
    files = {
        "vendor/__init__.py": "raise ImportError('a host has no vendor package')",
        "vendor/node/__init__.py": "from .inner.deep import probe, sampler",
        "vendor/node/inner/__init__.py": "",
        "vendor/node/inner/deep.py": (
            "import driverlib.calls\n"
            "def probe(options): return {'reason': driverlib.calls.NAME + driverlib.__file__}\n"
            "def sampler(options, devices): return None\n"
        ),
        "driverlib/__init__.py": "",
        "driverlib/calls.py": "NAME = 'acme '",
    }
    for name, text in files.items():
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text(text)
    (site / "vendor/__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setattr(NodeAgent, "is_here", False)
    asked = NodeProgram(module="vendor.node", bindings=("driverlib", "not_installed_here"))
    reason = RunningProgram(agent, OWNER, asked).probe().reason or ""
    assert reason.startswith("acme ")
    assert "bench-node-" in reason


# -- Pythons ---------------------------------------------------------------------------------------


def test_the_agent_is_written_for_python_3_8() -> None:
    """Its syntax, and nothing from outside the standard library."""
    tree = ast.parse(AGENT.read_text(), feature_version=OLDEST)
    imported = {
        alias.name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    } | {
        (node.module or "").partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
    }
    assert imported <= set(sys.stdlib_module_names)


@pytest.mark.parametrize("python", BARE)
def test_the_agent_runs_with(alone: Callable[..., Alone], python: str, started: Any) -> None:
    """The Pythons that hosts have: a process, a probe, a sampler and its end."""
    one = alone(python)
    hello = one.ask("hello")["result"]
    version = subprocess.run([python, "-V"], capture_output=True, text=True, check=True).stdout
    assert f"Python {hello['python']}\n" == version
    one.ask("folders", names=["w-0"], supervisor=SUPERVISOR.read_text())
    more = {"environment": {}, "files": {"f": "x\n"}, "cpus": [], "grace_s": 1, "log": None}
    said = one.ask(
        "start", name="w-0", argv=["sh", "-c", "cat $0; exit 3", f"{hello['folder']}/w-0/f"], **more
    )
    assert said["result"]["status"].startswith("started ")
    assert one.until(lambda line: "exited" in line) == {"exited": "w-0", "code": 3}
    pid = one.sample()
    call = {"name": "acme", "module": "acme_node", "options": {}, "timeout_s": 5}
    (device,) = one.ask("probe", **call)["result"]["devices"]
    assert device["handle"] == hello["python"]
    failed = one.ask("probe", **{**call, "options": {"probe": "raise"}})
    assert failed["error"] == "OSError: libacme.so: cannot open shared object file"
    late = one.ask("probe", **{**call, "options": {"probe": "hang"}, "timeout_s": 0.2})
    assert late["late"]
    one.ask("stop", name="acme")
    ended = one.until(lambda line: "ended" in line)
    assert (ended["code"], ended["error"]) == (0, None)
    assert not runs(pid)
    one.close_input()
    assert one.process.wait(4) == 0
    assert one.process.stderr is not None
    said = one.process.stderr.read().decode()
    assert "Warning" not in said
    assert (one.folders, started()) == ([], [])


def test_a_host_without_dev_fd(alone: Callable[..., Alone], tmp_path: Path) -> None:
    """A small container may have no /dev/fd: its samplers get no descriptors of others all the
    same.
    """
    unshare = shutil.which("unshare")
    works = (
        unshare
        and not subprocess.run(
            [unshare, "-m", "mount", "-t", "tmpfs", "none", "/dev/shm"],
            capture_output=True,
            check=False,
        ).returncode
    )
    if not works:
        pytest.skip("no mount namespaces here")
    script = tmp_path / "python"
    script.write_text(
        textwrap.dedent(f"""\
            #!/bin/sh
            exec unshare -m sh -c 'cp -a /dev/null /tmp-null 2>/dev/null
            mount -t tmpfs none /dev && mknod /dev/null c 1 3 && exec "$@"' sh {sys.executable} "$@"
        """)
    )
    script.chmod(0o755)
    one = alone(str(script))
    one.ask("folders", names=["w-0"], supervisor=SUPERVISOR.read_text())
    more = {"environment": {}, "files": {}, "cpus": [], "grace_s": 1, "log": None}
    one.ask("start", name="w-0", argv=["ls", "/proc/self/fd"], **more)
    assert one.until(lambda line: "log" in line)["text"].split() == ["0", "1", "2", "3"]
