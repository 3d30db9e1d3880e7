//! What one tenant can use up: disk, database, memory, turns.
