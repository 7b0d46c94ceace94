"""What resembles what: copies that the scan found, look-alikes that features find across parts and labels, and pictures unlike their class.

The labels of images that the model was judged on are not looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seefit.data.dataset import Sample
from seefit.data.fixes import Fix
from seefit.evaluation.lookalikes import embed, find_lookalikes
from seefit.evaluation.outliers import find_outliers
from seefit.insights.material import Material
from seefit.training.solver import Standardised

MOST = 200  # rows of each kind that the insight lists
MOST_NAMES = 5  # of a group of copies
Found = tuple[dict[str, Any] | None, list[Fix]]


@dataclass(frozen=True)
class Image:
    """One image of the run, with the part it is in and whether the model was judged on it."""

    sample: Sample
    sha256: str
    part: str
    judged: bool
    cluster: int

    def row(self) -> dict[str, Any]:
        """Return what the insight says of it."""
        label = {} if self.judged else {"label": self.sample.label}
        return {"path": self.sample.name, "sha256": self.sha256, "part": self.part, **label}

    def fix(self, action: str, reason: str, score: float) -> Fix:
        """Return a proposal about it."""
        return Fix(self.sample.name, self.sample.label or "", action, "", reason, score, self.sha256)


def find_copies(material: Material) -> Found:
    """Tell of copies that the scan found by bytes and by pixels.

    Returns:
        Numbers of groups and the first of them; proposals to remove copies that training saw, and to look at near-copies with several
        labels.
    """
    images = {image.sample.name: image for image in _images(material)}
    kinds = {
        kind: [[images[name] for name in group] for group in groups]
        for kind, groups in (("exact", material.scan.duplicates), ("near", material.scan.near_duplicates))
    }
    if not any(kinds.values()):
        return None, []
    fixes = [fix for kind, groups in kinds.items() for group in groups for fix in _copy_fixes(group, exact=kind == "exact")]
    found = {
        kind: {
            "groups": len(groups),
            "across_parts": sum(len({image.part for image in group}) > 1 for group in groups),
            "rows": [[image.row() for image in group[:MOST_NAMES]] for group in groups[:MOST]],
        }
        for kind, groups in kinds.items()
    }
    return found, fixes


def _copy_fixes(group: Sequence[Image], *, exact: bool) -> list[Fix]:
    """Keep the judged image of a group, or of exact copies the first; near-copies of one label in one part are nothing to correct."""
    seen = [image for image in group if not image.judged]
    kept = next((image for image in group if image.judged), seen[0] if exact else None)
    if kept is not None:
        what = "the same bytes as" if exact else "nearly the same picture as"
        return [
            image.fix("remove", f"{what} {kept.sample.name}, which is in the {kept.part} part", 1.0) for image in seen if image is not kept
        ]
    fixes = []
    for image in seen:
        other = next((other for other in seen if other.sample.label != image.sample.label), None)
        if other is not None:
            reason = f"nearly the same picture as {other.sample.name}, which is labelled {other.sample.label!r}"
            fixes.append(image.fix("look", reason, 1.0))
    return fixes


def find_strangers(material: Material) -> Found:
    """Look for look-alikes across parts and labels, and for outliers among the images that training saw, by features.

    Returns:
        ``lookalikes`` and ``outliers``, and proposals to look at them; None where there is nothing to compare.
    """
    images = _images(material)
    order = {part: [image for image in images if image.part == part] for part in ("train", "val", "test")}
    parts = {part: members for part, members in order.items() if members}
    points = _points(material, parts)
    images = [image for part in points for image in parts[part]]
    table = np.concatenate(list(points.values()))
    outliers, strange = _outliers(images, table, material.classes)
    alike, doubtful = _lookalikes(images, table)
    return {"lookalikes": alike, "outliers": outliers}, [*doubtful, *strange]


def _images(material: Material) -> list[Image]:
    scan, judged = material.scan, material.part
    aligned = zip(scan.samples, scan.sha256, material.split.parts, scan.clusters, strict=True)
    return [Image(sample, digest, part, part == judged, cluster) for sample, digest, part, cluster in aligned]


def _points(material: Material, parts: dict[str, list[Image]]) -> dict[str, NDArray[np.float32]]:
    """Return points of each part to compare; of the judged part only where its features are kept or its files are there."""
    # from scratch the probe is a random network, whose features say nothing
    extractor = (material.fitted if material.settings.from_scratch else material.probe).extractor
    features = material.features(material.train, extractor=extractor)
    scale = Standardised.of(features)
    points = {"train": embed(features, scale)}
    for part in [part for part in parts if part != "train"]:
        samples, digests = [image.sample for image in parts[part]], [image.sha256 for image in parts[part]]
        there = extractor.kept(digests)
        if all(kept or sample.path.is_file() for kept, sample in zip(there, samples, strict=True)):
            points[part] = embed(extractor.extract(samples, digests), scale)
    return points


def _outliers(images: Sequence[Image], points: NDArray[np.float32], classes: Sequence[str]) -> tuple[dict[str, Any], list[Fix]]:
    position = {name: i for i, name in enumerate(classes)}
    seen = [i for i, image in enumerate(images) if not image.judged]
    index, z = find_outliers(points[seen], np.array([position[images[i].sample.label or ""] for i in seen]))
    found = [(images[seen[i]], round(strange, 2)) for i, strange in zip(index.tolist(), z.tolist(), strict=True)]
    rows = [{**image.row(), "z": strange} for image, strange in found[:MOST]]
    reason = "least like the other pictures of its class"
    return {"looked": len(seen), "count": len(found), "rows": rows}, [image.fix("look", reason, strange) for image, strange in found]


def _lookalikes(images: Sequence[Image], points: NDArray[np.float32]) -> tuple[dict[str, Any], list[Fix]]:
    rows, fixes = [], list[Fix]()
    for pair in find_lookalikes(points, np.array([image.cluster for image in images])):
        one, other = images[pair.first], images[pair.second]
        across = one.part != other.part
        if across or (not one.judged and one.sample.label != other.sample.label):
            similarity = round(pair.similarity, 4)
            rows.append({"across": "parts" if across else "labels", "similarity": similarity, "images": [one.row(), other.row()]})
            fixes += [
                image.fix("look", f"very like {twin.sample.name} ({_where(twin)})", similarity)
                for image, twin in ((one, other), (other, one))
                if not image.judged
            ]
    return {"compared": len(images), "count": len(rows), "rows": rows[:MOST]}, fixes


def _where(image: Image) -> str:
    return f"in the {image.part} part" if image.judged else f"in the {image.part} part, labelled {image.sample.label!r}"
