"""The Embedder: an encoder, heads and a space as one model, saved as one file."""

import json
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import version
from os import PathLike
from pathlib import Path
from typing import Any, Literal, Self

import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from ..data import Preprocessing, evaluation_view, normalise
from ..errors import InputError
from ..files import replacing
from ..spaces import Mixed, Space, from_description
from .encoders import Freeze, create_encoder, freeze_encoder
from .heads import Heads
from .tensors import load_strictly

#: Version of what `Embedder.describe` returns; a reader refuses others.
FORMAT = 1

WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"


class Embedder(nn.Module):
    """Images → encodings → features → points of a space (Hyp-ViT §3, HypMix §3).

    ```python
    model = Embedder("vit_small_patch16_224.dino", Sphere(), dim=128, pretrained=True)
    points = model(model.normalise(batch))              # to train: uint8 (n, 3, 224, 224) → (n, 128)
    points = model.encode(["a.jpg", "b.jpg"])           # to use: evaluation view, eval mode, no gradient
    model.save("model"); model = Embedder.load("model")
    ```

    Args:
        encoder: a timm name, with the tag of its weights; or None where the inputs are cached features (n, width).
        space: where the points live.
        dim: columns of a head's features; points have `space.dim(dim)`.
        heads: "shared", one head whose features every part of a mixture sees; "split", one head for each part.
        pretrained, checkpoint, encoder_options: weights and options of the encoder, as in `create_encoder`.
        freeze: what of the encoder does not train, as in `freeze_encoder`. Frozen modules also stay in eval mode,
            whatever `train` says, so that "all" keeps folded or running batch norms as they are.
        normalise_encoding: what an encoding goes through before the heads: "none", "l2" or "layer" (see `Heads`).
        layers: of a head, 1 or 2 (see `Heads`).
        width: columns of cached features; an encoder knows its own.
        preprocessing: in place of the weights' own, `dataclasses.replace(model.preprocessing, resize=256)` say; also
            `set_preprocessing` later. None without an encoder.

    Raises:
        InputError: for choices that contradict each other or cannot be made.
    """

    def __init__(
        self,
        encoder: str | None,
        space: Space,
        dim: int = 128,
        *,
        heads: Literal["shared", "split"] = "shared",
        pretrained: bool = False,
        checkpoint: str | PathLike | None = None,
        freeze: Freeze = "patch",
        normalise_encoding: Literal["none", "l2", "layer"] = "none",
        layers: Literal[1, 2] = 1,
        encoder_options: Mapping[str, Any] | None = None,
        width: int | None = None,
        preprocessing: Preprocessing | None = None,
    ):
        super().__init__()
        self.preprocessing: Preprocessing | None = None
        self.encoder: Any  # a timm model, whose attributes torch does not declare, or None
        if heads not in ("shared", "split"):
            raise InputError(f"heads={heads!r}; expected 'shared' or 'split'")
        if heads == "split" and (not isinstance(space, Mixed) or space.slices is not None):
            raise InputError(
                f"heads='split' gives each part of a mixture a head, but the space is {space.describe()}; "
                "expected a Mixed without slices, or heads='shared'"
            )
        space.dim(dim)  # says so early where a mixture's slices need more columns
        if encoder is None:
            given = {
                "pretrained": pretrained,
                "checkpoint": checkpoint is not None,
                "encoder_options": bool(encoder_options),
                "preprocessing": preprocessing is not None,
                "freeze": freeze not in ("patch", "none"),
            }
            if useless := [name for name, value in given.items() if value]:
                raise InputError(f"{', '.join(useless)} given, but there is no encoder (encoder=None); leave them out")
            if width is None:
                raise InputError("encoder=None means cached features; give width=, their number of columns")
            self.encoder = None
        else:
            if width is not None:
                raise InputError(f"width={width} is for cached features; {encoder!r} knows its own, leave it out")
            self.encoder, width, self.preprocessing = create_encoder(
                encoder, pretrained=pretrained, checkpoint=checkpoint, options=encoder_options
            )
            freeze_encoder(self.encoder, freeze)
        self.encoder_name, self.encoder_options = encoder, dict(encoder_options or {})
        self.width, self.dim, self.freeze = width, dim, freeze
        if preprocessing is not None:
            self.set_preprocessing(preprocessing)
        self.heads = Heads(
            width,
            dim,
            parts=len(space.parts) if isinstance(space, Mixed) and heads == "split" else None,
            normalise_encoding=normalise_encoding,
            layers=layers,
        )
        self.space = space
        self.train()

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.heads.parameters()).device

    def set_preprocessing(self, preprocessing: Preprocessing) -> None:
        """Take another preprocessing. Raises InputError where the encoder cannot take images of its size."""
        if self.preprocessing is None:
            raise InputError("a model without encoder takes cached features, which have no preprocessing")
        _check_size(preprocessing.size, self.preprocessing.size, self.encoder, self.encoder_options)
        self.preprocessing = preprocessing

    def train(self, mode: bool = True) -> Self:
        """Set training mode, except for modules of the encoder all of whose parameters are frozen."""
        super().train(mode)
        for module in () if self.encoder is None else self.encoder.modules():
            parameters = list(module.parameters())
            if parameters and not any(parameter.requires_grad for parameter in parameters):
                module.eval()
        return self

    def normalise(self, images: Tensor) -> Tensor:
        """uint8 images (n, C, H, W) → the floats that `forward` takes, on the model's device."""
        if self.preprocessing is None:
            raise InputError("a model without encoder takes cached features as they are, not images")
        return normalise(images.to(self.device, non_blocking=True), self.preprocessing)

    def forward(self, inputs: Tensor) -> Tensor:
        """Normalised images (n, C, H, W), or cached features (n, width), → points (n, `space.dim(dim)`)."""
        return self.embed(inputs)[1]

    def embed(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Encodings (n, width), un-normalised, and points of what `forward` takes, from one pass of the encoder.

        Raises:
            InputError: for uint8 images, or where encodings are not (n, width).
        """
        if not inputs.is_floating_point():
            raise InputError(f"inputs of {inputs.dtype}; expected floats: use model.normalise or model.encode")
        encodings = inputs if self.encoder is None else self.encoder(inputs)
        if not isinstance(encodings, Tensor) or encodings.ndim != 2 or encodings.shape[1] != self.width:
            what = tuple(encodings.shape) if isinstance(encodings, Tensor) else type(encodings).__name__
            raise InputError(f"encodings are {what}, expected (n, {self.width}); check the inputs and encoder_options")
        return encodings, self.place(encodings)

    def place(self, encodings: Tensor) -> Tensor:
        """Points of encodings (n, width)."""
        return self.space(self.heads(encodings))

    def encode(
        self,
        images: Tensor | Sequence[Image.Image | str | PathLike | bytes],
        head: bool = True,
        *,
        batch_size: int = 64,
    ) -> Tensor:
        """Points (n, `space.dim(dim)`) of images, or with `head=False` the encoder's own output (n, width).

        Runs in eval mode without gradient, then restores every module's mode. The result is on the model's device.

        Args:
            images: uint8 images (n, C, size, size); or PIL images, paths or encoded bytes, which get the evaluation
                view; or cached features (n, width) where there is no encoder.
            head: False for encodings, which the papers compare by cosine.
            batch_size: how many go through at once.

        Raises:
            InputError: for anything else, and for images that cannot be read.
        """
        with evaluating(self), torch.inference_mode():
            results = [self.embed(batch)[bool(head)] for batch in self._batches(images, batch_size)]
        # Joined outside inference mode: its own tensors could not enter a graph, a linear probe's say.
        return torch.cat(results)

    def _batches(self, images: Any, batch_size: int) -> Iterator[Tensor]:
        if isinstance(images, (str, bytes, PathLike, Image.Image)) or not hasattr(images, "__len__"):
            raise InputError(f"encode takes a batch, given: one {type(images).__name__}; put it in a list")
        if not len(images):
            raise InputError("encode: no images given")
        if (preprocessing := self.preprocessing) is None:
            if not (isinstance(images, Tensor) and images.is_floating_point()):
                raise InputError(f"a model without encoder takes features, a float tensor (n, {self.width})")
            yield from (batch.to(self.device) for batch in images.split(batch_size))
            return
        size, channels = preprocessing.size, preprocessing.channels
        if isinstance(images, Tensor):
            if images.dtype != torch.uint8 or images.shape[1:] != (channels, size, size):
                raise InputError(
                    f"images are {images.dtype} {tuple(images.shape)}; expected uint8 (n, {channels}, {size}, {size}): "
                    "pass images as they are in a list, or normalised floats to the model itself"
                )
            yield from (self.normalise(batch) for batch in images.split(batch_size))
            return
        for start in range(0, len(images), batch_size):
            views = [_view(image, preprocessing) for image in images[start : start + batch_size]]
            yield self.normalise(torch.stack(views))

    def parameter_groups(self, weight_decay: float) -> list[dict[str, Any]]:
        """Everything that trains, for an optimiser: all of it decays as published, except what the space learns.

        Groups are named "encoder", "head", or "head/PART" where each part has one, and "space". Biases and norms decay too
        (Hyp-ViT's published code); a log-curvature or weight that decayed would drift to a value that nobody chose.
        """
        split = isinstance(self.space, Mixed) and not self.heads.shared
        heads = [f"head/{name}" for name in self.space.names] if split else ["head"]
        modules = {"encoder": self.encoder, **dict(zip(heads, self.heads.linears, strict=True)), "space": self.space}
        groups = [
            {
                "name": name,
                "params": [parameter for parameter in module.parameters() if parameter.requires_grad],
                "weight_decay": 0.0 if name == "space" else weight_decay,
            }
            for name, module in modules.items()
            if module is not None
        ]
        return [group for group in groups if group["params"]]

    def without_encoder(self) -> "Embedder":
        """The same heads and space, sharing their tensors, for inputs that are encodings already."""
        model = Embedder(
            None,
            self.space,
            self.dim,
            heads="shared" if self.heads.shared else "split",
            normalise_encoding=self.heads.normalise_encoding,
            layers=self.heads.layers,
            width=self.width,
        )
        model.heads = self.heads
        return model.to(self.device)

    def describe(self) -> dict[str, Any]:
        """All choices as JSON-able values: with the tensors, all that there is to the model."""
        return {
            "format": FORMAT,
            "horosphere": version("horosphere"),
            "encoder": self.encoder_name,
            "encoder_options": self.encoder_options,
            "width": self.width,
            "dim": self.dim,
            "heads": "shared" if self.heads.shared else "split",
            "normalise_encoding": self.heads.normalise_encoding,
            "layers": self.heads.layers,
            "freeze": self.freeze,
            "space": self.space.describe(),
            "preprocessing": None if self.preprocessing is None else asdict(self.preprocessing),
        }

    def save(self, folder: str | PathLike) -> None:
        """Write `model.safetensors`, which alone is the model, and `model.json`, a copy of its description to read.

        The description travels inside the tensor file, and that file is replaced at once: whenever the process is
        killed, the folder holds the old model or the new one. Other files of the folder are left alone.
        """
        folder = Path(folder)
        try:
            description = json.dumps(self.describe())
        except TypeError as error:
            raise InputError(f"encoder_options={self.encoder_options} cannot be written as JSON: {error}") from error
        # Copies, because safetensors refuses tensors that share memory.
        tensors = {name: tensor.to("cpu", copy=True).contiguous() for name, tensor in self.state_dict().items()}
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(folder / WEIGHTS) as path:
            # Not save_file, which makes files that only their owner can read.
            path.write_bytes(save(tensors, metadata={"horosphere": description}))
        note = {"note": f"a copy to read; Embedder.load reads the one inside {WEIGHTS}"}
        with replacing(folder / DESCRIPTION) as path:
            path.write_text(json.dumps(note | json.loads(description), indent=2) + "\n")

    @classmethod
    def load(cls, folder: str | PathLike) -> Self:
        """The model that `save` wrote, on the CPU and in eval mode. Touches no network and executes nothing it reads.

        Raises:
            InputError: where there is no model, or it is damaged, or of a format that this version does not know.
        """
        path = Path(folder) / WEIGHTS
        if not path.is_file():
            raise InputError(f"no model in {str(folder)!r}: expected {WEIGHTS}, as Embedder.save writes it; check the path")
        try:
            with safe_open(path, "pt") as file:
                description = json.loads((file.metadata() or {}).get("horosphere", "null"))
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, a file is no mapping
        except (SafetensorError, OSError, json.JSONDecodeError) as error:
            raise InputError(f"{str(path)!r} is damaged or no safetensors file ({error}); save it anew") from error
        if not isinstance(description, dict):
            raise InputError(
                f"{str(path)!r} holds tensors but no horosphere model; for an encoder's weights use checkpoint="
            )
        if description.get("format") != FORMAT:
            raise InputError(
                f"{str(path)!r} has format {description.get('format')!r}, written by horosphere "
                f"{description.get('horosphere')}; this one reads format {FORMAT}: use that version"
            )
        try:
            # The weights drawn here are thrown away: let them not advance the caller's random numbers.
            with torch.random.fork_rng(devices=[]):
                model = cls._from_description(description)
        except InputError:
            raise
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"the description in {str(path)!r} is damaged ({error!r}); save the model anew") from error
        load_strictly(model, tensors, repr(str(path)))
        return model.eval()

    @classmethod
    def _from_description(cls, description: Mapping[str, Any]) -> Self:
        encoder, preprocessing = description["encoder"], description["preprocessing"]
        if preprocessing is not None:
            preprocessing = Preprocessing(**preprocessing)
        return cls(
            encoder,
            from_description(description["space"]),
            description["dim"],
            heads=description["heads"],
            freeze=description["freeze"],
            normalise_encoding=description["normalise_encoding"],
            layers=description.get("layers", 1),  # models saved before there was a choice
            encoder_options=description["encoder_options"],
            width=description["width"] if encoder is None else None,
            preprocessing=preprocessing,
        )


def _view(image: Any, preprocessing: Preprocessing) -> Tensor:
    name = "image"
    try:
        if isinstance(image, (str, PathLike)):
            name, image = str(image), Path(image).read_bytes()
        return evaluation_view(image, preprocessing, name=name)
    except OSError as error:
        raise InputError(f"cannot read the image {name!r}: {error.strerror}; check the path") from error
    except (TypeError, ValueError) as error:
        raise InputError(f"cannot take the image: {error}; expected PIL images, paths or encoded bytes") from error


@contextmanager
def evaluating(model: nn.Module) -> Generator[None]:
    """Eval mode, after which every module's mode is what it was, even where they differed."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def _check_size(size: int, own: int, encoder: Any, options: Mapping[str, Any]) -> None:
    """A vision transformer's position embeddings fit one size, which would otherwise show only at the first batch."""
    if size != own and encoder.pretrained_cfg.get("fixed_input_size") and not options.get("dynamic_img_size"):
        raise InputError(
            f"preprocessing makes images of {size} px, but the encoder takes {own} px; expected the same: "
            f"pass encoder_options={{'img_size': {size}}}"
        )
