"""Settings of the audit log: what is refused."""

import pytest
from pydantic import ValidationError

from audit.settings import AuditSettings


def test_the_defaults_sign_at_least_every_minute_and_every_thousand_records() -> None:
    settings = AuditSettings()
    assert settings.checkpoint_interval_s <= 60
    assert settings.checkpoint_every_events <= 1000


@pytest.mark.parametrize(
    "wrong",
    [
        {"source_id": "two words"},  # a key name may hold no space (C2SP signed-note)
        {"source_id": "a+b"},
        {"source_id": ""},
        {"checkpoint_interval_s": 0},
        {"entries_per_segment": 0},
        {"unknown": 1},
    ],
)
def test_what_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        AuditSettings.model_validate(wrong)
