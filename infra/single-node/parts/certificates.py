"""The node's own authorities, and the certificates of everybody who speaks to the API server."""

import base64
import datetime as dt
import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VALID_DAYS = 365
# A clock that was set back a little shall not make a fresh certificate one of tomorrow.
BACKDATED_MINUTES = 10


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A key and its certificate, as PEM files."""

    key: Path
    certificate: Path


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Who a certificate is for: what Kubernetes reads as user and groups, and where a server listens."""

    user: str
    groups: Sequence[str] = ()
    names: Sequence[str] = ()
    addresses: Sequence[str] = ()


class Authority:
    """A certificate authority of one node.

    Args:
        name: its common name.
        folder: where its certificates go, each with its key (0600).
    """

    def __init__(self, *, name: str, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.pair = Pair(key=folder / f"{name}.key", certificate=folder / f"{name}.crt")
        if self.pair.key.exists() and self.pair.certificate.exists():
            key = serialization.load_pem_private_key(self.pair.key.read_bytes(), password=None)
            if not isinstance(key, ec.EllipticCurvePrivateKey):
                raise TypeError(f"{self.pair.key} holds no key of this node")
            self._key = key
            self._certificate = x509.load_pem_x509_certificate(self.pair.certificate.read_bytes())
            return
        self._key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._certificate = (
            _builder(subject, subject, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_usage(authority=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        _write(self.pair, self._key, self._certificate)

    def issue(self, file_name: str, identity: Identity) -> Pair:
        """Give a certificate for servers and clients alike, a new one each time."""
        pair = Pair(key=self._folder / f"{file_name}.key", certificate=self._folder / f"{file_name}.crt")
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name(
            [
                *(x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in identity.groups),
                x509.NameAttribute(NameOID.COMMON_NAME, identity.user),
            ]
        )
        builder = (
            _builder(subject, self._certificate.subject, key.public_key())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(authority=False), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        names: list[x509.GeneralName] = [x509.DNSName(name) for name in identity.names]
        names += [x509.IPAddress(ipaddress.ip_address(address)) for address in identity.addresses]
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        _write(pair, key, builder.sign(self._key, hashes.SHA256()))
        return pair


def signing_key(folder: Path) -> Path:
    """Give the key that signs the tokens of service accounts; made once."""
    path = folder / "service-accounts.key"
    if not path.exists():
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        _write_secret(path, _pem(key))
    return path


def write_kubeconfig(path: Path, *, server: str, authority: Path, user: str, pair: Pair) -> Path:
    """Write a kubeconfig (0600) with everything in it."""
    path.parent.mkdir(parents=True, exist_ok=True)

    def inline(part: Path) -> str:
        return base64.b64encode(part.read_bytes()).decode()

    cluster = {"server": server, "certificate-authority-data": inline(authority)}
    credentials = {"client-certificate-data": inline(pair.certificate), "client-key-data": inline(pair.key)}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "single-node", "cluster": cluster}],
        "users": [{"name": user, "user": credentials}],
        "contexts": [{"name": "single-node", "context": {"cluster": "single-node", "user": user}}],
        "current-context": "single-node",
    }
    _write_secret(path, yaml.safe_dump(document).encode())
    return path


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=BACKDATED_MINUTES))
        .not_valid_after(now + dt.timedelta(days=VALID_DAYS))
    )


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(pair: Pair, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
    _write_secret(pair.key, _pem(key))
    pair.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def _write_secret(path: Path, content: bytes) -> None:
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as stream:
        stream.write(content)
    fresh.replace(path)
