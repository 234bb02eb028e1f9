"""What an operation costs: a point for each field, as often as a page may repeat it."""

from collections.abc import Mapping
from math import isfinite
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    IntValueNode,
    ListValueNode,
    ObjectValueNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
    VariableNode,
    get_operation_ast,
)
from graphql.language import ValueNode

from schema.pagination import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE

CONNECTIONS = frozenset({"tenants", "runs", "timeline", "auditEvents", "members", "serviceAccounts"})
"""Fields that answer with a page."""

LISTS = {"nodes": "ids"}
"""Fields that answer with as many objects as an argument names."""

IN_BULK = {"cancelProvisionings": "tenantIds"}
"""Fields that answer with as many objects as their input names, or as its filter finds."""


def cost_of(document: DocumentNode, operation_name: str | None, variables: Mapping[str, Any] | None) -> int:
    """Points of one operation. The document was validated: its fragments have no cycles."""
    operation = get_operation_ast(document, operation_name)
    if operation is None:
        return 0
    fragments = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}
    return Estimate(operation, fragments, variables or {}).total


class Estimate:
    """One walk over one operation. Each fragment is measured once, however often it is spread."""

    def __init__(
        self,
        operation: OperationDefinitionNode,
        fragments: Mapping[str, FragmentDefinitionNode],
        variables: Mapping[str, Any],
    ) -> None:
        self._fragments = fragments
        defaults = {one.variable.name.value: one.default_value for one in operation.variable_definitions or ()}
        self._defaults = {name: value for name, value in defaults.items() if value and name not in variables}
        self._variables = variables
        self._measured: dict[str, int] = {}
        self.total = self._set(operation.selection_set)

    def _set(self, selections: SelectionSetNode | None) -> int:
        return sum(map(self._selection, selections.selections)) if selections else 0

    def _selection(self, node: SelectionNode) -> int:
        match node:
            case FieldNode():
                return 1 + self._repeats(node) * self._set(node.selection_set)
            case InlineFragmentNode():
                return self._set(node.selection_set)
            case FragmentSpreadNode():
                return self._fragment(node.name.value)
            case _:
                return 0

    def _fragment(self, name: str) -> int:
        if name not in self._measured:
            self._measured[name] = self._set(self._fragments[name].selection_set)
        return self._measured[name]

    def _repeats(self, node: FieldNode) -> int:
        """How often what lies below a field may be answered."""
        given = {argument.name.value: argument.value for argument in node.arguments or ()}
        if node.name.value in LISTS and LISTS[node.name.value] in given:
            return self._length(given[LISTS[node.name.value]])
        if node.name.value in IN_BULK and "input" in given:
            # No more than a page: whoever cancels hundreds at once asks for the usual about each.
            return min(self._named_in(given["input"], IN_BULK[node.name.value]), MAX_PAGE_SIZE)
        if node.name.value not in CONNECTIONS:
            return 1
        sizes = [self._number(given[name]) for name in ("first", "last") if name in given]
        size = next((size for size in sizes if size is not None), DEFAULT_PAGE_SIZE)
        return min(max(size, 1), MAX_PAGE_SIZE)

    def _number(self, value: ValueNode) -> int | None:
        value = self._default_of(value)
        if isinstance(value, IntValueNode):
            return int(value.value)
        found = self._variables.get(value.name.value) if isinstance(value, VariableNode) else None
        if isinstance(found, float) and isfinite(found):
            return int(found)  # GraphQL takes 100.0 for an Int
        return found if isinstance(found, int) else None

    def _named_in(self, value: ValueNode, name: str) -> int:
        """How many objects an input names under this name; as many as the largest page, when it names none."""
        value = self._default_of(value)
        if isinstance(value, ObjectValueNode):
            named = next((one.value for one in value.fields if one.name.value == name), None)
            return self._length(named) if named is not None else MAX_PAGE_SIZE
        found = self._variables.get(value.name.value) if isinstance(value, VariableNode) else None
        listed = found.get(name) if isinstance(found, Mapping) else None
        return len(listed) if isinstance(listed, list) else MAX_PAGE_SIZE

    def _default_of(self, value: ValueNode) -> ValueNode:
        """The value that a variable has when the client gives none; any other value itself."""
        return self._defaults.get(value.name.value, value) if isinstance(value, VariableNode) else value

    def _length(self, value: ValueNode) -> int:
        value = self._default_of(value)
        if isinstance(value, ListValueNode):
            return len(value.values)
        found = self._variables.get(value.name.value) if isinstance(value, VariableNode) else None
        return len(found) if isinstance(found, list) else 1
