"""The controls of a comparison: what they are worth rests on what they are equal to."""

import pytest
import torch
from safetensors.torch import load_file

import horosphere as hs
from horosphere import build, recipes
from horosphere.config import PartConfig
from horosphere.evaluation import cosine_agreement

from . import small


@pytest.mark.parametrize("heads", ["shared", "split"])
def test_a_mixture_of_weight_zero_is_the_sphere_to_the_bit(tmp_path, heads):
    # Dropout draws from the generator that also drew the second head, so with two heads there is none here.
    options = {"img_size": 16, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 2}
    model = {"heads": "shared", "encoder_options": options}
    sphere = small.config("sphere", model=model)
    parts = PartConfig("sphere"), PartConfig("hyperbolic", weight=0.0)
    mixture = small.config("sphere", model=model | {"heads": heads}, space={"parts": parts})
    runs = [
        hs.train(config, tmp_path / name, progress=False, page=False)
        for name, config in zip("ab", (sphere, mixture), strict=True)
    ]
    weights, others = (load_file(run.model_path / "model.safetensors") for run in runs)
    assert all(torch.equal(value, others[name]) for name, value in weights.items())
    alone, mixed = (run.report["rows"] for run in runs)
    assert {k: v for k, v in mixed["sphere"].items() if k != "meaning"} == {
        k: v for k, v in alone["sphere"].items() if k != "meaning"
    }
    assert mixed["mixture"]["map_at_r"] == alone["sphere"]["map_at_r"]
    assert [entry["loss"] for entry in runs[0].metrics()] == [entry["loss"] for entry in runs[1].metrics()]


@pytest.mark.parametrize("data", ["omniglot", "cub-features"])
def test_the_frozen_radius_is_cosine_in_disguise(data):
    space = build.space(recipes.get(f"{data}-frozen").config().space)
    points = space(torch.randn(200, 16, generator=torch.Generator().manual_seed(0)))
    agreement = cosine_agreement(space, points)
    assert agreement.in_disguise and agreement.rank_correlation == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("data", ["omniglot", "cub-features"])
@pytest.mark.parametrize("other", ["hyperbolic", "mixed", "frozen", "spheres", "mix-code", "mix-paper"])
def test_recipes_of_one_data_set_are_on_equal_terms(data, other):
    from horosphere.studies.contenders import contender, differences

    field = [contender(f"{data}-{name}", {}, None, (0.5, 1, 2, 4)) for name in ("sphere", other)]
    assert differences(field) == {}


@pytest.mark.parametrize("data", ["omniglot", "cub-features"])
def test_hypmix_as_its_code_and_its_paper_have_it(data):
    from horosphere.losses import hypmix

    for name, variant in (("mix-code", hypmix.code(3.0)), ("mix-paper", hypmix.paper(3.0))):
        config = recipes.get(f"{data}-{name}").config()
        assert build.space(config.space).describe() == variant.space.describe()
        assert config.model.heads == variant.heads
        assert config.loss.temperature == variant.loss.temperature
