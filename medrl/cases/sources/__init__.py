"""The registry of data sets. A new one is one file in this folder and one line below."""

from __future__ import annotations

from medrl.cases.sources import (
    agentclinic,
    gpqa,
    headqa,
    jsonl,
    medcalc,
    mediq,
    medmcqa,
    medqa,
    medxpertqa,
    mirage,
    mmlu,
    mmlu_pro,
    mtmeddialog,
    omnimedvqa,
    openstax,
    path_vqa,
    pmc_vqa,
    pneumoniamnist,
    pubmedqa,
    slake,
    vqa_rad,
)
from medrl.cases.sources.source import (
    LETTERS_PROMPT,
    SPLITS,
    TEXTS_PROMPT,
    Continuation,
    Form,
    Hub,
    Protocol,
    Source,
    canonical_split,
)

SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        medqa.FOUR_OPTIONS,
        medqa.FIVE_OPTIONS,
        medmcqa.SOURCE,
        mmlu.SOURCE,
        mmlu_pro.SOURCE,
        pubmedqa.WITH_CONTEXT,
        pubmedqa.WITHOUT_CONTEXT,
        medcalc.SOURCE,
        medxpertqa.TEXT,
        gpqa.SOURCE,
        headqa.SOURCE,
        vqa_rad.SOURCE,
        slake.SOURCE,
        path_vqa.SOURCE,
        pmc_vqa.FIRST,
        pmc_vqa.SECOND,
        omnimedvqa.SOURCE,
        medxpertqa.MULTIMODAL,
        pneumoniamnist.SOURCE,
        openstax.SOURCE,
        mtmeddialog.SOURCE,
        agentclinic.SOURCE,
        mediq.MEDIQ,
        mediq.ICRAFT_MD,
        *mirage.SOURCES,
        jsonl.SOURCE,
    )
}


def form_of(dataset: str, continuation: Continuation | None = None) -> Form:
    """How likelihoods are asked for on a data set.

    Args:
        dataset: a key of ``SOURCES``, or any other name: letters are asked for then.
        continuation: another one than the set is published with gives a form of our own, with a
            task of its own name.
    """
    source = SOURCES.get(dataset)
    name = dataset.replace(":", "_")
    form = source.form if source and source.form else Form(f"medrl_{name}")
    if continuation is None or continuation == form.continuation:
        return form
    prompt = LETTERS_PROMPT if continuation == "letter" else TEXTS_PROMPT
    return Form(f"medrl_{name}_{continuation}s", prompt, continuation)


__all__ = [
    "SOURCES",
    "SPLITS",
    "Continuation",
    "Form",
    "Hub",
    "Protocol",
    "Source",
    "canonical_split",
    "form_of",
]
