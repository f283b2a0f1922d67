"""What a recipe may say about a judge."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import httpx
from pydantic import Field, model_validator

from medrl.judges.rubrics import Rubric
from medrl.part import Part, Positive, Share
from medrl.sampling.address import host_of, is_this_machine

API_KEY = "MEDRL_JUDGE_API_KEY"
"""Environment variable with the key of an endpoint, unless a recipe names another."""

RuleName = Literal["grader", "implied", "overlap", "keywords", "reasoning", "findings"]

Seconds = Annotated[float, Field(gt=0)]
Price = Annotated[float, Field(ge=0)]


class JudgeSpec(Part):
    """A rule, a local model, or a model behind an OpenAI-compatible endpoint."""

    kind: Literal["rule", "model", "endpoint"]

    rule: RuleName | None = None
    """Of kind ``rule``: ``grader`` (the answer is right), ``implied`` (the reasoning comes to the
    answer), ``overlap`` (words of a step stand in the findings), ``keywords`` (words named),
    ``reasoning`` (RARL's four aspects), ``findings`` (the reasoning names the case's findings)."""
    keywords: tuple[str, ...] = ()
    """Of rule ``keywords``: words or phrases that the reasoning should name."""
    threshold: Share = 0.6
    """Of rule ``overlap``: share of a step's content words that makes it supported; of rule
    ``findings``: share of the case's findings that is enough (both ours)."""
    least_words: Positive = 20
    """Of rule ``reasoning``: fewer words are trivial (ours)."""

    model: str | None = None
    """Of kind ``model``: folder, hub id or ``clinic:NAME``; of kind ``endpoint``: the name it
    serves."""
    mode: Literal["probability", "text"] = "probability"
    """Of kind ``model``: probability of the rubric's labels, or a written reply."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of kind ``model``: arithmetic; ``auto``: fp32 on CPU, bf16 on GPU."""
    token_budget: Positive = 8192
    """Of kind ``model``: most tokens computed at once; sets the peak memory."""
    least_mass: Share = 0.01
    """Of kind ``model``: a judge that gives the labels together less probability than this has not
    understood what it is to say, and its judgement counts as failed (ours)."""

    max_new_tokens: Positive = 512
    """Of written replies."""
    url: str | None = None
    """Of kind ``endpoint``: what stands before ``/v1/chat/completions``."""
    allow_remote: bool = False
    """Of kind ``endpoint``: patients' text may leave this machine."""
    api_key_env: str | None = None
    """Of kind ``endpoint``: environment variable that holds its key; none: MEDRL_JUDGE_API_KEY, if
    it is set."""
    temperature: Annotated[float, Field(ge=0)] = 0.0
    """Of kind ``endpoint``; 0 is greedy."""
    extra_body: dict[str, Any] = Field(default_factory=dict)
    """Of kind ``endpoint``: further keys of the request; null takes one out."""
    concurrency: Positive = 16
    """Of kind ``endpoint``: requests under way at the same time."""
    timeout_s: Seconds = 60.0
    """Of kind ``endpoint``: for one try of one request, from connecting to the last byte."""
    deadline_s: Seconds = 600.0
    """Of kind ``endpoint``: for all questions of a step; what is open then has failed."""
    retries: Annotated[int, Field(ge=0)] = 4
    """Of kind ``endpoint``: further tries after HTTP 429 and 5xx, timeouts and cut connections."""
    give_up_after: Positive = 8
    """Of kind ``endpoint``: after so many questions in a row without a reply, no more are asked
    in this step."""
    cache: str | None = None
    """Of kind ``endpoint``: file that keeps readable replies (SQLite, on a local disk)."""
    prompt_price: Price = 0.0
    """Of kind ``endpoint``: price of a million tokens read, in a currency of your choice."""
    completion_price: Price = 0.0
    """Of kind ``endpoint``: price of a million tokens written."""

    @model_validator(mode="after")
    def _belongs_together(self) -> JudgeSpec:
        for name, kinds in _KINDS.items():
            if self._says(name) and self.kind not in kinds:
                raise ValueError(
                    f"{name} is of a judge of kind {' or '.join(kinds)}, not {self.kind}; "
                    f"leave {name} out, or set kind: {kinds[0]}"
                )
        if self.kind == "rule":
            self._check_rule()
        elif self.model is None:
            like = "a folder or hub id" if self.kind == "model" else "the name that it serves"
            raise ValueError(f"a judge of kind {self.kind} needs a model; add model: {like}")
        if self.kind == "model" and self.mode == "probability":
            self._refuse("max_new_tokens", "mode: text")
        if self.kind == "model" and self.mode == "text":
            self._refuse("least_mass", "mode: probability")
        if self.kind == "endpoint":
            self._check_endpoint()
        return self

    def _says(self, name: str) -> bool:
        """Whether a setting differs from its default: a run's own recipe spells all of them out."""
        field = JudgeSpec.model_fields[name]
        return bool(getattr(self, name) != field.get_default(call_default_factory=True))

    def _refuse(self, name: str, place: str) -> None:
        if self._says(name):
            raise ValueError(f"{name} needs {place}; leave {name} out, or set {place}")

    def _check_rule(self) -> None:
        if self.rule is None:
            raise ValueError(
                f"a judge of kind rule needs a rule; add rule: {' or '.join(RUBRICS_OF)}"
            )
        if self.rule != "keywords":
            self._refuse("keywords", "rule: keywords")
        elif not self.keywords:
            raise ValueError("rule keywords needs keywords; list the words that are looked for")
        if self.rule not in ("overlap", "findings"):
            self._refuse("threshold", "rule: overlap or rule: findings")
        if self.rule != "reasoning":
            self._refuse("least_words", "rule: reasoning")

    def _check_endpoint(self) -> None:
        if self.url is None:
            raise ValueError(
                "a judge of kind endpoint needs a url; as in url: http://127.0.0.1:8000"
            )
        check_url(self.url, self.allow_remote)
        if self.timeout_s > self.deadline_s:
            raise ValueError(
                f"timeout_s is {self.timeout_s:g} but deadline_s only {self.deadline_s:g}, so no "
                "request would be tried again; lower timeout_s or raise deadline_s"
            )
        if ours := sorted({"messages", "model", "n", "stream"} & self.extra_body.keys()):
            raise ValueError(f"extra_body sets {ours[0]!r}, which medrl sets; leave it out there")

    def check_rubric(self, rubric: Rubric) -> None:
        """Refuse a rubric that this judge cannot answer.

        Raises:
            ValueError: in the words of the schema: what is wrong; what to do.
        """
        if self.rule is not None and rubric.name not in RUBRICS_OF[self.rule]:
            raise ValueError(
                f"rule {self.rule} does not answer rubric {rubric.name!r}; use rubric "
                f"{' or '.join(RUBRICS_OF[self.rule])}, or a judge of kind model or endpoint"
            )
        if self.kind == "model" and self.mode == "probability" and not rubric.labels:
            raise ValueError(
                f"mode probability chooses among labels, and rubric {rubric.name!r} has none; "
                "set mode: text, or give the rubric labels"
            )


