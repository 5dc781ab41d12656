"""Transfer to detection: the encoder fine-tuned inside a detector, and scored by COCO's average precision."""

import json
import math
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save
from torchvision.models.detection import FasterRCNN
from tqdm import tqdm

from .. import build, insight
from ..config import TransferConfig
from ..config import read as read_config
from ..config import write as write_config
from ..data import (
    SceneData,
    as_tensor,
    detection_batches,
    encode_masks,
    load_scenes,
    mapped,
    read_scene,
    run_lengths,
    usable_boxes,
    usable_images,
)
from ..errors import InputError
from ..evaluation import DetectionReport, Objects, average_precision
from ..files import from_root, replacing, write_text
from ..insight.figures import BLUE, ORANGE
from ..models import Embedder, create_encoder
from ..runs import Run
from ..training.checkpoint import State
from ..training.interrupt import Interrupt
from ..training.metrics import Metrics
from ..training.optimiser import decay
from ..training.steps import note_failures
from .detector import make_detector
from .source import load_model

DETECTOR, REPORT, PICTURE = "detector.safetensors", "transfer.json", "detections.png"
#: Shares of the steps after which the step schedule divides the rate by 10 (the 1× schedule's 8 and 11 of 12 epochs).
_DROPS = (8 / 12, 11 / 12)
#: Scenes shown, and the least score of a box that is drawn.
_SHOWN, _DRAWN = 6, 0.7


def transfer(config: TransferConfig, folder: str | Path | None = None, *, progress: bool = True) -> Path:
    """Fine-tune and score as the config says; returns the folder with transfer.json, detections.png and the detector.

    The folder, by default the first free runs/transfer, runs/transfer-2, …, also holds config.yaml, metrics.jsonl and, until
    it is finished, checkpoint.pt. On the CPU the same config ends in the same weights, stopped and resumed or not.

    Raises:
        InputError: for what cannot be, before anything is trained.
        KeyboardInterrupt: on Ctrl-C, after a checkpoint was written.
    """
    config = _rooted(config)
    study = _Study(config)
    run = Run.at(folder, "transfer")
    write_config(config, run.config_path)
    study.finish(run, progress)
    return run.folder


def resume_transfer(folder: str | Path, *, progress: bool = True) -> Path:
    """Go on with a transfer that was stopped; one that is finished comes back as it is."""
    run = Run.open(folder)
    config = read_config(run.config_path, {"transfer": TransferConfig})
    if not (run.folder / REPORT).is_file():
        _Study(config).finish(run, progress)
    return run.folder


def load_detector(folder: str | Path) -> FasterRCNN:
    """The fine-tuned detector of a transfer, on the CPU and in eval mode: torchvision's, to be called as such.

    Its classes, after the background, are `classes` of transfer.json.
    """
    folder = Path(folder)
    if not (folder / REPORT).is_file():
        raise InputError(f"{folder} holds no finished transfer: expected {REPORT}, as `horosphere transfer` writes it")
    config = read_config(Run.open(folder).config_path, {"transfer": TransferConfig})
    classes = json.loads((folder / REPORT).read_text(encoding="utf-8"))["classes"]
    detector = _detector(config, _model(config), len(classes))
    detector.load_state_dict(load_file(folder / DETECTOR))
    return detector.eval()


