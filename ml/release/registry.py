"""The registered model: one version for each model that was ever logged, and its aliases.

A version is found by its tag ``model.digest``; so a retry finds the one that its first try made. Stages
are not used: they are deprecated. MLflow changes an alias without comparing and keeps no history of it,
so ``production`` is moved under the publication lock only and the ledger keeps the history. The registry
repeats what concerns each version as tags, and the ledger's last line and its digest: a ledger that was
replaced as a whole is found out by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ml.artifact import canonical_json, digest_of
from ml.errors import Misconfigured

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

CANDIDATE, PRODUCTION = "candidate", "production"
DIGEST, WATERMARK, SERVED_AS = "model.digest", "watermark", "serving.version"
ROLLED_BACK, LINE, HEAD = "rolled_back", "ledger.line", "ledger.head"
# What a decision that moves no label is tagged as.
NOTED = {"withdraw": ROLLED_BACK, "readmit": "readmitted"}


class Registry:
    """One registered model on an MLflow server."""

    def __init__(self, client: MlflowClient, name: str) -> None:
        self._client = client
        self.name = name

    def find(self, digest: str) -> ModelVersion | None:
        """The version of the model with this digest."""
        clause = f"name = '{self.name}' and tag.`{DIGEST}` = '{digest}'"
        return next(iter(self._client.search_model_versions(clause, max_results=1)), None)

    def register(self, digest: str, source: str, run_id: str, tags: Mapping[str, str]) -> ModelVersion:
        """The version of this model, made from a run's artifact directory if it is not there yet."""
        self._ensure_model()
        return self.find(digest) or self._client.create_model_version(
            self.name, source, run_id, tags={**tags, DIGEST: digest}, await_creation_for=0
        )

    def offer_candidate(self, version: ModelVersion, watermark: str) -> None:
        """Point ``candidate`` at this version, unless it points at one that has seen newer data."""
        present = self._aliased(CANDIDATE)
        if present is None or present.tags.get(WATERMARK, "") <= watermark:
            self._client.set_registered_model_alias(self.name, CANDIDATE, version.version)

    def production_digest(self) -> str | None:
        """The digest of the model that ``production`` points at; None if there is no such alias."""
        return self.aliased_digest(PRODUCTION)

    def aliased_digest(self, alias: str) -> str | None:
        """The digest of the model that an alias points at; None if there is no such alias."""
        version = self._aliased(alias)
        return version.tags.get(DIGEST, "") if version else None

    def aliased_digests(self) -> dict[str, str]:
        """Alias → digest of its model, of all aliases; an empty digest for a model of somebody else."""
        models = self._client.search_registered_models(f"name = '{self.name}'", max_results=1)
        aliases = models[0].aliases if models else {}
        return {alias: self.aliased_digest(alias) or "" for alias in sorted(aliases)}

    def production_version(self) -> int | None:
        """The number that ``production`` is served as; None if there is no such alias, or no number yet."""
        version = self._aliased(PRODUCTION)
        number = version.tags.get(SERVED_AS) if version else None
        return int(number) if number else None

    def find_logged(self, digest: str) -> ModelVersion:
        """The version of a model that must have been logged.

        Raises:
            Misconfigured: if it was not.
        """
        version = self.find(digest)
        if version is None:
            raise Misconfigured(
                f"the registered model {self.name} has no version with {DIGEST} = {digest}. A model is "
                "logged before it is pushed: run log_to_mlflow for this night, then push again."
            )
        return version

    def follow(self, line: Mapping[str, Any], alias: str) -> None:
        """Say what a line of the ledger says: point the alias, and tag the versions and runs concerned.

        Args:
            line: a move.
            alias: what names the version that the label names after it.

        Raises:
            Misconfigured: if the model was not logged.
        """
        version = self.find_logged(line["model"])
        self._say(line, version)
        self._client.set_registered_model_alias(self.name, alias, version.version)

    def note(self, line: Mapping[str, Any]) -> None:
        """Say what a line of the ledger says that moves no label: tag the version that it is about.

        Args:
            line: a withdrawal or a readmission.

        Raises:
            Misconfigured: if the model was not logged.
        """
        self._say(line, self.find_logged(line["model"]))

    def hear(self, line: Mapping[str, Any]) -> None:
        """Say what a line says that comes late, of a move or as `note`; no alias is touched.

        Without a registered model it is only remembered.
        """
        if version := self.find(line["model"]):
            self._say(line, version)
        else:
            self._remember(line)

    def tag(self, version: ModelVersion, tags: Mapping[str, str]) -> None:
        """Tag a version, and the run that it was logged in."""
        for name, value in tags.items():
            self._client.set_model_version_tag(self.name, version.version, name, value)
            if version.run_id:
                self._client.set_tag(version.run_id, name, value)

    def drop_alias(self, alias: str) -> None:
        """Take an alias away, if it is there."""
        self._client.delete_registered_model_alias(self.name, alias)

    def find_served(self, number: int) -> ModelVersion | None:
        """The version that is or was served by this number."""
        clause = f"name = '{self.name}' and tag.`{SERVED_AS}` = '{number}'"
        return next(iter(self._client.search_model_versions(clause, max_results=1)), None)

    def head(self) -> tuple[int, str] | None:
        """Number and SHA-256 of the ledger's line that the registry followed last; None if it never did."""
        models = self._client.search_registered_models(f"name = '{self.name}'", max_results=1)
        text = models[0].tags.get(HEAD) if models else None
        return (int(text.split()[0]), text.split()[1]) if text else None

    def _say(self, line: Mapping[str, Any], version: ModelVersion) -> None:
        """Tag what a line is about, and remember the line."""
        is_move = line["event"] != "noted"
        said = {SERVED_AS: str(line["to"])} if is_move else {NOTED[line["action"]]: _who_and_why(line)}
        self.tag(version, said)
        self._client.set_model_version_tag(self.name, version.version, LINE, canonical_json(line))
        if line["action"] == "rollback" and line["from"] and (left := self.find_served(line["from"])):
            self.tag(left, {ROLLED_BACK: _who_and_why(line)})
        self._remember(line)

    def _aliased(self, alias: str) -> ModelVersion | None:
        models = self._client.search_registered_models(f"name = '{self.name}'", max_results=1)
        number = models[0].aliases.get(alias) if models else None
        return self._client.get_model_version(self.name, str(number)) if number else None

    def _remember(self, line: Mapping[str, Any]) -> None:
        """Keep the last line of the ledger that was followed. One that comes late leaves it as it is."""
        head = self.head()
        if head and head[0] >= line["line"]:
            return
        self._client.set_registered_model_tag(self.name, HEAD, f"{line['line']} {digest_of(line)}")

    def _ensure_model(self) -> None:
        if not self._client.search_registered_models(f"name = '{self.name}'", max_results=1):
            self._client.create_registered_model(self.name)


def _who_and_why(line: Mapping[str, Any]) -> str:
    return f"{line['time']} by {line['who']}: {line['reason']}"
