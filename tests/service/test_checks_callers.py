"""`doctor` on unknown callers, and on a service that goes by another config.yaml."""

import os
from dataclasses import replace
from datetime import timedelta

from archive.configurations import ConfigurationInForce
from core.clock import utc_now
from service.checks import Verdict
from service.config_file import digest_of
from tests.service.test_checks import (
    Site,
    in_force,
    pacs,
    site,
    template,
    unknown_callers,
)

__all__ = ["pacs", "site", "template"]  # fixtures


def test_a_service_that_goes_by_another_configuration_is_named(site: Site) -> None:
    digest = digest_of(site.config.read_bytes())
    said = ConfigurationInForce("here:104", digest, "", "", utc_now())
    in_force(site, said)
    assert site.look("configuration in force").verdict is Verdict.FINE
    in_force(site, replace(said, waiting="api"))
    assert "older config.yaml in api" in site.look("configuration in force").what
    os.utime(site.config, (0, 0))
    in_force(site, replace(said, digest="0" * 64))
    assert "has not taken config.yaml up" in site.look("configuration in force").what


def test_callers_of_last_week_are_no_news(site: Site) -> None:
    unknown_callers(site)
    assert site.look("unknown callers").what == "1 unknown caller in the last day"
    site.clock = lambda: utc_now() + timedelta(days=7)
    assert site.look("unknown callers").verdict is Verdict.FINE
