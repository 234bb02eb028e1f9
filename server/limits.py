"""What a document may be: of so many tokens, and clear about which of its operations is wanted."""

from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache

from graphql import DocumentNode, GraphQLError, OperationDefinitionNode, parse
from strawberry.extensions import SchemaExtension, ValidationCache
from strawberry.schema.exceptions import CannotGetOperationTypeError
from strawberry.types import ExecutionContext

MOST_TOKENS = 1000
"""Validating a document takes time that grows with the square of its size, and is spent on the event loop."""

REMEMBERED = 128
"""Documents of which a process remembers how they parse, and that they are valid; clients send the same few."""

LONGEST_REMEMBERED = 8 * 1024
"""Characters. With the limit of tokens this bounds what is remembered to some fifty megabytes."""


class Ambiguous(CannotGetOperationTypeError):
    """There are several operations, and none was named."""

    def as_http_error_reason(self) -> str:
        """A sentence for the client."""
        return "There are several operations: name one of them as operationName."


class Limits(SchemaExtension):
    """Lets the parser stop early, and nobody run an operation that was not chosen."""

    def on_operation(self) -> Iterator[None]:
        """Tell the parser how many tokens it may read."""
        self.execution_context.parse_options["max_tokens"] = MOST_TOKENS
        yield

    def on_parse(self) -> Iterator[None]:
        """Parse a document once, and look at it: the original would take the first operation.

        What cannot be parsed is left to the original, which tells why.
        """
        execution = self.execution_context
        if _worth_remembering(execution):
            with suppress(GraphQLError):
                execution.graphql_document = _parsed(execution.query or "")
        yield
        named = execution._provided_operation_name  # noqa: SLF001  # the public one falls back to the first operation's
        if named is None and _operations_in(execution.graphql_document) > 1:
            raise Ambiguous(None)


class Remembered(ValidationCache):
    """Remembers what is valid, by the parsed document: it needs ``Limits`` before it."""

    def __init__(self) -> None:
        super().__init__(maxsize=REMEMBERED)

    def on_validate(self) -> Iterator[None]:
        """Validate a document once."""
        if _worth_remembering(self.execution_context):
            yield from super().on_validate()
        else:
            yield


def _worth_remembering(execution: ExecutionContext) -> bool:
    return len(execution.query or "") <= LONGEST_REMEMBERED


@lru_cache(REMEMBERED)
def _parsed(text: str) -> DocumentNode:
    return parse(text, max_tokens=MOST_TOKENS)


def _operations_in(document: DocumentNode | None) -> int:
    definitions = document.definitions if document else ()
    return sum(isinstance(definition, OperationDefinitionNode) for definition in definitions)
