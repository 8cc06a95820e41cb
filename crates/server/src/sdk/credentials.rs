//! Who may log in to a server of the SDK: one known user, whom a validator says, or accounts of the program's own.

use core::fmt;
use std::pin::Pin;
use std::sync::Arc;

use parking_lot::RwLock;
use tracing::error;

use super::oversight::caught;
use crate::access::{Accounts, NtHash};

/// A name and its password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// ASCII case does not count.
    pub username: String,
    /// In the clear. It is not printed by `Debug`.
    pub password: String,
    /// Not compared: whatever domain a client sends is taken.
    pub domain: Option<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("username", &self.username)
            .field("domain", &self.domain)
            .finish_non_exhaustive()
    }
}

/// What a [`CredentialValidator`] has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialDecision {
    /// The client may come in.
    Accept,
    /// The client is told that name or password is wrong.
    Reject,
}

/// A validator could not find out; the client is refused.
#[derive(Debug)]
pub struct CredentialValidationError(Box<dyn core::error::Error + Send + Sync>);

impl CredentialValidationError {
    /// Takes what went wrong behind the validator.
    pub fn new<E: core::error::Error + Send + Sync + 'static>(source: E) -> Self {
        Self(Box::new(source))
    }
}

impl fmt::Display for CredentialValidationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the credentials could not be checked")
    }
}

impl core::error::Error for CredentialValidationError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        Some(&*self.0)
    }
}

/// Judges the credentials that a client sends inside TLS, or in the clear without security. Not asked in NLA logins, where no
/// password is sent: those need [`Accounts`] or credentials that are set.
///
/// ```
/// use rdpmux_server::{CredentialDecision, CredentialValidationError, CredentialValidator, Credentials};
///
/// struct Guests;
///
/// #[async_trait::async_trait]
/// impl CredentialValidator for Guests {
///     async fn validate(&self, credentials: &Credentials) -> Result<CredentialDecision, CredentialValidationError> {
///         Ok(match credentials.username.as_str() {
///             "guest" => CredentialDecision::Accept,
///             _ => CredentialDecision::Reject,
///         })
///     }
/// }
/// ```
#[async_trait::async_trait]
pub trait CredentialValidator: Send + Sync {
    /// Whether the client may come in. It has until the login's deadline; several clients are judged at once.
    async fn validate(&self, credentials: &Credentials) -> Result<CredentialDecision, CredentialValidationError>;
}

/// Accepts one name and password.
pub struct ExactMatchCredentialValidator(Credentials);

impl ExactMatchCredentialValidator {
    /// Accepts only these.
    pub fn new(expected: Credentials) -> Self {
        Self(expected)
    }
}

#[async_trait::async_trait]
impl CredentialValidator for ExactMatchCredentialValidator {
    async fn validate(&self, credentials: &Credentials) -> Result<CredentialDecision, CredentialValidationError> {
        Ok(match credentials == &self.0 {
            true => CredentialDecision::Accept,
            false => CredentialDecision::Reject,
        })
    }
}

/// The accounts of a server: may be changed while it runs.
#[derive(Default)]
pub(super) struct People {
    pub(super) credentials: RwLock<Option<Credentials>>,
    pub(super) validator: RwLock<Option<Arc<dyn CredentialValidator>>>,
    pub(super) accounts: Option<Arc<dyn Accounts>>,
}

impl People {
    /// Whether nobody at all can prove anything by NLA.
    pub(super) fn is_empty(&self) -> bool {
        self.accounts.is_none() && self.credentials.read().is_none()
    }
}

impl Accounts for People {
    fn nt_hash(&self, user: &str) -> Option<NtHash> {
        if let Some(accounts) = &self.accounts {
            return accounts.nt_hash(user);
        }
        let known = self.credentials.read();
        let known = known
            .as_ref()
            .filter(|known| known.username.eq_ignore_ascii_case(user))?;
        Some(NtHash::of_password(&known.password))
    }

    /// Without credentials, validator and accounts everybody may come in, as in the document.
    fn verify(&self, user: &str, password: &str) -> bool {
        if let Some(accounts) = &self.accounts {
            return accounts.verify(user, password);
        }
        match &*self.credentials.read() {
            None => true,
            Some(known) => {
                // Compared by hash, which takes the same time for every password.
                let is_right = NtHash::of_password(&known.password) == NtHash::of_password(password);
                known.username.eq_ignore_ascii_case(user) & is_right
            }
        }
    }

    fn prove<'a>(
        &'a self,
        user: &'a str,
        domain: Option<&'a str>,
        password: &'a str,
    ) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>> {
        Box::pin(async move {
            let validator = self.validator.read().clone();
            let Some(validator) = validator else {
                return self.verify(user, password);
            };
            let credentials = Credentials {
                username: user.to_owned(),
                password: password.to_owned(),
                domain: domain.map(str::to_owned),
            };
            match caught("credential validator", validator.validate(&credentials)).await {
                Some(Ok(decision)) => decision == CredentialDecision::Accept,
                Some(Err(error)) => {
                    error!(user, error = %anyhow::Error::from(error), "a client is refused");
                    false
                }
                None => false,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Credentials {
        Credentials {
            username: "admin".into(),
            password: "pässword".into(),
            domain: None,
        }
    }

    #[tokio::test]
    async fn set_credentials_let_one_user_in_and_none_everybody() {
        let people = People::default();
        assert!(people.prove("who", None, "ever").await && people.is_empty());
        *people.credentials.write() = Some(known());
        assert!(people.prove("Admin", Some("CORP"), "pässword").await);
        assert!(!people.prove("admin", None, "password").await);
        assert!(!people.prove("root", None, "pässword").await);
        assert_eq!(people.nt_hash("ADMIN"), Some(NtHash::of_password("pässword")));
        assert_eq!(people.nt_hash("root"), None);
    }

    struct Moody;

    #[async_trait::async_trait]
    impl CredentialValidator for Moody {
        async fn validate(&self, credentials: &Credentials) -> Result<CredentialDecision, CredentialValidationError> {
            match credentials.username.as_str() {
                "panic" => panic!("as asked"),
                "error" => Err(CredentialValidationError::new(std::io::Error::other("no directory"))),
                "guest" => Ok(CredentialDecision::Accept),
                _ => Ok(CredentialDecision::Reject),
            }
        }
    }

    #[tokio::test]
    async fn a_validator_that_fails_or_panics_refuses_that_client_only() {
        let people = People::default();
        *people.validator.write() = Some(Arc::new(Moody));
        assert!(!people.prove("panic", None, "").await);
        assert!(!people.prove("error", None, "").await);
        assert!(!people.prove("other", None, "").await);
        assert!(people.prove("guest", None, "").await);
    }

    #[tokio::test]
    async fn the_exact_match_compares_all_and_no_password_is_printed() {
        let validator = ExactMatchCredentialValidator::new(known());
        let judged = async |credentials| validator.validate(&credentials).await.unwrap();
        assert_eq!(judged(known()).await, CredentialDecision::Accept);
        let other = Credentials {
            domain: Some("CORP".into()),
            ..known()
        };
        assert_eq!(judged(other).await, CredentialDecision::Reject);
        assert!(!format!("{:?}", known()).contains("word"));
    }
}
