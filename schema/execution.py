"""Execution of selected fields: values that an object already has are written without graphql-core's work for each."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cache, cached_property
from inspect import signature
from operator import attrgetter
from typing import Any

from graphql import (
    FieldNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLID,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLString,
    Undefined,
    is_enum_type,
    is_leaf_type,
    is_non_null_type,
)
from graphql.execution.collect_fields import GroupedFieldSet
from graphql.pyutils import AwaitableOrValue, Path
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.field import StrawberryField

from schema.slicing import SlicedExecutor

Leaf = Callable[[Any, "LeafInfo"], Any]
"""Reads a field of an object, and converts it to its value in JSON. Raises an error when the field is not so simple."""


@dataclass(frozen=True, slots=True)
class LeafInfo:
    """What the method of a leaf needs of a resolver's info."""

    context: Any


class NotPlain(Exception):
    """The value of a leaf is absent, or has to be awaited."""


class Executor(SlicedExecutor):
    """graphql-core's executor with a short cut: most fields of an answer are attributes of its objects.

    Without it each of them costs a path, an object with fourteen facts for a resolver, and three checks for awaitables.
    """

    @cached_property
    def leaf_info(self) -> LeafInfo:
        """The info of all leaves of this operation."""
        return LeafInfo(self.context_value)

    def execute_fields(
        self,
        parent_type: GraphQLObjectType,
        source_value: Any,  # noqa: ANN401  # as graphql-core is typed
        path: Path | None,
        grouped_field_set: GroupedFieldSet,
        position_context: Any,  # noqa: ANN401  # the same
    ) -> AwaitableOrValue[dict[str, Any]]:
        """Write the leaves here, and leave all other fields, with every error, to graphql-core."""
        leaves, info = leaves_of(parent_type), self.leaf_info
        results: dict[str, Any] = {}
        others: GroupedFieldSet = {}
        for response_name, details in grouped_field_set.items():
            leaf = leaves.get(details[0].node.name.value)
            try:
                results[response_name] = leaf(source_value, info) if leaf else others.setdefault(response_name, details)
            except Exception:  # noqa: BLE001  # graphql-core meets it again, and knows where it belongs
                results[response_name] = others.setdefault(response_name, details)
        if not others:
            return results
        rest = super().execute_fields(parent_type, source_value, path, others, position_context)
        if isinstance(rest, dict):
            return results | rest
        return _joined(results, rest)


async def _joined(results: dict[str, Any], rest: Awaitable[dict[str, Any]]) -> dict[str, Any]:
    return results | await rest


@cache
def leaves_of(parent_type: GraphQLObjectType) -> dict[str, Leaf]:
    """The fields of a type that need no resolver, by name."""
    found = {name: leaf for name, field in parent_type.fields.items() if (leaf := _leaf_of(field))}
    return {"__typename": lambda _, __: parent_type.name, **found}


def _leaf_of(field: GraphQLField) -> Leaf | None:
    """How this field is read; None when it is not a plain value, or has arguments."""
    declared = field.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
    kind: Any = field.type.of_type if is_non_null_type(field.type) else field.type
    if not isinstance(declared, StrawberryField) or not is_leaf_type(kind):
        return None
    read, write = _reader_of(declared), _writer_of(kind)
    if read is None:
        return None
    if is_non_null_type(field.type):
        return lambda source, info: write(read(source, info))

    def optional(source: object, info: LeafInfo) -> Any:  # noqa: ANN401  # any value of JSON
        value = read(source, info)
        return None if value is None else write(value)

    return optional


def _reader_of(field: StrawberryField) -> Leaf | None:
    """Reads the attribute, or calls the method that needs nothing but the context; None for any other field."""
    if field.is_basic_field:
        attribute = attrgetter(field.python_name)
        return lambda source, _: attribute(source)
    resolver = field.base_resolver
    if resolver is None or field.extensions or field.is_async or field.arguments:
        return None
    method: Any = resolver.wrapped_func
    return method if list(signature(method).parameters) == ["self", "info"] else None


def _writer_of(kind: Any) -> Callable[[Any], Any]:  # noqa: ANN401  # a scalar or an enum
    """How a value of a leaf's type is converted, with a short cut for the values that it nearly always has."""
    if is_enum_type(kind):
        return {value.value: name for name, value in kind.values.items()}.__getitem__
    convert = kind.coerce_output_value
    if kind in {GraphQLString, GraphQLID}:
        return lambda value: value if type(value) is str else _written(convert(value))
    return lambda value: _written(convert(value))


def _written(value: object) -> object:
    if value is None or value is Undefined:
        raise NotPlain
    return value


def names_below(info: GraphQLResolveInfo[Any]) -> frozenset[str]:
    """The names of all fields that are selected below this one, at any depth."""
    found: set[str] = set()
    pending: list[Any] = [node.selection_set for node in info.field_nodes]
    spread: set[str] = set()
    while pending:
        for node in getattr(pending.pop(), "selections", ()):
            if isinstance(node, FieldNode):
                found.add(node.name.value)
            if not isinstance(node, FragmentSpreadNode):
                pending.append(node.selection_set)
            elif node.name.value not in spread:
                spread.add(node.name.value)
                pending.append(info.fragments[node.name.value].selection_set)
    return frozenset(found)
