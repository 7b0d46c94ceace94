from __future__ import annotations

from typing import Any

import numpy as np

from seefit.bundle.unknown import LIMIT
from seefit.evaluation.conformal import SMALLEST


def test_without_a_validation_part_folds_tell_how_far_to_trust(seen: Any) -> None:
    material = seen(val=0)
    trust = material.trust
    assert (trust.source, trust.images) == ("folds", len(material.folds.labels))
    assert trust.sets is not None
    assert trust.familiar is not None
    assert material.bundle.sets is not None
    assert material.bundle.refuses


def test_the_graph_refuses_by_what_was_fitted(seen: Any) -> None:
    material = seen(val=0)
    head, features = material.fitted.head, material.judged_features
    expected = material.trust.familiar.scores(head.seen(features), head.logits(features))
    root = {sample.name: sample.path for sample in material.scan.samples}
    found = list(material.bundle.predictions([root[name] for name in material.judged.names]))
    np.testing.assert_allclose([prediction.unknown for prediction in found], expected, atol=1e-3)
    assert [prediction.none_of_these for prediction in found] == [bool(value > LIMIT) for value in expected]
    assert all(prediction.members and prediction.members[0] == prediction.label for prediction in found)


def test_too_few_images_tell_nothing(seen: Any) -> None:
    material = seen(val=0.1)
    assert 0 < len(material.val.samples) < SMALLEST
    assert (material.trust.source, material.trust.sets, material.trust.familiar) == ("", None, None)
    assert not material.bundle.refuses
