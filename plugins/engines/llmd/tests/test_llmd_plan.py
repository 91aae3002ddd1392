"""What the plan of the engine `llmd` says."""

from __future__ import annotations

from typing import Any

import pytest
from llmd_cases import REUSE, content, engine, processes, request, xpyd
from tokenbench_engine_llmd.plugin import LlmdOptions, bench_register_engines

from tokenbench.api import (
    Endpoint,
    FrozenMap,
    LogMessages,
    MetricsPage,
    Pool,
    Reply,
    UsageError,
)

_MESSAGES = LogMessages("tokenbench_engine_llmd")


def test_prefill_and_decode_apart() -> None:
    """The picker knows prefill servers by their own address, decode servers by their sidecar's."""
    plan = processes(request(*xpyd(2, 2)))
    assert list(plan) == ["prefill", "decode", "decode-sidecar", "epp", "gateway"]
    assert (plan["prefill"].replicas, plan["decode"].replicas) == (2, 2)
    side = plan["decode-sidecar"]
    assert (side.beside, side.replicas, side.after) == ("decode", 2, ())
    assert side.flags["--model-server-port"] == "{beside.port:http}"
    workers = content(plan["epp"], "endpoints.yaml")["endpoints"]
    assert [(one["name"], one["port"], one["labels"]) for one in workers] == [
        ("prefill-0", "{prefill.0.port:http}", {"llm-d.ai/role": "prefill"}),
        ("prefill-1", "{prefill.1.port:http}", {"llm-d.ai/role": "prefill"}),
        ("decode-0", "{decode-sidecar.0.port:http}", {"llm-d.ai/role": "decode"}),
        ("decode-1", "{decode-sidecar.1.port:http}", {"llm-d.ai/role": "decode"}),
    ]
    assert plan["epp"].after == ("prefill", "decode-sidecar")
    assert plan["gateway"].after == ("epp",)
    # The sidecar reaches its server as localhost, and is ready when that is.
    assert plan["decode"].flags["--host"] == "127.0.0.1" and plan["decode"].ready is None
    assert str(side.ready).endswith("/v1/models")
    assert plan["prefill"].flags["--host"] == "{host}"
    # What a decode server reports as cached came from prefill.
    for role in ("prefill", "decode"):
        assert "--enable-prompt-tokens-details" not in plan[role].flags


def test_servers_alone() -> None:
    """Without prefill and decode there are no sidecars and no labels."""
    plan = processes(request())
    assert list(plan) == ["server", "epp", "gateway"]
    assert plan["server"].replicas == 2 and plan["server"].flags["--host"] == "{host}"
    config = content(plan["epp"], "epp.yaml")
    assert [profile["name"] for profile in config["schedulingProfiles"]] == ["default"]
    assert {"type": "single-profile-handler"} in config["plugins"]
    assert all("labels" not in w for w in content(plan["epp"], "endpoints.yaml")["endpoints"])


def _profiles(**more: Any) -> dict[str, dict[str, float | None]]:
    options = {key: value for key, value in more.items() if key != "needs"}
    plan = processes(request(*xpyd(1, 1), needs=more.get("needs")), **options)
    found = content(plan["epp"], "epp.yaml")["schedulingProfiles"]
    return {
        one["name"]: {ref["pluginRef"]: ref.get("weight") for ref in one["plugins"]}
        for one in found
    }


def test_who_chooses() -> None:
    """Prefix caches count where they are on."""
    assert _profiles() == {
        "prefill": {"prefill-filter": None, "max-score-picker": None, "queue-scorer": 1.0},
        "decode": {"decode-filter": None, "max-score-picker": None, "queue-scorer": 1.0},
    }
    found = _profiles(needs=REUSE, scorers=("load-aware-scorer",), picker="random-picker")
    assert found["prefill"] == {
        "prefill-filter": None,
        "random-picker": None,
        "load-aware-scorer": 1.0,
        "prefix-cache-scorer": 2.0,
    }


def _decider(**options: Any) -> dict[str, Any]:
    plan = processes(request(*xpyd(1, 1)), **options)
    plugins = content(plan["epp"], "epp.yaml")["plugins"]
    (handler,) = (one for one in plugins if one["type"] == "disagg-profile-handler")
    named = handler["parameters"]["deciders"]["prefill"]
    return dict(next(one for one in plugins if one["type"] == named))


def test_which_prompts_go_to_prefill() -> None:
    """All of them, unless the option says otherwise."""
    assert _decider() == {"type": "always-disagg-pd-decider"}
    assert _decider(decider="prefix") == {
        "type": "prefix-based-pd-decider",
        "parameters": {"nonCachedTokens": 16},
    }
    assert _decider(decider="prefix", non_cached_tokens=64)["parameters"] == {"nonCachedTokens": 64}


