"""A timm encoder as the backbone of torchvision's detectors."""

from collections import OrderedDict
from typing import Any, Literal

import torch
from timm.layers import freeze_batch_norm_2d
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN, MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from ..errors import InputError
from ..models import Embedder, create_encoder

#: Strides of the feature maps that a pyramid is made of; a pooled one of 64 comes on top.
STRIDES = (4, 8, 16, 32)


class PyramidBackbone(nn.Module):
    """An encoder's feature maps through a feature pyramid (Lin et al. 2017).

    An encoder whose maps all have one stride, a vision transformer, gives its last map, rescaled to the pyramid's strides
    (the simple pyramid of Li et al. 2022). The encoder is taken as it is, with its weights; its pooling and final layers
    are not used.

    Args:
        encoder: a timm model, `Embedder.encoder` say.
        channels: of each level that comes out.

    Raises:
        InputError: for an encoder that does not give its feature maps, or none of the strides.
    """

    def __init__(self, encoder: Any, channels: int = 256):
        super().__init__()
        if not hasattr(encoder, "forward_intermediates") or not hasattr(encoder, "feature_info"):
            raise InputError(
                f"{type(encoder).__name__} does not give its feature maps (timm's forward_intermediates); expected an "
                "encoder that does, such as a ResNet, ConvNeXt, MobileNet or vision transformer"
            )
        maps = [(info["num_chs"], info["reduction"]) for info in encoder.feature_info]
        strides = {stride: i for i, (_, stride) in enumerate(maps)}  # the last map of each stride
        self.encoder, self.out_channels = encoder, channels
        self.rescale: nn.ModuleList | None = None
        if len(strides) == 1:
            width, stride = maps[-1]
            self.indices = [len(maps) - 1]
            self.rescale = nn.ModuleList(_rescaled(width, level / stride) for level in STRIDES)
            self.strides, widths = STRIDES, [width] * len(STRIDES)
        else:
            self.strides = tuple(stride for stride in STRIDES if stride in strides)
            self.indices = [strides[stride] for stride in self.strides]
            widths = [maps[i][0] for i in self.indices]
        if not self.indices:
            raise InputError(
                f"{type(encoder).__name__} has maps of the strides {sorted(strides)}; expected some of {STRIDES}"
            )
        self.pyramid = FeaturePyramidNetwork(widths, channels, LastLevelMaxPool())

    def forward(self, images: Tensor) -> "OrderedDict[str, Tensor]":
        """Normalised images (n, C, H, W) → maps by name, the finest first."""
        maps = self.encoder.forward_intermediates(images, indices=self.indices, intermediates_only=True)
        if self.rescale is not None:
            maps = [rescale(maps[-1]) for rescale in self.rescale]
        # In the usual layout: the encoder may work with the channels last, which the heads after it do not.
        return self.pyramid(OrderedDict((str(i), each.contiguous()) for i, each in enumerate(maps)))


def _rescaled(width: int, factor: float) -> nn.Module:
    """From a map of one stride to one `factor` times that stride, a power of 2."""
    if factor >= 1:
        return nn.MaxPool2d(int(factor)) if factor > 1 else nn.Identity()
    layers: list[nn.Module] = []
    while factor < 1:
        layers += [nn.ConvTranspose2d(width, width, 2, 2), nn.GroupNorm(1, width), nn.GELU()]
        factor *= 2
    return nn.Sequential(*layers)


def make_detector(
    model: Embedder,
    classes: int,
    *,
    task: Literal["detection", "segmentation"] = "detection",
    side: int = 800,
    longest: int = 1333,
    channels: int = 256,
    regions: int = 512,
    anchor: float = 8.0,
    batch_norms: Literal["frozen", "train"] = "frozen",
) -> FasterRCNN:
    """Faster R-CNN, or for segmentation Mask R-CNN, over a model's encoder, which is taken over and not copied.

    Vision transformers see images of any size by resampled position embeddings. The detector takes and gives what
    torchvision's do: a list of float images (C, H, W) in [0, 1], of any size; class 0 is the background. All of the encoder
    trains, but for frozen batch norms.

    Args:
        model: whose encoder and preprocessing to take.
        classes: number of classes, without background.
        task, side, longest, channels, regions, anchor: see `config.TransferConfig`.
        batch_norms: "frozen" as usual for trained weights; "train" for random ones.

    Raises:
        InputError: for a model without encoder, or one that cannot be a backbone.
    """
    if model.encoder is None or model.preprocessing is None:
        raise InputError("the model works on cached features and has no encoder; a detector needs one that sees images")
    encoder = _any_size(model).requires_grad_(True)
    if batch_norms == "frozen":
        encoder = freeze_batch_norm_2d(encoder)
    backbone = PyramidBackbone(encoder, channels)
    levels = (*backbone.strides, 2 * backbone.strides[-1])
    kind = MaskRCNN if task == "segmentation" else FasterRCNN
    detector = kind(
        backbone,
        classes + 1,
        min_size=side,
        max_size=longest,
        image_mean=list(model.preprocessing.mean),
        image_std=list(model.preprocessing.std),
        rpn_anchor_generator=AnchorGenerator(
            tuple((round(anchor * stride),) for stride in levels), ((0.5, 1.0, 2.0),) * len(levels)
        ),
        box_batch_size_per_image=regions,
    )
    _try(detector, model, side)
    return detector


def _any_size(model: Embedder) -> Any:
    """The encoder, which for a vision transformer is made anew, with the same weights, to take images of any size."""
    assert model.encoder_name is not None  # the caller looked
    if getattr(model.encoder, "dynamic_img_size", True):
        return model.encoder
    encoder, *_ = create_encoder(model.encoder_name, options=model.encoder_options | {"dynamic_img_size": True})
    encoder.load_state_dict(model.encoder.state_dict())
    return encoder


def _try(detector: FasterRCNN, model: Embedder, side: int) -> None:
    """One empty image through the backbone: an encoder of one fixed size would otherwise fail at the first batch."""
    assert model.preprocessing is not None  # the caller looked
    # Sides are padded to a multiple of 32.
    height, width = 32 * (side // 32 + 1), 32 * (side // 32 + 2)
    training = detector.training
    try:
        with torch.no_grad():
            detector.eval().backbone(torch.zeros(1, model.preprocessing.channels, height, width))
    except (AssertionError, RuntimeError, ValueError) as error:
        raise InputError(
            f"{model.encoder_name} cannot see images of {height} × {width} px, as a detector must ({error}); give "
            "an encoder that takes images of any size, such as a convolutional one"
        ) from None
    finally:
        detector.train(training)
