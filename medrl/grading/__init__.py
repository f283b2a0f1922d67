"""The grader: the one reader of answers, for training and for evaluation.

``Grader.grade`` turns a reply and a reference into a ``Verdict``; ``prove`` checks at load that a
case can be graded; ``grade_file`` grades a file of model outputs.
"""

from __future__ import annotations

from medrl.grading.files import GradeReport, grade_file, print_report
from medrl.grading.format import FormatCheck, check_format, declared_answer, visible_text
from medrl.grading.grader import ALL_FORMS, Form, Grader
from medrl.grading.normalise import normalise
from medrl.grading.proof import prove, spellings
from medrl.grading.verdict import Outcome, Verdict

__all__ = [
    "ALL_FORMS",
    "Form",
    "FormatCheck",
    "GradeReport",
    "Grader",
    "Outcome",
    "Verdict",
    "check_format",
    "declared_answer",
    "grade_file",
    "normalise",
    "print_report",
    "prove",
    "spellings",
    "visible_text",
]
