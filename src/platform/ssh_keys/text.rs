//! The text that a person sends as a public key: one OpenSSH line in the end, or a word about what it is instead.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ssh_key::{Algorithm, HashAlg, PublicKey};

/// Shortest RSA modulus that is taken, in bits; OpenSSH's own limit for what is still considered safe.
const RSA_BITS_MIN: usize = 2048;
/// The first line of a public key as RFC 4716 writes it; PuTTYgen's "Save public key" does.
const RFC_4716: &str = "---- BEGIN SSH2 PUBLIC KEY ----";
/// What a person is to send.
const SEND: &str = "Send the whole line of the .pub file, for example that of: cat ~/.ssh/id_ed25519.pub";

/// A public key that is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    /// `TYPE BASE64 COMMENT`, one line.
    pub(super) line: String,
    /// `SHA256:...`, the same for every comment.
    pub(super) fingerprint: String,
}

impl Key {
    /// Reads an OpenSSH public key line, or a key in the form of RFC 4716. Line ends of Windows, a byte order mark, blank
    /// lines and comments (`#`) around it say nothing.
    ///
    /// # Errors
    /// One line that says what the text is, and what to send or type instead. It quotes nothing that may be secret.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let text = text.trim_start_matches('\u{feff}');
        refuse_foreign(text)?;
        let line = if text.contains(RFC_4716) { from_rfc_4716(text)? } else { only_line(text)? };
        refuse_what_is_no_key_line(&line)?;
        let line = with_type(line);
        let key = PublicKey::from_openssh(&line)
            .map_err(|error| format!("This is not an OpenSSH public key, or a damaged one ({error}). {SEND}"))?;
        refuse_weak(&key)?;
        Ok(Self { fingerprint: key.fingerprint(HashAlg::Sha256).to_string(), line })
    }
}

/// What other programs keep keys in, told by its marks wherever they are.
fn refuse_foreign(text: &str) -> Result<(), String> {
    let private = ["PRIVATE KEY-----", "PRIVATE KEY ----", "SSH PRIVATE KEY FILE FORMAT", "Private-Lines:"];
    if text.contains("PuTTY-User-Key-File-") {
        return Err("This is PuTTY's file of a private key (.ppk), which should be nobody's but yours. Open it in PuTTYgen \
                    and send what it shows below 'Public key for pasting into OpenSSH authorized_keys file', or what this \
                    prints: puttygen FILE -L"
            .to_owned());
    }
    if private.iter().any(|mark| text.contains(mark)) {
        return Err(
            "This is a private key, which should be nobody's but yours. Send its public half, the .pub file beside \
                    it, or what this prints: ssh-keygen -y -f FILE"
                .to_owned(),
        );
    }
    let Some(label) = pem_label(text) else { return Ok(()) };
    Err(match label {
        "PUBLIC KEY" => pem_key("PKCS8"),
        "RSA PUBLIC KEY" => pem_key("PEM"),
        "CERTIFICATE" | "TRUSTED CERTIFICATE" | "X509 CERTIFICATE" => "This is an X.509 certificate, as for HTTPS, and not \
             an SSH key. Make a key with ssh-keygen -t ed25519 and send its .pub file; certificates of domains are added at \
             /v1/certs"
            .to_owned(),
        "PGP PUBLIC KEY BLOCK" => {
            "This is an OpenPGP key. Send what this prints: gpg --export-ssh-key KEY-ID".to_owned()
        }
        other => format!("This is a PEM file ('{}') and not an SSH public key. {SEND}", shortened(other)),
    })
}

fn pem_key(format: &str) -> String {
    format!("This is a public key in PEM form. Send what this prints: ssh-keygen -i -m {format} -f FILE")
}

/// `X` of `-----BEGIN X-----`.
fn pem_label(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("-----BEGIN ")?;
    rest.split_once("-----").map(|(label, _)| label)
}

