"""The bundled sample: a seeded collection of small instruction tasks that the demo and the tests run on.

Twenty tasks of very uneven size with known correct answers, two of them near twins, some rows repeated: small enough
for a fine-tune in half a minute on a CPU, and uneven enough that the choice of the mixture shows.
"""

from smart_assets.sample.collection import SampleSummary, tasks, write_sample
from smart_assets.sample.task import SampleTask

__all__ = ["SampleSummary", "SampleTask", "tasks", "write_sample"]
