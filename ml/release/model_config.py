"""The model server's config: which versions of which model are loaded, and what its labels name.

Each reload is the whole truth for the server: a model that is not in it is unloaded. So every other entry
is carried over as it is. A label may name a version that is loaded already and no other, hence the two
phases: `Entry.offering` loads the new version, and only `Entry.promoted` moves the label.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from google.protobuf import text_format
from tensorflow_serving.config.model_server_config_pb2 import ModelConfig, ModelServerConfig

from ml.durable import write_atomically
from ml.errors import Misconfigured


@dataclass(frozen=True)
class Entry:
    """What the config says of one model.

    Attributes:
        name: the model's name.
        base_path: the directory of its versions, as the model server sees it.
        versions: the versions to load, ascending.
        labels: label → version.
    """

    name: str
    base_path: str
    versions: tuple[int, ...]
    labels: Mapping[str, int]

    def offering(self, version: int, label: str, served: int | None) -> Entry:
        """The same with one more version to load; the label stays at what is really served."""
        labels = self._labels_with(label, served)
        return replace(self, versions=_ascending(*self.versions, version, *labels.values()), labels=labels)

    def promoted(self, version: int, label: str, previous: int | None) -> Entry:
        """The same with the label moved. The previous version stays loaded, others only if labelled."""
        labels = {**self.labels, label: version}
        return replace(self, versions=_ascending(previous, *labels.values()), labels=labels)

    def labelled(self, version: int, label: str) -> Entry:
        """The same with a label moved, and all that is loaded left loaded."""
        labels = {**self.labels, label: version}
        return replace(self, versions=_ascending(*self.versions, *labels.values()), labels=labels)

    def without(self, version: int, label: str, served: int | None) -> Entry:
        """The same without a version, unless another label names it; the label stays as in `offering`."""
        labels = self._labels_with(label, served)
        others = [number for number in self.versions if number != version]
        return replace(self, versions=_ascending(*others, *labels.values()), labels=labels)

    def _labels_with(self, label: str, served: int | None) -> dict[str, int]:
        """The file may be ahead of the server, if a push was killed between the two."""
        labels = {**self.labels, label: served}
        return {name: number for name, number in labels.items() if number is not None}


def _ascending(*numbers: int | None) -> tuple[int, ...]:
    return tuple(sorted({number for number in numbers if number is not None}))


def read_config(path: Path) -> ModelServerConfig:
    """Parse the config file; a missing or empty one lists no model.

    Raises:
        Misconfigured: if it is no text proto of ``ModelServerConfig``, or has another form than a list.
    """
    config = ModelServerConfig()
    if path.exists():
        try:
            text_format.Parse(path.read_text(), config)
        except text_format.ParseError as error:
            raise Misconfigured(
                f"{path} is not a ModelServerConfig in text form: {error}. Mend it."
            ) from error
    if config.WhichOneof("config") == "custom_model_config":
        raise Misconfigured(f"{path} holds a custom_model_config; expected model_config_list. Use a list.")
    config.model_config_list.SetInParent()
    return config


def write_config(path: Path, config: ModelServerConfig) -> None:
    """Replace the config file in one move: the server may read it at any moment."""
    write_atomically(path, text_format.MessageToString(config).encode())


def read_entry(config: ModelServerConfig, name: str, base_path: str) -> Entry:
    """What the config says of a model; an entry without versions if it says nothing.

    Raises:
        Misconfigured: if the model is there with another directory than ours.
    """
    found = _find(config, name)
    if found is None:
        return Entry(name, base_path, (), {})
    if found.base_path.rstrip("/") != base_path.rstrip("/"):
        raise Misconfigured(
            f"the model server's config has {name} at {found.base_path}; expected {base_path}. Set "
            "server_models_dir of the serving connection to the directory that the server sees."
        )
    policy = found.model_version_policy.specific
    return Entry(name, found.base_path, _ascending(*policy.versions), dict(found.version_labels))


def with_entry(config: ModelServerConfig, entry: Entry) -> ModelServerConfig:
    """A copy of the config that says this of the entry's model and the same of all others.

    A model without any version is left out, for the server would wait for it.
    """
    changed = ModelServerConfig()
    changed.CopyFrom(config)
    models = changed.model_config_list.config
    if not entry.versions:
        kept = [model for model in models if model.name != entry.name]
        del models[:]
        models.extend(kept)
        return changed
    target = _find(changed, entry.name) or models.add(name=entry.name, model_platform="tensorflow")
    _fill(target, entry)
    return changed


def _fill(target: ModelConfig, entry: Entry) -> None:
    target.base_path = entry.base_path
    target.model_version_policy.Clear()
    target.model_version_policy.specific.versions.extend(entry.versions)
    target.version_labels.clear()
    target.version_labels.update(entry.labels)


def _find(config: ModelServerConfig, name: str) -> ModelConfig | None:
    return next((model for model in config.model_config_list.config if model.name == name), None)
