//! One SSH connection: proves a key and opens channels. A key that nobody registered learns nothing.

use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, OnceLock};

use russh::keys::ssh_key::public::KeyData;
use russh::keys::{Algorithm, Certificate, HashAlg};
use russh::server::{Auth, ChannelOpenHandle, Handler, Msg, PublicKeyOffer, Session, VerifiedPublicKey};
use russh::{Channel, ChannelId, ChannelOpenFailure, Pty};
use tokio_util::task::TaskTracker;

use super::channel;
use super::server::Door;
use crate::model::Username;
use crate::net::Place;

/// Channels that one connection may have open at a time, as in OpenSSH (`MaxSessions`).
const MAX_CHANNELS: usize = 10;

/// Who is at the other end.
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    /// Set once a key was proven: whose it is, and its fingerprint.
    pub(super) user: OnceLock<(Username, String)>,
    /// A second handle of the connection's socket.
    pub(super) socket: TcpStream,
    /// Lost while no channel is open, the connection ends.
    pub(super) place: Arc<Place>,
}

impl Peer {
    /// Ends the connection at once, whatever russh waits for.
    pub(super) fn cut(&self) {
        // It may be closed already.
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

/// The callbacks of a connection.
pub(super) struct Connection {
    pub(super) door: Arc<Door>,
    pub(super) peer: Arc<Peer>,
    /// Owns the tasks of the channels.
    pub(super) channels: TaskTracker,
}

impl Connection {
    /// Whose key this is; SHA-1 signatures are nobody's.
    async fn owner(&self, key: &KeyData, algorithm: Option<&Algorithm>) -> Option<(Username, String)> {
        if algorithm == Some(&Algorithm::Rsa { hash: None }) {
            return None;
        }
        let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
        Some((self.door.user_for_key(&fingerprint).await?, fingerprint))
    }

    fn accept(&self, owner: Option<(Username, String)>) -> Auth {
        let Some(user) = owner else { return Auth::reject() };
        tracing::debug!(user.name = %user.0, peer = %self.peer.address, "key proven");
        // Set once only: a connection that has authenticated cannot authenticate again.
        let _ = self.peer.user.set(user);
        self.peer.place.establish();
        Auth::Accept
    }
}

impl Handler for Connection {
    type Error = russh::Error;

    /// An offered key is not a proven one: this only tells the client which of its keys to sign with.
    async fn auth_publickey_offered(&mut self, _user: &str, offer: PublicKeyOffer<'_>) -> Result<Auth, Self::Error> {
        let owner = self.owner(offer.public_key.key_data(), Some(offer.algorithm)).await;
        Ok(if owner.is_some() { Auth::Accept } else { Auth::reject() })
    }

    async fn auth_publickey(&mut self, _user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Self::Error> {
        let owner = self.owner(key.public_key.key_data(), Some(key.algorithm)).await;
        Ok(self.accept(owner))
    }

    /// A certificate is as good as the key in it, which the signature has proven; who issued it says nothing here.
    /// The signature's algorithm was checked when the certificate was offered.
    async fn auth_openssh_certificate(&mut self, _user: &str, proven: &Certificate) -> Result<Auth, Self::Error> {
        let owner = self.owner(proven.public_key(), None).await;
        Ok(self.accept(owner))
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        let (door, peer) = (self.door.clone(), self.peer.clone());
        let Some((user, fingerprint)) = peer.user.get().cloned().filter(|_| !door.stop.is_cancelled()) else {
            reply.reject(ChannelOpenFailure::AdministrativelyProhibited).await;
            return Ok(());
        };
        if self.channels.len() >= MAX_CHANNELS {
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
            return Ok(());
        }
        let (busy, platform) = (peer.place.busy(), door.platform.clone());
        let served = async move {
            channel::serve(&door, &peer, user, &fingerprint, channel).await;
            drop(busy);
        };
        self.channels.spawn_on(served, &platform);
        reply.accept().await;
        Ok(())
    }

    // What follows only answers; the channel's task sees the same requests in its queue and acts on them.

    async fn env_request(
        &mut self,
        channel: ChannelId,
        name: &str,
        _value: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        if name == "GIT_PROTOCOL" { session.channel_success(channel) } else { session.channel_failure(channel) }
    }

    /// Taken and ignored: refused, `ssh -tt` would end before it shows what Slipway has to say.
    async fn pty_request(
        &mut self,
        channel: ChannelId,
        _term: &str,
        _columns: u32,
        _rows: u32,
        _width: u32,
        _height: u32,
        _modes: &[(Pty, u32)],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_success(channel)
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        _command: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_success(channel)
    }

    async fn shell_request(&mut self, channel: ChannelId, session: &mut Session) -> Result<(), Self::Error> {
        session.channel_success(channel)
    }

    /// Taken, so that the one line of explanation can follow.
    async fn subsystem_request(
        &mut self,
        channel: ChannelId,
        _name: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_success(channel)
    }
}