/// The key between the marks of RFC 4716, §3: headers, which a backslash continues, and base64.
fn from_rfc_4716(text: &str) -> Result<String, String> {
    if text.matches("---- BEGIN ").count() > 1 {
        return Err(several("This text holds several keys in the form of RFC 4716"));
    }
    let damaged = || {
        "This key in the form of RFC 4716 (as PuTTYgen saves it) is not whole: the lines from '---- BEGIN' to '---- END' \
         belong to it, each on a line of its own. Send them all, or what this prints: ssh-keygen -i -f FILE"
            .to_owned()
    };
    let mut lines = text.lines().map(str::trim).skip_while(|line| *line != RFC_4716).skip(1);
    let (mut base64, mut comment) = (String::new(), String::new());
    loop {
        let line = lines.next().ok_or_else(damaged)?;
        if line.starts_with("---- END SSH2 PUBLIC KEY") {
            break;
        }
        match line.split_once(':') {
            None => base64.push_str(line),
            Some((tag, value)) => {
                let mut value = value.trim().to_owned();
                while value.ends_with('\\') {
                    value.pop();
                    value.push_str(lines.next().ok_or_else(damaged)?);
                }
                if tag.eq_ignore_ascii_case("comment") {
                    comment = value.trim_matches('"').to_owned();
                }
            }
        }
    }
    if lines.any(|line| !line.is_empty()) {
        return Err(several("There is more than one key in this text"));
    }
    let kind = blob_type(&base64).ok_or_else(damaged)?;
    Ok(format!("{kind} {base64} {comment}").trim_end().to_owned())
}

/// The one line that is neither blank nor a comment.
fn only_line(text: &str) -> Result<String, String> {
    let lines: Vec<&str> = text.split(['\n', '\r']).map(str::trim).collect();
    let lines: Vec<&str> = lines.into_iter().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    match lines[..] {
        [] => Err(format!("There is no key in this text. {SEND}")),
        [line] => Ok(line.to_owned()),
        [first, ref rest @ ..] => {
            let are_keys = |line: &&str| line.split_whitespace().any(|word| blob_type(word).is_some());
            let keys = usize::from(are_keys(&first)) + rest.iter().filter(|line| are_keys(line)).count();
            Err(if keys > 1 {
                several(&format!("There are {keys} keys in this text"))
            } else {
                format!("This key is broken into {} lines, and has to be one. {SEND}", lines.len())
            })
        }
    }
}

/// What stands in one line and is still no key, or not only one.
fn refuse_what_is_no_key_line(line: &str) -> Result<(), String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    if words.iter().filter(|word| blob_type(word).is_some()).count() > 1 {
        return Err(several("There is more than one key in this line"));
    }
    let first = words.first().copied().unwrap_or_default();
    if words.iter().any(|word| word.starts_with("SHA256:") || word.starts_with("MD5:")) && words.len() < 6 {
        return Err(format!("This is the fingerprint of a key and not the key. {SEND}"));
    }
    if first.contains("-cert-v01@")
        || words.iter().find_map(|word| blob_type(word)).is_some_and(|it| it.contains("-cert-"))
    {
        return Err(
            "This is an SSH certificate. Send the key that it was made for, the .pub file without '-cert' in its \
                    name; a login with the certificate is taken then, too"
                .to_owned(),
        );
    }
    if words.len() == 1 && (first.contains(".pub") || first.starts_with(['~', '@', '/']) && !first.contains('=')) {
        return Err(format!("This is the name of a file; its content is what is needed. {SEND}"));
    }
    if blob_type(first).is_none() && words.iter().skip(2).any(|word| blob_type(word).is_some()) {
        return Err(format!(
            "The line has more than a key: options in front, as in authorized_keys, or a host, as in known_hosts. They would \
             do nothing here. Send it from '{}' on",
            words.iter().find_map(|word| blob_type(word)).unwrap_or_default()
        ));
    }
    Ok(())
}

/// The type that the base64 of a key begins with, if it is that of a key.
fn blob_type(word: &str) -> Option<String> {
    // Each begins with the length of a short text: three zero bytes.
    if !word.starts_with("AAAA") {
        return None;
    }
    // Only the beginning decides; what a broken line or a bad paste did to the rest does not.
    let head = word.get(..word.len().min(96) / 4 * 4)?.trim_end_matches('=');
    let head = BASE64.decode(head.get(..head.len() / 4 * 4)?).ok()?;
    let length = usize::from(*head.get(3)?);
    let name = std::str::from_utf8(head.get(4..4 + length)?).ok()?;
    let is_type = name.starts_with("ssh-") || name.starts_with("ecdsa-") || name.starts_with("sk-");
    is_type.then(|| name.to_owned())
}

