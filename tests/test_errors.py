from __future__ import annotations

import pytest

from seefit.errors import ArtefactError, DataError, ResourceError, RunError, SeefitError, UsageError, raise_all, unknown_name


def problem(kind: type[SeefitError] = DataError, where: str = "cats/1.jpg", hint: str = "Replace the file") -> SeefitError:
    return kind("Cannot decode", where=where, expected="a whole image", got="half of one", hint=hint)


def test_every_message_follows_the_template() -> None:
    error = problem()
    assert error.message == "Cannot decode: cats/1.jpg. Expected a whole image, got half of one."
    assert error.hint == "Replace the file."
    assert str(error) == "Cannot decode: cats/1.jpg. Expected a whole image, got half of one. Replace the file."


@pytest.mark.parametrize(
    ("kind", "code", "status"),
    [
        (UsageError, 2, 400),
        (DataError, 3, 422),
        (RunError, 4, 409),
        (ArtefactError, 5, 409),
        (ResourceError, 6, 507),
        (SeefitError, 1, 500),
    ],
)
def test_each_kind_has_its_exit_code_and_status(kind: type[SeefitError], code: int, status: int) -> None:
    error = problem(kind)
    assert (error.exit_code, error.http_status) == (code, status)
    assert error.to_json() == {"error": {"code": code, "message": error.message, "hint": error.hint}}


def test_no_problem_raises_nothing() -> None:
    raise_all([])


def test_a_single_problem_is_raised_as_it_is() -> None:
    error = problem(RunError)
    with pytest.raises(RunError) as caught:
        raise_all([error])
    assert caught.value is error


def test_all_problems_are_raised_together_with_each_hint_once() -> None:
    problems = [problem(), problem(where="cats/2.jpg"), problem(where="cats/3.jpg", hint="Remove the folder.")]
    with pytest.raises(DataError) as caught:
        raise_all(problems)
    assert caught.value.message.splitlines() == [
        f"Cannot decode: cats/{i}.jpg. Expected a whole image, got half of one." for i in (1, 2, 3)
    ]
    assert caught.value.hint == "Replace the file.\nRemove the folder."
    assert str(caught.value) == f"{caught.value.message}\n{caught.value.hint}"
    assert caught.value.to_json()["error"]["message"] == caught.value.message


def test_an_unknown_name_gets_the_closest_match_and_the_list() -> None:
    with pytest.raises(UsageError) as caught:
        unknown_name("backbone", "resnet51", ["vit_base", "resnet50", "lite0"])
    assert caught.value.message == "Unknown backbone: resnet51. Expected a known backbone, got 'resnet51'."
    assert caught.value.hint == "Did you mean 'resnet50'? Choose one of: lite0, resnet50, vit_base."


def test_a_name_like_no_other_gets_the_list_alone() -> None:
    with pytest.raises(DataError) as caught:
        unknown_name("column", "zzzzz", ["label", "path"], error=DataError)
    assert caught.value.hint == "Choose one of: label, path."


def test_a_long_list_of_names_is_cut() -> None:
    with pytest.raises(UsageError) as caught:
        unknown_name("backbone", "x", [f"name{i:04}" for i in range(1200)])
    assert caught.value.hint.endswith("name0039 … (1200 in all).")
    assert "name0040" not in caught.value.hint
