"""Raw tasks: sources of task datasets become accepted instances, rejected rows with reasons, and a split.

`sources` declares the settings and is light to import; `reader` reads a source; `validation_split` parts it into train
and validation; `near_duplicates` compares prompts, inside one source and between sources.
"""
