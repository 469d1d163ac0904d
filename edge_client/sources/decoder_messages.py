"""What a decoding process and its parent say to each other.

parent: a length and a request in JSON, then again once the answer is over
child:  READY once, then to each request OPENED, PICTURE..., END; ERROR in any place; WORDS
        for the log before any of them
"""

from __future__ import annotations

import struct

READY = b"\x01"
REQUEST = struct.Struct("!I")
# The kind; a picture's height and width, or a text's length and 0; a picture's time.
HEAD = struct.Struct("!BIId")
OPENED, PICTURE, END, ERROR, REFUSED, WORDS = range(6)
LONGEST_TEXT_BYTES = 2000
