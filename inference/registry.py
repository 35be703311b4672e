"""The models that are here: by name, version and digest."""

import re
from collections.abc import Sequence
from pathlib import Path

from inference.errors import ModelPackageError, UnknownModelError
from inference.package import CARD_FILE, ModelPackage, load_package

_VERSION = re.compile(r"(\d+\.\d+\.\d+)(.*)")
SHIPPED = Path(__file__).resolve().parent / "packages"


class Registry:
    """Every package in some folders; each is checked when the registry is built.

    A package that is refused does not keep the others from being used: whoever asks for it by name
    gets its refusal.

    Raises
    ------
    ModelPackageError
        If two packages have the same name and version and are not the same.
    """

    def __init__(self, folders: Sequence[Path] = (SHIPPED,)) -> None:
        self._packages: dict[tuple[str, str], ModelPackage] = {}
        self.refusals: dict[str, ModelPackageError] = {}
        """By name of the package's folder."""
        for folder in folders:
            for card in sorted(folder.glob(f"*/{CARD_FILE}")):
                self._add(card.parent)

    def packages(self) -> tuple[ModelPackage, ...]:
        """Return all usable packages, by name, newest version first."""
        newest_first = sorted(
            self._packages.values(), key=lambda one: version_order(one.card.version), reverse=True
        )
        return tuple(sorted(newest_first, key=lambda one: one.card.name))

    def get(self, name: str, version: str | None = None) -> ModelPackage:
        """Return the package of this name, its newest version unless one is named.

        Raises
        ------
        UnknownModelError
            If there is none.
        ModelPackageError
            If there is one, and it was refused.
        """
        for package in self.packages():
            if package.card.name == name and version in {None, package.card.version}:
                return package
        if name in self.refusals:
            raise self.refusals[name]
        known = ", ".join(f"{one.card.name} {one.card.version}" for one in self.packages())
        raise UnknownModelError(
            f"there is no model {name if version is None else f'{name} {version}'}",
            remedy=f"These are here: {known or 'none'}",
        )

    def _add(self, folder: Path) -> None:
        try:
            package = load_package(folder)
        except ModelPackageError as error:
            self.refusals[folder.name] = error
            return
        identity = package.card.name, package.card.version
        other = self._packages.setdefault(identity, package)
        if other.digest != package.digest:
            raise ModelPackageError(
                f"{other.folder} and {folder} are both {' '.join(identity)}, and differ",
                remedy="Give the newer one a version of its own",
            )


def version_order(version: str) -> tuple[tuple[int, ...], bool, str]:
    """Return what sorts versions by their numbers; a pre-release comes before its release."""
    numbers, suffix = _VERSION.fullmatch(version).groups()  # type: ignore[union-attr] # as in cards
    return tuple(int(part) for part in numbers.split(".")), not suffix.startswith("-"), suffix
