//! What a block holds, and what replaces what.
