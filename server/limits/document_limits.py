"""Limits on a GraphQL document and its execution: size, variables, choice of operation, time."""

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

MAX_TOKENS = 1000
"""Validation takes time that grows with the square of a document's size, on the event loop."""

MAX_DOCUMENT_LENGTH = 32 * 1024
"""Characters."""

MAX_LINES = 2000
"""The parser processes each line of a block string separately."""

CACHED_DOCUMENTS = 128
"""Parsed documents, and results of validation, that a process caches; clients send the same few documents."""

MAX_CACHED_LENGTH = 8 * 1024
"""Characters. With the limit on tokens this bounds the caches to about 50 MB."""

MAX_LIST_ITEMS = 500
"""Of each list in the variables."""

MAX_OBJECT_FIELDS = 100
"""Of each object in the variables: the error for each unknown field quotes the whole object."""

OPERATION_TIMEOUT = 10.0
"""Seconds for a query or a mutation; its statements in Postgres are cancelled then."""

MAX_COUNTS = {
    "operations": 5,
    "variables": 50,
    "root fields": 20,
    "levels": 12,
    "fields": 500,
    "aliases": 30,
    "directives": 20,
    "repeated fields": 20,
}
"""Per document. A fragment counts as often as it is spread."""

MAX_INTROSPECTION_DEPTH = 20
"""Higher than for data, because introspection queries of tools unwrap types of nested lists."""


class AmbiguousOperation(CannotGetOperationTypeError):
    """The document has several operations, and the request names none."""

    def as_http_error_reason(self) -> str:
        """The message for the client."""
        return "The document has several operations: name one of them as operationName."


class OperationTimedOut(RequestRefused):
    """The operation took too long. A mutation may have been committed or not."""

    code = "TIMEOUT"


@dataclass(frozen=True, slots=True)
class ParsedDocument:
    """A document and its size."""

    document: DocumentNode
    metrics: DocumentMetrics


class DocumentLimits(SchemaExtension):
    """Refuses documents that are too large, ambiguous or forbidden, and operations that take too long."""

    def on_parse(self) -> Iterator[None]:
        """Parse and check the document. Strawberry alone would execute the first of several operations."""
        execution = self.execution_context
        parsed = _parse(execution.query or "")
        _check_size(parsed.metrics)
        _check_variables(execution.variables)
        if parsed.metrics.has_introspection:
            _check_may_introspect(execution)
        execution.graphql_document = parsed.document
        yield
        name = execution._provided_operation_name  # noqa: SLF001  # the public one falls back to the first operation's
        if name is None and _operations_in(parsed.document) > 1:
            raise AmbiguousOperation(None)

    async def on_execute(self) -> AsyncIterator[None]:
        """Cancel a query or mutation that takes too long."""
        if self.execution_context.operation_type is OperationType.SUBSCRIPTION:
            yield
            return
        try:
            async with asyncio.timeout(OPERATION_TIMEOUT):
                yield
        except TimeoutError:
            raise OperationTimedOut(
                f"The operation took longer than {OPERATION_TIMEOUT:.0f} s. A mutation may have taken effect: "
                "repeat it with the same idempotencyKey to find out."
            ) from None


class DocumentValidationCache(ValidationCache):
    """Caches results of validation by parsed document; must come after ``DocumentLimits``."""

    def __init__(self) -> None:
        super().__init__(maxsize=CACHED_DOCUMENTS)

    def on_validate(self) -> Iterator[None]:
        """Validate a document, or take the cached result."""
        if len(self.execution_context.query or "") <= MAX_CACHED_LENGTH:
            yield from super().on_validate()
        else:
            yield


def _parse(text: str) -> ParsedDocument:
    """Parse a document, from the cache if possible. Raises TooComplex and GraphQLSyntaxError."""
    if text.count("\n") > MAX_LINES:
        raise TooComplex(f"A document may have at most {MAX_LINES} lines.")
    if len(text) > MAX_DOCUMENT_LENGTH:
        raise TooComplex(f"A document may have at most {MAX_DOCUMENT_LENGTH // 1024} kB.")
    return _read_cached(text) if len(text) <= MAX_CACHED_LENGTH else _read(text)


def _read(text: str) -> ParsedDocument:
    try:
        document = parse(text, max_tokens=MAX_TOKENS)
        return ParsedDocument(document, measure_document(document))
    except RecursionError:
        raise TooComplex("This document is nested too deeply.") from None


_read_cached = lru_cache(CACHED_DOCUMENTS)(_read)


def _check_size(metrics: DocumentMetrics) -> None:
    data, introspection = metrics.data, metrics.introspection
    counts = {
        "operations": metrics.operations,
        "variables": metrics.variables,
        "root fields": metrics.root_fields,
        "levels": data.depth,
        "fields": max(data.fields, introspection.fields),
        "aliases": max(data.aliases, introspection.aliases),
        "directives": max(data.directives, introspection.directives),
        "repeated fields": max(data.repeats, introspection.repeats),
    }
    for noun, limit in MAX_COUNTS.items():
        if counts[noun] > limit:
            raise TooComplex(f"This document has too many {noun}: {limit} are allowed.")
    if introspection.depth > MAX_INTROSPECTION_DEPTH:
        raise TooComplex(f"An introspection query may have at most {MAX_INTROSPECTION_DEPTH} levels.")


def _check_variables(variables: dict[str, Any] | None) -> None:
    """Refuse long lists and objects with many fields, at any depth. Raises TooComplex."""
    pending: list[Any] = [variables]
    while pending:
        value = pending.pop()
        if isinstance(value, list) and len(value) > MAX_LIST_ITEMS:
            raise TooComplex(f"A list may have at most {MAX_LIST_ITEMS} items.")
        if isinstance(value, dict) and len(value) > MAX_OBJECT_FIELDS:
            raise TooComplex(f"An object may have at most {MAX_OBJECT_FIELDS} fields.")
        if isinstance(value, list | dict):
            pending.extend(value if isinstance(value, list) else value.values())


def _check_may_introspect(execution: ExecutionContext) -> None:
    context = execution.context
    right = Permission.READ_SCHEMA.value
    if isinstance(context, Context) and right not in context.caller.scopes:
        raise Forbidden(f"Introspection needs the right {right}, which you do not have.")


def _operations_in(document: DocumentNode) -> int:
    return sum(isinstance(definition, OperationDefinitionNode) for definition in document.definitions)
