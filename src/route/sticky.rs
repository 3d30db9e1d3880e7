//! Sticky sessions: a cookie that names the instance which answered a client first. It is the router's alone: apps never see
//! it, and a value that names no instance is as good as none.

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};

use crate::model::InstanceId;

/// The name of the cookie. Apps have to leave it to the router.
pub(crate) const NAME: &str = "slipway_instance";

/// What stands for an instance in the cookie: half of its id, which no client could do anything with anyway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token(u64);

impl Token {
    pub(crate) fn of(instance: InstanceId) -> Self {
        let text = instance.to_string();
        let digits = text.chars().filter_map(|digit| digit.to_digit(16)).take(16);
        Self(digits.fold(0, |token, digit| token << 4 | u64::from(digit)))
    }

    fn parse(value: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(value).ok().filter(|text| text.len() == 16 && !text.starts_with('+'))?;
        u64::from_str_radix(text, 16).ok().map(Self)
    }

    /// The header that makes a client come back. It lasts as long as the browser, is sent to this host only and is no
    /// script's business.
    pub(crate) fn cookie(self, is_tls: bool) -> HeaderValue {
        let secure = if is_tls { "; Secure" } else { "" };
        let text = format!("{NAME}={:016x}; Path=/; HttpOnly; SameSite=Lax{secure}", self.0);
        HeaderValue::from_str(&text).expect("hex digits and words are a header value")
    }
}

/// What the router's cookies of a request say; nearly always one or none.
pub(crate) fn tokens(headers: &HeaderMap) -> impl Iterator<Item = Token> {
    headers.get_all(COOKIE).iter().flat_map(pairs).filter_map(|pair| Token::parse(ours(pair)?))
}

/// Takes the router's cookie out of a request, whatever its value; all others stay byte for byte.
pub(crate) fn strip(headers: &mut HeaderMap) {
    if !headers.get_all(COOKIE).iter().flat_map(pairs).any(|pair| ours(pair).is_some()) {
        return;
    }
    let kept: Vec<HeaderValue> = headers.get_all(COOKIE).iter().filter_map(without_ours).collect();
    headers.remove(COOKIE);
    for value in kept {
        headers.append(COOKIE, value);
    }
}

fn without_ours(value: &HeaderValue) -> Option<HeaderValue> {
    let others: Vec<&[u8]> = pairs(value).filter(|pair| ours(pair).is_none()).collect();
    let text = others.join(&b"; "[..]);
    (!text.is_empty()).then(|| HeaderValue::from_bytes(&text).expect("parts of a header value are one"))
}

fn pairs(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    value.as_bytes().split(|&byte| byte == b';').map(<[u8]>::trim_ascii)
}

/// The value of a pair that has exactly our name.
fn ours(pair: &[u8]) -> Option<&[u8]> {
    pair.strip_prefix(NAME.as_bytes())?.strip_prefix(b"=")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(COOKIE, HeaderValue::from_str(value).expect("a value"));
        }
        headers
    }

    #[test]
    fn a_cookie_leads_back_to_its_instance() {
        let (one, other) = (InstanceId::new(), InstanceId::new());
        let cookie = Token::of(one).cookie(true);
        let cookie = cookie.to_str().expect("text");
        assert!(cookie.ends_with("; Path=/; HttpOnly; SameSite=Lax; Secure"), "{cookie}");
        assert!(!Token::of(one).cookie(false).to_str().expect("text").contains("Secure"));
        let pair = cookie.split(';').next().expect("a pair");
        let found: Vec<Token> = tokens(&map(&["a=1", &format!("b=2; {pair}")])).collect();
        assert_eq!(found, [Token::of(one)]);
        assert_ne!(Token::of(one), Token::of(other));
    }

    #[test]
    fn only_a_cookie_of_exactly_that_name_counts_and_is_taken_out() {
        let check = |sent: &[&str], expect: &[&str]| {
            let mut headers = map(sent);
            assert_eq!(tokens(&headers).count(), 0, "{sent:?}");
            strip(&mut headers);
            assert_eq!(headers, map(expect), "{sent:?}");
        };
        check(&[], &[]);
        check(&["a=1;  b=\"x; y\""], &["a=1;  b=\"x; y\""]);
        for near in ["xslipway_instance=0123456789abcdef", "slipway_instance2=0123456789abcdef", "Slipway_Instance=1"] {
            check(&[near], &[near]);
        }
        check(&["slipway_instance=zzz"], &[]);
        check(&["slipway_instance=+123456789abcdef; a=1"], &["a=1"]);
        check(&["a=1;slipway_instance=;b=2", "slipway_instance=é", "c=3"], &["a=1; b=2", "c=3"]);
    }
}
