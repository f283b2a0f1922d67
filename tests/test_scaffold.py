"""The package as a package: version, declared dependencies, shipped files, file sizes, map."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import yaml
from hatchling.builders.wheel import WheelBuilder

import medrl

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "medrl"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MAX_LINES = 450

# Distributions whose import name is not their own name with underscores.
IMPORT_NAMES = {"pillow": "PIL", "pyyaml": "yaml"}


def python_files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def distribution(requirement: str) -> str:
    """``"torch>=2.6,<2.14"`` -> ``"torch"``."""
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match is not None, requirement
    return match.group().lower()


def imported_names(path: Path) -> Iterator[str]:
    """Top-level names a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module.split(".")[0]


def test_version_is_the_one_in_pyproject() -> None:
    assert medrl.__version__ == PROJECT["version"]


def test_every_third_party_import_is_declared() -> None:
    extras = PROJECT["optional-dependencies"]
    requirements = PROJECT["dependencies"] + [
        requirement for extra in extras if extra != "dev" for requirement in extras[extra]
    ]
    declared = {
        IMPORT_NAMES.get(name, name.replace("-", "_")) for name in map(distribution, requirements)
    }
    undeclared = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in python_files()
        for name in imported_names(path)
        if name not in declared | set(sys.stdlib_module_names) | {"medrl"}
    }
    assert not undeclared


def test_every_core_dependency_is_used() -> None:
    used = {name for path in PACKAGE.rglob("*.py") for name in imported_names(path)}
    core = [distribution(line) for line in PROJECT["dependencies"]]
    assert not [name for name in core if IMPORT_NAMES.get(name, name) not in used]


def test_constraints_pin_every_core_and_dev_dependency() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", pin) for pin in pins)
    wanted = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"]
    assert {distribution(line) for line in wanted} <= {distribution(pin) for pin in pins}


def test_a_wheel_contains_every_file_of_the_package() -> None:
    shipped = {
        Path(file.path).relative_to(ROOT)
        for file in WheelBuilder(str(ROOT)).recurse_included_files()
    }
    present = {
        path.relative_to(ROOT)
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert present <= shipped


def test_shipped_yaml_is_found_as_package_data_and_loads_safely() -> None:
    files = [path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.yaml")]
    assert files
    for file in files:
        text = resources.files("medrl").joinpath(*file.parts).read_text(encoding="utf-8")
        assert yaml.safe_load(text) is not None, file


def test_no_module_is_longer_than_a_reader_can_hold() -> None:
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in python_files()}
    assert not {str(path.relative_to(ROOT)): n for path, n in lines.items() if n > MAX_LINES}


def test_every_module_says_what_it_is() -> None:
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in python_files()}
    assert not [str(path.relative_to(ROOT)) for path in trees if not ast.get_docstring(trees[path])]


def test_architecture_page_names_every_folder_of_the_package() -> None:
    page = ROOT / "docs" / "architecture.md"
    text = page.read_text(encoding="utf-8")
    folders = {path.parent for path in PACKAGE.glob("*/__init__.py")}
    assert not [folder.name for folder in folders if f"{folder.name}/" not in text]
