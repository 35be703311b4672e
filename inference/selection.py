"""Which models want which instances of a study."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from core.model import InstanceKey
from imaging.facts import PixelFacts
from inference.package import Accepts, ModelCard
from inference.registry import Registry
from inference.requests import ModelOrder, Skipped
from inference.settings import ModelRule

_CODE_STRING = re.compile(r"[A-Z0-9_ ]{1,16}")


@dataclass(frozen=True)
class Candidate:
    """What must be known of an instance to choose its models."""

    key: InstanceKey
    modality: str
    sop_class_uid: str


@dataclass(frozen=True)
class Origin:
    """How a study came to us."""

    peer: str
    """Name of the peer in config.yaml; empty for what did not come over the network."""
    called_ae_title: str = ""


def select(
    rules: Sequence[ModelRule],
    registry: Registry,
    origin: Origin,
    candidates: Iterable[Candidate],
) -> tuple[ModelOrder, ...]:
    """Return the models that want at least one of these instances, in the order of the rules.

    Raises
    ------
    UnknownModelError, ModelPackageError
        If a rule in force names a model that is not here, or was refused.
    """
    offered = tuple(candidates)
    orders = consider(rules, registry, origin, offered)
    return tuple(order for order in orders if len(order.skipped) < len(offered))


def consider(
    rules: Sequence[ModelRule],
    registry: Registry,
    origin: Origin,
    candidates: Iterable[Candidate],
) -> tuple[ModelOrder, ...]:
    """Return every model that reads what this origin sends, even if it wants none of these.

    An order that skips every instance is what a "not evaluated" is made of.

    Raises
    ------
    UnknownModelError, ModelPackageError
        If a rule in force names a model that is not here, or was refused.
    """
    offered = tuple(candidates)
    return tuple(
        _order(rule, registry, offered)
        for rule in rules
        if rule.enabled and _wants_origin(rule, registry.get(rule.name, rule.version).card, origin)
    )


def _order(rule: ModelRule, registry: Registry, candidates: Sequence[Candidate]) -> ModelOrder:
    package = registry.get(rule.name, rule.version)
    skipped = []
    for candidate in candidates:
        reason = _refused_by_rule(rule, candidate) or _refused_by_kind(package.card, candidate)
        if reason:
            skipped.append(Skipped(candidate.key, reason))
    return ModelOrder(
        name=package.card.name,
        version=package.card.version,
        digest=package.digest,
        score_threshold=rule.score_threshold,
        skipped=tuple(skipped),
    )


def not_accepted(card: ModelCard, facts: PixelFacts) -> str:
    """Return why the model may not be shown an object with these pixels; empty if it may."""
    if not facts.has_pixels or facts.rows == 0 or facts.columns == 0:
        return "The object holds no pixels"
    seen = Candidate(InstanceKey(""), facts.modality, facts.sop_class_uid)
    reason = _refused_by_kind(card, seen)
    if reason:
        return reason
    accepted = card.accepts.photometric
    if accepted and facts.photometric_interpretation not in accepted:
        shown = _shown(facts.photometric_interpretation)
        return f"{card.name} does not read pictures whose photometric interpretation is {shown}"
    return ""


def _wants_origin(rule: ModelRule, card: ModelCard, origin: Origin) -> bool:
    return (
        _fits(rule.peers, origin.peer)
        and _fits(rule.called_ae_titles, origin.called_ae_title)
        and _fits(card.accepts.peers, origin.peer)
    )


def _refused_by_rule(rule: ModelRule, candidate: Candidate) -> str:
    if not _fits(rule.modalities, candidate.modality):
        return f"The rule for {rule.name} leaves out modality {_shown(candidate.modality)}"
    if not _fits(rule.sop_classes, candidate.sop_class_uid):
        return f"The rule for {rule.name} leaves out objects of this SOP class"
    return ""


def _refused_by_kind(card: ModelCard, candidate: Candidate) -> str:
    accepts: Accepts = card.accepts
    if not _fits(accepts.modalities, candidate.modality):
        return f"{card.name} does not read modality {_shown(candidate.modality)}"
    if not _fits(accepts.sop_classes, candidate.sop_class_uid):
        return f"{card.name} does not read objects of this SOP class"
    return ""


def _fits(accepted: Sequence[str], value: str) -> bool:
    return not accepted or value in accepted


def _shown(value: str) -> str:
    """Return a code string, but never free text that someone put in its place."""
    return value if _CODE_STRING.fullmatch(value) else "that is not stated"
