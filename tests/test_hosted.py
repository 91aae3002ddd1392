"""Options that real servers need, end to end: routes, fields, keys, limits, TLS, proxies."""

from __future__ import annotations

import json
import shutil
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hosted_server import KNOWN, ForwardProxy, Hosted
from tests_bench import SITE, measured

KEY = "sk-never-written-7431"
WORKLOAD = (
    "--workload",
    "random:input_tokens=16,output_tokens=4,format=text",
    "--concurrency",
    "2",
)
POINT = (*WORKLOAD, "--requests", "12", "--repeats", "1")
AZURE = """
version: 1
name: azure
deployments:
  - engine:
      openai:
        base_url: URL
        query: api-version=2024-10-21
        model: m
        api_root: /openai/deployments/d
        headers: {X-Team: "a,b"}
        headers_env: {api-key: MY_KEY}
        organization: org-1
        project: p-1
        extra_body: {user: me, metadata: {tags: [a, 1, null]}}
workloads:
  - random: {input_tokens: 16, output_tokens: 4, format: text}
load: {concurrency: [2], requests: 12, repeats: 1, lengths: approximate}
"""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate with its key, also for a name that does not exist."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl command")
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
        " -subj /CN=api.invalid -addext subjectAltName=IP:127.0.0.1,DNS:api.invalid"
        " -keyout key -out certificate && cat certificate key > both",
        shell=True,
        cwd=folder,
        check=True,
        capture_output=True,
    )
    return folder / "both"


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    """The TLS context of a server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def _engine(url: str, *options: str) -> tuple[str, str]:
    return "--engine", ",".join((f"openai:base_url={url},model=m", *options))


def _output_tokens(bench: Any) -> float:
    (result,) = measured(bench)
    found: float = result["metrics"]["output_tokens"]["mean"]
    return found


def _provenance(bench: Any) -> dict[str, str]:
    """The facts of the only deployment, without its id."""
    facts = json.loads((bench.run_directory / "provenance.json").read_text())
    return {k.split(".", 2)[2]: v for k, v in facts.items() if k.startswith("deployment.")}


def _notes(bench: Any) -> str:
    return "\n".join(json.loads((bench.run_directory / "run.json").read_text())["notes"])


def _everything(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())


def test_azure_like_server_and_no_secret_anywhere(bench) -> None:
    """Another root, a query, the key in a header of its own, max_completion_tokens, no
    stream_options. The server repeats the key in every error, and refuses the first requests.
    """
    takes = {*KNOWN, "max_completion_tokens", "user", "metadata"}
    with Hosted(
        root="/openai/deployments/d",
        query="api-version=2024-10-21",
        key=KEY,
        key_header="api-key",
        takes=takes - {"max_tokens", "stream_options"},
        limit=True,
    ) as server:
        (bench.folder / "azure.yaml").write_text(AZURE.replace("URL", server.url))
        done = bench("run", "azure.yaml", MY_KEY=KEY)
        (_, headers, body) = server.requests[-1]
    assert headers["X-Team"] == "a,b" and headers["OpenAI-Organization"] == "org-1"
    assert headers["OpenAI-Project"] == "p-1" and headers["api-key"] == KEY
    assert body["max_completion_tokens"] and body["user"] == "me"
    assert body["metadata"] == {"tags": ["a", 1, None]}
    assert "stream_options" not in body and "ignore_eos" not in body
    facts = _provenance(bench)
    assert facts["takes.max_tokens_field"] == "max_completion_tokens"
    assert facts["takes.usage"].startswith("no: HTTP 400")
    assert facts["takes.ignore_eos"].startswith("no: HTTP 400: ")
    assert (facts["page.v1.models"], facts["page.version"]) == ("200", "404")
    (result,) = measured(bench)
    (check,) = (check for check in result["checks"] if check["name"] == "failures")
    evidence = check["evidence"]
    assert "rate_limited" in evidence and "x-ratelimit-limit-requests: 60" in evidence
    assert "retry-after: 7" in evidence and "unrelated" not in evidence
    assert "your headers" in evidence, "nothing that could show the key"
    assert done.code == 6
    for written in (done.out.encode(), done.err.encode(), _everything(bench.folder)):
        assert KEY.encode() not in written


def test_wrong_key_is_never_shown(cli, tmp_path, monkeypatch) -> None:
    """Not even if the server repeats it before anything is measured."""
    monkeypatch.setenv("MY_KEY", KEY)
    with Hosted(key="another") as server:
        done = cli("run", *_engine(server.url, "api_key_env=MY_KEY"), *POINT)
    assert done.code == 5 and "HTTP 401" in done.err and "***" in done.err
    assert len(server.requests) == 1
    for written in (done.out.encode(), done.err.encode(), _everything(tmp_path)):
        assert KEY.encode() not in written


RING = """
from keyring.backend import KeyringBackend

