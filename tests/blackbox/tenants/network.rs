//! Networks and connections: what is reached from a build or an app, and who can take all places.
