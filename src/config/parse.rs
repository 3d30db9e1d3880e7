//! One parser per kind of value. Each says what is wrong as the end of a sentence: "'x' is not ...".

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{BaseImages, BuilderKey, DatabaseUrl, Frontend, Registration};
use crate::model::{BUILDER_KEY_MIN, ChallengeChoice, Quotas, Size, parse_bytes};

/// What is wrong with a value.
type Problem = String;

pub(super) fn address(text: &str) -> Result<SocketAddr, Problem> {
    text.parse().map_err(|_| "is not an IP address with a port".to_owned())
}

pub(super) fn registration(text: &str) -> Result<Registration, Problem> {
    text.parse().map_err(|_| "is not one of open, admin-only, closed".to_owned())
}

/// A host name (RFC 1123 §2.1) in lower case, short enough that a 63 character label fits before it (RFC 1035 §2.3.4).
pub(super) fn domain(text: &str) -> Result<String, Problem> {
    let name = text.to_ascii_lowercase();
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if !name.split('.').all(is_label) {
        return Err("is not a host name".to_owned());
    }
    if name.len() > 253 - 64 {
        return Err("is too long: APP.DOMAIN may have 253 characters".to_owned());
    }
    if name.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit())) {
        return Err("is an address, and APP.DOMAIN has to be a host name".to_owned());
    }
    Ok(name)
}

/// The repository part of an image reference, without tag and digest.
pub(super) fn repository(text: &str) -> Result<String, Problem> {
    let is_part = |part: &str| {
        let is_outer = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        is_outer(part.bytes().next())
            && is_outer(part.bytes().last())
            && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte))
    };
    let (host, path) = match text.split_once('/') {
        Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => (Some(host), path),
        _ => (None, text),
    };
    let is_host = |host: &str| {
        let (name, port) = host.split_once(':').unwrap_or((host, "0"));
        is_part(name) && port.parse::<u16>().is_ok()
    };
    if text.len() <= 200 && host.is_none_or(is_host) && path.split('/').all(is_part) {
        Ok(text.to_owned())
    } else {
        Err("is not the name of an image repository, without a tag".to_owned())
    }
}

/// The entries of a list, which has commas between them.
fn list<T>(text: &str, parse: impl Fn(&str) -> Result<T, Problem>) -> Result<Vec<T>, Problem> {
    text.split(',').map(str::trim).filter(|entry| !entry.is_empty()).map(parse).collect()
}

/// Images with a digest.
pub(super) fn frontends(text: &str) -> Result<Vec<Frontend>, Problem> {
    list(text, |entry| entry.parse().map_err(|problem| format!("names a frontend that cannot be used: {problem}")))
}

/// References to images, in which `*` stands for anything.
pub(super) fn base_images(text: &str) -> Result<BaseImages, Problem> {
    let patterns = list(text, |entry| {
        let is_valid = entry.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-/:@*".contains(&b));
        if is_valid { Ok(entry.to_owned()) } else { Err(format!("'{entry}' is no reference to an image")) }
    })?;
    Ok(BaseImages::Listed(patterns))
}

pub(super) fn ip(text: &str) -> Result<IpAddr, Problem> {
    text.parse().map_err(|_| "is not an IP address".to_owned())
}

/// `apps=50 memory=32GiB`
pub(super) fn quotas(text: &str) -> Result<Quotas, Problem> {
    text.parse()
}

/// `49153-65535`
pub(super) fn port_range(text: &str) -> Result<RangeInclusive<u16>, Problem> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let port = |text: &str| text.trim().parse::<u16>().ok().filter(|port| *port > 0);
    match (port(first), port(last)) {
        (Some(first), Some(last)) if first <= last => Ok(first..=last),
        _ => Err("is not a range of ports such as 49153-65535".to_owned()),
    }
}

