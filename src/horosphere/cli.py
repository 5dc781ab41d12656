"""The command line. Every command is a dataclass of options and a function; torch is imported inside the functions."""

import dataclasses
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import Positional, arg

from . import config as configs
from . import recipes
from .config import (
    Config,
    DataConfig,
    DeltaConfig,
    EvaluationConfig,
    ExplainConfig,
    IndexConfig,
    ModelConfig,
    PointsConfig,
    Precision,
    ProbeConfig,
    SceneConfig,
    ScenesConfig,
    SearchConfig,
    ServeConfig,
    TransferConfig,
    is_points_file,
)
from .errors import InputError

HELP = """\
Horosphere: metric learning in mixed geometry.

usage: horosphere COMMAND ...

  recipes     list the recipes, a line each
  show        a recipe's whole config, and where it deviates from its paper
  train       train a recipe or a config, judge it, write a report
  evaluate    judge a run, an untrained encoder, or a file of points by retrieval
  embed       points of images, with a trained run, into a file
  index       make images searchable with a trained run: points, thumbnails and model in one folder
  search      the images nearest to a query, under each geometry
  serve       a page to search in, in the browser, and its JSON API
  report      judge a finished run again and rewrite its report.html
  explain     see what the geometry does, in numbers and pictures
  delta       how hyperbolic embeddings are, and the curvature that suggests
  compare     several recipes on equal terms, over seeds, with paired intervals
  sweep       a recipe over temperatures, curvatures, weights or any option, judged on validation
  probe       tell classes apart from a frozen encoder's output
  scenes      what radius and distance say about scenes and their objects
  transfer    fine-tune a run's encoder as a detector, scored by COCO's AP

First steps:

  horosphere train demo                  under three minutes on a laptop; ends with a table and a report
  horosphere train demo --help           every option of that recipe, with its value
  horosphere explain runs/demo           what its geometry does, as a page of pictures
  horosphere embed runs/demo photos/ -o points.npz
  horosphere index runs/demo             its images, searchable; then horosphere serve runs/demo/index

`horosphere COMMAND --help` explains a command. `horosphere --version` prints the version.
"""


def main(arguments: list[str] | None = None) -> int:
    """Run a command. Returns the exit status: 0, 2 for bad input, 130 after Ctrl-C."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(HELP, end="")
        return 0
    if arguments[0] == "--version":
        print(version("horosphere"))
        return 0
    name, *rest = arguments
    try:
        if name not in COMMANDS:
            raise InputError(f"there is no command {name!r}; there are: {', '.join(COMMANDS)}. See `horosphere --help`")
        COMMANDS[name](rest)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        print(f"\nstopped{f'; {stop}' if str(stop) else ''}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader, `head` say, has what it wanted.
        sys.stderr.close()
        return 0
    return 0


def _parse(options: type, command: str, arguments: list[str], default=None, description: str | None = None):
    """The options of a command from its arguments; `--help` and mistakes end the process, as tyro words them."""
    return tyro.cli(
        options,
        prog=f"horosphere {command}",
        description=description or options.__doc__,
        args=arguments,
        default=default if default is not None else tyro.MISSING_NONPROP,
    )


TRAIN_HELP = """\
usage: horosphere train RECIPE [--run FOLDER] [options]
       horosphere train --config FILE [--run FOLDER] [options]
       horosphere train --resume RUN

Trains, judges and reports. The run's folder holds config.yaml (reads back with --config), metrics.jsonl, model/,
report.json and report.html. A run that was stopped or killed goes on with --resume, to the same weights.

  horosphere recipes                     the recipes
  horosphere train RECIPE --help         every option of a recipe, with its value
  horosphere train demo --seed 1 --loss.temperature 0.1
  horosphere train demo --devices 2      two processes, one a device (or use torchrun)
