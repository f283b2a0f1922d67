"""What every generator promises: documents and a question in, an answer out, and no learning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from medrl.cases.case import LETTERS, Case
from medrl.retrieval.corpus import Document


@dataclass(frozen=True, slots=True)
class Task:
    """A question to be answered from documents.

    Attributes:
        options: of a multiple choice question; the answer is then ``LETTER: text``, the form of
            MIRAGE's gold answers.
    """

    question: str
    options: tuple[str, ...]
    documents: tuple[Document, ...]

    @classmethod
    def of(cls, case: Case, documents: Sequence[Document]) -> Task:
        """A case's question."""
        question = f"{case.context}\n{case.question}" if case.context else case.question
        options = case.reference.options if case.reference.kind == "option" else ()
        return cls(question, options, tuple(documents))


@dataclass(frozen=True, slots=True)
class Given:
    """What a generator says.

    Attributes:
        text: the answer; empty if it has none.
        unread: documents at the end that did not fit into its context.
    """

    text: str
    unread: int = 0


class Generator(Protocol):
    """Answers from documents; frozen, and the same answer to the same task. Any thread may ask, one
    at a time."""

    def answer(self, tasks: Sequence[Task]) -> list[Given]:
        """One answer per task, in order.

        Raises:
            JudgeError: a server behind it cannot be reached.
        """
        ...

    def fingerprint(self) -> str:
        """Short hash of what decides its answers, computed anew: a test sees whether it changed."""
        ...


def option_answer(number: int, text: str) -> str:
    """How an option is given as an answer."""
    return f"{LETTERS[number]}: {text}"
