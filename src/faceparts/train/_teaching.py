"""Rules for what a recipe learns from: its sources and who teaches besides their labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from faceparts.errors import BadRecipe

if TYPE_CHECKING:
    from faceparts.train.config import Recipe


def check_teaching(recipe: Recipe, where: str) -> None:
    """Refuse a teacher, votes or answers that do not go together, and weights out of range.

    Raises:
        BadRecipe: the message names the key, the value and what was wanted.
    """
    teacher, kept = recipe.distill, any(source.answers for source in recipe.data)
    asked = bool(teacher.model) == (teacher.weight > 0) if not kept else not teacher.model
    if teacher.weight < 0 or teacher.temperature <= 0 or not asked:
        raise BadRecipe(
            f"{where}: distill: model = {teacher.model!r}, weight = {teacher.weight}, temperature "
            f"= {teacher.temperature}; wanted a model, a weight and a temperature above 0, or no "
            "model where sources have answers"
        )
    for source in recipe.data:
        if source.weight < 0 or not 0 <= source.trust <= 1:
            raise BadRecipe(
                f"{where}: data {source.name!r}: weight = {source.weight}, trust = {source.trust}; "
                "wanted at least 0 and 0..1"
            )
        if source.vote and source.answers:
            raise BadRecipe(
                f"{where}: data {source.name!r}: vote and answers; the answers vote, leave vote out"
            )
        if not 0 <= source.given <= 1:
            raise BadRecipe(f"{where}: data {source.name!r}: given = {source.given}; wanted 0..1")
