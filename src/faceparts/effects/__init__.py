"""Picture + faces -> picture. One file an effect; each defines ``EFFECT``, a frozen dataclass."""
