"""The modality keeps the framework's contract with both encoders."""

from __future__ import annotations

import pytest

from latentgen.testing import check_modality
from modalities.points import Points


@pytest.mark.parametrize("encoder", ["tokens", "points"])
def test_the_contract_is_kept(encoder: str) -> None:
    results = check_modality(
        Points(
            encoder=encoder, points=24, least=12, train_size=16, test_size=8, width=16, depth=1, heads=2, tokens=3,
            latent=4, noise=0.3,  # the rule on nats supposes log-ratios that are about normal
        )
    )
    assert [result for result in results if not result.passed] == []
    assert len(results) > 20
