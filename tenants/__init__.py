"""Who is calling, what they may do, and the keys that seal what they store."""
