"""Linear rules: what a row of scores is predicted to be worth."""
