"""Which words of a text are denied: triggers and their scopes, after NegEx (Chapman et al. 2001).

"No fever, cough or chills" denies three words, "fever is not seen" one, "cannot exclude fever"
none. English words, not medicine; the lists are ours. What is missed, and what is denied wrongly,
stands in docs/rewards.md under the guard, which reads answers with this.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from medrl.grading.normalise import normalise


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


FILLERS = _set(
    "a an the of in on to for and or at by from with it its this that there he she patient any "
    "other is are was were be been being has have had do does did evidence sign indication "
    "suggestion finding feature history likely probable possible probably possibly suspected "
    "consistent suggestive seen identified found noted shown shows show present positive image "
    "answer"
)
"""Words that carry no content of their own."""

# A comma ends a scope, but not inside a list.
_CLAUSES = re.compile(
    r"[.;:!?\n]+(?:\s|$)|\b(?:but|however|though|although|except|whereas|while|yet)\b", re.I
)
_COMMA = re.compile(r",(?:\s|$)")
_LISTED = re.compile(r"\b(?:or|nor)\b", re.I)
_SCOPE_ENDS = _set(
    "with due because secondary causing caused which who has have had present positive shows"
)

_NOT = r"(?:not|isnt|arent|wasnt|werent)"
_EXCLUDE = r"(?:exclud\w*|rul\w+ out)"
_NON = re.compile(r"\bnon (?=[a-z]{4})")  # "non-small cell" denies the size, not the tumour
_UNDECIDED = re.compile(  # neither said nor denied for certain: read as said
    rf"\b(?:can ?not|cant|could not|couldnt|{_NOT}|difficult to) (?:be )?(?:\w+ly )?{_EXCLUDE}\b"
    r"|\b(?:to )?(?:exclude|rule out)\b"
    r"|\b(?:no|without) (?:significant |interval )?(?:change|increase|decrease)\b"
    r"|\bnot (?:only|necessarily|certain|sure|uncommon)\b|\b(?:no|without) doubt\b"
)
_SEEN = (
    r"(?:seen|identified|present|detected|found|noted|visuali[sz]ed|demonstrated|evident|observed|"
    r"appreciated|visible|suspected|confirmed|likely|shown|there)"
)
_BEHIND = re.compile(
    rf"\b(?:(?:is|are|was|were|has been|have been) )?{_NOT} (?:been )?(?:\w+ly )?{_SEEN}\b"
    rf"|\b(?:is|are|was|were|been) (?:absent|negative|unlikely|excluded|ruled out)\b"
    r"(?! (?:for|of)\b)"
)
_EITHER_WAY = re.compile(r"\b(?:absent|negative|unlikely|excluded|ruled out)\b")
_AHEAD = re.compile(
    r"\b(?:no|not|without|never|neither|nor|none|negative for|absen(?:ce|t) of|lack(?:s|ing)?"
    r"(?: of)?|free of|den(?:y|ies|ied|ying)|excludes|rules out|isnt|arent|wasnt|werent|doesnt|"
    r"dont|didnt|hasnt|havent|fail(?:s|ed)? to show|rather than|instead of|as opposed to|"
    r"(?:argu|speak)(?:es?|s|ed|ing)? against)\b"
)
_BRITISH = re.compile("ae|(?<=rrh)oe|^oe|(?<=^f)oe")
_FORTH, _BACK = "FORTH", "BACK"  # no word of a normal form has capitals
_MARKS = {_FORTH, _BACK}


def clauses(text: str) -> Iterator[str]:
    """Stretches of text, in normal form, that a negation does not reach out of."""
    for clause in _CLAUSES.split(text):
        parts = _COMMA.split(clause)
        while parts:
            part = parts.pop(0)
            if _AHEAD.search(normalise(part)):  # "no fever, cough or chills" is one scope
                last = max((i for i, p in enumerate(parts) if _LISTED.search(p)), default=-1)
                part = " ".join([part, *parts[: last + 1]])
                del parts[: last + 1]
            if words := normalise(part):
                yield words


def scopes(clause: str) -> tuple[list[str], list[bool]]:
    """Words of a clause, triggers left out, and which of them are denied; of a clause that is
    nothing but a trigger ("no") one empty word that is denied."""
    clause = _UNDECIDED.sub(" ", _NON.sub("non", clause))
    clause = _BEHIND.sub(f" {_BACK} ", clause)
    ahead = _AHEAD.sub(f" {_FORTH} ", clause)

    def either(found: re.Match[str]) -> str:
        before = map(stem, ahead[: found.start()].split())
        return f" {_BACK} " if set(before) - FILLERS - _MARKS else f" {_FORTH} "

    marked = _EITHER_WAY.sub(either, ahead).split()
    words = [w for w in marked if w not in _MARKS]
    denied = [False] * len(words)
    at, forward = 0, False
    for mark in marked:
        if mark == _FORTH:
            forward = True
        elif mark == _BACK:
            forward = False
            for i in reversed(range(at)):
                if words[i] in _SCOPE_ENDS:
                    break
                denied[i] = True
        else:
            forward = forward and mark not in _SCOPE_ENDS
            denied[at] = forward
            at += 1
    if not words and marked:
        return [""], [True]
    return words, denied


def stem(word: str) -> str:
    """A word without the s of a plural, in American spelling."""
    word = _BRITISH.sub("e", word).replace("leuco", "leuko")
    plural = len(word) > 4 and word.endswith("s") and not word.endswith(("ss", "is", "us"))
    return word[:-1] if plural else word


def claim(text: str) -> dict[str, bool]:
    """Stems of the content words of a text, each with whether it is denied; what is said last of a
    word holds. Grades, sides and numbers are content."""
    return {
        root: no
        for clause in clauses(text)
        for word, no in zip(*scopes(clause), strict=True)
        if (root := stem(word)) and root not in FILLERS
    }


def stated(text: str, wanted: Mapping[str, bool]) -> bool | None:
    """Whether ``text`` says what a :func:`claim` says.

    A clause speaks of it if it holds all of its words; the last such clause decides. Whole words in
    any order: a synonym is not seen.

    Returns:
        True if each word is asserted or denied as in the claim, False if one is not, ``None`` where
        no clause speaks of it.
    """
    found = None
    for clause in clauses(text) if wanted else ():
        said = {stem(word): no for word, no in zip(*scopes(clause), strict=True)}
        if wanted.keys() <= said.keys():
            found = all(said[word] == no for word, no in wanted.items())
    return found
