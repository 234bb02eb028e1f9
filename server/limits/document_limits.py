"""What a document may be: of a size that we can bear, and clear about which of its operations is wanted."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from graphql import DocumentNode, OperationDefinitionNode, parse
from strawberry.extensions import SchemaExtension, ValidationCache
from strawberry.schema.exceptions import CannotGetOperationTypeError
from strawberry.types import ExecutionContext
from strawberry.types.graphql import OperationType

from access.permissions import Permission
from schema.context import Context
from schema.errors import Forbidden, RequestRefused, TooComplex
from server.limits.document_metrics import DocumentMetrics, measure_document

MOST_TOKENS = 1000
"""Validating a document takes time that grows with the square of its size, and is spent on the event loop."""

LONGEST_DOCUMENT = 32 * 1024
"""Characters."""

MOST_LINES = 2000
"""Each line of a block string is taken out of it by itself."""

REMEMBERED = 128
"""Documents of which a process remembers how they parse, and that they are valid; clients send the same few."""

LONGEST_REMEMBERED = 8 * 1024
"""Characters. With the limit of tokens this bounds what is remembered to some fifty megabytes."""

LONGEST_LIST = 500
"""Of any list in the variables."""

MOST_NAMES = 100
"""Of any object in the variables: for each name that is unknown, all of the object is told in an error."""

OPERATION_WITHIN = 10.0
"""Seconds for a query or a mutation; what it asks of Postgres is cancelled then."""

MOST = {
    "operations": 5,
    "variables": 50,
    "root fields": 20,
    "levels": 12,
    "fields": 500,
    "aliases": 30,
    "directives": 20,
    "repeated fields": 20,
}
"""What a document may have. Fragments count as often as they are spread."""

MOST_LEVELS_OF_SCHEMA = 20
"""Tools unwrap the types of lists in lists."""


class Ambiguous(CannotGetOperationTypeError):
    """There are several operations, and none was named."""

    def as_http_error_reason(self) -> str:
        """A sentence for the client."""
        return "There are several operations: name one of them as operationName."


class TookTooLong(RequestRefused):
    """Given up. What a mutation did may have been committed or not."""

    code = "TIMEOUT"


@dataclass(frozen=True, slots=True)
class Parsed:
    """A document, and how large it is."""

    document: DocumentNode
    extents: DocumentMetrics


class DocumentLimits(SchemaExtension):
    """Looks at a document before it is validated, and lets nobody run an operation that was not chosen."""

    def on_parse(self) -> Iterator[None]:
        """Parse, or refuse; the original would take the first operation of several."""
        execution = self.execution_context
        parsed = _parse(execution.query or "")
        _check_size(parsed.extents)
        _check_lists(execution.variables)
        if parsed.extents.asks_about_schema:
            _check_right(execution)
        execution.graphql_document = parsed.document
        yield
        named = execution._provided_operation_name  # noqa: SLF001  # the public one falls back to the first operation's
        if named is None and _operations_in(parsed.document) > 1:
            raise Ambiguous(None)

    async def on_execute(self) -> AsyncIterator[None]:
        """Let a question or a command take no longer than it may."""
        if self.execution_context.operation_type is OperationType.SUBSCRIPTION:
            yield
            return
        try:
            async with asyncio.timeout(OPERATION_WITHIN):
                yield
        except TimeoutError:
            raise TookTooLong(
                f"This took longer than {OPERATION_WITHIN:.0f} s. A mutation may have taken effect: "
                "repeat it with the same idempotencyKey to learn."
            ) from None


class DocumentValidationCache(ValidationCache):
    """Remembers what is valid, by the parsed document: it needs ``DocumentLimits`` before it."""

    def __init__(self) -> None:
        super().__init__(maxsize=REMEMBERED)

    def on_validate(self) -> Iterator[None]:
        """Validate a document once."""
        if len(self.execution_context.query or "") <= LONGEST_REMEMBERED:
            yield from super().on_validate()
        else:
            yield


def _parse(text: str) -> Parsed:
    """Read a document; those that clients send again are remembered. Raises TooComplex and GraphQLSyntaxError."""
    if text.count("\n") > MOST_LINES:
        raise TooComplex(f"A document has {MOST_LINES} lines at the most.")
    if len(text) > LONGEST_DOCUMENT:
        raise TooComplex(f"A document has {LONGEST_DOCUMENT // 1024} kB at the most.")
    return _remembered(text) if len(text) <= LONGEST_REMEMBERED else _read(text)


def _read(text: str) -> Parsed:
    try:
        document = parse(text, max_tokens=MOST_TOKENS)
        return Parsed(document, measure_document(document))
    except RecursionError:
        raise TooComplex("This document goes too deep.") from None


_remembered = lru_cache(REMEMBERED)(_read)


def _check_size(extents: DocumentMetrics) -> None:
    data = extents.data
    has = {
        "operations": extents.operations,
        "variables": extents.variables,
        "root fields": extents.root_fields,
        "levels": data.depth,
        "fields": max(data.fields, extents.about_schema.fields),
        "aliases": max(data.aliases, extents.about_schema.aliases),
        "directives": max(data.directives, extents.about_schema.directives),
        "repeated fields": max(data.repeats, extents.about_schema.repeats),
    }
    for what, most in MOST.items():
        if has[what] > most:
            raise TooComplex(f"This document has too many {what}: {most} at the most.")
    if extents.about_schema.depth > MOST_LEVELS_OF_SCHEMA:
        raise TooComplex(f"Questions about the schema have {MOST_LEVELS_OF_SCHEMA} levels at the most.")


def _check_lists(variables: dict[str, Any] | None) -> None:
    """Refuse long lists, however deep they lie."""
    left: list[Any] = [variables]
    while left:
        value = left.pop()
        if isinstance(value, list) and len(value) > LONGEST_LIST:
            raise TooComplex(f"A list has {LONGEST_LIST} items at the most.")
        if isinstance(value, dict) and len(value) > MOST_NAMES:
            raise TooComplex(f"An object has {MOST_NAMES} names at the most.")
        if isinstance(value, list | dict):
            left.extend(value if isinstance(value, list) else value.values())


def _check_right(execution: ExecutionContext) -> None:
    context = execution.context
    right = Permission.READ_SCHEMA.value
    if isinstance(context, Context) and right not in context.caller.scopes:
        raise Forbidden(f"Looking into the schema needs the right {right}, which you do not have.")


def _operations_in(document: DocumentNode) -> int:
    return sum(isinstance(definition, OperationDefinitionNode) for definition in document.definitions)
