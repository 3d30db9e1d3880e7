//! Accounts: who gets one, who becomes administrator, who is locked out, what a password costs the others.
