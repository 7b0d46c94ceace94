"""The house rules that a machine can check. CONTRIBUTING.md says why each is there."""

from __future__ import annotations

import ast
import datetime
import functools
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "seefit"
MAX_FUNCTION_LINES = 60
MAX_FILE_LINES = 400
FEATURES = 44

Function = ast.FunctionDef | ast.AsyncFunctionDef

# Written so that these lines do not match themselves.
OPEN_TASK = re.compile(r"\b(?:TO" r"DO|FIX" r"ME)\b(?:\((?P<date>\d{4}-\d{2}-\d{2})\))?")
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:work|root|home|Users|opt)/\w+")
REGISTRY = re.compile(r"pypi\.(?:org|python)|pythonhosted|registry\.npmjs|download\.pytorch|--(?:extra-)?index-url")


@functools.cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")


def python_files() -> list[Path]:
    return sorted(path for folder in ("src", "tests", "benchmarks") for path in (ROOT / folder).rglob("*.py"))


def shipped_texts() -> list[Path]:
    """Everything a person wrote that is in the repository."""
    top = [path for path in ROOT.iterdir() if path.is_file() and path.name != "LICENSE" and not path.name.startswith(".coverage")]
    below = [path for folder in (".ci", "src", "tests", "benchmarks", "docs", "recipes") for path in (ROOT / folder).rglob("*")]
    texts = {".py", ".md", ".toml", ".yaml", ".html", ".css", ".js", ".csv", ""}
    return sorted(path for path in top + below if path.is_file() and path.suffix in texts and "__pycache__" not in path.parts)


def where(path: Path, line: int) -> str:
    return f"{path.relative_to(ROOT)}:{line}"


def mirrors(module: Path) -> list[str]:
    """The names that the tests of a module may have.

    ``src/seefit/**/x.py`` is tested by ``tests/test_x.py``. A command ``cli/x.py`` may share that file with
    the module it calls or have its own ``tests/test_x_command.py``.
    """
    names = [f"test_{module.stem}.py"]
    return [*names, f"test_{module.stem}_command.py"] if module.parent.name == "cli" else names


def body_lines(function: Function) -> int:
    """Lines of the body without the docstring: a command lists its options in its signature, a line each."""
    lines = (function.end_lineno or function.lineno) - function.body[0].lineno + 1
    if ast.get_docstring(function) is not None:
        docstring = function.body[0]
        lines -= (docstring.end_lineno or docstring.lineno) - docstring.lineno + 1
    return lines


def undocumented(node: ast.Module | ast.ClassDef, prefix: str = "") -> Iterator[tuple[str, int]]:
    """Public functions, classes and methods without a docstring."""
    for child in node.body:
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or child.name.startswith("_"):
            continue
        decorators = {ast.unparse(decorator) for decorator in child.decorator_list}
        repeats = any(name == "overload" or name.endswith(".setter") for name in decorators)
        if ast.get_docstring(child) is None and not repeats:
            yield prefix + child.name, child.lineno
        if isinstance(child, ast.ClassDef):
            yield from undocumented(child, f"{child.name}.")


def unsafe_loads(module: ast.Module) -> Iterator[tuple[str, int]]:
    """What can run code from a file: pickle and its kin, torch.load, numpy.load with pickles."""
    for node in ast.walk(module):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
        yield from (
            (name, getattr(node, "lineno", 0)) for name in names if name.split(".")[0] in {"pickle", "dill", "cloudpickle", "joblib"}
        )
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "torch.load":
            yield "torch.load", node.lineno
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle" and ast.unparse(node.value) != "False":
            yield "allow_pickle", node.lineno


def overdue(text: str, today: datetime.date) -> Iterator[tuple[str, int]]:
    """Open tasks that have no date, or whose date has passed."""
    for number, line in enumerate(text.splitlines(), 1):
        for found in OPEN_TASK.finditer(line):
            date = found["date"]
            if date is None or datetime.date.fromisoformat(date) < today:
                yield found[0], number


def test_every_module_has_its_tests() -> None:
    there = {path.name for path in (ROOT / "tests").glob("test_*.py")}
    missing = {str(module.relative_to(PACKAGE)): mirrors(module)[-1] for module in modules() if not there.intersection(mirrors(module))}
    assert not missing, f"modules without tests: {missing}"


