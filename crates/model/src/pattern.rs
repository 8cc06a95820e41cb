//! Shell-like patterns for names: `*` is any run of characters, `?` is any one. ASCII case does not count, as in the names
//! they match. There are no classes, no braces and no escapes; grants, `[[discover]]` and `take_over` use them.

use std::fmt;

/// A pattern such as `web*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// Takes any text; text without `*` and `?` matches itself.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Whether the whole of `name` matches.
    pub fn matches(&self, name: &str) -> bool {
        matches(self.0.as_bytes(), name.as_bytes(), |a, b| a.eq_ignore_ascii_case(&b))
    }

    /// The same with upper and lower case told apart, for file names.
    pub fn matches_file(&self, name: &str) -> bool {
        matches(self.0.as_bytes(), name.as_bytes(), |a, b| a == b)
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Greedy match that returns to the last `*` only, so the cost is at most pattern times name.
fn matches(pattern: &[u8], name: &[u8], same: impl Fn(u8, u8) -> bool) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(&byte) = name.get(n) {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(&wanted) if wanted == b'?' || same(wanted, byte) => {
                p += 1;
                n += 1;
            }
            _ => {
                let Some((star_at, taken)) = star else { return false };
                star = Some((star_at, taken + 1));
                p = star_at + 1;
                n = taken + 1;
            }
        }
    }
    pattern.iter().skip(p).all(|&rest| rest == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks_match_as_in_a_shell() {
        for (pattern, name) in [
            ("*", ""),
            ("*", "web1"),
            ("web*", "WEB1"),
            ("w?b*1", "web-21"),
            ("*.qmp", "a.qmp"),
            ("a*b*c", "axbxbxc"),
        ] {
            assert!(Pattern::new(pattern).matches(name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("", "a"),
            ("?", ""),
            ("web*", "we"),
            ("*.qmp", "a.qmp~"),
            ("a*b*c", "axbxb"),
            ("web1", "web10"),
        ] {
            assert!(!Pattern::new(pattern).matches(name), "{pattern} {name}");
        }
    }

    #[test]
    fn file_names_keep_their_case() {
        assert!(Pattern::new("*.qmp").matches_file("web1.qmp"));
        assert!(!Pattern::new("*.qmp").matches_file("web1.QMP"));
    }
}
