"""A frozen encoder's output, computed once and kept between runs."""

import hashlib
import json
from dataclasses import asdict, replace

import numpy as np

from ..config import Config
from ..data import Failures, RetrievalData, load_arrays, save_arrays
from ..files import cache_folder
from ..models import Embedder, embed_data


def cached_encodings(
    model: Embedder, data: RetrievalData, config: Config, progress: bool = False
) -> tuple[RetrievalData, Failures]:
    """The data set with the encoder's output in place of its images, from the cache folder or computed into it.

    The cache's key is the encoder's weights and options, the preprocessing, and the images' names and fingerprint. Images
    that cannot be read are left out and listed; they may be readable next time, so only a whole set is kept.
    """
    path = cache_folder() / f"{_key(model, data)}.safetensors"
    if path.is_file():
        features = load_arrays(path, required=("features",))["features"]
        return replace(data, images=None, features=features), []
    embedded = embed_data(
        model,
        data,
        batch_size=config.evaluation.batch_size,
        workers=config.training.workers,
        progress="encoding" if progress else None,
    )
    features = embedded.encodings.numpy()
    if not embedded.failures:
        save_arrays(path, features=features)
    return replace(embedded.data, images=None, features=features), embedded.failures


def _key(model: Embedder, data: RetrievalData) -> str:
    preprocessing = model.preprocessing
    about = {
        "encoder": model.encoder_name,
        "options": model.encoder_options,
        "preprocessing": preprocessing and asdict(preprocessing),
        "ids": data.ids.tolist(),
        "images": data.images and data.images.fingerprint(),
    }
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name, tensor in model.encoder.state_dict().items():
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(tensor.cpu().numpy()).data)
    return digest.hexdigest()[:32]
