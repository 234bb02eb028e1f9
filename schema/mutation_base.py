"""What the inputs and payloads of all mutations share."""

import inspect
from collections.abc import Sequence
from typing import Any, TypeVar, dataclass_transform

import strawberry

from schema.user_errors import UserError

T = TypeVar("T")

COMES_LAST = ("expected_version", "idempotency_key", "user_errors")
"""Fields that every input or payload shares, shown after the fields of its own."""


@dataclass_transform(kw_only_default=True, field_specifiers=(strawberry.field,))
def mutation_input(cls: type[T]) -> type[T]:
    """Declare the input of a mutation. Its docstring is its description."""
    return _with_shared_fields_last(strawberry.input(cls, description=inspect.getdoc(cls)))


@dataclass_transform(kw_only_default=True, field_specifiers=(strawberry.field,))
def mutation_payload(cls: type[T]) -> type[T]:
    """Declare the payload of a mutation. Its docstring is its description."""
    return _with_shared_fields_last(strawberry.type(cls, description=inspect.getdoc(cls)))


def _with_shared_fields_last(cls: type[T]) -> type[T]:
    """A dataclass puts inherited fields first; a reader looks for the mutation's own fields first."""
    definition: Any = vars(cls)["__strawberry_definition__"]
    definition.fields.sort(
        key=lambda one: COMES_LAST.index(one.python_name) + 1 if one.python_name in COMES_LAST else 0
    )
    return cls


@mutation_input
class MutationInput:
    """The input of any mutation."""

    idempotency_key: str | None = strawberry.field(
        description="Makes a repeat of this call safe for 24 hours: it returns the first outcome and changes nothing.",
        default=strawberry.UNSET,
    )

    def named_tenants(self) -> Sequence[str]:
        """Global ids of the tenants that the call names: a denied attempt by support is recorded with their owners."""
        return []


@mutation_input
class VersionedInput(MutationInput):
    """The input of a mutation of an object that has a version."""

    expected_version: int | None = strawberry.field(
        description="Refuse with VERSION_CONFLICT unless the object still has this version.", default=strawberry.UNSET
    )


@mutation_payload
class MutationPayload:
    """The payload of any mutation."""

    user_errors: list[UserError] = strawberry.field(
        description="Why the call was refused; empty when it succeeded.", default_factory=list
    )
