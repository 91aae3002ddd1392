"""Rates of the catalogue and of a user's file; the file's errors, each with its place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tokenbench.api import CostSet, FrozenMap, Sku, UsageError
from tokenbench.economics.column import RateIdentity
from tokenbench.economics.cost import blended_margin, revenue_per_hour, usd_per_million_tokens
from tokenbench.economics.rates import RateSet, price_columns
from tokenbench.economics.rates_file import UserRates, parse_rates
from tokenbench.suite.yaml_lines import read


def costs(version: str, date: str, all_in_w: float | None, **usd: float) -> CostSet:
    """A dated set of one publisher."""
    return CostSet(
        version=version, source="ours", date=date, all_in_w=all_in_w, usd_per_hour=FrozenMap(usd)
    )


def sku(name: str, *sets: CostSet) -> Sku:
    """A chip with these sets."""
    return Sku(name=name, vendor="v", source="ours", date="2026", costs=sets)


CHIPS = (
    # The newest set comes first here, and has no power.
    sku(
        "big", costs("v2", "2026-09", None, neocloud=2.0), costs("v1", "2026-04", 1500, neocloud=3)
    ),
    sku("small", costs("v1", "2026-04", 700.0, rent_3yr=1.0)),
    sku("bare"),
)

FILE = """\
version: 1
name: our-contract
date: 2026-11-30
source: contract of the data centre
rates:
  big:
    usd_per_hour: {neocloud: 1.5}
  own:
    usd_per_hour: {neocloud: 1, rent_3yr: 1.25}
    all_in_w: 1100
    date: 2026-10
    source: a quote
prices:
  - {provider: shop, model: m, input: 0.5, cached_input: 0.1, output: 2}
  - provider: shop
    model: plain
    input: 0.25
    output: 1
    date: 2026-09-01
