"""An Embedder as one ONNX file that takes uint8 images, so that nobody can get the preprocessing wrong."""

import copy
import json
from os import PathLike
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..files import replacing
from .embedder import Embedder

#: Largest difference from torch that passes, relative to the largest coordinate.
TOLERANCE = 1e-4


class _Served(nn.Module):
    def __init__(self, model: Embedder):
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return self.model(self.model.normalise(images))


def export_onnx(model: Embedder, path: str | PathLike) -> float:
    """Write normalisation, encoder, heads and the placement in the space as one ONNX file.

    The file has one input, `images` uint8 (n, C, size, size) for any n, already resized and cropped (a model without
    encoder has `features` float32 (n, width)), and one output, `points` (n, `space.dim(dim)`). Its metadata holds
    `preprocessing`, `space` and `horosphere` (the whole description) as JSON. The model itself is left as it was.

    Returns:
        The largest absolute difference between torch's points and onnxruntime's, for random batches of 1 and 3.

    Raises:
        InputError: without the packages of the `onnx` extra.
        RuntimeError: where the difference exceeds 1e-4 of the largest coordinate; no file is written then.
    """
    try:
        import onnx  # noqa: F401
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise InputError(f"exporting to ONNX needs {error.name}; install it with: pip install 'horosphere[onnx]'") from error
    path = Path(path)
    model = copy.deepcopy(model).cpu().eval()
    if (preprocessing := model.preprocessing) is None:
        name, served = "features", model

        def batch(n: int) -> Tensor:
            return torch.randn(n, model.width, generator=generator)
    else:
        name, served = "images", _Served(model).eval()
        shape = (preprocessing.channels, preprocessing.size, preprocessing.size)

        def batch(n: int) -> Tensor:
            return torch.randint(0, 256, (n, *shape), dtype=torch.uint8, generator=generator)

    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        program = torch.onnx.export(
            served,
            (batch(2),),
            input_names=[name],
            output_names=["points"],
            dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
            dynamo=True,
            verbose=False,
        )
    assert program is not None  # dynamo=True returns one
    description = model.describe()
    program.model.metadata_props.update(
        {
            "horosphere": json.dumps(description),
            "preprocessing": json.dumps(description["preprocessing"]),
            "space": json.dumps(description["space"]),
        }
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        program.save(temporary, external_data=False)
        session = onnxruntime.InferenceSession(temporary, providers=["CPUExecutionProvider"])
        difference = 0.0
        for inputs in (batch(1), batch(3)):
            with torch.no_grad():
                expected = served(inputs)
            given = torch.from_numpy(session.run(["points"], {name: inputs.numpy()})[0])
            worst = float((given - expected).abs().max())
            if not worst <= TOLERANCE * float(expected.abs().max()):
                raise RuntimeError(
                    f"the ONNX file's points differ from torch's by {worst:.3g} where the largest coordinate is "
                    f"{float(expected.abs().max()):.3g}; expected at most {TOLERANCE:g} of it, so no file is written"
                )
            difference = max(difference, worst)
    return difference
