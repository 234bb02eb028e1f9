"""The import contracts place every module, also a new one."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CONFIGURATION = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
LAYERS = " ".join(CONFIGURATION["contracts"][0]["layers"]).split()


def test_every_module_of_the_schema_has_a_layer() -> None:
    modules = {f"schema.{path.stem}" for path in (ROOT / "schema").glob("*.py")} - {"schema.__init__"}

    assert {name for name in LAYERS if name.startswith("schema.")} == modules


def test_every_package_is_under_the_import_contracts() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}

    assert set(CONFIGURATION["root_packages"]) == packages
