"""Whether a map can be believed, and what a run keeps of its explanations."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import spearmanr

from conftest import Train, read_csv
from seefit.bundle.class_map import add_class_map
from seefit.bundle.explanation import Explainer
from seefit.bundle.graph import features_model, network_model
from seefit.evaluation.explain import BLOCKS, STEPS, deletion, likeness_to_random, mean_estimate, rank_correlation
from seefit.insights import insights
from seefit.insights.explain import NEAREST, SAMPLE, find_explain
from seefit.models.backbone import Backbone
from seefit.report.cards import read_map
from seefit.report.mistakes import worst_mistakes
from seefit.report.record import read_run
from tiny import CLASSES, SIDE

Float = NDArray[np.float32]


def network(backbone: Backbone) -> Any:
    rng = np.random.default_rng(3)
    made = network_model(
        features_model(backbone, ("blocks.0", "blocks.1")), rng.normal(size=(2, 24)).astype(np.float32), np.zeros(2, np.float32), 1
    )
    add_class_map(made)
    return made


@pytest.fixture(autouse=True)
def _explained_alone(no_page: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all insights find this one, also where there is no page."""
    monkeypatch.setattr(insights, "INSIGHTS", {"explain": find_explain})


@pytest.fixture
def pictures() -> list[Float]:
    return list(np.random.default_rng(0).normal(size=(8, 3, SIDE, SIDE)).astype(np.float32))


def test_rank_correlation_is_spearmans() -> None:
    first, second = np.random.default_rng(0).normal(size=(2, 9, 9)).astype(np.float32)
    assert rank_correlation(first, second) == pytest.approx(spearmanr(first.ravel(), second.ravel()).statistic)
    assert rank_correlation(first, np.exp(first)) == pytest.approx(1)
    assert rank_correlation(first, -first) == pytest.approx(-1)
    tied = np.round(first)
    assert rank_correlation(tied, second) == pytest.approx(spearmanr(tied.ravel(), second.ravel()).statistic)
    assert rank_correlation(first, np.ones((9, 9), np.float32)) == 0
    assert rank_correlation(first, np.full((9, 9), np.nan, np.float32)) == 0


def test_maps_change_with_the_weights(tiny_backbone: Backbone, pictures: list[Float]) -> None:
    explainer = Explainer(network(tiny_backbone), CLASSES)
    found = [explainer.explain(pixels) for pixels in pictures]
    maps, labels = [one.map for one in found], [one.label for one in found]
    like = likeness_to_random(network(tiny_backbone), CLASSES, pictures, maps, labels, groups=None, seed=0)
    again = likeness_to_random(network(tiny_backbone), CLASSES, pictures, maps, labels, groups=None, seed=0)
    assert like == again
    for part in ("head", "network"):
        value, low, high = like[part].value, like[part].low, like[part].high
        assert value is not None
        assert low is not None
        assert high is not None
        assert 0 <= low <= value <= high < 0.9


class OnePlace:
    """Stands for a model: its answer depends on how dark one square of the grid is, and on nothing else."""

    def __init__(self, row: int, column: int) -> None:
        self.square = (slice(None), *(slice(10 * at, 10 * at + 10) for at in (row, column)))

    def run(self, pixels: Float, outputs: list[str]) -> list[Float]:
        assert outputs == ["probabilities"]
        first = 1 / (1 + np.exp(-2 * np.abs(np.stack([picture[self.square] for picture in pixels])).mean((1, 2, 3))))
        return [np.stack([first, 1 - first], 1).astype(np.float32)]


def test_a_map_that_points_at_what_matters_beats_chance_and_one_that_points_away_does_not() -> None:
    noise = list(np.random.default_rng(0).normal(size=(12, 3, 70, 70)).astype(np.float32))
    good = np.zeros((28, 28), np.float32)
    good[8:12, 20:24] = 1  # the square in row 2, column 5
    model: Any = OnePlace(2, 5)
    found = deletion(model, noise, [good] * 12, groups=None, seed=0)
    assert found.gain.low is not None
    assert found.gain.low > 0
    assert found.gain.value == pytest.approx(found.random - found.map)
    worst = deletion(model, noise, [-good] * 12, groups=None, seed=0)
    assert worst.gain.high is not None
    assert worst.gain.high < 0
    assert deletion(model, noise, [good] * 12, groups=None, seed=0) == found


def test_the_steps_take_everything_away_in_the_end() -> None:
    assert STEPS[0] == 0
    assert STEPS[-1] == BLOCKS**2
    assert list(STEPS) == sorted(set(STEPS))


