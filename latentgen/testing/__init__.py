"""Checks of the contracts that users' own parts must keep, each with what to change.

    from latentgen.testing import assert_passed, check_modality

    def test_my_modality() -> None:
        assert_passed(check_modality(MyModality()))

``latentgen check my_module:MyModality`` runs the same checks from the command line.
"""

from .autoencoder import check_autoencoder
from .denoiser import check_denoiser
from .modality import check_modality
from .process import check_process
from .result import CheckResult, assert_passed, format_results
from .sampler import NormalDenoiser, check_sampler

__all__ = [
    "CheckResult",
    "NormalDenoiser",
    "assert_passed",
    "check_autoencoder",
    "check_denoiser",
    "check_modality",
    "check_process",
    "check_sampler",
    "format_results",
]
