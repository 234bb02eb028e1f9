"""The reader of settings: numbers, lengths of time and switches in their written forms, and the words for any other."""

import re
from datetime import timedelta
from enum import Enum
from types import UnionType
from typing import Any, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le
from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

WHOLE_NUMBER = re.compile(r"-?[0-9]{1,18}")
SECONDS = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,12})?")
ISO_8601 = re.compile(r"P(?=.)([0-9]{1,6}D)?(T(?=.)([0-9]{1,9}H)?([0-9]{1,9}M)?([0-9]{1,9}(\.[0-9]{1,6})?S)?)?")
CLOCK = re.compile(r"[0-9]{2}:[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?")

TRUE = ("true", "1", "yes", "on", "t", "y")
FALSE = ("false", "0", "no", "off", "f", "n")
SWITCH = dict.fromkeys(TRUE, True) | dict.fromkeys(FALSE, False)

LENGTH = TypeAdapter(timedelta)


def from_text(written: str, field: FieldInfo) -> object:
    """The value that the text stands for. Raises ValueError with what is expected instead."""
    kinds = kinds_of(field)
    if bool in kinds:
        found: object = SWITCH.get(written.lower())
    elif int in kinds:
        found = int(written) if WHOLE_NUMBER.fullmatch(written) else None
    elif timedelta in kinds:
        found = _length_of_time(written)
    else:
        return written
    if found is None:
        raise ValueError(expected(field))
    return found


def expected(field: FieldInfo) -> str:
    """The words for a value of another form, or out of its range."""
    kinds = kinds_of(field)
    if bool in kinds:
        return "must be true or false"
    if int in kinds:
        return f"must be a whole number {_range(field)}, in the digits 0 to 9"
    if timedelta in kinds:
        return f"must be a number of seconds {_range(field)}, for example 15 or 0.5; or a time like PT15S or 00:00:15"
    words = [each.value for kind in kinds if issubclass(kind, Enum) for each in kind]
    return f"must be {' or '.join(words)}" if words else "must be text"


def _length_of_time(written: str) -> timedelta | None:
    if SECONDS.fullmatch(written):
        return timedelta(seconds=float(written))
    if not (ISO_8601.fullmatch(written) or CLOCK.fullmatch(written)):
        return None
    try:
        return LENGTH.validate_python(written)
    except ValidationError:  # beyond the longest that Python knows
        return None


def kinds_of(field: FieldInfo) -> tuple[Any, ...]:
    """The types that a value of the setting may have."""
    annotation = field.annotation
    members = get_args(annotation) if get_origin(annotation) in {Union, UnionType} else (annotation,)
    plain = (get_args(each)[0] if hasattr(each, "__metadata__") else each for each in members)
    return tuple(each for each in plain if isinstance(each, type))


def _limits(field: FieldInfo) -> list[Any]:
    inner = [
        limit
        for each in get_args(field.annotation)
        for given in getattr(each, "__metadata__", ())
        for limit in getattr(given, "metadata", [])
    ]
    return [*field.metadata, *inner]


def _range(field: FieldInfo) -> str:
    limits = _limits(field)
    most = next(_written(each.le) for each in limits if isinstance(each, Le))
    for each in limits:
        if isinstance(each, Gt):
            return f"above {_written(each.gt)} and at most {most}"
        if isinstance(each, Ge):
            return f"from {_written(each.ge)} to {most}"
    return f"of at most {most}"


def _written(limit: object) -> str:
    return f"{limit.total_seconds():g}" if isinstance(limit, timedelta) else str(limit)
