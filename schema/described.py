"""Types, inputs and fields of the GraphQL schema that take their description from their docstring."""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar, dataclass_transform

import strawberry

T = TypeVar("T")


@dataclass_transform(kw_only_default=True, field_specifiers=(strawberry.field,))
def described_type(cls: type[T]) -> type[T]:
    """Declare an object type."""
    return strawberry.type(cls, description=description_of(cls))


@dataclass_transform(kw_only_default=True, field_specifiers=(strawberry.field,))
def described_input(cls: type[T]) -> type[T]:
    """Declare an input type."""
    return strawberry.input(cls, description=description_of(cls))


@dataclass_transform(kw_only_default=True, field_specifiers=(strawberry.field,))
def described_interface(cls: type[T]) -> type[T]:
    """Declare an interface."""
    return strawberry.interface(cls, description=description_of(cls))


def described_field(resolver: Callable[..., Any]) -> Any:  # noqa: ANN401  # as strawberry.field is typed
    """Declare a field that a method resolves."""
    return strawberry.field(resolver, description=description_of(resolver))


def description_of(described: object) -> str:
    """The docstring as one paragraph, because GraphiQL shows line breaks as they are."""
    docstring = inspect.getdoc(described)
    assert docstring, f"{described} has no docstring"
    return " ".join(docstring.split())
