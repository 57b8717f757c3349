"""Click logs of an imaginary shop, drawn from a known truth.

The shop (`World`) and why its users click (`Truth`) are fixed by a seed; a `Day` is one day of traffic in
it. A day comes as a stream of `Block`, and `render` turns a block into the JSON lines of the log. Because
the true probability of every click is known, so is the best AUC that any model can reach.
"""

from tests.demo.clicks.day import Block, Corruption, Damage, Day, auc
from tests.demo.clicks.lines import render
from tests.demo.clicks.truth import Behaviour, Impressions, Truth
from tests.demo.clicks.world import World

__all__ = [
    "Behaviour",
    "Block",
    "Corruption",
    "Damage",
    "Day",
    "Impressions",
    "Truth",
    "World",
    "auc",
    "render",
]
