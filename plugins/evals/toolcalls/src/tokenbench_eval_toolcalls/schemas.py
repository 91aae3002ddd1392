"""Generates tools with JSON schemas, and tasks that one of them fulfils."""

from __future__ import annotations

import random
from typing import Any

import attrs

_VERBS = ("create", "update", "find", "cancel", "schedule", "send", "book", "archive", "copy")
_THINGS = (
    *("invoice", "meeting", "parcel", "ticket", "report", "order", "room", "flight", "reminder"),
    *("contract", "playlist", "recipe", "survey", "backup"),
)
# Values by the name of a parameter: text, whole numbers, numbers, yes or no, one of a list, lists.
_TEXTS = {
    "customer": ("Ada Palmer", "Bo Lindqvist", "Chen Wei", "Dara Okafor", "Eva Novak"),
    "city": ("Lisbon", "Oslo", "Nairobi", "Quito", "Hanoi"),
    "title": ("Quarterly plan", "Summer menu", "Night shift", "Blue folder", "First draft"),
    "reference": ("RX-4471", "QF-1029", "LM-8803", "ZT-5516", "PK-2750"),
}
_INTEGERS = {"quantity": (1, 40), "floor": (1, 30), "minutes": (5, 240), "copies": (1, 12)}
_NUMBERS = {"price": (1, 500), "weight_kg": (1, 60), "discount_percent": (1, 50)}
_FLAGS = ("urgent", "insured", "refundable", "recurring")
_CHOICES = {
    "priority": ("low", "normal", "high"),
    "currency": ("EUR", "USD", "JPY", "GBP"),
    "channel": ("email", "phone", "post"),
}
_LISTS = {
    "tags": ("alpha", "beta", "gamma", "delta", "omega"),
    "colours": ("red", "green", "blue", "white", "black"),
}


@attrs.frozen
class ToolTask:
    """Tools in the form of the OpenAI protocol, a request in words, and the call that fits it."""

    tools: tuple[dict[str, Any], ...]
    request: str
    name: str
    arguments: dict[str, Any]

    @property
    def schema(self) -> dict[str, Any]:
        """The schema of the arguments of the tool to call."""
        found: dict[str, Any] = next(
            tool["function"]["parameters"]
            for tool in self.tools
            if tool["function"]["name"] == self.name
        )
        return found


def tool_task(number: int, seed: int, tools: int) -> ToolTask:
    """One task. The same arguments give the same task."""
    dice = random.Random(f"{seed} {number} {tools}")
    names = [f"{verb}_{thing}" for verb in _VERBS for thing in _THINGS]
    chosen = dice.sample(names, min(tools, len(names)))
    made = [_tool(dice, name) for name in chosen]
    tool, arguments = made[0]
    listed = [one for one, _ in made]
    dice.shuffle(listed)
    return ToolTask(
        tools=tuple(listed),
        request=_request(chosen[0], arguments),
        name=tool["function"]["name"],
        arguments=arguments,
    )


def _tool(dice: random.Random, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A tool, and arguments for it."""
    properties: dict[str, Any] = {}
    arguments: dict[str, Any] = {}
    for make in dice.sample((_text, _integer, _number, _flag, _choice, _list), dice.randint(2, 5)):
        key, schema, value = make(dice)
        properties[key], arguments[key] = schema, value
    function = {
        "name": name,
        "description": f"{name.replace('_', ' ').capitalize()}.",
        "parameters": {
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        },
    }
    return {"type": "function", "function": function}, arguments


def _text(dice: random.Random) -> tuple[str, dict[str, Any], Any]:
    key = dice.choice(list(_TEXTS))
    return key, {"type": "string"}, dice.choice(_TEXTS[key])


def _integer(dice: random.Random) -> tuple[str, dict[str, Any], Any]:
    key = dice.choice(list(_INTEGERS))
    low, high = _INTEGERS[key]
    schema = {"type": "integer", "minimum": low, "maximum": high}
    return key, schema, dice.randint(low, high)


def _number(dice: random.Random) -> tuple[str, dict[str, Any], Any]:
    key = dice.choice(list(_NUMBERS))
    low, high = _NUMBERS[key]
    return key, {"type": "number", "minimum": 0}, dice.randint(low, high) + dice.choice((0.25, 0.5))


def _flag(dice: random.Random) -> tuple[str, dict[str, Any], Any]:
    return dice.choice(_FLAGS), {"type": "boolean"}, dice.random() < 0.5


def _choice(dice: random.Random) -> tuple[str, dict[str, Any], Any]:
    key = dice.choice(list(_CHOICES))
    return key, {"type": "string", "enum": list(_CHOICES[key])}, dice.choice(_CHOICES[key])


def _list(dice: random.Random) -> tuple[str, dict[str, Any], Any]:
    key = dice.choice(list(_LISTS))
    schema = {"type": "array", "items": {"type": "string"}, "minItems": 1}
    return key, schema, dice.sample(_LISTS[key], dice.randint(1, 3))


def _request(name: str, arguments: dict[str, Any]) -> str:
    said = "; ".join(f"{key.replace('_', ' ')}: {_said(value)}" for key, value in arguments.items())
    return f"Please {name.replace('_', ' ')}, with {said}."


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(value) if isinstance(value, list) else str(value)
