"""What one client can do to all others, tried against a server of this machine's own: `script/attack`.

Every attack is bounded in count and time, ends by itself, and speaks to 127.0.0.1 only.
"""
