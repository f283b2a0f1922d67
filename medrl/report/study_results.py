"""The results of a study as a table, as Markdown, and on the console."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from rich.console import Console
from rich.table import Table

from medrl.cases.case import Case
from medrl.evaluation.claims import Answers
from medrl.evaluation.evaluate import Row, summarise
from medrl.evaluation.paid import PaidRow
from medrl.evaluation.readings import unit_of
from medrl.evaluation.statistics import seed_summary
from medrl.report.words import NONE

SCORE = "but for the score: the mean of what the study's reward gives"
Outcome = Mapping[str, Any]
"""What ``results/<study>.json`` holds."""


def arm_table(
    arms: Sequence[str],
    sets: Sequence[str],
    starts: Sequence[str],
    seeds: Sequence[int],
    answers: Answers,
) -> list[dict[str, Any]]:
    """One row per arm, set and start: means over seeds, and the interval of the accuracy."""
    table = []
    for arm in arms:
        for name in sets:
            for start in starts:
                parts = [summarise(answers[(arm, seed, name, start)]) for seed in seeds]
                accuracies = [part["accuracy"] for part in parts]
                spread = seed_summary(accuracies) if len(set(accuracies)) > 1 else None
                table.append(
                    {
                        "arm": arm,
                        "set": name,
                        "start": start,
                        "n": parts[0]["n"],
                        "accuracy": sum(accuracies) / len(accuracies),
                        "low": max(0.0, spread.low) if spread else parts[0]["low"],
                        "high": min(1.0, spread.high) if spread else parts[0]["high"],
                        "by_seed": accuracies,
                        "format_rate": sum(p["format_rate"] for p in parts) / len(parts),
                        "think_rate": sum(p["think_rate"] for p in parts) / len(parts),
                        "agreement": _mean([p["agreement"] for p in parts]),
                        "no_answer_rate": sum(p["no_answer"] / p["n"] for p in parts) / len(parts),
                        "cut_rate": sum(p["cut"] / p["n"] for p in parts) / len(parts),
                        **_score([row for s in seeds for row in answers[(arm, s, name, start)]]),
                    }
                )
    return table


def tag_table(
    tag: str,
    arms: Sequence[str],
    sets: Mapping[str, Sequence[Case]],
    starts: Sequence[str],
    seeds: Sequence[int],
    answers: Answers,
) -> list[dict[str, Any]]:
    """One row per arm, set, start and value of a tag: accuracy and agreement, means over seeds."""
    table = []
    for name, cases in sets.items():
        for value in sorted({case.tags[tag] for case in cases if tag in case.tags}):
            at = [i for i, case in enumerate(cases) if case.tags.get(tag) == value]
            for arm in arms:
                for start in starts:
                    runs = [answers[(arm, seed, name, start)] for seed in seeds]
                    parts = [summarise([rows[i] for i in at]) for rows in runs]
                    table.append(
                        {
                            "arm": arm,
                            "set": name,
                            "start": start,
                            "value": value,
                            "n": len(at),
                            "accuracy": _mean([p["accuracy"] for p in parts]),
                            "agreement": _mean([p["agreement"] for p in parts]),
                        }
                    )
    return table


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _score(rows: Sequence[Row]) -> dict[str, float]:
    """The mean score, if the study has one."""
    scores = [row.score for row in rows if isinstance(row, PaidRow)]
    return {"score": fmean(scores)} if scores else {}


def markdown(outcome: Outcome, figure: str = "") -> str:
    """The page beside the JSON.

    Args:
        figure: file of the drawing beside it, if there is one.
    """
    machine = outcome["hardware"]
    scored = any("score" in row for row in outcome["arms"])
    lines = [
        f"# Study {outcome['study']}",
        "",
        f"Seeds {outcome['seeds']}, clinic seed {outcome['clinic_seed']}, "
        f"{outcome['seconds']} s, {machine.get('cpu')}. The teaching clinic proves mechanisms, "
        "never medicine.",
        "",
        *([f"![The figures of this study]({figure})", ""] if figure else []),
        "| claim | effect in points [95 %] | |",
        "|---|---|---|",
        *(f"| {' | '.join(_claim_line(claim))} |" for claim in outcome["claims"]),
        "",
        "Greedy answers. Accuracy in %, its interval over seeds (one model: over questions); the "
        "other columns are shares of answers; agrees: of single answers, those that follow from "
        "their reasoning" + (f"; {SCORE}." if scored else "."),
        "",
        "| arm | set | answer starts | n | accuracy | format | thinks | agrees | no answer | cut |"
        + (" score |" if scored else ""),
        "|---|---|---|---|---|---|---|---|---|---|" + ("---|" if scored else ""),
        *map(_arm_line, outcome["arms"]),
    ]
    if outcome["levels"]:
        lines += [
            "",
            "Groups without a gradient, because all answers of a group got the same reward, by the "
            "difficulty level of their case for the starting model (L1: it always answered "
            "rightly); shares of groups in the first quarter of training and in all of it.",
            "",
            "| arm | level | groups per run | without gradient, early | in all |",
            "|---|---|---|---|---|",
            *map(_level_line, outcome["levels"]),
        ]
    if outcome["models"]:
        lines += [
            "",
            "Models trained beside the policy, measured on cases they had not seen; control: the "
            "share of cases whose answer a reader found from the trace of another case.",
            "",
            "| arm | stage | measure | n | by seed | control |",
            "|---|---|---|---|---|---|",
            *map(_model_line, outcome["models"]),
        ]
    if outcome["training"]:
        lines += [
            "",
            "While training: means over the first and the last quarter of the last stage's steps, "
            "run by run.",
            "",
            "| arm | metric | early | late | late, by seed |",
            "|---|---|---|---|---|",
            *map(_training_line, outcome["training"]),
        ]
    if outcome["tagged"]:
        lines += [
            "",
            f"Accuracy in % and agreement by {outcome['by']}.",
            "",
            f"| arm | set | answer starts | {outcome['by']} | n | accuracy | agrees |",
            "|---|---|---|---|---|---|---|",
            *map(_tag_line, outcome["tagged"]),
        ]
    return "\n".join(lines) + "\n"


def show(outcome: Outcome, console: Console) -> None:
    """The claims, and whether they hold."""
    table = Table("claim", "effect in points, 95 %", "")
    for claim in outcome["claims"]:
        table.add_row(*_claim_line(claim))
    console.print(table)


_SHOWN = {"points": (100, 1, ""), "tokens": (1, 1, " tokens"), "norm": (1, 3, " of norm")}
"""Of each unit: factor, digits, and what stands behind."""


def _claim_line(claim: Mapping[str, Any]) -> tuple[str, str, str]:
    scale, digits, unit = _SHOWN[claim["unit"]]
    value, low, high = (f"{claim[key] * scale:+.{digits}f}" for key in ("effect", "low", "high"))
    effect = f"{value} [{low}, {high}]{unit}"
    return claim["name"], effect, "holds" if claim["holds"] else "does not hold"


def _arm_line(row: Mapping[str, Any]) -> str:
    return (
        f"| {row['arm']} | {row['set']} | {row['start']} | {row['n']} "
        f"| {100 * row['accuracy']:.1f} [{100 * row['low']:.1f}, {100 * row['high']:.1f}] "
        f"| {row['format_rate']:.2f} | {row['think_rate']:.2f} "
        f"| {_share(row['agreement'])} | {row['no_answer_rate']:.2f} | {row['cut_rate']:.2f} |"
        + (f" {row['score']:.3f} |" if "score" in row else "")
    )


def _share(share: float | None) -> str:
    return NONE if share is None else f"{share:.2f}"


def _tag_line(row: Mapping[str, Any]) -> str:
    return (
        f"| {row['arm']} | {row['set']} | {row['start']} | {row['value']} | {row['n']} "
        f"| {100 * row['accuracy']:.1f} | {_share(row['agreement'])} |"
    )


def _level_line(row: Mapping[str, Any]) -> str:
    early, whole = map(_share, (row["dead_share_early"], row["dead_share"]))
    return f"| {row['arm']} | L{row['level']} | {row['groups']:.0f} | {early} | {whole} |"


def _model_line(row: Mapping[str, Any]) -> str:
    values = ", ".join(f"{value:.3f}" for value in row["by_seed"])
    controls = ", ".join(NONE if c is None else f"{c:.3f}" for c in row["control"])
    known = controls if any(c is not None for c in row["control"]) else ""
    return f"| {row['arm']} | {row['stage']} | {row['measure']} | {row['n']} | {values} | {known} |"


def _training_line(row: Mapping[str, Any]) -> str:
    digits = 1 if unit_of(row["metric"]) == "tokens" else 3
    early, late = (f"{fmean(row[when]):.{digits}f}" for when in ("early", "late"))
    values = ", ".join(f"{value:.{digits}f}" for value in row["late"])
    return f"| {row['arm']} | {row['metric']} | {early} | {late} | {values} |"