class Ring(KeyringBackend):
    priority = 1

    def get_password(self, service, user):
        return KEY if (service, user) == ("llm", "me") else None

    def set_password(self, service, user, password):
        raise NotImplementedError
"""


def test_a_key_of_the_keyring_is_sent_and_not_written(bench, tmp_path_factory) -> None:
    """By every process, with the real library and a backend of its own."""
    pytest.importorskip("keyring")
    folder = tmp_path_factory.mktemp("ring")
    (folder / "ring.py").write_text(RING.replace("KEY", repr(KEY)))
    variables = {"PYTHONPATH": f"{folder}:{SITE}", "PYTHON_KEYRING_BACKEND": "ring.Ring"}
    with Hosted(key=KEY) as server:
        done = bench("run", *_engine(server.url, "keyring=llm/me"), *POINT, **variables)
    assert done.code in (0, 6), done.err
    assert _output_tokens(bench) == 48, done.err
    for written in (done.out.encode(), done.err.encode(), _everything(bench.folder)):
        assert KEY.encode() not in written


def test_an_unset_variable_is_told(cli) -> None:
    """By its name, before any request."""
    with Hosted(key=KEY) as server:
        for option in ("api_key_env=NOT_SET_1", 'headers_env={"X-Key": "NOT_SET_1"}'):
            done = cli("run", *_engine(server.url, option), *POINT)
            assert done.code == 2 and "NOT_SET_1" in done.err, done.err
        assert not server.requests and not server.pages


def test_what_the_user_asks_for_is_sent_or_an_error(bench, cli) -> None:
    """The error names the field; an option that says no is not probed."""
    with Hosted() as server:
        for option, name in (
            ("ignore_eos=true", "ignore_eos"),
            ("max_tokens_field=max_completion_tokens", "max_tokens_field"),
            (
                'extra_body={"chat_template_kwargs": {"enable_thinking": false}}',
                "chat_template_kwargs",
            ),
            ("token_ids=true", "token_id_prompts"),
        ):
            done = cli("run", *_engine(server.url, option), *POINT)
            assert done.code == 5, done.err
            assert f"refuses {name}, which the engine's options ask for: HTTP 4" in done.err
    with Hosted(takes={*KNOWN, "ignore_eos", "min_tokens", "chat_template_kwargs"}) as server:
        body = '{"chat_template_kwargs": {"enable_thinking": false, "n": [1, 2]}}'
        done = bench("run", *_engine(server.url, "min_tokens=false", f"extra_body={body}"), *POINT)
        assert {json.dumps(b["chat_template_kwargs"]) for b in server.bodies} == {
            '{"enable_thinking": false, "n": [1, 2]}'
        }
        assert not any("min_tokens" in body for body in server.bodies)
        assert server.bodies[-1]["ignore_eos"] is True


def test_the_probe_is_cheap_and_can_be_switched_off(bench) -> None:
    """At most three one-token requests to a server that takes everything; none with probe=false."""
    everything = {*KNOWN, "ignore_eos", "min_tokens", "seed", "token ids"}
    with Hosted(takes=everything) as server:
        bench("run", *_engine(server.url), *POINT)
        probes = [b for b in server.bodies if b["max_tokens"] == 1]
        probes = [b for b in probes if "one word" in str(b) or isinstance(b.get("prompt"), list)]
        assert len(probes) == 3
    facts = _provenance(bench)
    assert facts["probe.requests"] == "3"
    names = ("usage", "ignore_eos", "min_tokens", "seed", "token_id_prompts")
    assert {facts[f"takes.{name}"] for name in names} == {"yes"}
    shutil.rmtree(bench.folder / "runs")
    with Hosted(takes=everything) as server:
        bench("run", *_engine(server.url, "probe=false"), *POINT)
        assert not any("ignore_eos" in body for body in server.bodies)
        assert "/version" not in server.pages and "/metrics" not in server.pages
    assert not any(name.startswith(("takes.", "probe.")) for name in _provenance(bench))


def test_certificates(bench, cli, tls, certificate) -> None:
    """Not trusted: an error. With the CA file: measured. Unverified: measured, and told loudly."""
    with Hosted(tls=tls) as server:
        done = cli("run", *_engine(server.url, "start_timeout_s=1"), *POINT)
        assert done.code == 5 and not server.requests
        shutil.rmtree(bench.folder / "runs")
        bench("run", *_engine(server.url, f"ca_file={certificate}"), *POINT)
        assert _output_tokens(bench) == 48 and "verify" not in _notes(bench)
        shutil.rmtree(bench.folder / "runs")
        done = bench("run", *_engine(server.url, "verify=false"), *POINT)
        assert "certificate is not verified" in done.err and "not verified" in _notes(bench)
        assert _output_tokens(bench) == 48


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_every_request_goes_through_the_proxy(bench, tls, certificate, scheme: str) -> None:
    """The name of the server does not exist, so nothing can bypass the proxy. Its password is
    nowhere.
    """
    secure = scheme == "https"
    with Hosted(tls=tls if secure else None) as server, ForwardProxy(server.port) as proxy:
        url = proxy.url.replace("http://", "http://user:hush-8812@")
        variables = {f"{scheme.upper()}_PROXY": url, "NO_PROXY": "other.invalid"}
        options = (f"ca_file={certificate}",) if secure else ()
        done = bench("run", *_engine(f"{scheme}://api.invalid", *options), *POINT, **variables)
        methods = {"CONNECT"} if secure else {"GET", "POST"}
        assert {line.split()[0] for line, _ in proxy.seen} <= methods
        assert {key for _, key in proxy.seen} == {"Basic dXNlcjpodXNoLTg4MTI="}
        assert all("api.invalid" in line for line, _ in proxy.seen)
    assert _output_tokens(bench) == 48, done.err
    assert f"through the proxy {proxy.url}" in done.err and proxy.url in _notes(bench)
    for secret in (b"hush-8812", b"dXNlcjpodXNoLTg4MTI="):
        assert secret not in _everything(bench.folder) + (done.out + done.err).encode()


def test_proxies_that_cannot_be_used(cli, monkeypatch) -> None:
    """A kind that is not supported is refused, without its password; with NO_PROXY or proxy=false
    nothing reaches the proxy.
    """
    monkeypatch.setenv("HTTP_PROXY", "socks5://u:hush-8812@127.0.0.1:9")
    done = cli("run", *_engine("http://api.invalid", "start_timeout_s=1"), *POINT)
    assert done.code == 2 and "'socks5'" in done.err and "hush" not in done.err
    with Hosted() as server, ForwardProxy(server.port) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        for option, excluded in (("proxy=false", ""), ("proxy=true", "other.invalid,.invalid")):
            monkeypatch.setenv("NO_PROXY", excluded)
            args = _engine("http://api.invalid", "start_timeout_s=1", option)
            assert cli("run", *args, *POINT).code == 5
        assert not proxy.seen


@pytest.mark.parametrize("kind", ["trtllm", "transformers"])
def test_a_server_without_the_end_mark(bench, kind: str) -> None:
    """Known kinds send [DONE]; if this one does not, that is told, and it is measured."""
    takes = {*KNOWN, "ignore_eos", "min_tokens", "seed", "token ids", "cache_prompt"}
    with Hosted(takes=takes, done=False) as server:
        bench(
            "run",
            *_engine(server.url, f"server={kind}"),
            *WORKLOAD,
            "--requests",
            "12",
            "--repeats",
            "1",
        )
    told = "do not end with [DONE]" in _notes(bench)
    assert told is (kind == "trtllm")
    assert _output_tokens(bench) == 48
