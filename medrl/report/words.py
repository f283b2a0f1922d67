"""Numbers as a reader wants them. A value that does not exist is a dash, never a zero."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from medrl.report.history import number

NONE = "\N{EN DASH}"
_MINUS = "\N{MINUS SIGN}"


def plain(value: Any) -> str:
    """Three significant digits at most, without an exponent where it can be avoided."""
    found = number(value)
    if not math.isfinite(found):
        return NONE
    if found == 0 or abs(found) >= 100:
        return f"{found:,.0f}".replace("-", _MINUS)
    return f"{found:.3g}".replace("-", _MINUS)


def percent(value: Any) -> str:
    """A share in [0, 1] as ``41.0 %``."""
    found = number(value)
    return f"{100 * found:.1f}\N{NO-BREAK SPACE}%" if math.isfinite(found) else NONE


def percent_range(low: Any, high: Any) -> str:
    """Two shares as ``35.6 to 46.6 %``; empty if either is missing."""
    if not (math.isfinite(number(low)) and math.isfinite(number(high))):
        return ""
    return f"{100 * low:.1f} to {percent(high)}"


def against_guessing(result: Mapping[str, Any]) -> str:
    """What to say of an accuracy whose interval [low, high] (shares) is not above chance."""
    low, chance = (number(result.get(key)) for key in ("low", "chance"))
    if chance > 0 and low <= chance:
        return f"no better than guessing ({percent(chance)})"
    return ""


def points(value: Any) -> str:
    """A difference of shares as ``+21.0``."""
    found = number(value)
    return f"{100 * found:+.1f}".replace("-", _MINUS) if math.isfinite(found) else NONE


def p_value(value: Any) -> str:
    """``p = 0.012`` or ``p < 0.001``; empty if it is missing."""
    found = number(value)
    if not math.isfinite(found):
        return ""
    return "p < 0.001" if found < 0.001 else f"p = {found:.3f}"


def count_of(count: Any, n: Any) -> str:
    """``12 (4.0 %)``; the share only where ``n`` is known."""
    total, found = number(n), number(count)
    if not math.isfinite(found):
        return NONE
    return f"{found:.0f} ({percent(found / total)})" if total > 0 else f"{found:.0f}"


def size(value: Any) -> str:
    """Bytes as ``1.4 GiB``."""
    found = number(value)
    if not math.isfinite(found):
        return NONE
    for unit in ("bytes", "KiB", "MiB"):
        if found < 1024:
            return f"{found:.0f}\N{NO-BREAK SPACE}{unit}"
        found /= 1024
    return f"{found:.1f}\N{NO-BREAK SPACE}GiB"


def duration(value: Any) -> str:
    """Seconds as ``2 h 05 min``, ``4 min 12 s`` or ``8 s``."""
    found = number(value)
    if not math.isfinite(found):
        return NONE
    seconds = round(found)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"


def day(timestamp: float) -> str:
    """Seconds since 1970 as ``2026-03-01 14:05 UTC``."""
    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d %H:%M UTC")


def machine_facts(machine: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(name, value) of what a run recorded about its machine."""
    facts = []
    for key, value in machine.items():
        if key.endswith("_bytes"):
            facts.append((key.removesuffix("_bytes").replace("_", " "), size(value)))
        else:
            facts.append((key.replace("_", " "), _fact(value)))
    return facts


def _fact(value: Any) -> str:
    if value is None:
        return "not known"
    if isinstance(value, Mapping):
        facts = machine_facts(value)
        return ", ".join(text if name == "name" else f"{name} {text}" for name, text in facts)
    if isinstance(value, list):
        return "; ".join(_fact(item) for item in value) or "none"
    return str(value)
