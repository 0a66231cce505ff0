"""How good descriptions are: against known answers, in judgements of models and people, and by their causes."""
