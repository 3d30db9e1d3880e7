//! Keys on security tokens: the real ssh, and an agent that signs as a token would (OpenSSH's PROTOCOL.u2f).

use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use russh::keys::signature::Signer as _;
use russh::keys::ssh_key::public::KeyData;
use russh::keys::ssh_key::{EcdsaCurve, Signature};
use russh::keys::{Algorithm, PrivateKey};
use sha2::{Digest, Sha256};

use super::*;

/// What the key is made for, and part of what is signed.
const APPLICATION: &[u8] = b"ssh:";
/// Somebody touched the token.
const PRESENT: u8 = 1;

/// A key whose private half would be on a token.
struct Token {
    kind: &'static str,
    private: PrivateKey,
    blob: Vec<u8>,
}

/// A text as SSH writes it (RFC 4251 §5).
fn text(value: &[u8]) -> Vec<u8> {
    [&u32::try_from(value.len()).unwrap().to_be_bytes()[..], value].concat()
}

impl Token {
    fn ed25519() -> Self {
        let private = PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519).unwrap();
        let KeyData::Ed25519(public) = private.public_key().key_data() else { unreachable!() };
        let kind = "sk-ssh-ed25519@openssh.com";
        let blob = [text(kind.as_bytes()), text(public.as_ref()), text(APPLICATION)].concat();
        Self { kind, private, blob }
    }

    fn p256() -> Self {
        let curve = EcdsaCurve::NistP256;
        let private = PrivateKey::random(&mut rand::rng(), Algorithm::Ecdsa { curve }).unwrap();
        let KeyData::Ecdsa(public) = private.public_key().key_data() else { unreachable!() };
        let kind = "sk-ecdsa-sha2-nistp256@openssh.com";
        let fields = [kind.as_bytes(), b"nistp256", public.as_sec1_bytes(), APPLICATION];
        let blob = fields.map(text).concat();
        Self { kind, private, blob }
    }

    /// The line of its `.pub` file.
    fn line(&self) -> String {
        format!("{} {} token", self.kind, BASE64.encode(&self.blob))
    }

    /// Signs what says for what, that somebody is there, how often, and the digest of the message.
    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let state = [&[PRESENT][..], &7_u32.to_be_bytes()].concat();
        let signed = [&Sha256::digest(APPLICATION)[..], &state, &Sha256::digest(message)].concat();
        let signature: Signature = self.private.try_sign(&signed).unwrap();
        [text(self.kind.as_bytes()), text(signature.as_bytes()), state].concat()
    }

    /// Serves one client of an agent (draft-miller-ssh-agent).
    fn serve(&self, mut client: UnixStream) -> io::Result<()> {
        loop {
            let mut length = [0; 4];
            client.read_exact(&mut length)?;
            let mut request = vec![0; u32::from_be_bytes(length) as usize];
            client.read_exact(&mut request)?;
            let answer = match request[0] {
                11 => [&[12, 0, 0, 0, 1][..], &text(&self.blob), &text(b"token")].concat(),
                13 => {
                    let data = &request[1 + text(&self.blob).len()..];
                    let length = u32::from_be_bytes(data[..4].try_into().unwrap()) as usize;
                    [vec![14], text(&self.sign(&data[4..4 + length]))].concat()
                }
                _ => vec![5],
            };
            client.write_all(&text(&answer))?;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_on_security_tokens_open_the_door() {
    let world = World::new().await;
    for (name, token) in [("ed25519", Token::ed25519()), ("p256", Token::p256())] {
        let (line, socket, public) =
            (token.line(), world.path(&format!("{name}.sock")), world.path(&format!("{name}.pub")));
        fs::write(&public, format!("{line}\n")).unwrap();
        let agent = UnixListener::bind(&socket).unwrap();
        // Ends with the test: an accept on a thread of its own holds up nobody.
        std::thread::spawn(move || agent.incoming().flatten().for_each(|client| _ = token.serve(client)));
        let ssh = |world: &World| {
            let shown = format!("{} -o IdentityAgent={}", world.ssh_line(name), socket.display());
            let shown =
                shown.replacen(&format!("-i {}", world.path(name).display()), &format!("-i {}", public.display()), 1);
            let mut words = shown.split(' ').map(str::to_owned);
            let mut ssh = Command::new(words.next().unwrap());
            ssh.args(words).args(["-p", &world.address.port().to_string(), "git@127.0.0.1"]);
            ssh.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
            ssh
        };
        let said = heard(&finish(ssh(&world)).await);
        assert!(said.contains("Permission denied"), "nobody has registered it: {said}");
        world.platform.add_key(&line, "ann");
        let said = heard(&finish(ssh(&world)).await);
        assert!(said.starts_with("Hi ann!"), "{name}: {said}");
    }
    world.close().await;
}
