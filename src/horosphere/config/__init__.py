"""Everything that a run depends on, as plain dataclasses. Imports no torch, so that the command line stays quick.

A run saves its complete config as YAML; `read` takes it back strictly: an unknown key, or a value of another type, is an
error.
"""

from .crops import SceneCrops
from .delta import DeltaConfig
from .explain import ExplainConfig, PointsConfig, SectionName, is_points_file
from .files import changed, flat, read, to_yaml, value, write
from .index import IndexConfig, SearchConfig
from .losses import ChestConfig, LibraryConfig, LossConfig, PairwiseConfig, ProxyAnchorConfig, SoftTripleConfig
from .retrieval import (
    Augmentation,
    BatchConfig,
    Config,
    DataConfig,
    EvaluationConfig,
    LoopConfig,
    ModelConfig,
    OptimiserConfig,
    PartConfig,
    Precision,
    SpaceConfig,
    TrainingConfig,
)
from .scenes import (
    ContrastConfig,
    SceneBatchConfig,
    SceneConfig,
    SceneDataConfig,
    SceneModelConfig,
    SceneOptimiserConfig,
)
from .serve import ServeConfig
from .study import ModelSource, ProbeConfig, ScenesConfig, TransferConfig

__all__ = [
    "Augmentation",
    "BatchConfig",
    "ChestConfig",
    "Config",
    "ContrastConfig",
    "DataConfig",
    "DeltaConfig",
    "EvaluationConfig",
    "ExplainConfig",
    "IndexConfig",
    "LibraryConfig",
    "LoopConfig",
    "LossConfig",
    "ModelConfig",
    "ModelSource",
    "OptimiserConfig",
    "PairwiseConfig",
    "PartConfig",
    "PointsConfig",
    "Precision",
    "ProbeConfig",
    "ProxyAnchorConfig",
    "SceneBatchConfig",
    "SceneConfig",
    "SceneCrops",
    "SceneDataConfig",
    "SceneModelConfig",
    "SceneOptimiserConfig",
    "ScenesConfig",
    "SearchConfig",
    "SectionName",
    "ServeConfig",
    "SoftTripleConfig",
    "SpaceConfig",
    "TrainingConfig",
    "TransferConfig",
    "changed",
    "flat",
    "is_points_file",
    "read",
    "to_yaml",
    "value",
    "write",
]
