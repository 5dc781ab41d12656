"""The registry: names, their nearest, and no torch."""

import subprocess
import sys

import pytest

from horosphere.config import Config
from horosphere.errors import InputError
from horosphere.recipes import get, names, recipe, registry


def test_every_recipe_is_whole():
    assert len(set(names())) == len(names())
    for name in names():
        row = get(name)
        assert row.name == name and row.config().recipe == name
        assert row.summary and row.source and row.status
        assert row.source == "ours" or row.deviations


def test_a_name_is_taken_once():
    with pytest.raises(ValueError, match="two recipes are called 'demo'"):
        recipe("demo", "another", status="")(Config)


def test_a_new_recipe_is_known(monkeypatch):
    monkeypatch.setattr(registry, "_recipes", {})
    assert recipe("mine", "a line", status="not run")(Config) is Config
    assert registry._recipes["mine"].config() == Config(recipe="mine")


@pytest.mark.parametrize(
    ("wrong", "right"), [("hyp-dino-cubs", "hyp-dino-cub"), ("hyp_vit_sop", "hyp-vit-sop"), ("dmo", "demo")]
)
def test_an_unknown_name_learns_the_nearest(wrong, right):
    with pytest.raises(InputError, match=rf"no recipe '{wrong}'; did you mean {right}\b.* lists them all"):
        get(wrong)


def test_a_name_like_no_other_learns_how_to_list_them():
    with pytest.raises(InputError, match=r"no recipe '0000' `horosphere recipes` lists them all"):
        get("0000")


def test_listing_recipes_loads_no_torch():
    program = (
        "import sys; from horosphere import recipes; "
        "print(len([recipes.get(name).config() for name in recipes.names()]), 'torch' in sys.modules, 'timm' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert answer.split() == [str(len(names())), "False", "False"]
