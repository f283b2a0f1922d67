"""The search environment of s3: the policy searches, a frozen generator answers.

What the policy reads first is the question with the documents that a search with the question
itself finds. Each of its turns may select from the documents shown last, end the search, or ask for
more (:mod:`medrl.environments.search_protocol`). When the search ends, the generator answers from
the documents of :func:`assemble`, and the reward of the last turn is the one of the spec's arm. An
episode that is cut off has no answer and no reward.

Events: ``search``, ``complete`` (the policy ended the search), ``selection`` (the turn behind the
last search; a query in it is not run) and ``invalid``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from medrl.cases.case import Case
from medrl.cases.record import Turn
from medrl.environments.environment import Reply
from medrl.environments.gain import Found, Gain, Scorer
from medrl.environments.prompts import option_lines
from medrl.environments.search_expert import SOUGHT, expert_search
from medrl.environments.search_protocol import (
    HINT,
    INSTRUCTIONS,
    Block,
    assemble,
    chosen,
    information,
    read_turn,
)
from medrl.errors import DataError
from medrl.generators import Generator
from medrl.grading.normalise import normalise
from medrl.grading.verdict import Outcome, Verdict
from medrl.judges.together import Together
from medrl.retrieval import Document, Retriever
from medrl.retrieval.tampering import SEPARATOR, Tampering
from medrl.run.coroutines import run_to_end

if TYPE_CHECKING:
    from medrl.environments.search_spec import SearchSpec


class SearchWorld:
    """What the searches of a run have in common; see :class:`medrl.environments.environment.World`.

    Attributes:
        most_turns: turns that the policy may have, the one behind the last search included.
    """

    def __init__(
        self,
        spec: SearchSpec,
        retriever: Retriever,
        scorer: Scorer,
        tampering: Tampering | None = None,
    ) -> None:
        self.spec, self.retriever, self.scorer = spec, retriever, scorer
        self.most_turns = spec.turns + 1
        self._tampering = tampering
        self._naive: dict[tuple[str, str], tuple[Document, ...]] = {}
        self._find = Together(self._search)
        self._score = Together(scorer.of)

    @property
    def generator(self) -> Generator:
        """The frozen generator."""
        return self.scorer.generator

    def open(self, case: Case, seed: int) -> SearchEnvironment:
        """See :class:`medrl.environments.environment.World`. Nothing is drawn, so ``seed`` changes
        nothing.

        Raises:
            DataError: the reward is recall, and the case does not name its gold documents.
        """
        if self.spec.reward == "recall" and not self.gold(case):
            raise DataError(
                f"{case.source}: case {case.id} has no tag {self.spec.gold!r}, and the reward is "
                "the recall of gold documents",
                "name the tag that has their ids as gold, or use reward: gbr",
            )
        return SearchEnvironment(self, case)

    def demonstration(self, case: Case, seed: int) -> tuple[str, tuple[Turn, ...]]:
        """See :class:`medrl.environments.environment.World`: a search by
        :mod:`medrl.environments.search_expert`. Whether the generator's answer is right then is not
        asked.

        Raises:
            DataError: the case does not say its gold documents or what is sought.
        """
        gold, sought = self.gold(case), case.tags.get(SOUGHT)
        if not gold or not sought:
            raise DataError(
                f"{case.source}: case {case.id} has no tags {SOUGHT!r} and {self.spec.gold!r}",
                "demonstrations need both, as those of clinic:search-train",
            )
        environment = self.open(case, seed)
        turns = run_to_end(expert_search(environment, gold, sought))
        return environment.opening, turns

    def naive_documents(self, case: Case) -> tuple[Document, ...]:
        """What a search with the question itself finds: D_RAG, and what the policy reads first."""
        key = case.id, case.question
        if key not in self._naive:
            [found] = self._search([case.question])
            self._naive[key] = self._disturbed(found, case, case.question)
        return self._naive[key]

    async def search(self, query: str, case: Case) -> tuple[Document, ...]:
        """What a query of the policy finds."""
        return self._disturbed(await self._find.ask(query), case, query)

    async def gain(self, case: Case, documents: tuple[Document, ...]) -> Gain:
        """What the generator makes of documents."""
        return await self._score.ask(Found(case, documents, self.naive_documents(case)))

    def gold(self, case: Case) -> tuple[str, ...]:
        """Names of a case's gold documents; empty where they are not known."""
        names = case.tags.get(self.spec.gold, "").split(SEPARATOR)
        return tuple(name for name in names if name)

    def recall(self, case: Case, documents: Sequence[Document]) -> float | None:
        """Share of a case's gold names that are among documents; ``None`` where none is known."""
        gold = self.gold(case)
        if not gold:
            return None
        return sum(any(d.is_part_of(name) for d in documents) for name in gold) / len(gold)

    def _search(self, queries: Sequence[str]) -> list[tuple[Document, ...]]:
        found = self.retriever.search(queries, self.spec.k)
        return [tuple(hit.document for hit in hits) for hits in found]

    def _disturbed(
        self, documents: tuple[Document, ...], case: Case, query: str
    ) -> tuple[Document, ...]:
        if self._tampering is None:
            return documents
        return self._tampering.disturbed(documents, case, query, self.gold(case))


