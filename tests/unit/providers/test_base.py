from __future__ import annotations

import pytest

from ktrdr.errors import Invalid, NotFound
from ktrdr.providers.base import PROVIDERS, build


def test_providers_are_found_by_their_file() -> None:
    assert {"files", "sample", "synthetic"} <= set(PROVIDERS.names())
    for provider in PROVIDERS:
        first = (provider.__doc__ or "").splitlines()[0]
        assert first.endswith(".")


def test_an_unknown_provider_is_answered_with_the_nearest() -> None:
    with pytest.raises(NotFound, match="no provider called 'synthetics'") as failure:
        build("synthetics", {})
    assert "did you mean 'synthetic'?" in (failure.value.hint or "")


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("files", {}, "provider files needs the option 'file'"),
        ("synthetic", {"sed": 3}, "provider synthetic has no option 'sed'; did you mean 'seed'?"),
        ("sample", {"seed": 3}, "provider sample has no option 'seed'"),
        ("synthetic", {"seed": -1}, "provider synthetic, option 'seed': input should be greater than or equal to 0"),
        ("files", {"file": "here.csv"}, "provider files, option 'file': 'here.csv' must be an absolute path"),
        ("files", {"file": "/x.csv", "zone": "Mars/Base"}, "provider files, option 'zone': 'Mars/Base' is not a time zone"),
        ("files", {"file": "/x.csv", "stamp": "mid"}, "provider files, option 'stamp': input should be 'start' or 'end'"),
    ],
)
def test_a_wrong_option_is_an_error_that_names_it(name: str, options: dict[str, object], sentence: str) -> None:
    with pytest.raises(Invalid) as failure:
        build(name, options)
    assert failure.value.message == sentence
    assert name in (failure.value.hint or "")
