"""Options that are numbers: what counts as one, and where wrong ones are told of."""

from __future__ import annotations

import math
import pickle
import re

import numpy as np
import pytest

import faceparts
from faceparts._values import require_range, require_whole
from faceparts.errors import UsageError
from faceparts.parse import FaceParser


@pytest.mark.parametrize("value", [1, 7, np.int64(3), np.uint8(2)])
def test_whole_numbers(value: object) -> None:
    whole = require_whole("batch", value, 1)
    assert type(whole) is int and whole == value


@pytest.mark.parametrize("value", [0, -1, 1.0, 1.5, True, "2", None, math.nan, np.float32(2)])
def test_what_is_no_whole_number(value: object) -> None:
    wanted = re.escape(f"batch: got {value!r}, wanted a whole number of at least 1")
    with pytest.raises(UsageError, match=wanted):
        require_whole("batch", value, 1)


@pytest.mark.parametrize("value", [0, 1, 0.25, np.float32(0.5), np.int64(1)])
def test_shares(value: object) -> None:
    share = require_range("min_score", value, 0, 1)
    assert type(share) is float and share == value


@pytest.mark.parametrize("value", [-0.1, 1.01, 50, True, "0.5", None, math.nan, math.inf, 1j])
def test_what_is_no_share(value: object) -> None:
    with pytest.raises(UsageError, match=re.escape(f"min_score: got {value!r}, wanted 0 to 1")):
        require_range("min_score", value, 0, 1)


@pytest.mark.parametrize(
    ("name", "value"),
    [("threads", 1.5), ("threads", 0), ("batch", 1.5), ("min_score", "0.5"), ("min_score", 2)],
)
def test_a_parser_says_which_option_is_wrong(name: str, value: object) -> None:
    with pytest.raises(UsageError, match=rf"^{name}: got {value!r}, wanted "):
        FaceParser(**{name: value})


def test_an_opened_parser_says_why_it_is_not_pickled() -> None:
    with pytest.raises(TypeError, match="make one in each process"):
        pickle.dumps(FaceParser())


def test_the_package_function_is_pickled_by_its_name() -> None:
    assert pickle.loads(pickle.dumps(faceparts.parse)) is faceparts.parse
    assert callable(faceparts.parse)
