"""Dead letters: found, shown, exported, and run again."""