"""


@dataclass
class TrainOptions:
    """Train this recipe with these options. `horosphere show RECIPE` prints its deviations from the paper."""

    config: Annotated[Config, arg(name="")]
    run: Path | None = None
    """Folder of the run; by default the first free runs/RECIPE, runs/RECIPE-2, ..."""


@dataclass
class SceneTrainOptions:
    """Train this recipe with these options. `horosphere show RECIPE` prints its deviations from the paper."""

    config: Annotated[SceneConfig, arg(name="")]
    run: Path | None = None
    """Folder of the run; by default the first free runs/RECIPE, runs/RECIPE-2, ..."""


def train(arguments: list[str]) -> None:
    """`horosphere train`."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(TRAIN_HELP, end="")
        return
    first, *rest = arguments
    if first in ("--resume", "--config") and not rest:
        raise InputError(f"{first} needs a path: horosphere train {first} {'RUN' if first == '--resume' else 'FILE'}")
    if first == "--resume":
        if rest[1:]:
            raise InputError(f"a resumed run keeps its own config; leave out: {' '.join(rest[1:])}")
        _finish(_resume(Path(rest[0])))
        return
    if first == "--config":
        config, rest = configs.read(Path(rest[0])), rest[1:]
        what = f"--config {arguments[1]}"
    elif first.startswith("-"):
        raise InputError("start with a recipe, --config FILE or --resume RUN: horosphere train RECIPE [options]")
    else:
        config, what = recipes.get(first).config(), first
    start = SceneTrainOptions(config) if isinstance(config, SceneConfig) else TrainOptions(config)
    options = _parse(type(start), f"train {what}", rest, start)
    from .training import train

    _finish(train(options.config, options.run))


def _resume(folder: Path):
    from .runs import Run

    run = Run.open(folder)
    if run.finished:
        print(f"{folder} is finished: there is nothing to resume")
        return run
    from .training import resume

    return resume(folder)


def _finish(run) -> None:
    """Print a run's table. Under several processes only the first one has a report to print."""
    from .processes import is_first_process

    if is_first_process():
        _print_report(run)


def _print_report(run) -> None:
    from .report import text_table

    print(f"\n{text_table(run.report)}\n\nrun     {run.folder}\nreport  {run.page_path}")


@dataclass
class EvaluateOptions:
    """Judge by retrieval: a run (horosphere evaluate RUN), an untrained encoder (--encoder NAME --data ...), or points
    (horosphere evaluate points.npz, as `horosphere embed` writes them or with arrays points and labels)."""

    target: Positional[Path | None] = None
    """A run's folder, or a file of points (.npz or .safetensors)."""
    encoder: str | None = None
    """A timm encoder to judge by cosine, instead of a run."""
    encoder_options: dict[str, int | float | bool | str] = field(default_factory=dict)
    """Options of timm.create_model."""
    checkpoint: str | None = None
    """A local file of the encoder's weights."""
    pretrained: bool = False
    """Fetch the encoder's pretrained weights through timm."""
    data: str | None = None
    """Folder, zip or file of the data set; a run knows its own."""
    layout: str = "auto"
    """How the data set is laid out."""
    layout_options: dict[str, int | str] = field(default_factory=dict)
    """Options of --data's layout, such as train_classes 80 (see data.options of a config)."""
    split: Literal["test", "validation"] | None = None
    """What to judge on: the test images (or query and gallery), or the held-out training classes. By default what the run
    was judged on, or test."""
    size: int | None = None
    """Side of the square input, with --encoder."""
    resize: int | None = None
    """Shorter side before the centre crop, with --encoder."""
    mean: tuple[float, ...] | None = None
    """Channel means of the input, with --encoder; by default what its weights ask for."""
    std: tuple[float, ...] | None = None
    """Channel standard deviations, with --encoder."""
    points: Annotated[PointsConfig, arg(name="")] = field(default_factory=PointsConfig)
    ks: tuple[int, ...] | None = None
    """Recall@K; by default the run's own, or 1 2 4 8."""
    bootstrap: int = 1000
    """Draws of classes behind the confidence intervals."""
    per_query: Path | None = None
    """A CSV to write, with a line a query."""
    json: Path | None = None
    """A JSON file to write the numbers to."""
    batch_size: int = 64
    precision: Precision | None = None
    """What the encoder computes in; by default what the run was judged in, or 32-true."""
    workers: int = 2
    device: str = "auto"
    """auto, cpu or cuda."""


