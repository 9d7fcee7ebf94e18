"""The way back: from a row, a text, a task or a source to every subset and checkpoint that holds it, now or ever."""
