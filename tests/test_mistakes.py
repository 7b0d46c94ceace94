"""The worst mistakes come first, with what is known of them."""

from __future__ import annotations

from pathlib import Path

from made_run import make_run, write_rows
from seefit.report.cards import loss_text
from seefit.report.mistakes import mistakes_section, worst_mistakes
from seefit.report.record import Prediction, read_run
from seefit.report.words import Words

EN = Words("en")


def wrong(path: str, actual: float, *, known: bool = True) -> Prediction:
    return Prediction(path, "cat", "dog", 0.9, actual, known)


def test_the_smallest_probability_comes_first_and_right_ones_never() -> None:
    rows = [wrong("a", 0.1), Prediction("b", "cat", "cat", 0.5, 0.5, True), wrong("c", 0.01), wrong("d", 0.05)]
    assert [row.path for row in worst_mistakes(rows)] == ["c", "d", "a"]
    assert len(worst_mistakes([wrong(str(i), 0.1) for i in range(40)])) == 24


def test_losses() -> None:
    assert loss_text(wrong("a", 0.1)) == "2.3"
    assert loss_text(wrong("a", 0.1, known=False)) == "> 2.3"
    assert loss_text(wrong("a", 0.0)) == "> 13.8", "the file rounds; infinity would be invented"


def test_cards_carry_picture_labels_and_weight(tmp_path: Path, elpv_cells: dict[str, list[Path]]) -> None:
    root = elpv_cells["functional"][0].parents[1]
    run = make_run(tmp_path / "run", {name: paths[:2] for name, paths in elpv_cells.items()}, root=root)
    names = [path.relative_to(root).as_posix() for path in elpv_cells["functional"][:2]]
    header = ["path", "label", "predicted", "p:functional", "p:defective"]
    write_rows(
        run / "predictions.csv",
        header,
        [[names[0], "functional", "defective", 0.03, 0.97], [names[1], "functional", "functional", 0.9, 0.1]],
    )
    section = mistakes_section(read_run(run), EN)
    assert section is not None
    assert section.lead[0] == (
        "1 of 2 pictures were named wrong. Below: 1 of them, those to whose true class the model gave the smallest probability."
    )
    (card,) = section.cards
    assert card.address.startswith("data:image/webp;base64,")
    assert (card.title, card.actual, card.predicted) == (names[0], "really functional (3\u00a0%)", "said defective (97\u00a0%)")
    assert list(card.lines) == ["loss 3.5", "label’s weight 0.33"]


def test_gone_pictures_are_said(tmp_path: Path) -> None:
    photos = {name: [tmp_path / "data" / name / f"{i}.png" for i in range(4)] for name in ("cat", "dog")}
    run = make_run(tmp_path / "run", photos, root=tmp_path / "data")
    write_rows(run / "predictions.csv", ["path", "label", "predicted", "p:cat", "p:dog"], [["cat/0.png", "cat", "dog", 0.2, 0.8]])
    section = mistakes_section(read_run(run), EN)
    assert section is not None
    assert section.lead[-1].startswith("1 of the 1 pictures could not be shown")
    assert section.cards[0].missing == "picture no longer there"


def test_no_mistakes(tmp_path: Path) -> None:
    photos = {name: [tmp_path / "data" / f"{name}.png"] for name in ("cat", "dog")}
    run = make_run(tmp_path / "run", photos, root=tmp_path / "data")
    write_rows(run / "predictions.csv", ["path", "label", "predicted", "p:cat", "p:dog"], [["cat.png", "cat", "cat", 0.8, 0.2]])
    section = mistakes_section(read_run(run), EN)
    assert section is not None
    assert (section.lead, section.cards) == (["None of the 1 pictures was named wrong."], ())
