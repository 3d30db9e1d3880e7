//! One order: for one name, from the first question to the chain.

use std::time::Duration;

use instant_acme::{
    Account, AuthorizationHandle, AuthorizationStatus, ChallengeType, Identifier, NewOrder, Order, OrderStatus,
    Problem, RetryPolicy,
};
use tokio::time::timeout;

use super::super::super::Error;
use crate::model::{CertificateName, ChallengeChoice};
use crate::route::{Challenges, Offered, tls};
use crate::store::StoreError;

/// How long a whole order may take.
const ORDER_LIMIT: Duration = Duration::from_secs(180);
/// How often, and for how long, an authority is asked whether it has made up its mind.
const PATIENCE: RetryPolicy = RetryPolicy::new().timeout(Duration::from_secs(60));
/// How often an order is begun anew that fails for a nonce.
const NONCE_TRIES: u32 = 4;
/// What begins the types of problems (RFC 8555 §6.7).
const PROBLEM: &str = "urn:ietf:params:acme:error:";

/// The way of a try, after so many failures in a row.
pub(super) fn way(choice: ChallengeChoice, failures: u32) -> ChallengeType {
    match choice {
        ChallengeChoice::Http => ChallengeType::Http01,
        ChallengeChoice::Tls => ChallengeType::TlsAlpn01,
        ChallengeChoice::Any if failures.is_multiple_of(2) => ChallengeType::Http01,
        ChallengeChoice::Any => ChallengeType::TlsAlpn01,
    }
}

