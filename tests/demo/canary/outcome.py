"""Whether the story came out: sentences on everything that did not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tests.demo.canary.story import version_of
from tests.demo.canary.traffic import Answered
from tests.demo.slack import Slack
from tests.demo.story import Night

ALERT = "CanaryFails"
MOVES = ("moved", "noted")
TOO_BUSY = ": was the machine too busy with other work to answer in time?"


def moves_of(lines: Iterable[Mapping[str, Any]]) -> list[tuple[str, str, int]]:
    """Action, label and version of each line of the ledger that is no announcement."""
    return [(line["action"], line["label"], line["to"]) for line in lines if line["event"] in MOVES]


def expected_moves(nights: Sequence[Night]) -> list[tuple[str, str, int]]:
    """The first version to all at once; the second tried and taken back; the third tried and promoted."""
    first, second, third = map(version_of, nights)
    return [
        ("push", "stable", first),
        ("push", "canary", second),
        ("withdraw", "canary", second),
        ("push", "canary", third),
        ("promote", "stable", third),
    ]


def wrong_moves(lines: Iterable[Mapping[str, Any]], nights: Sequence[Night]) -> list[str]:
    """Where the ledger does not tell the story."""
    found, expected = moves_of(lines), expected_moves(nights)
    return [] if found == expected else [f"the ledger: expected {expected}, found {found}"]


def wrong_answers(answered: Mapping[str, Answered]) -> list[str]:
    """What users saw that they should not have seen."""
    wrong = [
        f"users of {track}: expected no error, found {seen.errors} in {seen.requests} requests, most often "
        f"{seen.usual_error}" + (TOO_BUSY if "Timeout" in seen.usual_error else "")
        for track, seen in answered.items()
        if seen.errors
    ]
    if set(answered) != {"stable", "canary"}:
        wrong.append(
            f"users: expected some on stable and some on canary, found {', '.join(answered) or 'none'}"
        )
    elif not answered["canary"].failed_behind:
        wrong.append("the canary: expected failures that stable had to answer for, found none")
    return wrong


def missing_messages(slack: Slack, nights: Sequence[Night]) -> list[str]:
    """What people should have been told and were not."""
    _, second, third = map(version_of, nights)
    expected = (f"canary {second} of clicks is withdrawn", f"{third} of clicks is served to all users", ALERT)
    return [
        f"Slack: expected a message with {words!r}, found none" for words in expected if not slack.find(words)
    ]


def find_wrong(
    lines: Sequence[Mapping[str, Any]],
    answered: Mapping[str, Answered],
    slack: Slack,
    nights: Sequence[Night],
) -> list[str]:
    """Where ledger, users and people do not tell the story."""
    return [*wrong_moves(lines, nights), *wrong_answers(answered), *missing_messages(slack, nights)]


def judge_story(wrong: Sequence[str]) -> int:
    """Say whether the story came out. The exit code says the same."""
    print(
        "\nNot as expected:"
        if wrong
        else "\nAll of it came out as the data and the users' answers cause it.",
        *wrong,
        sep="\n",
    )
    return 1 if wrong else 0


def print_answers(answered: Mapping[str, Answered]) -> None:
    """What the users of each track got, by their own count."""
    print("\nWhat users got, by their own count; their track by the router's log:\n")
    heads = ("track", "requests", "failed by it", "users' errors", "median", "p99")
    print("".join(f"{head:>15}" for head in heads))
    for track, seen in answered.items():
        times = (f"{seen.milliseconds(part):.0f} ms" for part in (0.5, 0.99))
        cells = (track, f"{seen.requests:,}", f"{seen.failed_behind:,}", seen.errors, *times)
        print("".join(f"{cell:>15}" for cell in cells))


def print_messages(slack: Slack) -> None:
    """What people were told."""
    print("\nWhat Slack (a stand-in) was told, by the rollout DAG and by Alertmanager:\n")
    for message in slack.messages:
        first, *rest = message.text.splitlines()
        print(f"{message.at:%H:%M:%S}  {first}", *(f"          {line}" for line in rest), sep="\n")
