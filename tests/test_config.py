import dataclasses

import pytest
import yaml

from horosphere import config as configs
from horosphere.config import Config, ModelConfig, OptimiserConfig, PartConfig, SpaceConfig
from horosphere.errors import InputError


def test_round_trip(tmp_path):
    config = Config(
        recipe="x",
        seed=3,
        model=ModelConfig(encoder=None, encoder_options={"img_size": 28, "flag": True, "name": "a", "rate": 0.5}, freeze=3),
        space=SpaceConfig((PartConfig("sphere"), PartConfig("hyperbolic", clip=None, radius=1.0)), learnable_weights=True),
    )
    configs.write(config, tmp_path / "config.yaml")
    assert configs.read(tmp_path / "config.yaml") == config


def test_the_default_survives_too(tmp_path):
    configs.write(Config(), tmp_path / "config.yaml")
    assert configs.read(tmp_path / "config.yaml") == Config()


def test_a_partial_config_takes_the_defaults(tmp_path):
    (tmp_path / "c.yaml").write_text("seed: 4\noptimiser: {lr: 1}\n")
    assert configs.read(tmp_path / "c.yaml") == Config(seed=4, optimiser=OptimiserConfig(lr=1.0))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("optimizer: {}", "unknown key 'optimizer'; did you mean 'optimiser'"),
        ("optimiser: {lrr: 1}", "did you mean 'optimiser.lr'"),
        ("optimiser: {lr: fast}", "optimiser.lr is 'fast'; expected a number"),
        ("batch: {chunk: 0}", "batch.chunk is 0; expected 1 or more, or nothing"),
        ("training: {steps: 0}", "training.steps is 0; expected 1 or more"),
        ("evaluation: {ks: [0]}", "evaluation.ks"),
        ("optimiser: {lr: -1}", "optimiser.lr is -1.0; expected a positive number"),
        ("seed: true", "seed is True; expected a whole number"),
        ("seed: 1.5", "expected a whole number"),
        ("model: {heads: both}", "one of shared, split"),
        ("space: {parts: [{kind: torus}]}", r"space.parts.0.kind is 'torus'"),
        ("space: {parts: {kind: sphere}}", "a list of"),
        ("model: [1]", "a section with the keys"),
        ("data: {augmentation: {scale: [0.2]}}", "a list of a number"),
        ("a: [", "not YAML"),
    ],
)
def test_mistakes_teach(tmp_path, text, words):
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(InputError, match=words):
        configs.read(tmp_path / "c.yaml")


def test_numbers_as_people_write_them(tmp_path):
    (tmp_path / "c.yaml").write_text("optimiser: {lr: 1e-5}")
    assert configs.read(tmp_path / "c.yaml").optimiser.lr == 1e-5


def test_a_missing_file_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="cannot read the config"):
        configs.read(tmp_path / "none.yaml")


def test_yaml_holds_every_field():
    assert list(yaml.safe_load(configs.to_yaml(Config()))) == [field.name for field in dataclasses.fields(Config)]
