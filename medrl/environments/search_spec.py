"""What a recipe may say about the search environment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from medrl.clinic.two_hops import GOLD, textbook
from medrl.environments.accuracy import CONTAINS, Accuracy
from medrl.environments.gain import NaiveAnswers, Scorer
from medrl.environments.search import SearchWorld
from medrl.environments.spec import EnvironmentSpec
from medrl.generators import AnyGenerator, RuleName, build_generator, check_generator
from medrl.grading import Grader
from medrl.judges.build import build_judge
from medrl.judges.spec import JudgeSpec
from medrl.part import Positive
from medrl.retrieval import BM25Retriever, Corpus, Retriever, read_corpus
from medrl.retrieval.tampering import Tampering, TamperSpec

TEXTBOOK = "clinic:textbook"
NAIVE_FILE = "naive.sqlite"
"""In the cache folder: the generator's answers with naive documents."""

Arm = Literal["gbr", "released", "accuracy", "recall"]


class SearchSpec(EnvironmentSpec):
    """s3: a searcher, a corpus, and a frozen generator that answers from what was found."""

    kind: Literal["search"] = "search"
    frame: str = "{reply}"
    """Documents stand in one text with the turns, as in s3."""

    corpus: str = TEXTBOOK
    """``clinic:textbook``, a folder of ``.txt`` and ``.md`` files, or a file of rows (JSON lines,
    Parquet...)."""
    fields: dict[Literal["id", "title", "text", "parent"], str] = Field(default_factory=dict)
    """Of a file of rows: which of its fields are a document's, where they have other names."""
    gold: str = GOLD
    """Tag of a case with the ids of its gold documents, or of the works (``parent``) they are part
    of, separated by semicolons."""
    retriever: Literal["bm25", "dense"] = "bm25"
    encoder: str = "minilm"
    """Of retriever ``dense``: ``minilm``, a folder or a hub id."""
    cache: str | None = None
    """Folder that keeps indexes and naive answers between runs; none: made again each time."""

    k: Positive = 8
    """Documents of each search, the naive one too."""
    turns: Positive = 3
    """Turns in which the policy may search. If the last of them does, one more follows in which it
    can select from what was found."""
    selected: Positive = 3
    """Most documents that a selection keeps."""
    keep_first: bool = False
    """The alternative assembly: the first documents always count, others only if selected."""
    instructions: Literal["full", "short"] = "full"
    """``short`` is for small models that are taught the protocol by examples."""

    generator: AnyGenerator = "topic"
    """A rule by its name, or a frozen model, written as a judge of kind ``model`` (with
    ``mode: text``) or ``endpoint``."""
    judge: JudgeSpec | None = None
    """Asked where the gold answer does not occur in the generator's; none: that is wrong."""
    reward: Arm = "gbr"
    """``gbr``: accuracy with the documents found less that with the naive ones; ``released``: that
    plus accuracy, as in the released code; ``accuracy``; ``recall`` of the gold documents."""
    tamper: TamperSpec | None = None
    """Disturb every search, for evaluation."""

    @field_validator("generator")
    @classmethod
    def _writes(cls, generator: RuleName | JudgeSpec) -> RuleName | JudgeSpec:
        check_generator(generator)
        return generator

    @field_validator("judge")
    @classmethod
    def _judges(cls, judge: JudgeSpec | None) -> JudgeSpec | None:
        if judge is not None:
            judge.check_rubric(CONTAINS)
        return judge

    @model_validator(mode="after")
    def _belongs_together(self) -> SearchSpec:
        if self.retriever == "bm25" and self.encoder != "minilm":
            raise ValueError(
                "encoder is of retriever dense; leave encoder out, or set retriever: dense"
            )
        if self.corpus == TEXTBOOK and self.fields:
            raise ValueError(f"fields are of a file of rows, not of {TEXTBOOK}; leave fields out")
        return self

    def build(self, grader: Grader, model_folder: Callable[[str], str] = str) -> SearchWorld:
        """A world, ready to be searched. Models are loaded, endpoints not called yet.

        Args:
            grader: the run's, for the judge's rules; the generator's answers are read by
                :mod:`medrl.environments.accuracy`.

        Raises:
            DataError: the corpus; see :func:`medrl.retrieval.corpus.read_corpus`.
            RecipeError, ModelError, JudgeError: encoder, generator or judge cannot be set up.
        """
        corpus = build_corpus(self)
        retriever = build_retriever(self, corpus)
        generator = build_generator(self.generator, model_folder)
        judge = None if self.judge is None else build_judge(self.judge, grader, model_folder)
        accuracy = Accuracy(judge)
        judged_by = "" if self.judge is None else self.judge.model_dump_json()
        file = None if self.cache is None else Path(self.cache) / NAIVE_FILE
        naive = NaiveAnswers(generator, accuracy, (generator.fingerprint(), judged_by), file)
        tampering = None if self.tamper is None else Tampering(self.tamper, corpus)
        return SearchWorld(self, retriever, Scorer(generator, accuracy, naive), tampering)


def build_corpus(spec: SearchSpec) -> Corpus:
    """The documents.

    Raises:
        DataError: see :func:`medrl.retrieval.corpus.read_corpus`.
    """
    if spec.corpus == TEXTBOOK:
        return textbook()
    return read_corpus(Path(spec.corpus), {str(part): f for part, f in spec.fields.items()})


def build_retriever(spec: SearchSpec, corpus: Corpus) -> Retriever:
    """The index, built or taken from the cache.

    Raises:
        RecipeError, ModelError: see :class:`medrl.retrieval.dense.DenseRetriever`.
    """
    cache = None if spec.cache is None else Path(spec.cache)
    if spec.retriever == "bm25":
        return BM25Retriever(corpus, cache)
    # Imported here: BM25 needs no model.
    from medrl.retrieval.dense import DenseRetriever

    return DenseRetriever(corpus, spec.encoder, cache)
