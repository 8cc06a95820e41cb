//! `cargo xtask deny`: the licences, sources and bans of deny.toml, checked over `cargo metadata` of every workspace
//! here. Not cargo-deny itself: building that takes longer than all our tests on two cores. It reads the same file.

use crate::metadata::{self, Metadata, Package};
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::path::Path;

/// The root manifests of the workspaces of this repository.
const WORKSPACES: &[&str] = &["Cargo.toml", "fuzz/Cargo.toml", "guests/kms/Cargo.toml"];

/// Runs the subcommand.
///
/// # Errors
/// When a dependency is not what deny.toml allows; each is named.
pub fn run() -> Result<()> {
    let policy: toml::Table = std::fs::read_to_string("deny.toml")?.parse().context("deny.toml")?;
    let policy = Policy::read(&policy)?;
    let mut refused = Vec::new();
    let mut count = 0;
    for workspace in WORKSPACES {
        let metadata = metadata::read(Path::new(workspace))?;
        let built = metadata::built(Path::new(workspace))?;
        let is_used = |package: &&Package| built.contains(&(package.name.clone(), package.version.clone()));
        let used: Vec<&Package> = metadata.packages.iter().filter(is_used).collect();
        count += used.len();
        for package in &used {
            refused.extend(
                policy
                    .judge(package)
                    .into_iter()
                    .map(|reason| format!("{workspace}: {} {}: {reason}", package.name, package.version)),
            );
        }
        warn_of_duplicates(workspace, &metadata, &used);
    }
    if !refused.is_empty() {
        bail!(
            "{} dependencies are not allowed:\n  {}",
            refused.len(),
            refused.join("\n  ")
        );
    }
    println!("deny: {count} packages are of allowed licences and sources");
    Ok(())
}

struct Policy {
    licenses: Vec<String>,
    registries: Vec<String>,
    banned: Vec<String>,
}

impl Policy {
    fn read(table: &toml::Table) -> Result<Self> {
        let strings = |section: &str, key: &str| -> Result<Vec<String>> {
            let list = table
                .get(section)
                .and_then(|section| section.get(key))
                .and_then(toml::Value::as_array);
            let list = list.with_context(|| format!("deny.toml lacks {section}.{key}"))?;
            Ok(list
                .iter()
                .filter_map(|value| {
                    value
                        .as_str()
                        .or_else(|| value.get("crate")?.as_str())
                        .map(str::to_owned)
                })
                .collect())
        };
        Ok(Self {
            licenses: strings("licenses", "allow")?,
            registries: strings("sources", "allow-registry")?,
            banned: strings("bans", "deny")?,
        })
    }

    fn judge(&self, package: &Package) -> Vec<String> {
        let mut reasons = Vec::new();
        if let Some(source) = &package.source {
            let known = source
                .strip_prefix("registry+")
                .is_some_and(|uri| self.registries.iter().any(|allowed| allowed == uri));
            if !known {
                reasons.push(format!("source {source} is not allowed"));
            }
        }
        match &package.license {
            None => reasons.push("names no licence".to_owned()),
            Some(expression) if !allows(expression, &self.licenses) => {
                reasons.push(format!("licence {expression} is not allowed"))
            }
            Some(_) => {}
        }
        if self.banned.contains(&package.name) {
            reasons.push("is banned".to_owned());
        }
        if package.source.is_none() {
            let open = package
                .dependencies
                .iter()
                .filter(|dependency| dependency.requirement == "*" && !dependency.is_path);
            reasons.extend(open.map(|dependency| format!("asks for any version of {}", dependency.name)));
        }
        reasons
    }
}

fn warn_of_duplicates(workspace: &str, metadata: &Metadata, used: &[&Package]) {
    let mut versions: BTreeMap<&str, Vec<&Package>> = BTreeMap::new();
    for package in used {
        versions.entry(&package.name).or_default().push(package);
    }
    for (name, packages) in versions.into_iter().filter(|(_, packages)| packages.len() > 1) {
        let list: Vec<String> = packages
            .iter()
            .map(|package| format!("{} ({})", package.version, users(metadata, &package.id).join(", ")))
            .collect();
        println!(
            "warning: {workspace}: {} versions of {name}: {}",
            packages.len(),
            list.join("; ")
        );
    }
}

fn users(metadata: &Metadata, id: &str) -> Vec<String> {
    let by = metadata.packages.iter().filter(|package| {
        metadata
            .resolved
            .get(&package.id)
            .is_some_and(|dependencies| dependencies.contains(id))
    });
    by.map(|package| package.name.clone()).take(3).collect()
}

/// Whether an SPDX expression (or the old form with slashes) can be met with `allowed` licences.
fn allows(expression: &str, allowed: &[String]) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    let result = either(&words, &mut at, allowed);
    at == words.len() && result
}

fn either(words: &[&str], at: &mut usize, allowed: &[String]) -> bool {
    let mut result = both(words, at, allowed);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        result |= both(words, at, allowed);
    }
    result
}

fn both(words: &[&str], at: &mut usize, allowed: &[String]) -> bool {
    let mut result = term(words, at, allowed);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        result &= term(words, at, allowed);
    }
    result
}

fn term(words: &[&str], at: &mut usize, allowed: &[String]) -> bool {
    let Some(word) = words.get(*at) else { return false };
    *at += 1;
    if *word == "(" {
        let inner = either(words, at, allowed);
        *at += 1;
        return inner;
    }
    if words.get(*at) == Some(&"WITH") {
        let exception = words.get(*at + 1).copied().unwrap_or_default();
        *at += 2;
        return allowed
            .iter()
            .any(|license| *license == format!("{word} WITH {exception}"));
    }
    allowed.iter().any(|license| license == word)
}

#[cfg(test)]
mod tests {
    use super::allows;

    #[test]
    fn a_licence_expression_is_judged_as_spdx_says() {
        let allowed: Vec<String> = ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"]
            .map(str::to_owned)
            .to_vec();
        for good in [
            "MIT",
            "MIT OR GPL-2.0",
            "GPL-2.0/MIT",
            "(GPL-3.0 OR MIT) AND Apache-2.0",
            "Apache-2.0 WITH LLVM-exception OR X",
        ] {
            assert!(allows(good, &allowed), "{good}");
        }
        for bad in ["GPL-3.0", "MIT AND GPL-2.0", "MIT WITH other", "(MIT", ""] {
            assert!(!allows(bad, &allowed), "{bad}");
        }
    }
}