def evaluate(arguments: list[str]) -> None:
    """`horosphere evaluate`."""
    options = _parse(EvaluateOptions, "evaluate", arguments)
    if (options.target is None) == (options.encoder is None):
        raise InputError("give one thing to judge: a run, a file of points, or --encoder NAME")
    _refuse_useless(options)
    from . import build, report
    from .runs import Run

    evaluation = EvaluationConfig(
        judge=options.split or "test",
        ks=options.ks or (1, 2, 4, 8),
        bootstrap=options.bootstrap,
        batch_size=options.batch_size,
        precision=options.precision or "32-true",
    )
    where = {"device": options.device, "workers": options.workers}
    data = DataConfig(
        layout=options.layout,
        root=options.data,
        options=options.layout_options,
        size=options.size,
        resize=options.resize,
        mean=options.mean,
        std=options.std,
    )
    if options.encoder is not None:
        model = ModelConfig(options.encoder, options.encoder_options, options.pretrained, options.checkpoint)
        judgement = report.evaluate_encoder(model, data, evaluation, **where)
    elif is_points_file(options.target):
        judgement = report.evaluate_points(options.target, evaluation, options.points)
    else:
        run = Run.open(options.target)
        on_scenes = isinstance(run.config, SceneConfig)
        own = EvaluationConfig() if on_scenes else run.retrieval.evaluation
        if options.split == "validation" and own.judge == "test" and not options.data:
            raise InputError(f"{options.target} trained on all training classes, so none is held out: judge it on test")
        evaluation = replace(
            evaluation,
            judge=options.split or own.judge,
            ks=options.ks or own.ks,
            rank_by=own.rank_by,
            precision=options.precision or own.precision,
        )
        moved = None
        if options.data:
            moved = build.data_config(run.config, options.data, options.layout, options.layout_options)
        judgement = report.evaluate_run(run, evaluation, data=moved, **where)
    print(report.text_table(judgement.to_dict()))
    if options.per_query:
        report.write_per_query(options.per_query, judgement)
        print(f"\nper query  {options.per_query}")
    if options.json:
        _write_json(options.json, judgement.to_dict())


def _write_json(path: Path, values: dict) -> None:
    import json

    from .files import write_text

    write_text(path, json.dumps(values, indent=2) + "\n")
    print(f"\nnumbers  {path}")


#: What each kind of target reads, beside what they all do.
EVERYWHERE = {"target", "points", "ks", "bootstrap", "per_query", "json"}
EVALUATE_READS = {
    "a run": {"data", "layout", "layout_options", "split", "batch_size", "precision", "workers", "device"},
    "a file of points": {"space", "curvature", "clip"},
    "an encoder": {"encoder", "encoder_options", "checkpoint", "pretrained", "data", "layout", "layout_options", "split"}
    | {"size", "resize", "mean", "std", "batch_size", "precision", "workers", "device"},
}


def _refuse_useless(options: EvaluateOptions) -> None:
    """An option that the target does not read would silently do nothing."""
    kind = "an encoder" if options.encoder else "a file of points" if is_points_file(options.target) else "a run"
    reads = EVERYWHERE | EVALUATE_READS[kind]
    if kind == "a run" and options.data is None:
        reads -= {"layout", "layout_options"}
    values, default = ({**_given(each), **_given(each.points)} for each in (options, EvaluateOptions()))
    useless = [name.replace("_", "-") for name in values if name not in reads and values[name] != default[name]]
    if useless:
        raise InputError(f"--{', --'.join(useless)} would do nothing here: {kind} is judged without; leave it out")


@dataclass
class EmbedOptions:
    """Embed images with a trained run: one row of points an image, into .npz or .safetensors.

    The file holds points, ids and the space, and with a labelled layout labels and classes, so that
    `horosphere evaluate` and Embedder's space read it back."""

    run: Positional[Path]
    """The run's folder."""
    images: Positional[Path]
    """A folder or zip of images, one image, or with --layout a labelled data set."""
    output: Annotated[Path, arg(aliases=["-o"])]
    """The file to write, .npz or .safetensors."""
    layout: str | None = None
    """Read the images as a labelled data set: auto, cub, cars, sop, inshop, omniglot, folder, table or features."""
    layout_options: dict[str, int | str] = field(default_factory=dict)
    """With --layout: its options, such as train_classes 80."""
    split: Literal["all", "train", "test"] = "all"
    """With --layout: which images."""
    encoding: bool = False
    """Write the encoder's own output, as features, instead of points."""
    batch_size: int = 64
    precision: Precision = "32-true"
    """What the encoder computes in; bf16-mixed is faster where the processor or GPU knows bfloat16."""
    workers: int = 2
    device: str = "auto"
    """auto, cpu or cuda."""


