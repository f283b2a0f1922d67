"""Search: corpora, and retrievers over them."""

from medrl.retrieval.bm25 import BM25Retriever
from medrl.retrieval.corpus import Corpus, Document, read_corpus
from medrl.retrieval.retriever import Hit, Retriever

__all__ = ["BM25Retriever", "Corpus", "Document", "Hit", "Retriever", "read_corpus"]
