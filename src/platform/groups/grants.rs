//! Credentials that containers hold on behalf of their group's owner (spec §11).

use crate::model::User;
use crate::platform::{Error, Platform};
use crate::store::{digest, group_instances, process_groups, users};

/// Whose credential was shown, and what it is good for.
#[derive(Debug, Clone)]
pub struct GrantedCaller {
    /// The owner of the group.
    pub user: User,
    /// The scopes that the group was granted.
    pub scopes: Vec<String>,
}

impl Platform {
    /// Whose credential a token from a container's environment is. The look-up is by digest, so that its time tells nothing
    /// of the token.
    ///
    /// # Errors
    /// [`Error::WrongCredentials`] for one that is unknown, void because its container is terminated, or of somebody whose
    /// account is disabled.
    pub async fn caller_of_grant(&self, token: &str) -> Result<GrantedCaller, Error> {
        let pool = self.0.store.pool();
        let group = group_instances::by_credential(pool, &digest(token)).await?;
        let group = match group {
            Some(id) => process_groups::by_id(pool, id).await?,
            None => None,
        };
        let group = group.filter(|group| !group.grants.is_empty()).ok_or(Error::WrongCredentials)?;
        let user = users::by_name(pool, group.owner.as_str()).await?.filter(|user| user.is_active);
        Ok(GrantedCaller { user: user.ok_or(Error::WrongCredentials)?, scopes: group.grants })
    }
}
