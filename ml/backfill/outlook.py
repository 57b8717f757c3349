"""What a day of a backfill could publish. The fence decides in the end; this says what it would say today."""

from __future__ import annotations

from dataclasses import dataclass

from ml.backfill.chain import KEPT, Chain
from ml.release import Served


@dataclass(frozen=True)
class Outlook:
    """What would become of a day's candidate.

    Attributes:
        publishes: whether it may go into service: False, or True if the gate passes it.
        words: the same in a phrase.
    """

    publishes: bool
    words: str


def foresee(chain: Chain, served: Served | None) -> Outlook:
    """Say what a night, run again today, could publish.

    Args:
        chain: the traced night.
        served: what serves; None if that could not be found out.
    """
    if chain.day.variant:
        return Outlook(False, "nothing: a what-if is never published")
    if (pushed := chain.links.get("pushed_model")) and pushed.outcome == KEPT:
        return Outlook(False, f"nothing: published before as {chain.known('pushed_model')['version']}")
    if chain.rejected:
        return Outlook(False, f"nothing: the day is rejected ({chain.rejected})")
    blessing = chain.content("blessing")
    if blessing and not blessing["publish"]:
        return Outlook(False, f"nothing: {blessing['verdict']}")
    if served is None:
        return Outlook(False, "unknown: what serves could not be asked")
    return _before_the_fence(chain, served)


def _before_the_fence(chain: Chain, served: Served) -> Outlook:
    if served.watermark and chain.day.window.end <= served.watermark:
        return Outlook(False, f"nothing: STALE, {served.version} has seen newer data")
    production = chain.content("production")
    if production and production["version"] != served.version:
        judged = production["version"] or "no version"
        return Outlook(False, f"nothing: judged against {judged}, {served.version or 'none'} serves now")
    return Outlook(True, "if the gate passes it")
