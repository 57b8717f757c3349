"""The secure listener: SCRAM over TLS, an authorizer that denies by default, and a certificate of its own."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path

from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

MECHANISM = "SCRAM-SHA-512"
REQUEST_SECONDS = 30
SCRAM_ITERATIONS = 4096
VALID_DAYS = 2


class Security:
    """Certificate, users and rights of a cluster.

    Whoever comes by the open listener needs no login and may do everything; by the secure one, a user may do
    what `allow` has granted.

    Args:
        home: gets ``certificate.pem`` and ``server.pem``.
    """

    def __init__(self, home: Path) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self._certificate = home.absolute() / "certificate.pem"
        self._server = home.absolute() / "server.pem"
        _write_certificate(self._certificate, self._server)

    def properties(self) -> dict[str, object]:
        """What the nodes are told."""
        login = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        return {
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
            "sasl.enabled.mechanisms": MECHANISM,
            f"listener.name.secure.{MECHANISM.lower()}.sasl.jaas.config": login,
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": self._server,
        }

    def settings(self, user: str, password: str) -> dict[str, str]:
        """What a client is told, but for the servers."""
        return {
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": MECHANISM,
            "sasl.username": user,
            "sasl.password": password,
            "ssl.ca.location": str(self._certificate),
        }


def add_user(admin: AdminClient, user: str, password: str) -> None:
    """Let a user log in."""
    credential = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, SCRAM_ITERATIONS)
    change = UserScramCredentialUpsertion(user, credential, password.encode())
    admin.alter_user_scram_credentials([change])[user].result(REQUEST_SECONDS)


def set_right(
    admin: AdminClient, user: str, topic: str, operation: AclOperation, permission: AclPermissionType
) -> None:
    """Allow or deny a user an operation on a topic."""
    binding = AclBinding(
        ResourceType.TOPIC, topic, ResourcePatternType.LITERAL, f"User:{user}", "*", operation, permission
    )
    admin.create_acls([binding])[binding].result(REQUEST_SECONDS)


def _write_certificate(certificate_file: Path, server_file: Path) -> None:
    """A certificate for 127.0.0.1 that signs itself; the server's file holds its key as well."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.timezone.utc)
    addresses = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("127.0.0.1")]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=VALID_DAYS))
        .add_extension(x509.SubjectAlternativeName(addresses), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    public = certificate.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    certificate_file.write_bytes(public)
    server_file.touch(mode=0o600)
    server_file.write_bytes(private + public)
