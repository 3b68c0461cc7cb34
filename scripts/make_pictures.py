"""Make the pictures of README and docs with faceparts itself; see `scripts/make-pictures`."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from skimage.data import astronaut

from faceparts import folder

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
PANEL_PX = 360
HEAD_XYXY = (94, 0, 354, 260)
"""Where the head is on the astronaut photo, with room around it."""


def main(options: list[str]) -> None:
    """Write ``astronaut.png`` and ``effects.png``; ``options`` go to every command."""
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        photo = work / "astronaut.png"
        Image.fromarray(astronaut()).save(photo)
        run("hide", str(photo), "-o", str(work / "hidden"), *options)
        run("segment", str(photo), "-o", str(work / "parts"), "--overlay", *options)
        panels = [
            photo,
            work / "parts" / "astronaut.png.overlay.png",
            work / "hidden" / "astronaut.png",
        ]
        save(join([read(p) for p in panels], PANEL_PX), "astronaut.png")
        effects = folder.names("faceparts.effects")
        for effect in effects:
            run("apply", effect, str(photo), "-o", str(work / effect), *options)
        heads = [read(work / effect / "astronaut.png").crop(HEAD_XYXY) for effect in effects]
        save(write_names(join(heads, PANEL_PX // 2), effects), "effects.png")


def run(*arguments: str) -> None:
    """One faceparts command; a failure ends the script with the command's own exit code."""
    done = subprocess.run([sys.executable, "-m", "faceparts", *arguments, "--quiet"], check=False)
    if done.returncode:
        sys.exit(done.returncode)


def read(path: Path) -> Image.Image:
    """A picture as RGB; what is transparent becomes a grey chequerboard."""
    with Image.open(path) as opened:
        picture = opened.convert("RGBA")
    rows, columns = np.indices((picture.height, picture.width)) // 16
    tone = np.where((rows + columns) % 2, 255, 221).astype(np.uint8)
    board = Image.fromarray(tone).convert("RGBA")
    return Image.alpha_composite(board, picture).convert("RGB")


def join(panels: list[Image.Image], side_px: int) -> Image.Image:
    """Square panels side by side, 6 px of white between them."""
    step = side_px + 6
    sheet = Image.new("RGB", (len(panels) * step - 6, side_px), "white")
    for i, panel in enumerate(panels):
        sheet.paste(panel.resize((side_px, side_px), Image.Resampling.LANCZOS), (i * step, 0))
    return sheet


def write_names(sheet: Image.Image, names: list[str]) -> Image.Image:
    """The sheet with a name below each of its panels."""
    named = Image.new("RGB", (sheet.width, sheet.height + 24), "white")
    named.paste(sheet)
    draw, step = ImageDraw.Draw(named), (sheet.width + 6) // len(names)
    font = ImageFont.load_default(size=15)
    for i, name in enumerate(names):
        middle = i * step + (step - 6) // 2
        draw.text((middle, sheet.height + 12), name, fill="black", font=font, anchor="mm")
    return named


def save(picture: Image.Image, name: str) -> None:
    """Write a PNG of 256 colours into the pictures folder."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    small = picture.quantize(256, dither=Image.Dither.FLOYDSTEINBERG)
    small.save(PICTURES / name, optimize=True)


if __name__ == "__main__":
    main(sys.argv[1:])
