//! `cargo metadata` as data: packages and the resolved graph. Called by `layers` and `deny`; judges nothing.

use crate::steps;
use anyhow::{Context, Result};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// One package of the graph.
pub struct Package {
    pub id: String,
    pub name: String,
    pub version: String,
    pub license: Option<String>,
    /// `None` for a package of this repository.
    pub source: Option<String>,
    pub manifest: PathBuf,
    /// What its manifest asks for.
    pub dependencies: Vec<Dependency>,
}

/// One line of a manifest.
pub struct Dependency {
    pub name: String,
    pub kind: Kind,
    pub requirement: String,
    pub is_path: bool,
}

/// The section a dependency stands in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Normal,
    Build,
    Dev,
}

/// What cargo says about one workspace.
pub struct Metadata {
    pub packages: Vec<Package>,
    /// Packages that are built for our target, by id.
    pub resolved: BTreeMap<String, BTreeSet<String>>,
}

/// Reads the metadata of the workspace with the root manifest `manifest`.
///
/// # Errors
/// When cargo fails or its answer is not understood.
pub fn read(manifest: &Path) -> Result<Metadata> {
    let text = steps::output(
        steps::cargo()
            .args([
                "metadata",
                "--format-version",
                "1",
                "--filter-platform",
                "x86_64-unknown-linux-gnu",
                "--manifest-path",
            ])
            .arg(manifest),
    )?;
    let json: Value = serde_json::from_str(&text)?;
    let packages = list(&json["packages"])
        .map(package)
        .collect::<Option<Vec<_>>>()
        .context("cargo metadata: unknown package form")?;
    let resolved = list(&json["resolve"]["nodes"])
        .map(|node| {
            let id = node["id"].as_str()?.to_owned();
            Some((
                id,
                list(&node["dependencies"])
                    .filter_map(|id| id.as_str().map(str::to_owned))
                    .collect(),
            ))
        })
        .collect::<Option<_>>()
        .context("cargo metadata: unknown graph form")?;
    Ok(Metadata { packages, resolved })
}

/// Name and version of every package that is really built for our target, in the workspace of `manifest`. The resolved
/// graph of `cargo metadata` also holds optional packages that no feature turns on.
///
/// # Errors
/// When cargo fails.
pub fn built(manifest: &Path) -> Result<BTreeSet<(String, String)>> {
    let mut tree = steps::cargo();
    tree.args([
        "tree",
        "--workspace",
        "--edges",
        "all",
        "--prefix",
        "none",
        "--format",
        "{p}",
        "--manifest-path",
    ]);
    let text = steps::output(tree.arg(manifest))?;
    let names = text.lines().filter_map(|line| {
        let mut words = line.split(' ');
        Some((words.next()?.to_owned(), words.next()?.strip_prefix('v')?.to_owned()))
    });
    Ok(names.collect())
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn package(value: &Value) -> Option<Package> {
    Some(Package {
        id: value["id"].as_str()?.to_owned(),
        name: value["name"].as_str()?.to_owned(),
        version: value["version"].as_str()?.to_owned(),
        license: value["license"].as_str().map(str::to_owned),
        source: value["source"].as_str().map(str::to_owned),
        manifest: value["manifest_path"].as_str()?.into(),
        dependencies: list(&value["dependencies"]).map(dependency).collect::<Option<_>>()?,
    })
}

fn dependency(value: &Value) -> Option<Dependency> {
    Some(Dependency {
        name: value["name"].as_str()?.to_owned(),
        kind: match value["kind"].as_str() {
            None => Kind::Normal,
            Some("build") => Kind::Build,
            Some(_) => Kind::Dev,
        },
        requirement: value["req"].as_str()?.to_owned(),
        is_path: value["path"].is_string(),
    })
}
