"""Documents that disturb: irrelevant ones, and ones with a wrong answer (as MedRGB tests for).

For evaluation. What is put in depends on seed, case and query only, so that a case is disturbed in
the same way before and after training.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from medrl.cases.case import Case
from medrl.errors import DataError
from medrl.part import Part, Share
from medrl.retrieval.corpus import Corpus, Document

WRONG = "wrong_answers"
"""Tag of an open question with answers that are wrong, separated by ``SEPARATOR``."""
SEPARATOR = ";"


class TamperSpec(Part):
    """What is put among the documents of each search."""

    kind: Literal["noise", "counterfactual"]
    """``noise``: documents that have nothing to do with the case; ``counterfactual``: gold
    documents in which the right answer is replaced by a wrong one."""
    share: Share
    """Of the documents of a search, rounded to whole ones; they take places drawn by chance."""
    seed: int = 0


class Tampering:
    """Puts disturbing documents in.

    Args:
        corpus: where they are taken from.
    """

    def __init__(self, spec: TamperSpec, corpus: Corpus) -> None:
        self.spec, self.corpus = spec, corpus

    def disturbed(
        self, documents: Sequence[Document], case: Case, query: str, gold: Sequence[str]
    ) -> tuple[Document, ...]:
        """As many documents as before, the share asked for replaced.

        Where no gold document says the answer in its own words there is nothing to falsify, and
        the documents stay as they are.

        Args:
            gold: names of the case's gold documents or of the works they are part of.

        Raises:
            DataError: counterfactual documents for a case without wrong answers or gold documents.
        """
        rng = random.Random(f"tampering:{self.spec.seed}:{case.id}:{query}")
        count = round(self.spec.share * len(documents))
        if self.spec.kind == "noise":
            fresh = self._irrelevant(documents, gold, count, rng)
        else:
            fresh = self._falsified(case, gold, count, rng)
        places = rng.sample(range(len(documents)), len(fresh))
        mixed = list(documents)
        for place, document in zip(places, fresh, strict=True):
            mixed[place] = document
        return tuple(mixed)

    def _irrelevant(
        self, documents: Sequence[Document], gold: Sequence[str], count: int, rng: random.Random
    ) -> list[Document]:
        near = {name for d in documents for name in (d.id, d.parent) if name} | set(gold)
        far = [d for d in self.corpus.documents if not {d.id, d.parent} & near]
        return rng.sample(far, min(count, len(far)))

    def _falsified(
        self, case: Case, gold: Sequence[str], count: int, rng: random.Random
    ) -> list[Document]:
        if not gold:
            raise DataError(
                f"{case.source}: case {case.id} names no gold documents to falsify",
                "use kind: noise, or cases with a tag that names them",
            )
        wrong = wrong_answers(case)
        said = re.compile(rf"\b{re.escape(case.reference.gold_text)}\b", re.IGNORECASE)
        telling = [
            d
            for d in self.corpus.documents
            if any(d.is_part_of(name) for name in gold) and said.search(d.text)
        ]
        pairs = [(document, answer) for answer in wrong for document in telling]
        rng.shuffle(pairs)
        false = []
        for number, (document, answer) in enumerate(pairs[:count], 1):
            text = answer.join(said.split(document.text))
            # No part of a gold work, so that recall does not count it.
            false.append(replace(document, id=f"{document.id}~{number}", parent="", text=text))
        return false


def wrong_answers(case: Case) -> list[str]:
    """Answers to a case that are wrong: its other options, or those of its tag.

    Raises:
        DataError: there are none.
    """
    reference = case.reference
    wrong = [option for option in reference.options if option != reference.gold_text]
    wrong = wrong or [answer for answer in case.tags.get(WRONG, "").split(SEPARATOR) if answer]
    if not wrong:
        raise DataError(
            f"{case.source}: case {case.id} has no wrong answers to make false documents with",
            f"use kind: noise, cases with options, or a tag {WRONG} (a;b;c)",
        )
    return wrong
