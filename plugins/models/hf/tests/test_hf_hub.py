"""Hub ids: the local cache through the real huggingface_hub, and a hub on this machine."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tokenbench.api import OptionalFeatureMissing, UsageError

COMMIT = "0123456789abcdef0123456789abcdef01234567"
constants = pytest.importorskip("huggingface_hub.constants")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch) -> Path:
    """An empty cache; no network but for a hub that a test starts."""
    path = tmp_path / "hub"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return path


def _snapshot(cache: Path, folder: Path, name: str = "acme/tiny") -> Path:
    """The layout of the cache: a branch that names a commit, and the commit's files."""
    repository = cache / f"models--{name.replace('/', '--')}"
    snapshot = repository / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT, encoding="utf-8")
    for file in folder.iterdir():
        (snapshot / file.name).write_bytes(file.read_bytes())
    return snapshot


def test_an_id_is_read_from_the_cache(cache: Path, folder: Path, model) -> None:
    """Its commit is the revision; the engine is given the id. A path into the cache is the same
    model.
    """
    snapshot = _snapshot(cache, folder)
    spec = model(id="acme/tiny")
    (weights,) = spec.weights
    assert spec.name == "acme/tiny"
    assert (weights.source, weights.revision) == ("hub:acme/tiny", COMMIT)
    assert weights.size_bytes == (folder / "model.safetensors").stat().st_size
    assert spec.tokenizer("").encode("a")
    by_path = model(path=snapshot)
    assert (by_path.name, by_path.weights[0].revision) == ("acme/tiny", COMMIT)
    assert by_path.architecture == spec.architecture
    assert model(id="acme/tiny", revision=COMMIT).weights == spec.weights
    assert model(path=folder, draft="acme/tiny").extra_weights["draft"].revision == COMMIT


def test_offline_nothing_is_fetched(model) -> None:
    """The error names the repository and the variable."""
    with pytest.raises(UsageError, match=r"acme/other is not in the local cache .*HF_HUB_OFFLINE"):
        model(id="acme/other")
    with pytest.raises(UsageError, match="at revision v2 is not in"):
        model(id="acme/other", revision="v2")
    for name in ("other", "a/b/c", "https://example.com/a"):
        with pytest.raises(UsageError, match="is no repository on the hub"):
            model(id=name)


def test_without_the_library_the_extra_is_named(folder: Path, model, monkeypatch) -> None:
    """A folder needs no library."""
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(OptionalFeatureMissing) as caught:
        model(id="acme/tiny")
    assert "tokenbench-model-hf[hub]" in caught.value.hint
    assert model(path=folder).name == "tiny-qwen3"


def _hash(file: Path) -> str:
    return hashlib.sha1(file.read_bytes()).hexdigest()


class Hub(BaseHTTPRequestHandler):
    """The requests of a download: commit, list of files, each file. `folder`: what the one
    repository holds. Answers as the hub does (huggingface_hub 2.4.0 reads them).
    """

    folder: Path
    asked: list[str]

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        path = self.path.partition("?")[0]
        if path.startswith("/api/models/acme/tiny/"):
            files = sorted(self.folder.iterdir())
            data: object = [
                {"type": "file", "path": f.name, "size": f.stat().st_size, "oid": _hash(f)}
                for f in files
            ]
            if "/tree/" not in path:
                siblings = [{"rfilename": file.name} for file in files]
                data = {"id": "acme/tiny", "sha": COMMIT, "siblings": siblings, "tags": []}
            self._send(200, json.dumps(data).encode(), body=body)
        elif path.startswith(f"/acme/tiny/resolve/{COMMIT}/"):
            name = path.rpartition("/")[2]
            self.asked.append(name)
            self._send(200, (self.folder / name).read_bytes(), body=body)
        elif "/acme/gated" in path:
            self._send(403, b"{}", body=body, error="GatedRepo")
        else:
            self._send(404, b"{}", body=body, error="RepoNotFound")

    def _send(self, status: int, content: bytes, *, body: bool, error: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Content-Type", "application/json")
        self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        if error:
            self.send_header("X-Error-Code", error)
            self.send_header("X-Error-Message", f"{error} of acme")
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def hub(folder: Path, cache: Path) -> Iterator[Callable[[str], dict[str, Any]]]:
    """What `hf` makes of an id, in a process that knows a hub on this machine. It has one
    repository, acme/tiny.
    """
    asked: list[str] = []
    handler = type("OneHub", (Hub,), {"folder": folder, "asked": asked})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    env = {**os.environ, "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}"}
    env |= {"HF_HUB_CACHE": str(cache), "HF_HUB_OFFLINE": "0", "NO_PROXY": "127.0.0.1"}

    def make(name: str) -> dict[str, Any]:
        asked.clear()
        done = subprocess.run(
            [sys.executable, "-c", MAKE, name], env=env, capture_output=True, text=True, check=True
        )
        found: dict[str, Any] = json.loads(done.stdout)
        return {**found, "asked": tuple(asked)}

    yield make
    server.shutdown()
    thread.join()
    server.server_close()


MAKE = """
import json, sys
from tokenbench.api import PluginContext, UsageError
from tokenbench_model_hf.plugin import HfOptions, bench_register_models
(spec,) = bench_register_models()
try:
    model = spec.factory(HfOptions(id=sys.argv[1]), PluginContext())
    found = {"revision": model.weights[0].revision, "layers": model.architecture.layers,
             "template": model.chat_template}
except UsageError as error:
    found = {"error": error.message}
print(json.dumps(found))
"""


def test_online_the_small_files_are_fetched(hub) -> None:
    """Not the weights: the engine loads them. The second time nothing is asked."""
    found = hub("acme/tiny")
    assert found | {"asked": ()} == {
        "revision": COMMIT,
        "layers": 2,
        "template": "{{ messages }}",
        "asked": (),
    }
    assert "config.json" in found["asked"]
    assert "model.safetensors" not in found["asked"]
    again = hub("acme/tiny")
    assert again == found | {"asked": ()}


def test_what_the_hub_refuses_is_told(hub) -> None:
    """A repository that is not there, and one whose licence was not accepted."""
    assert "acme/none from the hub: there is no such repository" in hub("acme/none")["error"]
    assert "acme/gated from the hub: its licence must be" in hub("acme/gated")["error"]
