"""The fidelity plan that the options of `codeformer restore` make."""

from argparse import Namespace

import numpy as np
import pytest

from codeformer_core.command_line.fidelity import fidelity_plan
from codeformer_core.fidelity.mask import FidelityMask
from codeformer_core.fidelity.plan import FidelityPlan
from codeformer_core.fidelity.saved import write_plan


@pytest.mark.parametrize(("given", "expected"), [(None, 0.7), (0.2, 0.2), (0.0, 0.0)])
def test_the_weight_outside_that_is_given_stands_in_place_of_the_files(tmp_path, given, expected):
    mask = FidelityMask(values=np.zeros((2, 2)))
    write_plan(tmp_path / "plan.json", FidelityPlan(base=0.5, mask=mask, outside=0.7))
    args = Namespace(
        w_outside=given,
        w_mask=tmp_path / "mask.png",
        w_plan=tmp_path / "plan.json",
        fidelity=None,
        w_region=None,
        w_faces=None,
    )
    assert fidelity_plan(args, 0.5, tmp_path / "model.pth").outside == expected
