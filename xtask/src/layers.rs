//! `cargo xtask layers`: the walls of the house. Who may depend on whom is the table below; besides, the lower crates
//! stay free of runtimes, unsafe code stays in its two crates, and files stay short. Reads only; `docs` of the walls are
//! in ARCHITECTURE.md.

use crate::metadata::{self, Kind};
use crate::{root, steps};
use anyhow::{Result, bail};
use std::fs;
use std::path::{Path, PathBuf};

/// Crate, and the crates of this repository that it may use. Dependencies point down only.
const ALLOWED: &[(&str, &[&str])] = &[
    (
        "rdpmux",
        &[
            "rdpmux-host",
            "rdpmux-client",
            "rdpmux-streams",
            "rdpmux-model",
            "rdpmux-api",
        ],
    ),
    ("librdpmux", &["rdpmux-wire", "rdpmux-model"]),
    (
        "rdpmux-host",
        &[
            "rdpmux-guest",
            "rdpmux-server",
            "rdpmux-engine",
            "rdpmux-streams",
            "rdpmux-model",
            "rdpmux-api",
        ],
    ),
    (
        "rdpmux-server",
        &[
            "rdpmux-engine",
            "rdpmux-rdp",
            "rdpmux-rfb",
            "rdpmux-pixel",
            "rdpmux-sock",
            "rdpmux-streams",
            "rdpmux-terminal",
            "rdpmux-model",
        ],
    ),
    (
        "rdpmux-guest",
        &[
            "rdpmux-shm",
            "rdpmux-wire",
            "rdpmux-streams",
            "rdpmux-engine",
            "rdpmux-pixel",
            "rdpmux-model",
        ],
    ),
    ("rdpmux-rdp", &["rdpmux-model"]),
    ("rdpmux-rfb", &["rdpmux-model"]),
    ("rdpmux-engine", &["rdpmux-pixel", "rdpmux-h264", "rdpmux-model"]),
    ("rdpmux-h264", &[]),
    ("rdpmux-pixel", &["rdpmux-model"]),
    ("rdpmux-shm", &["rdpmux-model"]),
    ("rdpmux-wire", &["rdpmux-model"]),
    ("rdpmux-streams", &[]),
    ("rdpmux-terminal", &["rdpmux-model"]),
    ("rdpmux-client", &[]),
    ("rdpmux-sock", &[]),
    ("rdpmux-model", &[]),
    ("rdpmux-api", &[]),
];

/// What else the tests of a crate may use: real frames and a real compressor for the protocol's tests, a client's settings.
const ALLOWED_IN_TESTS: &[(&str, &[&str])] = &[
    ("rdpmux-rdp", &["rdpmux-engine", "rdpmux-client"]),
    ("rdpmux-server", &["rdpmux-client"]),
];

/// Crates that only test and check, which tests of any crate may use; they themselves may use every crate.
const DEV: &[&str] = &["rdpmux-testkit", "bench-pictures", "xtask"];

/// Crates that must not have a runtime, sockets, TLS or D-Bus below them, and the crates that would give it away.
const RUNTIME_FREE: &[&str] = &[
    "rdpmux-model",
    "rdpmux-pixel",
    "rdpmux-engine",
    "rdpmux-rdp",
    "rdpmux-rfb",
    "rdpmux-wire",
    "rdpmux-streams",
];
const RUNTIMES: &[&str] = &["tokio", "mio", "socket2", "rustls", "zbus", "axum"];

/// Crates in which unsafe code may stand.
const UNSAFE: &[&str] = &["rdpmux-pixel", "rdpmux-h264", "rdpmux-sock", "librdpmux"];

/// Lines above which a file has to say why, in a line that starts with `// SIZE:`.
const LONGEST_FILE: usize = 800;

/// Runs the subcommand.
///
/// # Errors
/// When a wall is broken; every break is named.
pub fn run() -> Result<()> {
    let metadata = metadata::read(Path::new("Cargo.toml"))?;
    let own: Vec<_> = metadata
        .packages
        .iter()
        .filter(|package| package.source.is_none())
        .collect();
    let mut broken = Vec::new();
    for package in &own {
        broken.extend(edges(package));
        broken.extend(unsafe_code(package)?);
    }
    for name in RUNTIME_FREE {
        if own.iter().any(|package| package.name == *name) {
            broken.extend(runtimes(name)?);
        }
    }
    let files = sources()?;
    for file in &files {
        broken.extend(size(file)?);
    }
    if !broken.is_empty() {
        bail!("{} walls are broken:\n  {}", broken.len(), broken.join("\n  "));
    }
    println!("layers: {} crates, {} files, all walls stand", own.len(), files.len());
    Ok(())
}

fn edges(package: &metadata::Package) -> Vec<String> {
    if DEV.contains(&package.name.as_str()) {
        return Vec::new();
    }
    let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| *name == package.name) else {
        return vec![format!("{} is not in the table of xtask/src/layers.rs", package.name)];
    };
    let own = package.dependencies.iter().filter(|dependency| dependency.is_path);
    own.filter(|dependency| {
        let name = dependency.name.as_str();
        let in_tests = ALLOWED_IN_TESTS.iter().filter(|(user, _)| *user == package.name);
        let for_tests = DEV.contains(&name) || in_tests.flat_map(|(_, used)| *used).any(|used| *used == name);
        let is_allowed = allowed.contains(&name) || (dependency.kind == Kind::Dev && for_tests);
        !is_allowed
    })
    .map(|dependency| {
        format!(
            "{} must not depend on {} ({:?})",
            package.name, dependency.name, dependency.kind
        )
    })
    .collect()
}

fn runtimes(name: &str) -> Result<Vec<String>> {
    let tree = steps::output(steps::cargo().args([
        "tree",
        "--edges",
        "normal",
        "--prefix",
        "none",
        "--format",
        "{p}",
        "--package",
        name,
    ]))?;
    let mut found: Vec<String> = tree
        .lines()
        .filter_map(|line| line.split(' ').next())
        .filter(|dependency| RUNTIMES.contains(dependency))
        .map(|dependency| format!("{name} has {dependency} below it: cargo tree -e normal -p {name} -i {dependency}"))
        .collect();
    found.sort();
    found.dedup();
    Ok(found)
}

fn unsafe_code(package: &metadata::Package) -> Result<Option<String>> {
    if UNSAFE.contains(&package.name.as_str()) {
        return Ok(None);
    }
    let folder = package.manifest.with_file_name("src");
    for file in ["lib.rs", "main.rs"] {
        let path = folder.join(file);
        if path.exists() && !fs::read_to_string(&path)?.contains("#![forbid(unsafe_code)]") {
            return Ok(Some(format!("{} lacks #![forbid(unsafe_code)]", shown(&path))));
        }
    }
    Ok(None)
}

fn size(path: &Path) -> Result<Option<String>> {
    let text = fs::read_to_string(path)?;
    let lines = text.lines().count();
    let has_reason = text.lines().any(|line| line.trim_start().starts_with("// SIZE:"));
    Ok((lines > LONGEST_FILE && !has_reason).then(|| {
        format!(
            "{} has {lines} lines (over {LONGEST_FILE}) and no `// SIZE:` reason",
            shown(path)
        )
    }))
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root::path()).unwrap_or(path).display().to_string()
}

fn sources() -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = ["crates", "xtask", "fuzz", "guests"]
        .iter()
        .map(|name| root::path().join(name))
        .collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry?.path();
            if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}
