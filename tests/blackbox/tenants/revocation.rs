//! Access that was taken away is gone, whatever was begun with it.
