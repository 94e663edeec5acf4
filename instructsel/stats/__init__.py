"""Statistics: variance, intervals, power, correlation, one of each in the project."""
