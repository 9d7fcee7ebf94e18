"""Prompt embeddings, the task mean vectors made of them, and the similarity index over the rows."""
