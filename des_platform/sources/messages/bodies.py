"""Reading JSON that strangers wrote: what is wrong is named with its place, its type and a short, harmless excerpt.

Every text in the reasons can be stored as UTF-8 without NUL, however the body was made.
"""

from __future__ import annotations

import json

MAX_BODY_BYTES = 1 << 20
"""Largest message that SQS accepts."""

_MAX_SIZE = (1 << 63) - 1  # the catalogue keeps sizes as signed 64-bit integers
_SHOWN = 80


class MalformedMessage(ValueError):
    """Nothing in the message could be understood; the text says precisely why."""


def load_body(body: str) -> tuple[dict[str, object], bool]:
    """The object in a message body, taken out of its SNS notification if it is in one.

    Args:
        body: the body as its source delivered it, at most 1 MiB.

    Returns:
        The object, and whether SNS wrapped it.

    Raises:
        MalformedMessage: there is none.
    """
    size = len(body) if len(body) > MAX_BODY_BYTES else len(body.encode("utf-8", "surrogatepass"))
    if size > MAX_BODY_BYTES:
        raise MalformedMessage(f"body is larger than {MAX_BODY_BYTES} bytes, the most that a queue message can hold")
    message = load_object(body, "body")
    if isinstance(message.get("Type"), str) and "Message" in message:
        return _unwrap(message), True
    return message, False


def load_object(text: str, what: str) -> dict[str, object]:
    """The JSON object in a text; `what` names the text in errors.

    Raises:
        MalformedMessage: it holds something else.
    """
    try:
        value = json.loads(text)
    except RecursionError:
        raise MalformedMessage(f"{what} is nested too deep") from None
    except json.JSONDecodeError as error:
        raise MalformedMessage(f"{what} is not JSON: {error}") from None
    except ValueError:  # Python refuses to parse an integer of more than 4,300 digits
        raise MalformedMessage(f"{what} is not JSON that can be read: it holds an endless number") from None
    return object_of(value, what)


def _unwrap(message: dict[str, object]) -> dict[str, object]:
    if message["Type"] != "Notification":
        raise MalformedMessage(
            f"SNS message of type {shown(message['Type'])}, expected 'Notification': confirm the topic's subscription"
        )
    inner = load_object(text_of(message, "Message", "SNS notification"), "the SNS notification's 'Message'")
    if isinstance(inner.get("Type"), str) and "Message" in inner:
        raise MalformedMessage("nested too deep: an SNS notification inside an SNS notification")
    return inner


def object_of(value: object, what: str) -> dict[str, object]:
    """The value, if it is an object; `what` names it in errors.

    Raises:
        MalformedMessage: it is something else.
    """
    if isinstance(value, dict):
        return value
    raise MalformedMessage(f"{what} is {type_of(value)}, expected an object")


def text_of(fields: dict[str, object], name: str, what: str) -> str:
    """The text in a field of an object; `what` names the object in errors.

    Raises:
        MalformedMessage: there is none.
    """
    value = fields.get(name)
    if isinstance(value, str):
        return value
    raise MalformedMessage(f"{name!r} of the {what} is {type_of(value)}, expected text")


def bytes_of(fields: dict[str, object], name: str) -> int | None:
    """The number of bytes in a field of an object; None where there is none.

    Raises:
        MalformedMessage: it is no number of bytes.
    """
    size = fields.get(name)
    # bool is a subclass of int: `true` would pass for one byte.
    if size is not None and (not isinstance(size, int) or isinstance(size, bool)):
        raise MalformedMessage(f"{name} is {shown(size)}, expected an integer")
    if size is not None and not 0 <= size <= _MAX_SIZE:
        raise MalformedMessage(f"{name} is {shown(size)}, expected 0 to {_MAX_SIZE} bytes")
    return size


def type_of(value: object) -> str:
    """What a JSON value is, in words."""
    names = {dict: "an object", list: "a list", str: "text", bool: "a boolean", int: "an integer", float: "a fraction"}
    return "missing" if value is None else names[type(value)]


def shown(value: object) -> str:
    """A JSON value as an error may show it: short, and in ASCII."""
    # The parser admits nesting that repr() cannot walk from a deeper stack: of objects and lists only the type is told.
    if value is None or isinstance(value, dict | list):
        return type_of(value)
    # ASCII: a reason goes to the database and to logs, where a lone surrogate or NUL would fail.
    text = ascii(value[: _SHOWN + 1] if isinstance(value, str) else value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
