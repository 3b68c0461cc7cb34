"""Recipes with ``task = "headpose"``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from faceparts.errors import BadRecipe
from faceparts.train._headpose_fit import TreeSettings
from faceparts.train._headpose_pixels import ClassicSettings
from faceparts.train._names import check_name
from faceparts.train.config import _build

ROADS = ("modern", "classical")


@dataclass(frozen=True)
class Pseudo:
    """Photos without labels and a face mesh that gives them some.

    Args:
        teacher: TFLite file, from the data root on; ``""`` = no pseudo-labels.
        folders: folders of pictures, from the data root on; people are not known, so a photo is
            its own person.
        per_folder: photos of each folder, evenly spread over its names.
        held_out: share of the photos that nothing is learnt from, to measure agreement on.
        min_probability: faces that the mesh is less sure of are left out.
        max_yaw_deg: so are faces that it sees turned further: it is less reliable there.
        copies: varied copies of each map that is learnt from.
    """

    teacher: str = ""
    folders: tuple[str, ...] = ()
    per_folder: int = 70
    held_out: float = 0.2
    min_probability: float = 0.8
    max_yaw_deg: float = 42.0
    copies: int = 2


@dataclass(frozen=True)
class HeadposeRecipe:
    """Everything that decides what model comes out.

    Args:
        fasseg: folder below the data root that holds V3.
        parser: name or file of the parser whose maps are looked at.
        flip: the parser averages with the mirror image.
        roads: which of `ROADS` are taken.
        even_out: turn the labels of each training person back by `headpose.session_offsets`.
        altered: altered photos of each training photo of V3; besides its map, varied copies of it
            and of theirs are learnt from.
    """

    name: str
    task: str = "headpose"
    seed: int = 0
    fasseg: str = "fasseg"
    parser: str = "partnet"
    flip: bool = False
    roads: tuple[str, ...] = ROADS
    even_out: bool = False
    altered: int = 6
    pseudo: Pseudo = field(default_factory=Pseudo)
    trees: TreeSettings = field(default_factory=TreeSettings)
    plain_trees: TreeSettings = field(default_factory=TreeSettings)
    classical: ClassicSettings = field(default_factory=ClassicSettings)


def recipe_from_table(table: dict[str, Any], where: str) -> HeadposeRecipe:
    """Build and check a recipe from plain values.

    Raises:
        BadRecipe: an unknown or missing key, or a value of the wrong type or out of range.
    """
    table = {k: tuple(v) if isinstance(v, list) else v for k, v in table.items()}
    kinds: dict[str, type[Any]] = {
        "pseudo": Pseudo,
        "trees": TreeSettings,
        "plain_trees": TreeSettings,
        "classical": ClassicSettings,
    }
    for key, kind in kinds.items():
        if isinstance(table.get(key), dict):
            values = {k: tuple(v) if isinstance(v, list) else v for k, v in table[key].items()}
            table[key] = _build(kind, values, f"{where}: {key}")
    recipe: HeadposeRecipe = _build(HeadposeRecipe, table, where)
    ranges: list[tuple[str, float, float, float]] = [
        ("pseudo: per_folder", recipe.pseudo.per_folder, 1, 100_000),
        ("pseudo: held_out", recipe.pseudo.held_out, 0, 0.9),
        ("pseudo: copies", recipe.pseudo.copies, 0, 100),
        ("altered", recipe.altered, 0, 100),
        ("classical: work_px", recipe.classical.work_px, 16, 1024),
        ("classical: folds", recipe.classical.folds, 2, 100),
        ("classical: segments", recipe.classical.segments, 2, 100_000),
        ("classical: rounds", recipe.classical.rounds, 0, 5),
        ("classical: trees", recipe.classical.trees, 1, 10_000),
        ("classical: per_class", recipe.classical.per_class, 1, 100_000),
        ("classical: altered", recipe.classical.altered, 0, 100),
        ("classical: copies", recipe.classical.copies, 0, 100),
        ("classical: repeats", recipe.classical.repeats, 1, 100),
        ("classical: pose_trees", recipe.classical.pose_trees, 1, 10_000),
        *(("classical: pose_svr_shares", s, 0, 1) for s in recipe.classical.pose_svr_shares),
        ("classical: pose_svr_c", recipe.classical.pose_svr_c, 1e-3, 1e6),
        ("classical: pose_svr_gamma", recipe.classical.pose_svr_gamma, 1e-9, 1e3),
    ]
    check_name(recipe.name, where)
    for name in ("trees", "plain_trees"):
        how = getattr(recipe, name)
        ranges += [
            (f"{name}: yaw_trees", how.yaw_trees, 1, 10_000),
            (f"{name}: pitch_trees", how.pitch_trees, 1, 10_000),
            (f"{name}: min_leaf", how.min_leaf, 1, 1000),
            (f"{name}: max_features", how.max_features, 1e-3, 1),
            (f"{name}: svr_share", how.svr_share, 0, 1),
            (f"{name}: svr_c", how.svr_c, 1e-3, 1e6),
            (f"{name}: svr_gamma", how.svr_gamma, 1e-9, 1e3),
        ]
    for key, value, low, high in ranges:
        if not low <= value <= high:
            raise BadRecipe(f"{where}: {key} = {value}; wanted {low}..{high}")
    if not recipe.classical.pose_svr_shares:
        raise BadRecipe(f"{where}: classical: pose_svr_shares = []; wanted at least one, such as 0")
    unknown = [r for r in recipe.roads if r not in ROADS]
    if unknown or not recipe.roads:
        raise BadRecipe(f"{where}: roads = {list(recipe.roads)}; wanted some of {', '.join(ROADS)}")
    return recipe
