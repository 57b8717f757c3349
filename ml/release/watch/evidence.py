"""What a roll-back of the watch rests on, kept as an artifact."""

from __future__ import annotations

from collections.abc import Sequence

from ml.artifact import Artifact
from ml.manifest import Identity
from ml.release.production import Records
from ml.release.versions import Version
from ml.release.watch.alerts import Alert
from ml.release.watch.judgement import Judgement
from ml.store import Draft


def write_evidence(
    version: Version, judgement: Judgement, alerts: Sequence[Alert], records: Records
) -> Artifact:
    """Write down what fired, and what was decided about the version that is served."""
    decided = {
        "decision": judgement.decision,
        "sentence": judgement.sentence,
        "served": version.number,
        "target": judgement.target,
        "alerts": [alert.as_json() for alert in alerts],
    }

    def write(draft: Draft) -> None:
        draft.write_json(decided)
        draft.facts["decision"] = judgement.decision

    window, inputs = version.window, {"model": version.model}
    return records.store.produce(Identity("watch", records.pipeline.name, window, inputs, decided), write)
