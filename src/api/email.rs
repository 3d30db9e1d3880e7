//! E-mail addresses, as far as their form tells.

/// Longest address (RFC 5321 §4.5.3.1).
pub(super) const EMAIL_MAX: usize = 254;

/// Whether mail could be sent there.
pub(super) fn is_email(text: &str) -> bool {
    text.rsplit_once('@').is_some_and(|(local, host)| is_local(local) && is_host(host))
}

fn is_local(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| !c.is_whitespace() && !c.is_control() && c != '@')
}

fn is_host(text: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_alphanumeric() || c == '-')
    };
    text == "localhost" || (text.contains('.') && text.split('.').all(is_label))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for good in ["a@example.com", "a+b@x-y.example.co", "é@exämple.de", "a@localhost"] {
            assert!(is_email(good), "{good}");
        }
        for bad in ["", "a", "@example.com", "a b@example.com", "a@b@example.com", "a@example", "a@-x.com", "a@x..com"]
        {
            assert!(!is_email(bad), "{bad}");
        }
    }
}
