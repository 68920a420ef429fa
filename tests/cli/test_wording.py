from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from mvc.base.errors import UsageError
from mvc.base.wording import counted, iso_time, number, size
from mvc.cli.arguments import parse_labels, parse_metric, parse_metrics, parse_params
from mvc.cli.times import parse_time
from mvc.objects.history import Metric


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.00 kB"),
        (9_996, "10.0 kB"),
        (99_960, "100 kB"),
        (999_600, "1.00 MB"),
        (90_868_376, "90.9 MB"),
        (4 * 10**9, "4.00 GB"),
        (10**18, "1000 PB"),
    ],
)
def test_sizes_have_three_digits(count: int, text: str) -> None:
    assert size(count) == text


def test_words_follow_their_number() -> None:
    assert [counted(1, "file"), counted(2, "file"), counted(2, "copy")] == [
        "1 file",
        "2 files",
        "2 copies",
    ]


def test_times_in_json_are_utc_with_microseconds() -> None:
    assert iso_time(1_700_000_000_000_001) == "2023-11-14T22:13:20.000001Z"
    assert iso_time(2**63 - 1).endswith("Z")


def test_a_time_is_a_date_or_an_age() -> None:
    time.tzset()
    assert parse_time("2023-11-14", 0) == 1_699_920_000_000_000
    assert parse_time("2023-11-14T22:13:20Z", 0) == 1_700_000_000_000_000
    assert parse_time("2 weeks ago", 10**15) == 10**15 - 14 * 86400 * 10**6
    assert parse_time("3.days", 10**15) == 10**15 - 3 * 86400 * 10**6
    for wrong in ("soon", "2023-13", "", "-1 day"):
        with pytest.raises(UsageError):
            parse_time(wrong, 0)


def test_numbers_are_short_and_exact() -> None:
    assert [number(0.91), number(3.0), number(1e-7), number(1e300)] == [
        "0.91",
        "3",
        "1e-07",
        "1e+300",
    ]


def test_a_metric_has_a_data_set_and_a_split_if_given() -> None:
    assert parse_metric("accuracy=0.5") == Metric("accuracy", 0.5)
    assert parse_metric("f1@squad=1") == Metric("f1", 1.0, "squad")
    assert parse_metric("f1@squad[dev]=-1e-3") == Metric("f1", -0.001, "squad", "dev")
    assert parse_metric("loss[train]=2") == Metric("loss", 2.0, "", "train")


@pytest.mark.parametrize(
    "text", ["", "a", "a=", "=1", "a=x", "a=nan", "a=inf", "a@=1", "a[]=1", "@b=1"]
)
def test_what_is_no_metric_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError):
        parse_metric(text)


def test_metrics_come_in_order() -> None:
    assert parse_metrics(("b=1", "a=1")) == (Metric("a", 1.0), Metric("b", 1.0))


@pytest.mark.parametrize(
    ("parse", "texts", "key"),
    [
        (parse_metrics, ("b=1", "a=1", "b=2"), "'b'"),
        (parse_metrics, ("f1@coco[val]=1", "f1@coco[val]=1"), "'f1@coco[val]'"),
        (parse_params, ("lr=1", "lr=2"), "'lr'"),
        (parse_labels, ("a=1", "a=1"), "'a'"),
    ],
)
def test_what_is_given_twice_is_named(
    parse: Callable[[tuple[str, ...]], object], texts: tuple[str, ...], key: str
) -> None:
    with pytest.raises(UsageError) as caught:
        parse(texts)
    assert f"{key} is given twice" in caught.value.message


def test_params_are_typed_and_labels_are_text() -> None:
    texts = ("lr=2e-5", "n=3", "amp=true", "opt=adamw", "empty=", "eq=a=b")
    assert parse_params(texts) == {
        "lr": 2e-5,
        "n": 3,
        "amp": True,
        "opt": "adamw",
        "empty": "",
        "eq": "a=b",
    }
    assert parse_labels(("n=3",)) == {"n": "3"}
    with pytest.raises(UsageError):
        parse_params(("novalue",))
