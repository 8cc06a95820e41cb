//! Small C programs around the libraries of peers, compiled when they are needed. Their sources are in `xtask/peers`.

use crate::{root, steps};
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// FreeRDP's codecs behind a pipe.
///
/// # Errors
/// When Debian's `freerdp2-dev` is missing.
pub fn freerdp_codecs() -> Result<PathBuf> {
    compile("freerdp-codecs", &["freerdp_codecs.c"], &["freerdp2", "winpr2"])
}

/// A backend that speaks protocol 5 of librdpmux.
///
/// # Errors
/// When a development package of Debian is missing.
pub fn librdpmux_backend() -> Result<PathBuf> {
    foreign("librdpmux-backend", "librdpmux/backend.c")
}

/// A server that speaks it.
///
/// # Errors
/// As [`librdpmux_backend`].
pub fn librdpmux_server() -> Result<PathBuf> {
    foreign("librdpmux-server", "librdpmux/server.c")
}

fn foreign(name: &str, main: &str) -> Result<PathBuf> {
    let sources = [main, "librdpmux/wire.c", "librdpmux/wire.h"];
    compile(name, &sources, &["libczmq", "msgpack", "gio-2.0", "pixman-1"])
}

/// Compiles a program against packages of pkg-config; again when one of its sources is newer than the program.
fn compile(name: &str, sources: &[&str], packages: &[&str]) -> Result<PathBuf> {
    let sources: Vec<PathBuf> = sources
        .iter()
        .map(|source| root::path().join("xtask/peers").join(source))
        .collect();
    let program = root::peers().join(name);
    let changed = |path: &Path| fs::metadata(path).and_then(|data| data.modified());
    if let Ok(made) = changed(&program)
        && sources
            .iter()
            .all(|source| changed(source).is_ok_and(|written| made > written))
    {
        return Ok(program);
    }
    fs::create_dir_all(root::peers())?;
    let flags = steps::output(Command::new("pkg-config").args(["--cflags", "--libs"]).args(packages))
        .with_context(|| format!("{} is missing: run `cargo xtask setup`", packages.join(", ")))?;
    let fresh = program.with_extension("new");
    let mut compile = Command::new("cc");
    compile.args(["-O2", "-Wall", "-o"]).arg(&fresh);
    let is_header = |source: &&PathBuf| source.extension().is_some_and(|extension| extension == "h");
    compile.args(sources.iter().filter(|source| !is_header(source)));
    steps::output(compile.args(flags.split_whitespace()))?;
    fs::rename(&fresh, &program)?;
    Ok(program)
}
