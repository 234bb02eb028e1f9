"""Fields that are written without graphql-core: the same values, errors and order."""

import asyncio
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import pytest
import strawberry
from strawberry.schema.config import StrawberryConfig

from schema.context import Info
from schema.execution import Executor, leaves_of
from schema.scalars import SCALARS


@strawberry.enum
class Colour(StrEnum):
    RED = "RED"
    BLUE = "BLUE"


def fail(context: object) -> str:
    raise ValueError(f"broken in {context}")


@strawberry.type
class Thing:
    name: str
    colour: Colour
    made_at: datetime
    size: int | None = None

    @strawberry.field
    def shown_name(self, info: Info) -> str:
        """A leaf that is computed from the context."""
        return f"{info.context} {self.name}"

    @strawberry.field
    def broken(self, info: Info) -> str | None:
        """A leaf that fails."""
        return fail(info.context)

    @strawberry.field
    async def loaded(self) -> str:
        """A leaf that is there at once."""
        return self.name.upper()

    @strawberry.field
    async def slow(self) -> "Thing":
        """An object that comes later."""
        await asyncio.sleep(0)
        return self


@strawberry.type
class Query:
    @strawberry.field
    def things(self) -> list[Thing]:
        made_at = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
        return [
            Thing(name="first", colour=Colour.RED, made_at=made_at, size=3),
            Thing(name="second", colour=Colour.BLUE, made_at=made_at),
            Thing(name=None, colour=Colour.BLUE, made_at=made_at),  # type: ignore[arg-type]  # a value that is missing
        ]


def schema(executor: type[Executor] | None) -> strawberry.Schema:
    return strawberry.Schema(Query, execution_context_class=executor, config=StrawberryConfig(scalar_map=SCALARS))


def result(document: str, executor: type[Executor] | None) -> tuple[Any, list[dict[str, Any]]]:
    executed = asyncio.run(schema(executor).execute(document, context_value="shown"))
    return executed.data, [dict(error.formatted) for error in executed.errors or ()]


@pytest.mark.parametrize(
    "selected",
    [
        "name colour madeAt size __typename",
        "slow { size } name",
        "size slow { colour slow { madeAt } } shown: shownName broken loaded",
        "first: size second: size",
        "broken loaded",
        "size",
    ],
)
def test_an_answer_is_the_one_of_graphql_core(selected: str) -> None:
    document = f"{{ things {{ {selected} }} }}"

    data, errors = result(document, Executor)

    assert (data, errors) == result(document, None)
    if data is not None:
        assert [list(thing) for thing in data["things"]] == [
            list(thing) for thing in result(document, None)[0]["things"]
        ]


def test_leaves_are_the_attributes_and_the_methods_that_need_only_the_context() -> None:
    made = schema(Executor)
    thing: Any = made._schema.type_map["Thing"]

    assert set(leaves_of(thing)) == {"__typename", "name", "colour", "madeAt", "size", "shownName", "broken"}
