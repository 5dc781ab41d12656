"""ReaL's labels by the names of ImageNet's validation images."""

import json

import numpy as np
import pytest

from horosphere.data.real import real_counts, real_labels
from horosphere.errors import InputError


def test_counts_follow_the_number_in_the_name(tmp_path):
    path = tmp_path / "real.json"
    path.write_text(json.dumps([[], [970, 795], [230]]))
    names = ["n01/ILSVRC2012_val_00000002.JPEG", "ILSVRC2012_val_00000001.JPEG", "val/ILSVRC2012_val_00000003.JPEG"]
    assert real_counts(path, names).tolist() == [2, 0, 1]
    for strange in ("ILSVRC2012_val_00000004.JPEG", "ILSVRC2012_val_00000000.JPEG", "cat.jpg"):
        with pytest.raises(InputError, match="first " + strange.split(".")[0]):
            real_counts(path, [strange])


@pytest.mark.parametrize("text", ["{", "{}", "[1, 2]", '[["a"]]'])
def test_another_file_is_refused(tmp_path, text):
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(InputError, match=r"r\.json is not"):
        real_labels(tmp_path / "r.json")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="cannot read"):
        real_labels(tmp_path / "none.json")


def test_the_published_file(shared):
    counts = np.array([len(labels) for labels in real_labels(shared / "labels" / "real.json")])
    assert len(counts) == 50_000 and (counts == 0).sum() == 3_163 and counts.max() == 9
