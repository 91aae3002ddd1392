"""The load job: everything a load worker needs, as data that can be sent to another host. Also the
errors of worker processes as data.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import attrs
import msgspec

from tokenbench.api import Access, BenchError, Dialect, FrozenMap, Stop, errors

T = TypeVar("T")


@attrs.frozen(kw_only=True)
class LoadJob:
    """One phase (a warm-up or one repeat) for one worker, number `worker` of `workers`.

    Attributes:
        codec_module: the module that registers `codec`; None for a built-in codec.
        sessions: path of the file written by :func:`.session_file.write_sessions`.
        output: the folder for the records.
        concurrency: closed loop: this worker's share.
        arrivals: open loop: path of this worker's share of the schedule, 64-bit integers,
            nanoseconds from the start.
        rate_per_s: open loop: the rate of all workers, for the records.
        workload_owner: the plugin whose sessions are sent, as errors name it.
        codec_owner: the plugin of the codec, as errors name it.
        api_key_env: the environment variable with the API key; the job never contains the key.
        access: how requests reach the server.
    """

    url: str
    codec: str
    codec_module: str | None = None
    model: str
    dialect: Dialect
    sessions: str
    output: str
    stop: Stop
    concurrency: int | None = None
    arrivals: str | None = None
    rate_per_s: float | None = None
    worker: int = 0
    workers: int = 1
    connect_timeout_s: float = 10.0
    request_timeout_s: float = 600.0
    stall_timeout_s: float = 120.0
    drain_timeout_s: float = 600.0
    api_key_env: str | None = None
    workload_owner: str | None = None
    codec_owner: str | None = None
    access: Access = Access()


def encode(value: Any) -> bytes:
    """A job, a summary or a message as JSON."""
    return msgspec.json.encode(value, enc_hook=_to_json)


def decode(data: bytes, kind: type[T]) -> T:
    """Decode a job of a worker from JSON.

    Raises:
        msgspec.MsgspecError: the data is not of this kind.
    """
    return msgspec.json.decode(data, type=kind, dec_hook=_from_json)


def error_message(error: BenchError) -> dict[str, Any]:
    """An error as a message of a worker process. Its kind is a class of `tokenbench.api`."""
    classes = (one for one in type(error).__mro__ if one.__module__ == errors.__name__)
    return {"error": error.message, "hint": error.hint, "kind": next(classes).__name__}


def error_of(message: Mapping[str, Any], log: Path) -> BenchError:
    """The error of such a message."""
    kind: type[BenchError] = getattr(errors, message["kind"])
    return kind(message["error"], hint=message["hint"], log=log)


def _to_json(value: Any) -> Any:
    if isinstance(value, FrozenMap):
        return dict(value)
    raise TypeError(f"cannot write a {type(value).__name__} as JSON")


def _from_json(kind: Any, value: Any) -> Any:
    if kind is FrozenMap or getattr(kind, "__origin__", None) is FrozenMap:
        return FrozenMap(value)
    raise TypeError(f"cannot read a {kind!r} from JSON")
