"""The model card states what the run's files say, and no more."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest
import yaml

from made_run import make_run
from made_trust import write_insight
from seefit.errors import RunError
from seefit.fitting import UNCALIBRATED
from seefit.report.card import write_card
from test_confidence import CONFIDENCE


def card(tmp_path: Path, names: list[str], *, each: int = 4, **changes: object) -> str:
    photos = {name: [tmp_path / "data" / f"{i}_{j}.png" for j in range(each)] for i, name in enumerate(names)}
    run = make_run(tmp_path / "run", photos, root=tmp_path / "data", **changes)  # type: ignore[arg-type]
    (run / "predictions.csv").unlink()  # the card needs no row of it
    path = write_card(run)
    assert path == run / "bundle" / "README.md"
    return path.read_text(encoding="utf-8")


def front(text: str) -> dict[str, object]:
    return dict(yaml.safe_load(text.split("---\n")[1]))


def test_the_front_matter_is_that_of_the_hub_and_leaves_the_licence_open(tmp_path: Path) -> None:
    text = card(tmp_path, ["cat", "dog"])
    assert front(text) == {
        "library_name": "seefit",
        "pipeline_tag": "image-classification",
        "tags": ["image-classification", "onnx", "seefit"],
    }
    assert "# license: choose one yourself" in text.split("---\n")[1]


def test_classes_are_listed_in_the_order_of_the_outputs(tmp_path: Path) -> None:
    assert "\n0. cat\n1. 暹罗猫\n2. a\\*b\n" in card(tmp_path, ["cat", "暹罗猫", "a*b"])


def test_many_classes_are_cut_and_counted(tmp_path: Path) -> None:
    text = card(tmp_path, [f"c{i}" for i in range(130)], each=1)
    assert "99. c99\n\nand 30 more." in text
    assert "100. c100" not in text


def test_figures_come_with_intervals_and_what_they_rest_on(tmp_path: Path) -> None:
    scores = {
        "n": 400,
        "accuracy": {"value": 0.9, "low": 0.87, "high": 0.93},
        "balanced_accuracy": {"value": 0.88, "low": 0.85, "high": 0.91},
    }
    scores["majority_baseline"] = {"value": 0.7, "low": 0.6, "high": 0.8}
    scores["gain"] = {"value": 0.2, "low": 0.05, "high": 0.35}
    text = card(tmp_path, ["cat", "dog"], test=scores, val=None, cross_validation=None)
    assert "The figures rest on 400 test images that were read once, after the model and every setting were fixed." in text
    rows = text.split("## Figures")[1].splitlines()
    assert rows[4:6] == ["| figure | test part |", "|---|---|"]
    assert rows[6:8] == ["| Balanced accuracy | 88.0\u00a0% (85.0 to 91.0\u00a0%) |", "| Accuracy | 90.0\u00a0% (87.0 to 93.0\u00a0%) |"]
    assert "| AUC |" not in text
    assert "would be right for 70.0 % of these images." in text
    assert "the model's lead over that is +20.0 points (+5.0 to +35.0), so it is better than that." in text


def test_validation_and_uselessness_are_said(tmp_path: Path) -> None:
    text = card(tmp_path, ["cat", "dog"], each=20, wrong=1.0, half=0.3, headline="val")
    assert "There was no test part: the headline rests on 40 validation images" in text
    assert "it is **not** shown to be better than that" in text


def test_unknown_intervals_are_said(tmp_path: Path) -> None:
    figure = {"value": 0.9, "low": None, "high": None}
    scores = {"n": 40, **dict.fromkeys(("accuracy", "balanced_accuracy", "majority_baseline", "gain"), figure)}
    text = card(tmp_path, ["cat", "dog"], test=scores, val=None, cross_validation=None)
    assert "| Accuracy | 90.0\u00a0% (interval unknown) |" in text
    assert "nothing tells how it would do on others" in text


def test_a_model_that_nobody_judged_says_so(tmp_path: Path) -> None:
    text = card(tmp_path, ["cat", "dog"], headline="cross_validation", test=None, val=None, cross_validation=None, per_class={})
    assert "Nothing was judged: no images were kept aside." in text
    assert "intervals" not in text


def test_probabilities_that_were_never_calibrated_are_said_to_be_so_beside_their_error(tmp_path: Path) -> None:
    limits = card(tmp_path, ["cat", "dog"], notes=[UNCALIBRATED], calibrated=False).split("## Limits\n\n")[1]
    assert limits.startswith("- Its probabilities are off by 3.1")
    assert f"\n- {UNCALIBRATED}\n" in limits


def test_leaks_come_first_among_the_limits(tmp_path: Path) -> None:
    text = card(tmp_path, ["cat", "dog"], notes=["Other note."], leaks=["3 files stand in train and test."])
    limits = text.split("## Limits\n\n")[1].splitlines()
    assert limits[0] == "- **3 files stand in train and test.**"
    assert "- Other note." in limits


def test_names_cannot_become_markup(tmp_path: Path) -> None:
    text = card(tmp_path, ["<script>alert(1)</script>", "a|b", "[x](http://y)", "`rm`\x1b", "two\nlines"], each=8, wrong=0.9)
    assert "<script" not in text
    assert "\x1b" not in text
    assert "1. a\\|b" in text
    assert "2. \\[x\\](http\\://y)" in text
    assert "4. two\\\\nlines" in text


def test_the_python_in_it_is_python(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", card(tmp_path, ["cat", "dog"]), re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        ast.parse(block)
    assert 'session.run(["probabilities"], {session.get_inputs()[0].name: image})' in blocks[1]


def test_a_run_without_metrics_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    with pytest.raises(RunError, match=r"metrics\.json"):
        write_card(tmp_path)
    assert list((tmp_path / "bundle").iterdir()) == []


def test_the_card_says_where_the_weights_come_from(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", {name: [tmp_path / "data" / f"{name}.png"] for name in ("cat", "dog")}, root=tmp_path / "data")
    manifest = run / "bundle" / "bundle.json"
    made = {
        "probe": "The backbone, lenet5, is pretrained and stayed as it was; only the linear head was fitted.",
        "finetune": "Backbone: lenet5; method: finetune.",
        "scratch": "The network, lenet5, was trained from scratch: its weights began as random numbers and learnt from these images alone. "
        "No one else's weights went in, so their licence is yours to choose.",
    }
    for method, sentence in made.items():
        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"method": method, "backbone": "lenet5"}))
        assert sentence in write_card(run).read_text(encoding="utf-8")


def trusted(run: Path, **trust: object) -> str:
    path = run / "bundle" / "bundle.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | {"trust": trust}), encoding="utf-8")
    return " ".join(write_card(run).read_text(encoding="utf-8").split())


def test_sets_and_refusals_are_promised_with_what_they_gave_and_where_they_do_not_hold(tmp_path: Path) -> None:
    card(tmp_path, ["cat", "dog"])
    write_insight(tmp_path / "run")
    promise = {"fitted_on": "val", "images": 132, "sets": {"coverage": 0.9}, "unknown": {"rate": 0.05}}
    text = trusted(tmp_path / "run", **promise)
    assert "also for a picture that shows none of them, but says how unlike the training images it is." in text
    chapter = text.split("## How far to trust one answer")[1].split("## How to predict")[0].replace("\N{NO-BREAK SPACE}", " ")
    assert chapter.split(" - ")[1:] == [
        "Sets of classes are stated to hold the right class of 90 % of pictures; "
        "of the 100 images of the test part they held it for 93.0 % (88.0 to 98.0 %).",
        "“None of these” is stated to refuse 5 % of pictures that it does know; "
        "of the 100 images of the test part it refused 7.0 % (4.0 to 10.0 %).",
        "Limits were set on 132 validation images.",
        "They hold on average over pictures of the kind it was trained on. They do not hold for every class by itself, "
        "and not for pictures of another kind: another camera, place, season or light.",
        "The class that sets held least often: dog, 88 % (78.0 to 98.0 %) of 40 images. ",
    ]
    write_insight(tmp_path / "run", part="val")
    assert "Limits were set on 132 validation images, the very images of the figures above, which therefore flatter." in trusted(
        tmp_path / "run", **promise
    )


def test_scores_are_told_of(tmp_path: Path) -> None:
    card(tmp_path, ["cat", "dog"])
    text = trusted(tmp_path / "run", fitted_on="val", images=80, sets=None, unknown=None, confidence=CONFIDENCE.to_json())
    chapter = text.split("## How far to trust one answer")[1].replace("\N{NO-BREAK SPACE}", " ")
    assert chapter.split(" - ")[1:3] == [
        "Scores of the images named below were off by 3.0 % (1.0 to 6.0 %) on average (expected calibration error).",
        "A score of 0.550 and above answers 100 %, 80.0 % (70.0 to 90.0 %) rightly; 0.800 and above answers 75 %, 90.0 % "
        "(70.0 to 98.0 %) rightly; 0.990 and above answers 25 %, 100.0 % (70.0 to 100.0 %) rightly.",
    ]


def test_what_is_not_promised_is_said(tmp_path: Path) -> None:
    assert "It gives no sets of classes and refuses nothing: too few images were kept back" in card(tmp_path / "old", ["cat", "dog"])
    card(tmp_path, ["cat", "dog"])
    text = trusted(tmp_path / "run", fitted_on="folds", images=90, sets={"coverage": 0.9}, unknown=None)
    assert "Sets of classes are stated to hold the right class of 90 % of pictures." in text
    assert "Limits were set on 90 training images, each scored by a head that had not seen it." in text
    assert "“None of these”" not in text
    assert "also for a picture that shows none of them. What" in text
