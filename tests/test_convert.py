"""A module becomes an ONNX file that says nothing of the machine it was made on, and nothing is said meanwhile."""

from __future__ import annotations

import logging
import sys
import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper
from torch import nn

from seefit.bundle.runtime import open_session
from seefit.models.convert import _strip, quietly, write_onnx


def test_others_are_silent_and_our_own_output_comes_back(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    with quietly():
        print("chatter")
        print("more of it", file=sys.stderr)
        logging.getLogger("exporter").warning("and a warning")
        warnings.warn("old ways", DeprecationWarning, stacklevel=1)
    print("done")
    logging.getLogger("exporter").warning("heard again")
    assert (capsys.readouterr().out, caplog.messages) == ("done\n", ["heard again"])


def test_the_exporter_s_notes_are_removed_wherever_they_are() -> None:
    node = helper.make_node("Relu", ["a"], ["b"], doc_string="/somebody/net.py")
    value = helper.make_tensor_value_info("a", onnx.TensorProto.FLOAT, ["N"])
    model = helper.make_model(helper.make_graph([node], "net", [value], [helper.make_tensor_value_info("b", 1, ["N"])]))
    model.metadata_props.add(key="stack", value="/somebody")
    model.graph.node[0].metadata_props.add(key="stack", value="/somebody")
    _strip(model)
    assert b"somebody" not in model.SerializeToString()
    assert model.graph.node[0].op_type == "Relu"


@pytest.mark.slow
def test_a_module_answers_as_its_file_does_for_any_batch(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten()).eval()
    write_onnx(module, torch.zeros(2, 3, 8, 8), ["pixels"], ["flat"], tmp_path / "net.onnx")
    model = onnx.load(tmp_path / "net.onnx")
    assert [value.name for value in (*model.graph.input, *model.graph.output)] == ["pixels", "flat"]
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "N"
    pixels = torch.randn(5, 3, 8, 8)
    found = open_session(model, intra_threads=1).run(["flat"], {"pixels": pixels.numpy()})[0]
    np.testing.assert_allclose(found, module(pixels).detach().numpy(), rtol=0, atol=1e-5)
