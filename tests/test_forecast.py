"""The learning curve, its forecast, and what is said of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import ndtri

from conftest import Train
from made_run import make_run
from seefit.evaluation.forecast import SHARES, Curve, foresee, measure_curve, turned
from seefit.insights import insights
from seefit.insights.forecast import find_forecast
from seefit.report.forecast import advice_of_forecast, draw_forecast, forecast_section
from seefit.report.record import Record, read_run
from seefit.report.verdict import find_steps
from seefit.report.words import Words
from seefit.training.solver import Standardised

EN = Words("en")


def images(count: int, *, noise: float = 2.0, kinds: int = 2) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    rng = np.random.default_rng(count)
    labels = rng.integers(kinds, size=count)
    centres = np.random.default_rng(0).normal(size=(kinds, 40))
    return (centres[labels] + rng.normal(size=(count, 40)) * noise).astype(np.float32), labels


def curve_of(errors: Callable[[NDArray[np.float64]], NDArray[np.float64]], count: int = 2_000, repeats: int = 4) -> Curve:
    """Return a curve whose images are wrong as often as a function of the size says."""
    sizes = 800 * np.array(SHARES)
    rng = np.random.default_rng(0)
    hard = rng.normal(size=(count, 1)) * np.sqrt(0.9)  # every head is wrong of a hard image, as in life
    limits = ndtri(errors(sizes))
    wrong = np.stack([(hard + np.sqrt(0.1) * rng.normal(size=(count, 1)) < limits).astype(np.float32) for _ in range(repeats)])
    return Curve(sizes, np.arange(count), wrong)


def test_more_images_make_fewer_mistakes_and_every_image_is_judged_in_every_repeat() -> None:
    features, labels = images(400)
    curve = measure_curve(features, labels, classes=2, strength=400.0, units=np.arange(400), seed=0)
    assert curve is not None
    assert curve.wrong.shape == (4, 400, 7)
    assert curve.sizes == pytest.approx(320 * np.array(SHARES), abs=1)
    errors = curve.wrong.mean((0, 1))
    assert errors[0] > errors[-1] + 0.03
    again = measure_curve(features, labels, classes=2, strength=400.0, units=np.arange(400), seed=0)
    assert again is not None
    assert np.array_equal(curve.wrong, again.wrong)


def test_whole_units_are_learnt_from_or_judged() -> None:
    """Labels that only the unit tells can be learnt where a unit is torn, and cannot where it is whole."""
    rng = np.random.default_rng(1)
    units = np.repeat(np.arange(60), 5)
    features = (rng.normal(size=(60, 200))[units] + 0.01 * rng.normal(size=(300, 200))).astype(np.float32)
    labels = rng.permutation(np.arange(60) % 2)[units]
    whole, torn = (measure_curve(features, labels, classes=2, strength=1.0, units=own, seed=0) for own in (units, np.arange(len(units))))
    assert whole is not None
    assert torn is not None
    assert torn.wrong[:, :, -1].mean() < 0.1
    assert whole.wrong[:, :, -1].mean() > 0.35


def test_a_prior_that_is_taken_out_finds_more_of_the_rare_class() -> None:
    features, labels = images(400, noise=3.0)
    rare = np.flatnonzero((labels == 0) | (np.arange(400) % 6 == 0))
    features, labels = features[rare], labels[rare]
    units = np.arange(len(rare))
    shares = np.bincount(labels) / len(labels)
    found = [
        measure_curve(features, labels, classes=2, strength=100.0, units=units, shift=shift, seed=0) for shift in (None, np.log(shares))
    ]
    missed = [curve.wrong[:, labels[curve.rows] == 1].mean() for curve in found if curve is not None]
    assert missed[1] < missed[0] - 0.05


def test_too_few_images_are_no_curve_and_of_too_many_a_sample_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels = images(60)
    assert measure_curve(features, labels, classes=2, strength=1.0, units=np.arange(60)) is None
    assert measure_curve(features[:40], np.arange(40), classes=40, strength=1.0, units=np.arange(40)) is None, "no folds"
    features, labels = images(400)
    monkeypatch.setattr("seefit.evaluation.forecast.MAX_WORK", 1.0)
    few = measure_curve(features, labels, classes=2, strength=400.0, units=np.arange(400))
    assert few is not None
    assert few.wrong.shape == (1, 80, 7), "one fold"
    assert len(foresee(few, 320).points) == 7
    assert few.sampled == 0
    enough = sum(SHARES) * features.shape[1] * 2
    monkeypatch.setattr("seefit.evaluation.forecast.MAX_WORK_OF_A_FOLD", 240.5 * enough)
    some = measure_curve(features, labels, classes=2, strength=400.0, units=np.arange(400) // 4, shift=np.zeros(2))
    assert some is not None
    assert (some.sampled, round(some.sizes[-1])) == (240, 192)
    assert len(some.rows) == 48 and some.rows.max() > 240
    assert some.wrong[0, :, -1].mean() == pytest.approx(few.wrong[0, :, -1].mean(), abs=0.1)
    monkeypatch.setattr("seefit.evaluation.forecast.MAX_WORK_OF_A_FOLD", 60.5 * enough)
    assert measure_curve(features, labels, classes=2, strength=400.0, units=np.arange(400)) is None, "too few are left"


def test_a_rotation_keeps_all_products_of_few_rows_and_nearly_all_of_many(monkeypatch: pytest.MonkeyPatch) -> None:
    features, _ = images(120)
    rows = Standardised.of(features).apply(features)
    assert turned(features) @ turned(features).T == pytest.approx(rows @ rows.T, abs=2e-3)
    monkeypatch.setattr("seefit.evaluation.forecast.SAMPLE", 60)
    from_sample = turned(features)
    assert from_sample.shape == (120, 40)
    assert from_sample @ from_sample.T == pytest.approx(rows @ rows.T, abs=2e-2), "60 rows span all 40 columns"


@pytest.mark.parametrize(("floor", "size", "power"), [(0.05, 2.0, 0.5), (0.1, 20.0, 1.0), (0.0, 0.5, 0.2)])
def test_a_power_law_is_continued(floor: float, size: float, power: float) -> None:
    found = foresee(curve_of(lambda sizes: floor + size * sizes**-power), 800)
    for outlook, images_then in zip(found.ahead, (1_600, 3_200), strict=True):
        truth = floor + size * images_then**-power
        assert outlook.images == images_then
        assert outlook.error.low is not None
        assert outlook.error.high is not None
        assert outlook.error.low < truth < outlook.error.high
        assert outlook.error.value == pytest.approx(truth, abs=0.03)
        assert outlook.sure
        assert outlook.change.high is not None
        assert outlook.change.high < 0
    assert [round(size) for size in (found.sizes[0], found.sizes[-1])] == [100, 3_200]
    assert len(found.line) == len(found.sizes)


def test_a_flat_curve_is_not_said_to_fall() -> None:
    found = foresee(curve_of(lambda sizes: np.full(len(sizes), 0.2)), 800)
    assert not any(outlook.sure for outlook in found.ahead)
    assert found.now.value == pytest.approx(0.2, abs=0.02)


def test_few_mistakes_are_never_a_certainty() -> None:
    found = foresee(curve_of(lambda sizes: np.zeros(len(sizes)), count=100), 800)
    assert found.ahead[0].error.high is not None
    assert found.ahead[0].error.high > 0.03, "0 of 100 is 0 to 3.7 %"


def test_groups_widen_the_interval_and_one_group_has_none() -> None:
    curve = curve_of(lambda sizes: 0.1 + 2 * sizes**-0.5, count=600)
    order = np.argsort(curve.wrong[0, :, -1], kind="stable")
    groups = np.empty(600, np.int64)
    groups[order] = np.arange(600) // 30  # groups of images that are wrong together
    alone, together = (foresee(curve, 800, groups=own).ahead[0].error for own in (None, groups))
    assert alone.low is not None and alone.high is not None and together.low is not None and together.high is not None
    assert together.high - together.low > 2 * (alone.high - alone.low)
    one = foresee(curve, 800, groups=np.zeros(600, np.int64))
    assert one.ahead[0].error.low is None
    assert not one.ahead[0].sure


def test_the_images_of_a_class_have_a_curve_of_their_own() -> None:
    curve = curve_of(lambda sizes: 0.1 + 2 * sizes**-0.5)
    wrong = curve.wrong.copy()
    wrong[:, :500] = 0
    easy = np.arange(2_000) < 500
    found = foresee(Curve(curve.sizes, curve.rows, wrong), 800, chosen=easy)
    assert found.now.value == 0


# ---- the insight and the section -------------------------------------------------------------------------------


@pytest.fixture
def seen(train_here: Train, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that trains, and finds the forecast of the run."""

    def train(**given: Any) -> Any:
        found: list[Any] = []
        monkeypatch.setattr(insights, "INSIGHTS", {"forecast": lambda material: found.append(find_forecast(material))})
        train_here(**given)
        return found[0]

    return train


