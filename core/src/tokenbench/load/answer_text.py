"""The text of an answer in parts, collected where a later turn may use it."""

from __future__ import annotations


class AnswerText:
    """The parts of an answer, its reasoning and its tool calls, one or none per chunk."""

    __slots__ = ("parts", "reasoning", "tool_calls")

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.reasoning: list[str] = []
        self.tool_calls: list[str] = []

    def joined(self) -> tuple[str, str, str]:
        """The answer, its reasoning, and its tool calls, whole."""
        return "".join(self.parts), "".join(self.reasoning), "".join(self.tool_calls)
