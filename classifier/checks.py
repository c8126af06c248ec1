"""System checks: what can be wrong at start, with a hint for each. None of them imports torch."""
