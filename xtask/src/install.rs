//! `cargo xtask install-librdpmux`: builds the library for hypervisors and puts it where C programs look: shared library with
//! its names, archive, header and pkg-config file, as the old librdpmux had them.

use crate::{root, steps};
use anyhow::{Context, Result};
use clap::Args;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

#[derive(Args)]
pub struct Options {
    /// Folder that gets lib, lib/pkgconfig and include
    #[arg(long, default_value = "/usr/local")]
    prefix: PathBuf,
    /// A quickly built library instead of a fast one
    #[arg(long)]
    debug: bool,
}

/// What pkg-config calls it: the old one ended at 0.6.0, and programs ask for what they need.
const VERSION: &str = "0.7.0";

/// Runs the subcommand.
///
/// # Errors
/// When it cannot be built, or the folder not be written.
pub fn run(options: &Options) -> Result<()> {
    let profile = if options.debug { "debug" } else { "release" };
    let mut build = steps::cargo();
    build.args(["build", "--package", "librdpmux", "--lib"]);
    if !options.debug {
        build.arg("--release");
    }
    steps::run(&mut build)?;
    let built = root::target().join(profile);
    fs::create_dir_all(&options.prefix).with_context(|| format!("cannot write {}", options.prefix.display()))?;
    let prefix = options.prefix.canonicalize()?;
    let libraries = prefix.join("lib");
    let shared = format!("librdpmux.so.{VERSION}");
    put(&built.join("librdpmux.so"), &libraries.join(&shared), 0o755)?;
    for name in ["librdpmux.so.0", "librdpmux.so"] {
        link(&shared, &libraries.join(name))?;
    }
    put(&built.join("librdpmux.a"), &libraries.join("librdpmux.a"), 0o644)?;
    let sources = root::path().join("crates/librdpmux");
    put(
        &sources.join("include/rdpmux.h"),
        &prefix.join("include/rdpmux.h"),
        0o644,
    )?;
    let text = fs::read_to_string(sources.join("librdpmux.pc.in"))?;
    let text = text
        .replace("@PREFIX@", &prefix.display().to_string())
        .replace("@VERSION@", VERSION);
    let description = libraries.join("pkgconfig/librdpmux.pc");
    fs::create_dir_all(libraries.join("pkgconfig"))?;
    fs::write(&description, text).with_context(|| format!("cannot write {}", description.display()))?;
    println!("librdpmux {VERSION} is in {}", prefix.display());
    Ok(())
}

/// A new file: a program that runs keeps the old one.
fn put(from: &Path, to: &Path, mode: u32) -> Result<()> {
    let folder = to.parent().context("a file is in a folder")?;
    let part = to.with_extension("new");
    let copied = fs::create_dir_all(folder)
        .and_then(|()| fs::copy(from, &part))
        .and_then(|_| fs::set_permissions(&part, fs::Permissions::from_mode(mode)))
        .and_then(|()| fs::rename(&part, to));
    copied.with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))
}

fn link(target: &str, at: &Path) -> Result<()> {
    match fs::remove_file(at) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => symlink(target, at),
    }
    .with_context(|| format!("cannot make {}", at.display()))
}
