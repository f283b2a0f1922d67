"""What a recipe may say about patients."""

from __future__ import annotations

from pydantic import model_validator

from medrl.judges.spec import JudgeSpec
from medrl.part import Part, Share


class PatientSpec(Part):
    """A patient who answers from the record by rule, or one played by a model."""

    talkativeness: Share = 0.0
    """Of a patient by rule: probability that an answer goes on, unasked."""
    recall: Share = 1.0
    """Of a patient by rule: probability that a fact is remembered."""
    played_by: JudgeSpec | None = None
    """A local model or one behind an endpoint, described as a judge is; none: a rule."""

    @model_validator(mode="after")
    def _belongs_together(self) -> PatientSpec:
        player = self.played_by
        if player is None:
            return self
        if (self.talkativeness, self.recall) != (0.0, 1.0):
            raise ValueError(
                "talkativeness and recall are of a patient by rule; leave them out, or leave "
                "played_by out"
            )
        if player.kind == "rule":
            raise ValueError(
                "played_by is of kind rule, which cannot talk; leave played_by out for the patient "
                "by rule, or set kind: model or endpoint"
            )
        if player.kind == "model" and player.mode != "text":
            raise ValueError("played_by gives probabilities and no replies; set mode: text")
        if player.cache is not None:
            raise ValueError("played_by keeps no replies; leave cache out")
        return self