class SearchEnvironment:
    """One search; see :class:`medrl.environments.environment.Environment`.

    Attributes:
        queries: searches so far, the naive one left out.
    """

    def __init__(self, world: SearchWorld, case: Case) -> None:
        self._world, self._case = world, case
        first = world.naive_documents(case)
        self._blocks = [Block(first)]
        spec = world.spec
        self.opening = INSTRUCTIONS[spec.instructions].format(
            question=_asked(case),
            information=information(first),
            selected=spec.selected,
            turns=spec.turns,
        )
        self._turns = self.queries = self._invalid = 0
        self._query_is_open = False
        self._gain: Gain | None = None

    @property
    def documents(self) -> tuple[Document, ...]:
        """What the generator would read now (D_s3)."""
        return assemble(self._blocks, self._world.spec.keep_first)

    @property
    def shown(self) -> tuple[Document, ...]:
        """The documents that the policy read last."""
        return self._blocks[-1].documents

    async def step(self, text: str) -> Reply:
        """See :class:`medrl.environments.environment.Environment`."""
        self._turns += 1
        turn = read_turn(text, self._query_is_open)
        self._query_is_open = False
        if turn.selection is not None:
            self._select(turn.selection)
        last = self._turns >= self._world.spec.turns
        if turn.complete:
            return await self._over("complete")
        if self._turns > self._world.spec.turns:
            return await self._over("selection")
        if turn.fault is not None:
            self._invalid += 1
            if last:
                return await self._over("invalid")
            self._query_is_open = True
            return Reply(HINT, event="invalid")
        self.queries += 1
        found = await self._world.search(turn.query, self._case)
        self._blocks.append(Block(found))
        return Reply(f"\n{information(found)}\n", event="search")

    def _select(self, numbers: Sequence[int]) -> None:
        """Of a block the first selection counts, as in the released code."""
        block = self._blocks[-1]
        if block.selection is None:
            most = self._world.spec.selected
            block.selection = chosen(numbers, len(block.documents), most)

    async def _over(self, event: str) -> Reply:
        self._gain = await self._world.gain(self._case, self.documents)
        return Reply("", self._reward(self._gain), event, over=True)

    def _reward(self, gain: Gain) -> float:
        arm = self._world.spec.reward
        if arm == "recall":
            return self._world.recall(self._case, self.documents) or 0.0
        return float(
            {"gbr": gain.beyond, "released": gain.released, "accuracy": gain.accuracy}[arm]
        )

    def verdict(self) -> Verdict:
        """See :class:`medrl.environments.environment.Environment`; of the generator's answer."""
        if self._gain is None or not self._gain.text:
            reason = "the search was cut off" if self._gain is None else "the generator has none"
            return Verdict(Outcome.NO_ANSWER, "", reason, not self._invalid, "")
        outcome = Outcome.CORRECT if self._gain.accuracy else Outcome.WRONG
        reason = f"the generator's answer from {len(self.documents)} documents"
        return Verdict(outcome, self._gain.text, reason, not self._invalid, "text")

    def measures(self) -> Mapping[str, float]:
        """See :class:`medrl.environments.environment.Environment`.

        ``gain`` and the four shares ``rescued``, ``both_right``, ``both_wrong`` and ``harmed`` are
        there once the generator has answered, ``recall`` where gold documents are known.
        """
        found: dict[str, float] = {
            "turns": self._turns,
            "queries": self.queries,
            "invalid": self._invalid,
            "documents": len(self.documents),
        }
        recall = self._world.recall(self._case, self.documents)
        if recall is not None:
            found["recall"] = recall
        if self._gain is not None:
            found |= self._gain.measures()
        return found


def _asked(case: Case) -> str:
    """The question as the policy reads it."""
    options = case.reference.options if case.reference.kind == "option" else ()
    return "\n".join(filter(None, (case.context, case.question, option_lines(options))))


# ---- which cases are worth training on ---------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Filtered:
    """Cases that are left, and how many were dropped.

    Attributes:
        solved: cases that naive retrieval answers rightly.
        yes_no: cases whose answer is yes or no: a guess is right too often.
    """

    cases: tuple[Case, ...]
    solved: int
    yes_no: int


def unsolved(cases: Sequence[Case], world: SearchWorld) -> Filtered:
    """The cases that s3 trains on; asks the generator once for each, for later use too.

    Raises:
        JudgeError: generator or judge cannot be reached.
    """
    open_ones = [c for c in cases if normalise(c.reference.gold_text) not in ("yes", "no")]
    wanted = [(case, world.naive_documents(case)) for case in open_ones]
    naive = world.scorer.naive.of(wanted)
    left = tuple(c for c, n in zip(open_ones, naive, strict=True) if not n.accuracy)
    return Filtered(left, len(open_ones) - len(left), len(cases) - len(open_ones))
