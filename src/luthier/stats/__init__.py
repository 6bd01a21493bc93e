"""How sure a number is: intervals, paired differences, and how many rows it takes to see one.

Everything here works on sums of row statistics (`luthier.metrics.metric`), so accuracy, macro-F1, BLEU and loss share
one bootstrap and one significance test. Rows of one group (user, thread, document) are drawn together: 500 rows of 50
users are not 500 independent observations. Not here: what the rows mean, and the words of a verdict.

sample.py    what a metric measured on n rows, and which of them belong together
resample.py  groups drawn with replacement, and base swapped with tuned
interval.py  Wilson, percentile and BCa bootstrap, Student's t; widened where groups are few
paired.py    tuned minus base on the same rows: interval, exact McNemar, swapping at random
crossed.py   the same for other seeds as well as other rows
family.py    several differences claimed at once (Holm)
rows.py      how many rows show a difference, and which difference so many rows show

How well each holds is measured by `bench/statistics.py` and stands in `docs/statistics.md`.
"""

from luthier.stats.crossed import crossed
from luthier.stats.family import family, holm
from luthier.stats.interval import Interval, bca, interval, percentile, reach, wilson
from luthier.stats.paired import Difference, mcnemar, paired, paired_all, swapped
from luthier.stats.resample import resample
from luthier.stats.rows import independent_groups, rows_needed, smallest_visible, visible
from luthier.stats.sample import FEWEST, LEVEL, POWER, Floats, Sample, Score, clusters

__all__ = [
    "FEWEST",
    "LEVEL",
    "POWER",
    "Difference",
    "Floats",
    "Interval",
    "Sample",
    "Score",
    "bca",
    "clusters",
    "crossed",
    "family",
    "holm",
    "independent_groups",
    "interval",
    "mcnemar",
    "paired",
    "paired_all",
    "percentile",
    "reach",
    "resample",
    "rows_needed",
    "smallest_visible",
    "swapped",
    "visible",
    "wilson",
]
