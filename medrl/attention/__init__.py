"""Attention over tokens laid out in one row: every prompt once, its answers behind it.

A model of ``transformers`` is used as it is. Its attention is told, by a *structure* handed through
the forward call, which tokens see which; without a structure it does what it always did.
"""

from medrl.attention.decoding import DecodeCache, Prefill, read_prompts
from medrl.attention.extending import Extension
from medrl.attention.grouped import GroupedRow, Span
from medrl.attention.interface import Rule, Structure, forward, install

__all__ = [
    "DecodeCache",
    "Extension",
    "GroupedRow",
    "Prefill",
    "Rule",
    "Span",
    "Structure",
    "forward",
    "install",
    "read_prompts",
]
