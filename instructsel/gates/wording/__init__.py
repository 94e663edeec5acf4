"""What the words of a text tell by themselves: its language, its end, its loops, refusals and personal data."""
