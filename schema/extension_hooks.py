"""The hooks of extensions around an operation, found once for each class of extensions."""

from collections.abc import Callable
from contextlib import asynccontextmanager, contextmanager
from functools import cache
from inspect import isasyncgenfunction, isgeneratorfunction
from types import MethodType
from typing import Any

from strawberry.extensions import SchemaExtension
from strawberry.extensions.context import (
    ExecutingContextManager,
    ExtensionContextManagerBase,
    OperationContextManager,
    ParsingContextManager,
    StreamResultContextManager,
    ValidationContextManager,
    WrappedHook,
)
from strawberry.extensions.runner import SchemaExtensionsRunner
from strawberry.types import StreamExecutionResult


class FoundOnce(ExtensionContextManagerBase):
    """Strawberry's own class inspects and wraps each hook of each extension for every operation."""

    def get_hook(self, extension: SchemaExtension) -> WrappedHook | None:
        """The hook of an extension at this place; None if it has none."""
        kind: Any = type(extension)  # mypy takes no class with slots for hashable
        found = _hook_of(kind, self.HOOK_NAME)
        if found is None:
            return super().get_hook(extension)
        manager, is_async = found
        return WrappedHook(extension, MethodType(manager, extension), is_async) if manager else None


class Operation(FoundOnce, OperationContextManager):
    """Around the whole operation."""


class Parsing(FoundOnce, ParsingContextManager):
    """Around parsing."""


class Validation(FoundOnce, ValidationContextManager):
    """Around validation."""


class Executing(FoundOnce, ExecutingContextManager):
    """Around execution."""


class StreamResult(FoundOnce, StreamResultContextManager):
    """Around a result of a subscription, before it is sent."""


class ExtensionsRunner(SchemaExtensionsRunner):
    """Runs the hooks of an operation's extensions."""

    def operation(self) -> Operation:
        """The hooks around the operation."""
        return Operation(self.extensions)

    def parsing(self) -> Parsing:
        """The hooks around parsing."""
        return Parsing(self.extensions)

    def validation(self) -> Validation:
        """The hooks around validation."""
        return Validation(self.extensions)

    def executing(self) -> Executing:
        """The hooks around execution."""
        return Executing(self.extensions)

    def on_stream_result(self, result: StreamExecutionResult) -> StreamResult:
        """The hooks around one result of a subscription."""
        return StreamResult(self.extensions, result)


@cache
def _hook_of(kind: type[SchemaExtension], name: str) -> tuple[Callable[..., Any] | None, bool] | None:
    """The hook as a function that makes a context manager, and whether that is asynchronous.

    ``(None, False)`` for a class without this hook; None for one that is not a generator, which is left to Strawberry.
    """
    hook = getattr(kind, name)
    if hook is getattr(SchemaExtension, name):
        return None, False
    if isgeneratorfunction(hook):
        return contextmanager(hook), False
    return (asynccontextmanager(hook), True) if isasyncgenfunction(hook) else None
