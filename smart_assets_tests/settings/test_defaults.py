"""What holds where `smart.yaml` says nothing, in the sections where another value does harm in silence."""

from typing import Any

import pytest

from smart_assets.contamination.settings import Contamination
from smart_assets.core.section import Section
from smart_assets.settings.automation import Automation, Promotion
from smart_assets.store.settings import Retention


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        pytest.param(
            Contamination(),
            {"exclude": True, "ngram": 13, "share": 0.2, "template_share": 0.1, "similarity": 0.97},
            id="contamination",
        ),
        pytest.param(Retention(), {"newest": 2, "days": 90}, id="retention"),
        pytest.param(
            Promotion(budget=1, recipe="smart", margin=0.1),
            {"metric": "response_loss", "benchmark": "held_out", "confidence": 0.95},
            id="promotion",
        ),
        pytest.param(
            Automation(),
            {
                "watch": None,
                "watch_seconds": 60,
                "quiet_seconds": 30,
                "attempts": 3,
                "retrain": None,
                "timezone": "UTC",
                "minimum_change": 0.01,
                "most_trainings": 4,
                "not_retrained": (),
                "evaluate_again": True,
            },
            id="automation",
        ),
    ],
)
def test_defaults(section: Section, expected: dict[str, Any]) -> None:
    given = {"budget", "recipe", "margin"} if isinstance(section, Promotion) else set()
    assert section.model_dump(exclude=given) == expected
