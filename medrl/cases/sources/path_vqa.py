"""PathVQA (He et al. 2020, arXiv:2003.10286): pathology pictures of textbooks and of PEIR.

Rows of the hub, or its Parquet files in their parts: ``image``, ``question``, ``answer``. Its card
counts 19,654, 6,259 and 6,719 questions after repeats were dropped. The authors' own files are
pickles, which are not read: they can run any program.
"""

from __future__ import annotations

from medrl.cases.picture_fields import share_pictures
from medrl.cases.sources.source import Hub, Protocol, Source
from medrl.cases.sources.visual import parse_triple

SOURCE = Source(
    name="path_vqa",
    about="PathVQA, questions about pathology pictures, closed and open",
    licence="MIT (UCSD-AI4H/PathVQA); the pictures belong to their publishers",
    protocol=Protocol(
        "test", 6719, "2 or none",
        "half are yes or no; open answers count only as worded; made by templates from captions",
        2020,
    ),
    parse=parse_triple,
    fields=frozenset({"image", "question", "answer", "split"}),
    files={"train": ("train*",), "validation": ("validation*|val*",), "test": ("test*",)},
    hub=Hub(
        "flaviagiammarino/path-vqa",
        {"train": "train", "validation": "validation", "test": "test"},
    ),
    prepare=share_pictures,
)  # fmt: skip
