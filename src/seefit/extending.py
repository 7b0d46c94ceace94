"""Adding images and classes to a finished run: its images are taken over, each in its part, and so is its model.

The older images come from the run's ``split.csv``. Where a file is gone, what the cache keeps of its content stands for it. New
images that belong with older ones (look-alikes, the same group) keep to their side; the others are divided in the run's proportions.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from seefit.bundle.bundle import load
from seefit.bundle.manifest import read_manifest
from seefit.bundling import weights_file
from seefit.data.dataset import SPLITS, Dataset, Sample, natural_order
from seefit.data.findings import GONE
from seefit.data.listing import first_five
from seefit.data.scan import Scan, subset
from seefit.data.split import Split
from seefit.data.splitfile import SplitRow, read_split
from seefit.errors import DataError, RunError, SeefitError, UsageError, raise_all
from seefit.evaluation.before_after import compare_predictions
from seefit.evaluation.evaluate import group_numbers
from seefit.models.architecture import FLAT
from seefit.models.zoo import resolve
from seefit.parts import Part
from seefit.resuming import located
from seefit.runs import CONFIG, STARTED_IN, read_config, read_metrics
from seefit.settings import AUTO, Settings, make_settings, read_settings
from seefit.training.features import FeatureExtractor

ABOUT_DATA = {"data", "labels", "root", "group_by", "follow_links", "sha256", "extend"}  # settings that say where images come from
EXACT = {"train": False, "val": True, "test": True}  # which features a part is asked for: those of the reference, or of the fast engine


@dataclass(frozen=True)
class Older:
    """What a run takes over from the run that it extends.

    Attributes:
        run: The folder of that run.
        bundle: The hash of its bundle.
        engine: What computed its features.
        features: Names of the stages that they come from.
        known: Its images, each with its part as split, and the sha256 of each.
        names: The name of each of its images here, and that in its own ``split.csv``.
        classes: Its classes.
        state: The weights of its network when it was fine-tuned; None otherwise.
        gone: The sha256 of images whose file is gone.
        added: How many images are new.
        notes: Sentences about how old and new were put together.
    """

    run: Path
    bundle: str
    engine: str
    features: tuple[str, ...]
    known: dict[Sample, str]
    names: dict[str, str]
    classes: tuple[str, ...]
    state: Path | None
    gone: frozenset[str] = frozenset()
    added: int = 0
    notes: list[str] = field(default_factory=list)

    def readable(self, part: Part) -> Part | None:
        """Return the images of a part whose files are there; None when none is."""
        index = [i for i, digest in enumerate(part.sha256) if digest not in self.gone]
        return Part([part.samples[i] for i in index], [part.sha256[i] for i in index], part.units[index]) if index else None


# ---- settings ---------------------------------------------------------------------------------------------------


def inherit(settings: Settings) -> Settings:
    """Return the settings of a run that extends another: the other's, but for what is said of the new images or given by hand.

    The model (backbone, image size, box, features) cannot differ: kept features would not fit. A fine-tuned network is taken over as it
    is, and unless a method or preset is given by hand, only a new head is fitted.

    Args:
        settings: What the user chose; returned as it is without ``extend``.

    Raises:
        RunError: ``extend`` names no finished run.
        UsageError: Another model was asked for; all such options are named.
    """
    run = settings.extend
    if run is None:
        return settings
    read_metrics(run)
    resolved = read_config(run)["resolved"]
    theirs = located(read_settings(run / CONFIG, {}), Path(resolved[STARTED_IN]))
    model = {
        "backbone": theirs.backbone,
        "image_size": theirs.image_size,
        "fit": resolved["fit"],
        "features": _choice(resolved["features"]),
    }
    by_hand = {name: getattr(settings, name) for name in settings.model_fields_set}
    came_out = {**model, "image_size": resolved["image_size"]}
    others = [name for name in model if not _fits(name, by_hand.get(name), came_out[name])]
    raise_all([_another_model(run, name, came_out[name], by_hand[name]) for name in others])
    kept = theirs.model_dump(exclude=ABOUT_DATA | {"teacher"})  # which does not know new classes
    if theirs.way == "finetune" and theirs.preset != "best":
        kept |= _same_network(by_hand)
    return make_settings({**kept, **_shares(read_split(run / "split.csv")), **by_hand, **model})


def _choice(parts: Sequence[str]) -> str:
    """Return the setting that gives these parts of a network."""
    if list(parts) == ["pooled"]:
        return "pooled"
    return "flatten" if parts[0].endswith(FLAT) else "stages"


def _same_network(by_hand: Mapping[str, object]) -> dict[str, object]:
    """Return the settings that leave the network as it is and fit a new head, unless another way is asked for."""
    if "preset" in by_hand:
        return {"method": None}
    return {} if "method" in by_hand else {"method": "probe", "head": "linear"}


def _fits(name: str, given: object, value: object) -> bool:
    chosen = given == AUTO and name != "backbone"  # which box and which features came of it is taken over; a network is not chosen anew
    return chosen or given in {None, value} or (isinstance(given, str) and resolve(given) == resolve(str(value)))


def _another_model(run: Path, name: str, value: object, given: object) -> SeefitError:
    option = f"--{name.replace('_', '-')}"
    hint = f"Leave {option} out, or train on old and new images together without --extend"
    return UsageError("Cannot extend with another model", where=option, expected=f"{value}, as in {run}", got=repr(given), hint=hint)


def _shares(rows: Sequence[SplitRow]) -> dict[str, float | None]:
    """Return the shares that a split turned out to have."""
    counts = Counter(row.split for row in rows)
    return {"val": round(counts["val"] / len(rows), 4), "test": round(counts["test"] / len(rows), 4), "test_from_val": None}


# ---- old and new images together ----------------------------------------------------------------------------------


def join(new: Dataset, run: Path) -> tuple[Dataset, Older]:
    """Put the images of a run before new ones; names become relative to the folder that holds both.

    Args:
        new: The new images.
        run: The run to extend.

    Returns:
        The dataset of both: older images carry their part as split. And what is taken over.

    Raises:
        RunError: The run is not finished, or its ``split.csv`` was changed by hand.
        ArtefactError: Its bundle is damaged.
        UsageError: Old and new images have no folder in common (two drives of Windows).
    """
    metrics, resolved = read_metrics(run), read_config(run)["resolved"]
    rows = read_split(run / "split.csv")
    root, place, own_place = _common_root(new, Path(resolved["root"]))
    theirs = {name for row in rows for name in (row.label, *(row.target or ()))}
    classes = tuple(natural_order({*theirs, *new.classes}))
    known = {_placed(root, place + row.path, row, classes): row.sha256 for row in rows}
    names = {place + row.path: row.path for row in rows}
    added = [_renamed(sample, root, own_place + sample.name, new.classes, classes) for sample in new.samples]
    older = Older(
        run=run.absolute(),
        bundle=metrics["bundle"],
        engine=resolved["engine"],
        features=tuple(resolved["features"]),
        known=known,
        names=names,
        classes=tuple(natural_order(theirs)),
        state=_tuned_weights(run / "bundle"),
    )
    skips = [replace(skip, name=own_place + skip.name) for skip in new.skips]
    samples = [*known, *(sample for sample in added if sample not in known)]
    return Dataset(new.source, root, samples, classes, skips, new.notes), older


def _tuned_weights(bundle: Path) -> Path | None:
    """Return the weights of a fine-tuned network, once every file of its bundle was checked."""
    manifest = read_manifest(bundle)
    if "members" in manifest:
        hint, got = "Train on old and new images together without --extend", f"an average of {len(manifest['members'])}"
        raise UsageError("Cannot extend an average", where=bundle.parent, expected="a run of one network", got=got, hint=hint)
    tuned = manifest.get("method") == "finetune" and weights_file(0) in manifest["files"]
    return load(bundle).folder / weights_file(0) if tuned else None


def _common_root(new: Dataset, their_root: Path) -> tuple[Path, str, str]:
    """Return the folder above old and new images, and what to put before the names of each."""
    folders = [str(their_root.absolute()), str(new.root.absolute())]
    try:
        root = os.path.commonpath(folders)
    except ValueError as error:
        hint = "Copy the new images to the drive of the old ones"
        raise UsageError(
            "No folder in common", where=new.source, expected=f"the drive of {their_root}", got="another", hint=hint
        ) from error
    places = ["" if folder == root else Path(folder).relative_to(root).as_posix() + "/" for folder in folders]
    return Path(root), places[0], places[1]


def _placed(root: Path, name: str, row: SplitRow, classes: Sequence[str]) -> Sample:
    """Return an image of the earlier run under its new name, its soft target over all classes."""
    target = None if row.target is None else tuple(row.target.get(label, 0.0) for label in classes)
    return Sample(root / name, name, row.label, row.split, row.group, row.weight, target)


def _renamed(sample: Sample, root: Path, name: str, own_classes: Sequence[str], classes: Sequence[str]) -> Sample:
    """Return a new image under its new name, its soft target over all classes."""
    target = None
    if sample.target is not None:
        given = dict(zip(own_classes, sample.target, strict=True))
        target = tuple(given.get(label, 0.0) for label in classes)
    return replace(sample, path=root / name, name=name, target=target)


def settle(seen: Scan, older: Older) -> tuple[Scan, Older]:
    """Decide between old and new images of one content: a new image that the run had already is left to its older place.

    Args:
        seen: The scan of both.
        older: What is taken over.

    Returns:
        The scan without new images that are repeats, and what is taken over, with what was found out about its files.

    Raises:
        RunError: Older files are gone and nothing is kept of them; their number and the first five are named.
        DataError: No image is new.
    """
    new = {i: sample for i, sample in enumerate(seen.samples) if sample not in older.known}
    places = _find_places(seen, older, new)
    raise_all([_lost(older, places.lost)] if places.lost else [])
    theirs = set(older.known.values())
    fresh = {i: sample for i, sample in new.items() if seen.sha256[i] not in theirs}
    if not fresh:
        hint = "Name a folder with new images, or with images of a new class"
        raise DataError("Nothing to add", where=older.run, expected="images that the run does not have yet", got="none", hint=hint)
    chosen = dict(sorted((places.samples | fresh).items()))
    notes = _notes(older.run.name, repeated=len(new) - len(fresh), replaced=places.replaced, gone=len(places.gone))
    settled = replace(older, names=places.names, gone=frozenset(places.gone), added=len(fresh), notes=notes)
    rest = replace(seen, skips=[skip for skip in seen.skips if skip.reason != GONE])
    return subset(rest, list(chosen), list(chosen.values())), settled


@dataclass
class _Places:
    """Where the older images are now.

    Attributes:
        samples: By their position in the scan; one whose file moved has the position of the new image that it is.
        names: The name of each now, and that in its own ``split.csv``.
        gone: The sha256 of those whose file is gone.
        replaced: How many are left out, since a new image is in their place.
        lost: Names of those whose file is gone and of which nothing is kept.
    """

    samples: dict[int, Sample] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    replaced: int = 0
    lost: list[str] = field(default_factory=list)

    def put(self, i: int, sample: Sample, name: str) -> None:
        """Put an image that is called ``name`` in its own ``split.csv`` at a position of the scan."""
        self.samples[i] = sample
        self.names[sample.name] = name


def _find_places(seen: Scan, older: Older, new: Mapping[int, Sample]) -> _Places:
    position = {sample: i for i, sample in enumerate(seen.samples)}
    content = {seen.sha256[i]: i for i in new}
    taken = {sample.name for sample in new.values()}
    recalled, unknown = set(seen.recalled), {skip.name for skip in seen.skips if skip.reason == GONE}
    places = _Places()
    for sample, digest in older.known.items():
        i, name = position.get(sample), older.names[sample.name]
        if i is not None and sample.name not in recalled:
            places.put(i, sample, name)
        elif i is None and sample.name not in unknown:
            continue  # left out by the scan, such as one that has two labels now
        elif digest in content:  # the file moved
            found = new[content.pop(digest)]
            places.put(position[found], replace(sample, path=found.path, name=found.name), name)
        elif sample.name in taken:
            places.replaced += 1
        elif i is not None:
            places.put(i, sample, name)
            places.gone.add(digest)
        else:
            places.lost.append(sample.name)
    return places


def _notes(run: str, *, repeated: int, replaced: int, gone: int) -> list[str]:
    told = {
        f"{repeated:,} of the images are in {run} already and stay in their part.": repeated,
        f"{replaced:,} images of {run} are left out: other images are in their place now.": replaced,
        f"The files of {gone:,} images of {run} are gone: what is kept of them stands for them.": gone,
    }
    return [sentence for sentence, count in told.items() if count]


def _lost(older: Older, names: Sequence[str]) -> RunError:
    return RunError(
        "Images of the run to extend are gone",
        where=older.run,
        expected="their files, or their kept features",
        got=f"neither of {len(names):,} ({first_five(list(names))})",
        hint="Put the files back, or train on all images that there are without --extend",
    )


# ---- model and figures --------------------------------------------------------------------------------------------


def prepare(extractor: FeatureExtractor, older: Older, seen: Scan, split: Split, *, way: str) -> None:
    """Make sure that older features can be used: the same stages and engine, and something kept of every image whose file is gone.

    Args:
        extractor: What gives the features.
        older: What is taken over.
        seen: The scan of old and new images.
        split: Their parts.
        way: The method: layers are trained on pictures, of which features are no substitute.

    Raises:
        RunError: They come from other stages of the network, or are kept no more; or layers are to be trained on images that are gone.
    """
    if way != "probe" and older.gone:
        raise RunError(
            "Images of the run to extend are gone",
            where=older.run,
            expected="their files, on which layers can be trained",
            got=f"{len(older.gone):,} of which only features are kept",
            hint="Put the files back, or leave out --method and --preset to fit a new head alone",
        )
    if extractor.parts != older.features:
        raise RunError(
            "The features of the run to extend are others",
            where=older.run,
            expected=", ".join(older.features),
            got=", ".join(extractor.parts),
            hint="Train on old and new images together without --extend",
        )
    if older.engine == extractor.reference.name:
        extractor.use_reference()
    lost: list[str] = []
    for part in SPLITS if older.gone else ():
        away = [i for i in split.index(part).tolist() if seen.sha256[i] in older.gone]
        kept = extractor.kept([seen.sha256[i] for i in away], exact=EXACT[part])
        lost += [seen.samples[i].name for i, there in zip(away, kept, strict=True) if not there]
    raise_all([_lost(older, lost)] if lost else [])


def extension(run: Path, older: Older, samples: Sequence[Sample], classes: Sequence[str], *, seed: int) -> dict[str, Any]:
    """Return what ``metrics.json`` says of the extension: where it comes from, what is new, and the older classes before and after.

    Reads the labels of judged images from stored predictions: only to be called when the run itself was judged.

    Args:
        run: The run folder of the new run.
        older: What was taken over.
        samples: All images.
        classes: All classes.
        seed: Of the bootstrap.
    """
    numbers = group_numbers([sample.group for sample in samples])
    groups = None if numbers is None else dict(zip((sample.name for sample in samples), numbers.tolist(), strict=True))
    files = [older.run / "predictions.csv", run / "predictions.csv"]
    judged = all(file.is_file() for file in files)
    return {
        "extended_from": str(older.run),
        "bundle": older.bundle,
        "added_classes": [name for name in classes if name not in older.classes],
        "images": {"earlier": len(older.names), "new": older.added},
        "earlier_images": compare_predictions(files[0], files[1], older.names, groups, seed=seed) if judged else None,
    }


def told(extended: dict[str, Any]) -> list[str]:
    """Return what the report says of an extension: where it comes from, and the older classes before and after."""
    run, earlier = Path(extended["extended_from"]).name, extended["earlier_images"]
    if earlier is None:
        return [f"This run extends {run}; no image was judged by both."]
    before, after = (earlier[side]["accuracy"]["value"] for side in ("before", "after"))
    gain = earlier["difference"]["accuracy"]
    return [
        f"This run extends {run}. On the {earlier['n']:,} images that both judged, accuracy was {before:.1%} before and is {after:.1%} "
        f"now: {gain['value']:+.1%}, 95 % interval {gain['low']:+.1%} to {gain['high']:+.1%}."
    ]
