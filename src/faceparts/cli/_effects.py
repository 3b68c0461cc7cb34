"""Flags from the fields of effects: a new file in ``effects/`` has its flags at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any, get_type_hints

import click
import numpy as np

from faceparts import folder
from faceparts.errors import UsageError
from faceparts.types import Crop, Effect, Face, Head, LabelSet

_PREFIX = "effect_field_"
_KINDS: dict[type, click.ParamType[Any]] = {str: click.STRING, int: click.INT, float: click.FLOAT}


def effect_class(name: str) -> type[Any]:
    """The dataclass of an effect by the name of its file."""
    kind: type[Any] = folder.load("faceparts.effects", name).EFFECT
    return kind


def field_options(effects: Iterable[str]) -> list[click.Option]:
    """One flag a field of the effects; a field that several have in common becomes one flag.

    Raises:
        TypeError: a field is neither str, int, float nor bool, has no default or no help text.
    """
    helps: dict[str, tuple[type, str, object]] = {}
    owners: dict[str, list[str]] = {}
    effects = list(effects)
    for effect in effects:
        kind = effect_class(effect)
        hints = get_type_hints(kind)
        for field in fields(kind):
            if hints[field.name] not in (*_KINDS, bool) or field.default is MISSING:
                raise TypeError(
                    f"effects/{effect}.py: field {field.name!r} must be str, int, float or bool "
                    "and have a default"
                )
            if "help" not in field.metadata:
                raise TypeError(f"effects/{effect}.py: field {field.name!r} has no help text")
            helps.setdefault(field.name, (hints[field.name], field.metadata["help"], field.default))
            owners.setdefault(field.name, []).append(effect)
    return [
        _option(name, *told, owners[name] if len(owners[name]) < len(effects) else [])
        for name, told in helps.items()
    ]


def _option(
    name: str, kind: type, text: str, default: object, owners: Sequence[str]
) -> click.Option:
    flag = name.replace("_", "-")
    shown = ("yes" if default else "no") if kind is bool else ("none" if default == "" else default)
    only = f"[{', '.join(owners)}] " if owners else ""
    return click.Option(
        [_PREFIX + name, f"--{flag}/--no-{flag}" if kind is bool else f"--{flag}"],
        type=_KINDS.get(kind),
        is_flag=kind is bool or None,
        default=None,
        help=f"{only}{text[:1].upper()}{text[1:]}.  [default: {shown}]",
    )


class EffectCommand(click.Command):
    """A command with the flags of some effects, which are imported when the flags are needed.

    The callback gets the flags that were given as one mapping ``chosen``.
    """

    def __init__(self, *, effects: Sequence[str], **rest: Any) -> None:
        super().__init__(**rest)
        self.effects = effects
        self._flags: list[click.Option] | None = None

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        if self._flags is None:
            self._flags = field_options(self.effects)
        own = super().get_params(ctx)
        at = 1 + next(i for i, param in enumerate(own) if param.name == "out")
        return [*own[:at], *self._flags, *own[at:]]

    def invoke(self, ctx: click.Context) -> Any:
        chosen: dict[str, object] = {}
        for name in [n for n in ctx.params if n.startswith(_PREFIX)]:
            value = ctx.params.pop(name)
            if value is not None:
                chosen[name.removeprefix(_PREFIX)] = value
        ctx.params["chosen"] = chosen
        return super().invoke(ctx)


def make_effect(name: str, chosen: Mapping[str, object]) -> Effect:
    """An effect with the flags that were given.

    Raises:
        UsageError: the effect has no such field, or a value is out of range.
    """
    kind = effect_class(name)
    known = [field.name for field in fields(kind)]
    for field_name in chosen:
        if field_name not in known:
            flag = field_name.replace("_", "-")
            raise UsageError(f"--{flag} is no setting of {name}; it has: {', '.join(known)}")
    effect: Callable[..., Any] = kind(**chosen)
    return effect


def try_out(effect: Effect, label_set: LabelSet) -> int:
    """Number of channels that an effect puts out, found on a tiny picture with one tiny face.

    Raises:
        UnknownName: the effect is asked for parts that the model does not know.
    """
    side = 16
    labels = np.resize(np.arange(len(label_set.parts), dtype=np.uint8), (side, side))
    face = Face(
        Head((0, 0, side, side), 1.0, Head.no_points()),
        Crop(np.zeros((side, side, 3), np.uint8), np.eye(2, 3), (side, side)),
        labels,
        np.ones((side, side), np.float32),
        (0, 0, side, side),
        label_set,
    )
    return int(effect(np.zeros((side, side, 3), np.uint8), [face]).shape[2])
