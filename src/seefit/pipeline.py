"""Train: the arrows of the design, in order, one page.

files → dataset → scan → split → graph → features → head → bundle → evaluation → report

After the split nothing here looks at the labels of the test part: `evaluate_part` alone reads them from ``split.csv``, after the
bundle's hash is fixed.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from seefit.bundle.bundle import Bundle, load, save_bundle
from seefit.bundle.neighbours import Gallery
from seefit.bundle.trusted import Trust
from seefit.bundling import bundle_parts, versions
from seefit.choosing import settle_backbone
from seefit.console import QUIET, Console
from seefit.data.dataset import SPLITS, Sample
from seefit.data.scan import Scan
from seefit.data.split import Split
from seefit.data.splitfile import write_split
from seefit.data.tables import write_table
from seefit.environment import threads
from seefit.evaluation.evaluate import evaluate_part
from seefit.evaluation.metrics import Metrics
from seefit.exhibiting import fit_gallery
from seefit.extending import extension, inherit, prepare, told
from seefit.files import clear_leftovers, to_json, write_text
from seefit.fitting import (
    UNCALIBRATED,
    Fitted,
    begin,
    check_head,
    check_model,
    open_extractor,
)
from seefit.gathering import Gathered, gather
from seefit.insights.insights import write_insights
from seefit.insights.material import Material
from seefit.members import choose_members, member_settings
from seefit.models.backbone import Backbone
from seefit.parts import Part
from seefit.promises import Promise, Work, promise_run, settled
from seefit.report.card import write_card
from seefit.report.report import build_report
from seefit.resuming import agree, located, read_start, reopen
from seefit.runs import CONFIG, STARTED_IN, is_finished, locked, new_run, read_metrics, resumable
from seefit.settings import AUTO, Settings, to_yaml
from seefit.telling import environment_line, interval, say_advice, say_counts, say_folds
from seefit.training.features import FeatureExtractor
from seefit.training.head import Head
from seefit.trusting import fit_trust

SMALL_DATA = 2_000  # training images; below it the scores over folds are printed


@dataclass
class Run:
    """A finished run: where it is and its figures, as in ``metrics.json``."""

    path: Path
    metrics: dict[str, Any]


@dataclass
class Clock:
    """Seconds per phase."""

    seconds: dict[str, float] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add what the block takes to a phase."""
        start = time.monotonic()
        yield
        self.seconds[name] = round(self.seconds.get(name, 0.0) + time.monotonic() - start, 3)


def train(settings: Settings, *, out: Path | None = None, backbone: Backbone | None = None, console: Console = QUIET) -> Run:
    """Train a classifier from images and labels, judge it, and write everything to a run folder.

    Args:
        settings: What the user chose.
        out: The run folder; ``runs/<data>-<backbone>-<n>`` when None.
        backbone: Loaded already, where the settings cannot name it; such a run cannot be resumed.
        console: Where to say what happens.

    Raises:
        SeefitError: Of the kind that fits; what was written until then stays in the run folder.
    """
    settings, folder = choose_members(inherit(settings), console=console), Path.cwd()
    run = new_run(out, f"{Path(settings.data.removeprefix('demo:')).stem or 'data'}-{settings.backbone}")
    try:
        with locked(run), resumable(run, new=True):
            write_text(run / CONFIG, to_yaml(settings, {STARTED_IN: str(folder)}))  # first of all: `seefit resume` needs it
            return _train(settings, run, folder, console, backbone)
    except BaseException:
        with suppress(OSError):
            run.rmdir()  # where nothing was written yet: leave no empty folder behind
        raise


def resume(run: Path, given: Mapping[str, Any] | None = None, *, console: Console = QUIET) -> Run:
    """Go on with a run that was interrupted at any moment: what is kept is used, what is missing is done.

    Args:
        run: Its folder; that of a finished run is left as it is.
        given: Settings given by hand: ``epochs`` may grow, also for a finished run; all others must be those the run began with.
        console: Where to say what happens.

    Raises:
        RunError: The folder is no run, another process works in it, or the data changed since it began.
        UsageError: A setting that cannot be changed any more.
        SeefitError: As in `train`.
    """
    began, folder = read_start(run)
    settings = agree(began, given or {})
    if is_finished(run) and settings == began:
        console.say(f"The run is finished, there is nothing more to train: {run}")
        return Run(run, read_metrics(run))
    with locked(run), resumable(run):
        clear_leftovers(run)
        if settings != began:
            console.say(reopen(run, began, settings))
        return _train(settings, run, folder, console, again=True)