/// A lone base64 gets the type that it names in front.
fn with_type(line: String) -> String {
    let first = line.split_whitespace().next().unwrap_or_default();
    match blob_type(first) {
        Some(kind) => format!("{kind} {line}"),
        None => line.split_whitespace().collect::<Vec<_>>().join(" "),
    }
}

fn refuse_weak(key: &PublicKey) -> Result<(), String> {
    match key.algorithm() {
        Algorithm::Ed25519 | Algorithm::Ecdsa { .. } | Algorithm::SkEd25519 | Algorithm::SkEcdsaSha2NistP256 => Ok(()),
        Algorithm::Rsa { .. } => {
            let bits = key.key_data().rsa().and_then(|rsa| rsa.n.as_positive_bytes()).map_or(0, |n| n.len() * 8);
            if bits < RSA_BITS_MIN {
                return Err(format!(
                    "An RSA key needs at least {RSA_BITS_MIN} bits, this one has about {bits}. Make a new key: ssh-keygen -t \
                     ed25519"
                ));
            }
            Ok(())
        }
        other => Err(format!(
            "Keys of type {other} are not taken; use ssh-ed25519, ssh-rsa or ecdsa-sha2-*, or one on a security token \
             (sk-ssh-ed25519@openssh.com). Make a new key: ssh-keygen -t ed25519"
        )),
    }
}

fn several(what: &str) -> String {
    format!("{what}, and an id stands for one. Send each by itself, under an id of its own")
}

