"""lm-evaluation-harness as a grader."""