def _train(asked: Settings, run: Path, folder: Path, console: Console, backbone: Backbone | None = None, *, again: bool = False) -> Run:
    settings, clock = located(asked, folder), Clock()
    console.say(environment_line())
    check_model(settings, backbone, choosing=True)
    with clock.phase("scan"):
        gathered = gather(settings, run, console=console)
    dataset, seen, split, older = gathered.dataset, gathered.seen, gathered.split, gathered.older
    check_head(settings, dataset.classes)
    counts, groups = _count(seen.samples, split, dataset.classes), _groups(seen.samples, split)
    _write_first_files(run, seen, split, dataset.classes)  # from here on only evaluate_part sees the test labels
    say_counts(counts, dataset.classes, split, console)
    train_part, val_part = gathered.part("train"), gathered.part("val")
    asked, settings, choice = _choose(asked, run, folder, gathered, clock, console)
    first, state = member_settings(settings, 0), older.state if older else None

    with clock.phase("features"):
        extractor = open_extractor(first, seen.sizes[split.index("train")], backbone=backbone, state=state, console=console)
        if older:
            prepare(extractor, older, seen, split, way=settings.way)
        promise = _promise(first, run, gathered, extractor, clock)
        console.say(promise.sentence(again=again))
    proof = (older.readable(val_part) or older.readable(train_part)) if older else None
    begun = begin(first, extractor, dataset.classes, train_part, val_part, proof=proof, phase=clock.phase, console=console)
    if begun.folds and len(train_part.samples) < SMALL_DATA:
        say_folds(begun.folds, console)
    advice = say_advice(settings, begun, counts["train"], console)
    fitted, epochs = begun, list[dict[str, Any]]()
    if settings.way != "probe":
        with clock.phase("train" if settings.from_scratch else "finetune"):
            fitted, epochs = _train_layers(settings, begun, gathered, run / "checkpoints", dict(clock.seconds), console)
            promise = promise if again else settled(promise, settings, run / "checkpoints")
    trust = _trust(fitted, first, gathered, clock, console)

    _write_fitted(run, to_yaml(asked, _resolved(gathered, fitted, folder)), fitted.head, epochs)
    gallery = _gallery(fitted, settings, gathered, clock, console) if settings.gallery else None
    save_bundle(run / "bundle", bundle_parts(fitted, dataset.classes, settings, train_part, trust, gallery))

    with clock.phase("evaluate"):
        bundle = load(run / "bundle")
        part = "test" if "test" in split.parts else "val" if val_part.samples else ""
        figures, clean = _judge(settings, run, bundle, gathered, train_part, part, console) if part else (None, None)
        extended = extension(run, older, seen.samples, dataset.classes, seed=settings.seed) if older else None
    with clock.phase("insights"):
        known = Material(run, settings, dataset.classes, train_part, val_part, seen, split, begun, fitted, bundle, part, trust)
        write_insights(known, console=console)
    metrics = _metrics(part, figures, fitted.val, fitted.folds) | _circumstances(gathered, fitted, clean, extended, choice)
    metrics |= {
        "probe": {"val": begun.val, "cross_validation": begun.folds} if settings.way == "finetune" else None,
        "advice": advice,
        "promise": promise.to_json(),
        "engine": extractor.engine.name,
        "counts": counts,
        "groups": groups,
        "bundle": bundle.hash,
        "seconds": clock.seconds,
        "images_per_second": None if settings.from_scratch else _rate(len(seen.samples), clock),
    }
    _finish(run, metrics, clock, console)
    console.say(promise.held(clock.seconds["total"]))
    return Run(run, metrics)


def _choose(
    asked: Settings, run: Path, folder: Path, gathered: Gathered, clock: Clock, console: Console
) -> tuple[Settings, Settings, dict[str, Any] | None]:
    """Name the backbone, and write it down for whoever repeats the run; return the settings as written and as opened from here, and why."""
    index = gathered.split.index("train")
    with clock.phase("choose") if asked.backbone == AUTO else nullcontext():
        settled, choice = settle_backbone(
            asked, run, gathered.part("train"), gathered.seen.sizes[index], gathered.dataset.classes, console=console
        )
    if settled != asked:
        write_text(run / CONFIG, to_yaml(settled, {STARTED_IN: str(folder)}))
    return settled, located(settled, folder), choice


