"""Finds what is named as ``package.module:name``."""

from collections.abc import Callable
from importlib import import_module
from typing import Any


class NoSuchFactory(Exception):
    """Nothing that can be called goes by this name. The message is one sentence for an operator."""


def factory(reference: str) -> Callable[[], Any]:
    """Import it. Raises NoSuchFactory."""
    module_name, _, name = reference.partition(":")
    if not (module_name and name):
        raise NoSuchFactory(f"{reference!r} is not of the form package.module:factory.")
    try:
        module = import_module(module_name)
    except ImportError as error:
        raise NoSuchFactory(f"{module_name} cannot be imported: {error}.") from error
    found = getattr(module, name, None)
    if found is None:
        raise NoSuchFactory(f"{module_name} has nothing called {name}.")
    if not callable(found):
        raise NoSuchFactory(f"{reference} is not something that can be called.")
    return found  # type: ignore[no-any-return]  # it is only known to be callable
