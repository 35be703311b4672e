"""The options of `send` and `echo` that make a call secure. Imports nothing heavy at once."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.options import DEFAULT_CONFIG, installation

if TYPE_CHECKING:
    from dicom_node.settings import TlsCallSettings

Tls = Annotated[
    bool,
    typer.Option(
        "--tls",
        help="Call over TLS, and never otherwise; with the files of `dicom_node.tls` in the "
        "installation unless others are named.",
    ),
]
TlsCertificate = Annotated[
    Path | None,
    typer.Option("--tls-certificate", help="Our certificate (PEM).", show_default=False),
]
TlsKey = Annotated[
    Path | None, typer.Option("--tls-key", help="Its private key (PEM).", show_default=False)
]
TlsCa = Annotated[
    Path | None,
    typer.Option(
        "--tls-ca", help="Certificates of the authorities to believe (PEM).", show_default=False
    ),
]
TlsPeer = Annotated[
    list[str] | None,
    typer.Option(
        "--tls-peer",
        help="Who may answer, such as CN:PACS or SHA256: and a fingerprint; by default who has a "
        "certificate for the host.",
        show_default=False,
    ),
]


@dataclass(frozen=True)
class SecureOptions:
    """What was said on the command line."""

    is_on: bool
    certificate: Path | None
    key: Path | None
    ca: Path | None
    peers: list[str] | None

    def settings(self, config: Path | None) -> "TlsCallSettings | None":
        """Return how to call over TLS; None if that was not asked for."""
        from pydantic import ValidationError

        from dicom_node.settings import TlsCallSettings

        named = {"certificate_file": self.certificate, "key_file": self.key, "ca_file": self.ca}
        given = {name: path.absolute() for name, path in named.items() if path is not None}
        if not self.is_on:
            if given or self.peers:
                raise typer.BadParameter("these files are for a call over TLS", param_hint="--tls")
            return None
        values = _of_installation(config) if len(given) < len(named) else {}
        try:
            return TlsCallSettings.model_validate(
                {**values, **given, "certificates": self.peers or ()}
            )
        except ValidationError as error:
            fault = error.errors(include_url=False, include_input=False)[0]
            raise typer.BadParameter(fault["msg"], param_hint="--tls-peer") from None


def _of_installation(config: Path | None) -> dict[str, object]:
    from core.errors import ConfigurationError

    if config is not None or DEFAULT_CONFIG.exists():
        ours = installation(config or DEFAULT_CONFIG)
        tls = ours.settings.dicom_node.resolved(ours.folder).tls
        if tls is not None:
            return tls.model_dump(exclude={"port"})
    raise ConfigurationError(
        "there is no `dicom_node.tls` here whose certificate a call could show",
        remedy="Name --tls-certificate, --tls-key and --tls-ca, or the installation by --config",
    )