class _Study:
    """What a config means; all that can be wrong with it shows here."""

    def __init__(self, config: TransferConfig):
        self.config, self.device = config, build.device(config.device)
        data = load_scenes(config.data, config.layout)
        self.training, self.judged = data.select("train"), data.select(_judged_split(data))
        self.classes, self.masks = data.classes, config.task == "segmentation"
        if self.masks and data.masks is None:
            raise InputError(f"{data.name} has no masks, so nothing to segment: choose --task detection")
        for scenes in (self.training, self.judged):
            usable_images(scenes, self.masks)  # says where there are none
        # Early, and not after training: the extra is needed to score.
        average_precision([Objects(np.array([[0, 0, 1, 1]]), np.array([0]))], [_nothing(True)], ["object"])
        torch.manual_seed(config.seed)
        model = _model(config)
        assert model.preprocessing is not None  # a detector needs an encoder, which has one
        self.channels = model.preprocessing.channels
        self.detector = _detector(config, model, len(self.classes)).to(self.device)
        self.failures: dict[str, str] = {}

    def finish(self, run: Run, progress: bool) -> None:
        """Train to the end, from the checkpoint if there is one; judge, and write what was found."""
        if not (run.folder / DETECTOR).is_file():
            self._fit(run, progress)
            tensors = {name: tensor.to("cpu", copy=True).contiguous() for name, tensor in self.detector.state_dict().items()}
            with replacing(run.folder / DETECTOR) as temporary:
                temporary.write_bytes(save(tensors))
        self.detector.load_state_dict(load_file(run.folder / DETECTOR))
        positions, found = self._detect(progress)
        report = average_precision(
            [_truth(self.judged, i, self.masks) for i in positions], found, self.classes, masks=self.masks
        )
        with replacing(run.folder / PICTURE) as temporary:
            self._picture(positions, found).savefig(temporary, format="png")
        write_text(run.folder / REPORT, json.dumps(self._facts(report), indent=2) + "\n")
        run.checkpoint_path.unlink(missing_ok=True)

    def _fit(self, run: Run, progress: bool) -> None:
        config, detector = self.config, self.detector
        parameters = [parameter for parameter in detector.parameters() if parameter.requires_grad]
        optimiser = torch.optim.SGD(parameters, config.lr, momentum=0.9, weight_decay=config.weight_decay)
        state = State(None, run, {"detector": detector}, optimiser, self.failures)
        start = state.restore()
        batches = detection_batches(
            self.training,
            self.channels,
            batch_size=config.batch_size,
            masks=self.masks,
            start=start,
            stop=config.steps,
            workers=config.workers,
            seed=config.seed,
        )
        detector.train()
        hint = f"go on with: horosphere transfer --resume {run.folder}"
        bar = tqdm(total=config.steps, initial=start, unit="step", desc="training", disable=not progress, dynamic_ncols=True)
        with bar, Metrics(run, start) as metrics, Interrupt(hint) as interrupt:
            for place, scenes, failures in batches:
                step = place + 1
                note_failures(failures, self.failures)
                for group in optimiser.param_groups:
                    group["lr"] = config.lr * _rate(config, place)
                losses = detector(*self._inputs(scenes))
                value = torch.stack(list(losses.values())).sum()
                optimiser.zero_grad()
                value.backward()
                if config.clip_norm is not None:
                    torch.nn.utils.clip_grad_norm_(parameters, config.clip_norm)
                optimiser.step()
                bar.update()
                saves = step == config.steps or step % config.checkpoint_every == 0
                if step == config.steps or step % config.log_every == 0 or saves:
                    if not math.isfinite(value.item()):
                        raise InputError(
                            f"the loss is {value.item()} at step {step}: lower --lr; {run.folder} keeps its checkpoint"
                        )
                    bar.set_postfix(loss=f"{value.item():.3f}")
                    parts = {name: part.item() for name, part in losses.items()}
                    metrics.write(step, {"loss": value.item(), "lr": optimiser.param_groups[0]["lr"]} | parts)
                if saves or interrupt.requested:
                    state.save(step)
                if interrupt.requested:
                    raise KeyboardInterrupt(hint)

    def _inputs(self, scenes) -> tuple[list, list]:
        images = [scene.image.to(self.device).float() / 255 for scene in scenes]
        targets = []
        for scene in scenes:
            # 0 is the background.
            target = {"boxes": scene.boxes.to(self.device), "labels": scene.labels.to(self.device) + 1}
            targets.append(target if scene.masks is None else target | {"masks": scene.masks.to(self.device)})
        return images, targets

    def _detect(self, progress: bool) -> tuple[list[int], list[Objects]]:
        """Positions of the scenes that can be read, and what is found in each."""
        positions, found = [], []
        scenes = mapped(partial(read_scene, self.judged, channels=self.channels), len(self.judged), self.config.workers)
        bar = tqdm(scenes, total=len(self.judged), unit="img", desc="detecting", disable=not progress, dynamic_ncols=True)
        self.detector.eval()
        with torch.inference_mode():
            for position, pixels, error in bar:
                if error is not None:
                    note_failures([(error.name, error.reason)], self.failures)
                    continue
                (result,) = self.detector([as_tensor(pixels).to(self.device).float() / 255])
                result = {name: tensor.cpu().numpy() for name, tensor in result.items()}
                masks = encode_masks(result["masks"][:, 0] > 0.5) if self.masks else None
                positions.append(position)
                found.append(Objects(result["boxes"], result["labels"] - 1, result["scores"], masks))
        return positions, found

    def _picture(self, positions: list[int], found: list[Objects]):
        shown = np.linspace(0, len(positions) - 1, min(_SHOWN, len(positions))).round().astype(int)
        panels = []
        for i in shown:
            each, truth = found[i], _truth(self.judged, positions[i], False)
            boxes = [
                insight.BoxMark(box, f"{self.classes[label]} {score:.2f}", BLUE)
                for box, label, score in zip(each.boxes, each.labels, each.scores, strict=True)
                if score >= _DRAWN
            ]
            known = [insight.BoxMark(box, "", ORANGE, dashed=True) for box in truth.boxes]
            pixels = read_scene(self.judged, positions[i], self.channels)
            panels.append((pixels, Path(self.judged.ids[positions[i]]).name, [*known, *boxes]))
        return insight.box_sheet(panels)

    def _facts(self, report: DetectionReport) -> dict[str, Any]:
        config = self.config
        return {
            "horosphere": version("horosphere"),
            "model": config.describe(),
            "initial": config.initial,
            "task": config.task,
            "data": self.judged.name,
            "training_images": len(self.training),
            "judged_on": str(self.judged.split[0]),
            "steps": config.steps,
            "batch": config.batch_size,
            "side": config.side,
            "seed": config.seed,
            "classes": list(self.classes),
            "dropped": self.judged.dropped,
            "failures": {"count": len(self.failures), "first": dict(list(self.failures.items())[:20])},
            **report.to_dict(),
        }


