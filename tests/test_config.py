import dataclasses

import pytest
import yaml

from horosphere import config as configs
from horosphere.config import Config, ModelConfig, OptimiserConfig, PartConfig, SpaceConfig, changed, flat
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
        ("kind: [scenes]", "is no config.*retrieval or scenes"),
        ("loss: {kind: [chest]}", "loss.kind is .*expected one of pairwise"),
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


def test_dotted_options_change_a_config():
    config = changed(Config(), {"loss.temperature": 1, "space.parts.0.curvature": 0.5, "data.options": {"train_classes": 3}})
    assert config.loss.temperature == 1.0 and config.space.parts[0].curvature == 0.5
    assert changed(config, {"data.options.train_classes": 4}).data.options == {"train_classes": 4}
    assert flat(config)["space.parts.0.curvature"] == 0.5 and flat(config)["data.options.train_classes"] == 3
    assert changed(Config(), {"loss": {"kind": "proxy-anchor", "scale": 16.0}}).loss.kind == "proxy-anchor"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"loss.temprature": 1.0}, "did you mean 'loss.temperature'"),
        ({"los.temperature": 1.0}, "did you mean 'loss'"),
        ({"space.parts.1.curvature": 1.0}, "1 is not one of the 1 entries"),
        ({"loss.temperature": "warm"}, "expected a number"),
        ({"seed.more": 1}, "has no 'more'"),
    ],
)
def test_dotted_options_that_are_not_there(options, words):
    with pytest.raises(InputError, match=words):
        changed(Config(), options)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("0.1", 0.1),
        ("3", 3),
        ("1e-5", 1e-5),
        ("true", True),
        ("null", None),
        ("[1, 2]", [1, 2]),
        ("a=b.zip", "a=b.zip"),
        ("e", "e"),
    ],
)
def test_values_of_a_command_line(text, read):
    assert configs.value(text) == read and type(configs.value(text)) is type(read)