def _promise(settings: Settings, run: Path, gathered: Gathered, extractor: FeatureExtractor, clock: Clock) -> Promise:
    """Estimate how long the run takes, from what is to be done."""
    train, val, older = gathered.part("train"), gathered.part("val"), gathered.older
    tried = older.readable(train) if older else train
    work = Work(train, val, gathered.judged, len(gathered.dataset.classes), tried, gathered.teacher)
    return promise_run(settings, extractor, work, began=clock.started, checkpoints=run / "checkpoints")


def _rate(images: int, clock: Clock) -> float:
    """Return how many images were read and turned into features per second."""
    return round(images / max(clock.seconds["scan"] + clock.seconds["features"], 1e-9), 1)


def _train_layers(
    settings: Settings, begun: Fitted, gathered: Gathered, checkpoints: Path, seconds: dict[str, float], console: Console
) -> tuple[Fitted, list[dict[str, Any]]]:
    """Train one network, or with the preset ``best`` several; return the rows of ``history.csv``, too."""
    parts = gathered.dataset.classes, gathered.part("train"), gathered.part("val")
    options: dict[str, Any] = {"teacher": gathered.teacher, "checkpoints": checkpoints, "console": console}
    if settings.preset == "best":
        from seefit.ensemble import train_members

        return train_members(settings, begun, *parts, judged=gathered.judged, seconds=seconds, **options)
    from seefit.finetuning import finetune_probe

    fitted, history = finetune_probe(settings, begun, *parts, **options)
    return fitted, [asdict(epoch) for epoch in history]


def _trust(fitted: Fitted, settings: Settings, gathered: Gathered, clock: Clock, console: Console) -> Trust:
    """Fit what lets one prediction be trusted, before anything is judged; warn where nothing was kept back for it."""
    if not fitted.calibrated:
        console.warn(UNCALIBRATED)
    with clock.phase("trust"):
        return fit_trust(fitted, settings, gathered.dataset.classes, gathered.part("train"), gathered.part("val"), console=console)


def _gallery(fitted: Fitted, settings: Settings, gathered: Gathered, clock: Clock, console: Console) -> Gallery | None:
    """Choose training images whose small pictures travel with the model."""
    with clock.phase("gallery"):
        return fit_gallery(fitted, gathered.dataset.classes, gathered.part("train"), max_pixels=settings.max_pixels, console=console)


def _write_first_files(run: Path, seen: Scan, split: Split, classes: tuple[str, ...]) -> None:
    """Write what is known before training."""
    write_table(run / "skipped.csv", ["path", "reason", "bytes"], ([skip.name, skip.reason, skip.bytes] for skip in seen.skips))
    write_split(run / "split.csv", seen.samples, split, seen.sha256, classes)


def _count(samples: list[Sample], split: Split, classes: tuple[str, ...]) -> dict[str, dict[str, int]]:
    found = Counter(zip(split.parts, (sample.label for sample in samples), strict=True))
    return {part: {name: found[part, name] for name in classes} for part in SPLITS}


def _judge(
    settings: Settings, run: Path, bundle: Bundle, gathered: Gathered, train_part: Part, part: str, console: Console
) -> tuple[Metrics, Metrics | None]:
    """Hand the run to the only reader of its test labels."""
    dataset, seen, older = gathered.dataset, gathered.seen, gathered.older
    console.say(f"Judging the {part} part with the saved model …")
    majority = train_part.majority(dataset.classes)
    leaking = {name for group in [*seen.leaks, *seen.near_leaks] for name in group}
    gone = older.gone if older else frozenset()
    options: dict[str, Any] = {"gone": gone, "max_pixels": settings.max_pixels, "seed": settings.seed, "console": console}
    return evaluate_part(run, bundle, dataset.root, part, majority=majority, leaking=leaking, **options)


def _groups(samples: list[Sample], split: Split) -> dict[str, int]:
    """Return how many groups the user gave each part; 0 without groups."""
    return {part: len({samples[i].group for i in split.index(part)} - {None}) for part in SPLITS}


def _leaks(seen: Scan, clean: Metrics | None) -> list[str]:
    """Return the sentences that the report says first: what leaks, and the figures without it."""
    leaks = []
    if seen.leaks:
        leaks.append(
            f"Equal images stand on several sides of the given split ({len(seen.leaks)} times, --allow-leak): the figures are too good."
        )
    if seen.near_leaks:
        leaks.append(
            f"Near-duplicates stand on several sides of the given split ({len(seen.near_leaks)} groups): the figures may be too good."
        )
    if clean is not None:
        figure = interval(clean.to_json()["balanced_accuracy"])
        leaks.append(f"Without images that leak or nearly so, balanced accuracy is {figure} on {clean.n:,} images.")
    return leaks