def check_url(url: str, allow_remote: bool) -> None:
    """Refuse an address that prompts may not be sent to.

    Raises:
        ValueError: it is no address, holds a password, or is not this machine.
    """
    if not host_of(url):
        raise ValueError(f"url {url!r} is no address; write http://127.0.0.1:8000")
    if httpx.URL(url).userinfo:  # not repeated: it may be a password
        raise ValueError(
            f"url holds a user name or password; take it out and put the key in {API_KEY}"
        )
    if not (allow_remote or is_this_machine(url)):
        raise ValueError(
            f"url {url} is not this machine, so patients' text would leave it; "
            "serve on http://127.0.0.1:8000, or set allow_remote: true"
        )


_KINDS = {
    **dict.fromkeys(("rule", "keywords", "threshold", "least_words"), ("rule",)),
    "model": ("model", "endpoint"),
    **dict.fromkeys(("mode", "dtype", "token_budget", "least_mass"), ("model",)),
    "max_new_tokens": ("endpoint", "model"),
    **dict.fromkeys(
        (
            "url",
            "allow_remote",
            "api_key_env",
            "temperature",
            "extra_body",
            "concurrency",
            "timeout_s",
            "deadline_s",
            "retries",
            "give_up_after",
            "cache",
            "prompt_price",
            "completion_price",
        ),
        ("endpoint",),
    ),
}
"""Which kinds of judge have a setting."""

RUBRICS_OF: dict[str, tuple[str, ...]] = {
    "grader": ("equivalence", "verifier"),
    "implied": ("consistency",),
    "overlap": ("step_support",),
    "keywords": ("reasoning_quality", "reasoning"),
    "reasoning": ("reasoning",),
    "findings": ("soundness",),
}
"""Which rubrics a rule can answer."""
