"""How large a document is. One walk that measures each fragment once, however often it is spread."""

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

ABOUT_THE_SCHEMA = frozenset({"__schema", "__type"})
"""Root fields that tell of the schema itself."""


@dataclass(frozen=True, slots=True)
class OperationMetrics:
    """Of a selection with everything below it: fragments count as often as they are spread.

    ``repeats`` are fields with fields below them that are asked for again under the same name: validation compares
    each with each, and everything below them too.
    """

    depth: int = 0
    fields: int = 0
    aliases: int = 0
    directives: int = 0
    repeats: int = 0

    def beside(self, other: "OperationMetrics") -> "OperationMetrics":
        """Both, in one selection set."""
        return OperationMetrics(
            max(self.depth, other.depth),
            self.fields + other.fields,
            self.aliases + other.aliases,
            self.directives + other.directives,
            self.repeats + other.repeats,
        )


NOTHING = OperationMetrics()


@dataclass(frozen=True, slots=True)
class DocumentMetrics:
    """Of a document: the largest of what each of its operations has."""

    operations: int
    variables: int
    root_fields: int
    data: OperationMetrics
    about_schema: OperationMetrics

    @property
    def asks_about_schema(self) -> bool:
        """Whether an operation looks into the schema."""
        return self.about_schema.fields > 0


def measure_document(document: DocumentNode) -> DocumentMetrics:
    """Measure a document that was parsed and perhaps is not valid: fragments may be missing, or contain themselves."""
    fragments = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}
    operations = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
    walk = _Walk(fragments)
    about_schema = _largest(walk.below(one.selection_set, schema=True) for one in operations)
    data = [walk.below(one.selection_set, schema=False, own=one) for one in operations]
    # Validation walks those that no operation uses all the same.
    unused = [walk.fragment(name, schema=None) for name in fragments if not walk.has_met(name)]
    return DocumentMetrics(
        operations=len(operations),
        variables=max((len(one.variable_definitions or ()) for one in operations), default=0),
        root_fields=max((walk.roots(one.selection_set) for one in operations), default=0),
        data=_largest(data + unused),
        about_schema=about_schema,
    )


class _Walk:
    """What was measured so far, by fragment."""

    def __init__(self, fragments: Mapping[str, FragmentDefinitionNode]) -> None:
        self._fragments = fragments
        self._measured: dict[tuple[str, bool | None], OperationMetrics] = {}
        self._roots: dict[str, int] = {}

    def below(
        self, selections: SelectionSetNode | None, *, schema: bool | None, own: OperationDefinitionNode | None = None
    ) -> OperationMetrics:
        """What a selection set has. At the root, ``schema`` tells which of its fields count; None is all of them."""
        nodes = selections.selections if selections else ()
        extent = OperationMetrics(directives=len(own.directives or ()) if own else 0, repeats=_repeats_in(nodes))
        for node in nodes:
            extent = extent.beside(self._of(node, schema))
        return extent

    def fragment(self, name: str, *, schema: bool | None) -> OperationMetrics:
        """What a fragment has, measured once."""
        if (name, schema) not in self._measured:
            self._measured[name, schema] = NOTHING  # what contains itself is refused by validation
            fragment = self._fragments.get(name)
            self._measured[name, schema] = self.below(fragment.selection_set if fragment else None, schema=schema)
        return self._measured[name, schema]

    def has_met(self, name: str) -> bool:
        """Whether an operation measured so far uses this fragment, however far below."""
        return any((name, schema) in self._measured for schema in (True, False, None))

    def roots(self, selections: SelectionSetNode) -> int:
        """How many fields of the root type are asked for."""
        return sum(map(self._roots_of, selections.selections))

    def _of(self, node: SelectionNode, schema: bool | None) -> OperationMetrics:  # noqa: FBT001  # of three values
        directives = len(node.directives or ())
        match node:
            case FieldNode():
                if schema is not None and (node.name.value in ABOUT_THE_SCHEMA) is not schema:
                    return NOTHING
                below = self.below(node.selection_set, schema=None)
                aliases = below.aliases + (node.alias is not None)
                return OperationMetrics(
                    below.depth + 1, below.fields + 1, aliases, below.directives + directives, below.repeats
                )
            case InlineFragmentNode():
                return self.below(node.selection_set, schema=schema).beside(OperationMetrics(directives=directives))
            case FragmentSpreadNode():
                return self.fragment(node.name.value, schema=schema).beside(OperationMetrics(directives=directives))
            case _:
                return NOTHING

    def _roots_of(self, node: SelectionNode) -> int:
        match node:
            case FieldNode():
                return 1
            case InlineFragmentNode():
                return self.roots(node.selection_set)
            case FragmentSpreadNode():
                return self._roots_of_fragment(node.name.value)
            case _:
                return 0

    def _roots_of_fragment(self, name: str) -> int:
        if name not in self._roots:
            self._roots[name] = 0
            fragment = self._fragments.get(name)
            self._roots[name] = self.roots(fragment.selection_set) if fragment else 0
        return self._roots[name]


def _largest(extents: Iterable[OperationMetrics]) -> OperationMetrics:
    """The largest of each measure."""
    each = list(extents) or [NOTHING]
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
