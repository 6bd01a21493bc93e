"""The right settings, found by trying them: a space, trials on one shared base, and an honest end. Needs Optuna.

options.py  how a search is carried out         space.py    what it may try
study.py    trials in their storage             journal.py  a storage that outlives its processes
shared.py   one base for many trials            trial.py    one of them
confirm.py  the winner on the test rows         found.py    what is told of it
work.py     all of it, in order                 rates.py    a quick look at learning rates
memory.py   which token budget fits
"""
