"""Chooses the database connections that an operation may use: cancels first, then other mutations, then reads."""

from collections.abc import Iterator, Mapping

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    OperationType,
    SelectionSetNode,
    get_operation_ast,
)
from strawberry.extensions import SchemaExtension

from runtime.connection_shares import Lane
from schema.context import Context

CANCELS = frozenset({"cancelProvisioning", "cancelProvisionings", "__typename"})
"""Root fields of a mutation that is served before all others."""


class Lanes(SchemaExtension):
    """Sets the lane of each operation before its execution."""

    def on_execute(self) -> Iterator[None]:
        """Set the lane."""
        execution = self.execution_context
        if isinstance(execution.context, Context) and execution.graphql_document is not None:
            execution.context.lane = lane_of(execution.graphql_document, execution.operation_name)
        yield


def lane_of(document: DocumentNode, operation_name: str | None) -> Lane:
    """The lane of one operation. The document must be valid, so that its fragments have no cycles."""
    operation = get_operation_ast(document, operation_name)
    if operation is None or operation.operation is not OperationType.MUTATION:
        return Lane.READ
    fragments = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}
    fields = set(_fields(operation.selection_set, fragments))
    return Lane.CANCEL if fields <= CANCELS else Lane.COMMAND


def _fields(selected: SelectionSetNode, fragments: Mapping[str, FragmentDefinitionNode]) -> Iterator[str]:
    """The names of the fields of a selection at its first level."""
    for node in selected.selections:
        match node:
            case FieldNode():
                yield node.name.value
            case InlineFragmentNode():
                yield from _fields(node.selection_set, fragments)
            case FragmentSpreadNode():
                yield from _fields(fragments[node.name.value].selection_set, fragments)
            case _:
                pass
