"""``NAME=SHARE`` on the command line: a net and what it counts."""

from __future__ import annotations

from faceparts.errors import UsageError


def parse_share(text: str, option: str, below: float) -> tuple[str, float]:
    """The net, which may hold further equals signs, and its share.

    Args:
        text: what was given.
        option: name of the option, for the message.
        below: the share must be larger than 0 and smaller than this.

    Raises:
        UsageError: there is no name, or no such share.

    Example:
        >>> parse_share("a=b.onnx=0.25", "--mix", 1)
        ('a=b.onnx', 0.25)
    """
    model, _, share = text.rpartition("=")
    try:
        value = float(share)
    except ValueError:
        value = 0.0
    if not model or not 0 < value < below:
        span = "a number above 0" + (f" and below {below:g}" if below <= 1 else "")
        raise UsageError(f"{option} {text}: share {share!r}; wanted {span}")
    return model, value