def _resolved(gathered: Gathered, fitted: Fitted, folder: Path) -> dict[str, Any]:
    extractor, head, older = fitted.extractor, fitted.head, gathered.older
    backbone = extractor.backbone
    return {
        STARTED_IN: str(folder),
        "root": str(gathered.dataset.root.absolute()),
        **({"extended_from": str(older.run)} if older else {}),
        **({"teacher": gathered.teacher.hash} if gathered.teacher else {}),
        "backbone": backbone.name,
        "weights": backbone.weights,
        "image_size": backbone.image_size,
        "fit": extractor.fit,
        "features": list(extractor.parts),
        "engine": extractor.engine.name,
        "head": head.method,
        "strength": head.strength,
        **({"lr": fitted.rates} if fitted.rates else {}),
        "temperature": fitted.temperature,
        **fitted.about,
        "threads": threads(),
        "seefit": version("seefit"),
    }


def _write_fitted(run: Path, config: str, head: Head, epochs: list[dict[str, Any]]) -> None:
    """Write the settings as they turned out, and a row per epoch, or for a probe a row per strength."""
    write_text(run / CONFIG, config)
    if epochs:
        write_table(run / "history.csv", list(epochs[0]), (list(epoch.values()) for epoch in epochs))
        return
    header = ["strength", "fold_nll", "fold_nll_se", "fold_balanced_accuracy", "train_nll", "train_balanced_accuracy"]
    header += ["nll_gap", "accuracy_gap"]
    write_table(run / "history.csv", header, (list(asdict(point).values()) for point in head.path))


def _figures(metrics: Metrics | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the figures of a part, and what ``metrics.json`` keeps beside them: per class, and the confusion matrix."""
    everything = metrics.to_json() if metrics is not None else {"per_class": {}}
    beside = {"per_class", "confusion"}
    return {k: v for k, v in everything.items() if k not in beside}, {k: v for k, v in everything.items() if k in beside}


def _metrics(part: str, metrics: Metrics | None, val: dict[str, Any] | None, folds: dict[str, Any] | None) -> dict[str, Any]:
    """Arrange the figures as ``metrics.json`` has them."""
    figures, detail = _figures(metrics)
    return {
        "headline": part or "cross_validation",
        "test": figures if part == "test" else None,
        "val": figures if part == "val" else val,
        "cross_validation": folds,
        **detail,
    }


def _circumstances(
    gathered: Gathered, fitted: Fitted, clean: Metrics | None, extended: dict[str, Any] | None, choice: dict[str, Any] | None
) -> dict[str, Any]:
    """Return what ``metrics.json`` says of how the figures came about."""
    seen, leaks = gathered.seen, [*_leaks(gathered.seen, clean), *gathered.leaks]
    uncalibrated = [] if fitted.calibrated else [UNCALIBRATED]
    return {
        "temperature": fitted.temperature,
        "calibrated": fitted.calibrated,
        "leaks": leaks,
        "without_leaks": None if clean is None else _figures(clean)[0],
        "extension": extended,
        "choice": choice,
        "notes": [*leaks, *(told(extended) if extended else []), *uncalibrated, *gathered.split.notes, *seen.warnings],
        "engine_difference": fitted.engine_difference,
        "skipped": len(seen.skips),
        "versions": versions(),
    }


def _finish(run: Path, metrics: dict[str, Any], clock: Clock, console: Console) -> None:
    """Write the figures, the card and the report; the total covers all but the last write."""
    with clock.phase("report"):
        _write_metrics(run, metrics, clock)
        write_card(run)
        build_report(run, console=console)
    _write_metrics(run, metrics, clock)


def _write_metrics(run: Path, metrics: dict[str, Any], clock: Clock) -> None:
    clock.seconds["total"] = round(time.monotonic() - clock.started, 3)
    metrics["promise"]["took"] = clock.seconds["total"]
    metrics["peak_memory_mb"] = peak_memory_mb()
    write_text(run / "metrics.json", to_json(metrics))


def peak_memory_mb() -> float:
    """Return the largest resident size that this process had, in MiB."""
    import resource
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)
