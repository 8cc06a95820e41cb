//! Small C programs around the libraries of peers, compiled when they are needed. Their sources are in `xtask/peers`.

use crate::{root, steps};
use anyhow::{Context, Result};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// FreeRDP's codecs behind a pipe; compiled again when the source is newer than the program.
///
/// # Errors
/// When Debian's `freerdp2-dev` is missing.
pub fn freerdp_codecs() -> Result<PathBuf> {
    let source = root::path().join("xtask/peers/freerdp_codecs.c");
    let program = root::peers().join("freerdp-codecs");
    let changed = |path| fs::metadata(path).and_then(|data| data.modified());
    if let (Ok(made), Ok(written)) = (changed(&program), changed(&source))
        && made > written
    {
        return Ok(program);
    }
    fs::create_dir_all(root::peers())?;
    let flags = steps::output(Command::new("pkg-config").args(["--cflags", "--libs", "freerdp2", "winpr2"]))
        .context("FreeRDP's library is missing: run `cargo xtask setup`")?;
    let fresh = program.with_extension("new");
    let mut compile = Command::new("cc");
    compile.args(["-O2", "-Wall", "-o"]).arg(&fresh).arg(&source);
    steps::output(compile.args(flags.split_whitespace()))?;
    fs::rename(&fresh, &program)?;
    Ok(program)
}
