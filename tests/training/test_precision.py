"""What training computes in on processors."""

from types import SimpleNamespace

import pytest
import torch

from training import precision


@pytest.mark.skipif(torch.cuda.is_available(), reason="of processors")
@pytest.mark.parametrize(("multiplies", "taken"), [(False, "no"), (True, "bf16"), (None, "bf16")])
def test_bfloat16_is_taken_where_a_processor_multiplies_it(multiplies, taken, monkeypatch, caplog):
    asked = []
    monkeypatch.setattr(precision, "multiplies_bfloat16", lambda: multiplies)
    monkeypatch.setattr(
        precision, "Accelerator", lambda **options: asked.append(options) or SimpleNamespace(device=torch.device("cpu"))
    )
    precision.accelerator_for("bf16")
    assert [options["mixed_precision"] for options in asked] == [taken]
    assert ("training in float32" in caplog.text) is (taken == "no")
