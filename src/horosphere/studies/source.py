"""The model that a study is about."""

from .. import build
from ..config import DataConfig, ModelSource
from ..models import Embedder
from ..runs import Run
from ..spaces import Sphere


def load_model(source: ModelSource) -> Embedder:
    """A run's model; or an encoder as it is, under a head that nothing reads. On the CPU, in eval mode."""
    if source.run is not None:
        return Embedder.load(Run.open(source.run).model_path)
    model = Embedder(
        source.encoder,
        Sphere(),
        pretrained=source.pretrained,
        checkpoint=source.checkpoint,
        encoder_options=source.encoder_options,
    )
    assert model.preprocessing is not None  # an encoder has one
    changes = DataConfig(size=source.size, mean=source.mean, std=source.std)
    model.set_preprocessing(build.preprocessing(model.preprocessing, changes))
    return model.eval()
