"""Choose for me: which of the backbones that are here goes best with these training images, within a time that is kept.

Successive halving (Jamieson & Talwalkar 2016, AISTATS, section 3), with images for the budget: all networks see the same images, as many
as the time allows; those clearly worse are dropped, the others see up to twice as many, and so on. What is compared is the probe that
a run fits, over its folds. No image of the validation or test part is looked at.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seefit.console import QUIET, Console
from seefit.errors import SeefitError
from seefit.evaluation.forecast import growing_order
from seefit.evaluation.ranking import Standing, choose, rank
from seefit.files import to_json, write_text
from seefit.fitting import open_extractor
from seefit.members import backbones_here
from seefit.models.backbone import is_converted
from seefit.parts import Part
from seefit.promises import head_seconds, seconds_per_image
from seefit.report.choice import choice_sentence, choice_table
from seefit.report.page import Table
from seefit.report.words import Words
from seefit.settings import AUTO, Settings
from seefit.training.features import FeatureExtractor
from seefit.training.head import MAX_PATH_ROWS, fit_head

RECORD = "choice.json"  # in the run folder: what was chosen and why, before anything else is done
MINUTES = 1.0  # unless the user says otherwise
CONVERTING_S, OPENING_S = 15.0, 2.0  # what turning a network into ONNX, and opening one that is kept, is thought to take until one did
OPENING = 0.7  # of the time at most, for both
WHOLE, FIRST = 0.8, 0.5  # of the time left that a round may take: one that sees all images, and one that others follow
FEWEST_PER_CLASS = 10  # images in a first round, below which nothing is compared
GROWTH = 1.3  # times as many images at least as in the round before
SHRINK = 1.2  # by how much fewer are tried where so many take too long
REPEATS, STEP = 3, 7919  # of the folds, and between their seeds: which images a fold holds moves a figure by a point
BLOCK = 32  # images of one network before the next one's turn, and before a look at the clock


@dataclass
class Candidate:
    """A network that may be chosen, and how it stands.

    Attributes:
        name: As it is named with ``--backbone``.
        extractor: Opened.
        missing: (N,) whether an image's features are not kept, in the order in which rounds take images.
        seconds: That computing those of one image takes; 0 where all are kept.
        features: Of the images that it saw so far, block by block.
        images: That it was last judged on.
        standing: In the last round that it took part in.
    """

    name: str
    extractor: FeatureExtractor
    missing: NDArray[np.bool_]
    seconds: float
    features: list[NDArray[np.float32]] = field(default_factory=list)
    images: int = 0
    standing: Standing | None = None

    def to_json(self) -> dict[str, Any]:
        """Return what ``choice.json`` says of it."""
        rate = round(1 / self.seconds, 1) if self.seconds else None
        return {"backbone": self.name, "images_per_second": rate, "images": self.images, **(asdict(self.standing) if self.standing else {})}


@dataclass(frozen=True)
class Search:
    """What all candidates have in common.

    Attributes:
        settings: Of the run.
        part: The training images in the order in which rounds take them: every beginning has the classes in about their shares.
        labels: (N,) class numbers.
        targets: (N, C) one-hot.
        ends: When the choice must have been made, by `time.monotonic`.
        console: Where to say what is done.
    """

    settings: Settings
    part: Part
    labels: NDArray[np.int64]
    targets: NDArray[np.float32]
    ends: float
    console: Console

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self.ends - time.monotonic()

    @property
    def fewest(self) -> int:
        """Images below which nothing is compared."""
        return FEWEST_PER_CLASS * int(self.targets.shape[1])

    @property
    def most(self) -> int:
        """Images that a round sees at most: as many as all folds of a head see every strength of its penalty on."""
        return min(len(self.labels), max(MAX_PATH_ROWS, self.fewest))


def settle_backbone(
    settings: Settings, run: Path | None, train: Part, sizes: NDArray[np.int64], classes: tuple[str, ...], *, console: Console = QUIET
) -> tuple[Settings, dict[str, Any] | None]:
    """Name the backbone of a run: as the settings do, as an earlier start of the run chose, or chosen now and written down.

    Args:
        settings: What the user chose.
        run: The run folder; None to keep nothing.
        train: The training part.
        sizes: (N, 2) width and height of its images in pixels.
        classes: Names, in the order of the outputs.
        console: Where to say what was chosen, and why.

    Returns:
        The settings with a backbone by name; and what `choose_backbone` returned, None where nothing was to be chosen.

    Raises:
        SeefitError: Not one of the networks that are here can be used with the other settings.
    """
    kept = run / RECORD if run is not None else None
    if kept is not None and kept.is_file():
        choice: dict[str, Any] = json.loads(kept.read_text("utf-8"))
    elif settings.backbone == AUTO:
        choice = choose_backbone(settings, train, sizes, classes, console=console)
        if kept is not None:
            write_text(kept, to_json(choice))
    else:
        return settings, None
    words = Words("en")
    for line in (choice_sentence(choice, words), *_table_lines(choice_table(choice, words))):
        console.say(line.replace("\N{NO-BREAK SPACE}", " "))
    return settings.model_copy(update={"backbone": choice["backbone"], "minutes": None}), choice


def _table_lines(table: Table | None) -> list[str]:
    if table is None:
        return []
    rows = [table.header, *table.rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(table.header))]
    return ["  " + "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]


def choose_backbone(
    settings: Settings, train: Part, sizes: NDArray[np.int64], classes: tuple[str, ...], *, console: Console = QUIET
) -> dict[str, Any]:
    """Choose one of the backbones that are here by the training images.

    Args:
        settings: What the user chose; ``minutes`` is the time for the choice, features and turning networks into ONNX included.
        train: The training part.
        sizes: (N, 2) width and height of its images in pixels.
        classes: Names, in the order of the outputs.
        console: Where to say what is done.

    Returns:
        ``backbone``; ``why``: ``only`` one can be used, there was no ``time`` to compare or there were no ``folds``, it is the ``best``, or
        the ``cheapest`` of those about as good; ``minutes`` that there were and ``seconds`` that were taken; ``images`` and ``folds`` of
        the last round; ``candidates`` with their figures; ``left_out``, the reason of each network that was not looked at.

    Raises:
        SeefitError: Not one of the networks that are here can be used with the other settings.
    """
    began, minutes = time.monotonic(), settings.minutes or MINUTES
    names = backbones_here()
    part = train.subset(growing_order(train.labels(classes), train.units, np.random.default_rng(settings.seed)))
    search = Search(settings, part, part.labels(classes), part.one_hot(classes), began + 60 * minutes, console)
    candidates: list[Candidate] = []
    left_out: dict[str, str] = {}
    if len(names) > 1:
        console.say(f"Choosing among {', '.join(names)}, in at most {minutes:g} min (--minutes) …")
        candidates, left_out = _open(search, names, sizes, 60 * minutes)
    usable = [name for name in names if left_out.get(name, "time") == "time"]
    why, alive, folds = ("only" if len(usable) == 1 else "time"), candidates, 0
    if len(candidates) > 1:
        why, alive, folds = _halve(search, candidates)
    standings = [candidate.standing for candidate in alive if candidate.standing]
    if standings:
        number = choose(standings)
        chosen, why = alive[number].name, "cheapest" if standings[number].behind else "best"
    else:
        chosen = alive[0].name if alive else usable[0]
    return {
        "backbone": chosen,
        "why": why,
        "minutes": minutes,
        "seconds": round(time.monotonic() - began, 2),
        "images": max((candidate.images for candidate in candidates), default=0),
        "folds": folds,
        "candidates": [candidate.to_json() for candidate in candidates],
        "left_out": left_out,
    }


def _open(search: Search, names: Sequence[str], sizes: NDArray[np.int64], budget: float) -> tuple[list[Candidate], dict[str, str]]:
    """Open the networks that can be used and that there is time for; return the reason of each other one, too."""
    opened, left_out, problems = list[Candidate](), dict[str, str](), list[SeefitError]()
    thought = {False: CONVERTING_S, True: OPENING_S}
    for name in names:
        settings = search.settings.model_copy(update={"backbone": name})
        try:
            kept, began = is_converted(name, settings.image_size), time.monotonic()
            if budget - search.left + thought[kept] > OPENING * budget:
                left_out[name] = "time"
                continue
            if not kept:
                search.console.say(f"Converting {name} to ONNX, once …")
            opened.append(_candidate(name, settings, search, sizes))
            thought[kept] = time.monotonic() - began
        except SeefitError as error:  # the file of some other network, or one that cannot take the size, say
            problems.append(error)
            left_out[name] = error.message
            search.console.warn(f"{name} is not looked at. {error.message}")
    if len(problems) == len(names):
        raise problems[0]
    return opened, left_out


def _candidate(name: str, settings: Settings, search: Search, sizes: NDArray[np.int64]) -> Candidate:
    extractor = open_extractor(settings, sizes)
    missing = ~np.array(extractor.kept(search.part.sha256))
    seconds = seconds_per_image(extractor, extractor.engine, search.part) if missing[: search.most].any() else 0.0
    return Candidate(name, extractor, missing, seconds)


def _halve(search: Search, candidates: list[Candidate]) -> tuple[str, list[Candidate], int]:
    """Let rounds follow each other while there is time; return why there was none, those that are left, and the folds of the last one."""
    alive, images, folds = candidates, 0, 0
    while len(alive) > 1 and (wanted := _images_for(search, alive, images)) > images:
        seen = _see(search, alive, images, wanted)
        judged = _judge(search, alive, seen) if seen >= min(search.most, max(search.fewest, images + 1)) else None
        if judged is None:
            break
        right, rows, found = judged
        if not found:
            return "folds", alive, 0
        for candidate, standing in zip(alive, rank(right, search.labels[rows], search.part.units[rows]), strict=True):
            candidate.standing, candidate.images = standing, seen
        alive = [candidate for candidate in alive if candidate.standing and not candidate.standing.worse]
        images, folds = seen, found
    return "time", alive, folds


def _images_for(search: Search, alive: Sequence[Candidate], before: int) -> int:
    """Return how many images the next round sees, those of the round before included; no more than before where there is no time for it."""
    wanted = search.most if not before else min(search.most, 2 * before)
    least = min(search.most, search.fewest) if not before else int(GROWTH * before)
    share = WHOLE
    while wanted >= least:
        if sum(_cost(search, candidate, before, wanted) for candidate in alive) <= share * search.left:
            return wanted
        share, wanted = WHOLE if before else FIRST, int(wanted / SHRINK)
    return before


def _cost(search: Search, candidate: Candidate, before: int, images: int) -> float:
    """Return what a round is thought to take of one network, in seconds."""
    return float(candidate.missing[before:images].sum()) * candidate.seconds + _head_cost(search, candidate, images)


def _head_cost(search: Search, candidate: Candidate, images: int) -> float:
    return REPEATS * head_seconds(images, candidate.extractor.width, search.targets.shape[1])


def _see(search: Search, alive: Sequence[Candidate], before: int, wanted: int) -> int:
    """Compute features of further images, a block for each network in turn, while heads can still be fitted; return how many are seen."""
    reserve = sum(_head_cost(search, candidate, wanted) for candidate in alive)
    block = BLOCK if any(candidate.missing[before:wanted].any() for candidate in alive) else wanted - before
    seen = before
    with search.console.bar("Comparing networks", wanted - before) as advance:
        while seen < wanted and search.left > reserve:
            some = search.part.subset(np.arange(seen, min(seen + block, wanted)))
            for candidate in alive:
                candidate.features.append(candidate.extractor.extract(some.samples, some.sha256))
            seen += len(some.samples)
            advance(len(some.samples))
    return seen


def _judge(search: Search, alive: Sequence[Candidate], images: int) -> tuple[NDArray[np.float64], NDArray[np.intp], int] | None:
    """Fit the head of every network over the folds, and over other folds again while there is time.

    Returns:
        (K, M) how often each has an image right that it did not learn, the positions (M,) of these images, and the number of folds; 0 where
        there are none. None when time ran out before all were fitted once.
    """
    part, features = search.part.subset(np.arange(images)), [np.concatenate(candidate.features) for candidate in alive]
    options: dict[str, Any] = {"weights": part.weights(), "units": part.units, "balance": search.settings.class_weights}
    repeats = list[NDArray[np.float64]]()
    longest, folds = 0.0, 0
    for repeat in range(REPEATS):
        right = np.full((len(alive), images), np.nan)
        for own, seen in zip(right, features, strict=True):
            if search.left < longest:
                return _averaged(repeats, folds) if repeats else None
            began = time.monotonic()
            head = fit_head(seen, search.targets[:images], **options, seed=search.settings.seed + STEP * repeat)
            longest, folds = max(longest, time.monotonic() - began), head.folds
            if not folds:
                return right[:, :0], np.empty(0, np.intp), 0
            own[head.fold_rows] = head.fold_logits.argmax(1) == search.labels[head.fold_rows]
        repeats.append(right)
    return _averaged(repeats, folds)


def _averaged(repeats: list[NDArray[np.float64]], folds: int) -> tuple[NDArray[np.float64], NDArray[np.intp], int]:
    """Average over repeats, of the images that all networks were judged on: of many rows and columns not all folds are scored."""
    right = np.mean(repeats, axis=0)
    rows = np.flatnonzero(~np.isnan(right).any(0))
    return right[:, rows], rows, folds
