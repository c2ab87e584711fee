"""JSON as TensorFlow Serving reads and writes it: NaN and infinities bare, whole floats with a ".0"."""

from __future__ import annotations

import base64
import contextlib
import json
import math
import re
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqship.serving.server.status import StatusError, invalid_argument

_SAID = {
    "Expecting value": "Invalid value.",
    "Expecting property name enclosed in double quotes": "Missing a name for object member.",
    "Illegal trailing comma before end of object": "Missing a name for object member.",
    "Illegal trailing comma before end of array": "Invalid value.",
    "Expecting ':' delimiter": "Missing a colon after a name of object member.",
    "Unterminated string starting at": "Missing a closing quotation mark in string.",
    "Invalid \\escape": "Invalid escape character in string.",
    "Invalid \\uXXXX escape": "Incorrect hex digit after \\u escape in string.",
    "Invalid control character at": "Invalid encoding in string.",
}
"""RapidJSON's words for what Python's parser finds."""

TOO_BIG = "JSON Parse error: Number too big to be stored in double. at offset: 0"

_CONTROL = re.compile(r'[\x00-\x1f"\\]')
_SHORT = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_MOST_SHOWN = 1000
_SHOWN = json.JSONEncoder(indent=4, ensure_ascii=False, default=str)


def parse_json(body: bytes) -> dict[str, Any]:
    """Returns the object that a request's body holds; what stands behind it is ignored.

    Bytes that are no UTF-8 become lone surrogates, from which `utf8` makes the same bytes again.

    Raises:
        StatusError: It is no JSON, or no object; TensorFlow Serving's words, with the offset in bytes.
    """
    if not body:
        raise invalid_argument("JSON Parse error: The document is empty")
    text = body.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
    start = len(text) - len(text.lstrip(" \t\r\n"))
    if start == len(text):
        raise invalid_argument(f"JSON Parse error: The document is empty. at offset: {len(body)}")
    try:
        document, _ = json.JSONDecoder().raw_decode(text, start)
    except json.JSONDecodeError as error:
        raise _parse_error(error.msg, text, error.pos) from None
    except RecursionError:
        raise invalid_argument("JSON Parse error: Nested too deeply. at offset: 0") from None
    except ValueError:  # Python refuses whole numbers of thousands of digits.
        raise invalid_argument(TOO_BIG) from None
    if not isinstance(document, dict):
        raise invalid_argument(f"JSON Value: {shown(document)} Is not object")
    return document


def refuse_too_large(body: bytes) -> None:
    """Refuses numbers beyond float64, which Python reads as infinite.

    Raises:
        StatusError: There is one.
    """

    def number(text: str) -> float:
        if math.isinf(float(text)):
            raise invalid_argument(TOO_BIG)
        return float(text)

    # What was parsed once may lie a call too deep for it here; then whoever runs the model refuses the infinity.
    with contextlib.suppress(RecursionError):
        text = body.decode("utf-8", "surrogateescape").lstrip(" \t\r\n\ufeff")
        json.JSONDecoder(parse_float=number).raw_decode(text)


def shown(value: Any) -> str:
    """Returns a value as an error shows it, the long ones cut."""
    text = ""
    # Part by part: a whole document can be large, and nested as deeply as the parser goes.
    for part in _SHOWN.iterencode(value):
        text += part[: _MOST_SHOWN + 1]
        if len(text) > _MOST_SHOWN:
            return text[:_MOST_SHOWN] + "..."
    return text


def utf8(text: str) -> bytes:
    """Returns the bytes of a string of the document.

    Raises:
        StatusError: An escape sequence in it stands for half a character.
    """
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise invalid_argument("JSON Parse error: The surrogate pair in string is invalid. at offset: 0") from None


def quoted(data: bytes) -> str:
    """Returns a string in quotes; bytes that are no UTF-8 pass as they are, once the text is encoded by `utf8`."""
    text = data.decode("utf-8", "surrogateescape")
    return '"' + _CONTROL.sub(lambda found: _SHORT.get(found[0], f"\\u{ord(found[0]):04X}"), text) + '"'


