"""Judges: many questions at once, for each a value in a declared range or a counted failure.

Behind one interface a rule, a local model or an endpoint; ``build_judge`` makes the one that a
``JudgeSpec`` describes.
"""

from medrl.judges.build import build_judge, check_judge
from medrl.judges.judge import Counts, Failure, Judge, Judgement, Question
from medrl.judges.rubrics import RUBRICS, AnyRubric, PartName, Rubric, choice_rubric
from medrl.judges.rule import RuleJudge
from medrl.judges.spec import JudgeSpec

__all__ = [
    "RUBRICS",
    "AnyRubric",
    "Counts",
    "Failure",
    "Judge",
    "JudgeSpec",
    "Judgement",
    "PartName",
    "Question",
    "Rubric",
    "RuleJudge",
    "build_judge",
    "check_judge",
    "choice_rubric",
]
