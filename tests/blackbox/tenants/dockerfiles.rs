//! Dockerfiles that reach for what is not in their build: frontends, caches, bases, addresses.