fn shortened(text: &str) -> String {
    text.chars().take(40).collect::<String>().escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BLOB: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIJHqLJ3JJXPkvXu4NuYvQZ7bB3p6vUdl7YpFQbCkKfSW";
    const OTHER: &str = "AAAAC3NzaC1lZDI1NTE5AAAAICBUqV8HliiDHbeXtvjNcNeIzopO+Z2XZxXFu1fg1KoL";
    /// `ssh-keygen` cannot make one without a token; these are those of OpenSSH's own tests of the format.
    const SK_ED25519: &str = "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAICFo/k5LU8863u66YC9eUO2170QduohPURkQnbLa/dczAAAABHNzaDo=";

    fn line() -> String {
        format!("ssh-ed25519 {BLOB}")
    }

    fn refusal(text: &str) -> String {
        Key::read(text).unwrap_err()
    }

    #[test]
    fn a_key_is_told_by_its_blob_whatever_is_around_it() {
        let plain = Key::read(&line()).unwrap();
        assert!(plain.fingerprint.starts_with("SHA256:") && plain.line == line());
        for same in [
            format!("\u{feff}{}\r\n", line()),
            format!("\n# mine\n\n  {} \n\n", line()),
            format!("ssh-ed25519\t{BLOB}"),
            BLOB.to_owned(),
        ] {
            assert_eq!(Key::read(&same).unwrap(), plain, "{same:?}");
        }
        let commented = Key::read(&format!("{} me@laptop, at home", line())).unwrap();
        assert_eq!(
            (&commented.fingerprint, commented.line),
            (&plain.fingerprint, format!("{} me@laptop, at home", line()))
        );
    }

    #[test]
    fn keys_on_security_tokens_are_taken() {
        assert_eq!(Key::read(SK_ED25519).unwrap().line, SK_ED25519);
        let p256 = sk_ecdsa();
        assert_eq!(Key::read(&p256).unwrap().line, p256);
    }

    /// The generator of P-256 is a point like any other.
    fn sk_ecdsa() -> String {
        let text = |value: &[u8]| [&(value.len() as u32).to_be_bytes()[..], value].concat();
        let point = hex::decode(
            "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296\
             4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5",
        )
        .unwrap();
        let kind = "sk-ecdsa-sha2-nistp256@openssh.com";
        let blob = [text(kind.as_bytes()), text(b"nistp256"), text(&point), text(b"ssh:")].concat();
        format!("{kind} {} token", BASE64.encode(blob))
    }

    #[test]
    fn rfc_4716_becomes_a_line() {
        let (one, two) = BLOB.split_at(40);
        let plain = format!("---- BEGIN SSH2 PUBLIC KEY ----\r\n{one}\r\n{two}\r\n---- END SSH2 PUBLIC KEY ----\r\n");
        assert_eq!(Key::read(&plain).unwrap().line, line());
        let with_headers =
            plain.replace(one, &format!("Subject: bob\nComment: \"256-bit ED25519, \\\nbob@laptop\"\n{one}"));
        assert_eq!(Key::read(&with_headers).unwrap().line, format!("{} 256-bit ED25519, bob@laptop", line()));
        assert!(refusal(&plain.repeat(2)).contains("several keys"));
        assert!(refusal(&format!("{plain}{}", line())).contains("more than one key"));
        assert!(refusal(&plain.replace("\r\n", "")).contains("ssh-keygen -i -f FILE"));
        assert!(refusal(&plain.replace("---- END", "")).contains("not whole"));
    }

    #[test]
    fn two_keys_are_never_one() {
        let two = [line(), format!("ssh-ed25519 {OTHER} two")];
        for text in [two.join("\n"), two.join("\r\n"), two.join("\n\n# and\n"), two.join("\r"), two.join(" ")] {
            assert!(refusal(&text).ends_with("Send each by itself, under an id of its own"), "{text}");
        }
        // curl -d drops the line ends of a file.
        assert!(refusal(&two.map(|line| format!("{line} me")).concat()).contains("more than one key"));
        assert!(refusal(&format!("ssh-ed25519\n{BLOB}")).contains("broken into 2 lines"));
    }

    #[test]
    fn whatever_else_it_is_is_said_with_what_to_send() {
        for (text, says) in [
            (
                "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaA==\n-----END OPENSSH PRIVATE KEY-----",
                "ssh-keygen -y -f FILE",
            ),
            ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----", "ssh-keygen -y -f FILE"),
            ("-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIE\n", "This is a private key"),
            ("---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\nP2/56\n", "This is a private key"),
            ("PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\nPrivate-Lines: 1\n", "puttygen FILE -L"),
            ("-----BEGIN PUBLIC KEY-----\nMCow\n-----END PUBLIC KEY-----", "ssh-keygen -i -m PKCS8 -f FILE"),
            ("-----BEGIN RSA PUBLIC KEY-----\nMIIB\n", "ssh-keygen -i -m PEM -f FILE"),
            ("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----", "X.509 certificate"),
            ("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmQ\n", "gpg --export-ssh-key"),
            ("-----BEGIN SSH SIGNATURE-----\nU1NI\n", "'SSH SIGNATURE'"),
            (
                "ssh-ed25519-cert-v01@openssh.com AAAAIHNzaC1lZDI1NTE5LWNlcnQtdjAxQG9wZW5zc2guY29tAAAAIA== bob",
                "certificate",
            ),
            ("256 SHA256:4vKXOzWsTIjDbrPLzBvOLcPmFNjJc5JyW8wJ0b1QHk0 bob (ED25519)", "fingerprint"),
            ("~/.ssh/id_ed25519.pub", "name of a file"),
            ("@id_ed25519.pub", "name of a file"),
            ("", "There is no key"),
            ("# only a comment", "There is no key"),
            ("ssh-ed25519", "not an OpenSSH public key"),
            ("ssh-ed25519 AAAA", "not an OpenSSH public key"),
            ("hello world", "cat ~/.ssh/id_ed25519.pub"),
            ("ssh-dss AAAAB3NzaC1kc3MAAACBAP", "not an OpenSSH public key"),
        ] {
            let said = refusal(text);
            assert!(said.contains(says) && !said.contains('\n'), "{text}: {said}");
            assert!(!said.contains("b3BlbnNzaA"), "nothing secret is repeated");
        }
        let options = refusal(&format!("command=\"ls\",no-pty {}", line()));
        assert!(options.contains("Send it from 'ssh-ed25519' on"), "{options}");
        assert!(refusal(&format!("example.com {}", line())).contains("known_hosts"));
        let private_too = format!("{}\n-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n", line());
        assert!(refusal(&private_too).starts_with("This is a private key"));
    }

    proptest! {
        #[test]
        fn never_panics(text in "(ssh-ed25519 |AAAAC3NzaC1lZDI1NTE5|---- BEGIN SSH2 PUBLIC KEY ----\n|é|=|\\PC|\n|:|\\\\){0,12}") {
            if let Ok(key) = Key::read(&text) {
                prop_assert!(!key.line.contains(['\n', '\r']));
            }
        }
    }
}
