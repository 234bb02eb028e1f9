"""JSON exactly as RFC 8259 defines it, with each name once in an object, so that no proxy reads it differently."""

import json
from math import isfinite
from typing import Any, NoReturn


def loads(text: str | bytes) -> Any:  # noqa: ANN401  # JSON may be anything
    """Parse a client's JSON. Raises ValueError, also for NaN, for numbers beyond a float, and for repeated names.

    Raises RecursionError for deeply nested values.
    """
    return json.loads(
        text, parse_constant=_refuse_constant, parse_float=_finite_float, object_pairs_hook=_object_with_unique_names
    )


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


def _finite_float(digits: str) -> float:
    number = float(digits)
    if not isfinite(number):
        raise ValueError("the number is too large")
    return number


def _object_with_unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object has the same name twice")
    return found
