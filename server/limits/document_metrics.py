"""Measures the size of a GraphQL document, in one walk that visits each fragment once."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
)

INTROSPECTION_FIELDS = frozenset({"__schema", "__type"})
"""Root fields that return the schema itself."""


@dataclass(frozen=True, slots=True)
class OperationMetrics:
    """The size of a selection and everything below it. A fragment counts as often as it is spread.

    ``repeats`` counts fields with a selection set that have the same response name as another field beside them:
    validation compares each pair, including everything below them.
    """

    depth: int = 0
    fields: int = 0
    aliases: int = 0
    directives: int = 0
    repeats: int = 0

    def plus(self, other: "OperationMetrics") -> "OperationMetrics":
        """The size of both in one selection set."""
        return OperationMetrics(
            max(self.depth, other.depth),
            self.fields + other.fields,
            self.aliases + other.aliases,
            self.directives + other.directives,
            self.repeats + other.repeats,
        )


EMPTY = OperationMetrics()


@dataclass(frozen=True, slots=True)
class DocumentMetrics:
    """The size of a document: of each measure, the largest among its operations."""

    operations: int
    variables: int
    root_fields: int
    data: OperationMetrics
    introspection: OperationMetrics

    @property
    def has_introspection(self) -> bool:
        """Whether an operation selects introspection fields."""
        return self.introspection.fields > 0


def measure_document(document: DocumentNode) -> DocumentMetrics:
    """Measure a parsed document. It may be invalid: fragments may be missing or spread themselves."""
    fragments = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}
    operations = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
    walk = _Walk(fragments)
    introspection = _largest(walk.selections(node.selection_set, introspection=True) for node in operations)
    data = [walk.selections(node.selection_set, introspection=False, operation=node) for node in operations]
    # Validation also walks fragments that no operation uses.
    unused = [walk.fragment(name, introspection=None) for name in fragments if not walk.has_visited(name)]
    return DocumentMetrics(
        operations=len(operations),
        variables=max((len(node.variable_definitions or ()) for node in operations), default=0),
        root_fields=max((walk.root_fields(node.selection_set) for node in operations), default=0),
        data=_largest(data + unused),
        introspection=introspection,
    )


class _Walk:
    """One walk over a document. ``introspection`` selects the root fields that count; None selects all of them."""

    def __init__(self, fragments: Mapping[str, FragmentDefinitionNode]) -> None:
        self._fragments = fragments
        self._measured: dict[tuple[str, bool | None], OperationMetrics] = {}
        self._root_fields: dict[str, int] = {}

    def selections(
        self,
        selection_set: SelectionSetNode | None,
        *,
        introspection: bool | None,
        operation: OperationDefinitionNode | None = None,
    ) -> OperationMetrics:
        """The size of a selection set, with the directives of its operation if given."""
        nodes = selection_set.selections if selection_set else ()
        directives = len(operation.directives or ()) if operation else 0
        metrics = OperationMetrics(directives=directives, repeats=_repeats_in(nodes))
        for node in nodes:
            metrics = metrics.plus(self._selection(node, introspection))
        return metrics

    def fragment(self, name: str, *, introspection: bool | None) -> OperationMetrics:
        """The size of a fragment, measured once."""
        key = name, introspection
        if key not in self._measured:
            self._measured[key] = EMPTY  # for a fragment that spreads itself, which validation refuses
            fragment = self._fragments.get(name)
            selection_set = fragment.selection_set if fragment else None
            self._measured[key] = self.selections(selection_set, introspection=introspection)
        return self._measured[key]

    def has_visited(self, name: str) -> bool:
        """Whether an operation measured so far uses this fragment, at any depth."""
        return any((name, introspection) in self._measured for introspection in (True, False, None))

    def root_fields(self, selection_set: SelectionSetNode) -> int:
        """How many fields of the root type are selected."""
        return sum(map(self._root_fields_of, selection_set.selections))

    def _selection(self, node: SelectionNode, introspection: bool | None) -> OperationMetrics:  # noqa: FBT001  # 3 values
        directives = len(node.directives or ())
        match node:
            case FieldNode():
                if introspection is not None and (node.name.value in INTROSPECTION_FIELDS) is not introspection:
                    return EMPTY
                below = self.selections(node.selection_set, introspection=None)
                aliases = below.aliases + (node.alias is not None)
                return OperationMetrics(
                    below.depth + 1, below.fields + 1, aliases, below.directives + directives, below.repeats
                )
            case InlineFragmentNode():
                inline = self.selections(node.selection_set, introspection=introspection)
                return inline.plus(OperationMetrics(directives=directives))
            case FragmentSpreadNode():
                spread = self.fragment(node.name.value, introspection=introspection)
                return spread.plus(OperationMetrics(directives=directives))
            case _:
                return EMPTY

    def _root_fields_of(self, node: SelectionNode) -> int:
        match node:
            case FieldNode():
                return 1
            case InlineFragmentNode():
                return self.root_fields(node.selection_set)
            case FragmentSpreadNode():
                return self._root_fields_of_fragment(node.name.value)
            case _:
                return 0

    def _root_fields_of_fragment(self, name: str) -> int:
        if name not in self._root_fields:
            self._root_fields[name] = 0
            fragment = self._fragments.get(name)
            self._root_fields[name] = self.root_fields(fragment.selection_set) if fragment else 0
        return self._root_fields[name]


def _largest(metrics: Iterable[OperationMetrics]) -> OperationMetrics:
    """The largest of each measure."""
    each = list(metrics) or [EMPTY]
    return OperationMetrics(
        max(one.depth for one in each),
        max(one.fields for one in each),
        max(one.aliases for one in each),
        max(one.directives for one in each),
        max(one.repeats for one in each),
    )


def _repeats_in(nodes: Iterable[SelectionNode]) -> int:
    names = [
        (node.alias or node.name).value
        for node in nodes
        if isinstance(node, FieldNode) and node.selection_set is not None
    ]
    return len(names) - len(set(names))