def test_endpoints_and_what_recipes_reach() -> None:
    """Envoy gets the load; the servers are asked for their counters; recipes of vllm reach them."""
    plan = engine().plan(request(*xpyd(2, 2)))
    assert [(one.role, one.url, one.metrics_path) for one in plan.endpoints[1:]] == [
        ("prefill", "http://{host}:{port:http}", "/metrics"),
        *(
            ("decode", f"http://{{{side}.host}}:{{{side}.port:http}}", "/metrics")
            for side in ("decode-sidecar.0", "decode-sidecar.1")
        ),
    ]
    assert (plan.endpoints[0].role, plan.endpoints[0].metrics_path) == ("gateway", None)
    assert dict(plan.wraps) == {"prefill": "vllm", "decode": "vllm"}
    assert plan.first_prompt_tokens == 257 and plan.speculation == "mtp"
    assert engine().plan(request()).first_prompt_tokens == 1


def test_options_of_the_servers() -> None:
    """Those of a pool replace those of the engine."""
    plan = processes(request(), python="/opt/vllm/bin/python")
    assert plan["server"].argv[0] == "/opt/vllm/bin/python"
    own = Pool(engine="vllm", engine_options=FrozenMap({"python": "/other/python"}))
    assert processes(request(own), python="/x")["server"].argv[0] == "/other/python"


@pytest.mark.parametrize(
    ("pools", "options", "says"),
    [
        ((Pool(engine="sglang"),), {}, "only with vLLM"),
        (xpyd(1, 1), {"worker_options": "kv_connector=mooncake"}, "supports only NIXL"),
        ((Pool(engine="vllm"),), {"worker_options": "a=1"}, "every pool names its engine"),
    ],
)
def test_refused(pools: tuple[Pool, ...], options: dict[str, Any], says: str) -> None:
    """What is not planned, with a hint."""
    with pytest.raises(UsageError, match=says) as caught:
        engine(**options).plan(request(*pools))
    assert caught.value.hint


def test_without_vllm() -> None:
    """Core says what is installed."""
    with pytest.raises(UsageError, match="no engine 'vllm' is installed"):
        engine("sglang").plan(request())


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"non_cached_tokens": 8}, "needs decider=prefix"),
        ({"worker_options": "x"}, "expected KEY=VALUE"),
        ({"worker_options": "x=1, x=2"}, "x is given twice"),
    ],
)
def test_options_that_contradict(options: dict[str, Any], says: str) -> None:
    """They are refused where they are given."""
    with pytest.raises(ValueError, match=says):
        LlmdOptions(**options)


class _Servers:
    """Envoy, which answers nothing, and two servers."""

    endpoints = tuple(
        Endpoint(role=role, index=0, url="http://127.0.0.1:1")
        for role in ("gateway", "prefill", "decode")
    )

    def __init__(self, **pages: str) -> None:
        self._pages = pages

    def get(self, path: str, *, endpoint: int = 0) -> Reply:
        """A page, by the number of the server."""
        assert endpoint > 0
        text = self._pages.get(f"{path[1:]}{endpoint}") or self._pages.get(path[1:])
        return Reply(status=404 if text is None else 200, text=text or "")

    def post(self, path: str, json: object = None, *, endpoint: int = 0) -> Reply:
        """The same."""
        return self.get(path, endpoint=endpoint)


def test_the_servers_are_asked_not_envoy() -> None:
    """vLLM's pages are on its servers."""
    llmd = engine()
    assert llmd.ready(_Servers(**{"v1/models": "{}"}))
    assert not llmd.ready(_Servers(**{"v1/models1": "{}"}))
    assert llmd.version(_Servers(version1="vllm 0.32.0")) == "llm-d (vllm 0.32.0)"
    assert llmd.planned_version() == "llm-d (vllm 0.32.0)"
    assert llmd.quiescent(_Servers(idle="yes")) is True
    assert llmd.quiescent(_Servers(idle="yes", idle2="no")) is False
    assert llmd.reset_cache(_Servers(reset="yes")) is True
    assert llmd.counters([MetricsPage()]).requests == 1.0


@pytest.mark.parametrize(
    ("log", "cause"),
    [
        (
            "unknown flag: --nonsense\n",
            "this version of llm-d's program does not know",
        ),
        (
            'file-discovery: initial load failed: endpoint "a": invalid IPv4 address "host"',
            'the endpoint picker cannot use the list of workers: endpoint "a": invalid IPv4',
        ),
        ("listen tcp :9002: bind: address already in use", "port 9002 is in use"),
        ("PARSE ERROR: Argument: --nonsense\n", "Envoy does not know the argument --nonsense"),
        ("cannot bind '127.0.0.1:80': Address already in use", "127.0.0.1:80 is in use"),
    ],
)
def test_causes(log: str, cause: str) -> None:
    """As the sources of the programs have the messages."""
    found = _MESSAGES.diagnose(log)
    assert found is not None and found.cause.startswith(cause) and found.hint
    assert engine().diagnose(log) == found


def test_causes_of_servers() -> None:
    """What llm-d's programs do not say, vLLM may."""
    found = engine().diagnose("vllm failed")
    assert found is not None and found.cause == "of vLLM"
    assert _MESSAGES.diagnose("all is well") is None


def test_what_it_lacks_has_a_version_and_a_date() -> None:
    """Core shows the reasons where it refuses something."""
    (spec,) = bench_register_engines()
    for reason in spec.capabilities.lacks.values():
        assert "v0.10.0" in reason and "2026-12-01" in reason
