"""What the operating system refuses, in one sentence: the true culprit and the way out."""

import errno
import re

_WAYS_OUT = {
    errno.ENOENT: ("does not exist", "Give the path of something that exists."),
    errno.EEXIST: ("exists already", "Give another path."),
    errno.EISDIR: ("is a directory", "Give the path of a file."),
    errno.ENOTDIR: ("is not a directory", "Give the path of a directory, or of a file in one."),
    errno.ENOTEMPTY: ("is not empty", "Give the path of an empty directory."),
    errno.ENAMETOOLONG: ("is too long for a path", "Give a shorter one."),
    errno.ELOOP: ("is a link to itself", "Give the path of a file or directory."),
    errno.ENOSPC: (
        "cannot be written, since its disk is full",
        "Free space there, or give a path on another disk.",
    ),
    errno.EDQUOT: (
        "cannot be written, since the quota of its disk is used up",
        "Free space there, or give a path on another disk.",
    ),
    errno.EROFS: (
        "cannot be written, since its disk is read-only",
        "Give a path on another disk, or mount this one for writing.",
    ),
    errno.EACCES: (
        "may not be used by this user (permission denied)",
        "Change its permissions, or run the command as the user that owns it.",
    ),
    errno.EMFILE: (
        "cannot be opened, since this process has too many files open",
        "Raise its limit of open files, or try again later.",
    ),
    errno.ENFILE: (
        "cannot be opened, since the system has too many files open",
        "Try again later.",
    ),
    errno.ENOMEM: (
        "cannot be used, since the system has too little memory",
        "Try again later, or end other programs.",
    ),
    errno.EPERM: (
        "may not be changed by this user (operation not permitted)",
        "Change its permissions, or run the command as the user that owns it.",
    ),
}

# What says nothing of a file, and passes.
PASSING = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})


def sentence(error: OSError) -> str:
    """Return what is wrong with the path that an error names, and what to do."""
    path = error.filename2 if error.filename2 is not None else error.filename
    problem, way_out = _WAYS_OUT.get(
        error.errno or 0, (f"cannot be used ({error.strerror})", "Give another path.")
    )
    return f"'{path}' {problem}. {way_out}"


def one_line(text: str) -> str:
    """Return a sentence that may hold the names of files as one line."""
    return text.replace("\r", "\\r").replace("\n", "\\n")


def in_words(error: Exception) -> str:
    """Return what went wrong in words, without the number that the kernel has for it."""
    return re.sub(r"^\[Errno -?\d+\] ", "", str(error)) or type(error).__name__
