//! Arguments become a command.