@pytest.mark.parametrize("given", [{}, {"val": 0}, {"class_weights": "balanced"}, {"class_weights": "prior"}])
def test_a_run_of_any_split_has_a_forecast(seen: Any, given: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seefit.evaluation.forecast.FEWEST_IMAGES", 4)
    monkeypatch.setattr("seefit.evaluation.forecast.FEWEST_PER_CLASS", 1)
    monkeypatch.setattr("seefit.insights.forecast.FEWEST_OF_CLASS", 10)
    found = seen(**given)
    learnt = 51 if given.get("val") == 0 else 42
    assert found["present"] == learnt
    assert found["images"] == 51
    assert found["ahead"][0]["images"] == 2 * learnt
    assert {one["class"] for one in found["classes"]} == {0, 1}
    assert sum(one["trained"] for one in found["classes"]) == learnt
    assert found["told"].startswith("More images: ")


def test_few_images_and_networks_from_scratch_have_none(seen: Any) -> None:
    assert seen() is None, "51 images"


def outlook(now: float, low: float, high: float, times: int, *, sure: bool) -> dict[str, Any]:
    change = {"value": (low + high) / 2, "low": low, "high": high}
    error = {"value": now + change["value"], "low": now + low - 0.02, "high": now + high + 0.02}
    return {"images": 400 * times, "error": error, "change": change, "sure": sure}


def made(*, sure: bool, low: float = -0.03, groups: int = 0, classes: bool = True, way: str = "probe") -> dict[str, Any]:
    ahead = [outlook(0.14, low, -0.01 if sure else 0.002, times, sure=sure) for times in (2, 4)]
    now = {"value": 0.14, "low": 0.12, "high": 0.16}
    curve = {
        "points": [[50 * 2**i, 0.2 - 0.02 * i, 0.17 - 0.02 * i, 0.23 - 0.02 * i] for i in range(4)],
        "line": [[50 * 2 ** (i / 2), 0.2 - 0.01 * i, 0.17 - 0.01 * i, 0.23 - 0.01 * i] for i in range(11)],
    }
    one = {
        **curve,
        "class": 1,
        "trained": 150,
        "judged": 180,
        "now": now,
        "ahead": [{k: v for k, v in o.items() if k != "change"} for o in ahead],
    }
    return {
        "way": way,
        "engine": "openvino bf16",
        "images": 480,
        "repeats": 4,
        "groups": groups,
        **curve,
        "present": 400,
        "now": now,
        "ahead": ahead,
        "classes": [one, one | {"class": 0}] if classes else [],
    }


def record_of(tmp_path: Path, found: dict[str, Any] | None, monkeypatch: pytest.MonkeyPatch) -> Record:
    photos = {name: [tmp_path / "data" / name / f"{i}.png" for i in range(20)] for name in ("cat", "dog")}
    record = read_run(make_run(tmp_path / "run", photos, root=tmp_path / "data"))
    monkeypatch.setattr(Record, "insight", lambda _, name: found if name == "forecast" else None)
    return record


def test_advice_is_given_only_where_the_interval_supports_it() -> None:
    assert advice_of_forecast(made(sure=True), EN) == (
        "With 2 times as many pictures, about 400 more, the mistakes would fall from 14.0 of 100 to between 11.0 and 13.0."
    )
    assert advice_of_forecast(made(sure=False), EN) == (
        "The curve does not tell whether more pictures would help: with 4 times as many, the mistakes, now 14.0 of 100, could fall by up "
        "to 3.0, or not at all."
    )
    assert advice_of_forecast(made(sure=False, low=-0.005), EN).startswith("More pictures of this kind would hardly help: with 4 times")


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_section_has_a_figure_and_both_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lang: str) -> None:
    words = Words(lang)
    section = forecast_section(record_of(tmp_path, made(sure=True, groups=12, way="finetune"), monkeypatch), words)
    assert section is not None
    assert section.lead[1] == words("forecast.groups", groups="12")
    assert section.lead[2] == words("forecast.frozen")
    assert section.pictures[0].table is not None
    assert len(section.pictures[0].table.rows) == 4
    assert [len(table.rows) for _, table in section.tables] == [3, 2]


