"""Folder on disk -> samples. One file a dataset.

Each file defines ``load(root, split)``, ``SPLITS`` and ``TASK``: ``"parts"`` (a `Dataset` of
`Sample`) or ``"heads"`` (a `HeadDataset` of `HeadSample`).
"""
