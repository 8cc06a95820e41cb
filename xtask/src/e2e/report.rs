//! What a suite has shown: one line per case, a summary, and a small file that `ci` adds up.
//! A case that fails does not stop the others. Called by the suites.

use crate::root;
use anyhow::{Result, bail};
use serde_json::{Value, json};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::Instant;
use tempfile::TempDir;

/// One run of a suite.
pub struct Suite {
    name: &'static str,
    only: Option<String>,
    passed: u32,
    failed: Vec<String>,
}

/// One case while it runs.
pub struct Case {
    /// Its own folder for pictures and logs.
    pub folder: PathBuf,
    /// A folder with a short path for its sockets; gone after the case.
    pub sockets: TempDir,
}

impl Suite {
    /// Starts a suite; `only` is a part of the names of the cases to run.
    pub fn new(name: &'static str, only: Option<&str>) -> Self {
        Self {
            name,
            only: only.map(str::to_owned),
            passed: 0,
            failed: Vec::new(),
        }
    }

    /// Whether a case of this name is asked for.
    pub fn wants(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|part| name.contains(part.as_str()))
    }

    /// Runs one case; what it returns is its figure.
    pub fn case(&mut self, name: &str, body: impl FnOnce(&Case) -> Result<String>) {
        if !self.wants(name) {
            return;
        }
        let started = Instant::now();
        let result = self.folder(name).and_then(|case| {
            catch_unwind(AssertUnwindSafe(|| body(&case)))
                .unwrap_or_else(|_| Err(anyhow::anyhow!("the case itself panicked")))
        });
        let time = started.elapsed().as_secs_f64();
        match result {
            Ok(figure) => {
                self.passed += 1;
                println!("ok    {name:44} {figure}  ({time:.1} s)");
            }
            Err(error) => {
                println!("FAIL  {name:44} {error:#}  ({time:.1} s)");
                self.failed.push(name.to_owned());
            }
        }
    }

    /// Prints the summary and keeps it for `ci`.
    ///
    /// # Errors
    /// When a case failed or none ran.
    pub fn finish(self) -> Result<()> {
        let result = json!({ "passed": self.passed, "failed": self.failed.len() });
        fs::create_dir_all(results())?;
        fs::write(results().join(format!("{}.json", self.name)), result.to_string())?;
        println!(
            "e2e {}: {} passed, {} failed; pictures and logs in target/e2e/{}",
            self.name,
            self.passed,
            self.failed.len(),
            self.name
        );
        if !self.failed.is_empty() {
            bail!("failed: {}", self.failed.join(", "));
        }
        if self.passed == 0 {
            bail!("no case of that name");
        }
        Ok(())
    }

    fn folder(&self, name: &str) -> Result<Case> {
        let folder = root::target().join("e2e").join(self.name).join(folder_name(name));
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        let sockets = tempfile::Builder::new().prefix("rdpmux-e2e-").tempdir()?;
        Ok(Case { folder, sockets })
    }
}

fn folder_name(case: &str) -> String {
    case.chars()
        .map(|character| {
            if character.is_ascii_alphanumeric() || character == '.' {
                character
            } else {
                '-'
            }
        })
        .collect()
}

/// Forgets earlier results.
///
/// # Errors
/// When they cannot be removed.
pub fn forget_all() -> Result<()> {
    if results().exists() {
        fs::remove_dir_all(results())?;
    }
    Ok(())
}

/// Cases that passed and failed in all suites since [`forget_all`].
///
/// # Errors
/// When a result cannot be read.
pub fn total() -> Result<(u64, u64)> {
    let mut sum = (0, 0);
    for entry in fs::read_dir(results()).into_iter().flatten() {
        let result: Value = serde_json::from_slice(&fs::read(entry?.path())?)?;
        sum.0 += result["passed"].as_u64().unwrap_or(0);
        sum.1 += result["failed"].as_u64().unwrap_or(0);
    }
    Ok(sum)
}

fn results() -> PathBuf {
    root::target().join("e2e/results")
}
