//! Addresses that bob has the server fetch from, although they are not his to ask.