def scalars(array: NDArray[Any], *, as_bytes: bool = False) -> list[str]:
    """Returns the JSON of every element, in order.

    Args:
        array: Of any shape.
        as_bytes: Whether strings go as base64, in an object each.

    Raises:
        StatusError: Elements of this type have no JSON.
    """
    flat = array.ravel()
    if flat.dtype.kind == "f" and flat.dtype.itemsize >= 4:
        return _decimals(flat)
    if flat.dtype.kind in "iu":
        return list(map(str, flat.tolist()))
    if flat.dtype.kind == "b":
        return ["true" if value else "false" for value in flat.tolist()]
    if flat.dtype.kind == "O":
        if as_bytes:
            return [f'{{"b64": "{base64.b64encode(value).decode()}"}}' for value in flat.tolist()]
        return [quoted(value) for value in flat.tolist()]
    raise invalid_argument(f"Failed to write JSON value for tensor type: {_type_name(flat)}")


def nested(elements: Sequence[str], shape: Sequence[int]) -> Iterator[str]:
    """Yields lists of the first axis' elements, each on one line, as rows of a prediction."""
    rows = list(elements)
    for axis in reversed(range(1, len(shape))):
        size, count = shape[axis], math.prod(shape[:axis])
        rows = ["[" + ", ".join(rows[one * size : (one + 1) * size]) + "]" for one in range(count)]
    yield from rows


def indented(elements: Sequence[str], shape: Sequence[int], level: int) -> str:
    """Returns nested lists with each element on a line of its own."""
    place = iter(elements)

    def text(axis: int) -> str:
        if axis == len(shape):
            return next(place)
        if shape[axis] == 0:
            return "[]"
        pad = "    " * (level + axis + 1)
        inner = ",\n".join(pad + text(axis + 1) for _ in range(shape[axis]))
        return f"[\n{inner}\n{'    ' * (level + axis)}]"

    return text(0)


def error_body(message: str) -> bytes:
    """Returns the body of an answer to a request that failed."""
    data = message.encode("utf-8", "backslashreplace")
    return utf8(f'{{\n    "error": {quoted(data)}\n}}')


def flattened(lists: list[Any], depth: int) -> list[Any]:
    """Returns the elements of nested lists."""
    for _ in range(depth):
        lists = list(chain.from_iterable(lists))
    return lists


def _parse_error(message: str, text: str, place: int) -> StatusError:
    said = _SAID.get(message)
    if message == "Expecting ',' delimiter":
        opened = _innermost(text, place)
        kind = "a comma or } after an object member" if opened == "{" else "a comma or ] after an array element"
        said = f"Missing {kind}."
    offset = len(text[:place].encode("utf-8", "surrogateescape"))
    return invalid_argument(f"JSON Parse error: {said or message} at offset: {offset}")


def _innermost(text: str, place: int) -> str:
    """Returns the bracket that is open at a place; what stands before it is well formed."""
    stack: list[str] = []
    for found in re.finditer(r'"(?:[^"\\]|\\.)*"|[{}\[\]]', text[:place], re.DOTALL):
        if found[0] in "{[":
            stack.append(found[0])
        elif found[0] in "}]":
            stack.pop()
    return stack[-1] if stack else "{"


def _decimals(flat: NDArray[Any]) -> list[str]:
    """Six digits where they name the number, else as many as always do: absl's `StrCat`, as TensorFlow Serving."""
    values = flat.tolist()
    texts = [f"{value:.6g}" for value in values]
    exact = np.array([float(text) for text in texts], flat.dtype) == flat
    precise = "%.9g" if flat.dtype.itemsize == 4 else "%.17g"
    for index in np.flatnonzero(~exact).tolist():
        texts[index] = precise % values[index]
    for index, text in enumerate(texts):
        if text.lstrip("-").isdigit():
            texts[index] = f"{text}.0"
    for index in np.flatnonzero(~np.isfinite(flat)).tolist():
        value = values[index]
        texts[index] = "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return texts


def _type_name(flat: NDArray[Any]) -> str:
    return {"float16": "half"}.get(flat.dtype.name, flat.dtype.name)
