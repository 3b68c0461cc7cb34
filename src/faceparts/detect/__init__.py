"""Picture -> heads: one file a detector, each with ``load(weights, **options) -> HeadDetector``."""