def embed(arguments: list[str]) -> None:
    """`horosphere embed`."""
    options = _parse(EmbedOptions, "embed", arguments)
    if options.output.suffix not in (".npz", ".safetensors"):
        raise InputError(f"-o {options.output}: expected a name that ends in .npz or .safetensors")
    from .report import embed_to_file
    from .report.document import printable
    from .runs import Run

    choices = _given(options)
    embedded = embed_to_file(Run.open(choices.pop("run")), choices.pop("images"), choices.pop("output"), **choices)
    for name, reason in embedded.failures[:20]:
        print(printable(f"skipped {name}: {reason}"), file=sys.stderr)
    print(f"{len(embedded.points):,} images embedded, {len(embedded.failures):,} skipped  {options.output}")


@dataclass
class ReportOptions:
    """Judge a trained run again, and write report.json, report.html and the pictures anew."""

    run: Positional[Path]
    """The run's folder."""
    workers: int = 2
    device: str = "auto"
    """auto, cpu or cuda."""


def report(arguments: list[str]) -> None:
    """`horosphere report`."""
    options = _parse(ReportOptions, "report", arguments)
    from .report import rewrite_report, rewrite_scene_report
    from .runs import Run

    run = Run.open(options.run)
    rewrite = rewrite_scene_report if isinstance(run.config, SceneConfig) else rewrite_report
    rewrite(run, device=options.device, workers=options.workers)
    _print_report(run)


def index(arguments: list[str]) -> None:
    """`horosphere index`."""
    config = _parse(IndexConfig, "index", arguments)
    from .collection import build
    from .report.document import printable

    made = build(config)
    for name, reason in made.failures[:20]:
        print(printable(f"skipped {name}: {reason}"), file=sys.stderr)
    rate = f" at {made.added / made.seconds:,.0f} images a second" if made.added else ""
    counts = {"were there already": made.known, "got metadata": made.updated, "pruned": made.pruned}
    others = "".join(f", {count:,} {what}" for what, count in counts.items() if count)
    print(f"{made.added:,} images embedded and added{rate}, {len(made.failures):,} skipped{others}")
    print(f"{made.sentence}\n\nitems   {made.items:,}\nfolder  {made.folder}\nsearch  horosphere serve {made.folder}")


def search(arguments: list[str]) -> None:
    """`horosphere search`."""
    config = _parse(SearchConfig, "search", arguments)
    from .collection import Collection, about_text, search
    from .index import read_token

    with Collection.open(config.index, device=config.device, token=read_token(config.token_file)) as collection:
        if config.about:
            print(about_text(collection))
        answers = search(collection, config)
    if answers:
        print("\n" * config.about + "\n\n".join(answer.text() for answer in answers))
    if config.json:
        _write_json(config.json, {"answers": [answer.to_dict() for answer in answers]})


def explain(arguments: list[str]) -> None:
    """`horosphere explain`."""
    options = _parse(ExplainConfig, "explain", arguments)
    from .explanation import explain

    document, folder = explain(options)
    print(f"{document.text()}\n\nreport  {folder / 'report.html'}")


@dataclass
class CompareOptions:
    """Compare recipes at equal data, encoder, batch, steps and number of choices.

    Each recipe tries its choices (by default half, one, two and four times its temperature) on held-out training classes.
    With the best it trains on all training classes, once a seed, and is judged on the test classes. The folder gets
    study.json, compare.md and compare.html: means over seeds, differences to a reference, paired, with 95 % intervals and
    Holm's correction. The same command goes on with a study that was stopped or killed, and extends one by more seeds."""

    recipes: Positional[tuple[str, ...]]
    """Names of recipes, or config files (.yaml)."""
    study: Path
    """The study's folder."""
    seeds: int = 5
    """Seeds of the runs that are judged on test: 0, 1, ..."""
    reference: str | None = None
    """The recipe that the others are held against; by default the first."""
    set: Annotated[tuple[str, ...], arg(metavar="OPTION=VALUE ...")] = ()
    """Options that all recipes get, such as training.steps=200 data.root=omniglot.zip."""
    choose: Annotated[tuple[str, ...], arg(metavar="OPTION=VALUE,VALUE ...")] = ()
    """What every recipe chooses from, such as loss.temperature=0.1,0.2; by default the recipe's own choices."""
    factors: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0)
    """What a recipe without choices of its own tries: multiples of its temperature. 1 alone: nothing to choose."""
    choose_steps: int | None = None
    """Training steps of the runs that choose; by default the recipe's."""
    choose_seeds: int = 1
    """Seeds of each choice; the mean decides."""
    processes: int = 1
    """Runs at a time. On a CPU as many as there are cores is fastest for small models; with GPUs, as many as there are."""
    threads: int | None = None
    """torch's threads of each process; by default the processes share the cores."""
    allow_differences: bool = False
    """Compare although data, encoder, head width, batch, steps or number of choices differ."""