def transfer_table(report: dict[str, Any]) -> str:
    """What transfer.json says, as text, in per cent."""
    rows = [(kind, report[key]) for kind, key in (("boxes", "box"), ("masks", "mask")) if report[key]]
    names = list(report["box"])
    width = max(8, *(len(name) for name in report["per_class"]))
    lines = [f"{report['model']}, {report['initial']}, {report['steps']} steps of {report['batch']}, {report['side']} px"]
    lines.append("  ".join([" " * width, *(f"{name:>9}" for name in names)]))
    lines += ["  ".join([f"{kind:<{width}}", *(_percent(values[name]) for name in names)]) for kind, values in rows]
    lines += ["", "  ".join([f"{'class':<{width}}", f"{'AP':>9}", f"{'AP50':>9}", f"{'objects':>9}"])]
    for name, values in sorted(report["per_class"].items(), key=lambda item: -item[1]["objects"]):
        lines.append(
            "  ".join([f"{name:<{width}}", *(_percent(values[key]) for key in ("AP", "AP50")), f"{values['objects']:9,}"])
        )
    lines.append(f"{report['objects']:,} objects in {report['images']:,} images of {report['data']} ({report['judged_on']})")
    if count := report["failures"]["count"]:
        lines.append(
            f"{count:,} images could not be read and are left out, first: {next(iter(report['failures']['first']))}"
        )
    return "\n".join(lines)


def _percent(value: float | None) -> str:
    return f"{'n/a':>9}" if value is None else f"{100 * value:9.1f}"


def _model(config: TransferConfig) -> Embedder:
    model = load_model(config)
    if config.initial == "random" and model.encoder_name is not None:
        model.encoder, *_ = create_encoder(model.encoder_name, options=model.encoder_options)
    return model


def _detector(config: TransferConfig, model: Embedder, classes: int) -> FasterRCNN:
    return make_detector(
        model,
        classes,
        task=config.task,
        side=config.side,
        longest=config.longest,
        channels=config.channels,
        regions=config.regions,
        anchor=config.anchor,
        batch_norms="train" if config.initial == "random" else "frozen",
    )


def _rate(config: TransferConfig, step: int) -> float:
    """Share of the learning rate at a step."""
    if step < config.warmup:
        return (step + 1) / (config.warmup + 1)
    return decay(config.schedule, step, config.steps, _DROPS)


def _judged_split(data: SceneData) -> str:
    for split in ("test", "validation"):
        if split in data.split:
            return split
    raise InputError(f"{data.name} has only training images; expected a test or validation split to score on")


def _truth(data: SceneData, i: int, masks: bool) -> Objects:
    keep = usable_boxes(data, i, masks)
    encoded = None
    if masks and data.masks is not None:
        encoded = [run_lengths(mask, data.sizes[i]) for mask, good in zip(data.masks[i], keep, strict=True) if good]
    return Objects(data.boxes[i][keep], data.labels[i][keep], None, encoded)


def _nothing(found: bool) -> Objects:
    return Objects(np.zeros((0, 4)), np.zeros(0, np.int64), np.zeros(0) if found else None)


def _rooted(config: TransferConfig) -> TransferConfig:
    """The config with whole paths, so that it can be resumed from another folder."""
    return replace(
        config, run=from_root(config.run), checkpoint=from_root(config.checkpoint), data=from_root(config.data) or ""
    )
