//! Images: the platform's own, private ones, those of other apps.