def compare(arguments: list[str]) -> None:
    """`horosphere compare`."""
    choices = _given(_parse(CompareOptions, "compare", arguments))
    settings = {name: configs.value(text) for name, text in _pairs(choices.pop("set")).items()}
    choose = {
        name: [configs.value(part) for part in text.split(",")] for name, text in _pairs(choices.pop("choose")).items()
    }
    names, folder = choices.pop("recipes"), choices.pop("study")
    from . import studies

    result = studies.compare(names, folder, settings=settings, choose=choose or None, **choices)
    print(f"{studies.comparison_document(result).text()}\n\nstudy  {folder}\npage   {folder / 'compare.html'}")


@dataclass
class SweepOptions:
    """Train a recipe with many settings, each judged on held-out training classes: sweep.html has curves and a table.

    Values (--temperature 0.05 0.1 0.2) make a grid, which is trained whole. A range (--temperature 0.05:1 log) is searched
    by Optuna with --trials settings. The same command goes on with a sweep that was stopped or killed, and extends one by
    more values, trials or seeds. Settings that cannot be trained are recorded as failed."""

    recipe: Positional[str]
    """A recipe's name, or a config file (.yaml)."""
    study: Path
    """The study's folder."""
    temperature: tuple[str, ...] = ()
    """loss.temperature."""
    curvature: tuple[str, ...] = ()
    """Of all hyperbolic parts."""
    weight: tuple[str, ...] = ()
    """Of the last part, such as HypMix's lambda."""
    dim: tuple[str, ...] = ()
    """Width of the heads."""
    batch: tuple[str, ...] = ()
    """Images a batch, as multiples of batch.images."""
    set: Annotated[tuple[str, ...], arg(metavar="OPTION=VALUE,VALUE ...")] = ()
    """Any option: values (optimiser.lr=1e-3,3e-3), a range (optimiser.lr=1e-4:1e-2,log), or one value for all runs."""
    trials: int | None = None
    """How many settings to try in ranges."""
    one_at_a_time: bool = False
    """Vary each option alone, the others as in the recipe, instead of all combinations."""
    sphere: bool = False
    """One sphere in place of the recipe's space as well, over the same temperatures."""
    learn: tuple[Literal["curvature", "weights"], ...] = ()
    """In addition, learn these instead of searching them."""
    seeds: int = 1
    """Runs of each setting, with the seeds from the recipe's own on; curves get bands."""
    processes: int = 1
    """Runs at a time. On a CPU as many as there are cores is fastest for small models; with GPUs, as many as there are."""
    threads: int | None = None
    """torch's threads of each process; by default the processes share the cores."""


def sweep(arguments: list[str]) -> None:
    """`horosphere sweep`."""
    choices = _given(_parse(SweepOptions, "sweep", arguments))
    axes = {name: text for name in ("temperature", "curvature", "weight", "dim", "batch") if (text := choices.pop(name))}
    settings = {}
    for name, text in _pairs(choices.pop("set")).items():
        # Paths and lists have commas and colons too.
        if name not in ("data.root", "model.checkpoint") and not text.startswith("[") and ("," in text or ":" in text):
            axes[name] = text
        else:
            settings[name] = configs.value(text)
    recipe, folder = choices.pop("recipe"), choices.pop("study")
    from . import studies

    result = studies.sweep(recipe, folder, axes, settings=settings, **choices)
    print(f"{studies.sweep_document(result).text()}\n\nstudy  {folder}\npage   {folder / 'sweep.html'}")


def _given(options) -> dict:
    """The values of a command's options."""
    return {field.name: getattr(options, field.name) for field in dataclasses.fields(options)}


def _pairs(pairs: tuple[str, ...]) -> dict[str, str]:
    """OPTION=TEXT as option → text."""
    found = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not (name and equals):
            raise InputError(f"{pair!r}: expected OPTION=VALUE, as in training.steps=200")
        found[name] = text
    return found


