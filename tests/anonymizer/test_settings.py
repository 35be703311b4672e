import pytest
from pydantic import ValidationError

from anonymizer.options import Option
from anonymizer.settings import MODELS, AnonymizerSettings
from core.errors import ConfigurationError


def test_models_see_modified_dates_and_patient_characteristics_by_default() -> None:
    assert AnonymizerSettings().profile(MODELS).options == {
        Option.RETAIN_MODIFIED_DATES,
        Option.RETAIN_PATIENT_CHARACTERISTICS,
    }


def test_a_profile_is_the_basic_one_plus_its_options() -> None:
    settings = AnonymizerSettings.model_validate(
        {"profiles": {"research": {"options": []}, "qa": {"options": ["retain_uids"]}}}
    )
    assert settings.profile("research").options == frozenset()
    assert settings.profile("qa").options == {Option.RETAIN_UIDS}
    assert settings.profile(MODELS).name == MODELS


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ({"profiles": {"x": {"options": ["retain_everything"]}}}, "retain_uids"),
        ({"profiles": {"x": {"options": ["clean_descriptors"]}}}, "not yet available"),
        (
            {
                "profiles": {
                    "x": {
                        "options": [
                            "retain_longitudinal_full_dates",
                            "retain_longitudinal_modified_dates",
                        ]
                    }
                }
            },
            "contradict",
        ),
        ({"profiles": {"No Name": {}}}, "pattern"),
        ({"date_shift_max_days": 0}, "30"),
        ({"dates": 1}, "dates"),
    ],
)
def test_a_wrong_section_is_refused_with_the_reason(section: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        AnonymizerSettings.model_validate(section)


def test_an_unknown_profile_is_refused_by_name() -> None:
    with pytest.raises(ConfigurationError, match="there is no profile 'research'"):
        AnonymizerSettings().profile("research")