pub(super) fn docker_host(text: &str) -> Result<String, Problem> {
    let is_valid = match text.split_once("://") {
        Some(("unix", path)) => path.starts_with('/'),
        Some(("tcp", host)) => host
            .rsplit_once(':')
            .is_some_and(|(host, port)| !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok()),
        _ => false,
    };
    if is_valid { Ok(text.to_owned()) } else { Err("is neither unix:///PATH nor tcp://HOST:PORT".to_owned()) }
}

/// An address that mail can be sent to, as far as its form tells.
pub(super) fn email(text: &str) -> Result<String, Problem> {
    let is_valid = text.split_once('@').is_some_and(|(user, host)| !user.is_empty() && domain(host).is_ok())
        && text.bytes().all(|byte| byte.is_ascii_graphic() && !b",;<>()\"".contains(&byte));
    if is_valid { Ok(text.to_owned()) } else { Err("is not a mail address".to_owned()) }
}

/// The directory of an authority; RFC 8555 §6.1 asks for HTTPS.
pub(super) fn https_url(text: &str) -> Result<String, Problem> {
    let is_valid = text.parse::<http::Uri>().is_ok_and(|url| url.scheme_str() == Some("https") && url.host().is_some());
    if is_valid { Ok(text.to_owned()) } else { Err("is not an https:// URL".to_owned()) }
}

pub(super) fn challenge(text: &str) -> Result<ChallengeChoice, Problem> {
    text.parse().map_err(|_| "is not one of any, http-01, tls-alpn-01".to_owned())
}

/// The base of URLs: `http://` or `https://`, a host, maybe a port. A slash at its end is dropped.
pub(super) fn base_url(text: &str) -> Result<String, Problem> {
    let base = text.strip_suffix('/').unwrap_or(text);
    let is_base = base.parse::<http::Uri>().is_ok_and(|url| {
        matches!(url.scheme_str(), Some("http" | "https"))
            && url.authority().is_some_and(|authority| !authority.as_str().contains('@'))
            && !base.split('/').nth(2).unwrap_or_default().is_empty()
            && base.matches('/').count() == 2
            && !base.contains(['?', '#'])
    });
    if is_base { Ok(base.to_owned()) } else { Err("is not like http://HOST or https://HOST:PORT".to_owned()) }
}

/// Named sizes in ascending order, `NAME=MEMORY:CPU-WEIGHT` with blanks between them.
pub(super) fn sizes(text: &str) -> Result<Vec<Size>, Problem> {
    let mut sizes: Vec<Size> = Vec::new();
    for part in text.split_whitespace() {
        let size = one_size(part)?;
        if sizes.iter().any(|known| known.name == size.name) {
            return Err(format!("names the size {} twice", size.name));
        }
        if sizes.last().is_some_and(|last| last.memory_bytes > size.memory_bytes) {
            return Err(format!("is not in ascending order: {} has less memory than the one before it", size.name));
        }
        sizes.push(size);
    }
    if sizes.is_empty() { Err("has no size in it".to_owned()) } else { Ok(sizes) }
}

fn one_size(text: &str) -> Result<Size, Problem> {
    let form = || format!("has '{text}' in it, which is not NAME=MEMORY:CPU-WEIGHT");
    let (name, limits) = text.split_once('=').ok_or_else(form)?;
    let (memory, shares) = limits.split_once(':').ok_or_else(form)?;
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(form());
    }
    // Below 6 MiB the engine refuses; the weights are the kernel's bounds of cpu.shares.
    let memory =
        size(6 << 20)(memory).map_err(|problem| format!("has the memory '{memory}' in it, which {problem}"))?;
    let shares =
        number(2..=262_144)(shares).map_err(|problem| format!("has the weight '{shares}' in it, which {problem}"))?;
    Ok(Size { name: name.to_owned(), memory_bytes: i64::try_from(memory).ok(), cpu_shares: Some(shares) })
}

