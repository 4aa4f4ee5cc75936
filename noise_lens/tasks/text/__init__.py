"""Next-word prediction on a text that every CPython ships."""

from noise_lens.tasks.text.builtin import text_lstm, text_transformer
from noise_lens.tasks.text.corpus import UNKNOWN, Text, Windows, read_text

__all__ = ["UNKNOWN", "Text", "Windows", "read_text", "text_lstm", "text_transformer"]