def test_groups_make_the_interval_wider() -> None:
    values = np.repeat(np.random.default_rng(0).normal(size=6), 20)
    alone, together = (mean_estimate(values, groups, seed=0) for groups in (None, np.repeat(np.arange(6) * 3, 20)))
    assert alone.value == together.value == pytest.approx(values.mean())
    assert alone.low is not None and alone.high is not None and together.low is not None and together.high is not None
    assert together.high - together.low > 2 * (alone.high - alone.low)
    one = mean_estimate(values[:1], None, seed=0)
    assert (one.value, one.low, one.high) == (values[0], None, None)


# ---- what a run keeps -----------------------------------------------------------------------------------------


def test_a_run_keeps_its_explanations(trained: Path) -> None:
    kept = json.loads((trained / "insights" / "explain.json").read_text())
    record = read_run(trained)
    rows = [picture["row"] for picture in kept["pictures"]]
    wrong = [record.predictions.index(row) for row in worst_mistakes(record.predictions)]
    assert kept["exact"] is True
    assert len(kept["sample"]) == len(set(kept["sample"])) == min(SAMPLE, len(record.predictions))
    assert rows == list(dict.fromkeys([*wrong, *kept["sample"]]))
    training = {row["path"]: row["label"] for row in read_csv(trained / "split.csv") if row["split"] == "train"}
    for picture in kept["pictures"]:
        assert picture["label"] == record.predictions[picture["row"]].predicted
        values = read_map(picture)
        assert len(base64.b64decode(picture["map"])) == values.size == 64
        off = abs(float(values.sum()) + picture["bias"] - picture["logit"])
        assert off <= 64 * picture["peak"] / 254, "but for the rounding to 127 steps"
        assert len(picture["nearest"]) == NEAREST
        cosines = [alike["cosine"] for alike in picture["nearest"]]
        assert cosines == sorted(cosines, reverse=True)
        assert all(training[alike["path"]] == alike["label"] for alike in picture["nearest"])
    checks = kept["checks"]
    assert checks["images"] == len(rows)
    assert {"head", "network", "deletion"} <= set(checks)
    assert len((trained / "insights" / "explain.json").read_bytes()) < 100_000


def test_the_same_seed_keeps_the_same(train_here: Train) -> None:
    first, second, other = (train_here(out=name, seed=seed) for name, seed in (("a", 0), ("b", 0), ("c", 1)))
    texts = [(run.path / "insights" / "explain.json").read_text() for run in (first, second, other)]
    assert texts[0] == texts[1]
    assert json.loads(texts[0])["sample"] != json.loads(texts[2])["sample"]


def test_a_flattened_map_is_explained_by_occlusion_and_says_so(train_here: Train) -> None:
    kept = json.loads((train_here(features="flatten").path / "insights" / "explain.json").read_text())
    assert kept["exact"] is False
    mapped = [picture for picture in kept["pictures"] if "map" in picture]
    assert 0 < len(mapped) <= 4 < len(kept["pictures"]), "60 images: as few as there may be"
    assert all(picture["bias"] is None and read_map(picture).shape == (7, 7) for picture in mapped)
    assert all(len(picture["nearest"]) == NEAREST for picture in kept["pictures"])
    assert set(kept["checks"]) == {"images", "deletion"}


def test_fine_tuned_networks_are_explained_with_the_images_that_the_probe_kept(train_here: Train) -> None:
    run = train_here(preset="balanced", epochs=1, augment="none", freeze="all").path
    kept = json.loads((run / "insights" / "explain.json").read_text())
    assert kept["exact"] is True
    assert all(len(picture["nearest"]) == NEAREST for picture in kept["pictures"])


def test_nothing_judged_nothing_explained(train_here: Train) -> None:
    assert not (train_here(val=0, test=0).path / "insights" / "explain.json").exists()


def test_images_that_went_away_leave_the_others(train_here: Train, monkeypatch: pytest.MonkeyPatch, warm: Path) -> None:
    from seefit.data.image import Undecodable
    from seefit.training.engine import read_image

    calls: list[str] = []

    def gone(sample: Any, sha256: str, max_pixels: int) -> Any:
        calls.append(sample.name)
        if len(calls) % 2:
            raise Undecodable("no such file", where=sample.path)
        return read_image(sample, sha256, max_pixels)

    monkeypatch.setattr("seefit.insights.explain.read_image", gone)
    kept = json.loads((train_here().path / "insights" / "explain.json").read_text())
    assert len(kept["pictures"]) == len(calls) // 2
    monkeypatch.setattr("seefit.insights.explain.read_image", lambda *_: (_ for _ in ()).throw(Undecodable("no such file")))
    kept = json.loads((train_here(out="none").path / "insights" / "explain.json").read_text())
    assert (kept["pictures"], kept["checks"]) == ([], None)
    assert kept["sample"]
