"""The hooks of extensions around an operation, which are found once for each class."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import strawberry
from strawberry.extensions import SchemaExtension
from strawberry.extensions.runner import SchemaExtensionsRunner
from strawberry.types import ExecutionContext

from schema.extension_hooks import ExtensionsRunner

SAID: list[str] = []


class Named(SchemaExtension):
    """Says what it is called around."""

    name = "first"

    def on_operation(self) -> Iterator[None]:
        """Say it."""
        yield from self.said("operation")

    def on_parse(self) -> Iterator[None]:
        """Say it."""
        yield from self.said("parse")

    async def on_execute(self) -> AsyncIterator[None]:
        """Say it."""
        SAID.append(f"{self.name} execute {self.execution_context.query}")
        yield
        SAID.append(f"{self.name} executed")

    def said(self, what: str) -> Iterator[None]:
        """Say it before and after."""
        SAID.append(f"{self.name} {what}")
        yield
        SAID.append(f"{self.name} {what} ended")


class Second(Named):
    """Has another name, and a hook that is no generator."""

    name = "second"

    def on_validate(self) -> None:  # type: ignore[override]  # Strawberry accepts a plain function
        """Say it."""
        SAID.append("second validate")


@strawberry.type
class Query:
    """Has one field."""

    one: int = 1


class Found(strawberry.Schema):
    """Uses our runner."""

    def create_extensions_runner(
        self, execution_context: ExecutionContext, extensions: list[SchemaExtension]
    ) -> SchemaExtensionsRunner:
        """Create the runner."""
        return ExtensionsRunner(execution_context, extensions)


def test_hooks_run_in_the_same_order_as_with_strawberrys_own_runner() -> None:
    said = []
    for schema in (Found, strawberry.Schema):
        with_extensions = schema(Query, extensions=[Named, Second])
        for query in ("{ one }", "{ two: one }"):
            SAID.clear()
            asyncio.run(with_extensions.execute(query))
            said.append(list(SAID))

    assert said[:2] == said[2:]
    assert said[1][0] == "first operation"
    assert "second execute { two: one }" in said[1]
    assert "second validate" in said[1]
