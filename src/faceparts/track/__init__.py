"""Heads across the frames of a video: linked into tracks, with their gaps filled."""
