"""The cost of an operation in points: one for each field, multiplied by the size of the pages that contain it."""

from collections.abc import Iterator, Mapping
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
    NullValueNode,
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
"""Fields that return a page."""

LIST_ARGUMENTS = {"nodes": "ids"}
"""Fields that return one object for each item of an argument."""

BULK_INPUTS = {"cancelProvisionings": "tenantIds"}
"""Fields that return one object for each item of their input, or for each object that the input's filter matches."""


FILTERED = {
    "auditEvents": frozenset({"occurredFrom", "occurredUntil", "typeIn", "actorId"}),
    "tenants": frozenset({"slugPrefix", "createdFrom", "createdUntil", "hasAbandonedResources", "planIn"}),
}
"""Conditions by which a page may be searched for among all rows of an organisation."""

SEARCH = 50
"""Points of a page with such a condition. The page may be empty, and the search for it long."""

EVENTS_FOR_A_PRICE = 4
"""An event of a subscription costs this part of its selection: it is read by its place, not searched for."""


def event_cost(subscription: int) -> int:
    """Points of each event that a subscription delivers, from the points of the subscription itself."""
    return -(-subscription // EVENTS_FOR_A_PRICE)


def cost_of(document: DocumentNode, operation_name: str | None, variables: Mapping[str, Any] | None) -> int:
    """Points of one operation. The document must be valid, so that its fragments have no cycles."""
    operation = get_operation_ast(document, operation_name)
    if operation is None:
        return 0
    fragments = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}
    return CostEstimate(operation, fragments, variables or {}).total


class CostEstimate:
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
        self.total = self._selections(operation.selection_set)

    def _selections(self, selection_set: SelectionSetNode | None) -> int:
        return sum(map(self._selection, selection_set.selections)) if selection_set else 0

    def _selection(self, node: SelectionNode) -> int:
        match node:
            case FieldNode():
                return 1 + self._search(node) + self._multiplier(node) * self._selections(node.selection_set)
            case InlineFragmentNode():
                return self._selections(node.selection_set)
            case FragmentSpreadNode():
                return self._fragment(node.name.value)
            case _:
                return 0

    def _fragment(self, name: str) -> int:
        if name not in self._measured:
            self._measured[name] = self._selections(self._fragments[name].selection_set)
        return self._measured[name]

    def _search(self, node: FieldNode) -> int:
        """The points of a filter: SEARCH if it has a condition by which all rows may be searched."""
        conditions = FILTERED.get(node.name.value)
        given = next((argument.value for argument in node.arguments or () if argument.name.value == "filter"), None)
        if conditions is None or given is None:
            return 0
        return SEARCH if conditions & set(self._names_in(given)) else 0

    def _names_in(self, value: ValueNode) -> Iterator[str]:
        """The names that an input object has with another value than null. A variable's default counts."""
        value = self._default_of(value)
        if isinstance(value, ObjectValueNode):
            yield from (one.name.value for one in value.fields if not isinstance(one.value, NullValueNode))
        found = self._variables.get(value.name.value) if isinstance(value, VariableNode) else None
        if isinstance(found, Mapping):
            yield from (name for name, item in found.items() if item is not None)

    def _multiplier(self, node: FieldNode) -> int:
        """How many objects a field may return."""
        given = {argument.name.value: argument.value for argument in node.arguments or ()}
        if node.name.value in LIST_ARGUMENTS and LIST_ARGUMENTS[node.name.value] in given:
            return self._length(given[LIST_ARGUMENTS[node.name.value]])
        if node.name.value in BULK_INPUTS and "input" in given:
            # At most a page, so that a bulk cancel of hundreds of tenants fits into the usual budget.
            return min(self._length_in(given["input"], BULK_INPUTS[node.name.value]), MAX_PAGE_SIZE)
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
            return int(found)  # GraphQL accepts 100.0 for an Int
        return found if isinstance(found, int) else None

    def _length_in(self, value: ValueNode, name: str) -> int:
        """The length of the list under this name in an input object; the largest page if there is no such list."""
        value = self._default_of(value)
        if isinstance(value, ObjectValueNode):
            items = next((field.value for field in value.fields if field.name.value == name), None)
            return self._length(items) if items is not None else MAX_PAGE_SIZE
        found = self._variables.get(value.name.value) if isinstance(value, VariableNode) else None
        listed = found.get(name) if isinstance(found, Mapping) else None
        return len(listed) if isinstance(listed, list) else MAX_PAGE_SIZE

    def _default_of(self, value: ValueNode) -> ValueNode:
        """The default of a variable that the client does not set; any other value itself."""
        return self._defaults.get(value.name.value, value) if isinstance(value, VariableNode) else value

    def _length(self, value: ValueNode) -> int:
        value = self._default_of(value)
        if isinstance(value, ListValueNode):
            return len(value.values)
        found = self._variables.get(value.name.value) if isinstance(value, VariableNode) else None
        return len(found) if isinstance(found, list) else 1