@dataclass
class RecipesOptions:
    """List the recipes, a line each."""


def list_recipes(arguments: list[str]) -> None:
    """`horosphere recipes`."""
    _parse(RecipesOptions, "recipes", arguments)
    known = [recipes.get(name) for name in recipes.names()]
    width = max(len(recipe.name) for recipe in known)
    for recipe in known:
        print(f"{recipe.name:<{width}}  {recipe.summary}")


@dataclass
class ShowOptions:
    """Print a recipe's source, its deviations from the paper, and its whole config as YAML.

    The output as a whole is a valid config: `horosphere show demo > my.yaml`, then `horosphere train --config my.yaml`."""

    recipe: Positional[str]
    """The recipe's name."""


def show(arguments: list[str]) -> None:
    """`horosphere show`."""
    recipe = recipes.get(_parse(ShowOptions, "show", arguments).recipe)
    print(f"# {recipe.name}: {recipe.summary}\n# source: {recipe.source}\n# status: {recipe.status}")
    for deviation in recipe.deviations:
        print(f"# deviation: {deviation}")
    print(configs.to_yaml(recipe.config()), end="")


def probe(arguments: list[str]) -> None:
    """`horosphere probe`."""
    config = _parse(ProbeConfig, "probe", arguments)
    from .studies import probe, probe_table

    report = probe(config)
    print(probe_table(report))
    if config.json:
        _write_json(config.json, report)


def delta(arguments: list[str]) -> None:
    """`horosphere delta`."""
    config = _parse(DeltaConfig, "delta", arguments)
    from .studies import delta_table, measure_deltas

    rows = measure_deltas(config)
    print(delta_table(rows).text())
    for row in rows:
        if row.failures:
            print(
                f"{len(row.failures):,} images of {row.data} could not be read and are left out, first: {row.failures[0][0]}"
            )
    print("\nrelative δ: 0 is a tree, 1 the least hyperbolic; c = (0.144/δ)², for the ball of sectional curvature −c")
    if config.json:
        _write_json(config.json, {"rows": [row.to_dict() for row in rows]})


@dataclass
class ScenesOptions:
    """What `horosphere scenes` is told."""

    config: Annotated[ScenesConfig, arg(name="")]
    output: Annotated[Path | None, arg(aliases=["-o"])] = None
    """Folder to write to; by default scenes/ in the run's folder, or the first free runs/scenes, runs/scenes-2, ..."""


def scenes(arguments: list[str]) -> None:
    """`horosphere scenes`."""
    options = _parse(ScenesOptions, "scenes", arguments, description=ScenesConfig.__doc__)
    from .studies import scenes

    document, folder = scenes(options.config, options.output)
    print(f"{document.text()}\n\nreport  {folder / 'scenes.html'}")


@dataclass
class TransferOptions:
    """What `horosphere transfer` is told."""

    config: Annotated[TransferConfig, arg(name="")]
    output: Annotated[Path | None, arg(aliases=["-o"])] = None
    """Folder to write to; by default the first free runs/transfer, runs/transfer-2, ..."""


def transfer(arguments: list[str]) -> None:
    """`horosphere transfer`."""
    if arguments and arguments[0] == "--resume":
        if len(arguments) != 2:
            raise InputError("a resumed transfer keeps its own config: horosphere transfer --resume FOLDER")
        from .studies import resume_transfer

        folder = resume_transfer(Path(arguments[1]))
    else:
        options = _parse(TransferOptions, "transfer", arguments, description=TransferConfig.__doc__)
        from .studies import transfer

        folder = transfer(options.config, options.output)
    import json

    from .studies import transfer_table

    print(f"\n{transfer_table(json.loads((folder / 'transfer.json').read_text(encoding='utf-8')))}\n\nfolder  {folder}")


def serve(arguments: list[str]) -> None:
    """`horosphere serve`."""
    options = _parse(ServeConfig, "serve", arguments)
    from .page import serve

    serve(options)


COMMANDS: dict[str, Callable[[list[str]], None]] = {
    "recipes": list_recipes,
    "show": show,
    "train": train,
    "evaluate": evaluate,
    "embed": embed,
    "index": index,
    "search": search,
    "report": report,
    "explain": explain,
    "delta": delta,
    "compare": compare,
    "sweep": sweep,
    "probe": probe,
    "scenes": scenes,
    "transfer": transfer,
    "serve": serve,
}