/// The secret of a builder.
pub(super) fn builder_key(text: &str) -> Result<BuilderKey, Problem> {
    BuilderKey::new(text).ok_or_else(|| format!("has fewer than {BUILDER_KEY_MIN} characters"))
}

pub(super) fn database_url(text: &str) -> Result<DatabaseUrl, Problem> {
    let is_known = ["sqlite:", "postgres://", "postgresql://"].iter().any(|start| text.starts_with(start));
    if is_known {
        Ok(DatabaseUrl(text.to_owned()))
    } else {
        Err("is neither a sqlite: nor a postgres:// URL".to_owned())
    }
}

pub(super) fn path(text: &str) -> Result<PathBuf, Problem> {
    if text.is_empty() {
        return Err("is not a path".to_owned());
    }
    std::path::absolute(text).map_err(|error| format!("cannot be made an absolute path: {error}"))
}

pub(super) fn existing_file(text: &str) -> Result<PathBuf, Problem> {
    let path = path(text)?;
    std::fs::File::open(&path).map_err(|error| format!("cannot be read: {error}"))?;
    if Path::is_file(&path) { Ok(path) } else { Err("is not a file".to_owned()) }
}

pub(super) fn number(bounds: RangeInclusive<i64>) -> impl Fn(&str) -> Result<i64, Problem> {
    move |text| match text.parse() {
        Ok(number) if bounds.contains(&number) => Ok(number),
        _ => Err(format!("is not a whole number from {} to {}", bounds.start(), bounds.end())),
    }
}

pub(super) fn yes_or_no(text: &str) -> Result<bool, Problem> {
    match text {
        "yes" | "true" | "1" => Ok(true),
        "no" | "false" | "0" => Ok(false),
        _ => Err("is neither yes nor no".to_owned()),
    }
}

/// How many of something, at least one.
pub(super) fn count(text: &str) -> Result<NonZeroUsize, Problem> {
    text.parse().map_err(|_| "is not a whole number from 1".to_owned())
}

/// Bytes, as a number with an optional unit; all units are powers of 1024, as the engine has it. Fits an `i64`.
pub(super) fn size(least: u64) -> impl Fn(&str) -> Result<u64, Problem> {
    move |text| {
        let bytes = parse_bytes(text).ok_or("is not a size: a number, with K, M, G or T as the unit if any")?;
        if bytes >= least { Ok(bytes) } else { Err(format!("is too small: at least {least} bytes are needed")) }
    }
}

pub(super) fn duration(least: Duration) -> impl Fn(&str) -> Result<Duration, Problem> {
    move |text| {
        let given = humantime::parse_duration(text).map_err(|_| "is not a duration: a number with s, m or h")?;
        if given < least {
            return Err(format!("is too short: at least {} are needed", humantime::format_duration(least)));
        }
        Ok(given)
    }
}

/// A URL with `***` for the password. What is no URL may hold one anywhere, and is not shown at all.
pub(super) fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return if url.starts_with("sqlite:") { url.to_owned() } else { "***".to_owned() };
    };
    // Up to the last @, wherever it is: a password that was not encoded may hold any character.
    let (login, place) = rest.rsplit_once('@').map_or((None, rest), |(login, place)| (Some(login), place));
    let login = login.map(|login| match login.split_once(':') {
        Some((user, _)) => format!("{user}:***@"),
        None => format!("{login}@"),
    });
    let (place, query) = place.split_once('?').map_or((place, None), |(place, query)| (place, Some(query)));
    let query = query.map(|query| if query.contains("password") { "?***".to_owned() } else { format!("?{query}") });
    format!("{scheme}://{}{place}{}", login.unwrap_or_default(), query.unwrap_or_default())
}

/// A path as part of a URL: everything but the slash and the unreserved characters of RFC 3986 §2.3 is encoded.
pub(super) fn percent_encoded_path(path: &str) -> String {
    let encode = |byte: u8| match byte {
        b'/' | b'-' | b'.' | b'_' | b'~' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    path.bytes().map(encode).collect()
}
