"""Every error that faceparts raises on purpose.

An error says what, where, got, wanted and what to do. Each child also inherits a builtin, so that
code which does not know faceparts still catches it.
"""


class FacePartsError(Exception):
    """Root of all errors raised on purpose; its text is one line made for a person."""


class UnreadableImage(FacePartsError, ValueError):
    """A file is not a picture, is damaged, or is of a kind that is refused by name."""


class UnreadableVideo(FacePartsError, ValueError):
    """A file is not a video, is damaged or cut off, or is of a kind that is refused by name."""


class UnwritableOutput(FacePartsError, OSError):
    """A result could not be written, or writing it would destroy something."""


class UnknownName(FacePartsError, LookupError):
    """A name (effect, detector, label set, part, model ...) that does not exist."""


class BadWeights(FacePartsError, ValueError):
    """A weights file is missing its card, is damaged, or does not fit its card."""


class BadData(FacePartsError, ValueError):
    """A dataset folder or file does not follow its published layout."""


class BadRecipe(FacePartsError, ValueError):
    """A training recipe holds an unknown key or a value out of range."""


class UsageError(FacePartsError, ValueError):
    """The command line asks for something that cannot be done; exit code 2."""


class MissingWeights(BadWeights, UsageError):
    """The weights file that was named is not there."""


class MissingRecipe(BadRecipe, UsageError):
    """The recipe, or the folder of a training, that was named is not there."""
