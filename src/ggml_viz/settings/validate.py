"""Merges the layers of settings and checks the values, with pydantic-settings.

Imported only where there is something to check. A layer is what one source gives: for each section the values by key.
The first layer comes first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from ggml_viz.settings.model import Capture, Logging, Output, Settings, Ui

Layer = Mapping[str, Mapping[str, Any]]


def merged(layers: Sequence[Layer]) -> tuple[Settings, list[tuple[str, str]]]:
    """Merges and checks layers.

    Returns:
        The settings, and section and key of each value that is wrong; if there are any, the settings are the defaults.
    """

    class Layered(BaseSettings):
        model_config = SettingsConfigDict(extra="forbid", validate_default=False)

        capture: Capture = Field(default_factory=Capture)
        output: Output = Field(default_factory=Output)
        logging: Logging = Field(default_factory=Logging)
        ui: Ui = Field(default_factory=Ui)

        @classmethod
        def settings_customise_sources(
            cls, settings_cls: type[BaseSettings], *_: PydanticBaseSettingsSource, **__: PydanticBaseSettingsSource
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            # The sources that pydantic-settings has know nothing of variables with flat names, of lines, of origins.
            return tuple(InitSettingsSource(settings_cls, dict(layer)) for layer in layers)

    try:
        found = Layered()
    except ValidationError as error:
        # A list may be wrong in several places.
        wrong = dict.fromkeys((str(item["loc"][0]), str(item["loc"][1])) for item in error.errors())
        return Settings(), list(wrong)
    return Settings(found.capture, found.output, found.logging, found.ui), []
