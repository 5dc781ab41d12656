"""Encoders: timm models without their classifiers, with the preprocessing that belongs to their weights."""

import difflib
import inspect
import math
import pickle
import re
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import timm
import torch
from safetensors import SafetensorError
from timm.data import resolve_model_data_config
from timm.models import load_state_dict
from torch import Tensor, nn

from ..data import Preprocessing
from ..errors import InputError
from .tensors import load_strictly

Freeze = Literal["patch", "norms", "none", "all"] | int

#: Options of `timm.create_model` that would reach the network or a file, or bring a classifier back.
RESERVED = {"pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir", "num_classes"}


def create_encoder(
    name: str,
    *,
    pretrained: bool = False,
    checkpoint: str | PathLike | None = None,
    options: Mapping[str, Any] | None = None,
) -> tuple[nn.Module, int, Preprocessing]:
    """A timm model that maps normalised images (n, C, H, W) to encodings (n, width), its width, and its preprocessing.

    The encoding is what timm gives with `num_classes=0`: for the papers' ViTs the [class] token, un-normalised (Hyp-ViT
    §4.1). Pin the tag of the weights (`"vit_small_patch16_224.augreg_in21k"`): timm's default tag may be other weights,
    and mean, std, interpolation and crop are read from the tag's own `pretrained_cfg`.

    Args:
        name: a name of `timm.list_models(include_tags=True)`, with or without tag.
        pretrained: fetch the tag's weights through timm; nothing is fetched otherwise.
        checkpoint: a local file of weights in timm's names, .safetensors, or .pth, .pt or .bin of plain tensors; any
            classifier in it is left out, half precision becomes float32, position embeddings are resampled where timm
            knows how.
        options: further arguments of the timm model, such as `{"img_size": 128}`.

    Raises:
        InputError: for a name, option or file that cannot be used, and for files that hold more than plain tensors.
    """
    options = dict(options or {})
    _check_name(name)
    if refused := sorted(RESERVED & options.keys()):
        raise InputError(
            f"encoder options {', '.join(refused)} are not for the encoder to take; expected arguments of the timm "
            "model itself, such as img_size; for weights use pretrained= or checkpoint="
        )
    if pretrained and checkpoint is not None:
        raise InputError(f"both pretrained=True and checkpoint={str(checkpoint)!r} are given; choose one source of weights")
    try:
        # Any, because timm's models have attributes that nn.Module does not declare.
        model: Any = timm.create_model(name, pretrained=pretrained, num_classes=0, **options)
    except OSError as error:
        raise InputError(
            f"cannot fetch the pretrained weights of {name!r}: {error} Connect to the network once, or download the "
            "file and pass it as checkpoint="
        ) from error
    except (AssertionError, RuntimeError, TypeError, ValueError) as error:
        raise InputError(
            f"timm cannot create {name!r} with pretrained={pretrained} and options {options}: {error}"
        ) from error
    if checkpoint is not None:
        _load_checkpoint(model, Path(checkpoint))
    # Convolutions follow the layout of their weights: with the channels last they take two thirds to three quarters of the
    # time on a CPU, and less than half in bfloat16; what has no convolutions but a patch embedding takes the same.
    model.to(memory_format=torch.channels_last)
    return model, model.head_hidden_size, _preprocessing(model, options)


