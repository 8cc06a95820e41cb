//! `cargo xtask api`: what programs see of `rdpmux-server`, held against what the last release showed them. The judge is
//! cargo-semver-checks, which is built here first; the other side is in the repository: rdpmux-server.json.zst, rustdoc's
//! JSON. Called by nothing else, and not by CI: both builds take minutes.

use crate::{root, steps};
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

#[derive(Args)]
pub struct Options {
    /// Write down what programs see now: a release does, once it has passed
    #[arg(long)]
    record: bool,
}

const CRATE: &str = "rdpmux-server";
/// It reads the JSON of Rust 1.93 (format 57) and later.
const TOOL: &str = "cargo-semver-checks@0.51.0";
/// The best that zstd has without asking readers for more memory.
const LEVEL: i32 = 19;

/// Runs the subcommand.
///
/// # Errors
/// When a change would break programs and the version does not say so, or something cannot be built.
pub fn run(options: &Options) -> Result<()> {
    let recorded = root::path().join("xtask").join(format!("{CRATE}.json.zst"));
    let folder = root::target().join("api");
    let now = face(&folder)?;
    if options.record {
        let packed = pack(now.to_string().as_bytes())?;
        fs::write(&recorded, &packed).with_context(|| format!("cannot write {}", recorded.display()))?;
        println!(
            "api: {CRATE} {} is recorded, {} KiB",
            version(&now),
            packed.len() / 1024
        );
        return Ok(());
    }
    let then = fs::read(&recorded)
        .with_context(|| format!("cannot read {}; `--record` writes it, at a release", recorded.display()))?;
    let then: Value = serde_json::from_slice(&unpack(&then)?).context("what was recorded is not JSON")?;
    let (old, new) = (&then["format_version"], &now["format_version"]);
    if old != new {
        bail!(
            "another Rust recorded {CRATE} {} (format {old}, this one's is {new}): check that release out with this \
             rust-toolchain.toml, `cargo xtask api --record` there, and bring the file here",
            version(&then)
        );
    }
    let tool = tool()?;
    let [before, after] = [("before", then), ("after", now)].map(|(name, face)| {
        let path = folder.join(name).with_extension("json");
        fs::write(&path, face.to_string()).map(|()| path)
    });
    let mut check = Command::new(tool);
    check.args(["semver-checks", "check-release"]);
    check.arg("--baseline-rustdoc").arg(before?);
    check.arg("--current-rustdoc").arg(after?);
    steps::run(&mut check)
}

/// What rustdoc knows of the crate as it stands, less what only readers need.
fn face(folder: &Path) -> Result<Value> {
    let mut rustdoc = steps::cargo();
    rustdoc.args(["rustdoc", "--package", CRATE, "--lib", "--all-features", "--target-dir"]);
    rustdoc.arg(folder);
    // The flags that cargo-semver-checks gives; it wants private items, too, to find its way through `pub use`.
    rustdoc.args(["--", "-Zunstable-options", "--output-format=json", "--cap-lints=allow"]);
    rustdoc.args(["--document-private-items", "--document-hidden-items"]);
    // The JSON is called unstable, but the compiler is pinned.
    rustdoc.env("RUSTC_BOOTSTRAP", "1");
    steps::run(&mut rustdoc)?;
    let path = folder.join("doc").join(CRATE.replace('-', "_")).with_extension("json");
    let text = fs::read(&path).with_context(|| format!("rustdoc wrote no {}", path.display()))?;
    let mut face = serde_json::from_slice(&text).context("rustdoc's JSON")?;
    strip(&mut face);
    Ok(face)
}

/// Takes texts away, and paths of the machine on which it was made.
fn strip(face: &mut Value) {
    let items = face["index"].as_object_mut().into_iter().flatten();
    for (_, item) in items {
        item["docs"] = Value::Null;
        item["links"] = Value::Object(Default::default());
        if item["span"]["filename"]
            .as_str()
            .is_some_and(|path| Path::new(path).is_absolute())
        {
            item["span"] = Value::Null;
        }
    }
    let crates = face["external_crates"].as_object_mut().into_iter().flatten();
    for (_, used) in crates {
        used["path"] = "".into();
    }
}

fn version(face: &Value) -> &str {
    face["crate_version"].as_str().unwrap_or("without a version")
}

/// The tool, which is built if it is not there yet.
fn tool() -> Result<PathBuf> {
    let tools = root::target().join("tools");
    let mut install = steps::cargo();
    install.args(["install", "--locked", TOOL, "--root"]).arg(&tools);
    install.arg("--target-dir").arg(tools.join("build"));
    // It runs for seconds: a short build is worth more than a fast program.
    install.env("CARGO_PROFILE_RELEASE_LTO", "off");
    install.env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
    install.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1");
    println!(
        "api: {TOOL} in {} (built if it is not there yet: minutes)",
        tools.display()
    );
    steps::run(&mut install)?;
    Ok(tools.join("bin/cargo-semver-checks"))
}

fn pack(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut packed = vec![0; zstd_safe::compress_bound(bytes.len())];
    match zstd_safe::compress(&mut packed[..], bytes, LEVEL) {
        Ok(size) => packed.truncate(size),
        Err(_) => bail!("zstd cannot compress {} bytes", bytes.len()),
    }
    Ok(packed)
}

fn unpack(packed: &[u8]) -> Result<Vec<u8>> {
    let size = zstd_safe::get_frame_content_size(packed).ok().flatten();
    let size = size.context("what was recorded is not of zstd")?;
    let mut bytes = vec![0; usize::try_from(size)?];
    let result = zstd_safe::decompress(&mut bytes[..], packed);
    ensure!(result == Ok(bytes.len()), "what was recorded is damaged");
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::{pack, strip, unpack};
    use serde_json::json;

    #[test]
    fn a_face_holds_neither_texts_nor_paths_of_the_machine_that_made_it() {
        let mut face = json!({
            "index": {
                "1": {"docs": "Long.", "links": {"Long": 2}, "name": "a", "span": {"filename": "crates/server/src/lib.rs"}},
                "2": {"docs": null, "links": {}, "name": "b", "span": {"filename": "/home/somebody/.cargo/b.rs"}},
                "3": {"docs": null, "links": {}, "name": "c", "span": null},
            },
            "external_crates": {"7": {"name": "bytes", "path": "/home/somebody/libbytes.rmeta"}},
        });
        strip(&mut face);
        let expected = json!({
            "index": {
                "1": {"docs": null, "links": {}, "name": "a", "span": {"filename": "crates/server/src/lib.rs"}},
                "2": {"docs": null, "links": {}, "name": "b", "span": null},
                "3": {"docs": null, "links": {}, "name": "c", "span": null},
            },
            "external_crates": {"7": {"name": "bytes", "path": ""}},
        });
        assert_eq!(face, expected);
    }

    #[test]
    fn what_is_packed_comes_back_and_what_is_not_zstd_is_refused() {
        let text = "what programs see ".repeat(1000);
        let packed = pack(text.as_bytes()).unwrap();
        assert!(packed.len() < 100);
        assert_eq!(unpack(&packed).unwrap(), text.as_bytes());
        assert!(unpack(&packed[..packed.len() - 1]).is_err());
        assert!(unpack(b"{}").is_err());
    }
}
