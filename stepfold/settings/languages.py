"""Languages as people write them in files: BCP 47 tags, such as de, pt-BR and zh-Hant."""

from __future__ import annotations

import re

TAG = re.compile(
    r"[A-Za-z]{2,3}(-[A-Za-z]{4})?(-([A-Za-z]{2}|\d{3}))?(-([A-Za-z\d]{5,8}|\d[A-Za-z\d]{3}))*"
)
"""What is one, whole."""
