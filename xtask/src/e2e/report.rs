//! What a suite has shown: one line per case, a summary, and a small file that `ci` adds up.
//! A case that fails does not stop the others; if asked, it is tried once more and what the first try said is printed
//! too: real guests and clients on a busy machine are late now and then. Called by the suites.

use crate::root;
use anyhow::{Result, bail};
use serde_json::{Value, json};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::Instant;
use tempfile::TempDir;

/// Which cases run, and how often.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    /// Only those with this in their name.
    pub only: Option<&'a str>,
    /// Those that fail are tried a second time.
    pub again: bool,
}

/// One run of a suite.
pub struct Suite {
    name: &'static str,
    only: Option<String>,
    again: bool,
    passed: u32,
    /// Passed the second time.
    late: Vec<String>,
    failed: Vec<String>,
}

/// What a case does, and its name.
pub type Named<'a> = (String, Box<dyn Fn(&Case) -> Result<String> + Sync + 'a>);

/// One case while it runs.
pub struct Case {
    /// Its own folder for pictures and logs.
    pub folder: PathBuf,
    /// A folder with a short path for its sockets; gone after the case.
    pub sockets: TempDir,
}

impl Suite {
    /// Starts a suite.
    pub fn new(name: &'static str, wanted: Wanted<'_>) -> Self {
        Self {
            name,
            only: wanted.only.map(str::to_owned),
            again: wanted.again,
            passed: 0,
            late: Vec::new(),
            failed: Vec::new(),
        }
    }

    /// Whether a case of this name is asked for.
    pub fn wants(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|part| name.contains(part.as_str()))
    }

    /// Runs one case; what it returns is its figure.
    pub fn case(&mut self, name: &str, body: impl Fn(&Case) -> Result<String>) {
        if self.wants(name) {
            let first = self.attempt(name, &body);
            self.judge(name, &body, first);
        }
    }

    /// Runs cases at the same time: those that mostly wait.
    pub fn together(&mut self, cases: Vec<Named<'_>>) {
        let wanted: Vec<_> = cases.into_iter().filter(|(name, _)| self.wants(name)).collect();
        let suite = &*self;
        let firsts: Vec<Attempt> = std::thread::scope(|scope| {
            let running: Vec<_> = wanted
                .iter()
                .map(|(name, body)| scope.spawn(move || suite.attempt(name, body)))
                .collect();
            let ended = running.into_iter().map(std::thread::ScopedJoinHandle::join);
            ended
                .map(|attempt| attempt.unwrap_or_else(|_| Attempt::panicked()))
                .collect()
        });
        for ((name, body), first) in wanted.iter().zip(firsts) {
            self.judge(name, body, first);
        }
    }

    fn attempt(&self, name: &str, body: &impl Fn(&Case) -> Result<String>) -> Attempt {
        let started = Instant::now();
        let result = self.folder(name).and_then(|case| {
            catch_unwind(AssertUnwindSafe(|| body(&case))).unwrap_or_else(|_| Attempt::panicked().result)
        });
        let seconds = started.elapsed().as_secs_f64();
        Attempt { result, seconds }
    }

    /// Prints how it went and counts it, after a second try if there is to be one.
    fn judge(&mut self, name: &str, body: &impl Fn(&Case) -> Result<String>, first: Attempt) {
        let Attempt { result, seconds } = first;
        let mut error = match result {
            Ok(figure) => {
                self.passed += 1;
                return println!("ok    {name:44} {figure}  ({seconds:.1} s)");
            }
            Err(error) => error,
        };
        if self.again {
            println!("again {name:44} {error:#}  ({seconds:.1} s)");
            self.keep_first(name);
            match self.attempt(name, body) {
                Attempt {
                    result: Ok(figure),
                    seconds,
                } => {
                    self.passed += 1;
                    self.late.push(name.to_owned());
                    return println!("ok    {name:44} {figure}  ({seconds:.1} s, the second time)");
                }
                second => error = second.result.expect_err("a failure"),
            }
        }
        println!("FAIL  {name:44} {error:#}");
        self.failed.push(name.to_owned());
    }

    /// Logs of a first try that failed stay beside those of the second.
    fn keep_first(&self, name: &str) {
        let folder = self.path(name);
        let first = folder.with_file_name(format!("{}-first", folder_name(name)));
        let _ = fs::remove_dir_all(&first);
        let _ = fs::rename(folder, first);
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
        if !self.late.is_empty() {
            println!("passed the second time only: {}", self.late.join(", "));
        }
        if !self.failed.is_empty() {
            bail!("failed: {}", self.failed.join(", "));
        }
        if self.passed == 0 {
            bail!("no case of that name");
        }
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        root::target().join("e2e").join(self.name).join(folder_name(name))
    }

    fn folder(&self, name: &str) -> Result<Case> {
        let folder = self.path(name);
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        let sockets = tempfile::Builder::new().prefix("rdpmux-e2e-").tempdir()?;
        Ok(Case { folder, sockets })
    }
}

/// One run of a case.
struct Attempt {
    result: Result<String>,
    seconds: f64,
}

impl Attempt {
    fn panicked() -> Self {
        Self {
            result: Err(anyhow::anyhow!("the case itself panicked")),
            seconds: 0.0,
        }
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
