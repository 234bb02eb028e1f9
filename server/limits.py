"""What a document may be: of so many tokens, and clear about which of its operations is wanted."""

from collections.abc import Iterator
from functools import partial

from graphql import DocumentNode, OperationDefinitionNode
from strawberry.extensions import ParserCache, SchemaExtension, ValidationCache
from strawberry.schema.exceptions import CannotGetOperationTypeError

MOST_TOKENS = 1000
"""Validating a document takes time that grows with the square of its size, and is spent on the event loop."""

CACHED = 512
"""Documents of which a process remembers how they parse and that they are valid; clients send the same few."""

CACHES = (partial(ParserCache, maxsize=CACHED), partial(ValidationCache, maxsize=CACHED))


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
        """Look at what was parsed: the original would take the first operation."""
        yield
        execution = self.execution_context
        named = execution._provided_operation_name  # noqa: SLF001  # the public one falls back to the first operation's
        if named is None and _operations_in(execution.graphql_document) > 1:
            raise Ambiguous(None)


def _operations_in(document: DocumentNode | None) -> int:
    definitions = document.definitions if document else ()
    return sum(isinstance(definition, OperationDefinitionNode) for definition in definitions)
