"""How good labels are: every metric a pure function on arrays, its definition and source beside it.

:mod:`dnd.evaluation.metrics.registry` lists them by the names that EVALUATION tables use.
"""
