"""Canaries: each wreckage of a server is named within 10 s, and a sound server is not accused."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from answering_server import WRECKS, AnsweringServer

from tokenbench.api import CHAT, Access, Dialect, Endpoint, Target
from tokenbench.launch.control import ControlClient
from tokenbench.load.codecs import find_codec
from tokenbench.run.canaries import CanaryReport, send_canaries
from tokenbench.run.canary_rules import logprobs_fault, repeats, wrong_model

NAMES = {
    "empty": "empty text: 6 of 6 answers have none",
    "repeated": "repeated text: 6 of 6 answers repeat one piece, such as",
    "truncated": "truncated text: answers were cut after 16 tokens, 48 were allowed",
    "cut short": "truncated text: 3 answers to different questions all end after 5 tokens",
    "foreign template": "wrong chat template: 6 of 6 answers contain tokens of a template",
    "deaf template": "wrong chat template: 29 more words in a message",
    "echo": "wrong chat template: 6 of 6 answers repeat the question",
    "endless": "end of text ignored: 3 answers to short questions ran to their limit",
    "endless marks": "end of text ignored: answers continue after an end-of-text token",
    "positive logprobs": "wrong logprobs: 0.7 is not a log-probability",
    "wrong top logprobs": "wrong logprobs: -0.25 for a token, -3 for the most likely",
    "other model": "another model: requested 'known', answered by 'another-model-7b'",
}


class Running:
    """What canaries need of a running server."""

    def __init__(self, server: AnsweringServer) -> None:
        endpoint = Endpoint(url=server.url, role="server", index=0)
        self.url = server.url
        self.control = ControlClient((endpoint,))
        self.plan = type("Plan", (), {"access": Access()})()

    def target(self) -> Target:
        """The model's name."""
        return Target(model="known", dialect=Dialect())

    def found_dead(self) -> None:
        """It lives."""


def send(server: AnsweringServer, *, logprobs: bool = False) -> CanaryReport:
    """The report on a server."""
    running = Running(server)
    try:
        return send_canaries(
            running,  # type: ignore[arg-type]
            lambda name: find_codec(name, None),
            codecs=(CHAT,),
            logprobs=logprobs,
            timeout_s=5.0,
            concurrency=6,
            interrupted=lambda: False,
        )
    finally:
        running.control.close()


@pytest.mark.parametrize("wreck", WRECKS)
def test_each_wreckage_is_named(wreck: str) -> None:
    """The fault that is there, and none that is not, in less than 10 s."""
    begun = time.monotonic()
    with AnsweringServer(str, wreck=wreck) as server:
        report = send(server)
    assert time.monotonic() - begun < 10
    (found,) = report.faults
    assert found.startswith(NAMES[wreck])


def test_a_sound_server_has_no_fault() -> None:
    """Whether its answers at temperature 0 repeat is told, as information."""
    with AnsweringServer(str) as server:
        report = send(server, logprobs=True)
    assert report.faults == ()
    said = report.facts["repeatable_at_temperature_0.openai-chat"]
    assert said == "3 of 3 answers to one prompt are the same"


def test_a_reasoning_model_is_not_accused_of_its_length() -> None:
    """Its reasoning runs into the limit, with no answer yet."""
    from answering_server import Said

    class Reasoning(AnsweringServer):
        def _wrecked(self, text: str, sound: str, body: object) -> Said:
            return Said("", finish="length", reasoning=f"The user asks: {text[:9]} ... so {sound}")

    with Reasoning(str) as server:
        assert send(server).faults == ()


@pytest.mark.parametrize(
    ("asked", "answered", "fault"),
    [
        ("gpt-x", "gpt-x-2026-08-01", False),
        ("org/Model-8B", "Model-8B", False),
        ("model", "/models/model/", False),
        ("model-a", "model-b", True),
        ("known", None, False),
    ],
)
def test_names_of_one_model(asked: str, answered: str | None, fault: bool) -> None:
    """A date, a folder or an organisation more is the same model."""
    assert (wrong_model(asked, [], answered) is not None) is fault


def test_a_server_that_lists_both_names_has_one_model_with_two_names() -> None:
    """An alias."""
    assert wrong_model("alias", ["alias", "real"], "real") is None
    assert wrong_model("alias", ["alias"], "real") is not None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("!" * 40, True),
        ("6666666666666666666666666666666666", True),
        ("the sea the sea the sea the sea the sea the sea", True),
        ("ha", False),
        ("The capital of France is Paris, and that of Peru is Lima.", False),
        ("1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17", False),
    ],
)
def test_repeated_text(text: str, expected: bool) -> None:
    """One short piece over and over; a list of numbers is none."""
    assert repeats(text) is expected


def _chat(*logprobs: object) -> str:
    content = [{"token": "a", "logprob": one} for one in logprobs]
    return json.dumps({"choices": [{"logprobs": {"content": content}}]})


@pytest.mark.parametrize(
    ("text", "needed", "fault"),
    [
        (_chat(-0.1, -2.0), True, None),
        (_chat(0.0, 0.0), False, None),
        (_chat(0.0, 0.0, 0.0), True, "wrong logprobs: all 3 tokens have 0"),
        (_chat(None), False, "wrong logprobs: None is not a log-probability"),
        (_chat(float("nan")), False, "wrong logprobs: nan is not a log-probability"),
        ('{"choices": [{"message": {}}]}', False, None),
        ('{"choices": [{"message": {}}]}', True, "no logprobs"),
        ("<html>", True, "no logprobs"),
    ],
)
def test_logprobs(text: str, needed: bool, fault: str | None) -> None:
    """Impossible ones are a fault; missing or constant ones only where an eval reads them."""
    found = logprobs_fault(text, needed=needed)
    assert (found or "").startswith(fault or "") and (found is None) == (fault is None)


def test_a_run_with_a_wrecked_server_fails_without_asking(bench) -> None:
    """Exit code 6; the points are hidden, no question was asked, and no score is made up."""
    with AnsweringServer(str, wreck="repeated") as server:
        done = bench(
            *("run", "--engine", server.engine, "--workload", "random:input_tokens=8"),
            *("--requests", "2", "--eval", "demo:limit=5", "--allow-invalid"),
        )
        assert server.questions[2:] == [] or all("capital" not in q for q in server.questions)
    assert done.code == 6, done.err
    assert "the accuracy gate failed: demo was not asked: repeated text" in done.complaint[0]
    (file,) = bench.run_directory.glob("evals/*/demo/outcome.json")
    outcome = json.loads(Path(file).read_text())
    assert (outcome["value"], outcome["n"], outcome["accuracy"]) == (None, 0, "fail")
    (file,) = bench.run_directory.glob("evals/*/canaries/server.json")
    assert json.loads(Path(file).read_text())["seconds"] < 10
