"""Executes an operation in slices, so that a long one does not hold the event loop."""

from collections.abc import Awaitable, Iterable, Iterator
from typing import Any

from graphql.pyutils import AwaitableOrValue
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from schema.context import Context


class SlicedExecutor(StrawberryGraphQLCoreExecutionContext):
    """Strawberry's executor, which waits for its turn between the items of a list, and after an awaited value.

    The turns are those of ``runtime/loop_share.py``. An operation that is short never waits.
    """

    def complete_iterable_value(
        self,
        item_type: Any,  # noqa: ANN401  # graphql-core's own type
        field_details_list: Any,  # noqa: ANN401  # the same
        info: Any,  # noqa: ANN401  # the same
        path: Any,  # noqa: ANN401  # the same
        items: Iterable[Any],
        position_context: Any,  # noqa: ANN401  # the same
    ) -> AwaitableOrValue[list[Any]]:
        """Complete the items of a list; those for which the slice is too short later."""
        return super().complete_iterable_value(
            item_type, field_details_list, info, path, self._sliced(items), position_context
        )

    async def complete_awaitable_value(
        self,
        return_type: Any,  # noqa: ANN401  # graphql-core's own type
        field_details_list: Any,  # noqa: ANN401  # the same
        info: Any,  # noqa: ANN401  # the same
        path: Any,  # noqa: ANN401  # the same
        result: Any,  # noqa: ANN401  # the same
        position_context: Any,  # noqa: ANN401  # the same
    ) -> Any:  # noqa: ANN401  # the same
        """Complete a field once its value is there and its turn has come."""
        return await super().complete_awaitable_value(
            return_type, field_details_list, info, path, self._in_turn(result), position_context
        )

    def _sliced(self, items: Iterable[Any]) -> Iterator[Any]:
        """The items, or awaitables for them from where the slice is used up."""
        context = self.context_value
        if not isinstance(context, Context):
            yield from items
            return
        for item in items:
            yield self._later(item) if context.loop_share.exhausted() and not self.is_awaitable(item) else item

    async def _later(self, item: Any) -> Any:  # noqa: ANN401  # any value
        await self.context_value.parts.take_turn()
        return item

    async def _in_turn(self, value: Awaitable[Any]) -> Any:  # noqa: ANN401  # any value
        done = await value
        if isinstance(self.context_value, Context):
            await self.context_value.parts.take_turn()
        return done