"""


@pytest.fixture
def parse(tmp_path: Path) -> Callable[[str], UserRates]:
    """Parses a text as the file ``rates.yaml``."""

    def parsed(text: str) -> UserRates:
        file = tmp_path / "rates.yaml"
        file.write_text(text)
        return parse_rates(read(file, "file of rates"))

    return parsed


def test_each_figure_is_of_the_newest_set_that_has_it() -> None:
    """Price of September, power of April: both sets are named, in whatever order they stand."""
    rates = RateSet.from_catalogue(CHIPS)
    price, power = rates.usd_per_hour(["big"], "neocloud"), rates.all_in_w(["big"])
    assert price.listed() == (2.0,) and power.listed() == (1500.0,)
    assert price.rates == (RateIdentity(name="ours", version="v2", date="2026-09"),)
    assert power.rates == (RateIdentity(name="ours", version="v1", date="2026-04"),)
    assert price.half_widths.tolist() == [0.0] == power.half_widths.tolist()


def test_one_version_has_its_own_figures_only() -> None:
    """What v2 lacks is not taken from v1. An unknown version is an error."""
    rates = RateSet.from_catalogue(CHIPS, "v2")
    assert rates.all_in_w(["big", "small"]).listed() == (None, None)
    with pytest.raises(UsageError, match="no cost set 'v9'") as error:
        RateSet.from_catalogue(CHIPS, "v9")
    assert error.value.hint == "cost sets: v1, v2"


def test_unknown_hardware_has_no_cost_and_a_hint() -> None:
    """Unknown chip, misspelt chip, chip without that price, chip without any, no chip."""
    rates = RateSet.from_catalogue(CHIPS)
    found = rates.usd_per_hour(["big", "quux", "bigg", "small", "bare", None], "neocloud")
    assert found.listed() == (2.0, None, None, None, None, None)
    cost = usd_per_million_tokens([1000.0] * 6, found)
    assert cost.listed()[1:] == (None,) * 5
    added = "add it to a file of rates (--rates FILE)"
    assert cost.hints == (
        None,
        f"no price (neocloud) of 'quux': {added}",
        f"no price (neocloud) of 'bigg': did you mean 'big'? else {added}",
        f"no price (neocloud) of 'small', only all_in_w, rent_3yr: {added}",
        f"no price (neocloud) of 'bare': {added}",
        "the hardware of this point is not known",
    )


@pytest.mark.parametrize("number", ["9" * 400, "9" * 5000, "1000000", "\u0668"])
def test_a_count_that_cannot_be_is_part_of_a_name(number: str) -> None:
    """A result may come from anywhere. What is like one of the names in it is no other name."""
    found = RateSet.from_catalogue(CHIPS).usd_per_hour([f"{number}xbig+1xbig"], "neocloud")
    assert found.listed() == (None,)
    assert str(found.hints[0]).endswith("1xbig': add it to a file of rates (--rates FILE)")


def test_the_form_before_counts_is_no_misspelt_name() -> None:
    """Results of versions before it name SKUs without counts."""
    (hint,) = RateSet.from_catalogue(CHIPS).usd_per_hour(["big+bare"], "neocloud").hints
    assert "did you mean" not in str(hint)


def test_an_unknown_ownership_model_is_an_error() -> None:
    """With those there are."""
    with pytest.raises(UsageError, match="'neoclod'") as error:
        RateSet.from_catalogue(CHIPS).usd_per_hour(["big"], "neoclod")
    assert "hyperscaler, neocloud, rent_3yr" in error.value.hint


def test_a_file_goes_over_the_catalogue(parse) -> None:
    """Its figures replace those of the catalogue one by one; each number names its set."""
    user = parse(FILE)
    rates = user.rates.over(RateSet.from_catalogue(CHIPS))
    price = rates.usd_per_hour(["big", "own", "small"], "neocloud")
    assert price.listed() == (1.5, 1.0, None)
    assert rates.all_in_w(["big", "own", "small"]).listed() == (1500.0, 1100.0, 700.0)
    assert [(rate.name, rate.date) for rate in price.rates] == [
        ("our-contract", "2026-11-30"),
        ("our-contract", "2026-10"),
    ]
    own = rates.find("own", "all_in_w")
    assert own is not None and own.source == "a quote"


def test_the_version_of_a_file_is_its_content(parse) -> None:
    """Another price is another version; a comment is not."""
    version = {
        name: parse(text).prices[0].identity.version
        for name, text in {
            "file": FILE,
            "comment": f"# mine\n{FILE}",
            "price": FILE.replace("1.25", "1.26"),
        }.items()
    }
    assert version["file"] == version["comment"] != version["price"]
    assert version["file"].startswith("sha256:")


def test_prices_by_provider_and_model(parse) -> None:
    """A margin from a file alone; a model without a cached price has none where there are hits."""
    user = parse(FILE)
    prices = price_columns(user.prices, ["m", "plain", "other", None], "shop")
    assert prices.input.listed() == (0.5, 0.25, None, None)
    assert prices.cached_input.listed() == (0.1, None, None, None)
    assert prices.output.listed_half_widths() == (0.0, 0.0, None, None)
    revenue = revenue_per_hour(
        [1000.0] * 4,
        input_share=0.5,
        hit_share=0.5,
        input_price=prices.input,
        cached_input_price=prices.cached_input,
        output_price=prices.output,
    )
    assert revenue.values[0] == pytest.approx(3.6 * (0.5 * 0.3 + 0.5 * 2.0))
    assert revenue.listed()[1:] == (None, None, None)
    assert revenue.hints[1] == "shop has no cached input price of 'plain' in the list of prices"
    assert revenue.hints[2] == "shop has no input price of 'other' in the list of prices"
    margin = blended_margin(user.rates.usd_per_hour(["own"], "neocloud"), revenue)
    assert {(rate.name, rate.date) for rate in margin.rates} == {
        ("our-contract", "2026-10"),
        ("our-contract", "2026-11-30"),
        ("our-contract", "2026-09-01"),
    }
    with pytest.raises(UsageError, match="no prices of provider 'mall'") as error:
        price_columns(user.prices, ["m"], "mall")
    assert error.value.hint == "providers: shop"


ERRORS = (
    ("", "", "rates.yaml:1: expected a mapping, got nothing: the file is empty"),
    ("name: our-contract\n", "", "rates.yaml:1: the key 'name' is missing"),
    ("version: 1", "version: 2", "rates.yaml:1: version: this version of bench reads version 1"),
    ("version: 1", "version: true", "rates.yaml:1: version: this version of bench reads"),
    ("date: 2026-11-30", "date: 2026", "rates.yaml:3: date: expected a day or a month, got 2026"),
    ("2026-11-30", "2026-13-01", 'rates.yaml:3: date: there is no such date: "2026-13-01"'),
    ("source: contract of the data centre", "source: ''", "rates.yaml:4: source: expected text"),
    ("rates:\n", "rate:\n", "rates.yaml:5: rate: unknown key rate"),
    ("    usd_per_hour: {neocloud: 1.5}", "    usd: 1", "rates.yaml:7: rates.big.usd: unknown key"),
    ("neocloud: 1.5", "neoclod: 1.5", "rates.yaml:7: rates.big.usd_per_hour.neoclod: unknown key"),
    ("neocloud: 1.5", "neocloud: 0", "rates.yaml:7: rates.big.usd_per_hour.neocloud: expected mor"),
    ("neocloud: 1.5", 'neocloud: "1.5"', 'expected a number, got "1.5"'),
    ("neocloud: 1.5", "neocloud: null", "expected a number, got null"),
    ("neocloud: 1.5", "neocloud: .nan", "expected more than 0 to 1,000, got nan"),
    ("neocloud: 1.5", "neocloud: .inf", "expected more than 0 to 1,000, got inf"),
    ("neocloud: 1.5", f"neocloud: {'9' * 400}", "expected more than 0 to 1,000, got 9999999999"),
    ("neocloud: 1.5", "neocloud: -1", "expected more than 0 to 1,000, got -1"),
    (
        "{neocloud: 1.5}",
        "1.5",
        "rates.yaml:7: rates.big.usd_per_hour: expected a mapping, got a number",
    ),
    ("{neocloud: 1.5}", "{}", "rates.yaml:6: rates.big: no figure is given"),
    ("all_in_w: 1100", "all_in_w: 1.1", "all_in_w: expected 10 to 100,000 watts, got 1.1"),
    ("all_in_w: 1100", "all_in_w: true", "rates.yaml:10: rates.own.all_in_w: expected a number"),
    ("date: 2026-10\n", "date: 10/26\n", "rates.yaml:11: rates.own.date: expected a day or a mon"),
    ("  - {provider: shop, model: m,", "  - {provider: shop,", "prices[0]: the key 'model' is mi"),
    ("model: plain", "model: m", "rates.yaml:15: prices[1]: 'shop' has a second price for 'm'"),
    ("    output: 1", "    outptu: 1", "rates.yaml:18: prices[1].outptu: unknown key outptu"),
    ("    output: 1", "    output: many", "rates.yaml:18: prices[1].output: expected a number, go"),
)


@pytest.mark.parametrize(("old", "new", "message"), ERRORS)
def test_errors_name_the_place(parse, old: str, new: str, message: str) -> None:
    """File, line, path, and what is wrong there. Nothing wrong is read as something else."""
    assert old in FILE
    with pytest.raises(UsageError) as error:
        parse(FILE.replace(old, new, 1) if old else "")
    assert message in error.value.message
    assert error.value.hint


def test_hints_name_the_near_key(parse) -> None:
    """What was probably meant, and all keys."""
    with pytest.raises(UsageError) as error:
        parse(FILE.replace("neocloud: 1.5", "neoclod: 1.5"))
    assert error.value.hint.startswith("did you mean 'neocloud'? (keys here: hyperscaler, ")


def test_a_file_with_nothing_or_in_another_form_is_refused(parse, tmp_path: Path) -> None:
    """Neither rates nor prices; a list of SKUs; prices that are no list; no file."""
    head = "name: n\ndate: 2026-11\nsource: s\n"
    for text, message in (
        (head, "neither rates nor prices are given"),
        (f"{head}rates: [big]\n", "rates: expected a mapping, got a list"),
        (f"{head}prices: {{m: 1}}\n", "prices: expected a list, got a mapping"),
        (f"{head}prices: [1]\n", "prices[0]: expected a mapping, got a number"),
    ):
        with pytest.raises(UsageError) as error:
            parse(text)
        assert message in error.value.message
    with pytest.raises(UsageError, match="cannot read the file of rates"):
        read(tmp_path / "none.yaml", "file of rates")
