"""The descriptions of a GraphQL schema: all of them, and those that say nothing."""

import re
from collections.abc import Iterator

from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    is_introspection_type,
    is_specified_scalar_type,
)

ENOUGH_WORDS = 4
LETTERS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
EMPTY_WORDS = frozenset(
    [
        "a",
        "an",
        "the",
        "this",
        "that",
        "its",
        "it",
        "of",
        "for",
        "in",
        "to",
        "is",
        "are",
        "was",
        "and",
        "or",
        "one",
        "which",
    ]
)


def types_of(schema: GraphQLSchema) -> list[GraphQLNamedType]:
    """Every type of the schema's own."""
    types = schema.type_map.values()
    return [one for one in types if not is_introspection_type(one) and not is_specified_scalar_type(one)]


def descriptions(schema: GraphQLSchema) -> Iterator[tuple[str, str]]:
    """The description of every type, field, argument and value by its name; empty where there is none."""
    for name, description in _described(schema):
        yield name, " ".join((description or "").split())


def too_short(description: str) -> bool:
    """Whether it has fewer than four words."""
    return len(description.split()) < ENOUGH_WORDS


def repeats_the_name(name: str, description: str) -> bool:
    """Whether every word in it that carries a meaning is one of the name's: ``Tenant.slug``, "The tenant's slug."."""
    known = {_stem(word) for word in LETTERS.findall(name)}
    said = {_stem(word) for word in re.findall(r"[A-Za-z]+", description.replace("'s", ""))}
    return bool(said) and said - EMPTY_WORDS <= known


def _stem(word: str) -> str:
    return word.lower().removesuffix("s") if len(word) > 3 else word.lower()


def _described(schema: GraphQLSchema) -> Iterator[tuple[str, str | None]]:
    for one in types_of(schema):
        yield one.name, one.description
        if isinstance(one, GraphQLObjectType | GraphQLInterfaceType | GraphQLInputObjectType):
            for name, field in one.fields.items():
                yield f"{one.name}.{name}", field.description
                for argument, details in getattr(field, "args", {}).items():
                    yield f"{one.name}.{name}({argument})", details.description
        if isinstance(one, GraphQLEnumType):
            for value, detail in one.values.items():
                yield f"{one.name}.{value}", detail.description