def test_functions_are_short() -> None:
    functions = [
        (path, node) for path in python_files() for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    long = [
        f"{where(path, node.lineno)} {node.name}: {body_lines(node)}" for path, node in functions if body_lines(node) > MAX_FUNCTION_LINES
    ]
    assert long == []


def test_files_are_short() -> None:
    sizes = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in python_files()}
    assert [f"{where(path, size)}" for path, size in sizes.items() if size > MAX_FILE_LINES] == []


def test_public_names_are_documented() -> None:
    files = [*PACKAGE.rglob("*.py")]
    assert [where(path, 1) for path in files if ast.get_docstring(tree(path)) is None] == []
    assert [f"{where(path, line)} {name}" for path in files for name, line in undocumented(tree(path))] == []


def test_no_module_is_called_utils() -> None:
    assert [where(path, 1) for path in python_files() if path.stem in {"utils", "util", "helpers", "misc"}] == []


def test_open_tasks_have_a_date_that_has_not_passed() -> None:
    today = datetime.date.today()
    files = [path for path in shipped_texts() if path.suffix != ".md"]
    late = [f"{where(path, line)} {what}" for path in files for what, line in overdue(path.read_text(encoding="utf-8"), today)]
    assert late == []


def test_only_one_module_reads_foreign_weight_files() -> None:
    files = [path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "models" / "weights.py"]
    assert [f"{where(path, line)} {what}" for path in files for what, line in unsafe_loads(tree(path))] == []


@pytest.mark.parametrize("pattern", [MACHINE_PATH, REGISTRY], ids=["paths", "registries"])
def test_no_file_names_a_machine(pattern: re.Pattern[str]) -> None:
    lines = [(path, n, line) for path in shipped_texts() for n, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)]
    found = [f"{where(path, n)} {match[0]}" for path, n, line in lines if path != Path(__file__) for match in pattern.finditer(line)]
    assert found == []


def test_coverage_has_one_row_per_feature() -> None:
    table = (ROOT / "docs" / "coverage.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| .+ \| (.*) \| (.+) \|$", table, flags=re.MULTILINE)
    assert [int(number) for number, _, _ in rows] == list(range(1, FEATURES + 1))
    unproven = [number for number, tests, status in rows if status.startswith(("done", "part")) and not tests.strip()]
    assert unproven == []
    named = {name for _, tests, _ in rows for name in re.findall(r"`(\w+\.py)`", tests)}
    missing = sorted(name for name in named if not (ROOT / "tests" / name).is_file())
    assert not missing, f"tests that docs/coverage.md names and that do not exist: {missing}"


def test_the_rules_can_fail() -> None:
    """Each helper finds what it is for."""
    day = datetime.date(2026, 6, 1)
    task = "TO" + "DO"
    assert [line for _, line in overdue(f"# {task}: x\n# {task}(2026-05-31) x\n# {task}(2026-06-01) x\n# {'FIX' + 'ME'}", day)] == [1, 2, 4]
    code = ast.parse("import pickle\nfrom joblib import load\ntorch.load(x)\nnp.load(x, allow_pickle=True)\nnp.load(x, allow_pickle=False)")
    assert sorted(line for _, line in unsafe_loads(code)) == [1, 2, 3, 4]
    public = ast.parse("class A:\n    'a'\n    def f(self): ...\n    def _g(self): ...\ndef _h(): ...\nclass _B:\n    def f(self): ...")
    assert list(undocumented(public)) == [("A.f", 3)]
    function = ast.parse('def f():\n    """One.\n\n    Two.\n    """\n    return 1').body[0]
    assert isinstance(function, ast.FunctionDef)
    assert body_lines(function) == 1
    assert mirrors(PACKAGE / "cli" / "check.py") == ["test_check.py", "test_check_command.py"]
    assert mirrors(PACKAGE / "store.py") == ["test_store.py"]
    assert MACHINE_PATH.search("open('/" + "home/me/x.png')")
    assert not MACHINE_PATH.search("https://example.org/home/me")


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    lists = [project["build-system"]["requires"], project["project"]["dependencies"], *project["project"]["optional-dependencies"].values()]
    names = {re.split(r"[\[<>=~! ]", entry)[0] for entries in lists for entry in entries} - {"seefit"}
    explained = (ROOT / "docs" / "decisions.md").read_text(encoding="utf-8")
    assert sorted(name for name in names if f"**{name}**" not in explained) == []
