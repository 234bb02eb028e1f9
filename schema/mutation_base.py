"""Base classes of the inputs and payloads of all mutations."""

from collections.abc import Sequence
from typing import Any, TypeVar, dataclass_transform

import strawberry

from schema.described import described_input, described_type
from schema.user_errors import UserError

T = TypeVar("T")

SHARED_FIELDS = ("expected_version", "idempotency_key", "user_errors")
"""Fields that inputs or payloads share. They follow the fields of the mutation itself."""


@dataclass_transform(kw_only_default=True, field_specifiers=(strawberry.field,))
def mutation_input(cls: type[T]) -> type[T]:
    """Declare the input of a mutation. Its docstring is its description."""
    return _with_shared_fields_last(described_input(cls))


@dataclass_transform(kw_only_default=True, field_specifiers=(strawberry.field,))
def mutation_payload(cls: type[T]) -> type[T]:
    """Declare the payload of a mutation. Its docstring is its description."""
    return _with_shared_fields_last(described_type(cls))


def _with_shared_fields_last(cls: type[T]) -> type[T]:
    """A dataclass puts inherited fields first, but a reader needs the mutation's own fields first."""
    definition: Any = vars(cls)["__strawberry_definition__"]
    definition.fields.sort(
        key=lambda one: SHARED_FIELDS.index(one.python_name) + 1 if one.python_name in SHARED_FIELDS else 0
    )
    return cls


@mutation_input
class MutationInput:
    """The input of a mutation."""

    idempotency_key: str | None = strawberry.field(
        description="1 to 255 characters. A repeat of the call with the same key and input, within 24 hours, changes "
        "nothing and returns the objects of the first call as they are now. A refused call can be repeated. The "
        "header Idempotency-Key does the same.",
        default=strawberry.UNSET,
    )

    def named_tenants(self) -> Sequence[str]:
        """Global ids of the tenants in the input. A denied attempt by support is recorded in their owners' feeds."""
        return []


@mutation_input
class VersionedInput(MutationInput):
    """The input of a mutation of an object that has a version."""

    expected_version: int | None = strawberry.field(
        description="The version that you have read. The call is refused with VERSION_CONFLICT when the object has "
        "another one by now. Absent: no check.",
        default=strawberry.UNSET,
    )


@mutation_payload
class MutationPayload:
    """The payload of a mutation."""

    user_errors: list[UserError] = strawberry.field(
        description="Why the call was refused, in which case nothing has changed; empty when it succeeded.",
        default_factory=list,
    )
