"""Picture -> heads. One file a detector; each defines ``load(weights, **options) -> HeadDetector``."""
