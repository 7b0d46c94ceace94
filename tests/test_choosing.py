"""``--backbone auto``: what is chosen, why, in which time, and that the run can go on and be repeated."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from command import seefit
from conftest import Train, read_csv
from seefit import choosing, pipeline
from seefit.choosing import RECORD, choose_backbone
from seefit.data.dataset import Sample
from seefit.errors import ResourceError, UsageError
from seefit.estimator import ImageClassifier
from seefit.evaluation.ranking import Standing
from seefit.models import weights
from seefit.parts import Part
from seefit.pipeline import resume
from seefit.runs import read_config, read_metrics
from seefit.settings import make_settings
from seefit.training.head import Head, fit_head
from tiny import plant_tiny

SIZES = np.full((400, 2), 300)
CLASSES = ("a", "b")


@pytest.fixture
def three(warm: Path) -> Path:
    """Keep three tiny networks as Lite0, 1 and 2; return a folder of photographs."""
    for seed, name in enumerate(("tf_efficientnet_lite1", "tf_efficientnet_lite2"), 1):
        plant_tiny(name, seed=seed)
    return warm


def test_a_run_says_what_was_chosen_and_can_be_repeated(three: Path, train_here: Train, tmp_path: Path) -> None:
    run = train_here(backbone="auto", minutes=1)
    choice, config = run.metrics["choice"], read_config(run.path)
    assert [candidate["backbone"] for candidate in choice["candidates"]] == ["lite0", "lite1", "lite2"]
    assert {candidate["images"] for candidate in choice["candidates"]} == {run.metrics["cross_validation"]["n"]}
    assert config["backbone"] == choice["backbone"]
    assert config["resolved"]["backbone"] == f"tf_efficientnet_{choice['backbone']}"
    assert run.metrics["seconds"]["choose"] >= choice["seconds"]
    answer = seefit("train", "--config", run.path / "config.yaml", "--out", tmp_path / "again")
    assert answer.code == 0
    assert "Choosing" not in answer.err
    assert (tmp_path / "again/predictions.csv").read_bytes() == (run.path / "predictions.csv").read_bytes()


def test_only_training_images_are_looked_at(three: Path, train_here: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Part] = []

    def spy(settings: Any, train: Part, *rest: Any, **options: Any) -> dict[str, Any]:
        seen.append(train)
        return choose_backbone(settings, train, *rest, **options)

    monkeypatch.setattr(choosing, "choose_backbone", spy)
    run = train_here(backbone="auto")
    rows = read_csv(run.path / "split.csv")
    assert sorted(sample.name for sample in seen[0].samples) == sorted(row["path"] for row in rows if row["split"] == "train")


def test_a_run_that_goes_on_keeps_the_choice(three: Path, train_here: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(choosing, "rank", lambda *_: [Standing(0.7, 0.2, 0.01), Standing(0.7, 0.2, 0.01), Standing(0.9, 0, 0)])
        patch.setattr(pipeline, "open_extractor", stop)
        with pytest.raises(KeyboardInterrupt):
            train_here(backbone="auto", minutes=1)
    run = tmp_path / "run"
    assert read_config(run)["backbone"] == "lite2"
    (run / "config.yaml").write_text((run / "config.yaml").read_text().replace("backbone: lite2", "backbone: auto"))  # killed in between
    monkeypatch.setattr(choosing, "choose_backbone", stop)
    assert resume(run).metrics["choice"]["backbone"] == read_config(run)["backbone"] == "lite2"


def test_the_report_says_why(three: Path, tmp_path: Path) -> None:
    answer = seefit("train", three, "--backbone", "auto", "--out", tmp_path / "run")
    told = next(line for line in answer.err.splitlines() if line.startswith("The network, "))
    assert "was chosen among lite0, lite1, lite2 by heads fitted over 5 folds" in told
    assert told.partition(" Balanced")[0] in (tmp_path / "run/report.html").read_text().replace("\N{NO-BREAK SPACE}", " ")


def test_one_network_alone_is_taken_at_once(warm: Path, train_here: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "available", lambda name: name == "tf_efficientnet_lite0")
    choice = train_here(backbone="auto").metrics["choice"]
    assert (choice["backbone"], choice["why"], choice["candidates"]) == ("lite0", "only", [])


def test_without_weights_nothing_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "available", lambda name: False)
    with pytest.raises(ResourceError, match="No pretrained weights: tf_efficientnet_lite0"):
        pipeline.train(make_settings({"data": "no-such-folder", "backbone": "auto"}), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_file_that_is_no_network_is_left_out_aloud(
    three: Path, train_here: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SEEFIT_WEIGHTS", str(tmp_path))
    (tmp_path / "mine.safetensors").write_bytes(b"no network")
    choice = train_here(backbone="auto").metrics["choice"]
    assert list(choice["left_out"]) == ["mine"]
    assert len(choice["candidates"]) == 3
    assert "warning: mine is not looked at. Unknown backbone: mine." in capsys.readouterr().err


def test_paths_and_labels_choose_too(three: Path) -> None:
    paths = sorted(three.rglob("*.png"))
    classifier = ImageClassifier("auto").fit([str(path) for path in paths], [path.parent.name for path in paths])
    assert classifier.bundle_.manifest["backbone"] in {f"tf_efficientnet_lite{number}" for number in range(3)}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"preset": "best"}, "Settings that do not go together: --backbone. Expected names of networks"),
        ({"method": "scratch"}, "Settings that do not go together: --method scratch. Expected a network, got auto"),
    ],
)
def test_what_does_not_go_with_it_is_refused(tmp_path: Path, given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        pipeline.train(make_settings({"data": "d", "backbone": "auto", **given}), out=tmp_path / "run")


def test_a_run_that_is_extended_keeps_its_network(trained: Path, warm: Path) -> None:
    answer = seefit("train", warm, "--extend", trained, "--backbone", "auto")
    assert answer.code == UsageError.exit_code
    assert "Cannot extend with another model: --backbone. Expected lite0" in answer.err


@pytest.mark.parametrize("command", [("features", "--out", "f.npz"), ("lr-find",), ("study", "--vary", "augment=none,light")])
def test_other_commands_say_that_they_choose_nothing(command: tuple[str, ...], warm: Path) -> None:
    answer = seefit(command[0], warm, *command[1:], "--backbone", "auto")
    assert answer.code == UsageError.exit_code
    assert "Nothing chooses the network here: --backbone. Expected a name, got auto." in answer.err


# ---- the budget, by a clock that only work moves --------------------------------------------------------------------


class Clock:
    """Seconds that pass where something is done."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def play(three: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that chooses among three networks whose work takes a stated time, of made-up features."""

    def choose(
        *,
        images: int = 400,
        minutes: float = 1,
        kept: bool = False,
        opening: float = 2,
        image: float = 0.05,
        slower: float = 1,
    ) -> dict[str, Any]:
        clock, rng = Clock(), np.random.default_rng(0)
        quality = {"lite0": 0.2, "lite1": 1.5, "lite2": 1.4}
        labels = np.tile([0, 1], images // 2)
        part = Part(
            [Sample(Path(str(i)), str(i), CLASSES[i % 2]) for i in range(images)], [str(i) for i in range(images)], np.arange(images)
        )

        def open_network(settings: Any, _: Any) -> Any:
            clock.now += opening
            table = rng.normal(size=(images, 4)).astype(np.float32) + quality[settings.backbone] * labels[:, None]

            def extract(samples: list[Sample], _: Any) -> Any:
                clock.now += 0 if kept else len(samples) * image * slower
                return table[[int(sample.name) for sample in samples]]

            return SimpleNamespace(extract=extract, kept=lambda sha256: [kept] * images, engine=None, width=4)

        def fit_slowly(*arguments: Any, **options: Any) -> Head:
            clock.now += 0.5 * slower
            return fit_head(*arguments, **options)

        monkeypatch.setattr(choosing, "time", clock)
        monkeypatch.setattr(choosing, "open_extractor", open_network)
        monkeypatch.setattr(choosing, "seconds_per_image", lambda *_: image)
        monkeypatch.setattr(choosing, "head_seconds", lambda *_: 0.5)
        with monkeypatch.context() as patch:
            patch.setattr(choosing, "fit_head", fit_slowly)
            return choose_backbone(make_settings({"data": "d", "backbone": "auto", "minutes": minutes}), part, SIZES[:images], CLASSES)

    return choose


@pytest.mark.parametrize("slower", [1, 3])
@pytest.mark.parametrize("minutes", [0.1, 0.3, 1, 2])
def test_the_time_is_kept_also_where_work_is_slower_than_thought(play: Any, minutes: float, slower: float) -> None:
    choice = play(minutes=minutes, slower=slower)
    assert choice["seconds"] <= 1.1 * 60 * minutes
    assert choice["minutes"] == minutes


def test_kept_features_let_all_images_be_seen(play: Any) -> None:
    choice = play(kept=True)
    assert choice["images"] == 400
    assert choice["backbone"] in {"lite1", "lite2"}
    assert choice["candidates"][0]["behind"] > 2 * choice["candidates"][0]["error"]


def test_the_worse_are_dropped_and_the_others_see_more(play: Any) -> None:
    choice = play(image=0.15)
    first, second, third = (candidate["images"] for candidate in choice["candidates"])
    assert first < second == third == choice["images"]


def test_without_time_the_cheapest_is_taken_and_that_is_said(play: Any) -> None:
    choice = play(minutes=0.12, image=1)
    assert (choice["backbone"], choice["why"], choice["images"]) == ("lite0", "time", 0)


def test_networks_that_take_too_long_to_open_are_left_out(play: Any) -> None:
    choice = play(minutes=0.25, opening=4, kept=True)
    assert choice["left_out"] == {"lite2": "time"}
    assert choice["seconds"] <= 1.1 * 15


def test_classes_without_folds_cannot_be_compared(play: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "FEWEST_PER_CLASS", 1)
    choice = play(images=2, kept=True)
    assert (choice["backbone"], choice["why"]) == ("lite0", "folds")


def test_the_record_is_beside_the_run(three: Path, train_here: Train) -> None:
    run = train_here(backbone="auto")
    assert (run.path / RECORD).is_file()
    assert read_metrics(run.path)["choice"]["minutes"] == choosing.MINUTES


def test_a_cheap_one_nearly_as_good_is_told_with_the_best(monkeypatch: pytest.MonkeyPatch, play: Any) -> None:
    monkeypatch.setattr(choosing, "rank", lambda *_: [Standing(0.79, 0.002, 0.01), Standing(0.792, 0, 0), Standing(0.7, 0.1, 0.01)])
    choice = play(kept=True)
    assert (choice["backbone"], choice["why"]) == ("lite0", "cheapest")
