"""From a rule and a budget to a subset, every row accounted for."""
