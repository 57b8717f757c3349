"""The reviewed schema of a pipeline's examples: TensorFlow Metadata's ``Schema`` as a text proto."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from ml.artifact import digest_of
from ml.errors import Misconfigured

ColumnType = Literal["string", "int", "float"]

# What the model server receives. A landed day has more: it is held against the environment TRAINING too.
SERVING = "SERVING"

COLUMN_TYPES: dict[int, ColumnType] = {
    schema_pb2.FeatureType.BYTES: "string",
    schema_pb2.FeatureType.INT: "int",
    schema_pb2.FeatureType.FLOAT: "float",
}


@dataclass(frozen=True)
class Schema:
    """Names and types of an example's fields.

    Attributes:
        proto: the schema as TFDV reads it, with domains, presence and environments.
        columns: field name → type, in the schema's order.
    """

    proto: schema_pb2.Schema
    columns: dict[str, ColumnType]

    @classmethod
    def read(cls, path: Path) -> Schema:
        """Parse a ``schema.pbtxt``.

        Raises:
            Misconfigured: if the file is missing, is not a text proto, or a feature has no scalar type.
        """
        try:
            return cls.of(text_format.Parse(path.read_text(), schema_pb2.Schema()))
        except OSError as error:
            raise Misconfigured(
                f"{path}: there is no readable schema ({error.strerror}). Propose one from landed examples "
                "with `python -m ml schema infer`, review it and save it there."
            ) from error
        except (text_format.ParseError, ValueError) as error:
            raise Misconfigured(
                f"{path}: {error}. Expected a text proto of tensorflow.metadata.v0.Schema with a type of "
                "BYTES, INT or FLOAT for every feature."
            ) from error

    @classmethod
    def of(cls, proto: schema_pb2.Schema) -> Schema:
        """Wrap a schema proto.

        Raises:
            ValueError: if a feature has no scalar type.
        """
        untyped = [feature.name for feature in proto.feature if feature.type not in COLUMN_TYPES]
        if untyped:
            raise ValueError(f"features {untyped} have no type")
        return cls(proto, {feature.name: COLUMN_TYPES[feature.type] for feature in proto.feature})

    def counted_fields(self, categorical: Collection[str]) -> list[str]:
        """The fields whose values are counted exactly, in the schema's order.

        Args:
            categorical: the model's categorical features; besides them, what has a list of values is counted.
        """
        listed = {feature.name for feature in self.proto.feature if _has_value_list(feature)}
        return [name for name in self.columns if name in categorical or name in listed]

    @property
    def unserved(self) -> frozenset[str]:
        """Fields that the model server does not receive, by TFDV's rule for the environment SERVING.

        Being in an environment by name is stronger than not being in it. A schema of which days are checked
        has SERVING among its default environments, so that what names neither is in it.
        """
        return frozenset(
            feature.name
            for feature in self.proto.feature
            if SERVING in feature.not_in_environment and SERVING not in feature.in_environment
        )

    @property
    def digest(self) -> str:
        """SHA-256 of the schema in its canonical text form."""
        return digest_of(text_format.MessageToString(self.proto))

    @property
    def columns_digest(self) -> str:
        """SHA-256 of the columns' names and types in their order, which decide the bytes of a landed day."""
        return digest_of(list(self.columns.items()))


def value_list(schema: schema_pb2.Schema, field: str) -> list[str]:
    """The values that the schema allows for a text field; empty if it allows any."""
    domains = {domain.name: domain for domain in schema.string_domain}
    for feature in schema.feature:
        if feature.name == field:
            return list(domains.get(feature.domain, feature.string_domain).value)
    return []


def _has_value_list(feature: schema_pb2.Feature) -> bool:
    domain: str | None = feature.WhichOneof("domain_info")
    return domain in ("string_domain", "domain", "bool_domain") or feature.int_domain.is_categorical
