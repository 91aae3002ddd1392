"""Finds the lines in a process's log that say why it ended.

The very last lines are often noise: a shutdown banner, warnings about leaked objects, frames of a
traceback. A line names an error if it is the last line of a traceback, has an error's level, or
says what killed the process.
"""

from __future__ import annotations

import re

LINES, LINE_CHARS = 4, 240
_GAP_LINES = 10
# A line may be megabytes long, so only its start is judged.
_JUDGED_CHARS = 2000

_ANSI = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
# The prefix of a logger: timestamp, level, process or rank, and one space. Further spaces are the
# indentation of the message, by which frames of a traceback are recognised.
_PREFIX = re.compile(
    r"(?:(?:\([^()]*\bpid=\d+[^()]*\)|\[[^\[\]]{1,60}\]:?|<std(?:err|out)>:?"
    r"|\d{2,4}[-/]\d\d(?:[-/]\d\d)?(?:[T ]\d\d:\d\d:\d\d)?(?:[.,]\d+)?Z?|\d\d:\d\d:\d\d(?:[.,]\d+)?"
    r"|\d+\.\d\d\.\d{3}\.\d{3}"
    r"|(?:TRACE|DEBUG|INFO|NOTICE|WARNING|WARN|ERROR|CRITICAL|FATAL|[TDIWEF])\b:?|[-|:])"
    r"(?: |$|(?=\[)))+"
)
_LEVEL = re.compile(
    r"\b(TRACE|DEBUG|INFO|NOTICE|WARNING|WARN|ERROR|CRITICAL|FATAL)\b"
    r"|(?:^|[ \[])([TDIWEF])(?=[ \]])"
)
_HARMLESS_LEVELS = {"TRACE", "DEBUG", "INFO", "NOTICE", "WARNING", "WARN", *"TDIW"}
_NOISE = re.compile(
    r"resource_tracker|destroy_process_group|Traceback \(most recent call last\)|CancelledError"
    r"|^KeyboardInterrupt|^SystemExit|direct cause of the following|another exception occurred"
    r"|\bno errors?\b|\b0 errors?\b|Warning:|^File \"|^\[\s*\d+\] ",
    re.IGNORECASE,
)
_EXCEPTION = re.compile(r"[A-Za-z_][\w.]*(?:Error|Exception|Interrupt|Exit|Failure)(?::|$)")
_MEMORY = re.compile(
    r"out[ -]of[ -](?:\w+ )?memory|not enough (?:\w+ ){0,2}memory|cannot allocate memory|bad_alloc"
    r"|OutOfMemory|OOM[ -]?kill|unable to allocate|failed to allocate|insufficient memory"
    r"|No available memory",
    re.IGNORECASE,
)
_DEADLY = re.compile(
    r"\bfatal\b|\bkilled\b|segmentation fault|bus error|illegal instruction|core dumped"
    r"|terminate called|what\(\):|assert\w*\b.*\bfailed|GGML_ASSERT|CUDA error|HIP error|NCCL error"
    r"|exited on signal|^\*{0,3} ?Signal: |panicked at|address already in use",
    re.IGNORECASE,
)
_WEAK = re.compile(
    r"\berrors?\b|\bexception\b|\bfail(?:ed|ure)\b|\babort(?:ed|ing)?\b|Error\b", re.IGNORECASE
)


def error_lines(log: str) -> tuple[str, ...]:
    """The last lines that name an error, in their order, without prefixes and ANSI codes.

    Lines about memory take precedence over exceptions and deadly signals, and those over other
    errors. If no line names an error, returns the last lines that are not noise.
    """
    found: dict[str, tuple[int, int]] = {}
    plain: list[str] = []
    in_traceback, exception = False, ""
    for number, raw in enumerate(_ANSI.sub("", log).splitlines()):
        prefix, text = _split(raw)
        if "Traceback (most recent call last)" in text:
            in_traceback = True
            continue
        indented = text[:1].isspace()
        text = text.strip(" \t|+")[:_JUDGED_CHARS]
        if exception and indented and text:
            # A validation error has its reason on the next line.
            found[f"{exception}: {text}"] = found.pop(exception)
            exception = ""
            continue
        exception = ""
        if not text or (in_traceback and indented):
            continue
        rank = _rank(prefix, text, ends_traceback=in_traceback)
        if in_traceback and rank:
            exception = text
        in_traceback = False
        if rank:
            found[text] = (rank, number)
        elif not _NOISE.search(text) and not indented:
            plain.append(text)
    if not found:
        return tuple(_short(text) for text in plain[-LINES:])
    least = 2 if max(rank for rank, _ in found.values()) > 1 else 1
    named = sorted((number, text) for text, (rank, number) in found.items() if rank >= least)
    if least > 1:
        chosen = sorted(named, key=lambda one: found[one[1]])[-LINES:]
    else:
        burst = _last_burst(named)
        # The first error of a burst is likely the cause of the others.
        chosen = burst if len(burst) <= LINES else [burst[0], *burst[1 - LINES :]]
    return tuple(_short(text) for _, text in sorted(chosen))


def _last_burst(named: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """The last errors that are close together: at most `_GAP_LINES` lines apart."""
    for at in range(len(named) - 1, 0, -1):
        if named[at][0] - named[at - 1][0] > _GAP_LINES:
            return named[at:]
    return named


def excerpt(log: str) -> str:
    """The lines of :func:`error_lines` on one line."""
    return " | ".join(error_lines(log)) or "its log is empty"


def _split(line: str) -> tuple[str, str]:
    """The prefix that a logger wrote, and the message with its indentation."""
    line = line.rstrip()
    match = _PREFIX.match(line)
    return ("", line) if match is None else (match[0], line[match.end() :])


def _rank(prefix: str, text: str, *, ends_traceback: bool) -> int:
    """0: names no error; 1: an error; 2: an exception or a deadly signal; 3: a lack of memory."""
    levels = {one or other for one, other in _LEVEL.findall(prefix)}
    if _NOISE.search(text) or levels & _HARMLESS_LEVELS:
        return 0
    if _MEMORY.search(text):
        return 3
    if ends_traceback or _EXCEPTION.match(text) or _DEADLY.search(text):
        return 2
    return 1 if levels or _WEAK.search(text) else 0


def _short(text: str) -> str:
    return text if len(text) <= LINE_CHARS else f"{text[: LINE_CHARS - 3]}..."