def test_a_curve_of_a_sample_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = made(sure=True) | {"sampled": 31_402, "all": 50_000}
    section = forecast_section(record_of(tmp_path, found, monkeypatch), EN)
    assert section is not None
    assert section.lead[2].startswith("To save time the curve was measured on 31,402 of the 50,000 pictures.")


def test_a_class_is_advised_with_its_own_number_of_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    section = forecast_section(record_of(tmp_path, made(sure=True), monkeypatch), EN)
    assert section is not None
    assert section.lead[3] == (
        "“dog”: with 2 times as many pictures of all classes, about 150 more of this one, its mistakes would fall from 14.0 of 100 to "
        "between 9.0 and 15.0."
    )
    silent = forecast_section(record_of(tmp_path / "other", made(sure=False), monkeypatch), EN)
    assert silent is not None
    assert silent.lead[3] == "Of no single class does the curve tell that its mistakes would become fewer."
    assert forecast_section(record_of(tmp_path / "none", None, monkeypatch), EN) is None


def test_the_curves_of_classes_are_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    section = forecast_section(record_of(tmp_path, made(sure=True), monkeypatch), EN)
    assert section is not None
    _, picture = section.pictures
    assert picture.says.startswith("Those of the 2 classes with most mistakes")
    assert picture.table is not None
    assert [row[0] for row in picture.table.rows] == ["dog", "cat"]
    assert picture.table.rows[0][1:] == ["20.0\u00a0%", "18.0\u00a0%", "16.0\u00a0%", "14.0\u00a0%"]
    older = made(sure=True)
    older["classes"] = [{key: value for key, value in one.items() if key not in {"points", "line"}} for one in older["classes"]]
    section = forecast_section(record_of(tmp_path / "older", older, monkeypatch), EN)
    assert section is not None
    assert len(section.pictures) == 1