def freeze_encoder(encoder: Any, freeze: Freeze) -> None:
    """Stop training a part of a timm model, by `requires_grad`.

    Args:
        encoder: the timm model.
        freeze: "patch", the patch embedding as in Hyp-ViT, which a convolutional network does not have (it then trains
            whole); "norms", the batch norms, which an Embedder then also keeps in eval mode: for folded or small-batch
            statistics; "none"; "all"; or n, everything before the blocks (patch, position and class embeddings, or a
            convolutional stem) and the first n of `encoder.blocks`.

    Raises:
        InputError: for another choice, or for more blocks than there are.
    """
    if freeze == "none":
        return
    if freeze == "all":
        encoder.requires_grad_(False)
    elif freeze == "patch":
        if isinstance(patch := getattr(encoder, "patch_embed", None), nn.Module):
            patch.requires_grad_(False)
    elif freeze == "norms":
        for module in encoder.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.requires_grad_(False)
    elif isinstance(freeze, int) and not isinstance(freeze, bool) and freeze >= 0:
        blocks: Any = getattr(encoder, "blocks", ())
        if not 0 < len(blocks) >= freeze:
            raise InputError(
                f"freeze={freeze} blocks, but {type(encoder).__name__} has {len(blocks) or 'no'} `blocks` to freeze; "
                "expected at most that many, or 'patch', 'norms', 'none' or 'all'"
            )
        blocks[:freeze].requires_grad_(False)
        stem = re.compile(encoder.group_matcher()["stem"])
        for name, parameter in encoder.named_parameters():
            if stem.match(name):
                parameter.requires_grad_(False)
    else:
        raise InputError(f"freeze={freeze!r}: expected 'patch', 'norms', 'none', 'all' or a number of blocks")


def _check_name(name: str) -> None:
    """Names come from timm's registry alone, so that a name can never point at a folder or a hub."""
    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        near = difflib.get_close_matches(architecture, timm.list_models(), n=3)
        hint = f"nearest: {', '.join(near)}" if near else "timm.list_models('*vit*') lists names"
        raise InputError(f"timm has no encoder {name!r}; {hint}")
    if tag and name not in (names := timm.list_models(f"{architecture}.*", include_tags=True)):
        raise InputError(
            f"timm has no weights {tag!r} for {architecture!r}; expected one of: {', '.join(names) or 'no tag'}"
        )


def _load_checkpoint(model: Any, path: Path) -> None:
    tensors = _read_checkpoint(path)
    # timm keeps its converters of foreign names and sizes beside each model family.
    if convert := getattr(inspect.getmodule(type(model)), "checkpoint_filter_fn", None):
        tensors = convert(tensors, model)
    classifiers = model.pretrained_cfg.get("classifier") or ()
    classifiers = (classifiers,) if isinstance(classifiers, str) else classifiers
    prefixes = tuple(f"{classifier}." for classifier in classifiers)
    load_strictly(model, {k: v for k, v in tensors.items() if not k.startswith(prefixes)}, f"checkpoint {str(path)!r}")


def _read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The tensors of a file, its averaged weights where it has both kinds."""
    if path.suffix not in (".safetensors", ".pth", ".pt", ".bin"):
        raise InputError(f"checkpoint {str(path)!r}: expected a .safetensors, .pth, .pt or .bin file of weights")
    if not path.is_file():
        raise InputError(f"checkpoint {str(path)!r} is not there; expected a file of weights")
    try:
        # weights_only is said here because older timm reads whole pickles by default.
        tensors = load_state_dict(str(path), weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, SafetensorError, EOFError, AttributeError) as error:
        raise InputError(
            f"checkpoint {str(path)!r} cannot be read as plain tensors, and nothing else is ever unpickled: "
            f"{str(error).splitlines()[0] if str(error) else type(error).__name__} "
            "Where you trust the file, load it yourself and save its state_dict with safetensors"
        ) from error
    if not tensors or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
        raise InputError(
            f"checkpoint {str(path)!r} holds {', '.join(map(str, list(tensors)[:4])) or 'nothing'}; expected "
            "tensors by name, bare or under 'state_dict' or 'model': save the encoder's own state_dict"
        )
    return tensors


def _preprocessing(model: nn.Module, options: Mapping[str, Any]) -> Preprocessing:
    config = resolve_model_data_config(model)
    size = options.get("img_size") or config["input_size"][-1]
    height, width = (size, size) if isinstance(size, int) else size
    if height != width:
        raise InputError(f"img_size={size}: images are cropped to squares; give one number")
    channels, mean, std = options.get("in_chans") or config["input_size"][0], config["mean"], config["std"]
    if channels != len(mean):
        mean, std = ((math.fsum(values) / len(values),) * channels for values in (mean, std))
    return Preprocessing(
        size=height,
        resize=math.floor(height / config["crop_pct"]),
        mean=mean,
        std=std,
        interpolation=config["interpolation"],
    )
