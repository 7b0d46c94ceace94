"""English sentences of a run's files, in the language of the page; and that the catalogue knows them as the code writes them."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import seefit
from seefit.report.wording import KINDS, NUMBERS, reword
from seefit.report.words import Words

EN, ZH = Words("en"), Words("zh")
FOLDER = Path(seefit.__file__).parent
# Put together from lists by the code, or the words of the system.
COMPOSED = {"fault.text", "got.reason", "named.format", "skip.denied", "skip.disk"} | {
    f"skip.{name}" for name in ("channels", "depth", "compression")
}
COMPOSED |= {"skip.compression_n", "skip.text_short", "skip.html_short", "skip.megapixels_short"}
SAYING = ("oddities", "listing", "growth", "split", "scan", "archives", "tables", "sources")  # modules whose sentences are notes


def sentences(kind: str) -> dict[str, str]:
    return {f"{kind}.{key}": text for key, text in EN.under(f"{kind}.").items()}


def places(text: str) -> list[str]:
    return re.findall(r"\{(\w+)\}", text)


def sample(place: str, within: str) -> tuple[str, str]:
    """Return what may stand in a place of a sentence, and what becomes of it in Chinese."""
    if place not in KINDS or place == within:
        plain = "1,234" if place in NUMBERS else "<猫>"
        return plain, plain
    key, text = next(iter(sentences(place).items()))
    values = {name: sample(name, place) for name in places(text)}
    return EN(key, **{name: value[0] for name, value in values.items()}), ZH(key, **{name: value[1] for name, value in values.items()})


def literal(node: ast.AST) -> list[str] | None:
    """Return the fixed pieces of a string or of a pattern for one."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.split(r"\{[^}]*\}", node.value)
    if isinstance(node, ast.JoinedStr):
        text = "".join(str(part.value) if isinstance(part, ast.Constant) else "\0" for part in node.values)
        return text.split("\0")
    return None


def written(tree: ast.AST) -> list[list[str]]:
    return [pieces for node in ast.walk(tree) if (pieces := literal(node)) is not None]


def fits(pieces: list[str], text: str) -> bool:
    """Return whether a string of the code could be a sentence, more of which is fixed than not."""
    if not (text.startswith(pieces[0]) and text.endswith(pieces[-1])):
        return False
    fixed = len(re.sub(r"\{\w+\}", "", text))
    return 2 * len("".join(pieces)) >= fixed and re.fullmatch(".+?".join(map(re.escape, pieces)), text, re.DOTALL) is not None


def known(kind: str, pieces: list[str]) -> bool:
    return reword(ZH, kind, "5".join(pieces)) != "5".join(pieces) or any(fits(pieces, text) for text in sentences(kind).values())


@pytest.fixture(scope="module")
def trees() -> dict[str, ast.Module]:
    paths = [path for path in FOLDER.rglob("*.py") if path.parent.name != "report"]
    return {path.relative_to(FOLDER).as_posix(): ast.parse(path.read_text(encoding="utf-8")) for path in paths}


@pytest.mark.parametrize("kind", KINDS)
def test_the_code_still_writes_every_sentence_that_is_known(kind: str, trees: dict[str, ast.Module]) -> None:
    strings = [pieces for tree in trees.values() for pieces in written(tree)]
    for key, text in sentences(kind).items():
        ways = {text, text.removeprefix("{n} "), text.removesuffix(".")}
        assert key in COMPOSED or any(fits(pieces, one) for pieces in strings for one in ways), key


def test_every_reason_and_note_that_the_code_writes_is_known(trees: dict[str, ast.Module]) -> None:
    calls = [node for tree in trees.values() for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    places = {"Undecodable": 0, "Skip": 1}
    told = [call.args[places[call.func.id]] for call in calls if isinstance(call.func, ast.Name) and call.func.id in places]
    reasons = [pieces for node in told if (pieces := literal(node)) is not None]
    assert len(reasons) > 15
    assert [pieces for pieces in reasons if not known("skip", pieces)] == []
    formatted = [node for name in SAYING for node in ast.walk(trees[f"data/{name}.py"]) if isinstance(node, ast.JoinedStr)]
    notes = [pieces for node in formatted if (pieces := literal(node)) and pieces[-1].endswith(".")]
    assert len(notes) > 20
    assert [pieces for pieces in notes if not known("note", pieces)] == []


@pytest.mark.parametrize("kind", KINDS)
def test_every_sentence_is_found_again_with_its_values(kind: str) -> None:
    for key, text in sentences(kind).items():
        values = {name: sample(name, kind) for name in places(text)}
        english, chinese = ({name: value[i] for name, value in values.items()} for i in (0, 1))
        assert reword(ZH, kind, EN(key, **english)) == ZH(key, **chinese), key
        assert reword(EN, kind, EN(key, **english)) == EN(key, **english)


def test_what_is_not_known_is_shown_as_it_stands() -> None:
    for text in ("", "Something that an older version said, of 3 images.", "第一句。", "cats and dogs"):
        assert [reword(ZH, kind, text) for kind in KINDS] == [text] * len(KINDS)


def test_lists_are_reworded_when_all_of_their_parts_are_known() -> None:
    assert reword(ZH, "view", "50% mirrored left to right, zoomed by 0.9 to 1.1; patches swapped (cutmix, alpha 1)") == (
        "50% 左右翻转、缩放 0.9 至 1.1 倍、互换图块（cutmix，alpha 1）"
    )
    assert reword(ZH, "skip", "text, not an image") == "是文本，不是图片"
    assert reword(ZH, "view", "50% mirrored left to right, something new") == "50% mirrored left to right, something new"
    assert reword(ZH, "got", "5 of 60 (3 x truncated PNG, 2 x 0 bytes)") == "60 张中有 5 张（3 张：PNG 文件不完整、2 张：空文件（0 字节））"
