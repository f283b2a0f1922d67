"""Frozen generators: what answers questions from the documents that a searcher has found."""

from medrl.generators.build import AnyGenerator, build_generator, check_generator
from medrl.generators.extractive import ExtractiveGenerator, RuleName
from medrl.generators.generator import Generator, Given, Task

__all__ = [
    "AnyGenerator",
    "ExtractiveGenerator",
    "Generator",
    "Given",
    "RuleName",
    "Task",
    "build_generator",
    "check_generator",
]
