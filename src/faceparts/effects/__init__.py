"""Picture + faces -> picture. One file an effect; each defines ``EFFECT``, a frozen dataclass."""

HIDING = ("solid", "mosaic", "blur")
"""Effects that hide; the first is the default and cannot be undone."""
