"""Opened vectors as components."""

from __future__ import annotations

import numpy as np

from server.applicability.subjects import components


def test_bytes_are_read_as_the_signed_components_that_they_are() -> None:
    vector = np.arange(-127, 128, dtype=np.int8)
    assert components(vector.tobytes()) == tuple(range(-127, 128))
