"""An example of every key of a suite, for hints. A test reads each one."""

from __future__ import annotations

import re

_PLUGIN = "{random: {input_tokens: 64}}"

FORMS = {
    "version": "version: 1",
    "name": "name: nightly",
    "seed": "seed: 7",
    "requires": "requires: [tokenbench-engine-x>=0.1]",
    "use": "use: [{NAME: {key: value}}]",
    "deployments": "deployments: [{engine: NAME, model: NAME}]",
    "deployments.engine": "engine: {NAME: {key: value}}",
    "deployments.model": "model: {NAME: {key: value}}",
    "deployments.weights": "weights: fp8",
    "deployments.hardware": "hardware: cpu",
    "deployments.launcher": "launcher: local",
    "deployments.topology": "topology: {tp: 4}",
    "deployments.topology.tp": "tp: 4",
    "deployments.topology.pp": "pp: 2",
    "deployments.topology.ep": "ep: 8",
    "deployments.topology.dp": "dp: 2",
    "deployments.topology.attention_dp": "attention_dp: 8",
    "deployments.topology.dcp": "dcp: 2",
    "deployments.topology.pcp": "pcp: 2",
    "deployments.pools": "pools: [{role: prefill, topology: {tp: 4}}, {role: decode}]",
    "deployments.pools.role": "role: prefill",
    "deployments.pools.replicas": "replicas: 2",
    "deployments.pools.topology": "topology: {tp: 4}",
    "deployments.pools.name": "name: prefill-h100",
    "deployments.pools.engine": "engine: {NAME: {key: value}}",
    "deployments.pools.hardware": "hardware: h200:8",
    "deployments.pools.flags": "flags: {--max-num-seqs: 4}",
    "deployments.pools.environment": 'environment: {NAME: "value"}',
    "deployments.pools.image": "image: NAME:TAG",
    "deployments.pools.files": "files: {config.yaml: {key: value}}",
    "deployments.flags": "flags: {--max-num-seqs: 4}",
    "deployments.environment": 'environment: {NAME: "value"}',
    "deployments.roles": "roles: {prefill: {flags: {--max-num-seqs: 4}}}",
    "deployments.devices": "devices: [2, 3]",
    "deployments.port": "port: 8000",
    "workloads": f"workloads: [{_PLUGIN}]",
    "load": "load: {concurrency: [1, 4, 16]}",
    "load.concurrency": "concurrency: [1, 4, 16]",
    "load.rate": "rate: [0.5, 2]",
    "load.speed": "speed: [1, 10]",
    "load.arrival": "arrival: gamma",
    "load.burstiness": "burstiness: 0.5",
    "load.ramp_from": "ramp_from: 1",
    "load.trace": "trace: timestamps.txt",
    "load.server_concurrency": "server_concurrency: 16",
    "load.slo": "slo: ttft_p99<200ms,tpot_p99<30ms",
    "load.find": "find: {what: max-rate, lowest: 1}",
    "load.find.what": "what: max-rate",
    "load.find.lowest": "lowest: 1",
    "load.find.highest": "highest: 64",
    "load.find.tolerance": "tolerance: 0.05",
    "load.repeats": "repeats: 3",
    "load.repeats.at_least": "at_least: 3",
    "load.repeats.at_most": "at_most: 10",
    "load.repeats.precision": "precision: 5%",
    "load.duration_s": "duration_s: 30",
    "load.requests": "requests: 200",
    "load.sessions": "sessions: 50",
    "load.requests_per_concurrency": "requests_per_concurrency: 10",
    "load.workers": "workers: auto",
    "load.lengths": "lengths: exact",
    "load.prefix_caching": "prefix_caching: true",
    "load.prime_cache": "prime_cache: true",
    "load.begin_inside": "begin_inside: true",
    "load.min_requests_per_concurrency": "min_requests_per_concurrency: 4",
    "load.warmup_per_concurrency": "warmup_per_concurrency: 2",
    "load.stall_timeout_s": "stall_timeout_s: 120",
    "load.request_timeout_s": "request_timeout_s: 600",
    "telemetry": "telemetry: {interval_s: 0.25}",
    "telemetry.interval_s": "interval_s: 0.25",
    "telemetry.watch": "watch: [NAME]",
    "telemetry.idle_s": "idle_s: 3",
    "certification": "certification: {client_cpu_share: {flag: 0.9}}",
    "evals": "evals: [{NAME: {limit: 40}}]",
    "gates": "gates: [{NAME: {limit: 200}}]",
    "accuracy": "accuracy: {minimum: {NAME: 0.9}, confidence: 0.95}",
    "accuracy.minimum": "minimum: {NAME: 0.9}",
    "accuracy.confidence": "confidence: 0.99",
    "accuracy.canaries": "canaries: false",
    "reporters": "reporters: [console, files]",
}
"""By path without indices."""


def form_hint(path: str) -> str:
    """What to write at `path` (``deployments[0].flags.x``), or at the nearest key above it."""
    known = re.sub(r"\[\d+\]", "", path)
    if known.startswith("deployments.pools.topology."):
        known = known.replace(".pools", "", 1)
    while known and known not in FORMS:
        known = known.rpartition(".")[0]
    return f"for example: {FORMS[known]}" if known else "see the reference of suite files"
