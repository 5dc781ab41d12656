import pytest

from horosphere import config as configs
from horosphere.config import ContrastConfig, SceneBatchConfig, SceneConfig, SceneDataConfig
from horosphere.errors import InputError


def test_a_file_says_only_what_differs(tmp_path):
    (tmp_path / "a.yaml").write_text("kind: scenes\noptimiser: {lr: 0.3}\ndata: {crops: {least: 28}}\n")
    config = configs.read(tmp_path / "a.yaml")
    assert isinstance(config, SceneConfig)
    assert (config.optimiser.name, config.optimiser.lr, config.optimiser.weight_decay) == ("sgd", 0.3, 1e-4)
    assert config.data.crops.least == 28 and config.contrast == ContrastConfig()
    configs.write(config, tmp_path / "b.yaml")
    assert configs.read(tmp_path / "b.yaml") == config


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("contrast: {curvature: 0}", "contrast.curvature is 0"),
        ("contrast: {temperature: 0}", "contrast.temperature is 0"),
        ("contrast: {hyperbolic_temperature: -1}", "contrast.hyperbolic_temperature is -1"),
        ("contrast: {weight: -1}", "contrast.weight"),
        ("contrast: {momentum: 2}", "contrast.momentum"),
        ("contrast: {clip: 0}", "contrast.clip"),
        ("contrast: {dense_share: 1}", "contrast.dense_share"),
        ("batch: {images: 30}", "batch.norm_groups"),
        ("batch: {images: 256}\ncontrast: {queue: 128}", "make the queue larger"),
        ("data: {regions: image}", "contrast.weight to 0"),
        ("contrast: {lambda: 0.1}", "unknown key 'contrast.lambda'"),
        ("training: {validate_every: 5}", "unknown key 'training.validate_every'"),
    ],
)
def test_values_out_of_range_are_refused(tmp_path, text, words):
    (tmp_path / "a.yaml").write_text(f"kind: scenes\n{text}\n")
    with pytest.raises(InputError, match=words):
        configs.read(tmp_path / "a.yaml")


def test_defaults_are_the_papers():
    config = SceneConfig()
    assert config.batch == SceneBatchConfig(128, 4) and config.data == SceneDataConfig()
    assert (config.contrast.weight, config.contrast.curvature, config.contrast.queue) == (0.1, 0.05, 65536)