/// A certificate that has come: both PEM, the chain's leaf first.
pub(super) struct Issued {
    pub chain: String,
    pub key: String,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(super) enum AcmeError {
    /// The authority, or the way to it.
    #[error("{}", told(.0))]
    Authority(#[from] instant_acme::Error),
    /// The authority looked, and did not find what it should.
    #[error("the authority could not see that the name leads here: {0}")]
    NotSeen(String),
    /// None of the ways that the authority offers is one of ours.
    #[error("the authority does not offer {0}")]
    NotOffered(&'static str),
    /// It took too long.
    #[error("the authority did not make up its mind within {} s", ORDER_LIMIT.as_secs())]
    TimedOut,
    /// The answer to the challenge could not be made.
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Something of the platform failed.
    #[error("{0}")]
    Platform(String),
}

impl AcmeError {
    pub fn platform(error: Error) -> Self {
        Self::Platform(match error {
            // A door would log it; here nobody else does.
            Error::Internal(cause) => format!("{cause:#}"),
            other => other.to_string(),
        })
    }

    fn problem(&self) -> Option<&str> {
        match self {
            Self::Authority(instant_acme::Error::Api(problem)) => problem.r#type.as_deref()?.strip_prefix(PROBLEM),
            _ => None,
        }
    }

    /// Whether the stored account is of no use any more.
    pub fn is_about_account(&self) -> bool {
        matches!(self.problem(), Some("accountDoesNotExist" | "unauthorized"))
    }

    /// Whether the authority was asked too often: by all of us, or for names of one kind.
    pub fn is_rate_limit(&self) -> bool {
        self.problem() == Some("rateLimited")
    }

    /// Whether any other name would fail the same way now: the authority cannot be reached, or has had enough.
    pub fn is_about_all(&self) -> bool {
        match self {
            Self::Authority(instant_acme::Error::Api(_)) => {
                self.is_about_account()
                    || matches!(self.problem(), Some("rateLimited" | "serverInternal" | "externalAccountRequired"))
            }
            Self::Authority(instant_acme::Error::Timeout(_)) => false,
            Self::Authority(_) | Self::Store(_) | Self::Platform(_) => true,
            Self::NotSeen(_) | Self::NotOffered(_) | Self::TimedOut | Self::Tls(_) => false,
        }
    }
}

/// What the authority says, in its words; the library's around them say nothing.
fn told(error: &instant_acme::Error) -> String {
    match error {
        instant_acme::Error::Api(problem) => said(problem),
        other => other.to_string(),
    }
}

fn said(problem: &Problem) -> String {
    let parts = problem.subproblems.iter().filter_map(|part| part.detail.as_deref());
    let all: Vec<&str> = problem.detail.as_deref().into_iter().chain(parts).collect();
    if all.is_empty() { problem.to_string() } else { all.join("; ") }
}

/// Gets a certificate for `name`; what the authority wants to see is shown by `challenges` meanwhile.
///
/// Cancel-safe in that nothing stays offered; the authority forgets an order that nobody finishes.
pub(super) async fn obtain(
    account: &Account,
    challenges: &Challenges,
    name: &CertificateName,
    kind: ChallengeType,
) -> Result<Issued, AcmeError> {
    let mut tries_left = NONCE_TRIES;
    let ordered = async {
        loop {
            tries_left -= 1;
            match order(account, challenges, name, kind.clone()).await {
                // The library repeats a request that is refused for its nonce, though not for ever.
                Err(error) if error.problem() == Some("badNonce") && tries_left > 0 => {}
                other => return other,
            }
        }
    };
    timeout(ORDER_LIMIT, ordered).await.unwrap_or(Err(AcmeError::TimedOut))
}

async fn order(
    account: &Account,
    challenges: &Challenges,
    name: &CertificateName,
    kind: ChallengeType,
) -> Result<Issued, AcmeError> {
    let identifiers = [Identifier::Dns(name.to_string())];
    let mut order = account.new_order(&NewOrder::new(&identifiers)).await?;
    let mut offered = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        // Shown earlier, and remembered by the authority.
        if authorization.status != AuthorizationStatus::Valid {
            offered.push(show(&mut authorization, challenges, name, &kind).await?);
        }
    }
    let ready = order.poll_ready(&PATIENCE).await;
    if !matches!(ready, Ok(OrderStatus::Ready)) {
        // The order itself says only that something is wrong; what it is stands with the challenge.
        return Err(match (why_not_seen(&mut order).await, ready) {
            (Some(why), _) => AcmeError::NotSeen(why),
            (None, Err(error)) => error.into(),
            (None, Ok(status)) => AcmeError::NotSeen(format!("the order is {status:?}")),
        });
    }
    drop(offered);
    let key = order.finalize().await?;
    let chain = order.poll_certificate(&PATIENCE).await?;
    Ok(Issued { chain, key })
}

/// Offers the answer to one challenge, then asks the authority to look.
async fn show<'a>(
    authorization: &'a mut AuthorizationHandle<'a>,
    challenges: &Challenges,
    name: &CertificateName,
    kind: &ChallengeType,
) -> Result<Offered, AcmeError> {
    let (is_http, called) = match kind {
        ChallengeType::Http01 => (true, "http-01"),
        _ => (false, "tls-alpn-01"),
    };
    let mut challenge = authorization.challenge(kind.clone()).ok_or(AcmeError::NotOffered(called))?;
    let proof = challenge.key_authorization();
    let offered = if is_http {
        challenges.offer_text(&challenge.token, proof.as_str())
    } else {
        challenges.offer_certificate(name.as_str(), tls::challenge_certificate(name.as_str(), proof.digest().as_ref())?)
    };
    challenge.set_ready().await?;
    Ok(offered)
}

async fn why_not_seen(order: &mut Order) -> Option<String> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.ok()?;
        let state = authorization.refresh().await.ok()?;
        if let Some(problem) = state.challenges.iter().find_map(|challenge| challenge.error.as_ref()) {
            return Some(said(problem));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_that_failed_gives_way_to_the_other() {
        let ways = |choice| [0, 1, 2].map(|failures| way(choice, failures) == ChallengeType::Http01);
        assert_eq!(ways(ChallengeChoice::Any), [true, false, true]);
        assert_eq!(ways(ChallengeChoice::Http), [true; 3]);
        assert_eq!(ways(ChallengeChoice::Tls), [false; 3]);
    }

    #[test]
    fn what_concerns_one_name_does_not_hold_up_the_others() {
        let of = |kind: &str| {
            let problem = serde_json::json!({"type": format!("{PROBLEM}{kind}"), "detail": "why", "status": 400});
            AcmeError::from(instant_acme::Error::Api(serde_json::from_value(problem).unwrap()))
        };
        for (kind, about_all, about_account) in [
            ("rateLimited", true, false),
            ("accountDoesNotExist", true, true),
            ("rejectedIdentifier", false, false),
            ("dns", false, false),
        ] {
            let error = of(kind);
            assert_eq!((error.is_about_all(), error.is_about_account()), (about_all, about_account), "{kind}");
            assert_eq!(error.to_string(), "why");
        }
        assert!(!AcmeError::NotSeen(String::new()).is_about_all());
        assert!(AcmeError::from(instant_acme::Error::Str("no directory")).is_about_all());
    }
}
