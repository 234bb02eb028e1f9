"""The manifest, a module for each kind of trouble."""

import importlib
import pkgutil


def load() -> None:
    """Import every module, so that its scenarios are on the manifest."""
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        importlib.import_module(module.name)
