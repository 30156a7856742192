"""Errors of the privacy package.

Error
└── PrivacyError        a privacy rule cannot be kept, or was not
    ├── NoiseError      noise was asked for that no sampler can draw
    └── TermsError      terms of a release that no mechanism can meet
"""

from __future__ import annotations

from crypto.errors import Error


class PrivacyError(Error):
    """A privacy rule cannot be kept with what was given; nothing was drawn and nothing was released."""


class NoiseError(PrivacyError):
    """A sampler was asked for noise of an impossible size or amount, or gave less than it was asked for."""


class TermsError(PrivacyError):
    """Terms contradict each other, or no threshold and no multiplier within the limits meets them."""
