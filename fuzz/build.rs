//! Lists the files of `fuzz_targets` for `main`, or those that `RDPMUX_FUZZ_ONLY` names: all in one program are built in
//! a fraction of the time, one alone leaves libFuzzer no foreign code to look after.

use std::fmt::Write;
use std::path::Path;
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=fuzz_targets");
    println!("cargo::rerun-if-env-changed=RDPMUX_FUZZ_ONLY");
    let only = env::var("RDPMUX_FUZZ_ONLY").unwrap_or_default();
    let folder = Path::new(&env::var("CARGO_MANIFEST_DIR").expect("cargo says where")).join("fuzz_targets");
    let files = fs::read_dir(folder).expect("a folder of targets");
    let mut paths: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    paths.sort();
    let (mut modules, mut table) = (String::new(), String::new());
    for path in paths {
        let name = path.file_stem().and_then(|name| name.to_str()).expect("a plain name");
        if only.is_empty() || only == name {
            writeln!(modules, "#[path = {path:?}]\nmod {name};").expect("memory");
            writeln!(table, "    ({name:?}, {name}::fuzz),").expect("memory");
        }
    }
    let text = format!("{modules}\nstatic TARGETS: &[(&str, Target)] = &[\n{table}];\n");
    let out = Path::new(&env::var("OUT_DIR").expect("cargo says where to")).join("targets.rs");
    fs::write(out, text).expect("writing the list");
}
