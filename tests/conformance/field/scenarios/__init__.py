"""The scenarios of the manifest, one module for each kind of fault."""

import importlib
import pkgutil


def load() -> None:
    """Import every module, so that its scenarios are in the manifest."""
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        importlib.import_module(module.name)
