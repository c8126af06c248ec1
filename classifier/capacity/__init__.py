"""Who may compute, with how much memory."""
