"""What other systems read: tokens and mappings."""

from __future__ import annotations

from semantic_ids.export.mappings import Mappings
from semantic_ids.export.tokens import token_strings

__all__ = ["Mappings", "token_strings"]
