"""The pictures of a case: where one comes from, and how it is opened."""

from __future__ import annotations

from abc import ABC, abstractmethod

from PIL import Image


class Picture(ABC):
    """One picture of a case. Implementations are frozen dataclasses, cheap to make and to compare:
    nothing is read or drawn before ``open``."""

    @abstractmethod
    def open(self) -> Image.Image:
        """The picture itself, RGB, eight bits per channel.

        Raises:
            DataError: it cannot be read, or cannot be turned into such a picture rightly; names
                file and row.
        """

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Text that differs where the picture differs, without opening it."""

    @abstractmethod
    def __str__(self) -> str:
        """Where it comes from, for messages: a file, a row, what was drawn."""
