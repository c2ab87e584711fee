"""Tests the proof itself: wrong exports that it has to convict, and right ones that it has to let pass.

`falsifications.FALSIFICATIONS` lists what an exporter can get wrong, `subjects.SUBJECTS` the right models that this is
done to, `right_exports` draws right models at random, and `selftest.selftest` runs them all.
"""
