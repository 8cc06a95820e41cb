//! Accounts: the users file, the NT hashes in it, and fresh passwords for `demo` and `run`. It knows no rights; those are
//! the registry's grants.

mod file;
mod sam;
mod users;

pub use file::{UserName, UsersError, UsersFile};
pub use users::Users;

use rdpmux_server::NtHash;

/// A password of 60 random bits in three groups that are easy to read out and type.
pub fn random_password() -> String {
    format!("{}-{}-{}", random_word(4), random_word(4), random_word(4))
}

/// `length` characters of 5 random bits each, without those that look alike.
pub fn random_word(length: usize) -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut bytes = vec![0; length];
    getrandom::fill(&mut bytes).expect("the kernel's random source is always there on Linux");
    bytes
        .iter()
        .map(|byte| char::from(LETTERS[usize::from(byte % 32)]))
        .collect()
}

/// Compares without telling by time how far the two agree.
pub(crate) fn same_hash(a: &NtHash, b: &NtHash) -> bool {
    let difference = a.0.iter().zip(&b.0).fold(0, |sum, (a, b)| sum | (a ^ b));
    std::hint::black_box(difference) == 0
}

#[cfg(test)]
mod tests;
