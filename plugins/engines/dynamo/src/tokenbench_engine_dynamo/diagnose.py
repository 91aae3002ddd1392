"""What Dynamo's logs say: why a process failed, and what one that starts waits for.

The messages are those of Dynamo 1.6.1, from real failures (tests/captured).
"""

from __future__ import annotations

import re

import attrs

from tokenbench.api import Diagnosis


@attrs.frozen
class _Rule:
    """A message, and what it means. `cause` and `hint` are formatted with its groups by number."""

    pattern: re.Pattern[str]
    cause: str
    hint: str


def _rule(pattern: str, cause: str, hint: str) -> _Rule:
    return _Rule(re.compile(pattern, re.MULTILINE), cause, hint)


# The first one that matches is the cause.
_RULES = (
    _rule(
        r"^(\S+?): .*No module named '?dynamo\b",
        "Dynamo is not installed for the interpreter {0}",
        "name that of Dynamo's environment: dynamo:python=PATH",
    ),
    _rule(
        r"ModuleNotFoundError: No module named '(vllm|sglang|tensorrt_llm)'",
        "{0} is not installed in Dynamo's environment",
        "install it there: its version must be one that this Dynamo supports",
    ),
    _rule(
        r"ImportError: .*from '?(vllm|sglang|tensorrt_llm)",
        "this version of {0} does not fit this Dynamo",
        "the extras of ai-dynamo name the version that it supports",
    ),
    _rule(
        r"Unknown arguments specified: \[(.+)\]",
        "this version of Dynamo's frontend does not know the arguments {0}",
        "leave them out; `python -m dynamo.frontend --help` lists what it knows",
    ),
    _rule(
        r"error: unrecognized arguments: (.+)",
        "this version of Dynamo's workers does not know the arguments {0}",
        "leave them out; `python -m dynamo.vllm --help` lists what it knows",
    ),
    _rule(
        r"error: argument (--\S+): (.+)",
        "Dynamo refuses the value of {0}: {1}",
        "change it in the suite or in the engine's options",
    ),
    _rule(
        r"Failed to start HTTP server: port (\d+) already in use",
        "port {0} is in use by another program",
        "stop it, or leave the port to bench",
    ),
    _rule(
        r"Failed to bind to address (\S+): .*Address already in use",
        "{0} is in use by another program; the worker runs on without its page of metrics",
        "stop it, or leave the port to bench",
    ),
    _rule(
        r"invalid value unsigned int `(\d+)`, expected i16 for key \"SYSTEM_PORT\"",
        "the system port {0} is too high: Dynamo takes ports up to 32,767",
        "leave DYN_SYSTEM_PORT to bench",
    ),
    _rule(
        r"Exception: Model snapshots for '([^']+)' not found in cache",
        "there is no folder {0}, and the model hub's cache does not have it",
        "check the path of the model",
    ),
    _rule(
        r"Exception: unable to extract (\S+) from directory (\S+)",
        "the folder {1} has no {0}",
        "is the download complete?",
    ),
    _rule(
        r"you must explicitly provide --kv-transfer-config",
        "a worker for prefill needs a connector for its KV cache",
        "do not remove the flag --kv-transfer-config",
    ),
    _rule(
        r"RuntimeError: Unable to determine a routable host IP for NIXL",
        "NIXL found no address that other hosts can reach",
        "set VLLM_NIXL_SIDE_CHANNEL_HOST",
    ),
    _rule(
        r"Internal filesystem error: (.+)",
        "a worker cannot write to the folder where processes find each other: {0}",
        "check the variable DYN_FILE_KV; all hosts must be able to write there",
    ),
    _rule(
        r"FileStore::keep_alive failed opening owned file",
        "a process was too slow or halted, so that others removed its registration; nobody finds "
        "it any more",
        "give the machine more CPU cores, or use discovery=etcd",
    ),
    _rule(
        r"etcd not reachable yet; .*Check etcd server status at (\S+)",
        "etcd does not answer at {0}",
        "check its log, and the variable ETCD_ENDPOINTS",
    ),
    _rule(
        r"NATS not reachable yet",
        "the NATS server does not answer",
        "start it, and check nats_url",
    ),
)

_PHASES = (
    (re.compile(r"etcd not reachable yet"), "waiting for etcd"),
    (re.compile(r"NATS not reachable yet"), "waiting for NATS"),
    (re.compile(r"Registered endpoint '\S*generate'"), "registered, waiting for the frontend"),
    (re.compile(r"Model discovery|Initializing KV store discovery"), "waiting for workers"),
)


def diagnose(log: str) -> Diagnosis | None:
    """The cause of a failure; None if Dynamo's messages do not tell it."""
    for rule in _RULES:
        found = rule.pattern.search(log)
        if found is not None:
            groups = found.groups()
            return Diagnosis(cause=rule.cause.format(*groups), hint=rule.hint.format(*groups))
    return None


def phase(log: str) -> str | None:
    """What the last message that tells something says; None if it is another engine's."""
    latest = [(match.end(), words) for at, words in _PHASES for match in at.finditer(log)]
    return max(latest)[1] if latest else None