def test_a_run_without_a_curve_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = record_of(tmp_path, None, monkeypatch)
    monkeypatch.setattr(Record, "insight", lambda _, name: {"part": "test"} if name == "trust" else None)
    section = forecast_section(record, EN)
    assert section is not None
    assert section.lead[0].startswith("There is no learning curve")


def test_the_first_screen_advises_more_pictures_where_they_help(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = [[step.text for step in find_steps(record_of(tmp_path / str(sure), made(sure=sure), monkeypatch), EN)] for sure in (True, False)]
    assert any(text.startswith("Collect more pictures to learn from. With 2 times as many") for text in told[0])
    assert not any("Collect more pictures to learn from" in text for text in told[1])
    trained = find_steps(record_of(tmp_path / "trained", made(sure=True, way="finetune"), monkeypatch), EN)
    assert any("On the network as it was before its training: With 2 times" in step.text for step in trained)


def test_unknown_intervals_can_be_drawn() -> None:
    points, line = (
        np.array([[50, 0.2, np.nan, np.nan], [100, 0.1, np.nan, np.nan]]),
        np.array([[50, 0.2, np.nan, np.nan], [200, 0.1, np.nan, np.nan]]),
    )
    figure = draw_forecast(points, line, [100, 200], ["now", "2 times"])
    assert figure.axes[0].get_ylim()[0] == 0
