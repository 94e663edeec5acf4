"""AlpacaEval: its files, its annotators, its length-controlled win rate."""
